//! The language of the service: its limits, its requests and its replies.
//!
//! Pure functions and constants. What a request does is the session's business, and how a message is found in a
//! stream of bytes the transports'.

mod origins;
mod reply;
mod request;
mod transport;

pub use origins::{NoOrigin, Origins};
pub use reply::{Reply, Status};
pub use request::{Malformed, Request, parse_name};
pub use transport::Transport;

/// The longest message in bytes unless the server is told otherwise, request or reply, terminator not counted.
///
/// Large enough for any value worth keeping in memory, small enough that one message fits a worker's read buffer
/// and a client cannot make the server hold much for it.
pub const MESSAGE_BYTES_MAX: usize = 65_536;

/// The longest user name in bytes.
pub const NAME_BYTES_MAX: usize = 64;
