//! When an origin that serves is replaced all the same: it leaks, or it has run for as long as it was meant to; in a quiet
//! moment, and not for ever waited for. Pure: `now` comes in.

use std::time::{Duration, Instant};

use super::verdict::Verdict;
use crate::config::settings;

/// What is wanted, and since when a quiet moment for it is waited for.
#[derive(Debug, Default)]
pub struct Renewal {
    wanted: Option<(Verdict, Instant)>,
}

/// A generation as it is now.
#[derive(Debug, Clone, Copy)]
pub struct Life {
    /// What is believed of it.
    pub verdict: Verdict,
    /// Since it was started.
    pub age: Duration,
    /// For how long nothing has been under way; `None` while something is.
    pub idle: Option<Duration>,
}

/// Who is between two pages of one visitor is not idle.
const QUIET: Duration = Duration::from_secs(1);

impl Renewal {
    /// Why it is to be replaced now, if it is.
    pub fn due(&mut self, life: Life, policy: &settings::Restart, now: Instant) -> Option<Verdict> {
        let wanted = wanted(life, policy)?;
        let (_, since) = *self.wanted.get_or_insert((wanted, now));
        let is_quiet = life.idle.is_some_and(|idle| idle >= QUIET);
        let is_late = now.saturating_duration_since(since) >= policy.quiet;
        (is_quiet || is_late).then_some(wanted)
    }
}

/// What leaks again as soon as it was started is not cured by this: no sooner than a restart is forgotten.
fn wanted(life: Life, policy: &settings::Restart) -> Option<Verdict> {
    let is_calm = matches!(
        life.verdict,
        Verdict::Healthy | Verdict::Busy | Verdict::Leaking
    );
    match life.verdict {
        Verdict::Leaking if policy.leaking && life.age >= policy.forget => Some(Verdict::Leaking),
        _ if is_calm && policy.every.is_some_and(|every| life.age >= every) => {
            Some(Verdict::Scheduled)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn life(verdict: Verdict, age: Duration, idle: Option<Duration>) -> Life {
        Life { verdict, age, idle }
    }

    #[test]
    fn a_leak_is_cured_in_a_quiet_moment_or_when_none_comes() {
        let now = Instant::now();
        let policy = settings::Restart::default();
        let at = |idle| life(Verdict::Leaking, 20 * MINUTE, idle);
        let mut renewal = Renewal::default();
        assert_eq!(renewal.due(at(None), &policy, now), None);
        let short = Some(Duration::from_millis(500));
        assert_eq!(renewal.due(at(short), &policy, now), None);
        let quiet = Some(QUIET);
        assert_eq!(renewal.due(at(quiet), &policy, now), Some(Verdict::Leaking));
        let late = now + policy.quiet;
        assert_eq!(renewal.due(at(None), &policy, late), Some(Verdict::Leaking));
    }

    #[test]
    fn what_leaks_from_the_start_is_not_restarted_again_and_again() {
        let now = Instant::now();
        let mut policy = settings::Restart::default();
        let young = life(Verdict::Leaking, MINUTE, Some(MINUTE));
        assert_eq!(Renewal::default().due(young, &policy, now), None);
        policy.leaking = false;
        let old = life(Verdict::Leaking, 20 * MINUTE, Some(MINUTE));
        assert_eq!(Renewal::default().due(old, &policy, now), None);
    }

    #[test]
    fn a_schedule_waits_for_its_time_and_for_calm() {
        let now = Instant::now();
        let mut policy = settings::Restart::default();
        let at = |verdict, age| life(verdict, age, Some(MINUTE));
        let due = |policy: &_, life| Renewal::default().due(life, policy, now);
        assert_eq!(due(&policy, at(Verdict::Healthy, 1000 * MINUTE)), None);
        policy.every = Some(5 * MINUTE);
        assert_eq!(due(&policy, at(Verdict::Healthy, 4 * MINUTE)), None);
        let scheduled = Some(Verdict::Scheduled);
        assert_eq!(due(&policy, at(Verdict::Healthy, 5 * MINUTE)), scheduled);
        // Something else is about to happen.
        assert_eq!(due(&policy, at(Verdict::Silent, 5 * MINUTE)), None);
        assert_eq!(due(&policy, at(Verdict::Leaking, 5 * MINUTE)), scheduled);
    }
}
