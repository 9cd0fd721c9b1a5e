//! What an origin holds ever more of is told while it grows, and in the incident that ends it.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::brought_on::signalled;
use crate::house::{DUE, behind, incidents, wait_metric};
use crate::support::{Leeward, h1};

/// What it hoards is looked at each half minute.
const RUMMAGED: Duration = Duration::from_secs(60);

fn origin(leeward: &Leeward) -> Value {
    let text = leeward.status_get("/status.json").text();
    let mut status: Value = serde_json::from_str(&text).expect("JSON");
    status["origin"].take()
}

/// Asks for these five times a second, until the origin is told so.
fn until(leeward: &Leeward, asks: &[&str], is_so: impl Fn(&Value) -> bool) -> Value {
    let due = Instant::now() + RUMMAGED;
    loop {
        let told = origin(leeward);
        if is_so(&told) {
            return told;
        }
        assert!(Instant::now() < due, "{told:#}");
        for ask in asks {
            let answer = h1::get(leeward.edge(), ask, DUE).expect("an answer");
            assert_eq!(answer.status, 200);
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn ended_by(leeward: &Leeward, signal: Signal) -> Value {
    let _held = signalled(leeward, signal).expect("a signal");
    leeward.wait_log("incident closed", DUE);
    incidents(leeward).remove(0)
}

#[test]
fn a_leak_is_told_while_it_grows_and_in_the_incident_after_it() {
    let leeward = behind(&[], "[hang]\ncertain = \"500ms\"\n");
    let begun = Instant::now();
    let asks = ["/leak/fds/3", "/leak/memory/1"];
    let told = until(&leeward, &asks, |origin| {
        let growth = &origin["growth"];
        growth["descriptors"]["steady"] == true && growth["memory_bytes"]["steady"] == true
    });
    let grown = &told["growth"]["descriptors"];
    println!("after {:?}: {:#}", begun.elapsed(), told["growth"]);
    let number = |value: &Value| value.as_f64().expect("a number");
    assert!(number(&grown["start"]) < 20.0, "{grown}");
    assert!(
        number(&grown["now"]) > number(&grown["start"]) + 60.0,
        "{grown}"
    );
    assert!(number(&grown["per_hour"]) > 10_000.0, "{grown}");
    assert!(number(&grown["over_seconds"]) > 5.0, "{grown}");
    assert!(number(&grown["limit_reached_in_seconds"]) > 0.0, "{grown}");
    assert_ne!(told["growth"]["threads"]["steady"], true);
    let facts = told["evidence_for"].as_array().expect("facts");
    let is_told = |parts: &[&str]| {
        let mut facts = facts.iter().filter_map(Value::as_str);
        facts.any(|fact| parts.iter().all(|part| fact.contains(part)))
    };
    let of_descriptors = [
        " descriptors, ",
        " at its start ",
        " more an hour; at this pace",
    ];
    assert!(is_told(&of_descriptors), "{facts:?}");
    assert!(
        is_told(&[" bytes of memory, ", " more an hour"]),
        "{facts:?}"
    );
    let page = leeward.status_get("/").text();
    assert!(page.contains(" at its start, "), "{page}");

    let incident = ended_by(&leeward, Signal::STOP);
    assert_eq!(incident["judgement"]["verdict"], "stopped");
    let growth = &incident["growth"];
    assert_eq!(growth["descriptors"]["start"], grown["start"]);
    assert_eq!(growth["descriptors"]["steady"], true, "{growth:#}");
    assert_eq!(growth["memory_bytes"]["steady"], true, "{growth:#}");
    // The next one starts anew.
    let next = until(&leeward, &[], |it| it["growth"]["descriptors"].is_object());
    assert!(
        number(&next["growth"]["descriptors"]["now"]) < 20.0,
        "{next:#}"
    );
}

#[test]
fn connections_that_are_forgotten_are_told_as_growth() {
    let leeward = behind(&[], "");
    until(&leeward, &[], |it| it["growth"]["close_wait"]["now"] == 0);
    let asked = h1::get(leeward.edge(), "/leak/close-wait/20", DUE);
    assert_eq!(asked.expect("an answer").status, 200);
    until(&leeward, &[], |it| it["close_wait"] == 20);
    wait_metric(&leeward, "leeward_origin_close_wait 20");
    let incident = ended_by(&leeward, Signal::KILL);
    let grown = &incident["growth"]["close_wait"];
    assert_eq!((&grown["start"], &grown["now"]), (&0.into(), &20.into()));
    // A step is no leak.
    assert_eq!(grown["steady"], false);
}
