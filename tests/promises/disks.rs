//! A disk that is full, gone, read-only or hung costs the exchange that needs it a clear error, and nobody else
//! anything.

use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::house::{DUE, behind, somebody_else_is_served};
use crate::skip;
use crate::support::Leeward;
use crate::support::frames::{DATA, Raw, WINDOW_UPDATE};
use crate::support::h1::{self, Connection};
use crate::support::h2;
use crate::support::mounted::Mounted;
use crate::support::response::pattern;

/// Leeward with little memory, and its spool there.
fn spooling_to(directory: &Path, more: &str) -> Leeward {
    let directory = directory.display();
    behind(
        &[],
        &format!(
            "[spool]\nmemory = \"1MiB\"\ndirectory = \"{directory}\"\nfloor = \"0B\"\n{more}\
             [edge.limits]\nbody = \"64MiB\"\n"
        ),
    )
}

/// Asks for what fits nowhere and takes nothing of it.
fn lazy(leeward: &Leeward) -> Connection {
    let mut lazy = Connection::connect(leeward.edge(), DUE).expect("a connection");
    lazy.send(b"GET /bytes/30000000 HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    lazy
}

/// What it asked for is cut off, and what it was given until then is right.
fn is_cut_off(mut lazy: Connection) {
    lazy.read_head_only().expect("a head");
    let mut given = Vec::new();
    let error = loop {
        match lazy.read_exact(4096) {
            Ok(bytes) => given.extend(bytes),
            Err(error) => break error,
        }
    };
    assert_ne!(error.kind(), std::io::ErrorKind::TimedOut);
    assert!(given == pattern(given.len()), "{} bytes", given.len());
}

/// Both sides of the spool are refused, with words that name the key.
fn is_refused(leeward: &Leeward, word: &str) {
    let body = vec![1; 12 << 20];
    let refused = h1::request(leeward.edge(), "POST", "/echo", &[], &body, DUE);
    let refused = refused.expect("an answer of ours");
    assert_eq!(refused.status, 503);
    assert!(refused.text().contains(word), "{}", refused.text());
    assert!(refused.header("retry-after").is_some());
    let told = refused.header("proxy-status").unwrap_or_default();
    assert!(told.contains("error=proxy_internal_error"), "{told}");
}

#[test]
fn a_full_disk_costs_others_nothing_and_is_used_again_when_there_is_room() {
    let small = match Mounted::tmpfs("size=8m") {
        Ok(small) => small,
        Err(reason) => skip!(reason),
    };
    let leeward = spooling_to(small.path(), "");
    let cut = lazy(&leeward);
    let told = leeward.wait_log("an answer was cut off", DUE);
    assert!(told.contains("No space left"), "{told}");
    assert!(told.contains("spool.directory"), "{told}");
    somebody_else_is_served(&leeward);
    is_refused(&leeward, "spool.directory");
    let remedy = leeward.wait_log("ERROR", DUE);
    assert!(remedy.contains("make room"), "{remedy}");
    is_cut_off(cut);
    // What the two had taken is given back.
    for _ in 0..3 {
        let body = vec![7; 2 << 20];
        let echoed = h1::request(leeward.edge(), "POST", "/echo", &[], &body, DUE);
        assert!(echoed.expect("an echo").body == body);
        let answer = h2::get(leeward.edge(), "/bytes/3000000", DUE).expect("an answer");
        assert!(answer.body == pattern(3_000_000));
    }
    leeward.wait_log("can be written again", DUE);
}

#[test]
fn a_directory_that_is_gone_is_made_again() {
    let there = TempDir::new().expect("a directory");
    let spool = there.path().join("deep/spool");
    let leeward = spooling_to(&spool, "");
    std::fs::remove_dir_all(there.path().join("deep")).expect("it can be removed");
    let body = vec![7; 2 << 20];
    let echoed = h1::request(leeward.edge(), "POST", "/echo", &[], &body, DUE);
    let echoed = echoed.expect("an echo");
    assert!(echoed.body == body, "{}", echoed.status);
    assert!(spool.is_dir());
    // What cannot be made again is told.
    std::fs::remove_dir_all(there.path().join("deep")).expect("it can be removed");
    std::fs::write(there.path().join("deep"), "in the way").expect("a file");
    is_refused(&leeward, "spool.directory");
    somebody_else_is_served(&leeward);
}

#[test]
fn a_directory_that_cannot_be_written_costs_only_what_does_not_fit_into_memory() {
    let read_only = match Mounted::tmpfs("ro") {
        Ok(mounted) => mounted,
        Err(reason) => skip!(reason),
    };
    for spool in [read_only.path(), Path::new("/dev/null/spool")] {
        let leeward = spooling_to(spool, "");
        leeward.wait_log("bodies rest in memory alone", DUE);
        let body = vec![7; 500_000];
        let echoed = h1::request(leeward.edge(), "POST", "/echo", &[], &body, DUE);
        assert!(echoed.expect("an echo").body == body);
        let body = vec![1; 12 << 20];
        let refused = h1::request(leeward.edge(), "POST", "/echo", &[], &body, DUE);
        let refused = refused.expect("an answer of ours");
        assert_eq!(refused.status, 503);
        assert!(
            refused.text().contains("spool.memory"),
            "{}",
            refused.text()
        );
        somebody_else_is_served(&leeward);
    }
}

#[test]
fn a_hung_disk_is_given_up_after_seconds_and_holds_nobody_else() {
    let disk = match Mounted::ext4() {
        Ok(disk) => disk,
        Err(reason) => skip!(reason),
    };
    let leeward = spooling_to(disk.path(), "");
    let frozen = match disk.freeze() {
        Ok(frozen) => frozen,
        Err(reason) => skip!(reason),
    };
    let begun = Instant::now();
    let cut = lazy(&leeward);
    let told = leeward.wait_log("an answer was cut off", DUE);
    assert!(told.contains("took nothing for 5s"), "{told}");
    assert!(begun.elapsed() < Duration::from_secs(8), "{begun:?}");
    somebody_else_is_served(&leeward);
    is_cut_off(cut);
    drop(frozen);
    let body = vec![7; 2 << 20];
    let echoed = h1::request(leeward.edge(), "POST", "/echo", &[], &body, DUE);
    assert!(echoed.expect("an echo").body == body);
}

/// Compared byte by byte as it comes, so that nothing is too large to be compared.
#[test]
fn a_hundred_megabytes_reach_slow_readers_whole_over_both_versions() {
    const LENGTH: usize = 100_000_000;
    const PIECE: usize = 1 << 20;
    let there = TempDir::new().expect("a directory");
    let leeward = spooling_to(there.path(), "");
    let edge = leeward.edge();
    let path = format!("/bytes/{LENGTH}");
    // As fast as 50 MB a second, and a pause in between.
    let pause = |given: usize| {
        let long = given / PIECE == 30;
        std::thread::sleep(Duration::from_millis(if long { 700 } else { 20 }));
    };
    let wanted = pattern(PIECE + 251);
    let is_right = |from: usize, bytes: &[u8]| {
        let begin = from % 251;
        bytes == &wanted[begin..begin + bytes.len()]
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = Connection::connect(edge, DUE).expect("a connection");
            let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
            client.send(request.as_bytes()).expect("sent");
            client.read_head_only().expect("a head");
            for from in (0..LENGTH).step_by(PIECE) {
                let bytes = client.read_exact(PIECE.min(LENGTH - from));
                assert!(is_right(from, &bytes.expect("more")), "from {from}");
                pause(from);
            }
        });
        let mut client = Raw::connect(edge, PIECE as u32, DUE).expect("a connection");
        client.get(1, &path).expect("sent");
        let (mut from, mut paused) = (0, 0);
        while from < LENGTH {
            let frame = client.read_kind(DATA).expect("more");
            let length = frame.payload.len();
            assert!(is_right(from, &frame.payload), "from {from}");
            from += length;
            if length > 0 {
                let more = (length as u32).to_be_bytes();
                client.frame(WINDOW_UPDATE, 0, 1, &more).expect("sent");
                client.frame(WINDOW_UPDATE, 0, 0, &more).expect("sent");
            }
            if from - paused > PIECE {
                paused = from;
                pause(from);
            }
        }
    });
}
