//! Whether restarting has not helped for so long that somebody is to be told, or that the machine is to be started anew.
//! Pure: `now` comes in.

use std::time::{Duration, Instant};

use super::lifecycle::{Lifecycle, Phase};
use crate::config::settings::Restart;

/// What was found, and what was told of it.
#[derive(Debug, Default)]
pub struct Plight {
    since: Option<Instant>,
    is_told: bool,
}

/// What is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// Restarting does not help.
    Degraded,
    /// It has served for `degraded_every` again: longer than we wait between two starts.
    Recovered {
        /// From the first word of it on.
        after: Duration,
    },
    /// It has been like that for `degraded_watchdog`, and is down now. Said once in a plight.
    BeyondHelp,
}

impl Plight {
    /// What is new with this `life`. An origin that comes up for a moment at each start has not recovered.
    pub fn judge(&mut self, life: &Lifecycle, policy: &Restart, now: Instant) -> Option<News> {
        let Some(since) = self.since else {
            self.since = life.is_degraded().then_some(now);
            return self.since.map(|_| News::Degraded);
        };
        match life.phase() {
            Phase::Ready { since: ready } => {
                let served = now.saturating_duration_since(ready);
                let is_over = served >= policy.degraded_every;
                is_over.then(|| {
                    *self = Self::default();
                    let after = now.saturating_duration_since(since);
                    News::Recovered { after }
                })
            }
            Phase::Over => None,
            _ => {
                let is_due = self.due(policy).is_some_and(|due| now >= due);
                self.is_told |= is_due;
                is_due.then_some(News::BeyondHelp)
            }
        }
    }

    /// Somebody has stopped it on purpose: its time begins anew, until it is wanted again.
    pub fn rests(&mut self, now: Instant) {
        if let Some(since) = &mut self.since {
            (*since, self.is_told) = (now, false);
        }
    }

    /// When it is beyond help, unless it recovers before.
    pub fn due(&self, policy: &Restart) -> Option<Instant> {
        let limit = policy.degraded_watchdog.filter(|_| !self.is_told)?;
        self.since?.checked_add(limit)
    }
}

#[cfg(test)]
mod tests {
    use super::super::lifecycle::Event;
    use super::*;

    const EVERY: Duration = Duration::from_secs(60);
    const LIMIT: Duration = Duration::from_secs(600);

    struct Course {
        life: Lifecycle,
        plight: Plight,
        policy: Restart,
    }

    impl Course {
        /// A crash loop that has just become one.
        fn degraded(now: Instant) -> Self {
            let policy = Restart {
                degraded_after: 1,
                degraded_every: EVERY,
                degraded_watchdog: Some(LIMIT),
                ..Restart::default()
            };
            let life = Lifecycle::new(policy.clone(), now);
            let plight = Plight::default();
            let mut it = Self {
                life,
                plight,
                policy,
            };
            assert_eq!(it.on(Event::Tick, now), None);
            assert_eq!(it.on(Event::SpawnFailed, now), Some(News::Degraded));
            it
        }

        fn on(&mut self, event: Event, now: Instant) -> Option<News> {
            self.life.on(event, now, 0.5);
            self.plight.judge(&self.life, &self.policy, now)
        }
    }

    #[test]
    fn an_origin_that_comes_up_for_a_moment_has_not_recovered() {
        let begun = Instant::now();
        let mut course = Course::degraded(begun);
        let start = begun + EVERY;
        course.on(Event::Tick, start);
        assert_eq!(course.on(Event::Answered, start), None);
        let moment = start + Duration::from_secs(1);
        assert_eq!(course.on(Event::Exited, moment), None);
        assert_eq!(course.on(Event::Gone, moment), None);
        // Told once, however long it lasts.
        let next = moment + EVERY;
        assert_eq!(course.on(Event::Tick, next), None);
        assert_eq!(course.on(Event::Answered, next), None);
        let served = next + EVERY;
        let after = served - begun;
        let recovered = Some(News::Recovered { after });
        assert_eq!(course.on(Event::Tick, served), recovered);
        assert_eq!(course.on(Event::Tick, served + EVERY), None);
    }

    #[test]
    fn beyond_help_is_said_once_and_never_of_one_that_serves() {
        let begun = Instant::now();
        let mut course = Course::degraded(begun);
        let due = begun + LIMIT;
        assert_eq!(course.plight.due(&course.policy), Some(due));
        let before = due - Duration::from_millis(1);
        assert_eq!(course.on(Event::Tick, before), None);
        assert_eq!(course.on(Event::Answered, before), None);
        assert_eq!(course.on(Event::Tick, due), None);
        let down = due + Duration::from_secs(1);
        assert_eq!(course.on(Event::Exited, down), Some(News::BeyondHelp));
        assert_eq!(course.plight.due(&course.policy), None);
        assert_eq!(course.on(Event::Gone, down + LIMIT), None);
    }

    #[test]
    fn what_somebody_stopped_is_not_beyond_help() {
        let begun = Instant::now();
        let mut course = Course::degraded(begun);
        let stopped = begun + LIMIT / 2;
        course.plight.rests(stopped);
        assert_eq!(course.plight.due(&course.policy), Some(stopped + LIMIT));
        assert_eq!(course.on(Event::Tick, begun + LIMIT), None);
        let due = stopped + LIMIT;
        assert_eq!(course.on(Event::Tick, due), Some(News::BeyondHelp));
        let mut well = Plight::default();
        well.rests(due);
        assert_eq!(well.due(&course.policy), None);
    }

    #[test]
    fn without_the_key_nothing_is_beyond_help() {
        let begun = Instant::now();
        let mut course = Course::degraded(begun);
        course.policy.degraded_watchdog = None;
        assert_eq!(course.plight.due(&course.policy), None);
        assert_eq!(course.on(Event::Shutdown, begun + 100 * LIMIT), None);
    }
}
