//! Sessions outside of the load's requests: connecting, logging in, preloading, renewing and logging out.
//!
//! What a server answers here is checked like everything else.

mod bad_login;
mod close_check;
mod error;
mod exchange;
mod logout;
mod renew;
mod setup;
mod setup_times;

pub use bad_login::BadLogin;
pub use close_check::closes_again;
pub use error::SetupError;
pub use logout::{Quit, not_closed, quit, wrong_logout};
pub use renew::renew;
pub use setup::{ReadyClient, set_up};
pub use setup_times::{SetupTimes, StepTimes};

/// Clients of one worker that are set up or closed at the same time: enough to hide the round trips, few enough
/// for any server's listen queue.
pub const CONCURRENCY: usize = 64;
