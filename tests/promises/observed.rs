//! An origin that somebody else starts is looked at and judged as if it were ours, told as an incident, and left alone.

use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::house::{DUE, incidents, wait_metric};
use crate::skip;
use crate::support::origin::holding_client;
use crate::support::process::Running;
use crate::support::standing::Standing;
use crate::support::starving::Strain;
use crate::support::{Leeward, Origin, free_port, h1, leeward};

/// Hangs are sure sooner than by default, so that a test need not wait for it.
const SOON: &str = "[hang]\ncertain = \"500ms\"\n";
/// Between two looks for what is no event.
const EACH: Duration = Duration::from_millis(20);

/// A Leeward with this standing in front of whoever listens at `address`; its origin is known when this returns.
pub fn observing(standing: &Standing, address: &str, more: &str) -> Leeward {
    let leeward = Leeward::start_as(standing, &configured(address, more));
    leeward.wait_log("to=\"ready\"", DUE);
    leeward
}

fn configured(address: &str, more: &str) -> String {
    format!(
        "[edge]\nlisten = \"127.0.0.1:0\"\n[status]\nlisten = \"127.0.0.1:0\"\n\
         [incidents]\ndirectory = \"@DIR@/incidents\"\n\
         [origin]\naddress = \"{address}\"\nconcurrency = 1\n{SOON}{more}"
    )
}

/// The incident, once it was closed.
pub fn closed(leeward: &Leeward) -> Value {
    leeward.wait_log("incident closed", DUE);
    incidents(leeward).remove(0)
}

/// What is told of the origin.
pub fn told(leeward: &Leeward) -> Value {
    let json = leeward.status_get("/status.json").text();
    let mut json: Value = serde_json::from_str(&json).expect("JSON");
    json["origin"].take()
}

/// Waits until this process is known to be the origin's, and was looked at; returns what is told of it.
pub fn wait_known(leeward: &Leeward, pid: u32) -> Value {
    leeward.wait_log(&format!("is known pid={pid}"), DUE);
    let until = Instant::now() + DUE;
    loop {
        let told = told(leeward);
        if told["pid"] == pid && told["threads"].is_u64() {
            return told;
        }
        assert!(Instant::now() < until, "{told}");
        std::thread::sleep(EACH);
    }
}

fn hook() -> String {
    let tell = "echo \"$LEEWARD_STEP $LEEWARD_VERDICT $LEEWARD_PID\" >> @DIR@/told";
    format!("[hooks]\non_incident = [\"sh\", \"-c\", {tell:?}]\n")
}

fn wait_told(leeward: &Leeward, lines: &[String]) {
    let until = Instant::now() + DUE;
    loop {
        let told = std::fs::read_to_string(leeward.directory().join("told")).unwrap_or_default();
        if told.lines().eq(lines) {
            return;
        }
        assert!(Instant::now() < until, "{told}");
        std::thread::sleep(EACH);
    }
}

#[test]
fn an_observed_origin_that_is_frozen_is_one_incident_and_is_left_alone() {
    let mut origin = Origin::start(&[]);
    let pid = origin.running.pid();
    let before = observing(&Standing::own(), origin.address(), &hook());
    let seen = wait_known(&before, pid);
    for key in ["threads", "descriptors", "memory_bytes"] {
        assert!(seen[key].as_u64().is_some_and(|it| it > 0), "{key}: {seen}");
    }
    origin.running.signal(Signal::STOP);
    let opened = before.wait_log("incident opened", DUE);
    wait_metric(&before, "leeward_origin_verdict{verdict=\"stopped\"} 1");
    let incident = incidents(&before).remove(0);
    assert_eq!(incident["judgement"]["verdict"], "stopped");
    let against = incident["judgement"]["evidence_against"].to_string();
    assert!(!against.contains("not seen"), "{against}");
    assert_eq!(
        (&incident["pid"], &incident["ending"]),
        (&pid.into(), &Value::Null)
    );
    let sentence = incident["sentence"].as_str().expect("a sentence");
    let wanted = format!("process {pid} (ailing) is stopped (state T, no tracer)");
    assert!(sentence.starts_with(&wanted), "{sentence}");
    assert_eq!(told(&before)["state"], "hung");
    // Whoever can restart it, like a kubelet, asks here.
    let livez = before.status_get("/livez");
    assert_eq!(livez.status, 503);
    assert!(
        livez.text().contains("has to restart it: stopped"),
        "{}",
        livez.text()
    );
    wait_told(&before, &[format!("opened stopped {pid}")]);
    // It stays as it was found, and stays one incident.
    let answer = h1::get(before.edge(), "/", Duration::from_secs(3));
    assert!(answer.is_err(), "nobody woke it");
    origin.running.wait_state('T', DUE);
    origin.running.signal(Signal::CONT);
    let incident = closed(&before);
    let ending = &incident["ending"];
    let obituary = format!("it answered again by itself (process {pid})");
    assert_eq!(ending["obituary"], obituary, "{opened}");
    let down = ending["downtime_seconds"].as_f64().expect("a length");
    assert!(down >= 3.0, "{down}");
    let detection = ending["detection_seconds"].as_f64().expect("a length");
    assert!((0.5..5.0).contains(&detection), "{detection}");
    assert_eq!(incidents(&before).len(), 1);
    let both = ["opened", "closed"].map(|step| format!("{step} stopped {pid}"));
    wait_told(&before, &both);
    let id = incident["id"].as_str().expect("an id");
    let url = format!("http://{}", before.status());
    let told = leeward(&["incidents", "last", "--url", &url]).stdout;
    let told = String::from_utf8_lossy(&told).into_owned();
    assert!(told.contains(id) && told.contains(&obituary), "{told}");
    assert!(before.status_get("/").text().contains(id));
    wait_metric(
        &before,
        "leeward_origin_restarts_total{verdict=\"stopped\"} 0",
    );
}

#[test]
fn an_observed_origin_that_a_dead_client_holds_is_sure_as_soon_as_one_of_ours() {
    let origin = Origin::start(&[]);
    let leeward = observing(&Standing::own(), origin.address(), "silent = \"60s\"\n");
    wait_known(&leeward, origin.running.pid());
    let holding = holding_client("plain", origin.address(), "/bytes/20000000", 65_536);
    let edge = leeward.edge();
    let waiting = std::thread::spawn(move || h1::get(edge, "/", DUE));
    leeward.wait_log("incident opened", DUE);
    let incident = incidents(&leeward).remove(0);
    let judgement = &incident["judgement"];
    assert_eq!(judgement["verdict"], "hung-blocked");
    assert_eq!(judgement["confidence"], "conclusive", "{judgement}");
    let sentence = incident["sentence"].as_str().expect("a sentence");
    assert!(
        sentence.contains("the other end does not read"),
        "{sentence}"
    );
    drop(holding);
    assert_eq!(
        waiting.join().expect("a client").expect("an answer").status,
        200
    );
    let obituary = closed(&leeward)["ending"]["obituary"].clone();
    let wanted = format!(
        "it answered again by itself (process {})",
        origin.running.pid()
    );
    assert_eq!(obituary, wanted);
}

#[test]
fn an_observed_origin_that_somebody_else_restarts_is_told_and_looked_at_anew() {
    let port = free_port();
    let at = format!("127.0.0.1:{port}");
    let mut origin = Origin::start_at(&at, &[]);
    let first = origin.running.pid();
    let leeward = observing(&Standing::own(), &at, &hook());
    wait_known(&leeward, first);
    origin.running.signal(Signal::KILL);
    leeward.wait_log("incident opened", DUE);
    wait_metric(&leeward, "leeward_origin_verdict{verdict=\"exited\"} 1");
    let incident = incidents(&leeward).remove(0);
    assert_eq!(
        (&incident["pid"], &incident["findings"]),
        (&first.into(), &Value::Null)
    );
    let sentence = incident["sentence"].as_str().expect("a sentence");
    assert!(
        sentence.starts_with(&format!(
            "process {first} is gone, and nobody listens on {at}"
        )),
        "{sentence}"
    );
    let again = Origin::start_at(&at, &[]);
    let second = again.running.pid();
    let obituary = closed(&leeward)["ending"]["obituary"].clone();
    assert_eq!(
        obituary,
        format!("another process took its place: {second} (ailing)")
    );
    wait_known(&leeward, second);
    let both = ["opened", "closed"].map(|step| format!("{step} exited {first}"));
    wait_told(&leeward, &both);
    // A sickness that gets worse is the same one.
    let mut again = again;
    again.running.signal(Signal::STOP);
    leeward.wait_log_nth("incident opened", 2, DUE);
    again.running.signal(Signal::KILL);
    wait_metric(&leeward, "leeward_origin_up 0");
    let third = Origin::start_at(&at, &[]);
    leeward.wait_log_nth("incident closed", 2, DUE);
    wait_known(&leeward, third.running.pid());
    let verdicts: Vec<_> = incidents(&leeward)
        .iter()
        .map(|it| it["judgement"]["verdict"].clone())
        .collect();
    assert_eq!(verdicts, ["exited", "stopped"]);
}

#[test]
fn of_an_observed_family_the_one_that_forked_the_others_is_looked_at() {
    let script = "\
import os, socket, time
listener = socket.create_server(('127.0.0.1', 0))
for _ in range(2):
    if os.fork() == 0:
        while True:
            peer, _ = listener.accept()
            peer.recv(65536)
            peer.sendall(b'HTTP/1.0 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n')
            peer.close()
print('listening on', '127.0.0.1:%d' % listener.getsockname()[1], flush=True)
time.sleep(600)
";
    if Command::new("python3").arg("--version").output().is_err() {
        skip!("there is no python3");
    }
    let family = Running::start(Command::new("python3").args(["-c", script]));
    let line = family.expect_stdout("listening on ", DUE);
    let address = line.rsplit(' ').next().expect("an address");
    let leeward = observing(&Standing::own(), address, "");
    wait_known(&leeward, family.pid());
}

#[test]
fn the_process_behind_an_observed_unix_socket_is_found() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = format!("unix:{}/origin.sock", directory.path().display());
    let mut origin = Origin::start_at(&at, &[]);
    let leeward = observing(&Standing::own(), &at, "");
    wait_known(&leeward, origin.running.pid());
    origin.running.signal(Signal::STOP);
    leeward.wait_log("incident opened", DUE);
    origin.running.signal(Signal::CONT);
    assert_eq!(closed(&leeward)["judgement"]["verdict"], "stopped");
}

#[test]
fn an_incident_that_is_open_when_leeward_ends_says_so() {
    let mut origin = Origin::start(&[]);
    let mut leeward = observing(&Standing::own(), origin.address(), &hook());
    wait_known(&leeward, origin.running.pid());
    origin.running.signal(Signal::STOP);
    leeward.wait_log("incident opened", DUE);
    assert_eq!(leeward.terminate().code(), Some(0));
    let ending = incidents(&leeward).remove(0)["ending"].take();
    assert_eq!(ending["obituary"], "Leeward ended before it answered again");
    assert_eq!(ending["downtime_seconds"], Value::Null);
    wait_told(
        &leeward,
        &[format!("opened stopped {}", origin.running.pid())],
    );
}

#[test]
fn an_observed_origin_that_never_came_is_one_incident_until_it_comes() {
    let at = format!("127.0.0.1:{}", free_port());
    let more = "[restart]\nstartup = \"500ms\"\n";
    let before = Leeward::start_as(&Standing::own(), &configured(&at, more));
    let strain = Strain::begin();
    if !before.says_within("incident opened", DUE) {
        // Where there is no processor to spare, nobody is blamed for a late start; until it comes.
        let now = told(&before);
        assert!(strain.excuses(&now), "{now:#}");
        let _origin = Origin::start_at(&at, &[]);
        before.wait_log("to=\"ready\"", DUE);
        assert!(incidents(&before).is_empty());
        return;
    }
    let incident = incidents(&before).remove(0);
    assert_eq!(incident["judgement"]["verdict"], "start-timed-out");
    let sentence = incident["sentence"].as_str().expect("a sentence");
    assert!(
        sentence.starts_with(&format!("nobody listens on {at}")),
        "{sentence}"
    );
    let origin = Origin::start_at(&at, &[]);
    let pid = origin.running.pid();
    let obituary = closed(&before)["ending"]["obituary"].clone();
    assert_eq!(
        obituary,
        format!("it answered again, as process {pid} (ailing)")
    );
    assert_eq!(incidents(&before).len(), 1);
}

#[test]
fn a_drill_breaks_no_process_that_leeward_would_not_restart() {
    let origin = Origin::start(&[]);
    let before = observing(&Standing::own(), origin.address(), "");
    wait_known(&before, origin.running.pid());
    let url = format!("http://{}", before.status());
    for kind in ["freeze", "kill"] {
        let refused = leeward(&["drill", kind, "--yes", "--url", &url]);
        assert_eq!(refused.status.code(), Some(1));
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(said.contains("somebody else's"), "{said}");
    }
    assert_eq!(
        h1::get(before.edge(), "/", DUE).expect("an answer").status,
        200
    );
}
