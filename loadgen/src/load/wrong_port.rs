//! What a silent port may be, as advice for an error: one that speaks something else, for all that can be seen.

use crate::wire::Connection;

/// The first login was not answered.
pub fn unanswered(connection: &Connection) -> &'static str {
    match connection {
        Connection::Line(_) => {
            ": the server hangs, or speaks another framing on this port (try --ws, or --tcp-raw)"
        }
        Connection::Raw(_) => {
            ": the server hangs, or speaks another framing on this port (try --tcp, or --ws)"
        }
        Connection::Tls(_) => ": the server hangs, or speaks another framing on this port (try --wss)",
        Connection::WebSocket(_) | Connection::Wss(_) => ": the server hangs",
    }
}
