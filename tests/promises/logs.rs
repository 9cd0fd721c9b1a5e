//! The log is told in the form its reader wants, never waits for that reader, and cannot be filled by anybody.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::house::{DUE, before, behind, configuration, in_front_of, sick, wait_metric};
use crate::skip;
use crate::support::scripted::Scripted;
use crate::support::{Leeward, free_port, h1};

/// Leeward's standard error is a stream of a journal whose socket is the test's own, in a mount namespace.
fn under_a_journal(directory: &Path, more: &str) -> Result<Leeward, String> {
    if !rustix::process::geteuid().is_root() {
        return Err("a mount namespace needs root".to_owned());
    }
    let script = "mount -t tmpfs journal /run && mkdir /run/systemd && mount --bind \"$0\" /run/systemd && \
        export JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) && exec \"$@\"";
    let place = directory.display().to_string();
    let wrapper = ["unshare", "-m", "sh", "-c", script, &place];
    let config = configuration(&sick(&[]), free_port(), more);
    Ok(Leeward::start_by(&wrapper, &config))
}

fn journal(directory: &Path) -> UnixDatagram {
    std::fs::create_dir(directory.join("journal")).expect("a directory");
    let journal = UnixDatagram::bind(directory.join("journal/socket")).expect("a socket");
    let patience = Some(Duration::from_millis(100));
    journal
        .set_read_timeout(patience)
        .expect("a socket has one");
    journal
}

/// The next entry with all of these parts.
fn entry(journal: &UnixDatagram, parts: &[&str]) -> String {
    let until = Instant::now() + DUE;
    let (mut bytes, mut seen) = (vec![0; 64 << 10], String::new());
    while Instant::now() < until {
        let Ok(count) = journal.recv(&mut bytes) else {
            continue;
        };
        let entry = String::from_utf8_lossy(&bytes[..count]).into_owned();
        if parts.iter().all(|part| entry.contains(part)) {
            return entry;
        }
        seen += &entry;
    }
    panic!("no entry with {parts:?} in\n{seen}");
}

#[test]
fn the_journal_is_told_severities_and_fields_and_no_time() {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = journal(directory.path());
    let leeward = match under_a_journal(directory.path(), "") {
        Ok(leeward) => leeward,
        Err(reason) => skip!(reason),
    };
    entry(
        &journal,
        &[
            "PRIORITY=4\n",
            "LEEWARD_TARGET=leeward::edge::tls::certificate\n",
            "self-signed",
        ],
    );
    let ready = entry(&journal, &["MESSAGE=origin ready"]);
    for part in [
        "PRIORITY=6\n",
        "SYSLOG_IDENTIFIER=leeward\n",
        "LEEWARD_GENERATION=1\n",
    ] {
        assert!(ready.contains(part), "{ready}");
    }
    h1::get(leeward.edge(), "/nowhere?x=1", DUE).expect("an answer");
    let access = entry(&journal, &["LEEWARD_TARGET=access\n"]);
    for part in [
        "MESSAGE=access: client=127.0.0.1:",
        "\nLEEWARD_REQUEST=GET /nowhere\n",
        "\nLEEWARD_STATUS=404\n",
        "\nLEEWARD_END=done\n",
        "\nLEEWARD_TLS=1.3\n",
    ] {
        assert!(access.contains(part), "{access}");
    }
    assert!(!leeward.stderr().contains("origin ready"), "told twice");
}

/// A journal that nobody empties takes a few entries, and then keeps whoever sends another waiting.
#[test]
fn a_hung_journal_keeps_nobody_waiting() {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = journal(directory.path());
    let mut leeward = match under_a_journal(directory.path(), "") {
        Ok(leeward) => leeward,
        Err(reason) => skip!(reason),
    };
    let asked = Instant::now();
    let mut connection = h1::Connection::connect(leeward.edge(), DUE).expect("a connection");
    // What it is too slow for is counted, once so much waits for it as may.
    while dropped(&leeward, "reader") == 0 {
        for _ in 0..500 {
            let answer = connection.request("GET", "/", &[], &[]).expect("an answer");
            assert!(matches!(answer.status, 200 | 503), "{}", answer.status);
        }
        assert!(asked.elapsed() < DUE, "{:?}", asked.elapsed());
    }
    let asked = Instant::now();
    assert!(leeward.terminate().success());
    assert!(
        asked.elapsed() < Duration::from_secs(10),
        "{:?}",
        asked.elapsed()
    );
    drop(journal);
}

#[test]
fn where_there_is_no_journal_standard_error_gets_the_severity() {
    let directory = tempfile::tempdir().expect("a directory");
    let leeward = match under_a_journal(directory.path(), "[log]\nformat = \"journal\"\n") {
        Ok(leeward) => leeward,
        Err(reason) => skip!(reason),
    };
    let ready = leeward.wait_log("origin ready", DUE);
    assert!(ready.starts_with("<6>origin ready"), "{ready}");
    let warned = leeward.wait_log("self-signed", DUE);
    assert!(warned.starts_with("<4>"), "{warned}");
}

/// The line of the exchange that asked for this.
fn line(leeward: &Leeward, request: &str) -> Value {
    let line = leeward.wait_log(&format!("\"request\":\"{request}\""), DUE);
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

#[test]
fn the_names_in_the_json_of_an_exchange_stay() {
    let leeward = behind(&[], "[log]\nformat = \"json\"\n");
    // Who is held by the start has one name more.
    wait_metric(&leeward, "leeward_origin_up 1");
    let headers = [("x-request-id", "mine-7")];
    let answer = h1::request(
        leeward.edge(),
        "POST",
        "/echo?a=b",
        &headers,
        &[7; 1000],
        DUE,
    );
    assert_eq!(answer.expect("an answer").status, 200);
    let line = line(&leeward, "POST /echo");
    let names: BTreeSet<_> = line.as_object().expect("an object").keys().collect();
    let wanted = [
        "bytes",
        "client",
        "connect_ms",
        "end",
        "generation",
        "http",
        "intake_ms",
        "level",
        "origin_ms",
        "received",
        "request",
        "request_id",
        "respond_ms",
        "status",
        "target",
        "timestamp",
        "tls",
        "total_ms",
        "wait_ms",
    ];
    assert_eq!(names.into_iter().collect::<Vec<_>>(), wanted);
    for (name, value) in [
        ("target", Value::from("access")),
        ("status", 200.into()),
        ("received", 1000.into()),
        ("http", "1.1".into()),
        ("tls", "1.3".into()),
        ("generation", 1.into()),
        ("end", "done".into()),
        ("request_id", "mine-7".into()),
    ] {
        assert_eq!(line[name], value, "{name} in {line}");
    }
    let ms = |name: &str| line[name].as_f64().expect("a number");
    let parts = ms("intake_ms") + ms("wait_ms") + ms("origin_ms") + ms("respond_ms");
    assert!(parts <= ms("total_ms") + 1.0, "{line}");
}

#[test]
fn only_what_went_wrong_or_took_long_gets_a_line_where_that_is_wanted() {
    let more = "[log]\naccess = \"errors\"\nslow = \"300ms\"\n";
    let leeward = behind(&[], more);
    // Who is held by the start gets a line.
    wait_metric(&leeward, "leeward_origin_up 1");
    for path in ["/", "/slow/400", "/nowhere", "/"] {
        h1::get(leeward.edge(), path, DUE).expect("an answer");
    }
    leeward.wait_log("GET /nowhere", DUE);
    let told = leeward.stderr();
    let lines: Vec<_> = told
        .lines()
        .filter(|line| line.contains("access: "))
        .collect();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[0].contains("GET /slow/400"), "{lines:#?}");
}

/// How many lines have this severity.
fn count(leeward: &Leeward, severity: &str) -> usize {
    let told = leeward.stderr();
    let lines = told.lines();
    lines.filter(|line| line.contains(severity)).count()
}

/// What the metrics say of lines that were not written, for this reason.
fn dropped(leeward: &Leeward, reason: &str) -> u64 {
    let metrics = leeward.status_get("/metrics").text();
    let sample = format!("leeward_log_lines_dropped_total{{reason=\"{reason}\"}} ");
    let mut lines = metrics.lines();
    let told = lines.find_map(|line| line.strip_prefix(&sample));
    told.and_then(|told| told.parse().ok()).expect("a sample")
}

#[test]
fn clients_cannot_fill_the_log() {
    let more = "[edge.limits]\nconnections_per_address = \"off\"\n[edge.deadlines]\nhandshake = \"300ms\"\n";
    let mut leeward = behind(&[], more);
    let before = count(&leeward, " WARN ") + count(&leeward, "ERROR ");
    let silent: Vec<_> = (0..60)
        .map(|_| TcpStream::connect(leeward.edge()).expect("a connection"))
        .collect();
    for _ in 0..60 {
        let mut plain = TcpStream::connect(leeward.edge()).expect("a connection");
        let _ = plain.write_all(b"\x16\x03\x01\x00\x05garbage and no hello\r\n\r\n");
        let mut bad = h1::Connection::connect(leeward.edge(), DUE).expect("a connection");
        let _ = bad.send(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: x\r\n\r\n");
        let _ = bad.read_response();
    }
    leeward.wait_log_nth("client, handshake: not done", 20, DUE);
    let began = Instant::now();
    while dropped(&leeward, "repeats") < 40 {
        assert!(began.elapsed() < DUE, "{}", dropped(&leeward, "repeats"));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(dropped(&leeward, "reader"), 0);
    drop(silent);
    assert!(leeward.terminate().success());
    assert_eq!(count(&leeward, "client, handshake: not done within"), 21);
    let more = leeward.wait_log("and 40 more like this in the last 60 s", DUE);
    assert!(
        more.contains("client, handshake: not done within"),
        "{more}"
    );
    let warned = count(&leeward, " WARN ") + count(&leeward, "ERROR ");
    assert!(warned <= before + 3, "{warned} after {before}");
}

#[test]
fn what_the_origin_says_is_told_with_its_process_unless_it_is_not_wanted() {
    let program = sick(&[]).join(" ");
    let command = |said: &str| {
        let script = format!("{said}; exec {program}");
        ["sh", "-c", &script].map(str::to_owned)
    };
    let said = "echo one; echo two password=hunter2 >&2";
    let leeward = in_front_of(&command(said), "");
    let one = leeward.wait_log("origin: one", DUE);
    assert!(one.contains("stream=\"stdout\" generation=1 pid="), "{one}");
    let two = leeward.wait_log("origin: two password=***", DUE);
    assert!(two.contains("stream=\"stderr\""), "{two}");
    let quiet = in_front_of(&command(said), "[log]\norigin = false\n");
    h1::get(quiet.edge(), "/", DUE).expect("an answer");
    quiet.wait_log("GET /", DUE);
    assert!(!quiet.stderr().contains("origin: one"));
}

#[test]
fn a_chatty_origin_neither_waits_nor_fills_the_log() {
    let program = sick(&[]).join(" ");
    let script = format!("seq -f 'line %.0f of very many' 100000; exec {program}");
    let leeward = in_front_of(&["sh", "-c", &script].map(str::to_owned), "");
    leeward.wait_log("more lines were not logged", DUE);
    let told = leeward.stderr().matches("of very many").count();
    // 500 a second, for as long as it took.
    assert!(told < 20_000, "{told} lines");
    assert_eq!(
        h1::get(leeward.edge(), "/", DUE).expect("an answer").status,
        200
    );
}

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// What the origin was told under this name.
fn heard(origin: &Scripted, path: &str, name: &str) -> Vec<String> {
    let heard = origin.heard(path);
    let lines = heard.iter().flat_map(|request| request.lines());
    let fields = lines.filter_map(|line| line.split_once(": "));
    let of = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name));
    of.map(|(_, value)| value.to_owned()).collect()
}

#[test]
fn an_exchange_has_one_id_for_the_client_the_log_and_the_origin() {
    let origin = Scripted::saying("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let leeward = before(origin.address(), "");
    let ask = |path: &str, fields: &[(&str, &str)]| {
        let answer = h1::request(leeward.edge(), "GET", path, fields, &[], DUE);
        assert_eq!(answer.expect("an answer").status, 200);
        leeward.wait_log(&format!("GET {path}\""), DUE)
    };
    let line = ask("/taken", &[("x-request-id", "a-1")]);
    assert!(line.contains("request_id=a-1"), "{line}");
    assert_eq!(heard(&origin, "/taken", "x-request-id"), ["a-1"]);
    assert!(heard(&origin, "/taken", "traceparent").is_empty());

    let line = ask(
        "/traced",
        &[("x-request-id", "no good"), ("traceparent", PARENT)],
    );
    assert!(line.contains(&format!("request_id={TRACE}")), "{line}");
    assert_eq!(heard(&origin, "/traced", "x-request-id"), [TRACE]);
    let [parent] = &heard(&origin, "/traced", "traceparent")[..] else {
        panic!("no traceparent, or two");
    };
    assert!(
        parent.starts_with(&format!("00-{TRACE}-")) && parent.ends_with("-01"),
        "{parent}"
    );
    assert_ne!(parent, PARENT, "the span is ours");

    let line = ask("/made", &[]);
    let [id] = &heard(&origin, "/made", "x-request-id")[..] else {
        panic!("no id, or two");
    };
    assert!(
        id.len() == 32 && line.contains(&format!("request_id={id}")),
        "{line}"
    );
}

#[test]
fn an_incident_tells_the_ids_of_what_was_under_way() {
    let more = "[hang]\ncertain = \"500ms\"\nsilent = \"1s\"\n[restart]\ngrace = \"0s\"\ngrace_certain = \"0s\"\n";
    let leeward = behind(&[], more);
    let fields = [("x-request-id", "culprit-9")];
    let _ = h1::request(leeward.edge(), "POST", "/slow/20000", &fields, b"x", DUE);
    leeward.wait_log("incident opened", DUE);
    let incident = crate::house::incidents(&leeward)
        .pop()
        .expect("an incident");
    assert_eq!(
        incident["visits"][0]["request_id"], "culprit-9",
        "{incident:#}"
    );
}
