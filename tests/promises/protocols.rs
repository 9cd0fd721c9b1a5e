//! HTTP whole: every version, framing and manner that clients and origins have a right to, passed on unharmed.

use std::io::Write;

use crate::house::{DUE, before, before_with, behind, configuration, incidents, sick};
use crate::support::Leeward;
use crate::support::h1::{self, Connection};
use crate::support::h2::{self, Ask};
use crate::support::response::{Response, pattern};
use crate::support::scripted::Scripted;

/// Sends these bytes on a connection of its own and reads one answer.
fn told(leeward: &Leeward, request: &str) -> Response {
    let mut client = Connection::connect(leeward.edge(), DUE).expect("a connection");
    client.send(request.as_bytes()).expect("sent");
    let answer = client.read_response();
    answer.unwrap_or_else(|error| panic!("{request:?}: {error}"))
}

fn get(leeward: &Leeward, path: &str, fields: &[(&str, &str)]) -> Response {
    let answer = h1::request(leeward.edge(), "GET", path, fields, &[], DUE);
    answer.unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn get_h2(leeward: &Leeward, path: &str, fields: &[(&str, &str)]) -> Response {
    let mut ask = Ask::get(path);
    let fields = fields.iter();
    ask.headers = fields
        .map(|(k, v)| (k.to_lowercase(), (*v).into()))
        .collect();
    let answer = h2::request(leeward.edge(), ask, DUE);
    answer.unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn an_origin_on_a_unix_socket_is_served_watched_and_replaced() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("origin.sock");
    let address = format!("unix:{}", path.display());
    let config = configuration(
        &sick(&[]),
        1,
        "[hang]\ncertain = \"500ms\"\nsilent = \"2s\"\n",
    );
    let config = config.replacen("127.0.0.1:1", &address, 1);
    let leeward = Leeward::start(&config);
    leeward.wait_log("origin ready", DUE);
    assert_eq!(leeward.origin(), address);
    leeward.wait_log("slots=1", DUE);
    for length in [0, 100, 3_000_000] {
        let path = format!("/bytes/{length}");
        assert!(get(&leeward, &path, &[]).body == pattern(length));
        assert!(get_h2(&leeward, &path, &[]).body == pattern(length));
    }
    let body = pattern(500_000);
    let echoed = h1::request(leeward.edge(), "POST", "/echo", &[], &body, DUE);
    assert!(echoed.expect("an echo").body == body);
    let head = get(&leeward, "/headers", &[]).text().to_lowercase();
    assert!(head.contains("\r\nhost: localhost\r\n"), "{head}");

    let first = get(&leeward, "/", &[]).origin_pid().expect("its process");
    let pid = rustix::process::Pid::from_raw(first as i32).expect("a process number");
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).expect("it is ours");
    let second = get(&leeward, "/", &[]).origin_pid();
    assert!(second.is_some_and(|second| second != first), "{second:?}");
    leeward.wait_log("incident closed", DUE);
    assert_eq!(incidents(&leeward)[0]["judgement"]["verdict"], "stopped");
}

#[test]
fn a_full_queue_of_a_unix_socket_is_waited_for() {
    let directory = tempfile::tempdir().expect("a directory");
    let origin = Scripted::unix(&directory.path().join("socket"), |_, peer| {
        let _ = peer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    let leeward = before(origin.address(), "");
    let asks = (0..40).map(|_| Ask::get("/all")).collect();
    for answer in h2::together(leeward.edge(), asks, DUE).expect("a connection") {
        assert_eq!(answer.expect("an answer").text(), "ok");
    }
    assert_eq!(origin.heard("/all").len(), 40);
}

#[test]
fn clients_of_http_1_0_are_served_in_their_version() {
    let leeward = behind(&[], "");
    // Without Host the origin is told its own address.
    let bare = told(&leeward, "GET /headers HTTP/1.0\r\n\r\n").text();
    let own = format!("\r\nhost: {}\r\n", leeward.origin());
    assert!(bare.to_lowercase().contains(&own), "{bare}");
    let named = told(&leeward, "GET /headers HTTP/1.0\r\nHost: a.example\r\n\r\n").text();
    assert!(named.to_lowercase().contains("\r\nhost: a.example\r\n"));
    assert!(named.to_lowercase().contains("\r\nvia: 1.0 leeward\r\n"));

    let mut old = Connection::connect_as("http/1.0", leeward.edge(), DUE).expect("a connection");
    old.send(b"GET /bytes/5 HTTP/1.0\r\n\r\n").expect("sent");
    assert!(old.read_response().expect("an answer").body == pattern(5));

    // No chunks: the end of the connection, in order, is the end of an answer without a length.
    for path in ["/chunked/300000", "/close/300000", "/bytes/300000"] {
        let mut client = Connection::connect(leeward.edge(), DUE).expect("a connection");
        let request = format!("GET {path} HTTP/1.0\r\n\r\n");
        client.send(request.as_bytes()).expect("sent");
        let answer = client.read_response().expect(path);
        assert_eq!(answer.header("transfer-encoding"), None, "{path}");
        assert!(answer.body == pattern(300_000), "{path}");
        assert_eq!(client.read_to_end().expect("an end in order"), b"");
    }

    let mut kept = Connection::connect(leeward.edge(), DUE).expect("a connection");
    for _ in 0..3 {
        let request = b"GET /bytes/100 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
        kept.send(request).expect("sent");
        let answer = kept.read_response().expect("an answer");
        let connection = answer.header("connection").unwrap_or_default();
        assert_eq!(connection.to_lowercase(), "keep-alive");
        assert!(answer.body == pattern(100));
    }
}

#[test]
fn origins_of_http_1_0_are_understood() {
    let saying: [(&str, &str); 4] = [
        ("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nwhole", "whole"),
        ("HTTP/1.0 200 OK\r\n\r\nuntil the end", "until the end"),
        (
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 4\r\n\r\nkept",
            "kept",
        ),
        // As old servers write it: no reason, and lines that end with LF alone.
        ("HTTP/1.0 200\nContent-Length: 3\n\nold", "old"),
    ];
    for (answer, body) in saying {
        let origin = Scripted::saying(answer);
        let leeward = before(origin.address(), "");
        let one = get(&leeward, "/x", &[]);
        assert_eq!((one.status, one.text().as_str()), (200, body), "{answer:?}");
        let two = get_h2(&leeward, "/x", &[]);
        assert_eq!((two.status, two.text().as_str()), (200, body), "{answer:?}");
    }
}

#[test]
fn an_answer_to_head_keeps_its_fields_and_has_no_body() {
    let leeward = behind(&[], "");
    let ask = Ask {
        method: "HEAD".to_owned(),
        ..Ask::get("/bytes/1000")
    };
    let answer = h2::request(leeward.edge(), ask, DUE).expect("an answer");
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert_eq!(answer.header("content-length"), Some("1000"));
    // An origin that sends a body all the same does not confuse the next answer.
    let origin = Scripted::saying("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong");
    let leeward = before(origin.address(), "");
    let mut client = Connection::connect(leeward.edge(), DUE).expect("a connection");
    client
        .send(b"HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    let head = client.read_response_to("HEAD").expect("an answer");
    assert_eq!(head.header("content-length"), Some("5"));
    let next = client.request("GET", "/y", &[], &[]).expect("an answer");
    assert_eq!(next.text(), "wrong");
}

#[test]
fn ranges_and_conditions_are_between_client_and_origin() {
    let origin = Scripted::tcp(|request, peer| {
        let asks = |field: &str| request.to_lowercase().contains(field);
        let answer: &[u8] = if asks("if-none-match: \"v1\"") {
            b"HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\nContent-Length: 10\r\nCache-Control: max-age=9\r\n\r\n"
        } else if asks("range: bytes=20-") {
            b"HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */10\r\nContent-Length: 0\r\n\r\n"
        } else if asks("\r\nrange: bytes=2-4") && !asks("if-range: \"v0\"") {
            b"HTTP/1.1 206 Partial Content\r\nETag: \"v1\"\r\nAccept-Ranges: bytes\r\n\
              Content-Range: bytes 2-4/10\r\nContent-Length: 3\r\n\r\n234"
        } else if asks("if-match: \"v0\"") {
            b"HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n"
        } else {
            b"HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Length: 10\r\n\r\n0123456789"
        };
        let _ = peer.write_all(answer);
    });
    let leeward = before(origin.address(), "");
    for ask in [get, get_h2] {
        let part = ask(
            &leeward,
            "/x",
            &[("Range", "bytes=2-4"), ("If-Range", "\"v1\"")],
        );
        assert_eq!((part.status, part.text().as_str()), (206, "234"));
        assert_eq!(part.header("content-range"), Some("bytes 2-4/10"));
        assert_eq!(part.header("accept-ranges"), Some("bytes"));
        let changed = ask(
            &leeward,
            "/x",
            &[("Range", "bytes=2-4"), ("If-Range", "\"v0\"")],
        );
        assert_eq!((changed.status, changed.body.len()), (200, 10));
        let beyond = ask(&leeward, "/x", &[("Range", "bytes=20-")]);
        assert_eq!(beyond.status, 416);
        assert_eq!(beyond.header("content-range"), Some("bytes */10"));
        let same = ask(&leeward, "/x", &[("If-None-Match", "\"v1\"")]);
        assert_eq!((same.status, same.body.len()), (304, 0));
        assert_eq!(same.header("etag"), Some("\"v1\""));
        assert_eq!(same.header("cache-control"), Some("max-age=9"));
        let other = ask(&leeward, "/x", &[("If-Match", "\"v0\"")]);
        assert_eq!(other.status, 412);
    }
    // A 304 that tells the length it would have had leaves the connection in step.
    let mut client = Connection::connect(leeward.edge(), DUE).expect("a connection");
    for _ in 0..2 {
        let same = client.request("GET", "/x", &[("If-None-Match", "\"v1\"")], &[]);
        assert_eq!(same.expect("an answer").status, 304);
        let whole = client.request("GET", "/x", &[], &[]).expect("an answer");
        assert_eq!(whole.text(), "0123456789");
    }
}

#[test]
fn an_interim_answer_is_never_taken_for_the_answer() {
    let origin = Scripted::saying(
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\
         HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole",
    );
    let leeward = before(origin.address(), "");
    for ask in [get, get_h2] {
        let answer = ask(&leeward, "/x", &[]);
        assert_eq!((answer.status, answer.text().as_str()), (200, "whole"));
        assert_eq!(
            answer.header("link"),
            None,
            "it belongs to the interim answer"
        );
    }
    let origin = Scripted::saying("HTTP/1.1 101 Switching Protocols\r\nUpgrade: tea\r\n\r\n");
    let leeward = before(origin.address(), "");
    assert_eq!(get(&leeward, "/x", &[]).status, 502);
    assert_eq!(get_h2(&leeward, "/x", &[]).status, 502);
}

#[test]
fn interim_answers_without_an_end_end_at_the_deadline_of_the_answer() {
    let origin = Scripted::tcp(|request, peer| {
        if !request.starts_with("GET /x ") {
            let _ = peer.write_all(b"HTTP/1.1 204 No Content\r\n\r\n");
            return;
        }
        while peer.write_all(b"HTTP/1.1 102 Processing\r\n\r\n").is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    });
    let leeward = before(
        origin.address(),
        "[origin.deadlines]\nfirst_byte = \"700ms\"\n",
    );
    let answer = get(&leeward, "/x", &[]);
    assert_eq!(answer.status, 504);
    assert!(answer.text().contains("first_byte"), "{}", answer.text());
}

#[test]
fn who_asks_whether_to_send_a_body_is_told_by_the_edge() {
    let leeward = behind(&[], "[edge.limits]\nbody = \"1MiB\"\n");
    let mut client = Connection::connect(leeward.edge(), DUE).expect("a connection");
    let asks = |framing: &str| {
        format!("POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n{framing}\r\n\r\n")
    };
    for framing in ["Content-Length: 5", "Transfer-Encoding: chunked"] {
        client.send(asks(framing).as_bytes()).expect("sent");
        let leave = client.read_head_only().expect("leave to go on");
        assert_eq!(leave.status, 100, "{framing}");
        let body = match framing.starts_with('C') {
            true => "hello",
            false => "5\r\nhello\r\n0\r\n\r\n",
        };
        client.send(body.as_bytes()).expect("sent");
        let echoed = client.read_response().expect("an echo");
        assert_eq!(
            (echoed.text().as_str(), &echoed.interim[..]),
            ("hello", &[][..])
        );
    }
    let refused = [
        ("Content-Length: 1048577", 413),
        ("Content-Length: x", 400),
        ("Content-Length: 5\r\nTransfer-Encoding: gzip, chunked", 501),
        ("Content-Length: 5\r\nHost: b", 400),
    ];
    for (framing, status) in refused {
        let answer = told(&leeward, &asks(framing));
        assert_eq!(
            (answer.status, &answer.interim[..]),
            (status, &[][..]),
            "{framing}"
        );
    }
    // The body may come without waiting, and a version that knows no interim answers gets none.
    let hasty = told(&leeward, &format!("{}hello", asks("Content-Length: 5")));
    assert_eq!(hasty.text(), "hello");
    let old = asks("Content-Length: 5").replace("1.1", "1.0");
    let old = told(&leeward, &format!("{old}hello"));
    assert_eq!((old.text().as_str(), &old.interim[..]), ("hello", &[][..]));
    // The origin is not asked what has been answered.
    let mut head = asks("Content-Length: 5").replace("/echo", "/headers");
    head.push_str("hello");
    assert!(
        !told(&leeward, &head)
            .text()
            .to_lowercase()
            .contains("expect")
    );
}

#[test]
fn a_body_of_unknown_length_has_one_when_it_reaches_the_origin() {
    let leeward = behind(&[], "");
    let head = told(
        &leeward,
        "POST /headers HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
         5\r\nhello\r\n6;why=not\r\n world\r\n0\r\nX-Sum: 1\r\n\r\n",
    );
    let head = head.text().to_lowercase();
    assert!(head.contains("\r\ncontent-length: 11\r\n"), "{head}");
    assert!(!head.contains("transfer-encoding"), "{head}");
    assert!(!head.contains("x-sum"), "{head}");
}

#[test]
fn targets_of_every_form_reach_the_origin_in_its_own() {
    let leeward = behind(&[], "");
    let absolute = "GET http://a.example:8080/headers?b=c HTTP/1.1\r\nHost: other\r\n\r\n";
    let head = told(&leeward, absolute).text().to_lowercase();
    assert!(head.starts_with("get /headers?b=c http/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nhost: a.example:8080\r\n"), "{head}");
    assert!(!head.contains("other"), "{head}");

    let origin = Scripted::saying("HTTP/1.1 204 No Content\r\nAllow: GET\r\n\r\n");
    let leeward = before(origin.address(), "");
    let whole = told(&leeward, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((whole.status, whole.header("allow")), (204, Some("GET")));
    assert_eq!(origin.heard("OPTIONS * HTTP/1.1").len(), 1);
    let root = told(
        &leeward,
        "GET http://a.example HTTP/1.1\r\nHost: a.example\r\n\r\n",
    );
    assert_eq!(root.status, 204);
    assert!(
        origin
            .heard("GET / HTTP/1.1")
            .iter()
            .any(|it| it.contains("a.example"))
    );
    assert_eq!(
        told(&leeward, "GET * HTTP/1.1\r\nHost: a\r\n\r\n").status,
        400
    );

    use crate::support::frames::{HEADERS, Raw};
    let mut client = Raw::connect(leeward.edge(), 65_535, DUE).expect("a connection");
    client.ask(1, "OPTIONS", "*", &[]).expect("sent");
    client.read_kind(HEADERS).expect("an answer");
    assert_eq!(origin.heard("OPTIONS * HTTP/1.1").len(), 2);
}

#[test]
fn bytes_behind_an_answer_belong_to_nobody() {
    let origin = Scripted::tcp(|_, peer| {
        let _ = peer.write_all(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\
              HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        );
        // A connection that is kept meanwhile may be the next request's.
        std::thread::sleep(std::time::Duration::from_millis(200));
    });
    for concurrency in ["concurrency = 1", "concurrency = 8"] {
        let leeward = before_with(origin.address(), concurrency, "");
        let mut client = Connection::connect(leeward.edge(), DUE).expect("a connection");
        for _ in 0..20 {
            let answer = client.request("GET", "/x", &[], &[]).expect("an answer");
            assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
        }
    }
}

#[test]
fn the_first_request_waits_for_the_first_look_however_seldom_the_origin_is_looked_at() {
    let origin = Scripted::saying("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    for _ in 0..5 {
        // It is probed once an hour here.
        let leeward = before(origin.address(), "");
        assert_eq!(get(&leeward, "/x", &[]).text(), "ok");
    }
}
