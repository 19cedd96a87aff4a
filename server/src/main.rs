//! The binary: hands its arguments to the library and returns its exit code. Nothing else belongs here.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    twinwire_server::cli::run(std::env::args_os())
}
