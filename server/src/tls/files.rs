//! From PEM files to a certificate with its key, or to an error that says which file is wrong and what to do.

use std::{
    fmt,
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustls::{
    Error, InconsistentKeys,
    crypto::CryptoProvider,
    pki_types::{
        CertificateDer, PrivateKeyDer, UnixTime,
        pem::{self, PemObject},
    },
    sign::CertifiedKey,
};

use super::client_check;
use crate::small_file::read_bytes;

/// One of the two files, displayed with the option that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsFile {
    Certificate(PathBuf),
    Key(PathBuf),
}

impl TlsFile {
    fn path(&self) -> &Path {
        let (Self::Certificate(path) | Self::Key(path)) = self;
        path
    }
}

impl fmt::Display for TlsFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(path) => write!(f, "--tls-cert {}", path.display()),
            Self::Key(path) => write!(f, "--tls-key {}", path.display()),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{file}: {source}; {}", read_advice(source))]
    Unreadable { file: TlsFile, source: io::Error },
    #[error(
        "{file} is not in PEM form, which has lines such as -----BEGIN CERTIFICATE-----; convert it with openssl, or \
         name another file"
    )]
    NotPem { file: TlsFile },
    #[error("{file} is broken: {reason}; copy it again")]
    Broken { file: TlsFile, reason: String },
    #[error("{file} has no {} in it; {found}", wanted(file))]
    Missing {
        file: TlsFile,
        /// What is in it instead.
        found: &'static str,
    },
    #[error(
        "{file} is encrypted, and the server cannot ask for its passphrase; decrypt it with openssl pkey -in {} -out \
         NEW-FILE, and let only the server's user read that",
        file.path().display()
    )]
    Encrypted { file: TlsFile },
    #[error("{file} cannot be used: {}; {}", reason_of(source), advice(file, source))]
    Unusable { file: TlsFile, source: Error },
    #[error(
        "{key} does not belong to {certificate}; the first certificate there must be the one that was made for this \
         key, followed by those of its issuers"
    )]
    Mismatch { certificate: TlsFile, key: TlsFile },
    #[error("TLS cannot be set up: {0}")]
    Library(Error),
}

fn wanted(file: &TlsFile) -> &'static str {
    match file {
        TlsFile::Certificate(_) => "certificate",
        TlsFile::Key(_) => "private key",
    }
}

fn read_advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "check the path",
        io::ErrorKind::PermissionDenied => "let the server's user read it",
        _ => "name another file",
    }
}

fn reason_of(error: &Error) -> String {
    match error {
        Error::General(text) => text.clone(),
        error if client_check::is_without_extensions(error) => {
            "its first certificate is of X.509 version 1, which has no extensions".to_owned()
        }
        Error::InvalidCertificate(_) => "its first certificate is not one".to_owned(),
        error => error.to_string(),
    }
}

fn advice(file: &TlsFile, error: &Error) -> &'static str {
    match file {
        TlsFile::Certificate(_) if client_check::is_without_extensions(error) => {
            "a server's must be of version 3 and name its hosts: make one with openssl's \
             -addext subjectAltName=DNS:HOST,IP:ADDRESS"
        }
        TlsFile::Certificate(_) => "the server's own X.509 certificate must come first",
        TlsFile::Key(_) => "use an RSA key of 2048 to 8192 bits, ECDSA (P-256, P-384, P-521) or Ed25519",
    }
}

/// Checks that both files can be read more than once. A pipe, such as a shell's `<(...)`, cannot: reading it again
/// would wait for a writer.
pub(super) fn expect_regular(certificate: &Path, key: &Path) -> Result<(), TlsError> {
    for file in [TlsFile::Certificate(certificate.to_owned()), TlsFile::Key(key.to_owned())] {
        match fs::metadata(file.path()) {
            Ok(metadata) if metadata.is_file() => {}
            Ok(_) => {
                let source = io::Error::other("it is not a regular file, so it cannot be read again");
                return Err(TlsError::Unreadable { file, source });
            }
            Err(source) => return Err(TlsError::Unreadable { file, source }),
        }
    }
    Ok(())
}

/// Reads both files and checks that they go together.
pub(super) fn read(
    certificate: &Path,
    key: &Path,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    let (certificate, key) = (TlsFile::Certificate(certificate.to_owned()), TlsFile::Key(key.to_owned()));
    let chain = chain(&certificate, &contents(&certificate)?)?;
    let private = private_key(&key, &contents(&key)?)?;
    let private = provider
        .key_provider
        .load_private_key(private)
        .map_err(|source| TlsError::Unusable { file: key.clone(), source })?;
    let certified = CertifiedKey::new(chain, private);
    match certified.keys_match() {
        // A key in hardware does not give its public half: the handshake will show.
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
            warn_of_client_refusals(&certificate, &certified, provider);
            Ok(certified)
        }
        Err(Error::InconsistentKeys(_)) => Err(TlsError::Mismatch { certificate, key }),
        Err(source) => Err(TlsError::Unusable { file: certificate, source }),
    }
}

/// The whole of a file that at least looks like PEM.
fn contents(file: &TlsFile) -> Result<Vec<u8>, TlsError> {
    let unreadable = |source| TlsError::Unreadable { file: file.clone(), source };
    let opened = File::open(file.path()).map_err(unreadable)?;
    if let TlsFile::Key(path) = file {
        warn_of_readers(path, &opened);
    }
    let bytes = read_bytes(opened).map_err(unreadable)?;
    match memchr::memmem::find(&bytes, b"-----BEGIN ") {
        Some(_) => Ok(bytes),
        None => Err(TlsError::NotPem { file: file.clone() }),
    }
}

/// A key that others can read is no secret. One of root's may be shared with a group, as is usual for services.
fn warn_of_readers(path: &Path, file: &File) {
    let Ok(metadata) = file.metadata() else { return };
    let (mode, allowed) = (metadata.mode() & 0o777, if metadata.uid() == 0 { 0o740 } else { 0o700 });
    if mode & !allowed != 0 {
        let (path, mode) = (path.display(), format!("{mode:03o}"));
        tracing::warn!(%path, mode, "others may read the private key, or change it: chmod 600");
    }
}

/// Such a certificate is no reason not to start: a client may have been told to accept it.
fn warn_of_client_refusals(file: &TlsFile, certified: &CertifiedKey, provider: &CryptoProvider) {
    let Ok(certificate) = certified.end_entity_cert() else { return };
    if let Some(objection) = client_check::objection(certificate, UnixTime::now(), provider) {
        tracing::warn!(path = %file.path().display(), "clients will refuse the certificate: {objection}");
    }
}

fn chain(file: &TlsFile, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let chain = chain.map_err(|error| broken(file, &error))?;
    if chain.is_empty() {
        return Err(TlsError::Missing { file: file.clone(), found: hint(pem) });
    }
    Ok(chain)
}

fn private_key(file: &TlsFile, pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    // In the form of PKCS #8, and in that of older files.
    let is_encrypted = [b"-----BEGIN ENCRYPTED PRIVATE KEY-----".as_slice(), b"Proc-Type: 4,ENCRYPTED"]
        .iter()
        .any(|sign| memchr::memmem::find(pem, sign).is_some());
    if is_encrypted {
        return Err(TlsError::Encrypted { file: file.clone() });
    }
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        pem::Error::NoItemsFound => TlsError::Missing { file: file.clone(), found: hint(pem) },
        error => broken(file, &error),
    })
}

/// What may have been mistaken for what is wanted.
fn hint(pem: &[u8]) -> &'static str {
    let has = |sign: &[u8]| memchr::memmem::find(pem, sign).is_some();
    if has(b"PRIVATE KEY-----") {
        "it holds a private key: are --tls-cert and --tls-key the wrong way round?"
    } else if has(b"BEGIN CERTIFICATE-----") {
        "it holds a certificate: are --tls-cert and --tls-key the wrong way round?"
    } else {
        "name another file"
    }
}

fn broken(file: &TlsFile, error: &pem::Error) -> TlsError {
    let reason = match error {
        pem::Error::MissingSectionEnd { .. } => "a part has no -----END line".to_owned(),
        pem::Error::IllegalSectionStart { .. } => "a -----BEGIN line has no end".to_owned(),
        pem::Error::Base64Decode(_) => "a part is not in base64".to_owned(),
        error => error.to_string(),
    };
    TlsError::Broken { file: file.clone(), reason }
}
