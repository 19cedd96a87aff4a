//! The origins whose web pages may talk to the server (WS-8).
//!
//! A browser lets any page open a WebSocket to any server, even one on the reader's own machine, and says in `Origin`
//! where the page is from. Other programs send none.

use std::{
    collections::HashSet,
    net::{Ipv4Addr, Ipv6Addr},
};

/// The origins that are allowed; none by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins {
    any: bool,
    allowed: HashSet<String>,
}

/// Not an origin as browsers send them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected an origin as browsers send it, such as https://example.com or http://localhost:8080 (in lower case, without a \
     path or the scheme's own port), null, or * for any"
)]
pub struct NoOrigin;

impl Origins {
    /// Allows `origin`: `scheme://host` or `scheme://host:port`, as a browser writes it; `null`, which pages from files
    /// send; or `*` for every page.
    pub fn allow(&mut self, origin: &str) -> Result<(), NoOrigin> {
        if origin == "*" {
            self.any = true;
        } else if is_origin(origin) {
            self.allowed.insert(origin.to_owned());
        } else {
            return Err(NoOrigin);
        }
        Ok(())
    }

    /// Whether a page of `origin`, the header's value, may open a WebSocket.
    #[must_use]
    pub fn allows(&self, origin: &[u8]) -> bool {
        self.any || std::str::from_utf8(origin).is_ok_and(|origin| self.allowed.contains(origin))
    }
}

/// Whether a browser may send this (RFC 6454, section 6.2): allowing one that is never sent is a mistake that must not
/// go unnoticed. Browsers write hosts in lower case and addresses in their canonical form, and leave out the scheme's
/// default port.
fn is_origin(text: &str) -> bool {
    if text == "null" {
        return true;
    }
    let Some((scheme, authority)) = text.split_once("://") else { return false };
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c));
    // The colons of an IPv6 address stand in brackets.
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    is_scheme && is_host(host) && port.is_none_or(|port| is_port(scheme, port))
}

fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().is_ok_and(|parsed| parsed.to_string() == address);
    }
    let is_label = |label: &str| {
        !label.is_empty()
            && label.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c))
    };
    let labels = host.strip_suffix('.').unwrap_or(host);
    // A name whose last label is a number is an IPv4 address to browsers, or invalid.
    let is_numeric = labels.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    if is_numeric { host.parse::<Ipv4Addr>().is_ok() } else { labels.split('.').all(is_label) }
}

fn is_port(scheme: &str, port: &str) -> bool {
    let default = match scheme {
        "http" | "ws" => 80,
        "https" | "wss" => 443,
        "ftp" => 21,
        _ => 0,
    };
    port.parse::<u16>().is_ok_and(|number| number != default && number.to_string() == port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ws_8_only_what_is_named_is_allowed() {
        let mut origins = Origins::default();
        assert!(!origins.allows(b"https://example.com"));
        origins.allow("https://example.com").unwrap();
        origins.allow("http://[::1]:8080").unwrap();
        assert!(origins.allows(b"https://example.com") && origins.allows(b"http://[::1]:8080"));
        for other in [
            &b"http://example.com"[..],
            b"https://example.com:8443",
            b"https://example.com.evil.org",
            b"null",
            b"",
            b"\xff",
        ] {
            assert!(!origins.allows(other), "{other:?}");
        }
        origins.allow("*").unwrap();
        assert!(origins.allows(b"null") && origins.allows(b"\xff"));
    }

    #[test]
    fn ws_8_what_browsers_send_can_be_allowed() {
        for right in [
            "null",
            "https://example.com",
            "https://example.com.",
            "http://localhost:8080",
            "https://example.com:80",
            "http://127.0.0.1:3000",
            "http://[::1]:8080",
            "http://[2001:db8::1]",
            "https://xn--bcher-kva.example",
            "http://my_host",
            "chrome-extension://abcdefghijklmnop",
            "tauri://localhost",
        ] {
            assert_eq!(Origins::default().allow(right), Ok(()), "{right}");
        }
    }

    #[test]
    fn ws_8_what_no_browser_sends_cannot_be_allowed() {
        for wrong in [
            "",
            "example.com",
            "https://example.com/",
            "https://Example.com",
            "https://",
            "://x",
            "https://*.example.com",
            "https://example.com:443",
            "http://example.com:80",
            "https://example.com:",
            "https://example.com:080",
            "https://example.com:65536",
            "https://example..com",
            "https://a:b:1",
            "https://[::1",
            "https://[0:0:0:0:0:0:0:1]",
            "http://127.1",
            "http://192.168.000.001",
            "https://ex%61mple.com",
            "1http://example.com",
        ] {
            assert_eq!(Origins::default().allow(wrong), Err(NoOrigin), "{wrong}");
        }
    }
}
