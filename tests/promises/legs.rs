//! The leg to the origin: nobody gets another one's answer, and nothing that is on its way waits for something else.

use std::io::{Read, Write};

use crate::house::{DUE, before_with};
use crate::support::h1::Connection;
use crate::support::scripted::Scripted;

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
