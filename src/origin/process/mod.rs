//! The process of the origin, whoever keeps it: the supervisor asks all kinds the same, and each answers as it can.

mod child;

use std::io;

use rustix::process::Signal;

use super::cgroup::Leaf;
use super::held::HeldSocket;
use super::orphans::Cleared;
use super::pid::Pid;
use crate::config::settings;
use crate::ground::addr::OriginAddr;

use child::Child;

/// The process of one generation, from its start to its burial.
#[derive(Debug)]
pub enum Process {
    /// A command of ours, which stays in the foreground.
    Child(Child),
}

/// What became of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It has ended.
    Exited,
}

impl Process {
    /// Starts `command` in this control group, with the origin's address in place of `{port}` and `{address}`, and with the
    /// listening socket, if we hold it.
    ///
    /// Must be called on the watch thread: the death signal is bound to the spawning thread.
    ///
    /// # Errors
    /// What the system said. That the program itself cannot be executed shows as an exit with 127.
    pub fn spawn(
        command: &settings::Command,
        address: &OriginAddr,
        limits: &settings::Restart,
        leaf: Option<Leaf>,
        held: Option<&HeldSocket>,
    ) -> io::Result<Self> {
        Child::spawn(command, address, limits, leaf, held).map(Self::Child)
    }

    /// Returns with the next thing that becomes of it. Nothing is lost when this is dropped and called again.
    pub async fn changed(&mut self) -> Change {
        match self {
            Self::Child(child) => child.group().exited().await,
        }
        Change::Exited
    }

    /// Its number; `None` while that is not known.
    pub fn pid(&self) -> Option<Pid> {
        match self {
            Self::Child(child) => Some(child.group().pid()),
        }
    }

    /// Returns when it has exited. Its number stays its own until it is buried.
    pub async fn exited(&self) {
        match self {
            Self::Child(child) => child.group().exited().await,
        }
    }

    /// Whether it has exited, reaped or not.
    pub fn has_exited(&self) -> bool {
        match self {
            Self::Child(child) => child.group().has_exited(),
        }
    }

    /// How it ended, in words, if it has and that can be known.
    pub fn fate(&self) -> Option<String> {
        match self {
            Self::Child(child) => child.group().fate(),
        }
    }

    /// Sends a signal to it and to all that goes with it. That nobody is left to receive it is no error.
    pub async fn signal(&self, signal: Signal) {
        match self {
            Self::Child(child) => child.group().signal(signal),
        }
    }

    /// The last lines it wrote, the oldest first, where it writes them to us.
    pub fn last_lines(&self, most: usize) -> Vec<String> {
        match self {
            Self::Child(child) => child.output().last(most),
        }
    }

    /// Returns when it can write no more lines.
    pub async fn last_words(&self) {
        match self {
            Self::Child(child) => child.output().ended().await,
        }
    }

    /// Clears away what is left of it; says how it ended, and what it had left behind.
    pub async fn bury(self) -> (String, Cleared) {
        match self {
            Self::Child(child) => child.bury().await,
        }
    }
}

/// `text` with the origin's address in place of `{port}` and `{address}`.
pub fn fill(text: &str, address: &OriginAddr) -> String {
    let port = address.port().map(|port| port.to_string());
    text.replace("{port}", port.as_deref().unwrap_or(""))
        .replace("{address}", &address.to_string())
}
