//! One process of the origin's: started in a group of its own, and listened to.

use std::io;
use std::ops::Deref;
use std::process::{ExitStatus, Stdio};

use super::cgroup::Leaf;
use super::group::{Group, launched};
use super::held::HeldSocket;
use super::leftover;
use super::output::Output;
use crate::config::settings::{self, Socket};
use crate::ground::addr::OriginAddr;

/// The origin's process group, and what it says. It is signalled, awaited and reaped as its [`Group`].
#[derive(Debug)]
pub struct Process {
    group: Group,
    output: Output,
    leaf: Option<Leaf>,
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
        let mut it = launched(&options, &command.program, arguments);
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
        match Output::listen(stdout, stderr) {
            Ok(output) => Ok(Self {
                group,
                output,
                leaf,
            }),
            Err(error) => {
                group.discard();
                Err(error)
            }
        }
    }

    /// Its control group, which is whoever's takes it from now on.
    pub fn take_leaf(&mut self) -> Option<Leaf> {
        self.leaf.take()
    }

    /// The last lines it wrote.
    pub fn output(&self) -> &Output {
        &self.output
    }

    /// Takes the exit status of a process that has exited; its number may be another's from now on.
    ///
    /// # Errors
    /// What the system said; `WouldBlock` when it has not exited.
    pub fn reap(self) -> io::Result<ExitStatus> {
        self.group.reap()
    }
}

impl Deref for Process {
    type Target = Group;

    fn deref(&self) -> &Group {
        &self.group
    }
}

/// `text` with the origin's address in place of `{port}` and `{address}`.
pub fn fill(text: &str, address: &OriginAddr) -> String {
    let port = address.port().map(|port| port.to_string());
    text.replace("{port}", port.as_deref().unwrap_or(""))
        .replace("{address}", &address.to_string())
}
