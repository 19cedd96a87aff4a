//! Free ports for launched programs, and which addresses have a listener.
//!
//! Listeners are read from the system's tables (`/proc/net/tcp`, `tcp6`). Connecting would find them too, but some
//! servers die of a connection that sends nothing.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener};
use std::os::fd::AsRawFd as _;

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, SockaddrIn6, bind, setsockopt, socket, sockopt,
};
use rand::RngExt as _;

/// The first port to hand out. The ports lie below the usual ephemeral range, so that none of our outgoing connections,
/// open or in `TIME_WAIT`, blocks a server that does not set `SO_REUSEADDR`.
const FIRST: u16 = 10_000;
/// The last port to hand out.
const LAST: u16 = 32_000;

/// Tries before giving up.
const TRIES: u32 = 1_000;

/// State of a listening socket in the tables.
const LISTEN: &str = "0A";

/// Hands out each port only once: a program that has just ended may still hold its port.
#[derive(Debug, Default)]
pub struct FreePorts {
    given: BTreeSet<u16>,
}

impl FreePorts {
    /// A port that is not in use, if one was found.
    pub fn take(&mut self) -> Option<u16> {
        let mut random = rand::rng();
        let free = (0..TRIES)
            .map(|_| random.random_range(FIRST..=LAST))
            .find(|port| !self.given.contains(port) && is_free(*port))?;
        self.given.insert(free);
        Some(free)
    }
}

/// Whether a server could bind this port on every address, of IPv6 too if the system has it, even without
/// `SO_REUSEADDR`.
fn is_free(port: u16) -> bool {
    let new = |family| socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None);
    let Ok(probe) = new(AddressFamily::Inet) else { return false };
    if bind(probe.as_raw_fd(), &SockaddrIn::new(0, 0, 0, 0, port)).is_err() {
        return false;
    }
    let Ok(probe) = new(AddressFamily::Inet6) else { return true };
    // Otherwise it would conflict with the first probe's socket.
    let alone = setsockopt(&probe, sockopt::Ipv6V6Only, &true);
    let any = SockaddrIn6::from(SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0));
    alone.is_ok() && bind(probe.as_raw_fd(), &any).is_ok()
}

/// Whether this is an address of this machine, so that the tables show its listeners.
pub fn is_local(address: IpAddr) -> bool {
    TcpListener::bind((address, 0)).is_ok()
}

/// The addresses of all listening sockets.
pub fn listeners() -> Vec<SocketAddr> {
    let table = |path| fs::read_to_string(path).map(|text| parse(&text)).unwrap_or_default();
    let mut all = table("/proc/net/tcp");
    all.extend(table("/proc/net/tcp6"));
    all
}

/// Those of these addresses that reach one of the listeners, in their order.
pub fn reachable(listeners: &[SocketAddr], addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let reaches = |wanted: &SocketAddr| listeners.iter().any(|listener| takes(*listener, *wanted));
    addresses.iter().copied().filter(reaches).collect()
}

/// Whether a listener may accept connections to an address. The tables do not show whether a listener on `::` also
/// serves IPv4; a client skips an address that refuses.
fn takes(listener: SocketAddr, wanted: SocketAddr) -> bool {
    let same_ip = match (listener.ip().to_canonical(), wanted.ip().to_canonical()) {
        (IpAddr::V6(Ipv6Addr::UNSPECIFIED), _) | (IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V4(_)) => true,
        (listening, wanted) => listening == wanted,
    };
    same_ip && listener.port() == wanted.port()
}

/// The listening sockets of one table; lines that cannot be read are skipped.
fn parse(table: &str) -> Vec<SocketAddr> {
    let listener = |line: &str| {
        // sl local_address rem_address st …
        let mut fields = line.split_whitespace().skip(1);
        let local = fields.next()?;
        (fields.nth(1)? == LISTEN).then(|| address(local)).flatten()
    };
    table.lines().filter_map(listener).collect()
}

/// `0100007F:0641`: the address in 32-bit words of this machine's byte order, and the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let word = |at: usize| u32::from_str_radix(ip.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    let ip = match ip.len() {
        8 => IpAddr::from(word(0)?),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            IpAddr::from(<[u8; 16]>::try_from(words.concat()).ok()?)
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As the kernel of a little-endian machine writes it: LISTEN, ESTABLISHED, `TIME_WAIT`, LISTEN.
    const TCP: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode                                                     
   0: 0100007F:0641 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 484 1 000000005c1bee14 100 0 0 10 0                       
   1: 0100007F:9C41 0100007F:0641 01 00000000:00000000 00:00000000 00000000     0        0 485 1 000000005c1bee15 20 4 30 10 -1                      
   2: 0100007F:0642 0100007F:9C42 06 00000000:00000000 03:00001770 00000000     0        0 0 3 000000005c1bee16                                      
  10: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 486 1 000000005c1bee17 100 0 0 10 0                       
";
    const TCP6: &str = "\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:0643 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 487 1 0 100 0 0 10 0
   1: 00000000000000000000000001000000:0644 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 488 1 0 100 0 0 10 0
   2: 0000000000000000FFFF00000100007F:0645 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 489 1 0 100 0 0 10 0
   3: 0000000000000000FFFF00000100007F:0646 0000000000000000FFFF00000100007F:9C43 01 00000000:00000000 00:00000000 00000000     0        0 490 1 0 20 4 30 10 -1
";

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn only_listening_sockets_are_read_from_the_tables() {
        assert_eq!(parse(TCP), [at("127.0.0.1:1601"), at("0.0.0.0:8080")]);
        assert_eq!(parse(TCP6), [at("[::]:1603"), at("[::1]:1604"), at("[::ffff:127.0.0.1]:1605")]);
    }

    #[test]
    fn lines_that_are_none_are_left_out() {
        for odd in ["", "\n\n", "0: x 0A", "0: 0100007F:0641 x 0A\n1: 7F:1 x 0A", "0: 0100007Fé:0641 x 0A"] {
            assert!(parse(odd).len() <= 1, "{odd}");
        }
    }

    #[test]
    fn a_listener_on_every_address_takes_connections_to_each() {
        let listeners =
            [at("0.0.0.0:1"), at("[::]:2"), at("[::1]:3"), at("[::ffff:127.0.0.1]:4"), at("127.0.0.2:5")];
        let reached = |address: &str| !reachable(&listeners, &[at(address)]).is_empty();
        for yes in ["127.0.0.1:1", "127.0.0.1:2", "[::1]:2", "[::1]:3", "127.0.0.1:4", "127.0.0.2:5"] {
            assert!(reached(yes), "{yes}");
        }
        for no in ["[::1]:1", "127.0.0.1:3", "127.0.0.1:5", "127.0.0.1:6"] {
            assert!(!reached(no), "{no}");
        }
        let either = [at("127.0.0.1:3"), at("[::1]:3")];
        assert_eq!(reachable(&listeners, &either), [either[1]]);
        // Which of them it is, if not both, shows when a connection is made.
        let both = [at("127.0.0.1:2"), at("[::1]:2")];
        assert_eq!(reachable(&listeners, &both), both);
    }

    #[test]
    fn a_port_is_free_until_it_is_taken_and_is_never_given_twice() {
        let mut ports = FreePorts::default();
        let first = ports.take().unwrap();
        let listener = TcpListener::bind(("127.0.0.1", first)).unwrap();
        assert!(!is_free(first));
        let address = listener.local_addr().unwrap();
        assert_eq!(reachable(&listeners(), &[address]), [address]);
        drop(listener);
        assert!((0..50).all(|_| ports.take().is_some_and(|port| port != first)));
        assert_eq!(ports.given.len(), 51);
    }

    #[test]
    fn a_port_that_is_taken_on_ipv6_alone_is_not_free() {
        // Where there is no IPv6, nothing can be taken on it.
        let Ok(listener) = TcpListener::bind("[::1]:0") else { return };
        assert!(!is_free(listener.local_addr().unwrap().port()));
    }

    #[test]
    fn this_machines_addresses_are_told_from_others() {
        assert!(is_local("127.0.0.1".parse().unwrap()));
        assert!(!is_local("192.0.2.1".parse().unwrap()), "reserved for documentation");
    }

    proptest! {
        #[test]
        fn no_table_is_too_odd(text in "[0-9A-F: \n]{0,200}") {
            parse(&text);
        }
    }
}
