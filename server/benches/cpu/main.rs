//! How much CPU a request costs the server: against a bare epoll loop, against redis-server, and on two workers.
//!
//! `cargo bench -p twinwire-server --bench cpu` prints ratios, not times: an absolute time on a shared machine does not
//! repeat, a ratio of two windows that ran seconds apart does. These run in windows of a second, in a drawn order,
//! round after round, each with processes of its own:
//!
//! | server | generator | what it is for |
//! |---|---|---|
//! | floor, over TCP | bare epoll, `get`s | the least: one read and one write a request |
//! | ours, over TCP | the same | against the first |
//! | ours, over WebSocket | bare tokio-tungstenite, `get`s | against the first: what framing may cost at all |
//! | redis-server | bare epoll, half puts | what is in common use, where it is installed |
//! | ours, over TCP | the same, in our protocol | against the one before |
//! | redis-server | redis-benchmark, half puts | the same with the generator that comes with it, which fills no server |
//! | redis-server, ours | bare epoll, half puts, 32 in one write | how much a request costs beside the system calls |
//! | ours on one worker, on two | bare epoll at a fixed pace | what sharing costs, and whether the work is shared |
//!
//! All but the last are saturated closed loops, the server on a CPU of its own and the generator on another. On
//! loopback the sender's system call runs part of the receiver's TCP work, so that a ratio of servers means most
//! under the same generator; where there are two, over WebSocket and with redis-benchmark, it tells of both. CPU is
//! user and system time from the process's CPU clock at the edges of the window; setting up and ending are not in it.
//!
//! Workers are compared at a fixed rate: each connection asks once a millisecond. Two workers are on two CPUs, and
//! where there are no more the generator is beside the second. So one worker is measured half the time alone and half
//! the time beside the generator; and the server runs as `SCHED_BATCH`, with one worker as with two, since a worker
//! that interrupts the generator at each request turns a burst into as many single ones. What each worker has carried
//! is what the server's metrics count.
//!
//! Redis is asked in two ways. redis-benchmark takes more CPU than redis, which so has idle moments, and costs more for
//! each request; the bare generator keeps it as busy as ours. How the floor stands to that is told for comparison.
//!
//! How to read the output: a bar is met where it holds for the *worse end* of the ratio's interval. The interval is
//! that of the median over the rounds, by order statistics, so it assumes nothing about the noise. `stolen` over a
//! few percent means that the host gave the CPUs to others, and no CPU near 100 % in a closed loop that other
//! programs ran beside it: run it again when it is quieter.
//!
//! Without `--bench` (as `cargo test` calls it) it only tries each window for a moment, to show that it works.

#[cfg(target_os = "linux")]
mod options;
#[cfg(target_os = "linux")]
mod pairs;
#[cfg(target_os = "linux")]
mod report;
#[cfg(target_os = "linux")]
mod shares;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    options::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!(
        "cpu: not measured: CPU clocks of other processes and CPU affinity are only known for Linux here"
    );
}
