//! Why the arguments make no sense.

use std::{io, net::SocketAddr, path::PathBuf};

use super::units::WORKERS_MAX;
use crate::{
    protocol::{NoOrigin, Transport},
    tls::TlsError,
};

/// The variable that holds the secret if no file is named.
pub(super) const SECRET_VARIABLE: &str = "TWINWIRE_UPGRADE_SECRET";

/// Arguments that are each well formed but make no sense together.
#[derive(Debug, thiserror::Error)]
pub(super) enum ArgsError {
    #[error(
        "{transport} on {address} can be reached from other machines: choose with --upgrade open, secret or closed \
         which clients may become managers and read all data"
    )]
    Exposed { transport: Transport, address: SocketAddr },
    #[error(
        "--upgrade secret needs a secret: name a file with --upgrade-secret-file, or set {SECRET_VARIABLE}"
    )]
    NoSecret,
    #[error("--upgrade-secret-file has no effect without --upgrade secret")]
    SecretUnused,
    #[error("cannot read the upgrade secret from {}: {source}", path.display())]
    SecretFile { path: PathBuf, source: io::Error },
    #[error(
        "a listener for {transport} needs a certificate and its key: name their files with --tls-cert and --tls-key"
    )]
    NoCertificate { transport: Transport },
    #[error("{given} needs {missing} as well: the certificate is of no use without its key")]
    HalfCertificate { given: &'static str, missing: &'static str },
    #[error("--tls-cert and --tls-key have no effect without a listener: add --tls or --wss")]
    CertificateUnused,
    #[error(transparent)]
    Certificate(#[from] TlsError),
    #[error("--allow-origin {origin}: {source}")]
    Origin { origin: String, source: NoOrigin },
    #[error("--cpus names {given} CPUs, but there may be at most {WORKERS_MAX} threads")]
    TooManyCpus { given: usize },
    #[error("the upgrade secret in {place} must be exactly one word")]
    SecretForm { place: String },
    #[error(
        "the upgrade secret in {place} has {given} bytes, but no client can send more than {most} with this \
         --message-max: choose a shorter one"
    )]
    SecretTooLong { place: String, given: usize, most: usize },
}
