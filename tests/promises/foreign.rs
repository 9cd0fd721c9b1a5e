//! An origin that somebody else starts is judged, ended and started again by whoever that is, and outlives Leeward; and
//! nobody else is ever signalled.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::daemons::{is_gone, number, send, serving, trouble, wait_gone};
use crate::house::{DUE, incidents};
use crate::skip;
use crate::support::process::Running;
use crate::support::standing::Standing;
use crate::support::{Leeward, Origin, ailing, free_port, leeward};
use crate::verbs::{done, order};

const SOON: &str =
    "[hang]\ncertain = \"500ms\"\n[restart]\nbackoff = \"100ms\"\nstartup = \"20s\"\n";

/// The sick origin as a service of the machine's, with a script that starts and stops it and notes that it did.
pub struct Service {
    directory: TempDir,
    /// Where it listens.
    pub port: u16,
}

impl Service {
    pub fn new(name: &str, script: &str) -> Service {
        let directory = tempfile::tempdir().expect("a directory for the test");
        // A Leeward that is another user has to get here.
        let may = fs::Permissions::from_mode(0o755);
        fs::set_permissions(directory.path(), may.clone()).expect("it is ours");
        let port = free_port();
        let place = directory.path().display().to_string();
        let script = script
            .replace("@HERE@", &place)
            .replace("@AILING@", &ailing().display().to_string())
            .replace("@AT@", &format!("127.0.0.1:{port}"));
        let file = directory.path().join(name);
        fs::write(&file, script).expect("it can be written");
        fs::set_permissions(&file, may).expect("it is ours");
        Service { directory, port }
    }

    pub fn place(&self) -> &Path {
        self.directory.path()
    }

    pub fn pid_file(&self) -> PathBuf {
        self.place().join("pid")
    }

    pub fn pid(&self) -> u32 {
        number(&self.pid_file())
    }

    /// What the script was told, one a line.
    pub fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.place().join("calls")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Runs the script as somebody else would.
    pub fn run(&self, name: &str, words: &[&str]) {
        let ran = Command::new(self.place().join(name)).args(words).output();
        let ran = ran.expect("the script");
        assert!(ran.status.success(), "{words:?}: {ran:?}");
    }

    fn config(&self, keys: &str, more: &str) -> String {
        let here = self.place().display().to_string();
        format!(
            "[edge]\nlisten = \"127.0.0.1:0\"\n[status]\nlisten = \"127.0.0.1:0\"\n\
             [incidents]\ndirectory = \"@DIR@/incidents\"\n\
             [origin]\naddress = \"127.0.0.1:{}\"\nconcurrency = 1\n[origin.process]\n{}{more}",
            self.port,
            keys.replace("@HERE@", &here)
        )
    }

    /// Leeward in front of it, with these keys.
    pub fn guarded(&self, standing: &Standing, keys: &str, more: &str) -> Leeward {
        Leeward::start_as(standing, &self.config(keys, more))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let text = fs::read_to_string(self.pid_file()).unwrap_or_default();
        // By its number, and only while it is ours by its program.
        if let Ok(pid) = text.trim().parse::<u32>() {
            let program = fs::read_link(format!("/proc/{pid}/exe")).ok();
            if program.is_some_and(|it| it.file_name() == ailing().file_name()) {
                send(pid, Signal::KILL);
            }
        }
    }
}

/// As an init script does it: what it starts is nobody's child.
const INIT: &str = r#"#!/bin/sh
echo "$1" >> @HERE@/calls
start() {
    rm -f @HERE@/pid
    setsid sh -c 'echo $$ > @HERE@/pid; exec @AILING@ --listen @AT@' </dev/null >/dev/null 2>&1 &
    while [ ! -s @HERE@/pid ]; do sleep 0.01; done
}
case "$1" in
start) echo "starting it"; start ;;
stop) kill "$(cat @HERE@/pid)" ;;
restart) kill -9 "$(cat @HERE@/pid)"; start ;;
broken) echo "no such service" >&2; exit 4 ;;
esac
"#;

const START: &str = "pid_file = \"@HERE@/pid\"\nstart = [\"@HERE@/init\", \"start\"]\n";

#[test]
fn what_somebody_else_started_is_found_replaced_by_hooks_and_left_running() {
    let service = Service::new("init", INIT);
    service.run("init", &["start"]);
    let first = service.pid();
    let mut leeward = service.guarded(&Standing::own(), START, SOON);
    leeward.wait_log("origin ready", DUE);
    assert_eq!((serving(&leeward), service.calls().len()), (first, 1));
    let told = leeward.status_get("/status.json").text();
    assert!(told.contains("\"care\": \"tended\""), "{told}");
    send(first, Signal::STOP);
    leeward.wait_log_nth("origin ready", 2, DUE);
    let second = service.pid();
    assert_eq!(serving(&leeward), second);
    assert!(is_gone(first), "the frozen one lives on");
    assert_eq!(service.calls(), ["start", "start"]);
    leeward.wait_log("hook: starting it", DUE);
    send(second, Signal::KILL);
    leeward.wait_log_nth("origin ready", 3, DUE);
    let third = serving(&leeward);
    assert_eq!((third, service.calls().len()), (service.pid(), 3));
    let told = incidents(&leeward);
    let sentence = told[0]["sentence"].as_str().expect("a sentence");
    assert!(
        sentence.starts_with(&format!("process {first} (ailing) is stopped")),
        "{sentence}"
    );
    let sentence = told[1]["sentence"].as_str().expect("a sentence");
    assert!(sentence.contains("it was no child of ours"), "{sentence}");
    assert_eq!(leeward.terminate().code(), Some(0));
    assert!(
        leeward.stderr().contains("is left running"),
        "it was not said"
    );
    assert!(!is_gone(third), "it ended with Leeward");
    send(third, Signal::KILL);
}

#[test]
fn what_is_not_there_is_started() {
    let service = Service::new("init", INIT);
    let leeward = service.guarded(&Standing::own(), START, SOON);
    leeward.wait_log("origin ready", DUE);
    assert_eq!(serving(&leeward), service.pid());
    assert_eq!(service.calls(), ["start"]);
}

#[test]
fn a_stop_command_goes_before_signals_and_a_restart_command_does_both() {
    let service = Service::new("init", INIT);
    let stop = format!("{START}stop = [\"@HERE@/init\", \"stop\"]\n");
    let leeward = service.guarded(&Standing::own(), &stop, SOON);
    let first = serving(&leeward);
    done(&leeward, &["restart"]);
    assert_ne!(serving(&leeward), first);
    assert_eq!(service.calls(), ["start", "stop", "start"]);
    drop(leeward);
    let restart = "restart = [\"@HERE@/init\", \"restart\"]\n";
    let leeward = service.guarded(&Standing::own(), restart, SOON);
    let second = serving(&leeward);
    send(second, Signal::STOP);
    leeward.wait_log_nth("origin ready", 2, DUE);
    assert_ne!(serving(&leeward), second);
    let calls = service.calls();
    assert_eq!(calls[3..], ["restart"], "found by who listens: {calls:?}");
}

/// A master and its worker, which has the listener and hears no TERM; both are noted.
const MASTER: &str = r#"#!/bin/sh
echo "$1" >> @HERE@/calls
case "$1" in
start) rm -f @HERE@/pid
    setsid sh -c '@AILING@ --ignore-term --listen @AT@ & echo $! > @HERE@/worker; echo $$ > @HERE@/pid; wait' \
        </dev/null >/dev/null 2>&1 &
    while [ ! -s @HERE@/pid ]; do sleep 0.01; done ;;
stop) kill "$(cat @HERE@/pid)" ;;
esac
"#;

/// Ends the last worker of such a service.
struct Worker<'a>(&'a Service);

impl Worker<'_> {
    fn pid(&self) -> u32 {
        let text = fs::read_to_string(self.0.place().join("worker"));
        text.expect("a worker").trim().parse().expect("its number")
    }
}

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        if !is_gone(self.pid()) {
            send(self.pid(), Signal::KILL);
        }
    }
}

#[test]
fn a_worker_that_outlives_its_master_is_ended_before_the_next_one_is_started() {
    let service = Service::new("init", MASTER);
    let stop = format!("{START}stop = [\"@HERE@/init\", \"stop\"]\n");
    let worker = Worker(&service);
    let leeward = service.guarded(&Standing::own(), &stop, SOON);
    let (master, first) = (serving(&leeward), worker.pid());
    done(&leeward, &["restart"]);
    leeward.wait_log("outlives its main process", DUE);
    assert_ne!(serving(&leeward), master);
    assert!(is_gone(first), "the worker lives on");
    assert_ne!(worker.pid(), first);
    assert_eq!(service.calls(), ["start", "stop", "start"]);
}

/// One that only the operator's commands may end: Leeward is another user, without a privilege.
#[test]
fn what_leeward_may_not_signal_is_ended_by_the_command_for_it_or_told() {
    let service = Service::new("init", INIT);
    service.run("init", &["start"]);
    let first = service.pid();
    let other = match Standing::user(4711) {
        Ok(standing) => standing,
        Err(reason) => skip!(reason),
    };
    let keys = "pid_file = \"@HERE@/pid\"\nstart = [\"true\"]\n";
    let leeward = service.guarded(&other, keys, SOON);
    // It may not be seen whether it listens; somebody does.
    leeward.wait_log("is there, but not to be seen", DUE);
    leeward.wait_log("origin ready", DUE);
    let refused = order(&leeward, &["restart", "--no-wait"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("may not signal it"), "{said}");
    assert_eq!(serving(&leeward), first);
}

/// The file names somebody who has nothing to do with the origin, which is somebody else again.
#[test]
fn a_stranger_in_a_pid_file_is_never_signalled() {
    let service = Service::new("init", INIT);
    let stranger = Running::start(Command::new("sleep").arg("600"));
    fs::write(service.pid_file(), format!("{}\n", stranger.pid())).expect("it can be written");
    let origin = Origin::start_at(&format!("127.0.0.1:{}", service.port), &[]);
    let keys = "pid_file = \"@HERE@/pid\"\n";
    let mut leeward = service.guarded(&Standing::own(), keys, SOON);
    trouble(&leeward, "which does not listen on 127.0.0.1");
    let ordered = order(&leeward, &["restart", "--no-wait"]);
    assert!(ordered.status.success());
    leeward.wait_log_nth("the origin is looked for", 2, DUE);
    assert!(!is_gone(stranger.pid()) && !is_gone(origin.running.pid()));
    // And when the file tells the truth, it is found without anybody's doing.
    fs::write(service.pid_file(), format!("{}\n", origin.running.pid()))
        .expect("it can be written");
    leeward.wait_log("origin ready", DUE);
    assert_eq!(serving(&leeward), origin.running.pid());
    assert_eq!(leeward.terminate().code(), Some(0));
    assert!(!is_gone(stranger.pid()) && !is_gone(origin.running.pid()));
}

/// Its keeper is a loop, as with runit or a container; Leeward ends what hangs, and waits for what comes.
#[test]
fn what_somebody_else_starts_again_is_awaited() {
    let service = Service::new("init", INIT);
    service.run("init", &["start"]);
    let first = service.pid();
    let keys = "pid_file = \"@HERE@/pid\"\n";
    let leeward = service.guarded(&Standing::own(), keys, SOON);
    leeward.wait_log("origin ready", DUE);
    send(first, Signal::STOP);
    wait_gone(first);
    trouble(&leeward, "somebody else has to start it");
    service.run("init", &["start"]);
    leeward.wait_log_nth("origin ready", 2, DUE);
    assert_eq!(serving(&leeward), service.pid());
}

#[test]
fn a_command_that_fails_or_takes_too_long_is_told() {
    let service = Service::new("init", INIT);
    let broken = "start = [\"@HERE@/init\", \"broken\"]\n";
    let leeward = service.guarded(&Standing::own(), broken, SOON);
    trouble(&leeward, "exited with 4: no such service");
    drop(leeward);
    let slow = "start = [\"sleep\", \"600\"]\nhook_timeout = \"300ms\"\n";
    let leeward = service.guarded(&Standing::own(), slow, SOON);
    trouble(&leeward, "did not end within 300ms and was killed");
}

/// Who keeps what a hook wrote to writes into nothing when Leeward has gone, and is not ended by that.
#[test]
fn a_daemon_that_keeps_the_output_of_its_start_outlives_it() {
    let talkative = INIT.replace("</dev/null >/dev/null 2>&1 &", "</dev/null &");
    let service = Service::new("init", &talkative);
    let mut leeward = service.guarded(&Standing::own(), START, SOON);
    let pid = serving(&leeward);
    assert_eq!(leeward.terminate().code(), Some(0));
    // It says something at each request, if only to itself.
    for _ in 0..3 {
        let at = SocketAddr::from(([127, 0, 0, 1], service.port));
        crate::support::h1::plain_get(at, "/", DUE).expect("an answer");
    }
    assert!(!is_gone(pid), "it ended with Leeward");
}

#[test]
fn a_check_says_who_starts_the_origin() {
    let service = Service::new("init", INIT);
    for (keys, told) in [
        (
            "unit = \"no-such\"\n",
            "no-such.service, started by systemd, restarted by Leeward",
        ),
        (START, "restarted by Leeward with "),
        (
            "pid_file = \"/run/x.pid\"\n",
            "who is to start again what Leeward ends",
        ),
        (
            "command = [\"true\"]\ndaemonises = true\n",
            "true, started by Leeward, a daemon",
        ),
    ] {
        let file = service.place().join("check.toml");
        fs::write(&file, service.config(keys, "")).expect("it can be written");
        let ran = leeward(&["check", &file.display().to_string()]);
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        assert!(said.contains(told), "{said}");
    }
    let missing = service.config("start = [\"/no/such\"]\n", "");
    let file = service.place().join("check.toml");
    fs::write(&file, missing).expect("it can be written");
    let ran = leeward(&["check", &file.display().to_string()]);
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(
        said.contains("origin.process.start: there is no /no/such"),
        "{said}"
    );
}
