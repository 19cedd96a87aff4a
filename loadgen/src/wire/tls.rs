//! TLS as the client's side sees it: whom to trust, the handshake, and why it failed.
//!
//! Every handshake is a whole one: sessions are never resumed, so that each connection costs the same.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, Error as TlsError, RootCertStore};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::traffic::Counted;

/// Which certificates are trusted: the client's side of TLS, made once and shared by all connections.
#[derive(Debug, Clone)]
pub struct Trust {
    config: Arc<ClientConfig>,
    source: Source,
}

/// Where trusted certificates come from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    System,
    File(PathBuf),
    Ours,
}

/// Why there is nothing to trust.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// No such file, or one that cannot be read.
    #[error("--ca: cannot read `{}`: {error}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A file without a certificate.
    #[error("--ca: `{}` holds no certificate: a PEM file with BEGIN CERTIFICATE in it is needed", .0.display())]
    NoCertificate(PathBuf),
    /// A file whose certificates are broken.
    #[error("--ca: `{}` holds a certificate that cannot be read: {why}", .path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A system that trusts nobody.
    #[error("this system has no trusted certificates{0}: name the server's CA with --ca FILE")]
    NoneInSystem(String),
}

impl Trust {
    /// Trusts the certificates of a PEM file and no others.
    ///
    /// # Errors
    /// Where it cannot be read, or holds no good certificate.
    pub fn file(path: &Path) -> Result<Self, TrustError> {
        let path = path.to_owned();
        let broken = |why: String| TrustError::Broken { path: path.clone(), why };
        let unread = |error: pem::Error| match error {
            pem::Error::Io(error) => TrustError::Unreadable { path: path.clone(), error },
            pem::Error::MissingSectionEnd { .. } => broken("its END line is missing".to_owned()),
            error => broken(error.to_string()),
        };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(&path).map_err(unread)? {
            let certificate = certificate.map_err(unread)?;
            roots.add(certificate).map_err(|_| broken("what is encoded there is none".to_owned()))?;
        }
        if roots.is_empty() {
            return Err(TrustError::NoCertificate(path));
        }
        Ok(Self::new(roots, Source::File(path)))
    }

    /// Trusts what this system trusts (`SSL_CERT_FILE` and `SSL_CERT_DIR` change that, as elsewhere).
    ///
    /// # Errors
    /// Where that is nobody.
    pub fn system() -> Result<Self, TrustError> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
            return Err(TrustError::NoneInSystem(why));
        }
        Ok(Self::new(roots, Source::System))
    }

    /// Trusts this one certificate, which we made ourselves; `None` where it is none.
    #[must_use]
    pub fn only(certificate: CertificateDer<'static>) -> Option<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(certificate).ok()?;
        Some(Self::new(roots, Source::Ours))
    }

    fn new(roots: RootCertStore, source: Source) -> Self {
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("this provider has what TLS 1.2 and 1.3 need");
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.resumption = Resumption::disabled();
        Self { config: Arc::new(config), source }
    }
}

impl PartialEq for Trust {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.config, &other.config)
    }
}

impl Eq for Trust {}

/// A server as TLS knows it: the name that its certificate must have, and whom to believe that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    name: ServerName<'static>,
    trust: Trust,
}

/// A host that no certificate can name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no host name or address that a certificate could have")]
pub struct NotAName(pub String);

impl Peer {
    /// The server of this name or address; an IPv6 address may stand in brackets.
    ///
    /// # Errors
    /// Where it is neither.
    pub fn new(host: &str, trust: &Trust) -> Result<Self, NotAName> {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let name = ServerName::try_from(bare.to_owned()).map_err(|_| NotAName(host.to_owned()))?;
        Ok(Self { name, trust: trust.clone() })
    }

    /// Shakes hands; the error is a text for people.
    pub(super) async fn handshake(&self, stream: Counted) -> Result<TlsStream<Counted>, String> {
        let connector = TlsConnector::from(self.trust.config.clone());
        connector.connect(self.name.clone(), stream).await.map_err(|error| self.why(&error))
    }

    fn why(&self, error: &io::Error) -> String {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>());
        match (tls, error.kind()) {
            (Some(TlsError::InvalidCertificate(wrong)), _) => self.wrong_certificate(wrong),
            (Some(TlsError::InvalidMessage(_)), _) => {
                "the server does not speak TLS on this port".to_owned()
            }
            (Some(TlsError::AlertReceived(alert)), _) => {
                format!("the server refused the TLS handshake (alert {alert:?})")
            }
            (None, ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                "the server ended the connection in the TLS handshake: perhaps it does not speak TLS on this port"
                    .to_owned()
            }
            _ => error.to_string(),
        }
    }

    fn wrong_certificate(&self, wrong: &CertificateError) -> String {
        match wrong {
            // A bad signature: somebody trusted has the issuer's name, but not its key.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                format!("the server's certificate is not trusted: {}", self.unknown())
            }
            CertificateError::NotValidForNameContext { expected, presented } => {
                let expected = expected.to_str();
                if presented.is_empty() {
                    return format!("the server's certificate is not for `{expected}`: it names no host at all");
                }
                let names: Vec<String> = presented.iter().map(|name| format!("`{}`", bare(name))).collect();
                format!("the server's certificate is not for `{expected}`, but for {}", names.join(", "))
            }
            CertificateError::ExpiredContext { time, not_after } => {
                format!("the server's certificate expired at {} (now: {})", date(*not_after), date(*time))
            }
            CertificateError::NotValidYetContext { time, not_before } => format!(
                "the server's certificate is not valid before {} (now: {})",
                date(*not_before),
                date(*time)
            ),
            CertificateError::Other(other) if other.to_string() == "CaUsedAsEndEntity" => {
                "the server's certificate is that of a CA (CA:TRUE), which must not be a server's own: let the CA \
                 issue another one for the server"
                    .to_owned()
            }
            other => format!("the server's certificate is not accepted: {other}"),
        }
    }

    fn unknown(&self) -> String {
        match &self.trust.source {
            Source::System => {
                "no CA that this system trusts has issued it; name its CA with --ca FILE".to_owned()
            }
            Source::File(path) => format!(
                "neither it nor its CA is in `{}`; name its CA with --ca FILE",
                path.display()
            ),
            Source::Ours => {
                "it is not the one that the harness made; name its CA with --ca FILE, or let the program use {cert} \
                 and {key}"
                    .to_owned()
            }
        }
    }
}

/// The name alone, of what the library writes as `DnsName("localhost")` or `IpAddress(127.0.0.1)`.
fn bare(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.map_or(name, |inner| inner.trim_matches('"'))
}

fn date(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).ok();
    let date = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
    date.map_or_else(|| "an unknown time".to_owned(), |date| date.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_without_the_librarys_wrapping() {
        assert_eq!(bare("DnsName(\"localhost\")"), "localhost");
        assert_eq!(bare("IpAddress(127.0.0.1)"), "127.0.0.1");
        assert_eq!(bare("DirectoryName"), "DirectoryName");
    }

    #[test]
    fn instants_beyond_a_calendar_are_no_crash() {
        let time = |seconds| UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        assert_eq!(date(time(86_400)), "1970-01-02T00:00:00Z");
        assert_eq!(date(time(u64::MAX)), "an unknown time");
    }
}
