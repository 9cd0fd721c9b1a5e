//! Whether files have changed: by what the system says of them, links followed.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// What is known of some files without reading them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look(Vec<Option<File>>);

/// One that is there: device, inode, size, and when its content and its inode were changed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct File(u64, u64, u64, (i64, i64), (i64, i64));

/// The clock of a file system may be this coarse: what was changed so lately may change again and look the same.
const COARSE: Duration = Duration::from_secs(2);

impl Look {
    /// At these files. Blocks, as long as the file system does.
    pub fn at<'a>(files: impl IntoIterator<Item = &'a Path>) -> Self {
        let look = |path: &Path| {
            let it = path.metadata().ok()?;
            Some(File(
                it.dev(),
                it.ino(),
                it.size(),
                (it.mtime(), it.mtime_nsec()),
                (it.ctime(), it.ctime_nsec()),
            ))
        };
        Self(files.into_iter().map(look).collect())
    }

    /// Whether the same look later proves that nothing was changed since.
    pub fn is_settled(&self, now: SystemTime) -> bool {
        let now = now.duration_since(SystemTime::UNIX_EPOCH);
        let now = now.unwrap_or_default().as_secs();
        let before = now.saturating_sub(COARSE.as_secs());
        let is_old = |at: (i64, i64)| u64::try_from(at.0).is_ok_and(|at| at < before);
        let files = self.0.iter().flatten();
        files.into_iter().all(|file| is_old(file.3.max(file.4)))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_written_renamed_or_linked_elsewhere_looks_otherwise() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("one"), "1").unwrap();
        fs::write(at("two"), "2").unwrap();
        std::os::unix::fs::symlink(at("one"), at("link")).unwrap();
        let look = || Look::at([at("link").as_path()]);
        let first = look();
        assert_eq!(first, look());
        assert!(!first.is_settled(SystemTime::now()));
        assert!(first.is_settled(SystemTime::now() + COARSE * 3));
        std::os::unix::fs::symlink(at("two"), at("new")).unwrap();
        fs::rename(at("new"), at("link")).unwrap();
        let second = look();
        assert_ne!(first, second);
        fs::rename(at("one"), at("two")).unwrap();
        let third = look();
        assert_ne!(second, third);
        fs::remove_file(at("two")).unwrap();
        assert_ne!(third, look());
    }
}
