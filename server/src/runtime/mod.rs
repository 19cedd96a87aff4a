//! What a worker thread and its connections run on: the executor, the queue for further turns, the coarse clock, the
//! permits for connections, the stop, and the limit on log lines. Nothing here knows a byte of the protocol.

mod clock;
mod executor;
mod fair_queue;
mod log_limit;
mod permits;
mod shutdown;

pub use shutdown::Shutdown;
pub(crate) use {
    clock::{Watch, start_ticking},
    executor::Crew,
    fair_queue::{Rota, Ticket},
    log_limit::Sparingly,
    permits::{Admission, Admitted, DEPARTURES_MAX, Departures, Full, Seat},
    shutdown::{Phase, PhaseCell},
};
