//! What an operator wants is done, by those who may want it, and no request is lost by it that need not be.

use std::fs;
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::brought_on::{pid, signalled};
use crate::house::{DUE, behind, incidents, wait_metric};
use crate::support::h1::Connection;
use crate::support::response::Response;
use crate::support::{Leeward, h1, leeward};

/// `leeward VERB`, through the socket of this one.
pub fn order(to: &Leeward, words: &[&str]) -> Output {
    let socket = to.directory().join("leeward.sock");
    let (socket, url) = (
        socket.display().to_string(),
        format!("http://{}", to.status()),
    );
    let place = ["--socket", &socket, "--url", &url];
    leeward(&[words, &place].concat())
}

/// The same, which is carried out; what it said.
pub fn done(to: &Leeward, words: &[&str]) -> String {
    let output = order(to, words);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {said}{errors}");
    said
}

fn get(leeward: &Leeward, path: &str) -> Response {
    h1::get(leeward.edge(), path, DUE).expect("an answer")
}

fn stance(leeward: &Leeward) -> String {
    let status = leeward.status_get("/status.json").text();
    let status: Value = serde_json::from_str(&status).expect("JSON");
    status["origin"]["stance"]
        .as_str()
        .expect("a stance")
        .to_owned()
}

/// Clients that ask again and again, half of them what may not be asked twice, until they are told to stop; and what
/// they got.
fn crowd<T>(leeward: &Leeward, meanwhile: impl FnOnce() -> T) -> (T, Vec<u16>) {
    let is_over = AtomicBool::new(false);
    let edge = leeward.edge();
    thread::scope(|scope| {
        let clients: Vec<_> = (0..6)
            .map(|number| {
                let is_over = &is_over;
                scope.spawn(move || {
                    let method = if number % 2 == 0 { "GET" } else { "POST" };
                    let mut got = Vec::new();
                    while !is_over.load(Ordering::Relaxed) {
                        let answer = h1::request(edge, method, "/slow/20", &[], &[], DUE);
                        got.push(answer.expect("an answer").status);
                    }
                    got
                })
            })
            .collect();
        let result = meanwhile();
        is_over.store(true, Ordering::Relaxed);
        let got = clients
            .into_iter()
            .flat_map(|it| it.join().expect("a client"));
        (result, got.collect())
    })
}

#[test]
fn a_restart_that_was_asked_for_loses_nobody_and_no_page_that_is_under_way() {
    let leeward = behind(&["--threads", "8"], "");
    let before = pid(&leeward);
    let edge = leeward.edge();
    let slow = thread::spawn(move || h1::request(edge, "POST", "/slow/1500", &[], &[], DUE));
    wait_metric(&leeward, "leeward_exchanges_in_flight 1");
    let (said, got) = crowd(&leeward, || {
        (0..3)
            .map(|_| done(&leeward, &["restart"]))
            .collect::<String>()
    });
    assert!(
        said.contains("generation 2 serves") && said.contains("generation 4 serves"),
        "{said}"
    );
    let slow = slow.join().expect("a client").expect("an answer");
    assert_eq!((slow.status, slow.origin_pid()), (200, Some(before)));
    let lost = got.iter().filter(|status| **status != 200).count();
    assert_eq!(lost, 0, "of {}", got.len());
    assert!(got.len() > 6, "{}", got.len());
    assert_ne!(pid(&leeward), before);
    assert!(incidents(&leeward).is_empty());
    wait_metric(
        &leeward,
        "leeward_origin_restarts_total{verdict=\"requested\"} 3",
    );
}

#[test]
fn what_is_under_way_for_too_long_does_not_hold_a_restart_up() {
    let leeward = behind(
        &["--threads", "2"],
        "[restart]\ndrain = \"500ms\"\ngrace_drain = \"500ms\"\n",
    );
    let edge = leeward.edge();
    let slow = thread::spawn(move || h1::request(edge, "POST", "/slow/20000", &[], &[], DUE));
    wait_metric(&leeward, "leeward_exchanges_in_flight 1");
    done(&leeward, &["restart"]);
    let slow = slow.join().expect("a client").expect("an answer");
    assert_eq!(slow.status, 502);
}

#[test]
fn a_pause_holds_all_and_ends_when_it_is_said_or_over() {
    let leeward = behind(&[], "");
    let before = pid(&leeward);
    let edge = leeward.edge();
    assert!(done(&leeward, &["pause"]).contains("requests are held"));
    assert_eq!(stance(&leeward), "paused");
    assert_eq!(leeward.status_get("/readyz").status, 503);
    let held = thread::spawn(move || h1::get(edge, "/", DUE));
    wait_metric(&leeward, "leeward_requests_held 1");
    done(&leeward, &["resume"]);
    assert_eq!(
        held.join().expect("a client").expect("an answer").status,
        200
    );
    done(&leeward, &["pause", "--for", "1s"]);
    assert_eq!(get(&leeward, "/").status, 200);
    assert_eq!(stance(&leeward), "serving");
    assert_eq!(pid(&leeward), before);
}

#[test]
fn a_drain_finishes_what_is_under_way_and_refuses_the_rest() {
    let leeward = behind(&["--threads", "2"], "");
    let edge = leeward.edge();
    let slow = thread::spawn(move || h1::get(edge, "/slow/1500", DUE));
    wait_metric(&leeward, "leeward_exchanges_in_flight 1");
    let said = done(&leeward, &["drain"]);
    assert!(said.contains("drained: nothing is under way"), "{said}");
    assert_eq!(
        slow.join().expect("a client").expect("an answer").status,
        200
    );
    let refused = get(&leeward, "/");
    assert_eq!(refused.status, 503);
    assert!(
        refused.text().contains("taken out of service"),
        "{}",
        refused.text()
    );
    assert_eq!(leeward.status_get("/readyz").status, 503);
    wait_metric(&leeward, "leeward_requests_lost_total{reason=\"closed\"} 1");
    done(&leeward, &["resume"]);
    assert_eq!(get(&leeward, "/").status, 200);
}

#[test]
fn in_maintenance_the_origin_is_left_alone_however_it_is() {
    let leeward = behind(&[], "[hang]\ncertain = \"500ms\"\n");
    let before = pid(&leeward);
    done(&leeward, &["maintenance", "--for", "1h"]);
    let refused = get(&leeward, "/");
    assert_eq!(refused.status, 503);
    let retry: u32 = refused
        .header("retry-after")
        .and_then(|it| it.parse().ok())
        .expect("a number");
    assert!((3500..=3600).contains(&retry), "{retry}");
    let _frozen = signalled(&leeward, Signal::STOP).expect("it is frozen");
    wait_metric(&leeward, "leeward_origin_verdict{verdict=\"stopped\"} 1");
    // Three times as long as it takes to be certain.
    thread::sleep(Duration::from_millis(1500));
    assert_eq!(pid(&leeward), before);
    wait_metric(&leeward, "leeward_origin_state{state=\"maintenance\"} 1");
    assert!(incidents(&leeward).is_empty());
    done(&leeward, &["resume"]);
    assert_eq!(get(&leeward, "/").status, 200);
    assert_ne!(pid(&leeward), before);
}

#[test]
fn a_capture_tells_what_the_origin_does_and_disturbs_nothing() {
    let leeward = behind(&[], "");
    let before = pid(&leeward);
    let edge = leeward.edge();
    let slow = thread::spawn(move || h1::get(edge, "/slow/1500", DUE));
    wait_metric(&leeward, "leeward_exchanges_in_flight 1");
    let said = done(&leeward, &["capture"]);
    assert!(said.contains("has been in clock_nanosleep"), "{said}");
    let captured = incidents(&leeward).remove(0);
    let id = captured["id"].as_str().expect("an id");
    assert!(
        id.ends_with("-1-capture") && said.contains(id),
        "{id} {said}"
    );
    assert_eq!(captured["visits"][0]["request"], "GET /slow/1500");
    assert!(
        captured["ending"]["obituary"]
            .to_string()
            .contains("left as it was")
    );
    assert_eq!(
        slow.join().expect("a client").expect("an answer").status,
        200
    );
    assert_eq!(pid(&leeward), before);
}

#[test]
fn over_the_network_an_order_needs_the_token() {
    let scratch = tempfile::tempdir().expect("a directory");
    let token = scratch.path().join("token");
    fs::write(&token, "0123456789abcdef\n").expect("it is written");
    let ask = |leeward: &Leeward, method: &str, headers: &[(&str, &str)]| {
        let mut connection = Connection::connect_plain(leeward.status(), DUE).expect("it listens");
        let host = leeward.status().to_string();
        let headers = [headers, &[("host", host.as_str())]].concat();
        connection
            .request(method, "/pause?for=1s", &headers, &[])
            .expect("an answer")
    };
    let closed = behind(&[], "");
    let refused = ask(&closed, "POST", &[("authorization", "Bearer ")]);
    assert_eq!(refused.status, 403);
    assert!(
        refused.text().contains("status.token_file"),
        "{}",
        refused.text()
    );
    let config = format!(
        "[status]\nlisten = \"127.0.0.1:0\"\ntoken_file = \"{}\"\n",
        token.display()
    );
    let config =
        crate::house::configuration(&crate::house::sick(&[]), crate::support::free_port(), "")
            .replacen("[status]\nlisten = \"127.0.0.1:0\"\n", &config, 1);
    let leeward = Leeward::start(&config);
    leeward.wait_log("origin ready", DUE);
    assert_eq!(ask(&leeward, "POST", &[]).status, 401);
    assert_eq!(
        ask(
            &leeward,
            "POST",
            &[("authorization", "Bearer 0123456789abcdee")]
        )
        .status,
        401
    );
    leeward.wait_log("an order over the network was refused: POST /pause", DUE);
    assert_eq!(stance(&leeward), "serving");
    assert_eq!(ask(&leeward, "GET", &[]).status, 405);
    let good = ("authorization", "bearer 0123456789abcdef");
    assert_eq!(ask(&leeward, "POST", &[good, good]).status, 401, "twice");
    assert_eq!(ask(&leeward, "POST", &[good]).status, 200);
    assert_eq!(stance(&leeward), "paused");
    let url = format!("http://{}", leeward.status());
    let token = token.display().to_string();
    let place = ["maintenance", "--url", &url, "--token-file", &token];
    assert!(crate::support::leeward(&place).status.success());
    assert_eq!(stance(&leeward), "maintenance");
}

#[test]
fn an_order_that_reaches_nobody_or_makes_no_sense_says_so() {
    let nobody = leeward(&["restart", "--socket", "/no/such/socket", "--no-wait"]);
    assert_eq!(nobody.status.code(), Some(1));
    let said = String::from_utf8_lossy(&nobody.stderr).into_owned();
    assert!(
        said.contains("/no/such/socket") && said.contains("is Leeward running"),
        "{said}"
    );
    let leeward = behind(&[], "");
    let senseless = order(&leeward, &["pause", "--for", "never"]);
    assert_eq!(senseless.status.code(), Some(1));
    let said = String::from_utf8_lossy(&senseless.stderr).into_owned();
    assert!(
        said.contains("for=never: not a length of time from 1s to 24h"),
        "{said}"
    );
    assert_eq!(stance(&leeward), "serving");
}
