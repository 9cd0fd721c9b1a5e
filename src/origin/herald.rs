//! Which verdicts are news for the log: those that lead to nothing there would be silence about, each change of them,
//! and no flicker. `now` comes in.

use std::time::{Duration, Instant};

use super::verdict::{Judgement, Verdict};

/// Tells the log, and remembers what was told, and when.
#[derive(Debug)]
pub struct Herald {
    last: Verdict,
    told: Vec<(Verdict, Instant)>,
}

/// A verdict that comes and goes is told once in this time.
const FLICKER: Duration = Duration::from_secs(60);

impl Herald {
    /// Nothing has been told; nobody needs to hear that an origin is healthy.
    pub fn new() -> Self {
        Self {
            last: Verdict::Healthy,
            told: Vec::new(),
        }
    }

    /// Tells of it, if it is news.
    pub fn hear(&mut self, judgement: &Judgement, now: Instant) {
        let verdict = judgement.verdict;
        if judgement.act || !self.is_news(verdict, now) {
            return;
        }
        let (verdict, because) = (verdict.word(), judgement.evidence_for.join("; "));
        match judgement.verdict {
            Verdict::Healthy | Verdict::Busy => tracing::info!(because, "origin {verdict}"),
            _ => tracing::warn!(because, "origin {verdict}"),
        }
    }

    /// Whether another was told last, and this one not a minute ago. If so, it counts as told.
    fn is_news(&mut self, verdict: Verdict, now: Instant) -> bool {
        let lately = |(told, at): &(Verdict, Instant)| {
            *told == verdict && now.saturating_duration_since(*at) < FLICKER
        };
        if !is_told_here(verdict) || verdict == self.last || self.told.iter().any(lately) {
            return false;
        }
        self.last = verdict;
        self.told.retain(|(told, _)| *told != verdict);
        self.told.push((verdict, now));
        true
    }
}

/// The others are the beginning or the end of something that the log tells anyhow.
fn is_told_here(verdict: Verdict) -> bool {
    matches!(
        verdict,
        Verdict::Healthy
            | Verdict::Busy
            | Verdict::Erroring
            | Verdict::Overloaded
            | Verdict::Leaking
            | Verdict::Starved
            | Verdict::DiskWait
            | Verdict::Traced
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_news_once_and_a_flicker_is_not() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut herald = Herald::new();
        assert!(!herald.is_news(Verdict::Healthy, at(0)));
        assert!(herald.is_news(Verdict::Overloaded, at(1)));
        assert!(!herald.is_news(Verdict::Overloaded, at(2)));
        assert!(herald.is_news(Verdict::Healthy, at(6)));
        assert!(!herald.is_news(Verdict::Overloaded, at(7)));
        assert!(!herald.is_news(Verdict::Healthy, at(12)));
        // It has lasted, or come again: a minute has passed.
        assert!(herald.is_news(Verdict::Overloaded, at(61)));
        assert!(herald.is_news(Verdict::Erroring, at(62)));
    }

    #[test]
    fn a_suspicion_that_came_to_nothing_is_no_news() {
        let now = Instant::now();
        let mut herald = Herald::new();
        assert!(!herald.is_news(Verdict::Silent, now));
        assert!(!herald.is_news(Verdict::Healthy, now));
    }
}
