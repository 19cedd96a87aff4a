//! The client's side of the control socket, for `twinwire-server control`.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use super::Answer;

/// Longer than a server takes for anything, its wait for a session's end included.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(15);

/// More than a list of as many users as there can be descriptors.
const ANSWER_BYTES_MAX: u64 = 1 << 30;

#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error("no server answers at {}: is it running, and with that path for --control?", .0.display())]
    NoServer(PathBuf),
    #[error("not permitted to use {}: only the server's user and root are", .0.display())]
    NotPermitted(PathBuf),
    #[error("the server at {} gave no answer: {source}", path.display())]
    NoAnswer { path: PathBuf, source: io::Error },
    /// Another version, or another program.
    #[error("what listens at {} is not a twinwire-server, or one of another version: {source}", path.display())]
    NotUnderstood { path: PathBuf, source: serde_json::Error },
}

/// Sends a request, such as `promote alice`, and waits for the answer.
pub fn ask(path: &Path, request: &str) -> Result<Answer, AskError> {
    let stream = UnixStream::connect(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => AskError::NoServer(path.to_owned()),
        io::ErrorKind::PermissionDenied => AskError::NotPermitted(path.to_owned()),
        _ => AskError::NoAnswer { path: path.to_owned(), source },
    })?;
    let line =
        exchange(&stream, request).map_err(|source| AskError::NoAnswer { path: path.to_owned(), source })?;
    serde_json::from_slice(&line).map_err(|source| AskError::NotUnderstood { path: path.to_owned(), source })
}

fn exchange(mut stream: &UnixStream, request: &str) -> io::Result<Vec<u8>> {
    stream.set_read_timeout(Some(ANSWER_TIME_MAX))?;
    stream.set_write_timeout(Some(ANSWER_TIME_MAX))?;
    stream.write_all(format!("{request}\n").as_bytes())?;
    let mut line = Vec::new();
    BufReader::new(stream).take(ANSWER_BYTES_MAX).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line)
}
