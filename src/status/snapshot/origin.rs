//! The origin's part of the snapshot.

use std::time::Instant;

use serde::{Serialize, Serializer};

use super::super::Facts;
use super::{ByWord, rounded, seconds};
use crate::origin::growth::{Growths, Holding};
use crate::origin::pid::Pid;
use crate::origin::verdict::{Confidence, Judgement, Verdict};
use crate::origin::{Care, Gate, Reading, State, View, VisitId};

/// What is known of the origin.
#[derive(Debug, Clone, Serialize)]
pub struct OriginFacts {
    /// Whether its process is ours: `owned` or `observed`.
    #[serde(serialize_with = "care")]
    pub care: Care,
    /// The word for it.
    #[serde(serialize_with = "state")]
    pub state: State,
    /// Where the operator has put it: `serving`, `paused`, `draining` or `maintenance`.
    pub stance: &'static str,
    /// When that is over by itself, if it is.
    pub stance_ends_in_seconds: Option<f64>,
    /// When it entered this state.
    pub since: String,
    /// How long ago that is.
    pub for_seconds: f64,
    /// Whether a request that comes now would reach it.
    pub up: bool,
    /// What becomes of a request that comes now.
    #[serde(serialize_with = "fate")]
    pub requests: Fate,
    /// When the gate will probably open, if it is shut.
    pub opens_in_seconds: Option<f64>,
    /// Whether it ever answered, in any generation.
    pub has_answered: bool,
    /// Where it listens.
    pub address: String,
    /// The command that starts it.
    pub command: Option<String>,
    /// Counted from 1; 0 before the first.
    pub generation: u64,
    /// Its process.
    pub pid: Option<Pid>,
    /// Since this generation was started, or first seen.
    pub uptime_seconds: Option<f64>,
    /// The last start, from the spawn to the first answer.
    pub start_took_seconds: Option<f64>,
    /// How many requests it works on at once.
    pub concurrency: Option<Concurrency>,
    /// What is believed of it.
    pub verdict: Option<Verdict>,
    /// How surely.
    pub confidence: Option<Confidence>,
    /// What speaks for the verdict.
    pub evidence_for: Vec<String>,
    /// What speaks against it, and what could not be seen.
    pub evidence_against: Vec<String>,
    /// Why it does not start, or does not end.
    pub trouble: Option<String>,
    /// The standby, where one is wanted.
    pub standby: Option<Standby>,
    /// A hung generation that is kept frozen for a debugger.
    pub frozen: Option<Kept>,
    /// What the last probe met.
    pub last_probe: Option<Probed>,
    /// Resident memory.
    pub memory_bytes: Option<u64>,
    /// Open descriptors.
    pub descriptors: Option<u64>,
    /// Threads.
    pub threads: Option<u32>,
    /// Connections that their clients have ended and it has not; looked at every half minute.
    pub close_wait: Option<u64>,
    /// How `memory_bytes`, `descriptors`, `threads` and `close_wait` have grown since its first answer; each is absent
    /// until it was seen.
    pub growth: Growths,
    /// Its share of one processor lately; 1 is all of it.
    pub processor_share: Option<f64>,
    /// Connections that wait to be accepted.
    pub accept_queue: Option<u32>,
    /// Generations that ended, by verdict.
    pub restarts: ByWord,
    /// Probes that ended, by result.
    pub probes: ByWord,
    /// Requests it works on, the oldest first, 100 at the most.
    pub visits: Vec<UnderWay>,
}

/// What becomes of a request that comes now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It reaches an origin that answers.
    Reach,
    /// It goes to the origin, and may have to wait there.
    Go,
    /// It waits for the gate.
    Held,
    /// It is answered 503 at once: the gate will not open in time.
    Refused,
}

/// How many requests the origin works on at once.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Concurrency {
    /// In all.
    pub slots: usize,
    /// Whether that was measured, not set.
    pub measured: bool,
    /// In use; not known while the gate is shut.
    pub busy: Option<usize>,
}

/// What a probe met.
#[derive(Debug, Clone, Serialize)]
pub struct Probed {
    /// `answered`, `silent`, `refused`, `broken`, or `unasked` where it could not be asked.
    pub result: &'static str,
    /// The status of the answer.
    pub status: Option<u16>,
    /// How long the answer took.
    pub took_seconds: Option<f64>,
    /// How it was broken, or why it could not be asked.
    pub reason: Option<String>,
    /// How long ago it ended.
    pub ago_seconds: f64,
}

/// A spare generation beside the one that serves.
#[derive(Debug, Clone, Serialize)]
pub struct Standby {
    /// `absent`, `starting`, `proven` or `doubtful`.
    pub readiness: &'static str,
    /// Its process.
    pub pid: Option<Pid>,
    /// Which generation it is.
    pub generation: Option<u64>,
    /// Where it listens.
    pub address: Option<String>,
    /// Since it was started.
    pub uptime_seconds: Option<f64>,
    /// How long ago it answered last.
    pub answered_ago_seconds: Option<f64>,
    /// Why there is none, or why the one before went.
    pub trouble: Option<String>,
}

/// A frozen generation.
#[derive(Debug, Clone, Serialize)]
pub struct Kept {
    /// Its process.
    pub pid: Option<Pid>,
    /// Which it was.
    pub generation: u64,
    /// How long it is kept from now on.
    pub for_seconds: f64,
}

/// A request the origin works on.
#[derive(Debug, Clone, Serialize)]
pub struct UnderWay {
    /// Its number, the same in log and incident.
    pub id: VisitId,
    /// The method, and the target up to its query.
    pub request: String,
    /// How long ago it began.
    pub age_seconds: f64,
    /// How long ago a byte moved, either way.
    pub quiet_seconds: f64,
    /// Bytes of the answer's body taken so far.
    pub received_bytes: u64,
    /// Whether it is a stream or a tunnel, which may be quiet for long.
    pub lasting: bool,
}

impl Fate {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Reach, Self::Go, Self::Held, Self::Refused];

    /// One lower-case word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Reach => "reach",
            Self::Go => "go",
            Self::Held => "held",
            Self::Refused => "refused",
        }
    }
}

impl OriginFacts {
    /// What `view` and `gate` tell at `now`.
    pub fn of(
        view: &View,
        gate: &Gate,
        visits: Vec<UnderWay>,
        facts: &Facts,
        now: Instant,
    ) -> Self {
        let ago = |then: Instant| seconds(now.saturating_duration_since(then));
        let (busy, opens_in) = match gate {
            Gate::Open(generation) => (Some(generation.busy()), None),
            Gate::Shut(shut) => {
                let left = shut.expected.saturating_duration_since(now);
                (None, Some(seconds(left)))
            }
        };
        let open = matches!(gate, Gate::Open(_));
        let patience = facts.patience.as_secs_f64();
        let requests = match (opens_in, view.state) {
            _ if matches!(gate, Gate::Shut(shut) if shut.why.refuses()) => Fate::Refused,
            (Some(left), _) if left > patience => Fate::Refused,
            (Some(_), _) => Fate::Held,
            (None, State::Ready) => Fate::Reach,
            (None, _) => Fate::Go,
        };
        let (verdict, confidence, evidence_for, evidence_against) = told(view.judgement.as_ref());
        Self {
            care: view.care,
            state: view.state,
            stance: view.stance.word(),
            stance_ends_in_seconds: view
                .stance
                .until()
                .map(|until| seconds(until.saturating_duration_since(now))),
            since: facts.time(view.since),
            for_seconds: ago(view.since),
            up: open && matches!(view.state, State::Ready | State::Suspect),
            requests,
            opens_in_seconds: opens_in,
            has_answered: view.probes.answered > 0 || view.start_took.is_some(),
            address: view.address.to_string(),
            command: view.command.clone(),
            generation: view.generation,
            pid: view.pid,
            uptime_seconds: view.started.map(ago),
            start_took_seconds: view.start_took.map(seconds),
            concurrency: view.concurrency.map(|slots| Concurrency {
                slots,
                measured: view.measured,
                busy,
            }),
            verdict,
            confidence,
            evidence_for,
            evidence_against,
            trouble: view.trouble.clone(),
            standby: view.standby.as_ref().map(|it| Standby {
                readiness: it.readiness.word(),
                pid: it.pid,
                generation: it.generation,
                address: it.address.as_ref().map(|address| address.to_string()),
                uptime_seconds: it.started.map(ago),
                answered_ago_seconds: it.answered.map(ago),
                trouble: it.trouble.clone(),
            }),
            frozen: view.frozen.map(|it| Kept {
                pid: it.pid,
                generation: it.generation,
                for_seconds: seconds(it.until.saturating_duration_since(now)),
            }),
            last_probe: view
                .last_probe
                .as_ref()
                .map(|(reading, at)| Probed::of(reading, ago(*at))),
            memory_bytes: view.resident,
            descriptors: view.descriptors,
            threads: view.threads,
            close_wait: view.growths.of(Holding::CloseWait).map(|it| it.now),
            growth: view.growths.clone(),
            processor_share: view.processor_share.map(rounded),
            accept_queue: view.accept_queue,
            restarts: restarts(view),
            probes: ByWord(vec![
                ("answered", view.probes.answered),
                ("silent", view.probes.silent),
                ("refused", view.probes.refused),
                ("broken", view.probes.broken),
                ("unasked", view.probes.unasked),
            ]),
            visits,
        }
    }
}

impl Probed {
    fn of(reading: &Reading, ago_seconds: f64) -> Self {
        let result = match reading {
            Reading::Answered { .. } => "answered",
            Reading::Silent => "silent",
            Reading::Refused => "refused",
            Reading::Broken(_) => "broken",
            Reading::Unasked(_) => "unasked",
        };
        let mut probed = Self {
            result,
            status: None,
            took_seconds: None,
            reason: None,
            ago_seconds,
        };
        match reading {
            Reading::Answered { status, took } => {
                probed.status = Some(*status);
                probed.took_seconds = Some(seconds(*took));
            }
            Reading::Broken(reason) | Reading::Unasked(reason) => {
                probed.reason = Some(reason.clone())
            }
            Reading::Silent | Reading::Refused => {}
        }
        probed
    }
}

type Told = (
    Option<Verdict>,
    Option<Confidence>,
    Vec<String>,
    Vec<String>,
);

fn told(judgement: Option<&Judgement>) -> Told {
    match judgement {
        None => (None, None, Vec::new(), Vec::new()),
        Some(judgement) => (
            Some(judgement.verdict),
            Some(judgement.confidence),
            judgement.evidence_for.clone(),
            judgement.evidence_against.clone(),
        ),
    }
}

/// Every verdict that can end a generation, those that never did at 0.
fn restarts(view: &View) -> ByWord {
    let ended = |verdict: Verdict| view.restarts.get(&verdict).copied().unwrap_or(0);
    ByWord(
        Verdict::ENDINGS
            .iter()
            .map(|verdict| (verdict.word(), ended(*verdict)))
            .collect(),
    )
}

fn care<S: Serializer>(care: &Care, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(match care {
        Care::Owned => "owned",
        Care::Tended => "tended",
        Care::Observed => "observed",
    })
}

fn fate<S: Serializer>(fate: &Fate, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(fate.word())
}

fn state<S: Serializer>(state: &State, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(state.word())
}
