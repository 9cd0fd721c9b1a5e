//! Leeward with the sick origin behind it, on ports of its own, as most promises want it.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::h1::Connection;
use crate::support::netns::Pair;
use crate::support::origin::holding_client;
use crate::support::response::Response;
use crate::support::{Leeward, ailing, free_port, h1};

/// How long an answer may take where one is due, on a machine that is busy with other tests.
pub const DUE: Duration = Duration::from_secs(30);

/// The command of the sick origin with these options.
pub fn sick(options: &[&str]) -> Vec<String> {
    let program = ailing().display().to_string();
    let listen = ["--listen", "{address}"];
    let words = listen.iter().chain(options).map(|word| (*word).to_owned());
    std::iter::once(program).chain(words).collect()
}

/// Leeward in front of the sick origin, started with these options; `more` is added to the configuration. That it
/// is serial is told and not measured, which takes a second.
pub fn behind(options: &[&str], more: &str) -> Leeward {
    if options.contains(&"--threads") {
        return in_front_of(&sick(options), more);
    }
    started(&serial(options, more))
}

/// Leeward in front of the sick origin, with these keys in `[origin]`.
pub fn with_origin(keys: &str) -> Leeward {
    let process = "[origin.process]";
    started(&serial(&[], "").replacen(process, &format!("{keys}{process}"), 1))
}

/// Leeward in front of the sick origin, with these keys in `[edge]`.
pub fn configured(keys: &str) -> Leeward {
    started(&serial(&[], "").replacen("[edge]\n", &format!("[edge]\n{keys}"), 1))
}

fn serial(options: &[&str], more: &str) -> String {
    let process = "[origin.process]";
    let config = configuration(&sick(options), free_port(), more);
    config.replacen(process, &format!("concurrency = 1\n{process}"), 1)
}

fn started(config: &str) -> Leeward {
    let leeward = Leeward::start(config);
    // Whatever the promise is about, it begins with an origin that has answered.
    leeward.wait_log("origin ready", DUE);
    leeward
}

/// Leeward in front of any command; `{port}` in it is the origin's.
pub fn in_front_of(command: &[String], more: &str) -> Leeward {
    started(&configuration(command, free_port(), more))
}

/// Leeward in front of an origin that somebody else runs there and that serves one at a time; `more` is added to the
/// configuration. It is asked how it is once, so that a script hears hardly anything but what a test asks for.
pub fn before(address: &str, more: &str) -> Leeward {
    before_with(address, "concurrency = 1", more)
}

/// The same with these keys in `[origin]`.
pub fn before_with(address: &str, keys: &str, more: &str) -> Leeward {
    Leeward::start(&format!(
        "[edge]\nlisten = \"127.0.0.1:0\"\n[status]\nlisten = \"127.0.0.1:0\"\n\
         [incidents]\ndirectory = \"@DIR@/incidents\"\n\
         [origin]\naddress = \"{address}\"\n{keys}\n[origin.probe]\nevery = \"1h\"\n{more}"
    ))
}

/// The configuration of [`in_front_of`].
pub fn configuration(command: &[String], port: u16, more: &str) -> String {
    format!(
        "[edge]\nlisten = \"127.0.0.1:0\"\n\
         [status]\nlisten = \"127.0.0.1:0\"\n\
         [incidents]\ndirectory = \"@DIR@/incidents\"\n\
         [origin]\naddress = \"127.0.0.1:{port}\"\n\
         [origin.process]\ncommand = {command:?}\n{more}"
    )
}

/// Somebody else is served, and at once, by an origin that can serve only one.
pub fn somebody_else_is_served(leeward: &Leeward) {
    let asked = Instant::now();
    let response = h1::get(leeward.edge(), "/", DUE).expect("an answer for somebody else");
    assert_eq!(response.status, 200);
    assert!(
        asked.elapsed() < Duration::from_secs(1),
        "{:?}",
        asked.elapsed()
    );
}

/// A client on the other machine is in the middle of a large answer from this port when its cable is pulled; then it
/// dies unheard.
pub fn vanish(pair: &Pair, protocol: &str, port: u16) {
    let server = format!("{}:{port}", Pair::SERVER);
    let vanishing = pair
        .client
        .inside(|| holding_client(protocol, &server, "/bytes/20000000", 65_536));
    pair.cut();
    drop(vanishing);
}

/// Somebody else, on the server's own machine, is served by the Leeward there, and at once.
pub fn somebody_else_is_served_inside(pair: &Pair) {
    let asked = Instant::now();
    let response = pair
        .server
        .inside(|| h1::get("127.0.0.1:8443", "/", DUE))
        .expect("an answer for somebody else");
    assert_eq!(response.status, 200);
    assert!(
        asked.elapsed() < Duration::from_secs(1),
        "{:?}",
        asked.elapsed()
    );
}

/// Asks the bare origin on the server's machine; the kernel accepts in any case.
pub fn ask_bare(pair: &Pair, patience: Duration) -> std::io::Result<Response> {
    pair.server.inside(|| {
        let accepted = Connection::connect_plain("127.0.0.1:8080", DUE);
        let mut connection = accepted.expect("the kernel accepts even so");
        connection.be_patient(patience);
        connection.request("GET", "/", &[], &[])
    })
}

/// Waits until the metrics contain this line.
pub fn wait_metric(leeward: &Leeward, line: &str) {
    let until = Instant::now() + DUE;
    loop {
        let metrics = leeward.status_get("/metrics").text();
        if metrics.lines().any(|it| it == line) {
            return;
        }
        assert!(Instant::now() < until, "no {line} in\n{metrics}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// All incidents written so far, the oldest first.
pub fn incidents(leeward: &Leeward) -> Vec<serde_json::Value> {
    let Ok(entries) = std::fs::read_dir(leeward.directory().join("incidents")) else {
        return Vec::new();
    };
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "json"));
    files.sort();
    let read = |path| std::fs::read(path).expect("an incident can be read");
    let parsed = |text: Vec<u8>| serde_json::from_slice(&text).expect("an incident is JSON");
    files.into_iter().map(read).map(parsed).collect()
}

/// Sends a signal to the process of the origin, as the status page tells of it.
pub fn signal_origin(leeward: &Leeward, signal: Signal) {
    let status = leeward.status_get("/status.json").text();
    let status: Value = serde_json::from_str(&status).expect("JSON");
    let pid = status["origin"]["pid"].as_i64().expect("a process");
    let pid = Pid::from_raw(i32::try_from(pid).expect("a number")).expect("a process");
    kill_process(pid, signal).expect("a signal");
}
