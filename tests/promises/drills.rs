//! `leeward drill` does nothing unless it is asked twice, and then tells what a failure cost.

use std::process::Output;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::house::{DUE, before, behind, incidents};
use crate::skip;
use crate::support::h1::Connection;
use crate::support::origin::Origin;
use crate::support::{Leeward, h1, leeward, start};

fn drill(leeward_under_drill: &Leeward, kind: &str, more: &[&str]) -> Output {
    let url = format!("http://{}", leeward_under_drill.status());
    let mut words = vec!["drill", kind, "--url", &url];
    words.extend(more);
    leeward(&words)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn pid(leeward: &Leeward) -> Option<u32> {
    h1::get(leeward.edge(), "/", DUE)
        .expect("an answer")
        .origin_pid()
}

#[test]
fn a_drill_that_is_asked_for_once_only_tells_what_it_would_do() {
    let leeward = behind(&[], "");
    let before = pid(&leeward).expect("the page tells the process");
    let asked = drill(&leeward, "freeze", &[]);
    assert_eq!(asked.status.code(), Some(2));
    let told = said(&asked);
    assert!(told.contains(&format!("freeze process {before}")), "{told}");
    assert!(told.contains("Nothing was done"), "{told}");
    assert_eq!(pid(&leeward), Some(before));
}

#[test]
fn a_frozen_origin_is_drilled_and_nobody_is_turned_away() {
    let leeward = behind(&[], "[hang]\ncertain = \"500ms\"\n");
    let before = pid(&leeward);
    let done = drill(&leeward, "freeze", &["--yes", "--json"]);
    let told = said(&done);
    assert_eq!(done.status.code(), Some(0), "{told}");
    let report: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(report["incident"]["verdict"], "stopped");
    assert!(report["incident"]["downtime_seconds"].is_number());
    assert!(report["incident"]["detection_seconds"].as_f64() >= Some(0.4));
    assert_eq!(report["lost"], 0);
    assert_eq!(report["witnesses"]["served"], report["witnesses"]["asked"]);
    assert_ne!(pid(&leeward), before);
    assert_eq!(incidents(&leeward).len(), 1);
}

#[test]
fn a_serial_origin_is_held_by_the_drill_and_let_go() {
    let leeward = behind(&[], "[hang]\ncertain = \"500ms\"\n");
    let done = drill(&leeward, "block", &["--yes"]);
    let told = said(&done);
    assert_eq!(done.status.code(), Some(0), "{told}");
    assert!(told.contains("verdict    hung-blocked"), "{told}");
    assert!(
        told.contains("detection") && told.contains("0 lost"),
        "{told}"
    );
}

/// An endless loop is sure after three times `silent`.
const SPIN_SOON: &str = "[hang]\ncertain = \"500ms\"\nsilent = \"1s\"\n";

#[test]
fn an_origin_is_made_to_spin_and_replaced_for_that() {
    let leeward = behind(&[], SPIN_SOON);
    let before = pid(&leeward);
    let asked = drill(&leeward, "spin", &[]);
    let refused = String::from_utf8_lossy(&asked.stderr).into_owned();
    if refused.contains("kernel.yama.ptrace_scope") {
        skip!(refused);
    }
    assert_eq!(asked.status.code(), Some(2), "{refused}");
    let told = said(&asked);
    let wanted = format!(
        "process {}, the origin, run in a circle",
        before.expect("a process")
    );
    assert!(
        told.contains(&wanted) && told.contains("Nothing was done"),
        "{told}"
    );
    assert_eq!(pid(&leeward), before);

    // It runs the same program and the same libraries, from the same pages.
    let other = Origin::start(&[]);
    let done = drill(&leeward, "spin", &["--yes", "--json"]);
    let told = said(&done);
    let report: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    let incident = &report["incident"];
    assert_eq!(incident["verdict"], "hung-spinning", "{told}");
    let sentence = incident["sentence"].as_str().unwrap_or_default();
    assert!(sentence.contains(" running, "), "{sentence}");
    let detection = incident["detection_seconds"].as_f64();
    assert!((2.5..10.0).contains(&detection.expect("seconds")), "{told}");
    assert!(incident["downtime_seconds"].is_number(), "{told}");
    assert!(report["held"].as_u64() > Some(0), "{told}");
    // The one that was with it may be the cause, and is not sent again; all others are served.
    let number = |value: &serde_json::Value| value.as_u64().expect("a number");
    let witnesses = &report["witnesses"];
    let turned_away = number(&witnesses["asked"]) - number(&witnesses["served"]);
    assert!(turned_away <= 1 && number(&report["lost"]) <= 1, "{told}");
    assert_eq!(done.status.code(), Some(turned_away as i32), "{told}");
    assert_ne!(pid(&leeward), before);
    let mut bystander = Connection::connect_plain(other.address(), DUE).expect("it accepts");
    let answer = bystander.request("GET", "/", &[], &[]).expect("an answer");
    assert_eq!(answer.status, 200);
}

#[test]
fn an_origin_that_spun_goes_on_as_if_nothing_had_been() {
    for threads in [&["--threads", "4"][..], &[]] {
        let leeward = behind(threads, "[hang]\nsilent = \"1h\"\n");
        let before = pid(&leeward);
        let asked = drill(&leeward, "spin", &[]);
        if asked.status.code() != Some(2) {
            skip!(String::from_utf8_lossy(&asked.stderr));
        }
        let (edge, url) = (leeward.edge(), format!("http://{}", leeward.status()));
        let mut drilling = start(&["drill", "spin", "--yes", "--url", &url]);
        // Whoever asks now has to wait, until the drill is broken off.
        // On a machine that is busy with other tests, a circle gets no whole processor.
        wait_share(&leeward, 0.1);
        let asked = std::thread::spawn(move || h1::get(edge, "/", DUE));
        drilling.signal(Signal::INT);
        assert_eq!(drilling.wait(DUE).and_then(|it| it.code()), Some(1));
        let told = drilling.stderr.whole(DUE);
        assert!(told.contains("what was done is undone"), "{told}");
        let answer = asked.join().expect("a client").expect("an answer");
        assert_eq!((answer.status, answer.origin_pid()), (200, before));
        for _ in 0..20 {
            assert_eq!(pid(&leeward), before);
        }
        assert!(incidents(&leeward).is_empty());
    }
}

/// Waits until the origin is told to use more than this share of a processor.
fn wait_share(leeward: &Leeward, share: f64) {
    let until = Instant::now() + DUE;
    loop {
        let text = leeward.status_get("/status.json").text();
        let status: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        if status["origin"]["processor_share"].as_f64() > Some(share) {
            return;
        }
        assert!(Instant::now() < until, "{text}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Nobody would restart it.
#[test]
fn an_observed_origin_cannot_be_made_to_spin() {
    let origin = Origin::start(&[]);
    let leeward = before(origin.address(), "");
    let asked = drill(&leeward, "spin", &["--yes"]);
    assert_eq!(asked.status.code(), Some(1));
    let told = String::from_utf8_lossy(&asked.stderr).into_owned();
    assert!(told.contains("the origin is somebody else's"), "{told}");
}

#[test]
fn a_drill_without_a_leeward_says_so() {
    let none = leeward(&["drill", "kill", "--url", "http://127.0.0.1:1", "--yes"]);
    assert_eq!(none.status.code(), Some(1));
    let told = String::from_utf8_lossy(&none.stderr).into_owned();
    assert!(told.contains("is Leeward running"), "{told}");
}
