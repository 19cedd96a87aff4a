//! A WebSocket's URL, and what its handshake sends beside: it is shown without the secrets in it.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::header::Header;
use super::shown::suspect;

/// Ports where a URL names none (RFC 6455, section 3).
const PORT: u16 = 80;
/// See [`PORT`].
const ENCRYPTED_PORT: u16 = 443;

/// How a zone is set off in a URL's address (RFC 6874); a bare `%` is taken as well.
const URL_ZONE: &str = "%25";

/// What a WebSocket's handshake asks for. Neither its text nor its `Debug` shows credentials, query or added fields.
#[derive(Clone, PartialEq, Eq)]
pub struct Site {
    encrypted: bool,
    /// Name or address, in brackets where it is IPv6, without a zone, which means nothing to the server.
    host: String,
    zone: Option<String>,
    /// As written.
    port: Option<u16>,
    path: String,
    query: Option<String>,
    headers: Vec<Header>,
}

/// What is wrong with a URL; never shows a secret in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// No URL of a WebSocket, or of the other kind of one.
    #[error("`{0}` is not a WebSocket URL: write {1}://HOST:PORT or {1}://HOST:PORT/PATH")]
    NotWebSocket(String, &'static str),
    /// A `#`, which WebSocket URLs have not (RFC 6455, section 3).
    #[error("`{0}`: a WebSocket URL has no fragment; write %23 for a `#` that belongs to it")]
    Fragment(String),
    /// Credentials that cannot be sent.
    #[error("`{0}`: the user name or password in it cannot be sent: {1}")]
    Credentials(String, &'static str),
    /// Credentials in the URL and as a field.
    #[error("the URL's user name and --header Authorization are the same field: keep one of them")]
    TwoCredentials,
}

impl Site {
    /// Takes a URL apart; `ws` or `wss` in any case.
    ///
    /// # Errors
    /// Where it is none.
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        let wrong = |scheme| UrlError::NotWebSocket(suspect(url), scheme);
        let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("ws"))?;
        let encrypted = scheme.eq_ignore_ascii_case("wss");
        let scheme = match encrypted {
            true => "wss",
            false if scheme.eq_ignore_ascii_case("ws") => "ws",
            false => return Err(wrong("ws")),
        };
        let wrong = || wrong(scheme);
        if rest.contains('#') {
            return Err(UrlError::Fragment(suspect(url)));
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

    /// The site at the root of a host, which may be an IPv6 address with or without brackets, with a zone or without.
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

    /// With these fields in its handshake, too.
    ///
    /// # Errors
    /// Where one of them is there already.
    pub fn with(mut self, headers: &[Header]) -> Result<Self, UrlError> {
        if headers.iter().any(|new| self.headers.iter().any(|old| old.has_the_name_of(new))) {
            return Err(UrlError::TwoCredentials);
        }
        self.headers.extend_from_slice(headers);
        Ok(self)
    }

    /// Whether it is one over TLS.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// Name or address alone, as it is looked up: with its zone and without brackets.
    #[must_use]
    pub fn name(&self) -> String {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        self.zone.as_ref().map_or_else(|| bare.to_owned(), |zone| format!("{bare}%{zone}"))
    }

    /// Its port, given or by default.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(if self.encrypted { ENCRYPTED_PORT } else { PORT })
    }

    /// The `Host` of its handshake.
    pub(crate) fn host(&self) -> String {
        self.port.map_or_else(|| self.host.clone(), |port| format!("{}:{port}", self.host))
    }

    /// Path and query.
    pub(crate) fn target(&self) -> String {
        self.query.as_ref().map_or_else(|| self.path.clone(), |query| format!("{}?{query}", self.path))
    }

    pub(crate) fn headers(&self) -> &[Header] {
        &self.headers
    }
}

/// `USER:PASSWORD` of a URL as the credentials of RFC 7617.
fn basic(credentials: &str, url: &str) -> Result<Header, UrlError> {
    let wrong = |why| UrlError::Credentials(suspect(url), why);
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    let code = || wrong("a % in it does not begin a code; write %25 for a %");
    let user = decoded(user).ok_or_else(code)?;
    if user.contains(&b':') {
        return Err(wrong("a user name cannot hold a colon"));
    }
    let both = [user, b":".to_vec(), decoded(password).ok_or_else(code)?].concat();
    let value = format!("Basic {}", BASE64_STANDARD.encode(both));
    Header::credentials(&value).ok_or_else(|| wrong("it is too odd"))
}

/// What a text with %-codes stands for; `None` where one is broken.
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

impl fmt::Display for Site {
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

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} {:?}", self.headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(url: &str) -> Site {
        Site::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    fn lines(site: &Site) -> String {
        let mut head = Vec::new();
        site.headers().iter().for_each(|header| header.write(&mut head));
        String::from_utf8(head).unwrap()
    }

    #[test]
    fn urls_keep_their_path_and_have_a_default_port() {
        for (scheme, default) in [("ws", 80), ("wss", 443), ("WS", 80), ("Wss", 443)] {
            let of = |rest: &str| {
                let site = site(&format!("{scheme}://{rest}"));
                (site.name(), site.port(), site.host(), site.target())
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
            assert_eq!(site(&format!("{scheme}://h")).is_encrypted(), default == 443);
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
            assert!(matches!(Site::parse(wrong), Err(UrlError::NotWebSocket(..))), "{wrong}");
        }
        assert!(matches!(Site::parse("ws://h/#x"), Err(UrlError::Fragment(_))));
    }

    #[test]
    fn a_zone_is_for_the_lookup_alone() {
        for url in ["ws://[fe80::1%25lo]:5/", "ws://[fe80::1%lo]:5/"] {
            let site = site(url);
            assert_eq!((site.name(), site.host()), ("fe80::1%lo".to_owned(), "[fe80::1]:5".to_owned()));
            assert_eq!(site.to_string(), "ws://[fe80::1%25lo]:5/");
        }
        let root = Site::root(true, "fe80::1%1", 7);
        assert_eq!(
            (root.name(), root.to_string()),
            ("fe80::1%1".to_owned(), "wss://[fe80::1%251]:7/".to_owned())
        );
        assert_eq!(Site::root(false, "[::1]", 7).to_string(), "ws://[::1]:7/");
    }

    #[test]
    fn credentials_are_sent_and_neither_they_nor_the_query_are_shown() {
        // RFC 7617, section 2.
        assert_eq!(
            lines(&site("ws://Aladdin:open%20sesame@h")),
            "authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"
        );
        assert_eq!(
            lines(&site("ws://ann@h")),
            format!("authorization: Basic {}\r\n", BASE64_STANDARD.encode("ann:"))
        );
        let at = site("ws://a%40b:x:y@h");
        assert_eq!(lines(&at), format!("authorization: Basic {}\r\n", BASE64_STANDARD.encode("a@b:x:y")));
        let secret = site("ws://ann:hunter22@h:1/door?key=hunter22");
        assert_eq!(secret.to_string(), "ws://h:1/door?…");
        assert!(!format!("{secret:?}").contains("hunter22"), "{secret:?}");
        for wrong in ["ws://a%zz:hunter22@h", "ws://a%:hunter22@h", "ws://a%3ab:hunter22@h"] {
            let error = Site::parse(wrong).unwrap_err();
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
            let error = Site::parse(wrong).unwrap_err().to_string();
            assert!(!error.contains("hunter22"), "{error}");
        }
    }

    #[test]
    fn fields_are_added_once() {
        let key = Header::parse("X-Key=1", |_| None).unwrap();
        let authorization = Header::parse("authorization=Bearer x", |_| None).unwrap();
        let with = site("ws://ann:x@h").with(std::slice::from_ref(&key)).unwrap();
        assert!(lines(&with).ends_with("\r\nx-key: 1\r\n"));
        assert_eq!(with.with(std::slice::from_ref(&authorization)).unwrap_err(), UrlError::TwoCredentials);
        assert_eq!(lines(&site("ws://h").with(&[authorization]).unwrap()), "authorization: Bearer x\r\n");
    }
}
