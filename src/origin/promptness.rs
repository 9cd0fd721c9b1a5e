//! How soon a hang is noticed at the latest, from what is configured. Pure.

use std::time::Duration;

use super::senses::{ALERT, CALM, EXAMINING};
use super::verdict::{PROOF, SPINS};
use crate::config::settings::Settings;

/// One way to hang, and how long it may go unnoticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noticed {
    /// What is wrong with the origin, as the end of a sentence: "where …".
    pub what: &'static str,
    /// From when it began to when the gate shuts. Holds where the watch gets the processor when it is due.
    pub within: Duration,
}

/// The ways to hang, the soonest noticed first.
///
/// Silence begins with a question. Where nobody asks, the next probe does, after `origin.probe.every`; where requests come
/// all the time, all but the first take so much less. A host that keeps the process waiting is not counted in: that is no
/// hang.
pub fn noticed(settings: &Settings) -> [Noticed; 5] {
    let (certain, silent) = (settings.hang.certain, settings.hang.silent);
    let asked = settings.origin.probe.every;
    // What is due is seen at the next look, and who was calm looks seldom.
    let seen = |limit: Duration| limit.max(CALM) + ALERT;
    let all = [
        ("it is stopped", CALM + seen(certain)),
        ("nobody listens", asked + seen(certain)),
        // One look finds it, another one that it goes on.
        (
            "one connection holds it",
            asked + seen(certain + certain / PROOF) + EXAMINING,
        ),
        ("it is silent for another reason", asked + seen(silent)),
        ("it burns a processor", asked + seen(SPINS * silent)),
    ];
    all.map(|(what, within)| Noticed { what, within })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_default_what_is_certain_is_noticed_within_seconds() {
        let all = noticed(&Settings::default());
        let within = all.map(|it| it.within.as_millis());
        assert_eq!(within, [2100, 3600, 4600, 12_100, 32_100]);
    }

    #[test]
    fn who_looks_seldom_notices_nothing_sooner() {
        let mut settings = Settings::default();
        settings.hang.certain = Duration::from_millis(10);
        assert_eq!(noticed(&settings)[0].within, CALM + CALM + ALERT);
    }
}
