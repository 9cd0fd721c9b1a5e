//! With whatever rights Leeward has: it serves, judges by what it sees, and says of each thing it could not see why.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::house::{DUE, configuration, incidents, sick};
use crate::observed::{closed, observing, told, wait_known};
use crate::skip;
use crate::support::origin::holding_client;
use crate::support::process::Running;
use crate::support::standing::Standing;
use crate::support::starving::Strain;
use crate::support::{Leeward, Origin, free_port, h1, leeward_as};

/// Users of no account, each of a test's own: an only program of a user must stay the only one.
const LEEWARD: u32 = 61_200;

/// A silence is a hang soon, even where nothing proves it.
const SILENT: &str = "silent = \"2s\"\n";

fn origin_of(standing: &Standing) -> Origin {
    Origin::start_as(standing, "127.0.0.1:0", &[])
}

/// Has a client hold the observed origin until it is a hang; returns the incident once it was closed, and nothing where this
/// host has no processor to spare and Leeward says so: then nobody is blamed for a silence.
fn held(leeward: &Leeward, origin: &Origin) -> Option<Value> {
    let holding = holding_client("plain", origin.address(), "/bytes/20000000", 65_536);
    let edge = leeward.edge();
    let waiting = std::thread::spawn(move || h1::get(edge, "/", DUE));
    if !is_blamed(leeward, &Strain::begin()) {
        return None;
    }
    drop(holding);
    let answer = waiting.join().expect("a client").expect("an answer");
    assert_eq!(answer.status, 200);
    Some(closed(leeward))
}

/// Whether a silence becomes an incident; where it does not, the host has no processor to spare.
fn is_blamed(leeward: &Leeward, strain: &Strain) -> bool {
    let until = Instant::now() + DUE;
    let mut was_starved = false;
    while !leeward.says_within("incident opened", Duration::from_millis(200)) {
        let now = told(leeward);
        // The request may be given up by the time that this ends.
        was_starved |= strain.excuses(&now);
        if Instant::now() > until {
            assert!(was_starved, "no incident: {now:#}");
            return false;
        }
    }
    true
}

fn sentence(incident: &Value) -> &str {
    incident["sentence"].as_str().expect("a sentence")
}

/// What was not seen, by the judgement.
fn unseen(incident: &Value) -> String {
    let against = incident["judgement"]["evidence_against"].as_array();
    let facts = against.into_iter().flatten().filter_map(Value::as_str);
    let unseen: Vec<_> = facts.filter(|it| it.starts_with("not seen: ")).collect();
    unseen.join("; ")
}

/// Every reason why a field of the findings stayed hidden.
fn hidden(value: &Value) -> Vec<String> {
    match value {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(key, field)| match (key.as_str(), field.as_str()) {
                ("hidden", Some(why)) => vec![why.to_owned()],
                _ => hidden(field),
            })
            .collect(),
        Value::Array(all) => all.iter().flat_map(hidden).collect(),
        _ => Vec::new(),
    }
}

/// All of it was seen: the thread, its call, its descriptor, the socket behind that, and what it waits in.
fn is_seen_whole(incident: &Value) {
    assert_eq!(unseen(incident), "");
    let process = &incident["findings"]["processes"][0];
    assert_eq!(hidden(process), Vec::<String>::new(), "{process}");
    let thread = &process["threads"][0];
    let peer = &thread["descriptor"]["socket"]["tcp"]["peer"];
    assert!(peer.is_string(), "{thread}");
    assert!(thread["wait_channel"].is_string(), "{thread}");
    let said = sentence(incident);
    assert!(said.contains("the other end does not read"), "{said}");
    assert_eq!(incident["judgement"]["confidence"], "conclusive");
}

#[test]
fn who_is_the_origin_s_own_user_sees_all_of_it() {
    let standing = match Standing::user(LEEWARD) {
        Ok(standing) => standing,
        Err(reason) => skip!(reason),
    };
    let origin = origin_of(&standing);
    let leeward = observing(&standing, origin.address(), "silent = \"60s\"\n");
    wait_known(&leeward, origin.running.pid());
    is_seen_whole(&held(&leeward, &origin).expect("it is proven, on any host"));
}

#[test]
fn who_starts_the_origin_sees_all_of_it_without_a_privilege() {
    let standing = match Standing::user(LEEWARD + 1) {
        Ok(standing) => standing,
        Err(reason) => skip!(reason),
    };
    let more = "[hang]\ncertain = \"500ms\"\nsilent = \"60s\"\n";
    let port = free_port();
    let config = configuration(&sick(&[]), port, more);
    let config = config.replacen("[origin.process]", "concurrency = 1\n[origin.process]", 1);
    let leeward = Leeward::start_as(&standing, &config);
    leeward.wait_log("origin ready", DUE);
    let at = format!("127.0.0.1:{port}");
    let _holding = holding_client("plain", &at, "/bytes/20000000", 65_536);
    let answer = h1::get(leeward.edge(), "/", DUE).expect("an answer");
    assert_eq!(answer.status, 200);
    is_seen_whole(&closed(&leeward));
}

#[test]
fn root_sees_all_of_another_user_s() {
    let standing = match Standing::user(LEEWARD + 2) {
        Ok(standing) => standing,
        Err(reason) => skip!(reason),
    };
    let origin = origin_of(&standing);
    let leeward = observing(&Standing::own(), origin.address(), "silent = \"60s\"\n");
    wait_known(&leeward, origin.running.pid());
    is_seen_whole(&held(&leeward, &origin).expect("it is proven, on any host"));
}

#[test]
fn two_privileges_show_all_of_another_user_s() {
    let ours = match Standing::user_that_may_look(LEEWARD + 10) {
        Ok(standing) => standing,
        Err(reason) => skip!(reason),
    };
    let origin = origin_of(&Standing::own());
    let leeward = observing(&ours, origin.address(), "silent = \"60s\"\n");
    wait_known(&leeward, origin.running.pid());
    is_seen_whole(&held(&leeward, &origin).expect("it is proven, on any host"));
}

#[test]
fn what_may_be_listed_and_not_opened_is_not_taken_for_nothing() {
    let ours = match Standing::user_that_may_list(LEEWARD + 12) {
        Ok(standing) => standing,
        Err(reason) => skip!(reason),
    };
    let origin = origin_of(&Standing::own());
    let leeward = observing(&ours, origin.address(), SILENT);
    let told = leeward.wait_log("could not be seen", DUE);
    assert!(told.contains("not permitted"), "{told}");
}

#[test]
fn of_another_user_s_origin_each_thing_that_is_denied_is_told_and_the_rest_is_seen() {
    let both = (Standing::user(LEEWARD + 3), Standing::user(LEEWARD + 4));
    let (theirs, ours) = match both {
        (Ok(theirs), Ok(ours)) => (theirs, ours),
        (Err(reason), _) | (_, Err(reason)) => skip!(reason),
    };
    let mut origin = origin_of(&theirs);
    let pid = origin.running.pid();
    let leeward = observing(&ours, origin.address(), SILENT);
    let seen = wait_known(&leeward, pid);
    for key in ["threads", "memory_bytes", "accept_queue"] {
        assert!(seen[key].is_u64(), "{key}: {seen}");
    }
    let Some(incident) = held(&leeward, &origin) else {
        return;
    };
    let judgement = &incident["judgement"];
    assert_eq!(judgement["verdict"], "hung-blocked");
    assert_eq!(judgement["confidence"], "inconclusive");
    let against = unseen(&incident);
    let doubt = format!("taken for it is the only program of user {}", LEEWARD + 3);
    assert!(against.contains(&doubt), "{against}");
    let said = sentence(&incident);
    for part in [
        &*format!("thread {pid} of ailing is asleep (state S) and did not wake"),
        "its system call could not be read: /proc/",
        "/syscall: not permitted",
        "CAP_SYS_PTRACE",
        "the fullest connection at its door is",
        "unsent",
    ] {
        assert!(said.contains(part), "{part} is missing in {said}");
    }
    let process = &incident["findings"]["processes"][0];
    let vital = &process["vital"];
    assert_eq!(hidden(vital), Vec::<String>::new(), "{vital}");
    assert_eq!(vital["state"], "sleeping");
    let thread = &process["threads"][0];
    for field in ["call", "wait_channel"] {
        let why = thread[field]["hidden"].as_str();
        assert!(
            why.is_some_and(|why| why.contains("not permitted")),
            "{field}: {thread}"
        );
    }
    let why = process["sockets"]["hidden"].as_str();
    assert!(
        why.is_some_and(|why| why.contains("not permitted")),
        "{process}"
    );
    // What needs no right at all is seen all the same.
    origin.running.signal(Signal::STOP);
    leeward.wait_log_nth("incident opened", 2, DUE);
    let stopped = incidents(&leeward).remove(1);
    assert_eq!(stopped["judgement"]["verdict"], "stopped");
    let said = sentence(&stopped);
    assert!(said.contains("is stopped (state T, no tracer)"), "{said}");
    origin.running.wait_state('T', DUE);
}

#[test]
fn one_that_answers_is_not_called_stopped_for_another_s_sake() {
    let (theirs, ours) = match (Standing::user(LEEWARD + 13), Standing::user(LEEWARD + 14)) {
        (Ok(theirs), Ok(ours)) => (theirs, ours),
        (Err(reason), _) | (_, Err(reason)) => skip!(reason),
    };
    // Its socket is of the user whose only program is another one.
    let script = format!(
        "\
import os, socket
os.seteuid({0})
listener = socket.create_server(('127.0.0.1', 0))
os.seteuid(0)
os.setgid({1})
os.setuid({1})
print('listening on', '127.0.0.1:%d' % listener.getsockname()[1], flush=True)
while True:
    peer, _ = listener.accept()
    peer.recv(65536)
    peer.sendall(b'HTTP/1.0 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n')
    peer.close()
",
        LEEWARD + 13,
        LEEWARD + 15
    );
    if Command::new("python3").arg("--version").output().is_err() {
        skip!("there is no python3");
    }
    let server = Running::start(Command::new("python3").args(["-c", &script]));
    let line = server.expect_stdout("listening on ", DUE);
    let mut other = origin_of(&theirs);
    let address = line.rsplit(' ').next().expect("an address");
    let every = "[origin.probe]\nevery = \"200ms\"\n";
    let leeward = observing(&ours, address, every);
    wait_known(&leeward, other.running.pid());
    other.running.signal(Signal::STOP);
    other.running.wait_state('T', DUE);
    // Four times as long as a stopped process takes to be one for certain.
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        let told = told(&leeward);
        assert_ne!(told["state"], "hung", "{told}");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(incidents(&leeward).is_empty());
    let against = told(&leeward)["evidence_against"].to_string();
    assert!(
        against.contains("taken for it is the only program"),
        "{against}"
    );
}

#[test]
fn which_process_of_root_s_it_is_may_stay_unknown_and_a_hang_is_one_all_the_same() {
    let ours = match Standing::user(LEEWARD + 5) {
        Ok(standing) => standing,
        Err(reason) => skip!(reason),
    };
    let origin = origin_of(&Standing::own());
    let leeward = observing(&ours, origin.address(), SILENT);
    leeward.wait_log("could not be seen: /proc/PID/fd of those it may be", DUE);
    assert_eq!(told(&leeward)["pid"], Value::Null);
    assert_eq!(told(&leeward)["state"], "ready");
    let Some(incident) = held(&leeward, &origin) else {
        return;
    };
    assert_eq!(incident["judgement"]["verdict"], "hung-blocked");
    assert_eq!(incident["pid"], Value::Null);
    let at = origin.address();
    let said = sentence(&incident);
    for part in [
        &*format!("{at} has given no sign of life for "),
        &format!("which process listens on {at} could not be seen: /proc/PID/fd of "),
        "not permitted",
        "the fullest connection at its door is",
    ] {
        assert!(said.contains(part), "{part} is missing in {said}");
    }
    let against = unseen(&incident);
    assert!(against.contains("not permitted"), "{against}");
    let root = incident["findings"]["root"]["hidden"].as_str();
    assert!(root.is_some(), "{incident}");
}

#[test]
fn where_proc_hides_others_or_is_missing_it_is_told_and_probes_go_on() {
    for of in [Standing::kept_to_itself, Standing::without_proc] {
        let ours = match of(LEEWARD + 6) {
            Ok(standing) => standing,
            Err(reason) => skip!(reason),
        };
        let mut origin = origin_of(&Standing::own());
        let leeward = observing(&ours, origin.address(), SILENT);
        leeward.wait_log("/proc is not mounted here, or hides", DUE);
        let answer = h1::get(leeward.edge(), "/", DUE).expect("an answer");
        assert_eq!(answer.origin_pid(), Some(origin.running.pid()));
        let Some(incident) = held(&leeward, &origin) else {
            continue;
        };
        assert_eq!(incident["judgement"]["verdict"], "hung-blocked");
        let said = sentence(&incident);
        assert!(said.contains("(hidepid)"), "{said}");
        assert!(unseen(&incident).contains("(hidepid)"), "{incident}");
        // That nobody listens needs no /proc, and that it has exited is not claimed.
        origin.running.signal(Signal::KILL);
        leeward.wait_log_nth("incident opened", 2, DUE);
        let gone = incidents(&leeward).remove(1);
        assert_eq!(gone["judgement"]["verdict"], "not-listening");
        let nobody = format!("nobody listens on {}", origin.address());
        assert!(sentence(&gone).starts_with(&nobody), "{}", sentence(&gone));
    }
}

#[test]
fn an_origin_of_ours_that_proc_hides_is_not_taken_for_one_that_is_gone() {
    // It gives up its user as it starts, as servers do that are started as root.
    if let Err(reason) = Standing::user(LEEWARD + 7) {
        skip!(reason);
    }
    let ours = match Standing::as_root_that_may_not_look(LEEWARD + 7) {
        Ok(standing) => standing,
        Err(reason) => skip!(reason),
    };
    let mut command = [
        "setpriv",
        "--reuid",
        "61209",
        "--regid",
        "61209",
        "--clear-groups",
    ]
    .map(str::to_owned)
    .to_vec();
    command.extend(sick(&[]));
    let more = "[hang]\ncertain = \"500ms\"\nsilent = \"2s\"\n";
    let config = configuration(&command, free_port(), more);
    let leeward = Leeward::start_as(&ours, &config);
    leeward.wait_log("origin ready", DUE);
    // An answer that ends with its connection is whole, unless its process is about to be gone.
    let answer = h1::get(leeward.edge(), "/close/1000", DUE).expect("an answer");
    assert_eq!((answer.status, answer.body.len()), (200, 1000));
    leeward.wait_log("end=\"done\"", DUE);
    let against = told(&leeward)["evidence_against"].to_string();
    assert!(
        against.contains("/proc does not show the process"),
        "{against}"
    );
    // Its hang is one all the same, and nobody says that it is gone.
    let strain = Strain::begin();
    let answer = h1::get(leeward.edge(), "/block/read", Duration::from_secs(1));
    assert!(answer.is_err(), "it reads for ever");
    if !is_blamed(&leeward, &strain) {
        return;
    }
    let incident = closed(&leeward);
    assert_eq!(incident["judgement"]["verdict"], "hung-blocked");
    let said = sentence(&incident);
    assert!(
        said.starts_with("nothing is known of what process"),
        "{said}"
    );
    assert!(said.contains("/proc does not show the process"), "{said}");
}

#[test]
fn an_origin_that_cannot_be_started_for_lack_of_proc_is_told_with_the_remedy() {
    let ours = match Standing::without_proc(LEEWARD + 11) {
        Ok(standing) => standing,
        Err(reason) => skip!(reason),
    };
    let config = configuration(&sick(&[]), free_port(), "");
    let leeward = Leeward::start_as(&ours, &config);
    let told = leeward.wait_log("the origin cannot be started", DUE);
    assert!(told.contains("/proc/self/exe is missing"), "{told}");
    assert!(told.contains("mount /proc"), "{told}");
}

#[test]
fn a_journal_that_may_not_be_read_is_told_by_its_directory_and_the_remedy() {
    let (owner, other) = match (Standing::user(LEEWARD + 8), Standing::user(LEEWARD + 9)) {
        (Ok(owner), Ok(other)) => (owner, other),
        (Err(reason), _) | (_, Err(reason)) => skip!(reason),
    };
    let private = tempfile::tempdir().expect("a directory");
    owner.give(private.path());
    let nobody_else = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(private.path(), nobody_else).expect("it is ours");
    let at = private.path().display().to_string();
    for arguments in [vec!["incidents"], vec!["incidents", "last"]] {
        let of = |standing| leeward_as(standing, &[&arguments[..], &["--directory", &at]].concat());
        let refused = of(&other);
        assert_eq!(refused.status.code(), Some(1));
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        let wanted =
            format!("leeward incidents: {at}: it may not be read by this user; ask as root");
        assert!(said.starts_with(&wanted), "{said}");
        let own = String::from_utf8_lossy(&of(&owner).stderr).into_owned();
        assert!(!own.contains("may not be read"), "{own}");
    }
}
