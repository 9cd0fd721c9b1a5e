//! Who watches the watchdog: a thread of Leeward's that stands still is told, and does not stand still for ever.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::house::{DUE, behind};
use crate::skip;
use crate::support::Skip;
use crate::support::h1;
use crate::support::process::Running;

/// A watchdog whose end is reached in the test.
const SHORT: Duration = Duration::from_secs(3);
/// And one whose end is not.
const LONG: Duration = Duration::from_secs(60);

/// Holds one thread of a process in the middle of a call, as a fault in a driver or a debugger would; until dropped.
fn hold(pid: u32, name: &str) -> Result<Running, Skip> {
    if Command::new("strace").arg("-V").output().is_err() {
        return Err(Skip("strace is not installed".to_owned()));
    }
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("it has threads");
    let is_it = |task: &Path| {
        fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim_end() == name)
    };
    let mut tasks = tasks.flatten().map(|it| it.path());
    let task = tasks.find(|it| is_it(it)).expect("a thread of that name");
    let tid = task
        .file_name()
        .and_then(|it| it.to_str())
        .expect("a number");
    let mut command = Command::new("strace");
    command.args(["-p", tid, "-e", "trace=epoll_wait,epoll_pwait"]);
    command.args(["-e", "inject=epoll_wait,epoll_pwait:delay_enter=600000000"]);
    let held = Running::start(&mut command);
    let by = Instant::now() + DUE;
    loop {
        let state = fs::read_to_string(task.join("stat")).unwrap_or_default();
        if state.contains(") t ") {
            return Ok(held);
        }
        if held.stderr.text().contains("not permitted") {
            return Err(Skip(
                "this user may not trace a process of its own".to_owned(),
            ));
        }
        assert!(
            Instant::now() < by,
            "strace holds nothing: {}",
            held.stderr.text()
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

struct Watched {
    running: Running,
    socket: UnixDatagram,
    directory: tempfile::TempDir,
}

impl Watched {
    /// Runs it as a service with a watchdog, of which the test is the manager.
    fn start(directory: tempfile::TempDir, watchdog: Duration) -> Watched {
        let path = directory.path().join("notify");
        let _ = fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(DUE)).expect("a timeout");
        let config = directory.path().join("leeward.toml");
        let text = format!(
            "[edge]\nlisten = \"127.0.0.1:0\"\nthreads = 2\n[status]\nlisten = \"127.0.0.1:0\"\nsocket = \"off\"\n\
             [incidents]\ndirectory = {:?}\n",
            directory.path()
        );
        fs::write(&config, text).expect("the configuration");
        let mut command = Command::new(env!("CARGO_BIN_EXE_leeward"));
        command.args(["run", "--config"]).arg(&config);
        command
            .env("NOTIFY_SOCKET", &path)
            .env("WATCHDOG_USEC", watchdog.as_micros().to_string());
        let running = Running::start(&mut command);
        let started = running.stderr.wait("leeward: ready: ", DUE);
        assert!(started.is_some(), "{}", running.told());
        Watched {
            running,
            socket,
            directory,
        }
    }

    /// How often it has said since the last time that it is alive.
    fn pets(&self) -> usize {
        let mut message = [0; 4096];
        self.socket.set_nonblocking(true).expect("a flag");
        let heard = std::iter::from_fn(|| {
            self.socket
                .recv(&mut message)
                .ok()
                .map(|length| message[..length].to_vec())
        });
        heard.filter(|it| it.starts_with(b"WATCHDOG=1")).count()
    }

    fn wait_pet(&self) {
        let by = Instant::now() + DUE;
        while self.pets() == 0 {
            assert!(Instant::now() < by, "it never says that it is alive");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn evidence(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path())
            .expect("a directory")
            .flatten();
        let ours = entries.filter(|it| it.file_name().to_string_lossy().ends_with(".stuck.txt"));
        ours.map(|it| fs::read_to_string(it.path()).expect("text"))
            .collect()
    }
}

#[test]
fn a_thread_that_stands_still_is_written_down_and_leeward_makes_room_for_another() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut watched = Watched::start(directory, SHORT);
    let held = match hold(watched.running.pid(), "edge-1") {
        Ok(held) => held,
        Err(why) => skip!(why),
    };
    let told = watched.running.stderr.wait("has stood still for", DUE);
    let told = told.expect("it is told");
    assert!(told.contains("edge-1") && told.contains("epoll"), "{told}");
    watched
        .running
        .stderr
        .wait("Leeward aborts", DUE)
        .expect("it is told");
    // A traced thread cannot end before its tracer looks.
    drop(held);
    let status = watched.running.wait(DUE).expect("it ends");
    assert_eq!(status.signal(), Some(Signal::ABORT.as_raw()));
    assert_eq!(watched.evidence().len(), 1);
    let evidence = &watched.evidence()[0];
    let still = evidence.split("All threads:").next().expect("a part");
    assert!(
        still.contains("edge-1 for") && !still.contains("edge-0"),
        "{evidence}"
    );
    assert!(
        evidence.contains("watch (") && evidence.contains("sentinel ("),
        "{evidence}"
    );

    let again = Watched::start(watched.directory, SHORT);
    let told = again
        .running
        .stderr
        .wait("had a thread that stood still", DUE);
    assert!(
        told.expect("the next one tells of it")
            .contains(".stuck.txt")
    );
}

#[test]
fn systemd_is_not_told_that_all_is_well_while_a_thread_stands_still() {
    let watched = Watched::start(tempfile::tempdir().expect("a directory"), LONG);
    watched.wait_pet();
    let held = match hold(watched.running.pid(), "watch") {
        Ok(held) => held,
        Err(why) => skip!(why),
    };
    // Up to a second of silence is none.
    std::thread::sleep(Duration::from_secs(2));
    watched.pets();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(watched.pets(), 0);
    drop(held);
    watched.wait_pet();
}

#[test]
fn where_nobody_would_start_it_anew_it_tells_and_goes_on() {
    let leeward = behind(&[], "");
    let held = match hold(leeward.pid(), "edge-0") {
        Ok(held) => held,
        Err(why) => skip!(why),
    };
    leeward.wait_log("has stood still for", DUE);
    drop(held);
    let answer = h1::get(leeward.edge(), "/", DUE).expect("an answer");
    assert_eq!(answer.status, 200);
    assert!(!leeward.stderr().contains("aborts"));
}
