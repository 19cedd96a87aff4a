//! From bytes to messages and back, for each transport: framing, back pressure, closing.
//!
//! The transports pass messages to a [`crate::session::Session`] and frame its replies. They never decide what to reply.

mod close;
mod delayed_reply;
#[cfg(feature = "faults")]
mod faults;
pub(crate) mod framing;
mod socket;
mod stream;
mod timers;
mod tls;
pub(crate) mod websocket;
mod write_buffer;
mod write_timeout;

use std::{
    cell::RefCell,
    io::{self, Write as _},
    mem::MaybeUninit,
    net::{self, IpAddr, SocketAddr},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use socket2::SockRef;

pub(crate) use self::{close::close, socket::TcpSocket, tls::Handshaker};
use self::{
    framing::{Chunks, Lines},
    socket::Socket,
    timers::{ConnectionTimers, Timeout},
    write_timeout::TimeBudget,
};
use crate::{
    config::Config,
    counters::{Counters, OpenConnection, Refusal},
    protocol::{Framing, MESSAGE_BYTES_MAX, Status, Transport},
    registry::{Peer, Registry},
    runtime::{
        ClosingPermits, CoarseClock, ConnectionPermit, Executor, FairQueue, LogRateLimit, Phase, PhaseCell,
        TaskFuture,
    },
    session::Session,
};

/// How many bytes of replies are gathered before they are written: one write for as many as possible, but the worker's
/// buffer should stay inside the CPU's second-level cache.
const BATCH_BYTES: usize = 64 * 1024;

/// What one connection may spend in one turn, in bytes of requests and replies, before others get theirs.
///
/// Some ninety short requests or one of the largest take a few dozen microseconds. That is about what one request takes
/// in all on an idle server, so a flood makes others wait no more than twice as long. With half of it, floods would
/// poll the kernel for a tenth of their time.
const TURN_BUDGET: usize = 8 * 1024;

/// What a request costs of [`TURN_BUDGET`] besides its bytes.
const TURN_COST: usize = 64;

/// How long a client may take for the TLS and WebSocket handshakes together, unless the login time-out is shorter. No
/// person types here.
const OPENING_MAX: Duration = Duration::from_secs(10);

/// What a worker shares with its connections. An idle connection owns no buffer at all.
#[derive(Debug)]
pub(crate) struct WorkerContext {
    /// Unsent replies may exceed their limit by one batch and one reply, since work stops only between them.
    pub(crate) config: Arc<Config>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) counters: Arc<Counters>,
    /// Borrowed within one poll only, never across an await.
    pub(crate) buffers: RefCell<Buffers>,
    pub(crate) phase: PhaseCell,
    pub(crate) closing_permits: ClosingPermits,
    /// The clock of the connections' time-outs.
    pub(crate) clock: CoarseClock,
    /// The connections that have more to do than one turn allows.
    pub(crate) turns: FairQueue,
    pub(crate) wrong_secret_log: LogRateLimit,
    handshaker: Handshaker,
}

impl WorkerContext {
    pub(crate) fn new(
        config: Arc<Config>,
        registry: Arc<Registry>,
        counters: Arc<Counters>,
        closing_permits: ClosingPermits,
    ) -> Self {
        let handshaker = Handshaker::new(config.tls.clone());
        // Without time-outs the clock that they go by stands still.
        let step = config.timeouts.step_max().unwrap_or_default();
        let clock = CoarseClock::new(Instant::now(), registry.started(), step);
        Self {
            buffers: RefCell::new(Buffers::new(config.message_bytes_max)),
            config,
            registry,
            counters,
            phase: PhaseCell::new(),
            closing_permits,
            clock,
            turns: FairQueue::default(),
            wrong_secret_log: LogRateLimit::default(),
            handshaker,
        }
    }

    /// Enters `phase` and wakes every connection for it.
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.clock.wake_all();
    }

    fn new_session(&self, peer: Peer) -> Session {
        let (registry, counters) = (Arc::clone(&self.registry), Arc::clone(&self.counters));
        Session::new(registry, peer, self.config.message_bytes_max, counters)
    }

    /// How long a connection may take until requests can be sent on it.
    fn opening_time(&self) -> TimeBudget {
        TimeBudget::of(self.config.timeouts.login.unwrap_or(OPENING_MAX).min(OPENING_MAX))
    }

    /// Counts a time-out that ends a connection.
    fn count_timeout(&self, timeout: Timeout) {
        self.counters.refused(match timeout {
            Timeout::Login => Refusal::LoginTimeout,
            Timeout::Idle => Refusal::IdleTimeout,
            Timeout::Unsent => Refusal::UnsentTimeout,
        });
    }

    /// Logs a wrong secret, within the rate limit.
    fn log_wrong_secret(&self, user: Option<&str>, stream: &net::TcpStream) {
        if let Some(suppressed) = self.wrong_secret_log.pass(Instant::now()) {
            let peer = stream.peer_addr().map(|peer| peer.to_string()).unwrap_or_default();
            tracing::warn!(user, peer, suppressed, "a wrong upgrade secret was tried");
        }
    }
}

/// A worker's scratch space.
#[derive(Debug)]
pub(crate) struct Buffers {
    input: Box<[u8]>,
    output: Vec<u8>,
}

impl Buffers {
    /// Room for one read and one batch of replies.
    fn new(message_bytes_max: usize) -> Self {
        // One byte more than the longest message, so that a raw chunk that is too long shows as such. Short messages
        // come in batches, so there is never less room than by default.
        let input = vec![0; message_bytes_max.max(MESSAGE_BYTES_MAX) + 1].into();
        Self { input, output: Vec::with_capacity(BATCH_BYTES) }
    }
}

/// What every connection is served with, whatever its transport.
struct ConnectionParts {
    permit: ConnectionPermit,
    /// Begun when the connection was accepted.
    timers: ConnectionTimers,
    /// Counts the connection as open.
    open: OpenConnection,
    worker: Rc<WorkerContext>,
}

/// A connection that has just been accepted. Its socket does not block.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) stream: net::TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) transport: Transport,
}

/// Has `executor` serve a connection until it ends.
pub(crate) fn start(
    executor: &Executor,
    incoming: Incoming,
    permit: ConnectionPermit,
    worker: Rc<WorkerContext>,
) -> io::Result<()> {
    let Incoming { stream, peer, transport } = incoming;
    let socket = TcpSocket::new(stream)?;
    let session = worker.new_session(Peer { address: canonical(peer), transport });
    let opening_time = worker.opening_time();
    let (open, timers) = (worker.counters.open(transport), ConnectionTimers::start(&worker));
    let parts = ConnectionParts { permit, timers, open, worker };
    executor.spawn(if transport.is_encrypted() {
        Box::pin(tls::serve(socket, transport, session, parts, opening_time))
    } else {
        serve(transport.framing(), socket, session, parts, opening_time)
    });
    Ok(())
}

/// Serves a connection over `socket` until it ends.
fn serve<S: Socket + 'static>(
    framing: Framing,
    socket: S,
    session: Session,
    parts: ConnectionParts,
    opening_time: TimeBudget,
) -> TaskFuture {
    // Without a fault the server under test has the very socket that every other build has.
    #[cfg(feature = "faults")]
    if crate::faults::Fault::active().is_some() {
        let socket = faults::FaultySocket::new(socket, framing);
        return serve_framing(framing, socket, session, parts, opening_time);
    }
    serve_framing(framing, socket, session, parts, opening_time)
}

fn serve_framing<S: Socket + 'static>(
    framing: Framing,
    socket: S,
    session: Session,
    parts: ConnectionParts,
    opening_time: TimeBudget,
) -> TaskFuture {
    match framing {
        Framing::Lines => Box::pin(stream::serve::<Lines, _>(socket, session, parts)),
        Framing::Chunks => Box::pin(stream::serve::<Chunks, _>(socket, session, parts)),
        Framing::WebSocket => Box::pin(websocket::serve(socket, session, parts, opening_time)),
    }
}

/// An IPv4 client's address in its own form: a listener for IPv6 that also takes IPv4 gives it in another.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, address.port()),
        IpAddr::V6(_) => address,
    }
}

/// Tells a client that the server is full (TCP-6, WS-6), and closes.
pub(crate) async fn refuse(incoming: Incoming, handshaker: &Handshaker) {
    let Incoming { stream, transport, .. } = incoming;
    let Ok(socket) = TcpSocket::new(stream) else { return };
    let refusal = refusal(transport.framing());
    if transport.is_encrypted() {
        tls::refuse(socket, transport, &refusal, handshaker).await;
    } else {
        close::send_and_close(socket, &refusal).await;
    }
}

/// Like [`refuse`], but without waiting for the client: if it has sent anything, a reset may overtake the text. A
/// client that would need a TLS handshake first is told nothing.
pub(crate) fn refuse_at_once(incoming: &Incoming) {
    if !incoming.transport.is_encrypted() {
        // A fresh socket takes all of this; if not, the client is gone.
        let _ = (&incoming.stream).write(&refusal(incoming.transport.framing()));
    }
}

fn refusal(framing: Framing) -> Vec<u8> {
    if fault!(RefusesWithoutAWord) {
        return Vec::new();
    }
    let text = Status::ServerFull.text();
    match framing {
        Framing::Lines => format!("{text}\n").into_bytes(),
        Framing::Chunks => text.as_bytes().to_vec(),
        Framing::WebSocket if fault!(RefusesWithoutHttp) => Vec::new(),
        Framing::WebSocket => websocket::full(),
    }
}

/// Whether a connection that has just had nothing to read is to end because the server stops.
///
/// The runtime may have nothing to read although something has come: it may not have polled the kernel since, or the
/// task may have used up its budget for this round. What came before the stop is answered, so the kernel is asked. If
/// it has something, the runtime will wake the task for it.
fn is_drained(worker: &WorkerContext, stream: &net::TcpStream) -> bool {
    if worker.phase.get() == Phase::Running {
        return false;
    }
    let peeked = SockRef::from(stream).peek(&mut [MaybeUninit::uninit()]);
    !matches!(peeked, Ok(1..)) && !matches!(peeked, Err(error) if error.kind() == io::ErrorKind::Interrupted)
}
