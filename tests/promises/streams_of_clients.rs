//! HTTP/2 clients that hold back their windows, say nothing, or flood us.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use crate::house::{DUE, behind, somebody_else_is_served};
use crate::support::frames::{
    self, DATA, GOAWAY, HEADERS, PING, PRIORITY, RST_STREAM, Raw, SETTINGS, WINDOW_UPDATE,
};
use crate::support::response::pattern;

const IMPATIENT: &str = "[edge.deadlines]\n\
    handshake = \"1s\"\nhead = \"1s\"\nresponse_stall = \"2s\"\nkeep_alive = \"3s\"\n";

#[test]
fn a_stream_whose_window_never_opens_is_reset_alone() {
    let leeward = behind(&[], IMPATIENT);
    for path in ["/bytes/3000000", "/bytes/40000"] {
        let mut client = Raw::connect(leeward.edge(), 0, DUE).expect("a connection");
        client.get(1, path).expect("sent");
        client.read_kind(HEADERS).expect("its head");
        somebody_else_is_served(&leeward);
        let reset = client.read_kind(RST_STREAM).expect("its end");
        assert_eq!(reset.stream, 1, "{path}");
        // The connection goes on, and serves who takes what it asked for.
        client.get(3, "/bytes/10").expect("sent");
        client
            .frame(WINDOW_UPDATE, 0, 3, &100_u32.to_be_bytes())
            .expect("sent");
        let body = client.read_body(3).expect("an answer");
        assert!(body == pattern(10), "{path}");
    }
    leeward.wait_log("edge.deadlines.response_stall", DUE);
}

#[test]
fn a_window_that_opens_again_and_again_gets_the_whole_answer() {
    let leeward = behind(&[], IMPATIENT);
    let mut client = Raw::connect(leeward.edge(), 1000, DUE).expect("a connection");
    client.get(1, "/bytes/300000").expect("sent");
    let body = client.read_body(1).expect("an answer");
    assert!(body == pattern(300_000), "{} bytes", body.len());
}

#[test]
fn a_hundred_shut_windows_hold_neither_the_origin_nor_its_descriptors() {
    let leeward = behind(&[], IMPATIENT);
    let mut client = Raw::connect(leeward.edge(), 0, DUE).expect("a connection");
    for n in 0..90 {
        client.get(2 * n + 1, "/bytes/100000").expect("sent");
    }
    for _ in 0..90 {
        client.read_kind(HEADERS).expect("a head each");
    }
    somebody_else_is_served(&leeward);
    let status = leeward.status_get("/status.json");
    let status: serde_json::Value = serde_json::from_slice(&status.body).expect("JSON");
    assert_eq!(status["origin"]["visits"], serde_json::json!([]));
}

#[test]
fn silence_after_the_handshake_ends_the_connection() {
    let leeward = behind(&[], IMPATIENT);
    let mut client = Raw::silent(leeward.edge(), DUE).expect("a connection");
    assert_eq!(client.until_ended(), ErrorKind::ConnectionReset);
    leeward.wait_log("edge.deadlines.head", DUE);
}

#[test]
fn an_idle_connection_is_told_goodbye() {
    let leeward = behind(&[], IMPATIENT);
    let mut client = Raw::connect(leeward.edge(), 65_535, DUE).expect("a connection");
    client.get(1, "/bytes/10").expect("sent");
    client.read_body(1).expect("an answer");
    let idle = Instant::now();
    client.read_kind(GOAWAY).expect("a goodbye");
    assert!(
        idle.elapsed() >= Duration::from_millis(2900),
        "{:?}",
        idle.elapsed()
    );
}

#[test]
fn a_flood_of_frames_that_carry_nothing_ends_with_its_reason() {
    let leeward = behind(&[], "");
    let floods: [(&str, Vec<u8>); 6] = [
        ("SETTINGS", frames::encoded(SETTINGS, 0, 0, &[])),
        ("PING", frames::encoded(PING, 0, 0, &[0; 8])),
        (
            "PRIORITY",
            frames::encoded(PRIORITY, 0, 1, &[0, 0, 0, 3, 16]),
        ),
        (
            "WINDOW_UPDATE",
            frames::encoded(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
        ),
        ("unknown", frames::encoded(0x42, 0, 0, &[0; 4])),
        ("empty DATA", frames::encoded(DATA, 0, 1, &[])),
    ];
    for (name, frame) in floods {
        let mut client = Raw::connect(leeward.edge(), 65_535, DUE).expect("a connection");
        if name == "empty DATA" {
            // A POST that never ends.
            let head = [0x83, 0x87, 0x84, 0x01, 9];
            let head = [&head[..], b"localhost"].concat();
            client.frame(HEADERS, 4, 1, &head).expect("sent");
        }
        for _ in 0..200 {
            if client.send(&frame.repeat(100)).is_err() {
                break;
            }
        }
        // A client that does not read while it floods may lose the goodbye to the reset behind it.
        match client.read_kind(GOAWAY) {
            Ok(goodbye) => assert_eq!(goodbye.payload[4..8], [0, 0, 0, 0xb], "{name}"),
            Err(error) => assert_ne!(error.kind(), ErrorKind::TimedOut, "{name}: not ended"),
        }
    }
    let told = leeward.wait_log_nth("a flood", 5, DUE);
    assert!(told.contains("edge.limits.control_frames"), "{told}");
    somebody_else_is_served(&leeward);
}

#[test]
fn streams_given_up_at_once_do_not_reach_the_origin_by_the_thousand() {
    let ledger = tempfile::NamedTempFile::new().expect("a file");
    let path = ledger.path().display().to_string();
    let leeward = behind(&["--ledger", &path], "");
    let mut client = Raw::connect(leeward.edge(), 65_535, DUE).expect("a connection");
    for n in 0..3000_u32 {
        let stream = 2 * n + 1;
        let sent = client
            .get(stream, "/rapid")
            .and_then(|()| client.frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        if sent.is_err() {
            break;
        }
    }
    // By our count of resets, or by that of h2, which sees those that came before it had looked.
    assert_ne!(client.until_ended(), ErrorKind::TimedOut);
    somebody_else_is_served(&leeward);
    let told = std::fs::read_to_string(ledger.path()).expect("the ledger");
    assert!(
        told.matches("/rapid").count() <= 101,
        "{}",
        told.matches("/rapid").count()
    );
}
