//! Which script a path means.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::bundled::path::Asked;

/// A script, and what the path says behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Script {
    /// The program, resolved.
    pub(super) file: PathBuf,
    /// Its path on the site, decoded: `SCRIPT_NAME`.
    pub(super) name: String,
    /// What is behind that, decoded: `PATH_INFO`. Empty if there is nothing.
    pub(super) rest: Vec<u8>,
}

/// Why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// There is no such file.
    Absent,
    /// There is, and it may not be executed.
    NotExecutable,
}

/// The first of the segments `below` the directory that names a file: those behind it are for the script. Links may not
/// lead out of the directory, and what begins with a dot is not there.
///
/// # Errors
/// [`Missing`].
pub(super) async fn find(
    directory: &Path,
    prefix: &Asked,
    below: &[Vec<u8>],
    is_folder: bool,
) -> Result<Script, Missing> {
    let directory = directory.to_owned();
    let (prefix, below) = (prefix.segments.clone(), below.to_owned());
    let found = move || look(&directory, prefix, &below, is_folder);
    let found = tokio::task::spawn_blocking(found).await;
    found.unwrap_or(Err(Missing::Absent))
}

fn look(
    directory: &Path,
    prefix: Vec<Vec<u8>>,
    below: &[Vec<u8>],
    is_folder: bool,
) -> Result<Script, Missing> {
    let mut path = directory.to_owned();
    for (at, segment) in below.iter().enumerate() {
        if segment.starts_with(b".") {
            return Err(Missing::Absent);
        }
        path.push(OsStr::from_bytes(segment));
        let real = path.canonicalize().map_err(|_| Missing::Absent)?;
        if !real.starts_with(directory) {
            return Err(Missing::Absent);
        }
        if real.is_dir() {
            continue;
        }
        if !real.is_file() {
            return Err(Missing::Absent);
        }
        if access(&real, Access::EXEC_OK).is_err() {
            tracing::warn!("{} is no script: chmod +x makes it one", real.display());
            return Err(Missing::NotExecutable);
        }
        let named = prefix.iter().chain(&below[..=at]);
        let behind = &below[at + 1..];
        let mut rest = joined(behind.iter());
        if is_folder {
            rest.push(b'/');
        }
        return Ok(Script {
            file: real,
            name: String::from_utf8_lossy(&joined(named)).into_owned(),
            rest,
        });
    }
    Err(Missing::Absent)
}

fn joined<'s>(segments: impl Iterator<Item = &'s Vec<u8>>) -> Vec<u8> {
    let mut path = Vec::new();
    for segment in segments {
        path.push(b'/');
        path.extend_from_slice(segment);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn the_first_file_is_the_script_and_the_rest_is_for_it() {
        let home = tempfile::tempdir().unwrap();
        let real = home.path().canonicalize().unwrap();
        let directory = real.join("scripts");
        std::fs::create_dir_all(directory.join("deep")).unwrap();
        for (name, mode) in [
            ("scripts/run", 0o755),
            ("scripts/deep/run", 0o755),
            ("scripts/text", 0o644),
            ("scripts/.hidden", 0o755),
            ("outside", 0o755),
        ] {
            let file = real.join(name);
            std::fs::write(&file, "#!/bin/sh\n").unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        symlink("../outside", directory.join("out")).unwrap();
        symlink("deep/run", directory.join("linked")).unwrap();
        let prefix = Asked::of("/cgi-bin").unwrap();
        let find = |path: &str| {
            let asked = Asked::of(path).unwrap();
            let below = asked.below(&prefix).unwrap();
            look(&directory, prefix.segments.clone(), below, asked.is_folder)
                .map(|it| (it.name, String::from_utf8(it.rest).unwrap()))
        };
        let ok = |name: &str, rest: &str| Ok((name.to_owned(), rest.to_owned()));
        assert_eq!(find("/cgi-bin/run"), ok("/cgi-bin/run", ""));
        assert_eq!(find("/cgi-bin/run/"), ok("/cgi-bin/run", "/"));
        assert_eq!(find("/cgi-bin/run/a%20b/c/"), ok("/cgi-bin/run", "/a b/c/"));
        assert_eq!(find("/cgi-bin/deep/run/x"), ok("/cgi-bin/deep/run", "/x"));
        assert_eq!(find("/cgi-bin/linked"), ok("/cgi-bin/linked", ""));
        if !rustix::process::geteuid().is_root() {
            assert_eq!(find("/cgi-bin/text"), Err(Missing::NotExecutable));
        }
        for path in [
            "/cgi-bin",
            "/cgi-bin/deep",
            "/cgi-bin/none",
            "/cgi-bin/.hidden",
            "/cgi-bin/out",
        ] {
            assert_eq!(find(path), Err(Missing::Absent), "{path}");
        }
    }
}
