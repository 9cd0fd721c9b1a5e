//! What was under way when the origin ended is sent to the next one where that does no harm, and then only.

use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::NamedTempFile;

use crate::house::{DUE, before, behind, configuration, incidents, sick};
use crate::support::h1;
use crate::support::origin::processed;
use crate::support::response::{Response, pattern};
use crate::support::scripted::Scripted;
use crate::support::{Leeward, free_port};

/// A hang is sure after 2 s, and then there are 3 s from TERM to KILL.
const SOON: &str = "[hang]\ncertain = \"500ms\"\nsilent = \"2s\"\n[restart]\nbackoff = \"100ms\"\ngrace = \"3s\"\n\
    grace_certain = \"3s\"\n";

/// Leeward in front of a sick origin that is asked four things at once, and its ledger.
fn crowded(options: &[&str]) -> (Leeward, NamedTempFile) {
    let ledger = NamedTempFile::new().expect("a file");
    let path = ledger.path().display().to_string();
    let options: Vec<_> = ["--ledger", &path].iter().chain(options).copied().collect();
    let config = configuration(&sick(&options), free_port(), SOON)
        .replace("[origin]\n", "[origin]\nconcurrency = 4\n");
    let leeward = Leeward::start(&config);
    leeward.wait_log("origin ready", DUE);
    // So many answers, and it has all its slots.
    for _ in 0..4 {
        pid(&leeward);
    }
    (leeward, ledger)
}

fn pid(leeward: &Leeward) -> u32 {
    let page = h1::get(leeward.edge(), "/", DUE).expect("an answer");
    page.origin_pid().expect("the page tells the process")
}

fn ask(leeward: &Leeward, method: &'static str, path: &str) -> JoinHandle<Response> {
    let (edge, path) = (leeward.edge(), path.to_owned());
    std::thread::spawn(move || {
        h1::request(edge, method, &path, &[], &[7; 1000], DUE)
            .unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    })
}

fn wait_under_way(leeward: &Leeward, request: &str, count: usize) {
    let by = Instant::now() + DUE;
    while leeward
        .status_get("/status.json")
        .text()
        .matches(request)
        .count()
        < count
    {
        assert!(Instant::now() < by, "{request} is not under way");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn each_once(asked: Vec<JoinHandle<Response>>, ledger: &Path, path: &str) {
    let count = asked.len();
    for answer in asked {
        let answer = answer.join().expect("a client");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    // Whatever the dying one did, it did before the next began.
    assert_eq!(processed(ledger, path), count);
}

/// The origin wakes up in its grace, ignores TERM, and goes on with what lies before it.
#[test]
fn what_the_origin_had_not_accepted_is_sent_to_the_next_and_processed_once() {
    let (leeward, ledger) = crowded(&["--ignore-term"]);
    let slow = ask(&leeward, "GET", "/slow/3500");
    wait_under_way(&leeward, "/slow/3500", 1);
    let asked: Vec<_> = (0..3)
        .map(|number| ask(&leeward, "POST", &format!("/bytes/1?{number}")))
        .collect();
    wait_under_way(&leeward, "POST /bytes/1", 3);
    each_once(asked, ledger.path(), "POST /bytes/1");
    assert_eq!(slow.join().expect("a client").status, 504);
    leeward.wait_log("KILL follows", DUE);
    leeward.wait_log("because", DUE);
    assert_eq!(
        incidents(&leeward)[0]["judgement"]["verdict"],
        "hung-blocked"
    );
}

#[test]
fn what_it_had_accepted_and_not_read_is_sent_to_the_next_and_processed_once() {
    let (leeward, ledger) = crowded(&["--ignore-term"]);
    ask(&leeward, "POST", "/dawdle/3/0/3500")
        .join()
        .expect("an answer");
    let asked: Vec<_> = (0..3)
        .map(|number| ask(&leeward, "POST", &format!("/bytes/1?{number}")))
        .collect();
    wait_under_way(&leeward, "POST /bytes/1", 3);
    each_once(asked, ledger.path(), "POST /bytes/1");
    leeward.wait_log("incident closed", DUE);
    let told = &incidents(&leeward)[0];
    let unread = told["unread"].as_array().expect("what it had not read");
    let of = |visit: &&serde_json::Value| unread.contains(&visit["id"]);
    let visits = told["visits"].as_array().expect("the visits").iter();
    let told: Vec<_> = visits.filter(of).map(|it| &it["request"]).collect();
    assert_eq!(told, ["POST /bytes/1"; 3]);
}

#[test]
fn what_it_had_begun_to_read_is_not_sent_again() {
    let (leeward, ledger) = crowded(&[]);
    ask(&leeward, "POST", "/dawdle/1/1/100000")
        .join()
        .expect("an answer");
    let begun = ask(&leeward, "POST", "/bytes/1?begun");
    wait_under_way(&leeward, "POST /bytes/1", 1);
    let status = begun.join().expect("a client").status;
    assert!([502, 504].contains(&status), "{status}");
    assert_eq!(processed(ledger.path(), "begun"), 0);
}

/// The origin exits, and what it had not accepted waits at a door that one of its own still holds.
#[test]
fn what_waits_at_a_door_that_was_handed_over_is_sent_to_the_next_and_processed_once() {
    for heir in ["/hand-over/child", "/hand-over/daemon"] {
        let (leeward, ledger) = crowded(&[]);
        let slow = ask(&leeward, "GET", "/slow/700");
        wait_under_way(&leeward, "/slow/700", 1);
        let last = ask(&leeward, "GET", heir);
        wait_under_way(&leeward, heir, 1);
        let asked: Vec<_> = (0..2).map(|_| ask(&leeward, "POST", "/bytes/1")).collect();
        wait_under_way(&leeward, "POST /bytes/1", 2);
        for answered in [slow, last] {
            assert_eq!(answered.join().expect("a client").status, 200);
        }
        each_once(asked, ledger.path(), "POST /bytes/1");
    }
}

#[test]
fn what_a_frozen_origin_was_given_is_sent_to_the_next_and_processed_once() {
    let (leeward, ledger) = crowded(&["--threads", "4"]);
    let frozen = pid(&leeward);
    let frozen = Pid::from_raw(frozen as i32).expect("a process number");
    kill_process(frozen, Signal::STOP).expect("the origin can be frozen");
    let asked: Vec<_> = (0..4)
        .map(|number| ask(&leeward, "POST", &format!("/bytes/1?{number}")))
        .collect();
    each_once(asked, ledger.path(), "POST /bytes/1");
    assert_eq!(incidents(&leeward)[0]["judgement"]["verdict"], "stopped");
}

/// The kernel of an origin that is gone knows nothing of what it had read.
#[test]
fn what_was_under_way_when_the_origin_died_by_itself_is_sent_again_only_where_that_is_harmless() {
    let (leeward, ledger) = crowded(&[]);
    let origin = pid(&leeward);
    let slow = ask(&leeward, "GET", "/slow/2000");
    let by = Instant::now() + DUE;
    while processed(ledger.path(), "/slow/2000") == 0 {
        assert!(Instant::now() < by, "it is not at work");
    }
    let unread = ask(&leeward, "POST", "/bytes/1?unread");
    wait_under_way(&leeward, "POST /bytes/1", 1);
    let origin = Pid::from_raw(origin as i32).expect("a process number");
    kill_process(origin, Signal::KILL).expect("the origin can be killed");
    assert_eq!(slow.join().expect("a client").status, 200);
    assert_eq!(unread.join().expect("a client").status, 502);
}

/// Asked for `/slow/1500`, the origin is killed while it is at it.
fn killed_at_work(leeward: &Leeward, ledger: &Path, fields: &[(&str, &str)]) -> u16 {
    let origin = pid(leeward);
    let before = processed(ledger, "/slow/1500");
    let edge = leeward.edge();
    let status = std::thread::scope(|scope| {
        let client = scope.spawn(|| h1::request(edge, "POST", "/slow/1500", fields, &[], DUE));
        let by = Instant::now() + DUE;
        while processed(ledger, "/slow/1500") == before {
            assert!(Instant::now() < by, "it is not at work");
        }
        let origin = Pid::from_raw(origin as i32).expect("a process number");
        kill_process(origin, Signal::KILL).expect("the origin can be killed");
        client.join().expect("a client").expect("an answer").status
    });
    assert_eq!(
        processed(ledger, "/slow/1500") - before,
        if status == 200 { 2 } else { 1 }
    );
    status
}

#[test]
fn a_post_that_bears_a_key_is_sent_again_where_the_origin_knows_keys() {
    let ledger = NamedTempFile::new().expect("a file");
    let path = ledger.path().display().to_string();
    let key = [("Idempotency-Key", "\"8e03978e\"")];
    let deaf = behind(&["--ledger", &path], SOON);
    assert_eq!(killed_at_work(&deaf, ledger.path(), &key), 502);
    let knows = format!("{SOON}[replay]\nidempotency_key = true\n");
    let knowing = behind(&["--ledger", &path], &knows);
    assert_eq!(killed_at_work(&knowing, ledger.path(), &key), 200);
    assert_eq!(killed_at_work(&knowing, ledger.path(), &[]), 502);
}

/// An answer is shown when it is whole, when 64 KiB of its body are there, or 50 ms after the first byte of that.
#[test]
fn an_answer_of_which_the_client_has_seen_nothing_is_asked_for_again() {
    let asked = AtomicUsize::new(0);
    let origin = Scripted::tcp(move |request, peer| {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n";
        let _ = peer.write_all(head.as_bytes());
        let is_first = request.contains("/twice") && asked.fetch_add(1, Ordering::Relaxed) == 0;
        let given = if is_first { 59_000 } else { 60_000 };
        let _ = peer.write_all(&pattern(given));
    });
    let leeward = before(origin.address(), "");
    let answer = h1::get(leeward.edge(), "/twice", DUE).expect("a whole answer");
    assert_eq!(answer.status, 200);
    assert!(answer.body == pattern(60_000));
    assert_eq!(origin.heard("/twice").len(), 2);
    leeward.wait_log("sent to the origin again", DUE);
}

/// The head is there, and of the body nothing for longer than a beginning is kept back.
#[test]
fn a_head_alone_is_not_shown_so_that_its_request_is_asked_for_again() {
    let ledger = NamedTempFile::new().expect("a file");
    let path = ledger.path().display().to_string();
    let leeward = behind(&["--ledger", &path], SOON);
    let first = pid(&leeward);
    let answer = ask(&leeward, "GET", "/drip/700/1");
    let until = Instant::now() + DUE;
    while processed(ledger.path(), "GET /drip") == 0 {
        assert!(Instant::now() < until, "it is not asked");
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(200));
    let first = Pid::from_raw(first as i32).expect("a process number");
    kill_process(first, Signal::KILL).expect("the origin can be killed");
    let answer = answer.join().expect("a client");
    assert_eq!((answer.status, answer.body), (200, pattern(1)));
    assert_eq!(processed(ledger.path(), "GET /drip"), 2);
}
