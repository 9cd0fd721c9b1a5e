//! The only door from the site of files to the file system: what it doesn't let through can't be served.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use tower_http::services::fs::{Backend, TokioBackend, TokioFile};

/// The file system as `ServeDir` sees it: what lies outside the root, hides behind a dot, or is neither file nor
/// directory is not there.
#[derive(Clone)]
pub(super) struct Confined {
    root: Arc<Path>,
}

impl Confined {
    /// `root` must be resolved already: absolute, without symbolic links.
    pub(super) fn to(root: Arc<Path>) -> Self {
        Confined { root }
    }
}

type Pending<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

impl Backend for Confined {
    type File = TokioFile;
    type Metadata = std::fs::Metadata;
    type OpenFuture = Pending<TokioFile>;
    type MetadataFuture = Pending<std::fs::Metadata>;

    fn open(&self, path: PathBuf) -> Self::OpenFuture {
        let root = self.root.clone();
        Box::pin(async move {
            let (real, metadata) = off_thread(move || resolve(&root, &path)).await?;
            // Opening a named pipe would wait for somebody to write to it.
            if !metadata.is_file() {
                return Err(absent());
            }
            TokioBackend.open(real).await
        })
    }

    fn metadata(&self, path: PathBuf) -> Self::MetadataFuture {
        let root = self.root.clone();
        Box::pin(async move {
            let (_, metadata) = off_thread(move || resolve(&root, &path)).await?;
            Ok(metadata)
        })
    }
}

/// Where `path` really leads, if that is a file or directory that may be shown.
///
/// The answer holds as long as nobody changes the tree meanwhile: who may write below the root can show what the
/// origin's user can read.
fn resolve(root: &Path, path: &Path) -> io::Result<(PathBuf, std::fs::Metadata)> {
    let shown = |path: &Path| {
        path.strip_prefix(root)
            .is_ok_and(|inside| !has_dot_name(inside))
    };
    if !shown(path) {
        return Err(absent());
    }
    let real = path.canonicalize()?;
    // Again, because links lead elsewhere.
    if !shown(&real) {
        return Err(absent());
    }
    let metadata = real.metadata()?;
    if !metadata.is_file() && !metadata.is_dir() {
        return Err(absent());
    }
    Ok((real, metadata))
}

fn has_dot_name(path: &Path) -> bool {
    path.components()
        .any(|name| name.as_os_str().as_encoded_bytes().starts_with(b"."))
}

fn absent() -> io::Error {
    io::ErrorKind::NotFound.into()
}

/// Runs what may wait for a disk where waiting hurts nobody.
async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_followed_to_their_end_and_judged_there() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().canonicalize().unwrap();
        let root = home.join("root");
        std::fs::create_dir_all(root.join(".hidden")).unwrap();
        std::fs::create_dir_all(home.join("root-beside")).unwrap();
        for name in ["root/a", "root/.hidden/b", "root-beside/c"] {
            std::fs::write(home.join(name), name).unwrap();
        }
        for (name, target) in [
            ("good", "a"),
            ("twice", "good"),
            ("absolute", root.join("a").to_str().unwrap()),
            ("hidden", ".hidden/b"),
            ("beside", "../root-beside"),
            ("above", ".."),
            ("device", "/dev/null"),
            ("loop", "loop"),
            ("broken", "nothing"),
        ] {
            symlink(target, root.join(name)).unwrap();
        }
        // What leads out and comes back in, is in.
        for shown in ["", "a", "good", "twice", "absolute", "above/root/a"] {
            assert!(resolve(&root, &root.join(shown)).is_ok(), "{shown}");
        }
        for absent in [
            ".hidden", "hidden", "beside", "beside/c", "above", "device", "loop", "broken", "a/b",
        ] {
            assert!(resolve(&root, &root.join(absent)).is_err(), "{absent}");
        }
        assert!(resolve(&root, &home.join("root-beside/c")).is_err());
    }
}
