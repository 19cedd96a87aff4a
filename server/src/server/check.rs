//! Checks whether a configuration can work on this machine, at the start and for `--check-config`. Nothing is opened, so
//! a port that another program has is not found here.

use std::net::SocketAddr;

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

use super::{StartError, descriptors};
use crate::{
    config::{Config, Endpoint, Workers},
    operator,
};

pub(super) fn check(config: &Config) -> Result<(), StartError> {
    check_cpus(&config.workers)?;
    descriptors::connections_max(config)?;
    for &Endpoint { transport, .. } in &config.listeners {
        if transport.is_encrypted() && config.tls.is_none() {
            return Err(StartError::NoCertificate { transport });
        }
    }
    check_addresses(config)?;
    Ok(config.control.as_deref().map_or(Ok(()), operator::check_socket)?)
}

/// Fails if two listeners want one port, which only the first of them would get.
fn check_addresses(config: &Config) -> Result<(), StartError> {
    let named = |endpoint: &Endpoint| {
        let name = endpoint.transport.name();
        endpoint.addresses.iter().map(|&address| (name, address)).collect::<Vec<_>>()
    };
    let metrics = config.metrics.iter().map(|&address| ("metrics", address));
    let all: Vec<_> = config.listeners.iter().flat_map(named).chain(metrics).collect();
    for (index, &(what, address)) in all.iter().enumerate() {
        if let Some(&(other, _)) = all[..index].iter().find(|(_, other)| overlap(*other, address)) {
            return Err(StartError::SameAddress { what, address, other });
        }
    }
    Ok(())
}

/// Whether one of the two takes the other's port. Whether IPv6's unspecified address includes IPv4's is a setting of
/// the system, and left to it.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let is_everywhere = one.ip().is_unspecified() || other.ip().is_unspecified();
    let is_same_address = one == other || is_everywhere && one.is_ipv4() == other.is_ipv4();
    one.port() == other.port() && one.port() != 0 && is_same_address
}

fn check_cpus(workers: &Workers) -> Result<(), StartError> {
    let Workers::Pinned(cpus) = workers else { return Ok(()) };
    // If the system does not say, pinning itself fails later.
    let thread = Pid::from_raw(0);
    let Ok(before) = sched_getaffinity(thread) else { return Ok(()) };
    // Only trying shows it: a process may move to CPUs outside its present set, as far as the system lets it.
    let refused = cpus.iter().find(|&&cpu| {
        let mut alone = CpuSet::new();
        alone.set(cpu).and_then(|()| sched_setaffinity(thread, &alone)).is_err()
    });
    let _ = sched_setaffinity(thread, &before);
    match refused {
        Some(&cpu) => Err(StartError::NoSuchCpu { cpu }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_listeners_overlap_on_one_port_of_one_address_or_of_everywhere() {
        for (one, other, expected) in [
            ("127.0.0.1:1601", "127.0.0.1:1601", true),
            ("127.0.0.1:1601", "127.0.0.1:1602", false),
            ("127.0.0.1:1601", "127.0.0.2:1601", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
            ("0.0.0.0:1601", "127.0.0.1:1601", true),
            ("[::1]:1601", "[::]:1601", true),
            ("0.0.0.0:0", "127.0.0.1:0", false),
            ("127.0.0.1:1601", "[::1]:1601", false),
            ("127.0.0.1:1601", "[::]:1601", false),
        ] {
            assert_eq!(overlap(one.parse().unwrap(), other.parse().unwrap()), expected, "{one} {other}");
            assert_eq!(overlap(other.parse().unwrap(), one.parse().unwrap()), expected, "{other} {one}");
        }
    }
}
