//! TLS under load: what waits for a client is bounded, and SIGTERM loses nothing.

use std::{
    io::Write,
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use crate::{
    support::Client,
    tls::{BOTH, program},
};

fn login(i: usize, addresses: &[SocketAddr; 2], name: &str) -> Client {
    let mut client = Client::connect(BOTH[i % 2], addresses[i % 2]);
    assert_eq!(client.ask(name), "success");
    client
}

#[test]
fn life_5_who_never_reads_costs_no_more_than_may_wait_and_one_batch_inside_tls() {
    const DEAF: usize = 40;
    let mut program = program(&["--workers", "1", "--max-unsent", "64KiB"]);
    let addresses = BOTH.map(|transport| program.address(transport));
    let mut neighbours = [0, 1].map(|i| login(i, &addresses, &format!("neighbour{i}")));
    let before = program.resident_kib();
    let deaf: Vec<Client> = (0..DEAF)
        .map(|i| {
            let mut client = login(i, &addresses, &format!("deaf{i}"));
            assert_eq!(client.ask(&format!("put k {}", "v".repeat(60_000))), "done");
            // Each asks for 60 MB.
            client.flood(&client.message("get k").repeat(1000));
            client
        })
        .collect();
    for round in 0..300 {
        for neighbour in &mut neighbours {
            let asked = Instant::now();
            assert_eq!(neighbour.ask(&format!("put k {round}")), "done");
            assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
        }
    }
    // The store's 60 KB, 64 KiB that may wait, a batch and a reply beyond, the library's own, and as much again for
    // what is requested.
    let grown = program.resident_kib().saturating_sub(before);
    assert!(grown < DEAF * 576, "{grown} KiB for {DEAF} clients");
    drop(deaf);
}

const CLIENTS: usize = 8;

/// Requests that a client writes at once, and the most that it has open: they fit every buffer on the way, so that
/// what is written is in the server.
const BATCH: usize = 64;
const OPEN_MAX: usize = 8 * BATCH;

/// Asks as fast as it can until the server closes, and tells how many replies there were.
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

#[test]
fn life_4_sigterm_under_full_load_every_request_before_it_is_answered() {
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
        // Sessions that begin in the very moment: nobody has read their requests yet.
        let late: Vec<_> = (0..20)
            .map(|i| {
                let mut client = Client::connect(BOTH[0], addresses[0]);
                client.write(format!("late{i}\nput k v\nget k\n").as_bytes());
                client
            })
            .collect();
        let before: Vec<usize> = tallies.iter().map(|(sent, _)| sent.load(Ordering::SeqCst)).collect();
        let told = Instant::now();
        program.signal(Signal::SIGTERM);
        for (i, mut client) in late.into_iter().enumerate() {
            assert_eq!(String::from_utf8(client.rest()).unwrap(), "success\ndone\nv\n", "latecomer {i}");
        }
        for load in loads {
            load.join().expect("a close in order");
        }
        for (i, ((_, replied), before)) in tallies.iter().zip(before).enumerate() {
            let replied = replied.load(Ordering::SeqCst);
            assert!(replied >= before, "client {i}: {replied} replies, {before} requests before the signal");
        }
        assert_eq!(program.end(), (Some(0), String::new()));
        assert!(told.elapsed() < Duration::from_secs(5), "{:?}", told.elapsed());
    });
}

#[test]
fn sigterm_waits_for_no_handshake_that_never_ends() {
    let mut program = program(&[]);
    let addresses = BOTH.map(|transport| program.address(transport));
    let mut client = login(0, &addresses, "alice");
    let mut silent = Client::connect_bare(BOTH[1], addresses[1]);
    silent.stream.write_all(b"\x16\x03").unwrap();
    let told = Instant::now();
    program.signal(Signal::SIGTERM);
    client.expect_close(1001);
    drop(client);
    assert_eq!(program.end(), (Some(0), String::new()));
    assert!(told.elapsed() < Duration::from_secs(3), "{:?}", told.elapsed());
}
