//! What is kept of a violation so that it can be replayed: each worker's last requests, what led to a wrong reply, and
//! the shortest sequence of requests that shows it again.

mod pending_verdicts;
mod replay;
mod request_log;
mod violation;

pub use pending_verdicts::{PendingVerdict, PendingVerdicts};
pub use replay::with_replay;
pub use request_log::{LoggedRequest, RequestLog};
pub use violation::{Asked, Evidence, EvidenceLog, LastAnswered, Requester, WindowClock};
