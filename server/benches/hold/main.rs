//! What connections cost the server that do nothing, and sessions that come and go.
//!
//! `cargo bench -p twinwire-server --bench hold` prints:
//!
//! | figure | how it is taken |
//! |---|---|
//! | memory of each idle session | resident memory before and after 10,000 logins on one transport, on a fresh server |
//! | connections held at once | 18,000, half on each transport; each puts and gets, a few at a time and all at once |
//! | sessions a second | connect, log in, quit, be closed: six times 20,000 sessions, 64 at a time |
//! | what churn leaves behind | memory and descriptors after the first tenth of a million sessions, and after all |
//!
//! The clients are one bare epoll loop in this process, on a CPU of its own; the server is the program itself on
//! another. Every reply is compared with what it must be, byte for byte, so a server that does less is no faster.
//! Memory and descriptors do not depend on how busy the machine is. Sessions a second do: their bar is held against
//! the worst of the six, `stolen` is the share of both CPUs' time that the host gave to others meanwhile, and the
//! server's CPU for each session is given beside, which repeats where the rate does not.
//!
//! A figure for which the limit on open files is too low is left out, and that is said. Without `--bench` (as
//! `cargo test` calls it) everything is tried with a hundredth of the numbers, and nothing is printed.

#[cfg(target_os = "linux")]
mod crowd;
#[cfg(target_os = "linux")]
mod figures;
#[cfg(target_os = "linux")]
mod options;
#[cfg(target_os = "linux")]
mod report;
#[cfg(target_os = "linux")]
mod server;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    options::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("hold: not measured: epoll and the figures of other processes are only known for Linux here");
}
