//! The process of the origin, whoever keeps it: the supervisor asks all kinds the same, and each answers as it can.

mod adopted;
mod child;
mod daemon;
mod foreign;
mod held;
mod hooked;
mod keeper;
mod pid_file;
mod unit;

use std::io;
use std::sync::Arc;

use rustix::process::Signal;

use super::cgroup::Leaf;
use super::held::HeldSocket;
use super::legacy::{Bequest, Legacy};
use super::orphans::Cleared;
use super::pid::Pid;
use super::senses::listening;
use super::stop::Ladder;
use crate::config::settings;
use crate::ground::addr::OriginAddr;

use adopted::Adopted;
use child::Child;
use daemon::Daemon;
use foreign::Foreign;

pub use keeper::Keeper;
pub use unit::{Wanted, is_being_restarted};

/// The process of one generation, from its start to its burial.
#[derive(Debug)]
pub enum Process {
    /// A command of ours, which stays in the foreground.
    Child(Child),
    /// The same, of a Leeward before us.
    Adopted(Adopted),
    /// A command of ours, which makes itself a daemon.
    Daemon(Daemon),
    /// Somebody else's.
    Foreign(Foreign),
}

/// Whose output it is that is listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speaker {
    /// Its generation.
    pub generation: u64,
    /// Whether its lines go into the log.
    pub is_logged: bool,
}

/// What became of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is known which one it is, or why it cannot be seen.
    Known,
    /// It was there already, and can be seen now.
    Seen,
    /// It is not there, and is not to be started; [`Process::trouble`] says why.
    Rests,
    /// It has ended, or never came.
    Exited,
    /// Whoever keeps it has ended it because somebody wanted that.
    Ended,
}

impl Process {
    /// Starts a command in this control group, with the origin's address in place of `{port}` and `{address}`, and with the
    /// listening socket, if we hold it; with a `daemon`, it is to leave that behind.
    ///
    /// Must be called on the watch thread: the death signal is bound to the spawning thread.
    ///
    /// # Errors
    /// What the system said. That the program itself cannot be executed shows as an exit with 127.
    pub fn spawn(
        command: &settings::Command,
        daemon: Option<&settings::Daemon>,
        address: &OriginAddr,
        limits: &settings::Restart,
        leaf: Option<Leaf>,
        held: Option<&HeldSocket>,
        speaker: Speaker,
    ) -> io::Result<Self> {
        let child = Child::spawn(command, address, limits, leaf, held, speaker)?;
        Ok(match daemon {
            None => Self::Child(child),
            Some(daemon) => {
                let (file, at) = (daemon.pid_file.clone(), listening(address));
                Self::Daemon(Daemon::new(child, file, at, limits.startup))
            }
        })
    }

    /// Looks for what somebody else starts, and has it started where that is `wanted`.
    ///
    /// Must be called on the watch thread: what is run is spawned there.
    pub fn seek(keeper: Arc<Keeper>, wanted: Wanted, limits: &settings::Restart) -> Self {
        Self::Foreign(Foreign::seek(keeper, wanted, limits.startup))
    }

    /// Takes over what a Leeward before us left; `None` where it is no more.
    ///
    /// # Errors
    /// What the system said.
    pub fn inherit(legacy: Legacy, is_logged: bool) -> io::Result<Option<Self>> {
        Ok(Adopted::take(legacy, is_logged)?.map(Self::Adopted))
    }

    /// What is left of it for the Leeward after us, where it is to outlive us.
    pub fn bequest(&mut self) -> Option<&mut Bequest> {
        match self {
            Self::Child(child) => child.bequest(),
            Self::Adopted(adopted) => Some(adopted.bequest()),
            Self::Daemon(_) | Self::Foreign(_) => None,
        }
    }

    /// Leaves it running, for the Leeward after us, where it has a [`Process::bequest`].
    pub fn outlive(self) {
        match self {
            Self::Child(child) => child.outlive(),
            Self::Adopted(adopted) => adopted.outlive(),
            Self::Daemon(_) | Self::Foreign(_) => {}
        }
    }

    /// Returns with the next thing that becomes of it. Nothing is lost when this is dropped and called again.
    pub async fn changed(&mut self) -> Change {
        match self {
            Self::Child(child) => {
                child.group().exited().await;
                Change::Exited
            }
            Self::Adopted(adopted) => {
                adopted.held().exited().await;
                Change::Exited
            }
            Self::Daemon(daemon) => daemon.changed().await,
            Self::Foreign(foreign) => foreign.changed().await,
        }
    }

    /// Its number; `None` while that is not known.
    pub fn pid(&self) -> Option<Pid> {
        match self {
            Self::Child(child) => Some(child.group().pid()),
            Self::Adopted(adopted) => Some(adopted.held().pid()),
            Self::Daemon(daemon) => Some(daemon.pid()),
            Self::Foreign(foreign) => foreign.pid(),
        }
    }

    /// Whether it is known who serves, so that what is heard is of this one.
    pub fn is_known(&self) -> bool {
        match self {
            Self::Child(_) | Self::Adopted(_) => true,
            Self::Daemon(daemon) => daemon.is_known(),
            Self::Foreign(foreign) => foreign.is_known(),
        }
    }

    /// Whether it is somebody else's, and outlives us.
    pub fn is_foreign(&self) -> bool {
        matches!(self, Self::Foreign(_))
    }

    /// Whether somebody stopped it on purpose, for nobody knows how long.
    pub fn was_stopped(&self) -> bool {
        match self {
            Self::Child(_) | Self::Adopted(_) | Self::Daemon(_) => false,
            Self::Foreign(foreign) => foreign.was_stopped(),
        }
    }

    /// Why it is not there, or cannot be seen.
    pub fn trouble(&self) -> Option<&str> {
        match self {
            Self::Child(_) | Self::Adopted(_) | Self::Daemon(_) => None,
            Self::Foreign(foreign) => foreign.trouble(),
        }
    }

    /// Returns when it has exited. Its number stays its own until it is buried.
    pub async fn exited(&self) {
        match self {
            Self::Child(child) => child.group().exited().await,
            Self::Adopted(adopted) => adopted.held().exited().await,
            Self::Daemon(daemon) => daemon.exited().await,
            Self::Foreign(foreign) => foreign.exited().await,
        }
    }

    /// Whether it has exited, reaped or not.
    pub fn has_exited(&self) -> bool {
        match self {
            Self::Child(child) => child.group().has_exited(),
            Self::Adopted(adopted) => adopted.held().has_exited(),
            Self::Daemon(daemon) => daemon.has_exited(),
            Self::Foreign(foreign) => foreign.has_exited(),
        }
    }

    /// How it ended, in words, if it has and that can be known.
    pub fn fate(&self) -> Option<String> {
        match self {
            Self::Child(child) => child.group().fate(),
            Self::Adopted(adopted) => adopted.fate(),
            Self::Daemon(daemon) => daemon.fate(),
            Self::Foreign(foreign) => foreign.fate(),
        }
    }

    /// Sends a signal to it and to all that goes with it. That nobody is left to receive it is no error.
    pub async fn signal(&self, signal: Signal) {
        match self {
            Self::Child(child) => child.group().signal(signal),
            Self::Adopted(adopted) => adopted.signal(signal).await,
            Self::Daemon(daemon) => daemon.signal(signal).await,
            Self::Foreign(foreign) => foreign.signal(signal).await,
        }
    }

    /// Whether a command of the operator's has ended it; where there is none, signals are to.
    pub async fn is_ended_by_hook(&self, ladder: Ladder) -> bool {
        match self {
            Self::Child(_) | Self::Adopted(_) | Self::Daemon(_) => false,
            Self::Foreign(foreign) => foreign.is_ended_by_hook(ladder).await,
        }
    }

    /// Whether a signal of ours reaches it, as far as that is known, so that it can be frozen.
    pub fn is_ours_to_freeze(&self) -> bool {
        match self {
            Self::Child(_) | Self::Adopted(_) | Self::Daemon(_) => true,
            Self::Foreign(foreign) => foreign.is_ours_to_freeze(),
        }
    }

    /// Where it is there and can be ended neither by a signal of ours nor by a command of the operator's, as far as that is
    /// known: what can be done for that, in words.
    pub fn out_of_reach(&self) -> Option<String> {
        match self {
            Self::Child(_) | Self::Adopted(_) | Self::Daemon(_) => None,
            Self::Foreign(foreign) => foreign.out_of_reach(),
        }
    }

    /// The same, found out by a signal that changes nothing; it wakes one that is stopped.
    pub async fn asked_out_of_reach(&self) -> Option<String> {
        match self {
            Self::Child(_) | Self::Adopted(_) | Self::Daemon(_) => None,
            Self::Foreign(foreign) => foreign.asked_out_of_reach().await,
        }
    }

    /// Whether somebody else is about to end it.
    pub async fn is_being_ended(&self) -> bool {
        match self {
            Self::Child(_) | Self::Adopted(_) | Self::Daemon(_) => false,
            Self::Foreign(foreign) => foreign.is_being_ended().await,
        }
    }

    /// The last lines it wrote, the oldest first, where it writes them to us.
    pub fn last_lines(&self, most: usize) -> Vec<String> {
        match self {
            Self::Child(child) => child.output().last(most),
            Self::Adopted(adopted) => adopted.output().last(most),
            Self::Daemon(daemon) => daemon.output().last(most),
            Self::Foreign(_) => Vec::new(),
        }
    }

    /// Returns when it can write no more lines.
    pub async fn last_words(&self) {
        match self {
            Self::Child(child) => child.output().ended().await,
            Self::Adopted(adopted) => adopted.output().ended().await,
            Self::Daemon(daemon) => daemon.output().ended().await,
            Self::Foreign(_) => {}
        }
    }

    /// Clears away what is left of it, unless it is somebody else's; says how it ended, and what it had left behind.
    pub async fn bury(self) -> (String, Cleared) {
        match self {
            Self::Child(child) => child.bury().await,
            Self::Adopted(adopted) => adopted.bury().await,
            Self::Daemon(daemon) => daemon.bury().await,
            Self::Foreign(foreign) => (foreign.bury().await, Cleared::default()),
        }
    }
}

/// `text` with the origin's address in place of `{port}` and `{address}`.
pub fn fill(text: &str, address: &OriginAddr) -> String {
    let port = address.port().map(|port| port.to_string());
    text.replace("{port}", port.as_deref().unwrap_or(""))
        .replace("{address}", &address.to_string())
}
