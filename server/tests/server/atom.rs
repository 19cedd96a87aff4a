//! ATOM-1: reads across transports see what was put, in order, while it is being put.

use std::sync::atomic::{AtomicU64, Ordering};

use twinwire_server::Transport;

use crate::replies::{DONE, KEY_NOT_FOUND, UPGRADED};
use crate::support::{ALL, TestServer};

#[test]
fn atom_1_managers_on_every_transport_read_within_what_begun_and_completed_puts_allow() {
    const PUTS: u64 = 1500;
    let server = TestServer::start();
    for owner in [Transport::Tcp, Transport::WebSocket] {
        let name = format!("owner-{owner}");
        let mut writer = server.login(owner, &name);
        let (begun, completed) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            let (server, name, begun, completed) = (&server, &name, &begun, &completed);
            for transport in ALL {
                scope.spawn(move || {
                    let mut reader = server.login(transport, &format!("reader-{transport}-of-{name}"));
                    assert_eq!(reader.ask("upgrade"), UPGRADED);
                    let mut newest = 0;
                    while newest < PUTS {
                        let floor = newest.max(completed.load(Ordering::SeqCst));
                        let version = match reader.ask(&format!("get {name} k")).as_str() {
                            KEY_NOT_FOUND => 0,
                            value => value
                                .strip_prefix(name.as_str())
                                .and_then(|v| v.parse().ok())
                                .expect("a put value"),
                        };
                        let ceiling = begun.load(Ordering::SeqCst);
                        assert!((floor..=ceiling).contains(&version), "{floor} <= {version} <= {ceiling}");
                        newest = version;
                    }
                });
            }
            for version in 1..=PUTS {
                begun.store(version, Ordering::SeqCst);
                assert_eq!(writer.ask(&format!("put k {name}{version}")), DONE);
                completed.store(version, Ordering::SeqCst);
            }
        });
    }
}
