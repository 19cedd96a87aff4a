//! SIGTERM under full load, through the real program: what got in before it is answered.

use std::{
    io::{Read, Write},
    net::SocketAddr,
    process::Stdio,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use twinwire_server::Transport;

use crate::replies::{KEY_NOT_FOUND, SUCCESS, UPGRADE_REFUSED};
use crate::{
    disturbance::undisturbed,
    program::{ON_FREE_PORTS, Program, command},
    support::Client,
};

const CLIENTS: usize = 12;

/// Requests that a client writes at once, and the most that it has open: they fit every buffer on the way, so that
/// what is written is in the server.
const BATCH: usize = 64;
const OPEN_MAX: usize = 8 * BATCH;

/// The bytes of one reply to what the clients ask, `key not found`.
const fn reply_bytes(transport: Transport) -> usize {
    if let Transport::WebSocket = transport { 15 } else { 14 }
}

/// What one client has done.
#[derive(Default)]
struct Tally {
    sent: AtomicUsize,
    replied: AtomicUsize,
    closed: AtomicBool,
}

/// Asks as fast as it can until the server closes; reads on a thread of its own, and never stops.
fn load(mut client: Client, tally: &Tally) {
    let mut reader = client.stream.try_clone().unwrap();
    let size = reply_bytes(client.transport);
    thread::scope(|scope| {
        scope.spawn(move || {
            let (mut bytes, mut buffer) = (0, vec![0; 64 * 1024]);
            // A reset would be an error here, so a failure of the test.
            while let count @ 1.. = reader.read(&mut buffer).expect("a close, not a reset") {
                bytes += count;
                tally.replied.store(bytes / size, Ordering::SeqCst);
            }
            tally.closed.store(true, Ordering::SeqCst);
        });
        let batch = client.message("get k").repeat(BATCH);
        while !tally.closed.load(Ordering::SeqCst) {
            let sent = tally.sent.load(Ordering::SeqCst);
            if sent - tally.replied.load(Ordering::SeqCst) >= OPEN_MAX {
                thread::sleep(Duration::from_micros(50));
            } else if client.stream.write_all(&batch).is_ok() {
                tally.sent.store(sent + BATCH, Ordering::SeqCst);
            }
        }
    });
}

/// Sessions that begin at the very moment at which the server is asked to stop: most of them have not been accepted.
fn latecomers(address: SocketAddr) -> Vec<Client> {
    let latecomer = |i| {
        let mut client = Client::connect_bare(Transport::Tcp, address);
        client.write(format!("late{i}\nput k v\nget k\n").as_bytes());
        client
    };
    (0..50).map(latecomer).collect()
}

#[test]
fn sigterm_under_full_load_every_request_before_it_is_answered_and_the_exit_is_0_within_5_seconds() {
    undisturbed(|| {
        let mut program = Program::start(&["--tcp", "127.0.0.1:0", "--ws", "127.0.0.1:0", "--workers", "2"]);
        let addresses = [Transport::Tcp, Transport::WebSocket].map(|transport| program.address(transport));
        let tallies: Vec<Tally> = (0..CLIENTS).map(|_| Tally::default()).collect();
        thread::scope(|scope| {
            for (i, tally) in tallies.iter().enumerate() {
                let transport = [Transport::Tcp, Transport::WebSocket][i % 2];
                let mut client = Client::connect(transport, addresses[i % 2]);
                assert_eq!(client.ask(&format!("user{i}")), SUCCESS);
                scope.spawn(move || load(client, tally));
            }
            while tallies.iter().any(|tally| tally.replied.load(Ordering::SeqCst) < 20 * OPEN_MAX) {
                thread::sleep(Duration::from_millis(1));
            }
            let late = latecomers(addresses[0]);
            let before: Vec<usize> = tallies.iter().map(|tally| tally.sent.load(Ordering::SeqCst)).collect();
            let stopped_at = Instant::now();
            program.signal(Signal::SIGTERM);
            for (i, mut client) in late.into_iter().enumerate() {
                assert_eq!(String::from_utf8(client.rest()).unwrap(), "success\ndone\nv\n", "latecomer {i}");
            }
            while !tallies.iter().all(|tally| tally.closed.load(Ordering::SeqCst)) {
                assert!(stopped_at.elapsed() < Duration::from_secs(20), "clients that are never closed");
                thread::sleep(Duration::from_millis(1));
            }
            for (i, (tally, before)) in tallies.iter().zip(before).enumerate() {
                let replied = tally.replied.load(Ordering::SeqCst);
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
fn a_log_that_cannot_be_written_costs_no_reply_and_no_stop() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "right").unwrap();
    let secret = secret.path().to_str().unwrap();
    let flags = ["--log", "info", "--upgrade", "secret", "--upgrade-secret-file", secret];
    // As of a full disk, and of a reader that has gone.
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (reader, gone) = std::io::pipe().unwrap();
    drop(reader);
    for stderr in [Stdio::from(full), Stdio::from(gone)] {
        let mut program = Program::spawn(command(&[&ON_FREE_PORTS[..], &flags].concat()).stderr(stderr));
        for transport in [Transport::Tcp, Transport::TcpRaw, Transport::WebSocket] {
            let mut client = program.client(transport);
            assert_eq!(client.ask("upgrade wrong"), UPGRADE_REFUSED);
            assert_eq!(client.ask("get k"), KEY_NOT_FOUND);
        }
        program.signal(Signal::SIGHUP);
        program.signal(Signal::SIGTERM);
        assert_eq!(program.child.wait().unwrap().code(), Some(0));
    }
}
