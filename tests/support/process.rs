//! A child process whose words are gathered, whose end can be awaited within bounds, and which never outlives its
//! test.

use std::io;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use super::family::Family;
use super::transcript::Transcript;

/// A running child; killed, by its id, when dropped, and all its descendants with it.
pub struct Running {
    child: Child,
    name: String,
    /// What it says on standard output.
    pub stdout: Transcript,
    /// What it says on standard error.
    pub stderr: Transcript,
}

impl Running {
    /// Starts `command` with nothing to read and both outputs gathered.
    pub fn start(command: &mut Command) -> Running {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("can't start {command:?}: {error}"));
        let stdout = Transcript::of(child.stdout.take().expect("standard output is piped"));
        let stderr = Transcript::of(child.stderr.take().expect("standard error is piped"));
        Running {
            child,
            name: format!("{command:?}"),
            stdout,
            stderr,
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line on standard output; panics with all it said when it does not come.
    pub fn expect_stdout(&self, part: &str, patience: Duration) -> String {
        let line = self.stdout.wait(part, patience);
        line.unwrap_or_else(|| panic!("no '{part}' within {patience:?} from {}", self.told()))
    }

    /// Sends a signal; a child that is gone already does not mind.
    pub fn signal(&mut self, signal: Signal) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = kill_process(pid_of(&self.child), signal);
        }
    }

    /// Waits until the kernel shows its first thread in this state (`T`: stopped). There is no event to wait for, so it
    /// looks often.
    pub fn wait_state(&self, state: char, patience: Duration) {
        let until = Instant::now() + patience;
        let path = format!("/proc/{}/stat", self.pid());
        while Instant::now() < until {
            let stat = std::fs::read_to_string(&path).unwrap_or_default();
            let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
            if after_name.starts_with(state) {
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
        panic!("not in state {state} within {patience:?}: {}", self.told());
    }

    /// Waits for its end. `None`: it still runs when `patience` ends.
    pub fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        wait_child(&mut self.child, patience)
            .unwrap_or_else(|error| panic!("can't wait for {}: {error}", self.name))
    }

    /// What it is and all that it said.
    pub fn told(&self) -> String {
        format!(
            "{} (pid {})\n--- stdout\n{}--- stderr\n{}---",
            self.name,
            self.pid(),
            self.stdout.text(),
            self.stderr.text()
        )
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Once it is reaped its id may be a stranger's.
        if matches!(self.child.try_wait(), Ok(None)) {
            let family = Family::of(self.pid());
            let _ = self.child.kill();
            family.kill();
        }
        let _ = wait_child(&mut self.child, Duration::from_secs(5));
    }
}

/// Waits for a child's end by its pidfd: woken by the event, not by a clock.
fn wait_child(child: &mut Child, patience: Duration) -> io::Result<Option<ExitStatus>> {
    let until = Instant::now() + patience;
    if let Some(status) = child.try_wait()? {
        return Ok(Some(status));
    }
    let pidfd = pidfd_open(pid_of(child), PidfdFlags::empty())?;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&timeout)) {
            Ok(_) => return child.try_wait(),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_child(child)
}
