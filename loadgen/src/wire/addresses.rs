//! The addresses of one server. They are tried in order; the one that worked is tried first the next time.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::error::{ConnectError, Unreachable};
use super::shortage::Shortage;

/// Where a server listens: all addresses of its name, with its port. Clones share which one worked.
#[derive(Debug, Clone)]
pub struct Addresses {
    name: String,
    all: Arc<[SocketAddr]>,
    /// Index of the address that last took a connection.
    last: Arc<AtomicUsize>,
}

impl Addresses {
    /// These addresses, which `name` resolves to; `None` if there are none.
    pub fn new(name: String, all: &[SocketAddr]) -> Option<Self> {
        (!all.is_empty()).then(|| Self { name, all: all.into(), last: Arc::default() })
    }

    /// All addresses of a host name, or one address, which may have a zone but no brackets. IPv4 comes first, as most
    /// services listen on it.
    pub fn resolve(host: &str, port: u16) -> Result<Self, ResolveError> {
        let name = match host.parse::<IpAddr>() {
            Ok(ip) => SocketAddr::new(ip, port).to_string(),
            Err(_) if host.contains(':') => format!("[{host}]:{port}"),
            Err(_) => format!("{host}:{port}"),
        };
        let mut all: Vec<SocketAddr> = Vec::new();
        let found = (host, port).to_socket_addrs();
        for address in found.map_err(|error| ResolveError(name.clone(), error.to_string()))? {
            if !all.contains(&address) {
                all.push(address);
            }
        }
        all.sort_by_key(SocketAddr::is_ipv6);
        Self::new(name.clone(), &all).ok_or_else(|| ResolveError(name, "it has no address".to_owned()))
    }

    /// In the order in which they are first tried; never empty.
    pub fn all(&self) -> &[SocketAddr] {
        &self.all
    }

    /// Connects to the first address that accepts. Each may take an equal share of the time that is left of `limit`.
    pub(super) async fn connect(&self, limit: Duration) -> Result<TcpStream, ConnectError> {
        let deadline = Instant::now() + limit;
        let last = self.last.load(Ordering::Relaxed);
        let order = std::iter::once(last).chain((0..self.all.len()).filter(|index| *index != last));
        let mut failed = Vec::new();
        for (tried, index) in order.enumerate() {
            let address = self.all[index];
            let left = deadline.saturating_duration_since(Instant::now());
            let share = left / (self.all.len() - tried) as u32;
            let why = match timeout(share, open(address)).await {
                Ok(Ok(stream)) => {
                    if index != last {
                        self.last.store(index, Ordering::Relaxed);
                    }
                    return Ok(stream);
                }
                Ok(Err(error)) => match Shortage::of(&error, address) {
                    Some(shortage) => return Err(ConnectError::Shortage(shortage)),
                    None => error.to_string(),
                },
                Err(_) => format!("no answer within {share:.1?}"),
            };
            failed.push((address, why));
        }
        Err(ConnectError::Tcp(Unreachable { name: self.name.clone(), failed }))
    }
}

async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    // Nagle's algorithm would hold back a request until the previous one is acknowledged.
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl From<SocketAddr> for Addresses {
    fn from(address: SocketAddr) -> Self {
        Self { name: address.to_string(), all: [address].into(), last: Arc::default() }
    }
}

impl PartialEq for Addresses {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.all) == (&other.name, &other.all)
    }
}

impl Eq for Addresses {}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// A name that has no address: the name with its port, and the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot resolve `{0}`: {1}")]
pub struct ResolveError(pub String, pub String);

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// An address of this machine at which nothing listens: it is bound and dropped again.
    fn refusing() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    const LIMIT: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn the_address_that_worked_is_tried_first_from_then_on() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let right = listener.local_addr().unwrap();
        let all = [refusing(), right, refusing()];
        let addresses = Addresses::new("kv.test:1".to_owned(), &all).unwrap();
        for _ in 0..3 {
            assert_eq!(addresses.clone().connect(LIMIT).await.unwrap().peer_addr().unwrap(), right);
            assert_eq!(addresses.last.load(Ordering::Relaxed), 1);
        }
        // Once it is gone, the others are tried again, and each is named.
        drop(listener);
        let Err(ConnectError::Tcp(error)) = addresses.connect(LIMIT).await else { panic!("it must fail") };
        let refused = "Connection refused (os error 111)";
        assert_eq!(
            error.to_string(),
            format!("kv.test:1: {right}: {refused}; {}: {refused}; {}: {refused}", all[0], all[2])
        );
    }

    #[test]
    fn zones_work_by_name_and_by_number() {
        let by_number = Addresses::resolve("fe80::1%1", 7).unwrap();
        let SocketAddr::V6(address) = by_number.all()[0] else { panic!("{by_number:?}") };
        assert_eq!(address.scope_id(), 1);
        let loopback = nix::net::if_::if_nametoindex("lo").unwrap();
        let by_name = Addresses::resolve("fe80::1%lo", 7).unwrap();
        let SocketAddr::V6(address) = by_name.all()[0] else { panic!("{by_name:?}") };
        assert_eq!((address.scope_id(), by_name.to_string()), (loopback, "[fe80::1%lo]:7".to_owned()));
        let unknown = Addresses::resolve("fe80::1%nowhere", 7).unwrap_err();
        assert!(unknown.to_string().starts_with("cannot resolve `[fe80::1%nowhere]:7`: "), "{unknown}");
    }

    #[test]
    fn addresses_of_a_name_are_in_order_and_no_address_is_there_twice() {
        let all = Addresses::resolve("localhost", 7).unwrap();
        assert_eq!(
            (all.all()[0], all.to_string()),
            ("127.0.0.1:7".parse().unwrap(), "localhost:7".to_owned())
        );
        assert!(all.all().iter().enumerate().all(|(at, address)| !all.all()[..at].contains(address)));
        assert_eq!(
            Addresses::resolve("::1", 7).unwrap(),
            SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, 7)).into()
        );
    }

    #[tokio::test]
    async fn a_single_address_is_named_once() {
        let address = refusing();
        let Err(error) = Addresses::from(address).connect(LIMIT).await else { panic!("it must fail") };
        assert_eq!(
            error.to_string(),
            format!("cannot connect to {address}: Connection refused (os error 111)")
        );
    }

    #[tokio::test]
    async fn an_address_that_is_silent_takes_its_share_of_the_time_alone() {
        // A backlog that is full lets no connection in, and refuses none.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let full = socket.listen(1).unwrap();
        let silent = full.local_addr().unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) = timeout(Duration::from_millis(200), TcpStream::connect(silent)).await {
            waiting.push(stream.unwrap());
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let right = listener.local_addr().unwrap();
        let addresses = Addresses::new("kv.test:1".to_owned(), &[silent, right]).unwrap();
        let stream = addresses.connect(Duration::from_secs(1)).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), right);
    }
}
