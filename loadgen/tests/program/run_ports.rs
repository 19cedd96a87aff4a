//! `twinwire run` against ports that speak something else: that is no target, and the port is named.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

use crate::support::faulty::{self, Fault};
use crate::support::tls::{Certificate, LOCAL, Server};
use crate::support::{Place, scenario};

/// What the run says, without its user names and with PORT for this one.
fn said(transport: &str, flags: &[&str], port: u16) -> String {
    let place = Place::with(&scenario(&format!("[\"{transport}\"]")));
    let stderr = place.run_to_end(&[&["--set", "timeout=2s"], flags].concat()).expect(3).stderr;
    let line = stderr.lines().rfind(|line| line.starts_with("error: ")).unwrap();
    let (_, said) = line.split_once("(trial 1): ").unwrap();
    let name = said.split('`').nth(1).unwrap();
    said.replace(name, "NAME").replace(&port.to_string(), "PORT")
}

#[test]
fn a_port_for_tls_that_closes_is_asked_about() {
    let server = Server::start(&Certificate::issued(&LOCAL, |_| {}));
    let said = said("tcp", &["--tcp", &server.tls.to_string()], server.tls.port());
    insta::assert_snapshot!(said, @"logging in as `NAME` at tcp 127.0.0.1:PORT: the server closed the connection without an answer to the login: does it want TLS (--tls), or WebSocket (--ws)?");
}

#[test]
fn an_alert_of_tls_is_no_wrong_reply() {
    let server = Server::start(&Certificate::issued(&LOCAL, |_| {}));
    let said = said("tcp-raw", &["--tcp-raw", &server.tls.to_string()], server.tls.port());
    insta::assert_snapshot!(said, @"logging in as `NAME` at tcp-raw 127.0.0.1:PORT: the server speaks TLS on this port: use --tls");
}

#[test]
fn an_answer_in_http_is_no_wrong_reply() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = BufReader::new(stream);
            let _ = stream.read_line(&mut String::new());
            let _ = stream.get_mut().write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let said = said("tcp", &["--tcp", &address.to_string()], address.port());
    insta::assert_snapshot!(said, @"logging in as `NAME` at tcp 127.0.0.1:PORT: the server speaks HTTP on this port: use --ws");
}

#[test]
fn a_port_that_says_nothing_is_named() {
    let address = faulty::start(Fault::Silent);
    let said = said("tcp", &["--tcp", &address.to_string()], address.port());
    insta::assert_snapshot!(said, @"logging in as `NAME` at tcp 127.0.0.1:PORT: no reply within 2s: the server hangs, or speaks another framing on this port (try --ws, or --tcp-raw)");
}
