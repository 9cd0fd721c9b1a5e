//! Every wait for a client ends, and in the best order that is left: answered where that is possible, told to end where
//! not, and reset where nobody listens.

use std::io::ErrorKind;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use crate::house::{DUE, behind, configured, somebody_else_is_served, wait_metric};
use crate::support::Leeward;
use crate::support::frames::{CONTINUATION, DATA, HEADERS, RST_STREAM, Raw};
use crate::support::h1::Connection;

/// How the other side ends the connection, and what it says before.
fn ended(client: &mut Connection) -> Result<String, ErrorKind> {
    client.be_patient(DUE);
    let told = client.read_to_end().map_err(|error| error.kind())?;
    Ok(String::from_utf8_lossy(&told).into_owned())
}

#[test]
fn a_body_that_keeps_the_pace_is_answered_with_408_when_all_its_time_is_over() {
    let leeward = behind(&[], "[edge.deadlines]\nbody_total = \"1s\"\n");
    let mut client = Connection::connect(leeward.edge(), DUE).expect("a connection");
    client
        .send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n")
        .expect("sent");
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(1300) && client.send(&[b'x'; 1000]).is_ok() {
        std::thread::sleep(Duration::from_millis(50));
    }
    let response = client.read_response().expect("an answer of ours");
    assert_eq!(response.status, 408);
    assert!(response.text().contains("body_total"), "{response:?}");

    let mut client = Raw::connect(leeward.edge(), 65_535, DUE).expect("a connection");
    let head = [&[0x83, 0x87, 0x84, 0x01, 9][..], b"localhost"].concat();
    client.frame(HEADERS, 4, 1, &head).expect("sent");
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(1300) {
        client.frame(DATA, 0, 1, &[b'x'; 10]).expect("sent");
        std::thread::sleep(Duration::from_millis(50));
    }
    let told = client.read_kind(DATA).expect("an answer of ours");
    let told = String::from_utf8_lossy(&told.payload).into_owned();
    assert!(told.contains("body_total"), "{told}");
    // NO_ERROR: the answer counts, the rest of the body is not wanted.
    let end = client.read_kind(RST_STREAM).expect("the end of the stream");
    assert_eq!(end.payload, [0, 0, 0, 0]);
    // The connection goes on.
    client.get(3, "/bytes/10").expect("sent");
    client.read_body(3).expect("an answer");
    wait_metric(&leeward, "leeward_client_timeouts_total{phase=\"body\"} 2");
}

#[test]
fn half_a_head_is_answered_with_408_and_reset_and_silence_with_nothing() {
    let leeward = behind(
        &[],
        "[edge.deadlines]\nhead = \"1s\"\nkeep_alive = \"1500ms\"\n",
    );
    let mut half = Connection::connect(leeward.edge(), DUE).expect("a connection");
    half.send(b"GET /half HTTP/1.1\r\nHos").expect("sent");
    let response = half.read_response().expect("an answer of ours");
    assert_eq!(response.status, 408);
    assert_eq!(response.header("connection"), Some("close"));
    assert_eq!(ended(&mut half), Ok(String::new()));

    let mut kept = Connection::connect(leeward.edge(), DUE).expect("a connection");
    kept.request("GET", "/", &[], &[]).expect("an answer");
    kept.send(b"G").expect("sent");
    let response = kept.read_response().expect("an answer of ours");
    assert_eq!(response.status, 408);

    let mut silent = Connection::connect(leeward.edge(), DUE).expect("a connection");
    assert_eq!(ended(&mut silent), Err(ErrorKind::ConnectionReset));
    let mut idle = Connection::connect(leeward.edge(), DUE).expect("a connection");
    idle.request("GET", "/", &[], &[]).expect("an answer");
    assert_eq!(ended(&mut idle), Ok(String::new()));
    wait_metric(&leeward, "leeward_client_timeouts_total{phase=\"head\"} 3");
}

#[test]
fn a_head_that_drips_between_other_streams_is_ended_too() {
    let leeward = behind(&[], "[edge.deadlines]\nhead = \"1s\"\n");
    let mut client = Raw::connect(leeward.edge(), 65_535, DUE).expect("a connection");
    client.get(1, "/bytes/10").expect("sent");
    client.read_body(1).expect("an answer");
    // Not the last frame of this head.
    client
        .frame(HEADERS, 1, 3, &[0x82, 0x87, 0x84])
        .expect("sent");
    let begun = Instant::now();
    while client.frame(CONTINUATION, 0, 3, &[]).is_ok() {
        assert!(begun.elapsed() < DUE, "dripping goes on for ever");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    leeward.wait_log("edge.deadlines.head", DUE);
}

/// By a FIN alone, or by a closing record of TLS before it.
fn asks_and_says_no_more(leeward: &Leeward, path: &str) -> Connection {
    let mut client = Connection::connect(leeward.edge(), DUE).expect("a connection");
    client
        .send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes())
        .expect("sent");
    client
        .socket()
        .shutdown(Shutdown::Write)
        .expect("half closed");
    client
}

#[test]
fn a_client_that_says_no_more_has_left_unless_it_may_half_close() {
    let leeward = behind(&[], "");
    let mut client = asks_and_says_no_more(&leeward, "/slow/1000");
    assert!(client.read_response().is_err());
    drop(leeward);
    let leeward = configured("half_close = true\n");
    let mut client = asks_and_says_no_more(&leeward, "/slow/1000");
    let answer = client.read_response().expect("an answer");
    assert_eq!(answer.status, 200);
    // And then there is nothing left to wait for.
    let answered = Instant::now();
    let _ = ended(&mut client);
    assert!(
        answered.elapsed() < Duration::from_secs(2),
        "{:?}",
        answered.elapsed()
    );
}

#[test]
fn a_client_that_may_half_close_and_has_reset_leaves_its_place() {
    let leeward = configured("half_close = true\n");
    let mut slow = Connection::connect(leeward.edge(), DUE).expect("a connection");
    slow.send(b"GET /slow/4000 HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    wait_metric(&leeward, "leeward_exchanges_in_flight 1");
    let mut leaving = Connection::connect(leeward.edge(), DUE).expect("a connection");
    leaving
        .send(b"GET /left HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    wait_metric(&leeward, "leeward_exchanges_in_flight 2");
    wait_metric(&leeward, "leeward_requests_queued 1");
    socket2::SockRef::from(leaving.socket())
        .set_linger(Some(Duration::ZERO))
        .expect("a socket that resets");
    drop(leaving);
    wait_metric(&leeward, "leeward_requests_queued 0");
    let told = leeward.wait_log("GET /left", DUE);
    assert!(told.contains("client-left"), "{told}");
    slow.read_response().expect("the slow answer");
    somebody_else_is_served(&leeward);
}

#[test]
fn idle_connections_make_room_when_there_is_little() {
    let leeward = behind(&[], "[edge.limits]\nconnections = 5\n");
    let mut kept: Vec<_> = (0..5)
        .map(|_| {
            let mut kept = Connection::connect(leeward.edge(), DUE).expect("a connection");
            kept.request("GET", "/", &[], &[]).expect("an answer");
            kept
        })
        .collect();
    let full = Instant::now();
    assert_eq!(ended(&mut kept[0]), Ok(String::new()));
    let waited = full.elapsed().as_secs_f64();
    assert!((4.0..12.0).contains(&waited), "{waited} s");
}

#[test]
fn who_never_reads_the_408_is_not_heard_out_for_ever() {
    let leeward = behind(&[], "[edge.deadlines]\nhead = \"1s\"\n");
    let mut client = Connection::connect(leeward.edge(), DUE).expect("a connection");
    client.send(b"GET / HTTP/1.1\r\nX: ").expect("sent");
    let begun = Instant::now();
    // It goes on as if nothing had been said.
    while client.send(b"a").is_ok() {
        assert!(begun.elapsed() < DUE, "dripping goes on for ever");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(
        begun.elapsed() < Duration::from_secs(8),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn a_body_that_stalls_over_http2_is_answered_on_its_stream_alone() {
    let leeward = behind(&[], "[edge.deadlines]\nbody_stall = \"500ms\"\n");
    let mut client = Raw::connect(leeward.edge(), 65_535, DUE).expect("a connection");
    let head = [&[0x83, 0x87, 0x84, 0x01, 9][..], b"localhost"].concat();
    client.frame(HEADERS, 4, 1, &head).expect("sent");
    client.frame(DATA, 0, 1, b"half").expect("sent");
    let told = client.read_kind(DATA).expect("an answer of ours");
    let told = String::from_utf8_lossy(&told.payload).into_owned();
    assert!(told.contains("body_stall"), "{told}");
    client.get(3, "/bytes/10").expect("sent");
    client.read_body(3).expect("an answer");
}

#[test]
fn a_reader_below_the_pace_is_reset_though_it_never_stops() {
    let leeward = behind(
        &[],
        "[edge.deadlines]\nresponse_pace = \"10MiB/s after 1s\"\n",
    );
    let mut slow = Connection::connect(leeward.edge(), DUE).expect("a connection");
    slow.send(b"GET /bytes/50000000 HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    let begun = Instant::now();
    while slow.read_exact(16 << 10).is_ok() {
        assert!(begun.elapsed() < DUE, "it may go on for ever");
        std::thread::sleep(Duration::from_millis(20));
    }
    leeward.wait_log("edge.deadlines.response_pace", DUE);
    wait_metric(
        &leeward,
        "leeward_client_timeouts_total{phase=\"respond\"} 1",
    );
}

#[test]
fn a_wait_for_a_turn_ends_and_an_answer_that_drips_or_stalls_is_cut_off() {
    let leeward = behind(
        &[],
        "[origin.deadlines]\nidle = \"400ms\"\ntotal = \"2s\"\nqueue = \"300ms\"\n",
    );
    let mut busy = Connection::connect(leeward.edge(), DUE).expect("a connection");
    busy.send(b"GET /slow/1000 HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    wait_metric(&leeward, "leeward_exchanges_in_flight 1");
    let mut waits = Connection::connect(leeward.edge(), DUE).expect("a connection");
    let refused = waits.request("GET", "/", &[], &[]).expect("an answer");
    assert_eq!(refused.status, 503);
    assert!(
        refused.text().contains("origin.deadlines.queue"),
        "{refused:?}"
    );
    assert!(refused.header("retry-after").is_some());
    assert_eq!(busy.read_response().expect("an answer").status, 200);
    // The origin notices when it writes again: the one it sleeps longest in is the last.
    for (n, path, key) in [
        (1, "/drip/50/1000", "origin.deadlines.total"),
        (2, "/drip/5000/10", "origin.deadlines.idle"),
    ] {
        let mut client = Connection::connect(leeward.edge(), DUE).expect("a connection");
        match client.request("GET", path, &[], &[]) {
            // Nothing of it was shown, so that the client can be told.
            Ok(answer) => assert_eq!((n, answer.status), (2, 504)),
            Err(cut_off) => assert_eq!((n, cut_off.kind()), (1, ErrorKind::UnexpectedEof)),
        }
        leeward.wait_log(key, DUE);
        let missed = format!("leeward_origin_timeouts_total{{phase=\"answer\"}} {n}");
        wait_metric(&leeward, &missed);
    }
}
