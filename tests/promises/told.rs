//! Sicknesses that cost nothing but a word: the origin answers, or somebody else is at fault. It is told and left alone.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::brought_on::{Held, asked, frozen, mute_disk, pid, starved, still_disk, traced};
use crate::house::{DUE, behind, incidents, with_origin};
use crate::support::starving::Strain;
use crate::support::{Leeward, Skip, h2, tell_skipped};

/// One row.
struct Told {
    name: &'static str,
    /// Sections of the configuration beside [`SOON`].
    limits: &'static str,
    brought_on: fn(&Leeward) -> Result<Held, Skip>,
    verdict: &'static str,
    /// In what speaks for the verdict; `{pid}` is the origin's process.
    says: &'static [&'static str],
}

/// Everything is sure soon: whoever is still believed after this was not forgotten but spared.
const SOON: &str = "[hang]\ncertain = \"500ms\"\nsilent = \"1500ms\"\n\
                    [origin.probe]\nevery = \"300ms\"\ntimeout = \"500ms\"\nsuspect_every = \"200ms\"\n";

/// Longer than `silent`, and than three times that.
const SPARED: Duration = Duration::from_secs(5);

const TABLE: &[Told] = &[
    row(
        "leaking descriptors",
        "[origin.limits]\ndescriptors = 60\n",
        |at| asked(at, "/leak/fds/60"),
        "leaking",
        &[
            " descriptors; 60 is the limit (origin.limits.descriptors), passed ",
            " at its start ",
        ],
    ),
    row(
        "leaking memory",
        "[origin.limits]\nmemory = \"64MiB\"\n",
        |at| asked(at, "/leak/memory/80"),
        "leaking",
        &[" bytes of memory; 67108864 is the limit (origin.limits.memory)"],
    ),
    row(
        "leaking connections",
        "",
        |at| asked(at, "/leak/close-wait/120"),
        "leaking",
        &["holds 120 connections in CLOSE_WAIT; 100 is the limit (origin.limits.close_wait)"],
    ),
    row(
        "erring",
        "",
        |at| asked(at, "/erroring"),
        "erroring",
        &["the last probe was answered with 500"],
    ),
    row(
        "a disk that is held still",
        "",
        still_disk,
        "disk-wait",
        &[
            "in an uninterruptible wait for ",
            "thread {pid} of ailing has been in ",
            "uninterruptible (state D)",
        ],
    ),
    row(
        "a network file system that does not answer",
        "",
        mute_disk,
        "disk-wait",
        &["thread {pid} of ailing has been in openat", "FUSE"],
    ),
    row(
        "a freeze by a control group",
        "",
        frozen,
        "disk-wait",
        &[
            "in an uninterruptible wait for ",
            "process {pid} (ailing) is frozen by its control group",
        ],
    ),
    row(
        "a debugger",
        "",
        traced,
        "traced",
        &[
            "held by a debugger for ",
            "under the debugger with process number ",
        ],
    ),
    row(
        "a page that is hard work",
        "",
        |at| asked(at, "/compute/1500"),
        "busy",
        &[
            "1 request under way",
            "% of a processor",
            "no sign of life for ",
        ],
    ),
    row(
        "a page that comes in small pieces",
        "",
        |at| asked(at, "/drip/300/40"),
        "busy",
        &[
            "1 request under way",
            "all its slots have been in use for ",
            "the last byte moved 0.",
        ],
    ),
    row(
        "no processor time",
        "",
        starved,
        "starved",
        &["waits for a processor"],
    ),
];

const fn row(
    name: &'static str,
    limits: &'static str,
    brought_on: fn(&Leeward) -> Result<Held, Skip>,
    verdict: &'static str,
    says: &'static [&'static str],
) -> Told {
    Told {
        name,
        limits,
        brought_on,
        verdict,
        says,
    }
}

#[test]
fn what_a_restart_would_not_cure_is_told_and_left_alone() {
    let failed: Vec<String> = std::thread::scope(|scope| {
        let rows: Vec<_> = TABLE
            .iter()
            .map(|it| scope.spawn(|| suffered(it)))
            .collect();
        let ended = rows.into_iter().map(|row| row.join().expect("a row ends"));
        ended.flatten().collect()
    });
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// More is asked than may wait for a turn, by somebody else each time: who is turned away is told why, and so are we.
#[test]
fn more_than_it_can_serve_is_told_and_left_alone() {
    let leeward = with_origin("queue = 1\n");
    let pid = pid(&leeward);
    let asks = vec![h2::Ask::get("/slow/200"); 8];
    let answers = h2::together(leeward.edge(), asks, DUE).expect("a connection");
    let statuses = answers.into_iter().map(|it| it.expect("an answer").status);
    let turned_away = statuses.filter(|status| *status == 503).count();
    assert!(turned_away > 0, "all were served");
    let row = row(
        "more than it can serve",
        "",
        |_| Ok(Box::new(())),
        "overloaded",
        &["requests were turned away "],
    );
    let told = wait_told(&leeward, &row, pid);
    assert!(told.starts_with("told: "), "{told}");
    println!("{told}");
    assert_eq!(origin(&leeward)["pid"], pid);
    assert!(incidents(&leeward).is_empty());
}

/// Goes through one row; says what is not as it should be.
fn suffered(row: &Told) -> Option<String> {
    let leeward = behind(&[], &format!("{SOON}{}", row.limits));
    let pid = pid(&leeward);
    let begun = Instant::now();
    let held = match (row.brought_on)(&leeward) {
        Ok(held) => held,
        Err(reason) => {
            tell_skipped(row.name, reason);
            return None;
        }
    };
    let told = wait_told(&leeward, row, pid);
    let took = begun.elapsed();
    if !told.starts_with(STARVED) {
        leeward.wait_log(&format!("origin {}", row.verdict), DUE);
    }
    std::thread::sleep(SPARED.saturating_sub(took));
    let after = origin(&leeward);
    drop(held);
    println!("| {} | {:.1} s | {}", row.name, took.as_secs_f64(), told);
    let fault = match () {
        () if !told.contains("told: ") => told,
        () if after["pid"] != pid || !incidents(&leeward).is_empty() => "not left alone".to_owned(),
        () => return None,
    };
    Some(format!("{}: {fault}\n{after:#}", row.name))
}

/// What is said instead on a host that has no processor to spare.
const STARVED: &str = "told: starved, and so it was:";

/// What is said of it, once that is all it should be; or what was said at last.
fn wait_told(leeward: &Leeward, row: &Told, pid: u32) -> String {
    let strain = Strain::begin();
    let mut was_starved = false;
    let until = Instant::now() + DUE + Duration::from_secs(10);
    let number = format!("leeward_origin_verdict{{verdict=\"{}\"}} 1", row.verdict);
    loop {
        let origin = origin(leeward);
        let evidence = origin["evidence_for"].to_string();
        let is_said = |words: &&str| evidence.contains(&words.replace("{pid}", &pid.to_string()));
        let is_told = origin["verdict"] == row.verdict && row.says.iter().all(is_said);
        if is_told && leeward.status_get("/metrics").text().contains(&number) {
            return format!("told: {} {evidence}", row.verdict);
        }
        // Where there is no processor to spare, hard work cannot be told from waiting for one.
        was_starved |= row.verdict == "busy" && strain.excuses(&origin);
        if Instant::now() > until && was_starved {
            return format!("{STARVED} {evidence}");
        }
        if Instant::now() > until {
            return format!("not {} and {:?}", row.verdict, row.says);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn origin(leeward: &Leeward) -> Value {
    let status = leeward.status_get("/status.json").text();
    let mut status: Value = serde_json::from_str(&status).expect("JSON");
    status["origin"].take()
}
