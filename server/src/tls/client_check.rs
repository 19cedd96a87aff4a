//! Whether clients will refuse the certificate. The library's client side checks it, since serving a certificate checks
//! neither its dates nor its purpose.

use jiff::Timestamp;
use rustls::{
    CertificateError, Error, RootCertStore,
    client::{verify_server_cert_signed_by_trust_anchor, verify_server_name},
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};

/// Why every client would refuse a server with this certificate; `None` if that depends on which issuers the client
/// trusts and which name it looks for.
pub(super) fn objection(
    certificate: &CertificateDer<'_>,
    now: UnixTime,
    provider: &CryptoProvider,
) -> Option<String> {
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    let algorithms = provider.signature_verification_algorithms.all;
    // What concerns the certificate alone is checked first; after that, no issuer is trusted.
    let no_issuers = RootCertStore::empty();
    match verify_server_cert_signed_by_trust_anchor(&parsed, &no_issuers, &[], now, algorithms) {
        Ok(()) | Err(Error::InvalidCertificate(CertificateError::UnknownIssuer))
            if !names_a_host(&parsed) =>
        {
            Some(
                "it names no host, and clients ignore the common name: make one with openssl's \
             -addext subjectAltName=DNS:HOST,IP:ADDRESS"
                    .to_owned(),
            )
        }
        Ok(()) | Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => None,
        Err(error) => Some(describe(&error)),
    }
}

/// Whether it is good for any name or address. Asked about a name that no host can have, the library lists those that
/// it is for.
fn names_a_host(certificate: &ParsedCertificate<'_>) -> bool {
    let Ok(no_host) = ServerName::try_from("host.invalid") else { return true };
    match verify_server_name(certificate, &no_host) {
        Err(Error::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. })) => {
            presented.iter().any(|name| name.starts_with("DnsName") || name.starts_with("IpAddress"))
        }
        _ => true,
    }
}

fn describe(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. }) => {
            format!("it expired on {}: renew it", date(*not_after))
        }
        Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. }) => {
            format!(
                "it is not valid before {}: check this machine's clock, or use another until then",
                date(*not_before)
            )
        }
        Error::InvalidCertificate(CertificateError::Other(other))
            if other.to_string() == "CaUsedAsEndEntity" =>
        {
            "it is an authority's (CA:TRUE), not a server's: make one with openssl's \
             -addext basicConstraints=critical,CA:FALSE"
                .to_owned()
        }
        Error::InvalidCertificate(reason) => reason.to_string(),
        error => error.to_string(),
    }
}

/// Whether a certificate cannot be read because it is of a version without extensions.
pub(super) fn is_without_extensions(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidCertificate(CertificateError::Other(other)) if other.to_string() == "UnsupportedCertVersion"
    )
}

fn date(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).ok();
    let time = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.map_or_else(|| "a date out of range".to_owned(), |time| time.to_string())
}
