//! A server that is abused while its neighbours are watched.
//!
//! Through the program itself, so that its memory and its descriptors can be looked at from outside.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use twinwire_server::Transport::{self, Tcp, WebSocket};

use crate::replies::{DONE, EXITING, SUCCESS};
use crate::{
    program::Program,
    support::{CLIENT_TIMEOUT, Client},
};

/// The transports that are abused.
pub const BOTH: [Transport; 2] = [Tcp, WebSocket];

/// The program, serving both.
pub struct Abused {
    pub program: Program,
    pub addresses: [SocketAddr; 2],
}

impl Abused {
    /// A server with one worker, which has to serve abusers and neighbours alike.
    pub fn start(flags: &[&str]) -> Self {
        let listeners = ["--tcp", "127.0.0.1:0", "--ws", "127.0.0.1:0", "--workers", "1"];
        let mut program = Program::start(&[&listeners, flags].concat());
        let addresses = BOTH.map(|transport| program.address(transport));
        Self { program, addresses }
    }

    pub fn bare(&self, transport: Transport) -> Client {
        Client::connect_bare(transport, self.addresses[usize::from(transport == WebSocket)])
    }

    pub fn connect(&self, transport: Transport) -> Client {
        Client::connect(transport, self.addresses[usize::from(transport == WebSocket)])
    }

    pub fn login(&self, transport: Transport, name: &str) -> Client {
        let mut client = self.connect(transport);
        assert_eq!(client.ask(name), SUCCESS);
        client
    }

    /// Two sessions over each transport that must get each answer within a second (LIFE-5), `until` it is set.
    pub fn expect_service(&self, until: impl Fn(usize) -> bool) {
        let mut clients = BOTH.map(|transport| self.login(transport, &format!("neighbour-{transport}")));
        for round in 0.. {
            for client in &mut clients {
                for (request, expected) in
                    [(format!("put k {round}"), DONE), ("get k".into(), &*round.to_string())]
                {
                    let asked = Instant::now();
                    assert_eq!(client.ask(&request), expected);
                    assert!(
                        asked.elapsed() < Duration::from_secs(1),
                        "{}: {:?}",
                        client.transport,
                        asked.elapsed()
                    );
                }
            }
            if until(round) {
                break;
            }
        }
        for mut client in clients {
            assert_eq!(client.ask("q"), EXITING);
            client.expect_close(1000);
        }
    }

    /// Abuses over both transports at once, and expects service until that has ended.
    pub fn expect_service_during(&self, abuse: impl Fn(Transport) + Sync) {
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let abuse = &abuse;
            let abusers = BOTH.map(|transport| scope.spawn(move || abuse(transport)));
            scope.spawn(|| self.expect_service(|_| is_over.load(Ordering::SeqCst)));
            let ended = abusers.map(thread::ScopedJoinHandle::join);
            is_over.store(true, Ordering::SeqCst);
            for abuser in ended {
                abuser.unwrap();
            }
        });
    }

    /// Waits until no more descriptors are open than `before`, as is the case once every client has gone.
    pub fn expect_descriptors(&self, before: usize) {
        let began = Instant::now();
        while self.program.descriptors() > before {
            assert!(began.elapsed() < CLIENT_TIMEOUT, "{} instead of {before}", self.program.descriptors());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// How much memory the server has gained since `before`, in KiB.
    pub fn growth_kib(&self, before: usize) -> usize {
        self.program.resident_kib().saturating_sub(before)
    }
}
