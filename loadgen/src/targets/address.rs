//! Addresses from the command line: `HOST:PORT`, `ws://HOST:PORT/PATH`, and both for TLS.

use crate::domain::{Framing, Transport};
use crate::wire::{
    Addresses, Endpoint, Header, InvalidServerName, ResolveError, TlsPeer, TrustStore, UrlError,
    WebSocketUrl, redact_input,
};

/// What is wrong with an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("`{0}` is not an address: write HOST:PORT, as in 127.0.0.1:1601 or [::1]:1601")]
    NotHostPort(String),
    #[error("`…@HOST:PORT` is not an address: only a WebSocket URL can hold a user name and a password")]
    Credentials,
    #[error(transparent)]
    ResolveError(#[from] ResolveError),
    #[error(transparent)]
    Url(#[from] UrlError),
    #[error(transparent)]
    InvalidServerName(#[from] InvalidServerName),
}

/// The server of a transport at the address from its flag: `HOST:PORT`, or a URL over WebSocket, whose handshake has
/// these headers. `trust` is for TLS.
///
/// # Panics
/// Over TLS without `trust`.
pub fn endpoint(
    transport: Transport,
    text: &str,
    headers: &[Header],
    trust: Option<&TrustStore>,
) -> Result<Endpoint, AddressError> {
    let peer = |host: &str| -> Result<Option<TlsPeer>, InvalidServerName> {
        let trust = || trust.expect("a transport over TLS comes with the trusted certificates");
        transport.is_encrypted().then(|| TlsPeer::new(host, trust())).transpose()
    };
    if transport.framing() == Framing::WebSocket {
        let url = WebSocketUrl::parse(text)?.with_headers(headers)?;
        if url.is_encrypted() != transport.is_encrypted() {
            return Err(UrlError::NotWebSocket(url.to_string(), transport.flag()).into());
        }
        let peer = peer(&url.host())?;
        return Ok(Endpoint::websocket(Addresses::resolve(&url.host(), url.port())?, url, peer));
    }
    let (host, port) = host_and_port(text)?;
    let peer = peer(host)?;
    let addresses = Addresses::resolve(host, port)?;
    Ok(match transport.framing() {
        Framing::Chunks => Endpoint::chunks(addresses),
        Framing::Lines | Framing::WebSocket => Endpoint::lines(addresses, peer),
    })
}

/// Both parts of `HOST:PORT`, an IPv6 address without its brackets.
fn host_and_port(text: &str) -> Result<(&str, u16), AddressError> {
    if text.contains('@') {
        return Err(AddressError::Credentials);
    }
    let wrong = || AddressError::NotHostPort(redact_input(text));
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
    // An IPv6 address needs brackets: otherwise its last group would be read as the port.
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match bare.unwrap_or(host) {
        "" => Err(wrong()),
        plain if bare.is_none() && plain.contains([':', '[', ']', '/']) => Err(wrong()),
        host => Ok((host, port)),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn at(address: &str) -> Addresses {
        address.parse::<SocketAddr>().unwrap().into()
    }

    fn tcp(text: &str) -> Result<Endpoint, AddressError> {
        endpoint(Transport::Tcp, text, &[], None)
    }

    #[test]
    fn addresses_need_a_host_and_a_port() {
        assert_eq!(tcp("127.0.0.1:1601").unwrap(), Endpoint::lines(at("127.0.0.1:1601"), None));
        assert_eq!(tcp("[::1]:1601").unwrap(), Endpoint::lines(at("[::1]:1601"), None));
        assert_eq!(tcp("[fe80::1%1]:1601").unwrap().addresses().all(), at("[fe80::1%1]:1601").all());
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
            assert!(matches!(tcp(wrong), Err(AddressError::NotHostPort(_))), "{wrong}");
        }
        let error = tcp("ann:hunter22@127.0.0.1:1601").unwrap_err();
        assert!(error == AddressError::Credentials && !error.to_string().contains("hunter22"), "{error}");
    }

    #[test]
    fn each_flag_takes_urls_of_its_own_scheme() {
        let certificate = rcgen::generate_simple_self_signed(Vec::new()).unwrap().cert;
        let trust = &TrustStore::only(certificate.der().clone()).unwrap();
        let ws = |url| endpoint(Transport::WebSocket, url, &[], None);
        let wss = |url| endpoint(Transport::Wss, url, &[], Some(trust));
        let plain = ws("WS://127.0.0.1:7").unwrap();
        assert_eq!(
            plain,
            Endpoint::websocket(at("127.0.0.1:7"), WebSocketUrl::root(false, "127.0.0.1", 7), None)
        );
        let url = WebSocketUrl::root(true, "127.0.0.1", 7);
        let peer = TlsPeer::new("127.0.0.1", trust).unwrap();
        let encrypted = wss("wss://127.0.0.1:7").unwrap();
        assert_eq!(encrypted, Endpoint::websocket(at("127.0.0.1:7"), url, Some(peer)));
        let wrong = wss("ws://127.0.0.1:7/?key=hunter22").unwrap_err().to_string();
        assert!(wrong.contains("write wss://HOST:PORT or") && !wrong.contains("hunter22"), "{wrong}");
        let wrong = ws("wss://127.0.0.1:7").unwrap_err().to_string();
        assert!(wrong.contains("write ws://HOST:PORT or"), "{wrong}");
    }

    #[test]
    fn servers_over_tls_are_known_by_the_host_that_was_given() {
        let certificate = rcgen::generate_simple_self_signed(Vec::new()).unwrap().cert;
        let trust = &TrustStore::only(certificate.der().clone()).unwrap();
        let tls = |text| endpoint(Transport::Tls, text, &[], Some(trust)).unwrap();
        let named = |address: &Endpoint, host| {
            *address == Endpoint::lines(address.addresses().clone(), Some(TlsPeer::new(host, trust).unwrap()))
        };
        assert_eq!(tls("127.0.0.1:7").addresses(), &at("127.0.0.1:7"));
        for (text, host) in [("127.0.0.1:7", "127.0.0.1"), ("[::1]:7", "::1"), ("localhost:7", "localhost")] {
            assert!(named(&tls(text), host), "{text}");
        }
        assert!(named(&tls("[fe80::1%1]:7"), "fe80::1"), "a certificate has no zone");
        assert!(!named(&tls("127.0.0.1:7"), "localhost"));
    }
}
