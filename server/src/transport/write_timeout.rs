//! For how long a client may take none of its replies.
//!
//! That the kernel takes nothing more from the server does not mean that the client takes nothing from the kernel: it
//! asks for more only when a good part of its buffer, some megabytes, is free again. So the client's own
//! acknowledgements are counted, a few times in each time-out.

use std::{
    future::poll_fn,
    io,
    pin::pin,
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

/// The time that a client has for something, counted in parts: a pause of the server takes one of them at most, however
/// long it is, since the next part begins after it.
#[derive(Debug)]
pub(super) struct Countdown {
    part: Duration,
    parts_left: u32,
}

impl Countdown {
    /// So much time, from the first wait on.
    pub(super) fn of(time: Duration) -> Self {
        const PARTS: u32 = 8;
        Self { part: time / PARTS, parts_left: PARTS }
    }

    /// What `awaited` gives; `None` where the time is over first. What is left of it is there for the next wait.
    pub(super) async fn wait_for<T>(&mut self, awaited: impl Future<Output = T>) -> Option<T> {
        let mut awaited = pin!(awaited);
        while self.parts_left > 0 {
            if let Ok(done) = timeout(self.part, &mut awaited).await {
                return Some(done);
            }
            self.parts_left -= 1;
        }
        None
    }
}

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
