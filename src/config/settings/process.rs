//! `[origin.process]`: who starts the origin, and how it is started again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::Bundled;

/// Who starts the origin.
#[derive(Debug, Clone, PartialEq)]
pub enum Process {
    /// Leeward starts the origin that is bundled with it.
    Bundled(Bundled),
    /// Leeward starts this, and it stays in the foreground.
    Command(Command),
    /// Leeward starts this, and it makes itself a daemon.
    Daemon(Daemon),
    /// systemd starts this service; Leeward acts on it by `systemctl`.
    Unit(String),
    /// Somebody else starts it; Leeward acts on it by signals and by commands of the operator's.
    Hooked(Hooked),
    /// Somebody else; Leeward forwards, probes and tells, and never acts.
    Observed,
}

/// A command to start.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// The program.
    pub program: String,
    /// Its arguments. `{port}` and `{address}` stand for the origin's.
    pub arguments: Vec<String>,
    /// Where it runs; `None` is where Leeward runs.
    pub directory: Option<PathBuf>,
    /// Set on top of a small clean environment.
    pub environment: BTreeMap<String, String>,
    /// Who opens the socket it listens on.
    pub socket: Socket,
    /// What becomes of it when Leeward ends.
    pub on_exit: OnExit,
}

/// What becomes of the origin when Leeward ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnExit {
    /// It ends with it, however that ends.
    #[default]
    End,
    /// It goes on, and the Leeward after that takes it over, where systemd keeps what that needs.
    Keep,
}

/// Who opens the socket the origin listens on, and how the origin gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Socket {
    /// The origin.
    #[default]
    Own,
    /// Leeward; passed as descriptor 3, as systemd does it (sd_listen_fds(3)).
    Passed,
    /// Leeward; passed as standard input, as inetd does it for `wait`.
    Stdin,
}

/// A command that leaves a daemon behind, and exits with 0.
#[derive(Debug, Clone, PartialEq)]
pub struct Daemon {
    /// The command.
    pub command: Command,
    /// Where the daemon writes its number; `None`: it is the one that listens.
    pub pid_file: Option<PathBuf>,
}

/// What somebody else starts, and how Leeward starts and ends it all the same. Empty commands are none.
#[derive(Debug, Clone, PartialEq)]
pub struct Hooked {
    /// Where it writes its number; `None`: it is the one that listens.
    pub pid_file: Option<PathBuf>,
    /// Starts it.
    pub start: Vec<String>,
    /// Ends it.
    pub stop: Vec<String>,
    /// Ends it if it is there, and starts it.
    pub restart: Vec<String>,
    /// Each of them may take this long.
    pub timeout: Duration,
}

impl Process {
    /// The command Leeward starts itself, if it does.
    pub fn command(&self) -> Option<&Command> {
        match self {
            Self::Command(command) | Self::Daemon(Daemon { command, .. }) => Some(command),
            _ => None,
        }
    }

    /// Whether somebody else starts it and Leeward may act on it.
    pub fn is_foreign(&self) -> bool {
        matches!(self, Self::Unit(_) | Self::Hooked(_))
    }
}

impl Hooked {
    /// What brings it up: `start`, or `restart` where there is no other; empty is nothing.
    pub fn up(&self) -> &[String] {
        match self.start.is_empty() {
            false => &self.start,
            true => &self.restart,
        }
    }
}
