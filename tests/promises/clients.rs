//! No client holds the origin, or a connection of ours for longer than its deadlines allow.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use crate::house::{DUE, behind, somebody_else_is_served, somebody_else_is_served_inside, vanish};
use crate::skip;
use crate::support::h1::Connection;
use crate::support::netns::Pair;
use crate::support::origin::processed;
use crate::support::{Leeward, ailing};

/// Deadlines short enough for a test, each told apart from the others.
const IMPATIENT: &str = "[edge.deadlines]\n\
    handshake = \"1s\"\nhead = \"1s\"\nbody_stall = \"1s\"\nbody_pace = \"1KiB/s after 2s\"\n\
    response_stall = \"2s\"\nkeep_alive = \"3s\"\n";

/// Reads until the other side ends the connection, and says how.
fn ended(client: &mut Connection) -> ErrorKind {
    client.be_patient(DUE);
    match client.read_to_end() {
        Ok(_) => ErrorKind::UnexpectedEof,
        Err(error) => error.kind(),
    }
}

/// The headline. Without Leeward the very same client stops the very same origin: see `control`.
#[test]
fn a_client_that_vanishes_in_the_middle_of_a_page_holds_nobody() {
    let pair = match Pair::new() {
        Ok(pair) => pair,
        Err(reason) => skip!(reason),
    };
    let config = format!(
        "[edge]\nlisten = \"0.0.0.0:8443\"\n[status]\nlisten = \"127.0.0.1:0\"\n\
         [incidents]\ndirectory = \"@DIR@/incidents\"\n\
         [origin]\naddress = \"127.0.0.1:8080\"\n\
         [edge.deadlines]\nresponse_stall = \"4s\"\n\
         [origin.process]\ncommand = [{:?}, \"--listen\", \"{{address}}\"]\n",
        ailing().display().to_string()
    );
    let leeward = pair.server.inside(|| Leeward::start(&config));
    leeward.wait_log("origin ready", DUE);
    vanish(&pair, "tls", 8443);
    somebody_else_is_served_inside(&pair);
    // Told apart from one that is there and does not read.
    leeward.wait_log("client vanished", DUE);
}

#[test]
fn half_a_head_is_answered_with_408_at_its_deadline_and_never_reaches_the_origin() {
    let ledger = tempfile::NamedTempFile::new().expect("a file");
    let path = ledger.path().display().to_string();
    let leeward = behind(&["--ledger", &path], IMPATIENT);
    let mut half = Connection::connect(leeward.edge(), DUE).expect("a connection");
    half.send(b"GET /half HTTP/1.1\r\nHos").expect("sent");
    somebody_else_is_served(&leeward);
    let response = half.read_response().expect("an answer of ours");
    assert_eq!(response.status, 408);
    leeward.wait_log("edge.deadlines.head", DUE);
    let told = std::fs::read_to_string(ledger.path()).expect("the ledger");
    assert!(!told.contains("/half"), "{told}");
}

#[test]
fn a_head_that_drips_is_reset_at_the_same_deadline() {
    let leeward = behind(&[], IMPATIENT);
    let mut client = Connection::connect(leeward.edge(), DUE).expect("a connection");
    let begun = Instant::now();
    let mut bytes = b"GET / HTTP/1.1\r\nX-Long: "
        .iter()
        .chain(std::iter::repeat(&b'a'));
    loop {
        let byte = bytes.next().copied().unwrap_or(b'a');
        if client.send(&[byte]).is_err() {
            break;
        }
        assert!(begun.elapsed() < DUE, "dripping goes on for ever");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(
        begun.elapsed() >= Duration::from_millis(900),
        "{:?}",
        begun.elapsed()
    );
    leeward.wait_log("edge.deadlines.head", DUE);
}

#[test]
fn a_silent_client_is_ended_before_and_after_the_handshake() {
    let leeward = behind(&[], IMPATIENT);
    let mut no_handshake = Connection::connect_plain(leeward.edge(), DUE).expect("a connection");
    let mut no_request = Connection::connect(leeward.edge(), DUE).expect("a connection");
    assert_eq!(ended(&mut no_handshake), ErrorKind::ConnectionReset);
    leeward.wait_log("edge.deadlines.handshake", DUE);
    assert_eq!(ended(&mut no_request), ErrorKind::ConnectionReset);
    leeward.wait_log("edge.deadlines.head", DUE);
}

#[test]
fn an_idle_connection_is_closed_in_good_order() {
    let leeward = behind(&[], IMPATIENT);
    let mut client = Connection::connect(leeward.edge(), DUE).expect("a connection");
    client.request("GET", "/", &[], &[]).expect("an answer");
    let idle = Instant::now();
    assert_eq!(ended(&mut client), ErrorKind::UnexpectedEof);
    assert!(
        idle.elapsed() >= Duration::from_millis(2900),
        "{:?}",
        idle.elapsed()
    );
}

#[test]
fn half_a_body_is_answered_with_408_and_never_reaches_the_origin() {
    let ledger = tempfile::NamedTempFile::new().expect("a file");
    let path = ledger.path().display().to_string();
    let leeward = behind(&["--ledger", &path], IMPATIENT);
    let mut half = Connection::connect(leeward.edge(), DUE).expect("a connection");
    half.send(b"POST /half HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf")
        .expect("sent");
    somebody_else_is_served(&leeward);
    let response = half.read_response().expect("an answer of ours");
    assert_eq!(response.status, 408);
    assert!(
        response.text().contains("body_stall"),
        "{}",
        response.text()
    );
    let told = std::fs::read_to_string(ledger.path()).expect("the ledger");
    assert!(!told.contains("/half"), "{told}");
}

#[test]
fn a_body_that_drips_is_answered_with_408_by_its_pace() {
    let leeward = behind(&[], IMPATIENT);
    let mut client = Connection::connect(leeward.edge(), DUE).expect("a connection");
    client
        .send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
        .expect("sent");
    let begun = Instant::now();
    while client.send(b"x").is_ok() {
        assert!(begun.elapsed() < DUE, "dripping goes on for ever");
        std::thread::sleep(Duration::from_millis(100));
        if begun.elapsed() > Duration::from_secs(3) {
            break;
        }
    }
    let response = client.read_response().expect("an answer of ours");
    assert_eq!(response.status, 408);
    assert!(response.text().contains("body_pace"), "{}", response.text());
    somebody_else_is_served(&leeward);
}

#[test]
fn a_reader_that_never_reads_holds_nobody_and_is_reset() {
    let leeward = behind(&[], IMPATIENT);
    let mut lazy = Connection::connect(leeward.edge(), DUE).expect("a connection");
    lazy.send(b"GET /bytes/20000000 HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    somebody_else_is_served(&leeward);
    leeward.wait_log("edge.deadlines.response_stall", DUE);
    leeward.wait_log("client stopped reading", DUE);
    let end = ended(&mut lazy);
    assert_eq!(end, ErrorKind::ConnectionReset);
    let told = leeward.wait_log("GET /bytes/20000000", DUE);
    assert!(told.contains("end=\"client-timed-out\""), "{told}");
    assert!(
        told.contains("why=\"client, respond: not done in time\""),
        "{told}"
    );
    somebody_else_is_served(&leeward);
}

#[test]
fn a_client_that_leaves_while_it_waits_leaves_its_place() {
    let ledger = tempfile::NamedTempFile::new().expect("a file");
    let path = ledger.path().display().to_string();
    let leeward = behind(&["--ledger", &path], "");
    let mut slow = Connection::connect(leeward.edge(), DUE).expect("a connection");
    slow.send(b"GET /slow/2000 HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    while processed(ledger.path(), "/slow") == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut leaving = Connection::connect(leeward.edge(), DUE).expect("a connection");
    leaving
        .send(b"GET /left HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    drop(leaving);
    slow.read_response().expect("the slow answer");
    somebody_else_is_served(&leeward);
    let told = std::fs::read_to_string(ledger.path()).expect("the ledger");
    assert!(told.contains("/slow") && !told.contains("/left"), "{told}");
}
