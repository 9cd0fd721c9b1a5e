//! There is only so much of everything, and who gets none is told at once and counted.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::house::{DUE, behind, configured, somebody_else_is_served};
use crate::support::{Leeward, h1, h2};

fn metric(leeward: &Leeward, name: &str) -> u64 {
    let metrics = leeward.status_get("/metrics").text();
    let found = metrics.lines().find_map(|line| {
        let (said, value) = line.rsplit_once(' ')?;
        (said == name).then(|| value.parse().ok())?
    });
    found.unwrap_or_else(|| panic!("no {name} in\n{metrics}"))
}

/// The first byte of a handshake, and no more.
fn begins_a_handshake(leeward: &Leeward) -> TcpStream {
    let mut client = TcpStream::connect(leeward.edge()).expect("a connection");
    client.set_read_timeout(Some(DUE)).expect("a patience");
    client.write_all(&[22]).expect("sent");
    client
}

#[test]
fn handshakes_beyond_the_limit_wait_for_their_turn() {
    let keys = "[edge.limits]\nhandshakes = 1\n[edge.deadlines]\nhandshake = \"2s\"\n";
    let leeward = behind(&[], keys);
    // Who is silent takes no turn.
    let _silent = TcpStream::connect(leeward.edge()).expect("a connection");
    somebody_else_is_served(&leeward);
    let _stalled = begins_a_handshake(&leeward);
    // The next is served as soon as the deadline has ended that one.
    std::thread::sleep(Duration::from_millis(200));
    let begun = Instant::now();
    let answer = h1::get(leeward.edge(), "/", DUE).expect("an answer");
    assert_eq!(answer.status, 200);
    let waited = begun.elapsed().as_secs_f64();
    assert!((1.0..1.99).contains(&waited), "{waited} s");
}

#[test]
fn a_handshake_whose_turn_does_not_come_is_reset_and_counted() {
    let keys = "[edge.limits]\nhandshakes = 1\n[edge.deadlines]\nhandshake = \"2s\"\n";
    let leeward = behind(&[], keys);
    let mut waits = TcpStream::connect(leeward.edge()).expect("a connection");
    waits.set_read_timeout(Some(DUE)).expect("a patience");
    std::thread::sleep(Duration::from_millis(700));
    let _stalled = begins_a_handshake(&leeward);
    std::thread::sleep(Duration::from_millis(200));
    waits.write_all(&[22]).expect("sent");
    let end = waits.read(&mut [0; 16]).expect_err("reset");
    assert_eq!(end.kind(), ErrorKind::ConnectionReset);
    let shed = "leeward_connections_shed_total{reason=\"handshakes\"}";
    assert_eq!(metric(&leeward, shed), 1);
}

/// 16 MiB beside the spool, on one thread: 72 requests by 224 KiB, of which a quarter is always kept for them.
const SMALL: &str = "[edge.limits]\nmemory = \"80MiB\"\nconnections_per_address = \"off\"\n";

#[test]
fn memory_bounds_connections_and_leaves_room_for_requests() {
    let leeward = behind(&[], SMALL);
    let clients: Vec<_> = (0..400)
        .map(|_| TcpStream::connect(leeward.edge()).expect("a connection"))
        .collect();
    let shed = "leeward_connections_shed_total{reason=\"memory\"}";
    let until = Instant::now() + DUE;
    while metric(&leeward, "leeward_connections_accepted_total") < 400 {
        assert!(Instant::now() < until, "not all were accepted");
        std::thread::sleep(Duration::from_millis(10));
    }
    let shed = metric(&leeward, shed);
    assert!((150..350).contains(&shed), "{shed} were shed");
    let limit = metric(&leeward, "leeward_memory_limit_bytes");
    let reserved = metric(&leeward, "leeward_memory_reserved_bytes");
    assert_eq!(limit, 80 << 20);
    assert!(reserved <= limit && reserved > limit * 9 / 10, "{reserved}");
    drop(clients);
    while metric(&leeward, "leeward_connections_open") > 0 {
        assert!(Instant::now() < until, "they are not let go of");
        std::thread::sleep(Duration::from_millis(10));
    }
    somebody_else_is_served(&leeward);
}

#[test]
fn requests_beyond_the_memory_are_answered_503_with_the_reason() {
    let limits = SMALL.replacen("[edge.limits]\n", "", 1);
    let leeward = configured(&format!(
        "threads = 1\nlimits = {{ {} }}\n",
        limits.trim().replace('\n', ", ")
    ));
    let asks = vec![h2::Ask::get("/slow/30"); 100];
    let answers = h2::together(leeward.edge(), asks, DUE).expect("a connection");
    let answers: Vec<_> = answers
        .into_iter()
        .map(|it| it.expect("an answer"))
        .collect();
    let served = answers.iter().filter(|it| it.status == 200).count();
    assert!((60..73).contains(&served), "{served} were served");
    for refused in answers.iter().filter(|it| it.status != 200) {
        assert_eq!(refused.status, 503);
        assert_eq!(refused.header("retry-after"), Some("1"));
        assert!(
            refused.text().contains("edge.limits.memory"),
            "{}",
            refused.text()
        );
    }
    somebody_else_is_served(&leeward);
}
