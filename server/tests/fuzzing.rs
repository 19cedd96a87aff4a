//! The fuzzers' entry points on inputs that proptest makes, and on every one that was ever found to matter.
//!
//! The same functions run under libFuzzer by `cargo +nightly fuzz run lines` (or `session`, `websocket`) in this folder.

use proptest::{collection::vec, prelude::*, test_runner::FileFailurePersistence};
use twinwire_server::fuzzing::{lines, session, websocket};

/// A message's words, good and bad, and bytes that are no text.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let words = proptest::sample::select(
        &["put", "get", "upgrade", "q", "a", "b", "c", "s", "done", "exiting", "\u{e9}", "\t", ""][..],
    );
    let long = Just(vec![b'x'; 300]);
    prop_oneof![
        8 => vec(words, 0..5).prop_map(|words| words.join(" ").into_bytes()),
        1 => vec(any::<u8>(), 0..20),
        1 => long,
    ]
}

/// A frame as a client may send it, mostly a good one.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        6 => Just(0x81_u8),
        2 => proptest::sample::select(&[0x01_u8, 0x00, 0x80, 0x89, 0x8a, 0x88, 0x82, 0x83, 0xc1, 0x09][..]),
        1 => any::<u8>(),
    ];
    let mask = prop_oneof![6 => Just(true), 1 => any::<bool>()];
    (first, mask, message(), any::<[u8; 4]>(), prop_oneof![9 => Just(0_u8), 1 => any::<u8>()]).prop_map(
        |(first, is_masked, payload, mask, lie)| {
            let mut frame = vec![first];
            let bit = if is_masked { 0x80 } else { 0 };
            match payload.len() {
                length @ 0..126 => frame.push(bit | (length as u8).wrapping_add(lie)),
                length => {
                    frame.push(bit | 0x7e);
                    frame.extend((length as u16).wrapping_add(u16::from(lie)).to_be_bytes());
                }
            }
            if is_masked {
                frame.extend(mask);
                frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
            } else {
                frame.extend(payload);
            }
            frame
        },
    )
}

/// What fails is kept by hand, in the last test.
fn cases(count: u32) -> ProptestConfig {
    ProptestConfig {
        cases: count,
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn tcp_2_any_stream_gives_its_lines_however_it_is_cut(
        bytes in vec(prop_oneof![3 => Just(b'\n'), 2 => Just(b'\r'), 9 => any::<u8>()], 0..300),
    ) {
        lines(&bytes);
    }

    #[test]
    fn any_messages_have_one_reply_each_and_leave_nothing_behind(
        first in any::<u8>(),
        messages in vec((0_u8..3, message()), 0..60),
    ) {
        let lines = messages.into_iter().map(|(who, message)| [&[who], message.as_slice()].concat());
        session(&[vec![first], lines.collect::<Vec<_>>().join(&b'\n')].concat());
    }
}

proptest! {
    // Each one is two conversations over real sockets.
    #![proptest_config(cases(64))]

    #[test]
    fn ws_4_any_frames_end_in_good_order_and_alike_however_they_are_cut(
        first in any::<u8>(),
        frames in vec(frame(), 0..12),
        tail in vec(any::<u8>(), 0..8),
    ) {
        websocket(&[&[first & 0xfe], frames.concat().as_slice(), &tail].concat());
    }

    #[test]
    fn ws_2_any_head_is_answered_or_closed(
        first in any::<u8>(),
        head in prop_oneof![
            vec(any::<u8>(), 0..100),
            "(GET|POST|get) /[a-z]{0,3} HTTP/1\\.[01]\r\n((Host|Upgrade|Connection|Sec-WebSocket-Key): ?[a-zA-Z=, ]{0,24}\r\n){0,6}(\r\n)?"
                .prop_map(String::into_bytes),
        ],
    ) {
        websocket(&[&[first | 1], head.as_slice()].concat());
    }
}

#[test]
fn what_was_found_stays_found() {
    // Inputs that broke a rule once, or that nearly all of a target must be reached to pass.
    lines(b"\x01\x01a\r\n\nb\r\r\nunterminated");
    session(b"\0a\n\x01b\n\x01put k exiting\n\x01get k\n\0upgrade\n\0get b k\n\0q");
    // Text that is not UTF-8, and in the same read an unmasked frame: 1007 or 1002, by how they were cut.
    websocket(b"\0\x81\x81\0\0\0\0\xff\x81\0");
    websocket(b"\0\x81\x81\x01\x02\x03\x04`\x88\x82\x01\x02\x03\x04\x02\xea");
}
