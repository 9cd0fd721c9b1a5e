//! What an incident says of its own course: from when to when clients were affected, what happened in between, whose signal
//! it was, and who came past Leeward.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::house::{
    DUE, behind, configuration, in_front_of, incidents, sick, signal_origin, wait_metric,
};
use crate::skip;
use crate::support::control_group::Group;
use crate::support::{Leeward, Origin, free_port, h1, leeward};

/// Hangs are sure sooner than by default, so that a test need not wait for it.
const SOON: &str = "[hang]\ncertain = \"500ms\"\nsilent = \"2s\"\n[restart]\nbackoff = \"100ms\"\n";

/// The only incident, once this has happened in it.
fn once(leeward: &Leeward, what: &str) -> Value {
    let until = Instant::now() + DUE;
    loop {
        let all = incidents(leeward);
        let first = all.first().cloned().unwrap_or_default();
        if words(&first).iter().any(|it| it == what) {
            assert_eq!(all.len(), 1, "{all:#?}");
            return first;
        }
        assert!(Instant::now() < until, "no {what} in {all:#?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn moments(incident: &Value) -> &[Value] {
    incident["timeline"].as_array().map_or(&[], Vec::as_slice)
}

fn words(incident: &Value) -> Vec<String> {
    let word = |it: &Value| it["what"].as_str().unwrap_or_default().to_owned();
    moments(incident).iter().map(word).collect()
}

fn after(incident: &Value, what: &str) -> f64 {
    let mut found = moments(incident).iter().filter(|it| it["what"] == what);
    let found = found
        .next()
        .unwrap_or_else(|| panic!("no {what} in {incident:#}"));
    found["after_seconds"].as_f64().expect("a length")
}

fn note<'a>(incident: &'a Value, what: &str) -> &'a str {
    let mut found = moments(incident).iter().filter(|it| it["what"] == what);
    let found = found
        .next()
        .unwrap_or_else(|| panic!("no {what} in {incident:#}"));
    found["note"].as_str().unwrap_or_default()
}

/// The whole story as the terminal and the page tell it.
fn told(before: &Leeward, incident: &Value) -> [String; 2] {
    let id = incident["id"].as_str().expect("a name");
    let url = format!("http://{}", before.status());
    let terminal = leeward(&["incidents", id, "--url", &url]);
    let terminal = String::from_utf8_lossy(&terminal.stdout).into_owned();
    let html = [("Accept", "text/html")];
    let path = format!("/incidents/{id}");
    let mut page = h1::Connection::connect_plain(before.status(), DUE).expect("it listens");
    let page = page
        .request("GET", &path, &html, &[])
        .expect("a page")
        .text();
    [terminal, page]
}

#[test]
fn an_incident_is_told_from_the_last_sign_of_life_to_the_first_client_that_is_served_again() {
    let before = behind(&[], SOON);
    let (edge, asked) = (before.edge(), Instant::now());
    let asking = std::thread::spawn(move || h1::get(edge, "/slow/1000", DUE));
    wait_metric(&before, "leeward_exchanges_in_flight 1");
    std::thread::sleep(Duration::from_millis(100));
    signal_origin(&before, Signal::STOP);
    let answer = asking.join().expect("a client");
    answer.expect("an answer of the next one");
    let waited = asked.elapsed().as_secs_f64();
    let incident = once(&before, "served");
    let wanted = [
        "last_life",
        "ill",
        "noticed",
        "verdict",
        "written",
        "frozen",
        "signalled",
        "ended",
        "started",
        "ready",
        "reached",
        "served",
    ];
    assert_eq!(words(&incident), wanted, "{incident:#}");
    let times = moments(&incident).iter();
    let times: Vec<_> = times
        .map(|it| it["at"].as_str().unwrap_or_default())
        .collect();
    assert!(times.is_sorted(), "{times:?}");
    // Nobody who asked waited for longer than is told, and the sum is one.
    let ending = &incident["ending"];
    let seconds = |key: &str| ending[key].as_f64().expect("a length");
    let sum = seconds("detection_seconds") + seconds("downtime_seconds");
    assert!((seconds("unserved_seconds") - sum).abs() < 1e-6, "{ending}");
    assert!(
        (after(&incident, "reached") - sum).abs() < 0.02,
        "{incident:#}"
    );
    assert!(
        after(&incident, "served") - after(&incident, "last_life") >= waited - 0.3,
        "{waited}"
    );
    assert!(seconds("detection_seconds") >= 0.5, "{ending}");
    assert_eq!(ending["signal"]["from"], "leeward");
    assert_eq!(ending["signal"]["name"], "SIGKILL");
    for story in told(&before, &incident) {
        for part in [
            "Nobody was served for",
            "until it was noticed and proven",
            "told to end: SIGKILL, by Leeward",
            "the first client had its whole answer",
            times[1]
                .split_once('T')
                .expect("a time")
                .1
                .trim_end_matches('Z'),
        ] {
            assert!(story.contains(part), "{part} is missing in\n{story}");
        }
    }
}

#[test]
fn a_signal_of_somebody_elses_is_told_as_that_and_the_incidents_lead_to_each_other() {
    let before = behind(&[], SOON);
    signal_origin(&before, Signal::KILL);
    let incident = once(&before, "reached");
    assert_eq!(
        incident["ending"]["signal"]["from"], "somebody_else",
        "{incident:#}"
    );
    let sentence = incident["sentence"].as_str().expect("a sentence");
    assert!(
        sentence.contains("was ended by signal 9: SIGKILL, not by Leeward"),
        "{sentence}"
    );
    assert_eq!(after(&incident, "ended"), 0.0, "it fell ill by that");
    assert!(!words(&incident).iter().any(|it| it == "signalled"));
    signal_origin(&before, Signal::TERM);
    before.wait_log_nth("incident closed", 2, DUE);
    let both = incidents(&before);
    assert_eq!(both[1]["ending"]["signal"]["name"], "SIGTERM");
    let id = |place: usize| both[place]["id"].as_str().expect("a name");
    let [_, first] = told(&before, &both[0]);
    let [_, second] = told(&before, &both[1]);
    assert!(
        first.contains(&format!(
            "<a href=\"/incidents/{}\">The incident after",
            id(1)
        )),
        "{first}"
    );
    assert!(
        second.contains(&format!(
            "<a href=\"/incidents/{}\">← The incident before",
            id(0)
        )),
        "{second}"
    );
}

#[test]
fn the_kernel_is_named_where_it_killed_for_want_of_memory() {
    let group = match Group::new("memory") {
        Ok(group) => group,
        Err(skip) => skip!(skip),
    };
    if let Err(skip) = group.set("memory.limit_in_bytes", "300M") {
        skip!(skip);
    }
    let join = format!(
        "echo $$ > {}; exec \"$@\"",
        group.path().join("cgroup.procs").display()
    );
    let config = configuration(&sick(&[]), free_port(), SOON).replacen(
        "[origin.process]",
        "concurrency = 1\n[origin.process]",
        1,
    );
    let before = Leeward::start_by(&["sh", "-c", &join, "sh"], &config);
    before.wait_log("origin ready", DUE);
    let _ = h1::get(before.edge(), "/leak/memory/2000", DUE);
    before.wait_log("incident closed", DUE);
    let incident = incidents(&before).remove(0);
    assert_eq!(
        incident["ending"]["signal"]["from"], "oom_killer",
        "{incident:#}"
    );
    let sentence = incident["sentence"].as_str().expect("a sentence");
    assert!(
        sentence.contains("by the kernel's OOM killer, for want of memory"),
        "{sentence}"
    );
}

#[test]
fn who_came_past_leeward_is_told_from_a_request_of_its_own() {
    let before = behind(&[], SOON);
    let mut past = TcpStream::connect(before.origin()).expect("the origin listens");
    past.write_all(b"GET / HT").expect("it takes a few bytes");
    let incident = once(&before, "reached");
    let sentence = incident["sentence"].as_str().expect("a sentence");
    let wanted = format!("the other end is process {} (", std::process::id());
    assert!(sentence.contains(&wanted), "{sentence}");
    assert!(
        sentence.contains("it came past Leeward, straight to the origin"),
        "{sentence}"
    );
    drop(past);
    let before = behind(&[], SOON);
    let edge = before.edge();
    let asking =
        std::thread::spawn(move || h1::request(edge, "POST", "/block/read", &[], b"x", DUE));
    let incident = once(&before, "reached");
    let sentence = incident["sentence"].as_str().expect("a sentence");
    assert!(
        sentence.contains("which came through Leeward"),
        "{sentence}"
    );
    assert!(!sentence.contains("past Leeward"), "{sentence}");
    let _ = asking.join();
}

#[test]
fn a_start_that_fails_during_an_outage_is_a_part_of_it_and_not_an_outage_that_never_ends() {
    let home = tempfile::tempdir().expect("a directory");
    let there = home.path().join("there");
    std::fs::write(&there, "").expect("a file");
    let listening = sick(&[]).join(" ");
    let script = format!("test -e {} && exec {listening}; exit 3", there.display());
    let command = ["sh", "-c", &script].map(str::to_owned);
    let before = in_front_of(&command, "[restart]\nbackoff = \"50ms\"\n");
    std::fs::remove_file(&there).expect("it was there");
    signal_origin(&before, Signal::KILL);
    before.wait_log_nth("incident opened", 3, DUE);
    std::fs::write(&there, "").expect("a file");
    before.wait_log("incident closed", DUE);
    let all = incidents(&before);
    let (first, others) = all.split_first().expect("there are some");
    assert!(others.len() >= 2, "{all:#?}");
    assert!(
        first["part_of"].is_null() && first["ending"]["unserved_seconds"].is_f64(),
        "{first:#}"
    );
    assert!(
        note(first, "started").contains("starts that failed"),
        "{first:#}"
    );
    for other in others {
        assert_eq!(other["part_of"], first["id"], "{other:#}");
        assert_eq!(other["ending"]["obituary"], "exited with 3", "{other:#}");
    }
    let page = before.status_get("/").text();
    assert!(!page.contains("not over yet"), "{page}");
    assert!(
        page.contains("a start that failed, in the outage before it"),
        "{page}"
    );
    let [terminal, _] = told(&before, &others[0]);
    assert!(
        terminal.contains("in the outage that began with"),
        "{terminal}"
    );
}

#[test]
fn an_observed_origin_that_answers_again_by_itself_has_a_course_without_a_signal() {
    let mut origin = Origin::start(&[]);
    let keys = format!("{SOON}[origin.probe]\nevery = \"200ms\"\n");
    let keys = keys.replace("[restart]\nbackoff = \"100ms\"\n", "");
    let before = before_probing(&origin, &keys);
    before.wait_log("to=\"ready\"", DUE);
    origin.running.signal(Signal::STOP);
    before.wait_log("incident opened", DUE);
    origin.running.signal(Signal::CONT);
    let incident = once(&before, "reached");
    let wanted = [
        "last_life",
        "ill",
        "noticed",
        "verdict",
        "written",
        "reached",
    ];
    let words: Vec<_> = words(&incident)
        .into_iter()
        .filter(|it| it != "served")
        .collect();
    assert_eq!(words, wanted, "{incident:#}");
    assert!(
        note(&incident, "reached").contains("by itself"),
        "{incident:#}"
    );
    assert!(incident["ending"]["signal"].is_null());
}

fn before_probing(origin: &Origin, keys: &str) -> Leeward {
    let config = format!(
        "[edge]\nlisten = \"127.0.0.1:0\"\n[status]\nlisten = \"127.0.0.1:0\"\n\
         [incidents]\ndirectory = \"@DIR@/incidents\"\n\
         [origin]\naddress = \"{}\"\nconcurrency = 1\n{keys}",
        origin.address()
    );
    Leeward::start(&config)
}
