//! The only door from the site of files to the file system: what it doesn't let through can't be served.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

use super::options::{Hidden, Links};

/// A directory, and what of it may be seen: what lies outside, hides behind a dot, or is neither file nor directory is
/// not there.
pub(super) struct Door {
    /// Resolved: absolute, without symbolic links.
    root: PathBuf,
    handle: OwnedFd,
    links: Links,
    hidden: Hidden,
    /// Never served, wherever it is: the scripts' own text.
    private: Option<PathBuf>,
}

/// What is there.
pub(super) enum Found {
    /// A file, open.
    File(File, Metadata),
    /// A directory, by its real path.
    Folder(PathBuf),
}

/// Whether the file is opened where a path is named within the root (`openat2`).
const BENEATH: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS);
/// Opening a named pipe, or a terminal, must not wait or change anything.
const READING: OFlags = OFlags::RDONLY
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);
/// The folder that is meant to be seen (RFC 8615).
const WELL_KNOWN: &[u8] = b".well-known";

impl Door {
    /// `root` and `private` must be resolved already: absolute, without symbolic links.
    ///
    /// # Errors
    /// The root can't be opened.
    pub(super) fn to(
        root: PathBuf,
        links: Links,
        hidden: Hidden,
        private: Option<PathBuf>,
    ) -> io::Result<Door> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = openat(CWD, &root, flags, Mode::empty())?;
        Ok(Door {
            root,
            handle,
            links,
            hidden,
            private,
        })
    }

    /// The root.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// What is at `inside`, a path without `..` below the root. May wait for a disk.
    ///
    /// What is opened is what was judged, whoever changes links meanwhile: links are resolved first, and none is
    /// followed after that (`openat2`; a kernel before 5.6 only looks at the last name).
    ///
    /// # Errors
    /// It is not there, may not be seen, or can't be read.
    pub(super) fn open(&self, inside: &Path) -> io::Result<Found> {
        let real = self.resolve(inside)?;
        let metadata = real.symlink_metadata()?;
        if metadata.is_dir() {
            return Ok(Found::Folder(real));
        }
        // Opening a device may do something to it.
        if !metadata.is_file() {
            return Err(absent());
        }
        let file = File::from(match real.strip_prefix(&self.root) {
            Ok(below) => self.beneath(below, &real)?,
            Err(_) => plainly(&real)?,
        });
        let metadata = file.metadata()?;
        match metadata.is_file() {
            true => Ok(Found::File(file, metadata)),
            false => Err(absent()),
        }
    }

    /// Whether a name in a directory may be told.
    pub(super) fn tells(&self, inside: &Path) -> bool {
        self.resolve(inside)
            .and_then(|real| real.symlink_metadata())
            .is_ok_and(|it| it.is_file() || it.is_dir())
    }

    /// Where `inside` really leads, if that may be seen.
    fn resolve(&self, inside: &Path) -> io::Result<PathBuf> {
        let goes_down = |part| matches!(part, Component::Normal(_));
        if !inside.components().all(goes_down) || self.hides(inside) {
            return Err(absent());
        }
        let path = self.root.join(inside);
        let real = path.canonicalize()?;
        if self.links == Links::Off && real != path {
            return Err(absent());
        }
        // Again, because links lead elsewhere.
        let may_be_seen = match real.strip_prefix(&self.root) {
            Ok(below) => !self.hides(below),
            Err(_) => self.links == Links::Anywhere,
        };
        let is_private = self
            .private
            .as_ref()
            .is_some_and(|private| real.starts_with(private));
        match may_be_seen && !is_private {
            true => Ok(real),
            false => Err(absent()),
        }
    }

    fn hides(&self, path: &Path) -> bool {
        let names = path.components().map(|name| name.as_os_str().as_bytes());
        let is_hidden =
            |(at, name): (usize, &[u8])| name.starts_with(b".") && !(at == 0 && name == WELL_KNOWN);
        self.hidden == Hidden::Refused && names.enumerate().any(is_hidden)
    }

    fn beneath(&self, below: &Path, real: &Path) -> io::Result<OwnedFd> {
        match openat2(&self.handle, below, READING, Mode::empty(), BENEATH) {
            // An old kernel, or a sandbox that does not know it.
            Err(Errno::NOSYS | Errno::PERM) => plainly(real),
            Err(Errno::LOOP | Errno::XDEV) => Err(absent()),
            outcome => Ok(outcome?),
        }
    }
}

fn plainly(real: &Path) -> io::Result<OwnedFd> {
    Ok(openat(
        CWD,
        real,
        READING | OFlags::NOFOLLOW,
        Mode::empty(),
    )?)
}

fn absent() -> io::Error {
    io::ErrorKind::NotFound.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A root with links of every kind, and something beside it.
    fn tree() -> (tempfile::TempDir, PathBuf) {
        let home = tempfile::tempdir().unwrap();
        let real = home.path().canonicalize().unwrap();
        let root = real.join("root");
        for folder in [
            "root/.hidden",
            "root/.well-known",
            "root/scripts",
            "root-beside",
        ] {
            std::fs::create_dir_all(real.join(folder)).unwrap();
        }
        for name in [
            "root/a",
            "root/.hidden/b",
            "root/.well-known/w",
            "root/scripts/s",
            "root-beside/c",
        ] {
            std::fs::write(real.join(name), name).unwrap();
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
            ("text", "scripts/s"),
        ] {
            symlink(target, root.join(name)).unwrap();
        }
        (home, root)
    }

    fn seen(root: &Path, links: Links, hidden: Hidden) -> impl Fn(&str) -> bool {
        let private = Some(root.join("scripts"));
        let door = Door::to(root.to_owned(), links, hidden, private).unwrap();
        move |name| {
            let is_open = door.open(Path::new(name)).is_ok();
            assert_eq!(door.tells(Path::new(name)), is_open, "{name}");
            is_open
        }
    }

    #[test]
    fn links_are_followed_to_their_end_and_judged_there() {
        let (_home, root) = tree();
        let inside = seen(&root, Links::Inside, Hidden::Refused);
        // What leads out and comes back in, is in.
        for name in [
            "",
            "a",
            "good",
            "twice",
            "absolute",
            "above/root/a",
            ".well-known/w",
        ] {
            assert!(inside(name), "{name}");
        }
        for name in [
            ".hidden",
            "hidden",
            "beside",
            "beside/c",
            "above",
            "device",
            "loop",
            "broken",
            "a/b",
            "scripts/s",
            "text",
            "../root-beside/c",
            "/etc/passwd",
        ] {
            assert!(!inside(name), "{name}");
        }
    }

    #[test]
    fn without_links_there_is_only_what_is_really_there() {
        let (_home, root) = tree();
        let plain = seen(&root, Links::Off, Hidden::Refused);
        assert!(plain("a") && plain(".well-known/w"));
        for name in ["good", "twice", "absolute", "above/root/a", "beside/c"] {
            assert!(!plain(name), "{name}");
        }
    }

    #[test]
    fn links_may_lead_anywhere_by_option_but_not_to_scripts_or_devices() {
        let (_home, root) = tree();
        let free = seen(&root, Links::Anywhere, Hidden::Shown);
        for name in ["beside/c", "hidden", ".hidden/b", "above/root/a"] {
            assert!(free(name), "{name}");
        }
        for name in [
            "device",
            "text",
            "scripts/s",
            "above/root/scripts/s",
            "loop",
        ] {
            assert!(!free(name), "{name}");
        }
    }
}
