//! `twinwire run` with values that are longer than every server must take.

use crate::support::{Ended, Place};

/// Guests with values of 200,000 bytes, and what more is to be said of them.
fn scenario(more: &str) -> String {
    format!(
        r#"
name = "long"
transports = ["tcp", "websocket"]
timeout = "20s"

[[load]]
name = "load"
model = "closed"
think = "1ms"
warmup = "0ms"
duration = "500ms"
timing = "unjudged"

[[clients]]
name = "guests"
role = "guest"
count = 2
mix = {{ put = 1, get = 1 }}
keys = {{ count = 2 }}
values = {{ min = 199000, max = 200000 }}
{more}
"#
    )
}

/// The reference server over both transports with more arguments: a target that the harness launches.
fn server(arguments: &str) -> String {
    let program = env!("CARGO_BIN_EXE_twinwire");
    format!("'{program}' serve-embedded --tcp 127.0.0.1:{{tcp}} --ws 127.0.0.1:{{ws}} {arguments}")
}

/// The error of a run over one transport against a server that takes no such values.
fn error_over(transport: &str, more: &str) -> String {
    let place = Place::with(&scenario(more));
    let transports = format!("transports=[\"{transport}\"]");
    let ended = place.run_to_end(&["--launch", &server(""), "--set", &transports]).expect(3);
    assert!(ended.stdout.contains("none wrong"), "{}", ended.stdout);
    plain(&ended)
}

/// The error without what differs between runs.
fn plain(ended: &Ended) -> String {
    let line = ended.stderr.lines().find(|line| line.starts_with("error: ")).unwrap_or(&ended.stderr);
    let word = |word: &str| match word {
        word if word.contains("127.0.0.1:") => "ADDRESS".to_owned(),
        word if word.contains("guests-") => "NAME".to_owned(),
        word => word.to_owned(),
    };
    line.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

#[test]
fn values_longer_than_every_server_takes_are_put_and_read_over_both_transports() {
    let larger = server("--message-max 1MiB");
    for arguments in [vec![], vec!["--launch", &larger]] {
        let place = Place::with(&scenario(""));
        place.measure(&arguments);
        let rows = place.csv("summary.csv");
        for (transport, op) in [("tcp", "put"), ("tcp", "get"), ("websocket", "put"), ("websocket", "get")] {
            let row = rows.iter().find(|row| row["transport"] == transport && row["op"] == op).unwrap();
            assert!(row["requests"] != "0" && row["violations"] == "0" && row["errors"] == "0", "{row:?}");
        }
    }
}

#[test]
fn a_server_that_takes_no_message_that_long_is_not_wrong_and_the_error_says_what_happened() {
    let [tcp, websocket] = ["tcp", "websocket"].map(|transport| error_over(transport, ""));
    insta::assert_snapshot!(tcp, @"error: long: while load `load` was set up over tcp (trial 1): preloading as NAME at tcp ADDRESS the server answered `message too long`: use smaller values, or raise the server's message limit");
    insta::assert_snapshot!(websocket, @"error: long: while load `load` was set up over websocket (trial 1): preloading as NAME at ADDRESS the server takes no message that long: use smaller values, or raise the server's message limit");
    let [tcp, websocket] = ["tcp", "websocket"].map(|transport| error_over(transport, "preload = 0"));
    insta::assert_snapshot!(tcp, @"error: long: while load `load` ran over tcp (trial 1): every client lost its connection, the first one NAME the server takes no message that long");
    insta::assert_snapshot!(websocket, @"error: long: while load `load` ran over websocket (trial 1): every client lost its connection, the first one NAME the server takes no message that long");
}
