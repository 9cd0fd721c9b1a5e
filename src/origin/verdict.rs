//! From what was seen of the origin to what we believe of it. Pure: no clock, no socket, no file.

use std::time::Duration;

use serde::Serialize;

use crate::config::fixed::{PROOF, SPINS};

mod evidence;

use super::forensics::On;
pub use evidence::{Doing, Evidence, Held, Voice};

/// What we believe of the origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It answers, or has no reason to.
    Healthy,
    /// It has not answered yet, and still has time to.
    Starting,
    /// It did not answer within its start-up time.
    StartTimedOut,
    /// Slow to answer, but bytes move or it is at work.
    Busy,
    /// It would run if the host let it.
    Starved,
    /// Silent, and not yet for long enough to say more.
    Silent,
    /// Its process is stopped, and no debugger holds it.
    Stopped,
    /// Its process is held by a debugger.
    Traced,
    /// It sleeps in a system call and answers nobody.
    HungBlocked,
    /// It burns a processor and answers nobody.
    HungSpinning,
    /// It waits for a disk, uninterruptibly.
    DiskWait,
    /// Its process runs, and nobody listens on its port.
    NotListening,
    /// Its process ended by itself.
    Exited,
    /// It answers, with server errors.
    Erroring,
    /// It answers as fast as it can, and more is asked than that.
    Overloaded,
    /// It answers, and holds ever more of something.
    Leaking,
    /// An operator asked for a restart.
    Requested,
    /// It has run for as long as it was meant to.
    Scheduled,
}

/// How sure we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// The evidence admits nothing else.
    Conclusive,
    /// Something else is possible; more time has to pass before acting.
    Inconclusive,
}

/// A verdict with its reasons.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judgement {
    /// What we believe.
    pub verdict: Verdict,
    /// How surely.
    pub confidence: Confidence,
    /// What speaks for it, and what it is made of.
    pub evidence_for: Vec<String>,
    /// What speaks against it, and what could not be seen.
    pub evidence_against: Vec<String>,
    /// Whether the process is to be replaced now.
    pub act: bool,
}

/// The times that judge; see `[hang]` and `[restart]`.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Silence that counts where the evidence is conclusive.
    pub certain: Duration,
    /// Silence that counts where it is not.
    pub silent: Duration,
    /// From the spawn to the first answer.
    pub startup: Duration,
    /// How many processors there are.
    pub processors: f64,
}

/// Above this share of one processor, a process is running and not waiting.
const SPINNING: f64 = 0.5;

/// What `evidence` says.
pub fn judge(evidence: &Evidence, limits: &Limits) -> Judgement {
    if !evidence.has_answered {
        return judge_start(evidence, limits);
    }
    match evidence.doing {
        Doing::Stopped => {
            let act = evidence.doing_for >= limits.certain;
            return evidence.say(Verdict::Stopped, Confidence::Conclusive, act);
        }
        Doing::Traced => return evidence.say(Verdict::Traced, Confidence::Conclusive, false),
        _ => {}
    }
    if evidence.refused_for > Duration::ZERO {
        let act = evidence.refused_for >= limits.certain;
        return evidence.say(Verdict::NotListening, Confidence::Conclusive, act);
    }
    if evidence.silence < limits.certain {
        let verdict = match evidence.voice {
            Voice::Answered(500..) | Voice::Broken => Verdict::Erroring,
            Voice::Silent => Verdict::Busy,
            _ if !evidence.leaks.is_empty() => Verdict::Leaking,
            _ if evidence.shed.is_some() => Verdict::Overloaded,
            _ if evidence.full_for >= limits.certain => Verdict::Busy,
            _ => Verdict::Healthy,
        };
        return evidence.say(verdict, Confidence::Conclusive, false);
    }
    judge_silence(evidence, limits)
}

fn judge_start(evidence: &Evidence, limits: &Limits) -> Judgement {
    let late = evidence.age >= limits.startup;
    let starved = evidence.is_starved(limits.processors);
    match (late, starved) {
        (false, _) => evidence.say(Verdict::Starting, Confidence::Conclusive, false),
        (true, true) => evidence.say(Verdict::Starved, Confidence::Inconclusive, false),
        (true, false) => evidence.say(Verdict::StartTimedOut, Confidence::Conclusive, true),
    }
}

fn judge_silence(evidence: &Evidence, limits: &Limits) -> Judgement {
    let inconclusive = |verdict, act| evidence.say(verdict, Confidence::Inconclusive, act);
    let is_long = |held: &&Held| held.length >= limits.certain / PROOF;
    let proven = evidence.held.as_ref().filter(is_long);
    if proven.is_some_and(|held| held.on == On::Itself) {
        return evidence.say(Verdict::HungBlocked, Confidence::Conclusive, true);
    }
    if evidence.is_starved(limits.processors) {
        return inconclusive(Verdict::Starved, false);
    }
    if evidence.doing == Doing::DiskWait {
        return inconclusive(Verdict::DiskWait, false);
    }
    if proven.is_some() {
        return evidence.say(Verdict::HungBlocked, Confidence::Conclusive, true);
    }
    let running = match evidence.processor_share {
        Some(share) => share > SPINNING,
        None => evidence.doing == Doing::Running,
    };
    match running {
        true if evidence.silence >= SPINS * limits.silent => {
            inconclusive(Verdict::HungSpinning, true)
        }
        true => inconclusive(Verdict::Busy, false),
        false if evidence.silence >= limits.silent => inconclusive(Verdict::HungBlocked, true),
        false => inconclusive(Verdict::Silent, false),
    }
}

impl Evidence {
    fn say(&self, verdict: Verdict, confidence: Confidence, act: bool) -> Judgement {
        let (evidence_for, mut evidence_against) = self.told(verdict);
        let unseen = self.unseen.iter().map(|why| format!("not seen: {why}"));
        evidence_against.extend(unseen);
        Judgement {
            verdict,
            confidence,
            evidence_for,
            evidence_against,
            act,
        }
    }
}

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::Healthy,
        Self::Starting,
        Self::StartTimedOut,
        Self::Busy,
        Self::Starved,
        Self::Silent,
        Self::Stopped,
        Self::Traced,
        Self::HungBlocked,
        Self::HungSpinning,
        Self::DiskWait,
        Self::NotListening,
        Self::Exited,
        Self::Erroring,
        Self::Overloaded,
        Self::Leaking,
        Self::Requested,
        Self::Scheduled,
    ];

    /// Those that end a generation, each a label of the restart metric.
    pub const ENDINGS: [Self; 9] = [
        Self::Exited,
        Self::StartTimedOut,
        Self::Stopped,
        Self::HungBlocked,
        Self::HungSpinning,
        Self::NotListening,
        Self::Leaking,
        Self::Requested,
        Self::Scheduled,
    ];

    /// One lower-case word, the same in log, metrics, page and incident.
    pub fn word(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Starting => "starting",
            Self::StartTimedOut => "start-timed-out",
            Self::Busy => "busy",
            Self::Starved => "starved",
            Self::Silent => "silent",
            Self::Stopped => "stopped",
            Self::Traced => "traced",
            Self::HungBlocked => "hung-blocked",
            Self::HungSpinning => "hung-spinning",
            Self::DiskWait => "disk-wait",
            Self::NotListening => "not-listening",
            Self::Exited => "exited",
            Self::Erroring => "erroring",
            Self::Overloaded => "overloaded",
            Self::Leaking => "leaking",
            Self::Requested => "requested",
            Self::Scheduled => "scheduled",
        }
    }

    /// Whether a human should look, even where nothing is done.
    pub fn is_suspect(self) -> bool {
        !matches!(
            self,
            Self::Healthy
                | Self::Starting
                | Self::Busy
                | Self::Erroring
                | Self::Overloaded
                | Self::Requested
                | Self::Scheduled
        )
    }

    /// Whether the process is there and serves nobody.
    pub fn is_hang(self) -> bool {
        matches!(
            self,
            Self::Stopped | Self::HungBlocked | Self::HungSpinning | Self::NotListening
        )
    }

    /// Whether it is replaced though it serves, in peace.
    pub fn is_renewal(self) -> bool {
        matches!(self, Self::Requested | Self::Scheduled | Self::Leaking)
    }

    /// Whether its end is a story worth telling: somebody wanted it otherwise.
    pub fn is_incident(self) -> bool {
        !matches!(self, Self::Requested | Self::Scheduled)
    }

    /// Whether the request under way is suspected to be the cause.
    pub fn blames_requests(self) -> bool {
        matches!(self, Self::HungBlocked | Self::HungSpinning)
    }
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
