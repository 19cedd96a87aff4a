//! TLS beneath lines and beneath WebSocket: what a connection does once it is encrypted.

use std::io::{Read, Write};

use twinwire_server::{
    Config, Server, StartError,
    Transport::{self, Tls, Wss},
};

use crate::replies::{DONE, EXITING, KEY_NOT_FOUND, SUCCESS, UPGRADED};
use crate::{
    certificate::{Certificate, Dripping, VERSIONS, shake_hands},
    program::Program,
    support::{Client, HANDSHAKE, TestServer},
};

pub(crate) const BOTH: [Transport; 2] = [Tls, Wss];

/// The program with both listeners and the certificate that its clients trust.
pub(crate) fn program(flags: &[&str]) -> Program {
    let certificate = Certificate::shared().flags();
    let certificate = certificate.each_ref().map(String::as_str);
    Program::start(&[&["--tls", "127.0.0.1:0", "--wss", "127.0.0.1:0"], &certificate[..], flags].concat())
}

#[test]
fn the_program_serves_both_by_its_flags() {
    let mut program = program(&[]);
    let mut clients = BOTH.map(|transport| program.client(transport));
    assert_eq!(clients[0].ask("put k v"), DONE);
    assert_eq!(clients[1].ask("upgrade"), UPGRADED);
    assert_eq!(clients[1].ask("get tls k"), "v", "one registry for all transports");
}

#[test]
fn a_listener_without_a_certificate_is_refused_at_the_start() {
    let refused = Server::bind(Config::on_free_ports(&[Transport::Tcp, Wss])).unwrap_err();
    assert!(matches!(refused, StartError::NoCertificate { transport: Wss }), "{refused}");
}

#[test]
fn each_version_of_tls_carries_each_transport() {
    let server = TestServer::start();
    for transport in BOTH {
        for version in VERSIONS {
            let mut client = Client::connect_bare(transport, server.address(transport));
            client.encrypt(Certificate::shared().client_of(&[version], &[]));
            assert_eq!(client.tls.as_ref().unwrap().protocol_version(), Some(version.version));
            if client.is_websocket() {
                client.open();
            }
            for (request, reply) in [("alice", SUCCESS), ("put k v", DONE), ("get k", "v"), ("q", EXITING)] {
                assert_eq!(client.ask(request), reply, "{transport}, {version:?}");
            }
            client.expect_close(1000);
        }
    }
}

#[test]
fn the_protocol_inside_is_agreed_on_for_websocket_alone() {
    let server = TestServer::start();
    let agreed = |transport, offered: &[&str]| {
        let mut client = Client::connect_bare(transport, server.address(transport));
        let mut tls = Certificate::shared().client_of(&VERSIONS, offered);
        shake_hands(&mut tls, &mut client.stream).map(|()| tls.alpn_protocol().map(<[u8]>::to_vec))
    };
    assert_eq!(agreed(Wss, &["h2", "http/1.1"]).unwrap(), Some(b"http/1.1".to_vec()));
    assert_eq!(agreed(Wss, &[]).unwrap(), None);
    assert_eq!(agreed(Tls, &["http/1.1"]).unwrap(), None);
    let refused = agreed(Wss, &["h2"]).unwrap_err();
    assert!(refused.to_string().contains("NoApplicationProtocol"), "{refused}");
}

#[test]
fn nothing_is_left_for_a_session_to_be_resumed_with() {
    let server = TestServer::start();
    let mut client = server.login(Tls, "alice");
    assert_eq!(client.ask("q"), EXITING);
    client.expect_close(1000);
    assert_eq!(client.tls.unwrap().tls13_tickets_received(), 0);
}

#[test]
fn tcp_2_a_stream_that_comes_byte_by_byte_is_answered_alike() {
    let server = TestServer::start();
    for version in VERSIONS {
        let mut client = Client::connect_bare(Tls, server.address(Tls));
        let mut tls = Certificate::shared().client_of(&[version], &[]);
        let mut dripping = Dripping(client.stream.try_clone().unwrap());
        shake_hands(&mut tls, &mut dripping).unwrap();
        let requests = "alice\nput ключ ☃\nget ключ\n\nq\n";
        rustls::Stream::new(&mut tls, &mut dripping).write_all(requests.as_bytes()).unwrap();
        client.tls = Some(tls);
        let replies = String::from_utf8(client.rest()).unwrap();
        assert_eq!(replies, "success\ndone\n☃\nwrong message format\nexiting\n", "{version:?}");
    }
}

#[test]
fn tcp_2_records_of_a_byte_each_are_answered_alike_however_many_come_at_once() {
    let server = TestServer::start();
    for transport in BOTH {
        let mut client = server.login(transport, &format!("user-{transport}"));
        let request = client.message(&format!("put k {}", "v".repeat(60_000)));
        let (tls, mut records) = (client.tls.as_mut().unwrap(), Vec::new());
        tls.set_buffer_limit(None);
        for byte in request.repeat(3) {
            tls.writer().write_all(&[byte]).unwrap();
            while tls.wants_write() {
                tls.write_tls(&mut records).unwrap();
            }
        }
        // More than a turn may read, and with nothing behind it that would wake the server once more.
        client.stream.write_all(&records).unwrap();
        assert_eq!([client.reply(), client.reply(), client.reply()], [DONE; 3], "{transport}");
        assert_eq!(client.ask("get k").len(), 60_000);
    }
}

#[test]
fn requests_that_come_with_the_end_of_the_handshake_are_answered() {
    let server = TestServer::start();
    for transport in BOTH {
        for version in VERSIONS {
            let mut client = Client::connect_bare(transport, server.address(transport));
            let mut tls = Certificate::shared().client_of(&[version], &[]);
            // What is written before the handshake is over leaves right behind its last message.
            if client.is_websocket() {
                tls.writer().write_all(HANDSHAKE.as_bytes()).unwrap();
            }
            tls.writer().write_all(&[client.message("alice"), client.message("get k")].concat()).unwrap();
            client.encrypt(tls);
            if client.is_websocket() {
                assert!(client.read_head().starts_with("HTTP/1.1 101 "));
            }
            assert_eq!([client.reply(), client.reply()], [SUCCESS, KEY_NOT_FOUND], "{transport}");
            assert_eq!(client.ask("q"), EXITING);
            client.expect_close(1000);
        }
    }
}

#[test]
fn new_keys_in_the_middle_of_a_session_are_taken() {
    let server = TestServer::start();
    for transport in BOTH {
        let mut client = server.login(transport, "alice");
        for _ in 0..5 {
            client.tls.as_mut().unwrap().refresh_traffic_keys().unwrap();
            assert_eq!(client.ask("put k v"), DONE);
            assert_eq!(client.ask("get k"), "v");
        }
        assert_eq!(client.ask("q"), EXITING);
        client.expect_close(1000);
    }
}

#[test]
fn form_3_a_batch_leaves_in_one_record() {
    let server = TestServer::start();
    for transport in BOTH {
        let name = format!("user-{transport}");
        let mut client = server.login(transport, &name);
        client.write(&client.message("put k v").repeat(32));
        // What is written at once over loopback is read at once: it is one segment, and one record fills it.
        let mut record = [0; 4096];
        let count = client.stream.read(&mut record).unwrap();
        assert_eq!(record[0], 23, "application data");
        assert_eq!(usize::from(u16::from_be_bytes([record[3], record[4]])) + 5, count, "{transport}");
        client.reset();
        drop(server.login_when_free(transport, &name));
    }
}

#[test]
fn life_4_a_client_that_says_that_it_sends_no_more_gets_every_reply() {
    let server = TestServer::start();
    for transport in BOTH {
        let mut client = server.login(transport, &format!("user-{transport}"));
        let value = "v".repeat(60_000);
        assert_eq!(client.ask(&format!("put k {value}")), DONE);
        client.write(&client.message("get k").repeat(200));
        client.half_close();
        for _ in 0..200 {
            assert_eq!(client.reply(), value, "{transport}");
        }
        assert_eq!(client.rest(), b"");
    }
}

#[test]
fn tcp_5_an_end_that_is_not_announced_is_one_all_the_same() {
    let mut program = program(&["--log", "info"]);
    let addresses = BOTH.map(|transport| program.address(transport));
    for (transport, address) in BOTH.into_iter().zip(addresses) {
        let mut client = Client::connect(transport, address);
        assert_eq!(client.ask("alice"), SUCCESS);
        client.write(&client.message("get k").repeat(3));
        // A line without its end, and a frame that lacks its last byte.
        let last = client.message("put k v");
        client.write(&last[..last.len() - 1]);
        client.stream.shutdown(std::net::Shutdown::Write).unwrap();
        for _ in 0..3 {
            assert_eq!(client.reply(), KEY_NOT_FOUND, "{transport}");
        }
        assert_eq!(client.rest(), b"", "{transport}");
    }
    program.signal(nix::sys::signal::Signal::SIGTERM);
    let (code, log) = program.end();
    assert_eq!(code, Some(0));
    assert!(
        log.lines().all(|line| ["serving", "stopping", "stopped"].iter().any(|word| line.contains(word))),
        "{log}"
    );
}

#[test]
fn a_record_that_is_cut_or_falsified_ends_its_connection_in_order() {
    let server = TestServer::start();
    let mut neighbour = server.login(Tls, "neighbour");
    for transport in BOTH {
        for is_cut in [true, false] {
            let mut client = server.login_when_free(transport, "alice");
            let good = client.message("put k v");
            client.write(&good);
            assert_eq!(client.reply(), DONE);
            let message = client.message("put k w");
            let tls = client.tls.as_mut().unwrap();
            tls.writer().write_all(&message).unwrap();
            let mut record = Vec::new();
            tls.write_tls(&mut record).unwrap();
            if is_cut {
                client.stream.write_all(&record[..record.len() - 1]).unwrap();
                client.stream.shutdown(std::net::Shutdown::Write).unwrap();
                assert_eq!(client.rest(), b"", "{transport}");
            } else {
                let last = record.len() - 1;
                record[last] ^= 1;
                // More behind it, which is not to bring a reset over the alert.
                record.resize(record.len() + 64 * 1024, 0x17);
                client.stream.write_all(&record).unwrap();
                std::thread::sleep(std::time::Duration::from_millis(20));
                let mut tls = client.tls.take().unwrap();
                let error = rustls::Stream::new(&mut tls, &mut client.stream).read(&mut [0]).unwrap_err();
                assert!(error.to_string().contains("BadRecordMac"), "{transport}: {error}");
                assert_eq!(client.rest(), b"", "TCP-8");
            }
            assert_eq!(neighbour.ask("get k"), KEY_NOT_FOUND);
        }
    }
}

#[test]
fn tcp_8_no_reset_overtakes_the_last_reply_and_the_end_is_announced() {
    let server = TestServer::start();
    for round in 0..10 {
        for transport in BOTH {
            let mut client = server.login(transport, &format!("user{round}-{transport}"));
            let mut bytes = [client.message("get k"), client.message("q")].concat();
            bytes.resize(bytes.len() + 64 * 1024, b'x');
            client.write(&bytes);
            // Time for the close, and for a reset if there were to be one, to come before anything is read.
            std::thread::sleep(std::time::Duration::from_millis(10));
            assert_eq!(client.reply(), KEY_NOT_FOUND);
            assert_eq!(client.reply(), EXITING);
            client.expect_close(1000);
        }
    }
}
