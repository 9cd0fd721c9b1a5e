//! Who waits for the next generation: in order, within bounds, and at the pace that generation has proven.

use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::house::{DUE, behind, configuration, incidents, sick, wait_metric};
use crate::support::frames::{RST_STREAM, Raw};
use crate::support::h1::{self, Connection};
use crate::support::origin::processed;
use crate::support::response::{Response, pattern};
use crate::support::{Leeward, free_port};

/// An origin takes so long to start that all who are to wait for it do.
const LATE: [&str; 2] = ["--start-delay-ms", "1500"];
/// Whoever is restarted is so at once.
const QUICK: &str = "[restart]\nbackoff = \"50ms\"\nbackoff_most = \"1s\"\ndegraded_after = 100\n";

fn kill(leeward: &Leeward) {
    let page = h1::get(leeward.edge(), "/", DUE).expect("an answer");
    let pid = page.origin_pid().expect("the page tells the process");
    let pid = Pid::from_raw(pid as i32).expect("a process number");
    kill_process(pid, Signal::KILL).expect("the origin can be killed");
    leeward.wait_log("origin was ended by signal 9", DUE);
}

fn ask(leeward: &Leeward, method: &'static str, path: String) -> JoinHandle<Response> {
    let edge = leeward.edge();
    std::thread::spawn(move || {
        h1::request(edge, method, &path, &[], &[], DUE)
            .unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    })
}

fn wait_held(leeward: &Leeward, count: usize) {
    wait_metric(leeward, &format!("leeward_requests_held {count}"));
}

fn until(what: &str, mut so: impl FnMut() -> bool) {
    let by = Instant::now() + DUE;
    while !so() {
        assert!(Instant::now() < by, "not within {DUE:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn lines(ledger: &Path, part: &str) -> Vec<String> {
    let text = std::fs::read_to_string(ledger).unwrap_or_default();
    let lines = text.lines().filter(|line| line.contains(part));
    lines.map(str::to_owned).collect()
}

#[test]
fn who_waits_for_the_next_origin_is_served_in_the_order_of_coming_and_a_replay_before_all() {
    let ledger = tempfile::NamedTempFile::new().expect("a file");
    let path = ledger.path().display().to_string();
    let command = sick(&["--ledger", &path, LATE[0], LATE[1]]);
    let config = configuration(&command, free_port(), QUICK)
        .replace("[edge]\n", "[edge]\nthreads = 4\n")
        .replace("[origin]\n", "[origin]\nconcurrency = 1\n");
    let leeward = Leeward::start(&config);
    leeward.wait_log("origin ready", DUE);
    let page = h1::get(leeward.edge(), "/", DUE).expect("an answer");
    let mut asked = vec![ask(&leeward, "GET", "/slow/400?turn=00".to_owned())];
    until("the first is at the origin", || {
        processed(ledger.path(), "turn=00") == 1
    });
    // Those that queue up behind it are held with it.
    for turn in 1..4 {
        asked.push(ask(&leeward, "POST", format!("/bytes/1?turn={turn:02}")));
        wait_metric(&leeward, &format!("leeward_requests_queued {turn}"));
    }
    let pid = Pid::from_raw(page.origin_pid().expect("its process") as i32);
    kill_process(pid.expect("a number"), Signal::KILL).expect("the origin can be killed");
    wait_held(&leeward, 4);
    for turn in 4..20 {
        asked.push(ask(&leeward, "POST", format!("/bytes/1?turn={turn:02}")));
        wait_held(&leeward, turn + 1);
    }
    for answer in asked {
        assert_eq!(answer.join().expect("a client").status, 200);
    }
    let turns: Vec<_> = lines(ledger.path(), "turn=")
        .iter()
        .filter_map(|line| line.split("turn=").nth(1)?[..2].parse::<u32>().ok())
        .collect();
    let wanted: Vec<u32> = std::iter::once(0).chain(0..20).collect();
    assert_eq!(turns, wanted);
}

#[test]
fn an_origin_that_dies_of_the_first_held_request_does_not_take_the_others_with_it() {
    let ledger = tempfile::NamedTempFile::new().expect("a file");
    let path = ledger.path().display().to_string();
    let threads = ["--threads", "8", "--ledger", &path, LATE[0], LATE[1]];
    let config = configuration(&sick(&threads), free_port(), QUICK)
        .replace("[origin]\n", "[origin]\nconcurrency = 8\n");
    let leeward = Leeward::start(&config);
    leeward.wait_log("origin ready", DUE);
    kill(&leeward);
    let deadly = ask(&leeward, "POST", "/exit/7".to_owned());
    wait_held(&leeward, 1);
    let mut others = Vec::new();
    for number in 2..9 {
        others.push(ask(&leeward, "POST", format!("/slow/200?{number}")));
        wait_held(&leeward, number);
    }
    assert_eq!(deadly.join().expect("a client").status, 502);
    for other in others {
        let answer = other.join().expect("a client");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert_eq!(processed(ledger.path(), "/slow/200"), 7);
    assert_eq!(incidents(&leeward).len(), 2);
}

#[test]
fn who_was_held_is_not_turned_away_when_the_gate_opens() {
    let more = format!("{QUICK}[hold]\nrequests = 20\n");
    let config = configuration(&sick(&LATE), free_port(), &more)
        .replace("[origin]\n", "[origin]\nconcurrency = 1\nqueue = 2\n");
    let leeward = Leeward::start(&config);
    leeward.wait_log("origin ready", DUE);
    kill(&leeward);
    let asked: Vec<_> = (0..20)
        .map(|number| ask(&leeward, "POST", format!("/slow/20?{number}")))
        .collect();
    wait_held(&leeward, 20);
    let beyond = h1::get(leeward.edge(), "/", DUE).expect("an answer of ours");
    assert_eq!(beyond.status, 503, "{}", beyond.text());
    for answer in asked {
        let answer = answer.join().expect("a client");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

#[test]
fn a_client_that_leaves_while_it_is_held_leaves_its_place_and_is_not_asked_for() {
    let ledger = tempfile::NamedTempFile::new().expect("a file");
    let path = ledger.path().display().to_string();
    let more = format!("{QUICK}[hold]\nrequests = 1\n");
    let leeward = behind(&["--ledger", &path, LATE[0], LATE[1]], &more);
    kill(&leeward);

    let mut one = Connection::connect(leeward.edge(), DUE).expect("a connection");
    one.send(b"GET /bytes/1?gone HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    wait_held(&leeward, 1);
    drop(one);
    wait_held(&leeward, 0);

    let mut two = Raw::connect(leeward.edge(), 1 << 20, DUE).expect("a connection");
    two.get(1, "/bytes/1?gone").expect("sent");
    wait_held(&leeward, 1);
    let cancel = 8_u32.to_be_bytes();
    two.frame(RST_STREAM, 0, 1, &cancel).expect("sent");
    wait_held(&leeward, 0);

    two.get(3, "/bytes/10?stays").expect("sent");
    assert_eq!(two.read_body(3).expect("an answer"), pattern(10));
    assert_eq!(processed(ledger.path(), "stays"), 1);
    assert_eq!(processed(ledger.path(), "gone"), 0);
}

/// The bytes of what is held rest in the spool, and its budget bounds them.
#[test]
fn the_bodies_of_held_requests_are_bounded_by_the_spool() {
    let spool = "[spool]\nexchange = \"64KiB\"\nmemory = \"1MiB\"\ndisk = \"off\"\n";
    let leeward = behind(&LATE, &format!("{QUICK}{spool}"));
    kill(&leeward);
    let edge = leeward.edge();
    let asked: Vec<_> = (0..8)
        .map(|_| {
            std::thread::spawn(move || {
                let body = pattern(300_000);
                h1::request(edge, "POST", "/bytes/1", &[], &body, DUE).expect("an answer")
            })
        })
        .collect();
    // Beyond the 64 KiB each may have, 300,000 bytes take four or five pieces of 64 KiB out of sixteen.
    let answers = asked.into_iter().map(|it| it.join().expect("a client"));
    let statuses: Vec<_> = answers.map(|answer| answer.status).collect();
    let count = |status| statuses.iter().filter(|it| **it == status).count();
    assert!((1..=4).contains(&count(200)), "{statuses:?}");
    assert_eq!(count(200) + count(503), 8, "{statuses:?}");
    wait_metric(&leeward, "leeward_spool_bytes{where=\"memory\"} 0");
    assert_eq!(h1::get(edge, "/", DUE).expect("an answer").status, 200);
}
