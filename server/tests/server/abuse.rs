//! What clients do to a server on purpose or by accident: it serves within its limits, and neighbours do not notice.
//!
//! Numbers are those that take seconds; what is bounded for hundreds is bounded for thousands.

use std::{
    io::{Read, Write},
    net::Shutdown,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use twinwire_server::Transport::{self, Tcp, WebSocket};

use crate::replies::{DONE, DUPLICATE_NAME, EXITING, KEY_NOT_FOUND, SUCCESS, WRONG_FORMAT};
use crate::{
    abused::{Abused, BOTH},
    disturbance::undisturbed,
    program::Program,
    support::{Client, frame},
};

#[test]
fn life_5_a_client_that_never_reads_costs_no_more_than_may_wait_for_it() {
    undisturbed(|| {
        const DEAF: usize = 60;
        let server = Abused::start(&["--max-unsent", "64KiB"]);
        server.expect_service(|round| round == 100);
        let before = server.program.resident_kib();
        // Each asks for 60 MB.
        let deaf: Vec<Client> = (0..DEAF)
            .map(|i| {
                let mut client = server.login(BOTH[i % 2], &format!("deaf{i}"));
                assert_eq!(client.ask(&format!("put k {}", "v".repeat(60_000))), DONE);
                client.stream.set_nonblocking(true).unwrap();
                let requests = client.message("get k").repeat(1000);
                let _ = client.stream.write_all(&requests);
                client
            })
            .collect();
        server.expect_service(|round| round == 300);
        // The store's 60 KB, 64 KiB that may wait, a batch and a reply beyond, and as much again for what is requested.
        let bound = DEAF * 512;
        assert!(server.growth_kib(before) < bound, "{} KiB for {DEAF} clients", server.growth_kib(before));
        drop(deaf);
        server.expect_service(|round| round == 10);
    });
}

#[test]
fn life_5_resets_in_the_middle_of_messages_leave_nothing_behind() {
    undisturbed(|| {
        let server = Abused::start(&[]);
        server.expect_service(|round| round == 100);
        let descriptors = server.program.descriptors();
        server.expect_service_during(|transport| {
            for i in 0..400 {
                let mut client = server.login(transport, &format!("broken-{transport}-{i}"));
                let message = client.message(&format!("put k {}", "v".repeat(i * 100)));
                client.write(&message[..message.len() - 1 - i % 5]);
                client.reset();
            }
        });
        server.expect_descriptors(descriptors);
        // Every name is free, so every session has ended.
        for transport in BOTH {
            for i in (0..400).step_by(50) {
                server.login(transport, &format!("broken-{transport}-{i}"));
            }
        }
    });
}

#[test]
fn life_5_a_flood_of_logins_is_answered_and_does_not_delay_others() {
    undisturbed(|| {
        const LOGINS: usize = 30_000;
        let server = Abused::start(&[]);
        let _holder = server.login(Tcp, "taken");
        server.expect_service(|round| round == 100);
        let before = server.program.resident_kib();
        let left = AtomicUsize::new(4);
        thread::scope(|scope| {
            for i in 0..4 {
                let (server, left) = (&server, &left);
                scope.spawn(move || {
                    let mut client = server.connect(BOTH[i % 2]);
                    let tries: Vec<u8> = ["taken", "two words", "taken"]
                        .iter()
                        .flat_map(|name| client.message(name))
                        .collect();
                    let flood = tries.repeat(LOGINS / 3);
                    let mut writer = client.stream.try_clone().unwrap();
                    thread::scope(|scope| {
                        scope.spawn(move || writer.write_all(&flood).unwrap());
                        for _ in 0..LOGINS / 3 {
                            assert_eq!(client.reply(), DUPLICATE_NAME);
                            assert_eq!(client.reply(), WRONG_FORMAT);
                            assert_eq!(client.reply(), DUPLICATE_NAME);
                        }
                    });
                    left.fetch_sub(1, Ordering::SeqCst);
                });
            }
            server.expect_service(|_| left.load(Ordering::SeqCst) == 0);
        });
        assert!(server.growth_kib(before) < 8 * 1024, "{} KiB", server.growth_kib(before));
    });
}

/// Fails where floods run again and again before the kernel is polled for other clients: each request of a neighbour
/// then waits for well over ten thousand refusals, else nearly all of them for less than one batch.
#[test]
fn life_5_a_neighbour_waits_for_a_few_turns_of_floods_and_not_for_dozens() {
    const ASKED: usize = 300;
    let server = Abused::start(&[]);
    let (refused, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let mut waited = thread::scope(|scope| {
        for i in 0..4 {
            let (server, refused, is_over) = (&server, &refused, &is_over);
            scope.spawn(move || {
                let client = server.connect(BOTH[i % 2]);
                // A refusal is 21 bytes as a line and 22 as a frame.
                let (flood, size) = (client.message("two words").repeat(1000), 21 + i % 2);
                let (mut reader, mut writer) = (client.stream.try_clone().unwrap(), client.stream);
                scope.spawn(move || while writer.write_all(&flood).is_ok() {});
                let mut bytes = vec![0; 1000 * size];
                while !is_over.load(Ordering::SeqCst) {
                    reader.read_exact(&mut bytes).unwrap();
                    refused.fetch_add(1000, Ordering::SeqCst);
                }
                reader.shutdown(Shutdown::Both).unwrap();
            });
        }
        let asking = scope.spawn(|| {
            let mut neighbour = server.login(Tcp, "neighbour");
            while refused.load(Ordering::SeqCst) < 100_000 {
                thread::sleep(Duration::from_millis(1));
            }
            let mut wait = || {
                let before = refused.load(Ordering::SeqCst);
                assert_eq!(neighbour.ask("get k"), KEY_NOT_FOUND);
                refused.load(Ordering::SeqCst) - before
            };
            (0..ASKED).map(|_| wait()).collect::<Vec<_>>()
        });
        let asked = asking.join();
        is_over.store(true, Ordering::SeqCst);
        asked.unwrap()
    });
    waited.sort_unstable();
    // One of the quicker ones: now and then this thread itself gets no CPU for long.
    let waited = waited[ASKED / 10];
    assert!(waited < 5_000, "{waited} refusals while a neighbour waited for one reply");
}

#[test]
fn life_5_a_client_that_sends_a_byte_at_a_time_is_served_and_is_not_logged_in_by_trying() {
    undisturbed(|| {
        const SLOW: usize = 200;
        let server = Abused::start(&["--login-timeout", "1s"]);
        server.expect_service(|round| round == 100);
        let (descriptors, before) = (server.program.descriptors(), server.program.resident_kib());
        let began = Instant::now();
        // Half of them ask something short; the other half have a name of which a byte now and then comes, for ever.
        let mut askers: Vec<Client> =
            (0..SLOW / 2).map(|i| server.login(BOTH[i % 2], &format!("slow{i}"))).collect();
        let mut namers: Vec<Client> = (0..SLOW / 2).map(|_| server.bare(Tcp)).collect();
        let requests: Vec<Vec<u8>> = askers.iter().map(|client| client.message("get k")).collect();
        let bytes = requests.iter().map(Vec::len).max().unwrap();
        for at in 0..bytes {
            for (client, request) in askers.iter_mut().zip(&requests) {
                client.write(&request[at.min(request.len())..(at + 1).min(request.len())]);
            }
            for client in &mut namers {
                let _ = client.stream.write_all(b"x");
            }
            server.expect_service(|round| round == 10);
        }
        for client in &mut askers {
            assert_eq!(client.reply(), KEY_NOT_FOUND);
        }
        while began.elapsed() < Duration::from_millis(1200) {
            namers.retain_mut(|client| client.stream.write_all(b"x").is_ok());
            server.expect_service(|round| round == 10);
        }
        for client in &mut namers {
            let mut said = [0; 14];
            client.stream.read_exact(&mut said).unwrap();
            assert_eq!(&said, b"login timeout\n");
        }
        assert!(server.growth_kib(before) < SLOW * 24, "{} KiB", server.growth_kib(before));
        drop((askers, namers));
        server.expect_descriptors(descriptors);
    });
}

#[test]
fn life_5_thousands_of_connections_one_after_the_other_leave_nothing_behind() {
    undisturbed(|| {
        let server = Abused::start(&[]);
        let visit = |transport: Transport, i: usize| {
            let mut client = server.login(transport, &format!("visitor{i}-{transport}"));
            assert_eq!(client.ask("put k v"), DONE);
            // Some say goodbye, some just go.
            if i.is_multiple_of(2) {
                assert_eq!(client.ask("q"), EXITING);
                client.expect_close(1000);
            }
        };
        let round = || {
            for i in 0..1500 {
                visit(Tcp, i);
                visit(WebSocket, i);
            }
        };
        round();
        server.expect_descriptors(server.program.descriptors());
        let (descriptors, before) = (server.program.descriptors(), server.program.resident_kib());
        round();
        server.expect_descriptors(descriptors);
        assert!(
            server.growth_kib(before) < 1024,
            "{} KiB after 3,000 connections more",
            server.growth_kib(before)
        );
        server.expect_service(|round| round == 10);
    });
}

#[test]
fn life_5_many_that_are_opened_and_left_silent_are_served_bounded_and_sent_away_in_time() {
    undisturbed(|| {
        const SILENT: usize = 900;
        let server = Abused::start(&["--login-timeout", "3s", "--ping-interval", "off"]);
        server.expect_service(|round| round == 100);
        let (descriptors, before) = (server.program.descriptors(), server.program.resident_kib());
        let mut silent: Vec<Client> = (0..SILENT)
            .map(|i| match i % 3 {
                0 => server.bare(Tcp),
                1 => server.connect(WebSocket),
                _ => {
                    let mut client = server.bare(Tcp);
                    client.write(b"half a na");
                    client
                }
            })
            .collect();
        server.expect_service(|round| round == 200);
        let each = server.growth_kib(before) * 1024 / SILENT;
        assert!(each < 8 * 1024, "{each} bytes for each");
        for client in &mut silent {
            let (expected, mut said): (&[u8], _) = match client.transport {
                Tcp => (b"login timeout\n", Vec::new()),
                _ => (&[0x88, 2, 0x03, 0xf0], Vec::new()),
            };
            client.stream.read_to_end(&mut said).unwrap();
            assert_eq!(said, expected);
        }
        drop(silent);
        server.expect_descriptors(descriptors);
    });
}

#[test]
fn life_5_half_closed_and_half_sent_connections_end_or_wait_but_do_not_delay_others() {
    undisturbed(|| {
        let server = Abused::start(&["--idle-timeout", "1s"]);
        let mut waiting = Vec::new();
        for i in 0..200 {
            let mut client = server.login(BOTH[i % 2], &format!("half{i}"));
            match i % 4 {
                // The sending side is closed, over TCP in order and over WebSocket without a close frame.
                0 | 1 => {
                    let request = client.message("get k");
                    client.write(&request);
                    client.half_close();
                    assert_eq!(client.reply(), KEY_NOT_FOUND, "LIFE-4");
                    assert_eq!(client.rest(), b"");
                }
                // A message that never ends.
                _ => {
                    let message = client.message(&"x".repeat(5000));
                    client.write(&message[..4000]);
                    waiting.push(client);
                }
            }
        }
        server.expect_service(|round| round == 200);
        for client in &mut waiting {
            let said = client.rest();
            assert!(said == b"idle timeout\n" || said == [0x88, 2, 0x03, 0xf0], "{said:?}");
        }
    });
}

#[test]
fn life_5_frames_and_lines_as_small_as_can_be_do_not_delay_others() {
    undisturbed(|| {
        let server = Abused::start(&[]);
        server.expect_service_during(|transport| {
            let mut client = server.login(transport, &format!("tiny-{transport}"));
            let mut reader = client.stream.try_clone().unwrap();
            // One message in 10,000 fragments of nothing; 10,000 pings; 10,000 empty lines.
            let flood = if transport == Tcp {
                b"\n".repeat(10_000)
            } else {
                let fragments = [frame(0x01, b""), frame(0x00, b"").repeat(10_000), frame(0x80, b"")];
                [fragments.concat(), frame(0x89, b"x").repeat(10_000)].concat()
            };
            thread::scope(|scope| {
                scope.spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
                for _ in 0..20 {
                    client.write(&flood);
                }
                client.half_close();
            });
        });
    });
}

#[test]
fn life_5_a_message_whose_fragments_never_end_does_not_delay_others() {
    undisturbed(|| {
        let server = Abused::start(&[]);
        let is_over = AtomicBool::new(false);
        let nothing = frame(0x00, b"").repeat(100_000);
        thread::scope(|scope| {
            for is_logged_in in [true, false] {
                let mut client = server.connect(WebSocket);
                if is_logged_in {
                    assert_eq!(client.ask("endless"), SUCCESS);
                }
                client.write(&frame(0x01, b"get"));
                let (nothing, is_over) = (&nothing, &is_over);
                scope.spawn(move || {
                    while !is_over.load(Ordering::SeqCst) {
                        client.write(nothing);
                    }
                    // It is a message like any other once it ends.
                    client.write(&frame(0x80, b" k"));
                    assert_eq!(client.reply(), if is_logged_in { KEY_NOT_FOUND } else { WRONG_FORMAT });
                });
            }
            let outcome = scope.spawn(|| server.expect_service(|round| round == 30)).join();
            is_over.store(true, Ordering::SeqCst);
            outcome.unwrap();
        });
    });
}

#[test]
fn websockets_that_have_had_large_messages_give_the_memory_back_when_they_rest() {
    const EACH: usize = 10;
    const WAVES: usize = 5;
    // The shortest time-out sets the pace of the server's clock.
    let mut program = Program::start(&[
        "--ws",
        "127.0.0.1:0",
        "--message-max",
        "1MiB",
        "--idle-timeout",
        "2m",
        "--login-timeout",
        "400ms",
    ]);
    let address = program.address(Transport::WebSocket);
    let value = "v".repeat(1024 * 1024 - 6);
    let swell = |wave: usize, i: usize| {
        let mut client = Client::connect(Transport::WebSocket, address);
        assert_eq!(client.ask(&format!("user{wave}-{i}")), SUCCESS);
        assert_eq!(client.ask(&format!("put k {value}")), DONE);
        assert_eq!(client.ask("get k"), value);
        assert_eq!(client.ask("put k v"), DONE);
        (client, program.resident_kib())
    };
    let (mut waves, mut swollen_kib) = (Vec::new(), 0);
    for wave in 0..WAVES {
        let (clients, kib): (Vec<_>, Vec<_>) = (0..EACH).map(|i| swell(wave, i)).unzip();
        waves.push(clients);
        if wave == 0 {
            // On a slow machine the first of them may rest already.
            swollen_kib = kib.into_iter().max().unwrap();
            assert!(swollen_kib > EACH * 512, "{swollen_kib} KiB: the messages were large");
        }
        std::thread::sleep(Duration::from_millis(1500));
    }
    // What one wave gave back is what the next one took; else there would be five times as much.
    let kib = program.resident_kib();
    assert!(kib < swollen_kib * 5 / 2, "{kib} KiB, after {swollen_kib} KiB");
    for client in waves.iter_mut().flatten() {
        assert_eq!(client.ask("get k"), "v", "and nothing was lost");
    }
}
