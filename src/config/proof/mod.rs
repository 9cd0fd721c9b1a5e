//! The proof: from the settings alone, how long anything may take and how much it may use, each bound with the sum it is
//! made of, and where two settings contradict each other. Pure.
//!
//! Bounds are worst cases and hold on a host that has a processor to spare; where it has none, nothing is judged (the verdict
//! is `starved`) and waiting takes as long as that does.

mod contradictions;
mod detection;
mod outages;
mod programs;
mod recovery;
mod room;
mod told;
mod waits;

use std::time::Duration;

use super::settings::{Process, Settings};

pub use outages::Outage;
pub use room::requests;

/// All that follows from one configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Proof {
    /// How long a client waits, from its last byte sent to the first byte of an answer or an error.
    pub waits: Vec<Bound>,
    /// From the moment the origin falls ill to the verdict on which it is replaced.
    pub detection: Vec<Bound>,
    /// From there to the first request that reaches the next generation.
    pub recovery: Vec<Bound>,
    /// The two together: how long nobody is served. Empty where the origin is only observed.
    pub outages: Vec<Outage>,
    /// Memory and disk.
    pub room: Vec<Bound>,
    /// Settings that are at odds.
    pub notes: Vec<Note>,
}

/// The most that something may take.
#[derive(Debug, Clone, PartialEq)]
pub struct Bound {
    /// For programs, one word.
    pub name: &'static str,
    /// For people.
    pub told: &'static str,
    /// What it is made of.
    pub parts: Vec<Part>,
}

/// One summand.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// So much.
    pub amount: Amount,
    /// The key that sets it; empty where it is fixed.
    pub key: &'static str,
    /// What for.
    pub what: &'static str,
}

/// How much; what is endless is the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Amount {
    /// A time.
    Time(Duration),
    /// So many bytes.
    Bytes(u64),
    /// A limit is off.
    Endless,
}

/// Two settings, or more, that are at odds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// How grave that is.
    pub gravity: Gravity,
    /// The keys.
    pub keys: Vec<&'static str>,
    /// What follows from them.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

/// How grave a note is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gravity {
    /// It can hardly be meant so.
    Warning,
    /// It may well be meant so, and is good to know.
    Hint,
}

impl Proof {
    /// What follows from `settings`.
    pub fn of(settings: &Settings) -> Self {
        let (detection, recovery) = (detection::all(settings), recovery::all(settings));
        Self {
            waits: waits::all(settings),
            outages: outages::all(&detection, &recovery),
            detection,
            recovery,
            room: room::all(settings),
            notes: contradictions::all(settings),
        }
    }

    /// The bound of this name, wherever it is.
    pub fn bound(&self, name: &str) -> Option<&Bound> {
        let all = [&self.waits, &self.detection, &self.recovery, &self.room];
        all.into_iter().flatten().find(|bound| bound.name == name)
    }
}

impl Bound {
    /// All of it together.
    pub fn total(&self) -> Amount {
        let mut parts = self.parts.iter().map(|part| part.amount);
        let first = parts.next().unwrap_or(Amount::Endless);
        parts.fold(first, Amount::plus)
    }
}

impl Amount {
    fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Time(one), Self::Time(two)) => Self::Time(one.saturating_add(two)),
            (Self::Bytes(one), Self::Bytes(two)) => Self::Bytes(one.saturating_add(two)),
            _ => Self::Endless,
        }
    }
}

/// What a busy host may keep the watch waiting.
const SLACK: Duration = Duration::from_millis(250);

/// A summand that a key sets.
fn set(key: &'static str, length: Duration, what: &'static str) -> Part {
    let amount = Amount::Time(length);
    Part { amount, key, what }
}

/// One that nobody sets.
fn fixed(length: Duration, what: &'static str) -> Part {
    set("", length, what)
}

/// How long the head of an answer may take, and the key that says so: as usual, and on each route that has its own.
fn first_bytes(settings: &Settings) -> impl Iterator<Item = (Duration, &'static str)> {
    let usual = settings.origin.deadlines.first_byte;
    let own = settings.routes.iter().filter_map(|route| route.first_byte);
    let own = own.map(|own| (own, "route.first_byte"));
    std::iter::once((usual, "origin.deadlines.first_byte")).chain(own)
}

/// The longest of them.
fn slowest(settings: &Settings) -> (Duration, &'static str) {
    first_bytes(settings).max().unwrap_or_default()
}

fn is_ours(settings: &Settings) -> bool {
    settings.origin.process != Process::Observed
}
