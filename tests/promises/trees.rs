//! Whatever the origin started, however far it went its own way, ends with its generation; and nothing else does.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use crate::house::{DUE, configuration, in_front_of, sick};
use crate::skip;
use crate::support::control_group::Unified;
use crate::support::process::Running;
use crate::support::standing::Standing;
use crate::support::{Leeward, free_port, h1};

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
    let config = configuration(&command, free_port(), SOON);
    let leeward = Leeward::start(&config);
    leeward.wait_log("gone its own way", DUE);
    let until = Instant::now() + DUE;
    let told = || leeward.status_get("/status.json").text();
    while !told().contains("behind; it must stay in the foreground") {
        assert!(Instant::now() < until, "{}", told());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// The control group of version 2 that a process is in.
fn group_of(pid: u32) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("it is there");
    let line = text.lines().find_map(|line| line.strip_prefix("0::"));
    let name = line.and_then(|path| path.rsplit('/').next());
    name.expect("a group").to_owned()
}

fn started_in(group: &Unified) -> Leeward {
    let command = after(&format!("( {} & )", noted("daemon")));
    let config = configuration(&command, free_port(), SOON);
    let leeward = Leeward::start_as(&Standing::in_group(group.path()), &config);
    leeward.wait_log("origin ready", DUE);
    leeward
}

fn stranger() -> Running {
    Running::start(Command::new("sleep").arg("600"))
}

#[test]
fn in_a_control_group_of_its_own_each_generation_has_a_part_that_ends_whole() {
    let group = match Unified::new() {
        Ok(group) => group,
        Err(reason) => skip!(reason),
    };
    let mut leeward = started_in(&group);
    let (first, daemon) = (pid(&leeward), number(&leeward, "daemon"));
    assert_eq!(group_of(leeward.pid()), "leeward");
    assert_eq!(
        [group_of(first), group_of(daemon)],
        ["origin-1", "origin-1"]
    );
    // Of no descent of ours.
    let mut other = stranger();
    group.take("origin-1", other.pid());
    kill(first);
    replaced(&leeward, first);
    assert!(is_gone(daemon), "it outlived its generation");
    assert!(other.wait(DUE).is_some(), "it outlived its group");
    assert_eq!(group_of(pid(&leeward)), "origin-2");
    assert!(!group.path().join("origin-1").exists());
    assert_eq!(leeward.terminate().code(), Some(0));
    assert!(!group.path().join("origin-2").exists());
}

#[test]
fn what_a_leeward_that_was_killed_left_in_its_control_group_is_ended_by_the_next() {
    let group = match Unified::new() {
        Ok(group) => group,
        Err(reason) => skip!(reason),
    };
    let mut leeward = started_in(&group);
    let daemon = number(&leeward, "daemon");
    leeward.signal(Signal::KILL);
    let first = leeward.pid();
    let until = Instant::now() + DUE;
    while group_has(&group, "leeward", first) {
        assert!(Instant::now() < until, "it lives on");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(!is_gone(daemon), "nobody was there to end it");
    let next = started_in(&group);
    next.wait_log("what a Leeward before left of its origin is ended", DUE);
    let until = Instant::now() + DUE;
    while !is_gone(daemon) {
        assert!(Instant::now() < until, "it outlived two of us");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

fn group_has(group: &Unified, part: &str, pid: u32) -> bool {
    let procs = group.path().join(part).join("cgroup.procs");
    let text = std::fs::read_to_string(procs).unwrap_or_default();
    text.lines().any(|line| line == pid.to_string())
}

#[test]
fn a_control_group_that_leeward_shares_is_left_as_it_is() {
    let group = match Unified::new() {
        Ok(group) => group,
        Err(reason) => skip!(reason),
    };
    let other = stranger();
    group.take(".", other.pid());
    let leeward = started_in(&group);
    let name = group.path().file_name().expect("a name").to_string_lossy();
    for pid in [leeward.pid(), pid(&leeward), other.pid()] {
        assert_eq!(group_of(pid), name);
    }
}

/// The sick origin as the child of a shell, so that it outlives a Leeward that is killed.
fn apart(port: u16) -> String {
    let script = "setsid \"$0\" \"$@\" & wait";
    let words = ["sh".to_owned(), "-c".to_owned(), script.to_owned()];
    let command: Vec<String> = words.into_iter().chain(sick(&[])).collect();
    configuration(&command, port, SOON)
}

#[test]
fn a_port_that_a_killed_leewards_origin_still_holds_is_freed() {
    let config = apart(free_port());
    let mut leeward = Leeward::start(&config);
    let orphan = pid(&leeward);
    leeward.signal(Signal::KILL);
    let next = Leeward::start(&config);
    next.wait_log("that a Leeward before left behind; it was ended", DUE);
    assert_ne!(pid(&next), orphan);
    assert!(is_gone(orphan) || !std::fs::exists(format!("/proc/{orphan}/exe")).unwrap_or(false));
}

/// Two that were given the same port by mistake do not fight for it.
#[test]
fn a_port_that_another_living_leewards_origin_holds_is_left_to_it() {
    let config = apart(free_port());
    let leeward = Leeward::start(&config);
    let first = pid(&leeward);
    let second = Leeward::start(&config);
    let told = second.wait_log("is held by ailing", DUE);
    assert!(told.contains(&format!("(process {first})")), "{told}");
    assert_eq!(pid(&leeward), first);
}

/// Its server ends each connection first, so that each leaves a TIME_WAIT at its port.
#[test]
fn connections_that_are_remembered_hold_no_port() {
    let leeward = in_front_of(&sick(&[]), SOON);
    for _ in 0..20 {
        pid(&leeward);
    }
    let port = leeward.origin().rsplit(':').next().unwrap_or_default();
    let port: u16 = port.parse().expect("a port");
    let remembered = format!(":{port:04X} ");
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the table");
    let is_remembered = |line: &str| line.contains(&remembered) && line.contains(" 06 ");
    assert!(table.lines().any(is_remembered), "none in TIME_WAIT");
    let first = pid(&leeward);
    kill(first);
    replaced(&leeward, first);
    assert!(!leeward.stderr().contains("is held by"));
}
