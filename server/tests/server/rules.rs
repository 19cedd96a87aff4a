//! LOGIN, STORE and ROLE over each transport.

use std::sync::Barrier;

use twinwire_server::{
    Transport,
    registry::{Secret, UpgradePolicy},
};

use crate::replies::{
    ALREADY_MANAGER, DENIED, DONE, DUPLICATE_NAME, EXITING, KEY_NOT_FOUND, SUCCESS, UPGRADE_REFUSED,
    UPGRADED, USER_NOT_FOUND, WRONG_FORMAT,
};
use crate::support::{ALL, TestServer};

#[test]
fn login_1_to_6_over_each_transport() {
    let server = TestServer::start();
    for transport in ALL {
        let mut client = server.connect(transport);
        for bad in ["", "two words", "put a b", &"n".repeat(65)] {
            assert_eq!(client.ask(bad), WRONG_FORMAT, "LOGIN-3, {transport}: {bad:?}");
        }
        assert_eq!(client.ask(&"ñ".repeat(32)), SUCCESS, "LOGIN-1, LOGIN-6");
        assert_eq!(client.ask("q"), EXITING);
        client.expect_close(1000);
        let mut named_q = server.login(transport, "q");
        assert_eq!(named_q.ask("get k"), KEY_NOT_FOUND, "LOGIN-5");
        assert_eq!(named_q.ask("q"), EXITING);
        named_q.expect_close(1000);
    }
}

#[test]
fn login_2_a_name_is_taken_on_every_transport_and_case_matters() {
    let server = TestServer::start();
    for (holder, other) in ALL.into_iter().zip(ALL.into_iter().cycle().skip(1)) {
        let name = format!("alice-{holder}");
        let mut first = server.login(holder, &name);
        let mut second = server.connect(other);
        assert_eq!(second.ask(&name), DUPLICATE_NAME);
        assert_eq!(second.ask(&name.to_uppercase()), SUCCESS);
        assert_eq!(first.ask("put k v"), DONE);
        assert_eq!(second.ask("get k"), KEY_NOT_FOUND);
    }
}

#[test]
fn login_4_of_concurrent_logins_exactly_one_succeeds() {
    let server = TestServer::start();
    for round in 0..20 {
        let name = format!("name{round}");
        let barrier = Barrier::new(9);
        let replies: Vec<String> = std::thread::scope(|scope| {
            let (server, name, barrier) = (&server, &name, &barrier);
            let threads: Vec<_> = ALL
                .into_iter()
                .cycle()
                .take(9)
                .map(|transport| {
                    scope.spawn(move || {
                        let mut client = server.connect(transport);
                        barrier.wait();
                        let reply = client.ask(name);
                        // No client leaves, which would free the name, before all have their replies.
                        barrier.wait();
                        reply
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(replies.iter().filter(|reply| *reply == SUCCESS).count(), 1, "{replies:?}");
        assert_eq!(replies.iter().filter(|reply| *reply == DUPLICATE_NAME).count(), 8, "{replies:?}");
    }
}

#[test]
fn store_1_to_6_over_each_transport() {
    let server = TestServer::start();
    for transport in ALL {
        let mut client = server.login(transport, &format!("user-{transport}"));
        for (request, expected) in [
            ("get k", KEY_NOT_FOUND),
            ("put k one", DONE),
            ("get k", "one"),
            ("put k two", DONE),
            ("get k", "two"),
            ("get K", KEY_NOT_FOUND),
            ("put role manager", DONE),
            ("get role", "manager"),
            ("put q done", DONE),
            ("get q", "done"),
            ("put ключ значение-☃", DONE),
            ("get ключ", "значение-☃"),
        ] {
            assert_eq!(client.ask(request), expected, "{transport}: {request}");
        }
        assert_eq!(
            client.ask(&format!("get user-{transport} k")),
            DENIED,
            "ROLE-5: `put role manager` is a put"
        );
    }
}

#[test]
fn store_4_the_largest_values_come_back_byte_for_byte() {
    let server = TestServer::start();
    for transport in [Transport::Tcp, Transport::WebSocket] {
        let mut client = server.login(transport, &format!("user-{transport}"));
        for size in [125, 126, 127, 65_535 - 6, 65_536 - 6] {
            let value: String = ('a'..='z').cycle().take(size).collect();
            assert_eq!(client.ask(&format!("put k {value}")), DONE);
            assert_eq!(client.ask("get k"), value);
        }
    }
}

#[test]
fn role_1_to_7_across_transports() {
    let server = TestServer::start();
    for (owner, reader) in ALL.into_iter().zip(ALL.into_iter().cycle().skip(1)) {
        let (alice, bob) = (format!("alice-{owner}"), format!("bob-{owner}"));
        let (mut a, mut b) = (server.login(owner, &alice), server.login(reader, &bob));
        assert_eq!(a.ask("put k v"), DONE);
        for denied in [
            format!("get {alice} k"),
            format!("get {alice} x"),
            "get nobody k".into(),
            format!("get {bob} k"),
        ] {
            assert_eq!(b.ask(&denied), DENIED, "ROLE-2");
        }
        assert_eq!(b.ask("upgrade"), UPGRADED);
        assert_eq!(b.ask("upgrade"), ALREADY_MANAGER);
        assert_eq!(b.ask(&format!("get {alice} k")), "v", "ROLE-3");
        assert_eq!(b.ask(&format!("get {alice} x")), KEY_NOT_FOUND);
        assert_eq!(b.ask("get nobody k"), USER_NOT_FOUND);
        assert_eq!(b.ask(&format!("put {alice} k w")), WRONG_FORMAT, "ROLE-6");
        assert_eq!(b.ask("put own v"), DONE);
        assert_eq!(a.ask(&format!("get {bob} own")), DENIED, "ROLE-5, ROLE-7");
        assert_eq!(b.ask("q"), EXITING);
        b.expect_close(1000);
        let mut again = server.login(reader, &bob);
        assert_eq!(again.ask(&format!("get {alice} k")), DENIED, "ROLE-1");
    }
}

#[test]
fn role_8_secret_and_closed_policies() {
    let secret = Secret::new("sesame").unwrap();
    let server = TestServer::with(|config| config.upgrade = UpgradePolicy::Secret(secret));
    let closed = TestServer::with(|config| config.upgrade = UpgradePolicy::Closed);
    for transport in ALL {
        let mut client = server.login(transport, &format!("user-{transport}"));
        assert_eq!(client.ask("upgrade"), UPGRADE_REFUSED);
        assert_eq!(client.ask("upgrade Sesame"), UPGRADE_REFUSED);
        assert_eq!(client.ask("get x y"), DENIED);
        assert_eq!(client.ask("upgrade sesame"), UPGRADED);
        assert_eq!(client.ask("get x y"), USER_NOT_FOUND);
        let mut client = closed.login(transport, &format!("user-{transport}"));
        assert_eq!(client.ask("upgrade"), UPGRADE_REFUSED);
        assert_eq!(client.ask("upgrade sesame"), WRONG_FORMAT);
        assert_eq!(client.ask("get x y"), DENIED);
    }
}
