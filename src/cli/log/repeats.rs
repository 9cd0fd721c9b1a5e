//! What repeats is told some times a minute; what comes beyond is counted, and the count told at the minute's end. No
//! client and no origin can fill the log this way. Lines of exchanges and of the origin's output are no repetitions;
//! each has a bound of its own.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::ground::ledger::{Count, Tally};

/// Lets each message through so many times a minute. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Repeats {
    counts: Option<Arc<Mutex<Counts<Identifier>>>>,
    tally: Arc<Tally>,
}

/// The minute for which it is counted, from the first of its kind.
const WINDOW: Duration = Duration::from_secs(60);
/// The target of what is told here, which is not counted.
const OWN: &str = "log";
/// What is bounded elsewhere, or told once an exchange.
const BOUNDED: [&str; 5] = ["access", "tunnel", "origin", "hook", OWN];
/// So much of a message is quoted, in bytes.
const QUOTED: usize = 200;

/// How often each place in the program has spoken. There are as many as the program has places.
#[derive(Debug)]
struct Counts<K> {
    most: u32,
    places: HashMap<K, Place>,
}

/// One of them, since it first spoke.
#[derive(Debug)]
struct Place {
    begun: Instant,
    level: Level,
    message: String,
    told: u32,
    withheld: u64,
}

/// What was withheld in a minute that is over.
#[derive(Debug, PartialEq, Eq)]
struct Withheld {
    level: Level,
    message: String,
    times: u64,
}

impl Repeats {
    /// `most` times a minute; without a bound where there is none. What is withheld is counted in `tally`.
    pub fn new(most: Option<u32>, tally: Arc<Tally>) -> Self {
        let counts = most.map(|most| {
            let places = HashMap::new();
            Arc::new(Mutex::new(Counts { most, places }))
        });
        Self { counts, tally }
    }

    /// Tells what was withheld in minutes that are over at `now`.
    pub fn settle(&self, now: Instant) {
        if let Some(counts) = &self.counts {
            let withheld = locked(counts).settle(|place| place.is_over(now));
            withheld.iter().for_each(tell);
        }
    }

    /// Tells all that was withheld.
    pub fn settle_all(&self) {
        if let Some(counts) = &self.counts {
            let withheld = locked(counts).settle(|_| true);
            withheld.iter().for_each(tell);
        }
    }
}

impl<S: Subscriber> Layer<S> for Repeats {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        match &self.counts {
            Some(counts) if is_counted(metadata) => {
                let level = *metadata.level();
                let message = || quote(event);
                let callsite = metadata.callsite();
                let may = locked(counts).pass(callsite, level, message, Instant::now());
                if !may {
                    self.tally.count(Count::LinesWithheld);
                }
                may
            }
            _ => true,
        }
    }
}

/// What a developer asked to see is not counted.
fn is_counted(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= Level::INFO && !BOUNDED.contains(&metadata.target())
}

fn tell(withheld: &Withheld) {
    let Withheld { message, times, .. } = withheld;
    let within = WINDOW.as_secs();
    match withheld.level {
        Level::ERROR => {
            tracing::error!(target: OWN, times, "and {times} more like this in the last {within} s: {message}");
        }
        Level::WARN => {
            tracing::warn!(target: OWN, times, "and {times} more like this in the last {within} s: {message}");
        }
        _ => {
            tracing::info!(target: OWN, times, "and {times} more like this in the last {within} s: {message}");
        }
    }
}

impl<K: Hash + Eq> Counts<K> {
    /// Whether it may be told at `now`.
    fn pass(
        &mut self,
        place: K,
        level: Level,
        message: impl FnOnce() -> String,
        now: Instant,
    ) -> bool {
        let place = self.places.entry(place).or_insert_with(|| Place {
            begun: now,
            level,
            message: message(),
            told: 0,
            withheld: 0,
        });
        if place.is_over(now) && place.withheld == 0 {
            (place.begun, place.told) = (now, 0);
        }
        let may = place.told < self.most;
        match may {
            true => place.told += 1,
            false => place.withheld += 1,
        }
        may
    }

    /// What was withheld at these places, which begin anew.
    fn settle(&mut self, is_over: impl Fn(&Place) -> bool) -> Vec<Withheld> {
        let over = self.places.extract_if(|_, place| is_over(place));
        let withheld = over.filter(|(_, place)| place.withheld > 0);
        withheld
            .map(|(_, place)| Withheld {
                level: place.level,
                message: place.message,
                times: place.withheld,
            })
            .collect()
    }
}

impl Place {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.begun) >= WINDOW
    }
}

/// The message of an event, without its fields.
fn quote(event: &Event<'_>) -> String {
    let mut quote = Quote(String::new());
    event.record(&mut quote);
    let end = quote.0.floor_char_boundary(QUOTED);
    quote.0.truncate(end);
    quote.0
}

struct Quote(String);

impl Visit for Quote {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.0, "{value:?}");
        }
    }
}

fn locked(counts: &Mutex<Counts<Identifier>>) -> MutexGuard<'_, Counts<Identifier>> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(most: u32) -> Counts<u8> {
        let places = HashMap::new();
        Counts { most, places }
    }

    fn passed(counts: &mut Counts<u8>, place: u8, times: usize, now: Instant) -> usize {
        let message = || "it is so".to_owned();
        (0..times)
            .filter(|_| counts.pass(place, Level::WARN, message, now))
            .count()
    }

    #[test]
    fn what_repeats_is_told_so_often_and_its_count_at_the_end_of_its_minute() {
        let now = Instant::now();
        let mut counts = counts(3);
        assert_eq!(passed(&mut counts, 1, 415, now), 3);
        assert_eq!(
            passed(&mut counts, 2, 2, now),
            2,
            "another is not kept out by it"
        );
        let soon = now + WINDOW - Duration::from_millis(1);
        assert_eq!(counts.settle(|place| place.is_over(soon)), []);
        let late = now + WINDOW;
        let withheld = Withheld {
            level: Level::WARN,
            message: "it is so".to_owned(),
            times: 412,
        };
        assert_eq!(counts.settle(|place| place.is_over(late)), [withheld]);
        assert_eq!(passed(&mut counts, 1, 5, late), 3, "a new minute has begun");
    }

    #[test]
    fn who_speaks_seldom_is_always_heard() {
        let now = Instant::now();
        let mut counts = counts(1);
        for minute in 0..5 {
            assert_eq!(passed(&mut counts, 1, 1, now + WINDOW * minute), 1);
        }
    }
}
