//! TCP: lines, segments, closing.

use std::time::Duration;

use socket2::SockRef;
use twinwire_server::{
    Transport::{Tcp, TcpRaw},
    config::Timeouts,
};

use crate::disturbance::undisturbed;
use crate::replies::{
    DENIED, DONE, KEY_NOT_FOUND, SUCCESS, TOO_LONG, UPGRADED, USER_NOT_FOUND, WRONG_FORMAT,
};
use crate::support::{ALL, TestServer};

#[test]
fn tcp_1_a_carriage_return_before_the_line_feed_is_dropped() {
    let server = TestServer::start();
    let mut client = server.connect(Tcp);
    client.write(b"alice\r\nput k v\r\nget k\r\n\r\nget k\rx\nq\n");
    let expected = format!("success\ndone\nv\nwrong message format\n{DENIED}\nexiting\n");
    assert_eq!(String::from_utf8(client.rest()).unwrap(), expected);
}

#[test]
fn tcp_2_a_stream_cut_at_every_byte_is_answered_alike() {
    let server = TestServer::start();
    let stream = "alice\nput ключ ☃\r\nget ключ\nget x\n\nq\n".as_bytes();
    for cut in 1..stream.len() {
        let mut client = server.connect(Tcp);
        client.write(&stream[..cut]);
        client.write(&stream[cut..]);
        let replies = String::from_utf8(client.rest()).unwrap();
        assert_eq!(
            replies, "success\ndone\n☃\nkey not found\nwrong message format\nexiting\n",
            "cut at {cut}"
        );
    }
    let mut client = server.connect(Tcp);
    for byte in stream {
        client.write(&[*byte]);
    }
    let replies = String::from_utf8(client.rest()).unwrap();
    assert_eq!(replies, "success\ndone\n☃\nkey not found\nwrong message format\nexiting\n");
}

#[test]
fn tcp_2_urgent_data_is_left_out_and_delays_no_reply() {
    let server = TestServer::start();
    for transport in ALL {
        let mut client = server.login(transport, &format!("alice-{transport}"));
        for _ in 0..100 {
            client.send("get a");
            SockRef::from(&client.stream).send_out_of_band(b"!").unwrap();
            client.send("get b");
            if transport == TcpRaw {
                assert_eq!(client.exactly(2 * KEY_NOT_FOUND.len()), KEY_NOT_FOUND.repeat(2).as_bytes());
            } else {
                assert_eq!([client.reply(), client.reply()], [KEY_NOT_FOUND; 2]);
            }
        }
    }
}

#[test]
fn tcp_3_a_line_over_the_limit_is_refused_and_the_server_closes() {
    let server = TestServer::start();
    for terminated in [true, false] {
        let mut client = server.login(Tcp, "alice");
        assert_eq!(client.ask(&" ".repeat(65_536)), WRONG_FORMAT, "the limit itself is allowed");
        assert_eq!(
            client.ask(&format!("put k v{}\r", " ".repeat(65_536 - 7))),
            DONE,
            "the CR does not count"
        );
        let mut line = vec![b'a'; 65_537];
        line.extend_from_slice(if terminated { b"\nput k v\n" } else { b"" });
        client.write(&line);
        assert_eq!(client.reply(), TOO_LONG);
        client.expect_close(1000);
    }
}

#[test]
fn tcp_4_a_line_that_is_not_utf_8_is_refused_and_the_session_goes_on() {
    let server = TestServer::start();
    let mut client = server.connect(Tcp);
    client.write(b"\xff\nalice\nput k \xc3\x28\nput k \xed\xa0\x80\nget k\n");
    for expected in [WRONG_FORMAT, SUCCESS, WRONG_FORMAT, WRONG_FORMAT, KEY_NOT_FOUND] {
        assert_eq!(client.reply(), expected);
    }
}

#[test]
fn tcp_5_and_life_4_after_a_half_close_whole_lines_are_answered_and_no_other() {
    let server = TestServer::start();
    let mut manager = server.login(Tcp, "manager");
    assert_eq!(manager.ask("upgrade"), UPGRADED);
    let mut client = server.connect(Tcp);
    client.write(b"alice\nput k v\nget k\nput k w");
    client.half_close();
    assert_eq!(String::from_utf8(client.rest()).unwrap(), "success\ndone\nv\n");
    assert_eq!(manager.ask("get alice k"), USER_NOT_FOUND);
}

#[test]
fn life_4_a_half_close_after_much_still_gets_every_reply() {
    let server = TestServer::start();
    let mut client = server.login(Tcp, "alice");
    let value = "v".repeat(60_000);
    assert_eq!(client.ask(&format!("put k {value}")), DONE);
    client.write("get k\n".repeat(200).as_bytes());
    client.half_close();
    assert_eq!(client.rest().len(), 200 * (value.len() + 1));
}

#[test]
fn tcp_8_no_reset_overtakes_what_is_said_before_a_close() {
    undisturbed(|| {
        let timeouts = Timeouts {
            login: Some(Duration::from_millis(300)),
            idle: Some(Duration::from_millis(300)),
            ..Timeouts::default()
        };
        let server = TestServer::with(|config| {
            config.timeouts = timeouts;
            config.connections_max = std::num::NonZeroUsize::new(2);
        });
        // 64 KiB more than the server will ever read as messages: the beginning of a line that does not end.
        let more = vec![b'x'; 64 * 1024];
        for _ in 0..3 {
            let mut unnamed = server.connect(Tcp);
            let mut idle = server.login_when_free(Tcp, "alice");
            let mut unseated = server.connect(Tcp);
            for client in [&mut unnamed, &mut idle, &mut unseated] {
                client.write(&more);
            }
            std::thread::sleep(Duration::from_millis(700));
            assert_eq!(String::from_utf8(unseated.rest()).unwrap(), "server full\n");
            assert_eq!(String::from_utf8(unnamed.rest()).unwrap(), "login timeout\n");
            assert_eq!(String::from_utf8(idle.rest()).unwrap(), "idle timeout\n");
        }
        for round in 0..10 {
            let mut client = server.login_when_free(Tcp, "alice");
            client.write(&[more.clone(), more.clone(), more.clone()].concat());
            std::thread::sleep(Duration::from_millis(round));
            assert_eq!(String::from_utf8(client.rest()).unwrap(), "message too long\n");
        }
    });
}

#[test]
fn tcp_8_no_reset_overtakes_the_last_reply() {
    let server = TestServer::start();
    for round in 0..20 {
        let mut client = server.login(Tcp, &format!("alice{round}"));
        let mut bytes = b"get k\nq\n".to_vec();
        bytes.resize(bytes.len() + 64 * 1024, b'x');
        client.write(&bytes);
        // Time for the close, and for a reset if there were to be one, to come before anything is read.
        std::thread::sleep(Duration::from_millis(10));
        assert_eq!(String::from_utf8(client.rest()).unwrap(), "key not found\nexiting\n");
    }
}
