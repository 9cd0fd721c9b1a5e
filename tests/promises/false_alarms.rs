//! A healthy origin is never restarted, however slow it is, whatever its host does to it: with default settings.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::brought_on::{direct, pid, signalled};
use crate::house::{DUE, behind, incidents};
use crate::support::control_group::Group;
use crate::support::{Leeward, Skip, h1, tell_skipped};

/// One way to be slow.
struct Slow {
    name: &'static str,
    options: &'static [&'static str],
    more: &'static str,
    /// Returns once it has been slow for long.
    spell: fn(&Leeward) -> Result<(), Skip>,
}

const TABLE: &[Slow] = &[
    slow("short of processors", &[], "", short_of_processors),
    slow(
        "stopped and continued again and again",
        &[],
        "",
        stop_and_go,
    ),
    slow("collecting garbage", &[], "", garbage),
    slow("waiting for its database", &[], "", database),
    slow(
        "one slow page beside others",
        &["--threads", "4"],
        "",
        |at| served(at, "/slow/12000"),
    ),
    slow(
        "one slow page, and told of it",
        &[],
        "[hang]\nsilent = \"20s\"\n",
        |at| served(at, "/slow/12000"),
    ),
];

const fn slow(
    name: &'static str,
    options: &'static [&'static str],
    more: &'static str,
    spell: fn(&Leeward) -> Result<(), Skip>,
) -> Slow {
    Slow {
        name,
        options,
        more,
        spell,
    }
}

#[test]
fn whoever_is_only_slow_is_never_restarted() {
    let restarted: Vec<String> = std::thread::scope(|scope| {
        let rows: Vec<_> = TABLE
            .iter()
            .map(|it| scope.spawn(|| survived(it)))
            .collect();
        let panicked = |_| Some("a row panicked; see above".to_owned());
        let ended = rows
            .into_iter()
            .map(|row| row.join().unwrap_or_else(panicked));
        ended.flatten().collect()
    });
    assert!(restarted.is_empty(), "{}", restarted.join("\n"));
}

/// Goes through one row; says what came of it if that was an incident.
fn survived(row: &Slow) -> Option<String> {
    let leeward = behind(row.options, row.more);
    let before = pid(&leeward);
    if let Err(reason) = (row.spell)(&leeward) {
        tell_skipped(row.name, reason);
        return None;
    }
    let told = incidents(&leeward);
    let is_same = pid(&leeward) == before;
    (!told.is_empty() || !is_same).then(|| format!("{}: {told:#?}", row.name))
}

/// A hundredth of a processor, and a page that takes all of it for longer than any silence may last.
fn short_of_processors(leeward: &Leeward) -> Result<(), Skip> {
    let group = Group::new("cpu")?;
    group.set("cpu.cfs_period_us", "1000000")?;
    group.set("cpu.cfs_quota_us", "10000")?;
    group.take(pid(leeward))?;
    served(leeward, "/compute/140")
}

/// Each stop a little shorter than the one that is certain.
fn stop_and_go(leeward: &Leeward) -> Result<(), Skip> {
    let until = Instant::now() + Duration::from_secs(12);
    while Instant::now() < until {
        signalled(leeward, Signal::STOP)?;
        std::thread::sleep(Duration::from_millis(800));
        signalled(leeward, Signal::CONT)?;
        served(leeward, "/")?;
    }
    Ok(())
}

/// Nobody is served for three seconds, now and then, and nobody knows why.
fn garbage(leeward: &Leeward) -> Result<(), Skip> {
    for _ in 0..3 {
        let _pause = direct(leeward, b"GET /slow/3000 HTTP/1.1\r\nHost: a\r\n\r\n");
        served(leeward, "/slow/100")?;
        served(leeward, "/")?;
    }
    Ok(())
}

/// Others wait at the door meanwhile.
fn database(leeward: &Leeward) -> Result<(), Skip> {
    let edge = leeward.edge();
    let asked = std::thread::spawn(move || h1::get(edge, "/query/8000", DUE));
    let _waits = direct(leeward, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = asked.join().expect("a client").expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
    Ok(())
}

fn served(leeward: &Leeward, path: &str) -> Result<(), Skip> {
    let answer = h1::get(leeward.edge(), path, DUE).expect("an answer");
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    Ok(())
}
