//! The client's side of TLS: which certificates to trust, the handshake, and why it failed.
//!
//! Sessions are never resumed, so that each connection costs a whole handshake.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, ClientConfig, Error as TlsError, RootCertStore};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::traffic::CountingStream;

/// The trusted certificates, made once and shared by all connections.
#[derive(Debug, Clone)]
pub struct TrustStore {
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

/// Why there are no trusted certificates.
#[derive(Debug, thiserror::Error)]
pub enum TrustStoreError {
    #[error("--ca: cannot read `{}`: {error}", .path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("--ca: `{}` holds no certificate: it must be a PEM file with BEGIN CERTIFICATE in it", .0.display())]
    NoCertificate(PathBuf),
    #[error("--ca: `{}` holds a certificate that cannot be read: {why}", .path.display())]
    Broken { path: PathBuf, why: String },
    #[error("this system has no trusted certificates{0}: name the server's CA with --ca FILE")]
    NoneInSystem(String),
}

impl TrustStore {
    /// Trusts the certificates of a PEM file and no others.
    ///
    /// # Errors
    /// Where it cannot be read, or holds no well-formed certificate.
    pub fn file(path: &Path) -> Result<Self, TrustStoreError> {
        let path = path.to_owned();
        let broken = |why: String| TrustStoreError::Broken { path: path.clone(), why };
        let unread = |error: pem::Error| match error {
            pem::Error::Io(error) => TrustStoreError::Unreadable { path: path.clone(), error },
            pem::Error::MissingSectionEnd { .. } => broken("its END line is missing".to_owned()),
            error => broken(error.to_string()),
        };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(&path).map_err(unread)? {
            let certificate = certificate.map_err(unread)?;
            roots
                .add(certificate)
                .map_err(|_| broken("what is encoded there is not a certificate".to_owned()))?;
        }
        if roots.is_empty() {
            return Err(TrustStoreError::NoCertificate(path));
        }
        Ok(Self::new(roots, Source::File(path)))
    }

    /// Trusts what this system trusts, which `SSL_CERT_FILE` and `SSL_CERT_DIR` override.
    ///
    /// # Errors
    /// Where the system trusts no authority.
    pub fn system() -> Result<Self, TrustStoreError> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
            return Err(TrustStoreError::NoneInSystem(why));
        }
        Ok(Self::new(roots, Source::System))
    }

    /// Trusts only this certificate, which the harness made; `None` if it is not a certificate.
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

impl PartialEq for TrustStore {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.config, &other.config)
    }
}

impl Eq for TrustStore {}

/// A TLS server: the name that its certificate must have, and the certificates that may vouch for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsPeer {
    name: ServerName<'static>,
    trust: TrustStore,
}

/// A host that a certificate cannot name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a host name or address that a certificate can have")]
pub struct InvalidServerName(pub String);

impl TlsPeer {
    /// The server of this name or address. An IPv6 address may be in brackets and have a zone, which certificates do
    /// not name.
    ///
    /// # Errors
    /// Where the host is neither a name nor an address.
    pub fn new(host: &str, trust: &TrustStore) -> Result<Self, InvalidServerName> {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let bare = bare.split_once('%').filter(|_| bare.contains(':')).map_or(bare, |(address, _)| address);
        let name = ServerName::try_from(bare.to_owned()).map_err(|_| InvalidServerName(host.to_owned()))?;
        Ok(Self { name, trust: trust.clone() })
    }

    /// Performs the handshake. The error is a text for people.
    pub(super) async fn handshake(
        &self,
        stream: CountingStream,
    ) -> Result<TlsStream<CountingStream>, String> {
        let connector = TlsConnector::from(self.trust.config.clone());
        connector.connect(self.name.clone(), stream).await.map_err(|error| self.why(&error))
    }

    fn why(&self, error: &io::Error) -> String {
        match (of_tls(error), error.kind()) {
            (Some(TlsError::InvalidCertificate(wrong)), _) => self.wrong_certificate(wrong),
            (Some(TlsError::InvalidMessage(_)), _) => {
                "the server does not speak TLS on this port".to_owned()
            }
            (Some(TlsError::AlertReceived(alert)), _) => {
                format!("the server refused the TLS handshake ({})", name(*alert))
            }
            (None, ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                "the server ended the connection in the TLS handshake: perhaps it does not speak TLS on this port"
                    .to_owned()
            }
            _ => words(error),
        }
    }

    fn wrong_certificate(&self, wrong: &CertificateError) -> String {
        match wrong {
            // A bad signature, or one by another kind of key, means that a trusted certificate has the issuer's name
            // but not its key.
            CertificateError::UnknownIssuer
            | CertificateError::BadSignature
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
                format!("the server's certificate is not trusted: {}", self.unknown())
            }
            CertificateError::NotValidForNameContext { expected, presented } => {
                let expected = expected.to_str();
                if presented.is_empty() {
                    return format!("the server's certificate is not for `{expected}`: it names no host");
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
            CertificateError::Other(other) => broken_rule(&other.to_string()).to_owned(),
            other => fault(other).to_owned(),
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

/// The library's certificate errors in words; the library shows them as its source names them.
fn fault(wrong: &CertificateError) -> &'static str {
    match wrong {
        CertificateError::BadEncoding => "the server's certificate is damaged: it cannot be read",
        CertificateError::UnsupportedSignatureAlgorithmContext { .. } => {
            "the server's certificate is signed in a way that is not trusted, such as with SHA-1: have it issued again, \
             with SHA-256"
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the server's certificate is not for servers: its extended key usage lacks serverAuth"
        }
        CertificateError::Expired => "the server's certificate ends before it begins to be valid",
        CertificateError::Revoked => "the server's certificate was revoked",
        _ => REFUSED,
    }
}

/// The same for errors that have only a name.
fn broken_rule(name: &str) -> &'static str {
    match name {
        "CaUsedAsEndEntity" => {
            "the server's certificate is that of a CA (CA:TRUE), which must not be a server's own: if it is \
             self-signed, make it again with `openssl req -x509 … -addext basicConstraints=critical,CA:FALSE`; otherwise let \
             the CA issue one for the server"
        }
        "EndEntityUsedAsCa" => {
            "the server's certificate was issued by a certificate that is not a CA (CA:FALSE)"
        }
        "PathLenConstraintViolated" | "NameConstraintViolation" => {
            "the server's certificate was issued by a CA that may not issue it"
        }
        "UnsupportedCertVersion" => "the server's certificate is too old: only version 3 is accepted",
        "UnsupportedCriticalExtension" => {
            "the server's certificate has a critical extension that is not known here"
        }
        _ => REFUSED,
    }
}

const REFUSED: &str = "the server's certificate breaks a rule for certificates: `openssl x509 -text -noout -in FILE` shows what is in it";

fn of_tls(error: &io::Error) -> Option<&TlsError> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}

/// What went wrong with a connection, over TLS or not, in words; the library shows its errors as its source names them.
pub(super) fn words(error: &io::Error) -> String {
    match of_tls(error) {
        Some(TlsError::AlertReceived(alert)) => format!("the server ended TLS ({})", name(*alert)),
        Some(TlsError::InvalidMessage(_)) => "the server sent something that is not TLS".to_owned(),
        Some(TlsError::PeerIncompatible(_)) => {
            "the server and this program, which speaks TLS 1.2 and 1.3, have no version or algorithm in common"
                .to_owned()
        }
        Some(
            TlsError::PeerMisbehaved(_)
            | TlsError::InappropriateMessage { .. }
            | TlsError::InappropriateHandshakeMessage { .. },
        ) => "the server broke the rules of TLS".to_owned(),
        _ => error.to_string(),
    }
}

/// An alert's name from RFC 8446, with spaces for its underscores.
fn name(alert: AlertDescription) -> String {
    let Some(name) = alert.as_str() else { return format!("alert {}", u8::from(alert)) };
    let mut words = String::from("alert:");
    let mut after_capital = false;
    for letter in name.chars() {
        if letter.is_uppercase() && !after_capital {
            words.push(' ');
        }
        after_capital = letter.is_uppercase();
        words.extend(letter.to_lowercase());
    }
    words
}

/// The name in what the library shows as `DnsName("localhost")` or `IpAddress(127.0.0.1)`.
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
    fn the_librarys_names_for_faults_are_never_shown() {
        let algorithm = CertificateError::UnsupportedSignatureAlgorithmContext {
            signature_algorithm_id: vec![6, 9, 42],
            supported_algorithms: Vec::new(),
        };
        let unnamed = CertificateError::UnhandledCriticalExtension;
        let faults = [algorithm, CertificateError::BadEncoding, CertificateError::InvalidPurpose, unnamed]
            .map(|wrong| fault(&wrong));
        let rules =
            ["EndEntityUsedAsCa", "NameConstraintViolation", "MaximumPathDepthExceeded"].map(broken_rule);
        for said in [&faults[..], &rules[..]].concat() {
            assert!(said.starts_with("the server's certificate ") && !said.contains(['[', '{']), "{said}");
        }
    }

    #[test]
    fn alerts_are_named_in_words() {
        assert_eq!(name(AlertDescription::HandshakeFailure), "alert: handshake failure");
        assert_eq!(name(AlertDescription::UnknownCA), "alert: unknown ca");
        assert_eq!(name(AlertDescription::from(200)), "alert 200");
        let refused = io::Error::other(TlsError::AlertReceived(AlertDescription::CertificateRequired));
        assert_eq!(words(&refused), "the server ended TLS (alert: certificate required)");
    }

    #[test]
    fn instants_beyond_a_calendar_are_no_crash() {
        let time = |seconds| UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        assert_eq!(date(time(86_400)), "1970-01-02T00:00:00Z");
        assert_eq!(date(time(u64::MAX)), "an unknown time");
    }
}
