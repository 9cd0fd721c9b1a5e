//! Connections end in good order where they are old, idle or drained, and leave nothing behind.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::house::{DUE, behind, configured, wait_metric};
use crate::support::frames::{GOAWAY, Raw};
use crate::support::h1::Connection;

/// How the other side ends the connection, and what it says before.
fn ended(client: &mut Connection) -> Result<String, ErrorKind> {
    client.be_patient(DUE);
    let told = client.read_to_end().map_err(|error| error.kind())?;
    Ok(String::from_utf8_lossy(&told).into_owned())
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
