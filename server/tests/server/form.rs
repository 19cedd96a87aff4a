//! FORM over each transport: malformed messages, white space, order under pipelining.

use std::{fmt::Write as _, io::Read};

use twinwire_server::Transport;

use crate::replies::{DENIED, DONE, EXITING, KEY_NOT_FOUND, SUCCESS, UPGRADED, USER_NOT_FOUND, WRONG_FORMAT};
use crate::support::{ALL, PIPELINED, TestServer};

#[test]
fn form_1_malformed_messages_are_refused_and_the_session_goes_on() {
    let server = TestServer::start();
    for transport in ALL {
        let mut client = server.login(transport, &format!("user-{transport}"));
        for bad in [
            "",
            " \t ",
            "x",
            "put",
            "put a",
            "put a b c",
            "get",
            "get a b c",
            "upgrade a b",
            "q q",
            "PUT a b",
            "Q",
        ] {
            assert_eq!(client.ask(bad), WRONG_FORMAT, "{transport}: {bad:?}");
        }
        assert_eq!(client.ask("put a b"), DONE);
    }
}

#[test]
fn form_2_white_space_does_not_count() {
    let server = TestServer::start();
    for transport in ALL {
        let mut client = server.login(transport, &format!("  user-{transport}\t"));
        assert_eq!(client.ask("\x0c put\t \ta \r b  "), DONE);
        assert_eq!(client.ask(" get   a "), "b");
    }
}

#[test]
fn form_3_ten_thousand_requests_in_one_write_are_answered_in_order() {
    let server = TestServer::start();
    for transport in PIPELINED {
        let mut client = server.login(transport, &format!("user-{transport}"));
        let (mut requests, mut expected) = (Vec::new(), Vec::new());
        for i in 0..5000 {
            requests.extend(client.message(&format!("put k {i}")));
            requests.extend(client.message("get k"));
            expected.extend([DONE.to_owned(), i.to_string()]);
        }
        client.write(&requests);
        for expected in expected {
            assert_eq!(client.reply(), expected);
        }
    }
}

#[test]
fn form_3_a_batch_whose_replies_pass_every_buffer_is_answered_in_full() {
    // 300 replies of 64 KiB are far beyond what server and kernel hold for a client: the server has to wait for
    // the reader, and to go on.
    let server = TestServer::start();
    for transport in PIPELINED {
        let mut client = server.login(transport, &format!("user-{transport}"));
        let value = "v".repeat(65_000);
        assert_eq!(client.ask(&format!("put k {value}")), DONE);
        let mut requests = client.message("get k").repeat(300);
        requests.extend(client.message("q"));
        client.write(&requests);
        for _ in 0..300 {
            assert_eq!(client.reply(), value);
        }
        assert_eq!(client.reply(), EXITING);
        client.expect_close(1000);
    }
}

#[test]
fn form_3_a_batch_leaves_in_one_write() {
    let server = TestServer::start();
    let mut client = server.login(Transport::Tcp, "alice");
    let mut batch = String::new();
    for i in 0..32 {
        writeln!(batch, "put k{i} v").unwrap();
    }
    client.write(batch.as_bytes());
    // What is written at once over loopback is read at once: it is one segment.
    let mut replies = [0; 4096];
    let count = client.stream.read(&mut replies).unwrap();
    assert_eq!(&replies[..count], "done\n".repeat(32).as_bytes());
}

#[test]
fn raw_1_original_style_clients_are_served() {
    let server = TestServer::start();
    let mut raw = server.connect(Transport::TcpRaw);
    let mut ws = server.connect(Transport::WebSocket);
    for (request, expected) in [
        ("alice", SUCCESS),
        ("put a 1", DONE),
        ("get a", "1"),
        ("get b", KEY_NOT_FOUND),
        ("get bob a", DENIED),
        ("upgrade", UPGRADED),
        ("get alice a", "1"),
        ("get bob a", USER_NOT_FOUND),
        ("nonsense", WRONG_FORMAT),
        ("q", EXITING),
    ] {
        assert_eq!(raw.ask(request), expected, "raw: {request}");
        // `reply` takes nothing but a whole text message, the denial included.
        assert_eq!(ws.ask(&request.replace("alice", "alice2")), expected, "websocket: {request}");
    }
    raw.expect_close(1000);
    ws.expect_close(1000);
}

#[test]
fn raw_1_chunks_that_are_no_text_or_too_long() {
    let server = TestServer::start();
    let mut client = server.login(Transport::TcpRaw, "alice");
    client.write(b"get \xff");
    assert_eq!(client.reply(), WRONG_FORMAT);
    // The terminator of a client that sends one is white space.
    client.write(b"put a b\r\n");
    assert_eq!(client.reply(), DONE);
}
