//! The opening handshake over a socket: reads a request head within bounds and sends the answer.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{
    super::leave,
    handshake::{self, Refusal},
};

/// The longest request head. Browsers stay below 2 KiB but for cookies, and this is what common servers allow.
pub(super) const HEAD_BYTES_MAX: usize = 16 * 1024;

/// How long a client may take over its request head.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);

/// Opens a WebSocket: gives the socket back with what was received beyond the head. `None` if the client was
/// refused or went away; the connection is closed then.
pub(super) async fn open(mut stream: TcpStream) -> Option<(TcpStream, Vec<u8>)> {
    let mut received = Vec::new();
    let head = timeout(HEAD_TIME_MAX, read_head(&mut stream, &mut received)).await;
    let answer = match head.unwrap_or(Err(Some(Refusal::TooSlow))) {
        Ok(length) => {
            handshake::answer(&received[..length]).map(|upgrade| (upgrade, received.split_off(length)))
        }
        Err(Some(refusal)) => Err(refusal),
        Err(None) => return None,
    };
    match answer {
        Ok((upgrade, early)) => {
            stream.write_all(&upgrade).await.ok()?;
            Some((stream, early))
        }
        Err(refusal) => {
            tracing::debug!(?refusal, "handshake refused");
            if stream.write_all(&refusal.response()).await.is_ok() {
                leave::close(stream).await;
            }
            None
        }
    }
}

/// Reads until a head's empty line has come, and tells where it ends. Fails with a refusal, or with none if the
/// client is gone.
async fn read_head(stream: &mut TcpStream, received: &mut Vec<u8>) -> Result<usize, Option<Refusal>> {
    const END: &[u8] = b"\r\n\r\n";
    loop {
        // Only what is new is searched, and the three bytes that an end could have begun with.
        let searched = received.len().saturating_sub(END.len() - 1);
        received.reserve(1024);
        if stream.read_buf(received).await.map_err(|_| None)? == 0 {
            return Err(None);
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
