//! Accepts on every listener and deals the connections out, each to the worker that has the fewest.

use std::{
    cell::Cell,
    io, net,
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
    admission::{Admission, Departures, Seat},
    worker::{Arrival, Desk},
};
use crate::{
    counters::{Counters, Refusal},
    transport::{self, Transport},
};

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
        counters: Arc<Counters>,
    ) -> Self {
        let dealer = Dealer { desks, next: Cell::new(0), admission, departures, counters };
        Self { listeners, dealer: Rc::new(dealer) }
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
    /// Those of the worker on whose thread this is.
    counters: Arc<Counters>,
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
        let loads = self.desks.iter().map(|desk| desk.load.load(Ordering::Relaxed)).collect::<Vec<_>>();
        let Some(index) = least_loaded(&loads, self.next.get()) else { return };
        self.next.set(index + 1);
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
            self.counters.refused(Refusal::ServerFull);
            return transport::refuse_at_once(&stream, transport);
        };
        if let Ok(Some(permit)) = timeout(FULL_WAIT, self.admission.admit()).await {
            self.seat(stream, transport, permit);
        } else {
            self.counters.refused(Refusal::ServerFull);
            transport::refuse(stream, transport).await;
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
