//! TCP-6 and WS-6: the limit on connections.

use std::num::NonZeroUsize;

use twinwire_server::transport::Transport;

use crate::support::{ALL, Client, HANDSHAKE, TestServer};

fn server(connections: usize) -> TestServer {
    TestServer::with(|config| config.connections_max = NonZeroUsize::new(connections))
}

/// What a client on `transport` is told that finds no seat.
fn expect_refusal(server: &TestServer, transport: Transport) {
    let mut client = Client::connect_bare(transport, server.address(transport));
    match transport {
        Transport::Tcp => assert_eq!(client.rest(), b"server full\n"),
        Transport::TcpRaw => assert_eq!(client.rest(), b"server full"),
        Transport::WebSocket => {
            client.write(HANDSHAKE.as_bytes());
            let reply = String::from_utf8(client.rest()).unwrap();
            assert!(reply.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{reply}");
            assert!(reply.ends_with("\r\n\r\nserver full\n"), "{reply}");
        }
    }
}

#[test]
fn tcp_6_and_ws_6_one_more_than_the_limit_is_refused_and_the_next_after_a_leave_is_served() {
    let server = server(3);
    for leaver in ALL {
        let mut clients: Vec<_> =
            ALL.into_iter().map(|t| server.login_when_free(t, &format!("user-{t}"))).collect();
        for transport in ALL {
            expect_refusal(&server, transport);
        }
        for client in &mut clients {
            assert_eq!(client.ask("get k"), "key not found", "those who have a seat keep it");
        }
        let at = clients.iter().position(|client| client.transport == leaver).unwrap();
        let mut leaving = clients.swap_remove(at);
        assert_eq!(leaving.ask("q"), "exiting");
        leaving.expect_close(1000);
        // Its socket is still open on this side: having left is enough.
        let mut next = server.login(leaver, "next");
        assert_eq!(next.ask("get k"), "key not found");
    }
}

#[test]
fn tcp_6_a_client_that_just_closed_is_never_counted_against_the_next() {
    let server = server(1);
    for round in 0..50 {
        drop(server.login_when_free(ALL[round % 3], "alice"));
    }
}
