//! TCP-6 and WS-6: the limit on connections. STORE-7, TCP-3, WS-4: what may be stored and sent. ROLE-8: the cap.

use std::{num::NonZeroUsize, sync::Barrier};

use twinwire_server::{
    Transport,
    registry::{ENTRY_BYTES, StoreLimits},
};

use crate::certificate::Certificate;
use crate::disturbance::undisturbed;
use crate::replies::{
    DENIED, DONE, EXITING, KEY_NOT_FOUND, STORE_FULL, SUCCESS, UPGRADE_REFUSED, UPGRADED, USER_NOT_FOUND,
};
use crate::support::{ALL, Client, HANDSHAKE, TestServer, frame};

fn server(connections: usize) -> TestServer {
    TestServer::with(|config| config.connections_max = NonZeroUsize::new(connections))
}

/// What a client on `transport` receives if there is no room.
fn expect_refusal(server: &TestServer, transport: Transport) {
    let mut client = Client::connect_bare(transport, server.address(transport));
    if transport.is_encrypted() {
        client.encrypt(Certificate::shared().client());
    }
    match transport {
        Transport::Tcp | Transport::Tls => assert_eq!(client.rest(), b"server full\n"),
        Transport::TcpRaw => assert_eq!(client.rest(), b"server full"),
        Transport::WebSocket | Transport::Wss => {
            client.write(HANDSHAKE.as_bytes());
            let reply = String::from_utf8(client.rest()).unwrap();
            assert!(reply.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{reply}");
            assert!(reply.ends_with("\r\n\r\nserver full\n"), "{reply}");
        }
    }
}

#[test]
fn tcp_6_and_ws_6_one_more_than_the_limit_is_refused_and_the_next_after_a_leave_is_served() {
    undisturbed(|| {
        let server = server(ALL.len());
        for leaver in ALL {
            let mut clients: Vec<_> =
                ALL.into_iter().map(|t| server.login_when_free(t, &format!("user-{t}"))).collect();
            for transport in ALL {
                expect_refusal(&server, transport);
            }
            for client in &mut clients {
                assert_eq!(client.ask("get k"), KEY_NOT_FOUND, "connected clients keep their place");
            }
            let at = clients.iter().position(|client| client.transport == leaver).unwrap();
            let mut leaving = clients.swap_remove(at);
            assert_eq!(leaving.ask("q"), EXITING);
            leaving.expect_close(1000);
            // Its socket is still open on this side: having left is enough.
            let mut next = server.login(leaver, "next");
            assert_eq!(next.ask("get k"), KEY_NOT_FOUND);
        }
    });
}

#[test]
fn tcp_6_a_client_that_just_closed_is_never_counted_against_the_next() {
    undisturbed(|| {
        let server = server(1);
        for round in 0..50 {
            drop(server.login_when_free(ALL[round % ALL.len()], "alice"));
        }
    });
}

/// More than can be refused at the same time: the others wait, and are refused as well.
#[test]
fn tcp_6_and_tcp_8_each_of_hundreds_that_find_the_server_full_is_told_so_without_a_reset() {
    const REFUSED: usize = 300;
    for transport in [Transport::Tcp, Transport::Tls] {
        let server = server(1);
        let mut holder = server.login(Transport::Tcp, "holder");
        let mut refused: Vec<_> = (0..REFUSED)
            .map(|_| {
                let mut client = Client::connect_bare(transport, server.address(transport));
                if transport == Transport::Tcp {
                    client.write(&b"name\n".repeat(1000));
                }
                client
            })
            .collect();
        for mut client in refused.drain(..) {
            if transport.is_encrypted() {
                client.encrypt(Certificate::shared().client());
            }
            assert_eq!(client.rest(), b"server full\n");
        }
        assert_eq!(holder.ask("get k"), KEY_NOT_FOUND);
        assert_eq!(holder.ask("q"), EXITING);
        holder.expect_close(1000);
        server.login(transport, "next");
    }
}

#[test]
fn an_address_over_its_limit_is_told_that_the_server_is_full_and_others_are_served() {
    let server = TestServer::with(|config| config.connections_per_ip_max = NonZeroUsize::new(2));
    let mut clients = ["alice", "bob"].map(|name| server.login(Transport::Tcp, name));
    for transport in ALL {
        expect_refusal(&server, transport);
    }
    let other = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    other.bind(&std::net::SocketAddr::from(([127, 0, 0, 2], 0)).into()).unwrap();
    other.connect(&server.address(Transport::Tcp).into()).unwrap();
    let mut other = Client { transport: Transport::Tcp, stream: other.into(), tls: None };
    assert_eq!(other.ask("carol"), SUCCESS, "another address");
    let [alice, bob] = &mut clients;
    assert_eq!(alice.ask("q"), EXITING);
    alice.expect_close(1000);
    assert_eq!(server.login(Transport::WebSocket, "alice").ask("get k"), KEY_NOT_FOUND);
    assert_eq!(bob.ask("get k"), KEY_NOT_FOUND);
}

#[test]
fn store_7_a_put_beyond_a_limit_is_refused_and_the_store_keeps_what_it_had() {
    let server = TestServer::with(|config| {
        config.stores = StoreLimits { user_keys_max: 2, user_bytes_max: 100, total_bytes_max: usize::MAX };
    });
    let (exact, over) = ("v".repeat(49), "w".repeat(50));
    for transport in ALL {
        let mut client = server.login(transport, &format!("user-{transport}"));
        for (request, expected) in [
            (format!("put a {exact}"), DONE),
            (format!("put b {over}"), STORE_FULL),
            ("get b".into(), KEY_NOT_FOUND),
            (format!("put b {exact}"), DONE),
            (format!("put b {over}"), STORE_FULL),
            ("get b".into(), &exact),
            ("put a short".into(), DONE),
            (format!("put b {over}"), DONE),
            ("put c x".into(), STORE_FULL),
            ("get b".into(), &over),
        ] {
            assert_eq!(client.ask(&request), expected, "{transport}: {request}");
        }
    }
}

#[test]
fn store_7_the_total_is_shared_by_all_and_given_back_by_clients_that_leave() {
    let room = 10 * (2 + ENTRY_BYTES);
    let server = TestServer::with(|config| config.stores.total_bytes_max = room);
    for transport in ALL {
        // The name is free again once the last round's users have been noticed to be gone; then so is their room.
        let mut alice = server.login_when_free(transport, "alice");
        let mut bob = server.login_when_free(Transport::Tcp, "bob");
        for i in 0..5 {
            assert_eq!(alice.ask(&format!("put {i} v")), DONE, "{transport}");
            assert_eq!(bob.ask(&format!("put {i} v")), DONE);
        }
        for client in [&mut alice, &mut bob] {
            assert_eq!(client.ask("put 6 v"), STORE_FULL);
            assert_eq!(client.ask("put 1 vv"), STORE_FULL);
            assert_eq!(client.ask("put 1 w"), DONE, "no more than was there");
        }
        assert_eq!(bob.ask("q"), EXITING);
        bob.expect_close(1000);
        for i in 5..10 {
            assert_eq!(alice.ask(&format!("put {i} v")), DONE);
        }
        assert_eq!(alice.ask("put x v"), STORE_FULL);
    }
}

#[test]
fn store_7_concurrent_puts_fill_the_room_of_all_exactly() {
    const ROOM: usize = 500;
    const WRITERS: usize = 4;
    let server = TestServer::with(|config| config.stores.total_bytes_max = ROOM * (5 + ENTRY_BYTES));
    let barrier = Barrier::new(WRITERS);
    let done: usize = std::thread::scope(|scope| {
        let (server, barrier) = (&server, &barrier);
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                scope.spawn(move || {
                    let transport = [Transport::Tcp, Transport::WebSocket][writer % 2];
                    let mut client = server.login(transport, &format!("writer{writer}"));
                    let puts: Vec<u8> =
                        (1000..1000 + ROOM).flat_map(|i| client.message(&format!("put {i} v"))).collect();
                    barrier.wait();
                    client.write(&puts);
                    let done = (0..ROOM).filter(|_| client.reply() == DONE).count();
                    // No client leaves, which would make room, before all have their replies.
                    barrier.wait();
                    done
                })
            })
            .collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).sum()
    });
    assert_eq!(done, ROOM);
}

#[test]
fn role_8_of_concurrent_upgrades_exactly_as_many_are_granted_as_the_cap_leaves() {
    const CLIENTS: usize = 8;
    const CAP: usize = 3;
    let server = TestServer::with(|config| config.managers_max = NonZeroUsize::new(CAP));
    for round in 0..20 {
        let barrier = Barrier::new(CLIENTS);
        let managers: usize = std::thread::scope(|scope| {
            let (server, barrier) = (&server, &barrier);
            let upgrades: Vec<_> = (0..CLIENTS)
                .map(|i| {
                    scope.spawn(move || {
                        let mut client = server.login(ALL[i % ALL.len()], &format!("user{round}-{i}"));
                        barrier.wait();
                        let reply = client.ask("upgrade");
                        let is_manager = client.ask("get nobody k") == USER_NOT_FOUND;
                        assert_eq!(reply == UPGRADED, is_manager, "{reply}");
                        assert!(is_manager || reply == UPGRADE_REFUSED, "{reply}");
                        barrier.wait();
                        // Having seen the close, the place is free for the next round.
                        assert_eq!(client.ask("q"), EXITING);
                        client.expect_close(1000);
                        usize::from(is_manager)
                    })
                })
                .collect();
            upgrades.into_iter().map(|upgrade| upgrade.join().unwrap()).sum()
        });
        assert_eq!(managers, CAP);
    }
}

#[test]
fn role_8_a_manager_who_leaves_makes_room_for_the_next_however_it_goes() {
    let server = TestServer::with(|config| config.managers_max = NonZeroUsize::new(1));
    let mut waiting = server.login(Transport::Tcp, "waiting");
    for transport in ALL {
        for reset in [false, true] {
            let mut manager = server.login_when_free(transport, "manager");
            while manager.ask("upgrade") != UPGRADED {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            assert_eq!(waiting.ask("upgrade"), UPGRADE_REFUSED);
            assert_eq!(waiting.ask("get manager k"), DENIED);
            if reset { manager.reset() } else { drop(manager) }
        }
    }
    while waiting.ask("upgrade") != UPGRADED {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

#[test]
fn tcp_3_and_ws_4_the_longest_message_is_as_long_as_configured() {
    for limit in [64, 1000, 200_000] {
        let server = TestServer::with(|config| config.message_bytes_max = limit);
        for transport in [Transport::Tcp, Transport::WebSocket] {
            let mut client = server.login(transport, "alice");
            let value = "v".repeat(limit - "put k ".len());
            assert_eq!(client.ask(&format!("put k {value}")), DONE, "{limit}, {transport}");
            assert_eq!(client.ask("get k"), value);
            client.send(&format!("put k {value}w"));
            match transport {
                Transport::WebSocket => client.expect_close(1009),
                _ => assert_eq!(client.rest(), b"message too long\n"),
            }
        }
        let mut fragments = server.login_when_free(Transport::WebSocket, "alice");
        let half = vec![b'x'; limit / 2 + 1];
        fragments.write(&[frame(0x01, &half), frame(0x80, &half)].concat());
        fragments.expect_close(1009);
        let mut controlling = server.login_when_free(Transport::WebSocket, "alice");
        controlling.write(&frame(0x89, &[b'p'; 125]));
        assert_eq!(controlling.frame(), (0x8a, vec![b'p'; 125]), "no message, so no part of its limit");
        let goodbye = [&1000_u16.to_be_bytes()[..], &[b'r'; 123]].concat();
        controlling.write(&frame(0x88, &goodbye));
        assert_eq!(controlling.frame(), (0x88, goodbye));
    }
    let server = TestServer::with(|config| config.message_bytes_max = 100);
    let mut raw = server.login(Transport::TcpRaw, "alice");
    raw.write(&[b'x'; 101]);
    assert_eq!(raw.rest(), b"message too long");
}
