//! The flags that name the certificate and its key.

use std::path::PathBuf;

use clap::Args;

use super::error::ArgsError;
use crate::{config::Endpoint, tls::Tls};

/// A certificate and its key, for the listeners that speak TLS.
#[derive(Debug, Args)]
#[command(next_help_heading = "TLS")]
pub(super) struct TlsArgs {
    /// The server's certificate in PEM form, followed by those of its issuers. On SIGHUP this file and the key's are
    /// read again, and new connections use what is in them then [default: none]
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,

    /// The certificate's private key in PEM form, not encrypted; only the server's user should be able to read it
    /// [default: none]
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
}

impl TlsArgs {
    /// The certificate, if one of `listeners` needs it.
    pub(super) fn load(&self, listeners: &[Endpoint]) -> Result<Option<Tls>, ArgsError> {
        let needing = listeners.iter().find(|endpoint| endpoint.transport.is_encrypted());
        match (needing, &self.tls_cert, &self.tls_key) {
            (None, None, None) => Ok(None),
            (Some(_), Some(certificate), Some(key)) => Ok(Some(Tls::load(certificate.clone(), key.clone())?)),
            (Some(&Endpoint { transport, .. }), None, None) => Err(ArgsError::NoCertificate { transport }),
            (None, Some(_), Some(_)) => Err(ArgsError::CertificateUnused),
            (_, Some(_), None) => {
                Err(ArgsError::HalfCertificate { given: "--tls-cert", missing: "--tls-key" })
            }
            (_, None, Some(_)) => {
                Err(ArgsError::HalfCertificate { given: "--tls-key", missing: "--tls-cert" })
            }
        }
    }
}
