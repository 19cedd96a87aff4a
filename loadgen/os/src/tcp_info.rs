//! What the kernel counts for one TCP connection (`TCP_INFO`).

use std::os::fd::AsFd;

use nix::libc;
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::GetStruct;

/// Bytes of the kernel's `struct tcp_info` that are asked for. Linux 4.2 and later fill them; a kernel that knows
/// more fields writes no more than this.
const SIZE: usize = 144;

/// The socket option, by the same macro as the library's own ones.
#[derive(Clone, Copy)]
struct Info;

nix::getsockopt_impl!(Info, libc::IPPROTO_TCP, libc::TCP_INFO, [u8; SIZE], GetStruct<[u8; SIZE]>);

/// Counters of one connection since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TcpInfo {
    /// Bytes sent that the peer has acknowledged.
    pub bytes_sent: u64,
    /// Bytes received.
    pub bytes_received: u64,
    /// Segments sent, acknowledgements and repetitions included.
    pub segments_sent: u64,
    /// Segments received, acknowledgements included.
    pub segments_received: u64,
    /// Segments sent again.
    pub retransmits: u64,
}

impl TcpInfo {
    /// Those of this socket; `None` if it is not a TCP socket or the system does not report them.
    #[must_use]
    pub fn of(socket: &impl AsFd) -> Option<Self> {
        Some(Self::parse(&getsockopt(socket, Info).ok()?))
    }

    /// Offsets as in `linux/tcp.h`, whose layout is fixed.
    fn parse(bytes: &[u8; SIZE]) -> Self {
        let u32_at = |at: usize| u64::from(u32::from_ne_bytes(std::array::from_fn(|i| bytes[at + i])));
        let u64_at = |at: usize| u64::from_ne_bytes(std::array::from_fn(|i| bytes[at + i]));
        Self {
            retransmits: u32_at(100),
            bytes_sent: u64_at(120),
            bytes_received: u64_at(128),
            segments_sent: u32_at(136),
            segments_received: u32_at(140),
        }
    }

    /// Adds the other's counters to these.
    pub fn add(&mut self, other: &Self) {
        self.bytes_sent += other.bytes_sent;
        self.bytes_received += other.bytes_received;
        self.segments_sent += other.segments_sent;
        self.segments_received += other.segments_received;
        self.retransmits += other.retransmits;
    }

    /// What was counted since `earlier`, on the same connection. Counters of segments are 32 bits wide and wrap.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let wrapped = |now: u64, then: u64| u64::from((now as u32).wrapping_sub(then as u32));
        Self {
            bytes_sent: self.bytes_sent.saturating_sub(earlier.bytes_sent),
            bytes_received: self.bytes_received.saturating_sub(earlier.bytes_received),
            segments_sent: wrapped(self.segments_sent, earlier.segments_sent),
            segments_received: wrapped(self.segments_received, earlier.segments_received),
            retransmits: wrapped(self.retransmits, earlier.retransmits),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn bytes_and_segments_of_a_connection_are_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let before = TcpInfo::of(&client).unwrap();
        client.write_all(&[1; 1000]).unwrap();
        server.read_exact(&mut [0; 1000]).unwrap();
        server.write_all(&[2; 300]).unwrap();
        client.read_exact(&mut [0; 300]).unwrap();
        let spent = TcpInfo::of(&client).unwrap().since(&before);
        assert_eq!((spent.bytes_sent, spent.bytes_received, spent.retransmits), (1000, 300, 0));
        assert!(
            (1..10).contains(&spent.segments_sent) && (1..10).contains(&spent.segments_received),
            "{spent:?}"
        );
        assert_eq!(TcpInfo::of(&std::io::stdin()), None, "no TCP socket");
    }

    #[test]
    fn counters_of_segments_wrap() {
        let then = TcpInfo { segments_sent: u64::from(u32::MAX), ..TcpInfo::default() };
        let now = TcpInfo { segments_sent: 4, ..TcpInfo::default() };
        assert_eq!(now.since(&then).segments_sent, 5);
    }
}
