//! Accepts on every listener and deals the connections out, each to the worker that has the fewest.

use std::{
    cell::Cell,
    io,
    net::{self, SocketAddr},
    pin::pin,
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::OwnedSemaphorePermit,
    task::{JoinSet, spawn_local},
    time::{sleep, timeout},
};

use super::{
    listen::BACKLOG,
    worker::{Arrival, Desk},
};
use crate::{
    counters::{Counters, Refusal},
    protocol::Transport,
    runtime::{Admission, Admitted, Departures, Full, Seat, Shutdown, Sparingly},
    tls::Tls,
    transport::{self, Handshakes},
};

/// How long a client that finds the server full waits for a seat before it is told so.
///
/// Somebody who has just left may not have been noticed yet, since closes and new connections come from different
/// sockets and in no order: a refusal must not be false. Short enough that nobody minds.
const FULL_WAIT: Duration = Duration::from_millis(100);

/// How long accepting pauses after an error that lasts, such as too few descriptors. Accepting again at once would
/// only spin: the connection is still there.
const ERROR_WAIT: Duration = Duration::from_millis(50);

/// Everything that accepting needs.
#[derive(Debug)]
pub(super) struct Acceptor {
    listeners: Vec<(Transport, net::TcpListener)>,
    dealer: Dealer,
    shutdown: Shutdown,
}

impl Acceptor {
    pub(super) fn new(
        listeners: Vec<(Transport, net::TcpListener)>,
        desks: Vec<Desk>,
        admission: Admission,
        departures: Departures,
        counters: Arc<Counters>,
        tls: Option<Tls>,
        shutdown: Shutdown,
    ) -> Self {
        let (errors, refusals) = (Sparingly::default(), Sparingly::default());
        let handshakes = Rc::new(Handshakes::new(tls));
        let next = Cell::new(0);
        let dealer = Dealer { desks, next, admission, departures, errors, refusals, counters, handshakes };
        Self { listeners, dealer, shutdown }
    }

    /// Accepts until the server stops, or until an error that lasts. The listeners are closed then, and nobody is
    /// left who had connected before.
    pub(super) async fn run(self) -> io::Result<()> {
        let dealer = Rc::new(self.dealer);
        let mut loops = JoinSet::new();
        for (transport, listener) in self.listeners {
            let listener = TcpListener::from_std(listener)?;
            loops.spawn_local(accept(listener, transport, Rc::clone(&dealer), self.shutdown.clone()));
        }
        drop(dealer);
        while let Some(ended) = loops.join_next().await {
            ended??;
        }
        Ok(())
    }
}

async fn accept(
    listener: TcpListener,
    transport: Transport,
    dealer: Rc<Dealer>,
    shutdown: Shutdown,
) -> io::Result<()> {
    let mut stopping = pin!(shutdown.triggered());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stopping => return accept_the_last(listener, transport, &dealer),
        };
        match accepted {
            Ok((stream, peer)) => {
                if let Some(stream) = dealer.receive(stream, transport, peer) {
                    // It waits here, and those behind it in the backlog, until there is a seat for it, or room to
                    // tell it in order that there is none.
                    tokio::select! {
                        admitted = dealer.admission.admit(peer.ip()) => match admitted {
                            Some(admitted) => dealer.seat(stream, transport, peer, admitted),
                            None => dealer.refuse_at_once(&stream, transport, peer, Full::Address),
                        },
                        Some(room) = dealer.departures.enter() => {
                            dealer.let_wait(stream, transport, peer, Full::Server, room);
                        }
                        () = &mut stopping => {
                            dealer.refuse_at_once(&stream, transport, peer, Full::Server);
                            return accept_the_last(listener, transport, &dealer);
                        }
                    }
                }
            }
            // The client has gone again, or a signal came.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) => {}
            Err(error) => {
                if let Some(untold) = dealer.errors.pass(Instant::now()) {
                    tracing::warn!(%transport, %error, untold, "cannot accept connections; trying again");
                }
                sleep(ERROR_WAIT).await;
            }
        }
        // A storm of connections must not keep this thread from those it serves.
        tokio::task::coop::consume_budget().await;
    }
}

/// Whoever had connected before the server was told to stop may have sent requests, and gets replies to them.
fn accept_the_last(listener: TcpListener, transport: Transport, dealer: &Rc<Dealer>) -> io::Result<()> {
    let listener = listener.into_std()?;
    for _ in 0..BACKLOG {
        // An error means that there is nobody left, nearly always; and whatever it means, it is time to stop.
        let Ok((stream, peer)) = listener.accept() else { break };
        if stream.set_nonblocking(true).is_ok() {
            let stream = dealer.receive(TcpStream::from_std(stream)?, transport, peer);
            if let Some(stream) = stream {
                dealer.refuse_at_once(&stream, transport, peer, Full::Server);
            }
        }
    }
    Ok(())
}

/// Seats connections.
#[derive(Debug)]
struct Dealer {
    desks: Vec<Desk>,
    /// Where the search for the least loaded begins, so that equals take turns.
    next: Cell<usize>,
    admission: Admission,
    departures: Departures,
    errors: Sparingly,
    refusals: Sparingly,
    /// Those of the worker on whose thread this is.
    counters: Arc<Counters>,
    /// With those who are refused.
    handshakes: Rc<Handshakes>,
}

impl Dealer {
    /// Seats a connection, or has it wait for a seat, or for being told that there is none. Gives it back where there is
    /// no room for waiting either.
    fn receive(
        self: &Rc<Self>,
        stream: TcpStream,
        transport: Transport,
        peer: SocketAddr,
    ) -> Option<TcpStream> {
        match self.admission.try_admit(peer.ip()) {
            Ok(admitted) => self.seat(stream, transport, peer, admitted),
            Err(full) => match (full, self.departures.try_enter()) {
                (_, Some(room)) => self.let_wait(stream, transport, peer, full, room),
                // Others need not wait for an address that has more than its share.
                (Full::Address, None) => self.refuse_at_once(&stream, transport, peer, full),
                (Full::Server, None) => return Some(stream),
            },
        }
        None
    }

    fn seat(&self, stream: TcpStream, transport: Transport, peer: SocketAddr, admitted: Admitted) {
        let loads = self.desks.iter().map(|desk| desk.load.load(Ordering::Relaxed)).collect::<Vec<_>>();
        let Some(index) = least_loaded(&loads, self.next.get()) else { return };
        self.next.set(index + 1);
        // The stream leaves this thread's poller: its worker watches it with its own.
        let Ok(stream) = stream.into_std() else { return };
        let Desk { inbox, load } = &self.desks[index];
        let seat = Seat::new(admitted, load.clone());
        if inbox.send(Arrival { stream, peer, transport, seat }).is_err() {
            tracing::error!(worker = index, "worker is gone: its connection is dropped");
        }
    }

    /// Waiting takes a descriptor, which is what `room` is for.
    fn let_wait(
        self: &Rc<Self>,
        stream: TcpStream,
        transport: Transport,
        peer: SocketAddr,
        full: Full,
        room: OwnedSemaphorePermit,
    ) {
        let waiting = Rc::clone(self).wait_or_refuse(stream, transport, peer, full);
        spawn_local(async move {
            waiting.await;
            drop(room);
        });
    }

    async fn wait_or_refuse(
        self: Rc<Self>,
        stream: TcpStream,
        transport: Transport,
        peer: SocketAddr,
        full: Full,
    ) {
        let admitted = timeout(FULL_WAIT, async {
            match full {
                Full::Server => self.admission.admit(peer.ip()).await,
                Full::Address => loop {
                    if let Ok(admitted) = self.admission.try_admit(peer.ip()) {
                        break Some(admitted);
                    }
                    sleep(FULL_WAIT / 10).await;
                },
            }
        });
        if let Ok(Some(admitted)) = admitted.await {
            self.seat(stream, transport, peer, admitted);
        } else {
            // Nobody is sent to a worker any more from here, so nobody need be waited for at shutdown.
            self.refused(transport, peer, full);
            let handshakes = Rc::clone(&self.handshakes);
            drop(self);
            transport::refuse(stream, transport, &handshakes).await;
        }
    }

    fn refuse_at_once(&self, stream: &TcpStream, transport: Transport, peer: SocketAddr, full: Full) {
        self.refused(transport, peer, full);
        transport::refuse_at_once(stream, transport);
    }

    /// Counts a client that is refused, and tells the operator, but not of each one.
    fn refused(&self, transport: Transport, peer: SocketAddr, full: Full) {
        self.counters.refused(match full {
            Full::Server => Refusal::ServerFull,
            Full::Address => Refusal::AddressFull,
        });
        if let Some(untold) = self.refusals.pass(Instant::now()) {
            match full {
                Full::Server => {
                    tracing::warn!(%transport, peer = %peer.ip(), untold, "the server is full: a client was refused");
                }
                Full::Address => {
                    tracing::warn!(%transport, peer = %peer.ip(), untold, "an address has its share: a client was refused");
                }
            }
        }
    }
}

/// Which of `loads` is the least; of equals, the first from `from` on.
fn least_loaded(loads: &[usize], from: usize) -> Option<usize> {
    let count = loads.len();
    (from..from + count).map(|index| index % count).min_by_key(|index| loads[*index])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_go_to_the_least_loaded_and_equals_take_turns() {
        let (mut loads, mut from) = ([0; 3], 0);
        for _ in 0..9 {
            let index = least_loaded(&loads, from).unwrap();
            loads[index] += 1;
            from = index + 1;
        }
        assert_eq!(loads, [3, 3, 3]);
        assert_eq!(least_loaded(&[3, 1, 3], 2), Some(1));
        assert_eq!(least_loaded(&[1, 1, 1], 2), Some(2));
        assert_eq!(least_loaded(&[], 0), None);
    }
}
