//! The real program, started as a user starts it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitStatus, Output};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use super::h1;
use super::process::Running;
use super::response::Response;
use super::standing::Standing;

/// How long it may take to say that it is ready.
const READY: Duration = Duration::from_secs(20);

/// How long a drain may take: Leeward's own grace of 30 s, and a little.
const DRAINED: Duration = Duration::from_secs(40);

/// How long a command that does one thing may take.
const ONE_SHOT: Duration = Duration::from_secs(20);

/// A running Leeward; killed when dropped, and its origin with it.
pub struct Leeward {
    running: Running,
    directory: TempDir,
    addresses: Addresses,
}

impl Leeward {
    /// Runs it with this configuration, in which `@DIR@` stands for a directory of its own, and waits until it is
    /// ready. Called [inside](super::netns::Namespace::inside) a network namespace, it runs there.
    pub fn start(config: &str) -> Leeward {
        Leeward::start_as(&Standing::own(), config)
    }

    /// The same with other rights.
    pub fn start_as(standing: &Standing, config: &str) -> Leeward {
        let directory = tempfile::tempdir().expect("a directory for the test");
        standing.give(directory.path());
        Leeward::begin(standing.command(program()), standing, directory, config)
    }

    /// The same, started by a command that becomes the one behind it.
    pub fn start_by(wrapper: &[&str], config: &str) -> Leeward {
        let directory = tempfile::tempdir().expect("a directory for the test");
        let mut command = Command::new(wrapper[0]);
        command.args(&wrapper[1..]).arg(program());
        Leeward::begin(command, &Standing::own(), directory, config)
    }

    fn begin(
        mut command: Command,
        standing: &Standing,
        directory: TempDir,
        config: &str,
    ) -> Leeward {
        let file = directory.path().join("leeward.toml");
        let config = config.replace("@DIR@", &directory.path().display().to_string());
        std::fs::write(&file, &config).expect("the configuration can be written");
        standing.give(&file);
        // Its control socket, where no other Leeward's is.
        command.env("RUNTIME_DIRECTORY", directory.path());
        let running = Running::start(clean(&mut command).args(["run", "--config"]).arg(&file));
        let addresses = running
            .stderr
            .wait("leeward: ready: ", READY)
            .and_then(|line| Addresses::parse(&line));
        let Some(addresses) = addresses else {
            panic!(
                "it ended or {READY:?} went by without its ready line; the configuration:\n{config}\n{}",
                running.told()
            );
        };
        Leeward {
            running,
            directory,
            addresses,
        }
    }

    /// Where clients reach it.
    pub fn edge(&self) -> SocketAddr {
        self.addresses.edge
    }

    /// Where operators reach it.
    pub fn status(&self) -> SocketAddr {
        self.addresses.status
    }

    /// Where its origin listens, as it said.
    pub fn origin(&self) -> &str {
        &self.addresses.origin
    }

    /// Asks the status listener for a page; panics where it does not answer.
    pub fn status_get(&self, path: &str) -> Response {
        h1::plain_get(self.status(), path, ONE_SHOT)
            .unwrap_or_else(|error| panic!("no answer to {path} from the status listener: {error}"))
    }

    /// The directory `@DIR@` stood for.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// All it said on standard error so far.
    pub fn stderr(&self) -> String {
        self.running.stderr.text()
    }

    /// The first log line that contains `part`, said already or within `patience`; panics with all it said otherwise.
    pub fn wait_log(&self, part: &str, patience: Duration) -> String {
        self.wait_log_nth(part, 1, patience)
    }

    /// The `n`th such line, from 1.
    pub fn wait_log_nth(&self, part: &str, n: usize, patience: Duration) -> String {
        let line = self.running.stderr.wait_nth(part, n, patience);
        line.unwrap_or_else(|| panic!("'{part}' was not said {n} times within {patience:?}"))
    }

    /// Whether such a line is said, already or within `patience`.
    pub fn says_within(&self, part: &str, patience: Duration) -> bool {
        self.running.stderr.wait_nth(part, 1, patience).is_some()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// Sends it a signal.
    pub fn signal(&mut self, signal: Signal) {
        self.running.signal(signal);
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    pub fn terminate(&mut self) -> ExitStatus {
        self.running.signal(Signal::TERM);
        let status = self.running.wait(DRAINED);
        status.unwrap_or_else(|| panic!("still running {DRAINED:?} after SIGTERM"))
    }
}

impl Drop for Leeward {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- Leeward said\n{}---", self.stderr());
        }
    }
}

/// Runs a command of Leeward that ends by itself, such as `check FILE`.
pub fn leeward(arguments: &[&str]) -> Output {
    leeward_as(&Standing::own(), arguments)
}

/// The same with other rights.
pub fn leeward_as(standing: &Standing, arguments: &[&str]) -> Output {
    let mut running = begin(standing, arguments);
    let Some(status) = running.wait(ONE_SHOT) else {
        panic!("did not end within {ONE_SHOT:?}: {}", running.told());
    };
    Output {
        status,
        stdout: running.stdout.whole(ONE_SHOT).into_bytes(),
        stderr: running.stderr.whole(ONE_SHOT).into_bytes(),
    }
}

/// Starts a command of Leeward that takes its time, such as `drill`.
pub fn start(arguments: &[&str]) -> Running {
    begin(&Standing::own(), arguments)
}

fn begin(standing: &Standing, arguments: &[&str]) -> Running {
    Running::start(clean(&mut standing.command(program())).args(arguments))
}

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_leeward"))
}

/// A test may itself run under a service manager, which must hear nothing from the Leeward within it.
fn clean(command: &mut Command) -> &mut Command {
    for name in [
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "WATCHDOG_PID",
        "LISTEN_FDS",
        "LISTEN_PID",
        "JOURNAL_STREAM",
    ] {
        command.env_remove(name);
    }
    command
}

/// What the ready line says.
struct Addresses {
    edge: SocketAddr,
    status: SocketAddr,
    origin: String,
}

impl Addresses {
    /// `leeward: ready: https://EDGE, status http://STATUS, origin ORIGIN`
    fn parse(line: &str) -> Option<Addresses> {
        let mut parts = line.split_once("ready: ")?.1.trim_end().split(", ");
        Some(Addresses {
            edge: parts.next()?.strip_prefix("https://")?.parse().ok()?,
            status: parts.next()?.strip_prefix("status http://")?.parse().ok()?,
            origin: parts.next()?.strip_prefix("origin ")?.to_owned(),
        })
    }
}
