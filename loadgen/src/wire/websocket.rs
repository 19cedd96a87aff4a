//! WebSocket (RFC 6455), over TCP or TLS: one text message a message (WS-1).

use std::cell::RefCell;
use std::io::ErrorKind;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Sink, Stream};
use tokio::io::AsyncRead;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_tungstenite::tungstenite::error::{Error as WsError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig};
use twinwire_os::clock;

use super::addresses::Addresses;
use super::error::ConnectError;
use super::handshake::{HandshakeError, handshake};
use super::stream::Stream as ByteStream;
use super::traffic::{CountingStream, Traffic};
use super::{Ended, REPLY_BYTES_MAX, Reply, ReplyHandler, WebSocketUrl};
use crate::domain::Rule;

/// Read buffer of a connection. The library's default of 128 KiB is allocated for each connection and cleared at
/// each read, which doubles the CPU of a request.
const READ_BUFFER_BYTES: usize = 4096;

/// Queued bytes at which the library writes on its own: never. So a batch is one write, and nothing is written before
/// the flush that it is stamped with.
const WRITE_BUFFER_BYTES: usize = usize::MAX - 1;

/// Messages in a row before other connections get their turn.
const MESSAGES_MAX: usize = 256;

thread_local! {
    /// Outgoing messages are slices of one buffer, which is reused once the library has copied them.
    static MESSAGE_BUFFER: RefCell<BytesMut> = RefCell::new(BytesMut::with_capacity(READ_BUFFER_BYTES));
}

/// A connection with one text message a message.
#[derive(Debug)]
pub struct WebSocketConnection<S = CountingStream> {
    stream: WebSocketStream<S>,
    /// How the connection ends, once the peer's close frame has come.
    closed: Option<Ended>,
    /// Whether ours has been queued.
    close_sent: bool,
}

impl WebSocketConnection<CountingStream> {
    /// Opens one with another limit on messages than that of an [`super::Endpoint`], for suites that test the framing.
    /// `timeout` is for TCP alone.
    ///
    /// # Errors
    /// Where no server listens there, or it does not speak WebSocket.
    pub async fn open(
        addresses: &Addresses,
        url: &WebSocketUrl,
        message_bytes_max: usize,
        timeout: Duration,
    ) -> Result<Self, ConnectError> {
        let stream = addresses.connect(timeout).await?;
        Self::handshake_taking(CountingStream::new(stream, Arc::<Traffic>::default()), url, message_bytes_max)
            .await
            .map_err(|error| ConnectError::Handshake(url.to_string(), error))
    }
}

impl<S: ByteStream + AsyncRead> WebSocketConnection<S> {
    pub(super) async fn handshake(stream: S, url: &WebSocketUrl) -> Result<Self, HandshakeError> {
        Self::handshake_taking(stream, url, REPLY_BYTES_MAX).await
    }

    async fn handshake_taking(
        mut stream: S,
        url: &WebSocketUrl,
        message_bytes_max: usize,
    ) -> Result<Self, HandshakeError> {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(WRITE_BUFFER_BYTES)
            .max_message_size(Some(message_bytes_max))
            .max_frame_size(Some(message_bytes_max));
        let frames = handshake(&mut stream, url).await?;
        let stream = WebSocketStream::from_partially_read(stream, frames, Role::Client, Some(config)).await;
        Ok(Self { stream, closed: None, close_sent: false })
    }

    /// Queues one text message.
    ///
    /// # Errors
    /// Where the connection has ended.
    pub fn push(&mut self, message: &[u8]) -> Result<(), Ended> {
        let message = MESSAGE_BUFFER.with_borrow_mut(|buffer| {
            buffer.extend_from_slice(message);
            Utf8Bytes::try_from(buffer.split().freeze())
        });
        let message = message.map_err(|_| Ended::Failed("a request that is not UTF-8".to_owned()))?;
        Pin::new(&mut self.stream).start_send(Message::Text(message)).map_err(|error| self.ended(error))
    }

    /// Queues one binary message, for suites that test the framing; a request is never binary (WS-1).
    ///
    /// # Errors
    /// Where the connection has ended.
    pub fn push_binary(&mut self, message: &[u8]) -> Result<(), Ended> {
        let message = Message::Binary(Bytes::copy_from_slice(message));
        Pin::new(&mut self.stream).start_send(message).map_err(|error| self.ended(error))
    }

    /// As [`super::Connection::flush`].
    ///
    /// # Errors
    /// Where the connection has ended.
    pub fn flush(&mut self, cx: &mut Context<'_>) -> Result<bool, Ended> {
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(())) => Ok(true),
            Poll::Ready(Err(error)) => Err(self.ended(error)),
        }
    }

    /// As [`super::Connection::drain`].
    ///
    /// # Errors
    /// Where the connection has ended, after the replies that came before its end.
    pub fn drain(&mut self, cx: &mut Context<'_>, replies: &mut impl ReplyHandler) -> Result<(), Ended> {
        for _ in 0..MESSAGES_MAX {
            let message = match Pin::new(&mut self.stream).poll_next(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(None) => return Err(self.end_of_stream()),
                Poll::Ready(Some(Err(error))) => return Err(self.fail(error, cx)),
                Poll::Ready(Some(Ok(message))) => message,
            };
            let at = clock::now();
            match message {
                Message::Text(text) => {
                    replies.reply(Reply { text: text.as_bytes(), binary: false, at });
                }
                Message::Binary(bytes) => replies.reply(Reply { text: &bytes, binary: true, at }),
                // The library answers a close and a ping; after a close it reads to the end of the stream.
                Message::Close(frame) => {
                    let is_size = frame.is_some_and(|frame| frame.code == CloseCode::Size);
                    self.closed = Some(if is_size { Ended::TooLong } else { Ended::Closed });
                }
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
        cx.waker().wake_by_ref();
        Ok(())
    }

    /// As [`super::Connection::poll_close`].
    pub(super) fn poll_close(&mut self, cx: &mut Context<'_>, replies: &mut impl ReplyHandler) -> Poll<()> {
        if !self.close_sent {
            self.close_sent = true;
            let why = CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() };
            if Pin::new(&mut self.stream).start_send(Message::Close(Some(why))).is_err() {
                return Poll::Ready(());
            }
        }
        let gone_on = self.flush(cx).and_then(|_| self.drain(cx, replies));
        if gone_on.is_ok() { Poll::Pending } else { Poll::Ready(()) }
    }

    pub(super) fn stream(&self) -> &S {
        self.stream.get_ref()
    }

    /// How a read error ends the connection. A peer that broke the framing gets a close frame with the reason, if that
    /// can be written at once (RFC 6455, section 7.1.7). Its answer is not waited for.
    fn fail(&mut self, error: WsError, cx: &mut Context<'_>) -> Ended {
        let code = match &error {
            WsError::Utf8(_) => CloseCode::Invalid,
            WsError::Capacity(_) => CloseCode::Size,
            _ => CloseCode::Protocol,
        };
        let ended = self.ended(error);
        if let Ended::Framing { .. } = ended {
            let why = CloseFrame { code, reason: Utf8Bytes::default() };
            let mut stream = Pin::new(&mut self.stream);
            let _ = stream.as_mut().start_send(Message::Close(Some(why)));
            let _ = stream.poll_flush(cx);
        }
        ended
    }

    fn end_of_stream(&self) -> Ended {
        // A server that dies sends no close frame either, so nothing that it sent was wrong.
        self.closed.clone().unwrap_or(Ended::NoCloseFrame)
    }

    fn ended(&self, error: WsError) -> Ended {
        match error {
            WsError::ConnectionClosed | WsError::AlreadyClosed => self.end_of_stream(),
            // After its close frame a server may end TCP as it likes.
            _ if self.closed.is_some() => self.end_of_stream(),
            // TLS reports an end without its own close message as an error.
            WsError::Io(error) if error.kind() == ErrorKind::UnexpectedEof => self.end_of_stream(),
            WsError::Io(error) => Ended::from_io(&error),
            WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => self.end_of_stream(),
            WsError::Protocol(error @ ProtocolError::MaskedFrameFromServer) => {
                Ended::Framing { rule: Rule::Ws7, what: error.to_string() }
            }
            other => Ended::Framing { rule: Rule::Ws1, what: other.to_string() },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

    use super::*;

    #[derive(Default)]
    struct Kept(Vec<(Vec<u8>, bool)>);

    impl ReplyHandler for Kept {
        fn is_whole(&self, _: &[u8]) -> bool {
            true
        }
        fn reply(&mut self, reply: Reply<'_>) {
            self.0.push((reply.text.to_vec(), reply.binary));
        }
    }

    /// A connection to a server that sends these bytes after the handshake and closes once we do: what was taken for
    /// replies, how it ended, and the first byte and the payload of each frame that we sent, which are short.
    async fn given(bytes: Vec<u8>) -> (Vec<(Vec<u8>, bool)>, Ended, Vec<(u8, Vec<u8>)>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
            let accept = derive_accept_key(key.as_bytes());
            let head = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {accept}\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(&bytes).await.unwrap();
            // Until the client has said why it goes, or that it does.
            let mut sent = Vec::new();
            while frames(&sent).last().is_none_or(|(first, _)| *first != 0x88) {
                assert!(stream.read_buf(&mut sent).await.unwrap() > 0, "no close frame: {sent:x?}");
            }
            frames(&sent)
        };
        let client = async {
            let url = WebSocketUrl::root(false, "127.0.0.1", address.port());
            let addresses = Addresses::from(address);
            let open = WebSocketConnection::open(&addresses, &url, 1000, Duration::from_secs(20));
            let mut connection = open.await.unwrap();
            let mut kept = Kept::default();
            let drain = |cx: &mut Context<'_>| {
                connection.drain(cx, &mut kept).map_or_else(Poll::Ready, |()| Poll::Pending)
            };
            let ended = poll_fn(drain).await;
            (kept.0, ended)
        };
        let (sent, (kept, ended)) = tokio::join!(server, client);
        (kept, ended, sent)
    }

    /// The whole frames in what a client sent: the first byte and the payload of each.
    fn frames(sent: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let (mut frames, mut rest) = (Vec::new(), sent);
        while let [first, length, m0, m1, m2, m3, masked @ ..] = rest
            && let Some((payload, next)) = masked.split_at_checked(usize::from(length & 0x7f))
        {
            let mask = [m0, m1, m2, m3];
            frames.push((
                *first,
                payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ **mask).collect(),
            ));
            rest = next;
        }
        frames
    }

    fn close(code: u16) -> (u8, Vec<u8>) {
        (0x88, code.to_be_bytes().to_vec())
    }

    #[tokio::test]
    async fn ws_4_a_server_that_breaks_the_framing_is_reported_and_told_with_the_right_code() {
        let broken: [(&[u8], Rule, u16); 13] = [
            (&[0x81, 0x81, 0, 0, 0, 0, b'x'], Rule::Ws7, 1002),
            (&[0xc1, 1, b'x'], Rule::Ws1, 1002),
            (&[0x83, 1, b'x'], Rule::Ws1, 1002),
            (&[0x8b, 0], Rule::Ws1, 1002),
            (&[0x80, 1, b'x'], Rule::Ws1, 1002),
            (&[0x01, 1, b'x', 0x81, 1, b'y'], Rule::Ws1, 1002),
            (&[0x09, 0], Rule::Ws1, 1002),
            (&[0x88, 1, 3], Rule::Ws1, 1002),
            (&[0x88, 3, 0x03, 0xe8, 0xff], Rule::Ws1, 1007),
            (&[0x81, 2, 0xc3, 0x28], Rule::Ws1, 1007),
            (&[0x01, 1, 0xc3, 0x80, 1, 0x28], Rule::Ws1, 1007),
            (&[0x81, 126, 0x03, 0xe9], Rule::Ws1, 1009),
            (&[0x81, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], Rule::Ws1, 1009),
        ];
        for (bytes, broken_rule, code) in broken {
            // What came before is a reply.
            let (kept, ended, sent) = given([&[0x81, 2, b'o', b'k'], bytes].concat()).await;
            assert_eq!(kept, [(b"ok".to_vec(), false)], "{bytes:x?}");
            assert!(
                matches!(ended, Ended::Framing { rule, .. } if rule == broken_rule),
                "{bytes:x?}: {ended:?}"
            );
            assert_eq!(sent, [close(code)], "{bytes:x?}");
        }
    }

    #[tokio::test]
    async fn ws_1_a_binary_reply_comes_marked_and_fragments_come_joined() {
        // A binary message, a text in two fragments with a ping between them, a close.
        let bytes =
            [&[0x82, 1, b'b'][..], &[0x01, 1, b'x', 0x89, 1, b'p', 0x80, 1, b'y'], &[0x88, 2, 0x03, 0xe8]];
        let (kept, ended, sent) = given(bytes.concat()).await;
        assert_eq!(kept, [(b"b".to_vec(), true), (b"xy".to_vec(), false)]);
        assert_eq!((ended, sent), (Ended::Closed, vec![(0x8a, b"p".to_vec()), close(1000)]));
    }

    #[tokio::test]
    async fn ws_5_a_close_is_answered_with_its_code() {
        let (kept, ended, sent) = given(vec![0x88, 2, 0x03, 0xe8]).await;
        assert_eq!((kept, ended, sent), (vec![], Ended::Closed, vec![close(1000)]));
    }
}
