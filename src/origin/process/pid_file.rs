//! Whose number a pid file holds. The file is a claim and no proof: it may be of an earlier life or of an earlier boot,
//! and the number a stranger's by now. What is named is held first and believed only for reasons of its own.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

use super::held::{Candidate, Held};
use crate::origin::pid::Pid;

/// What a look for a process came to.
#[derive(Debug)]
pub enum Who {
    /// This one.
    Found(Held),
    /// Nobody, and why.
    Nobody(String),
    /// Somebody, but it cannot be seen who, and why.
    Unseen(String),
}

/// A number, and a line's end.
const LONGEST: u64 = 64;

/// The process that `file` names, if it is believed; `believes` says why it is not.
pub fn named(file: &Path, believes: impl FnOnce(&Candidate) -> Result<(), String>) -> Who {
    let told = file.display();
    let pid = match number(file) {
        Ok(Some(pid)) => pid,
        Ok(None) => return Who::Nobody(format!("{told} holds no process number")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Who::Nobody(format!("there is no {told}"));
        }
        Err(error) => return Who::Unseen(format!("{told} cannot be read: {error}")),
    };
    let candidate = match Candidate::open(pid) {
        Ok(Some(candidate)) => candidate,
        Ok(None) => {
            return Who::Nobody(format!(
                "{told} is stale: it names process {pid}, which is gone"
            ));
        }
        Err(error) => return Who::Unseen(format!("process {pid} cannot be held: {error}")),
    };
    if let Err(why) = believes(&candidate) {
        let comm = &candidate.comm;
        return Who::Nobody(format!("{told} names process {pid} ({comm}), {why}"));
    }
    held(candidate)
}

/// Takes hold of one that is believed.
pub fn held(candidate: Candidate) -> Who {
    let pid = candidate.pid;
    match candidate.hold() {
        Ok(held) => Who::Found(held),
        Err(error) => Who::Unseen(format!("process {pid} cannot be waited for: {error}")),
    }
}

/// Takes a file away that names a process which is no more: some daemons refuse to start beside it.
pub fn clear(file: &Path, gone: Pid) {
    if number(file).ok().flatten() != Some(gone) {
        return;
    }
    let told = file.display();
    match std::fs::remove_file(file) {
        Ok(()) => {
            tracing::info!("{told} was left by process {gone}, which is gone; it was removed")
        }
        Err(error) => tracing::warn!(%error, "{told} was left by process {gone}, which is gone"),
    }
}

/// The number in a file; `None` where it holds something else.
fn number(file: &Path) -> io::Result<Option<Pid>> {
    let mut options = OpenOptions::new();
    // Whoever opens a pipe by mistake must not wait for its other end.
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let opened = options.read(true).custom_flags(nonblocking).open(file)?;
    let mut text = String::new();
    match opened.take(LONGEST).read_to_string(&mut text) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(None),
        read => read?,
    };
    let first = text.lines().next().unwrap_or_default().trim();
    Ok(first.parse().ok().and_then(Pid::new))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str, believes: Result<(), String>) -> String {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("pid");
        std::fs::write(&file, text).expect("it can be written");
        match named(&file, |_| believes) {
            Who::Found(held) => format!("found {}", held.pid()),
            Who::Nobody(why) | Who::Unseen(why) => why,
        }
    }

    #[test]
    fn a_number_is_believed_for_reasons_of_its_own() {
        let own = std::process::id();
        for text in [
            format!("{own}\n"),
            format!("{own}"),
            format!(" {own} \nmore"),
        ] {
            assert_eq!(told(&text, Ok(())), format!("found {own}"), "{text:?}");
        }
        let stranger = told(&format!("{own}\n"), Err("a stranger".to_owned()));
        assert!(stranger.ends_with("), a stranger"), "{stranger}");
        for text in ["", "\n", "pid 7", "0\n", "-1\n", "99999999999\n", "\u{0}"] {
            let told = told(text, Ok(()));
            assert!(
                told.ends_with("holds no process number"),
                "{text:?}: {told}"
            );
        }
        let gone = told("2147483646\n", Ok(()));
        assert!(
            gone.contains("is stale: it names process 2147483646"),
            "{gone}"
        );
    }

    #[test]
    fn only_the_file_of_the_one_that_is_gone_is_taken_away() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("pid");
        let pid = |number| Pid::new(number).expect("positive");
        std::fs::write(&file, "7\n").expect("it can be written");
        clear(&file, pid(8));
        assert!(file.exists());
        clear(&file, pid(7));
        assert!(!file.exists());
    }
}
