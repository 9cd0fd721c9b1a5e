//! What a command of an operator's writes: its first bytes, and how many more there were.

use std::fs::File;
use std::io::{self, Seek};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::task::JoinHandle;

use crate::config::fixed::LAST_WORDS;
use crate::ground::deadline::Deadline;
use crate::ground::redact;

/// How it is listened to.
pub enum Ear {
    /// By a pipe, whose end ends whoever still writes.
    Pipe(Kept, JoinHandle<()>),
    /// By a file in memory: a daemon that keeps it can write into it when nobody listens any more.
    File { file: File, most: usize },
}

/// What fits into its pipe, so that it is not held up where we are.
const PIECE: usize = 16 << 10;
/// So many bytes go into a file; then whoever writes is told that no more do.
const LARGEST: u64 = 1 << 20;

impl Ear {
    /// A pipe, and its writing end.
    ///
    /// # Errors
    /// What the system said.
    pub fn pipe(most: usize) -> io::Result<(Self, OwnedFd)> {
        let (ours, its) = io::pipe()?;
        let kept = Kept::new(most);
        let pipe = pipe::Receiver::from_owned_fd(OwnedFd::from(ours))?;
        let reading = tokio::spawn(kept.clone().fill(pipe));
        Ok((Self::Pipe(kept, reading), its.into()))
    }

    /// A file in memory, and one end more to write into it.
    ///
    /// # Errors
    /// What the system said.
    pub fn file(most: usize) -> io::Result<(Self, OwnedFd)> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = File::from(memfd_create("leeward-hook", flags)?);
        file.set_len(LARGEST)?;
        fcntl_add_seals(&file, SealFlags::GROW)?;
        let its = OwnedFd::from(file.try_clone()?);
        Ok((Self::File { file, most }, its))
    }

    /// What was heard, line by line, secrets masked, and how many bytes more there were. Nothing is heard afterwards.
    pub async fn told(self) -> (Vec<String>, u64) {
        match self {
            Self::Pipe(kept, mut reading) => {
                let heard = Deadline::within(LAST_WORDS).bound(&mut reading).await;
                if heard.is_err() {
                    reading.abort();
                }
                kept.told()
            }
            Self::File { mut file, most } => {
                // Its end and ours are at the same place: where the next byte goes.
                let written = file.stream_position().unwrap_or(0);
                let mut text = vec![0; most.min(usize::try_from(written).unwrap_or(most))];
                let read = file.read_at(&mut text, 0).unwrap_or(0);
                text.truncate(read);
                (lines(&text), written.saturating_sub(read as u64))
            }
        }
    }
}

/// The first bytes of a pipe; the rest is read and dropped.
#[derive(Debug, Clone)]
pub struct Kept {
    most: usize,
    taken: Arc<Mutex<(Vec<u8>, u64)>>,
}

impl Kept {
    fn new(most: usize) -> Self {
        let taken = Arc::default();
        Self { most, taken }
    }

    async fn fill(self, mut pipe: pipe::Receiver) {
        let mut piece = vec![0; PIECE];
        while let Ok(read @ 1..) = pipe.read(&mut piece).await {
            self.take(&piece[..read]);
        }
    }

    fn take(&self, piece: &[u8]) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let (kept, omitted) = &mut *taken;
        let fits = piece.len().min(self.most.saturating_sub(kept.len()));
        kept.extend_from_slice(&piece[..fits]);
        *omitted += (piece.len() - fits) as u64;
    }

    fn told(&self) -> (Vec<String>, u64) {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let (kept, omitted) = &*taken;
        (lines(kept), *omitted)
    }
}

fn lines(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(text);
    let lines = text.lines().map(|line| redact::line(&printable(line)));
    lines.collect()
}

fn printable(line: &str) -> String {
    let harmless = |letter: char| match letter.is_control() && letter != '\t' {
        true => char::REPLACEMENT_CHARACTER,
        false => letter,
    };
    line.trim_end().chars().map(harmless).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_are_kept_and_the_rest_is_counted() {
        let kept = Kept::new(12);
        kept.take(b"one\r\ntwo\x1b");
        kept.take(b"\nand more");
        let (lines, omitted) = kept.told();
        assert_eq!(lines, ["one", "two\u{fffd}", "an"]);
        assert_eq!(omitted, 6);
        assert_eq!(Kept::new(5).told(), (Vec::new(), 0));
    }
}
