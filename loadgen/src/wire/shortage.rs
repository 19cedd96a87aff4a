//! Resources that this machine or this process has run out of. A connection that fails for that reason says nothing
//! about the target.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};

/// Where Linux says which ports it gives to outgoing connections, for IPv4 and IPv6.
const PORT_RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// A shortage on our side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shortage {
    /// Every local port has a connection to this address already.
    Ports {
        /// The address.
        to: SocketAddr,
        /// The first and the last port of the range, if the system says.
        range: Option<(u16, u16)>,
    },
    /// This process has as many files open as it may.
    ProcessFiles {
        /// The limit, if the system says.
        limit: Option<u64>,
    },
    /// The system has as many files open as it may.
    SystemFiles,
    /// The system has no memory for another socket.
    Memory,
}

impl Shortage {
    /// The shortage that made connecting to `to` fail, if there was one.
    pub(super) fn of(error: &io::Error, to: SocketAddr) -> Option<Self> {
        match Errno::from_raw(error.raw_os_error()?) {
            // This error may also mean that the machine has no source address for `to`.
            Errno::EADDRNOTAVAIL if has_source(to) => Some(Self::Ports { to, range: port_range() }),
            Errno::EMFILE => {
                let limit = getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft);
                Some(Self::ProcessFiles { limit })
            }
            Errno::ENFILE => Some(Self::SystemFiles),
            Errno::ENOBUFS | Errno::ENOMEM => Some(Self::Memory),
            _ => None,
        }
    }
}

/// Whether this machine has a source address for `to`. A UDP socket tells without sending anything, and its ports are
/// separate.
fn has_source(to: SocketAddr) -> bool {
    let any: SocketAddr = match to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    UdpSocket::bind(any).and_then(|socket| socket.connect(to)).is_ok()
}

fn port_range() -> Option<(u16, u16)> {
    let text = std::fs::read_to_string(PORT_RANGE).ok()?;
    let mut numbers = text.split_whitespace().map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ports { to, range } => {
                write!(f, "this machine has no local port left for another connection to {to}: ")?;
                if let Some((first, last)) = range {
                    let count = u32::from(*last).saturating_sub(u32::from(*first)) + 1;
                    write!(f, "it has {count} ({first} to {last}), and each connection takes one; ")?;
                }
                f.write_str(
                    "use fewer clients, widen the range in net.ipv4.ip_local_port_range, or wait a minute if many \
                     connections were closed just now",
                )
            }
            Self::ProcessFiles { limit } => {
                f.write_str("this process may open no more files")?;
                if let Some(limit) = limit {
                    write!(f, ": its limit is {limit}")?;
                }
                f.write_str(
                    "; raise it (`ulimit -n`, or LimitNOFILE= in a systemd unit), or use fewer clients",
                )
            }
            Self::SystemFiles => {
                f.write_str("this machine may open no more files: raise fs.file-max, or use fewer clients")
            }
            Self::Memory => {
                f.write_str("this machine has no memory left for another socket: use fewer clients")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shortage(errno: Errno, to: &str) -> Option<Shortage> {
        Shortage::of(&io::Error::from(errno), to.parse().unwrap())
    }

    #[test]
    fn only_what_this_side_lacks_is_a_shortage() {
        let local = "127.0.0.1:9";
        assert!(matches!(
            shortage(Errno::EADDRNOTAVAIL, local),
            Some(Shortage::Ports { range: Some(_), .. })
        ));
        assert_eq!(
            shortage(Errno::EADDRNOTAVAIL, "[fe80::1%999999]:9"),
            None,
            "no such interface, so no source"
        );
        assert!(matches!(shortage(Errno::EMFILE, local), Some(Shortage::ProcessFiles { limit: Some(_) })));
        assert_eq!(shortage(Errno::ENFILE, local), Some(Shortage::SystemFiles));
        assert_eq!(shortage(Errno::ECONNREFUSED, local), None);
        assert_eq!(Shortage::of(&io::Error::other("x"), local.parse().unwrap()), None);
    }

    #[test]
    fn it_says_how_much_there_is_and_where_that_is_set() {
        let ports = Shortage::Ports { to: "127.0.0.1:9".parse().unwrap(), range: Some((40_000, 40_049)) };
        insta::assert_snapshot!(ports, @"this machine has no local port left for another connection to 127.0.0.1:9: it has 50 (40000 to 40049), and each connection takes one; use fewer clients, widen the range in net.ipv4.ip_local_port_range, or wait a minute if many connections were closed just now");
        let files = Shortage::ProcessFiles { limit: Some(1024) };
        insta::assert_snapshot!(files, @"this process may open no more files: its limit is 1024; raise it (`ulimit -n`, or LimitNOFILE= in a systemd unit), or use fewer clients");
    }
}
