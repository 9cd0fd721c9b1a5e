//! Whoever looks sees at once what changed: by `/events` in a page or a program, by `leeward status --watch` in a terminal.

use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Map, Value};

use crate::house::{DUE, behind};
use crate::skip;
use crate::support::Leeward;
use crate::support::h1::Connection;
use crate::support::process::Running;

fn kill(leeward: &Leeward, signal: Signal) {
    let status = leeward.status_get("/status.json").text();
    let status: Value = serde_json::from_str(&status).expect("JSON");
    let pid = status["origin"]["pid"].as_i64().expect("a process");
    let pid = Pid::from_raw(i32::try_from(pid).expect("a number")).expect("a process");
    kill_process(pid, signal).expect("a signal");
}

/// The next event: the pieces of the page that changed.
fn next(events: &mut Connection) -> Map<String, Value> {
    let chunk = events.read_chunk().expect("an event");
    let text = String::from_utf8(chunk).expect("text");
    let data = text.strip_prefix("data: ").expect("data");
    let data = data.strip_suffix("\n\n").expect("one whole event");
    serde_json::from_str(data).expect("JSON")
}

#[test]
fn a_change_of_the_state_is_sent_at_once_and_what_stayed_is_not_sent_again() {
    let leeward = behind(&[], "[restart]\nbackoff = \"300ms\"\n");
    let mut events = Connection::connect_plain(leeward.status(), DUE).expect("a connection");
    events
        .send(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .expect("asked");
    let head = events.read_head_only().expect("an answer");
    assert_eq!(head.header("content-type"), Some("text/event-stream"));
    let first = next(&mut events);
    assert_eq!(first["title"], "Ready – Leeward");
    assert!(first.len() > 10, "the first has everything: {first:?}");
    let second = next(&mut events);
    assert!(second.contains_key("head"), "the time goes on: {second:?}");
    for still in ["title", "mood", "incidents", "deadlines"] {
        assert!(!second.contains_key(still), "{still} did not change");
    }
    // An event has just come; the next that is due by the clock comes a second later.
    let killed = Instant::now();
    kill(&leeward, Signal::KILL);
    let changed = next(&mut events);
    assert!(changed.contains_key("title"), "{changed:?}");
    assert_ne!(changed["title"], "Ready – Leeward");
    let took = killed.elapsed();
    assert!(took < Duration::from_millis(700), "{took:?}");
    // And back again.
    while next(&mut events)
        .get("title")
        .is_none_or(|title| title != "Ready – Leeward")
    {
        assert!(killed.elapsed() < DUE, "it is not told that it is ready");
    }
}

#[test]
fn a_terminal_shows_the_state_as_it_changes() {
    if Command::new("script").arg("--version").output().is_err() {
        skip!("script (bsdutils) is not installed");
    }
    let leeward = behind(&[], "");
    let watch = format!(
        "exec {} status --watch --url http://{}",
        env!("CARGO_BIN_EXE_leeward"),
        leeward.status()
    );
    // A terminal of its own, in which it runs.
    let mut terminal = Running::start(
        Command::new("script")
            .args([
                "--quiet",
                "--flush",
                "--return",
                "--command",
                &watch,
                "/dev/null",
            ])
            .env("TERM", "xterm-256color"),
    );
    terminal.expect_stdout("READY", DUE);
    kill(&leeward, Signal::STOP);
    terminal.expect_stdout("SUSPECT", DUE);
    drop(leeward);
    assert_eq!(terminal.wait(Duration::ZERO), None, "it goes on looking");
}
