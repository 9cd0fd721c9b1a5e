//! Hooks: programs of the operator's, run around an incident within bounds of time and output.

mod occasion;
mod queue;

use std::io::PipeReader;
use std::os::fd::OwnedFd;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::Signal;
use serde::Serialize;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use super::group::{Group, launched};
use crate::config::fixed::LAST_WORDS;
use crate::config::settings::Hook;
use crate::ground::deadline::{self, Deadline};
use crate::ground::redact;

pub use occasion::Occasion;
pub use queue::Queue;

/// What came of running a hook, secrets masked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ran {
    /// What was run.
    pub command: String,
    /// How it ended, in words.
    pub end: String,
    /// From its start to its end, in seconds.
    pub took_seconds: f64,
    /// What it wrote, both outputs together, line by line.
    pub output: Vec<String>,
    /// Bytes of it that were not kept.
    pub omitted_bytes: u64,
    /// Whether it did what it was to do.
    #[serde(skip)]
    pub is_good: bool,
}

/// So many letters of what it said last go into the log.
const LOGGED: usize = 200;
/// What fits into its pipe, so that it is not held up where we are.
const PIECE: usize = 16 << 10;

/// Runs `hook`, and returns soon after its timeout at the latest: it and its whole group are killed then.
///
/// Must be called on the watch thread: the death signal is bound to the spawning thread.
pub async fn run(hook: &Hook, occasion: &Occasion) -> Ran {
    let began = deadline::now();
    let words: Vec<String> = hook.words.iter().map(|word| occasion.fill(word)).collect();
    let mut ran = Ran {
        command: redact::words(words.iter().map(String::as_str)).join(" "),
        end: String::new(),
        took_seconds: 0.0,
        output: Vec::new(),
        omitted_bytes: 0,
        is_good: false,
    };
    let (group, pipe) = match start(&words, occasion) {
        Ok(started) => started,
        Err(error) => {
            ran.end = format!("cannot be started: {error}");
            return ran;
        }
    };
    let kept = Kept::new(hook.output);
    let mut reading = tokio::spawn(kept.clone().fill(pipe));
    let deadline = Deadline::after(began, hook.timeout);
    let is_in_time = deadline.bound(group.exited()).await.is_ok();
    ran.took_seconds = (deadline::now() - began).as_secs_f64();
    ran.end = match (is_in_time, group.fate()) {
        (true, Some(fate)) => fate,
        (true, None) => "ended".to_owned(),
        (false, _) => format!(
            "did not end within {:?} and was killed with all that it started",
            hook.timeout
        ),
    };
    ran.is_good = ran.end == "exited with 0";
    // What it left behind goes with it, in time or not.
    group.signal(Signal::KILL);
    if Deadline::within(LAST_WORDS)
        .bound(&mut reading)
        .await
        .is_err()
    {
        reading.abort();
    }
    bury(group);
    (ran.output, ran.omitted_bytes) = kept.told();
    ran
}

impl Ran {
    /// What it said last, cut to a decent length.
    pub fn said(&self) -> Option<String> {
        let last = self.output.last()?;
        Some(last.chars().take(LOGGED).collect())
    }
}

fn start(words: &[String], occasion: &Occasion) -> std::io::Result<(Group, PipeReader)> {
    let (program, arguments) = words
        .split_first()
        .ok_or(std::io::ErrorKind::InvalidInput)?;
    let mut it: Command = launched(&[], program, arguments.iter().cloned());
    it.envs(occasion.environment());
    let (ours, its) = std::io::pipe()?;
    it.stdout(its.try_clone()?).stderr(its);
    // The command goes, and our copies of the writing end with it.
    Ok((Group::start(&mut it)?, ours))
}

/// One that is held in the kernel is waited for by nobody but this.
fn bury(group: Group) {
    tokio::spawn(async move {
        group.exited().await;
        let _ = group.reap();
    });
}

/// The first bytes of an output; the rest is read and dropped.
#[derive(Debug, Clone)]
struct Kept {
    most: usize,
    taken: Arc<Mutex<(Vec<u8>, u64)>>,
}

impl Kept {
    fn new(most: usize) -> Self {
        let taken = Arc::default();
        Self { most, taken }
    }

    async fn fill(self, pipe: PipeReader) {
        let Ok(mut pipe) = pipe::Receiver::from_owned_fd(OwnedFd::from(pipe)) else {
            return;
        };
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
        let text = String::from_utf8_lossy(kept);
        let lines = text.lines().map(|line| redact::line(&printable(line)));
        (lines.collect(), *omitted)
    }
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
