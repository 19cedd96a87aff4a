//! WebSocket (RFC 6455), over TCP or TLS: one text message a message (WS-1).

use std::cell::RefCell;
use std::io::ErrorKind;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use futures_util::{Sink, Stream};
use tokio::io::AsyncRead;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::{Error as WsError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::{Message, WebSocketConfig};

use super::stream::Stream as Carrier;
use super::{Ended, Replies, Reply};
use crate::measure::clock;

/// Read buffer of a connection. The library's default of 128 KiB is allocated for each connection and cleared at
/// each read, which doubles the CPU of a request.
const READ_BUFFER_BYTES: usize = 4096;

/// Queued bytes beyond which the library writes by itself, so that a batch is one write.
const WRITE_BUFFER_BYTES: usize = 16 * 1024;

/// Longest reply taken: twice a message's limit, so that a reply that is too long is seen and judged as such.
const REPLY_BYTES_MAX: usize = 2 * 65_536;

/// Messages in a row before other connections get their turn.
const MESSAGES_MAX: usize = 256;

thread_local! {
    /// Outgoing messages are cut from one buffer, which is used again once the library has copied them out.
    static MESSAGE_BUFFER: RefCell<BytesMut> = RefCell::new(BytesMut::with_capacity(READ_BUFFER_BYTES));
}

/// A connection with one text message a message.
#[derive(Debug)]
pub struct WebSocketConnection<S> {
    stream: WebSocketStream<S>,
    /// Whether the peer's close frame has come.
    close_seen: bool,
}

impl<S: Carrier + AsyncRead> WebSocketConnection<S> {
    pub(super) async fn handshake(stream: S, url: &str) -> Result<Self, WsError> {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(WRITE_BUFFER_BYTES)
            .max_message_size(Some(REPLY_BYTES_MAX))
            .max_frame_size(Some(REPLY_BYTES_MAX));
        let request = url.into_client_request()?;
        let (stream, _response) =
            tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await?;
        Ok(Self { stream, close_seen: false })
    }

    pub(super) fn push(&mut self, message: &[u8]) -> Result<(), Ended> {
        let message = MESSAGE_BUFFER.with_borrow_mut(|buffer| {
            buffer.extend_from_slice(message);
            Utf8Bytes::try_from(buffer.split().freeze())
        });
        let message = message.map_err(|_| Ended::Failed("a request that is not UTF-8".to_owned()))?;
        Pin::new(&mut self.stream).start_send(Message::Text(message)).map_err(|error| self.ended(error))
    }

    pub(super) fn flush(&mut self, cx: &mut Context<'_>) -> Result<bool, Ended> {
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(())) => Ok(true),
            Poll::Ready(Err(error)) => Err(self.ended(error)),
        }
    }

    pub(super) fn drain(&mut self, cx: &mut Context<'_>, replies: &mut impl Replies) -> Result<(), Ended> {
        for _ in 0..MESSAGES_MAX {
            let message = match Pin::new(&mut self.stream).poll_next(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(None) => return Err(self.end_of_stream()),
                Poll::Ready(Some(Err(error))) => return Err(self.ended(error)),
                Poll::Ready(Some(Ok(message))) => message,
            };
            let at = clock::now();
            match message {
                Message::Text(text) => {
                    replies.reply(Reply { text: text.as_bytes(), binary: false, at });
                }
                Message::Binary(bytes) => replies.reply(Reply { text: &bytes, binary: true, at }),
                // The library answers both; after a close it goes on to the end of the stream.
                Message::Close(_) => self.close_seen = true,
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
        cx.waker().wake_by_ref();
        Ok(())
    }

    fn end_of_stream(&self) -> Ended {
        if self.close_seen {
            Ended::Closed
        } else {
            // So does a server that dies: nothing that it said is wrong.
            Ended::Failed("the server ended TCP without a close frame".to_owned())
        }
    }

    fn ended(&self, error: WsError) -> Ended {
        match error {
            WsError::ConnectionClosed | WsError::AlreadyClosed => self.end_of_stream(),
            // After its close frame a server may end TCP as it likes.
            _ if self.close_seen => Ended::Closed,
            // TLS tells an end without its own goodbye from one with it.
            WsError::Io(error) if error.kind() == ErrorKind::UnexpectedEof => self.end_of_stream(),
            WsError::Io(error) => Ended::from_io(&error),
            WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => self.end_of_stream(),
            WsError::Protocol(error @ ProtocolError::MaskedFrameFromServer) => {
                Ended::Framing { rule: "WS-7", what: error.to_string() }
            }
            other => Ended::Framing { rule: "WS-1", what: other.to_string() },
        }
    }
}
