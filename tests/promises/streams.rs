//! What is declared a stream passes through as it comes, and holds the origin only by name and for a bounded time.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use crate::house::{DUE, behind, configuration};
use crate::support::h1::{self, Connection};
use crate::support::h2::{self, Ask};
use crate::support::origin::processed;
use crate::support::response::pattern;
use crate::support::{Leeward, ailing, free_port};

/// An origin that serves several at once, so that streams have places.
pub const CONCURRENT: [&str; 2] = ["--threads", "8"];

/// Leeward before a serial origin that may be held by one stream.
pub fn lending(options: &[&str], more: &str) -> Leeward {
    let mut command = vec![
        ailing().display().to_string(),
        "--listen".into(),
        "{address}".into(),
    ];
    command.extend(options.iter().map(|option| (*option).to_owned()));
    let text = configuration(&command, free_port(), more);
    let text = text.replace("[origin]\n", "[origin]\nconcurrency = 1\nstreams = 1\n");
    let leeward = Leeward::start(&text);
    leeward.wait_log("origin ready", DUE);
    leeward
}

/// The value of a metric.
pub fn metric(leeward: &Leeward, name: &str) -> f64 {
    let text = leeward.status_get("/metrics").text();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let value = line.unwrap_or_else(|| panic!("no {name} in\n{text}"));
    value.trim().parse().expect("a number")
}

const STALL: &str = "leeward_origin_client_stall_seconds_total";

#[test]
fn events_arrive_one_by_one_as_they_are_sent() {
    let leeward = behind(&CONCURRENT, "");
    let mut client = Connection::connect(leeward.edge(), DUE).expect("a connection");
    client
        .send(b"GET /sse/5/200 HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    let head = client.read_head_only().expect("a head");
    assert_eq!(head.header("content-type"), Some("text/event-stream"));
    let first = client.read_chunk().expect("an event");
    assert_eq!(first, b"data: 0\n\n");
    let begun = Instant::now();
    for number in 1..5 {
        let event = client.read_chunk().expect("an event");
        assert_eq!(event, format!("data: {number}\n\n").into_bytes());
    }
    assert!(begun.elapsed() > Duration::from_millis(600), "{begun:?}");
    assert_eq!(client.read_chunk().expect("the end"), b"");

    let arrived = h2::arrivals(leeward.edge(), Ask::get("/sse/5/200"), DUE).expect("an answer");
    // The end may come as a frame without data.
    let full = arrived.pieces.iter().filter(|(_, text)| !text.is_empty());
    let texts: Vec<_> = full.map(|(_, text)| text.clone()).collect();
    let wanted = [0, 1, 2, 3, 4].map(|number| format!("data: {number}\n\n").into_bytes());
    assert_eq!(texts, wanted);
    let spread = arrived.pieces[4].0 - arrived.pieces[0].0;
    assert!(spread > Duration::from_millis(600), "{spread:?}");
}

#[test]
fn trailers_are_passed_on_to_those_who_take_them() {
    let leeward = behind(
        &CONCURRENT,
        "[[route]]\npath = \"/trailers\"\nstream = true\n",
    );
    let mut ask = Ask::get("/trailers");
    ask.method = "POST".to_owned();
    ask.body = b"ping".to_vec();
    ask.headers = vec![("te".to_owned(), "trailers".to_owned())];
    let arrived = h2::arrivals(leeward.edge(), ask, DUE).expect("an answer");
    let wanted = [("grpc-status", "0"), ("grpc-message", "fine")];
    let wanted = wanted.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(arrived.trailers, wanted);
    assert_eq!(arrived.pieces[0].1, b"hello");

    let told = |te: &str| {
        let mut client = Connection::connect(leeward.edge(), DUE).expect("a connection");
        let head = format!("GET /trailers HTTP/1.1\r\nHost: a\r\n{te}Connection: close\r\n\r\n");
        client.send(head.as_bytes()).expect("sent");
        let all = client.read_to_end().expect("an answer");
        String::from_utf8_lossy(&all).into_owned()
    };
    let with = told("TE: trailers\r\n");
    assert!(
        with.ends_with("0\r\ngrpc-status: 0\r\ngrpc-message: fine\r\n\r\n"),
        "{with}"
    );
    let without = told("");
    assert!(without.ends_with("0\r\n\r\n"), "{without}");
}

#[test]
fn a_large_upload_passes_through_with_little_memory() {
    const SIZE: usize = 100 << 20;
    let ledger = tempfile::NamedTempFile::new().expect("a file");
    let path = ledger.path().display().to_string();
    let leeward = lending(
        &["--ledger", &path],
        "[[route]]\npath = \"/upload\"\nstream = true\nbody = \"200MiB\"\n",
    );
    let peak = || {
        let status = format!("/proc/{}/status", leeward.pid());
        let status = std::fs::read_to_string(status).expect("its status");
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        let number = line.and_then(|line| line.split_whitespace().nth(1));
        number.and_then(|it| it.parse::<usize>().ok()).expect("KiB") << 10
    };
    let before = peak();
    let mut client = Connection::connect(leeward.edge(), DUE).expect("a connection");
    let head = format!("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n");
    client.send(head.as_bytes()).expect("sent");
    let piece = pattern(1 << 20);
    for _ in 0..SIZE >> 20 {
        client.send(&piece).expect("sent");
    }
    assert_eq!(client.read_response().expect("an answer").status, 404);
    assert_eq!(processed(ledger.path(), &format!("POST /upload {SIZE}")), 1);
    let grown = peak() - before;
    assert!(grown < 16 << 20, "{grown} bytes");
    let next = client.request("GET", "/bytes/10", &[], &[]);
    assert!(next.expect("an answer").body == pattern(10));
}

#[test]
fn a_truncated_upload_is_never_completed() {
    let ledger = tempfile::NamedTempFile::new().expect("a file");
    let path = ledger.path().display().to_string();
    let more = "[edge.deadlines]\nbody_stall = \"500ms\"\n\
                [[route]]\npath = \"/upload\"\nstream = true\n";
    let leeward = lending(&["--ledger", &path], more);
    let half = b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf.";
    let mut leaving = Connection::connect(leeward.edge(), DUE).expect("a connection");
    leaving.send(half).expect("sent");
    drop(leaving);
    leeward.wait_log("end=\"client-refused\"", DUE);
    let mut stalling = Connection::connect(leeward.edge(), DUE).expect("a connection");
    stalling.send(half).expect("sent");
    let refused = stalling.read_response().expect("an answer");
    assert_eq!(refused.status, 408);
    assert!(refused.text().contains("body_stall"), "{}", refused.text());
    let next = h1::get(leeward.edge(), "/bytes/10", DUE).expect("the origin is free");
    assert!(next.body == pattern(10));
    assert_eq!(processed(ledger.path(), "/upload"), 0);
}

#[test]
fn a_serial_origin_is_not_lent_to_a_stream_unasked() {
    let leeward = behind(&[], "[[route]]\npath = \"/stream\"\nstream = true\n");
    for path in ["/sse/5/100", "/stream"] {
        let refused = h1::get(leeward.edge(), path, DUE).expect("an answer");
        assert_eq!(refused.status, 503);
        let told = refused.text();
        assert!(
            told.contains("set origin.streams = 1 to let a stream hold it"),
            "{told}"
        );
    }
    let next = h1::get(leeward.edge(), "/bytes/10", DUE).expect("an answer");
    assert!(next.body == pattern(10));
    assert_eq!(metric(&leeward, STALL), 0.0);
}

#[test]
fn a_stream_whose_client_stops_reading_is_ended_and_the_origin_released() {
    let more = "[edge.deadlines]\nresponse_stall = \"1s\"\n\
                [[route]]\npath = \"/bytes\"\nstream = true\n";
    let leeward = lending(&[], more);
    let mut lazy = Connection::connect(leeward.edge(), DUE).expect("a connection");
    lazy.send(b"GET /bytes/100000000 HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    lazy.read_head_only().expect("a head");
    let begun = Instant::now();
    let next = h1::get(leeward.edge(), "/", DUE).expect("the origin is free again");
    assert_eq!(next.status, 200);
    assert!(begun.elapsed() > Duration::from_millis(500), "it was held");
    let stalled = metric(&leeward, STALL);
    assert!((0.5..5.0).contains(&stalled), "{stalled}");
    assert_eq!(metric(&leeward, "leeward_streams_open"), 0.0);
    assert!(leeward.stderr().contains("response_stall"));
    let cut = loop {
        if let Err(error) = lazy.read_exact(1 << 20) {
            break error;
        }
    };
    assert_ne!(cut.kind(), ErrorKind::TimedOut, "{cut}");
}

#[test]
fn what_would_rather_not_be_buffered_is_buffered_where_there_is_no_place() {
    let leeward = behind(&[], "");
    let answer = h1::get(leeward.edge(), "/unbuffered/300000", DUE).expect("an answer");
    assert!(answer.status == 200 && answer.body == pattern(300_000));
    assert_eq!(metric(&leeward, STALL), 0.0);
    let leeward = lending(&[], "[edge.deadlines]\nresponse_stall = \"1s\"\n");
    let mut lazy = Connection::connect(leeward.edge(), DUE).expect("a connection");
    lazy.send(b"GET /unbuffered/100000000 HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    lazy.read_head_only().expect("a head");
    let next = h1::get(leeward.edge(), "/", DUE).expect("the origin is free again");
    assert_eq!(next.status, 200);
    assert!(metric(&leeward, STALL) > 0.5);
}
