//! WS: the opening handshake, frames, closing. Frames are written by hand from RFC 6455.

use twinwire_server::Transport::WebSocket;

use crate::replies::{DONE, EXITING, KEY_NOT_FOUND, SUCCESS, WRONG_FORMAT};
use crate::support::{Client, HANDSHAKE, TestServer, frame};

fn handshake(server: &TestServer, request: &str) -> String {
    let mut client = Client::connect_bare(WebSocket, server.address(WebSocket));
    client.write(request.as_bytes());
    String::from_utf8(client.rest()).unwrap()
}

#[test]
fn ws_2_the_accept_key_is_right_and_nothing_is_agreed_to_that_was_not_offered() {
    let server = TestServer::start();
    let mut client = Client::connect_bare(WebSocket, server.address(WebSocket));
    let offer =
        "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: permessage-deflate\r\nUpgrade: websocket";
    for byte in HANDSHAKE.replace("Upgrade: websocket", offer).as_bytes() {
        client.write(&[*byte]);
    }
    let head = client.read_head();
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    assert!(head.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{head}");
    assert!(
        !head.to_lowercase().contains("extensions") && !head.to_lowercase().contains("protocol:"),
        "{head}"
    );
    assert_eq!(client.ask("alice"), SUCCESS);
}

#[test]
fn ws_2_and_2a_bad_requests_get_a_whole_http_reply() {
    let server = TestServer::start();
    let long = format!("Host: a\r\nX-Long: {}", "x".repeat(17_000));
    for (part, replaced, status) in [
        ("GET", "POST", "405"),
        ("HTTP/1.1", "HTTP/1.0", "400"),
        ("Host: localhost\r\n", "", "400"),
        ("Upgrade: websocket\r\n", "", "426"),
        ("Connection: Upgrade\r\n", "", "400"),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", "400"),
        ("dGhlIHNhbXBsZSBub25jZQ==", "short", "400"),
        ("Version: 13", "Version: 12", "426"),
        ("GET /any/path HTTP/1.1", "alice", "400"),
        ("Host: localhost", long.as_str(), "431"),
    ] {
        let reply = handshake(&server, &HANDSHAKE.replacen(part, replaced, 1));
        let (head, body) = reply.split_once("\r\n\r\n").expect("a whole reply");
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{part}: {reply}");
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{reply}");
        assert_eq!(head.contains("Sec-WebSocket-Version: 13"), status == "426", "{reply}");
    }
}

#[test]
fn ws_2a_a_head_without_an_end_is_answered_and_one_that_never_began_is_not() {
    let server = TestServer::start();
    for (request, expected) in [("GET / HTTP/1.1\r\nHost: x\r\n", "HTTP/1.1 400 "), ("", "")] {
        let mut client = Client::connect_bare(WebSocket, server.address(WebSocket));
        client.write(request.as_bytes());
        client.half_close();
        let reply = String::from_utf8(client.rest()).unwrap();
        assert!(reply.starts_with(expected) && reply.is_empty() == expected.is_empty(), "{reply}");
    }
}

#[test]
fn ws_2_frames_in_one_segment_with_the_handshake_are_not_lost() {
    let server = TestServer::start();
    let mut client = Client::connect_bare(WebSocket, server.address(WebSocket));
    let frames: Vec<u8> =
        ["alice", "put k v", "get k"].iter().flat_map(|text| client.message(text)).collect();
    client.write(&[HANDSHAKE.as_bytes(), &frames].concat());
    client.read_head();
    assert_eq!([client.reply(), client.reply(), client.reply()], [SUCCESS, DONE, "v"]);
}

#[test]
fn ws_3_fragments_are_joined_and_control_frames_come_between_them() {
    let server = TestServer::start();
    let mut client = server.login(WebSocket, "alice");
    // Cut inside the two bytes of "é", with a ping and an unsolicited pong in between, byte by byte.
    let frames = [
        frame(0x01, b"put k \xc3"),
        frame(0x89, b"ping"),
        frame(0x8a, b"pong"),
        frame(0x00, b""),
        frame(0x80, b"\xa9"),
        frame(0x81, b"get k"),
    ];
    for byte in frames.concat() {
        client.write(&[byte]);
    }
    assert_eq!(client.frame(), (0x8a, b"ping".to_vec()));
    assert_eq!(client.reply(), DONE);
    assert_eq!(client.reply(), "é");
    assert_eq!(client.ask(""), WRONG_FORMAT, "an empty text message is a request");
}

#[test]
fn ws_4_and_4a_faulty_frames_fail_the_connection_with_their_code() {
    let server = TestServer::start();
    let long = vec![b'x'; 65_537];
    let unmasked = [&[0x81, 7], b"put k w".as_slice()].concat();
    let mut wide = frame(0x81, b"put k w");
    wide.splice(1..2, [0xfe, 0, 7]);
    let mut top_bit = vec![0x81, 0xff, 0x80];
    top_bit.extend_from_slice(&[0; 11]);
    let fragments = [frame(0x01, &long[..40_000]), frame(0x80, &long[..40_000])].concat();
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("unmasked", unmasked, 1002),
        ("reserved bit", frame(0xc1, b"put k w"), 1002),
        ("reserved opcode", frame(0x83, b"put k w"), 1002),
        ("reserved control opcode", frame(0x8b, b""), 1002),
        ("continuation of nothing", frame(0x80, b"put k w"), 1002),
        ("text inside a message", [frame(0x01, b"put k"), frame(0x81, b" w")].concat(), 1002),
        ("long ping", frame(0x89, &[b'x'; 126]), 1002),
        ("fragmented ping", frame(0x09, b""), 1002),
        ("close of one byte", frame(0x88, b"x"), 1002),
        ("close with a forbidden code", frame(0x88, &1005_u16.to_be_bytes()), 1002),
        ("close with an undefined code", frame(0x88, &999_u16.to_be_bytes()), 1002),
        ("close with an undefined code", frame(0x88, &5000_u16.to_be_bytes()), 1002),
        ("close of 126 bytes", frame(0x88, &[3; 126]), 1002),
        ("fragmented close", frame(0x08, b""), 1002),
        ("reserved bit in a close", frame(0xd8, b""), 1002),
        ("binary in fragments", frame(0x02, b"put k w"), 1003),
        ("binary inside a message", [frame(0x01, b"put k"), frame(0x82, b" w")].concat(), 1002),
        ("not UTF-8 at the very end", frame(0x81, b"put k \xc3"), 1007),
        (
            "not UTF-8 in a fragment, before one that is too long, in one segment",
            [frame(0x01, b"put k \xff"), frame(0x80, &long)].concat(),
            1007,
        ),
        ("a surrogate", frame(0x81, b"put k \xed\xa0\x80"), 1007),
        ("close reason not UTF-8", frame(0x88, b"\x03\xe8\xff"), 1007),
        ("length in too many bytes", wide, 1002),
        ("length with the top bit", top_bit, 1002),
        ("not UTF-8", frame(0x81, b"put k \xff"), 1007),
        ("not UTF-8 across fragments", [frame(0x01, b"put k \xc3"), frame(0x80, b"\x28")].concat(), 1007),
        ("binary", frame(0x82, b"put k w"), 1003),
        ("too long", frame(0x81, &long), 1009),
        ("too long in fragments", fragments, 1009),
    ];
    for (name, bytes, code) in cases {
        let mut client = server.login_when_free(WebSocket, "alice");
        // What came before in the same segment is answered, what comes after is never run (LIFE-4).
        client.write(&[client.message("put k v"), bytes, client.message("put k w")].concat());
        assert_eq!(client.reply(), DONE, "{name}");
        let (first, payload) = client.frame();
        assert_eq!((first, u16::from_be_bytes([payload[0], payload[1]])), (0x88, code), "{name}");
        assert_eq!(client.rest(), b"", "{name}");
    }
    let mut client = server.login_when_free(WebSocket, "alice");
    assert_eq!(client.ask(&" ".repeat(65_536)), WRONG_FORMAT, "the limit itself is allowed");
}

#[test]
fn ws_4_no_forbidden_close_code_is_answered_as_if_it_were_one() {
    let server = TestServer::start();
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1999, 2000, 2999, 5000, 65_535] {
        let mut client = server.login_when_free(WebSocket, "alice");
        client.write(&frame(0x88, &u16::to_be_bytes(code)));
        let (first, payload) = client.frame();
        assert_eq!((first, &payload[..2]), (0x88, &[0x03, 0xea][..]), "{code} is refused with 1002");
        assert_eq!(client.rest(), b"");
    }
    for code in [1000, 1001, 1002, 1003, 1007, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999] {
        let mut client = server.login_when_free(WebSocket, "alice");
        client.write(&frame(0x88, &u16::to_be_bytes(code)));
        assert_eq!(client.rest(), [&[0x88, 2], &u16::to_be_bytes(code)[..]].concat(), "{code} is echoed");
    }
}

#[test]
fn ws_3_of_several_pings_the_latest_gets_its_payload_back() {
    let server = TestServer::start();
    let mut client = server.login(WebSocket, "alice");
    let pings: Vec<u8> = (0..100_u8).flat_map(|i| frame(0x89, &[i])).collect();
    client.write(&pings);
    loop {
        let (first, payload) = client.frame();
        assert_eq!((first, payload.len()), (0x8a, 1));
        if payload == [99] {
            break;
        }
    }
    client.write(&frame(0x89, &[b'x'; 125]));
    assert_eq!(client.frame(), (0x8a, vec![b'x'; 125]));
    assert_eq!(client.ask("get k"), KEY_NOT_FOUND);
}

#[test]
fn ws_8_web_pages_are_refused_with_a_whole_reply_unless_allowed() {
    let mut origins = twinwire_server::protocol::Origins::default();
    origins.allow("https://good.example").unwrap();
    let server = TestServer::with(|config| config.origins = origins);
    let with_origin = |origin: &str| HANDSHAKE.replacen("Host:", &format!("Origin: {origin}\r\nHost:"), 1);
    for origin in ["https://evil.example", "http://good.example", "https://good.example.evil", "null", ""] {
        let reply = handshake(&server, &with_origin(origin));
        let (head, body) = reply.split_once("\r\n\r\n").expect("a whole reply");
        assert!(head.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{origin}: {reply}");
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{reply}");
    }
    let mut client = Client::connect_bare(WebSocket, server.address(WebSocket));
    client.write(with_origin("https://good.example").as_bytes());
    assert!(client.read_head().starts_with("HTTP/1.1 101 "));
    assert_eq!(client.ask("alice"), SUCCESS);
}

#[test]
fn tcp_8_no_reset_overtakes_a_refusal_a_last_reply_or_a_close_frame() {
    let server = TestServer::start();
    let faulty = frame(0x82, b"put k w");
    for (name, last, expected) in [
        (EXITING, frame(0x81, b"q"), [&[0x81, 7], b"exiting".as_slice(), &[0x88, 2, 0x03, 0xe8]].concat()),
        ("protocol error", faulty, vec![0x88, 2, 0x03, 0xeb]),
        ("close", frame(0x88, b"\x03\xe8"), vec![0x88, 2, 0x03, 0xe8]),
    ] {
        for round in 0..5 {
            let mut client = server.login_when_free(WebSocket, "alice");
            client.write(&[last.clone(), vec![b'x'; 64 * 1024]].concat());
            std::thread::sleep(std::time::Duration::from_millis(5 * round));
            assert_eq!(client.rest(), expected, "{name}");
        }
    }
    for round in 0..5 {
        let mut client = Client::connect_bare(WebSocket, server.address(WebSocket));
        let request = HANDSHAKE.replacen("GET", "POST", 1);
        client.write(&[request.into_bytes(), vec![b'x'; 64 * 1024]].concat());
        std::thread::sleep(std::time::Duration::from_millis(5 * round));
        let reply = String::from_utf8(client.rest()).unwrap();
        assert!(reply.starts_with("HTTP/1.1 405 ") && reply.ends_with("GET\n"), "{reply}");
    }
}

#[test]
fn ws_4_headers_are_enough_to_fail_a_connection() {
    let server = TestServer::start();
    for (name, header, code) in [
        ("unmasked", &[0x81, 0x05][..], 1002),
        ("binary", &[0x82], 1003),
        ("too long", &[0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 1], 1009),
    ] {
        let mut client = server.login_when_free(WebSocket, "alice");
        client.write(header);
        let mut expected = vec![0x88, 2];
        expected.extend_from_slice(&u16::to_be_bytes(code));
        assert_eq!(client.rest(), expected, "{name}");
    }
}

#[test]
fn ws_5_a_close_is_answered_with_one_and_then_tcp_is_closed() {
    let server = TestServer::start();
    for (close, echo) in [
        (frame(0x88, b""), vec![0x88, 0]),
        (frame(0x88, b"\x03\xe8"), vec![0x88, 2, 3, 0xe8]),
        (frame(0x88, b"\x0f\xa0bye"), vec![0x88, 5, 0x0f, 0xa0, b'b', b'y', b'e']),
        (frame(0x88, b"\x03\xf6bye"), vec![0x88, 5, 0x03, 0xf6, b'b', b'y', b'e']),
    ] {
        let mut client = server.login_when_free(WebSocket, "alice");
        client.write(&[client.message("get k"), close, client.message("get k")].concat());
        assert_eq!(client.reply(), KEY_NOT_FOUND, "LIFE-4");
        assert_eq!(client.rest(), echo);
    }
}

#[test]
fn ws_5_after_exiting_the_close_says_1000() {
    let server = TestServer::start();
    let mut client = server.login(WebSocket, "alice");
    assert_eq!(client.ask("q"), EXITING);
    client.expect_close(1000);
}

#[test]
fn life_4_a_client_that_ends_without_a_close_frame_still_gets_its_replies() {
    let server = TestServer::start();
    let mut client = server.login(WebSocket, "alice");
    client.write(
        &[client.message("put k v"), client.message("get k"), frame(0x81, b"put k w")[..9].to_vec()].concat(),
    );
    client.half_close();
    assert_eq!([client.reply(), client.reply()], [DONE, "v"]);
    assert_eq!(client.rest(), b"");
}

#[test]
fn ws_2_what_comes_behind_a_head_of_bare_line_feeds_is_not_lost() {
    let server = TestServer::start();
    let mut client = Client::connect_bare(WebSocket, server.address(WebSocket));
    // Where the frames were taken for a part of the head, what looks like its end would be found in them.
    let requests = [frame(0x81, b"alice"), frame(0x89, b"\r\n\r\n"), vec![0x81, 0x80], b"\r\n\r\n".to_vec()];
    client.write(&[HANDSHAKE.replace('\r', "").into_bytes(), requests.concat()].concat());
    let head = client.read_head();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(client.reply(), SUCCESS);
    assert_eq!(client.frame(), (0x8a, b"\r\n\r\n".to_vec()));
    assert_eq!(client.reply(), WRONG_FORMAT, "the empty message, whose mask is two line ends");
}
