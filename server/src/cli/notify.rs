//! Messages to the service manager, at the socket that `NOTIFY_SOCKET` names (see `sd_notify(3)`).

use std::{
    env,
    ffi::OsStr,
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServiceState {
    /// Every listener is open and served.
    Ready,
    /// An orderly stop has begun.
    Stopping,
}

/// Sends the state to the service manager, if there is one. The server serves even if that fails.
pub(super) fn send_state(state: ServiceState) {
    let Some(socket) = env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty()) else { return };
    if let Err(error) = send(&socket, state) {
        tracing::warn!(socket = %socket.display(), %error, "cannot notify the service manager");
    }
}

fn send(socket: &OsStr, state: ServiceState) -> io::Result<()> {
    let address = match socket.as_bytes() {
        // An abstract name, which no file has.
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    let text = match state {
        ServiceState::Ready => "READY=1\n",
        ServiceState::Stopping => "STOPPING=1\n",
    };
    let sender = UnixDatagram::unbound()?;
    // A manager that takes nothing must not block the server.
    sender.set_nonblocking(true)?;
    sender.send_to_addr(text.as_bytes(), &address).map(drop)
}
