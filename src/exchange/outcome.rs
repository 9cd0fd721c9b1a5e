//! How an exchange ended: exactly one outcome each, counted and logged when the last of it is dropped.

mod trace;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::{StatusCode, Version};

use super::Thread;
use super::errand::Course;
use super::rescue;
use crate::config::settings::Access;
use crate::ground::addr::Client;
use crate::ground::deadline;
use crate::ground::failure::{Cause, Failure, Party};
use crate::ground::fate::Fate;
use crate::ground::ledger::{Class, Count, Span};
use crate::ground::spans::Visited;
use crate::ground::trail::{RequestId, Trail};

/// The record of one exchange. It is told when this is dropped, whoever holds it then.
#[derive(Debug)]
pub struct Outcome {
    thread: Arc<Thread>,
    client: Client,
    fate: Fate,
    version: Version,
    request: Arc<str>,
    trail: Trail,
    begun: Instant,
    intake: Option<Duration>,
    steps: Steps,
    /// Body bytes from the client.
    received: Received,
    answered: Option<Instant>,
    status: Option<StatusCode>,
    failure: Option<Failure>,
    bytes: u64,
    end: End,
    visits: Visits,
    /// Visits that came to nothing.
    tried: Vec<Visited>,
    /// Where to learn what it went through since it was answered.
    course: Option<Arc<Course>>,
}

/// How long an errand took, step by step, and where it went.
#[derive(Debug, Clone, Copy, Default)]
pub struct Steps {
    /// Until it was given leave for the last time: for the gate, for a slot, and for visits that came to nothing.
    pub wait: Option<Duration>,
    /// How it was held within that, if it was.
    pub hold: Option<Held>,
    /// From the leave to the head of the answer.
    pub origin: Option<Duration>,
    /// Until the connection stood, within that.
    pub connect: Option<Duration>,
    /// Which generation of the origin was asked last.
    pub generation: Option<u64>,
}

/// How an errand was held.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    /// From its begin to when it was first held.
    pub after: Duration,
    /// How long it was held, all in all.
    pub length: Duration,
}

/// Body bytes from the client.
#[derive(Debug)]
enum Received {
    /// All of them.
    Whole(u64),
    /// So far, for a body that is sent on as it comes.
    Live(Arc<AtomicU64>),
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
    pub(super) fn begin(
        thread: Arc<Thread>,
        (client, fate, version): (Client, Fate, Version),
        request: Arc<str>,
        trail: Trail,
    ) -> Self {
        thread.tally.count(Count::ExchangesBegun);
        Self {
            thread,
            client,
            fate,
            version,
            request,
            trail,
            begun: deadline::now(),
            intake: None,
            steps: Steps::default(),
            received: Received::Whole(0),
            answered: None,
            status: None,
            failure: None,
            bytes: 0,
            end: End::ClientLeft,
            visits: Visits::default(),
            tried: Vec::new(),
            course: None,
        }
    }

    /// What was asked for, without its query.
    pub fn request(&self) -> &Arc<str> {
        &self.request
    }

    /// The whole request is in our hands.
    pub fn taken(&mut self, body: u64) {
        self.thread.tally.add(Count::BytesFromClients, body);
        let intake = deadline::now() - self.begun;
        self.thread.tally.time(Span::Intake, intake);
        self.intake = Some(intake);
        self.received = Received::Whole(body);
    }

    /// The request goes on to the origin as it comes; so many bytes so far.
    pub fn comes(&mut self, received: Arc<AtomicU64>) {
        self.received = Received::Live(received);
    }

    /// By what it is known beyond us.
    pub fn trail(&self) -> &Trail {
        &self.trail
    }

    /// The origin has been asked, before that in vain as often as it was `tried`; these are the parts so far.
    pub fn visited(&mut self, visits: Visits, steps: Steps, tried: Vec<Visited>) {
        self.visits = visits;
        self.steps = steps;
        self.tried = tried;
    }

    /// Its answer goes on behind its head; `course` tells how.
    pub fn goes_on(&mut self, course: Option<Arc<Course>>) {
        self.course = course;
    }

    /// The client is about to be answered with this status.
    pub fn answers(&mut self, status: StatusCode) {
        self.status = Some(status);
        self.answered = Some(deadline::now());
        self.thread
            .tally
            .count(Count::Answered(Class::of(status.as_u16())));
    }

    /// The exchange failed; the answer is ours.
    pub fn failed(&mut self, failure: Failure) {
        self.thread.tally.count(Count::AnsweredByEdge);
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
        let tally = &self.thread.tally;
        let timed_out = matches!(
            failure.cause,
            Cause::TimedOut { .. } | Cause::TooSlow { .. }
        );
        match failure.party {
            Party::Client if timed_out => tally.count(Count::ClientTimeout(failure.phase)),
            Party::Origin if timed_out => tally.count(Count::OriginTimeout(failure.phase)),
            _ => {}
        }
        if let Some(loss) = rescue::loss(&failure) {
            tally.count(Count::Lost(loss));
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
        let tally = &self.thread.tally;
        tally.count(Count::ExchangesEnded);
        tally.add(Count::BytesToClients, self.bytes);
        tally.time(Span::Total, total);
        let since = self.course.as_ref().map(|course| course.since());
        let since = since.unwrap_or_default();
        let visits = self.visits.and(since.visits);
        if self.is_logged(visits, total) {
            self.log(visits, total);
        }
        if let Some(spans) = self.thread.shared.spans.as_ref()
            && self.trail.is_sampled
        {
            spans.tell(self.exchanged(visits, since, total));
        }
    }
}

impl Outcome {
    fn is_logged(&self, visits: Visits, total: Duration) -> bool {
        let log = &self.thread.shared.settings.log;
        match log.access {
            Access::All => true,
            Access::Off => false,
            Access::Errors => {
                let is_error = self.status.is_none_or(|status| status.as_u16() >= 400);
                let went_wrong = self.end != End::Done || self.failure.is_some();
                let was_saved = visits.was_held || visits.was_replayed || visits.was_continued;
                let is_slow = log.slow.is_some_and(|slow| total >= slow);
                is_error || went_wrong || was_saved || is_slow
            }
        }
    }

    /// The names are told in the README, and stay.
    fn log(&self, visits: Visits, total: Duration) {
        let ms = |span: Option<Duration>| span.map(|span| span.as_micros() as f64 / 1000.0);
        let Steps {
            wait,
            hold,
            origin,
            connect,
            generation,
        } = self.steps;
        tracing::info!(
            target: "access",
            client = %self.client.addr,
            request = &*self.request,
            status = self.status.map(|status| status.as_u16()),
            end = self.word(),
            bytes = self.bytes,
            received = self.received.bytes(),
            http = number(self.version),
            tls = self.client.tls,
            generation,
            intake_ms = ms(self.intake),
            wait_ms = ms(wait),
            hold_ms = ms(hold.map(|hold| hold.length)),
            connect_ms = ms(connect),
            origin_ms = ms(origin),
            respond_ms = ms(self.respond(total)),
            total_ms = ms(Some(total)),
            held = visits.was_held.then_some(true),
            replayed = visits.was_replayed.then_some(true),
            continued = visits.was_continued.then_some(true),
            request_id = self.trail.id.told().map(tracing::field::display::<&RequestId>),
            why = self.why(),
        );
    }

    /// From the answer's head to its end.
    fn respond(&self, total: Duration) -> Option<Duration> {
        let answered = self.answered?.saturating_duration_since(self.begun);
        Some(total.saturating_sub(answered))
    }
}

impl Received {
    fn bytes(&self) -> u64 {
        match self {
            Self::Whole(bytes) => *bytes,
            Self::Live(bytes) => bytes.load(Ordering::Relaxed),
        }
    }
}

fn number(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
}
