//! A changed configuration is taken by a Leeward that runs, whole or not at all, and no connection is broken for it.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::house::{DUE, behind};
use crate::support::h1::Connection;
use crate::support::process::Running;
use crate::support::{Leeward, h1};
use crate::verbs::{done, order};

/// Puts a text in the place of another in the file it was started with.
fn rewrite(leeward: &Leeward, from: &str, to: &str) {
    let file = leeward.directory().join("leeward.toml");
    let text = fs::read_to_string(&file).expect("the configuration");
    assert!(text.contains(from), "{from}\n{text}");
    fs::write(&file, text.replacen(from, to, 1)).expect("it is written");
}

fn status(leeward: &Leeward) -> Value {
    let text = leeward.status_get("/status.json").text();
    serde_json::from_str(&text).expect("a snapshot")
}

/// Waits until the snapshot says so.
fn becomes(leeward: &Leeward, what: &str, is_so: impl Fn(&Value) -> bool) {
    let begun = Instant::now();
    while !is_so(&status(leeward)) {
        assert!(begun.elapsed() < DUE, "{what}: {:#}", status(leeward));
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_is_changed_is_in_force_for_the_next_request_of_an_open_connection() {
    let leeward = behind(
        &[],
        "[edge.limits]\nbody = \"1MiB\"\n[log]\nlevel = \"info\"\n[hold]\ntimeout = \"9s\"\n\
         [origin.probe]\nevery = \"1h\"\n",
    );
    let body = [b'x'; 5000];
    let mut open = Connection::connect(leeward.edge(), DUE).expect("a connection");
    let answer = open.request("POST", "/", &[], &body).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let probes = |it: &Value| it["origin"]["probes"]["answered"].as_u64().unwrap_or(0);
    let before = probes(&status(&leeward));

    rewrite(&leeward, "body = \"1MiB\"", "body = \"4KiB\"");
    rewrite(&leeward, "level = \"info\"", "level = \"debug\"");
    rewrite(&leeward, "timeout = \"9s\"", "timeout = \"33s\"");
    rewrite(&leeward, "every = \"1h\"", "every = \"200ms\"");
    let said = done(&leeward, &["reload"]);
    let taken = "taken: edge.limits.body, origin.probe, log.level, hold";
    assert!(said.contains("leeward.toml was read again"), "{said}");
    assert!(said.contains(taken), "{said}");
    let told = leeward.stderr();
    let made = told.matches("the certificate is self-signed").count();
    assert_eq!(made, 1, "it was made at the start, and is kept");
    let answer = open
        .request("POST", "/", &[], &body)
        .expect("the connection is as it was");
    assert_eq!(answer.status, 413, "{}", answer.text());
    // The watch goes by it, too.
    becomes(&leeward, "probes", |it| probes(it) > before + 3);
    // And so do the log and the page.
    assert!(h1::plain_get(leeward.edge(), "/", DUE).is_ok());
    leeward.wait_log("plain HTTP on a port that speaks TLS", DUE);
    let held = |it: &Value| {
        let all = it["deadlines"].as_array().expect("a list").clone();
        all.into_iter()
            .any(|it| it["phase"] == "hold" && it["limit_seconds"] == 33.0)
    };
    assert!(
        held(&status(&leeward)),
        "{:#}",
        status(&leeward)["deadlines"]
    );
}

#[test]
fn a_faulty_configuration_is_not_taken_at_all_and_told_everywhere() {
    let mut leeward = behind(&[], "[edge.limits]\nbody = \"1MiB\"\n[pages]\n");
    rewrite(&leeward, "body = \"1MiB\"", "body = \"4KiB\"\nheeders = 3");
    let output = order(&leeward, &["reload"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{said}");
    for word in [
        "edge.limits.heeders: there is no such key",
        "did you mean `edge.limits.headers`?",
        "nothing was taken; what runs was not changed",
    ] {
        assert!(said.contains(word), "{word}\n{said}");
    }
    let answer = h1::request(leeward.edge(), "POST", "/", &[], &[b'x'; 5000], DUE);
    assert_eq!(answer.expect("an answer").status, 200);
    leeward.wait_log("the configuration is faulty and was not taken", DUE);
    let fault = status(&leeward)["configuration"]["fault"].to_string();
    assert!(fault.contains("heeders"), "{fault}");
    let page = leeward.status_get("/").text();
    assert!(page.contains("faulty and was not taken"), "{page}");
    let metrics = leeward.status_get("/metrics").text();
    assert!(
        metrics.contains("leeward_configuration_faulty 1"),
        "{metrics}"
    );

    // A file that it names counts as well, and by SIGHUP it is the same.
    rewrite(&leeward, "heeders = 3", "");
    rewrite(
        &leeward,
        "[pages]",
        "[pages]\nunavailable = \"/no/such/page.html\"",
    );
    leeward.signal(Signal::HUP);
    becomes(&leeward, "the other fault", |it| {
        it["configuration"]["fault"]
            .to_string()
            .contains("pages.unavailable")
    });
    let answer = h1::request(leeward.edge(), "POST", "/", &[], &[b'x'; 5000], DUE);
    assert_eq!(answer.expect("an answer").status, 200);

    rewrite(&leeward, "unavailable = \"/no/such/page.html\"", "");
    done(&leeward, &["reload"]);
    assert_eq!(status(&leeward)["configuration"]["fault"], Value::Null);
    let answer = h1::request(leeward.edge(), "POST", "/", &[], &[b'x'; 5000], DUE);
    assert_eq!(answer.expect("an answer").status, 413);
}

#[test]
fn what_needs_a_restart_is_named_and_waits_and_the_rest_is_taken() {
    let leeward = behind(&[], "[edge.limits]\nbody = \"1MiB\"\n");
    rewrite(
        &leeward,
        "body = \"1MiB\"",
        "body = \"4KiB\"\nhandshakes = 7",
    );
    rewrite(
        &leeward,
        "listen = \"127.0.0.1:0\"",
        "listen = \"127.0.0.1:1\"",
    );
    let said = done(&leeward, &["reload"]);
    let waits = "edge.limits.handshakes, edge.listen changed: needs a restart of Leeward";
    assert!(said.contains(waits), "{said}");
    let answer = h1::request(leeward.edge(), "POST", "/", &[], &[b'x'; 5000], DUE);
    assert_eq!(answer.expect("an answer").status, 413);
    let told = &status(&leeward)["configuration"]["waits_for_restart"];
    assert_eq!(
        *told,
        serde_json::json!(["edge.limits.handshakes", "edge.listen"])
    );
    let page = leeward.status_get("/").text();
    assert!(page.contains("waiting for a restart of Leeward"), "{page}");
    // Told again as long as it is so, and no longer.
    assert!(done(&leeward, &["reload"]).contains(waits));
    rewrite(
        &leeward,
        "listen = \"127.0.0.1:1\"",
        "listen = \"127.0.0.1:0\"",
    );
    rewrite(&leeward, "handshakes = 7", "");
    assert!(done(&leeward, &["reload"]).contains("nothing has changed in it"));
    let told = &status(&leeward)["configuration"]["waits_for_restart"];
    assert_eq!(*told, serde_json::json!([]));
}

#[test]
fn another_command_is_used_from_the_next_start_of_the_origin_on() {
    let leeward = behind(&[], "environment = { MARK = \"one\" }\n");
    let environment = |leeward: &Leeward| {
        let pid = status(leeward)["origin"]["pid"]
            .as_u64()
            .expect("a process");
        let bytes = fs::read(format!("/proc/{pid}/environ")).expect("its environment");
        String::from_utf8_lossy(&bytes).into_owned()
    };
    rewrite(&leeward, "MARK = \"one\"", "MARK = \"two\"");
    let said = done(&leeward, &["reload"]);
    assert!(
        said.contains("taken at the next start of the origin"),
        "{said}"
    );
    assert!(environment(&leeward).contains("MARK=one"));
    done(&leeward, &["restart"]);
    assert!(environment(&leeward).contains("MARK=two"));
}

/// sd_notify(3): READY comes after RELOADING even where nothing was taken, and the status says so.
#[test]
fn the_service_manager_hears_that_a_reload_was_refused() {
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(DUE)).expect("a timeout");
    let file = home.path().join("leeward.toml");
    let text = format!(
        "[edge]\nlisten = \"127.0.0.1:0\"\n[status]\nlisten = \"off\"\nsocket = \"off\"\n\
         [incidents]\ndirectory = {:?}\n",
        home.path()
    );
    fs::write(&file, &text).expect("the configuration");
    let mut command = Command::new(env!("CARGO_BIN_EXE_leeward"));
    command.args(["run", "--config"]).arg(&file);
    let mut running = Running::start(command.env("NOTIFY_SOCKET", &path));
    hear(&socket, "STATUS=origin ready");
    fs::write(&file, "[edges]\n").expect("the configuration");
    running.signal(Signal::HUP);
    hear(&socket, "RELOADING=1");
    let ready = hear(&socket, "READY=1");
    assert!(
        ready.contains("faulty; what runs was not changed"),
        "{ready}"
    );
    fs::write(&file, text).expect("the configuration");
    running.signal(Signal::HUP);
    hear(&socket, "RELOADING=1");
    let ready = hear(&socket, "READY=1");
    assert!(ready.contains("was read again"), "{ready}");
    running.signal(Signal::TERM);
    assert_eq!(running.wait(DUE).expect("it ends").code(), Some(0));
}

fn hear(socket: &UnixDatagram, wanted: &str) -> String {
    let begun = Instant::now();
    let mut message = [0; 4096];
    loop {
        let length = socket.recv(&mut message);
        let length = length.unwrap_or_else(|error| panic!("{wanted}: {error}"));
        let text = String::from_utf8_lossy(&message[..length]).into_owned();
        if text.contains(wanted) {
            return text;
        }
        assert!(begun.elapsed() < DUE, "{wanted} was not heard");
    }
}
