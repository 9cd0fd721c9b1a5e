//! Each contradiction, and the least that is none.

use super::*;

fn said(text: &str) -> Vec<String> {
    let settings = crate::config::parse("t", text).unwrap_or_else(|faults| panic!("{faults}"));
    let notes = all(&settings).into_iter();
    let warnings = notes.filter(|note| note.gravity == Gravity::Warning);
    warnings.map(|note| note.keys.join(" ")).collect()
}

#[test]
fn nothing_is_at_odds_by_default() {
    assert!(said("").is_empty(), "{:#?}", said(""));
}

#[test]
fn each_contradiction_is_told_with_its_keys() {
    let table = [
        ("[hold]\ntimeout = \"2m\"", "hold.timeout"),
        (
            "[hold]\ntimeout = \"12s\"",
            "hold.timeout origin.deadlines.queue",
        ),
        (
            "[origin.deadlines]\ntotal = \"20s\"",
            "origin.deadlines.total origin.deadlines.first_byte",
        ),
        (
            "[hang]\nsilent = \"15s\"",
            "origin.deadlines.queue hang.silent",
        ),
        (
            "[origin.probe]\ntimeout = \"11s\"",
            "origin.probe.timeout hang.silent",
        ),
        (
            "[origin.probe]\nsuspect_every = \"3s\"",
            "origin.probe.suspect_every origin.probe.every",
        ),
        (
            "[origin.deadlines]\nfirst_byte = \"10s\"",
            "hang.silent origin.deadlines.first_byte",
        ),
        (
            "[[route]]\npath = \"/quick\"\nfirst_byte = \"2s\"",
            "hang.silent route.first_byte",
        ),
        (
            "[origin]\nconcurrency = 2\nstreams = 2",
            "origin.streams origin.concurrency",
        ),
        ("[restart]\ngrace = \"20s\"", "restart.grace hold.timeout"),
        (
            "[hooks]\nbefore_kill = [\"gdb\"]\nbefore_kill_timeout = \"17s\"",
            "hooks.before_kill_timeout restart.grace hold.timeout",
        ),
        ("[restart]\ndrain = \"20s\"", "restart.drain hold.timeout"),
        (
            "[restart]\ngrace_drain = \"12s\"",
            "edge.deadlines.drain restart.grace_drain",
        ),
        (
            "[restart]\ndegraded_within = \"6s\"",
            "restart.degraded_after restart.degraded_within restart.backoff",
        ),
        (
            "[restart]\ndegraded_every = \"50s\"",
            "restart.degraded_every restart.backoff_most",
        ),
        (
            "[restart]\ndegraded_watchdog = \"59s\"",
            "restart.degraded_watchdog restart.degraded_every",
        ),
        (
            "[quarantine]\nafter = 5",
            "quarantine.after restart.degraded_after",
        ),
        (
            "[quarantine]\nwithin = \"4s\"",
            "quarantine.after quarantine.within hang.certain",
        ),
        ("[spool]\nfile = \"5GiB\"", "spool.file spool.disk"),
        (
            "[edge.limits]\nbody = \"2GiB\"",
            "edge.limits.body spool.file",
        ),
        (
            "[[route]]\npath = \"/up\"\nbody = \"2GiB\"",
            "route.body spool.file",
        ),
        (
            "[spool]\ndisk = \"off\"\nmemory = \"8MiB\"",
            "edge.limits.body spool.memory",
        ),
    ];
    for (text, keys) in table {
        let said = said(text);
        assert!(said.iter().any(|it| it == keys), "{text}: {said:#?}");
    }
}

#[test]
fn the_least_that_is_not_at_odds_is_not_told() {
    let table = [
        "[hold]\ntimeout = \"60s\"",
        "[hold]\ntimeout = \"15s\"",
        "[hang]\nsilent = \"14s\"",
        "[restart]\ngrace = \"19s\"",
        "[restart]\ndegraded_within = \"7s\"",
        "[quarantine]\nafter = 4",
        "[spool]\nfile = \"4GiB\"",
        "[[route]]\npath = \"/up\"\nbody = \"2GiB\"\nstream = true",
    ];
    for text in table {
        assert!(said(text).is_empty(), "{text}: {:#?}", said(text));
    }
}
