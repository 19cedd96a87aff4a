//! Addresses as the command line gives them: `HOST:PORT` and `ws://HOST:PORT/PATH`.

use std::net::{SocketAddr, ToSocketAddrs};

/// What is wrong with an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not HOST:PORT.
    #[error("`{0}` is no address: write HOST:PORT, as in 127.0.0.1:1601 or [::1]:1601")]
    NotHostPort(String),
    /// The name leads nowhere.
    #[error("`{0}` cannot be resolved: {1}")]
    Unresolved(String, String),
    /// Not a WebSocket URL.
    #[error("`{0}` is no WebSocket URL: write ws://HOST:PORT or ws://HOST:PORT/PATH")]
    NotWebSocket(String),
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

/// Resolves a `ws://` URL to its socket address and the whole URL. Without a port it is 80.
///
/// # Errors
/// Where it is no such URL or cannot be resolved.
pub fn websocket(url: &str) -> Result<(SocketAddr, String), AddressError> {
    let wrong = || AddressError::NotWebSocket(url.to_owned());
    let rest = url.strip_prefix("ws://").ok_or_else(wrong)?;
    let (authority, path) = match rest.find(['/', '?']) {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    if authority.is_empty() || authority.contains('@') || !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(wrong());
    }
    let has_port =
        authority.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    let address = if has_port { authority.to_owned() } else { format!("{authority}:80") };
    let slash = if path.starts_with('/') { "" } else { "/" };
    Ok((socket_address(&address)?, format!("ws://{authority}{slash}{path}")))
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
    fn websocket_urls_keep_their_path_and_default_to_port_80() {
        let (address, url) = websocket("ws://127.0.0.1:1603/chat?x=1").unwrap();
        assert_eq!((address.port(), url.as_str()), (1603, "ws://127.0.0.1:1603/chat?x=1"));
        let (address, url) = websocket("ws://127.0.0.1").unwrap();
        assert_eq!((address.port(), url.as_str()), (80, "ws://127.0.0.1/"));
        assert_eq!(websocket("ws://127.0.0.1:5?q").unwrap().1, "ws://127.0.0.1:5/?q");
        for wrong in
            ["127.0.0.1:1603", "http://127.0.0.1:1603", "ws://", "ws:///x", "ws://a b:1", "ws://u@h:1"]
        {
            assert!(matches!(websocket(wrong), Err(AddressError::NotWebSocket(_))), "{wrong}");
        }
    }
}
