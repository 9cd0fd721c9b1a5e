//! The same promises with web servers that other people wrote: Python's wsgiref, which is serial and waits for ever, and
//! busybox httpd and mini_httpd, which give each connection a process of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::house::{DUE, ask_bare, in_front_of, incidents, somebody_else_is_served_inside, vanish};
use crate::skip;
use crate::support::h1::{self, Connection};
use crate::support::h2::{self, Ask};
use crate::support::netns::Pair;
use crate::support::process::Running;
use crate::support::response::{Response, pattern};
use crate::support::{Leeward, Skip};

/// Hangs are sure sooner than by default, so that a test need not wait for it.
const SOON: &str = "[hang]\ncertain = \"500ms\"\nsilent = \"2s\"\n[restart]\nbackoff = \"100ms\"\ngrace = \"500ms\"\n";

/// A scripted page of a forking server is given up after this long.
const GIVEN_UP: &str = "[origin.deadlines]\nfirst_byte = \"3s\"\n";

/// A real server, ready to be started by Leeward.
struct Real {
    command: Vec<String>,
    /// A page that is always there.
    page: &'static str,
    /// What it serves, where that is files.
    _files: Option<TempDir>,
}

/// Takes what is there, or leaves the test and says what is missing.
macro_rules! real {
    ($server:expr) => {
        match $server {
            Ok(server) => server,
            Err(reason) => skip!(reason),
        }
    };
}

fn wsgiref() -> Result<Real, Skip> {
    wsgiref_at("127.0.0.1", "{port}")
}

fn wsgiref_at(address: &str, port: &str) -> Result<Real, Skip> {
    present("python3")?;
    let application = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/origins/wsgi.py");
    Ok(Real {
        command: texts(&["python3", application, address, port]),
        page: "/",
        _files: None,
    })
}

fn busybox() -> Result<Real, Skip> {
    present("busybox")?;
    let files = files();
    let root = files.path().display().to_string();
    let command = texts(&["busybox", "httpd", "-f", "-p", "{address}", "-h", &root]);
    Ok(forking(command, files))
}

fn mini_httpd() -> Result<Real, Skip> {
    present("mini_httpd")?;
    let files = files();
    let root = files.path().display().to_string();
    let place = ["mini_httpd", "-D", "-h", "127.0.0.1", "-p", "{port}"];
    let mut command = texts(&place);
    command.extend(texts(&["-d", &root, "-c", "cgi-bin/*"]));
    Ok(forking(command, files))
}

fn forking(command: Vec<String>, files: TempDir) -> Real {
    Real {
        command,
        page: "/page.html",
        _files: Some(files),
    }
}

/// A directory to serve: a page, 20 MB, and scripts.
fn files() -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path();
    let scripts = root.join("cgi-bin");
    fs::create_dir(&scripts).expect("a directory for the scripts");
    // Some servers give up being root before they read it.
    for place in [root, &scripts] {
        fs::set_permissions(place, PermissionsExt::from_mode(0o755)).expect("it is ours");
    }
    write(&root.join("page.html"), b"<p>a page</p>\n", 0o644);
    write(&root.join("index.html"), b"<p>an index</p>\n", 0o644);
    write(&root.join("big.bin"), &pattern(20_000_000), 0o644);
    let greeting = "printf 'Content-Type: text/plain\\r\\n\\r\\n'";
    let echo = format!("#!/bin/sh\n{greeting}\nhead -c \"$CONTENT_LENGTH\"\n");
    write(&scripts.join("echo"), echo.as_bytes(), 0o755);
    write(
        &scripts.join("sleep"),
        b"#!/bin/sh\nexec sleep 600\n",
        0o755,
    );
    directory
}

fn write(path: &Path, bytes: &[u8], mode: u32) {
    fs::write(path, bytes).expect("the file can be written");
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("it is ours");
}

fn texts(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Whether there is such a program.
fn present(program: &str) -> Result<(), Skip> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = std::env::split_paths(&path).any(|place| place.join(program).is_file());
    match is_there {
        true => Ok(()),
        false => Err(Skip(format!("there is no {program} here"))),
    }
}

/// The process Leeward started as the `n`th generation, from 1.
fn started(leeward: &Leeward, n: usize) -> u32 {
    let line = leeward.wait_log_nth("origin started", n, DUE);
    let pid = line
        .split_once(" pid=")
        .and_then(|(_, rest)| rest.split(' ').next());
    pid.and_then(|pid| pid.parse().ok())
        .unwrap_or_else(|| panic!("no process in: {line}"))
}

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid as i32).expect("a process number");
    kill_process(pid, signal).expect("the origin can be signalled");
}

fn get(leeward: &Leeward, path: &str) -> Response {
    h1::get(leeward.edge(), path, DUE).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A client at work beside the test.
fn aside(
    leeward: &Leeward,
    path: &'static str,
) -> std::thread::JoinHandle<std::io::Result<Response>> {
    let edge = leeward.edge();
    std::thread::spawn(move || h1::get(edge, path, DUE))
}

fn answered_probes(leeward: &Leeward) -> u64 {
    let told = leeward.status_get("/status.json").body;
    let told: serde_json::Value = serde_json::from_slice(&told).expect("the status is JSON");
    told["origin"]["probes"]["answered"].as_u64().unwrap_or(0)
}

/// The only incident, once it is closed.
fn the_incident(leeward: &Leeward) -> serde_json::Value {
    leeward.wait_log("incident closed", DUE);
    let mut told = incidents(leeward);
    assert_eq!(told.len(), 1, "{told:?}");
    told.remove(0)
}

fn sentence(incident: &serde_json::Value) -> &str {
    incident["sentence"].as_str().unwrap_or_default()
}

/// What any web server can do, over both versions of HTTP.
fn is_served(real: &Real, echo: Option<&str>, big: &str) {
    let leeward = in_front_of(&real.command, "");
    let edge = leeward.edge();
    let ask = |method: &str, path: &str, body: &[u8]| {
        let ask = Ask {
            method: method.to_owned(),
            path: path.to_owned(),
            body: body.to_vec(),
            ..Ask::default()
        };
        let one = h1::request(edge, method, path, &[], body, DUE);
        let two = h2::request(edge, ask, DUE);
        [one, two].map(|answer| answer.unwrap_or_else(|error| panic!("{method} {path}: {error}")))
    };
    for answer in ask("GET", real.page, b"") {
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    for answer in ask("HEAD", real.page, b"") {
        assert_eq!((answer.status, answer.body.len()), (200, 0));
    }
    for answer in ask("GET", "/nowhere", b"") {
        assert_eq!(answer.status, 404);
    }
    for answer in echo
        .into_iter()
        .flat_map(|path| ask("POST", path, b"field=value"))
    {
        assert_eq!((answer.status, &*answer.body), (200, &b"field=value"[..]));
    }
    for answer in ask("GET", big, b"") {
        assert_eq!(answer.status, 200);
        assert!(answer.body == pattern(20_000_000), "20 MB came out changed");
    }
    assert!(incidents(&leeward).is_empty());
}

/// Killed from outside, it is replaced, and its clients see only a wait.
fn is_replaced_when_killed(real: &Real) {
    let leeward = in_front_of(&real.command, SOON);
    let first = started(&leeward, 1);
    signal(first, Signal::KILL);
    for _ in 0..3 {
        assert_eq!(get(&leeward, real.page).status, 200);
    }
    assert_ne!(started(&leeward, 2), first);
    let told = the_incident(&leeward);
    assert_eq!(told["judgement"]["verdict"], "exited");
    let said = sentence(&told);
    assert!(
        said.starts_with(&format!("process {first} was ended by signal 9")),
        "{said}"
    );
}

/// Frozen, it is replaced, and all that waited get 200.
fn is_replaced_when_frozen(real: &Real) {
    let leeward = in_front_of(&real.command, SOON);
    let first = started(&leeward, 1);
    signal(first, Signal::STOP);
    let clients: Vec<_> = (0..5).map(|_| aside(&leeward, real.page)).collect();
    for client in clients {
        let answer = client.join().expect("a client").expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let told = the_incident(&leeward);
    assert_eq!(told["judgement"]["verdict"], "stopped");
    assert_eq!(told["judgement"]["confidence"], "conclusive");
    assert_eq!(told["ending"]["obituary"], "was ended by signal 9");
    let said = sentence(&told);
    assert!(
        said.contains(&format!("process {first}")) && said.contains("is stopped (state T"),
        "{said}"
    );
}

/// A script of a forking server that sleeps for ever holds nobody else: it is no hang, and ends at its own deadline.
fn outlives_a_script_that_sleeps(real: &Real) {
    let leeward = in_front_of(&real.command, &format!("{SOON}{GIVEN_UP}"));
    let asleep = aside(&leeward, "/cgi-bin/sleep");
    while !asleep.is_finished() {
        let asked = Instant::now();
        assert_eq!(get(&leeward, real.page).status, 200);
        assert!(asked.elapsed() < Duration::from_secs(2), "held by a script");
        std::thread::sleep(Duration::from_millis(50));
    }
    let answer = asleep.join().expect("a client").expect("an answer of ours");
    assert_eq!(answer.status, 504, "{}", answer.text());
    assert!(answer.text().contains("first_byte"), "{}", answer.text());
    assert!(incidents(&leeward).is_empty(), "nothing was wrong with it");
    assert_eq!(leeward.stderr().matches("origin started").count(), 1);
}

/// Blocked in a handler, it is replaced; whoever waited meanwhile gets 200, the request that did it is not let loose again.
fn is_replaced_when_blocked(path: &'static str, words: &[&str]) {
    let real = real!(wsgiref());
    let leeward = in_front_of(&real.command, SOON);
    let first = started(&leeward, 1);
    let culprit = aside(&leeward, path);
    let under_way = Instant::now();
    while !leeward.status_get("/status.json").text().contains(path) {
        assert!(under_way.elapsed() < DUE, "{path} is not under way");
    }
    let held = aside(&leeward, "/bytes/1000");
    let over_h2 = h2::get(leeward.edge(), "/", DUE).expect("an answer over HTTP/2");
    assert_eq!(over_h2.status, 200, "{}", over_h2.text());
    let held = held.join().expect("a client").expect("an answer");
    assert_eq!((held.status, held.body.len()), (200, 1000));
    let culprit = culprit.join().expect("a client").expect("an answer");
    assert_eq!(culprit.status, 504, "{}", culprit.text());
    assert_ne!(started(&leeward, 2), first);
    let told = the_incident(&leeward);
    assert_eq!(told["judgement"]["verdict"], "hung-blocked");
    assert_eq!(told["visits"][0]["request"], format!("GET {path}"));
    let said = sentence(&told);
    assert!(
        said.contains(&format!("thread {first} of python3")),
        "{said}"
    );
    for word in words {
        assert!(said.contains(word), "{word}: {said}");
    }
}

#[test]
fn wsgiref_is_served() {
    is_served(&real!(wsgiref()), Some("/echo"), "/bytes/20000000");
}

#[test]
fn busybox_httpd_is_served() {
    is_served(&real!(busybox()), Some("/cgi-bin/echo"), "/big.bin");
}

/// Its scripts are not posted to: version 1.30 loses a body that comes together with its head, whoever sends it.
#[test]
fn mini_httpd_is_served() {
    is_served(&real!(mini_httpd()), None, "/big.bin");
}

#[test]
fn wsgiref_is_found_serial_and_the_forking_servers_concurrent() {
    let servers = [(wsgiref(), "slots=1"), (busybox(), "slots=128")];
    for (server, wanted) in servers.into_iter().chain([(mini_httpd(), "slots=128")]) {
        let server = real!(server);
        in_front_of(&server.command, "").wait_log(wanted, DUE);
    }
}

#[test]
fn wsgiref_is_replaced_when_it_is_killed() {
    is_replaced_when_killed(&real!(wsgiref()));
}

#[test]
fn busybox_httpd_is_replaced_when_it_is_killed() {
    is_replaced_when_killed(&real!(busybox()));
}

#[test]
fn mini_httpd_is_replaced_when_it_is_killed() {
    is_replaced_when_killed(&real!(mini_httpd()));
}

#[test]
fn wsgiref_is_replaced_when_it_is_frozen() {
    is_replaced_when_frozen(&real!(wsgiref()));
}

#[test]
fn busybox_httpd_is_replaced_when_it_is_frozen() {
    is_replaced_when_frozen(&real!(busybox()));
}

#[test]
fn mini_httpd_is_replaced_when_it_is_frozen() {
    is_replaced_when_frozen(&real!(mini_httpd()));
}

#[test]
fn wsgiref_blocked_on_a_lock_is_replaced_and_the_lock_is_told() {
    is_replaced_when_blocked("/block/lock", &["futex", "a lock"]);
}

#[test]
fn wsgiref_blocked_on_a_silent_socket_is_replaced_and_the_socket_is_told() {
    is_replaced_when_blocked("/block/read", &["recvfrom(", "unix socket"]);
}

#[test]
fn wsgiref_blocked_on_a_silent_database_is_replaced_and_the_database_is_told() {
    is_replaced_when_blocked(
        "/block/database",
        &["recvfrom(", "127.0.0.1:", "sends nothing"],
    );
}

#[test]
fn busybox_httpd_outlives_a_script_that_sleeps() {
    outlives_a_script_that_sleeps(&real!(busybox()));
}

#[test]
fn mini_httpd_outlives_a_script_that_sleeps() {
    outlives_a_script_that_sleeps(&real!(mini_httpd()));
}

/// One client goes around Leeward, connects to a serial server and says nothing: that alone stops it for everybody. A
/// request that nobody has read meanwhile is not to blame, however long it has been there.
#[test]
fn a_stranger_who_holds_wsgiref_from_the_side_is_told_and_got_rid_of() {
    let real = real!(wsgiref());
    // The request comes before the next probe, so that it is the first to be without an answer.
    let quiet = format!("{SOON}[origin.probe]\nevery = \"10m\"\nsuspect_every = \"10m\"\n");
    let leeward = in_front_of(&real.command, &quiet);
    let begun = Instant::now();
    while answered_probes(&leeward) < 2 {
        assert!(
            begun.elapsed() < DUE,
            "the last probe of the start is missing"
        );
    }
    let stranger = Connection::connect_plain(leeward.origin(), DUE).expect("it accepts");
    let address = stranger.socket().local_addr().expect("its address");
    assert_eq!(get(&leeward, "/").status, 200);
    let told = the_incident(&leeward);
    assert_eq!(told["judgement"]["verdict"], "hung-blocked");
    let said = sentence(&told);
    assert!(said.contains(&address.to_string()), "{said}");
    assert!(said.contains("sends nothing"), "{said}");
}

/// The headline, with a server that exists. Without Leeward it is the other way round: see the next one.
#[test]
fn a_client_that_vanishes_in_the_middle_of_a_page_of_wsgiref_holds_nobody() {
    let real = real!(wsgiref_at("127.0.0.1", "8080"));
    let pair = real!(Pair::new());
    let config = format!(
        "[edge]\nlisten = \"0.0.0.0:8443\"\n[status]\nlisten = \"127.0.0.1:0\"\n\
         [incidents]\ndirectory = \"@DIR@/incidents\"\n\
         [origin]\naddress = \"127.0.0.1:8080\"\n[origin.process]\ncommand = {:?}\n",
        real.command
    );
    let leeward = pair.server.inside(|| Leeward::start(&config));
    leeward.wait_log("origin ready", DUE);
    vanish(&pair, "tls", 8443);
    somebody_else_is_served_inside(&pair);
    assert!(incidents(&leeward).is_empty());
}

/// The control: the same server without Leeward, the same client, and nobody is served.
#[test]
fn one_vanished_client_holds_a_bare_wsgiref_and_so_everybody() {
    const IMPATIENT: Duration = Duration::from_secs(5);
    let real = real!(wsgiref_at("0.0.0.0", "8080"));
    let pair = real!(Pair::new());
    let (program, arguments) = real.command.split_first().expect("a program");
    let bare = pair
        .server
        .inside(|| Running::start(Command::new(program).args(arguments)));
    bare.expect_stdout("wsgi: listening on", DUE);
    let ask = |patience| ask_bare(&pair, patience);
    assert_eq!(ask(DUE).expect("a healthy one answers").status, 200);
    vanish(&pair, "plain", 8080);
    let error = ask(IMPATIENT).expect_err("held by a vanished client it answers nobody");
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut, "{error}");
    pair.mend();
    assert_eq!(ask(DUE).expect("it was that client alone").status, 200);
}
