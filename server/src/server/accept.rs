//! Accepts on every listener and deals the connections out, each to the worker that has the fewest.

use std::{
    cell::Cell,
    io, net,
    rc::Rc,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::OwnedSemaphorePermit,
    task::{JoinSet, spawn_local},
    time::{sleep, timeout},
};

use super::{
    admission::{Admission, Departures, Seat},
    worker::{Arrival, Desk},
};
use crate::transport::{self, Transport};

/// How long a client that finds the server full waits for a seat before it is told so.
///
/// Somebody who has just left may not have been noticed yet, since closes and new connections come from different
/// sockets and in no order: a refusal must not be false. Short enough that nobody minds.
const FULL_WAIT: Duration = Duration::from_millis(100);

/// How long accepting pauses after an error that lasts, such as too few descriptors. Accepting again at once would
/// only spin: the connection is still there.
const ERROR_WAIT: Duration = Duration::from_millis(50);

/// How often such an error is logged.
const ERROR_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Everything that accepting needs.
#[derive(Debug)]
pub(super) struct Acceptor {
    listeners: Vec<(Transport, net::TcpListener)>,
    dealer: Rc<Dealer>,
}

impl Acceptor {
    pub(super) fn new(
        listeners: Vec<(Transport, net::TcpListener)>,
        desks: Vec<Desk>,
        admission: Admission,
        departures: Departures,
    ) -> Self {
        Self { listeners, dealer: Rc::new(Dealer { desks, next: Cell::new(0), admission, departures }) }
    }

    /// Accepts until it is dropped, which closes the listeners; returns only with an error.
    pub(super) async fn run(self) -> io::Result<()> {
        let mut loops = JoinSet::new();
        for (transport, listener) in self.listeners {
            let listener = TcpListener::from_std(listener)?;
            loops.spawn_local(accept(listener, transport, Rc::clone(&self.dealer)));
        }
        while let Some(ended) = loops.join_next().await {
            ended??;
        }
        Ok(())
    }
}

async fn accept(listener: TcpListener, transport: Transport, dealer: Rc<Dealer>) -> io::Result<()> {
    let mut logged: Option<Instant> = None;
    loop {
        match listener.accept().await {
            Ok((stream, _peer)) => dealer.receive(stream, transport),
            // The client has gone again, or a signal came.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) => {}
            Err(error) => {
                if logged.is_none_or(|at| at.elapsed() >= ERROR_LOG_INTERVAL) {
                    tracing::warn!(%transport, %error, "cannot accept connections; trying again");
                    logged = Some(Instant::now());
                }
                sleep(ERROR_WAIT).await;
            }
        }
        // A storm of connections must not keep this thread from those it serves.
        tokio::task::coop::consume_budget().await;
    }
}

/// Seats connections.
#[derive(Debug)]
struct Dealer {
    desks: Vec<Desk>,
    /// Where the search for the least loaded begins, so that equals take turns.
    next: Cell<usize>,
    admission: Admission,
    departures: Departures,
}

impl Dealer {
    fn receive(self: &Rc<Self>, stream: TcpStream, transport: Transport) {
        // A reply is small and somebody waits for it (TCP-9). Fails only for a socket that is gone already.
        if stream.set_nodelay(true).is_err() {
            return;
        }
        match self.admission.try_admit() {
            Some(permit) => self.seat(stream, transport, permit),
            None => {
                spawn_local(Rc::clone(self).wait_or_refuse(stream, transport));
            }
        }
    }

    fn seat(&self, stream: TcpStream, transport: Transport, permit: OwnedSemaphorePermit) {
        let count = self.desks.len();
        let from = self.next.get();
        let least = (0..count)
            .map(|step| (from + step) % count)
            .min_by_key(|index| self.desks[*index].load.load(Ordering::Relaxed));
        let Some(index) = least else { return };
        self.next.set((index + 1) % count);
        // The stream leaves this thread's poller: its worker watches it with its own.
        let Ok(stream) = stream.into_std() else { return };
        let Desk { inbox, load } = &self.desks[index];
        let seat = Seat::new(permit, load.clone());
        if inbox.send(Arrival { stream, transport, seat }).is_err() {
            tracing::error!(worker = index, "worker is gone: its connection is dropped");
        }
    }

    async fn wait_or_refuse(self: Rc<Self>, stream: TcpStream, transport: Transport) {
        // Waiting takes a descriptor as well. Past that bound nobody waits, neither for a seat nor for a close.
        let Some(_room) = self.departures.try_enter() else {
            return transport::refuse_at_once(&stream, transport);
        };
        if let Ok(Some(permit)) = timeout(FULL_WAIT, self.admission.admit()).await {
            self.seat(stream, transport, permit);
        } else {
            transport::refuse(stream, transport).await;
        }
    }
}
