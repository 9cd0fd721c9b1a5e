//! A request that hangs the origin again and again is kept from it, and everything else is served.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::brought_on::pid;
use crate::house::{DUE, behind, incidents, wait_metric};
use crate::observed::observing;
use crate::support::response::Response;
use crate::support::standing::Standing;
use crate::support::{Leeward, Origin, h1, leeward};
use crate::verbs::{done, order};

/// What hangs the origin: it waits for a lock that nobody gives back.
const POISON: &str = "/block/lock";
const NONE: &str = "leeward_quarantined 0";

/// Leeward that is soon sure of a hang, with these keys in `[quarantine]`.
fn quarantining(keys: &str) -> Leeward {
    let more = format!(
        "[hang]\ncertain = \"500ms\"\nsilent = \"1500ms\"\n[restart]\nbackoff = \"10ms\"\n[quarantine]\n{keys}\n"
    );
    behind(&[], &more)
}

fn get(leeward: &Leeward, path: &str) -> Response {
    h1::get(leeward.edge(), path, DUE).expect("an answer")
}

fn told(leeward: &Leeward) -> Value {
    let status = leeward.status_get("/status.json").text();
    let mut status: Value = serde_json::from_str(&status).expect("JSON");
    status["quarantine"].take()
}

#[test]
fn a_request_that_hangs_the_origin_repeatedly_is_refused_and_all_others_are_served() {
    let leeward = quarantining("after = 2");
    let is_over = AtomicBool::new(false);
    let (refused, others) = thread::scope(|scope| {
        let others = scope.spawn(|| {
            let mut got = Vec::new();
            let begun = Instant::now();
            while !is_over.load(Ordering::Relaxed) && begun.elapsed() < DUE {
                got.push(get(&leeward, "/").status);
                thread::sleep(Duration::from_millis(20));
            }
            got
        });
        assert_eq!(get(&leeward, POISON).status, 504);
        wait_metric(&leeward, NONE);
        assert_eq!(get(&leeward, &format!("{POISON}?again")).status, 504);
        assert_eq!(get(&leeward, "/").status, 200);
        let before = pid(&leeward);
        let asked = Instant::now();
        let refused = [get(&leeward, POISON), get(&leeward, "/block/lock?x=1")];
        assert!(asked.elapsed() < Duration::from_millis(400), "at once");
        thread::sleep(Duration::from_secs(1));
        assert_eq!(get(&leeward, "/").status, 200);
        assert_eq!(pid(&leeward), before);
        is_over.store(true, Ordering::Relaxed);
        (refused, others.join().expect("a client"))
    });
    for refused in refused {
        assert_eq!(refused.status, 503);
        let left = refused.header("retry-after").and_then(|it| it.parse().ok());
        assert!(left.is_some_and(|left: u32| (550..=600).contains(&left)));
        let status = refused.header("proxy-status").expect("a status").to_owned();
        let words = "origin, hold: quarantine: this page has hung the server repeatedly";
        assert!(status.contains(words), "{status}");
    }
    assert!(others.len() > 10, "{others:?}");
    assert!(others.iter().all(|status| *status == 200), "{others:?}");
    wait_metric(&leeward, "leeward_quarantined 1");
    wait_metric(
        &leeward,
        "leeward_requests_lost_total{reason=\"quarantined\"} 2",
    );
    let it = &told(&leeward)[0];
    assert_eq!(
        (&it["request"], &it["hangs"]),
        (&"GET /block/lock".into(), &2.into())
    );
    let stories = incidents(&leeward);
    assert_eq!(stories.len(), 2);
    assert_eq!(stories[0]["quarantined"], Value::Null);
    assert_eq!(stories[1]["quarantined"], "GET /block/lock");
    // Each hang cost the request that hung.
    assert_eq!(stories[1]["ending"]["requests"]["lost"], 1);
    let url = format!("http://{}", leeward.status());
    let output = self::leeward(&["status", "--url", &url]).stdout;
    let words = "GET /block/lock after 2 hangs, for another 9 min";
    for seen in [
        String::from_utf8_lossy(&output).into_owned(),
        leeward.status_get("/").text(),
    ] {
        assert!(seen.contains(words), "{seen}");
    }
}

#[test]
fn those_who_waited_for_it_do_not_hang_the_origin_again() {
    let leeward = quarantining("after = 1");
    let edge = leeward.edge();
    let clients: Vec<_> = (0..5)
        .map(|_| thread::spawn(move || h1::get(edge, POISON, DUE).expect("an answer").status))
        .collect();
    let mut got: Vec<_> = clients
        .into_iter()
        .map(|client| client.join().expect("a client"))
        .collect();
    got.sort_unstable();
    assert_eq!(got, [503, 503, 503, 503, 504]);
    assert_eq!(incidents(&leeward).len(), 1);
}

#[test]
fn of_an_origin_that_is_only_observed_it_is_kept_as_well() {
    let origin = Origin::start(&[]);
    let more = "silent = \"1500ms\"\n[quarantine]\nafter = 1\n";
    let leeward = observing(&Standing::own(), origin.address(), more);
    let edge = leeward.edge();
    let poison = thread::spawn(move || h1::get(edge, POISON, DUE));
    wait_metric(&leeward, "leeward_quarantined 1");
    let refused = get(&leeward, POISON);
    assert_eq!(refused.status, 503);
    assert!(refused.text().contains("quarantine"), "{}", refused.text());
    drop(leeward);
    drop(poison.join());
}

#[test]
fn it_is_released_by_hand() {
    let leeward = quarantining("after = 1");
    assert_eq!(get(&leeward, POISON).status, 504);
    assert_eq!(get(&leeward, POISON).status, 503);
    let other = order(&leeward, &["release", "GET /other"]);
    let said = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(
        !other.status.success() && said.contains("there is: GET /block/lock"),
        "{said}"
    );
    for words in [
        &["release"][..],
        &["release", POISON],
        &["release", "GET /block/lock"],
    ] {
        wait_metric(&leeward, "leeward_quarantined 1");
        let said = done(&leeward, words);
        assert!(
            said.contains("out of quarantine: GET /block/lock"),
            "{said}"
        );
        wait_metric(&leeward, NONE);
        // The origin is asked again, and hangs again.
        assert_eq!(get(&leeward, POISON).status, 504);
    }
    done(&leeward, &["release", "all"]);
    assert!(done(&leeward, &["release"]).contains("nothing is in quarantine"));
}

#[test]
fn it_is_released_when_its_time_is_over_and_the_next_takes_twice_as_long() {
    let leeward = quarantining("after = 1\nlength = \"2s\"");
    assert_eq!(get(&leeward, POISON).status, 504);
    let refused = get(&leeward, POISON);
    assert_eq!(refused.status, 503);
    let left = refused.header("retry-after").map(str::to_owned);
    assert!(
        ["1", "2"].map(|left| Some(left.to_owned())).contains(&left),
        "{left:?}"
    );
    leeward.wait_log("out of quarantine", DUE);
    wait_metric(&leeward, NONE);
    assert_eq!(get(&leeward, POISON).status, 504);
    let left = told(&leeward)[0]["ends_in_seconds"].as_f64();
    assert!(
        left.is_some_and(|left| left > 2.0 && left <= 4.0),
        "{left:?}"
    );
}

#[test]
fn what_is_slow_or_only_waits_is_never_in_quarantine() {
    let leeward = quarantining("after = 1");
    let before = pid(&leeward);
    for path in ["/slow/1000", "/compute/1000", "/slow/1000"] {
        assert_eq!(get(&leeward, path).status, 200);
    }
    assert_eq!(pid(&leeward), before);
    let edge = leeward.edge();
    let poison = thread::spawn(move || h1::get(edge, POISON, DUE));
    wait_metric(&leeward, "leeward_exchanges_in_flight 1");
    // It waits while the origin hangs, and is served by the next.
    assert_eq!(get(&leeward, "/slow/500").status, 200);
    assert_eq!(
        poison.join().expect("a client").expect("an answer").status,
        504
    );
    assert_eq!(get(&leeward, "/slow/500").status, 200);
    let barred = told(&leeward);
    assert_eq!(barred.as_array().map(Vec::len), Some(1), "{barred}");
}
