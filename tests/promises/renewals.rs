//! An origin that serves is replaced before it fails, when nobody is at work with it, and nobody loses by it.

use std::thread;
use std::time::Instant;

use crate::brought_on::pid;
use crate::house::{DUE, behind, incidents, wait_metric};
use crate::support::h1;

/// A restart is forgotten at once: what leaks may be replaced as soon as it does.
const SOON: &str = "[origin.limits]\ndescriptors = 60\n[restart]\nforget = \"1ms\"\n";

#[test]
fn an_origin_that_leaks_is_replaced_when_it_has_done_what_is_under_way() {
    let leeward = behind(&["--threads", "4"], SOON);
    let before = pid(&leeward);
    let edge = leeward.edge();
    let ask = |path: &'static str| thread::spawn(move || h1::get(edge, path, DUE));
    let slow = ask("/slow/3000");
    wait_metric(&leeward, "leeward_exchanges_in_flight 1");
    assert_eq!(
        h1::get(edge, "/leak/fds/60", DUE)
            .expect("an answer")
            .status,
        200
    );
    let slow = slow.join().expect("a client").expect("an answer");
    assert_eq!((slow.status, slow.origin_pid()), (200, Some(before)));
    leeward.wait_log("incident closed", DUE);
    let told = incidents(&leeward).remove(0);
    assert_eq!(told["judgement"]["verdict"], "leaking");
    let sentence = told["sentence"].as_str().expect("a sentence");
    assert!(
        sentence.starts_with(&format!("process {before} holds ")),
        "{sentence}"
    );
    assert!(
        sentence.contains("60 is the limit (origin.limits.descriptors)"),
        "{sentence}"
    );
    assert_eq!(told["ending"]["requests"]["lost"], 0);
    // While what was under way was finished, new ones were held: that is told, and counted.
    let course = told["timeline"].as_array().expect("a course");
    let after = |what: &str| {
        let found = course.iter().find(|it| it["what"] == what);
        let found = found.unwrap_or_else(|| panic!("no {what} in {told:#}"));
        found["after_seconds"].as_f64().expect("a length")
    };
    assert!(after("verdict") >= after("held"), "{told:#}");
    let unserved = told["ending"]["unserved_seconds"].as_f64();
    assert!(
        unserved.is_some_and(|it| (it - after("reached")).abs() < 0.02),
        "{told:#}"
    );
    wait_metric(
        &leeward,
        "leeward_origin_restarts_total{verdict=\"leaking\"} 1",
    );
    assert_ne!(pid(&leeward), before);
}

#[test]
fn an_origin_that_leaks_is_replaced_under_load_too_and_nobody_is_lost() {
    let more = format!("{SOON}quiet = \"500ms\"\n");
    let leeward = behind(&["--threads", "4"], &more);
    let before = pid(&leeward);
    let edge = leeward.edge();
    assert_eq!(
        h1::get(edge, "/leak/fds/60", DUE)
            .expect("an answer")
            .status,
        200
    );
    let until = Instant::now() + DUE;
    loop {
        assert!(Instant::now() < until, "it is still the same");
        let answer = h1::request(edge, "POST", "/slow/100", &[], &[], DUE).expect("an answer");
        assert_eq!(answer.status, 200);
        if answer.origin_pid() != Some(before) {
            break;
        }
    }
}

#[test]
fn an_origin_is_replaced_when_it_has_run_for_as_long_as_it_was_meant_to() {
    let leeward = behind(&[], "[restart]\nevery = \"3s\"\n");
    let before = pid(&leeward);
    leeward.wait_log("generation=2", DUE);
    wait_metric(
        &leeward,
        "leeward_origin_restarts_total{verdict=\"scheduled\"} 1",
    );
    assert!(incidents(&leeward).is_empty());
    assert_ne!(pid(&leeward), before);
}
