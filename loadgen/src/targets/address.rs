//! Addresses as the command line gives them: `HOST:PORT`, `ws://HOST:PORT/PATH`, and both for TLS.

use crate::wire::{Addresses, Endpoint, Header, NotAName, Peer, Site, Trust, Unresolved, UrlError, suspect};

/// What is wrong with an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not HOST:PORT.
    #[error("`{0}` is no address: write HOST:PORT, as in 127.0.0.1:1601 or [::1]:1601")]
    NotHostPort(String),
    /// Not HOST:PORT, but with a user before it.
    #[error("`…@HOST:PORT` is no address: only WebSocket takes a user name and a password, in its URL")]
    Credentials,
    /// The name leads nowhere.
    #[error(transparent)]
    Unresolved(#[from] Unresolved),
    /// Not a WebSocket URL.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// A host that no certificate can name.
    #[error(transparent)]
    NotAName(#[from] NotAName),
}

/// Resolves `HOST:PORT`.
///
/// # Errors
/// Where it is no address or cannot be resolved.
pub fn addresses(text: &str) -> Result<Addresses, AddressError> {
    let (host, port) = host_and_port(text)?;
    Ok(Addresses::resolve(host, port)?)
}

/// Both parts of `HOST:PORT`, an IPv6 address without its brackets.
fn host_and_port(text: &str) -> Result<(&str, u16), AddressError> {
    if text.contains('@') {
        return Err(AddressError::Credentials);
    }
    let wrong = || AddressError::NotHostPort(suspect(text));
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
    // An IPv6 address needs its brackets, or its last group would be taken for the port.
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match bare.unwrap_or(host) {
        "" => Err(wrong()),
        plain if bare.is_none() && plain.contains([':', '[', ']', '/']) => Err(wrong()),
        host => Ok((host, port)),
    }
}

/// A WebSocket server at a `ws://` URL, or a `wss://` one where `trust` is given, whose handshake has these fields.
///
/// # Errors
/// Where it is no such URL or cannot be resolved.
pub fn websocket(url: &str, headers: &[Header], trust: Option<&Trust>) -> Result<Endpoint, AddressError> {
    let site = Site::parse(url)?.with(headers)?;
    let addresses = || Addresses::resolve(&site.name(), site.port());
    match trust {
        Some(_) if !site.is_encrypted() => Err(UrlError::NotWebSocket(site.to_string(), "wss").into()),
        None if site.is_encrypted() => Err(UrlError::NotWebSocket(site.to_string(), "ws").into()),
        Some(trust) => {
            let peer = Peer::new(&site.name(), trust)?;
            Ok(Endpoint::Wss(addresses()?, site, peer))
        }
        None => Ok(Endpoint::WebSocket(addresses()?, site)),
    }
}

/// A server of lines over TLS at `HOST:PORT`.
///
/// # Errors
/// Where it is no address or cannot be resolved.
pub fn tls(text: &str, trust: &Trust) -> Result<Endpoint, AddressError> {
    let peer = Peer::new(host_and_port(text)?.0, trust)?;
    Ok(Endpoint::Tls(addresses(text)?, peer))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn at(address: &str) -> Addresses {
        address.parse::<SocketAddr>().unwrap().into()
    }

    #[test]
    fn addresses_need_a_host_and_a_port() {
        assert_eq!(addresses("127.0.0.1:1601").unwrap(), at("127.0.0.1:1601"));
        assert_eq!(addresses("[::1]:1601").unwrap(), at("[::1]:1601"));
        assert_eq!(addresses("[fe80::1%1]:1601").unwrap().all(), at("[fe80::1%1]:1601").all());
        for wrong in [
            "",
            "localhost",
            ":1601",
            "127.0.0.1:",
            "127.0.0.1:0",
            "127.0.0.1:70000",
            "::1",
            "[]:1",
            "[::1:1",
            "ws://h:1",
        ] {
            assert!(matches!(addresses(wrong), Err(AddressError::NotHostPort(_))), "{wrong}");
        }
        let error = addresses("ann:hunter22@127.0.0.1:1601").unwrap_err();
        assert!(error == AddressError::Credentials && !error.to_string().contains("hunter22"), "{error}");
    }

    #[test]
    fn each_flag_takes_urls_of_its_own_scheme() {
        let certificate = rcgen::generate_simple_self_signed(Vec::new()).unwrap().cert;
        let trust = &Trust::only(certificate.der().clone()).unwrap();
        let plain = websocket("WS://127.0.0.1:7", &[], None).unwrap();
        assert_eq!(plain, Endpoint::WebSocket(at("127.0.0.1:7"), Site::root(false, "127.0.0.1", 7)));
        let site = Site::root(true, "127.0.0.1", 7);
        let peer = Peer::new("127.0.0.1", trust).unwrap();
        let encrypted = websocket("wss://127.0.0.1:7", &[], Some(trust)).unwrap();
        assert_eq!(encrypted, Endpoint::Wss(at("127.0.0.1:7"), site, peer));
        let wrong = websocket("ws://127.0.0.1:7/?key=hunter22", &[], Some(trust)).unwrap_err().to_string();
        assert!(wrong.contains("write wss://HOST:PORT or") && !wrong.contains("hunter22"), "{wrong}");
        let wrong = websocket("wss://127.0.0.1:7", &[], None).unwrap_err().to_string();
        assert!(wrong.contains("write ws://HOST:PORT or"), "{wrong}");
    }

    #[test]
    fn servers_over_tls_are_known_by_the_host_that_was_given() {
        let certificate = rcgen::generate_simple_self_signed(Vec::new()).unwrap().cert;
        let trust = &Trust::only(certificate.der().clone()).unwrap();
        let peer = |host| Peer::new(host, trust).unwrap();
        assert_eq!(tls("127.0.0.1:7", trust).unwrap(), Endpoint::Tls(at("127.0.0.1:7"), peer("127.0.0.1")));
        assert_eq!(tls("[::1]:7", trust).unwrap(), Endpoint::Tls(at("[::1]:7"), peer("::1")));
        assert!(
            matches!(tls("localhost:7", trust).unwrap(), Endpoint::Tls(_, named) if named == peer("localhost"))
        );
        let zoned = tls("[fe80::1%1]:7", trust).unwrap();
        assert!(
            matches!(zoned, Endpoint::Tls(_, named) if named == peer("fe80::1")),
            "a certificate has no zone"
        );
    }
}
