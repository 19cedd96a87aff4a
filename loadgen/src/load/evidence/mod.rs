//! What is kept to show a violation again: each worker's last requests, what led to a wrong reply, and the shortest
//! sequence of requests that shows it once more.

mod pending_verdicts;
mod replay;
mod request_log;
mod violation;

pub use pending_verdicts::{PendingVerdict, PendingVerdicts};
pub use replay::with_replay;
pub use request_log::{LoggedRequest, RequestLog};
pub use violation::{Asked, Evidence, EvidenceLog, LastAnswered, Requester, WindowClock};
