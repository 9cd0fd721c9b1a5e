//! Collects what is seen and heard of one generation, and lays it out as evidence. Pure: `now` comes in.

use std::time::{Duration, Instant};

use super::forensics::{AcceptQueue, RunState, Seen, Strain, Stuck, Vital};
use super::growth::{Grown, Growth, Growths, Holding};
use super::probe::Reading;
use super::roster::VisitSeen;
use super::verdict::{Doing, Evidence, Held, Voice};
use crate::config::settings::OriginLimits;

/// What was noticed of one generation so far.
#[derive(Debug)]
pub struct Attention {
    begun: Instant,
    has_answered: bool,
    voice: Voice,
    /// The last answer to a probe.
    last_answer: Option<Instant>,
    /// When the first probe was asked that is still without a sign of life.
    asked: Option<Instant>,
    refused_since: Option<Instant>,
    /// Since when no probe got a slot.
    full_since: Option<Instant>,
    doing: Doing,
    doing_since: Instant,
    /// How often it was given a processor, at the last look.
    turns: Option<u64>,
    sample: Option<Sample>,
    shares: Shares,
    accept_queue: Option<u32>,
    strain: Option<(f64, f64)>,
    hoard: Hoard,
    growth: Growth,
    growths: Growths,
    /// Since when it holds more than it should, of each thing.
    beyond: [Option<Instant>; Holding::ALL.len()],
    leaks: Vec<String>,
    /// What holds the whole origin, and since when.
    stuck: Option<(Stuck, Instant)>,
    /// What the last close look found, in words.
    closely: Option<String>,
    unseen: Vec<String>,
}

/// What a process holds, as far as it is looked at now and then only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hoard {
    /// Its connections that their clients have ended.
    pub close_wait: Option<u64>,
    /// How many descriptors the system lets it have.
    pub descriptor_limit: Option<u64>,
    /// Why its connections could not be counted, if they could not.
    pub unseen: Option<String>,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Instant,
    cpu: Option<Duration>,
    queued: Option<Duration>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Shares {
    processor: Option<f64>,
    starved: Option<f64>,
}

/// Shares over a shorter stretch are mostly noise: processor time is counted in steps of 10 ms.
const STRETCH: Duration = Duration::from_millis(400);

/// A request that was turned away says nothing of now after this.
const LATELY: Duration = Duration::from_secs(5);

impl Attention {
    /// A generation begins at `now`.
    pub fn new(now: Instant) -> Self {
        Self {
            begun: now,
            has_answered: false,
            voice: Voice::None,
            last_answer: None,
            asked: None,
            refused_since: None,
            full_since: None,
            doing: Doing::Unseen,
            doing_since: now,
            turns: None,
            sample: None,
            shares: Shares::default(),
            accept_queue: None,
            strain: None,
            hoard: Hoard::default(),
            growth: Growth::default(),
            growths: Growths::default(),
            beyond: Default::default(),
            leaks: Vec::new(),
            stuck: None,
            closely: None,
            unseen: Vec::new(),
        }
    }

    /// A probe was sent.
    pub fn asked(&mut self, now: Instant) {
        self.asked.get_or_insert(now);
        self.full_since = None;
    }

    /// A probe was due, and all slots were in use.
    pub fn found_full(&mut self, now: Instant) {
        self.full_since.get_or_insert(now);
    }

    /// A probe, or a visit, ended like this.
    pub fn heard(&mut self, reading: &Reading, now: Instant) {
        match reading {
            Reading::Answered { status, .. } => {
                self.voice = Voice::Answered(*status);
                self.has_answered = true;
            }
            Reading::Broken(_) => self.voice = Voice::Broken,
            Reading::Unasked(_) => {
                self.asked = None;
                return;
            }
            Reading::Silent => {
                self.voice = Voice::Silent;
                // A visit that gave up has left the question open.
                self.asked.get_or_insert(now);
                return;
            }
            Reading::Refused => {
                self.voice = Voice::Refused;
                self.refused_since.get_or_insert(now);
                return;
            }
        }
        self.last_answer = Some(now);
        self.asked = None;
        self.refused_since = None;
    }

    /// Another look begins: what could not be seen before may be seen now.
    pub fn looks(&mut self) {
        self.unseen.clear();
    }

    /// This could not be seen, and why.
    pub fn misses(&mut self, what: &str) {
        if !self.unseen.iter().any(|known| known == what) {
            self.unseen.push(what.to_owned());
        }
    }

    /// From now on another process is looked at, or none: what was seen of the last one says nothing of it.
    pub fn looks_elsewhere(&mut self, now: Instant) {
        self.doing = Doing::Unseen;
        self.doing_since = now;
        self.turns = None;
        self.sample = None;
        self.shares = Shares::default();
        self.hoard = Hoard::default();
        self.leaks.clear();
        self.stuck = None;
        self.closely = None;
    }

    /// The process looks like this.
    pub fn saw(&mut self, vital: &Vital, now: Instant) {
        let doing = match (vital.state.known(), vital.tracer.known()) {
            (Some(RunState::Traced), _) | (Some(RunState::Stopped), Some(Some(_))) => Doing::Traced,
            (Some(RunState::Stopped), _) => Doing::Stopped,
            (Some(RunState::Running), _) => Doing::Running,
            (Some(RunState::DiskWait), _) => Doing::DiskWait,
            (Some(RunState::Sleeping), _) => Doing::Sleeping,
            _ => Doing::Unseen,
        };
        // Whoever is stopped has no turn on a processor. One that had was continued in between.
        let turns = vital.turns.known().copied();
        let was_continued = doing == Doing::Stopped && turns != self.turns;
        self.turns = turns;
        if doing != self.doing || was_continued {
            self.doing = doing;
            self.doing_since = now;
        }
        let hidden = [
            vital.state.hidden(),
            vital.cpu.hidden(),
            vital.queued.hidden(),
            vital.tracer.hidden(),
            vital.descriptors.hidden(),
        ];
        hidden
            .into_iter()
            .flatten()
            .for_each(|why| self.misses(why));
        self.measure(vital, now);
    }

    /// So many connections wait to be accepted.
    pub fn counted(&mut self, accept_queue: &Seen<Option<AcceptQueue>>) {
        let queue = accept_queue.known().copied().flatten();
        self.accept_queue = queue.map(|queue| queue.waiting);
        accept_queue
            .hidden()
            .into_iter()
            .for_each(|why| self.misses(why));
    }

    /// The host waits for so much.
    pub fn felt(&mut self, strain: &Seen<Strain>) {
        strain.hidden().into_iter().for_each(|why| self.misses(why));
        let strain = strain.known();
        self.strain = strain.map(|strain| (strain.processor, strain.memory));
    }

    /// It holds so much of what is looked at now and then, at `now`; `is_calm` as for [`Self::weighed`].
    pub fn hoards(&mut self, hoard: Hoard, is_calm: bool, now: Instant) {
        let close_wait = hoard.close_wait;
        self.hoard = hoard;
        self.note(Holding::CloseWait, close_wait, is_calm, now);
    }

    /// What of all that it holds is more than it should be, and how that came. What an origin holds while it hangs
    /// says nothing of how it grew: then it is not calm.
    pub fn weighed(&mut self, vital: &Vital, limits: &OriginLimits, is_calm: bool, now: Instant) {
        let open = vital.descriptors.known().copied();
        let threads = vital.threads.known().map(|count| u64::from(*count));
        self.note(
            Holding::Memory,
            vital.resident_bytes.known().copied(),
            is_calm,
            now,
        );
        self.note(Holding::Descriptors, open, is_calm, now);
        self.note(Holding::Threads, threads, is_calm, now);
        let nearly_all = self.hoard.descriptor_limit.map(|all| all - all / 10);
        let all = "nine tenths of its RLIMIT_NOFILE";
        let set = |limit: Option<u64>, key| limit.map(|limit| (limit, key));
        let limits = [
            set(limits.memory, "origin.limits.memory"),
            [
                set(limits.descriptors, "origin.limits.descriptors"),
                set(nearly_all, all),
            ]
            .into_iter()
            .flatten()
            .min(),
            None,
            set(limits.close_wait, "origin.limits.close_wait"),
        ];
        self.leaks.clear();
        self.growths.0.clear();
        for (holding, limit) in Holding::ALL.into_iter().zip(limits) {
            let held = match holding {
                Holding::Memory => vital.resident_bytes.known().copied(),
                Holding::Descriptors => open,
                Holding::Threads => threads,
                Holding::CloseWait => self.hoard.close_wait,
            };
            let grown = self.growth.of(holding, limit.map(|(limit, _)| limit), now);
            let course = grown.as_ref().and_then(Grown::course);
            let beyond = &mut self.beyond[holding as usize];
            match limit.zip(held).filter(|((limit, _), held)| held >= limit) {
                Some(((limit, key), held)) => {
                    let length = now.saturating_duration_since(*beyond.get_or_insert(now));
                    let what = holding.noun();
                    let mut told = format!("holds {held} {what}; {limit} is the limit ({key})");
                    if let Some(course) = course {
                        let length = length.as_secs_f64();
                        told = format!("{told}, passed {length:.0} s ago: {course}");
                    }
                    self.leaks.push(told);
                }
                None => *beyond = None,
            }
            self.growths.0.extend(grown);
        }
    }

    /// How what it holds has grown.
    pub fn growths(&self) -> &Growths {
        &self.growths
    }

    /// A close look found that this holds the whole origin, or that nothing does; `closely` is all of it in words.
    pub fn examined(&mut self, found: Option<Stuck>, closely: Option<String>, now: Instant) {
        self.closely = closely;
        let since = match (&self.stuck, &found) {
            (Some((before, since)), Some(found)) if before.goes_on(found) => *since,
            _ => now,
        };
        self.stuck = found.map(|found| (found, since));
    }

    /// All of it, at `now`. `visits` are those under way, `last_life` when the last byte of any moved.
    pub fn evidence(
        &self,
        visits: &[VisitSeen],
        (last_life, last_shed): (Option<Instant>, Option<Instant>),
        now: Instant,
    ) -> Evidence {
        let since = |at: Instant| now.saturating_duration_since(at);
        let last_life = last_life.filter(|life| *life >= self.begun);
        let heard = last_life.max(self.last_answer);
        let probe = self
            .asked
            .filter(|asked| heard.is_none_or(|heard| heard < *asked));
        // A stream may be quiet for hours and owes nothing by it.
        let owed = visits.iter().filter(|visit| !visit.is_lasting);
        let oldest = owed.map(|visit| visit.quiet).max();
        let question = [probe.map(since), oldest].into_iter().flatten().max();
        let silence = match (question, heard.map(since)) {
            (Some(question), Some(heard)) => question.min(heard),
            (Some(question), None) => question,
            (None, _) => Duration::ZERO,
        };
        let refused = self
            .refused_since
            .filter(|refused| heard.is_none_or(|heard| heard < *refused));
        let unseen = self.unseen.iter().chain(&self.hoard.unseen);
        Evidence {
            age: since(self.begun),
            has_answered: self.has_answered,
            doing: self.doing,
            doing_for: since(self.doing_since),
            processor_share: self.shares.processor,
            starved_share: self.shares.starved,
            silence,
            refused_for: refused.map_or(Duration::ZERO, since),
            voice: self.voice,
            voice_ago: self.last_answer.map(since),
            in_flight: visits.len(),
            full_for: self.full_since.map_or(Duration::ZERO, since),
            quiet: last_life.map(since),
            accept_queue: self.accept_queue,
            strain: self.strain,
            shed: last_shed.map(since).filter(|length| *length < LATELY),
            leaks: self.leaks.clone(),
            growths: self.growing(),
            closely: self.closely.clone().filter(|_| !silence.is_zero()),
            held: self.stuck.as_ref().map(|(stuck, at)| Held {
                by: stuck.told.clone(),
                length: since(*at),
                on: stuck.on,
            }),
            unseen: unseen.cloned().collect(),
        }
    }

    /// Steady growth of what is not beyond its limit already.
    fn growing(&self) -> Vec<String> {
        let is_within = |grown: &&Grown| self.beyond[grown.holding() as usize].is_none();
        let growths = self.growths.0.iter().filter(is_within);
        growths.filter_map(Grown::told).collect()
    }

    /// From its first answer on: what a start takes is no growth.
    fn note(&mut self, holding: Holding, held: Option<u64>, is_calm: bool, now: Instant) {
        match held {
            Some(held) if self.has_answered && is_calm => self.growth.note(holding, held, now),
            Some(held) => self.growth.saw(holding, held),
            None => {}
        }
    }

    fn measure(&mut self, vital: &Vital, now: Instant) {
        let sample = Sample {
            at: now,
            cpu: vital.cpu.known().copied(),
            queued: vital.queued.known().copied(),
        };
        let Some(before) = self.sample else {
            self.sample = Some(sample);
            return;
        };
        let stretch = now.saturating_duration_since(before.at);
        if stretch < STRETCH {
            return;
        }
        let share = |after: Option<Duration>, before: Option<Duration>| {
            let grown = after?.saturating_sub(before?);
            Some(grown.as_secs_f64() / stretch.as_secs_f64())
        };
        self.shares = Shares {
            processor: share(sample.cpu, before.cpu),
            starved: share(sample.queued, before.queued),
        };
        self.sample = Some(sample);
    }
}

#[cfg(test)]
#[path = "attention_tests.rs"]
mod tests;
