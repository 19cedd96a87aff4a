//! Reads the files that options name.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// More than a secret, a file of options or a chain of certificates needs: a larger file is something else, or endless.
const BYTES_MAX: usize = 1024 * 1024;

pub(crate) fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(BYTES_MAX as u64 + 1).read_to_string(&mut text)?;
    check_size(text.len()).map(|()| text)
}

pub(crate) fn read_bytes(file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    check_size(bytes.len()).map(|()| bytes)
}

fn check_size(bytes: usize) -> io::Result<()> {
    if bytes > BYTES_MAX { Err(io::Error::other("it is larger than 1 MiB")) } else { Ok(()) }
}
