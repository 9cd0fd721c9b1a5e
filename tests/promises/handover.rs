//! Leeward holds the origin's listening socket and passes it to each generation: connections wait meanwhile, none is refused,
//! and what waits is answered once.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::NamedTempFile;

use crate::house::{DUE, incidents};
use crate::load::under_load;
use crate::skip;
use crate::support::h1;
use crate::support::origin::processed;
use crate::support::response::Response;
use crate::support::{Leeward, ailing};
use crate::verbs::done;

/// Sooner than by default, and as often as a test likes.
const SOON: &str = "[hang]\ncertain = \"500ms\"\nsilent = \"2s\"\n\
    [restart]\nbackoff = \"10ms\"\nbackoff_most = \"10ms\"\ndegraded_after = 1000\n";

/// Leeward that passes a socket at `address` to this command.
fn passing(address: &str, socket: &str, command: &[&str], keys: &str) -> Leeward {
    let leeward = Leeward::start(&format!(
        "[edge]\nlisten = \"127.0.0.1:0\"\n[edge.limits]\nconnections_per_address = \"off\"\n\
         [status]\nlisten = \"127.0.0.1:0\"\n\
         [incidents]\ndirectory = \"@DIR@/incidents\"\n\
         [origin]\naddress = \"{address}\"\n{keys}\n\
         [origin.process]\ncommand = {command:?}\nsocket = \"{socket}\"\n{SOON}"
    ));
    leeward.wait_log("origin ready", DUE);
    leeward
}

/// The same with the sick origin, and its ledger.
fn sick(options: &[&str], keys: &str) -> (Leeward, NamedTempFile) {
    let ledger = NamedTempFile::new().expect("a file");
    let path = ledger.path().display().to_string();
    let program = ailing().display().to_string();
    let command = [&program, "--listen", "passed", "--ledger", &path];
    let command: Vec<&str> = command.iter().chain(options).copied().collect();
    (passing("127.0.0.1:0", "passed", &command, keys), ledger)
}

fn get(leeward: &Leeward, path: &str) -> Response {
    h1::get(leeward.edge(), path, DUE).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn pid(leeward: &Leeward) -> u32 {
    get(leeward, "/")
        .origin_pid()
        .expect("the page tells the process")
}

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid as i32).expect("a process number");
    kill_process(pid, signal).expect("the origin can be signalled");
}

fn wait_ledger(ledger: &Path, part: &str) {
    let by = Instant::now() + DUE;
    while processed(ledger, part) == 0 {
        assert!(Instant::now() < by, "{part} was not begun with");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What each descriptor of a process is.
fn descriptors(pid: u32) -> Vec<String> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors");
    let link = |entry: std::io::Result<std::fs::DirEntry>| {
        let target = std::fs::read_link(entry.ok()?.path()).ok()?;
        Some(target.display().to_string())
    };
    entries.filter_map(link).collect()
}

#[test]
fn killed_again_and_again_under_load_it_loses_nothing_that_may_be_sent_again_and_doubles_nothing() {
    let (leeward, ledger) = sick(&["--threads", "4"], "concurrency = 4");
    let ((), toll) = under_load(leeward.edge(), 100, ledger.path(), || {
        for kills in 1..=6 {
            std::thread::sleep(Duration::from_millis(250));
            signal(pid(&leeward), Signal::KILL);
            leeward.wait_log_nth("requests reach the origin again", kills, DUE);
        }
    });
    println!("6 kills: {}", toll.told());
    assert_eq!(toll.unserved("GET").1, 0);
    assert_eq!((toll.doubled(), toll.invented()), (0, 0));
    // One that was being worked on at each kill, for each of its threads, is the most.
    assert!(toll.unserved("POST").1 <= 24);
}

#[test]
fn what_a_killed_origin_had_not_accepted_is_sent_to_the_next_and_processed_once() {
    let (leeward, ledger) = sick(&[], "concurrency = 4");
    for _ in 0..4 {
        pid(&leeward);
    }
    let at_work = pid(&leeward);
    let edge = leeward.edge();
    let post = |path: String| h1::request(edge, "POST", &path, &[], &[7; 100], DUE);
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| post("/slow/30000".to_owned()));
        wait_ledger(ledger.path(), "/slow/30000");
        let asked: Vec<_> = (0..3)
            .map(|number| scope.spawn(move || post(format!("/bytes/1?{number}"))))
            .collect();
        let by = Instant::now() + DUE;
        while leeward
            .status_get("/status.json")
            .text()
            .matches("POST /bytes/1")
            .count()
            < 3
        {
            assert!(Instant::now() < by, "they are not under way");
        }
        signal(at_work, Signal::KILL);
        for answer in asked {
            assert_eq!(
                answer.join().expect("a client").expect("an answer").status,
                200
            );
        }
        // What it had read may have been done.
        let slow = slow.join().expect("a client").expect("an answer");
        assert_eq!(slow.status, 502);
    });
    assert_eq!(processed(ledger.path(), "POST /bytes/1"), 3);
    assert_eq!(incidents(&leeward)[0]["judgement"]["verdict"], "exited");
}

#[test]
fn what_lies_before_a_frozen_origin_is_not_left_for_the_next_to_read_as_well() {
    let (leeward, ledger) = sick(&["--threads", "2"], "concurrency = 4");
    for _ in 0..4 {
        pid(&leeward);
    }
    signal(pid(&leeward), Signal::STOP);
    let ((), toll) = under_load(leeward.edge(), 20, ledger.path(), || {
        leeward.wait_log("requests reach the origin again", DUE);
    });
    println!("frozen: {}", toll.told());
    assert_eq!((toll.unserved("GET").1, toll.unserved("POST").1), (0, 0));
    assert_eq!((toll.doubled(), toll.invented()), (0, 0));
    let story = &incidents(&leeward)[0];
    assert_eq!(story["judgement"]["verdict"], "stopped");
    assert!(story["sentence"].to_string().contains("ailing"), "{story}");
}

#[test]
fn a_unix_socket_is_passed_and_taken_away_at_the_end() {
    let scratch = tempfile::tempdir().expect("a directory");
    let path = scratch.path().join("origin.sock");
    let program = ailing().display().to_string();
    let command = [program.as_str(), "--listen", "passed"];
    let address = format!("unix:{}", path.display());
    let mut leeward = passing(&address, "passed", &command, "concurrency = 1");
    let first = pid(&leeward);
    signal(first, Signal::KILL);
    assert_ne!(pid(&leeward), first);
    assert!(path.exists());
    assert!(leeward.terminate().success());
    assert!(!path.exists(), "it is left behind");
}

#[test]
fn as_standard_input_it_is_passed_like_inetd_does_it() {
    let program = ailing().display().to_string();
    let command = [program.as_str(), "--listen", "stdin"];
    let leeward = passing("127.0.0.1:0", "stdin", &command, "concurrency = 1");
    assert!(pid(&leeward) > 0);
}

#[test]
fn the_bundled_origin_takes_a_socket_that_is_passed() {
    let program = env!("CARGO_BIN_EXE_leeward");
    let command = [program, "origin"];
    let leeward = passing("127.0.0.1:0", "passed", &command, "concurrency = 8");
    assert_eq!(get(&leeward, "/healthz").status, 200);
    leeward.wait_log(&format!("ready on http://{}", leeward.origin()), DUE);
}

/// What python3 has no need of a library for.
const PYTHON: &str = "
import http.server, os, socket
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'python %d' % os.getpid()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
assert int(os.environ['LISTEN_PID']) == os.getpid() and os.environ['LISTEN_FDS'] == '1'
server = http.server.HTTPServer(('127.0.0.1', 0), Handler, bind_and_activate=False)
server.socket = socket.socket(fileno=3)
server.serve_forever()
";

#[test]
fn a_server_in_python_takes_a_socket_as_from_systemd() {
    if std::process::Command::new("python3")
        .arg("-V")
        .output()
        .is_err()
    {
        skip!("no python3 here");
    }
    let leeward = passing("127.0.0.1:0", "passed", &["python3", "-c", PYTHON], "");
    let before = get(&leeward, "/").text();
    assert!(before.starts_with("python "), "{before}");
    done(&leeward, &["restart"]);
    assert_ne!(get(&leeward, "/").text(), before);
}

#[test]
fn an_origin_that_shuts_its_door_for_all_gets_it_back_open() {
    let (leeward, _ledger) = sick(&[], "concurrency = 1");
    let first = pid(&leeward);
    get(&leeward, "/close-listener");
    assert_ne!(pid(&leeward), first);
    leeward.wait_log("Leeward listens anew", DUE);
    assert_eq!(
        incidents(&leeward)[0]["judgement"]["verdict"],
        "not-listening"
    );
}

#[test]
fn twenty_generations_leave_no_descriptor_behind() {
    let (leeward, _ledger) = sick(&[], "concurrency = 1");
    done(&leeward, &["restart"]);
    let (ours, its) = (descriptors(leeward.pid()), descriptors(pid(&leeward)));
    for _ in 0..20 {
        done(&leeward, &["restart"]);
    }
    let last = descriptors(pid(&leeward));
    let sockets = |all: &[String]| -> BTreeSet<String> {
        let is_socket = |it: &&String| it.starts_with("socket:");
        all.iter().filter(is_socket).cloned().collect()
    };
    // Clients come and go.
    let now = descriptors(leeward.pid()).len();
    assert!(
        now <= ours.len() + 3,
        "{now} where there were {}",
        ours.len()
    );
    assert_eq!(last.len(), its.len(), "{last:?}");
    // It has that one socket of ours, and what it accepts.
    let kept: Vec<_> = sockets(&last)
        .intersection(&sockets(&its))
        .cloned()
        .collect();
    assert_eq!(kept.len(), 1, "{last:?} {its:?}");
}

#[test]
fn a_port_that_is_held_is_told_with_who_holds_it_before_anything_is_started() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = holder.local_addr().expect("an address");
    let scratch = tempfile::tempdir().expect("a directory");
    let file = scratch.path().join("leeward.toml");
    let config = format!(
        "[edge]\nlisten = \"127.0.0.1:0\"\n[status]\nlisten = \"off\"\nsocket = \"off\"\n\
         [origin]\naddress = \"{address}\"\n\
         [origin.process]\ncommand = [\"true\"]\nsocket = \"passed\"\n"
    );
    std::fs::write(&file, config).expect("it is written");
    let output = crate::support::leeward(&["run", "--config", &file.display().to_string()]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let own = format!("(process {})", std::process::id());
    assert!(
        said.contains("origin.address") && said.contains(&own),
        "{said}"
    );
    assert!(!said.contains("origin started"), "{said}");
}
