//! The table of sicknesses: how each is brought on, and the verdict, the sentence and the action it earns.

use std::fmt::Write;
use std::sync::Mutex;
use std::time::Instant;

use rustix::process::Signal;
use serde_json::Value;

use crate::brought_on::{Held, asked, at_a_fifo, frozen_softly, past, pid, signalled, unread};
use crate::house::{DUE, behind, incidents};
use crate::support::{Leeward, Skip, h1, tell_skipped};

/// One row. In `says`, `{pid}` is the origin's process.
struct Sickness {
    name: &'static str,
    brought_on: fn(&Leeward) -> Result<Held, Skip>,
    verdict: &'static str,
    says: &'static [&'static str],
    action: Action,
}

/// What it earns. Each is replaced, and what comes next is served.
#[derive(Clone, Copy)]
enum Action {
    /// What was seen proves that it comes to nothing.
    Proven,
    /// It may yet come to itself, so it is given longer.
    WaitedFor,
}

const PROVEN: Action = Action::Proven;
const WAITED_FOR: Action = Action::WaitedFor;

/// Everything is sure soon, so that no row takes longer than a few seconds.
const SOON: &str = "[hang]\ncertain = \"500ms\"\nsilent = \"1500ms\"\n\
                    [restart]\nbackoff = \"100ms\"\ngrace = \"300ms\"\n\
                    [origin.probe]\nevery = \"300ms\"\ntimeout = \"500ms\"\nsuspect_every = \"200ms\"\n";

const REPLACED: &[Sickness] = &[
    row(
        "a request that never ends",
        |at| past(at, b"GET / HT"),
        "hung-blocked",
        PROVEN,
        &[
            "thread {pid} of ailing has been in recvfrom(",
            " to 127.0.0.1:",
            "nothing to read",
            "; the other end sends nothing",
        ],
    ),
    row(
        "a client of ours that is read for more",
        |at| asked(at, "/block/read"),
        "hung-blocked",
        PROVEN,
        &["the other end sends nothing", "it serves POST /block/read"],
    ),
    row(
        "a client that does not read",
        unread,
        "hung-blocked",
        PROVEN,
        &[
            "thread {pid} of ailing has been in sendto(",
            " to 127.0.0.1:",
            "MiB unsent",
            "; the other end does not read",
        ],
    ),
    row(
        "a deadlock",
        |at| asked(at, "/block/lock"),
        "hung-blocked",
        PROVEN,
        &[
            "thread {pid} of ailing has been in futex for ",
            "it waits for a lock",
        ],
    ),
    row(
        "a pipe with a name that nobody writes to",
        |at| at_a_fifo(at, "fifo"),
        "hung-blocked",
        WAITED_FOR,
        &[
            "has been in read(",
            "/a-fifo; that file gives or takes nothing",
        ],
    ),
    row(
        "a pipe with a name that nobody opens",
        |at| at_a_fifo(at, "open"),
        "hung-blocked",
        WAITED_FOR,
        &["has been in openat (a FIFO that nobody has opened"],
    ),
    row(
        "a program beside it that does not read",
        |at| asked(at, "/block/write"),
        "hung-blocked",
        WAITED_FOR,
        &[
            "thread {pid} of ailing has been in sendto(",
            "unix socket",
            "does not read",
        ],
    ),
    row(
        "a database that does not answer",
        |at| asked(at, "/block/database"),
        "hung-blocked",
        WAITED_FOR,
        &[
            "thread {pid} of ailing has been in recvfrom(",
            "socket 127.0.0.1:",
            "the other end sends nothing",
        ],
    ),
    row(
        "a database that does not let it in",
        |at| asked(at, "/block/connect"),
        "hung-blocked",
        WAITED_FOR,
        &[
            "has been in connect(",
            "SYN_SENT, 1 retransmission",
            "a connection of its own and no client's",
            "the other end does not answer",
        ],
    ),
    row(
        "a child that does not end",
        |at| asked(at, "/block/child"),
        "hung-blocked",
        WAITED_FOR,
        &["of sleep (a child process of process {pid} (ailing)) has been in clock_nanosleep for "],
    ),
    row(
        "an event that does not come",
        |at| asked(at, "/block/event"),
        "hung-blocked",
        WAITED_FOR,
        &["has been in ppoll", "it waits for events"],
    ),
    row(
        "accept never reached",
        |at| asked(at, "/stop-accepting"),
        "hung-blocked",
        WAITED_FOR,
        &[
            "has been in clock_nanosleep for",
            "it sleeps, as its own code told it to",
            "to be accepted",
        ],
    ),
    row(
        "an endless loop",
        |at| asked(at, "/spin"),
        "hung-spinning",
        WAITED_FOR,
        &["thread {pid} of ailing ", " running, "],
    ),
    row(
        "a freeze by a signal",
        |at| signalled(at, Signal::STOP),
        "stopped",
        PROVEN,
        &["process {pid} (ailing) is stopped (state T, no tracer)"],
    ),
    row(
        "a death",
        |at| signalled(at, Signal::KILL),
        "exited",
        PROVEN,
        &["process {pid} was ended by signal 9"],
    ),
    row(
        "an exit",
        |at| asked(at, "/exit/7"),
        "exited",
        PROVEN,
        &["process {pid} exited with 7"],
    ),
    row(
        "a crash",
        |at| asked(at, "/abort"),
        "exited",
        PROVEN,
        &["process {pid} was ended by signal 6"],
    ),
    row(
        "a door that was shut",
        |at| asked(at, "/close-listener"),
        "not-listening",
        PROVEN,
        &[
            "nobody listens on 127.0.0.1:",
            ", though process {pid} (ailing) runs; ",
        ],
    ),
    row(
        "a child that holds the door",
        |at| asked(at, "/hand-over/child"),
        "exited",
        PROVEN,
        &["exited with 0"],
    ),
    row(
        "a daemon that holds the door",
        |at| asked(at, "/hand-over/daemon"),
        "exited",
        PROVEN,
        &["exited with 0"],
    ),
    row(
        "a freeze by a control group",
        frozen_softly,
        "hung-blocked",
        WAITED_FOR,
        &["process {pid} (ailing) is frozen by its control group"],
    ),
];

const fn row(
    name: &'static str,
    brought_on: fn(&Leeward) -> Result<Held, Skip>,
    verdict: &'static str,
    action: Action,
    says: &'static [&'static str],
) -> Sickness {
    Sickness {
        name,
        brought_on,
        verdict,
        says,
        action,
    }
}

/// All rows, several at a time: each is mostly waiting.
#[test]
fn a_sick_origin_is_replaced_for_its_own_reason_and_told_by_name() {
    let rows = Mutex::new(REPLACED.iter());
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                let next = || rows.lock().expect("no row panics with it").next();
                while let Some(sickness) = next() {
                    let faults = suffered(sickness);
                    failed.lock().expect("no row panics with it").extend(faults);
                }
            });
        }
    });
    let failed = failed.into_inner().expect("no row panics with it");
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

const AT_ONCE: usize = 6;

/// Goes through one row; says what is not as it should be.
fn suffered(sickness: &Sickness) -> Option<String> {
    let leeward = behind(&[], SOON);
    let pid = pid(&leeward);
    let begun = Instant::now();
    let held = match (sickness.brought_on)(&leeward) {
        Ok(held) => held,
        Err(reason) => {
            tell_skipped(sickness.name, reason);
            return None;
        }
    };
    leeward.wait_log("incident opened", DUE);
    let took = begun.elapsed();
    let incident = incidents(&leeward).remove(0);
    let mut faults = incident_faults(sickness, pid, &incident);
    drop(held);
    let next = h1::get(leeward.edge(), "/", DUE);
    match next.map(|response| (response.status, response.origin_pid())) {
        Ok((200, Some(other))) if other != pid => {}
        other => drop(writeln!(faults, "not replaced: {other:?}")),
    }
    let judged = &incident["judgement"];
    println!(
        "| {} | {} {} | {} | {:.1} s |",
        sickness.name,
        judged["verdict"],
        judged["confidence"],
        incident["sentence"],
        took.as_secs_f64()
    );
    (!faults.is_empty()).then(|| format!("{}:\n{faults}{incident:#}", sickness.name))
}

fn incident_faults(sickness: &Sickness, pid: u32, incident: &Value) -> String {
    let mut faults = String::new();
    let judged = &incident["judgement"];
    let confidence = match sickness.action {
        Action::WaitedFor => "inconclusive",
        Action::Proven => "conclusive",
    };
    if (&judged["verdict"], &judged["confidence"]) != (&sickness.verdict.into(), &confidence.into())
    {
        let _ = writeln!(faults, "not {} {confidence}", sickness.verdict);
    }
    let sentence = incident["sentence"].as_str().unwrap_or_default();
    for words in sickness.says {
        let words = words.replace("{pid}", &pid.to_string());
        if !sentence.contains(&words) {
            let _ = writeln!(faults, "does not say '{words}'");
        }
    }
    faults
}
