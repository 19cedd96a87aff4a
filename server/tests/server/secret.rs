//! ROLE-8: clients that guess the secret are slowed down, and no others are.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};
use twinwire_server::{
    Transport,
    registry::{Secret, UpgradePolicy},
};

use crate::disturbance::undisturbed;
use crate::replies::{DONE, EXITING, KEY_NOT_FOUND, SUCCESS, UPGRADE_REFUSED, UPGRADED};
use crate::support::{ALL, Client, TestServer};

/// The delays of the first four wrong tries, after which they grow no more.
const DELAYS: [Duration; 4] = [
    Duration::from_millis(125),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
];

fn server() -> TestServer {
    let secret = Secret::new("sesame").unwrap();
    TestServer::with(|config| {
        config.upgrade = UpgradePolicy::Secret(secret);
        // One worker, so that whatever blocks it blocks every client.
        config.workers = twinwire_server::config::Workers::Floating(std::num::NonZeroUsize::MIN);
    })
}

#[test]
fn role_8_each_wrong_try_is_answered_later_than_the_last_and_neighbours_are_not() {
    undisturbed(|| {
        for transport in ALL {
            let server = server();
            let mut neighbours =
                ALL.map(|transport| server.login(transport, &format!("neighbour-{transport}")));
            let mut guesser = server.login(transport, &format!("guesser-{transport}"));
            for delay in &DELAYS[..3] {
                let tried = Instant::now();
                guesser.send("upgrade wrong");
                let mut rounds = 0;
                while tried.elapsed() < *delay {
                    for neighbour in &mut neighbours {
                        assert_eq!(neighbour.ask("get k"), KEY_NOT_FOUND);
                    }
                    rounds += 1;
                }
                assert!(rounds > 1, "the neighbours were held up as well");
                assert_eq!(guesser.reply(), UPGRADE_REFUSED);
                assert!(tried.elapsed() >= *delay, "{transport}");
            }
            let known = Instant::now();
            assert_eq!(guesser.ask("upgrade"), UPGRADE_REFUSED);
            assert!(known.elapsed() < DELAYS[2], "no guess, no delay");
        }
    });
}

#[test]
fn role_8_a_new_connection_for_each_guess_waits_as_long_and_for_the_right_secret_too() {
    let server = server();
    for (number, word) in ["a", "b", "c", "sesame", "d"].into_iter().enumerate() {
        let mut guesser = server.login(Transport::Tcp, &format!("guesser-{number}"));
        let tried = Instant::now();
        let expected = if word == "sesame" { UPGRADED } else { UPGRADE_REFUSED };
        assert_eq!(guesser.ask(&format!("upgrade {word}")), expected);
        let delay = DELAYS[number.min(3)];
        assert!(tried.elapsed() >= delay, "{word} was answered after {:?}, not {delay:?}", tried.elapsed());
    }
}

#[test]
fn role_8_guesses_sent_all_at_once_are_run_one_after_the_other_and_answered_in_order() {
    undisturbed(|| {
        for transport in [Transport::Tcp, Transport::WebSocket] {
            let server = server();
            let mut guesser = server.login(transport, &format!("guesser-{transport}"));
            let requests = ["put k v", "upgrade a", "get k", "upgrade b", "upgrade sesame", "get k", "q"];
            let batch: Vec<u8> = requests.iter().flat_map(|request| guesser.message(request)).collect();
            let sent = Instant::now();
            guesser.write(&batch);
            assert_eq!(guesser.reply(), DONE);
            assert!(sent.elapsed() < DELAYS[0], "what came before is not held back");
            for (expected, after) in [(UPGRADE_REFUSED, DELAYS[0]), ("v", DELAYS[0])] {
                assert_eq!(guesser.reply(), expected);
                assert!(sent.elapsed() >= after);
            }
            for expected in [UPGRADE_REFUSED, UPGRADED, "v", EXITING] {
                assert_eq!(guesser.reply(), expected);
                assert!(sent.elapsed() >= DELAYS[0] + DELAYS[1], "{expected} came before its time");
            }
            guesser.expect_close(1000);
        }
    });
}

#[test]
fn role_8_a_server_reads_nothing_from_a_guesser_whose_reply_is_due() {
    let server = server();
    let mut guesser = server.login(Transport::Tcp, "guesser");
    for _ in 0..3 {
        assert_eq!(guesser.ask("upgrade wrong"), UPGRADE_REFUSED);
    }
    let tried = Instant::now();
    guesser.write(b"upgrade wrong\n");
    guesser.stream.set_nonblocking(true).unwrap();
    let (chunk, mut taken) = ([vec![b'x'; 60_000], b"\n".to_vec()].concat(), 0);
    // The kernel's buffers fill up, and then no more goes. A server that read would take hundreds of megabytes.
    while tried.elapsed() < DELAYS[3] / 2 {
        match std::io::Write::write(&mut guesser.stream, &chunk) {
            Ok(count) => taken += count,
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
    assert!(taken < 32 << 20, "{taken} bytes were taken from a client that is to wait");
}

/// Clients that have each tried a wrong secret, one after the other.
fn guessers(server: &TestServer, count: usize) -> Vec<Client> {
    let mut guessers: Vec<_> =
        (0..count).map(|number| server.login(Transport::Tcp, &format!("guesser-{number}"))).collect();
    for guesser in &mut guessers {
        guesser.send("upgrade wrong");
        guesser.stream.set_nonblocking(true).unwrap();
    }
    guessers
}

/// How many of them have been answered.
fn answered(guessers: &[Client]) -> usize {
    guessers.iter().filter(|guesser| guesser.stream.peek(&mut [0]).is_ok()).count()
}

#[test]
fn role_8_an_address_guesses_at_one_pace_over_all_its_connections_and_another_upgrades_meanwhile() {
    const GUESSERS: usize = 40;
    let server = server();
    let elsewhere = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    elsewhere.bind(&SocketAddr::from(([127, 0, 0, 2], 0)).into()).unwrap();
    elsewhere.connect(&server.address(Transport::Tcp).into()).unwrap();
    let mut other = Client { transport: Transport::Tcp, stream: elsewhere.into(), tls: None };
    assert_eq!(other.ask("other"), SUCCESS);
    let began = Instant::now();
    let guessers = guessers(&server, GUESSERS);
    assert_eq!(other.ask("upgrade sesame"), UPGRADED);
    assert!(answered(&guessers) < GUESSERS / 2, "it waited for those of another address");
    let mut due = Duration::ZERO;
    for number in 0..5 {
        due += DELAYS[number.min(3)];
        while answered(&guessers) <= number {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(began.elapsed() >= due, "{} guesses within {:?}", number + 1, began.elapsed());
    }
    // A server that stops waits for none of the others.
    server.shutdown.trigger();
}

#[test]
fn life_2_a_guesser_that_hangs_up_does_not_hold_its_name_while_its_reply_is_due() {
    let server = server();
    // Each of them is due a second after the one before; the next one after all of them.
    let waiting = guessers(&server, 40);
    for transport in ALL {
        for reset in [false, true] {
            let mut guesser = server.login_when_free(transport, "gone");
            // Raw messages would be one.
            let tries = if transport == Transport::TcpRaw { 1 } else { 100 };
            let batch = guesser.message("upgrade wrong").repeat(tries);
            guesser.write(&batch);
            if reset {
                guesser.reset();
            } else {
                drop(guesser);
            }
        }
    }
    drop(server.login_when_free(Transport::Tcp, "gone"));
    let answered = answered(&waiting);
    assert!(answered < waiting.len() - 5, "{answered} guesses later");
    server.shutdown.trigger();
}

#[test]
fn life_4_a_guesser_that_closes_its_sending_side_gets_its_replies_without_the_wait() {
    let server = server();
    let waiting = guessers(&server, 40);
    for transport in [Transport::Tcp, Transport::Tls] {
        let mut guesser = server.login(transport, &format!("guesser-{transport}"));
        guesser.write(b"put k v\nupgrade wrong\nget k\nupgrade sesame\nget k\n");
        guesser.half_close();
        // What is said over TLS waits unread behind the tries: the end of TCP itself shows.
        let _ = guesser.stream.shutdown(std::net::Shutdown::Write);
        let replies = String::from_utf8(guesser.rest()).unwrap();
        assert_eq!(replies, "done\nupgrade refused\nv\nupgrade refused\nv\n");
    }
    let answered = answered(&waiting);
    assert!(answered < waiting.len() - 5, "{answered} guesses later");
    server.shutdown.trigger();
}

#[test]
fn role_8_a_server_that_stops_does_not_wait_for_guessers() {
    undisturbed(|| {
        let server = server();
        let mut guesser = server.login(Transport::Tcp, "guesser");
        for _ in 0..3 {
            assert_eq!(guesser.ask("upgrade wrong"), UPGRADE_REFUSED);
        }
        guesser.write(b"put k v\nupgrade wrong\nget k\nupgrade wrong\n");
        assert_eq!(guesser.reply(), DONE);
        let stopped = Instant::now();
        server.shutdown.trigger();
        assert_eq!(String::from_utf8(guesser.rest()).unwrap(), "upgrade refused\nv\nupgrade refused\n");
        assert!(stopped.elapsed() < DELAYS[3], "{:?}", stopped.elapsed());
    });
}
