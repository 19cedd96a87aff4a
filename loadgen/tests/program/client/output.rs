//! Standard output that nobody reads, or that cannot be written.

use std::fs::File;
use std::io::Write as _;
use std::process::{Child, Stdio};

use super::{TestServer, stderr};

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let server = TestServer::start();
    let mut child: Child = server
        .client(&[])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    child.stdin.take().unwrap().write_all(b"get a b\nget a b\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""));
}

#[test]
fn exit_2_where_standard_output_cannot_be_written() {
    let server = TestServer::start();
    for (arguments, input) in [(&["put", "a", "1"] as &[&str], ""), (&[], "put a 1\n"), (&[], "help\n")] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut child = server
            .client(arguments)
            .stdin(Stdio::piped())
            .stdout(full)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let said =
            "twinwire-client: cannot write to standard output: No space left on device (os error 28)\n";
        assert_eq!(stderr(&output), said, "{arguments:?}");
    }
}
