//! The time-out for a client that takes none of its replies.
//!
//! If the kernel takes nothing more from the server, the client may still take bytes from the kernel, which asks for
//! more only when a good part of its buffer, some megabytes, is free again. So what counts are the client's own
//! acknowledgements, checked a few times within each time-out.

use std::{
    future::poll_fn,
    io,
    net::TcpStream,
    pin::pin,
    task::{Context, Poll},
    time::Duration,
};

use nix::{
    getsockopt_impl, libc,
    sys::socket::{getsockopt, sockopt::GetStruct},
};
use tokio::time::timeout;

/// How many times within a time-out the acknowledgements are checked. The time-out expires after as many checks without
/// progress, so a client may get one interval more: its replies were still on their way when the first interval began.
pub(super) const CHECKS: u32 = 4;

/// The time that a client has for something, counted in parts. A standstill of the server uses up one part at most,
/// however long it is, since the next part begins after it.
#[derive(Debug)]
pub(super) struct TimeBudget {
    part: Duration,
    parts_left: u32,
}

/// A time budget is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimedOut;

impl TimeBudget {
    /// The time begins to run with the first wait.
    pub(super) fn of(time: Duration) -> Self {
        const PARTS: u32 = 8;
        Self { part: time / PARTS, parts_left: PARTS }
    }

    /// Waits for `awaited` within the time that is left; the rest remains for the next wait.
    pub(super) async fn wait_for<T>(&mut self, awaited: impl Future<Output = T>) -> Result<T, TimedOut> {
        let mut awaited = pin!(awaited);
        while self.parts_left > 0 {
            if let Ok(done) = timeout(self.part, &mut awaited).await {
                return Ok(done);
            }
            self.parts_left -= 1;
        }
        Err(TimedOut)
    }
}

/// The bytes of the kernel's `struct tcp_info` up to the end of `tcpi_bytes_acked`, which is the last of them.
const INFO_BYTES: usize = 128;

/// The socket option `TCP_INFO`, cut off after the field that is used.
#[derive(Clone, Copy)]
struct Info;

getsockopt_impl!(Info, libc::IPPROTO_TCP, libc::TCP_INFO, [u8; INFO_BYTES], GetStruct<[u8; INFO_BYTES]>);

/// The bytes that the other end has acknowledged since the connection began; 0 if the system does not say.
pub(super) fn acked_bytes(stream: &TcpStream) -> u64 {
    let info = getsockopt(stream, Info).ok();
    info.and_then(|info| info.last_chunk().copied()).map_or(0, u64::from_ne_bytes)
}

/// Polls `flush` until it is ready; fails if `acked` does not grow for `time`.
pub(super) async fn flush_within<T>(
    socket: &mut T,
    time: Option<Duration>,
    acked: impl Fn(&T) -> u64,
    mut flush: impl FnMut(&mut T, &mut Context<'_>) -> Poll<io::Result<()>>,
) -> io::Result<()> {
    // Nearly always there is nothing to wait for.
    if let Poll::Ready(flushed) = poll_fn(|cx| Poll::Ready(flush(socket, cx))).await {
        return flushed;
    }
    let Some(time) = time else { return poll_fn(|cx| flush(socket, cx)).await };
    let (mut acked_before, mut without_progress) = (acked(socket), 0);
    while without_progress < CHECKS {
        if let Ok(flushed) = timeout(time / CHECKS, poll_fn(|cx| flush(socket, cx))).await {
            return flushed;
        }
        let acked_now = acked(socket);
        without_progress = if acked_now > acked_before { 0 } else { without_progress + 1 };
        acked_before = acked_now;
    }
    Err(io::ErrorKind::TimedOut.into())
}
