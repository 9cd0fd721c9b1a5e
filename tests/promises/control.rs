//! The control: what happens without Leeward. The disease is real, or a cure proves nothing.

use std::io::ErrorKind;
use std::time::Duration;

use rustix::process::Signal;

use crate::house::{ask_bare, vanish};
use crate::skip;
use crate::support::Origin;
use crate::support::h1::{Connection, plain_get};
use crate::support::netns::Pair;
use crate::support::origin::processed;
use crate::support::response::pattern;

/// How long an answer may take where one is due.
const DUE: Duration = Duration::from_secs(20);

/// How long a client waits where no answer will come.
const IMPATIENT: Duration = Duration::from_secs(3);

/// One client whose cable is pulled in the middle of an answer and which then dies unheard, and the origin serves nobody
/// any more: it still accepts, but it never answers. Only when it hears that this client is gone does it serve.
#[test]
fn one_vanished_client_holds_a_bare_origin_and_so_everybody() {
    let pair = match Pair::new() {
        Ok(pair) => pair,
        Err(reason) => skip!(reason),
    };
    let origin = pair.server.inside(|| Origin::start_at("0.0.0.0:8080", &[]));
    let ask = |patience| ask_bare(&pair, patience);
    let healthy = ask(DUE).expect("a healthy origin answers");
    assert_eq!(healthy.origin_pid(), Some(origin.running.pid()));

    vanish(&pair, "plain", 8080);
    let error = ask(IMPATIENT).expect_err("an origin held by a vanished client answers nobody");
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");

    pair.mend();
    let freed = ask(DUE).expect("what held it was that client and nothing else");
    assert_eq!(freed.origin_pid(), healthy.origin_pid());
}

/// The same origin, with nobody on its thread, is an ordinary web server.
#[test]
fn the_bare_origin_answers_ordinary_requests() {
    let origin = Origin::start(&[]);
    let get = |path| {
        plain_get(origin.address(), path, DUE).unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    for path in [
        "/bytes/100000",
        "/chunked/100000",
        "/close/100000",
        "/drip/1/50",
    ] {
        let length = if path.starts_with("/drip") {
            50
        } else {
            100_000
        };
        let response = get(path);
        assert_eq!(response.status, 200, "{path}");
        assert!(
            response.body == pattern(length),
            "{path}: {} bytes",
            response.body.len()
        );
    }
    assert_eq!(get("/status/503").status, 503);
    assert_eq!(get("/cookies").all("set-cookie").len(), 2);
    assert_eq!(get("/hop").header("x-hop"), Some("1"));
    assert_eq!(get("/slow/10").text().lines().next(), Some("slept well"));
    let location = format!("http://{}/x", origin.address());
    assert_eq!(get("/redirect").header("location"), Some(location.as_str()));
    assert!(get("/header-bomb").headers.len() > 200);
    assert!(
        get("/headers")
            .text()
            .starts_with("GET /headers HTTP/1.1\r\nHost: localhost\r\n")
    );
}

/// What it does wrong is wrong in the way the path says.
#[test]
fn the_bare_origin_misbehaves_as_asked() {
    let mut origin = Origin::start(&["--threads", "8"]);
    let address = origin.address().to_owned();
    let fault = |path| {
        plain_get(&address, path, Duration::from_millis(500))
            .expect_err(path)
            .kind()
    };
    assert_eq!(fault("/truncated"), ErrorKind::UnexpectedEof);
    assert_eq!(fault("/garbage"), ErrorKind::InvalidData);
    for path in ["/block/lock", "/block/read", "/block/sleep", "/spin"] {
        assert_eq!(fault(path), ErrorKind::TimedOut, "{path}");
    }
    assert_eq!(
        plain_get(&address, "/early", DUE)
            .expect("an early answer")
            .status,
        413
    );
    assert_eq!(fault("/exit/7"), ErrorKind::UnexpectedEof);
    assert_eq!(
        origin.running.wait(DUE).and_then(|status| status.code()),
        Some(7)
    );
}

/// Every request it processed is in its ledger once, with the length of its body.
#[test]
fn the_bare_origin_keeps_a_ledger() {
    let directory = tempfile::tempdir().expect("a directory");
    let ledger = directory.path().join("ledger");
    let origin = Origin::start(&["--ledger", ledger.to_str().expect("a plain path")]);
    let mut connection = Connection::connect_plain(origin.address(), DUE).expect("it accepts");
    let echo = connection
        .request("POST", "/echo", &[], b"nine byte")
        .expect("an echo");
    assert_eq!(echo.body, b"nine byte");
    plain_get(origin.address(), "/bytes/5?id=1", DUE).expect("an answer");
    assert_eq!(processed(&ledger, "POST /echo 9"), 1);
    assert_eq!(processed(&ledger, "/bytes/5?id=1 0"), 1);
}

/// A frozen origin accepts and is silent; thawed, it goes on as if nothing had been.
#[test]
fn a_stopped_origin_goes_on_when_it_is_continued() {
    let mut origin = Origin::start(&[]);
    let mut connection = Connection::connect_plain(origin.address(), DUE).expect("it accepts");
    connection
        .send(b"GET /stop HTTP/1.1\r\n\r\n")
        .expect("sent");
    origin.running.wait_state('T', DUE);
    let silent =
        plain_get(origin.address(), "/", Duration::from_millis(300)).expect_err("it is stopped");
    assert_eq!(silent.kind(), ErrorKind::TimedOut, "{silent}");
    origin.running.signal(Signal::CONT);
    assert_eq!(connection.read_response().expect("it goes on").status, 200);
}

/// SIGTERM ends it, unless it was told to ignore that.
#[test]
fn only_a_deaf_origin_outlives_sigterm() {
    let mut ordinary = Origin::start(&[]);
    ordinary.running.signal(Signal::TERM);
    assert!(
        ordinary.running.wait(DUE).is_some(),
        "an ordinary origin ends"
    );

    let mut deaf = Origin::start(&["--ignore-term", "--banner", "hard of hearing"]);
    assert!(deaf.running.stdout.text().contains("hard of hearing"));
    deaf.running.signal(Signal::TERM);
    assert_eq!(deaf.running.wait(Duration::from_millis(300)), None);
    assert_eq!(
        plain_get(deaf.address(), "/", DUE)
            .expect("it serves on")
            .status,
        200
    );
}
