//! For how long a client may take none of its replies.
//!
//! That the kernel takes nothing more from the server does not mean that the client takes nothing from the kernel: it
//! asks for more only when a good part of its buffer, some megabytes, is free again. So the client's own
//! acknowledgements are counted, a few times in each time-out.

use std::{
    future::poll_fn,
    io,
    task::{Context, Poll},
    time::Duration,
};

use nix::{
    getsockopt_impl, libc,
    sys::socket::{getsockopt, sockopt::GetStruct},
};
use tokio::{net::TcpStream, time::timeout};

/// How often a time-out is looked at. One that nothing was taken in since has struck; a client may be given one such
/// part more, as its replies were still on their way when it began.
pub(super) const LOOKS: u32 = 4;

/// The bytes of the kernel's `struct tcp_info` up to the end of `tcpi_bytes_acked`, which is the last of them.
const INFO_BYTES: usize = 128;

/// The option `TCP_INFO`, cut off after what is wanted of it.
#[derive(Clone, Copy)]
struct Info;

getsockopt_impl!(Info, libc::IPPROTO_TCP, libc::TCP_INFO, [u8; INFO_BYTES], GetStruct<[u8; INFO_BYTES]>);

/// How many bytes the other end has ever acknowledged; 0 where the system does not tell.
pub(super) fn taken_bytes(stream: &TcpStream) -> u64 {
    let info = getsockopt(stream, Info).ok();
    info.and_then(|info| info.last_chunk().copied()).map_or(0, u64::from_ne_bytes)
}

/// Polls `flush` until it is ready, for as long as the client does not go for `patience` without a byte more `taken`.
pub(super) async fn wait_for<T>(
    socket: &mut T,
    patience: Option<Duration>,
    taken: impl Fn(&T) -> u64,
    mut flush: impl FnMut(&mut T, &mut Context<'_>) -> Poll<io::Result<()>>,
) -> io::Result<()> {
    // Nearly always there is nothing to wait for.
    if let Poll::Ready(flushed) = poll_fn(|cx| Poll::Ready(flush(socket, cx))).await {
        return flushed;
    }
    let Some(patience) = patience else { return poll_fn(|cx| flush(socket, cx)).await };
    let (mut taken_before, mut in_vain) = (taken(socket), 0);
    while in_vain < LOOKS {
        if let Ok(flushed) = timeout(patience / LOOKS, poll_fn(|cx| flush(socket, cx))).await {
            return flushed;
        }
        let taken_now = taken(socket);
        in_vain = if taken_now > taken_before { 0 } else { in_vain + 1 };
        taken_before = taken_now;
    }
    Err(io::ErrorKind::TimedOut.into())
}
