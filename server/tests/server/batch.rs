//! The replies to one batch leave in one write: counted in segments, of which a write this short makes exactly one.

use std::os::fd::AsFd;

use nix::{
    libc,
    sys::socket::{getsockopt, sockopt::GetStruct},
};
use twinwire_server::Transport;

use crate::replies::DONE;
use crate::support::{Client, TestServer};

/// As deep as a pipelined load.
const DEPTH: usize = 32;

/// Bytes of the kernel's `struct tcp_info`, up to the count of segments with data that have come in.
const INFO_BYTES: usize = 156;

#[derive(Clone, Copy)]
struct Info;

nix::getsockopt_impl!(Info, libc::IPPROTO_TCP, libc::TCP_INFO, [u8; INFO_BYTES], GetStruct<[u8; INFO_BYTES]>);

/// Segments with data that the client has received (`tcpi_data_segs_in`, whose place in `linux/tcp.h` is fixed).
fn segments(client: &Client) -> u32 {
    let info = getsockopt(&client.stream.as_fd(), Info).unwrap();
    u32::from_ne_bytes(*info.last_chunk().unwrap())
}

/// Puts and gets in turn, and what is answered.
fn exchanges() -> impl Iterator<Item = (String, String)> {
    (0..DEPTH).map(|number| match number % 2 {
        0 => (format!("put k{number} value-{number}"), DONE.to_owned()),
        _ => (format!("get k{before}", before = number - 1), format!("value-{before}", before = number - 1)),
    })
}

/// How many segments the replies come in; `at_once`: the requests go in one.
fn reply_segments(transport: Transport, at_once: bool) -> u32 {
    let server = TestServer::start();
    let mut client = server.login(transport, "alice");
    let before = segments(&client);
    if at_once {
        let batch: Vec<u8> = exchanges().flat_map(|(request, _)| client.message(&request)).collect();
        client.write(&batch);
    }
    for (request, reply) in exchanges() {
        if !at_once {
            client.send(&request);
        }
        assert_eq!(client.reply(), reply);
    }
    segments(&client) - before
}

#[test]
fn the_replies_to_one_batch_leave_in_one_write() {
    for transport in [Transport::Tcp, Transport::WebSocket] {
        assert_eq!(reply_segments(transport, true), 1, "{transport}");
    }
}

#[test]
fn replies_to_single_requests_leave_one_by_one() {
    for transport in [Transport::Tcp, Transport::WebSocket] {
        assert_eq!(reply_segments(transport, false), DEPTH as u32, "{transport}");
    }
}
