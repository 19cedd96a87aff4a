//! What a well-behaved client notices while others abuse the server.
//!
//! `cargo bench -p twinwire-server --bench abuse` starts the server for each abuse, logs a neighbour in over TCP and
//! another over WebSocket, each of which asks once a millisecond, and measures their p90 in windows with and without
//! the abuse, in pairs whose order is drawn. What is compared is the p90 of a pair's two windows, and what is
//! reported is the median of these ratios with its 95 % interval: a time on a shared machine does not repeat, two
//! windows that follow each other do. Beside it: that the abusers were served as the limits say, the server's memory
//! against its bound, and that its descriptors came back.
//!
//! The server has a CPU for itself, neighbours and abusers share another. So that it is the server's
//! treatment which is measured and not a fight for that other CPU, the abusers run as a process of their own in the
//! system's idle class (`chrt --idle`, else `nice`), which gives way whenever a neighbour wakes. They take all that is
//! left, so a flood is as fast as one CPU can make it. And a neighbour's latency ends when the kernel received the
//! reply, by the kernel's own note, however late the neighbour then got its CPU.
//!
//! It begins when the neighbour asks, or at the instant at which it meant to, where it could not ask then because the
//! last reply was still due: a stall of the server is not left out.
//!
//! Not for what the server costs or can do at most. Without `--bench` (as `cargo test --benches` calls it) each abuse
//! is tried for a moment and at a hundredth of its size, which shows that it works and what it must leave behind, and
//! measures nothing.

#[cfg(target_os = "linux")]
mod abuse;
#[cfg(target_os = "linux")]
mod abuser;
#[cfg(target_os = "linux")]
mod experiment;
#[cfg(target_os = "linux")]
mod neighbour;
#[cfg(target_os = "linux")]
mod options;
#[cfg(target_os = "linux")]
mod peer;
#[cfg(target_os = "linux")]
mod processes;
#[cfg(target_os = "linux")]
mod table;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    options::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("abuse: not measured: CPU affinity and other processes' memory are only known for Linux here");
}
