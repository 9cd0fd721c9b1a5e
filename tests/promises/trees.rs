//! Whatever the origin started, however far it went its own way, ends with its generation; and nothing else does.

use std::path::Path;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use crate::house::{DUE, in_front_of, sick};
use crate::support::{Leeward, h1};

/// The next request is for the next generation soon.
const SOON: &str = "[restart]\nbackoff = \"100ms\"\n";

/// The sick origin, started by a shell that runs `before` first; it becomes `$0`, with its own words behind it.
fn after(before: &str) -> Vec<String> {
    let script = format!("{before}\nexec \"$0\" \"$@\"");
    let words = ["sh".to_owned(), "-c".to_owned(), script];
    words.into_iter().chain(sick(&[])).collect()
}

/// A shell that notes its number in a file of the directory, in a session of its own, and becomes a long sleep.
fn noted(file: &str) -> String {
    format!("setsid sh -c 'echo $$ > @DIR@/{file}; exec sleep 600' </dev/null >/dev/null 2>&1")
}

/// The number in such a file, once it is written.
fn number(leeward: &Leeward, file: &str) -> u32 {
    let path = leeward.directory().join(file);
    let until = Instant::now() + DUE;
    loop {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        if let Some(number) = text
            .strip_suffix('\n')
            .and_then(|number| number.parse().ok())
        {
            return number;
        }
        assert!(Instant::now() < until, "no number in {}", path.display());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

fn pid(leeward: &Leeward) -> u32 {
    let response = h1::get(leeward.edge(), "/", DUE).expect("an answer");
    assert_eq!(response.status, 200, "{}", response.text());
    response.origin_pid().expect("the page tells the process")
}

fn kill(pid: u32) {
    let pid = Pid::from_raw(pid as i32).expect("a process number");
    kill_process(pid, Signal::KILL).expect("it is there");
}

/// Not even as a zombie.
fn is_gone(pid: u32) -> bool {
    !Path::new(&format!("/proc/{pid}")).exists()
}

fn replaced(leeward: &Leeward, first: u32) {
    leeward.wait_log_nth("origin ready", 2, DUE);
    assert_ne!(pid(leeward), first);
}

#[test]
fn a_child_in_a_session_of_its_own_ends_with_the_origin() {
    let leeward = in_front_of(&after(&format!("{} &", noted("child"))), SOON);
    let (origin, child) = (pid(&leeward), number(&leeward, "child"));
    kill(origin);
    leeward.wait_log(&format!("pid={child} comm=\"sleep\""), DUE);
    assert!(is_gone(child), "it outlived its generation");
    replaced(&leeward, origin);
}

#[test]
fn a_daemon_that_was_an_orphan_long_before_ends_with_the_origin() {
    let leeward = in_front_of(&after(&format!("( {} & )", noted("daemon"))), SOON);
    let (origin, daemon) = (pid(&leeward), number(&leeward, "daemon"));
    kill(origin);
    leeward.wait_log("gone its own way", DUE);
    assert!(is_gone(daemon), "it outlived its generation");
    replaced(&leeward, origin);
}

/// Whoever is ended leaves children of its own to us, and so on down the tree.
#[test]
fn a_whole_tree_in_sessions_of_its_own_ends_with_the_origin() {
    let leaf = r#"setsid sh -c "echo \$\$ > @DIR@/leaf; exec sleep 600""#;
    let branch = format!("setsid sh -c '{leaf} & echo $$ > @DIR@/branch; wait'");
    let before = format!("{branch} </dev/null >/dev/null 2>&1 &");
    let leeward = in_front_of(&after(&before), SOON);
    let origin = pid(&leeward);
    let (branch, leaf) = (number(&leeward, "branch"), number(&leeward, "leaf"));
    kill(origin);
    replaced(&leeward, origin);
    assert!(is_gone(branch) && is_gone(leaf), "{branch} {leaf}");
}

#[test]
fn a_shutdown_ends_what_the_origin_left_behind() {
    let mut leeward = in_front_of(&after(&format!("( {} & )", noted("daemon"))), SOON);
    let daemon = number(&leeward, "daemon");
    assert_eq!(leeward.terminate().code(), Some(0));
    assert!(is_gone(daemon), "it outlived Leeward");
}

/// A server that starts a daemon for each request would fill the table of processes otherwise.
#[test]
fn an_orphan_that_exits_is_buried_while_the_origin_lives() {
    let brief = noted("brief").replace("sleep 600", "sleep 0.1");
    let leeward = in_front_of(&after(&format!("( {brief} & )")), SOON);
    let brief = number(&leeward, "brief");
    let until = Instant::now() + DUE;
    while !is_gone(brief) {
        assert!(Instant::now() < until, "a zombie");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(!leeward.stderr().contains("origin exited"));
}

#[test]
fn what_a_hook_left_behind_is_none_of_the_origins() {
    let script = "setsid --fork sh -c 'echo $$ > @DIR@/daemon; exec sleep 600'; sleep 0.2";
    let hook = format!("{SOON}[hooks]\nbefore_kill = {:?}\n", ["sh", "-c", script]);
    let leeward = in_front_of(&sick(&[]), &format!("{hook}[hang]\ncertain = \"500ms\"\n"));
    let first = pid(&leeward);
    let raw = Pid::from_raw(first as i32).expect("a process number");
    kill_process(raw, Signal::STOP).expect("it is there");
    replaced(&leeward, first);
    let daemon = number(&leeward, "daemon");
    kill(pid(&leeward));
    leeward.wait_log_nth("origin ready", 3, DUE);
    assert!(!is_gone(daemon), "it was ended with the origin");
}

#[test]
fn an_origin_that_made_itself_a_daemon_is_told_so() {
    let script = format!("{} &", noted("daemon"));
    let command = [
        "sh".to_owned(),
        "-c".to_owned(),
        format!("{script} sleep 0.3"),
    ];
    let config = crate::house::configuration(&command, crate::support::free_port(), SOON);
    let leeward = Leeward::start(&config);
    leeward.wait_log("gone its own way", DUE);
    let until = Instant::now() + DUE;
    let told = || leeward.status_get("/status.json").text();
    while !told().contains("behind; it must stay in the foreground") {
        assert!(Instant::now() < until, "{}", told());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}
