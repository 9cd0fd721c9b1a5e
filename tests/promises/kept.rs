//! Connections to a concurrent origin are kept for the next request, and one that went stale costs nobody anything.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::house::DUE;
use crate::support::{Leeward, h1};

/// An origin with a thread a connection, which answers with the connection's number and keeps it for `most` requests.
fn counting(most: usize) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let accepted = Arc::new(AtomicUsize::new(0));
    std::thread::spawn(move || {
        while let Ok((client, _)) = listener.accept() {
            let number = accepted.fetch_add(1, Ordering::Relaxed);
            std::thread::spawn(move || serve(client, number, most));
        }
    });
    port
}

fn serve(mut client: TcpStream, number: usize, most: usize) {
    let mut lines = BufReader::new(client.try_clone().expect("a handle")).lines();
    for _ in 0..most {
        // The requests of these tests have no body: a head ends with an empty line.
        if !lines
            .by_ref()
            .any(|line| line.is_ok_and(|line| line.is_empty()))
        {
            return;
        }
        let body = format!("connection {number}");
        let length = body.len();
        let _ = write!(
            client,
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"
        );
    }
}

fn before(port: u16, keys: &str) -> Leeward {
    let leeward = Leeward::start(&format!(
        "[edge]\nlisten = \"127.0.0.1:0\"\nthreads = 1\n[status]\nlisten = \"127.0.0.1:0\"\n\
         [incidents]\ndirectory = \"@DIR@\"\n\
         [origin]\naddress = \"127.0.0.1:{port}\"\n{keys}\n[origin.probe]\nevery = \"1h\"\n"
    ));
    // Until it has answered once it is not known to be there, and it is asked but once.
    leeward.wait_log("the observed origin changed", DUE);
    leeward
}

fn answers(leeward: &Leeward, requests: usize) -> Vec<String> {
    let get = |_| h1::get(leeward.edge(), "/", DUE).expect("an answer");
    let answers: Vec<_> = (0..requests).map(get).collect();
    assert!(answers.iter().all(|it| it.status == 200), "{answers:?}");
    answers.iter().map(|it| it.text()).collect()
}

#[test]
fn a_concurrent_origin_is_asked_again_over_the_same_connection() {
    let leeward = before(counting(1000), "concurrency = 8");
    let told = answers(&leeward, 10);
    assert!(told.windows(2).all(|two| two[0] == two[1]), "{told:?}");
}

#[test]
fn a_serial_origin_is_never_kept_waiting() {
    let leeward = before(counting(1000), "concurrency = 1");
    let told = answers(&leeward, 5);
    assert!(told.windows(2).all(|two| two[0] != two[1]), "{told:?}");
}

#[test]
fn keeping_can_be_switched_off() {
    let leeward = before(counting(1000), "concurrency = 8\nkeep_alive = \"off\"");
    let told = answers(&leeward, 5);
    assert!(told.windows(2).all(|two| two[0] != two[1]), "{told:?}");
}

/// The origin closes each connection after two answers, without a word before.
#[test]
fn a_connection_the_origin_has_closed_meanwhile_costs_nobody_anything() {
    let leeward = before(counting(2), "concurrency = 8");
    let told = answers(&leeward, 40);
    assert!(told.windows(2).any(|two| two[0] == two[1]), "{told:?}");
    assert!(told.windows(2).any(|two| two[0] != two[1]), "{told:?}");
}
