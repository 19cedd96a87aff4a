//! The opening handshake over a socket: reads a request head within bounds and sends the answer.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::{
    super::plain::Plain,
    handshake::{self, Refusal},
};
use crate::config::Config;

/// The longest request head. Browsers stay below 2 KiB but for cookies, and this is what common servers allow.
pub(super) const HEAD_BYTES_MAX: usize = 16 * 1024;

/// How long a client may take over its request head, if it may take as long over its login.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);

/// Opens a WebSocket and gives back what was received beyond the request head. Fails with a refusal that is still
/// to be sent, or with none if the client is gone.
pub(super) async fn open(stream: &mut Plain, config: &Config) -> Result<Vec<u8>, Option<Refusal>> {
    let mut received = Vec::new();
    let length = timeout(
        config.timeouts.login.unwrap_or(HEAD_TIME_MAX).min(HEAD_TIME_MAX),
        read_head(stream, &mut received),
    )
    .await
    .unwrap_or(Err(Some(Refusal::TooSlow)))?;
    let upgrade = handshake::answer(&received[..length], &config.origins).map_err(Some)?;
    stream.write_all(&upgrade).await.map_err(|_| None)?;
    Ok(received.split_off(length))
}

/// Reads until a head's empty line has come, and tells where it ends. Fails with a refusal, or with none if the
/// client is gone.
async fn read_head(stream: &mut Plain, received: &mut Vec<u8>) -> Result<usize, Option<Refusal>> {
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
