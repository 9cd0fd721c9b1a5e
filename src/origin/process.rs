//! One process of the origin's: started in a group of its own, listened to, signalled, reaped.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Signal, WaitId, WaitIdOptions};
use tokio::sync::watch;

use super::output::Output;
use super::pid::Pid;
use crate::config::settings;
use crate::ground::addr::OriginAddr;

/// A process group of ours, its first member not yet reaped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    pid: Pid,
    exit: watch::Receiver<()>,
    output: Output,
}

/// The hidden command of our own binary through which the origin is started; see `cli/launch`.
const LAUNCH: &str = "launch";

/// What the origin inherits of our environment; all else is set by the configuration.
const INHERITED: [&str; 7] = ["PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR"];

impl Process {
    /// Starts `command`, with the origin's address in place of `{port}` and `{address}`.
    ///
    /// Must be called on the watch thread: the death signal is bound to the spawning thread.
    ///
    /// # Errors
    /// What the system said. That the program itself cannot be executed shows as an exit with 127.
    pub fn spawn(command: &settings::Command, address: &OriginAddr) -> io::Result<Self> {
        let mut it = Command::new("/proc/self/exe");
        it.arg0("leeward").arg(LAUNCH);
        it.arg("--parent").arg(std::process::id().to_string());
        it.arg("--");
        it.arg(&command.program);
        it.args(command.arguments.iter().map(|text| fill(text, address)));
        it.env_clear();
        it.envs(INHERITED.iter().filter_map(|name| inherited(name)));
        for (name, text) in &command.environment {
            it.env(name, fill(text, address));
        }
        if let Some(directory) = &command.directory {
            it.current_dir(directory);
        }
        it.process_group(0);
        it.stdin(Stdio::null());
        it.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = it.spawn()?;
        let adopted = adopt(&mut child);
        if adopted.is_err() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let (pid, exit, output) = adopted?;
        Ok(Self {
            child,
            pid,
            exit,
            output,
        })
    }

    /// Its number, which is also its group's.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// The last lines it wrote.
    pub fn output(&self) -> &Output {
        &self.output
    }

    /// Returns when the process has exited. It is not reaped by this, so that its number stays its own.
    pub async fn exited(&self) {
        // The sender is dropped, never used, when the waiting thread is done.
        while self.exit.clone().changed().await.is_ok() {}
    }

    /// Whether the process has exited, reaped or not.
    pub fn has_exited(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let raw = self.pid.number() as i32;
        match rustix::process::Pid::from_raw(raw) {
            Some(pid) => !matches!(rustix::process::waitid(WaitId::Pid(pid), options), Ok(None)),
            None => true,
        }
    }

    /// How it ended, in words, if it has exited; it is not reaped by this.
    pub fn fate(&self) -> Option<String> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let pid = rustix::process::Pid::from_raw(self.pid.number() as i32)?;
        let status = rustix::process::waitid(WaitId::Pid(pid), options).ok()??;
        let raw = match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => code << 8,
            (None, Some(signal)) => signal,
            (None, None) => return None,
        };
        Some(obituary(ExitStatus::from_raw(raw)))
    }

    /// Sends a signal to the whole group. That nobody is left to receive it is no error.
    pub fn signal(&self, signal: Signal) {
        let Some(group) = rustix::process::Pid::from_raw(self.pid.number() as i32) else {
            return;
        };
        match rustix::process::kill_process_group(group, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => {
                tracing::error!(%error, pid = %self.pid, "cannot signal the origin's group")
            }
        }
    }

    /// Takes the exit status of a process that has exited; its number may be another's from now on.
    ///
    /// # Errors
    /// What the system said; `WouldBlock` when it has not exited.
    pub fn reap(mut self) -> io::Result<ExitStatus> {
        self.child
            .try_wait()?
            .ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }
}

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
            format!("was ended by signal {signal}{core}")
        }
        (None, None) => "ended".to_owned(),
    }
}

fn adopt(child: &mut Child) -> io::Result<(Pid, watch::Receiver<()>, Output)> {
    let nobody = || io::Error::other("the system gave no process number");
    let pid = Pid::new(child.id()).ok_or_else(nobody)?;
    let raw = rustix::process::Pid::from_raw(child.id() as i32).ok_or_else(nobody)?;
    let exit = await_exit(raw)?;
    let output = Output::listen(child.stdout.take(), child.stderr.take())?;
    Ok((pid, exit, output))
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

/// `text` with the origin's address in place of `{port}` and `{address}`.
pub fn fill(text: &str, address: &OriginAddr) -> String {
    let port = address.port().map(|port| port.to_string());
    text.replace("{port}", port.as_deref().unwrap_or(""))
        .replace("{address}", &address.to_string())
}

fn inherited(name: &str) -> Option<(String, OsString)> {
    Some((name.to_owned(), std::env::var_os(name)?))
}
