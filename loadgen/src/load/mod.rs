//! The load engine: plan → workers → virtual users → figures.
//!
//! [`plan`] turns a scenario's variant into passes; [`engine`] runs them, one after the other, and fills the run
//! record; each worker is a thread with a runtime of its own that owns its clients. Every reply goes through the
//! oracle. Nothing here draws or writes a report.

mod abort;
mod backlog;
mod bad_login;
mod collect;
mod context;
mod curve;
mod doubts;
mod ending;
pub mod engine;
pub mod events;
mod flight;
mod intervals;
mod judge;
mod lateness;
mod leave;
mod pacer;
pub mod pass;
pub mod placement;
pub mod plan;
mod probe;
mod renewal;
mod replay;
mod replies;
mod requests;
mod schedule;
mod setup;
mod setup_times;
mod shared;
mod virtual_user;
mod windows;
mod worker;
mod wrong_port;

/// How requests are paced on this system, for the report.
#[must_use]
pub fn pacer_mechanism() -> &'static str {
    pacer::MECHANISM
}
