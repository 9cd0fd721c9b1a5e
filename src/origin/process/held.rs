//! A process that is held by a descriptor: whoever has its number later is never taken for it, nor signalled.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, PipeWriter};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, test_kill_process,
};
use tokio::sync::watch;

use crate::ground::deadline::{self, Deadline};
use crate::origin::evidence::aside;
use crate::origin::forensics::{parent, vital};
use crate::origin::group::obituary_of;
use crate::origin::orphans::Started;
use crate::origin::pid::Pid;

/// One that is looked at.
#[derive(Debug)]
pub struct Candidate {
    /// Its number.
    pub pid: Pid,
    /// Its short name.
    pub comm: String,
    /// When it started, in clock ticks since boot.
    pub born: u64,
    descriptor: OwnedFd,
}

/// One that is held: a process, whoever started it.
#[derive(Debug)]
pub struct Held {
    pid: Pid,
    descriptor: Arc<OwnedFd>,
    exit: watch::Receiver<()>,
    /// The waiting thread ends with this.
    _waited_for: PipeWriter,
    /// Where it may become a child of ours that only we reap.
    started: Option<Started>,
}

/// All that descended from a process at a time, each held.
#[derive(Debug, Default)]
pub struct Kin(Vec<(Pid, OwnedFd)>);

/// Whoever ends with its master does so within this.
const FOLLOWING: Duration = Duration::from_millis(500);
/// Between two looks at them.
const EACH: Duration = Duration::from_millis(20);
/// For a walk over all processes: some 2 ms for eighty of them.
const WALKING: Duration = Duration::from_millis(200);

impl Candidate {
    /// The process that has this number now; `None` where there is none, or one that has exited.
    ///
    /// # Errors
    /// What the system said.
    pub fn open(pid: Pid) -> io::Result<Option<Self>> {
        // Opened before the look: what is told of it is told of the one that is held.
        let opened = pid.raw().map(|raw| pidfd_open(raw, PidfdFlags::empty()));
        let descriptor = match opened {
            Some(Ok(descriptor)) => descriptor,
            None | Some(Err(Errno::SRCH)) => return Ok(None),
            Some(Err(error)) => return Err(error.into()),
        };
        let seen = vital(pid);
        if is_over(&descriptor) {
            return Ok(None);
        }
        Ok(Some(Self {
            pid,
            comm: seen.comm.known().cloned().unwrap_or_default(),
            born: seen.born.known().copied().unwrap_or(0),
            descriptor,
        }))
    }

    /// Takes hold of it.
    ///
    /// # Errors
    /// What the system said.
    pub fn hold(self) -> io::Result<Held> {
        let descriptor = Arc::new(self.descriptor);
        let (exit, waited_for) = await_exit(descriptor.clone())?;
        Ok(Held {
            pid: self.pid,
            descriptor,
            exit,
            _waited_for: waited_for,
            started: None,
        })
    }
}

impl Held {
    /// Keeps its exit for us, where it is or becomes a child of ours.
    ///
    /// Must be called on the watch thread, which reaps what is nobody's.
    pub fn keep(mut self) -> Self {
        self.started = Some(Started::note(self.pid));
        self
    }

    /// Its number.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Returns when it has exited.
    pub async fn exited(&self) {
        // The sender is dropped, never used, when the waiting thread is done.
        while self.exit.clone().changed().await.is_ok() {}
    }

    /// Whether it has exited, reaped or not.
    pub fn has_exited(&self) -> bool {
        is_over(&self.descriptor)
    }

    /// How it ended, in words, if it has and is a child of ours.
    pub fn fate(&self) -> Option<String> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let id = WaitId::PidFd(self.descriptor.as_fd());
        obituary_of(rustix::process::waitid(id, options).ok()??)
    }

    /// Takes its exit status, if it has exited and is a child of ours; says how it ended as far as that is known.
    pub fn reap(self) -> Option<String> {
        let told = self.fate();
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let _ = rustix::process::waitid(WaitId::PidFd(self.descriptor.as_fd()), options);
        told
    }

    /// Whether we may signal it, as far as that can be known.
    pub fn is_ours_to_signal(&self) -> bool {
        let raw = self.pid.raw();
        raw.is_some_and(|raw| test_kill_process(raw) != Err(Errno::PERM))
    }

    /// All that descend from it now.
    pub async fn kin(&self) -> Kin {
        let root = self.pid;
        let kin = aside(WALKING, move || family(root)).await;
        Kin(kin.unwrap_or_default())
    }

    /// Signals it, then all that descend from it. What has exited does not mind.
    pub async fn signal(&self, signal: Signal) {
        let root = self.pid;
        let others = aside(WALKING, move || family(root)).await;
        send(self.pid, &self.descriptor, signal);
        for (pid, descriptor) in others.unwrap_or_default() {
            send(pid, &descriptor, signal);
        }
    }
}

impl Kin {
    /// Ends those that do not end by themselves soon after their master.
    pub async fn end(self) {
        let deadline = Deadline::within(FOLLOWING);
        let are_over = || self.0.iter().all(|(_, held)| is_over(held));
        while !are_over() && !deadline.is_past(deadline::now()) {
            tokio::time::sleep(EACH).await;
        }
        for (pid, held) in self.0.iter().filter(|(_, held)| !is_over(held)) {
            tracing::warn!(%pid, "a process of the origin's outlives its main process; KILL");
            send(*pid, held, Signal::KILL);
        }
    }
}

fn send(pid: Pid, to: &OwnedFd, signal: Signal) {
    match pidfd_send_signal(to, signal) {
        Ok(()) | Err(Errno::SRCH) => {}
        Err(error) => tracing::error!(%error, %pid, "cannot signal a process of the origin's"),
    }
}

fn is_over(process: &OwnedFd) -> bool {
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let mut asked = [PollFd::new(process, PollFlags::IN)];
    // Without an answer, nobody is taken for dead.
    poll(&mut asked, Some(&now)).is_ok_and(|ready| ready > 0)
}

/// All that descend from a process, each held before it was looked at.
fn family(root: Pid) -> Vec<(Pid, OwnedFd)> {
    let all: Vec<(Pid, Pid)> = numbers().filter_map(|it| Some((it, parent(it)?))).collect();
    let mut within = BTreeSet::from([root]);
    loop {
        let before = within.len();
        let below = all.iter().filter(|(_, parent)| within.contains(parent));
        let below: Vec<Pid> = below.map(|(pid, _)| *pid).collect();
        within.extend(below);
        if within.len() == before {
            break;
        }
    }
    let held = |pid: &Pid| {
        let descriptor = pidfd_open(pid.raw()?, PidfdFlags::empty()).ok()?;
        within
            .contains(&parent(*pid)?)
            .then_some((*pid, descriptor))
    };
    let others = within.iter().filter(|pid| **pid != root);
    others.filter_map(held).collect()
}

fn numbers() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Pid::new(entry.file_name().to_str()?.parse().ok()?))
}

/// Waits on a thread of its own, which ends with the process or when the returned end of a pipe is dropped.
fn await_exit(process: Arc<OwnedFd>) -> io::Result<(watch::Receiver<()>, PipeWriter)> {
    const STACK: usize = 64 << 10;
    let (sender, receiver) = watch::channel(());
    let (reader, writer) = io::pipe()?;
    let wait = move || {
        let mut asked = [
            PollFd::new(&*process, PollFlags::IN),
            PollFd::new(&reader, PollFlags::IN),
        ];
        while let Err(Errno::INTR) = poll(&mut asked, None) {}
        drop(sender);
    };
    std::thread::Builder::new()
        .name("obituary".to_owned())
        .stack_size(STACK)
        .spawn(wait)?;
    Ok((receiver, writer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn sleeper() -> std::process::Child {
        let mut it = Command::new("sleep");
        it.arg("600").spawn().expect("sleep")
    }

    #[test]
    fn whoever_has_exited_is_not_taken_hold_of() {
        let mut child = sleeper();
        let pid = Pid::new(child.id()).expect("a number");
        let opened = |pid| Candidate::open(pid).expect("the system lets us");
        let candidate = opened(pid).expect("it is there");
        assert_eq!((candidate.pid, candidate.born > 0), (pid, true));
        let held = candidate.hold().expect("a thread");
        assert!(!held.has_exited());
        child.kill().expect("it is ours");
        // Not reaped: its number is still its own.
        let until = std::time::Instant::now() + Duration::from_secs(10);
        while !held.has_exited() {
            assert!(std::time::Instant::now() < until, "it lives on");
        }
        assert_eq!(held.fate().as_deref(), Some("was ended by signal 9"));
        assert!(opened(pid).is_none(), "a zombie");
        child.wait().expect("it is ours");
        assert_eq!(held.reap(), None, "reaped by somebody else");
    }

    #[test]
    fn a_family_is_all_that_descend() {
        let own = Pid::own().expect("a number");
        let mut child = sleeper();
        let pid = Pid::new(child.id());
        let members = family(own);
        assert!(members.iter().any(|(it, _)| Some(*it) == pid));
        assert!(members.iter().all(|(it, _)| *it != own));
        child.kill().expect("it is ours");
        child.wait().expect("it is ours");
    }
}
