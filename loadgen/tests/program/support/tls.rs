//! TLS for tests: certificates of every kind, the reference server with one of them, and a front that speaks TLS and
//! passes on what it decrypts.

use std::fs::Permissions;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, SupportedProtocolVersion};
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::support::twinwire;

/// The names that this machine has.
pub const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// A server's certificate with its key, and what a client has to trust for it.
pub struct Certificate {
    pub chain: Vec<CertificateDer<'static>>,
    key: KeyPair,
    /// PEM.
    pub pem: String,
    /// PEM.
    pub ca: String,
}

impl Certificate {
    /// Issued by a CA of its own for these names, changed as wanted.
    pub fn issued(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let mut params = parameters(names);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let issued = params.signed_by(&key, &ca).unwrap();
        Self { chain: vec![issued.der().clone()], key, pem: issued.pem(), ca: ca.pem() }
    }

    /// Signed by itself.
    pub fn self_signed(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = parameters(names);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let own = params.self_signed(&key).unwrap();
        Self { chain: vec![own.der().clone()], key, pem: own.pem(), ca: own.pem() }
    }

    /// Writes it as `cert.pem` and `key.pem`, and what a client has to trust as `ca.pem`.
    pub fn write(&self, folder: &Path) {
        let key = self.key.serialize_pem();
        for (name, text) in [("cert.pem", &self.pem), ("key.pem", &key), ("ca.pem", &self.ca)] {
            std::fs::write(folder.join(name), text).unwrap();
            std::fs::set_permissions(folder.join(name), Permissions::from_mode(0o600)).unwrap();
        }
    }

    pub fn acceptor(&self) -> TlsAcceptor {
        self.acceptor_of(rustls::DEFAULT_VERSIONS)
    }

    /// One that speaks these versions only.
    pub fn acceptor_of(&self, versions: &[&'static SupportedProtocolVersion]) -> TlsAcceptor {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

fn parameters(names: &[&str]) -> CertificateParams {
    CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).unwrap()
}

/// The reference server in a process of its own, over TLS and WebSocket over TLS; it ends with the test.
pub struct Server {
    child: Child,
    pub folder: tempfile::TempDir,
    pub tls: SocketAddr,
    pub wss: SocketAddr,
}

impl Server {
    pub fn start(certificate: &Certificate) -> Self {
        let folder = tempfile::tempdir().unwrap();
        certificate.write(folder.path());
        let arguments =
            "--until-stdin-closes --tls 127.0.0.1:0 --wss 127.0.0.1:0 --tls-cert cert.pem --tls-key key.pem";
        let mut child = twinwire()
            .current_dir(folder.path())
            .arg("serve-embedded")
            .args(arguments.split(' '))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut ready = || {
            let line = lines.next().unwrap().unwrap();
            line.rsplit(' ').next().unwrap().parse().unwrap()
        };
        let (tls, wss) = (ready(), ready());
        Self { child, folder, tls, wss }
    }

    /// The file for `--ca`.
    pub fn ca(&self) -> String {
        path(&self.folder.path().join("ca.pem"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

pub fn path(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// Starts a front that speaks TLS, before a server that does not; it ends with the test.
pub fn front(certificate: &Certificate, server: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = certificate.acceptor();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(pass_on(acceptor.clone(), stream, server));
            }
        });
    });
    address
}

async fn pass_on(acceptor: TlsAcceptor, stream: TcpStream, server: SocketAddr) {
    stream.set_nodelay(true).unwrap();
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    server.set_nodelay(true).unwrap();
    let _ = copy_bidirectional(&mut stream, &mut server).await;
}
