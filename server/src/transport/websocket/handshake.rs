//! The opening handshake as a function: a request head goes in, an answer comes out. RFC 6455 sections 4.2.1 and 4.2.2.
//!
//! No I/O. Each refusal is a whole HTTP reply that says what was wrong (WS-2a).

use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::{counters, protocol::Origins};

/// More header fields than any browser or proxy sends.
const FIELDS_MAX: usize = 64;

/// Why a request was not upgraded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HttpRefusal {
    /// It is not what section 4.2.1 asks for; the text says why.
    Bad(&'static str),
    NotGet,
    /// It does not ask for a WebSocket, or asks for another version.
    UpgradeRequired(&'static str),
    /// The head passes [`super::opening::HEAD_BYTES_MAX`] or has too many fields.
    TooLarge,
    TooSlow,
    /// It comes from a web page whose origin is not allowed (WS-8).
    Origin,
    /// The server is full (WS-6).
    Full,
    Stopping,
}

impl HttpRefusal {
    /// The reason to count it under, if it says anything about the client.
    pub(super) fn reason(self) -> Option<counters::Refusal> {
        match self {
            Self::Origin => Some(counters::Refusal::Origin),
            Self::Full => Some(counters::Refusal::ServerFull),
            Self::Stopping => None,
            Self::Bad(_) | Self::NotGet | Self::UpgradeRequired(_) | Self::TooLarge | Self::TooSlow => {
                Some(counters::Refusal::Handshake)
            }
        }
    }

    /// The whole HTTP reply.
    pub(super) fn response(self) -> Vec<u8> {
        let (status, fields, reason) = match self {
            Self::Bad(reason) => ("400 Bad Request", "", reason),
            Self::NotGet => ("405 Method Not Allowed", "Allow: GET\r\n", "a WebSocket is opened with GET"),
            Self::UpgradeRequired(reason) => (
                "426 Upgrade Required",
                "Connection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
                reason,
            ),
            Self::TooLarge => ("431 Request Header Fields Too Large", "", "the request head is too large"),
            Self::TooSlow => ("408 Request Timeout", "", "the request head did not come in time"),
            Self::Origin => {
                ("403 Forbidden", "", "web pages of this origin are not allowed here (see --allow-origin)")
            }
            Self::Stopping => ("503 Service Unavailable", "", "the server is stopping"),
            Self::Full => ("503 Service Unavailable", "", "server full"),
        };
        let close = if fields.contains("Connection:") { "" } else { "Connection: close\r\n" };
        let length = reason.len() + 1;
        format!(
            "HTTP/1.1 {status}\r\n{close}{fields}Content-Type: text/plain; charset=utf-8\r\n\
             Content-Length: {length}\r\n\r\n{reason}\n"
        )
        .into_bytes()
    }
}

/// Judges a whole request head, its empty line included. The answer is the reply that upgrades the connection.
pub(super) fn answer(head: &[u8], origins: &Origins) -> Result<Vec<u8>, HttpRefusal> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(head) {
        // What the parser does not take for a part of the head must not be discarded with it.
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Ok(httparse::Status::Complete(_)) => {
            return Err(HttpRefusal::Bad("something follows the request head"));
        }
        Ok(httparse::Status::Partial) => return Err(HttpRefusal::Bad("the request head is incomplete")),
        Err(httparse::Error::TooManyHeaders) => return Err(HttpRefusal::TooLarge),
        Err(_) => return Err(HttpRefusal::Bad("this is not an HTTP request")),
    }
    if request.version != Some(1) {
        return Err(HttpRefusal::Bad("a WebSocket needs HTTP/1.1"));
    }
    if request.method != Some("GET") {
        return Err(HttpRefusal::NotGet);
    }
    let fields = Fields(request.headers);
    fields.only("Host").ok_or(HttpRefusal::Bad("exactly one Host is needed"))?;
    if !fields.has_token("Upgrade", "websocket") {
        return Err(HttpRefusal::UpgradeRequired("this is a WebSocket server: ask for Upgrade: websocket"));
    }
    if !fields.has_token("Connection", "upgrade") {
        return Err(HttpRefusal::Bad("Connection: Upgrade is missing"));
    }
    if fields.only("Sec-WebSocket-Version") != Some(b"13") {
        return Err(HttpRefusal::UpgradeRequired("only version 13 of the protocol is spoken here"));
    }
    let key = fields.only("Sec-WebSocket-Key").filter(|key| is_key(key));
    let accept =
        derive_accept_key(key.ok_or(HttpRefusal::Bad("Sec-WebSocket-Key must be 16 bytes in base64"))?);
    // Only browsers send an origin, and only they are required to (section 10.2). If there are several, each must be
    // allowed.
    if !fields.all("Origin").all(|origin| origins.allows(origin)) {
        return Err(HttpRefusal::Origin);
    }
    // Extensions and subprotocols are never negotiated (WS-2).
    Ok(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
    .into_bytes())
}

/// Sixteen bytes in base64 are twenty-two digits and two padding characters.
fn is_key(key: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    matches!(key, [digits @ .., b'=', b'='] if digits.len() == 22 && digits.iter().all(is_digit))
}

/// The header fields of a request. Names are compared without regard to case.
struct Fields<'a>(&'a [httparse::Header<'a>]);

impl<'a> Fields<'a> {
    fn all(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.0
            .iter()
            .filter(move |field| field.name.eq_ignore_ascii_case(name))
            .map(|field| field.value.trim_ascii())
    }

    /// The value of a field that occurs exactly once.
    fn only(&self, name: &str) -> Option<&'a [u8]> {
        let mut values = self.all(name);
        values.next().filter(|_| values.next().is_none())
    }

    /// Whether one of a field's comma-separated values is `token`.
    fn has_token(&self, name: &str, token: &str) -> bool {
        self.all(name)
            .flat_map(|value| value.split(|byte| *byte == b','))
            .any(|value| value.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of RFC 6455 section 1.3.
    const GOOD: &str = "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

    fn status(head: &str) -> String {
        let response = answer(head.as_bytes(), &Origins::default()).unwrap_or_else(HttpRefusal::response);
        String::from_utf8(response).unwrap()[9..12].to_owned()
    }

    #[test]
    fn ws_2_the_example_of_the_rfc_is_accepted_with_its_key() {
        let response = String::from_utf8(answer(GOOD.as_bytes(), &Origins::default()).unwrap()).unwrap();
        insta::assert_snapshot!(response.replace('\r', ""), @r"
        HTTP/1.1 101 Switching Protocols
        Upgrade: websocket
        Connection: Upgrade
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=
        ");
    }

    #[test]
    fn ws_2_names_and_tokens_are_compared_without_case_and_in_lists() {
        assert_eq!(status(&GOOD.replace("Upgrade: websocket", "uPGRADE:WebSocket")), "101");
        assert_eq!(status(&GOOD.replace("Connection: Upgrade", "Connection: keep-alive, Upgrade")), "101");
        assert_eq!(
            status(&GOOD.replace("Host:", "Cookie: a=b\r\nSec-WebSocket-Protocol: b\r\nhost:")),
            "101"
        );
    }

    #[test]
    fn ws_2_bad_requests_are_refused() {
        let cases = [
            ("GET /chat", "POST /chat", "405"),
            ("HTTP/1.1", "HTTP/1.0", "400"),
            ("Host: server.example.com\r\n", "", "400"),
            ("Host: server", "Host: other\r\nHost: server", "400"),
            ("Upgrade: websocket\r\n", "", "426"),
            ("Upgrade: websocket", "Upgrade: h2c", "426"),
            ("Connection: Upgrade\r\n", "", "400"),
            ("Connection: Upgrade", "Connection: close", "400"),
            ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", "400"),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZQ==", "400"),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j!Q==", "400"),
            ("Version: 13", "Version: 8", "426"),
            ("Sec-WebSocket-Version: 13\r\n", "", "426"),
            ("GET /chat HTTP/1.1", "put a b", "400"),
        ];
        for (part, replaced, expected) in cases {
            assert!(GOOD.contains(part));
            assert_eq!(status(&GOOD.replace(part, replaced)), expected, "{part} -> {replaced}");
        }
    }

    #[test]
    fn ws_8_a_web_page_needs_to_be_allowed_and_so_does_each_of_its_origins() {
        let mut origins = Origins::default();
        origins.allow("https://a.example").unwrap();
        for (fields, expected) in [
            ("", true),
            ("Origin: https://a.example\r\n", true),
            ("origin:https://a.example \r\n", true),
            ("Origin: https://b.example\r\n", false),
            ("Origin: null\r\n", false),
            ("Origin:\r\n", false),
            ("Origin: https://a.example\r\nOrigin: https://b.example\r\n", false),
        ] {
            let head = GOOD.replace("Host:", &format!("{fields}Host:"));
            assert_eq!(
                answer(head.as_bytes(), &origins).err(),
                (!expected).then_some(HttpRefusal::Origin),
                "{fields}"
            );
        }
    }

    #[test]
    fn ws_2a_another_version_is_refused_naming_13() {
        let response = answer(GOOD.replace("Version: 13", "Version: 8").as_bytes(), &Origins::default())
            .unwrap_err()
            .response();
        insta::assert_snapshot!(String::from_utf8(response).unwrap().replace('\r', ""), @r"
        HTTP/1.1 426 Upgrade Required
        Connection: Upgrade, close
        Upgrade: websocket
        Sec-WebSocket-Version: 13
        Content-Type: text/plain; charset=utf-8
        Content-Length: 47

        only version 13 of the protocol is spoken here
        ");
    }
}
