//! An origin that outlives Leeward (`origin.process.on_exit = "keep"`). What the next Leeward needs to take it over is kept
//! by systemd (`FDSTORE=1`, sd_notify(3)) from its start on, so that it outlives a crash of ours as well: a record in memory,
//! the ends of its pipes, and its listening socket where we hold it.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, memfd_create};
use serde::{Deserialize, Serialize};

use super::forensics::vital;
use super::pid::Pid;
use crate::config::settings::{Command, OnExit, Socket};
use crate::ground::addr::OriginAddr;
use crate::ground::deadline;
use crate::ground::systemd::Notifier;

/// What the Leeward before us left.
#[derive(Debug)]
pub struct Legacy {
    pub(super) record: Record,
    file: File,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    socket: Option<OwnedFd>,
}

/// What is left for the Leeward after us. Taken back when this is dropped.
#[derive(Debug)]
pub(super) struct Bequest {
    record: Record,
    file: File,
}

/// What there is to know of a process that somebody else started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Whoever knows another form does not take it over.
    form: u32,
    /// Its number, and when it began by the kernel's count: together they are nobody else's.
    pub(super) pid: Pid,
    pub(super) born: u64,
    pub(super) generation: u64,
    pub(super) address: String,
    pub(super) cgroup: Option<PathBuf>,
    /// What was started, all that it depends on.
    command: String,
    /// Microseconds of the monotonic clock, which is the same for all processes until the next boot.
    started: u64,
    /// How long its start took, and how much it was found to do at once, when that was known.
    pub(super) took: Option<Duration>,
    pub(super) slots: Option<usize>,
}

/// The form of [`Record`].
const FORM: u32 = 1;
/// What systemd keeps it as. Names that begin so are the origin's.
const PREFIX: &str = "origin-";
const RECORD: &str = "origin-record";
const STDOUT: &str = "origin-stdout";
const STDERR: &str = "origin-stderr";
const SOCKET: &str = "origin-socket";

/// Whether a descriptor of this name belongs to the origin.
pub fn is_part(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// Whether what this starts is to outlive us, and can: there is somebody to keep what that takes.
pub(super) fn is_kept(command: &Command) -> bool {
    command.on_exit == OnExit::Keep && Notifier::is_heard()
}

/// Has systemd keep the socket that is passed to the origin.
pub(super) fn keep_socket(socket: &OwnedFd) {
    let notifier = Notifier::from_environment();
    notifier.let_go(SOCKET);
    notifier.keep(SOCKET, &[socket.as_fd()]);
}

impl Legacy {
    /// What is in these descriptors; `None` where there is no record, or none that can be read.
    pub fn of(passed: Vec<(String, OwnedFd)>) -> Option<Self> {
        let (mut record, mut stdout, mut stderr, mut socket) = (None, None, None, None);
        for (name, descriptor) in passed {
            match &*name {
                RECORD => record = Some(File::from(descriptor)),
                STDOUT => stdout = Some(descriptor),
                STDERR => stderr = Some(descriptor),
                SOCKET => socket = Some(descriptor),
                _ => {}
            }
        }
        let mut file = record?;
        match read(&mut file) {
            Ok(record) => Some(Self {
                record,
                file,
                stdout,
                stderr,
                socket,
            }),
            Err(error) => {
                tracing::warn!(%error, "what the Leeward before this one left of its origin cannot be read");
                None
            }
        }
    }

    /// Where it listens, if it is what this command would start at an address like this one.
    pub fn address(&self, wanted: &OriginAddr, command: Option<&Command>) -> Option<OriginAddr> {
        let at: OriginAddr = self.record.address.parse().ok()?;
        let is_like = match (&at, wanted) {
            (OriginAddr::Tcp(at), OriginAddr::Tcp(wanted)) => {
                at.ip() == wanted.ip() && [0, at.port()].contains(&wanted.port())
            }
            (at, wanted) => at == wanted,
        };
        let is_same =
            command.is_some_and(|it| it.on_exit == OnExit::Keep && told(it) == self.record.command);
        (is_like && is_same).then_some(at)
    }

    /// The socket that it was passed, if it was passed one.
    pub fn take_socket(&mut self) -> Option<OwnedFd> {
        self.socket.take()
    }

    /// The ends of its pipes that are read from, standard output first.
    pub(super) fn take_pipes(&mut self) -> (Option<OwnedFd>, Option<OwnedFd>) {
        (self.stdout.take(), self.stderr.take())
    }

    /// The same for the Leeward after us.
    pub(super) fn pass_on(self) -> Bequest {
        Bequest {
            record: self.record,
            file: self.file,
        }
    }
}

impl Record {
    /// Of a process that was started just now.
    pub(super) fn new(
        pid: Pid,
        generation: u64,
        address: &OriginAddr,
        command: &Command,
        cgroup: Option<PathBuf>,
    ) -> Self {
        Self {
            form: FORM,
            pid,
            born: vital(pid).born.known().copied().unwrap_or(0),
            generation,
            address: address.to_string(),
            cgroup,
            command: told(command),
            started: micros(),
            took: None,
            slots: None,
        }
    }

    /// When it was started, by the clock of this process.
    pub(super) fn started(&self) -> Instant {
        let age = Duration::from_micros(micros().saturating_sub(self.started));
        let now = deadline::now();
        now.checked_sub(age).unwrap_or(now)
    }
}

impl Bequest {
    /// Has systemd keep what is needed of this process.
    ///
    /// # Errors
    /// What the system said.
    pub(super) fn leave(record: Record, stdout: &OwnedFd, stderr: &OwnedFd) -> io::Result<Self> {
        let file = File::from(memfd_create("leeward-origin", MemfdFlags::CLOEXEC)?);
        let bequest = Self { record, file };
        bequest.write()?;
        let notifier = Notifier::from_environment();
        for (name, descriptor) in [
            (STDOUT, stdout.as_fd()),
            (STDERR, stderr.as_fd()),
            // Last: with it, all is there.
            (RECORD, bequest.file.as_fd()),
        ] {
            notifier.let_go(name);
            notifier.keep(name, &[descriptor]);
        }
        Ok(bequest)
    }

    /// What was found out of it meanwhile.
    pub(super) fn note(&mut self, took: Duration, slots: usize) {
        let noted = (Some(took), Some(slots));
        if noted == (self.record.took, self.record.slots) {
            return;
        }
        (self.record.took, self.record.slots) = noted;
        if let Err(error) = self.write() {
            tracing::warn!(%error, "what is known of the origin cannot be noted for the next Leeward");
        }
    }

    /// Leaves it for good: the Leeward after us takes it over.
    pub(super) fn stay(self) {
        std::mem::forget(self);
    }

    fn write(&self) -> io::Result<()> {
        let text = serde_json::to_vec(&self.record)?;
        self.file.set_len(0)?;
        self.file.write_all_at(&text, 0)
    }
}

impl Drop for Bequest {
    fn drop(&mut self) {
        let notifier = Notifier::from_environment();
        for name in [RECORD, STDOUT, STDERR] {
            notifier.let_go(name);
        }
    }
}

/// All that decides what a start of it brings forth. Not for people: it holds what may be secret.
fn told(command: &Command) -> String {
    let Command {
        program,
        arguments,
        directory,
        environment,
        socket,
        on_exit: _,
    } = command;
    let socket = match socket {
        Socket::Own => "own",
        Socket::Passed => "passed",
        Socket::Stdin => "stdin",
    };
    serde_json::json!([program, arguments, directory, environment, socket]).to_string()
}

fn read(file: &mut File) -> io::Result<Record> {
    file.rewind()?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let record: Record = serde_json::from_str(&text)?;
    match record.form {
        FORM => Ok(record),
        other => Err(io::Error::other(format!(
            "its form is {other}, and not {FORM}"
        ))),
    }
}

fn micros() -> u64 {
    u64::try_from(deadline::since_boot().as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn command(argument: &str) -> Command {
        Command {
            program: "origin".to_owned(),
            arguments: vec![argument.to_owned()],
            directory: None,
            environment: Default::default(),
            socket: Socket::Own,
            on_exit: OnExit::Keep,
        }
    }

    fn legacy() -> Legacy {
        let pipes = [io::pipe().unwrap().0, io::pipe().unwrap().0].map(OwnedFd::from);
        let address = "127.0.0.1:80".parse().unwrap();
        let own = Pid::own().unwrap();
        let record = Record::new(own, 7, &address, &command("a"), None);
        let mut bequest = Bequest::leave(record, &pipes[0], &pipes[1]).unwrap();
        bequest.note(Duration::from_secs(2), 4);
        let file = bequest.file.try_clone().unwrap();
        let [stdout, stderr] = pipes;
        Legacy::of(vec![
            (STDERR.to_owned(), stderr),
            (RECORD.to_owned(), file.into()),
            (STDOUT.to_owned(), stdout),
        ])
        .unwrap()
    }

    #[test]
    fn what_is_left_is_what_is_found() {
        let mut found = legacy();
        let record = &found.record;
        assert_eq!((record.pid, record.generation), (Pid::own().unwrap(), 7));
        assert_eq!(
            (record.took, record.slots),
            (Some(Duration::from_secs(2)), Some(4))
        );
        assert!(record.born > 0 && record.started().elapsed() < Duration::from_secs(60));
        let (stdout, stderr) = found.take_pipes();
        assert!(stdout.is_some() && stderr.is_some() && found.take_socket().is_none());
    }

    #[test]
    fn it_is_taken_over_only_as_what_would_be_started_now() {
        let found = legacy();
        let address =
            |at: &str, argument| found.address(&at.parse().unwrap(), Some(&command(argument)));
        let at: OriginAddr = "127.0.0.1:80".parse().unwrap();
        assert_eq!(address("127.0.0.1:80", "a"), Some(at.clone()));
        assert_eq!(address("127.0.0.1:0", "a"), Some(at.clone()));
        assert_eq!(address("127.0.0.1:81", "a"), None);
        assert_eq!(address("127.0.0.1:80", "b"), None);
        assert_eq!(found.address(&at, None), None);
        let ends = Command {
            on_exit: OnExit::End,
            ..command("a")
        };
        assert_eq!(found.address(&at, Some(&ends)), None);
    }

    #[test]
    fn what_cannot_be_read_is_no_legacy() {
        let text = |text: &str| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            Legacy::of(vec![(RECORD.to_owned(), file.into())])
        };
        assert!(text("").is_none() && text("{\"form\":2}").is_none());
    }
}
