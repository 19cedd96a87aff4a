//! How much CPU a request costs us above the least that it can cost, on both sides and over both transports.
//!
//! `cargo bench -p twinwire --bench floor` prints ratios, not times: an absolute time on a shared machine does not
//! repeat, a ratio of two windows that ran seconds apart does. The least is a bare loop: over TCP an epoll loop with
//! one read and one write a request, over WebSocket tokio-tungstenite with 4 KiB buffers and nothing around it.
//!
//! These pairings run in windows of a second, in a drawn order, round after round:
//!
//! | server | generator | what it is for |
//! |---|---|---|
//! | floor | floor | the least |
//! | reference | floor | against the first: what our server adds |
//! | reference | ours | against the second: what our generator adds, with every check and all recording on |
//! | reference | ours, puts and gets | against the next: a checked request next to an unchecked one |
//! | redis-server | redis-benchmark | what is in common use, over TCP and where it is installed |
//!
//! Two figures are only ever compared against the same peer, for on loopback the sender's system call runs part of
//! the receiver's TCP work: CPU belongs to neither side alone. The sums of both sides are printed for that reason.
//! Server and generator are processes of their own, each on a CPU of its own, afresh for every window. CPU is user
//! and system time from the processes' CPU clocks at the edges of the window; setting up and ending are not in it.
//!
//! How to read the output: a bar is met where the *upper end* of the ratio's interval is at most the bar. The
//! interval is that of the median over the rounds, by order statistics, so it assumes nothing about the noise.
//! `stolen` over a few percent means that the host gave the CPUs to others, and neither CPU near 100 % that other
//! programs ran beside it: run it again when it is quieter.
//!
//! Not for latency, and not for what a machine can do at most. Without `--bench` (as `cargo test` calls it) it only
//! tries each pairing for a moment, to show that it works. The bare loops, windows and intervals are in the package
//! `twinwire-floor`, which the server's own bench uses too.

#[cfg(target_os = "linux")]
mod options;
#[cfg(target_os = "linux")]
mod ours;
#[cfg(target_os = "linux")]
mod pairings;
#[cfg(target_os = "linux")]
mod report;
#[cfg(target_os = "linux")]
mod roles;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    options::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!(
        "floor: not measured: CPU clocks of other processes and CPU affinity are only known for Linux here"
    );
}
