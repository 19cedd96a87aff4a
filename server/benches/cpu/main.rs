//! How much CPU a request costs the server: against a bare epoll loop, against redis-server, and on two workers.
//!
//! `cargo bench -p twinwire-server --bench cpu` prints ratios, not times: an absolute time on a shared machine does not
//! repeat, a ratio of two that were measured at nearly the same time does. So servers that are compared run beside each
//! other, and one generator asks them in turn, a tenth of a second each; ten turns are a window. Each round has
//! processes of its own, and who begins is drawn.
//!
//! | server | asked | what it is for |
//! |---|---|---|
//! | floor, over TCP | `get`s | the least: a bare epoll loop with one read and one write a request |
//! | ours, over TCP | the same | against the first |
//! | ours, over WebSocket | the same | against the first: what framing may cost at all |
//! | redis-server | half puts | what is in common use, where it is installed |
//! | ours, over TCP | the same, in our protocol | against the one before |
//! | redis-server, ours | half puts, 32 in one write | how much a request costs beside the system calls |
//! | redis-server | half puts, by redis-benchmark | the generator that comes with it, which fills no server |
//! | ours on one worker, on two | at a fixed pace | what sharing costs, and whether the work is shared |
//!
//! All but the last are saturated closed loops, the server on a CPU of its own and the generator, which is a bare epoll
//! loop for all but one of them, on another. On loopback the sender's system call runs part of the receiver's TCP work,
//! so that a ratio of servers means most under the same generator; where there are two, with redis-benchmark, it tells
//! of both. CPU is user and system time from the process's CPU clock at the edges of each turn; setting up, the first
//! moments of a turn and ending are not in it.
//!
//! Workers are compared at a fixed rate: each connection asks once a millisecond, first those of one worker and then
//! those of the other. Two workers are on two CPUs, and where there are no more the generator is beside the second. So
//! one worker is measured half the time alone and half the time beside the generator; and the server runs as
//! `SCHED_BATCH`, with one worker as with two, since a worker that interrupts the generator at each request turns a
//! burst into as many single ones. What each worker has carried is what the server's metrics count.
//!
//! Redis is asked in two ways. redis-benchmark takes more CPU than redis, which so has idle moments, and costs more for
//! each request; the bare generator keeps it as busy as ours. How the floor stands to that is told for comparison: it is
//! the least that a server with a read and a write for each request can need.
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
