//! TLS beneath lines and beneath WebSocket: everything that is not the same as without it.

use twinwire_server::transport::Transport::{self, Tls, Wss};

use crate::{
    certificate::{Certificate, VERSIONS},
    program::Program,
    support::{Client, TestServer},
};

const BOTH: [Transport; 2] = [Tls, Wss];

/// The program with both listeners and the certificate that its clients trust.
fn program(flags: &[&str]) -> Program {
    let certificate = Certificate::shared().flags();
    let certificate = certificate.each_ref().map(String::as_str);
    Program::start(&[&["--tls", "127.0.0.1:0", "--wss", "127.0.0.1:0"], &certificate[..], flags].concat())
}

#[test]
fn the_program_serves_both_by_its_flags() {
    let mut program = program(&[]);
    let mut clients = BOTH.map(|transport| program.client(transport));
    assert_eq!(clients[0].ask("put k v"), "done");
    assert_eq!(clients[1].ask("upgrade"), "upgraded to manager");
    assert_eq!(clients[1].ask("get tls k"), "v", "one registry for all transports");
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
            for (request, reply) in
                [("alice", "success"), ("put k v", "done"), ("get k", "v"), ("q", "exiting")]
            {
                assert_eq!(client.ask(request), reply, "{transport}, {version:?}");
            }
            client.expect_close(1000);
        }
    }
}
