//! Hooks: programs of the operator's, run around an incident within bounds of time and output.

mod ear;
mod occasion;
mod queue;

use std::os::fd::OwnedFd;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde::Serialize;

use super::group::{Bond, Group, launched};
use crate::config::settings::Hook;
use crate::ground::deadline::{self, Deadline};
use crate::ground::redact;

use ear::Ear;

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

/// What becomes of what a command leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remains {
    /// It is ended.
    Ended,
    /// It lives on, as a daemon is to; only a command that does not end is killed, and its group with it.
    Kept,
}

/// So many letters of what it said last go into the log.
const LOGGED: usize = 200;

/// Runs `hook`, and returns soon after its timeout at the latest: it and its whole group are killed then.
///
/// Must be called on the watch thread: the death signal is bound to the spawning thread.
pub async fn run(hook: &Hook, occasion: &Occasion) -> Ran {
    let words: Vec<String> = hook.words.iter().map(|word| occasion.fill(word)).collect();
    let facts = occasion.environment().collect();
    carry_out(&words, facts, hook.timeout, hook.output, Remains::Ended).await
}

/// Runs a command of an operator's, and returns soon after `timeout` at the latest; the first `most` bytes of what it
/// writes are kept. When this is dropped before, the command is killed.
///
/// Must be called on the watch thread: the death signal is bound to the spawning thread.
pub async fn carry_out(
    words: &[String],
    environment: Vec<(String, &str)>,
    timeout: Duration,
    most: usize,
    remains: Remains,
) -> Ran {
    let began = deadline::now();
    let mut ran = Ran {
        command: redact::words(words.iter().map(String::as_str)).join(" "),
        end: String::new(),
        took_seconds: 0.0,
        output: Vec::new(),
        omitted_bytes: 0,
        is_good: false,
    };
    let ear = match remains {
        Remains::Ended => Ear::pipe(most),
        Remains::Kept => Ear::file(most),
    };
    let started = ear.and_then(|(ear, mouth)| Ok((ear, start(words, environment, mouth)?)));
    let (ear, group) = match started {
        Ok(started) => started,
        Err(error) => {
            ran.end = format!("cannot be started: {error}");
            return ran;
        }
    };
    let running = Running(Some(group));
    let deadline = Deadline::after(began, timeout);
    let is_in_time = deadline.bound(running.exited()).await.is_ok();
    ran.took_seconds = (deadline::now() - began).as_secs_f64();
    ran.end = match (is_in_time, running.fate()) {
        (true, Some(fate)) => fate,
        (true, None) => "ended".to_owned(),
        (false, _) => {
            format!("did not end within {timeout:?} and was killed with all that it started")
        }
    };
    ran.is_good = ran.end == "exited with 0";
    match (remains, is_in_time) {
        (Remains::Kept, true) => running.release(),
        // What it left behind goes with it, in time or not.
        _ => drop(running),
    }
    (ran.output, ran.omitted_bytes) = ear.told().await;
    ran
}

/// A command that runs; when this is dropped it is killed, and all that it started in its group.
struct Running(Option<Group>);

impl Running {
    async fn exited(&self) {
        if let Some(group) = &self.0 {
            group.exited().await;
        }
    }

    fn fate(&self) -> Option<String> {
        self.0.as_ref().and_then(Group::fate)
    }

    /// It has exited, and what it left behind is left alone.
    fn release(mut self) {
        self.0.take().into_iter().for_each(bury);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(group) = self.0.take() {
            group.signal(Signal::KILL);
            bury(group);
        }
    }
}

impl Ran {
    /// What it said last, cut to a decent length.
    pub fn said(&self) -> Option<String> {
        let last = self.output.last()?;
        Some(last.chars().take(LOGGED).collect())
    }
}

fn start(
    words: &[String],
    environment: Vec<(String, &str)>,
    mouth: OwnedFd,
) -> std::io::Result<Group> {
    let (program, arguments) = words
        .split_first()
        .ok_or(std::io::ErrorKind::InvalidInput)?;
    let mut it: Command = launched(Bond::Ours, &[], program, arguments.iter().cloned());
    it.envs(environment);
    it.stdout(mouth.try_clone()?).stderr(mouth);
    // The command goes, and our copies of the writing end with it.
    Group::start(&mut it)
}

/// One that is held in the kernel is waited for by nobody but this.
fn bury(group: Group) {
    tokio::spawn(async move {
        group.exited().await;
        let _ = group.reap();
    });
}
