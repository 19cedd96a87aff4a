//! The certificate that the harness makes for a server that it starts. It is for this machine's own names, and for one
//! run.

use std::fs::{OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::TargetError;
use crate::wire::TrustStore;

/// The names in it.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Prefix of its folder's name.
const PREFIX: &str = "twinwire-certificate-";

/// A self-signed certificate with its key.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    chain: String,
    key: String,
    trust: TrustStore,
}

impl Certificate {
    pub fn generate() -> Result<Self, TargetError> {
        let failed = |why: String| TargetError::Machine(format!("cannot make a certificate: {why}"));
        let made = rcgen::generate_simple_self_signed(NAMES.map(str::to_owned))
            .map_err(|error| failed(error.to_string()))?;
        let trust = TrustStore::only(made.cert.der().clone());
        Ok(Self {
            chain: made.cert.pem(),
            key: made.signing_key.serialize_pem(),
            trust: trust.ok_or_else(|| failed("it cannot be read again".to_owned()))?,
        })
    }

    /// Trusts it and no other.
    pub fn trust(&self) -> &TrustStore {
        &self.trust
    }

    /// Writes it into a folder that only this user can enter. Dropping the returned files removes the folder.
    pub fn write(&self) -> io::Result<CertificateFiles> {
        let private = Permissions::from_mode(0o700);
        let folder = tempfile::Builder::new().prefix(PREFIX).permissions(private).tempdir()?;
        let files = CertificateFiles {
            certificate: folder.path().join("cert.pem"),
            key: folder.path().join("key.pem"),
            folder,
        };
        for (path, text) in [(&files.certificate, &self.chain), (&files.key, &self.key)] {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            file.write_all(text.as_bytes())?;
        }
        Ok(files)
    }
}

/// Without the key.
impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").field("names", &NAMES).finish_non_exhaustive()
    }
}

/// A certificate's files.
#[derive(Debug)]
pub struct CertificateFiles {
    folder: TempDir,
    /// The certificate, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
}

impl CertificateFiles {
    /// The folder with both.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// Precedes the folder that a child process removes when it ends, as this process may have been killed by then.
pub(super) const REMOVE: &str = "--remove=";

/// Removes the folder that an argument names, if the argument begins with [`REMOVE`] and the folder is one of ours.
pub(super) fn remove(argument: Option<&str>) {
    let folder = argument.and_then(|argument| argument.strip_prefix(REMOVE)).map(Path::new);
    let is_ours =
        |folder: &&Path| folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX));
    if let Some(folder) = folder.filter(is_ours) {
        // It is usually gone already.
        let _ = std::fs::remove_dir_all(folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_files_are_private_and_go_away() {
        let files = Certificate::generate().unwrap().write().unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(files.folder()), mode(&files.key)), (0o700, 0o600));
        let text = std::fs::read_to_string(&files.certificate).unwrap();
        assert!(text.starts_with("-----BEGIN CERTIFICATE-----"), "{text}");
        let folder = files.folder().to_owned();
        drop(files);
        assert!(!folder.exists());
    }

    #[test]
    fn only_its_own_folder_is_removed() {
        let (files, other) =
            (Certificate::generate().unwrap().write().unwrap(), tempfile::tempdir().unwrap());
        remove(None);
        remove(Some(REMOVE));
        remove(Some(&format!("{REMOVE}{}", other.path().display())));
        remove(Some(&files.folder().display().to_string()));
        assert!(other.path().exists() && files.folder().exists());
        remove(Some(&format!("{REMOVE}{}", files.folder().display())));
        assert!(!files.folder().exists());
    }

    #[test]
    fn the_key_is_not_shown() {
        let shown = format!("{:?}", Certificate::generate().unwrap());
        assert!(!shown.contains("KEY") && shown.contains("localhost"), "{shown}");
    }
}
