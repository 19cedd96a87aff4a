//! What limits by address count as one client.

use std::net::{IpAddr, Ipv6Addr};

/// The address that answers for `peer`: an IPv4 address, however it is written, or the first 64 bits of an IPv6 address,
/// since a site is given no fewer (RFC 6177).
pub(crate) fn limit_key(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address @ IpAddr::V4(_) => address,
    }
}
