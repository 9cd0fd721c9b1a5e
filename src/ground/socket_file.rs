//! A unix socket in the file system: bound for its owner alone, and taken away when it is done with.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// A bound socket's file; removed when this is dropped.
#[derive(Debug)]
pub struct SocketFile(PathBuf);

/// Listens there, for its owner alone. What a Leeward left behind that is no more is replaced.
///
/// # Errors
/// What the system said; [`io::ErrorKind::AddrInUse`] where somebody listens there.
pub fn bind(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            if !is_left_behind(path) {
                return Err(error);
            }
            fs::remove_file(path)?;
            UnixListener::bind(path)?
        }
        bound => bound?,
    };
    let file = SocketFile(path.to_owned());
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok((listener, file))
}

impl SocketFile {
    /// Of one that was bound before, by somebody who is no more.
    pub fn of(path: &Path) -> Self {
        Self(path.to_owned())
    }
}

/// A socket at which nobody listens; any other file is none of ours.
fn is_left_behind(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|it| it.file_type().is_socket());
    let refused = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    is_socket && UnixStream::connect(path).is_err_and(|error| refused(&error))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_left_behind_is_replaced_and_one_in_use_is_not() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("s");
        let (listener, file) = bind(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let second = bind(&path).unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        let (_again, again) = bind(&path).unwrap();
        drop(again);
        assert!(!path.exists());
        drop(file);
    }

    #[test]
    fn a_file_that_is_no_socket_is_left_alone() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("s");
        fs::write(&path, "precious").unwrap();
        assert!(bind(&path).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }
}
