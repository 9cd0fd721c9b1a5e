//! The leg to the origin: nobody gets another one's answer, and nothing that is on its way waits for something else.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::house::{DUE, before_with};
use crate::support::Leeward;
use crate::support::h1::Connection;
use crate::support::scripted::{Scripted, reset};

/// More than all windows and buffers between the origin and a client hold.
const MUCH: usize = 32 << 20;

/// The origin says much while it still listens, and the client listens only when it has said all.
#[test]
fn an_upload_goes_on_while_its_client_does_not_read() {
    let origin = Scripted::tcp(|request, peer| {
        if !request.starts_with("POST") {
            let _ = peer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            return;
        }
        let mut told = peer.try_clone().expect("a handle");
        let speaker = std::thread::spawn(move || {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {MUCH}\r\n\r\n");
            let _ = told.write_all(head.as_bytes());
            let _ = told.write_all(&vec![b'a'; MUCH]);
        });
        let mut piece = vec![0; 64 << 10];
        while peer.read(&mut piece).is_ok_and(|count| count > 0) {}
        let _ = speaker.join();
    });
    let route = "[[route]]\npath = \"/both\"\nstream = true\nbody = \"64MiB\"\n";
    let stall = "[edge.deadlines]\nresponse_stall = \"5s\"\n";
    let more = format!("{stall}{route}");
    let leeward = before_with(origin.address(), "concurrency = 8", &more);
    let mut client = Connection::connect(leeward.edge(), DUE).expect("a connection");
    let head = b"POST /both HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.send(head).expect("sent");
    let chunk = [&b"10000\r\n"[..], &[b'b'; 0x10000], b"\r\n"].concat();
    for _ in 0..MUCH / 0x10000 {
        client.send(&chunk).expect("taken");
    }
    client.send(b"0\r\n\r\n").expect("sent");
    let answer = client.read_response().expect("an answer");
    assert_eq!(answer.body.len(), MUCH);
}

/// What an origin may do wrong with a connection it keeps, in one stroke or a moment later; good ones among them.
const WAYS: [&str; 14] = [
    "good",
    "chunks",
    "interim",
    "quits",
    "resets",
    "silent",
    "cut",
    "behind",
    "final-interim",
    "both",
    "close",
    "head",
    "none",
    "same",
];

/// Another answer, for nobody.
const STRAY: &str = "HTTP/1.1 200 OK\r\nX-Way: stray\r\nContent-Length: 5\r\n\r\nstray";

/// Answers `/WAY/NUMBER` in that way, with the path as the body. Whether the connection goes on.
fn answer(request: &str, peer: &mut TcpStream) -> bool {
    let path = request.split(' ').nth(1).unwrap_or_default();
    let way = path.split('/').nth(1).unwrap_or_default();
    let length = path.len();
    let told = format!("HTTP/1.1 200 OK\r\nX-Way: {path}\r\n");
    let good = format!("{told}Content-Length: {length}\r\n\r\n{path}");
    let half = path.split_at(length / 2);
    let chunks = format!(
        "{:x}\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n",
        half.0.len(),
        half.0,
        half.1.len(),
        half.1
    );
    let chunked = format!("{told}Transfer-Encoding: chunked\r\n");
    let bodiless = |status: &str| {
        format!(
            "HTTP/1.1 {status}\r\nX-Way: {path}\r\nContent-Length: {}\r\n\r\n",
            STRAY.len()
        )
    };
    let (said, later) = match way {
        "chunks" => (format!("{chunked}\r\n{chunks}"), ""),
        "interim" => (
            format!("HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 100 Go\r\n\r\n{good}"),
            "",
        ),
        "silent" => (String::new(), ""),
        "cut" => (format!("{told}Content-Length: 1000\r\n\r\n{path}"), ""),
        "behind" => (format!("{good}{STRAY}"), STRAY),
        "final-interim" => (format!("{good}HTTP/1.1 100 Continue\r\n\r\n"), STRAY),
        "both" => (
            format!("{chunked}Content-Length: {length}\r\n\r\n{chunks}"),
            STRAY,
        ),
        "close" => (
            format!("{told}Connection: close\r\nContent-Length: {length}\r\n\r\n{path}"),
            STRAY,
        ),
        "head" => (bodiless("200 OK"), STRAY),
        "none" => (bodiless("204 No Content"), STRAY),
        "same" => (bodiless("304 Not Modified"), STRAY),
        _ => (good, ""),
    };
    let _ = peer.write_all(said.as_bytes());
    let _ = peer.write_all(later.as_bytes());
    if way == "resets" {
        reset(peer);
    }
    !matches!(way, "quits" | "resets" | "silent" | "cut")
}

/// One client, with some hundred requests over kept connections; the same seed asks for the same.
fn asks(leeward: &Leeward, seed: u64) {
    let mut dice = seed;
    for number in 0..300 {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        let way = WAYS[(dice >> 11) as usize % WAYS.len()];
        let path = format!("/{way}/{seed}-{number}");
        let method = if way == "head" { "HEAD" } else { "GET" };
        let mut client = Connection::connect(leeward.edge(), DUE).expect("a connection");
        let request = format!("{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        client.send(request.as_bytes()).expect("sent");
        let answer = client.read_response_to(method).expect("an answer");
        if matches!(way, "silent" | "cut") {
            assert_eq!(answer.status, 502, "{path}");
            continue;
        }
        assert_eq!(answer.header("x-way"), Some(&*path), "{answer:?}");
        let body = if matches!(way, "head" | "none" | "same") {
            ""
        } else {
            &path
        };
        assert_eq!(answer.text(), body, "{path}");
    }
}

#[test]
fn whatever_an_origin_does_with_a_connection_each_gets_the_answer_to_its_own_question() {
    let seed = u64::from(std::process::id()) << 8;
    eprintln!("seed {seed}");
    let origin = Scripted::keeping(answer);
    let leeward = before_with(origin.address(), "concurrency = 8", "");
    std::thread::scope(|scope| {
        for client in 1..=4 {
            let leeward = &leeward;
            scope.spawn(move || asks(leeward, seed + client));
        }
    });
}

/// What is left of the request would be taken for the first words in the tunnel.
#[test]
fn a_tunnel_is_not_begun_before_the_whole_request_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for peer in listener.incoming() {
            let mut peer = peer.expect("a connection");
            let mut first = [0; 4096];
            let count = peer.read(&mut first).unwrap_or(0);
            let asked = String::from_utf8_lossy(&first[..count]);
            let _ = peer.write_all(match asked.starts_with("GET /tunnel") {
                true => {
                    &b"HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"[..]
                }
                false => b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            });
            // It neither reads on nor goes away.
            held.push(peer);
        }
    });
    let route = "[[route]]\npath = \"/tunnel\"\nupgrade = true\nbody = \"64MiB\"\n";
    let leeward = before_with(&address, "concurrency = 8", route);
    let mut client = Connection::connect(leeward.edge(), DUE).expect("a connection");
    let wish = [("connection", "Upgrade"), ("upgrade", "websocket")];
    let body = vec![b'b'; MUCH];
    let answer = client
        .request("GET", "/tunnel", &wish, &body)
        .expect("an answer");
    assert_eq!(answer.status, 502, "{answer:?}");
    leeward.wait_log("it switched protocols before", DUE);
}
