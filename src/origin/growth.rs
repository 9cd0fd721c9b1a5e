//! How what the origin holds has grown: a bounded memory of one generation, and what it comes to. Pure: `now` comes in.
//!
//! Of each stretch of time only the least that was held is kept: what a collector of garbage, a pool or a burst of
//! requests gives back is no growth. About 4 KiB for each [`Holding`], whatever the age.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::{Serialize, Serializer};

/// What a process holds more and more of when it leaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holding {
    /// Resident memory, in bytes.
    Memory,
    /// Open descriptors.
    Descriptors,
    /// Threads.
    Threads,
    /// Connections that their clients have ended.
    CloseWait,
}

/// What one generation held, and when.
#[derive(Debug, Default)]
pub struct Growth {
    courses: [Option<Course>; Holding::ALL.len()],
}

/// What is told of the growth of one thing. Amounts are bytes of memory, or a count.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Grown {
    #[serde(skip)]
    holding: Holding,
    /// When the generation had just answered for the first time.
    pub start: u64,
    /// How long ago that was.
    #[serde(rename = "start_seconds_ago", serialize_with = "seconds")]
    pub since: Duration,
    /// When it was looked at last.
    pub now: u64,
    /// How much more it became in an hour, over the stretch below; less than 0 where it shrank. Not known of a stretch
    /// shorter than a minute, unless the growth is steady.
    pub per_hour: Option<f64>,
    /// The stretch: the last hour, or what there is of it, or up to a day where only that shows a steady growth.
    #[serde(rename = "over_seconds", serialize_with = "perhaps_seconds")]
    pub over: Option<Duration>,
    /// Whether it grew all along that stretch, and to more than it ever was: no step, no saw, no warming up.
    pub steady: bool,
    /// Beyond this it is believed to leak.
    pub limit: Option<u64>,
    /// When the limit is reached at this pace, where the growth is steady.
    #[serde(
        rename = "limit_reached_in_seconds",
        serialize_with = "perhaps_seconds"
    )]
    pub reached: Option<Duration>,
    /// Whether there was hardly less growth in the second half of the stretch.
    #[serde(skip)]
    is_lasting: bool,
}

/// All that is told of the growth of one generation, by [`Holding::key`]; what is not known is left out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Growths(pub Vec<Grown>);

#[derive(Debug)]
struct Course {
    start: Sample,
    now: u64,
    rings: [Ring; 3],
}

#[derive(Debug)]
struct Ring {
    every: Duration,
    keep: usize,
    /// The stretch that is not over: when it began, and the least so far.
    open: Option<(Instant, Sample)>,
    kept: VecDeque<Sample>,
    /// The most of those that are no longer kept.
    most_before: u64,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Instant,
    held: u64,
}

/// The growth along one ring, where it is steady.
struct Steady {
    per_hour: f64,
    over: Duration,
    /// How much of the growth of the first half came in the second, too.
    kept_up: f64,
}

/// How long a stretch is, and how many are kept: the first minutes, the last hour, the last day.
const RINGS: [(Duration, usize); 3] = [
    (Duration::from_secs(1), 60),
    (Duration::from_secs(60), 60),
    (Duration::from_secs(1800), 48),
];
const FIRST_MINUTES: usize = 0;
const LAST_HOUR: usize = 1;
const LAST_DAY: usize = 2;
/// Fewer samples show no course.
const FEWEST: usize = 12;
/// A ring is looked at in so many parts: each must lie higher than the one before. Of noise, one in 720 would.
const PARTS: usize = 6;
/// One part that brings more than this of the whole growth is a step.
const STEP: f64 = 0.5;
/// What grew by less than this part of itself in the second half of the time, of what it grew by in the first, warms up.
const KEPT_UP: f64 = 0.5;
/// The same for a warning, which must not be false.
const SURELY_KEPT_UP: f64 = 0.9;
/// Growth by less than a twentieth is told by nobody.
const WORTH: u64 = 20;
/// A warning rests on a stretch of this length at least,
const LONG: Duration = Duration::from_secs(1800);
/// looks no further ahead than so many times that stretch,
const AHEAD: u32 = 10;
/// and never further than a day.
const SOON: Duration = Duration::from_secs(24 * 3600);
const HOUR: f64 = 3600.0;
const MINUTE: Duration = Duration::from_secs(60);

impl Growth {
    /// It held so much at `now`; to be noted from its first answer on, and not while it hangs.
    pub fn note(&mut self, holding: Holding, held: u64, now: Instant) {
        let sample = Sample { at: now, held };
        let course = self.courses[holding as usize].get_or_insert_with(|| Course::begun(sample));
        course.now = held;
        for ring in &mut course.rings {
            ring.note(sample);
        }
    }

    /// It holds so much, though it hangs: that is told, and belongs to no course.
    pub fn saw(&mut self, holding: Holding, held: u64) {
        if let Some(course) = &mut self.courses[holding as usize] {
            course.now = held;
        }
    }

    /// How much of it was held at the start, how it grew, and when it reaches `limit`.
    pub fn of(&self, holding: Holding, limit: Option<u64>, now: Instant) -> Option<Grown> {
        let course = self.courses[holding as usize].as_ref()?;
        let since = now.saturating_duration_since(course.start.at);
        let steady = course.steady(holding);
        let told = match &steady {
            Some(it) => Some((it.per_hour, it.over)),
            None => course.over_the_hour(),
        };
        let reached = steady.as_ref().zip(limit).and_then(|(steady, limit)| {
            let left = limit.saturating_sub(course.now) as f64;
            Duration::try_from_secs_f64(left / steady.per_hour * HOUR).ok()
        });
        let is_lasting = steady.as_ref().map(|it| it.kept_up >= SURELY_KEPT_UP);
        Some(Grown {
            holding,
            start: course.start.held,
            since,
            now: course.now,
            per_hour: told.map(|(rate, _)| (rate * 10.0).round() / 10.0),
            over: told.map(|(_, over)| over),
            steady: steady.is_some(),
            limit,
            reached,
            is_lasting: is_lasting.unwrap_or(false),
        })
    }
}

impl Course {
    fn begun(start: Sample) -> Self {
        Self {
            start,
            now: start.held,
            rings: RINGS.map(|(every, keep)| Ring {
                every,
                keep,
                open: None,
                kept: VecDeque::new(),
                most_before: 0,
            }),
        }
    }

    /// The first minutes count until there is enough of an hour: a burst later on is none of their business.
    fn steady(&self, holding: Holding) -> Option<Steady> {
        let of = |ring: usize| self.rings[ring].steady(holding);
        match self.rings[LAST_HOUR].kept.len() >= FEWEST {
            true => of(LAST_HOUR).or_else(|| of(LAST_DAY)),
            false => of(FIRST_MINUTES),
        }
    }

    /// From the first to the last sample of the last hour.
    fn over_the_hour(&self) -> Option<(f64, Duration)> {
        let kept = &self.rings[LAST_HOUR].kept;
        let first = if kept.len() < RINGS[LAST_HOUR].1 {
            &self.start
        } else {
            kept.front()?
        };
        let last = self.rings[FIRST_MINUTES].kept.back()?;
        let over = last.at.saturating_duration_since(first.at);
        (over >= MINUTE).then(|| (per_hour(first, last), over))
    }
}

impl Ring {
    fn note(&mut self, sample: Sample) {
        match &mut self.open {
            Some((begun, least)) if sample.at.saturating_duration_since(*begun) < self.every => {
                if sample.held < least.held {
                    *least = sample;
                }
            }
            open => {
                let over = open.replace((sample.at, sample));
                self.kept.extend(over.map(|(_, least)| least));
                if self.kept.len() > self.keep {
                    let gone = self.kept.pop_front().map_or(0, |gone| gone.held);
                    self.most_before = self.most_before.max(gone);
                }
            }
        }
    }

    fn steady(&self, holding: Holding) -> Option<Steady> {
        if self.kept.len() < FEWEST {
            return None;
        }
        let part = |number: usize| {
            let place = |part: usize| part * self.kept.len() / PARTS;
            let samples = self.kept.range(place(number)..place(number + 1));
            samples.min_by_key(|sample| sample.held).copied()
        };
        let parts: Vec<Sample> = (0..PARTS).filter_map(part).collect();
        let (first, last) = (parts.first()?, parts.last()?);
        let steps = parts
            .windows(2)
            .map(|two| two[1].held.checked_sub(two[0].held));
        let steps: Vec<u64> = steps.collect::<Option<_>>()?;
        let rise: u64 = steps.iter().sum();
        let level = steps.iter().filter(|step| **step == 0).count();
        let largest = steps.iter().max().copied().unwrap_or(0);
        let is_step = largest as f64 > rise as f64 * STEP;
        let is_news = last.held > self.most_before && last.held > self.kept.front()?.held;
        if rise < holding.worth(first.held) || level > 1 || is_step || !is_news {
            return None;
        }
        let middle = first.at + last.at.saturating_duration_since(first.at) / 2;
        let half = self.kept.iter().find(|sample| sample.at >= middle)?;
        let earlier = per_hour(first, half);
        let kept_up = if earlier > 0.0 {
            per_hour(half, last) / earlier
        } else {
            1.0
        };
        let over = last.at.saturating_duration_since(first.at);
        (kept_up >= KEPT_UP).then(|| Steady {
            per_hour: per_hour(first, last),
            over,
            kept_up,
        })
    }
}

impl Holding {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 4] = [
        Self::Memory,
        Self::Descriptors,
        Self::Threads,
        Self::CloseWait,
    ];

    /// Its name in JSON, with its unit.
    pub fn key(self) -> &'static str {
        match self {
            Self::Memory => "memory_bytes",
            Self::Descriptors => "descriptors",
            Self::Threads => "threads",
            Self::CloseWait => "close_wait",
        }
    }

    /// What so many of it are called.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Memory => "bytes of memory",
            Self::Descriptors => "descriptors",
            Self::Threads => "threads",
            Self::CloseWait => "connections in CLOSE_WAIT",
        }
    }

    /// Growth by less says nothing.
    fn worth(self, first: u64) -> u64 {
        let least = match self {
            Self::Memory => 1 << 20,
            Self::Descriptors | Self::Threads | Self::CloseWait => 8,
        };
        least.max(first / WORTH)
    }
}

impl Grown {
    /// Of what.
    pub fn holding(&self) -> Holding {
        self.holding
    }

    /// Whether it holds enough more than at its start to be worth a word.
    pub fn has_grown(&self) -> bool {
        self.now >= self.start.saturating_add(self.holding.worth(self.start))
    }

    /// How it came to hold so much: `40 at its start 2.5 h ago, 96 more an hour`. Nothing where it hardly grew.
    pub fn course(&self) -> Option<String> {
        if !self.has_grown() {
            return None;
        }
        let told = format!("{} at its start {} ago", self.start, long(self.since));
        Some(match self.per_hour.filter(|rate| *rate >= 1.0) {
            Some(rate) => format!("{told}, {rate:.0} more an hour"),
            None => told,
        })
    }

    /// A steady growth as a fact: what it holds, how it came to that, and when the limit is reached.
    pub fn told(&self) -> Option<String> {
        let course = self.course().filter(|_| self.steady)?;
        let held = format!("holds {} {}, {course}", self.now, self.holding.noun());
        Some(match (self.limit, self.reached) {
            (Some(limit), Some(reached)) if limit > self.now => {
                let reached = long(reached);
                format!("{held}; at this pace the limit of {limit} is reached in {reached}")
            }
            _ => held,
        })
    }

    /// Whether somebody should be told before it reaches the limit: it grew for half an hour and more, as fast at the
    /// end as at the beginning, and is there within a day.
    pub fn is_ominous(&self) -> bool {
        let over = self.over.unwrap_or_default();
        let is_soon = |reached: Duration| reached <= SOON.min(over * AHEAD);
        self.is_lasting && over >= LONG && self.reached.is_some_and(is_soon)
    }
}

impl Growths {
    /// That of one thing.
    pub fn of(&self, holding: Holding) -> Option<&Grown> {
        self.0.iter().find(|grown| grown.holding == holding)
    }
}

impl Serialize for Growths {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|grown| (grown.holding.key(), grown)))
    }
}

fn per_hour(first: &Sample, last: &Sample) -> f64 {
    let over = last.at.saturating_duration_since(first.at).as_secs_f64();
    (last.held as f64 - first.held as f64) / over.max(f64::EPSILON) * HOUR
}

/// A length that may be days.
fn long(length: Duration) -> String {
    match length.as_secs_f64() {
        short if short < 120.0 => format!("{short:.1} s"),
        it if it < 2.0 * HOUR => format!("{:.1} min", it / 60.0),
        it if it < 48.0 * HOUR => format!("{:.1} h", it / HOUR),
        it => format!("{:.1} d", it / HOUR / 24.0),
    }
}

fn seconds<S: Serializer>(length: &Duration, to: S) -> Result<S::Ok, S::Error> {
    perhaps_seconds(&Some(*length), to)
}

fn perhaps_seconds<S: Serializer>(length: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    length
        .map(|it| (it.as_secs_f64() * 1e3).round() / 1e3)
        .serialize(to)
}

#[cfg(test)]
#[path = "growth_tests.rs"]
mod tests;
