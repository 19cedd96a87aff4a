//! The opening handshake over a socket: reads a request head within bounds and sends the answer.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    super::{socket::Socket, write_timeout::TimeBudget},
    handshake::{self, HttpRefusal},
};
use crate::protocol::Origins;

/// The longest request head. Browsers stay below 2 KiB apart from cookies, and common servers allow as much.
pub(super) const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Opens a WebSocket and returns what was received beyond the request head, which must come within `time`. Fails with a
/// refusal that is still to be sent, or with none if the client is gone.
pub(super) async fn open<S: Socket>(
    socket: &mut S,
    time: &mut TimeBudget,
    origins: &Origins,
) -> Result<Vec<u8>, Option<HttpRefusal>> {
    let mut received = Vec::new();
    let head = time.wait_for(read_head(socket, &mut received)).await;
    let length = head.unwrap_or(Err(Some(HttpRefusal::TooSlow)))?;
    let upgrade = handshake::answer(&received[..length], origins).map_err(Some)?;
    // What the socket buffers of it leaves with the next write.
    socket.write_all(&upgrade).await.map_err(|_| None)?;
    Ok(received.split_off(length))
}

/// Reads until the empty line that ends a head has come, and returns where the head ends. Fails with a refusal, or with
/// none if the client has gone.
async fn read_head<S: Socket>(socket: &mut S, received: &mut Vec<u8>) -> Result<usize, Option<HttpRefusal>> {
    loop {
        // Only new bytes are searched, and those that could begin the end of the head.
        let searched = received.len().saturating_sub(HEAD_END_BYTES_MAX - 1);
        received.reserve(1024);
        if socket.read_buf(received).await.map_err(|_| None)? == 0 {
            let is_begun = !received.is_empty();
            return Err(is_begun.then_some(HttpRefusal::Bad("the request head has no end")));
        }
        let length = head_length(received, searched);
        if length.unwrap_or(received.len()) > HEAD_BYTES_MAX {
            return Err(Some(HttpRefusal::TooLarge));
        }
        if let Some(length) = length {
            return Ok(length);
        }
    }
}

/// The most bytes that end a head, counted from the end of its last line.
const HEAD_END_BYTES_MAX: usize = 3;

/// Where a head ends, after its empty line, no byte of which lies before `searched`. A line may end in a line feed
/// alone, which the parser accepts (RFC 9112 section 2.2); what follows such a head is not part of it.
fn head_length(received: &[u8], searched: usize) -> Option<usize> {
    let ends = memchr::memchr_iter(b'\n', &received[searched..]).map(|at| searched + at + 1);
    ends.into_iter().find_map(|end| {
        let empty = [&b"\n"[..], b"\r\n"].into_iter().find(|empty| received[end..].starts_with(empty))?;
        Some(end + empty.len())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ws_2_a_head_ends_at_its_empty_line_however_lines_end_and_however_it_is_cut() {
        for (head, rest) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "\x01\x02"),
            ("GET / HTTP/1.1\nHost: a\n\n", "frames\r\n\r\n"),
            ("GET / HTTP/1.1\r\nHost: a\n\r\n", "\n"),
            ("GET / HTTP/1.1\nHost: a\r\n\n", ""),
        ] {
            let bytes = [head, rest].concat().into_bytes();
            assert_eq!(head_length(&bytes, 0), Some(head.len()), "{head:?}");
            let mut found = None;
            for come in 1..=bytes.len() {
                let searched = (come - 1usize).saturating_sub(HEAD_END_BYTES_MAX - 1);
                found = found.or(head_length(&bytes[..come], searched));
            }
            assert_eq!(found, Some(head.len()), "{head:?}");
        }
        assert_eq!(head_length(b"GET / HTTP/1.1\r\nHost: a\r\n", 0), None);
    }
}
