//! One process of the origin's: started in a group of its own, listened to, signalled, reaped.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Signal, WaitId, WaitIdOptions};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::unix::pipe;
use tokio::sync::watch;

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

/// The last lines the origin wrote.
#[derive(Debug, Clone)]
pub struct Output {
    lines: Arc<Mutex<VecDeque<String>>>,
    /// Its senders are gone when both pipes have been read to their end.
    ended: watch::Receiver<()>,
}

/// The hidden command of our own binary through which the origin is started; see `cli/launch`.
pub const LAUNCH: &str = "launch";

const LINES: usize = 200;
const LINE_BYTES: usize = 2048;
const PIPE_BYTES: usize = 1 << 20;
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

impl Output {
    /// Returns when nothing more can come: the last writer is gone.
    pub async fn ended(&self) {
        while self.ended.clone().changed().await.is_ok() {}
    }

    /// The last `most` lines, the oldest first.
    pub fn last(&self, most: usize) -> Vec<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let skipped = lines.len().saturating_sub(most);
        lines.iter().skip(skipped).cloned().collect()
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
    let (listening, ended) = watch::channel(());
    let ear = Ear {
        lines: Arc::default(),
        _listening: Arc::new(listening),
    };
    let output = Output {
        lines: ear.lines.clone(),
        ended,
    };
    if let Some(pipe) = child.stdout.take() {
        tokio::spawn(ear.clone().listen(receiver(pipe.into())?, "stdout"));
    }
    if let Some(pipe) = child.stderr.take() {
        tokio::spawn(ear.listen(receiver(pipe.into())?, "stderr"));
    }
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

fn receiver(pipe: OwnedFd) -> io::Result<pipe::Receiver> {
    // A pipe we are slow to drain must not become the hang we watch for.
    let _ = rustix::pipe::fcntl_setpipe_size(&pipe, PIPE_BYTES);
    pipe::Receiver::from_owned_fd(pipe)
}

/// The listening side of [`Output`].
#[derive(Debug, Clone)]
struct Ear {
    lines: Arc<Mutex<VecDeque<String>>>,
    _listening: Arc<watch::Sender<()>>,
}

impl Ear {
    /// Drains one pipe until its last writer is gone; long lines are cut, the rest of them dropped.
    async fn listen(self, mut pipe: impl AsyncRead + Unpin, stream: &'static str) {
        let mut chunk = vec![0; 16 << 10];
        let mut line = Vec::new();
        loop {
            let read = match pipe.read(&mut chunk).await {
                Ok(0) | Err(_) => break,
                Ok(read) => read,
            };
            for byte in &chunk[..read] {
                match byte {
                    b'\n' => self.tell(std::mem::take(&mut line), stream),
                    _ if line.len() < LINE_BYTES => line.push(*byte),
                    _ => {}
                }
            }
        }
        if !line.is_empty() {
            self.tell(line, stream);
        }
    }

    fn tell(&self, line: Vec<u8>, stream: &'static str) {
        let line = String::from_utf8_lossy(&line);
        let line: String = line.trim_end().chars().map(printable).collect();
        tracing::info!(target: "origin", stream, "{line}");
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }
}

fn printable(c: char) -> char {
    if c.is_control() && c != '\t' {
        '\u{fffd}'
    } else {
        c
    }
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
