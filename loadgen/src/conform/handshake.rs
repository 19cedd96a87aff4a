//! WebSocket's opening handshake by hand (RFC 6455, section 4): requests that are right or wrong in any way that a case
//! wants, and what a right server answers.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha1::{Digest as _, Sha1};

use super::case::model::Handshake;
use crate::wire::WebSocketUrl;

/// What is appended to a key before it is hashed (RFC 6455, section 1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Longest head of a reply.
const HEAD_BYTES_MAX: usize = 32 * 1024;

/// Most fields of a reply.
const FIELDS_MAX: usize = 128;

/// The request that every client sends.
pub(super) fn right() -> Handshake {
    Handshake { method: "GET".to_owned(), path: "/".to_owned(), http: "1.1", headers: Vec::new() }
}

/// A key as a client draws it.
pub(super) fn draw_key() -> String {
    BASE64_STANDARD.encode(rand::random::<[u8; 16]>())
}

/// The bytes of a handshake's request to `url`, with this key where the case gives no other. A path of `/` is that of the
/// target's URL.
pub(super) fn request(handshake: &Handshake, url: &WebSocketUrl, key: &str) -> Vec<u8> {
    let right: [(&str, String); 5] = [
        ("Host", url.host_header()),
        ("Connection", "Upgrade".to_owned()),
        ("Upgrade", "websocket".to_owned()),
        ("Sec-WebSocket-Version", "13".to_owned()),
        ("Sec-WebSocket-Key", key.to_owned()),
    ];
    let Handshake { method, path, http, headers } = handshake;
    let path = if path == "/" { url.path_and_query() } else { path.clone() };
    let mut head = format!("{method} {path} HTTP/{http}\r\n").into_bytes();
    let mut field =
        |name: &str, value: &str| head.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    let given = |name: &str| headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
    for (name, value) in right.iter().filter(|(name, _)| !given(name)) {
        field(name, value);
    }
    for (name, value) in headers {
        if let Some(value) = value {
            field(name, value);
        }
    }
    for header in url.headers() {
        header.write(&mut head);
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// A reply's head. Its body, if any, comes after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HttpReply {
    pub(super) status: u16,
    /// Whether it is HTTP/1.1, as an upgrade needs.
    is_http_1_1: bool,
    fields: Vec<(String, String)>,
}

/// Reads the reply at the beginning of `bytes`, and how many bytes its head has; `None` where it has not all come.
///
/// # Errors
/// Where it is no HTTP.
pub(super) fn read_reply(bytes: &[u8]) -> Result<Option<(HttpReply, usize)>, &'static str> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut reply = httparse::Response::new(&mut fields);
    let length = match reply.parse(bytes) {
        Ok(httparse::Status::Partial) if bytes.len() > HEAD_BYTES_MAX => {
            return Err("an HTTP head without an end");
        }
        Ok(httparse::Status::Partial) => return Ok(None),
        Ok(httparse::Status::Complete(length)) => length,
        Err(_) => return Err("an answer to the handshake that is not HTTP"),
    };
    let fields = reply.headers.iter();
    let fields =
        fields.map(|field| (field.name.to_owned(), String::from_utf8_lossy(field.value).trim().to_owned()));
    let head = HttpReply {
        status: reply.code.unwrap_or_default(),
        is_http_1_1: reply.version == Some(1),
        fields: fields.collect(),
    };
    Ok(Some((head, length)))
}

impl HttpReply {
    /// The values of a field; several lines are one list.
    fn field(&self, name: &str) -> Option<String> {
        let values = self.fields.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        values.map(|(_, value)| value.clone()).reduce(|all, next| all + ", " + &next)
    }

    /// Whether it has a field with this value, or with it among others.
    pub(super) fn has(&self, name: &str, value: &str) -> bool {
        self.field(name).is_some_and(|list| list.split(',').any(|one| one.trim().eq_ignore_ascii_case(value)))
    }

    /// What is wrong with a 101 that answers this request, whose key is this one (RFC 6455, section 4.2.2).
    pub(super) fn upgrade_fault(&self, request: &Handshake, key: &str) -> Option<String> {
        let expected = accept_key(key);
        if !self.is_http_1_1 {
            Some("a 101 of another version than HTTP/1.1".to_owned())
        } else if !self.field("upgrade").is_some_and(|value| value.eq_ignore_ascii_case("websocket")) {
            Some("a 101 without `Upgrade: websocket`".to_owned())
        } else if !self.has("connection", "upgrade") {
            Some("a 101 without `Connection: Upgrade`".to_owned())
        } else if self.field("sec-websocket-accept").as_deref() != Some(&expected) {
            Some(format!("a 101 with another accept key than `{expected}`"))
        } else if self.names_more_than(request, "sec-websocket-extensions") {
            Some("a 101 with an extension that was not offered".to_owned())
        } else if self.names_more_than(request, "sec-websocket-protocol") {
            Some("a 101 with a subprotocol that was not offered".to_owned())
        } else {
            None
        }
    }

    /// Whether a field that is a list names something that the request does not offer in its own.
    fn names_more_than(&self, request: &Handshake, field: &str) -> bool {
        let own = request.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(field));
        let offered: Vec<&str> = own.filter_map(|(_, value)| value.as_deref()).flat_map(names).collect();
        self.field(field).is_some_and(|list| names(&list).any(|name| !offered.contains(&name)))
    }
}

/// The names in a list, without their parameters.
fn names(list: &str) -> impl Iterator<Item = &str> {
    list.split(',')
        .map(|one| one.split(';').next().unwrap_or_default().trim())
        .filter(|name| !name.is_empty())
}

/// What answers a key (RFC 6455, section 4.2.2, item 5.4).
fn accept_key(key: &str) -> String {
    BASE64_STANDARD.encode(Sha1::digest(format!("{key}{GUID}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_key_is_that_of_the_rfc() {
        assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    fn url() -> WebSocketUrl {
        WebSocketUrl::parse("ws://kv.test:5/door").unwrap()
    }

    #[test]
    fn a_case_replaces_leaves_out_and_adds_fields() {
        let text = |handshake: &Handshake| String::from_utf8(request(handshake, &url(), "KEY")).unwrap();
        assert_eq!(
            text(&right()),
            "GET /door HTTP/1.1\r\nHost: kv.test:5\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: KEY\r\n\r\n"
        );
        let headers = [("upgrade", None), ("Sec-WebSocket-Version", Some("12")), ("X", Some("y"))];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned))).into();
        let wrong = Handshake { method: "POST".to_owned(), path: "/x".to_owned(), http: "1.0", headers };
        assert_eq!(
            text(&wrong),
            "POST /x HTTP/1.0\r\nHost: kv.test:5\r\nConnection: Upgrade\r\nSec-WebSocket-Key: KEY\r\n\
             Sec-WebSocket-Version: 12\r\nX: y\r\n\r\n"
        );
    }

    fn fault(fields: &str) -> Option<String> {
        let head = format!("HTTP/1.1 101 x\r\n{fields}\r\n\r\nframes");
        let (reply, length) = read_reply(head.as_bytes()).unwrap().unwrap();
        assert_eq!(head[length..], *"frames");
        let headers = [
            ("Sec-WebSocket-Protocol", "chat, superchat"),
            ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), Some(value.to_owned()))).into();
        reply.upgrade_fault(&Handshake { headers, ..right() }, "dGhlIHNhbXBsZSBub25jZQ==")
    }

    #[test]
    fn a_101_must_have_what_the_rfc_asks_for_and_nothing_that_was_not_offered() {
        let right = "Upgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        assert_eq!(fault(right), None);
        let offered = "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover";
        assert_eq!(fault(&format!("{offered}\r\n{right}")), None);
        for (from, to, what) in [
            ("WebSocket\r", "h2c\r", "Upgrade: websocket"),
            ("keep-alive, Upgrade", "close", "Connection: Upgrade"),
            ("+xOo", "+xOO", "another accept key"),
            ("Upgrade: W", "Sec-WebSocket-Extensions: permessage-bzip2\r\nUpgrade: W", "an extension"),
            ("Upgrade: W", "Sec-WebSocket-Protocol: soap\r\nUpgrade: W", "a subprotocol"),
        ] {
            let fault = fault(&right.replacen(from, to, 1)).unwrap_or_default();
            assert!(fault.contains(what), "{from} → {to}: {fault}");
        }
    }

    #[test]
    fn a_reply_is_read_once_its_head_has_come() {
        let head = b"HTTP/1.1 426 x\r\nSec-WebSocket-Version: 8, 13\r\n\r\n";
        for end in 0..head.len() {
            assert_eq!(read_reply(&head[..end]), Ok(None), "{end}");
        }
        let (reply, _) = read_reply(head).unwrap().unwrap();
        assert!(reply.status == 426 && reply.has("sec-websocket-version", "13") && !reply.has("x", "13"));
        assert!(read_reply(b"wrong message format\n").is_err());
    }
}
