//! How soon another standby is started when one was lost or is needed anew. Pure: `now` comes in.

use std::time::{Duration, Instant};

use crate::config::settings;

/// The starts there were in a row.
#[derive(Debug)]
pub struct Pace {
    backoff: Duration,
    most: Duration,
    forget: Duration,
    streak: u32,
    last: Option<Instant>,
}

/// So many starts in a row wait for nothing: one that was used, and one for its successor.
const FREE: u32 = 2;

impl Pace {
    /// Nothing was started yet.
    pub fn new(policy: &settings::Restart) -> Self {
        Self {
            backoff: policy.backoff,
            most: policy.backoff_most,
            forget: policy.forget,
            streak: 0,
            last: None,
        }
    }

    /// One is started now.
    pub fn starts(&mut self, now: Instant) {
        let is_old = |last: Instant| now.saturating_duration_since(last) >= self.forget;
        if self.last.is_none_or(is_old) {
            self.streak = 0;
        }
        self.streak = self.streak.saturating_add(1);
        self.last = Some(now);
    }

    /// When the next may be started, now that there is none.
    pub fn next(&self, now: Instant) -> Instant {
        let Some(doublings) = self.streak.checked_sub(FREE) else {
            return now;
        };
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        let wait = self.backoff.saturating_mul(factor).min(self.most);
        self.last.map_or(now, |last| (last + wait).max(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_are_started_at_once_and_then_ever_more_slowly_until_it_is_forgotten() {
        let policy = settings::Restart::default();
        let mut pace = Pace::new(&policy);
        let mut now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..10 {
            let next = pace.next(now);
            waits.push((next - now).as_secs());
            now = next;
            pace.starts(now);
        }
        assert_eq!(waits, [0, 0, 1, 2, 4, 8, 16, 32, 60, 60]);
        now += policy.forget;
        assert_eq!(pace.next(now), now);
        pace.starts(now);
        assert_eq!(pace.next(now), now, "it begins anew");
    }
}
