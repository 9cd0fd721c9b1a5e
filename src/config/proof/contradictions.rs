//! Where settings are at odds: each of them is good by itself, and together they do what nobody can have meant, or what is
//! good to know.

use std::time::Duration;

use super::told::time;
use super::{Gravity, Note, first_bytes, is_ours, recovery, room, slowest};
use crate::config::fixed::SPINS;
use crate::config::settings::{Process, Settings};
use crate::config::value;

/// People, browsers and balancers seldom wait longer for a first byte.
const PATIENT: Duration = Duration::from_secs(60);
/// `TimeoutStopSec` of the unit that is shipped.
const UNIT_STOPS: Duration = Duration::from_secs(60);

/// Every note, the warnings first.
pub(super) fn all(settings: &Settings) -> Vec<Note> {
    let mut notes = Notes(Vec::new());
    waiting(settings, &mut notes);
    judging(settings, &mut notes);
    if is_ours(settings) {
        restarting(settings, &mut notes);
    }
    resting(settings, &mut notes);
    notes.0.sort_by_key(|note| note.gravity as u8);
    notes.0
}

struct Notes(Vec<Note>);

impl Notes {
    fn warn(&mut self, is_so: bool, keys: &[&'static str], message: String, remedy: &str) {
        self.note(Gravity::Warning, is_so, keys, message, remedy);
    }

    fn hint(&mut self, is_so: bool, keys: &[&'static str], message: String, remedy: &str) {
        self.note(Gravity::Hint, is_so, keys, message, remedy);
    }

    fn note(
        &mut self,
        gravity: Gravity,
        is_so: bool,
        keys: &[&'static str],
        message: String,
        remedy: &str,
    ) {
        if is_so {
            let (keys, remedy) = (keys.to_vec(), remedy.to_owned());
            self.0.push(Note {
                gravity,
                keys,
                message,
                remedy,
            });
        }
    }
}

/// Clients that wait.
fn waiting(settings: &Settings, notes: &mut Notes) {
    let (hold, deadlines) = (settings.hold.timeout, &settings.origin.deadlines);
    let queue = deadlines.queue;
    notes.warn(
        hold < queue,
        &["hold.timeout", "origin.deadlines.queue"],
        format!(
            "a request may wait {} for its turn, so that it is held for as long, and {} is never too long",
            time(queue),
            time(hold)
        ),
        "raise hold.timeout to origin.deadlines.queue, or lower that",
    );
    notes.warn(
        hold > PATIENT,
        &["hold.timeout"],
        format!(
            "held for {}, a request is one whose client has mostly given up: balancers and browsers wait a minute or so",
            time(hold)
        ),
        "lower it to what your clients wait",
    );
    let (first, key) = slowest(settings);
    notes.warn(
        deadlines.total < first,
        &["origin.deadlines.total", key],
        format!(
            "the whole visit ends after {}, so that the head of an answer never has its {}",
            time(deadlines.total),
            time(first)
        ),
        "raise the one or lower the other",
    );
    if let Process::Bundled(bundled) = &settings.origin.process {
        let (scripts, first) = (bundled.cgi_timeout, deadlines.first_byte);
        notes.warn(
            bundled.cgi.is_some() && scripts >= first,
            &["origin.bundled.cgi_timeout", "origin.deadlines.first_byte"],
            format!(
                "a script may take {}, but its request is given up after {}, and the origin suspected instead of the script",
                time(scripts),
                time(first)
            ),
            "lower cgi_timeout below first_byte, or raise that",
        );
    }
    let silent = settings.hang.silent;
    notes.warn(
        queue <= silent,
        &["origin.deadlines.queue", "hang.silent"],
        format!(
            "behind a hang, requests give up their turn after {}, before it is known to be one after {}",
            time(queue),
            time(silent)
        ),
        "raise origin.deadlines.queue above hang.silent, so that they are held instead",
    );
}

/// What is believed of the origin.
fn judging(settings: &Settings, notes: &mut Notes) {
    let (hang, origin) = (&settings.hang, &settings.origin);
    let (probe, silent) = (&origin.probe, hang.silent);
    let (first, key) = slowest(settings);
    notes.warn(
        probe.timeout > silent,
        &["origin.probe.timeout", "hang.silent"],
        format!(
            "a probe may be answered after {}, but a silence of {} is a hang",
            time(probe.timeout),
            time(silent)
        ),
        "lower origin.probe.timeout below hang.silent",
    );
    notes.warn(
        probe.suspect_every > probe.every,
        &["origin.probe.suspect_every", "origin.probe.every"],
        format!(
            "it is asked each {} while something is wrong, and each {} while nothing is",
            time(probe.suspect_every),
            time(probe.every)
        ),
        "lower origin.probe.suspect_every",
    );
    let (soonest, its_key) = first_bytes(settings).min().unwrap_or_default();
    notes.warn(
        silent >= soonest,
        &["hang.silent", its_key],
        format!(
            "a request gives up after {}, before its silence is a hang after {}: it is noticed later",
            time(soonest),
            time(silent)
        ),
        "lower hang.silent, or raise the other",
    );
    notes.hint(
        silent < first,
        &["hang.silent", key],
        format!(
            "a page may take {}, but an origin that answers nobody else meanwhile, as one that serves one at a time, is taken for hung and replaced after {} ({} while it computes)",
            time(first),
            time(silent),
            time(silent.saturating_mul(SPINS))
        ),
        "raise hang.silent above your slowest page",
    );
    let streams = room::streams(settings);
    notes.warn(
        origin.concurrency.is_some_and(|slots| streams >= slots),
        &["origin.streams", "origin.concurrency"],
        format!(
            "{streams} streams may take every place of the origin: nobody else is served then, it is not probed, and a hang is not noticed"
        ),
        "lower origin.streams below origin.concurrency",
    );
}

/// What is done about it.
fn restarting(settings: &Settings, notes: &mut Notes) {
    notes.warn(
        settings.restart.core && settings.standby.keep.is_some(),
        &["standby.keep", "restart.core"],
        "a hung origin that is to leave a core is ended before its standby serves, and never kept"
            .to_owned(),
        "take out one of them: what is kept frozen can be asked for a core, by gcore",
    );
    let (restart, hold) = (&settings.restart, settings.hold.timeout);
    let hook = &settings.hooks.before_kill;
    let (hooked, keys): (Duration, &[&'static str]) = match hook.words.is_empty() {
        true => (Duration::ZERO, &["restart.grace", "hold.timeout"]),
        false => (
            hook.timeout,
            &["hooks.before_kill_timeout", "restart.grace", "hold.timeout"],
        ),
    };
    let ending = hooked.saturating_add(restart.grace);
    notes.warn(
        ending >= hold,
        keys,
        format!(
            "a hung origin may take {} to end, and requests are held for {} only: all of them get 503",
            time(ending),
            time(hold)
        ),
        "shorten the former, or raise hold.timeout",
    );
    notes.hint(
        ending < hold && ending.saturating_add(restart.startup) > hold,
        &["restart.startup", "hold.timeout"],
        format!(
            "a start of the origin may take {}, and requests are held for {}: where it takes longer than that, they are answered 503, with Retry-After",
            time(restart.startup),
            time(hold)
        ),
        "nothing needs doing where it starts faster: the status page tells what its last start took",
    );
    notes.warn(
        restart.drain >= hold,
        &["restart.drain", "hold.timeout"],
        format!(
            "a planned restart waits {} for what is under way, and requests are held for {} only",
            time(restart.drain),
            time(hold)
        ),
        "lower restart.drain well below hold.timeout",
    );
    degraded(settings, notes);
    let stops = recovery::shutdown_takes(settings);
    notes.warn(
        stops > UNIT_STOPS,
        &["edge.deadlines.drain", "restart.grace_drain"],
        format!(
            "a shutdown may take {}, and the shipped unit has all that is left killed after {}",
            time(stops),
            time(UNIT_STOPS)
        ),
        "raise TimeoutStopSec= by `systemctl edit leeward`, or lower them",
    );
}

/// When restarting is said not to help.
fn degraded(settings: &Settings, notes: &mut Notes) {
    let (restart, quarantine) = (&settings.restart, &settings.quarantine);
    let (after, within) = (restart.degraded_after, restart.degraded_within);
    let takes = backoffs(settings);
    notes.warn(
        takes > within,
        &["restart.degraded_after", "restart.degraded_within", "restart.backoff"],
        format!(
            "{after} restarts take {} by the waits between them, and never come within {}: it is never degraded",
            time(takes),
            time(within)
        ),
        "raise restart.degraded_within, or lower restart.degraded_after",
    );
    notes.warn(
        restart.degraded_every < restart.backoff_most,
        &["restart.degraded_every", "restart.backoff_most"],
        format!(
            "when restarting does not help it is tried each {}, more often than each {} before",
            time(restart.degraded_every),
            time(restart.backoff_most)
        ),
        "raise restart.degraded_every, or lower restart.backoff_most",
    );
    let watchdog = restart.degraded_watchdog.unwrap_or(Duration::MAX);
    notes.warn(
        watchdog < restart.degraded_every,
        &["restart.degraded_watchdog", "restart.degraded_every"],
        format!(
            "systemd is told that nothing helps after {}, before the first slow try after {}",
            time(watchdog),
            time(restart.degraded_every)
        ),
        "raise restart.degraded_watchdog to some times restart.degraded_every",
    );
    notes.warn(
        quarantine.after.is_some_and(|hangs| hangs >= after),
        &["quarantine.after", "restart.degraded_after"],
        format!(
            "one bad page is refused only when restarting is already said not to help, after {after}"
        ),
        "lower quarantine.after below restart.degraded_after",
    );
    let least = |hangs: usize| settings.hang.certain.saturating_mul(hangs as u32);
    notes.warn(
        quarantine.after.is_some_and(|hangs| least(hangs) > quarantine.within),
        &["quarantine.after", "quarantine.within", "hang.certain"],
        format!(
            "so many hangs, each of {} at the least, never come within {}: nothing is ever quarantined",
            time(settings.hang.certain),
            time(quarantine.within)
        ),
        "raise quarantine.within",
    );
}

/// The waits between the first restart and the one at which it is degraded.
fn backoffs(settings: &Settings) -> Duration {
    let restart = &settings.restart;
    let waits = restart.degraded_after.saturating_sub(2);
    let wait = |nth: usize| {
        let factor = u32::try_from(nth)
            .ok()
            .and_then(|nth| 1_u32.checked_shl(nth));
        let wait = restart.backoff.saturating_mul(factor.unwrap_or(u32::MAX));
        wait.min(restart.backoff_most)
    };
    // By chance, each may be a tenth shorter.
    (0..waits)
        .map(wait)
        .fold(Duration::ZERO, Duration::saturating_add)
        * 9
        / 10
}

/// Where bodies rest, and how many come.
fn resting(settings: &Settings, notes: &mut Notes) {
    let (spool, limits) = (&settings.spool, &settings.edge.limits);
    notes.warn(
        spool.disk > 0 && spool.file > spool.disk,
        &["spool.file", "spool.disk"],
        format!(
            "one body may take {}, more than the {} there are for all",
            value::told(spool.file),
            value::told(spool.disk)
        ),
        "lower spool.file",
    );
    let (key, body) = largest_body(settings);
    let (place, is_key) = match spool.disk {
        0 => (spool.memory as u64, "spool.memory"),
        disk => (
            spool.file.min(disk).saturating_add(spool.memory as u64),
            "spool.file",
        ),
    };
    notes.warn(
        body > place,
        &[key, is_key],
        format!(
            "a request may have {}, and there is room for {}: larger ones are refused with 503",
            value::told(body),
            value::told(place)
        ),
        "lower the former, raise the latter, or make it a route with stream = true",
    );
    let of_address = limits.connections_per_address.unwrap_or(0);
    notes.hint(
        of_address > limits.connections,
        &["edge.limits.connections_per_address", "edge.limits.connections"],
        format!(
            "one address may have {of_address} connections, more than the {} there are: it can take all of them",
            limits.connections
        ),
        "lower edge.limits.connections_per_address, or set it to \"off\"",
    );
}

fn largest_body(settings: &Settings) -> (&'static str, u64) {
    let usual = settings.edge.limits.body;
    let taken = settings.routes.iter().filter(|route| !route.stream);
    match taken.filter_map(|route| route.body).max() {
        Some(own) if own > usual => ("route.body", own),
        _ => ("edge.limits.body", usual),
    }
}

#[cfg(test)]
#[path = "contradictions_tests.rs"]
mod tests;
