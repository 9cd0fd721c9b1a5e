//! One process of the origin's: started in a group of its own, and listened to.

use std::io;
use std::process::Stdio;

use rustix::process::Signal;

use super::{Speaker, fill};
use crate::config::settings::{self, Socket};
use crate::ground::addr::OriginAddr;
use crate::origin::cgroup::Leaf;
use crate::origin::group::{Bond, Group, launched, obituary};
use crate::origin::held::HeldSocket;
use crate::origin::legacy::{self, Bequest, Record};
use crate::origin::output::{Output, Voice};
use crate::origin::{leftover, orphans};

/// The process group of a command that stays in the foreground, and what it says.
#[derive(Debug)]
pub struct Child {
    group: Group,
    output: Output,
    leaf: Option<Leaf>,
    /// What is left of it for the Leeward after us, where it is to outlive us.
    bequest: Option<Bequest>,
}

impl Child {
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
        speaker: Speaker,
    ) -> io::Result<Self> {
        let mut options: Vec<&str> = Vec::new();
        match command.socket {
            Socket::Own => {}
            Socket::Passed => options.extend(["--socket", "passed"]),
            Socket::Stdin => options.extend(["--socket", "stdin"]),
        }
        if limits.core {
            options.push("--core");
        }
        if let Some(path) = leaf.as_ref().and_then(|leaf| leaf.path().to_str()) {
            options.extend(["--cgroup", path]);
        }
        let arguments = command.arguments.iter().map(|text| fill(text, address));
        let is_kept = legacy::is_kept(command);
        let bond = if is_kept { Bond::Its } else { Bond::Ours };
        let mut it = launched(bond, &options, &command.program, arguments);
        for (name, text) in &command.environment {
            it.env(name, fill(text, address));
        }
        leftover::mark(&mut it);
        if let Some(held) = held {
            it.stdin(held.for_child()?);
        }
        if let Some(directory) = &command.directory {
            it.current_dir(directory);
        }
        it.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut group = Group::start(&mut it)?;
        let (stdout, stderr) = group.pipes();
        let voice = Voice {
            is_logged: speaker.is_logged,
            generation: speaker.generation,
            pid: group.pid(),
        };
        let cgroup = leaf.as_ref().map(|leaf| leaf.path().to_owned());
        let bequest = match (&stdout, &stderr) {
            (Some(stdout), Some(stderr)) if is_kept => {
                let (pid, number) = (group.pid(), speaker.generation);
                let record = Record::new(pid, number, address, command, cgroup);
                Bequest::leave(record, stdout, stderr).map(Some)
            }
            _ => Ok(None),
        };
        let listening = bequest.and_then(|it| Ok((it, Output::listen(stdout, stderr, voice)?)));
        match listening {
            Ok((bequest, output)) => Ok(Self {
                group,
                output,
                leaf,
                bequest,
            }),
            Err(error) => {
                group.discard();
                Err(error)
            }
        }
    }

    /// What is left of it for the Leeward after us.
    pub fn bequest(&mut self) -> Option<&mut Bequest> {
        self.bequest.as_mut()
    }

    /// Leaves it running, for the Leeward after us.
    pub fn outlive(self) {
        if let Some(bequest) = self.bequest {
            bequest.stay();
        }
    }

    /// The group, which is signalled and awaited as a whole.
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// The last lines it wrote.
    pub fn output(&self) -> &Output {
        &self.output
    }

    /// Where its control group is, if it has one.
    pub fn leaf(&self) -> Option<&Leaf> {
        self.leaf.as_ref()
    }

    /// Kills what is left of the group, reaps its first process, and says how that ended; what left the group is in the
    /// control group, or an orphan.
    pub fn end(self) -> (String, Option<Leaf>) {
        // Before the reaping: until then the group's number can't be another's.
        self.group.signal(Signal::KILL);
        let told = match self.group.reap() {
            Ok(status) => obituary(status),
            Err(error) => format!("ended, but cannot be reaped: {error}"),
        };
        (told, self.leaf)
    }

    /// The same, and ends all that it started.
    pub async fn bury(self) -> (String, orphans::Cleared) {
        let pid = self.group.pid();
        let (told, leaf) = self.end();
        tracing::info!(%pid, "origin {told}");
        (told, orphans::clear(pid, leaf).await)
    }
}
