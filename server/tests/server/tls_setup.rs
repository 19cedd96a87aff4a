//! The certificate and its key: what is wrong with them is said at the start, and they are renewed while a server runs.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::Output,
    thread::sleep,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use twinwire_server::Transport::{Tls, Wss};

use crate::replies::{KEY_NOT_FOUND, SUCCESS};
use crate::{
    certificate::{Certificate, shake_hands},
    program::{Program, command, refusal},
    support::Client,
    tls::program,
};

/// Made by `openssl x509 -req` without extensions, as old instructions have it: of version 1.
const VERSION_1: &str = "-----BEGIN CERTIFICATE-----
MIIBJTCBywIUMQoLuZL3DSHi9w0YSCKIU0itIWwwCgYIKoZIzj0EAwIwFDESMBAG
A1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyODE4NDcxOFoYDzIxMjYxMTA0MTg0NzE4
WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AAQox3nqGiZ+/lml1nd0KE1Nriv9nOSpYC9aDxDsfe6Ms1zSXqURqaUuLtuNMIhn
uY0LNk2n8C+9DoQe6IJyLoxuMAoGCCqGSM49BAMCA0kAMEYCIQDRbVEGBUyaT2Gj
iR5Bd3PqvjONpbwJK3+nzVK7exLuTwIhALCRKr+dLrrEiQTCAHDGBRVo7Jt1++UZ
bVbAgX5e7d1y
-----END CERTIFICATE-----
";

/// What the program says when it is to serve TLS with these files, whose folder is left out.
fn refused(certificate: &Path, key: &Path) -> String {
    let [certificate, key] = [certificate, key].map(|path| path.to_str().unwrap());
    let args = ["--tls", "127.0.0.1:0", "--tls-cert", certificate, "--tls-key", key];
    let (code, stderr) = refusal(&mut command(&args));
    assert_eq!(code, Some(2), "{stderr}");
    let (checked, checked_stderr) = refusal(&mut command(&[&args[..], &["--check-config"]].concat()));
    assert_eq!((checked, &checked_stderr), (Some(2), &stderr), "--check-config says the same");
    let folder = Path::new(certificate).parent().unwrap().to_str().unwrap();
    stderr.replace(&format!("{folder}/"), "")
}

#[test]
fn flags_that_lack_each_other_are_refused() {
    let said = |args: &[&str]| {
        let (code, stderr) = refusal(&mut command(args));
        assert_eq!(code, Some(2), "{stderr}");
        stderr
    };
    insta::assert_snapshot!(said(&["--tls", "127.0.0.1:0"]), @"twinwire-server: a listener for tls needs a certificate and its key: name their files with --tls-cert and --tls-key");
    insta::assert_snapshot!(said(&["--wss", "127.0.0.1:0", "--tls-cert", "a"]), @"twinwire-server: --tls-cert needs --tls-key as well: the certificate is of no use without its key");
    insta::assert_snapshot!(said(&["--wss", "127.0.0.1:0", "--tls-key", "a"]), @"twinwire-server: --tls-key needs --tls-cert as well: the certificate is of no use without its key");
    insta::assert_snapshot!(said(&["--tcp", "127.0.0.1:0", "--tls-cert", "a", "--tls-key", "b"]), @"twinwire-server: --tls-cert and --tls-key have no effect without a listener: add --tls or --wss");
    insta::assert_snapshot!(said(&["--tls", "0.0.0.0:0", "--tls-cert", "a", "--tls-key", "b"]), @"twinwire-server: tls on 0.0.0.0:0 can be reached from other machines: choose with --upgrade open, secret or closed which clients may become managers and read all data");
}

#[test]
fn a_file_that_cannot_be_used_is_named_with_what_to_do() {
    let good = Certificate::new();
    let folder = tempfile::tempdir().unwrap();
    let bad = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        path
    };
    let (cert, key) = (bad("cert.pem", &good.cert_pem), bad("key.pem", &good.key_pem));
    let broken = good.cert_pem.replace("-----END", "-----");
    let garbled = good.cert_pem.replacen('M', "!", 1);
    let encrypted = good.key_pem.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let old = good.key_pem.replace("KEY-----\n", "KEY-----\nProc-Type: 4,ENCRYPTED\n\n");
    let no_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let no_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let list = "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n";

    insta::assert_snapshot!(refused(&folder.path().join("nowhere.pem"), &key), @"twinwire-server: --tls-cert nowhere.pem: No such file or directory (os error 2); check the path");
    insta::assert_snapshot!(refused(folder.path(), &key).replace(folder.path().file_name().unwrap().to_str().unwrap(), "FOLDER"), @"twinwire-server: --tls-cert FOLDER: Is a directory (os error 21); name another file");
    insta::assert_snapshot!(refused(&cert, &folder.path().join("nowhere.pem")), @"twinwire-server: --tls-key nowhere.pem: No such file or directory (os error 2); check the path");
    insta::assert_snapshot!(refused(&bad("text.pem", "no PEM at all"), &key), @"twinwire-server: --tls-cert text.pem is not in PEM form, which has lines such as -----BEGIN CERTIFICATE-----; convert it with openssl, or name another file");
    insta::assert_snapshot!(refused(&bad("empty.pem", ""), &key), @"twinwire-server: --tls-cert empty.pem is not in PEM form, which has lines such as -----BEGIN CERTIFICATE-----; convert it with openssl, or name another file");
    insta::assert_snapshot!(refused(&bad("crl.pem", list), &key), @"twinwire-server: --tls-cert crl.pem has no certificate in it; name another file");
    insta::assert_snapshot!(refused(&key, &cert), @"twinwire-server: --tls-cert key.pem has no certificate in it; it holds a private key: are --tls-cert and --tls-key the wrong way round?");
    insta::assert_snapshot!(refused(&cert, &cert), @"twinwire-server: --tls-key cert.pem has no private key in it; it holds a certificate: are --tls-cert and --tls-key the wrong way round?");
    insta::assert_snapshot!(refused(&bad("cut.pem", &broken), &key), @"twinwire-server: --tls-cert cut.pem is broken: a part has no -----END line; copy it again");
    insta::assert_snapshot!(refused(&bad("garbled.pem", &garbled), &key), @"twinwire-server: --tls-cert garbled.pem is broken: a part is not in base64; copy it again");
    insta::assert_snapshot!(refused(&bad("none.pem", no_certificate), &key), @"twinwire-server: --tls-cert none.pem cannot be used: its first certificate is not one; the server's own X.509 certificate must come first");
    insta::assert_snapshot!(refused(&bad("old.pem", VERSION_1), &key), @"twinwire-server: --tls-cert old.pem cannot be used: its first certificate is of X.509 version 1, which has no extensions; a server's must be of version 3 and name its hosts: make one with openssl's -addext subjectAltName=DNS:HOST,IP:ADDRESS");
    insta::assert_snapshot!(refused(&cert, &bad("encrypted.pem", &encrypted)), @"twinwire-server: --tls-key encrypted.pem is encrypted, and the server cannot ask for its passphrase; decrypt it with openssl pkey -in encrypted.pem -out NEW-FILE, and let only the server's user read that");
    insta::assert_snapshot!(refused(&cert, &bad("old.pem", &old)), @"twinwire-server: --tls-key old.pem is encrypted, and the server cannot ask for its passphrase; decrypt it with openssl pkey -in old.pem -out NEW-FILE, and let only the server's user read that");
    insta::assert_snapshot!(refused(&cert, &bad("no-key.pem", no_key)), @"twinwire-server: --tls-key no-key.pem cannot be used: failed to parse private key as RSA, ECDSA, or EdDSA; use an RSA key of 2048 to 8192 bits, ECDSA (P-256, P-384, P-521) or Ed25519");
    insta::assert_snapshot!(refused(&cert, &bad("other.pem", &Certificate::new().key_pem)), @"twinwire-server: --tls-key other.pem does not belong to --tls-cert cert.pem; the first certificate there must be the one that was made for this key, followed by those of its issuers");
    insta::assert_snapshot!(refused(&bad("large.pem", &good.cert_pem.repeat(2000)), &key), @"twinwire-server: --tls-cert large.pem: it is larger than 1 MiB; name another file");
}

#[test]
fn a_file_may_hold_certificate_and_key_together_and_words_between() {
    let good = Certificate::new();
    let both = format!("a note\n{}\nanother\n{}", good.key_pem, good.cert_pem);
    std::fs::write(good.key(), both).unwrap();
    let path = good.key().to_str().unwrap().to_owned();
    let args = ["--tls", "127.0.0.1:0", "--tls-cert", &path, "--tls-key", &path, "--check-config"];
    let Output { status, stderr, .. } = command(&args).output().unwrap();
    assert_eq!((status.code(), String::from_utf8_lossy(&stderr).as_ref()), (Some(0), ""));
}

#[test]
fn the_files_are_named_by_file_and_environment_as_well() {
    let certificate = Certificate::new();
    let options = tempfile::NamedTempFile::new().unwrap();
    let text = format!("tls = '127.0.0.1:0'\ntls-cert = '{}'\n", certificate.cert().display());
    std::fs::write(options.path(), text).unwrap();
    let mut command = command(&["--config", options.path().to_str().unwrap()]);
    let mut program =
        Program::spawn(command.env("TWINWIRE_TLS_KEY", certificate.key()).env("TWINWIRE_WSS", "127.0.0.1:0"));
    for transport in [Tls, Wss] {
        let mut client = Client::connect_bare(transport, program.address(transport));
        client.encrypt(certificate.client());
    }
}

#[test]
fn a_key_that_others_may_read_is_warned_of() {
    let certificate = Certificate::new();
    let flags = certificate.flags();
    let flags =
        [&["--tls", "127.0.0.1:0", "--check-config"], &flags.each_ref().map(String::as_str)[..]].concat();
    let warned = |mode| {
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(certificate.key(), permissions).unwrap();
        let Output { status, stderr, .. } = command(&flags).output().unwrap();
        assert_eq!(status.code(), Some(0));
        String::from_utf8(stderr).unwrap()
    };
    assert_eq!(warned(0o600), "");
    assert_eq!(warned(0o400), "");
    let is_root = nix::unistd::geteuid().is_root();
    assert_eq!(warned(0o640).is_empty(), is_root, "a group may read what is root's");
    let warning = warned(0o644);
    assert!(
        warning.contains("others may read the private key") && warning.contains("mode=\"644\""),
        "{warning}"
    );
}

#[test]
fn a_certificate_that_clients_will_refuse_is_warned_of() {
    let warned = |change: fn(&mut rcgen::CertificateParams)| {
        let certificate = Certificate::with(change);
        let flags = certificate.flags();
        let flags =
            [&["--tls", "127.0.0.1:0", "--check-config"], &flags.each_ref().map(String::as_str)[..]].concat();
        let Output { status, stderr, .. } = command(&flags).output().unwrap();
        assert_eq!(status.code(), Some(0));
        let text = String::from_utf8(stderr).unwrap();
        text.split_once("WARN ").map(|(_, warning)| warning.split(" path=").next().unwrap().to_owned())
    };
    assert_eq!(warned(|_| ()), None);
    for kind in ["name", "address"] {
        let with_one = match kind {
            "name" => warned(|params| {
                params.subject_alt_names = vec![rcgen::SanType::DnsName("a.example".try_into().unwrap())];
            }),
            _ => warned(|params| {
                params.subject_alt_names = vec![rcgen::SanType::IpAddress([127, 0, 0, 1].into())];
            }),
        };
        assert_eq!(with_one, None, "{kind}");
    }
    let nameless = warned(|params| params.subject_alt_names.clear());
    insta::assert_snapshot!(nameless.unwrap(), @"clients will refuse the certificate: it names no host, and clients ignore the common name: make one with openssl's -addext subjectAltName=DNS:HOST,IP:ADDRESS");
    let mail = warned(|params| {
        params.subject_alt_names = vec![rcgen::SanType::Rfc822Name("a@example.com".try_into().unwrap())];
    });
    assert!(mail.unwrap().contains("names no host"));
    let expired = warned(|params| params.not_after = rcgen::date_time_ymd(2020, 2, 3));
    insta::assert_snapshot!(expired.unwrap(), @"clients will refuse the certificate: it expired on 2020-02-03T00:00:00Z: renew it");
    let early = warned(|params| params.not_before = rcgen::date_time_ymd(2999, 1, 1));
    insta::assert_snapshot!(early.unwrap(), @"clients will refuse the certificate: it is not valid before 2999-01-01T00:00:00Z: check this machine's clock, or use another until then");
    let authority = warned(|params| params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained));
    insta::assert_snapshot!(authority.unwrap(), @"clients will refuse the certificate: it is an authority's (CA:TRUE), not a server's: make one with openssl's -addext basicConstraints=critical,CA:FALSE");
    let for_clients =
        warned(|params| params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth]);
    insta::assert_snapshot!(for_clients.unwrap(), @"clients will refuse the certificate: certificate does not allow extended key usage for server authentication, allows client authentication");
}

/// Whether a client that trusts `certificate` alone gets through.
fn trusts(certificate: &Certificate, address: SocketAddr) -> bool {
    let mut client = Client::connect_bare(Tls, address);
    shake_hands(&mut certificate.client(), &mut client.stream).is_ok()
}

#[test]
fn sighup_renews_the_certificate_for_new_connections_and_keeps_the_old_one_if_it_must() {
    let mut files = Certificate::new();
    let flags = files.flags();
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let listeners = ["--tls", "127.0.0.1:0", "--wss", "127.0.0.1:0", "--log", "info"];
    let mut program = Program::start(&[&listeners[..], &flags].concat());
    let address = program.address(Tls);
    let mut log = BufReader::new(program.child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut logged = |words: &str| log.find(|line| line.contains(words)).unwrap();
    let mut client = Client::connect_bare(Tls, address);
    client.encrypt(files.client());
    assert_eq!(client.ask("alice"), SUCCESS);

    let old = std::mem::replace(&mut files.cert_pem, Certificate::new().cert_pem);
    files.write();
    program.signal(Signal::SIGHUP);
    let error = logged("cannot reload the certificate; the old one stays in use");
    assert!(error.contains("ERROR") && error.contains("does not belong to --tls-cert"), "{error}");
    assert_eq!(client.ask("get k"), KEY_NOT_FOUND);
    files.cert_pem = old;
    assert!(trusts(&files, address), "what is bad is not used");

    let renewed = Certificate::new();
    files.cert_pem.clone_from(&renewed.cert_pem);
    files.key_pem.clone_from(&renewed.key_pem);
    files.write();
    program.signal(Signal::SIGHUP);
    logged("reloaded the certificate");
    assert!(trusts(&renewed, address), "new connections get the new one");
    let mut over_wss = Client::connect_bare(Wss, program.address(Wss));
    over_wss.encrypt(renewed.client());
    assert_eq!(client.ask("get k"), KEY_NOT_FOUND, "those from before go on");
    program.signal(Signal::SIGTERM);
    client.expect_close(1001);
}

#[test]
fn sighup_does_not_wait_for_a_pipe_without_a_writer() {
    for path in [Certificate::cert, Certificate::key] {
        let files = Certificate::new();
        let flags = files.flags();
        let flags: Vec<_> = flags.iter().map(String::as_str).collect();
        let mut program = Program::start(&[&["--tls", "127.0.0.1:0"], &flags[..]].concat());
        let address = program.address(Tls);
        std::fs::remove_file(path(&files)).unwrap();
        nix::unistd::mkfifo(&path(&files), nix::sys::stat::Mode::S_IRWXU).unwrap();
        program.signal(Signal::SIGHUP);
        assert!(trusts(&files, address));
        program.signal(Signal::SIGTERM);
        let deadline = Instant::now() + Duration::from_secs(20);
        while program.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "it waits for the pipe, and obeys no signal");
            sleep(Duration::from_millis(5));
        }
        let (code, log) = program.end();
        assert!(code == Some(0) && log.contains("not a regular file"), "{log}");
    }
}

#[test]
fn sighup_ends_no_server_that_has_nothing_to_renew() {
    let mut program = Program::start(&["--tcp", "127.0.0.1:0", "--log", "info"]);
    let mut client = program.client(twinwire_server::Transport::Tcp);
    program.signal(Signal::SIGHUP);
    assert_eq!(client.ask("get k"), KEY_NOT_FOUND);
    program.signal(Signal::SIGTERM);
    client.expect_close(1001);
    drop(client);
    let (code, log) = program.end();
    assert!(code == Some(0) && log.contains("there is no certificate to reload"), "{log}");
}

#[test]
fn the_certificate_is_renewed_while_clients_come_and_go() {
    let mut program = program(&["--log", "error"]);
    let address = program.address(Tls);
    for i in 0..40 {
        program.signal(Signal::SIGHUP);
        let mut client = Client::connect(Tls, address);
        assert_eq!(client.ask(&format!("user{i}")), SUCCESS);
    }
    program.signal(Signal::SIGTERM);
    assert_eq!(program.end(), (Some(0), String::new()));
}
