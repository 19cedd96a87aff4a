//! ROLE-8: those who guess the secret are slowed down, and nobody else is.

use std::time::{Duration, Instant};

use twinwire_server::{
    registry::{Secret, UpgradePolicy},
    transport::Transport,
};

use crate::disturbance::undisturbed;
use crate::support::{ALL, TestServer};

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
        // One worker, so that whatever holds it up holds everybody up.
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
                        assert_eq!(neighbour.ask("get k"), "key not found");
                    }
                    rounds += 1;
                }
                assert!(rounds > 1, "the neighbours were held up as well");
                assert_eq!(guesser.reply(), "upgrade refused");
                assert!(tried.elapsed() >= *delay, "{transport}");
            }
            let known = Instant::now();
            assert_eq!(guesser.ask("upgrade"), "upgrade refused");
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
        let expected = if word == "sesame" { "upgraded to manager" } else { "upgrade refused" };
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
            assert_eq!(guesser.reply(), "done");
            assert!(sent.elapsed() < DELAYS[0], "what came before is not held back");
            for (expected, after) in [("upgrade refused", DELAYS[0]), ("v", DELAYS[0])] {
                assert_eq!(guesser.reply(), expected);
                assert!(sent.elapsed() >= after);
            }
            for expected in ["upgrade refused", "upgraded to manager", "v", "exiting"] {
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
        assert_eq!(guesser.ask("upgrade wrong"), "upgrade refused");
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

#[test]
fn life_2_a_guesser_who_has_gone_is_noticed() {
    undisturbed(|| {
        let server = server();
        for transport in [Transport::Tcp, Transport::WebSocket] {
            for reset in [false, true] {
                let mut guesser = server.login_when_free(transport, "guesser");
                let batch = guesser.message("upgrade wrong").repeat(1000);
                guesser.write(&batch);
                assert_eq!(guesser.reply(), "upgrade refused");
                let gone = Instant::now();
                if reset {
                    guesser.reset();
                } else {
                    drop(guesser);
                }
                drop(server.login_when_free(transport, "guesser"));
                assert!(gone.elapsed() < Duration::from_secs(5), "{transport}: {:?}", gone.elapsed());
            }
        }
    });
}

#[test]
fn role_8_a_server_that_stops_does_not_wait_for_guessers() {
    undisturbed(|| {
        let server = server();
        let mut guesser = server.login(Transport::Tcp, "guesser");
        for _ in 0..3 {
            assert_eq!(guesser.ask("upgrade wrong"), "upgrade refused");
        }
        guesser.write(b"put k v\nupgrade wrong\nget k\nupgrade wrong\n");
        assert_eq!(guesser.reply(), "done");
        let stopped = Instant::now();
        server.shutdown.trigger();
        assert_eq!(String::from_utf8(guesser.rest()).unwrap(), "upgrade refused\nv\nupgrade refused\n");
        assert!(stopped.elapsed() < DELAYS[3], "{:?}", stopped.elapsed());
    });
}
