//! `twinwire-client --tls`: the real binary against servers with good and with bad certificates.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, PKCS_ED25519, date_time_ymd};

use crate::support::faulty::{self, Fault};
use crate::support::tls::{Certificate, LOCAL, Server, front, path};
use crate::support::{Ended, twinwire};

fn client(host: &str, port: u16, arguments: &[&str]) -> Ended {
    patient_client("20s", host, port, arguments)
}

fn patient_client(patience: &str, host: &str, port: u16, arguments: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twinwire-client"));
    command.args([host, &port.to_string(), "--timeout", patience, "--tls"]).args(arguments);
    command.env_remove("TWINWIRE_UPGRADE_SECRET").stdin(Stdio::null());
    // What this machine's system trusts is nobody's business here.
    command.env("SSL_CERT_FILE", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/some-ca.pem"));
    command.env_remove("SSL_CERT_DIR");
    Ended::of(command.output().unwrap())
}

/// What the client says of a server behind a front with this certificate, for a snapshot: without ports and folders.
/// It is told to trust what the certificate asks for.
fn complaint(certificate: &Certificate, host: &str) -> String {
    let server = front(certificate, faulty::start(Fault::None));
    let folder = tempfile::tempdir().unwrap();
    certificate.write(folder.path());
    let ca = path(&folder.path().join("ca.pem"));
    let said = client(host, server.port(), &["--ca", &ca, "get", "a"]).expect(3).stderr;
    said.replace(&server.port().to_string(), "PORT").replace(&path(folder.path()), "FOLDER")
}

#[test]
fn requests_are_answered_over_both_transports_and_by_every_name() {
    let server = Server::start(&Certificate::issued(&LOCAL, |_| {}));
    for (port, flags) in [(server.tls.port(), None), (server.wss.port(), Some("--ws"))] {
        for host in ["127.0.0.1", "localhost"] {
            let commands = ["put", "a", "wert-ä", "get", "a", "upgrade", "get", "nobody", "a"];
            let arguments: Vec<&str> = flags.into_iter().chain(commands).collect();
            let ended = client(host, port, &[&["--ca", &server.ca()], &arguments[..]].concat()).expect(0);
            assert_eq!(
                ended.stdout, "done\nwert-ä\nupgraded to manager\nuser not found\n",
                "{host} {flags:?}"
            );
            assert_eq!(ended.stderr, "");
        }
    }
}

#[test]
fn a_self_signed_certificate_can_be_trusted_by_itself() {
    let server = Server::start(&Certificate::self_signed(&LOCAL, |_| {}));
    let ended = client("127.0.0.1", server.tls.port(), &["--ca", &server.ca(), "put", "a", "1"]).expect(0);
    assert_eq!(ended.stdout, "done\n");
}

#[test]
fn long_values_come_back_whole() {
    let server = Server::start(&Certificate::issued(&LOCAL, |_| {}));
    let value = "v".repeat(60_000);
    for (port, flag) in [(server.tls.port(), "--manager"), (server.wss.port(), "--ws")] {
        let arguments = ["--ca", &server.ca(), flag, "put", "a", &value, "get", "a"];
        let ended = client("127.0.0.1", port, &arguments).expect(0);
        assert!(ended.stdout == format!("done\n{value}\n"), "{flag}");
    }
}

#[test]
fn an_unknown_issuer_is_not_trusted() {
    let server = Server::start(&Certificate::issued(&LOCAL, |_| {}));
    let folder = tempfile::tempdir().unwrap();
    Certificate::issued(&LOCAL, |_| {}).write(folder.path());
    let other = path(&folder.path().join("ca.pem"));
    let neutral = |ended: Ended| {
        let said = ended.expect(3).stderr.replace(&path(folder.path()), "FOLDER");
        said.replace(&server.tls.port().to_string(), "PORT").replace(&server.wss.port().to_string(), "PORT")
    };
    let said = neutral(client("127.0.0.1", server.tls.port(), &["--ca", &other, "get", "a"]));
    insta::assert_snapshot!(said, @"twinwire-client: no TLS at 127.0.0.1:PORT: the server's certificate is not trusted: neither it nor its CA is in `FOLDER/ca.pem`; name its CA with --ca FILE");
    let said = neutral(client("127.0.0.1", server.wss.port(), &["--ws", "get", "a"]));
    insta::assert_snapshot!(said, @"twinwire-client: no TLS at wss://127.0.0.1:PORT/: the server's certificate is not trusted: no CA that this system trusts has issued it; name its CA with --ca FILE");
}

#[test]
fn an_issuer_that_shares_its_name_with_another_kind_of_key_is_not_trusted() {
    // Both have the library's default name; the trusted one's key cannot have made such a signature.
    let trusted = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let trusted = CertificateParams::new(Vec::new()).unwrap().self_signed(&trusted).unwrap();
    let server = Server::start(&Certificate::self_signed(&LOCAL, |_| {}));
    let file = server.folder.path().join("other.pem");
    std::fs::write(&file, trusted.pem()).unwrap();
    let said = client("127.0.0.1", server.tls.port(), &["--ca", &path(&file), "get", "a"]).expect(3).stderr;
    let said = said.replace(&server.tls.port().to_string(), "PORT").replace(&path(&file), "FILE");
    insta::assert_snapshot!(said, @"twinwire-client: no TLS at 127.0.0.1:PORT: the server's certificate is not trusted: neither it nor its CA is in `FILE`; name its CA with --ca FILE");
}

#[test]
fn a_certificate_for_other_names_is_refused_with_the_names_that_it_has() {
    let said =
        complaint(&Certificate::issued(&["example.org", "*.example.net", "192.0.2.7"], |_| {}), "127.0.0.1");
    insta::assert_snapshot!(said, @"twinwire-client: no TLS at 127.0.0.1:PORT: the server's certificate is not for `127.0.0.1`, but for `example.org`, `*.example.net`, `192.0.2.7`");
    let said = complaint(&Certificate::issued(&["127.0.0.1"], |_| {}), "localhost");
    insta::assert_snapshot!(said, @"twinwire-client: no TLS at localhost:PORT: the server's certificate is not for `localhost`, but for `127.0.0.1`");
    let said = complaint(&Certificate::issued(&[], |_| {}), "localhost");
    insta::assert_snapshot!(said, @"twinwire-client: no TLS at localhost:PORT: the server's certificate is not for `localhost`: it names no host");
}

#[test]
fn a_certificate_out_of_its_time_is_refused_with_its_date() {
    let expired = Certificate::issued(&LOCAL, |params| params.not_after = date_time_ymd(2020, 2, 29));
    let said = complaint(&expired, "localhost");
    let (said, _now) = said.split_once("(now: ").unwrap();
    insta::assert_snapshot!(said, @"twinwire-client: no TLS at localhost:PORT: the server's certificate expired at 2020-02-29T00:00:00Z");
    let early = Certificate::issued(&LOCAL, |params| params.not_before = date_time_ymd(4000, 1, 1));
    let said = complaint(&early, "localhost");
    let (said, _now) = said.split_once("(now: ").unwrap();
    insta::assert_snapshot!(said, @"twinwire-client: no TLS at localhost:PORT: the server's certificate is not valid before 4000-01-01T00:00:00Z");
}

#[test]
fn a_cas_own_certificate_is_no_servers() {
    let ca =
        Certificate::self_signed(&LOCAL, |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    insta::assert_snapshot!(complaint(&ca, "localhost"), @"twinwire-client: no TLS at localhost:PORT: the server's certificate is that of a CA (CA:TRUE), which must not be a server's own: if it is self-signed, make it again with `openssl req -x509 … -addext basicConstraints=critical,CA:FALSE`; otherwise let the CA issue one for the server");
}

#[test]
fn a_server_without_tls_is_said_to_be_one() {
    let folder = tempfile::tempdir().unwrap();
    Certificate::issued(&LOCAL, |_| {}).write(folder.path());
    let ca = path(&folder.path().join("ca.pem"));
    let said_within = |patience: &str, server: SocketAddr| {
        let ended =
            patient_client(patience, "127.0.0.1", server.port(), &["--ca", &ca, "get", "a"]).expect(3);
        ended.stderr.replace(&server.port().to_string(), "PORT")
    };
    let said = |server: SocketAddr| said_within("20s", server);
    // One that answers whatever comes, one that closes, one that waits, and none.
    let answers = listening(|mut stream| {
        let _ = stream.read(&mut [0; 2000]);
        let _ = stream.write_all(b"wrong message format\n");
        let _ = stream.read(&mut [0]);
    });
    insta::assert_snapshot!(said(answers), @"twinwire-client: no TLS at 127.0.0.1:PORT: the server does not speak TLS on this port");
    let closes = listening(|mut stream| {
        let _ = stream.read(&mut [0; 2000]);
    });
    insta::assert_snapshot!(said(closes), @"twinwire-client: no TLS at 127.0.0.1:PORT: the server ended the connection in the TLS handshake: perhaps it does not speak TLS on this port");
    let waits = listening(|mut stream| while stream.read(&mut [0; 2000]).is_ok_and(|bytes| bytes > 0) {});
    insta::assert_snapshot!(said_within("1s", waits), @"twinwire-client: no connection to tls 127.0.0.1:PORT within 1s: the server hangs, or does not speak TLS on this port");
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    insta::assert_snapshot!(said(nobody), @"twinwire-client: cannot connect to 127.0.0.1:PORT: Connection refused (os error 111)");
}

fn listening(serve: fn(std::net::TcpStream)) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().flatten().for_each(serve));
    address
}

#[test]
fn tls_without_websocket_on_its_port_is_said_to_lack_it() {
    let server = Server::start(&Certificate::issued(&LOCAL, |_| {}));
    let said =
        client("localhost", server.tls.port(), &["--ca", &server.ca(), "--ws", "get", "a"]).expect(3).stderr;
    let said = said.replace(&server.tls.port().to_string(), "PORT");
    insta::assert_snapshot!(said, @"twinwire-client: no WebSocket at wss://localhost:PORT/: the server does not speak WebSocket on this port: its answer is not HTTP");
}

#[test]
fn websocket_without_tls_on_a_port_for_tls_is_said_to_lack_it() {
    let server = Server::start(&Certificate::issued(&LOCAL, |_| {}));
    let port = server.wss.port().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_twinwire-client"));
    let output = command.args(["localhost", &port, "--ws", "get", "a"]).stdin(Stdio::null()).output();
    let said = Ended::of(output.unwrap()).expect(3).stderr.replace(&port, "PORT");
    insta::assert_snapshot!(said, @"twinwire-client: no WebSocket at ws://localhost:PORT/: the server does not speak WebSocket on this port, unless over TLS: its answer is not HTTP");
}

#[test]
fn a_login_without_tls_on_a_port_for_tls_is_told_what_it_may_lack() {
    let server = Server::start(&Certificate::issued(&LOCAL, |_| {}));
    for port in [server.tls.port(), server.wss.port()] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_twinwire-client"));
        let output = command.args(["localhost", &port.to_string(), "get", "a"]).stdin(Stdio::null()).output();
        let said = Ended::of(output.unwrap()).expect(3).stderr;
        insta::allow_duplicates! {
            insta::assert_snapshot!(said, @"twinwire-client: the server closed the connection without an answer to the login: does it want TLS (--tls), or WebSocket (--ws)?");
        }
    }
}

#[test]
fn a_login_over_raw_tcp_on_a_port_for_tls_is_told_so() {
    let server = Server::start(&Certificate::issued(&LOCAL, |_| {}));
    let mut command = Command::new(env!("CARGO_BIN_EXE_twinwire-client"));
    let port = server.tls.port().to_string();
    let output = command.args(["localhost", &port, "--raw", "get", "a"]).stdin(Stdio::null()).output();
    let said = Ended::of(output.unwrap()).expect(3).stderr;
    insta::assert_snapshot!(said, @"twinwire-client: the server speaks TLS on this port: use --tls");
}

#[test]
fn a_file_without_anybody_to_trust_is_an_error_of_usage() {
    let folder = tempfile::tempdir().unwrap();
    Certificate::issued(&LOCAL, |_| {}).write(folder.path());
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    std::fs::write(folder.path().join("broken.pem"), broken).unwrap();
    std::fs::write(folder.path().join("cut.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n").unwrap();
    let said: String = ["missing.pem", "key.pem", "broken.pem", "cut.pem"]
        .iter()
        .map(|name| {
            let ca = path(&folder.path().join(name));
            client("127.0.0.1", 9, &["--ca", &ca, "get", "a"]).expect(2).stderr
        })
        .collect();
    insta::assert_snapshot!(said.replace(&path(folder.path()), "FOLDER"), @r"
    twinwire-client: --ca: cannot read `FOLDER/missing.pem`: No such file or directory (os error 2)
    twinwire-client: --ca: `FOLDER/key.pem` holds no certificate: it must be a PEM file with BEGIN CERTIFICATE in it
    twinwire-client: --ca: `FOLDER/broken.pem` holds a certificate that cannot be read: what is encoded there is not a certificate
    twinwire-client: --ca: `FOLDER/cut.pem` holds a certificate that cannot be read: its END line is missing
    ");
}

#[test]
fn flags_that_do_not_go_together_are_refused() {
    for (arguments, part) in
        [(&["--raw", "get", "a"] as &[&str], "cannot be used with"), (&["--ca"], "a value is required")]
    {
        let said = client("127.0.0.1", 9, arguments).expect(2).stderr;
        assert!(said.contains(part), "{said}");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_twinwire-client"));
    let said = Ended::of(command.args(["127.0.0.1", "9", "--ca", "x", "get", "a"]).output().unwrap())
        .expect(2)
        .stderr;
    assert!(said.contains("--tls"), "{said}");
    let help = Ended::of(Command::new(env!("CARGO_BIN_EXE_twinwire-client")).arg("--help").output().unwrap())
        .expect(0);
    assert!(help.stdout.contains("--ca <FILE>") && !help.stdout.contains("not built"), "{}", help.stdout);
    let help = Ended::of(twinwire().args(["run", "--help"]).output().unwrap()).expect(0).stdout;
    assert!(
        help.contains("--ca <FILE>") && help.contains("--wss <URL>") && help.contains("{cert}"),
        "{help}"
    );
}
