//! Answers larger than memory rest on disk, whole, and hold neither the origin nor our memory.

use std::time::{Duration, Instant};

use crate::house::{DUE, behind};
use crate::skip;
use crate::support::Leeward;
use crate::support::h1::{self, Connection};
use crate::support::h2::{self, Ask};
use crate::support::response::pattern;

/// Little memory, so that nearly everything goes to disk.
const LITTLE: &str = "[spool]\nmemory = \"1MiB\"\ndirectory = \"@DIR@/spool\"\nfloor = \"0B\"\n\
    [edge.limits]\nbody = \"64MiB\"\nconnections_per_address = \"off\"\n";

/// What the status listener tells.
pub fn json(leeward: &Leeward) -> serde_json::Value {
    let told = leeward.status_get("/status.json");
    serde_json::from_slice(&told.body).expect("JSON")
}

/// Resident memory of a process, in bytes.
fn resident(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line
        .and_then(|line| line.split_whitespace().nth(1))
        .expect("its memory");
    kib.parse::<usize>().expect("a number") * 1024
}

pub fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < DUE, "{what} did not come to pass");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_answer_larger_than_memory_is_given_whole_to_a_client_that_begins_late() {
    const LENGTH: usize = 100_000_000;
    let leeward = behind(&[], LITTLE);
    let mut late = Connection::connect(leeward.edge(), DUE).expect("a connection");
    let request = format!("GET /bytes/{LENGTH} HTTP/1.1\r\nHost: a\r\n\r\n");
    late.send(request.as_bytes()).expect("sent");
    // The origin is done with it long before the client has read a byte.
    until("the answer at rest", || {
        json(&leeward)["origin"]["visits"]
            .as_array()
            .is_none_or(Vec::is_empty)
            && json(&leeward)["spool"]["disk_bytes"].as_u64() > Some(90_000_000)
    });
    let before = resident(leeward.pid());
    let response = late.read_response().expect("the answer");
    assert!(
        response.body == pattern(LENGTH),
        "{} bytes",
        response.body.len()
    );
    let grown = resident(leeward.pid()).saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes more");
    until("the disk given back", || {
        json(&leeward)["spool"]["disk_bytes"] == 0
    });
}

#[test]
fn over_http2_too_and_many_at_once() {
    const LENGTH: usize = 5_000_000;
    let leeward = behind(&[], LITTLE);
    let asks = (0..10)
        .map(|_| Ask::get(&format!("/bytes/{LENGTH}")))
        .collect();
    for answer in h2::together(leeward.edge(), asks, DUE).expect("a connection") {
        let answer = answer.expect("an answer");
        assert!(
            answer.body == pattern(LENGTH),
            "{} bytes",
            answer.body.len()
        );
    }
}

#[test]
fn a_request_larger_than_memory_reaches_the_origin_whole() {
    let leeward = behind(&[], LITTLE);
    let body = pattern(40_000_000);
    let echoed = h1::request(leeward.edge(), "POST", "/echo", &[], &body, DUE).expect("an echo");
    assert!(echoed.body == body, "{} bytes", echoed.body.len());
}

/// Promise 1 by number: readers that never read cost the others nothing, and us a bounded memory.
#[test]
fn two_hundred_readers_that_never_read_cost_the_next_one_nothing() {
    const READERS: usize = 200;
    let here = rustix::fs::statvfs(std::env::temp_dir().as_path()).expect("a file system");
    if here.f_bavail * here.f_frsize < 3 << 30 {
        skip!("less than 3 GiB of disk are free");
    }
    let leeward = behind(&[], LITTLE);
    let alone = Instant::now();
    h1::get(leeward.edge(), "/bytes/1000000", DUE).expect("an answer");
    let alone = alone.elapsed();
    let before = resident(leeward.pid());
    let lazy: Vec<_> = (0..READERS)
        .map(|_| {
            let mut client = Connection::connect(leeward.edge(), DUE).expect("a connection");
            client
                .send(b"GET /bytes/8000000 HTTP/1.1\r\nHost: a\r\n\r\n")
                .expect("sent");
            client
        })
        .collect();
    until("all answers at rest", || {
        json(&leeward)["origin"]["visits"]
            .as_array()
            .is_none_or(Vec::is_empty)
            && json(&leeward)["waiting"]["queued"] == 0
    });
    let next = Instant::now();
    let response = h1::get(leeward.edge(), "/bytes/1000000", DUE).expect("an answer");
    let next = next.elapsed();
    assert!(response.body == pattern(1_000_000));
    assert!(
        next < alone * 10 + Duration::from_millis(500),
        "{next:?} against {alone:?}"
    );
    let grown = resident(leeward.pid()).saturating_sub(before);
    assert!(grown < 300 << 20, "{} MiB more", grown >> 20);
    drop(lazy);
    until("the disk given back", || {
        json(&leeward)["spool"]["disk_bytes"] == 0
    });
}
