//! The server's certificate and private key: read from PEM files, checked, and read again when they are renewed.
//!
//! TLS 1.3 and 1.2 by rustls, with one cryptography provider (aws-lc-rs) that is named only here. Clients need no
//! certificates, and no session is resumed: connections are few and long, so a full handshake for each costs little,
//! while nothing is kept for clients that have gone and nothing outlives a certificate.

mod client_check;
mod files;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use rustls::{ServerConfig, crypto::aws_lc_rs, server::NoServerSessionStorage, sign::SingleCertAndKey};

pub use self::files::TlsError;

/// The protocol that a WebSocket client may ask for in the handshake (RFC 7301).
const ALPN_WEBSOCKET: &[u8] = b"http/1.1";

/// A certificate with its key, ready for handshakes. Clones are handles on the same one.
#[derive(Clone)]
pub struct Tls(Arc<Shared>);

struct Shared {
    certificate: PathBuf,
    key: PathBuf,
    current: RwLock<Configs>,
}

/// The same certificate for each kind of connection.
#[derive(Clone)]
pub(crate) struct Configs {
    /// For lines over TLS.
    pub(crate) lines: Arc<ServerConfig>,
    /// For WebSocket over TLS.
    pub(crate) websocket: Arc<ServerConfig>,
}

impl Tls {
    /// Reads a chain of certificates, the server's own first, and the key that belongs to it, from PEM files.
    pub fn load(certificate: PathBuf, key: PathBuf) -> Result<Self, TlsError> {
        let current = RwLock::new(Configs::read(&certificate, &key)?);
        Ok(Self(Arc::new(Shared { certificate, key, current })))
    }

    /// Reads the files again. Handshakes that begin from now on use what is in them; if they cannot be used, everything
    /// stays as it was.
    pub fn reload(&self) -> Result<(), TlsError> {
        files::expect_regular(&self.0.certificate, &self.0.key)?;
        let fresh = Configs::read(&self.0.certificate, &self.0.key)?;
        *self.0.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// What the next handshake is made with.
    pub(crate) fn current(&self) -> Configs {
        // Once for each handshake, and never held for longer than it takes to copy two pointers.
        self.0.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Where they came from, and nothing of what is in them.
        f.debug_struct("Tls").field("certificate", &self.0.certificate).field("key", &self.0.key).finish()
    }
}

impl Configs {
    fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let provider = aws_lc_rs::default_provider();
        let certified = files::read(certificate, key, &provider)?;
        let mut lines = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Library)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        lines.session_storage = Arc::new(NoServerSessionStorage {});
        lines.send_tls13_tickets = 0;
        let mut websocket = lines.clone();
        websocket.alpn_protocols = vec![ALPN_WEBSOCKET.to_vec()];
        Ok(Self { lines: Arc::new(lines), websocket: Arc::new(websocket) })
    }
}
