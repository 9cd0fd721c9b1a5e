//! Clients that break the protocol to be expensive, and how they are told; and one that looks like them and is not.

use std::io::{ErrorKind, Read};
use std::time::{Duration, Instant};

use crate::house::{DUE, behind, somebody_else_is_served};
use crate::support::frames::{self, DATA, GOAWAY, PING, Raw, WINDOW_UPDATE};
use crate::support::h1::Connection;

const ENHANCE_YOUR_CALM: [u8; 4] = [0, 0, 0, 0xb];

/// The way around a count of the client's own resets (CVE-2025-8671).
#[test]
fn streams_a_client_makes_us_give_up_are_counted_as_its_own() {
    let ledger = tempfile::NamedTempFile::new().expect("a file");
    let path = ledger.path().display().to_string();
    let leeward = behind(&["--ledger", &path], "");
    let mut client = Raw::connect(leeward.edge(), 65_535, DUE).expect("a connection");
    for n in 0..300_u32 {
        let stream = 2 * n + 1;
        // More than a window may hold (RFC 9113, section 6.9.1).
        let too_much = 0x7fff_ffff_u32.to_be_bytes();
        let sent = client
            .get(stream, "/slow/50")
            .and_then(|()| client.frame(WINDOW_UPDATE, 0, stream, &too_much));
        if sent.is_err() {
            break;
        }
    }
    let goodbye = client.read_kind(GOAWAY).expect("a goodbye");
    assert_eq!(goodbye.payload[4..8], ENHANCE_YOUR_CALM);
    let reason = String::from_utf8_lossy(&goodbye.payload[8..]).into_owned();
    assert_eq!(reason, "edge.limits.resets");
    somebody_else_is_served(&leeward);
    let told = std::fs::read_to_string(ledger.path()).expect("the ledger");
    let visits = told.matches("/slow").count();
    assert!(visits <= 101, "{visits}");
}

#[test]
fn a_flood_hears_its_reason_though_more_of_it_is_on_its_way() {
    let leeward = behind(&[], "");
    let mut client = Raw::connect(leeward.edge(), 65_535, DUE).expect("a connection");
    let flood = frames::encoded(PING, 0, 0, &[0; 8]).repeat(50_000);
    // What does not get through is heard out all the same.
    let _ = client.send(&flood);
    let goodbye = client.read_kind(GOAWAY).expect("a goodbye");
    assert_eq!(goodbye.payload[4..8], ENHANCE_YOUR_CALM);
    assert!(client.until_goodbye().expect("an end"), "cut");
}

#[test]
fn who_agreed_on_http2_and_speaks_something_else_is_let_go_in_good_order() {
    let leeward = behind(&[], "");
    let all_wrong = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let wrong_in_the_end = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r ";
    for preface in [all_wrong, wrong_in_the_end] {
        let mut client = Raw::silent(leeward.edge(), DUE).expect("a connection");
        client.send(preface.as_bytes()).expect("sent");
        assert!(client.until_goodbye().expect("an end"), "cut: {preface:?}");
    }
}

#[test]
fn keys_that_change_for_nothing_end_the_connection() {
    let leeward = behind(&[], "");
    // Long before it would be ended for asking nothing.
    let soon = Duration::from_secs(5);
    let mut client = Raw::connect(leeward.edge(), 65_535, soon).expect("a connection");
    for _ in 0..1000 {
        if client.change_keys().is_err() {
            break;
        }
    }
    assert_ne!(client.until_ended(), ErrorKind::TimedOut);
    somebody_else_is_served(&leeward);
}

/// It takes less in 2 s than our kernel wants to be rid of before it takes more from us.
#[test]
fn a_reader_that_is_slow_and_steady_is_not_taken_for_one_that_stopped() {
    let stall = Duration::from_secs(2);
    let leeward = behind(&[], "[edge.deadlines]\nresponse_stall = \"2s\"\n");
    let mut slow = Connection::connect_narrow(leeward.edge(), 16 << 10, DUE).expect("a connection");
    slow.send(b"GET /bytes/20000000 HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    let begun = Instant::now();
    // Below TLS: how much is taken, and when, is what matters.
    let mut socket = slow.socket();
    let mut scratch = [0; 4096];
    while begun.elapsed() < stall * 3 {
        socket.read_exact(&mut scratch).expect("more of the answer");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(!leeward.stderr().contains("response_stall"));
    // One that did stop is still found out.
    leeward.wait_log("edge.deadlines.response_stall", DUE);
}

#[test]
fn a_window_that_opens_little_by_little_is_not_taken_for_one_that_stays_shut() {
    let leeward = behind(&[], "[edge.deadlines]\nresponse_stall = \"2s\"\n");
    let mut slow = Raw::connect(leeward.edge(), 0, DUE).expect("a connection");
    slow.get(1, "/bytes/100000").expect("sent");
    let (mut taken, step) = (0, 4096_u32);
    while taken < 100_000 {
        for stream in [0, 1] {
            slow.frame(WINDOW_UPDATE, 0, stream, &step.to_be_bytes())
                .expect("sent");
        }
        let data = slow.read_kind(DATA).expect("more of the answer");
        taken += data.payload.len();
        std::thread::sleep(Duration::from_millis(250));
    }
}
