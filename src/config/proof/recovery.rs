//! From the verdict to the next generation's first request, as `origin/supervisor/end` goes about it; and the end of Leeward.

use std::time::Duration;

use super::{Bound, Part, fixed, is_ours, set};
use crate::config::fixed::{
    AMENDING, BURIAL, FOUND, KILLED, LAST_WORDS, LOOKING, PORT_PATIENCE, PROVEN, PROVING,
    RESETTING, SPREAD_PERCENT, WRITING,
};
use crate::config::settings::Settings;
use crate::ground::addr::OriginAddr;

/// How it is ended.
enum Ending {
    /// It has ended by itself.
    Itself,
    /// KILL at once.
    Kill,
    /// TERM, where the evidence is conclusive.
    Sure,
    /// TERM, where it is not.
    Unsure,
}

/// One bound for each way to be ended, the waits between two starts, and what a shutdown takes.
pub(super) fn all(settings: &Settings) -> Vec<Bound> {
    let mut all = Vec::new();
    if is_ours(settings) {
        let endings = [
            (
                "after-exit",
                "it has ended by itself; what it left is cleared away",
                Ending::Itself,
            ),
            (
                "after-stop",
                "KILL at once, since it can hear nothing else",
                Ending::Kill,
            ),
            (
                "after-certain",
                "the verdict is certain: TERM, and KILL soon",
                Ending::Sure,
            ),
            (
                "after-silence",
                "there may be a reason for its silence: TERM, and KILL later",
                Ending::Unsure,
            ),
        ];
        all.extend(endings.map(|(name, told, ending)| Bound {
            name,
            told,
            parts: replaced(settings, &ending),
        }));
        all.extend(between(settings));
    }
    all.push(shutdown(settings));
    all
}

fn replaced(settings: &Settings, ending: &Ending) -> Vec<Part> {
    let (restart, hook) = (&settings.restart, &settings.hooks.before_kill);
    let mut parts = Vec::new();
    let mut put = |part| parts.push(part);
    let is_there = !matches!(ending, Ending::Itself);
    match is_there {
        true => put(fixed(
            LOOKING + FOUND,
            "evidence, usually some tens of milliseconds",
        )),
        false => put(fixed(LAST_WORDS, "its last words")),
    }
    put(fixed(WRITING, "the incident on the disk"));
    if is_there && !hook.words.is_empty() {
        let what = "your program before the first signal";
        put(set("hooks.before_kill_timeout", hook.timeout, what));
        put(fixed(LAST_WORDS + AMENDING, "what it said, on the disk"));
    }
    if is_there {
        let proof = PROVING + RESETTING + 2 * PROVEN;
        put(fixed(proof, "proof of what it has not read"));
    }
    match ending {
        Ending::Itself | Ending::Kill => {}
        Ending::Sure if !restart.core => put(set(
            "restart.grace_certain",
            restart.grace_certain,
            "from TERM to KILL",
        )),
        Ending::Sure | Ending::Unsure => {
            put(set("restart.grace", restart.grace, "from TERM to KILL"));
        }
    }
    put(fixed(KILLED, "until KILL has acted, usually at once"));
    put(fixed(
        2 * KILLED,
        "the same for all that it started, usually at once",
    ));
    if matches!(settings.origin.address, OriginAddr::Tcp(_)) {
        put(fixed(
            PORT_PATIENCE,
            "until its port is free, usually at once",
        ));
    }
    put(set(
        "restart.startup",
        restart.startup,
        "to its first answer; what it took last is on the page",
    ));
    parts
}

/// What comes on top where one restart follows another.
fn between(settings: &Settings) -> [Bound; 2] {
    let restart = &settings.restart;
    let spread = |length: Duration| length * SPREAD_PERCENT / 100;
    let wait = |name, told, key, length| Bound {
        name,
        told,
        parts: vec![
            set(key, length, "at the most"),
            fixed(spread(length), "a tenth, by chance"),
        ],
    };
    [
        wait(
            "between-starts",
            "more, where it was restarted before and was not well for restart.forget since: restart.backoff, then twice as long each time, and no longer than this",
            "restart.backoff_most",
            restart.backoff_most,
        ),
        wait(
            "between-starts-degraded",
            "more instead, before each start, once restart.degraded_after restarts have not helped",
            "restart.degraded_every",
            restart.degraded_every,
        ),
    ]
}

fn shutdown(settings: &Settings) -> Bound {
    let mut parts = vec![set(
        "edge.deadlines.drain",
        settings.edge.deadlines.drain,
        "for requests under way",
    )];
    if is_ours(settings) {
        let (restart, hook) = (&settings.restart, &settings.hooks.before_kill);
        parts.push(set(
            "restart.grace_drain",
            restart.grace_drain,
            "for the origin",
        ));
        let what = "for your program";
        parts.push(set("hooks.before_kill_timeout", hook.timeout, what));
    }
    parts.push(fixed(BURIAL, "to put everything away"));
    Bound {
        name: "shutdown",
        told: "from the request to end, by a signal or systemd, to the end of Leeward and the origin",
        parts,
    }
}

/// How long a shutdown may take.
pub(super) fn shutdown_takes(settings: &Settings) -> Duration {
    match shutdown(settings).total() {
        super::Amount::Time(length) => length,
        _ => Duration::MAX,
    }
}
