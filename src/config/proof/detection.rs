//! From the moment the origin falls ill to the verdict, as `origin/senses` looks and `origin/verdict` judges.

use std::time::Duration;

use super::{Bound, Part, SLACK, first_bytes, fixed, is_ours, set};
use crate::config::fixed::{ALERT, CALM, EXAMINING, NOTICED, PROOF, SPINS};
use crate::config::settings::Settings;

const CERTAIN: &str = "hang.certain";
const SILENT: &str = "hang.silent";

/// One bound for each way to fall ill.
pub(super) fn all(settings: &Settings) -> Vec<Bound> {
    let ours = |name, told, parts| is_ours(settings).then(|| bound(name, told, parts));
    let all = [
        ours("exited", "it exits, crashes or is killed", Vec::new()),
        Some(bound(
            "stopped",
            "a signal has frozen it",
            stopped(settings),
        )),
        Some(bound(
            "held",
            "one client holds all of it, or its threads wait for each other (a deadlock), and that can be seen",
            held(settings),
        )),
        Some(bound(
            "not-listening",
            "it runs, and does not listen at its port",
            deaf(settings),
        )),
        Some(bound(
            "silent",
            "it answers nobody, and why cannot be proven: a database, a sleep, a deadlock that cannot be seen",
            silence(settings, 1),
        )),
        Some(bound(
            "spinning",
            "it burns a processor and answers nobody",
            silence(settings, SPINS),
        )),
        ours("start", "it starts and never answers", start(settings)),
    ];
    all.into_iter().flatten().collect()
}

fn bound(name: &'static str, told: &'static str, mut parts: Vec<Part>) -> Bound {
    parts.push(fixed(SLACK, "what a busy host keeps us waiting"));
    Bound { name, told, parts }
}

fn stopped(settings: &Settings) -> Vec<Part> {
    let certain = settings.hang.certain;
    vec![
        fixed(CALM, "until it is looked at"),
        set(CERTAIN, certain, "to be sure"),
        again(certain),
    ]
}

fn held(settings: &Settings) -> Vec<Part> {
    let certain = settings.hang.certain;
    let look = certain / 2 + turn(certain / 2) + 2 * EXAMINING + certain / PROOF;
    let mut parts = vec![asked(settings)];
    parts.extend(given_up(settings, certain));
    if look < certain {
        parts.push(set(CERTAIN, certain, "to be sure"));
    } else {
        let (half, third) = (certain / 2, certain / PROOF);
        parts.push(set(CERTAIN, half, "half of it, to the first close look"));
        parts.push(fixed(turn(half), "until the next turn"));
        parts.push(fixed(2 * EXAMINING, "the look, at the most"));
        parts.push(set(CERTAIN, third, "a third of it, in which nothing moves"));
    }
    parts.push(again(certain));
    parts
}

fn deaf(settings: &Settings) -> Vec<Part> {
    let probe = &settings.origin.probe;
    let certain = settings.hang.certain;
    vec![
        set(
            "origin.probe.timeout",
            probe.timeout,
            "for a question under way",
        ),
        asked(settings),
        set(CERTAIN, certain, "to be sure"),
        again(certain),
    ]
}

fn silence(settings: &Settings, times: u32) -> Vec<Part> {
    let length = settings.hang.silent.saturating_mul(times);
    let mut parts = vec![asked(settings)];
    parts.extend(given_up(settings, length));
    let what = match times {
        1 => "to be a hang",
        _ => "three times, to be a hang",
    };
    parts.push(set(SILENT, length, what));
    parts.push(again(length));
    parts
}

/// A request that gives up before a silence is so long: those who wait in its stead begin one of their own, so that it
/// counts from there.
fn given_up(settings: &Settings, length: Duration) -> Option<Part> {
    let sooner = first_bytes(settings).filter(|(first_byte, _)| *first_byte <= length);
    let (first_byte, key) = sooner.max()?;
    let what = "a request gives up first, and silence counts from there";
    Some(set(key, first_byte, what))
}

fn start(settings: &Settings) -> Vec<Part> {
    let startup = settings.restart.startup;
    vec![
        set("restart.startup", startup, "to its first answer"),
        again(startup),
    ]
}

fn asked(settings: &Settings) -> Part {
    let every = settings.origin.probe.every;
    set(
        "origin.probe.every",
        every,
        "until it is asked, where no request is under way",
    )
}

/// From when a `length` is over to when that is noticed.
fn again(length: Duration) -> Part {
    fixed(turn(length), "until the next turn")
}

/// Nothing is looked at more often before it is noticed, which may be a turn later than it could be.
fn turn(length: Duration) -> Duration {
    match length < NOTICED + CALM {
        true => CALM,
        false => ALERT,
    }
}
