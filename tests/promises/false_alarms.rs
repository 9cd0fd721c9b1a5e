//! A healthy origin is never restarted, however slow it is, whatever its host does to it: with default settings.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::fs::{Advice, fadvise};
use rustix::process::Signal;

use crate::brought_on::{direct, pid, signalled};
use crate::house::{DUE, behind, incidents};
use crate::support::control_group::Group;
use crate::support::process::Running;
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
    slow("short of memory", &["--threads", "4"], "", short_of_memory),
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

/// A hundred million bytes that everybody in its group of twenty million reads again and again: its own code is not kept
/// either, and the whole host counts as waiting for memory.
fn short_of_memory(leeward: &Leeward) -> Result<(), Skip> {
    const SPELL: &str = "30";
    let group = Group::new("memory")?;
    group.set("memory.limit_in_bytes", "20000000")?;
    let file = leeward.directory().join("large");
    fill(&file).map_err(|error| Skip(format!("{}: {error}", file.display())))?;
    group.take(pid(leeward))?;
    let begun = Instant::now();
    let waited = memory_waited()?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/origins/thrash.py");
    let mut readers = Vec::new();
    for _ in 0..4 {
        let mut command = Command::new("python3");
        let reader = Running::start(command.args([script, &file.display().to_string(), SPELL]));
        group.take(reader.pid())?;
        readers.push(reader);
    }
    while begun.elapsed() < Duration::from_secs(25) {
        served(leeward, "/slow/3000")?;
        served(leeward, "/compute/1000")?;
        served(leeward, "/")?;
    }
    let share = (memory_waited()? - waited).as_secs_f64() / begun.elapsed().as_secs_f64();
    println!(
        "the host waited for memory {:.0} % of the time",
        share * 100.0
    );
    match share > 0.05 {
        true => Ok(()),
        false => Err(Skip(format!(
            "memory was waited for {share:.3} of the time only"
        ))),
    }
}

/// For how long some task of the host has waited for memory, since it was started.
fn memory_waited() -> Result<Duration, Skip> {
    let path = "/proc/pressure/memory";
    let text = fs::read_to_string(path).map_err(|error| Skip(format!("{path}: {error}")))?;
    let total = text
        .lines()
        .next()
        .and_then(|line| line.split("total=").nth(1));
    let microseconds = total.and_then(|total| total.trim().parse().ok());
    microseconds
        .map(Duration::from_micros)
        .ok_or_else(|| Skip(format!("{path}: {text}")))
}

/// On the disk, and no longer in memory: whoever reads it first pays for its pages.
fn fill(path: &Path) -> io::Result<()> {
    let mut file = File::create(path)?;
    let page = vec![7; 1 << 20];
    for _ in 0..100 {
        file.write_all(&page)?;
    }
    file.sync_all()?;
    fadvise(&file, 0, None, Advice::DontNeed)?;
    Ok(())
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
