//! What left the origin's process group and lost its parent: a daemon, a worker in a session of its own. Leeward takes
//! such orphans in, so that nothing the origin started outlives its generation.
//!
//! An orphan is told by descent and not by a mark: it is a child of ours that we did not start. A mark in its
//! environment could be lost (nginx writes its title over it, `sudo` and `env -i` drop it); its descent it can't leave.
//! The mark is on what may live on: what a hook of the operator's left behind.

use std::collections::BTreeSet;
use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Signal, WaitId, WaitIdOptions, getpgid, kill_process, set_child_subreaper};
use tokio::signal::unix::{SignalKind, signal};

use super::cgroup::Leaf;
use super::evidence::aside;
use super::pid::Pid;
use crate::config::fixed::KILLED;
use crate::ground::deadline::{self, Deadline};

/// One that was ended.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Orphan {
    /// Its number.
    pub pid: Pid,
    /// Its short name.
    pub comm: String,
}

/// What became of the orphans.
#[derive(Debug, Default)]
pub struct Cleared {
    /// These were killed and are gone.
    pub ended: Vec<Orphan>,
    /// These were killed and are still there: the kernel holds them, or they are another user's.
    pub left: Vec<Orphan>,
}

/// A child that we started, for as long as this is kept: no orphan.
#[derive(Debug)]
pub struct Started(Pid);

/// A generation that lives beside another, for as long as this is kept: what it starts is no orphan of the other's.
#[derive(Debug)]
pub struct Living(u64);

/// Those generations. It has the extent of [`STARTED`].
static LIVING: Mutex<BTreeSet<u64>> = Mutex::new(BTreeSet::new());

/// What we started. It has the extent of what it describes: the children of this process.
static STARTED: Mutex<BTreeSet<Pid>> = Mutex::new(BTreeSet::new());

/// Set for every hook, and so for all that it starts; see `hook/occasion`.
const HOOK: &str = "LEEWARD_ID=";
/// In the environment of a generation that may live beside another: its number.
pub const GENERATION: &str = "LEEWARD_GENERATION";
/// Between two looks whether a killed one is gone.
const AGAIN: Duration = Duration::from_millis(2);
/// For a look at an environment, which a process that is held in the kernel may hold up.
const LOOKING: Duration = Duration::from_millis(200);

/// From now on every orphan below us becomes a child of ours, and is reaped when it exits.
///
/// Must be called on the watch thread, on which children are started and reaped.
pub fn take_in() {
    if let Err(error) = set_child_subreaper(Some(rustix::process::getpid())) {
        tracing::warn!(%error, "a daemon that the origin leaves behind cannot be ended");
        return;
    }
    tokio::spawn(async {
        let Ok(mut exits) = signal(SignalKind::child()) else {
            return;
        };
        while exits.recv().await.is_some() {
            for pid in adopted() {
                is_reaped(pid);
            }
        }
    });
}

/// Stops every orphan of this generation's, until it is killed with the others.
///
/// Must be called on the watch thread.
pub async fn freeze(number: u64) {
    for pid in adopted() {
        if !is_reaped(pid) && !is_spared(pid, Some(number)).await {
            signalled(pid, Signal::STOP);
        }
    }
}

/// Kills every orphan that no hook left behind, and what becomes an orphan by that, until none is left; all that is
/// in the generation's control group first. Those of its process group were killed before and are only waited for.
///
/// Must be called on the watch thread, when the origin's first process was reaped.
pub async fn clear(group: Pid, leaf: Option<Leaf>) -> Cleared {
    let mut killed = BTreeSet::new();
    if let Some(leaf) = &leaf {
        killed.extend(leaf.members().into_iter().filter_map(|it| found(it, group)));
        leaf.kill();
    }
    let there = clear_adopted(group, &mut killed).await;
    if let Some(leaf) = leaf {
        leaf.remove().await;
    }
    let (left, ended) = killed.into_iter().partition(|it| there.contains(&it.pid));
    Cleared { ended, left }
}

/// Whether this generation has started something that went its own way, or may have. Reads environments, which may take as
/// long as the kernel holds a process.
pub fn has_strayed(number: u64) -> bool {
    adopted()
        .into_iter()
        .any(|pid| is_another_s(pid, Some(number)) != Some(true))
}

/// Returns those that are left.
async fn clear_adopted(group: Pid, killed: &mut BTreeSet<Orphan>) -> Vec<Pid> {
    let deadline = Deadline::within(KILLED);
    let (mut spared, mut done) = (BTreeSet::new(), BTreeSet::new());
    loop {
        let mut there = adopted();
        there.retain(|pid| !spared.contains(pid) && !is_reaped(*pid));
        done.retain(|pid| there.contains(pid));
        for pid in there.iter().copied() {
            if done.contains(&pid) {
                continue;
            }
            if is_spared(pid, None).await {
                spared.insert(pid);
                continue;
            }
            killed.extend(found(pid, group));
            // A child of ours keeps its number until we reap it.
            signalled(pid, Signal::KILL);
            done.insert(pid);
        }
        there.retain(|pid| !spared.contains(pid));
        if there.is_empty() || deadline.is_past(deadline::now()) {
            return there;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// `None`: it never left the process group.
fn found(pid: Pid, group: Pid) -> Option<Orphan> {
    let raw = pid.raw();
    let its = getpgid(raw).ok()?.as_raw_nonzero().get();
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    let comm = name.trim_end().to_owned();
    (its as u32 != group.number()).then_some(Orphan { pid, comm })
}

impl Living {
    /// Notes a generation that is about to be started.
    pub fn note(number: u64) -> Self {
        living(|all| all.insert(number));
        Self(number)
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        living(|all| all.remove(&self.0));
    }
}

impl Started {
    /// Notes a child that was just started.
    pub fn note(pid: Pid) -> Self {
        started(|all| all.insert(pid));
        Self(pid)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        started(|all| all.remove(&self.0));
    }
}

impl std::fmt::Display for Orphan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (process {})", self.comm, self.pid)
    }
}

impl Cleared {
    /// Tells what was ended, and what could not be.
    pub fn tell(&self) {
        for orphan in &self.ended {
            tracing::warn!(
                pid = %orphan.pid,
                comm = orphan.comm,
                "the origin left a process behind that had gone its own way; it was ended"
            );
        }
        for orphan in &self.left {
            tracing::error!(
                pid = %orphan.pid,
                comm = orphan.comm,
                "the origin left a process behind that does not end, though it was killed"
            );
        }
    }

    /// What was ended, in a few words.
    pub fn told(&self) -> Option<String> {
        let names: Vec<String> = self.ended.iter().take(3).map(Orphan::to_string).collect();
        (!names.is_empty()).then(|| names.join(", "))
    }
}

fn started<T>(act: impl FnOnce(&mut BTreeSet<Pid>) -> T) -> T {
    act(&mut STARTED.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Our children that we did not start. Without /proc, none is known.
fn adopted() -> Vec<Pid> {
    let Ok(threads) = fs::read_dir("/proc/self/task") else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for thread in threads.flatten() {
        let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        let children = children.split_ascii_whitespace();
        found.extend(children.filter_map(|number| Pid::new(number.parse().ok()?)));
    }
    started(|ours| found.retain(|pid| !ours.contains(pid)));
    found
}

/// By its number and never as "any child": that would take the exit of one that we started.
fn is_reaped(pid: Pid) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    pid.raw().is_none_or(|pid| {
        !matches!(
            rustix::process::waitid(WaitId::Pid(pid), options),
            Ok(None) | Err(rustix::io::Errno::INTR)
        )
    })
}

fn signalled(pid: Pid, signal: Signal) {
    let Some(raw) = pid.raw() else {
        return;
    };
    if let Err(error) = kill_process(raw, signal) {
        tracing::error!(%error, %pid, "cannot signal a process that the origin left behind");
    }
}

fn living<T>(act: impl FnOnce(&mut BTreeSet<u64>) -> T) -> T {
    act(&mut LIVING.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Whether it is another's or, while another generation lives, may be.
async fn is_spared(pid: Pid, this: Option<u64>) -> bool {
    let told = aside(LOOKING, move || is_another_s(pid, this)).await;
    let another_lives = || living(|all| all.iter().any(|it| Some(*it) != this));
    told.flatten().unwrap_or_else(another_lives)
}

/// A hook's, or a generation's that lives and is not this one; `None` where its environment may not be seen.
fn is_another_s(pid: Pid, this: Option<u64>) -> Option<bool> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let of_the_living = |variable: &[u8]| {
        let text = std::str::from_utf8(variable).ok()?;
        let number = text.strip_prefix(GENERATION)?.strip_prefix('=')?;
        let number = number.parse().ok()?;
        (Some(number) != this && living(|all| all.contains(&number))).then_some(())
    };
    let mut variables = environment.split(|byte| *byte == 0);
    let is_another_s = variables
        .any(|variable| variable.starts_with(HOOK.as_bytes()) || of_the_living(variable).is_some());
    Some(is_another_s)
}
