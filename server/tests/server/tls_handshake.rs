//! Handshakes that come to nothing, are never finished, or find no room: they end by themselves and disturb no other client.

use std::{
    io::{Read, Write},
    net::SocketAddr,
    num::NonZeroUsize,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use twinwire_server::{
    Transport::{self, Tcp, Tls, Wss},
    config::{Timeouts, Workers},
};

use crate::replies::{KEY_NOT_FOUND, SUCCESS};
use crate::{
    certificate::{Certificate, shake_hands},
    disturbance::undisturbed,
    metrics,
    support::{Client, HANDSHAKE, TestServer},
    tls::{BOTH, program},
};

const NONE: Timeouts = Timeouts { login: None, idle: None, unsent: None, ping: None };

/// The beginning of a client's part.
fn client_hello() -> Vec<u8> {
    let mut bytes = Vec::new();
    Certificate::shared().client().write_tls(&mut bytes).unwrap();
    bytes
}

/// Everything up to the end of TCP, which must be one in order.
fn raw_rest(client: &mut Client) -> Vec<u8> {
    let mut rest = Vec::new();
    client.stream.read_to_end(&mut rest).expect("a close, not a reset");
    rest
}

#[test]
fn life_5_rubbish_gets_an_alert_and_a_close_and_is_counted_and_logged_within_the_rate_limit() {
    let mut program = program(&["--workers", "1", "--log", "info", "--metrics", "0"]);
    let mut neighbour = program.client(Tls);
    let wss = program.address(Wss);
    let line = program.line();
    let metrics = line.trim_end().strip_prefix("listening metrics ").unwrap();
    let rubbish: [(&str, Vec<u8>); 8] = [
        ("a line", b"alice\nput k v\n".to_vec()),
        ("HTTP", HANDSHAKE.as_bytes().to_vec()),
        ("noise", (0..100_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()),
        ("an old hello", b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10".repeat(10)),
        ("a malformed hello", [b"\x16\x03\x01\x00\x10\x01\x00\x00\x0c".as_slice(), &[0xff; 12]].concat()),
        ("an alert first", b"\x15\x03\x03\x00\x02\x02\x28".to_vec()),
        ("data first", b"\x17\x03\x03\x00\x05hello".to_vec()),
        ("a record that is too long", b"\x16\x03\x01\xff\xff".repeat(10_000)),
    ];
    let address = neighbour.stream.peer_addr().unwrap();
    for (name, bytes) in &rubbish {
        for (transport, address) in [(Tls, address), (Wss, wss)] {
            let mut client = Client::connect_bare(transport, address);
            // The server may have seen enough before all is sent.
            let _ = client.stream.write_all(bytes);
            let received = raw_rest(&mut client);
            // The library closes without a word on what comes in a good record that has no place there.
            let is_silent = received.is_empty() && name.ends_with("first");
            assert!(
                is_silent || received.len() == 7 && received.starts_with(&[21, 3]),
                "{name}: {received:x?}"
            );
            assert_eq!(neighbour.ask("get k"), KEY_NOT_FOUND);
        }
    }
    // A probe of the port is not a failed handshake.
    drop(Client::connect_bare(Tls, address));
    let mut looking = Client::connect_bare(Tls, address);
    looking.half_close();
    assert_eq!(raw_rest(&mut looking), b"");
    let reply = metrics::once(metrics, r#"twinwire_connections_open{transport="tls"}"#, 1);
    let refused = metrics::figure(&reply, r#"twinwire_refusals_total{reason="tls-handshake"}"#);
    assert_eq!(refused, Some(rubbish.len() as u64 * 2));
    drop(neighbour);
    program.signal(Signal::SIGTERM);
    let (code, log) = program.end();
    assert_eq!(code, Some(0));
    let lines: Vec<_> = log.lines().filter(|line| line.contains("a TLS handshake failed")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(lines[0].contains("transport=tls peer=\"127.0.0.1:"), "{log}");
}

#[test]
fn a_client_that_does_not_trust_the_certificate_is_logged() {
    let mut program = program(&["--log", "info"]);
    let mut client = Client::connect_bare(Tls, program.address(Tls));
    let other = Certificate::new();
    assert!(shake_hands(&mut other.client(), &mut client.stream).is_err());
    drop(client);
    program.signal(Signal::SIGTERM);
    let (code, log) = program.end();
    assert!(code == Some(0) && log.contains("a TLS handshake failed") && log.contains("alert"), "{log}");
}

#[test]
fn tcp_9_the_first_request_of_a_client_with_nagles_algorithm_does_not_wait() {
    let server = TestServer::start();
    let first = |i: usize| {
        let mut client = Client::connect_bare(Tls, server.address(Tls));
        client.stream.set_nodelay(false).unwrap();
        client.encrypt(Certificate::shared().client());
        let asked = Instant::now();
        assert_eq!(client.ask(&format!("user{i}")), SUCCESS);
        asked.elapsed()
    };
    // The kernel would put its acknowledgement off by 40 ms each time, however quick the machine.
    assert!((0..100).any(|i| first(i) < Duration::from_millis(30)), "not one of a hundred came at once");
}

#[test]
fn tcp_7_a_handshake_that_is_never_finished_ends_with_the_login_time_out() {
    undisturbed(|| {
        let limit = Duration::from_millis(400);
        let server = TestServer::with(|config| {
            config.timeouts = Timeouts { login: Some(limit), ..NONE };
            config.workers = Workers::Floating(NonZeroUsize::MIN);
        });
        let hello = client_hello();
        let began = Instant::now();
        let mut waiting = Vec::new();
        for transport in BOTH {
            for part in [0, 1, 5, hello.len() / 2, hello.len()] {
                let mut client = Client::connect_bare(transport, server.address(transport));
                client.write(&hello[..part]);
                waiting.push(client);
            }
        }
        let mut neighbour = server.login(Tls, "neighbour");
        while began.elapsed() < limit / 2 {
            assert_eq!(neighbour.ask("get k"), KEY_NOT_FOUND);
        }
        for client in &mut waiting {
            let mut said = Vec::new();
            // A client that cannot understand the text is sent none; what comes is the server's own part of the handshake.
            let _ = client.stream.read_to_end(&mut said);
            assert!(said.is_empty() || said[0] == 22, "{said:x?}");
            assert!(began.elapsed() >= limit, "not before its time");
        }
        assert!(began.elapsed() < limit * 10);
        assert_eq!(neighbour.ask("get k"), KEY_NOT_FOUND, "the time-out is for the login alone");
    });
}

#[test]
fn a_client_that_never_finishes_a_handshake_is_logged() {
    let mut program = program(&["--log", "info", "--login-timeout", "200ms"]);
    let mut client = Client::connect_bare(Tls, program.address(Tls));
    let name = format!("peer=\"{}\"", client.stream.local_addr().unwrap());
    assert_eq!(raw_rest(&mut client), b"");
    program.signal(Signal::SIGTERM);
    let (_, log) = program.end();
    let line = log.lines().find(|line| line.contains("a TLS handshake failed")).unwrap();
    assert!(line.contains(&name) && line.contains("took too long"), "{line}");
}

#[test]
fn tcp_7_handshake_and_login_share_one_time_out() {
    undisturbed(|| {
        let limit = Duration::from_millis(1500);
        let server = TestServer::with(|config| config.timeouts = Timeouts { login: Some(limit), ..NONE });
        for transport in BOTH {
            let began = Instant::now();
            let mut client = Client::connect_bare(transport, server.address(transport));
            thread::sleep(limit / 2);
            client.encrypt(Certificate::shared().client());
            if client.is_websocket() {
                // The head of its handshake comes too late as well.
                client.write(b"GET / HTTP/1.1\r\n");
                assert!(String::from_utf8(client.rest()).unwrap().starts_with("HTTP/1.1 408 "));
            } else {
                assert_eq!(client.rest(), b"login timeout\n");
            }
            assert!(began.elapsed() >= limit, "not before its time");
            assert!(began.elapsed() < limit + limit / 2, "not as long again after the handshake");
        }
    });
}

#[test]
fn life_5_resets_in_the_middle_of_handshakes_leave_nothing_behind() {
    let mut program = program(&["--workers", "1"]);
    let mut neighbour = program.client(Tls);
    let wss = program.address(Wss);
    let addresses = [neighbour.stream.peer_addr().unwrap(), wss];
    // What is made once is made now.
    drop(Client::connect(Wss, wss));
    let descriptors = program.descriptors() - 1;
    let hello = client_hello();
    for i in 0..300 {
        let mut client = Client::connect_bare(BOTH[i % 2], addresses[i % 2]);
        client.write(&hello[..hello.len().min(i * 7)]);
        if i % 3 == 0 && hello.len() <= i * 7 {
            // Into the middle of the server's own part.
            client.stream.read_exact(&mut [0]).unwrap();
        }
        client.reset();
        if i % 10 == 0 {
            assert_eq!(neighbour.ask("get k"), KEY_NOT_FOUND);
        }
    }
    let began = Instant::now();
    while program.descriptors() > descriptors.max(1) + 1 {
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "{} instead of {descriptors}",
            program.descriptors()
        );
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn life_5_a_storm_of_handshakes_does_not_delay_others() {
    undisturbed(|| {
        const CLIENTS: usize = 200;
        let server = TestServer::with(|config| config.workers = Workers::Floating(NonZeroUsize::MIN));
        let mut neighbour = server.login(Tcp, "neighbour");
        let left = AtomicUsize::new(CLIENTS);
        thread::scope(|scope| {
            // All have said hello before the first one is answered, as far as that can be had.
            let clients: Vec<_> = (0..CLIENTS)
                .map(|i| {
                    let mut client = Client::connect_bare(BOTH[i % 2], server.address(BOTH[i % 2]));
                    let mut tls = Certificate::shared().client();
                    tls.write_tls(&mut client.stream).unwrap();
                    (client, tls)
                })
                .collect();
            for (mut client, tls) in clients {
                let left = &left;
                scope.spawn(move || {
                    client.encrypt(tls);
                    left.fetch_sub(1, Ordering::SeqCst);
                });
            }
            while left.load(Ordering::SeqCst) > 0 {
                let asked = Instant::now();
                assert_eq!(neighbour.ask("get k"), KEY_NOT_FOUND);
                assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
            }
        });
    });
}

/// What a client on `transport` receives if there is no room: after a handshake, and before it asks anything.
fn expect_full(address: SocketAddr, transport: Transport) {
    let mut client = Client::connect_bare(transport, address);
    client.encrypt(Certificate::shared().client());
    let received = String::from_utf8(client.rest()).unwrap();
    match transport {
        Wss => {
            assert!(
                received.starts_with("HTTP/1.1 503 ") && received.ends_with("\r\n\r\nserver full\n"),
                "{received}"
            );
        }
        _ => assert_eq!(received, "server full\n"),
    }
}

#[test]
fn tcp_6_clients_without_a_seat_wait_for_their_text_within_bounds() {
    undisturbed(|| {
        let server = TestServer::with(|config| config.connections_max = NonZeroUsize::new(1));
        let mut seated = server.login(Tls, "alice");
        for transport in BOTH {
            expect_full(server.address(transport), transport);
        }
        // More than are waited for at once, and none of them says a word. Those beyond wait to be accepted.
        let silent: Vec<_> = (0..200).map(|_| Client::connect_bare(Tls, server.address(Tls))).collect();
        for _ in 0..100 {
            assert_eq!(seated.ask("get k"), KEY_NOT_FOUND);
        }
        drop(silent);
        // Those have gone now, and there is room for the next.
        let began = Instant::now();
        loop {
            let mut client = Client::connect_bare(Tls, server.address(Tls));
            if shake_hands(&mut Certificate::shared().client(), &mut client.stream).is_ok() {
                break;
            }
            assert!(began.elapsed() < Duration::from_secs(10), "no room came back");
        }
    });
}
