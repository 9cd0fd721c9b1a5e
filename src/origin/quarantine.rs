//! Which requests hang the origin again and again, and are kept from it for a while. Pure: `now` comes in.
//!
//! The unit is a method and a path without its query. A route would be too much: it may be a whole application, and a
//! restart costs less than to refuse that. The query is left out because it is what changes from one to the next.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::settings::Quarantine;

/// Requests on record; where there are more, those whose last hang is the longest ago are forgotten. Whoever can hang
/// the origin in more ways than these has it down anyway.
pub const MOST: usize = 64;

/// A request that is kept from the origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Barred {
    /// The method, and the target up to its query.
    pub request: Arc<str>,
    /// How many hangs brought it here, of those within the time that counts.
    pub hangs: usize,
    /// Since when.
    pub since: Instant,
    /// Until when.
    pub until: Instant,
}

/// What is on record of requests during which the origin hung.
#[derive(Debug)]
pub struct Record {
    rules: Quarantine,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    request: Arc<str>,
    /// The last of its hangs, as many as it takes.
    hangs: Vec<Instant>,
    /// How often it was barred.
    times: u32,
    barred: Option<Barred>,
    /// Until then one hang is enough, for it was barred before.
    probation: Option<Instant>,
}

/// It doubles so often: the longest is sixteen times the first, 2 h 40 min of the usual ten minutes.
const DOUBLINGS: u32 = 4;

/// By what a request is known here; `None` where it was told too long to be told apart from others.
pub fn known_by(request: &str) -> Option<&str> {
    let known = request.split('?').next().unwrap_or_default();
    (!known.ends_with('…')).then_some(known)
}

impl Record {
    /// Nothing is on record.
    pub fn new(rules: Quarantine) -> Self {
        let entries = Vec::new();
        Self { rules, entries }
    }

    /// By these rules from now on; what is in quarantine stays there for as long as it was told.
    pub fn adopt(&mut self, rules: Quarantine) {
        self.rules = rules;
    }

    /// The origin hung, and `request` was the oldest that can have been the cause. Returns what that puts in
    /// quarantine, if it does.
    pub fn blame(&mut self, request: &str, now: Instant) -> Option<&Barred> {
        let after = self.rules.after?;
        let known = known_by(request)?;
        self.release_due(now);
        let place = self.entries.iter().position(|it| &*it.request == known);
        // The last one blamed is the last in the list.
        let mut entry = match place {
            Some(place) => self.entries.remove(place),
            None => Entry::new(known),
        };
        if self.entries.len() == MOST {
            let free = self.entries.iter().position(|it| it.barred.is_none());
            self.entries.remove(free.unwrap_or(0));
        }
        let within = self.rules.within;
        entry.hangs.push(now);
        entry
            .hangs
            .retain(|hang| now.saturating_duration_since(*hang) <= within);
        let spare = entry.hangs.len().saturating_sub(after);
        entry.hangs.drain(..spare);
        let is_known = entry.probation.is_some_and(|until| now <= until);
        if !is_known {
            entry.times = 0;
        }
        let is_enough = is_known || entry.hangs.len() >= after;
        if is_enough && entry.barred.is_none() {
            entry.bar(self.rules.length, now);
        }
        self.entries.push(entry);
        self.entries.last()?.barred.as_ref().filter(|_| is_enough)
    }

    /// Those whose time is over; they are on probation for as long as they were barred.
    pub fn release_due(&mut self, now: Instant) -> Vec<Barred> {
        let within = self.rules.within;
        let mut released = Vec::new();
        for entry in &mut self.entries {
            let Some(barred) = entry.barred.take_if(|it| it.until <= now) else {
                continue;
            };
            let lasted = barred.until - barred.since;
            entry.probation = Some(barred.until + lasted.max(within));
            entry.hangs.clear();
            released.push(barred);
        }
        released
    }

    /// Those that somebody wants released: `request` as it is told or its path alone, `None` for all. Nothing is held
    /// against them any more.
    pub fn release(&mut self, request: Option<&str>) -> Vec<Barred> {
        let is_meant = |entry: &Entry| match request {
            None => true,
            Some(request) => {
                let path = entry.request.split(' ').nth(1);
                &*entry.request == request || path == Some(request)
            }
        };
        let (meant, kept) = std::mem::take(&mut self.entries)
            .into_iter()
            .partition(is_meant);
        self.entries = kept;
        let meant: Vec<Entry> = meant;
        meant.into_iter().filter_map(|it| it.barred).collect()
    }

    /// All that are barred, the last one last.
    pub fn barred(&self) -> Vec<Barred> {
        let barred = self.entries.iter().filter_map(|it| it.barred.clone());
        barred.collect()
    }
}

impl Entry {
    fn new(request: &str) -> Self {
        Self {
            request: request.into(),
            hangs: Vec::new(),
            times: 0,
            barred: None,
            probation: None,
        }
    }

    fn bar(&mut self, length: Duration, now: Instant) {
        let length = length * 2u32.pow(self.times.min(DOUBLINGS));
        self.times = self.times.saturating_add(1);
        self.barred = Some(Barred {
            request: self.request.clone(),
            hangs: self.hangs.len(),
            since: now,
            until: now + length,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn record(after: usize) -> Record {
        Record::new(Quarantine {
            after: Some(after),
            ..Quarantine::default()
        })
    }

    fn length(barred: Option<&Barred>) -> Option<Duration> {
        barred.map(|it| it.until - it.since)
    }

    #[test]
    fn so_many_hangs_within_the_time_bar_a_request_and_no_other() {
        let mut record = record(3);
        let now = Instant::now();
        assert_eq!(record.blame("GET /a?x=1", now), None);
        assert_eq!(record.blame("GET /a?x=2", now + MINUTE), None);
        assert_eq!(record.blame("POST /a", now + MINUTE), None);
        // The first is too long ago by now.
        assert_eq!(record.blame("GET /a", now + 11 * MINUTE), None);
        let barred = record.blame("GET /a", now + 11 * MINUTE).cloned();
        let told = record.barred();
        assert_eq!(told, Vec::from_iter(barred));
        assert_eq!((&*told[0].request, told[0].hangs), ("GET /a", 3));
    }

    #[test]
    fn it_is_over_by_itself_and_then_one_hang_is_enough_for_twice_as_long() {
        let mut record = record(2);
        let mut now = Instant::now();
        record.blame("GET /a", now);
        let mut told = length(record.blame("GET /a", now));
        for times in [1, 2, 4, 8, 16, 16] {
            let due = 10 * times * MINUTE;
            assert_eq!(told, Some(due));
            assert!(record.release_due(now + due - MINUTE).is_empty());
            now += due;
            assert_eq!(record.release_due(now).len(), 1);
            assert!(record.barred().is_empty());
            told = length(record.blame("GET /a", now));
        }
        // Good for as long as it was barred, and it begins anew.
        now += 320 * MINUTE + Duration::from_secs(1);
        record.release_due(now);
        assert_eq!(record.blame("GET /a", now), None);
        assert_eq!(length(record.blame("GET /a", now)), Some(10 * MINUTE));
    }

    #[test]
    fn by_hand_it_is_released_by_its_name_or_its_path_and_forgotten() {
        let mut record = record(2);
        let now = Instant::now();
        for request in ["GET /a", "GET /a", "POST /a", "POST /a", "GET /b", "GET /b"] {
            record.blame(request, now);
        }
        assert_eq!(record.release(Some("GET /b")).len(), 1);
        assert!(record.release(Some("/")).is_empty());
        assert_eq!(record.release(Some("/a")).len(), 2);
        assert_eq!(record.blame("GET /a", now), None);
        record.blame("GET /a", now);
        assert_eq!(record.release(None).len(), 1);
        assert!(record.entries.is_empty());
    }

    #[test]
    fn no_client_makes_the_record_longer_than_it_may_be() {
        let mut record = record(2);
        let now = Instant::now();
        record.blame("GET /bad", now);
        record.blame("GET /bad", now);
        for number in 0..10 * MOST {
            record.blame(&format!("GET /{number}"), now);
        }
        assert_eq!(record.entries.len(), MOST);
        assert!(record.entries.iter().all(|it| it.hangs.len() <= 2));
        // What is barred is not washed out by what is not.
        assert_eq!(record.barred().len(), 1);
        for number in 0..10 * MOST {
            record.blame(&format!("GET /{number}"), now);
            record.blame(&format!("GET /{number}"), now);
        }
        assert_eq!(record.entries.len(), MOST);
    }

    #[test]
    fn what_cannot_be_told_apart_is_never_barred_and_nothing_is_when_it_is_off() {
        let mut first = record(1);
        let now = Instant::now();
        assert_eq!(first.blame("GET /endless…", now), None);
        assert!(first.blame("GET /short", now).is_some());
        let mut off = Record::new(Quarantine {
            after: None,
            ..Quarantine::default()
        });
        assert_eq!(off.blame("GET /short", now), None);
    }
}
