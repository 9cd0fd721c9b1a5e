//! `leeward drill` does nothing unless it is asked twice, and then tells what a failure cost.

use std::process::Output;

use crate::house::{DUE, behind, incidents};
use crate::support::{Leeward, h1, leeward};

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

#[test]
fn a_drill_without_a_leeward_says_so() {
    let none = leeward(&["drill", "kill", "--url", "http://127.0.0.1:1", "--yes"]);
    assert_eq!(none.status.code(), Some(1));
    let told = String::from_utf8_lossy(&none.stderr).into_owned();
    assert!(told.contains("is Leeward running"), "{told}");
}
