//! The last hour: how many requests, how long they took, what was lost, in points of ten seconds. Pure: what the ledger
//! holds and `now` come in as arguments.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::snapshot::{SCHEMA, SpanFacts, rounded};
use crate::ground::ledger::{Count, Distribution, Ledger, Loss, Span};

/// From one point to the next.
pub(super) const EACH: Duration = Duration::from_secs(10);
/// Points kept: an hour of them.
pub(super) const POINTS: usize = 360;

/// Remembers the last hour, in about 20 KiB.
#[derive(Debug)]
pub(super) struct History {
    points: VecDeque<Point>,
    before: Totals,
}

/// What had been counted at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Totals {
    at: Instant,
    ended: u64,
    held: u64,
    lost: u64,
    took: Distribution,
}

/// What came to pass between two moments.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Point {
    /// When it was over.
    #[serde(skip)]
    pub(super) at: Instant,
    /// Exchanges that ended, a second.
    pub(super) requests_per_second: f64,
    /// Requests that began to wait for a shut gate.
    pub(super) held: u64,
    /// Requests that got no good answer because of the origin.
    pub(super) lost: u64,
    /// Half of the exchanges took no longer; an estimate, absent where none ended.
    pub(super) p50_seconds: Option<f64>,
    /// Ninety-nine of a hundred took no longer.
    pub(super) p99_seconds: Option<f64>,
}

/// `/history.json`: the last hour.
#[derive(Debug, Serialize)]
pub(super) struct Hour {
    schema: u32,
    taken_at: String,
    each_seconds: u64,
    /// The oldest first.
    points: Vec<Aged>,
}

#[derive(Debug, Serialize)]
struct Aged {
    /// How long ago it was over.
    ago_seconds: f64,
    #[serde(flatten)]
    point: Point,
}

impl Hour {
    /// These points as of `now`, a moment that is told as `taken_at` (RFC 3339).
    pub(super) fn of(points: Vec<Point>, now: Instant, taken_at: &str) -> Self {
        let aged = |point: Point| Aged {
            ago_seconds: rounded(now.saturating_duration_since(point.at).as_secs_f64()),
            point,
        };
        Self {
            schema: SCHEMA,
            taken_at: taken_at.to_owned(),
            each_seconds: EACH.as_secs(),
            points: points.into_iter().map(aged).collect(),
        }
    }
}

impl Totals {
    /// What the ledger holds now.
    pub(super) fn of(ledger: &Ledger, at: Instant) -> Self {
        let lost = Loss::ALL.map(|loss| ledger.sum(Count::Lost(loss)));
        Self {
            at,
            ended: ledger.sum(Count::ExchangesEnded),
            held: ledger.sum(Count::ExchangesHeld),
            lost: lost.iter().sum(),
            took: ledger.distribution(Span::Total),
        }
    }
}

impl History {
    /// Nothing is remembered yet; everything is counted from `totals` on.
    pub(super) fn new(totals: Totals) -> Self {
        Self {
            points: VecDeque::with_capacity(POINTS),
            before: totals,
        }
    }

    /// When the next point is due.
    pub(super) fn due(&self) -> Instant {
        self.before.at + EACH
    }

    /// Remembers what came to pass since the last point. A host that slept makes it a long one.
    pub(super) fn note(&mut self, totals: Totals) {
        let length = totals.at.saturating_duration_since(self.before.at);
        if length.is_zero() {
            return;
        }
        let since = |now: u64, then: u64| now.saturating_sub(then);
        let took = SpanFacts::of(totals.took.since(&self.before.took));
        if self.points.len() == POINTS {
            self.points.pop_front();
        }
        let ended = since(totals.ended, self.before.ended);
        self.points.push_back(Point {
            at: totals.at,
            requests_per_second: rounded(ended as f64 / length.as_secs_f64()),
            held: since(totals.held, self.before.held),
            lost: since(totals.lost, self.before.lost),
            p50_seconds: took.p50_seconds,
            p99_seconds: took.p99_seconds,
        });
        self.before = totals;
    }

    /// The last point.
    pub(super) fn last(&self) -> Option<&Point> {
        self.points.back()
    }

    /// The points of the last hour, the oldest first.
    pub(super) fn points(&self, now: Instant) -> Vec<Point> {
        let hour = EACH * POINTS as u32;
        let recent = |point: &&Point| now.saturating_duration_since(point.at) <= hour;
        self.points.iter().filter(recent).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_tells_of_its_own_ten_seconds_alone() {
        let begun = Instant::now();
        let ledger = Ledger::default();
        let tally = ledger.open();
        tally.add(Count::ExchangesEnded, 1000);
        tally.time(Span::Total, Duration::from_secs(90));
        let mut history = History::new(Totals::of(&ledger, begun));
        assert_eq!(history.due(), begun + EACH);
        tally.add(Count::ExchangesEnded, 50);
        tally.add(Count::ExchangesHeld, 3);
        tally.count(Count::Lost(Loss::Died));
        for _ in 0..50 {
            tally.time(Span::Total, Duration::from_millis(4));
        }
        history.note(Totals::of(&ledger, begun + EACH));
        history.note(Totals::of(&ledger, begun + 2 * EACH));
        let points = history.points(begun + 2 * EACH);
        let told = points
            .iter()
            .map(|it| (it.requests_per_second, it.held, it.lost));
        assert_eq!(told.collect::<Vec<_>>(), [(5.0, 3, 1), (0.0, 0, 0)]);
        assert_eq!(points[0].p99_seconds, Some(0.004975));
        assert_eq!(points[1].p50_seconds, None);
        assert_eq!(history.last(), points.last());
    }

    #[test]
    fn an_hour_is_remembered_and_no_more() {
        let begun = Instant::now();
        let ledger = Ledger::default();
        let mut history = History::new(Totals::of(&ledger, begun));
        for turn in 1..=POINTS as u32 + 100 {
            history.note(Totals::of(&ledger, begun + turn * EACH));
        }
        let now = begun + (POINTS as u32 + 100) * EACH;
        assert_eq!(history.points(now).len(), POINTS);
        // A host that slept for the better part of an hour.
        assert_eq!(history.points(now + 350 * EACH).len(), 11);
    }

    #[test]
    fn two_looks_at_one_moment_are_one() {
        let ledger = Ledger::default();
        let totals = Totals::of(&ledger, Instant::now());
        let mut history = History::new(totals);
        history.note(totals);
        assert_eq!(history.last(), None);
    }
}
