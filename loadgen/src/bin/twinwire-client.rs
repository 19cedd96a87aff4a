//! The client's binary: everything is in the library.

fn main() -> std::process::ExitCode {
    twinwire::client::main()
}
