//! Sessions outside of the load's requests: connecting, logging in, preloading, renewing and logging out.
//!
//! All replies here are checked too.

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

/// Clients of one worker that are set up or closed at the same time: enough to hide the round trips, and few enough for
/// the listen queue of any server.
pub const CONCURRENCY: usize = 64;
