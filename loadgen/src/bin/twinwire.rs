//! The harness's binary: everything is in the library.

fn main() -> std::process::ExitCode {
    twinwire::cli::main()
}
