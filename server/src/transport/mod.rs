//! From bytes to messages and back, for each transport: framing, back pressure, closing.
//!
//! The transports hand messages to a [`crate::session::Session`] and frame its replies; they decide on no reply.

mod framing;
mod leave;
mod stream;
mod unsent;
mod websocket;

use std::{cell::RefCell, fmt, rc::Rc, sync::Arc};

use tokio::net::TcpStream;

pub(crate) use self::leave::close;

use crate::{
    counters::Counters,
    protocol::{MESSAGE_BYTES_MAX, Status},
    registry::Registry,
    server::{Departures, Phase, PhaseCell, Seat},
};

/// The most that waits unsent for one client before the server stops reading from it.
///
/// Four of the largest replies: a pipelining client never notices it, and ten thousand clients that never read
/// cannot hold more than 2.5 GiB between them. Work stops at the end of a batch, so that the true peak is this and
/// one [`BATCH_BYTES`] and one reply more.
const UNSENT_BYTES_MAX: usize = 256 * 1024;

/// How many bytes of replies are gathered before they are written. One write for as many as possible, but a
/// worker's buffer should stay inside the CPU's second-level cache.
const BATCH_BYTES: usize = 64 * 1024;

/// What one connection may spend before its neighbours get their turn, in bytes of requests and replies.
///
/// Some thousand short requests or two of the largest, 100 to 200 microseconds: with a hundred flooding clients on
/// one worker a neighbour still waits no more than 20 milliseconds.
const TURN_BUDGET: usize = 128 * 1024;

/// The share of [`TURN_BUDGET`] that a request costs beside its bytes.
const TURN_COST: usize = 64;

/// How a listener's connections speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// Lines over TCP.
    Tcp,
    /// Whatever one read brings is one message: the original clients' way.
    TcpRaw,
    /// One text message a request (RFC 6455).
    WebSocket,
}

impl Transport {
    /// Every transport, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Tcp, Self::TcpRaw, Self::WebSocket];

    /// The transport's name in ready lines, messages and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::TcpRaw => "tcp-raw",
            Self::WebSocket => "websocket",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a worker lends to each of its connections. An idle connection owns no buffer at all.
#[derive(Debug)]
pub(crate) struct Host {
    /// Where names, stores and roles are.
    pub(crate) registry: Arc<Registry>,
    /// What this worker counts.
    pub(crate) counters: Arc<Counters>,
    /// Borrowed within one poll only, never across an await.
    pub(crate) buffers: RefCell<Buffers>,
    /// Whether the server runs or is on its way down.
    pub(crate) phase: PhaseCell,
    /// Room for connections that are being closed.
    pub(crate) departures: Departures,
}

/// A worker's scratch space.
#[derive(Debug)]
pub(crate) struct Buffers {
    input: Box<[u8]>,
    output: Vec<u8>,
}

impl Buffers {
    /// Room for one read and one batch of replies.
    pub(crate) fn new() -> Self {
        // One byte more than a message may have: a raw chunk that is too long shows as such.
        Self { input: vec![0; MESSAGE_BYTES_MAX + 1].into(), output: Vec::with_capacity(BATCH_BYTES) }
    }
}

/// Serves one connection until it ends.
pub(crate) async fn serve(stream: TcpStream, transport: Transport, seat: Seat, host: Rc<Host>) {
    let _open = host.counters.open(transport);
    match transport {
        Transport::Tcp => stream::serve::<framing::Lines>(stream, seat, host).await,
        Transport::TcpRaw => stream::serve::<framing::Chunks>(stream, seat, host).await,
        // Boxed, so that an idle TCP connection is not as large as a WebSocket.
        Transport::WebSocket => Box::pin(websocket::serve(stream, seat, host)).await,
    }
}

/// Tells a client that there is no room for it (TCP-6, WS-6), and closes.
pub(crate) async fn refuse(stream: TcpStream, transport: Transport) {
    leave::say_and_close(stream, &refusal(transport)).await;
}

/// Like [`refuse`], but without waiting for the client: should it have sent anything, a reset may overtake the text.
pub(crate) fn refuse_at_once(stream: &TcpStream, transport: Transport) {
    // A fresh socket takes this whole; if it does not, the client is gone.
    let _ = stream.try_write(&refusal(transport));
}

fn refusal(transport: Transport) -> Vec<u8> {
    let text = Status::ServerFull.text();
    match transport {
        Transport::Tcp => format!("{text}\n").into_bytes(),
        Transport::TcpRaw => text.as_bytes().to_vec(),
        Transport::WebSocket => websocket::full(),
    }
}

/// Whether a connection that has nothing left to read right now is to end because the server does.
fn is_drained(host: &Host) -> bool {
    // A read may also be put off because the task has used up its share of this round; then more may be there.
    host.phase.get() != Phase::Running && tokio::task::coop::has_budget_remaining()
}
