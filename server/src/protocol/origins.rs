//! Web pages of which origins may talk to the server (WS-8).
//!
//! A browser lets any page open a WebSocket to any server, one on the reader's own machine included, and says in
//! `Origin` where the page is from. Programs that are no browsers send none.

use std::collections::HashSet;

/// The origins that are allowed; none by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins {
    any: bool,
    allowed: HashSet<String>,
}

/// Not an origin as browsers send them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected an origin such as https://example.com or http://localhost:8080 (no path, in lower case), null, or * for any"
)]
pub struct NoOrigin;

impl Origins {
    /// Allows `origin`: `scheme://host` or `scheme://host:port`, as a browser writes it; `null`, which pages from
    /// files send; or `*` for every page there is.
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

/// A pattern that no browser would ever send is a mistake that must not pass unnoticed.
fn is_origin(text: &str) -> bool {
    if text == "null" {
        return true;
    }
    let Some((scheme, authority)) = text.split_once("://") else { return false };
    let is_plain = |text: &str, also: &str| {
        !text.is_empty()
            && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || also.contains(c))
    };
    is_plain(scheme, "+-.") && is_plain(authority, "-._:[]%")
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
    fn ws_8_what_no_browser_sends_cannot_be_allowed() {
        for wrong in [
            "",
            "example.com",
            "https://example.com/",
            "https://Example.com",
            "https://",
            "://x",
            "https://*.example.com",
        ] {
            assert_eq!(Origins::default().allow(wrong), Err(NoOrigin), "{wrong}");
        }
    }
}
