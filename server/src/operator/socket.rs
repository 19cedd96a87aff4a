//! The control socket as a file: made for its owner alone, taken over from a dead server, removed at the end.
//!
//! A server that makes, replaces or removes it holds a lock on a second file for as long as it lives: if several
//! servers find a dead one's socket at the same time, one gets it.

use std::{
    ffi::OsString,
    fs::{self, File, TryLockError},
    io,
    os::{
        fd::OwnedFd,
        unix::{
            fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
};

use nix::{
    fcntl::OFlag,
    sys::stat::{Mode, fchmod},
};
use socket2::{Domain, SockAddr, Socket, Type};

/// How many operators may wait to be accepted.
const BACKLOG: i32 = 16;

/// What the name of the locked file ends in.
const LOCK_SUFFIX: &str = ".lock";

/// How many times the locked file may turn out to have been removed before giving up.
const LOCK_TRIES: usize = 100;

#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    #[error("the control socket {} belongs to a server that is running: stop it, or choose another path", .0.display())]
    InUse(PathBuf),
    #[error("{} exists and is not a socket: choose another path for --control", .0.display())]
    NotASocket(PathBuf),
    #[error(
        "the control socket {} has no folder: create {} first (systemd's RuntimeDirectory= does so)",
        path.display(),
        folder.display()
    )]
    NoFolder { path: PathBuf, folder: PathBuf },
    #[error(
        "cannot lock {}, which shows whether a server has the control socket: {source}; remove what is there, or \
         choose another path for --control",
        path.display()
    )]
    Lock { path: PathBuf, source: io::Error },
    #[error("cannot create the control socket {}: {source}", path.display())]
    Failed { path: PathBuf, source: io::Error },
}

/// The socket, open to its owner alone. Its file is removed when this is dropped.
#[derive(Debug)]
pub(super) struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
    file: Identity,
    /// After the socket, so that it is released when the socket has been removed.
    _lock: Lock,
}

/// The lock, and the file that it is on, which is removed when this is dropped. A file that a dead server has left
/// behind is not locked.
#[derive(Debug)]
struct Lock {
    file: File,
    path: PathBuf,
}

/// Device and inode: which file it is, whatever its name.
type Identity = (u64, u64);

impl ControlSocket {
    /// Makes the socket. The file of a server that has died is replaced.
    pub(super) fn bind(path: &Path) -> Result<Self, SocketError> {
        check(path)?;
        let lock = Lock::take(path)?;
        let failed = |source| SocketError::Failed { path: path.to_owned(), source };
        let address = SockAddr::unix(path).map_err(failed)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(failed)?;
        // The file gets the mode of the socket: there is no moment in which others could connect.
        fchmod(&socket, Mode::S_IRUSR | Mode::S_IWUSR).map_err(|error| failed(error.into()))?;
        socket.set_nonblocking(true).map_err(failed)?;
        match socket.bind(&address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                remove_stale(path)?;
                socket.bind(&address).map_err(failed)?;
            }
            bound => bound.map_err(failed)?,
        }
        socket.listen(BACKLOG).map_err(failed)?;
        let file = identity(path).map_err(failed)?;
        Ok(Self {
            listener: UnixListener::from(OwnedFd::from(socket)),
            path: path.to_owned(),
            file,
            _lock: lock,
        })
    }

    /// A handle on the listener.
    pub(super) fn listener(&self) -> io::Result<UnixListener> {
        self.listener.try_clone()
    }
}

impl Lock {
    /// The lock for the socket at `socket`, if no running server has it.
    fn take(socket: &Path) -> Result<Self, SocketError> {
        let mut path = OsString::from(socket);
        path.push(LOCK_SUFFIX);
        let path = PathBuf::from(path);
        let failed = |source| SocketError::Lock { path: path.clone(), source };
        for _ in 0..LOCK_TRIES {
            let file = File::options()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                // Anything else that may be there is neither followed nor waited for.
                .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
                .open(&path)
                .map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(SocketError::InUse(socket.to_owned())),
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
            // A server that was stopping may have removed the file in between.
            let lock = Self { file, path: path.clone() };
            if lock.is_in_place() {
                return Ok(lock);
            }
        }
        Err(SocketError::InUse(socket.to_owned()))
    }

    /// Whether the file is still the one of that name.
    fn is_in_place(&self) -> bool {
        let locked = self.file.metadata().map(|file| (file.dev(), file.ino()));
        locked.is_ok_and(|locked| identity(&self.path).is_ok_and(|there| there == locked))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The lock itself is released when the file is closed, after this.
        if self.is_in_place() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // A file that another program has put there is not ours to remove.
        if identity(&self.path).is_ok_and(|file| file == self.file) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Fails if no socket can be made at `path`, as far as it shows without making one. Whether a running server has it does
/// not show.
pub(crate) fn check(path: &Path) -> Result<(), SocketError> {
    let failed = |source| SocketError::Failed { path: path.to_owned(), source };
    SockAddr::unix(path).map_err(failed)?;
    match fs::symlink_metadata(path) {
        Ok(file) if file.file_type().is_socket() => return Ok(()),
        Ok(_) => return Err(SocketError::NotASocket(path.to_owned())),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
        Err(error) => return Err(failed(error)),
    }
    match path.parent() {
        // A bare name is one in the current folder.
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => {
            Err(SocketError::NoFolder { path: path.to_owned(), folder: folder.to_owned() })
        }
        _ => Ok(()),
    }
}

/// Removes a socket that no program listens on. The caller has the lock, so no other server puts one there.
fn remove_stale(path: &Path) -> Result<(), SocketError> {
    let failed = |source| SocketError::Failed { path: path.to_owned(), source };
    if !fs::symlink_metadata(path).map_err(failed)?.file_type().is_socket() {
        return Err(SocketError::NotASocket(path.to_owned()));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(failed(error)),
        // A server whose queue is full is running.
        Ok(_) | Err(_) => return Err(SocketError::InUse(path.to_owned())),
    }
    fs::remove_file(path).map_err(failed)
}

fn identity(path: &Path) -> io::Result<Identity> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_socket_is_its_owners_alone_and_goes_with_the_server() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control");
        let socket = ControlSocket::bind(&path).unwrap();
        assert_eq!(fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(UnixStream::connect(&path).is_ok());
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn a_stale_socket_is_replaced_a_live_one_and_any_other_file_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control");
        // A listener that is closed leaves its file behind.
        drop(UnixListener::bind(&path).unwrap());
        let socket = ControlSocket::bind(&path).unwrap();
        assert!(matches!(ControlSocket::bind(&path), Err(SocketError::InUse(_))));
        assert!(UnixStream::connect(&path).is_ok(), "the refusal leaves the live one alone");
        drop(socket);
        fs::write(&path, "precious").unwrap();
        assert!(matches!(ControlSocket::bind(&path), Err(SocketError::NotASocket(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn of_many_that_find_a_stale_socket_at_once_one_gets_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control");
        for round in 0..200 {
            drop(UnixListener::bind(&path).unwrap());
            let start = std::sync::Barrier::new(4);
            let bind = || {
                start.wait();
                ControlSocket::bind(&path)
            };
            let bound: Vec<_> = std::thread::scope(|scope| {
                let threads = [(); 4].map(|()| scope.spawn(bind));
                threads.map(|thread| thread.join().unwrap()).into_iter().collect()
            });
            let count = bound.iter().filter(|bound| bound.is_ok()).count();
            assert_eq!(count, 1, "in round {round}: {bound:?}");
            assert!(
                bound.iter().all(|bound| matches!(bound, Ok(_) | Err(SocketError::InUse(_)))),
                "{bound:?}"
            );
            assert!(UnixStream::connect(&path).is_ok(), "the one that there is is found");
            drop(bound);
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
        }
    }

    #[test]
    fn a_lock_that_is_no_file_of_ours_is_neither_followed_nor_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let (path, lock) = (folder.path().join("control"), folder.path().join("control.lock"));
        let refused =
            || matches!(ControlSocket::bind(&path), Err(SocketError::Lock { path, .. }) if path == lock);
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), &lock).unwrap();
        assert!(refused() && !folder.path().join("elsewhere").exists());
        fs::remove_file(&lock).unwrap();
        nix::unistd::mkfifo(&lock, Mode::S_IRWXU).unwrap();
        assert!(refused());
    }

    #[test]
    fn a_file_of_another_program_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control");
        let socket = ControlSocket::bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "another's").unwrap();
        drop(socket);
        assert!(path.exists());
    }

    #[test]
    fn a_path_that_is_too_long_or_nowhere_is_refused() {
        let failed =
            |path: &str| matches!(ControlSocket::bind(Path::new(path)), Err(SocketError::Failed { .. }));
        assert!(failed(&format!("/tmp/{}", "x".repeat(200))));
        let nowhere = ControlSocket::bind(Path::new("/no/such/folder/control"));
        assert!(
            matches!(nowhere, Err(SocketError::NoFolder { folder, .. }) if folder == Path::new("/no/such/folder"))
        );
    }
}
