//! Where a request's instructions are spent: the server's own, crate by crate, over TCP and over WebSocket.
//!
//! `cargo bench -p twinwire-server --bench profile` runs the server under valgrind's callgrind, twice for each column:
//! with few rounds of requests and with many. The difference is what the requests alone have cost, and it repeats on a
//! busy machine. What the compiler has inlined counts where it was written. The kernel's part is not in it, which is
//! most of a request's time: `--bench cpu` has that.
//!
//! Without valgrind it says what is missing, and that is no failure. Without `--bench` (as `cargo test` calls it) the
//! requests are sent to the server itself, a few of them and uncounted.

#[cfg(target_os = "linux")]
mod callgrind;
#[cfg(target_os = "linux")]
mod exchange;
#[cfg(target_os = "linux")]
mod report;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    report::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("profile: not measured: the processes that it needs are only known for Linux here");
}
