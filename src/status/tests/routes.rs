//! Every route over a socket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{ALL, source};
use crate::origin::Journal;
use crate::status::{Doors, events, serve};

async fn served(journal: Option<Journal>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let source = source(crate::ground::deadline::now());
    let doors = Doors {
        network: Some(listener),
        ..Doors::default()
    };
    tokio::spawn(serve(doors, Arc::new(source), journal));
    address
}

/// The head and the body of the answer to one request on a connection of its own.
async fn ask(address: SocketAddr, request: &str) -> (String, String) {
    let mut client = TcpStream::connect(address).await.unwrap();
    let version = if request.contains("HTTP/1.1") {
        ""
    } else {
        " HTTP/1.1"
    };
    let request = format!("{request}{version}\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

#[tokio::test]
async fn every_route_answers() {
    let scratch = tempfile::tempdir().unwrap();
    let journal = Journal::open(scratch.path().to_owned(), ALL).unwrap();
    std::fs::write(
        scratch.path().join("20260131T0-1-exited.json"),
        "{\"schema\":1}\n",
    )
    .unwrap();
    let address = served(Some(journal)).await;
    for (request, status, kind, says) in [
        ("GET /", 200, "text/html", "/incidents/20260131T0-1-exited"),
        (
            "GET /status.json",
            200,
            "application/json",
            "\"state\": \"starting\"",
        ),
        (
            "GET /metrics",
            200,
            "application/openmetrics-text",
            "# EOF\n",
        ),
        (
            "GET /incidents",
            200,
            "application/json",
            "20260131T0-1-exited",
        ),
        (
            "GET /incidents/20260131T0-1-exited",
            200,
            "application/json",
            "\"schema\":1",
        ),
        (
            "GET /incidents/20260131T0-1-exited.json",
            200,
            "application/json",
            "\"schema\":1",
        ),
        (
            "GET /history.json",
            200,
            "application/json",
            "\"points\": []",
        ),
        ("GET /incidents/none", 404, "text/plain", "no such incident"),
        (
            "GET /incidents/../../etc/passwd",
            404,
            "text/plain",
            "no such incident",
        ),
        ("GET /incidents/", 404, "text/plain", "no such incident"),
        ("GET /livez", 200, "text/plain", "the origin is starting\n"),
        ("GET /readyz", 503, "text/plain", "do not reach the origin"),
        ("GET /startupz", 503, "text/plain", "has not answered yet"),
        (
            "GET /livez?verbose",
            200,
            "text/plain",
            "the origin is starting\n",
        ),
        ("GET /else", 404, "text/plain", "/status.json"),
        ("HEAD /status.json", 200, "application/json", ""),
        ("POST /", 405, "text/plain", "GET or HEAD"),
        (
            "GET http://evil.example/",
            421,
            "text/plain",
            "IP address or to localhost",
        ),
    ] {
        let (head, body) = ask(address, request).await;
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request}: {head}"
        );
        assert!(
            head.contains(&format!("\r\ncontent-type: {kind}")),
            "{request}: {head}"
        );
        assert!(body.contains(says), "{request}: {body}");
        for guard in [
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cache-control: no-store",
            "content-security-policy: default-src 'none'",
        ] {
            assert!(head.contains(guard), "{request}: {head}");
        }
        assert_eq!(head.contains("\r\nallow: GET, HEAD"), status == 405);
        assert_eq!(body.is_empty(), request.starts_with("HEAD"));
    }
}

#[tokio::test]
async fn who_wants_a_page_is_given_one_of_an_incident_and_of_all() {
    let scratch = tempfile::tempdir().unwrap();
    let journal = Journal::open(scratch.path().to_owned(), ALL).unwrap();
    std::fs::write(
        scratch.path().join("1-exited.json"),
        "{\"sentence\":\"<so>\"}",
    )
    .unwrap();
    let address = served(Some(journal)).await;
    for (path, says) in [
        ("/incidents", "href=\"/incidents/1-exited\""),
        ("/incidents/1-exited", "&lt;so&gt;"),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\naccept: text/html,*/*;q=0.8\r\nx: y");
        let (head, body) = ask(address, &request).await;
        assert!(head.contains("content-type: text/html"), "{head}");
        assert!(head.contains("style-src 'sha256-"), "{head}");
        assert!(body.contains(says), "{body}");
    }
}

#[tokio::test]
async fn events_begin_with_everything_and_a_crowd_of_watchers_is_turned_away() {
    let address = served(None).await;
    let request = format!("GET /events HTTP/1.1\r\nhost: {address}\r\n\r\n");
    let mut watchers = Vec::new();
    for turn in 0..=events::WATCHERS {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(request.as_bytes()).await.unwrap();
        let mut told = String::new();
        let mut answer = [0; 4096];
        let is_turned_away = turn == events::WATCHERS;
        let wanted = if is_turned_away {
            "without its events"
        } else {
            "<h1 id="
        };
        while !told.contains(wanted) {
            let read = client.read(&mut answer).await.unwrap();
            assert!(read > 0, "{told}");
            told.push_str(&String::from_utf8_lossy(&answer[..read]));
        }
        let status = if is_turned_away {
            "HTTP/1.1 503"
        } else {
            "HTTP/1.1 200"
        };
        assert!(told.starts_with(status), "{told}");
        assert_eq!(told.contains("text/event-stream"), !is_turned_away);
        watchers.push(client);
    }
}

#[tokio::test]
async fn a_connection_serves_several_requests_and_a_crowd_is_turned_away() {
    let address = served(None).await;
    let request = format!("GET /livez HTTP/1.1\r\nhost: {address}\r\n\r\n");
    let mut crowd = Vec::new();
    let mut answer = [0; 1024];
    for _ in 0..32 {
        let mut client = TcpStream::connect(address).await.unwrap();
        for _ in 0..2 {
            client.write_all(request.as_bytes()).await.unwrap();
            let read = client.read(&mut answer).await.unwrap();
            assert!(answer[..read].starts_with(b"HTTP/1.1 200 OK"));
        }
        crowd.push(client);
    }
    let mut late = TcpStream::connect(address).await.unwrap();
    assert_eq!(late.read(&mut answer).await.unwrap_or(0), 0);
    drop(crowd.pop());
    // The place is free as soon as the server has seen the end; until then we are turned away again.
    let patience = Duration::from_secs(5);
    let served = tokio::time::timeout(patience, async {
        loop {
            let mut next = TcpStream::connect(address).await.unwrap();
            let _ = next.write_all(request.as_bytes()).await;
            if next.read(&mut answer).await.is_ok_and(|read| read > 0) {
                break;
            }
        }
    });
    served.await.unwrap();
}

#[tokio::test]
async fn a_client_that_sends_no_head_loses_its_place() {
    let address = served(None).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let begun = Instant::now();
    let mut answer = Vec::new();
    let _ = client.read_to_end(&mut answer).await;
    let lasted = begun.elapsed();
    assert!((4..8).contains(&lasted.as_secs()), "{lasted:?}");
}
