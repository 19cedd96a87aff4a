//! TCP-7 and WS-5: what becomes of clients that keep the server waiting.

use std::{
    io::{ErrorKind, Read, Write},
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use twinwire_server::{Transport, config::Timeouts};

use crate::replies::{
    DONE, DUPLICATE_NAME, EXITING, IDLE_TIMEOUT, KEY_NOT_FOUND, LOGIN_TIMEOUT, UPGRADED, USER_NOT_FOUND,
};
use crate::{
    disturbance::undisturbed,
    program::{ON_FREE_PORTS, Program},
    support::{ALL, Client, HANDSHAKE, PIPELINED, PLAIN, TestServer, frame},
};

const NONE: Timeouts = Timeouts { login: None, idle: None, unsent: None, ping: None };

/// Short enough to wait for, long enough that a busy machine does not make a client late by itself.
const SHORT: Duration = Duration::from_millis(400);

fn server(timeouts: Timeouts) -> TestServer {
    TestServer::with(|config| config.timeouts = timeouts)
}

/// What a client that is late receives: a text over TCP, a close without text over WebSocket.
fn expect_timeout(client: &mut Client, text: &str) {
    let expected = match client.transport {
        Transport::Tcp | Transport::Tls => format!("{text}\n").into_bytes(),
        Transport::TcpRaw => text.as_bytes().to_vec(),
        Transport::WebSocket | Transport::Wss => vec![0x88, 2, 0x03, 0xf0],
    };
    assert_eq!(client.rest(), expected, "{}", client.transport);
}

#[test]
fn tcp_7_and_ws_5_a_client_that_does_not_log_in_in_time_is_told_so_and_closed() {
    undisturbed(|| {
        let server = server(Timeouts { login: Some(SHORT), ..NONE });
        let began = Instant::now();
        let mut late: Vec<_> = ALL.into_iter().map(|transport| server.connect(transport)).collect();
        let mut in_time = ALL.map(|transport| server.login(transport, &format!("user-{transport}")));
        for client in &mut late {
            expect_timeout(client, LOGIN_TIMEOUT);
            assert!(began.elapsed() >= SHORT, "not before its time");
        }
        for client in &mut in_time {
            assert_eq!(client.ask("get k"), KEY_NOT_FOUND, "the time-out is for the login alone");
        }
    });
}

#[test]
fn tcp_7_tries_that_fail_do_not_put_the_login_time_out_off() {
    undisturbed(|| {
        let server = server(Timeouts { login: Some(SHORT), ..NONE });
        let _alice = server.login(Transport::Tcp, "alice");
        let (mut client, began) = (server.connect(Transport::Tcp), Instant::now());
        let last = loop {
            let Ok(()) = client.stream.write_all(b"alice\n") else { break "closed".to_owned() };
            let reply = client.reply();
            if reply != DUPLICATE_NAME {
                break reply;
            }
            assert!(began.elapsed() < SHORT * 20, "never timed out");
            std::thread::sleep(Duration::from_millis(5));
        };
        assert_eq!(last, LOGIN_TIMEOUT);
    });
}

#[test]
fn tcp_7_a_handshake_that_does_not_come_in_time_gets_a_whole_http_reply() {
    let server = server(Timeouts { login: Some(SHORT), ..NONE });
    let mut client = Client::connect_bare(Transport::WebSocket, server.address(Transport::WebSocket));
    client.write(&HANDSHAKE.as_bytes()[..40]);
    let reply = String::from_utf8(client.rest()).unwrap();
    assert!(reply.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{reply}");
}

#[test]
fn tcp_7_and_ws_5_a_session_without_requests_is_told_so_and_its_name_is_free() {
    undisturbed(|| {
        let server = server(Timeouts { idle: Some(SHORT), ..NONE });
        for transport in ALL {
            let name = format!("user-{transport}");
            let mut client = server.login(transport, &name);
            let asked = Instant::now();
            assert_eq!(client.ask("put k v"), DONE);
            expect_timeout(&mut client, IDLE_TIMEOUT);
            assert!(asked.elapsed() >= SHORT, "not before its time");
            assert_eq!(server.login(transport, &name).ask("get k"), KEY_NOT_FOUND, "LIFE-2");
        }
    });
}

#[test]
fn tcp_7_a_client_that_asks_often_enough_is_never_idle() {
    undisturbed(|| {
        let server = server(Timeouts { idle: Some(SHORT), login: Some(SHORT), ..NONE });
        let mut clients = ALL.map(|transport| server.login(transport, &format!("user-{transport}")));
        let until = Instant::now() + SHORT * 4;
        while Instant::now() < until {
            for client in &mut clients {
                assert_eq!(client.ask("get k"), KEY_NOT_FOUND);
            }
            std::thread::sleep(SHORT / 20);
        }
    });
}

#[test]
fn life_5_a_standstill_of_the_server_ends_no_connection() {
    const IDLE: Duration = Duration::from_secs(3);
    let mut program = Program::start(&[&ON_FREE_PORTS[..], &["--idle-timeout", "3s"]].concat());
    let mut clients = PLAIN.map(|transport| program.client(transport));
    program.stop();
    for client in &mut clients {
        client.write(&client.message("get k"));
    }
    // That much has to pass: it is what the test is about.
    std::thread::sleep(IDLE * 2);
    program.signal(Signal::SIGCONT);
    for client in &mut clients {
        assert_eq!(client.reply(), KEY_NOT_FOUND);
    }
}

#[test]
fn life_5_a_server_that_stood_still_refuses_no_handshake_for_it() {
    let mut program = Program::start(&[&ON_FREE_PORTS[..], &["--login-timeout", "2s"]].concat());
    let [_, _, address] = PLAIN.map(|transport| program.address(transport));
    let mut clients: Vec<_> = (0..10)
        .map(|_| {
            let mut client = Client::connect_bare(Transport::WebSocket, address);
            client.write(&HANDSHAKE.as_bytes()[..40]);
            client
        })
        .collect();
    // One that is served after them, so that they are being waited for.
    Client::connect(Transport::WebSocket, address);
    program.stop();
    std::thread::sleep(Duration::from_secs(4));
    program.signal(Signal::SIGCONT);
    for client in &mut clients {
        client.write(&HANDSHAKE.as_bytes()[40..]);
    }
    for client in &mut clients {
        let head = client.read_head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    }
}

/// What a client does not take waits in the server, where its limits count it, and not by megabytes in the kernel.
#[test]
fn life_5_a_client_that_never_reads_costs_the_kernel_little_and_is_dropped_however_much_may_wait() {
    let server = TestServer::with(|config| {
        config.timeouts = Timeouts { unsent: Some(SHORT * 4), ..NONE };
        config.unsent_bytes_max = 64 * 1024 * 1024;
    });
    let mut manager = server.login(Transport::Tcp, "manager");
    assert_eq!(manager.ask("upgrade"), UPGRADED);
    for transport in PIPELINED {
        let name = format!("deaf-{transport}");
        let mut deaf = server.login(transport, &name);
        assert_eq!(deaf.ask(&format!("put k {}", "v".repeat(65_000))), DONE);
        assert_eq!(deaf.ask("put n 0"), DONE);
        deaf.write(&[deaf.message("get k").repeat(44), deaf.message("put n 1")].concat());
        // All of its requests have been run by then.
        while manager.ask(&format!("get {name} n")) == "0" {
            std::thread::sleep(SHORT / 20);
        }
        let waiting = kernel_unsent_bytes(server.address(transport), deaf.stream.local_addr().unwrap());
        assert!(waiting < 1024 * 1024, "{transport}: {waiting} bytes");
        let began = Instant::now();
        while manager.ask(&format!("get {name} n")) != USER_NOT_FOUND {
            assert!(began.elapsed() < SHORT * 100, "{transport}: never dropped");
            std::thread::sleep(SHORT / 20);
        }
    }
}

/// What the kernel has of a connection that its other end has not acknowledged, according to /proc/net/tcp.
#[cfg(target_os = "linux")]
fn kernel_unsent_bytes(server: std::net::SocketAddr, client: std::net::SocketAddr) -> usize {
    let ports = [server, client].map(|address| format!(":{:04X}", address.port()));
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let queues = table.lines().find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let is_it = fields[1].ends_with(&ports[0]) && fields[2].ends_with(&ports[1]);
        is_it.then(|| fields[4].to_owned())
    });
    // Nothing, if it has been dropped already.
    queues.map_or(0, |queues| usize::from_str_radix(queues.split_once(':').unwrap().0, 16).unwrap())
}

#[test]
fn tcp_7_pings_pongs_and_half_messages_are_no_requests() {
    let server = server(Timeouts { idle: Some(SHORT), ..NONE });
    let mut pinging = server.login(Transport::WebSocket, "pinging");
    let mut dripping = server.login(Transport::Tcp, "dripping");
    let began = Instant::now();
    while dripping.stream.write_all(b"x").is_ok() && pinging.stream.write_all(&frame(0x8a, b"")).is_ok() {
        assert!(began.elapsed() < SHORT * 20, "never timed out");
        std::thread::sleep(SHORT / 20);
    }
}

#[test]
fn a_client_that_never_reads_is_dropped_after_a_while_and_one_that_reads_late_is_not() {
    let server = TestServer::with(|config| {
        config.timeouts = Timeouts { unsent: Some(SHORT), ..NONE };
        config.unsent_bytes_max = 64 * 1024;
    });
    let mut manager = server.login(Transport::Tcp, "manager");
    assert_eq!(manager.ask("upgrade"), UPGRADED);
    for transport in PIPELINED {
        let name = format!("deaf-{transport}");
        let mut deaf = server.login(transport, &name);
        assert_eq!(deaf.ask(&format!("put k {}", "v".repeat(60_000))), DONE);
        // Far more than every buffer between here and there takes: the server stops reading in the middle.
        let requests = deaf.message("get k").repeat(2000);
        let began = Instant::now();
        deaf.flood(&requests);
        while manager.ask(&format!("get {name} k")) != USER_NOT_FOUND {
            assert!(began.elapsed() < SHORT * 40, "{transport}: never dropped");
            std::thread::sleep(SHORT / 20);
        }
        assert!(began.elapsed() >= SHORT / 2, "{transport}: it had some time");
    }
    // Nothing waits for this one when it rests, however long that is.
    let mut late = server.login(Transport::Tcp, "late");
    late.write(b"put k v\nget k\n");
    std::thread::sleep(SHORT * 3);
    assert_eq!([late.reply(), late.reply()], [DONE, "v"]);
}

#[test]
fn a_client_that_reads_slowly_but_steadily_gets_everything() {
    undisturbed(|| {
        const REPLIES: usize = 300;
        let timeout = SHORT * 2;
        let server = TestServer::with(|config| {
            config.timeouts = Timeouts { unsent: Some(timeout), idle: Some(timeout), ..NONE };
            config.unsent_bytes_max = 64 * 1024;
        });
        for transport in PIPELINED {
            let mut slow = server.login(transport, &format!("slow-{transport}"));
            let value = "v".repeat(60_000);
            assert_eq!(slow.ask(&format!("put k {value}")), DONE);
            // What the kernel holds must not last for as long as a time-out after the server has sent its last.
            socket2::SockRef::from(&slow.stream).set_recv_buffer_size(64 * 1024).unwrap();
            slow.write(&slow.message("get k").repeat(REPLIES));
            // Some 18 MB at less than 8 MB/s: far longer than either time-out, and never a rest as long as one.
            let (began, framing) = (Instant::now(), if slow.is_websocket() { 4 } else { 1 });
            for _ in 0..REPLIES {
                let reply = slow.exactly(value.len() + framing);
                assert!(reply.windows(value.len()).any(|window| window == value.as_bytes()), "{transport}");
                std::thread::sleep(Duration::from_millis(8));
            }
            assert!(began.elapsed() > timeout * 2);
            assert_eq!(slow.ask("q"), EXITING);
            slow.expect_close(1000);
        }
    });
}

/// What a client does once it has asked.
#[derive(Debug, Clone, Copy)]
enum Then {
    Stay,
    Quit,
    HalfClose,
    /// With a close frame.
    Close,
}

/// Reads some 6 MB at 1 MB/s, so that the kernel, which wants a good part of some megabytes free, takes nothing from
/// the server for longer than the client's time is.
fn reads_steadily(server: &TestServer, transport: Transport, then: Then) {
    let mut slow = server.login(transport, &format!("{transport}-{then:?}"));
    let value = "v".repeat(60_000);
    assert_eq!(slow.ask(&format!("put k {value}")), DONE);
    socket2::SockRef::from(&slow.stream).set_recv_buffer_size(64 * 1024).unwrap();
    slow.write(&slow.message("get k").repeat(110));
    match then {
        Then::Stay => {}
        Then::Quit => slow.write(&slow.message("q")),
        Then::HalfClose => slow.half_close(),
        Then::Close => slow.write(&frame(0x88, &1000_u16.to_be_bytes())),
    }
    let framing = if slow.is_websocket() { 4 } else { 1 };
    for number in 0..110 {
        let reply = slow.exactly(value.len() + framing);
        let is_whole = reply.windows(value.len()).any(|window| window == value.as_bytes());
        assert!(is_whole, "{transport}, {then:?}, reply {number}");
        std::thread::sleep(Duration::from_millis(60));
    }
    match then {
        Then::Stay => assert_eq!(slow.ask("get none"), KEY_NOT_FOUND),
        Then::Quit => assert_eq!(slow.reply(), EXITING),
        Then::HalfClose => assert_eq!(slow.rest(), b""),
        Then::Close => slow.expect_close(1000),
    }
}

#[test]
fn life_4_a_client_that_keeps_taking_replies_gets_all_of_them_however_long_it_takes_before_and_after_the_end()
{
    undisturbed(|| {
        // With more to come than may wait, so that the server stops reading, and with less, so that it knows of the end.
        let servers = [64 * 1024, 16 * 1024 * 1024].map(|unsent_bytes_max| {
            TestServer::with(|config| {
                config.timeouts = Timeouts { unsent: Some(SHORT), ..NONE };
                config.unsent_bytes_max = unsent_bytes_max;
            })
        });
        std::thread::scope(|scope| {
            for server in &servers {
                for transport in PIPELINED {
                    for then in [Then::Stay, Then::Quit, Then::HalfClose] {
                        scope.spawn(move || reads_steadily(server, transport, then));
                    }
                }
                for transport in [Transport::WebSocket, Transport::Wss] {
                    scope.spawn(move || reads_steadily(server, transport, Then::Close));
                }
            }
        });
    });
}

#[test]
fn ws_5_a_silent_websocket_is_pinged_and_lives_while_it_answers() {
    undisturbed(|| {
        let server = server(Timeouts { ping: Some(SHORT), ..NONE });
        let mut client = server.login(Transport::WebSocket, "alice");
        for round in 0..3 {
            let began = Instant::now();
            assert_eq!(client.frame(), (0x89, Vec::new()), "an empty ping");
            assert!(round == 0 || began.elapsed() >= SHORT, "no ping before its time");
            client.write(&frame(0x8a, b""));
        }
        assert_eq!(client.ask("get k"), KEY_NOT_FOUND);
    });
}

#[test]
fn ws_5_a_websocket_that_does_not_answer_a_ping_is_closed_with_1008() {
    undisturbed(|| {
        let server = server(Timeouts { ping: Some(SHORT), ..NONE });
        let mut client = server.login(Transport::WebSocket, "alice");
        assert_eq!(client.frame(), (0x89, Vec::new()));
        let pinged = Instant::now();
        client.expect_close(1008);
        assert!(pinged.elapsed() >= SHORT / 2, "it had time to answer");
        server.login(Transport::WebSocket, "alice");
    });
}

#[test]
fn ws_5_a_busy_websocket_is_not_pinged() {
    undisturbed(|| {
        let server = server(Timeouts { ping: Some(SHORT), ..NONE });
        let mut client = server.login(Transport::WebSocket, "alice");
        let until = Instant::now() + SHORT * 3;
        while Instant::now() < until {
            // `ask` takes nothing but a text frame.
            assert_eq!(client.ask("get k"), KEY_NOT_FOUND);
            std::thread::sleep(SHORT / 20);
        }
    });
}

#[test]
fn without_time_outs_no_connection_is_ended() {
    let server = server(NONE);
    let mut clients = ALL.map(|transport| server.connect(transport));
    std::thread::sleep(SHORT);
    for client in &mut clients {
        client.stream.set_nonblocking(true).unwrap();
        let read = client.stream.read(&mut [0]).unwrap_err();
        assert_eq!(read.kind(), ErrorKind::WouldBlock);
    }
}
