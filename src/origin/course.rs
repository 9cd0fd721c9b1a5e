//! The course of an incident: what happened when, from the last sign of life to the first client that was answered again.
//! Pure: every instant comes in.

use std::time::Instant;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

/// What can happen in an incident, in its usual order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Milestone {
    /// The origin answered, or a byte of a request or an answer moved, for the last time.
    LastLife,
    /// From here on it served nobody, as far as could be seen: a question has no answer, or the process was seen unable
    /// to give one.
    Ill,
    /// It was suspected.
    Noticed,
    /// Requests are held, so that what is under way can be finished.
    Held,
    /// The verdict fell.
    Verdict,
    /// What was seen is on the disk.
    Written,
    /// All of it was stopped.
    Frozen,
    /// It was told to end.
    Signalled,
    /// Its process was gone.
    Ended,
    /// The next generation was started, or the standby took over.
    Started,
    /// That one answered.
    Ready,
    /// Requests reach the origin again.
    Reached,
    /// A client was answered again.
    Served,
}

/// What happened so far.
#[derive(Debug, Clone)]
pub struct Course {
    /// One moment on both clocks: a calendar that is set anew meanwhile moves none of the others.
    anchor: (Instant, Timestamp),
    moments: Vec<(Milestone, Instant, Option<String>)>,
}

/// One moment of it, as it is told.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Moment {
    /// What happened.
    pub what: Milestone,
    /// When, RFC 3339, UTC, to the millisecond.
    pub at: String,
    /// The same in seconds since it fell ill; below 0 before that.
    pub after_seconds: f64,
    /// More about it, where there is more to tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Course {
    /// Nothing has happened yet; `at` is `now` on the calendar.
    pub fn new(now: Instant, at: Timestamp) -> Self {
        Self {
            anchor: (now, at),
            moments: Vec::new(),
        }
    }

    /// This happened then. What happens twice is told as it was the first time.
    pub fn note(&mut self, what: Milestone, at: Instant) {
        self.note_with(what, at, None);
    }

    /// The same, with more about it.
    pub fn note_with(&mut self, what: Milestone, at: Instant, note: Option<String>) {
        if self.at(what).is_none() {
            self.moments.push((what, at, note));
        }
    }

    /// When that happened, if it has.
    pub fn at(&self, what: Milestone) -> Option<Instant> {
        let known = self.moments.iter().find(|(known, ..)| *known == what);
        known.map(|(_, at, _)| *at)
    }

    /// All of it in the order of its happening.
    pub fn moments(&self) -> Vec<Moment> {
        let mut sorted: Vec<_> = self.moments.iter().collect();
        sorted.sort_by_key(|(what, at, _)| (*at, *what));
        let ill = self.at(Milestone::Ill);
        let start = ill.or(sorted.first().map(|(_, at, _)| *at));
        let told = |(what, at, note): &(Milestone, Instant, Option<String>)| Moment {
            what: *what,
            at: self.calendar(*at),
            after_seconds: start.map_or(0.0, |start| between(start, *at)),
            note: note.clone(),
        };
        sorted.into_iter().map(told).collect()
    }

    fn calendar(&self, at: Instant) -> String {
        let (instant, then) = self.anchor;
        let later = at.saturating_duration_since(instant);
        let earlier = instant.saturating_duration_since(at);
        let told = then
            .checked_add(later)
            .and_then(|it| it.checked_sub(earlier));
        format!("{:.3}", told.unwrap_or(then))
    }
}

impl Serialize for Course {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.moments().serialize(to)
    }
}

/// Seconds from one to the other, to the millisecond; below 0 where the other was before.
fn between(one: Instant, other: Instant) -> f64 {
    let later = other.saturating_duration_since(one).as_secs_f64();
    let earlier = one.saturating_duration_since(other).as_secs_f64();
    ((later - earlier) * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_is_told_in_order_on_the_calendar_and_since_it_fell_ill() {
        let now = Instant::now() + Duration::from_secs(1000);
        let mut course = Course::new(now, "2026-01-31T08:15:30.000Z".parse().unwrap());
        let ms = Duration::from_millis;
        course.note(Milestone::Verdict, now);
        course.note(Milestone::Ill, now - ms(1600));
        course.note(Milestone::LastLife, now - ms(1900));
        course.note_with(Milestone::Signalled, now + ms(25), Some("KILL".to_owned()));
        // Told once, as it was first.
        course.note(Milestone::Signalled, now + ms(90));
        let told: Vec<_> = course
            .moments()
            .into_iter()
            .map(|it| (it.what, it.at, it.after_seconds))
            .collect();
        let at = |time: &str| format!("2026-01-31T08:15:{time}Z");
        assert_eq!(
            told,
            [
                (Milestone::LastLife, at("28.100"), -0.3),
                (Milestone::Ill, at("28.400"), 0.0),
                (Milestone::Verdict, at("30.000"), 1.6),
                (Milestone::Signalled, at("30.025"), 1.625),
            ]
        );
    }

    #[test]
    fn what_happened_at_one_instant_keeps_its_usual_order() {
        let now = Instant::now();
        let mut course = Course::new(now, Timestamp::UNIX_EPOCH);
        for what in [Milestone::Verdict, Milestone::Noticed, Milestone::Ill] {
            course.note(what, now);
        }
        let told: Vec<_> = course.moments().into_iter().map(|it| it.what).collect();
        assert_eq!(
            told,
            [Milestone::Ill, Milestone::Noticed, Milestone::Verdict]
        );
    }
}
