//! A shutdown: what is under way is finished, what lasts is ended by the deadline, and nobody is kept waiting for a client
//! that does not care.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::house::{DUE, behind, configured};
use crate::spool::until;
use crate::streams::CONCURRENT;
use crate::support::frames::{GOAWAY, HEADERS, Raw};
use crate::support::h1::Connection;
use crate::support::response::pattern;
use crate::support::websocket::echo_h2;
use crate::support::{Leeward, free_port};

const ROUTE: &str = "[[route]]\npath = \"/ws\"\nupgrade = true\n";

fn drain_within(limit: &str) -> String {
    format!("[edge.deadlines]\ndrain = \"{limit}\"\n{ROUTE}")
}

fn under_way(leeward: &Leeward, part: &str) {
    until(part, || {
        leeward.status_get("/status.json").text().contains(part)
    });
}

#[test]
fn streams_under_way_are_finished_and_their_client_is_told_goodbye() {
    let mut leeward = behind(&CONCURRENT, &drain_within("20s"));
    let mut client = Raw::connect(leeward.edge(), 1 << 20, DUE).expect("a connection");
    client.get(1, "/drip/10/100").expect("sent");
    client.get(3, "/slow/1000").expect("sent");
    under_way(&leeward, "/slow/1000");
    leeward.signal(Signal::TERM);
    client.read_kind(GOAWAY).expect("a goodbye");
    let (mut dripped, mut slept) = (Vec::new(), Vec::new());
    let mut ended = 0;
    while ended < 2 {
        let frame = client.read().expect("what was under way is finished");
        match frame.stream {
            1 if frame.kind != HEADERS => dripped.extend(frame.payload),
            3 if frame.kind != HEADERS => slept.extend(frame.payload),
            _ => {}
        }
        let ends = frame.stream > 0 && frame.flags & 1 != 0;
        ended += usize::from(ends);
    }
    assert!(dripped == pattern(100) && slept.starts_with(b"slept well"));
    drop(client);
    let asked = Instant::now();
    assert!(leeward.terminate().success());
    assert!(asked.elapsed() < Duration::from_secs(5), "{asked:?}");
}

#[test]
fn a_stream_that_does_not_end_is_ended_by_the_deadline() {
    let mut leeward = behind(&CONCURRENT, &drain_within("1s"));
    let mut client = Raw::connect(leeward.edge(), 1 << 20, DUE).expect("a connection");
    client.get(1, "/sse/1000/50").expect("sent");
    client.read_kind(HEADERS).expect("its head");
    leeward.signal(Signal::TERM);
    let begun = Instant::now();
    let end = loop {
        match client.read() {
            Ok(frame) => assert!(frame.stream != 1 || frame.flags & 1 == 0, "not whole"),
            Err(error) => break error,
        }
    };
    assert_ne!(end.kind(), std::io::ErrorKind::TimedOut);
    let took = begun.elapsed();
    assert!((900..5000).contains(&took.as_millis()), "{took:?}");
    assert!(leeward.terminate().success());
}

#[test]
fn a_tunnel_goes_on_until_it_ends_or_the_deadline_does_it() {
    let pause = Duration::from_millis(100);
    // It ends by itself, and then nothing is waited for.
    let mut leeward = behind(&CONCURRENT, &drain_within("20s"));
    let edge = leeward.edge();
    let tunnel = std::thread::spawn(move || echo_h2(edge, "/ws", &["text"; 12], pause, DUE));
    under_way(&leeward, "/ws");
    leeward.signal(Signal::TERM);
    leeward.wait_log("draining", DUE);
    let (status, heard) = tunnel.join().expect("a client").expect("all echoes");
    assert_eq!((status, heard.len()), (200, 12));
    let asked = Instant::now();
    assert!(leeward.terminate().success());
    assert!(asked.elapsed() < Duration::from_secs(12), "{asked:?}");

    let mut leeward = behind(&CONCURRENT, &drain_within("1s"));
    let edge = leeward.edge();
    let tunnel = std::thread::spawn(move || echo_h2(edge, "/ws", &["text"; 200], pause, DUE));
    under_way(&leeward, "/ws");
    leeward.signal(Signal::TERM);
    let begun = Instant::now();
    let cut = tunnel.join().expect("a client");
    assert!(cut.is_err(), "it is cut in the middle");
    let took = begun.elapsed();
    assert!((800..5000).contains(&took.as_millis()), "{took:?}");
    assert!(leeward.terminate().success());
}

/// It was accepted, so that nobody else will answer it; and it has had no time to ask.
#[test]
fn who_came_just_before_the_end_is_answered() {
    let mut leeward = behind(&CONCURRENT, &drain_within("20s"));
    let mut client = Connection::connect(leeward.edge(), DUE).expect("a connection");
    let mut silent = Connection::connect(leeward.edge(), DUE).expect("a connection");
    leeward.signal(Signal::TERM);
    leeward.wait_log("draining", DUE);
    std::thread::sleep(Duration::from_millis(200));
    let answer = client.request("GET", "/", &[], &[]).expect("an answer");
    let told = answer.header("connection");
    assert_eq!((answer.status, told), (200, Some("close")));
    assert!(silent.read_to_end().expect("a goodbye").is_empty());
    let asked = Instant::now();
    assert!(leeward.terminate().success());
    assert!(asked.elapsed() < Duration::from_secs(5), "{asked:?}");
}

/// The same goes for who comes to be sent to HTTPS.
#[test]
fn who_came_over_plain_http_just_before_the_end_is_answered() {
    let port = free_port();
    let mut leeward = configured(&format!("redirect = \"127.0.0.1:{port}\"\n"));
    let connect = || Connection::connect_plain(("127.0.0.1", port), DUE).expect("a connection");
    // The first one answered shows that those before it are accepted.
    let (mut client, _silent) = (connect(), connect());
    let host = [("host", "example.org")];
    let first = connect().request("GET", "/", &host, &[]);
    assert_eq!(first.expect("an answer").status, 308);
    leeward.signal(Signal::TERM);
    leeward.wait_log("draining", DUE);
    std::thread::sleep(Duration::from_millis(200));
    let answer = client.request("GET", "/", &host, &[]).expect("an answer");
    assert_eq!(answer.status, 308);
    let asked = Instant::now();
    assert!(leeward.terminate().success());
    assert!(asked.elapsed() < Duration::from_secs(5), "{asked:?}");
}
