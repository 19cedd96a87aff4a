//! A WebSocket URL, and the headers of its handshake. It is shown without its secrets.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::header::Header;
use super::redact::redact_input;

/// The port of a `ws` URL that names none (RFC 6455, section 3).
const PORT: u16 = 80;
/// The same of a `wss` URL.
const ENCRYPTED_PORT: u16 = 443;

/// What precedes a zone in a URL's address (RFC 6874); a bare `%` is accepted too.
const URL_ZONE: &str = "%25";

/// A WebSocket URL with the headers of its handshake. Neither `Display` nor `Debug` shows credentials, the query or a
/// header's value.
#[derive(Clone, PartialEq, Eq)]
pub struct WebSocketUrl {
    encrypted: bool,
    /// Name or address. An IPv6 address is in brackets and has no zone, which means nothing to the server.
    host: String,
    zone: Option<String>,
    /// As written.
    port: Option<u16>,
    path: String,
    query: Option<String>,
    headers: Vec<Header>,
}

/// What is wrong with a URL. The message never shows a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    #[error("`{0}` is not a WebSocket URL: write {1}://HOST:PORT or {1}://HOST:PORT/PATH")]
    NotWebSocket(String, &'static str),
    #[error("`{0}`: a WebSocket URL has no fragment; write %23 for a `#` that belongs to it")]
    Fragment(String),
    #[error("`{0}`: the user name or password in it cannot be sent: {1}")]
    Credentials(String, &'static str),
    #[error("the URL's user name and --header Authorization set the same header: keep one of them")]
    TwoCredentials,
}

impl WebSocketUrl {
    /// Parses a URL, whose scheme is `ws` or `wss` in any case.
    ///
    /// # Errors
    /// Where it is not such a URL.
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        let wrong = |scheme| UrlError::NotWebSocket(redact_input(url), scheme);
        let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("ws"))?;
        let encrypted = scheme.eq_ignore_ascii_case("wss");
        let scheme = match encrypted {
            true => "wss",
            false if scheme.eq_ignore_ascii_case("ws") => "ws",
            false => return Err(wrong("ws")),
        };
        let wrong = || wrong(scheme);
        if rest.contains('#') {
            return Err(UrlError::Fragment(redact_input(url)));
        }
        let (authority, target) = rest.find(['/', '?']).map_or((rest, ""), |at| rest.split_at(at));
        let (credentials, place) = match authority.rsplit_once('@') {
            Some((credentials, place)) => (Some(credentials), place),
            None => (None, authority),
        };
        let (host, port) = match place.rsplit_once(':') {
            Some((host, "")) if !host.ends_with(':') => (host, None),
            Some((host, port)) if !port.ends_with(']') => {
                let digits = port.bytes().all(|byte| byte.is_ascii_digit());
                let number = port.parse().ok().filter(|&port: &u16| digits && port > 0);
                (host, Some(number.ok_or_else(wrong)?))
            }
            _ => (place, None),
        };
        let bracketed = host.starts_with('[') && host.ends_with(']');
        if host.is_empty()
            || host.contains(':') != bracketed
            || !url.bytes().all(|byte| byte.is_ascii_graphic())
        {
            return Err(wrong());
        }
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        let path = if path.is_empty() { "/" } else { path }.to_owned();
        let inner = host.trim_start_matches('[').trim_end_matches(']');
        let zone = inner.split_once(URL_ZONE).or_else(|| inner.split_once('%')).filter(|_| bracketed);
        let (host, zone) = match zone {
            Some((address, zone)) => (format!("[{address}]"), Some(zone.to_owned())),
            None => (host.to_owned(), None),
        };
        let credentials = credentials.map(|credentials| basic(credentials, url)).transpose()?;
        Ok(Self { encrypted, host, zone, port, path, query, headers: credentials.into_iter().collect() })
    }

    /// The URL of a host's root. The host may be an IPv6 address, with or without brackets, and with or without a zone.
    #[must_use]
    pub fn root(encrypted: bool, host: &str, port: u16) -> Self {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let (address, zone) = match bare.split_once('%') {
            Some((address, zone)) => (address, Some(zone.to_owned())),
            None => (bare, None),
        };
        let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
        Self {
            encrypted,
            host,
            zone,
            port: Some(port),
            path: "/".to_owned(),
            query: None,
            headers: Vec::new(),
        }
    }

    /// Adds these headers to the handshake.
    ///
    /// # Errors
    /// Where one of them is set already.
    pub fn with_headers(mut self, headers: &[Header]) -> Result<Self, UrlError> {
        if headers.iter().any(|new| self.headers.iter().any(|old| old.has_same_name(new))) {
            return Err(UrlError::TwoCredentials);
        }
        self.headers.extend_from_slice(headers);
        Ok(self)
    }

    /// Whether its scheme is `wss`.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// The host as it is looked up: with its zone and without brackets.
    #[must_use]
    pub fn host(&self) -> String {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        self.zone.as_ref().map_or_else(|| bare.to_owned(), |zone| format!("{bare}%{zone}"))
    }

    /// Its port, given or by default.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(if self.encrypted { ENCRYPTED_PORT } else { PORT })
    }

    /// The `Host` of its handshake.
    pub(crate) fn host_header(&self) -> String {
        self.port.map_or_else(|| self.host.clone(), |port| format!("{}:{port}", self.host))
    }

    /// Path and query.
    pub(crate) fn path_and_query(&self) -> String {
        self.query.as_ref().map_or_else(|| self.path.clone(), |query| format!("{}?{query}", self.path))
    }

    pub(crate) fn headers(&self) -> &[Header] {
        &self.headers
    }
}

/// `USER:PASSWORD` of a URL as the credentials of RFC 7617.
fn basic(credentials: &str, url: &str) -> Result<Header, UrlError> {
    let wrong = |why| UrlError::Credentials(redact_input(url), why);
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    let code = || wrong("a % in it does not begin a code; write %25 for a %");
    let user = decoded(user).ok_or_else(code)?;
    if user.contains(&b':') {
        return Err(wrong("a user name cannot hold a colon"));
    }
    let both = [user, b":".to_vec(), decoded(password).ok_or_else(code)?].concat();
    let value = format!("Basic {}", BASE64_STANDARD.encode(both));
    Header::credentials(&value).ok_or_else(|| wrong("it cannot stand in a header"))
}

/// Decodes %-codes; `None` if one is malformed.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut parts = text.as_bytes().split(|byte| *byte == b'%');
    let mut bytes = parts.next().unwrap_or_default().to_vec();
    for part in parts {
        let code = part.get(..2).filter(|code| code.iter().all(u8::is_ascii_hexdigit))?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok()?);
        bytes.extend_from_slice(&part[2..]);
    }
    Some(bytes)
}

impl fmt::Display for WebSocketUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.encrypted { "wss://" } else { "ws://" })?;
        match &self.zone {
            Some(zone) => write!(f, "{}{URL_ZONE}{zone}]", self.host.trim_end_matches(']'))?,
            None => f.write_str(&self.host)?,
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(&self.path)?;
        if self.query.is_some() { f.write_str("?…") } else { Ok(()) }
    }
}

impl fmt::Debug for WebSocketUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} {:?}", self.headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> WebSocketUrl {
        WebSocketUrl::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn lines(url: &WebSocketUrl) -> String {
        let mut head = Vec::new();
        url.headers().iter().for_each(|header| header.write(&mut head));
        String::from_utf8(head).unwrap()
    }

    #[test]
    fn urls_keep_their_path_and_have_a_default_port() {
        for (scheme, default) in [("ws", 80), ("wss", 443), ("WS", 80), ("Wss", 443)] {
            let of = |rest: &str| {
                let url = parse(&format!("{scheme}://{rest}"));
                (url.host(), url.port(), url.host_header(), url.path_and_query())
            };
            let parts = |name: &str, port, host: &str, target: &str| {
                (name.to_owned(), port, host.to_owned(), target.to_owned())
            };
            assert_eq!(of("h:1603/chat?x=1"), parts("h", 1603, "h:1603", "/chat?x=1"));
            assert_eq!(of("h"), parts("h", default, "h", "/"));
            assert_eq!(of("h:/"), parts("h", default, "h", "/"));
            assert_eq!(of("h:5?q"), parts("h", 5, "h:5", "/?q"));
            assert_eq!(of("[::1]:5"), parts("::1", 5, "[::1]:5", "/"));
            assert_eq!(of("[::1]"), parts("::1", default, "[::1]", "/"));
            assert_eq!(parse(&format!("{scheme}://h")).is_encrypted(), default == 443);
        }
        for wrong in [
            "127.0.0.1:1603",
            "http://127.0.0.1:1603",
            "ws://",
            "ws:///x",
            "ws://a b:1",
            "ws://u@",
            "ws://::1/",
            "ws://h:0",
            "ws://h:x",
            "ws://h:70000",
            "ws://h:+1",
            "ws://[::1",
            "ws://é",
            "ws://h/\u{1b}",
            "",
            "://h",
        ] {
            assert!(matches!(WebSocketUrl::parse(wrong), Err(UrlError::NotWebSocket(..))), "{wrong}");
        }
        assert!(matches!(WebSocketUrl::parse("ws://h/#x"), Err(UrlError::Fragment(_))));
    }

    #[test]
    fn a_zone_is_for_the_lookup_alone() {
        for text in ["ws://[fe80::1%25lo]:5/", "ws://[fe80::1%lo]:5/"] {
            let url = parse(text);
            assert_eq!((url.host(), url.host_header()), ("fe80::1%lo".to_owned(), "[fe80::1]:5".to_owned()));
            assert_eq!(url.to_string(), "ws://[fe80::1%25lo]:5/");
        }
        let root = WebSocketUrl::root(true, "fe80::1%1", 7);
        assert_eq!(
            (root.host(), root.to_string()),
            ("fe80::1%1".to_owned(), "wss://[fe80::1%251]:7/".to_owned())
        );
        assert_eq!(WebSocketUrl::root(false, "[::1]", 7).to_string(), "ws://[::1]:7/");
    }

    #[test]
    fn credentials_are_sent_and_neither_they_nor_the_query_are_shown() {
        // RFC 7617, section 2.
        assert_eq!(
            lines(&parse("ws://Aladdin:open%20sesame@h")),
            "authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"
        );
        assert_eq!(
            lines(&parse("ws://ann@h")),
            format!("authorization: Basic {}\r\n", BASE64_STANDARD.encode("ann:"))
        );
        let at = parse("ws://a%40b:x:y@h");
        assert_eq!(lines(&at), format!("authorization: Basic {}\r\n", BASE64_STANDARD.encode("a@b:x:y")));
        let secret = parse("ws://ann:hunter22@h:1/door?key=hunter22");
        assert_eq!(secret.to_string(), "ws://h:1/door?…");
        assert!(!format!("{secret:?}").contains("hunter22"), "{secret:?}");
        for wrong in ["ws://a%zz:hunter22@h", "ws://a%:hunter22@h", "ws://a%3ab:hunter22@h"] {
            let error = WebSocketUrl::parse(wrong).unwrap_err();
            assert!(matches!(error, UrlError::Credentials(..)), "{wrong}: {error}");
            assert!(!error.to_string().contains("hunter22"), "{error}");
        }
    }

    #[test]
    fn no_error_shows_a_secret() {
        for wrong in [
            "ws://ann:hunter22@h:x",
            "http://ann:hunter22@h/",
            "ws://h/?hunter22#",
            "ann:hunter22@h",
            "ws://?hunter22",
        ] {
            let error = WebSocketUrl::parse(wrong).unwrap_err().to_string();
            assert!(!error.contains("hunter22"), "{error}");
        }
    }

    #[test]
    fn fields_are_added_once() {
        let key = Header::parse("X-Key=1", |_| None).unwrap();
        let authorization = Header::parse("authorization=Bearer x", |_| None).unwrap();
        let with = parse("ws://ann:x@h").with_headers(std::slice::from_ref(&key)).unwrap();
        assert!(lines(&with).ends_with("\r\nx-key: 1\r\n"));
        assert_eq!(
            with.with_headers(std::slice::from_ref(&authorization)).unwrap_err(),
            UrlError::TwoCredentials
        );
        assert_eq!(
            lines(&parse("ws://h").with_headers(&[authorization]).unwrap()),
            "authorization: Bearer x\r\n"
        );
    }
}
