//! A second generation runs beside the one that serves, and takes over where that hangs or is to be replaced.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::NamedTempFile;

use crate::house::{DUE, incidents, wait_metric};
use crate::load::under_load;
use crate::support::h1;
use crate::support::origin::processed;
use crate::support::{Leeward, ailing};
use crate::verbs::{done, order};

/// Leeward with a sick origin that takes a second to start, a standby of it, and their ledger.
fn guarded(options: &[&str], keys: &str) -> (Leeward, NamedTempFile) {
    let ledger = NamedTempFile::new().expect("a file");
    let path = ledger.path().display().to_string();
    let program = ailing().display().to_string();
    let command = [&program, "--listen", "{address}", "--ledger", &path];
    let late = ["--start-delay-ms", "1000"];
    let command: Vec<&str> = command
        .iter()
        .chain(&late)
        .chain(options)
        .copied()
        .collect();
    let leeward = Leeward::start(&format!(
        "[edge]\nlisten = \"127.0.0.1:0\"\n[edge.limits]\nconnections_per_address = \"off\"\n\
         [status]\nlisten = \"127.0.0.1:0\"\n\
         [incidents]\ndirectory = \"@DIR@/incidents\"\n\
         [origin]\naddress = \"127.0.0.1:0\"\nconcurrency = 4\n\
         [origin.process]\ncommand = {command:?}\n\
         [hang]\ncertain = \"500ms\"\nsilent = \"2s\"\n\
         [standby]\naddress = \"127.0.0.1:0\"\n{keys}"
    ));
    leeward.wait_log("origin ready", DUE);
    leeward.wait_log("the standby is ready", DUE);
    (leeward, ledger)
}

fn origin(leeward: &Leeward) -> Value {
    let status = leeward.status_get("/status.json").text();
    let status: Value = serde_json::from_str(&status).expect("JSON");
    status["origin"].clone()
}

fn number(of: &Value) -> u32 {
    of.as_u64()
        .and_then(|it| u32::try_from(it).ok())
        .expect("a process number")
}

fn pid(leeward: &Leeward) -> u32 {
    let page = h1::get(leeward.edge(), "/", DUE).expect("an answer");
    page.origin_pid().expect("the page tells the process")
}

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid as i32).expect("a process number");
    kill_process(pid, signal).expect("it can be signalled");
}

/// The state of a process, as the kernel tells it; `None` where it is gone.
fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

fn wait_gone(pid: u32) {
    let by = Instant::now() + DUE;
    while state(pid).is_some_and(|it| it != 'Z') {
        assert!(
            Instant::now() < by,
            "{pid} is still there: {:?}",
            state(pid)
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_frozen_origin_is_relieved_in_an_instant_and_then_ended() {
    let (leeward, ledger) = guarded(&["--threads", "4"], "");
    let (first, second) = (pid(&leeward), number(&origin(&leeward)["standby"]["pid"]));
    assert_ne!(first, second);
    signal(first, Signal::STOP);
    let ((), toll) = under_load(leeward.edge(), 50, ledger.path(), || {
        leeward.wait_log("incident closed", DUE);
    });
    assert_eq!(pid(&leeward), second);
    wait_gone(first);
    let story = incidents(&leeward).remove(0);
    let ending = &story["ending"];
    println!(
        "frozen: detected after {} s, down for {} s; {}",
        ending["detection_seconds"],
        ending["downtime_seconds"],
        toll.told()
    );
    assert_eq!(story["judgement"]["verdict"], "stopped");
    assert!(
        ending["obituary"].to_string().contains("its standby"),
        "{ending}"
    );
    let course = story["timeline"].as_array().expect("a course");
    let words: Vec<_> = course.iter().filter_map(|it| it["what"].as_str()).collect();
    let part = [
        "verdict", "written", "frozen", "started", "ready", "reached",
    ];
    assert!(words.windows(part.len()).any(|it| it == part), "{words:?}");
    let started = course.iter().find(|it| it["what"] == "started");
    let note = started.map(|it| it["note"].to_string()).unwrap_or_default();
    assert!(
        note.contains("its standby took over, generation 2"),
        "{note}"
    );
    // The evidence and no start, which would take a second.
    assert!(
        ending["downtime_seconds"].as_f64().expect("a number") < 0.9,
        "{ending}"
    );
    assert_eq!((toll.unserved("GET").1, toll.unserved("POST").1), (0, 0));
    assert_eq!((toll.doubled(), toll.invented()), (0, 0));
    let said = leeward.stderr();
    let place = |part: &str| {
        said.find(part)
            .unwrap_or_else(|| panic!("{part} is missing"))
    };
    assert!(place("incident opened") < place("the origin is frozen"));
    assert!(place("the origin is frozen") < place("requests reach the origin again"));
    assert!(place("requests reach the origin again") < place("origin was ended by signal 9"));
    // There is another one before long.
    leeward.wait_log_nth("the standby is ready", 2, DUE);
    wait_metric(&leeward, "leeward_origin_standby{readiness=\"proven\"} 1");
}

/// It would wake up in a grace, ignore TERM, and go on with what lies before it.
#[test]
fn a_hung_origin_gets_no_grace_in_which_it_could_do_what_the_standby_is_given() {
    let (leeward, ledger) = guarded(&["--ignore-term"], "");
    let (first, edge) = (pid(&leeward), leeward.edge());
    for _ in 0..4 {
        pid(&leeward);
    }
    std::thread::scope(|scope| {
        let slow = scope.spawn(move || h1::get(edge, "/slow/20000", DUE));
        let by = Instant::now() + DUE;
        while processed(ledger.path(), "/slow/20000") == 0 {
            assert!(Instant::now() < by, "it is not at work");
        }
        let begun = Instant::now();
        let post =
            |number| h1::request(edge, "POST", &format!("/bytes/1?{number}"), &[], &[7], DUE);
        let asked: Vec<_> = (0..3)
            .map(|number| scope.spawn(move || post(number)))
            .collect();
        for answer in asked {
            assert_eq!(
                answer.join().expect("a client").expect("an answer").status,
                200
            );
        }
        // Sure after 2 s; a start would take another, and the usual grace three.
        assert!(
            begun.elapsed() < Duration::from_millis(2900),
            "{:?}",
            begun.elapsed()
        );
        // It is suspected of the hang, and sent to nobody else.
        assert_eq!(
            slow.join().expect("a client").expect("an answer").status,
            504
        );
    });
    wait_gone(first);
    assert_eq!(processed(ledger.path(), "POST /bytes/1"), 3);
    assert_eq!(
        incidents(&leeward)[0]["judgement"]["verdict"],
        "hung-blocked"
    );
}

#[test]
fn a_killed_origin_is_relieved_too() {
    let (leeward, _ledger) = guarded(&[], "");
    let second = number(&origin(&leeward)["standby"]["pid"]);
    signal(pid(&leeward), Signal::KILL);
    let asked = Instant::now();
    assert_eq!(pid(&leeward), second);
    assert!(
        asked.elapsed() < Duration::from_millis(900),
        "{:?}",
        asked.elapsed()
    );
    assert_eq!(origin(&leeward)["generation"], 2);
}

/// Requests under way are finished where they are, new ones go to the other: nobody is held.
#[test]
fn a_planned_restart_moves_all_requests_over_and_holds_none() {
    let (leeward, ledger) = guarded(&["--threads", "4"], "");
    let first = pid(&leeward);
    let edge = leeward.edge();
    let (slow, toll) = under_load(leeward.edge(), 100, ledger.path(), || {
        std::thread::scope(|scope| {
            let slow = scope.spawn(move || h1::request(edge, "POST", "/slow/700", &[], &[], DUE));
            wait_metric(
                &leeward,
                "leeward_origin_restarts_total{verdict=\"requested\"} 0",
            );
            std::thread::sleep(Duration::from_millis(200));
            let said = done(&leeward, &["restart"]);
            assert!(said.contains("generation 2 serves"), "{said}");
            slow.join().expect("a client").expect("an answer")
        })
    });
    println!("planned: {}", toll.told());
    assert_eq!(slow.status, 200);
    assert_ne!(pid(&leeward), first);
    wait_gone(first);
    assert_eq!((toll.unserved("GET").1, toll.unserved("POST").1), (0, 0));
    assert_eq!((toll.doubled(), toll.invented()), (0, 0));
    wait_metric(&leeward, "leeward_exchanges_held_total 0");
    wait_metric(
        &leeward,
        "leeward_origin_restarts_total{verdict=\"requested\"} 1",
    );
    assert!(incidents(&leeward).is_empty());
}

#[test]
fn a_standby_that_dies_or_freezes_is_replaced_and_told() {
    let (leeward, _ledger) = guarded(&[], "");
    let serves = pid(&leeward);
    let first = number(&origin(&leeward)["standby"]["pid"]);
    signal(first, Signal::KILL);
    leeward.wait_log("the standby ended by itself", DUE);
    leeward.wait_log_nth("the standby is ready", 2, DUE);
    let second = number(&origin(&leeward)["standby"]["pid"]);
    assert_ne!(first, second);
    signal(second, Signal::STOP);
    leeward.wait_log("the standby is stopped", DUE);
    wait_gone(second);
    assert_eq!(pid(&leeward), serves);
    assert!(incidents(&leeward).is_empty());
}

#[test]
fn the_hung_one_is_kept_frozen_for_a_debugger_until_somebody_lets_it_go() {
    let (leeward, ledger) = guarded(&["--threads", "4"], "keep = \"1h\"\n");
    let first = pid(&leeward);
    let nothing = order(&leeward, &["release", "frozen"]);
    assert!(!nothing.status.success());
    signal(first, Signal::STOP);
    let ((), toll) = under_load(leeward.edge(), 50, ledger.path(), || {
        leeward.wait_log("incident closed", DUE);
    });
    // A POST whose proof came too late on a busy machine is not sent again.
    assert_eq!(toll.unserved("GET").1, 0);
    assert_eq!(state(first), Some('T'));
    assert_eq!(origin(&leeward)["frozen"]["pid"], first);
    assert!(
        leeward
            .status_get("/")
            .text()
            .contains("leeward release frozen")
    );
    // Whoever lets it go on finds nothing that it could still work on.
    signal(first, Signal::CONT);
    std::thread::sleep(Duration::from_millis(300));
    let toll = toll.again(ledger.path());
    assert_eq!((toll.doubled(), toll.invented()), (0, 0), "{}", toll.told());
    let said = done(&leeward, &["release", "frozen"]);
    assert!(said.contains("is ended"), "{said}");
    wait_gone(first);
    assert_eq!(origin(&leeward)["frozen"], Value::Null);
}

#[test]
fn it_is_kept_no_longer_than_it_may_be() {
    let (mut leeward, _ledger) = guarded(&[], "keep = \"1s\"\n");
    let first = pid(&leeward);
    signal(first, Signal::STOP);
    leeward.wait_log("kept frozen for", DUE);
    let kept = Instant::now();
    wait_gone(first);
    assert!(
        kept.elapsed() > Duration::from_millis(700),
        "{:?}",
        kept.elapsed()
    );
    leeward.wait_log_nth("the standby is ready", 2, DUE);
    let left = number(&origin(&leeward)["standby"]["pid"]);
    assert!(leeward.terminate().success());
    assert_eq!(state(left), None, "the standby outlives Leeward");
}

#[test]
fn twelve_generations_leave_no_descriptor_behind() {
    let ledger = NamedTempFile::new().expect("a file");
    let path = ledger.path().display().to_string();
    let command = [
        &ailing().display().to_string(),
        "--listen",
        "{address}",
        "--ledger",
        &path,
    ];
    let leeward = Leeward::start(&format!(
        "[edge]\nlisten = \"127.0.0.1:0\"\n[edge.limits]\nconnections_per_address = \"off\"\n\
         [status]\nlisten = \"127.0.0.1:0\"\n\
         [incidents]\ndirectory = \"@DIR@/incidents\"\n\
         [origin]\naddress = \"127.0.0.1:0\"\nconcurrency = 1\n\
         [origin.process]\ncommand = {command:?}\n\
         [restart]\nbackoff = \"10ms\"\nbackoff_most = \"10ms\"\n\
         [standby]\naddress = \"127.0.0.1:0\"\n"
    ));
    let open = || {
        let entries = std::fs::read_dir(format!("/proc/{}/fd", leeward.pid()));
        entries.expect("its descriptors").count()
    };
    leeward.wait_log("the standby is ready", DUE);
    let before = open();
    for restarts in 1..=12 {
        done(&leeward, &["restart"]);
        leeward.wait_log_nth("the standby is ready", restarts + 1, DUE);
    }
    assert_eq!(origin(&leeward)["generation"], 13);
    assert!(open() <= before + 3, "{} where there were {before}", open());
}
