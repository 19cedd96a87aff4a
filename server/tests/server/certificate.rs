//! Certificates made for a test, and a client's side of TLS that trusts them.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
    version::{TLS12, TLS13},
};

/// The versions that the server speaks.
pub(crate) const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// A certificate for `localhost` that signs itself, and its key, in files that go with it.
pub(crate) struct Certificate {
    folder: tempfile::TempDir,
    pub(crate) cert_pem: String,
    pub(crate) key_pem: String,
}

impl Certificate {
    pub(crate) fn new() -> Self {
        Self::with(|_| ())
    }

    /// One that `change` makes another of.
    pub(crate) fn with(change: impl FnOnce(&mut CertificateParams)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (mut params, key) =
            (CertificateParams::new(["localhost".to_owned()]).unwrap(), KeyPair::generate().unwrap());
        change(&mut params);
        let made = params.self_signed(&key).unwrap();
        let certificate = Self { folder, cert_pem: made.pem(), key_pem: key.serialize_pem() };
        certificate.write();
        certificate
    }

    /// The one that most tests share.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Certificate> = OnceLock::new();
        SHARED.get_or_init(Self::new)
    }

    /// Puts what it holds into its files.
    pub(crate) fn write(&self) {
        use std::os::unix::fs::PermissionsExt;
        std::fs::write(self.cert(), &self.cert_pem).unwrap();
        std::fs::write(self.key(), &self.key_pem).unwrap();
        std::fs::set_permissions(self.key(), std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub(crate) fn cert(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }

    /// The flags that name both files.
    pub(crate) fn flags(&self) -> [String; 4] {
        let path = |path: PathBuf| path.to_str().unwrap().to_owned();
        ["--tls-cert".to_owned(), path(self.cert()), "--tls-key".to_owned(), path(self.key())]
    }

    /// A client that trusts this certificate and no other.
    pub(crate) fn client(&self) -> ClientConnection {
        self.client_of(&VERSIONS, &[])
    }

    /// The same with versions and protocols (ALPN) of its own.
    pub(crate) fn client_of(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        protocols: &[&str],
    ) -> ClientConnection {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.cert_pem.as_bytes()).unwrap()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap()
    }
}

/// Makes the client's part of a handshake.
pub(crate) fn shake_hands(tls: &mut ClientConnection, stream: &mut (impl Read + Write)) -> io::Result<()> {
    while tls.is_handshaking() || tls.wants_write() {
        tls.complete_io(stream)?;
    }
    Ok(())
}

/// A connection that sends each byte by itself.
pub(crate) struct Dripping(pub(crate) TcpStream);

impl Read for Dripping {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read(bytes)
    }
}

impl Write for Dripping {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(&bytes[..bytes.len().min(1)])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
