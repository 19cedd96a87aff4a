//! The null target as the harness meets it: a process of its own whose replies are legal.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Place, twinwire};

const SCENARIO: &str = r#"
name = "null"
transports = ["tcp", "tcp-raw", "websocket"]
timeout = "20s"

[[load]]
name = "short"
model = "closed"
think = "1ms"
warmup = "50ms"
duration = "1s"

[[clients]]
name = "clients"
role = "guest"
count = 4
mix = { put = 3, get = 3, get-missing = 1, get-other = 1, bad = 1 }
keys = { count = 1 }
values = { min = 16, max = 900 }

[[clients]]
name = "managers"
role = "manager"
count = 2
mix = { put = 3, get = 3, upgrade = 1 }
keys = { count = 1 }
"#;

struct Null {
    child: Child,
    addresses: Vec<String>,
}

impl Null {
    fn start(flags: &[&str]) -> Self {
        let mut command = twinwire();
        command.arg("serve-null").args(flags.iter().flat_map(|flag| [*flag, "127.0.0.1:0"]));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let addresses = lines.take(flags.len()).map(|line| {
            let line = line.unwrap();
            assert!(line.starts_with("listening "), "{line}");
            line.rsplit(' ').next().unwrap().to_owned()
        });
        let addresses = addresses.collect();
        Self { child, addresses }
    }
}

impl Drop for Null {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn every_reply_of_the_null_target_is_legal_on_every_transport() {
    let null = Null::start(&["--tcp", "--tcp-raw", "--ws"]);
    let place = Place::with(SCENARIO);
    let url = format!("ws://{}/", null.addresses[2]);
    let arguments = ["--tcp", &null.addresses[0], "--tcp-raw", &null.addresses[1], "--ws", &url, "--quiet"];
    place.run_to_end(&arguments).expect(0);
    for transport in ["tcp", "tcp-raw", "websocket"] {
        let rows = place.csv("summary.csv");
        let row = rows.iter().find(|row| row["transport"] == transport && row["op"] == "get").unwrap();
        assert_ne!(row["requests"], "0");
    }
    let record: serde_json::Value = serde_json::from_str(&place.read("run.json")).unwrap();
    for pass in record["passes"].as_array().unwrap() {
        assert!(pass["ledger"]["values_read"].as_u64().unwrap() > 0, "a value was read: {}", pass["ledger"]);
    }
}

#[test]
fn the_null_target_ends_when_its_standard_input_does() {
    let mut null = Null::start(&["--tcp"]);
    drop(null.child.stdin.take());
    let until = Instant::now() + Duration::from_secs(10);
    while null.child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < until, "it still runs");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn the_null_target_says_goodbye_before_it_closes() {
    let null = Null::start(&["--tcp"]);
    let mut stream = TcpStream::connect(&null.addresses[0]).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(b"alice\nput k0 v\nq\nget k0\n").unwrap();
    let mut replies = String::new();
    stream.read_to_string(&mut replies).unwrap();
    assert_eq!(replies, "success\ndone\nexiting\n");
}
