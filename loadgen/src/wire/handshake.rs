//! The client's side of WebSocket's opening handshake (RFC 6455, section 4.1): the request, and the response.
//!
//! The library has one too, but it refuses responses that are right (a `Connection` with a list, a head in many small
//! reads), and it does not say what is wrong with the others.

use std::io::{self, ErrorKind};

use httparse::{EMPTY_HEADER, Header, ParserConfig, Status};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::http::StatusCode;

use super::redact::{printable, redact_url};
use super::{WebSocketUrl, tls};

/// Most bytes that are read of a response, interim responses included. Common servers refuse heads over 8 or 16 KiB
/// themselves.
const HEAD_BYTES_MAX: usize = 32 * 1024;

/// Most headers of a response.
const FIELDS_MAX: usize = 128;

/// Room for one read. What follows the response in the same read belongs to the connection.
const READ_BYTES: usize = 4096;

/// How a response begins.
const HTTP: &[u8] = b"HTTP/";

/// Why a connection did not become a WebSocket.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    #[error("the connection failed in the handshake: {}", tls::words(.0))]
    Failed(io::Error),
    #[error("the server {} the connection without an answer to the handshake", if *.reset { "reset" } else { "closed" })]
    Unanswered { reset: bool },
    #[error("the server ended the connection in the middle of its answer to the handshake")]
    CutOff,
    #[error(
        "the server does not speak WebSocket on this port{}: its answer is not HTTP",
        if *.encrypted { "" } else { ", unless over TLS" }
    )]
    NotHttp { encrypted: bool },
    #[error("the server's answer to the handshake is malformed HTTP")]
    Malformed,
    #[error(
        "the server's answer to the handshake is too long: it may have {HEAD_BYTES_MAX} bytes and {FIELDS_MAX} headers"
    )]
    TooLong,
    #[error("the server answered HTTP {} and sends clients to {to}: if that is the right place, name it instead", named(*.status))]
    Redirected {
        status: u16,
        /// Where to: printable, without its query.
        to: String,
    },
    #[error("the server answered HTTP {}{}", named(*.status), advice(*.status))]
    Refused { status: u16 },
    #[error("the server answered HTTP 101 {}", without(.field, .seen.as_deref()))]
    NotUpgraded {
        /// `Upgrade` or `Connection`.
        field: &'static str,
        seen: Option<String>,
    },
    #[error("the server answered 101 in HTTP/1.0, and WebSocket needs HTTP/1.1")]
    OldHttp,
    #[error("the server's handshake has the wrong accept key: `{expected}` is right, and it {}", said(.seen.as_deref()))]
    WrongAccept {
        /// What the key requires.
        expected: String,
        seen: Option<String>,
    },
    #[error("the server's handshake uses the extension `{0}`, which was not offered")]
    UnofferedExtension(String),
    #[error("the server's handshake chose the subprotocol `{0}`, and none was offered")]
    UnofferedProtocol(String),
}

/// What a 101 that breaks WS-2 should have held, and what it held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenHandshake {
    /// What was expected, for people.
    pub expected: String,
    /// What came.
    pub seen: String,
}

impl HandshakeError {
    /// What is wrong if the server accepted the handshake and broke WS-2 in its response; `None` if it refused, did not
    /// respond, or speaks something else.
    pub fn broken(&self) -> Option<BrokenHandshake> {
        let field = |name: &str, seen: Option<&str>| match seen {
            Some(seen) => format!("{name}: {seen}"),
            None => format!("no {name}"),
        };
        let (expected, seen) = match self {
            Self::NotUpgraded { field: name, seen } => {
                (format!("HTTP 101 with `{name}: {}`", needed(name)), field(name, seen.as_deref()))
            }
            Self::OldHttp => ("`HTTP/1.1 101`".to_owned(), "HTTP/1.0 101".to_owned()),
            Self::WrongAccept { expected, seen } => {
                let name = "Sec-WebSocket-Accept";
                (format!("`{}`", field(name, Some(expected))), field(name, seen.as_deref()))
            }
            Self::UnofferedExtension(extension) => {
                let seen = field("Sec-WebSocket-Extensions", Some(extension));
                ("no extension, as none was offered".to_owned(), seen)
            }
            Self::UnofferedProtocol(protocol) => {
                let seen = field("Sec-WebSocket-Protocol", Some(protocol));
                ("no subprotocol, as none was offered".to_owned(), seen)
            }
            Self::Failed(_)
            | Self::Unanswered { .. }
            | Self::CutOff
            | Self::NotHttp { .. }
            | Self::Malformed
            | Self::TooLong
            | Self::Redirected { .. }
            | Self::Refused { .. } => return None,
        };
        Some(BrokenHandshake { expected, seen })
    }
}

/// A status with its name.
fn named(status: u16) -> String {
    let name = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    name.map_or_else(|| status.to_string(), |name| format!("{status} {name}"))
}

/// What a status means for a WebSocket client.
fn advice(status: u16) -> &'static str {
    match status {
        200..=299 => ": it serves plain HTTP at this path, not WebSocket",
        300..=399 => ": it sends clients elsewhere without saying where",
        401 => ": it wants credentials (ws://USER:PASSWORD@HOST:PORT/, or --header Authorization=@VARIABLE)",
        403 => ": it does not admit this client",
        404 | 405 | 410 => ": it has no WebSocket at this path",
        407 => ": a proxy in between wants credentials",
        408 => ": the handshake took too long for it",
        429 => ": it accepts no more requests from this client for now",
        426 => ": it wants another version of WebSocket or HTTP",
        502 | 504 => ": it is a proxy, and the server behind it does not respond",
        503 => ": it is full or busy",
        _ => "",
    }
}

/// The value that a header of a 101 must have or contain.
fn needed(field: &str) -> &'static str {
    if field == "Upgrade" { "websocket" } else { "Upgrade" }
}

fn without(field: &str, seen: Option<&str>) -> String {
    let needed = needed(field);
    match seen {
        Some(seen) => format!("with `{field}: {seen}`, where `{needed}` is needed"),
        None => format!("without `{field}: {needed}`"),
    }
}

fn said(seen: Option<&str>) -> String {
    seen.map_or_else(|| "sent none".to_owned(), |seen| format!("sent `{seen}`"))
}

/// Sends the request and reads the response; returns the bytes that follow it.
pub(super) async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    url: &WebSocketUrl,
) -> Result<Vec<u8>, HandshakeError> {
    let key = generate_key();
    let mut came = Vec::new();
    // A server that refuses without reading may be gone while we write, but its response is still there.
    let written = async {
        stream.write_all(&request(url, &key)).await?;
        stream.flush().await
    };
    let written = written.await;
    // Bytes of interim responses that were read.
    let mut before = 0;
    loop {
        let new = came.len();
        came.reserve(READ_BYTES);
        match (stream.read_buf(&mut came).await, &written) {
            (Ok(0), Ok(())) => return Err(ended(&came, before, false)),
            (Ok(0), Err(error)) => return Err(failed(error, &came, before)),
            (Ok(_), _) => {}
            (Err(error), _) => return Err(failed(&error, &came, before)),
        }
        // Parsing a head after each of its bytes would take quadratic time.
        while came[before..].starts_with(HTTP) && came[new.max(before)..].contains(&b'\n')
            || !HTTP.starts_with(&came[before..]) && !came[before..].starts_with(HTTP)
        {
            match answer(&came[before..], url, &key)? {
                ResponseHead::Partial => break,
                ResponseHead::Interim(length) => before += length,
                ResponseHead::Upgraded(length) => return Ok(came.split_off(before + length)),
            }
        }
        if came.len() > HEAD_BYTES_MAX {
            return Err(HandshakeError::TooLong);
        }
    }
}

fn ended(came: &[u8], before: usize, reset: bool) -> HandshakeError {
    if came.len() == before { HandshakeError::Unanswered { reset } } else { HandshakeError::CutOff }
}

fn failed(error: &io::Error, came: &[u8], before: usize) -> HandshakeError {
    match error.kind() {
        // TLS ended without its own close message.
        ErrorKind::UnexpectedEof => ended(came, before, false),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => {
            ended(came, before, true)
        }
        kind => HandshakeError::Failed(io::Error::new(kind, tls::words(error))),
    }
}

fn request(url: &WebSocketUrl, key: &str) -> Vec<u8> {
    let mut head = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: {key}\r\n",
        url.path_and_query(),
        url.host_header(),
    )
    .into_bytes();
    for header in url.headers() {
        header.write(&mut head);
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// What the head of a response says.
enum ResponseHead {
    /// Its end has not come.
    Partial,
    /// The final response follows after this number of bytes.
    Interim(usize),
    /// Frames follow after this number of bytes.
    Upgraded(usize),
}

fn answer(head: &[u8], url: &WebSocketUrl, key: &str) -> Result<ResponseHead, HandshakeError> {
    let mut fields = [EMPTY_HEADER; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut fields);
    let length = match ParserConfig::default().parse_response(&mut response, head) {
        Ok(Status::Partial) => return Ok(ResponseHead::Partial),
        Ok(Status::Complete(length)) => length,
        Err(httparse::Error::TooManyHeaders) => return Err(HandshakeError::TooLong),
        Err(_) if head.starts_with(HTTP) => return Err(HandshakeError::Malformed),
        Err(_) => return Err(HandshakeError::NotHttp { encrypted: url.is_encrypted() }),
    };
    let fields = Fields(response.headers);
    match response.code.unwrap_or_default() {
        101 if response.version == Some(0) => Err(HandshakeError::OldHttp),
        101 => fields.check(key).map(|()| ResponseHead::Upgraded(length)),
        100..=199 => Ok(ResponseHead::Interim(length)),
        status => Err(match fields.all("location").next() {
            Some(to) if (300..400).contains(&status) => {
                HandshakeError::Redirected { status, to: redact_url(&to) }
            }
            _ => HandshakeError::Refused { status },
        }),
    }
}

/// The headers of a response.
struct Fields<'a>(&'a [Header<'a>]);

impl Fields<'_> {
    /// The values of all headers of this name, trimmed.
    fn all(&self, name: &str) -> impl Iterator<Item = String> {
        let named = self.0.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
        named.map(|field| String::from_utf8_lossy(field.value).trim().to_owned())
    }

    /// All values of this name joined by commas, as HTTP joins lists; `None` if there is none.
    fn joined(&self, name: &str) -> Option<String> {
        self.all(name).reduce(|all, next| all + ", " + &next)
    }

    /// Checks a 101 (RFC 6455, section 4.1, the client's numbered list on the server's handshake).
    fn check(&self, key: &str) -> Result<(), HandshakeError> {
        let shown = |value: String| printable(&value);
        let upgrade = self.joined("upgrade");
        if !upgrade.as_ref().is_some_and(|value| value.eq_ignore_ascii_case("websocket")) {
            return Err(HandshakeError::NotUpgraded { field: "Upgrade", seen: upgrade.map(shown) });
        }
        let connection = self.joined("connection");
        let is_upgrade = |token: &str| token.trim().eq_ignore_ascii_case("upgrade");
        if !connection.as_ref().is_some_and(|list| list.split(',').any(is_upgrade)) {
            let seen = connection.map(shown);
            return Err(HandshakeError::NotUpgraded { field: "Connection", seen });
        }
        let expected = derive_accept_key(key.as_bytes());
        let accept = self.joined("sec-websocket-accept");
        if accept.as_ref() != Some(&expected) {
            return Err(HandshakeError::WrongAccept { expected, seen: accept.map(shown) });
        }
        let used = |name| self.joined(name).filter(|list| !list.is_empty()).map(shown);
        if let Some(extension) = used("sec-websocket-extensions") {
            return Err(HandshakeError::UnofferedExtension(extension));
        }
        match used("sec-websocket-protocol") {
            Some(protocol) => Err(HandshakeError::UnofferedProtocol(protocol)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    fn url() -> WebSocketUrl {
        WebSocketUrl::parse("ws://kv.test:5/door?key=hunter22").unwrap()
    }

    /// What becomes of a handshake whose request is answered so; `KEY` in it is the right accept key. No read brings
    /// more bytes than `segment`.
    async fn answered(answer: &str, segment: usize) -> Result<Vec<u8>, HandshakeError> {
        let (mut ours, mut theirs) = duplex(segment);
        let server = async {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(theirs.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
            let answer = answer.replace("KEY", &derive_accept_key(key.as_bytes()));
            // A client that has seen enough goes.
            let _ = theirs.write_all(answer.as_bytes()).await;
            drop(theirs);
        };
        // Dropped at its end, or a server with more to say would wait for ever.
        let client = async move {
            let outcome = handshake(&mut ours, &url()).await;
            let mut rest = outcome?;
            let _ = ours.read_to_end(&mut rest).await;
            Ok(rest)
        };
        tokio::join!(client, server).0
    }

    fn upgraded(connection: &str) -> String {
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\n{connection}\r\nSec-WebSocket-Accept: KEY\r\n\r\n"
        )
    }

    async fn refused(answer: &str) -> HandshakeError {
        answered(answer, 64 * 1024).await.unwrap_err()
    }

    #[tokio::test]
    async fn connection_may_be_a_list_in_any_order_and_case_and_over_several_lines() {
        for connection in [
            "Connection: Upgrade",
            "connection: keep-alive, Upgrade",
            "CONNECTION:upgrade ,keep-alive",
            "Connection: keep-alive,UPGRADE,x",
            "Connection: keep-alive\r\nConnection: Upgrade",
            "Connection: Upgrade\r\nX: y\r\nConnection: keep-alive",
        ] {
            let rest = answered(&upgraded(connection), 64 * 1024).await;
            assert_eq!(rest.unwrap_or_else(|error| panic!("{connection}: {error}")), b"");
        }
        for connection in ["Connection: close", "Connection: upgraded", "Connection: x upgrade", "X: Upgrade"]
        {
            let error = refused(&upgraded(connection)).await;
            let named = matches!(error, HandshakeError::NotUpgraded { field: "Connection", .. });
            assert!(named && error.broken().is_some(), "{connection}: {error}");
        }
    }

    #[tokio::test]
    async fn an_answer_may_come_in_single_bytes_and_with_frames_behind_it() {
        let answer = upgraded("Connection: Upgrade") + "\u{1}\u{2}\r\n\r\n";
        for segment in [1, 2, 7, 100, 64 * 1024] {
            assert_eq!(answered(&answer, segment).await.unwrap(), b"\x01\x02\r\n\r\n", "{segment}");
        }
    }

    #[tokio::test]
    async fn interim_answers_are_waited_out() {
        let early = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
        let answer = format!("HTTP/1.1 100 Continue\r\n\r\n{early}{}frames", upgraded("Connection: Upgrade"));
        for segment in [1, 64 * 1024] {
            assert_eq!(answered(&answer, segment).await.unwrap(), b"frames");
        }
        let endless = refused(&early.repeat(10_000)).await;
        assert!(matches!(endless, HandshakeError::TooLong), "{endless}");
    }

    #[tokio::test]
    async fn what_was_not_offered_must_not_be_chosen() {
        let with = |line: &str| upgraded(&format!("Connection: Upgrade\r\n{line}"));
        let extension = refused(&with("Sec-WebSocket-Extensions: permessage-deflate; x=\u{202e}")).await;
        assert!(extension.broken().is_some());
        insta::assert_snapshot!(extension, @r"the server's handshake uses the extension `permessage-deflate; x=\u{202e}`, which was not offered");
        let protocol = refused(&with("Sec-WebSocket-Protocol: chat")).await;
        assert!(matches!(&protocol, HandshakeError::UnofferedProtocol(chat) if chat == "chat"), "{protocol}");
        assert_eq!(
            answered(&with("Sec-WebSocket-Extensions:"), 100).await.unwrap(),
            b"",
            "an empty list is none"
        );
    }

    #[tokio::test]
    async fn the_accept_key_must_be_the_right_one() {
        for wrong in ["", "Sec-WebSocket-Accept: x", "Sec-WebSocket-Accept: KEY\r\nSec-WebSocket-Accept: x"] {
            let error =
                refused(&upgraded("Connection: Upgrade").replace("Sec-WebSocket-Accept: KEY", wrong)).await;
            assert!(matches!(error, HandshakeError::WrongAccept { .. }), "{wrong}: {error}");
            let BrokenHandshake { expected, seen } = error.broken().unwrap();
            assert!(expected.starts_with("`Sec-WebSocket-Accept: "), "{expected}");
            assert!(seen.contains("Sec-WebSocket-Accept"), "{seen}");
        }
    }

    #[tokio::test]
    async fn a_refusal_is_reported_by_its_status_and_what_that_means() {
        let said = async |answer: &str| refused(answer).await.to_string();
        insta::assert_snapshot!(said("HTTP/1.0 503 Busy\r\n\r\n").await, @"the server answered HTTP 503 Service Unavailable: it is full or busy");
        insta::assert_snapshot!(said("HTTP/1.1 401 \x1b[2J\r\n\r\n").await, @"the server's answer to the handshake is malformed HTTP");
        insta::assert_snapshot!(said("HTTP/1.1 401\r\nWWW-Authenticate: Basic\r\n\r\n").await, @"the server answered HTTP 401 Unauthorized: it wants credentials (ws://USER:PASSWORD@HOST:PORT/, or --header Authorization=@VARIABLE)");
        insta::assert_snapshot!(said("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await, @"the server answered HTTP 200 OK: it serves plain HTTP at this path, not WebSocket");
        insta::assert_snapshot!(said("HTTP/1.1 499 x\r\n\r\n").await, @"the server answered HTTP 499");
        insta::assert_snapshot!(said("HTTP/1.0 101 x\r\n\r\n").await, @"the server answered 101 in HTTP/1.0, and WebSocket needs HTTP/1.1");
        insta::assert_snapshot!(said(&upgraded("Connection: close")).await, @"the server answered HTTP 101 with `Connection: close`, where `Upgrade` is needed");
        insta::assert_snapshot!(said("").await, @"the server closed the connection without an answer to the handshake");
        insta::assert_snapshot!(said("HTTP/1.1 101 Swit").await, @"the server ended the connection in the middle of its answer to the handshake");
        insta::assert_snapshot!(said("wrong message format").await, @"the server does not speak WebSocket on this port, unless over TLS: its answer is not HTTP");
        insta::assert_snapshot!(said(&format!("HTTP/1.1 101 x\r\nX: {}\r\n", "y".repeat(40_000))).await, @"the server's answer to the handshake is too long: it may have 32768 bytes and 128 headers");
    }

    #[tokio::test]
    async fn a_redirect_is_reported_with_its_target_and_without_secrets() {
        let said = async |to: &str| {
            refused(&format!("HTTP/1.1 302 Moved\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"))
                .await
                .to_string()
        };
        insta::assert_snapshot!(said("ws://kv.test/door").await, @"the server answered HTTP 302 Found and sends clients to ws://kv.test/door: if that is the right place, name it instead");
        insta::assert_snapshot!(said("wss://ann:x@kv.test/\u{202e}?key=hunter22").await, @r"the server answered HTTP 302 Found and sends clients to wss://kv.test/\u{202e}?…: if that is the right place, name it instead");
        insta::assert_snapshot!(said("/login?key=hunter22").await, @"the server answered HTTP 302 Found and sends clients to /login?…: if that is the right place, name it instead");
        let lost = refused("HTTP/1.1 301 x\r\n\r\n").await.to_string();
        insta::assert_snapshot!(lost, @"the server answered HTTP 301 Moved Permanently: it sends clients elsewhere without saying where");
    }

    #[tokio::test]
    async fn a_port_that_speaks_something_else_is_not_waited_for() {
        let (mut ours, mut theirs) = duplex(1024);
        theirs.write_all(b"success").await.unwrap();
        // It stays open.
        let error = handshake(&mut ours, &url()).await.unwrap_err();
        assert!(matches!(error, HandshakeError::NotHttp { encrypted: false }), "{error}");
    }

    #[test]
    fn the_request_names_host_path_and_what_was_added() {
        let head = String::from_utf8(request(&url(), "dGhlIHNhbXBsZSBub25jZQ==")).unwrap();
        assert_eq!(
            head,
            "GET /door?key=hunter22 HTTP/1.1\r\nHost: kv.test:5\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
    }
}
