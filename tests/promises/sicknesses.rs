//! Every sickness of an origin earns its own verdict, a true sentence and the action that is due.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::brought_on::signalled;
use crate::house::{DUE, behind, incidents, wait_metric};
use crate::support::{Leeward, h1};

/// What a hang takes that is not certain, by default.
const UNCERTAIN: Duration = Duration::from_secs(10);

/// A client that goes past Leeward, straight to the origin, and says this.
fn direct(leeward: &Leeward, said: &[u8]) -> TcpStream {
    let mut client = TcpStream::connect(leeward.origin()).expect("the origin listens");
    client.write_all(said).expect("it takes a few bytes");
    client
}

/// Asks through Leeward, and says how long the answer took.
fn served(leeward: &Leeward) -> Duration {
    let asked = Instant::now();
    let response = h1::get(leeward.edge(), "/", DUE).expect("an answer");
    assert_eq!(response.status, 200, "{}", response.text());
    asked.elapsed()
}

fn only_incident(leeward: &Leeward) -> serde_json::Value {
    leeward.wait_log("incident closed", DUE);
    let mut told = incidents(leeward);
    assert_eq!(told.len(), 1, "{told:?}");
    told.remove(0)
}

/// It is replaced soon, for certain, and by a sentence with this word.
fn replaced_for_certain(leeward: &Leeward, word: &str) {
    let took = served(leeward);
    assert!(took < UNCERTAIN / 2, "{took:?}");
    let incident = only_incident(leeward);
    assert_eq!(incident["judgement"]["verdict"], "hung-blocked");
    assert_eq!(incident["judgement"]["confidence"], "conclusive");
    let sentence = incident["sentence"].as_str().unwrap_or_default();
    assert!(sentence.contains(word), "{sentence}");
}

/// The disease itself, with a client that went past us: default settings.
#[test]
fn an_origin_that_reads_from_a_silent_client_is_replaced_long_before_other_hangs_are() {
    let leeward = behind(&[], "");
    let _silent = direct(&leeward, b"GET / HT");
    replaced_for_certain(&leeward, "read");
}

#[test]
fn an_origin_that_writes_to_a_client_that_stopped_reading_is_replaced_as_soon() {
    let leeward = behind(&[], "");
    let ask = b"GET /bytes/20000000 HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut unread = direct(&leeward, ask);
    unread.read_exact(&mut [0; 10]).expect("it begins");
    replaced_for_certain(&leeward, "unsent");
}

/// Each thread waits for a lock that only this process could release, and none is left to do so: no patience will help.
#[test]
fn an_origin_whose_threads_wait_for_locks_for_ever_is_replaced_as_soon() {
    for threads in ["1", "4"] {
        let leeward = behind(&["--threads", threads], "");
        let ask = b"GET /block/lock HTTP/1.1\r\nHost: a\r\n\r\n";
        let count = threads.parse().expect("a number");
        let _locked: Vec<_> = (0..count).map(|_| direct(&leeward, ask)).collect();
        replaced_for_certain(&leeward, "it waits for a lock");
    }
}

/// A page that takes its time, while others wait: nothing is proven by that.
#[test]
fn a_slow_page_is_not_taken_for_a_client_that_holds_the_origin() {
    let leeward = behind(&[], "");
    let edge = leeward.edge();
    let slow = std::thread::spawn(move || h1::get(edge, "/slow/5000", DUE));
    let _waits_at_the_door = direct(&leeward, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let response = slow.join().expect("a client").expect("an answer");
    assert_eq!(response.status, 200);
    assert!(incidents(&leeward).is_empty());
}

/// A close look has two seconds, however much there is to see, and the incident is written with what was seen.
#[test]
fn a_thousand_threads_do_not_hold_the_incident_up() {
    let leeward = behind(&["--threads", "1000"], "");
    wait_metric(&leeward, "leeward_origin_threads 1000");
    let _held = signalled(&leeward, Signal::STOP).expect("a signal");
    let begun = Instant::now();
    leeward.wait_log("incident opened", DUE);
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(6), "{took:?}");
    let incident = only_incident(&leeward);
    let threads = &incident["findings"]["processes"][0]["threads"];
    let seen = threads.as_array().map_or(0, Vec::len);
    println!(
        "{seen} threads, {took:?}, {}",
        incident["findings"]["truncated"]
    );
    let is_all = seen == 1000 && incident["findings"]["truncated"].is_null();
    let is_short = incident["findings"]["truncated"].is_string();
    assert!(is_all || is_short && seen >= 100, "{seen}");
    let sentence = incident["sentence"].as_str().unwrap_or_default();
    assert!(sentence.contains("is stopped (state T"), "{sentence}");
}
