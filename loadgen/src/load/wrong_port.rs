//! What a silent port may be, as advice for an error: one that speaks something else, for all that can be seen.

use crate::domain::Framing;
use crate::wire::Connection;

/// The first login was not answered.
pub fn unanswered(connection: &Connection) -> &'static str {
    match connection.framing() {
        Framing::Lines if connection.is_encrypted() => {
            ": the server hangs, or speaks another framing on this port (try --wss)"
        }
        Framing::Lines => {
            ": the server hangs, or speaks another framing on this port (try --ws, or --tcp-raw)"
        }
        Framing::Chunks => ": the server hangs, or speaks another framing on this port (try --tcp, or --ws)",
        Framing::WebSocket => ": the server hangs",
    }
}
