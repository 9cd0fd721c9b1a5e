//! HTTP/2 clients that fall silent in one respect and not in another: each loses what it holds up, and nothing else.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use crate::house::{DUE, behind, somebody_else_is_served};
use crate::streams::CONCURRENT;
use crate::support::frames::{self, DATA, HEADERS, PING, RST_STREAM, Raw, WINDOW_UPDATE};
use crate::support::h1::Connection;
use crate::support::response::pattern;

const IMPATIENT: &str = "[edge.deadlines]\nbody_stall = \"1s\"\nresponse_stall = \"1s\"\n";

#[test]
fn a_stalled_stream_is_reset_while_another_of_its_connection_goes_on() {
    const LENGTH: usize = 200_000;
    let leeward = behind(&[], IMPATIENT);
    let mut client = Raw::connect(leeward.edge(), 1000, DUE).expect("a connection");
    client.get(1, "/bytes/3000000").expect("sent");
    client.get(3, &format!("/bytes/{LENGTH}")).expect("sent");
    let (mut body, mut reset_at, mut owed) = (Vec::new(), None, 0);
    while body.len() < LENGTH {
        let frame = client.read().expect("the connection goes on");
        match (frame.kind, frame.stream) {
            (RST_STREAM, 1) => reset_at = Some(body.len()),
            (RST_STREAM, 3) => panic!("the wrong one, after {} bytes", body.len()),
            (DATA, 3) => {
                // Slowly: 200 windows, each opened a moment after it was filled, and not by crumbs.
                owed += frame.payload.len() as u32;
                if owed > 800 {
                    std::thread::sleep(Duration::from_millis(12));
                    for stream in [0, 3] {
                        let more = owed.to_be_bytes();
                        client.frame(WINDOW_UPDATE, 0, stream, &more).expect("sent");
                    }
                    owed = 0;
                }
                body.extend(frame.payload);
            }
            _ => {}
        }
    }
    assert!(body == pattern(LENGTH));
    let reset_at = reset_at.expect("the stalled one is reset");
    assert!(reset_at < LENGTH, "while the other was under way");
    leeward.wait_log("edge.deadlines.response_stall", DUE);
}

#[test]
fn an_upload_that_stops_is_refused_while_another_stream_goes_on() {
    let leeward = behind(&CONCURRENT, IMPATIENT);
    let mut client = Raw::connect(leeward.edge(), 65_535, DUE).expect("a connection");
    client
        .begin(1, "/echo", &[("content-length", "100")])
        .expect("sent");
    client.frame(DATA, 0, 1, b"half").expect("sent");
    client.get(3, "/drip/20/100").expect("sent");
    let (mut refused_at, mut body) = (None, Vec::new());
    while body.len() < 100 {
        let frame = client.read().expect("the connection goes on");
        match (frame.kind, frame.stream) {
            (HEADERS, 1) => refused_at = Some(body.len()),
            (DATA, 3) => body.extend(frame.payload),
            (RST_STREAM, 3) => panic!("the wrong one"),
            _ => {}
        }
    }
    assert!(body == pattern(100));
    assert!(refused_at.expect("it is answered") < 100);
    leeward.wait_log("edge.deadlines.body_stall", DUE);
}

#[test]
fn a_socket_that_stops_draining_is_reset_with_all_its_streams() {
    let leeward = behind(&[], IMPATIENT);
    let clients = [Raw::open, Raw::open_tls12].map(|open| {
        let mut client = open(leeward.edge(), DUE).expect("a connection");
        for stream in [1, 3, 5] {
            client.get(stream, "/bytes/10000000").expect("sent");
        }
        somebody_else_is_served(&leeward);
        client
    });
    leeward.wait_log_nth("client stopped reading", 2, DUE);
    leeward.wait_log_nth("connection reset", 2, DUE);
    for mut client in clients {
        assert_eq!(client.until_ended(), ErrorKind::ConnectionReset);
    }
    somebody_else_is_served(&leeward);
}

/// The only one of these tests that has to wait for numbers that are built in: asked after 20 s, given up 10 s later.
#[test]
fn who_does_not_answer_a_ping_is_given_up_idle_or_not() {
    let leeward = behind(&CONCURRENT, "");
    let mut idle = Raw::connect(leeward.edge(), 65_535, DUE).expect("a connection");
    idle.get(1, "/bytes/10").expect("sent");
    let mut waiting = Raw::connect(leeward.edge(), 65_535, DUE).expect("a connection");
    waiting.get(1, "/block/sleep").expect("sent");
    let begun = Instant::now();
    let ends: Vec<_> = std::thread::scope(|scope| {
        let clients = [&mut idle, &mut waiting];
        let ends = clients.map(|client| {
            scope.spawn(|| {
                let asked = client.read_kind(PING).map(|frame| frame.flags);
                (asked, client.until_ended())
            })
        });
        ends.map(|end| end.join().expect("a client")).into()
    });
    for (asked, end) in ends {
        assert_eq!(asked.expect("a question"), 0);
        assert_ne!(end, ErrorKind::TimedOut);
    }
    let took = begun.elapsed();
    assert!((29..40).contains(&took.as_secs()), "{took:?}");
    somebody_else_is_served(&leeward);
}

/// A client takes what the window of its socket lets through, and our kernel asks us for more in large steps.
#[test]
fn a_slow_reader_over_http1_is_not_one_that_reads_nothing() {
    const LENGTH: usize = 220_000;
    let leeward = behind(&[], IMPATIENT);
    let socket = frames::narrow(leeward.edge()).expect("a connection");
    let mut client = Connection::over(socket, DUE).expect("a handshake");
    let request = format!("GET /bytes/{LENGTH} HTTP/1.1\r\nHost: a\r\n\r\n");
    client.send(request.as_bytes()).expect("sent");
    client.read_head_only().expect("a head");
    let mut body = Vec::new();
    while body.len() < LENGTH {
        std::thread::sleep(Duration::from_millis(50));
        let piece = client.read_exact((LENGTH - body.len()).min(2000));
        body.extend(piece.unwrap_or_else(|error| panic!("after {}: {error}", body.len())));
    }
    assert!(body == pattern(LENGTH));
}

/// What is slow here is the way to the client, which all its streams share; each of them alone looks stalled.
#[test]
fn many_streams_of_a_slow_reader_over_http2_are_all_served() {
    const LENGTH: usize = 40_000;
    const STREAMS: u32 = 8;
    let leeward = behind(&[], IMPATIENT);
    let mut client = Raw::narrow(leeward.edge(), DUE).expect("a connection");
    for stream in 0..STREAMS {
        let path = format!("/bytes/{LENGTH}");
        client.get(2 * stream + 1, &path).expect("sent");
    }
    let (mut given, mut ended) = (0, 0);
    while ended < STREAMS {
        let frame = client.read().expect("the connection goes on");
        assert_ne!(frame.kind, RST_STREAM, "after {given} bytes");
        if frame.kind == DATA {
            given += frame.payload.len();
            ended += u32::from(frame.flags & 1);
            // 80 KB a second, and so 10 for each.
            std::thread::sleep(Duration::from_micros(frame.payload.len() as u64 * 12));
        }
    }
    assert_eq!(given, LENGTH * STREAMS as usize);
}
