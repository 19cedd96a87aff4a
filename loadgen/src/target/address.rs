//! Addresses as the command line gives them: `HOST:PORT`, `ws://HOST:PORT/PATH`, and both for TLS.

use std::net::{SocketAddr, ToSocketAddrs};

use crate::wire::{Endpoint, NotAName, Peer, Trust};

/// What is wrong with an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not HOST:PORT.
    #[error("`{0}` is no address: write HOST:PORT, as in 127.0.0.1:1601 or [::1]:1601")]
    NotHostPort(String),
    /// The name leads nowhere.
    #[error("`{0}` cannot be resolved: {1}")]
    Unresolved(String, String),
    /// Not a WebSocket URL of this scheme.
    #[error("`{0}` is no WebSocket URL: write {1}://HOST:PORT or {1}://HOST:PORT/PATH")]
    NotWebSocket(String, &'static str),
    /// A host that no certificate can name.
    #[error(transparent)]
    NotAName(#[from] NotAName),
}

/// Resolves `HOST:PORT`, IPv4 first: a service that listens on both is mostly meant by it.
///
/// # Errors
/// Where it is no address or cannot be resolved.
pub fn socket_address(text: &str) -> Result<SocketAddr, AddressError> {
    let has_port = text.rsplit_once(':').is_some_and(|(host, port)| {
        // An IPv6 address needs its brackets, or its last group would be taken for the port.
        let bracketed = host.starts_with('[') && host.ends_with(']');
        let named = !host.is_empty() && (bracketed || !host.contains(':'));
        named && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if !has_port {
        return Err(AddressError::NotHostPort(text.to_owned()));
    }
    let unresolved = |why: String| AddressError::Unresolved(text.to_owned(), why);
    let mut addresses: Vec<SocketAddr> =
        text.to_socket_addrs().map_err(|error| unresolved(error.to_string()))?.collect();
    addresses.sort_by_key(SocketAddr::is_ipv6);
    addresses.first().copied().ok_or_else(|| unresolved("no address".to_owned()))
}

/// A WebSocket server at a `ws://` URL. Without a port it is 80.
///
/// # Errors
/// Where it is no such URL or cannot be resolved.
pub fn websocket(url: &str) -> Result<Endpoint, AddressError> {
    let Parts { address, url, .. } = parts(url, "ws", 80)?;
    Ok(Endpoint::WebSocket(address, url))
}

/// A WebSocket server over TLS at a `wss://` URL. Without a port it is 443.
///
/// # Errors
/// Where it is no such URL or cannot be resolved.
pub fn wss(url: &str, trust: &Trust) -> Result<Endpoint, AddressError> {
    let Parts { address, host, url } = parts(url, "wss", 443)?;
    Ok(Endpoint::Wss(address, url, Peer::new(&host, trust)?))
}

/// A server of lines over TLS at `HOST:PORT`.
///
/// # Errors
/// Where it is no address or cannot be resolved.
pub fn tls(text: &str, trust: &Trust) -> Result<Endpoint, AddressError> {
    let address = socket_address(text)?;
    let host = text.rsplit_once(':').map_or(text, |(host, _)| host);
    Ok(Endpoint::Tls(address, Peer::new(host, trust)?))
}

/// What a WebSocket URL is made of.
struct Parts {
    address: SocketAddr,
    host: String,
    /// The whole of it, with a path.
    url: String,
}

fn parts(url: &str, scheme: &'static str, default_port: u16) -> Result<Parts, AddressError> {
    let wrong = || AddressError::NotWebSocket(url.to_owned(), scheme);
    let rest = url.strip_prefix(scheme).and_then(|rest| rest.strip_prefix("://")).ok_or_else(wrong)?;
    let (authority, path) = match rest.find(['/', '?']) {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    if authority.is_empty() || authority.contains('@') || !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(wrong());
    }
    let with_port =
        authority.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let (host, address) = match with_port {
        Some((host, _)) => (host, authority.to_owned()),
        None => (authority, format!("{authority}:{default_port}")),
    };
    let slash = if path.starts_with('/') { "" } else { "/" };
    let url = format!("{scheme}://{authority}{slash}{path}");
    Ok(Parts { address: socket_address(&address)?, host: host.to_owned(), url })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_need_a_host_and_a_port() {
        assert_eq!(socket_address("127.0.0.1:1601").unwrap().port(), 1601);
        assert!(socket_address("[::1]:1601").unwrap().is_ipv6());
        for wrong in ["", "localhost", ":1601", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:70000", "::1"] {
            assert!(matches!(socket_address(wrong), Err(AddressError::NotHostPort(_))), "{wrong}");
        }
    }

    #[test]
    fn websocket_urls_keep_their_path_and_have_a_default_port() {
        for (scheme, default) in [("ws", 80), ("wss", 443)] {
            let of = |rest: &str| {
                let parts = parts(&format!("{scheme}://{rest}"), scheme, default).unwrap();
                (parts.address.port(), parts.host, parts.url)
            };
            let whole = |rest: &str| format!("{scheme}://{rest}");
            let host = "127.0.0.1".to_owned();
            assert_eq!(of("127.0.0.1:1603/chat?x=1"), (1603, host.clone(), whole("127.0.0.1:1603/chat?x=1")));
            assert_eq!(of("127.0.0.1"), (default, host.clone(), whole("127.0.0.1/")));
            assert_eq!(of("127.0.0.1:5?q"), (5, host, whole("127.0.0.1:5/?q")));
            assert_eq!(of("[::1]:5"), (5, "[::1]".to_owned(), whole("[::1]:5/")));
        }
        for wrong in [
            "127.0.0.1:1603",
            "http://127.0.0.1:1603",
            "ws://",
            "ws:///x",
            "ws://a b:1",
            "ws://u@h:1",
            "wss://h:1",
        ] {
            assert!(matches!(websocket(wrong), Err(AddressError::NotWebSocket(_, "ws"))), "{wrong}");
        }
    }

    #[test]
    fn servers_over_tls_are_known_by_the_host_that_was_given() {
        let certificate = rcgen::generate_simple_self_signed(Vec::new()).unwrap().cert;
        let trust = &Trust::only(certificate.der().clone()).unwrap();
        let at = "127.0.0.1:7".parse().unwrap();
        let peer = |host| Peer::new(host, trust).unwrap();
        assert_eq!(tls("127.0.0.1:7", trust).unwrap(), Endpoint::Tls(at, peer("127.0.0.1")));
        assert_eq!(tls("[::1]:7", trust).unwrap(), Endpoint::Tls("[::1]:7".parse().unwrap(), peer("::1")));
        assert!(
            matches!(tls("localhost:7", trust).unwrap(), Endpoint::Tls(_, named) if named == peer("localhost"))
        );
        let url = "wss://127.0.0.1:7/".to_owned();
        assert_eq!(wss("wss://127.0.0.1:7", trust).unwrap(), Endpoint::Wss(at, url, peer("127.0.0.1")));
        let wrong = wss("ws://127.0.0.1:7", trust).unwrap_err().to_string();
        assert!(wrong.contains("write wss://HOST:PORT or"), "{wrong}");
    }
}
