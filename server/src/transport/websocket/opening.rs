//! The opening handshake over a socket: reads a request head within bounds and sends the answer.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout_at},
};

use super::{
    super::socket::Socket,
    handshake::{self, Refusal},
};
use crate::protocol::Origins;

/// The longest request head. Browsers stay below 2 KiB but for cookies, and this is what common servers allow.
pub(super) const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Opens a WebSocket and gives back what was received beyond the request head, which has to come by `deadline`.
/// Fails with a refusal that is still to be sent, or with none if the client is gone.
pub(super) async fn open<S: Socket>(
    socket: &mut S,
    deadline: Instant,
    origins: &Origins,
) -> Result<Vec<u8>, Option<Refusal>> {
    let mut received = Vec::new();
    let length = timeout_at(deadline, read_head(socket, &mut received))
        .await
        .unwrap_or(Err(Some(Refusal::TooSlow)))?;
    let upgrade = handshake::answer(&received[..length], origins).map_err(Some)?;
    // Should the socket hold some of it, it leaves with what comes next.
    socket.write_all(&upgrade).await.map_err(|_| None)?;
    Ok(received.split_off(length))
}

/// Reads until a head's empty line has come, and tells where it ends. Fails with a refusal, or with none if the
/// client is gone, or has gone before it began.
async fn read_head<S: Socket>(socket: &mut S, received: &mut Vec<u8>) -> Result<usize, Option<Refusal>> {
    const END: &[u8] = b"\r\n\r\n";
    loop {
        // Only what is new is searched, and the three bytes that an end could have begun with.
        let searched = received.len().saturating_sub(END.len() - 1);
        received.reserve(1024);
        if socket.read_buf(received).await.map_err(|_| None)? == 0 {
            let is_begun = !received.is_empty();
            return Err(is_begun.then_some(Refusal::Bad("the request head has no end")));
        }
        let length = memchr::memmem::find(&received[searched..], END).map(|end| searched + end + END.len());
        if length.unwrap_or(received.len()) > HEAD_BYTES_MAX {
            return Err(Some(Refusal::TooLarge));
        }
        if let Some(length) = length {
            return Ok(length);
        }
    }
}
