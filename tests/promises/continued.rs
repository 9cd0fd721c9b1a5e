//! An answer that is cut in the middle is continued from the next generation where it is proven to be the same, and cut
//! off visibly where it is not.

use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::path::Path;

use rustix::process::Signal;
use serde_json::json;
use tempfile::NamedTempFile;

use crate::brought_on::signalled;
use crate::costs::wait_cost;
use crate::house::{DUE, before, behind, wait_metric};
use crate::spool::{json as status, until};
use crate::support::Leeward;
use crate::support::frames::{DATA, RST_STREAM, Raw, WINDOW_UPDATE};
use crate::support::h1::{self, Connection};
use crate::support::h2::{self, Ask};
use crate::support::response::Response;
use crate::support::scripted::Scripted;

/// It takes the sick origin half a second.
const LENGTH: usize = 6_000_000;
/// What a client has when its answer is cut; more than is held back until it is shown.
const BEGINNING: usize = 200_000;
/// The next generation is there soon.
const SOON: &str = "[hang]\ncertain = \"500ms\"\n[restart]\nbackoff = \"50ms\"\n";

/// Bytes of which none is like those around it (SplitMix64).
fn bytes(length: usize, seed: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 8);
    let mut state = seed;
    while bytes.len() < length {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bytes.extend((mixed ^ (mixed >> 31)).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn file(bytes: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a file");
    file.write_all(bytes).expect("room");
    file
}

fn path(file: &Path) -> String {
    format!("/file{}", file.display())
}

/// Asks over HTTP/1, and has `break_it` done when a beginning is there; the whole body.
fn by_http1(edge: SocketAddr, path: &str, break_it: impl FnOnce()) -> std::io::Result<Vec<u8>> {
    let mut client = Connection::connect(edge, DUE)?;
    client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes())?;
    let head = client.read_head_only()?;
    let length: usize = head
        .header("content-length")
        .expect("a length")
        .parse()
        .expect("a number");
    let mut body = client.read_exact(BEGINNING)?;
    break_it();
    body.extend(client.read_exact(length - BEGINNING)?);
    Ok(body)
}

/// The same over HTTP/2.
fn by_http2(edge: SocketAddr, path: &str, break_it: impl FnOnce()) -> std::io::Result<Vec<u8>> {
    const WIDE: u32 = 1 << 24;
    let mut client = Raw::connect(edge, WIDE, DUE)?;
    client.frame(WINDOW_UPDATE, 0, 0, &WIDE.to_be_bytes())?;
    client.get(1, path)?;
    let (mut body, mut break_it) = (Vec::new(), Some(break_it));
    loop {
        let frame = client.read()?;
        match frame.kind {
            DATA if frame.stream == 1 => body.extend(&frame.payload),
            RST_STREAM => return Err(ErrorKind::ConnectionAborted.into()),
            _ => continue,
        }
        if frame.flags & 1 != 0 {
            return Ok(body);
        }
        if body.len() >= BEGINNING
            && let Some(break_it) = break_it.take()
        {
            break_it();
        }
    }
}

fn killed(leeward: &Leeward) {
    signalled(leeward, Signal::KILL).expect("it is killed");
}

#[test]
fn an_answer_whose_origin_is_killed_in_the_middle_is_continued_byte_for_byte() {
    let whole = bytes(LENGTH, 1);
    let file = file(&whole);
    let path = path(file.path());
    let leeward = behind(&[], SOON);
    // Who is held by the start is not counted once more.
    wait_metric(&leeward, "leeward_origin_up 1");
    let body = by_http1(leeward.edge(), &path, || killed(&leeward)).expect("all of it");
    assert!(body == whole, "HTTP/1");
    let told = leeward.wait_log("continued=true", DUE);
    for part in [
        "end=\"done\"",
        "bytes=6000000",
        "held=true",
        "replayed=true",
    ] {
        assert!(told.contains(part), "{told}");
    }
    wait_metric(&leeward, "leeward_exchanges_continued_total 1");
    let cost = json!({ "held": 1, "replayed": 1, "continued": 1, "lost": 0 });
    wait_cost(&leeward, &cost);
    let body = by_http2(leeward.edge(), &path, || killed(&leeward)).expect("all of it");
    assert!(body == whole, "HTTP/2");
    leeward.wait_log_nth("continued=true", 2, DUE);
}

#[test]
fn an_answer_whose_origin_is_frozen_in_the_middle_is_continued_byte_for_byte() {
    let whole = bytes(LENGTH, 2);
    let file = file(&whole);
    let leeward = behind(&[], SOON);
    let freeze = || drop(signalled(&leeward, Signal::STOP).expect("it is frozen"));
    let body = by_http1(leeward.edge(), &path(file.path()), freeze).expect("all of it");
    assert!(body == whole);
    leeward.wait_log("continued=true", DUE);
}

#[test]
fn an_answer_whose_file_changed_meanwhile_is_cut_off() {
    let file = file(&bytes(LENGTH, 3));
    let path = path(file.path());
    let leeward = behind(&[], SOON);
    let change = |seed| {
        let other = self::file(&bytes(LENGTH, seed));
        std::fs::rename(other.into_temp_path().keep().expect("kept"), file.path())
            .expect("renamed");
        killed(&leeward);
    };
    let error = by_http1(leeward.edge(), &path, || change(4)).expect_err("not the same");
    assert_ne!(error.kind(), ErrorKind::TimedOut);
    let told = leeward.wait_log("an answer was cut off", DUE);
    assert!(told.contains("it has changed meanwhile"), "{told}");
    let error = by_http2(leeward.edge(), &path, || change(5)).expect_err("not the same");
    assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
    leeward.wait_log_nth("end=\"cut-off\"", 2, DUE);
    wait_metric(&leeward, "leeward_exchanges_continued_total 0");
}

#[test]
fn a_client_that_reads_behind_gets_the_rest_from_the_disk_and_from_the_next_generation() {
    let whole = bytes(16_000_000, 6);
    let file = file(&whole);
    let little = "[spool]\nmemory = \"1MiB\"\ndirectory = \"@DIR@/spool\"\nfloor = \"0B\"\n";
    let leeward = behind(&[], &format!("{SOON}{little}"));
    let fallen_behind = || {
        until("a part on disk", || {
            status(&leeward)["spool"]["disk_bytes"].as_u64() > Some(1_000_000)
        });
        killed(&leeward);
        leeward.wait_log_nth("origin ready", 2, DUE);
        wait_metric(&leeward, "leeward_exchanges_continued_total 1");
    };
    let body = by_http1(leeward.edge(), &path(file.path()), fallen_behind).expect("all of it");
    assert!(body == whole);
}

#[test]
fn a_part_that_the_client_asked_for_is_continued_within_it() {
    let whole = bytes(LENGTH, 7);
    let file = file(&whole);
    let leeward = behind(&[], SOON);
    let mut client = Connection::connect(leeward.edge(), DUE).expect("a connection");
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: a\r\nRange: bytes=1000000-4999999\r\n\r\n",
        path(file.path())
    );
    client.send(request.as_bytes()).expect("sent");
    let head = client.read_head_only().expect("a head");
    assert_eq!(head.status, 206);
    let mut body = client.read_exact(BEGINNING).expect("a beginning");
    killed(&leeward);
    body.extend(client.read_exact(4_000_000 - BEGINNING).expect("the rest"));
    assert!(body == whole[1_000_000..5_000_000]);
    leeward.wait_log("continued=true", DUE);
}

/// Of a whole of 300,000 bytes, the first 200,000 and then the end of the connection; and when the rest is asked for, what
/// the path says.
fn cutting() -> Scripted {
    Scripted::tcp(|request, peer| {
        let path = request.split(' ').nth(1).unwrap_or_default();
        if path == "/" {
            // It is asked how it is.
            let _ = peer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            return;
        }
        let is_first = !request.to_lowercase().contains("\r\nif-range: \"t\"\r\n");
        let (tag, more) = match path {
            "/weak" => ("W/\"t\"", ""),
            "/none" => ("\"t\"", "Accept-Ranges: none\r\n"),
            "/changed" if !is_first => ("\"u\"", ""),
            "/kind" if !is_first => ("\"t\"", "Content-Type: text/plain\r\n"),
            "/coded" if !is_first => ("\"t\"", "Content-Encoding: gzip\r\n"),
            _ => ("\"t\"", ""),
        };
        let whole = bytes(300_000, 8);
        let (status, place, body) = match path {
            _ if is_first => ("200 OK", "", &whole[..BEGINNING]),
            "/whole" => ("200 OK", "", &whole[..]),
            "/error" => ("503 Service Unavailable", "", &b"later"[..]),
            "/shifted" => (
                "206 Partial Content",
                "199999-299998/300000",
                &whole[BEGINNING - 1..299_999],
            ),
            "/longer" => (
                "206 Partial Content",
                "200000-299999/300001",
                &whole[BEGINNING..],
            ),
            "/again" => (
                "206 Partial Content",
                "200000-299999/300000",
                &whole[BEGINNING..250_000],
            ),
            "/unplaced" => ("206 Partial Content", "", &whole[BEGINNING..]),
            _ => (
                "206 Partial Content",
                "200000-299999/300000",
                &whole[BEGINNING..],
            ),
        };
        let place = match place {
            "" => String::new(),
            place => format!("Content-Range: bytes {place}\r\n"),
        };
        let length = match (is_first, path) {
            (true, _) => whole.len(),
            (false, "/again") => 100_000,
            (false, _) => body.len(),
        };
        // One that tells no length ends in order, and too soon.
        let (framing, body) = match path {
            "/short" if !is_first => (String::new(), &body[..50_000]),
            _ => (format!("Content-Length: {length}\r\n"), body),
        };
        let head = format!("HTTP/1.1 {status}\r\nETag: {tag}\r\n{more}{place}{framing}\r\n");
        let _ = peer.write_all(head.as_bytes());
        let _ = peer.write_all(body);
    })
}

fn whole(answer: std::io::Result<Response>) -> bool {
    answer.is_ok_and(|answer| {
        assert!(answer.body == bytes(300_000, 8), "whole, and other bytes");
        true
    })
}

#[test]
fn only_the_rest_of_the_same_thing_continues_an_answer() {
    let origin = cutting();
    let leeward = before(origin.address(), "");
    let mut cut_off = 0;
    for (path, asked, is_whole) in [
        ("/fits", 2, true),
        ("/whole", 2, true),
        ("/again", 2, false),
        ("/short", 2, false),
        ("/changed", 2, false),
        ("/kind", 2, false),
        ("/coded", 2, false),
        ("/shifted", 2, false),
        ("/longer", 2, false),
        ("/unplaced", 2, false),
        ("/error", 2, false),
        ("/weak", 1, false),
        ("/none", 1, false),
    ] {
        let one = h1::get(leeward.edge(), path, DUE);
        assert_eq!(whole(one), is_whole, "{path}");
        let two = h2::request(leeward.edge(), Ask::get(path), DUE);
        assert_eq!(whole(two), is_whole, "{path}");
        cut_off += if is_whole { 0 } else { 2 };
        if cut_off > 0 {
            leeward.wait_log_nth("end=\"cut-off\"", cut_off, DUE);
        }
        assert_eq!(origin.heard(path).len(), 2 * asked, "{path}");
    }
    wait_metric(&leeward, "leeward_exchanges_continued_total 8");
}

#[test]
fn where_it_is_switched_off_no_answer_is_continued() {
    let origin = cutting();
    let leeward = before(origin.address(), "[replay]\ncontinue_answers = false\n");
    assert!(!whole(h1::get(leeward.edge(), "/fits", DUE)));
    leeward.wait_log("end=\"cut-off\"", DUE);
    assert_eq!(origin.heard("/fits").len(), 1);
}
