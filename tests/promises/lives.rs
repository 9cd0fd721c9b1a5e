//! What becomes of an origin that dies, freezes, hangs or never starts, and of the requests meanwhile.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::house::{DUE, behind, configuration, in_front_of, incidents, sick};
use crate::support::h1::{self, Connection};
use crate::support::h2::{self, Ask};
use crate::support::origin::processed;
use crate::support::response::Response;
use crate::support::{Leeward, ailing, free_port};

/// Hangs are sure sooner than by default, so that a test need not wait for it.
const SOON: &str = "[hang]\ncertain = \"500ms\"\nsilent = \"2s\"\n[restart]\nbackoff = \"100ms\"\n";

fn get(leeward: &Leeward, path: &str) -> Response {
    h1::get(leeward.edge(), path, DUE).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The process that answers now.
fn pid(leeward: &Leeward) -> u32 {
    let response = get(leeward, "/");
    assert_eq!(response.status, 200, "{}", response.text());
    response.origin_pid().expect("the page tells the process")
}

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid as i32).expect("a process number");
    kill_process(pid, signal).expect("the origin can be signalled");
}

fn exists(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z")
}

#[test]
fn a_killed_origin_is_replaced_and_its_clients_see_only_a_wait() {
    let leeward = behind(&[], SOON);
    let first = pid(&leeward);
    signal(first, Signal::KILL);
    let second = pid(&leeward);
    assert_ne!(first, second);
    leeward.wait_log("incident closed", DUE);
    let told = incidents(&leeward);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["judgement"]["verdict"], "exited");
    assert_eq!(told[0]["ending"]["obituary"], "was ended by signal 9");
    assert!(told[0]["ending"]["downtime_seconds"].is_number());
}

/// A dying process may close its listener last: whoever asks again too soon dies in its queue. A race, so more than
/// one round.
#[test]
fn a_request_whose_origin_is_killed_under_it_is_sent_to_the_next() {
    let leeward = behind(
        &[],
        "[restart]\nbackoff = \"50ms\"\nbackoff_most = \"1s\"\ndegraded_after = 100\n",
    );
    for round in 0..8 {
        let at_work = pid(&leeward);
        let edge = leeward.edge();
        let client = std::thread::spawn(move || h1::get(edge, "/slow/300", DUE));
        std::thread::sleep(Duration::from_millis(100));
        signal(at_work, Signal::KILL);
        let response = client.join().expect("a client").expect("an answer");
        assert_eq!(response.status, 200, "round {round}: {}", response.text());
        assert_ne!(response.origin_pid(), Some(at_work));
    }
}

#[test]
fn a_frozen_origin_is_replaced_and_held_requests_get_200() {
    let leeward = behind(&[], SOON);
    let first = pid(&leeward);
    signal(first, Signal::STOP);
    let frozen = Instant::now();
    let edge = leeward.edge();
    let clients: Vec<_> = (0..5)
        .map(|_| std::thread::spawn(move || h1::get(edge, "/", DUE)))
        .collect();
    for client in clients {
        let response = client.join().expect("a client").expect("an answer");
        assert_eq!(response.status, 200, "{}", response.text());
        assert_ne!(response.origin_pid(), Some(first));
    }
    assert!(frozen.elapsed() < Duration::from_secs(20));
    assert!(!exists(first), "the frozen process is still there");
    leeward.wait_log("incident closed", DUE);
    let told = incidents(&leeward);
    assert_eq!(told[0]["judgement"]["verdict"], "stopped");
    let sentence = told[0]["sentence"].as_str().unwrap_or_default();
    assert!(sentence.contains("is stopped (state T"), "{sentence}");
}

#[test]
fn the_incident_is_on_the_disk_before_the_first_signal() {
    let leeward = behind(&[], SOON);
    signal(pid(&leeward), Signal::STOP);
    leeward.wait_log("incident closed", DUE);
    let told = leeward.stderr();
    let place = |part: &str| {
        told.find(part)
            .unwrap_or_else(|| panic!("{part} is missing"))
    };
    assert!(place("incident opened") < place("origin was ended by signal 9"));
}

#[test]
fn a_hang_is_told_by_thread_and_call_and_its_request_is_not_let_loose_again() {
    let ledger = tempfile::NamedTempFile::new().expect("a file");
    let path = ledger.path().display().to_string();
    let leeward = behind(&["--ledger", &path], SOON);
    let edge = leeward.edge();
    let killer = std::thread::spawn(move || h1::get(edge, "/block/lock", DUE));
    while processed(ledger.path(), "/block/lock") == 0 {
        std::thread::sleep(Duration::from_millis(10));
    }
    let other = get(&leeward, "/bytes/10");
    assert_eq!(other.status, 200, "a request held meanwhile is served");
    let killer = killer.join().expect("a client").expect("an answer");
    assert_eq!(killer.status, 504, "{}", killer.text());
    assert_eq!(processed(ledger.path(), "/block/lock"), 1);
    leeward.wait_log("incident closed", DUE);
    let told = incidents(&leeward);
    assert_eq!(told[0]["judgement"]["verdict"], "hung-blocked");
    let sentence = told[0]["sentence"].as_str().unwrap_or_default();
    assert!(sentence.contains("futex"), "{sentence}");
    assert_eq!(told[0]["visits"][0]["request"], "GET /block/lock");
}

#[test]
fn an_origin_that_ignores_term_is_killed() {
    let leeward = behind(
        &["--ignore-term"],
        "[hang]\ncertain = \"500ms\"\nsilent = \"2s\"\n[restart]\ngrace = \"500ms\"\n",
    );
    let first = pid(&leeward);
    let edge = leeward.edge();
    std::thread::spawn(move || h1::get(edge, "/block/sleep", DUE));
    leeward.wait_log("KILL follows", DUE);
    assert_ne!(pid(&leeward), first);
    assert!(!exists(first));
}

#[test]
fn a_request_that_may_have_been_acted_on_is_not_sent_again_unless_that_is_harmless() {
    let ledger = tempfile::NamedTempFile::new().expect("a file");
    let path = ledger.path().display().to_string();
    let leeward = behind(&["--ledger", &path], SOON);
    let edge = leeward.edge();
    for (method, wanted, times) in [("POST", 502, 1), ("GET", 200, 2)] {
        let origin = pid(&leeward);
        let target = format!("/slow/1500?{method}");
        let ask = target.clone();
        let client = std::thread::spawn(move || h1::request(edge, method, &ask, &[], &[], DUE));
        while processed(ledger.path(), &target) == 0 {
            std::thread::sleep(Duration::from_millis(10));
        }
        signal(origin, Signal::KILL);
        let response = client.join().expect("a client").expect("an answer");
        assert_eq!(response.status, wanted, "{method}: {}", response.text());
        assert_eq!(processed(ledger.path(), &target), times, "{method}");
    }
}

#[test]
fn an_exit_at_work_is_an_incident_with_the_last_words() {
    let leeward = behind(&[], SOON);
    let response = h1::request(leeward.edge(), "POST", "/exit/7", &[], &[], DUE);
    assert_eq!(response.expect("an answer of ours").status, 502);
    assert_eq!(get(&leeward, "/").status, 200);
    leeward.wait_log("incident closed", DUE);
    let told = incidents(&leeward);
    assert_eq!(told[0]["ending"]["obituary"], "exited with 7");
    let words = told[0]["output"].to_string();
    assert!(words.contains("ailing: listening on"), "{words}");
}

#[test]
fn an_origin_that_cannot_be_executed_is_told_and_costs_clients_a_clear_503() {
    let command = ["/no/such/program".to_owned()];
    let crash = "[restart]\nbackoff = \"30s\"\nbackoff_most = \"30s\"\n[hold]\ntimeout = \"1s\"\n[origin.deadlines]\nqueue = \"1s\"\n";
    let leeward = Leeward::start(&configuration(&command, free_port(), crash));
    leeward.wait_log("cannot execute `/no/such/program`", DUE);
    leeward.wait_log_nth("origin exited with 127", 2, DUE);
    let response = get(&leeward, "/");
    assert_eq!(response.status, 503);
    let wait: u64 = response
        .header("retry-after")
        .and_then(|value| value.parse().ok())
        .expect("when to come again");
    assert!((2..=35).contains(&wait), "{wait}");
}

#[test]
fn an_origin_that_exits_at_its_start_is_retried_ever_more_slowly() {
    let command = [
        ailing().display().to_string(),
        "--listen".into(),
        "{address}".into(),
    ]
    .into_iter()
    .chain(["--exit-on-start".to_owned(), "3".to_owned()])
    .collect::<Vec<_>>();
    let quick = "[restart]\nbackoff = \"100ms\"\ndegraded_after = 4\ndegraded_every = \"1h\"\n";
    let leeward = Leeward::start(&configuration(&command, free_port(), quick));
    leeward.wait_log("to=\"degraded\"", DUE);
    assert_eq!(leeward.stderr().matches("origin started").count(), 4);
    let asked = Instant::now();
    let response = get(&leeward, "/");
    assert_eq!(response.status, 503);
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "a wait that is in vain"
    );
    let wait: u64 = response
        .header("retry-after")
        .and_then(|it| it.parse().ok())
        .unwrap_or(0);
    assert!(wait > 3000, "{wait}");
    assert_eq!(leeward.status_get("/livez").status, 503);
}

#[test]
fn an_origin_slow_to_start_is_waited_for() {
    let leeward = behind(&["--start-delay-ms", "1500"], SOON);
    assert_eq!(get(&leeward, "/").status, 200);
    assert!(incidents(&leeward).is_empty());
}

#[test]
fn a_port_held_by_a_stranger_is_told_with_its_name() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = holder.local_addr().expect("its address").port();
    let command = [
        ailing().display().to_string(),
        "--listen".into(),
        "{address}".into(),
    ];
    let leeward = Leeward::start(&configuration(&command, port, ""));
    let line = leeward.wait_log("is held by", DUE);
    assert!(
        line.contains(&format!("(process {})", std::process::id())),
        "{line}"
    );
}

#[test]
fn one_slow_page_restarts_nothing() {
    let leeward = behind(&[], SOON.replace("2s", "6s").as_str());
    let first = pid(&leeward);
    assert_eq!(get(&leeward, "/slow/4000").status, 200);
    assert_eq!(pid(&leeward), first);
    assert!(incidents(&leeward).is_empty());
}

#[test]
fn the_watch_measures_whether_the_origin_is_serial() {
    let serial = in_front_of(&sick(&[]), "");
    serial.wait_log("slots=1", DUE);
    let concurrent = behind(&["--threads", "4"], "");
    concurrent.wait_log("slots=128", DUE);
}

#[test]
fn whatever_the_origin_says_is_in_the_log_and_blocks_it_never() {
    let leeward = behind(&[], "");
    assert_eq!(get(&leeward, "/noise/20000").status, 200);
    assert_eq!(get(&leeward, "/").status, 200);
}

#[test]
fn a_shutdown_lets_the_last_answer_out_and_leaves_no_process() {
    let mut leeward = behind(&[], "");
    let origin = pid(&leeward);
    let edge = leeward.edge();
    let mut client = Connection::connect(edge, DUE).expect("a connection");
    client
        .send(b"GET /slow/1500 HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    let ledgered = Instant::now();
    while !leeward
        .status_get("/status.json")
        .text()
        .contains("/slow/1500")
    {
        assert!(ledgered.elapsed() < DUE, "the request is not under way");
    }
    let answer = std::thread::spawn(move || client.read_response());
    assert_eq!(leeward.terminate().code(), Some(0));
    let answer = answer.join().expect("a client").expect("the last answer");
    assert_eq!(answer.status, 200);
    assert!(!exists(origin));
}

#[test]
fn clients_that_say_nothing_do_not_hold_the_end_back() {
    let mut leeward = behind(&[], "");
    let _silent = std::net::TcpStream::connect(leeward.edge()).expect("a connection");
    let _idle = h2::Idle::after(leeward.edge(), Ask::get("/"), DUE).expect("a connection");
    let asked = Instant::now();
    assert_eq!(leeward.terminate().code(), Some(0));
    // A drain of 30 s and a handshake of 10 s are for those who are at something.
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(9), "{took:?}");
}

#[test]
fn a_killed_leeward_takes_its_origin_with_it() {
    let mut leeward = behind(&[], "");
    let origin = pid(&leeward);
    leeward.signal(Signal::KILL);
    let killed = Instant::now();
    while exists(origin) {
        assert!(killed.elapsed() < DUE, "the origin lives on");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn an_observed_origin_is_never_touched_and_waited_for() {
    let port = free_port();
    let config = format!(
        "[edge]\nlisten = \"127.0.0.1:0\"\n[status]\nlisten = \"127.0.0.1:0\"\n\
         [origin]\naddress = \"127.0.0.1:{port}\"\n[incidents]\ndirectory = \"@DIR@\"\n"
    );
    let leeward = Leeward::start(&config);
    let edge = leeward.edge();
    let early = std::thread::spawn(move || h1::get(edge, "/", DUE));
    let origin = crate::support::Origin::start_at(&format!("127.0.0.1:{port}"), &[]);
    let response = early.join().expect("a client").expect("an answer");
    assert_eq!(response.origin_pid(), Some(origin.running.pid()));
}

#[test]
fn the_command_is_given_the_port_it_is_to_use() {
    let command = [
        ailing().display().to_string(),
        "--listen".into(),
        "127.0.0.1:{port}".into(),
    ];
    let leeward = in_front_of(&command, "");
    assert_eq!(get(&leeward, "/").status, 200);
}
