//! What is said to an origin is no sign of its life: the kernel takes it, whether or not anybody reads it.

use std::net::SocketAddr;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::house::{DUE, behind, incidents};
use crate::streams::lending;
use crate::support::Leeward;
use crate::support::h1::{self, Connection};
use crate::support::response::Response;
use crate::support::websocket::{echo, masked, open};

/// Hangs are sure after a second.
const SOON: &str = "[hang]\ncertain = \"500ms\"\nsilent = \"1s\"\n";
/// A hang is told within this, though the origin is spoken to all the time.
const TOLD: Duration = Duration::from_secs(6);
const OFTEN: Duration = Duration::from_millis(100);

fn posted(edge: SocketAddr, path: &'static str) -> JoinHandle<Response> {
    let answer = move || h1::request(edge, "POST", path, &[], b"a few bytes", DUE);
    thread::spawn(move || answer().expect("an answer"))
}

/// Four of its threads wait for a lock.
fn deadlocked(leeward: &Leeward) {
    // Each answer makes room for one more at once, and all the room there may be is wanted.
    let mut client = Connection::connect(leeward.edge(), DUE).expect("a connection");
    for _ in 0..130 {
        let page = client.request("GET", "/", &[], &[]).expect("an answer");
        assert_eq!(page.status, 200);
    }
    for _ in 0..4 {
        drop(posted(leeward.edge(), "/block/lock"));
    }
    let until = Instant::now() + DUE;
    while leeward
        .status_get("/status.json")
        .text()
        .matches("POST /block/lock")
        .count()
        < 4
    {
        assert!(Instant::now() < until, "they are not under way");
    }
}

/// Says this again and again, until the hang is told.
fn told_soon(leeward: &Leeward, mut say: impl FnMut()) {
    let begun = Instant::now();
    while !leeward.stderr().contains("incident opened") {
        assert!(begun.elapsed() < TOLD, "it is not told to hang");
        say();
        thread::sleep(OFTEN);
    }
}

#[test]
fn requests_that_go_on_coming_do_not_hide_that_nobody_answers() {
    let leeward = behind(&["--threads", "4"], SOON);
    deadlocked(&leeward);
    let mut asked = Vec::new();
    told_soon(&leeward, || asked.push(posted(leeward.edge(), "/slow/1")));
    for answer in asked {
        // None of them was read, so all of them go to the next.
        assert_eq!(answer.join().expect("a client").status, 200);
    }
}

#[test]
fn a_tunnel_into_which_a_client_talks_does_not_hide_it_either() {
    let more = format!("{SOON}[[route]]\npath = \"/ws\"\nupgrade = true\n");
    let leeward = behind(&["--threads", "5"], &more);
    let (mut client, _) = open(leeward.edge(), "/ws", DUE).expect("a tunnel");
    assert_eq!(echo(&mut client, "early").expect("an echo"), "early");
    deadlocked(&leeward);
    // The fifth thread is in the middle of a long frame, a byte of it at a time, and serves nobody else.
    let frame = masked(0x81, &"long".repeat(30));
    let mut pieces = frame.chunks(1);
    told_soon(&leeward, || {
        let _ = client.send(pieces.next().expect("a longer frame"));
    });
}

/// Half a request is owed no answer, and the whole one is owed it from then on.
#[test]
fn the_wait_for_an_answer_begins_when_its_request_is_whole() {
    let route = "[[route]]\npath = \"/slow\"\nstream = true\n";
    let leeward = lending(&[], &format!("{SOON}{route}"));
    let mut client = Connection::connect(leeward.edge(), DUE).expect("a connection");
    let head = b"POST /slow/500 HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n";
    client.send(head).expect("sent");
    for _ in 0..20 {
        thread::sleep(OFTEN);
        client.send(b"x").expect("sent");
    }
    assert_eq!(client.read_response().expect("an answer").status, 200);
    assert!(incidents(&leeward).is_empty());
    let page = h1::get(leeward.edge(), "/", DUE).expect("an answer");
    assert_eq!(page.status, 200);
}
