//! LIFE: how sessions end, and that none ends another's.

use std::time::Duration;

use twinwire_server::Transport;

use crate::disturbance::undisturbed;
use crate::replies::{DONE, EXITING, KEY_NOT_FOUND, UPGRADED, USER_NOT_FOUND};
use crate::support::{ALL, PIPELINED, TestServer, frame};

#[test]
fn life_1_nothing_after_q_is_run() {
    let server = TestServer::start();
    for transport in [Transport::Tcp, Transport::WebSocket] {
        let mut client = server.login(transport, &format!("user-{transport}"));
        let requests: Vec<u8> =
            ["put k v", "q", "put k w", "get k"].iter().flat_map(|text| client.message(text)).collect();
        client.write(&requests);
        assert_eq!(client.reply(), DONE);
        assert_eq!(client.reply(), EXITING);
        client.expect_close(1000);
    }
}

#[test]
fn life_3_after_q_the_name_is_free_when_the_close_is_seen() {
    let server = TestServer::start();
    for round in 0..50 {
        let transport = ALL[round % ALL.len()];
        let mut client = server.login(transport, "alice");
        assert_eq!(client.ask("get k"), KEY_NOT_FOUND);
        assert_eq!(client.ask("put k v"), DONE);
        assert_eq!(client.ask("q"), EXITING);
        client.expect_close(1000);
    }
}

#[test]
fn life_2_a_close_or_reset_frees_the_name_and_the_store() {
    let server = TestServer::start();
    let mut manager = server.login(Transport::Tcp, "manager");
    assert_eq!(manager.ask("upgrade"), UPGRADED);
    for transport in ALL {
        for reset in [false, true] {
            let mut client = server.login_when_free(transport, "alice");
            assert_eq!(client.ask("get k"), KEY_NOT_FOUND);
            assert_eq!(client.ask("put k v"), DONE);
            assert_eq!(manager.ask("get alice k"), "v");
            if reset {
                client.reset();
            } else {
                drop(client);
            }
            while manager.ask("get alice k") != USER_NOT_FOUND {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

/// Asks once a second's fraction for a while; each answer must come, whatever the other client does.
fn expect_service(server: &TestServer, name: &str) {
    for transport in ALL {
        let mut client = server.login(transport, &format!("{name}-{transport}"));
        for i in 0..100 {
            assert_eq!(client.ask(&format!("put k {i}")), DONE);
            assert_eq!(client.ask("get k"), i.to_string());
        }
    }
}

#[test]
fn life_5_a_client_that_never_reads_does_not_stop_its_neighbours() {
    let server = TestServer::start();
    for transport in PIPELINED {
        let mut deaf = server.login(transport, &format!("deaf-{transport}"));
        assert_eq!(deaf.ask(&format!("put k {}", "v".repeat(60_000))), DONE);
        let requests = deaf.message("get k").repeat(1000);
        deaf.flood(&requests);
        expect_service(&server, &format!("neighbour-{transport}"));
        deaf.reset();
        server.login_when_free(transport, &format!("deaf-{transport}"));
    }
}

#[test]
fn life_5_floods_and_half_messages_do_not_stop_their_neighbours() {
    let server = TestServer::start();
    let mut half = server.connect(Transport::Tcp);
    half.write(b"half a mess");
    let mut half_frame = server.connect(Transport::WebSocket);
    half_frame.write(&frame(0x81, b"half")[..7]);
    let mut half_head = server.connect(Transport::Tcp);
    half_head.write(b"GET / HT");
    for transport in [Transport::Tcp, Transport::WebSocket] {
        let mut flood = server.login(transport, &format!("flood-{transport}"));
        let requests = flood.message("").repeat(50_000);
        std::thread::scope(|scope| {
            let mut reader = flood.stream.try_clone().unwrap();
            scope.spawn(move || {
                // Read to its end, so that the flood goes on for as long as the server takes it.
                let _ = std::io::copy(&mut reader, &mut std::io::sink());
            });
            scope.spawn(move || {
                for _ in 0..10 {
                    flood.write(&requests);
                }
                flood.half_close();
            });
            expect_service(&server, &format!("calm-{transport}"));
        });
    }
}

#[test]
fn on_shutdown_every_client_gets_its_replies_and_a_goodbye() {
    let server = TestServer::start();
    let mut clients: Vec<_> = ALL.into_iter().map(|t| server.login(t, &format!("user-{t}"))).collect();
    for client in &mut clients {
        client.send("put k v");
        assert_eq!(client.reply(), DONE);
    }
    server.shutdown.trigger();
    for client in &mut clients {
        client.expect_close(1001);
    }
    drop(clients);
    server.join();
}

#[test]
fn on_shutdown_what_was_received_before_is_answered() {
    undisturbed(|| {
        for transport in PIPELINED {
            let server = TestServer::start();
            let mut client = server.login(transport, "alice");
            client.write(&client.message("get k").repeat(1000));
            // The first reply shows that the batch has arrived; the rest must not be lost.
            assert_eq!(client.reply(), KEY_NOT_FOUND);
            server.shutdown.trigger();
            for _ in 1..1000 {
                assert_eq!(client.reply(), KEY_NOT_FOUND, "{transport}");
            }
            client.expect_close(1001);
        }
    });
}
