//! Opens listeners: one for each address of a host, all on one port.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use nix::errno::Errno;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

/// How many connections the kernel may have ready to be accepted: a storm of thousands of clients that connect at once
/// must not meet refusals. The kernel lowers it to its own limit (`net.core.somaxconn`).
pub(super) const BACKLOG: i32 = 4096;

/// After a silent minute the kernel asks four times, a quarter of a minute apart, whether the client's machine is still
/// there. A connection whose other end has vanished is gone within two minutes, and no program is woken for it.
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_mins(1))
    .with_interval(Duration::from_secs(15))
    .with_retries(4);

/// How many bytes that it cannot send yet the kernel holds for one client; its own default is 4 MiB. The rest waits in the
/// server, where the limit on unsent replies and their time-out apply. This is more than a batch of replies, so that the
/// kernel has something to send while the next batch is made.
const KERNEL_UNSENT_BYTES_MAX: u32 = 128 * 1024;

/// How many free ports of a host's first address are tried at its other addresses. One in a hundred is rarely taken
/// there.
const PORT_TRIES: usize = 32;

/// An address that cannot be listened on, and why.
#[derive(Debug)]
pub(super) struct ListenError {
    pub(super) address: SocketAddr,
    pub(super) error: io::Error,
}

/// Listens on each of a host's `addresses`; if their port is 0, on one that is free at all of them. Addresses that this
/// machine does not have are logged and left out, unless it has none of them.
pub(super) fn listen_on_all(what: &str, addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, ListenError> {
    let open = |address| {
        let listener = listen_on(address)?;
        let port = listener.local_addr()?.port();
        Ok((listener, port))
    };
    let (listeners, missing) = open_all(addresses, open)?;
    for ListenError { address, error } in missing {
        tracing::warn!(%error, "cannot listen on {address} for {what}: the other addresses of that name are served");
    }
    Ok(listeners)
}

/// Calls `open`, which also returns the port that it took, for each of `addresses`. Returns what it opened, and the
/// addresses that this machine does not have.
fn open_all<L>(
    addresses: &[SocketAddr],
    open: impl Fn(SocketAddr) -> io::Result<(L, u16)>,
) -> Result<(Vec<L>, Vec<ListenError>), ListenError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match open_once(addresses, &open) {
            Err(OpenFailure { address, error, has_chosen_port: true })
                if error.kind() == io::ErrorKind::AddrInUse =>
            {
                if tries == PORT_TRIES {
                    let taken = format!(
                        "none of {PORT_TRIES} ports that were free at another address of that name is free here"
                    );
                    let address = SocketAddr::new(address.ip(), 0);
                    return Err(ListenError { address, error: io::Error::other(taken) });
                }
            }
            Err(OpenFailure { address, error, .. }) => return Err(ListenError { address, error }),
            Ok(opened) => return Ok(opened),
        }
    }
}

/// Why an address cannot be listened on, so that none of the others is.
struct OpenFailure {
    address: SocketAddr,
    error: io::Error,
    /// Whether its port was chosen because it is free at another address.
    has_chosen_port: bool,
}

fn open_once<L>(
    addresses: &[SocketAddr],
    open: impl Fn(SocketAddr) -> io::Result<(L, u16)>,
) -> Result<(Vec<L>, Vec<ListenError>), OpenFailure> {
    let (mut opened, mut missing, mut chosen) = (Vec::new(), Vec::new(), None);
    for &address in addresses {
        let chosen_port = chosen.filter(|_| address.port() == 0);
        let mut address = address;
        address.set_port(chosen_port.unwrap_or(address.port()));
        match open(address) {
            Ok((listener, port)) => {
                opened.push(listener);
                chosen = Some(port);
            }
            Err(error) if is_not_here(&error) => missing.push(ListenError { address, error }),
            Err(error) => {
                return Err(OpenFailure { address, error, has_chosen_port: chosen_port.is_some() });
            }
        }
    }
    match missing.pop() {
        Some(ListenError { address, error }) if opened.is_empty() => {
            Err(OpenFailure { address, error, has_chosen_port: false })
        }
        last => {
            missing.extend(last);
            Ok((opened, missing))
        }
    }
}

/// Whether the machine does not have the address, for example because IPv6 is off.
fn is_not_here(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EADDRNOTAVAIL | Errno::EAFNOSUPPORT))
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart need not wait until the last server's connections have left TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    // Accepted connections inherit all of these, so they need no call of their own. A reply is small and a client waits
    // for it (TCP-9); and a client whose machine has gone without a word is noticed.
    socket.set_tcp_nodelay(!fault!(LeavesNagleOn))?;
    socket.set_tcp_keepalive(&KEEPALIVE)?;
    // Old kernels lack this, which is no reason not to serve.
    let _ = socket.set_tcp_notsent_lowat(KERNEL_UNSENT_BYTES_MAX);
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn addresses(port: u16) -> [SocketAddr; 2] {
        [SocketAddr::from(([127, 0, 0, 1], port)), SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], port))]
    }

    fn failure(errno: Errno) -> io::Error {
        io::Error::from_raw_os_error(errno as i32)
    }

    /// Opens both addresses on a machine where `open` decides, and returns how many were tried.
    fn opened(
        port: u16,
        open: impl Fn(SocketAddr, usize) -> io::Result<u16>,
    ) -> (Result<Vec<SocketAddr>, String>, usize) {
        let tried = RefCell::new(0);
        let outcome = open_all(&addresses(port), |mut address| {
            *tried.borrow_mut() += 1;
            let port = open(address, *tried.borrow())?;
            address.set_port(port);
            Ok((address, port))
        });
        let outcome = outcome
            .map(|(opened, _)| opened)
            .map_err(|ListenError { address, error }| format!("{address}: {error}"));
        (outcome, tried.take())
    }

    #[test]
    fn a_free_port_is_one_that_is_free_at_each_address_of_the_name() {
        let (outcome, tried) = opened(0, |address, tried| match (address.port(), tried) {
            (0, _) => Ok(1000 + tried as u16),
            (port, 1..=4) if address.is_ipv6() => {
                assert!(port > 1000);
                Err(failure(Errno::EADDRINUSE))
            }
            (port, _) => Ok(port),
        });
        assert_eq!((outcome, tried), (Ok(addresses(1005).to_vec()), 6));
        let (outcome, tried) = opened(0, |address, _| match address.port() {
            0 => Ok(1000),
            _ => Err(failure(Errno::EADDRINUSE)),
        });
        let expected =
            "[::1]:0: none of 32 ports that were free at another address of that name is free here";
        assert_eq!((outcome, tried), (Err(expected.to_owned()), 2 * PORT_TRIES));
        let (_, tried) = opened(1601, but_ipv6(Errno::EADDRINUSE));
        assert_eq!(tried, 2, "a port that was named is tried once");
    }

    /// A machine that refuses IPv6 with this error.
    fn but_ipv6(errno: Errno) -> impl Fn(SocketAddr, usize) -> io::Result<u16> {
        move |address, _| if address.is_ipv6() { Err(failure(errno)) } else { Ok(1601) }
    }

    #[test]
    fn an_address_that_the_machine_does_not_have_is_left_out_unless_there_is_no_other() {
        for absent in [Errno::EAFNOSUPPORT, Errno::EADDRNOTAVAIL] {
            for port in [0, 1601] {
                let (outcome, _) = opened(port, but_ipv6(absent));
                assert_eq!(outcome, Ok(vec![addresses(1601)[0]]));
                let (outcome, _) = opened(port, |_, _| Err(failure(absent)));
                assert!(outcome.is_err());
            }
        }
        let (outcome, _) = opened(1601, but_ipv6(Errno::EACCES));
        assert!(outcome.is_err(), "what the machine has is to be served");
    }
}
