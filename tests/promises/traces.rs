//! Traces go on through us: from the client's to the origin's, and to a collector where there is one.

use std::io::Write;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::house::{DUE, behind, wait_metric};
use crate::support::h1;
use crate::support::scripted::Scripted;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// A collector that takes whatever it is told.
fn collector() -> Scripted {
    Scripted::tcp(|_, peer| {
        let _ = peer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
    })
}

fn told_to(address: &str) -> String {
    format!("[trace]\ncollector = \"http://{address}\"\nservice = \"shop\"\n")
}

/// All spans the collector was told of, once there is one of this name with this trace.
fn spans(collector: &Scripted, trace: &str, name: &str) -> Vec<Value> {
    let until = Instant::now() + DUE;
    loop {
        let mut spans = Vec::new();
        for post in collector.heard("POST /v1/traces ") {
            let (head, body) = post.split_once("\r\n\r\n").expect("a body");
            assert!(
                head.to_lowercase()
                    .contains("content-type: application/json"),
                "{head}"
            );
            let told: Value = serde_json::from_str(body).expect("JSON");
            let resource = &told["resourceSpans"][0];
            assert!(
                resource["resource"].to_string().contains("\"shop\""),
                "{resource}"
            );
            let scope = resource["scopeSpans"][0]["spans"].as_array();
            spans.extend(scope.expect("spans").iter().cloned());
        }
        spans.retain(|span| span["traceId"] == trace);
        if spans.iter().any(|span| span["name"] == name) {
            return spans;
        }
        assert!(Instant::now() < until, "no span {name} in {spans:#?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn attribute<'s>(span: &'s Value, key: &str) -> Option<&'s Value> {
    let all = span["attributes"].as_array()?;
    let found = all.iter().find(|it| it["key"] == key)?;
    found["value"].as_object()?.values().next()
}

#[test]
fn a_collector_is_told_of_a_request_that_was_held_and_sent_again() {
    let collector = collector();
    let more = told_to(collector.address()) + "[restart]\nbackoff = \"100ms\"\n";
    let leeward = behind(&[], &more);
    let edge = leeward.edge();
    let asked = std::thread::spawn(move || {
        let fields = [("traceparent", PARENT)];
        h1::request(edge, "GET", "/slow/700?token=x", &fields, &[], DUE)
    });
    // It is with the origin.
    let until = Instant::now() + DUE;
    let pid = loop {
        let status: Value =
            serde_json::from_str(&leeward.status_get("/status.json").text()).unwrap();
        let origin = &status["origin"];
        if origin["visits"].to_string().contains("/slow/700") {
            break origin["pid"].as_i64().expect("a process");
        }
        assert!(Instant::now() < until, "not under way: {origin:#}");
        std::thread::sleep(Duration::from_millis(5));
    };
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).expect("a process");
    kill_process(pid, Signal::KILL).expect("it can be killed");
    assert_eq!(asked.join().unwrap().expect("an answer").status, 200);

    let spans = spans(&collector, TRACE, "GET");
    let whole = spans
        .iter()
        .find(|it| it["name"] == "GET")
        .expect("the exchange");
    assert_eq!(whole["parentSpanId"], "b7ad6b7169203331", "{whole:#}");
    assert_eq!(whole["kind"], 2, "a server's: {whole:#}");
    for (key, value) in [
        ("url.path", Value::from("/slow/700")),
        ("leeward.replayed", true.into()),
        ("leeward.held", true.into()),
        ("leeward.end", "done".into()),
        ("network.protocol.version", "1.1".into()),
    ] {
        assert_eq!(attribute(whole, key), Some(&value), "{key} in {whole:#}");
    }
    let status = attribute(whole, "http.response.status_code").expect("a status");
    assert_eq!(status.to_string().trim_matches('"'), "200");
    assert_eq!(attribute(whole, "url.query"), None, "queries are not told");
    let mut visits: Vec<_> = spans.iter().filter(|it| it["name"] == "origin").collect();
    visits.sort_by_key(|it| it["startTimeUnixNano"].to_string());
    let [first, second] = visits[..] else {
        panic!("two visits: {visits:#?}");
    };
    assert_ne!(first["spanId"], second["spanId"]);
    for (visit, generation, end) in [
        (first, "1", "origin, first_byte: "),
        (second, "2", "answered"),
    ] {
        assert_eq!(visit["parentSpanId"], whole["spanId"], "{visit:#}");
        let told = |key| attribute(visit, key).map(|it| it.to_string().replace('"', ""));
        assert_eq!(told("leeward.generation").as_deref(), Some(generation));
        assert_eq!(told("leeward.attempt").as_deref(), Some(generation));
        assert!(
            told("leeward.end").is_some_and(|it| it.starts_with(end)),
            "{visit:#}"
        );
    }
    assert_eq!(first["status"]["code"], 2, "an error: {first:#}");
    assert_eq!(attribute(second, "error.type"), None, "{second:#}");
    let ended = |span: &Value| span["endTimeUnixNano"].as_str().map(str::to_owned);
    assert!(ended(first) <= second["startTimeUnixNano"].as_str().map(str::to_owned));
    let steps = ["intake", "hold", "queue", "connect", "origin", "respond"];
    for name in steps {
        let step = spans.iter().find(|it| it["name"] == name);
        let step = step.unwrap_or_else(|| panic!("no {name} in {spans:#?}"));
        assert_eq!(step["parentSpanId"], whole["spanId"], "{step:#}");
    }
    wait_metric(
        &leeward,
        "leeward_traced_exchanges_total{result=\"failed\"} 0",
    );
}

/// The origin's spans go below the one that the collector is told of.
#[test]
fn the_origin_is_told_the_span_that_the_collector_is_told() {
    let collector = collector();
    let origin = Scripted::saying("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let leeward = crate::house::before(origin.address(), &told_to(collector.address()));
    h1::get(leeward.edge(), "/begun", DUE).expect("an answer");
    let heard = origin.heard("/begun").pop().expect("it was asked");
    let parent = heard
        .lines()
        .find_map(|line| line.strip_prefix("traceparent: "));
    let parent: Vec<_> = parent.expect("a trace").split('-').collect();
    let spans = spans(&collector, parent[1], "GET");
    let visit = spans
        .iter()
        .find(|it| it["name"] == "origin")
        .expect("a visit");
    assert_eq!(visit["spanId"], parent[2]);
    assert_eq!(visit["kind"], 3, "a client's");
}

/// Nobody listens, or somebody accepts and says nothing.
#[test]
fn a_collector_that_is_dead_or_hangs_changes_nothing_for_clients() {
    let mute = TcpListener::bind("127.0.0.1:0").expect("a port");
    let dead = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addresses = [&mute, &dead].map(|it| it.local_addr().expect("its address").to_string());
    drop(dead);
    for (nth, address) in addresses.iter().enumerate() {
        let mut leeward = behind(&[], &told_to(address));
        let asked = Instant::now();
        let mut connection = h1::Connection::connect(leeward.edge(), DUE).expect("a connection");
        for _ in 0..500 {
            let answer = connection.request("GET", "/", &[], &[]).expect("an answer");
            assert_eq!(answer.status, 200);
        }
        assert!(asked.elapsed() < DUE / 3, "{:?}", asked.elapsed());
        if nth == 1 {
            leeward.wait_log("does not take what it is told", DUE);
            wait_metric(
                &leeward,
                "leeward_traced_exchanges_total{result=\"sent\"} 0",
            );
            let told = leeward.stderr().matches("does not take").count();
            assert_eq!(told, 1);
        }
        let asked = Instant::now();
        assert!(leeward.terminate().success());
        assert!(
            asked.elapsed() < Duration::from_secs(10),
            "{:?}",
            asked.elapsed()
        );
    }
}
