//! Every wait for a client ends, and in the best order that is left: answered where that is possible, told to end where
//! not, and reset where nobody listens.

use std::io::ErrorKind;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::house::{DUE, behind, configured, somebody_else_is_served};
use crate::support::Leeward;
use crate::support::frames::{CONTINUATION, DATA, GOAWAY, HEADERS, RST_STREAM, Raw};
use crate::support::h1::Connection;

/// How the other side ends the connection, and what it says before.
fn ended(client: &mut Connection) -> Result<String, ErrorKind> {
    client.be_patient(DUE);
    let told = client.read_to_end().map_err(|error| error.kind())?;
    Ok(String::from_utf8_lossy(&told).into_owned())
}

/// Waits until the metrics contain this line.
fn wait_metric(leeward: &Leeward, line: &str) {
    let until = Instant::now() + DUE;
    loop {
        let metrics = leeward.status_get("/metrics").text();
        if metrics.lines().any(|it| it == line) {
            return;
        }
        assert!(Instant::now() < until, "no {line} in\n{metrics}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// How many sockets the kernel keeps in a closing state for this address of ours (FIN_WAIT1, FIN_WAIT2, CLOSING,
/// LAST_ACK).
fn closing(address: SocketAddr) -> usize {
    let local = format!(":{:04X}", address.port());
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the kernel's table");
    let rows = table.lines().map(|row| row.split_whitespace().collect());
    rows.filter(|row: &Vec<_>| row.len() > 3 && row[1].ends_with(&local))
        .filter(|row| ["04", "05", "0B", "09"].contains(&row[3]))
        .count()
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
fn after_an_expired_deadline_no_socket_is_left_waiting() {
    let leeward = behind(
        &[],
        "[edge.deadlines]\nhead = \"1s\"\nkeep_alive = \"1s\"\n",
    );
    let mut late = Connection::connect(leeward.edge(), DUE).expect("a connection");
    late.send(b"GET / HTTP/1.1\r\n").expect("sent");
    let mut idle = Connection::connect(leeward.edge(), DUE).expect("a connection");
    idle.request("GET", "/", &[], &[]).expect("an answer");
    let mut plain = Connection::connect_plain(leeward.edge(), DUE).expect("a connection");
    plain.send(b"GET / HTTP/1.1\r\n\r\n").expect("sent");
    let mut streams = Raw::connect(leeward.edge(), 65_535, DUE).expect("a connection");
    streams.get(1, "/bytes/10").expect("sent");
    streams.read_body(1).expect("an answer");
    streams.read_kind(GOAWAY).expect("a goodbye");
    late.read_response().expect("an answer of ours");
    // None of them closes its own side. Without the reset, the kernel would wait a minute for each.
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let open = leeward.status_get("/status.json");
        let open: serde_json::Value = serde_json::from_slice(&open.body).expect("JSON");
        let is_over = open["traffic"]["connections"]["open"] == 0;
        if is_over && closing(leeward.edge()) == 0 {
            break;
        }
        assert!(Instant::now() < until, "{} left", closing(leeward.edge()));
        std::thread::sleep(Duration::from_millis(50));
    }
    drop((late, idle, plain, streams));
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

#[test]
fn an_old_connection_ends_in_good_order() {
    let leeward = behind(&[], "[edge.deadlines]\nage = \"2s\"\n");
    let begun = Instant::now();
    let mut idle = Connection::connect(leeward.edge(), DUE).expect("a connection");
    idle.request("GET", "/", &[], &[]).expect("an answer");
    let mut streams = Raw::connect(leeward.edge(), 65_535, DUE).expect("a connection");
    let mut busy = Connection::connect(leeward.edge(), DUE).expect("a connection");
    busy.send(b"GET /slow/3000 HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    // The origin is at work on that one, and serves no other meanwhile.
    wait_metric(&leeward, "leeward_exchanges_in_flight 1");
    streams.get(1, "/bytes/10").expect("sent");
    let goodbye = streams.read_kind(GOAWAY).expect("a goodbye");
    assert_eq!(goodbye.payload[4..8], [0; 4], "not an error");
    assert!(
        begun.elapsed() >= Duration::from_millis(1750),
        "{:?}",
        begun.elapsed()
    );
    // What was asked before is answered, though it takes longer.
    streams.read_body(1).expect("an answer");
    let answer = busy.read_response().expect("an answer");
    assert_eq!(
        (answer.status, answer.header("connection")),
        (200, Some("close"))
    );
    assert_eq!(ended(&mut busy), Ok(String::new()));
    assert_eq!(ended(&mut idle), Ok(String::new()));
}

#[test]
fn an_old_connection_that_does_not_finish_is_cut_off() {
    let leeward = behind(&[], "[edge.deadlines]\nage = \"1s\"\ndrain = \"1s\"\n");
    let mut busy = Connection::connect(leeward.edge(), DUE).expect("a connection");
    let begun = Instant::now();
    busy.send(b"GET /slow/9000 HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    assert_eq!(ended(&mut busy), Err(ErrorKind::ConnectionReset));
    let lived = begun.elapsed().as_secs_f64();
    assert!((1.7..6.0).contains(&lived), "{lived} s");
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
fn a_drain_waits_for_nobody_who_has_asked_nothing() {
    let mut leeward = configured("proxy_protocol = \"127.0.0.2\"\n");
    let address = leeward.edge();
    let _no_handshake = TcpStream::connect(address).expect("a connection");
    let _no_head = Connection::connect(address, DUE).expect("a connection");
    let mut half_a_head = Connection::connect(address, DUE).expect("a connection");
    half_a_head.send(b"GET / HTTP/1.1\r\nHos").expect("sent");
    let mut kept = Connection::connect(address, DUE).expect("a connection");
    kept.request("GET", "/", &[], &[]).expect("an answer");
    let _no_preface = Raw::silent(address, DUE).expect("a connection");
    let mut no_pong = Raw::connect(address, 65_535, DUE).expect("a connection");
    no_pong.get(1, "/bytes/10").expect("sent");
    no_pong.read_body(1).expect("an answer");
    let balancer = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let balancer = balancer.expect("a socket");
    let from: SocketAddr = "127.0.0.2:0".parse().expect("an address");
    balancer.bind(&from.into()).expect("bound");
    balancer.connect(&address.into()).expect("a connection");
    wait_metric(&leeward, "leeward_connections_open 7");
    let asked = Instant::now();
    assert!(leeward.terminate().success());
    assert!(
        asked.elapsed() < Duration::from_millis(4500),
        "{:?}",
        asked.elapsed()
    );
}

#[test]
fn a_request_that_comes_whole_in_time_for_the_drain_is_served() {
    let mut leeward = behind(&[], "");
    let mut client = Connection::connect(leeward.edge(), DUE).expect("a connection");
    client.send(b"GET / HTTP/1.1\r\nHos").expect("sent");
    wait_metric(&leeward, "leeward_connections_open 1");
    leeward.signal(Signal::TERM);
    leeward.wait_log("draining", DUE);
    // As long as a lost packet takes.
    std::thread::sleep(Duration::from_millis(500));
    client.send(b"t: a\r\n\r\n").expect("sent");
    let answer = client.read_response().expect("an answer");
    assert_eq!(
        (answer.status, answer.header("connection")),
        (200, Some("close"))
    );
    assert!(leeward.terminate().success());
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
