//! TCP-2, and the same for WebSocket: how a stream is cut into segments changes no reply.
//!
//! Any stream: requests, fragments, broken frames, noise. It is sent once whole and once cut, and what comes back must
//! be the same to the byte; but for pongs, which a server may leave out where several pings wait (WS-3).

use std::{io::Write, num::NonZeroUsize, thread::sleep, time::Duration};

use proptest::{collection::vec, prelude::*, sample::Index};
use twinwire_server::{Transport, config::Workers};

use crate::support::{Client, HANDSHAKE, TestServer, frame};

fn server() -> TestServer {
    TestServer::with(|config| {
        config.workers = Workers::Floating(NonZeroUsize::MIN);
        // Small limits are met by short streams.
        config.message_bytes_max = 100;
        config.stores.user_bytes_max = 60;
    })
}

/// All that a server says to `segments`, after which the client sends no more.
fn replies<'a>(
    server: &TestServer,
    transport: Transport,
    segments: impl Iterator<Item = &'a [u8]>,
) -> Vec<u8> {
    let mut client = Client::connect_bare(transport, server.address(transport));
    for segment in segments {
        // A connection that has ended takes no more; what was said is still to be read.
        let _ = client.stream.write_all(segment);
        // Nearly always long enough for the segment to be read by itself.
        sleep(Duration::from_micros(200));
    }
    let _ = client.stream.shutdown(std::net::Shutdown::Write);
    client.rest()
}

/// What a server says to the whole of a stream, and to its parts.
fn whole_and_cut(transport: Transport, stream: &[u8], cuts: &[Index]) -> (Vec<u8>, Vec<u8>) {
    // A server each, since both sessions have the same name and a server may need a moment to free it.
    let whole = replies(&server(), transport, std::iter::once(stream));
    let inner = cuts.iter().map(|cut| cut.index(stream.len()));
    let mut at: Vec<_> = inner.chain([0, stream.len()]).collect();
    at.sort_unstable();
    let cut = replies(&server(), transport, at.windows(2).map(|pair| &stream[pair[0]..pair[1]]));
    (whole, cut)
}

/// Messages of every kind, noise among them.
fn message() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => prop::sample::select(vec!["put a b", "get a", "get a b", "upgrade", "put a \u{2603}\u{2603}", "q q", ""])
            .prop_map(|text| text.as_bytes().to_vec()),
        1 => (1usize..80).prop_map(|length| format!("put {} v", "k".repeat(length)).into_bytes()),
        1 => (90usize..120).prop_map(|length| vec![b'x'; length]),
        1 => vec(any::<u8>(), 0..20),
    ]
}

/// Frames of every kind: messages in one or several, control frames, and bytes that are no frame.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => message().prop_map(|text| frame(0x81, &text)),
        4 => (message(), any::<Index>()).prop_map(|(text, at)| {
            let (first, second) = text.split_at(at.index(text.len() + 1));
            [frame(0x01, first), frame(0x8a, b"x"), frame(0x80, second)].concat()
        }),
        1 => vec(any::<u8>(), 0..130).prop_map(|payload| frame(0x89, &payload)),
        1 => message().prop_map(|bytes| frame(0x82, &bytes)),
        1 => (any::<u8>(), message()).prop_map(|(first, payload)| frame(first, &payload)),
        1 => any::<u16>().prop_map(|code| frame(0x88, &code.to_be_bytes())),
        1 => vec(any::<u8>(), 1..20),
    ]
}

/// The head of the handshake and every frame that is no pong.
fn without_pongs(bytes: &[u8]) -> Vec<&[u8]> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").map_or(bytes.len(), |at| at + 4);
    let (head, mut rest) = bytes.split_at(end);
    let mut frames = vec![head];
    while let [first, length, ..] = *rest {
        // Limits keep every payload short here.
        let (frame, after) = rest.split_at(2 + usize::from(length));
        frames.extend((first != 0x8a).then_some(frame));
        rest = after;
    }
    frames
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn tcp_2_any_cutting_of_any_stream_gives_the_same_replies(
        lines in vec((message(), any::<bool>()), 0..12),
        rest in message(),
        cuts in vec(any::<Index>(), 0..8),
    ) {
        let end = |has_cr: &bool| if *has_cr { b"\r\n".to_vec() } else { b"\n".to_vec() };
        let lines = lines.iter().flat_map(|(line, has_cr)| [line.clone(), end(has_cr)].concat());
        let stream: Vec<u8> = b"alice\n".iter().copied().chain(lines).chain(rest.clone()).collect();
        let (whole, cut) = whole_and_cut(Transport::Tcp, &stream, &cuts);
        prop_assert!(whole.starts_with(b"success\n"));
        prop_assert_eq!(String::from_utf8_lossy(&cut), String::from_utf8_lossy(&whole));
    }

    #[test]
    fn ws_3_any_cutting_of_any_stream_of_frames_gives_the_same_replies(
        frames in vec(frames(), 0..12),
        cuts in vec(any::<Index>(), 0..8),
    ) {
        let stream = [HANDSHAKE.as_bytes(), &frame(0x81, b"alice"), &frames.concat()].concat();
        let (whole, cut) = whole_and_cut(Transport::WebSocket, &stream, &cuts);
        let expected = without_pongs(&whole);
        prop_assert!(expected[0].starts_with(b"HTTP/1.1 101 ") && expected[1] == b"\x81\x07success");
        prop_assert_eq!(without_pongs(&cut), expected);
    }
}
