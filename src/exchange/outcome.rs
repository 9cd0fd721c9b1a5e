//! How an exchange ended: exactly one outcome each, counted and logged when the last of it is dropped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;

use super::errand::Course;
use super::rescue;
use crate::ground::addr::ClientAddr;
use crate::ground::deadline;
use crate::ground::failure::{Cause, Failure, Party};
use crate::ground::fate::Fate;
use crate::ground::ledger::{Class, Count, Span, Tally};

/// The record of one exchange. It is told when this is dropped, whoever holds it then.
#[derive(Debug)]
pub struct Outcome {
    tally: Arc<Tally>,
    is_logged: bool,
    client: ClientAddr,
    fate: Fate,
    request: Arc<str>,
    begun: Instant,
    spans: Spans,
    status: Option<StatusCode>,
    failure: Option<Failure>,
    bytes: u64,
    end: End,
    visits: Visits,
    /// Where to learn what it went through since it was answered.
    course: Option<Arc<Course>>,
}

/// How the parts of an exchange took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spans {
    /// From the head to the whole request.
    pub intake: Option<Duration>,
    /// Waiting for the gate and a slot.
    pub wait: Option<Duration>,
    /// From the connect to the head of the answer.
    pub origin: Option<Duration>,
}

/// How often it was sent, and whether it was held.
#[derive(Debug, Clone, Copy, Default)]
pub struct Visits {
    /// It waited for a shut gate.
    pub was_held: bool,
    /// It was sent a second time.
    pub was_replayed: bool,
    /// Its answer was cut in the middle, and the rest came from the next generation.
    pub was_continued: bool,
}

/// The last word on an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The client left, its connection broke, or it was cut off, before it had all of the answer.
    ClientLeft,
    /// The client was given the whole answer.
    Done,
    /// The answer was cut off visibly, because the origin's was.
    CutOff,
}

impl Visits {
    /// All of both.
    fn and(self, more: Self) -> Self {
        Self {
            was_held: self.was_held || more.was_held,
            was_replayed: self.was_replayed || more.was_replayed,
            was_continued: self.was_continued || more.was_continued,
        }
    }
}

impl Outcome {
    /// An exchange begins: `request` is the method and the target up to its query.
    pub fn begin(
        tally: Arc<Tally>,
        is_logged: bool,
        client: (ClientAddr, Fate),
        request: Arc<str>,
    ) -> Self {
        tally.count(Count::ExchangesBegun);
        let (client, fate) = client;
        Self {
            tally,
            is_logged,
            client,
            fate,
            request,
            begun: deadline::now(),
            spans: Spans::default(),
            status: None,
            failure: None,
            bytes: 0,
            end: End::ClientLeft,
            visits: Visits::default(),
            course: None,
        }
    }

    /// What was asked for, without its query.
    pub fn request(&self) -> &Arc<str> {
        &self.request
    }

    /// The whole request is in our hands.
    pub fn taken(&mut self, body: u64) {
        self.tally.add(Count::BytesFromClients, body);
        let intake = deadline::now() - self.begun;
        self.tally.time(Span::Intake, intake);
        self.spans.intake = Some(intake);
    }

    /// The origin has been asked; these are the parts so far.
    pub fn visited(&mut self, visits: Visits, wait: Option<Duration>, origin: Option<Duration>) {
        self.visits = visits;
        self.spans.wait = wait;
        self.spans.origin = origin;
    }

    /// Its answer goes on behind its head; `course` tells how.
    pub fn goes_on(&mut self, course: Option<Arc<Course>>) {
        self.course = course;
    }

    /// The client is about to be answered with this status.
    pub fn answers(&mut self, status: StatusCode) {
        self.status = Some(status);
        self.tally
            .count(Count::Answered(Class::of(status.as_u16())));
    }

    /// The exchange failed; the answer is ours.
    pub fn failed(&mut self, failure: Failure) {
        self.tally.count(Count::AnsweredByEdge);
        self.note(failure);
    }

    /// The client was handed so many bytes.
    pub fn gave(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// The client has been handed everything.
    pub fn delivered(&mut self) {
        self.end = End::Done;
    }

    /// The answer ends in the middle.
    pub fn cut_off(&mut self, failure: Failure) {
        self.end = End::CutOff;
        self.note(failure);
    }

    fn note(&mut self, failure: Failure) {
        let timed_out = matches!(
            failure.cause,
            Cause::TimedOut { .. } | Cause::TooSlow { .. }
        );
        match failure.party {
            Party::Client if timed_out => self.tally.count(Count::ClientTimeout(failure.phase)),
            Party::Origin if timed_out => self.tally.count(Count::OriginTimeout(failure.phase)),
            _ => {}
        }
        if let Some(loss) = rescue::loss(&failure) {
            self.tally.count(Count::Lost(loss));
        }
        self.failure = Some(failure);
    }

    fn why(&self) -> Option<String> {
        let cut_off = || {
            let phase = self.fate.phase().filter(|_| self.end == End::ClientLeft)?;
            Some(format!("client, {}: not done in time", phase.word()))
        };
        let failure = self.failure.as_ref();
        failure.map(Failure::to_string).or_else(cut_off)
    }

    fn word(&self) -> &'static str {
        match (self.end, &self.failure) {
            (End::Done, None) => "done",
            (End::Done, Some(failure)) => match failure.party {
                Party::Client => "client-refused",
                Party::Edge => "edge-refused",
                Party::Origin => "origin-failed",
            },
            (End::CutOff, _) => "cut-off",
            (End::ClientLeft, _) if self.fate.phase().is_some() => "client-timed-out",
            (End::ClientLeft, _) => "client-left",
        }
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        let total = deadline::now() - self.begun;
        self.tally.count(Count::ExchangesEnded);
        self.tally.add(Count::BytesToClients, self.bytes);
        self.tally.time(Span::Total, total);
        if !self.is_logged {
            return;
        }
        let visits = match &self.course {
            Some(course) => self.visits.and(course.since()),
            None => self.visits,
        };
        let ms = |span: Option<Duration>| span.map(|span| span.as_micros() as f64 / 1000.0);
        tracing::info!(
            target: "access",
            client = %self.client,
            request = &*self.request,
            status = self.status.map(|status| status.as_u16()),
            end = self.word(),
            bytes = self.bytes,
            intake_ms = ms(self.spans.intake),
            wait_ms = ms(self.spans.wait),
            origin_ms = ms(self.spans.origin),
            total_ms = ms(Some(total)),
            held = visits.was_held.then_some(true),
            replayed = visits.was_replayed.then_some(true),
            continued = visits.was_continued.then_some(true),
            why = self.why(),
        );
    }
}
