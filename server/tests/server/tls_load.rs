//! TLS under load: what waits for a client is bounded, and SIGTERM loses nothing.

use std::{
    io::Write,
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use rustls::ClientConnection;
use twinwire_server::Transport::Tcp;

use crate::replies::{DONE, SUCCESS, UPGRADED};
use crate::{
    certificate::Certificate,
    disturbance::undisturbed,
    support::{Client, TestServer},
    tls::{BOTH, program},
};

fn login(i: usize, addresses: &[SocketAddr; 2], name: &str) -> Client {
    let mut client = Client::connect(BOTH[i % 2], addresses[i % 2]);
    assert_eq!(client.ask(name), SUCCESS);
    client
}

#[test]
fn life_5_a_client_that_never_reads_costs_no_more_than_may_wait_and_one_batch_inside_tls() {
    undisturbed(|| {
        const DEAF: usize = 40;
        let mut program = program(&["--workers", "1", "--max-unsent", "64KiB"]);
        let addresses = BOTH.map(|transport| program.address(transport));
        let mut neighbours = [0, 1].map(|i| login(i, &addresses, &format!("neighbour{i}")));
        let before = program.resident_kib();
        let deaf: Vec<Client> = (0..DEAF)
            .map(|i| {
                let mut client = login(i, &addresses, &format!("deaf{i}"));
                assert_eq!(client.ask(&format!("put k {}", "v".repeat(60_000))), DONE);
                // Each asks for 60 MB.
                client.flood(&client.message("get k").repeat(1000));
                client
            })
            .collect();
        for round in 0..300 {
            for neighbour in &mut neighbours {
                let asked = Instant::now();
                assert_eq!(neighbour.ask(&format!("put k {round}")), DONE);
                assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
            }
        }
        // The store's 60 KB, 64 KiB that may wait, a batch and a reply beyond, the library's own, and as much again for
        // what is requested.
        let grown = program.resident_kib().saturating_sub(before);
        assert!(grown < DEAF * 576, "{grown} KiB for {DEAF} clients");
        drop(deaf);
    });
}

#[test]
fn form_3_replies_that_wait_inside_tls_alone_leave_as_soon_as_the_client_reads() {
    let server = TestServer::start();
    let mut manager = server.login(Tcp, "manager");
    assert_eq!(manager.ask("upgrade"), UPGRADED);
    for transport in BOTH {
        let name = format!("user-{transport}");
        let mut client = server.login(transport, &name);
        socket2::SockRef::from(&client.stream).set_recv_buffer_size(64 * 1024).unwrap();
        let value = "v".repeat(48_000);
        assert_eq!(client.ask(&format!("put k {value}")), DONE);
        let framing = if client.is_websocket() { 4 } else { 1 };
        // Less more each time than TLS holds at most: once at least the kernel is full, and all of the rest is there.
        for round in 1.. {
            let mut requests = client.message("get k").repeat(round);
            requests.extend(client.message(&format!("put round {round}")));
            client.write(&requests);
            let (asked, time_max) = (Instant::now(), Duration::from_millis(300));
            let mut is_run = false;
            while !is_run && asked.elapsed() < time_max {
                is_run = manager.ask(&format!("get {name} round")) == round.to_string();
            }
            for _ in 0..round {
                let reply = client.exactly(framing + value.len());
                assert!(reply.windows(value.len()).any(|window| window == value.as_bytes()), "{transport}");
            }
            assert_eq!(client.reply(), DONE);
            if !is_run {
                // So much waits that the server had stopped reading.
                break;
            }
        }
    }
}

const CLIENTS: usize = 8;

/// Requests that a client writes at once, and the most that it has open: they fit every buffer on the way, so that
/// what is written is in the server.
const BATCH: usize = 64;
const OPEN_MAX: usize = 8 * BATCH;

/// Asks as fast as it can until the server closes; the number of replies.
fn load(mut client: Client, sent: &AtomicUsize, replied: &AtomicUsize) {
    let batch = client.message("get k").repeat(BATCH);
    let reply =
        if client.is_websocket() { b"\x81\x0dkey not found".to_vec() } else { b"key not found\n".to_vec() };
    let mut is_closed = false;
    while !is_closed {
        let (open, asked) = (replied.load(Ordering::SeqCst), sent.load(Ordering::SeqCst));
        if asked - open < OPEN_MAX && client.try_write(&batch).is_ok() {
            sent.store(asked + BATCH, Ordering::SeqCst);
            continue;
        }
        match client.try_exactly(reply.len()) {
            Some(bytes) if bytes == reply => {
                replied.fetch_add(1, Ordering::SeqCst);
            }
            Some(bytes) => {
                // The goodbye of a WebSocket, shorter than a reply.
                assert_eq!(bytes, [0x88, 2, 0x03, 0xe9], "{}", String::from_utf8_lossy(&bytes));
                is_closed = true;
            }
            None => is_closed = true,
        }
    }
}

/// A session that is to begin at the very moment at which the server is asked to stop: all but the last of the
/// handshake is made, and its requests come right behind that.
fn latecomer(address: SocketAddr, i: usize) -> (Client, ClientConnection) {
    let mut client = Client::connect_bare(BOTH[0], address);
    let mut tls = Certificate::shared().client();
    tls.write_tls(&mut client.stream).unwrap();
    while tls.is_handshaking() {
        tls.read_tls(&mut client.stream).unwrap();
        tls.process_new_packets().unwrap();
    }
    tls.writer().write_all(format!("late{i}\nput k v\nget k\n").as_bytes()).unwrap();
    (client, tls)
}

/// Sends what is left.
fn arrive((mut client, mut tls): (Client, ClientConnection)) -> Client {
    while tls.wants_write() {
        tls.write_tls(&mut client.stream).unwrap();
    }
    client.tls = Some(tls);
    client
}

#[test]
fn life_4_sigterm_under_full_load_every_request_before_it_is_answered() {
    undisturbed(|| {
        let mut program = program(&["--workers", "2"]);
        let addresses = BOTH.map(|transport| program.address(transport));
        let tallies: Vec<_> = (0..CLIENTS).map(|_| (AtomicUsize::new(0), AtomicUsize::new(0))).collect();
        thread::scope(|scope| {
            let loads: Vec<_> = tallies
                .iter()
                .enumerate()
                .map(|(i, (sent, replied))| {
                    let client = login(i, &addresses, &format!("user{i}"));
                    scope.spawn(move || load(client, sent, replied))
                })
                .collect();
            while tallies.iter().any(|(_, replied)| replied.load(Ordering::SeqCst) < 10 * OPEN_MAX) {
                assert!(!loads.iter().any(thread::ScopedJoinHandle::is_finished), "closed before its time");
                thread::sleep(Duration::from_millis(1));
            }
            let late: Vec<_> = (0..40).map(|i| latecomer(addresses[0], i)).collect();
            let late: Vec<_> = late.into_iter().map(arrive).collect();
            let before: Vec<usize> = tallies.iter().map(|(sent, _)| sent.load(Ordering::SeqCst)).collect();
            let stopped_at = Instant::now();
            program.signal(Signal::SIGTERM);
            for (i, mut client) in late.into_iter().enumerate() {
                assert_eq!(String::from_utf8(client.rest()).unwrap(), "success\ndone\nv\n", "latecomer {i}");
            }
            for load in loads {
                load.join().expect("a close in order");
            }
            for (i, ((_, replied), before)) in tallies.iter().zip(before).enumerate() {
                let replied = replied.load(Ordering::SeqCst);
                assert!(
                    replied >= before,
                    "client {i}: {replied} replies, {before} requests before the signal"
                );
            }
            assert_eq!(program.end(), (Some(0), String::new()));
            assert!(stopped_at.elapsed() < Duration::from_secs(5), "{:?}", stopped_at.elapsed());
        });
    });
}

#[test]
fn life_4_a_handshake_that_is_all_but_over_when_the_server_stops_comes_to_its_end() {
    undisturbed(|| {
        let server = TestServer::start();
        let late = latecomer(server.address(BOTH[0]), 0);
        server.shutdown.trigger();
        // Long enough for the server to have seen it, and a small part of what such a client is given.
        thread::sleep(Duration::from_millis(50));
        let mut client = arrive(late);
        assert_eq!(String::from_utf8(client.rest()).unwrap(), "success\ndone\nv\n");
    });
}

#[test]
fn sigterm_waits_for_no_handshake_that_never_ends() {
    undisturbed(|| {
        let mut program = program(&[]);
        let addresses = BOTH.map(|transport| program.address(transport));
        let mut client = login(0, &addresses, "alice");
        let mut silent = Client::connect_bare(BOTH[1], addresses[1]);
        silent.stream.write_all(b"\x16\x03").unwrap();
        program.signal(Signal::SIGTERM);
        client.expect_close(1001);
        drop(client);
        // A connection that was waited for until the end would be logged.
        assert_eq!(program.end(), (Some(0), String::new()));
    });
}
