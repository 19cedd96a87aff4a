//! The language of the service: its transports, limits, requests and replies.
//!
//! Pure functions and constants. The session decides what a request does, and the transports find messages in a stream
//! of bytes.

mod origins;
mod reply;
mod request;
mod transport;

pub use origins::{NoOrigin, Origins};
pub use reply::{Reply, Status};
pub(crate) use request::parse_name;
pub use request::{Malformed, Request};
pub(crate) use transport::Framing;
pub use transport::Transport;

/// The longest message in bytes, request or reply, without its terminator, unless the server is configured otherwise.
///
/// Large enough for any value worth keeping in memory, small enough that one message fits a worker's read buffer and a
/// client cannot make the server hold much for it.
pub const MESSAGE_BYTES_MAX: usize = 65_536;

/// The longest user name in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 64;
