//! An origin that makes itself a daemon is kept like one that stays in the foreground: its main process is found, and no
//! stranger is ever taken for it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::house::{DUE, configuration, incidents, sick};
use crate::skip;
use crate::support::process::Running;
use crate::support::{Leeward, Skip, free_port, h1};
use crate::verbs::done;

/// Hangs are sure sooner than by default, and the next start follows at once.
const SOON: &str =
    "[hang]\ncertain = \"500ms\"\n[restart]\nbackoff = \"100ms\"\nstartup = \"20s\"\n";

/// Leeward in front of a command, with these keys beside it.
pub fn started(command: &[String], keys: &str, more: &str) -> Leeward {
    let config = configuration(command, free_port(), "");
    Leeward::start(&format!("{config}{keys}{more}"))
}

/// A shell that starts the sick origin in a session of its own, says its number in `@DIR@/pid`, and goes.
fn detaching() -> Vec<String> {
    let script = "setsid sh -c 'echo $$ > @DIR@/pid; exec \"$0\" \"$@\"' \"$0\" \"$@\" &";
    let words = ["sh".to_owned(), "-c".to_owned(), script.to_owned()];
    words.into_iter().chain(sick(&[])).collect()
}

const PID_FILE: &str = "pid_file = \"@DIR@/pid\"\n";

/// The number in a pid file, once it is there.
pub fn number(file: &Path) -> u32 {
    let until = Instant::now() + DUE;
    loop {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        if let Ok(number) = text.trim().parse() {
            return number;
        }
        assert!(Instant::now() < until, "no number in {}", file.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn send(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid as i32).expect("a process number");
    kill_process(pid, signal).expect("it is there");
}

/// Not there, or a zombie of somebody's who never waits.
pub fn is_gone(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_none_or(|(_, rest)| rest.starts_with('Z'))
}

pub fn wait_gone(pid: u32) {
    let until = Instant::now() + DUE;
    while !is_gone(pid) {
        assert!(Instant::now() < until, "process {pid} lives on");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Which process answers.
pub fn serving(leeward: &Leeward) -> u32 {
    let response = h1::get(leeward.edge(), "/", DUE).expect("an answer");
    assert_eq!(response.status, 200, "{}", response.text());
    response.origin_pid().expect("the page tells the process")
}

pub fn trouble(leeward: &Leeward, part: &str) {
    let until = Instant::now() + DUE;
    let told = || leeward.status_get("/status.json").text();
    while !told().contains(part) {
        assert!(Instant::now() < until, "no {part:?} in {}", told());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_daemon_is_found_by_its_pid_file_and_replaced_when_it_hangs_or_ends() {
    let mut leeward = started(&detaching(), PID_FILE, SOON);
    let file = leeward.directory().join("pid");
    let first = number(&file);
    assert_eq!(serving(&leeward), first);
    send(first, Signal::STOP);
    leeward.wait_log_nth("origin ready", 2, DUE);
    let second = serving(&leeward);
    assert!(second != first && second == number(&file));
    assert!(is_gone(first), "it outlived its generation");
    send(second, Signal::KILL);
    leeward.wait_log_nth("origin ready", 3, DUE);
    let third = serving(&leeward);
    let told: Vec<_> = incidents(&leeward);
    let of = |number: usize, key: &str| told[number][key].to_string();
    assert!(of(0, "sentence").contains(&format!("process {first} (ailing) is stopped")));
    assert_eq!(told[0]["ending"]["obituary"], "was ended by signal 9");
    assert!(of(1, "sentence").contains(&format!("process {second} was ended by signal 9")));
    assert_eq!(leeward.terminate().code(), Some(0));
    assert!(is_gone(third), "it outlived Leeward");
    assert!(!file.exists(), "its file outlived it");
}

#[test]
fn a_daemon_without_a_pid_file_is_the_one_that_listens() {
    let mut leeward = started(&detaching(), "daemonises = true\n", SOON);
    let first = serving(&leeward);
    assert_eq!(first, number(&leeward.directory().join("pid")));
    leeward.wait_log(&format!("main process is known pid={first}"), DUE);
    send(first, Signal::KILL);
    leeward.wait_log_nth("origin ready", 2, DUE);
    let second = serving(&leeward);
    assert_ne!(second, first);
    assert_eq!(leeward.terminate().code(), Some(0));
    assert!(is_gone(second), "it outlived Leeward");
}

/// The file of an earlier life names a process that has its number by now.
#[test]
fn a_stranger_in_a_pid_file_is_never_taken_for_the_origin() {
    let stranger = Running::start(Command::new("sleep").arg("600"));
    let script = format!("echo {} > @DIR@/pid", stranger.pid());
    let command = ["sh".to_owned(), "-c".to_owned(), script];
    let late = "[restart]\nstartup = \"600ms\"\nbackoff = \"100ms\"\n";
    let mut leeward = started(&command, PID_FILE, late);
    let told = leeward.wait_log("it is not believed", DUE);
    assert!(
        told.contains(&format!("names process {} (sleep)", stranger.pid())),
        "{told}"
    );
    assert!(
        told.contains("which was there before it was started"),
        "{told}"
    );
    trouble(
        &leeward,
        "its pid file did not come within 600ms (restart.startup)",
    );
    leeward.wait_log_nth("origin started", 2, DUE);
    assert_eq!(leeward.terminate().code(), Some(0));
    assert!(!is_gone(stranger.pid()), "it was ended");
}

#[test]
fn a_pid_file_that_never_comes_or_is_stale_is_a_failed_start() {
    let late = "[restart]\nstartup = \"400ms\"\n";
    let nothing = ["true".to_owned()];
    trouble(
        &started(&nothing, PID_FILE, late),
        "exited with 0, and its pid file did not come",
    );
    let stale = ["sh", "-c", "echo 2147483646 > @DIR@/pid"].map(str::to_owned);
    trouble(
        &started(&stale, PID_FILE, late),
        "is stale: it names process 2147483646, which is gone",
    );
    let foreground = ["sleep", "600"].map(str::to_owned);
    trouble(
        &started(&foreground, "daemonises = true\n", late),
        "stays in the foreground; take",
    );
    let failing = ["sh", "-c", "exit 3"].map(str::to_owned);
    trouble(
        &started(&failing, PID_FILE, late),
        "its last start failed: it exited with 3",
    );
}

#[test]
fn a_restart_of_a_daemon_ends_the_one_and_starts_another() {
    let leeward = started(&detaching(), PID_FILE, SOON);
    let first = serving(&leeward);
    let ran = done(&leeward, &["restart"]);
    assert!(ran.contains("generation 2 serves"), "{ran}");
    assert_ne!(serving(&leeward), first);
    assert!(is_gone(first));
}

fn present(program: &str) -> Result<(), Skip> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    match places.any(|place| place.join(program).is_file()) {
        true => Ok(()),
        false => Err(Skip(format!("there is no {program} on this machine"))),
    }
}

fn pages() -> TempDir {
    let directory = tempfile::tempdir().expect("a directory for the test");
    std::fs::write(directory.path().join("page.html"), "a page\n").expect("it can be written");
    directory
}

/// As Debian starts it: it binds, forks, and its child serves; so is the other.
fn real_daemon_is_kept(program: &str, command: &[&str], keys: &str) -> Option<Skip> {
    if let Err(skip) = present(program) {
        return Some(skip);
    }
    let files = pages();
    let mut command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
    command.push(files.path().display().to_string());
    let mut leeward = started(&command, keys, SOON);
    let serves = |nth: usize| {
        leeward.wait_log_nth("origin ready", nth, DUE);
        let line = leeward.wait_log_nth("main process is known pid=", nth, DUE);
        let pid = line
            .rsplit('=')
            .next()
            .and_then(|pid| pid.trim().parse::<u32>().ok());
        let page = h1::get(leeward.edge(), "/page.html", DUE).expect("an answer");
        assert_eq!((page.status, page.text().as_str()), (200, "a page\n"));
        pid.expect("a number")
    };
    let first = serves(1);
    send(first, Signal::STOP);
    let second = serves(2);
    assert!(is_gone(first), "the frozen one outlived its generation");
    send(second, Signal::KILL);
    let third = serves(3);
    let verdict = |number: usize| incidents(&leeward)[number]["judgement"]["verdict"].clone();
    assert_eq!([verdict(0), verdict(1)], ["stopped", "exited"]);
    assert_eq!(leeward.terminate().code(), Some(0));
    assert!(is_gone(third), "it outlived Leeward");
    None
}

#[test]
fn mini_httpd_as_a_daemon_is_kept_by_its_pid_file() {
    let command = [
        "mini_httpd",
        "-h",
        "127.0.0.1",
        "-p",
        "{port}",
        "-i",
        "@DIR@/pid",
        "-d",
    ];
    if let Some(reason) = real_daemon_is_kept("mini_httpd", &command, PID_FILE) {
        skip!(reason);
    }
}

#[test]
fn busybox_httpd_as_a_daemon_is_kept_by_who_listens() {
    let command = ["busybox", "httpd", "-p", "{address}", "-h"];
    if let Some(reason) = real_daemon_is_kept("busybox", &command, "daemonises = true\n") {
        skip!(reason);
    }
}
