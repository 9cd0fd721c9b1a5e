//! A process group of ours: started through our own launcher, signalled as a whole, reaped last.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Signal, WaitId, WaitIdOptions, WaitIdStatus};
use tokio::sync::watch;

use super::orphans::Started;
use super::pid::Pid;

/// A process group of ours, its first member not yet reaped.
#[derive(Debug)]
pub struct Group {
    child: Child,
    pid: Pid,
    exit: watch::Receiver<()>,
    _started: Started,
}

/// The hidden command of our own binary through which children are started; see `cli/launch`.
const LAUNCH: &str = "launch";

/// Our own binary, whatever became of its file.
const LAUNCHER: &str = "/proc/self/exe";
/// What a child inherits of our environment.
const INHERITED: [&str; 7] = ["PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR"];

/// Whether a child ends with us, however we end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bond {
    /// It does.
    Ours,
    /// It goes on.
    Its,
}

/// A command that becomes `program` through our launcher, which takes `options`: its life is bound to ours as the `bond`
/// says, it inherits a small environment and no descriptor, and has nothing to read.
pub fn launched(
    bond: Bond,
    options: &[&str],
    program: &str,
    arguments: impl IntoIterator<Item = String>,
) -> Command {
    let mut it = Command::new(LAUNCHER);
    it.arg0("leeward").arg(LAUNCH);
    if bond == Bond::Ours {
        it.arg("--parent").arg(std::process::id().to_string());
    }
    it.args(options);
    it.arg("--").arg(program).args(arguments);
    it.env_clear();
    it.envs(INHERITED.iter().filter_map(|name| inherited(name)));
    it.process_group(0);
    it.stdin(Stdio::null());
    it
}

impl Group {
    /// Starts a command that was [`launched`].
    ///
    /// Must be called on the watch thread: the death signal is bound to the spawning thread.
    ///
    /// # Errors
    /// What the system said. That the program itself cannot be executed shows as an exit with 127.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        let mut child = command.spawn().map_err(explained)?;
        match adopt(&child) {
            Ok((pid, exit)) => Ok(Self {
                child,
                pid,
                exit,
                _started: Started::note(pid),
            }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// Ends it at once, where nothing was begun with it.
    pub fn discard(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Its number, which is that of its first process.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// The ends of its pipes, where it has pipes and nobody took them yet.
    pub fn pipes(&mut self) -> (Option<OwnedFd>, Option<OwnedFd>) {
        let (stdout, stderr) = (self.child.stdout.take(), self.child.stderr.take());
        (stdout.map(OwnedFd::from), stderr.map(OwnedFd::from))
    }

    /// Returns when its first process has exited. It is not reaped by this, so that its number stays its own.
    pub async fn exited(&self) {
        // The sender is dropped, never used, when the waiting thread is done.
        while self.exit.clone().changed().await.is_ok() {}
    }

    /// Whether its first process has exited, reaped or not.
    pub fn has_exited(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let raw = self.pid.number() as i32;
        match rustix::process::Pid::from_raw(raw) {
            Some(pid) => !matches!(rustix::process::waitid(WaitId::Pid(pid), options), Ok(None)),
            None => true,
        }
    }

    /// How its first process ended, in words, if it has exited; it is not reaped by this.
    pub fn fate(&self) -> Option<String> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let pid = self.pid.raw()?;
        obituary_of(rustix::process::waitid(WaitId::Pid(pid), options).ok()??)
    }

    /// Sends a signal to the whole group. That nobody is left to receive it is no error.
    pub fn signal(&self, signal: Signal) {
        let Some(group) = self.pid.raw() else {
            return;
        };
        match rustix::process::kill_process_group(group, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => tracing::error!(%error, pid = %self.pid, "cannot signal a process group"),
        }
    }

    /// Takes the exit status of a first process that has exited; its number may be another's from now on.
    ///
    /// # Errors
    /// What the system said; `WouldBlock` when it has not exited.
    pub fn reap(mut self) -> io::Result<ExitStatus> {
        self.child
            .try_wait()?
            .ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }
}

/// Whoever may not be started tells so by an exit with 127; what is missing here is the launcher.
fn explained(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::NotFound if !Path::new(LAUNCHER).exists() => io::Error::new(
            error.kind(),
            format!("{LAUNCHER} is missing, through which Leeward starts it: mount /proc"),
        ),
        _ => error,
    }
}

/// An obituary that begins so goes on with the number of a signal.
pub const SIGNALLED: &str = "was ended by signal ";

/// How a process ended, in words.
pub fn obituary(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(127), _) => "exited with 127, as a command that cannot be executed does".to_owned(),
        (Some(code), _) => format!("exited with {code}"),
        (None, Some(signal)) => {
            let core = if status.core_dumped() {
                ", core dumped"
            } else {
                ""
            };
            format!("{SIGNALLED}{signal}{core}")
        }
        (None, None) => "ended".to_owned(),
    }
}

/// The same of a process that was waited for by a system call.
pub fn obituary_of(status: WaitIdStatus) -> Option<String> {
    let raw = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code << 8,
        (None, Some(signal)) => signal,
        (None, None) => return None,
    };
    Some(obituary(ExitStatus::from_raw(raw)))
}

fn adopt(child: &Child) -> io::Result<(Pid, watch::Receiver<()>)> {
    let nobody = || io::Error::other("the system gave no process number");
    let pid = Pid::new(child.id()).ok_or_else(nobody)?;
    let raw = rustix::process::Pid::from_raw(child.id() as i32).ok_or_else(nobody)?;
    Ok((pid, await_exit(raw)?))
}

/// Waits on a thread of its own, which ends with the process. (A process descriptor in the reactor would
/// do without the thread, but tokio has no safe door for it.)
fn await_exit(pid: rustix::process::Pid) -> io::Result<watch::Receiver<()>> {
    const STACK: usize = 64 << 10;
    let (sender, receiver) = watch::channel(());
    let wait = move || {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while let Err(rustix::io::Errno::INTR) = rustix::process::waitid(WaitId::Pid(pid), options)
        {
        }
        drop(sender);
    };
    std::thread::Builder::new()
        .name("obituary".to_owned())
        .stack_size(STACK)
        .spawn(wait)?;
    Ok(receiver)
}

fn inherited(name: &str) -> Option<(String, OsString)> {
    Some((name.to_owned(), std::env::var_os(name)?))
}
