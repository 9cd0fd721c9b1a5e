//! An answer that ends too soon is never passed off as whole, whatever its framing and whoever asks.

use std::io::{ErrorKind, Write};
use std::net::Shutdown;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::house::{DUE, before, before_with, behind};
use crate::streams::lending;
use crate::support::Leeward;
use crate::support::frames::{DATA, RST_STREAM, Raw, WINDOW_UPDATE};
use crate::support::h1::{self, Connection};
use crate::support::h2::{self, Ask};
use crate::support::response::pattern;
use crate::support::scripted::{Scripted, reset};

/// Far beyond what is held back until an answer is shown.
const MUCH: usize = 300_000;

/// The ways in which an answer of `length` bytes can end too soon: what is said of it, and how the connection ends.
const CUTS: [(&str, &str); 5] = [
    ("length", "Content-Length: 1000000"),
    ("chunks", "Transfer-Encoding: chunked"),
    ("length-reset", "Content-Length: 1000000"),
    ("chunks-reset", "Transfer-Encoding: chunked"),
    // Only a reset tells it from one that is whole.
    ("close-reset", "X-Framing: none"),
];

/// An origin with a path for each cut, `/CUT/BYTES`; a query is for the test.
fn cutting() -> Scripted {
    Scripted::tcp(|request, peer| {
        let path = request.split([' ', '?']).nth(1).unwrap_or_default();
        let mut pieces = path.trim_start_matches('/').split('/');
        let (name, length) = (pieces.next().unwrap_or_default(), pieces.next());
        let length = length.and_then(|it| it.parse().ok()).unwrap_or(0);
        let Some((name, framing)) = CUTS.iter().find(|(cut, _)| *cut == name) else {
            let _ = peer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            return;
        };
        let head = format!("HTTP/1.1 200 OK\r\n{framing}\r\nConnection: close\r\n\r\n");
        let mut answer = head.into_bytes();
        if name.starts_with("chunks") {
            answer.extend(format!("{length:x}\r\n").bytes());
        }
        answer.extend(pattern(length));
        if name.starts_with("chunks") {
            answer.extend(b"\r\n");
        }
        let _ = peer.write_all(&answer);
        if name.ends_with("reset") {
            // A reset throws away what was not yet read.
            std::thread::sleep(Duration::from_millis(150));
            reset(peer);
        }
    })
}

fn no_whole_answer_over_http1(leeward: &Leeward, path: &str, version: &str) {
    let mut client = Connection::connect(leeward.edge(), DUE).expect("a connection");
    let request = format!("GET {path} HTTP/{version}\r\nHost: a\r\n\r\n");
    client.send(request.as_bytes()).expect("sent");
    match client.read_response() {
        Ok(answer) => {
            assert_eq!(answer.status, 502, "{path} {version}");
            let told = answer.header("proxy-status").unwrap_or_default();
            assert!(told.contains("leeward; error="), "{told}");
        }
        Err(error) => assert_ne!(error.kind(), ErrorKind::TimedOut, "{path} {version}"),
    }
}

/// The stream is reset, and the connection serves the next one.
fn reset_over_http2(leeward: &Leeward, path: &str) {
    let mut client = Raw::connect(leeward.edge(), 1 << 20, DUE).expect("a connection");
    client.get(1, path).expect("sent");
    let more = (1_u32 << 20).to_be_bytes();
    client.frame(WINDOW_UPDATE, 0, 0, &more).expect("sent");
    let mut given = 0;
    let end = loop {
        let frame = client.read().expect("an end of the stream");
        match frame.kind {
            DATA if frame.stream == 1 => {
                assert_eq!(frame.flags & 1, 0, "{path}: it is passed off as whole");
                given += frame.payload.len();
            }
            RST_STREAM => break frame,
            _ => {}
        }
    };
    assert_eq!(end.stream, 1);
    assert!(given <= MUCH, "{path}: {given}");
    client.get(3, "/fine").expect("sent");
    assert_eq!(client.read_body(3).expect("the next answer"), b"ok");
}

#[test]
fn an_answer_cut_after_it_was_shown_is_cut_off_for_the_client_too() {
    let origin = cutting();
    let leeward = before(origin.address(), "");
    for (number, (cut, _)) in CUTS.iter().enumerate() {
        let path = format!("/{cut}/{MUCH}");
        for version in ["1.1", "1.0"] {
            no_whole_answer_over_http1(&leeward, &path, version);
        }
        reset_over_http2(&leeward, &path);
        leeward.wait_log_nth("an answer was cut off", 3 * (number + 1), DUE);
        assert_eq!(origin.heard(&path).len(), 3, "none is asked for again");
    }
}

#[test]
fn an_answer_cut_before_it_was_shown_is_an_error_with_its_reason() {
    let origin = cutting();
    let leeward = before(origin.address(), "");
    for (cut, _) in CUTS.iter().filter(|(cut, _)| !cut.ends_with("reset")) {
        let path = format!("/{cut}/100");
        let one = h1::get(leeward.edge(), &path, DUE).expect("an answer of ours");
        let two = h2::get(leeward.edge(), &path, DUE).expect("an answer of ours");
        for answer in [one, two] {
            assert_eq!(answer.status, 502, "{path}");
            let told = answer.header("proxy-status").unwrap_or_default();
            assert!(told.contains("error=http_response_incomplete"), "{told}");
        }
    }
}

#[test]
fn an_answer_that_ends_with_its_connection_in_order_is_whole() {
    let origin = Scripted::tcp(|request, peer| {
        let _ = peer.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        let _ = peer.write_all(&pattern(MUCH));
        if request.contains("half") {
            // The other half stays open for a while.
            let _ = peer.shutdown(Shutdown::Write);
            std::thread::sleep(Duration::from_millis(300));
        }
    });
    let leeward = before(origin.address(), "");
    for path in ["/x", "/half"] {
        let one = h1::get(leeward.edge(), path, DUE).expect("a whole answer");
        let two = h2::get(leeward.edge(), path, DUE).expect("a whole answer");
        assert!(
            one.body == pattern(MUCH) && two.body == pattern(MUCH),
            "{path}"
        );
    }
}

#[test]
fn a_stream_that_is_cut_is_cut_for_the_client_too() {
    let origin = cutting();
    let route = "[[route]]\npath = \"/\"\nstream = true\n";
    let leeward = before_with(origin.address(), "concurrency = 4", route);
    for (cut, _) in CUTS {
        let path = format!("/{cut}/{MUCH}");
        no_whole_answer_over_http1(&leeward, &path, "1.1");
        no_whole_answer_over_http1(&leeward, &path, "1.0");
        reset_over_http2(&leeward, &path);
    }
}

/// What was said of a length is kept by the kernel of a process that dies; what was said of none is not: its answer
/// ends like one that is whole.
#[test]
fn an_answer_whose_origin_is_killed_meanwhile_is_not_whole() {
    for path in ["/steady/close", "/steady/chunked", "/steady/length"] {
        let leeward = behind(&[], "[restart]\nbackoff = \"50ms\"\n");
        killed_in_the_middle(&leeward, path);
    }
    let route = "[[route]]\npath = \"/steady\"\nstream = true\n";
    killed_in_the_middle(&lending(&[], route), "/steady/close");
}

fn killed_in_the_middle(leeward: &Leeward, path: &str) {
    let page = h1::get(leeward.edge(), "/", DUE).expect("an answer");
    let pid = page.origin_pid().expect("the page tells the process");
    let mut client = Connection::connect(leeward.edge(), DUE).expect("a connection");
    // Old clients know an end of the connection alone.
    let request = format!("GET {path} HTTP/1.0\r\n\r\n");
    client.send(request.as_bytes()).expect("sent");
    client.read_head_only().expect("a head");
    client.read_exact(100).expect("a beginning");
    let pid = Pid::from_raw(pid as i32).expect("a process number");
    kill_process(pid, Signal::KILL).expect("the origin can be killed");
    let end = client.read_to_end();
    let error = end.map(|rest| rest.len()).expect_err(path);
    assert_ne!(error.kind(), ErrorKind::TimedOut, "{path}");
    let told = leeward.wait_log("end=\"cut-off\"", DUE);
    let why = match path.ends_with("close") {
        true => "the process ended",
        false => "ended in the middle",
    };
    assert!(told.contains(why), "{told}");
    let next = h2::request(leeward.edge(), Ask::get("/bytes/10"), DUE).expect("an answer");
    assert!(next.body == pattern(10));
}
