//! The upgrade secret, from a file or from the environment, never from an argument.

use std::{
    env::{self, VarError},
    path::Path,
};

use super::error::{ArgsError, SECRET_VARIABLE};
use crate::{registry::Secret, small_file::read_text};

/// What precedes the secret in the only message that carries it.
const UPGRADE_PREFIX: &str = "upgrade ";

/// The secret in `file`, or in the environment if no file is named, if it is one that a client can send.
pub(super) fn read(file: Option<&Path>, message_bytes_max: usize) -> Result<Secret, ArgsError> {
    let (text, place) = match file {
        Some(path) => {
            let text =
                read_text(path).map_err(|source| ArgsError::SecretFile { path: path.to_owned(), source })?;
            (text, path.display().to_string())
        }
        None => match env::var(SECRET_VARIABLE) {
            Ok(text) => (text, SECRET_VARIABLE.to_owned()),
            Err(VarError::NotPresent) => return Err(ArgsError::NoSecret),
            Err(VarError::NotUnicode(_)) => {
                return Err(ArgsError::SecretForm { place: SECRET_VARIABLE.to_owned() });
            }
        },
    };
    // Some editors begin a file with a byte order mark, which no client would send.
    let word = text.trim_start_matches('\u{feff}').trim_ascii();
    let most = message_bytes_max.saturating_sub(UPGRADE_PREFIX.len());
    if word.len() > most {
        return Err(ArgsError::SecretTooLong { place, given: word.len(), most });
    }
    Secret::new(word).ok_or(ArgsError::SecretForm { place })
}
