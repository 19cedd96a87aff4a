//! The load engine: plan → passes → workers → virtual users → figures.
//!
//! | module | what it is |
//! |---|---|
//! | [`engine`] | runs a scenario: every load, trial and variant, pass after pass, into one result |
//! | `rate_probe` | finds the rate of a load that gives it as a share |
//! | `pass` | the coordinator of one pass: windows, samples, reasons to stop, the record's rows |
//! | `worker` | a thread with a runtime of its own, its virtual users, and what their tasks share |
//! | `session` | connecting, logging in, preloading, renewing, logging out |
//! | `evidence` | what is kept to show a violation again |
//! | `context` | what all workers of a pass share |
//! | `schedule`, `pacer`, `requests` | when a client's next request is due, what wakes it then, what it asks |
//! | `plan`, [`placement`], `events` | which clients take part over which transport in which order, on which CPUs; progress |
//!
//! Each uses only those below it. Every reply goes through the oracle. Nothing here draws or writes a report.

mod context;
pub mod engine;
pub(crate) mod events;
mod evidence;
mod pacer;
mod pass;
pub mod placement;
pub(crate) mod plan;
mod rate_probe;
mod requests;
mod schedule;
mod session;
mod worker;

pub use self::pass::RunEnd;

/// How requests are paced, for the report.
pub(crate) const PACER_MECHANISM: &str = "timerfd";
