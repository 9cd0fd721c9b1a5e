//! From what was seen of the origin to what we believe of it. Pure: no clock, no socket, no file.

use std::time::Duration;

use serde::Serialize;

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
    /// An operator asked for a restart.
    Requested,
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
    /// What speaks for it.
    pub evidence_for: Vec<String>,
    /// What speaks against it, and what could not be seen.
    pub evidence_against: Vec<String>,
    /// Whether the process is to be replaced now.
    pub act: bool,
}

/// What the process is seen doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// Asleep, waiting for something.
    Sleeping,
    /// On a processor, or waiting for one.
    Running,
    /// Stopped by a signal.
    Stopped,
    /// Held by a debugger.
    Traced,
    /// In an uninterruptible wait.
    DiskWait,
    /// It could not be seen, or is not ours to look at.
    Unseen,
}

/// The last answer to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    /// Nobody asked, or nobody was answered yet.
    None,
    /// It answered with this status.
    Answered(u16),
    /// It kept silent.
    Silent,
    /// Nobody listened.
    Refused,
    /// Something came, or the connection ended, but it was no HTTP answer.
    Broken,
}

/// Everything a judgement rests on, at one instant. All lengths end at that instant.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// Since the spawn, or since we began to look.
    pub age: Duration,
    /// Whether this generation ever answered.
    pub has_answered: bool,
    /// What the process does.
    pub doing: Doing,
    /// For how long it has been seen doing just that.
    pub doing_for: Duration,
    /// Its share of one processor since the last sample, if it could be measured.
    pub processor_share: Option<f64>,
    /// The share of time its threads were ready to run and did not, since the last sample.
    pub starved_share: Option<f64>,
    /// For how long questions have been without any sign of life: an answer, or a byte moved on any visit.
    /// Zero when nothing is asked.
    pub silence: Duration,
    /// For how long nobody has been listening.
    pub refused_for: Duration,
    /// The last probe.
    pub voice: Voice,
    /// Visits under way.
    pub in_flight: usize,
    /// Time since a byte moved on any visit, if one ever did.
    pub quiet: Option<Duration>,
    /// Connections waiting to be accepted, if that could be seen.
    pub accept_queue: Option<u32>,
    /// What holds the whole origin for certain, if something was found to.
    pub held: Option<Held>,
    /// What could not be seen, and why.
    pub unseen: Vec<String>,
}

/// A wait that no patience ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// By what, in a few words.
    pub by: String,
    /// For how long it has been seen to go on, without a break.
    pub length: Duration,
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
}

/// Above this share of the time spent waiting for a processor, silence is the host's fault.
const STARVED: f64 = 0.25;
/// Above this share of one processor, a process is running and not waiting.
const SPINNING: f64 = 0.5;

/// A wait must have been seen to go on for this part of `hang.certain`, beside the silence itself.
const PROOF: u32 = 3;

/// A shorter silence is what every answer begins with.
const WORTH_A_WORD: Duration = Duration::from_millis(100);

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
            _ => Verdict::Healthy,
        };
        return evidence.say(verdict, Confidence::Conclusive, false);
    }
    judge_silence(evidence, limits)
}

fn judge_start(evidence: &Evidence, limits: &Limits) -> Judgement {
    let late = evidence.age >= limits.startup;
    let starved = evidence.is_starved();
    match (late, starved) {
        (false, _) => evidence.say(Verdict::Starting, Confidence::Conclusive, false),
        (true, true) => evidence.say(Verdict::Starved, Confidence::Inconclusive, false),
        (true, false) => evidence.say(Verdict::StartTimedOut, Confidence::Conclusive, true),
    }
}

fn judge_silence(evidence: &Evidence, limits: &Limits) -> Judgement {
    let inconclusive = |verdict, act| evidence.say(verdict, Confidence::Inconclusive, act);
    if evidence.is_starved() {
        return inconclusive(Verdict::Starved, false);
    }
    if evidence.doing == Doing::DiskWait {
        return inconclusive(Verdict::DiskWait, false);
    }
    let is_proven = |held: &Held| held.length >= limits.certain / PROOF;
    if evidence.held.as_ref().is_some_and(is_proven) {
        return evidence.say(Verdict::HungBlocked, Confidence::Conclusive, true);
    }
    let running = match evidence.processor_share {
        Some(share) => share > SPINNING,
        None => evidence.doing == Doing::Running,
    };
    match running {
        true if evidence.silence >= 3 * limits.silent => inconclusive(Verdict::HungSpinning, true),
        true => inconclusive(Verdict::Busy, false),
        false if evidence.silence >= limits.silent => inconclusive(Verdict::HungBlocked, true),
        false => inconclusive(Verdict::Silent, false),
    }
}

impl Evidence {
    /// Ready to run and kept waiting, for a good part of the time and for longer than it ran.
    fn is_starved(&self) -> bool {
        let ran = self.processor_share.unwrap_or(0.0);
        self.starved_share
            .is_some_and(|waited| waited > STARVED && waited > ran)
    }

    fn say(&self, verdict: Verdict, confidence: Confidence, act: bool) -> Judgement {
        Judgement {
            verdict,
            confidence,
            evidence_for: self.told(),
            evidence_against: self.unseen.clone(),
            act,
        }
    }

    /// Each fact as a short sentence, those that say nothing left out.
    fn told(&self) -> Vec<String> {
        let mut facts = Vec::new();
        let mut say = |fact: String| facts.push(fact);
        let seconds = |length: Duration| format!("{:.1} s", length.as_secs_f64());
        match self.doing {
            Doing::Unseen => {}
            doing => say(format!("{} for {}", doing.word(), seconds(self.doing_for))),
        }
        if let Some(share) = self.processor_share {
            say(format!("uses {:.0} % of a processor", share * 100.0));
        }
        if let Some(share) = self.starved_share {
            say(format!(
                "waits for a processor {:.0} % of the time",
                share * 100.0
            ));
        }
        if self.silence >= WORTH_A_WORD {
            say(format!("no sign of life for {}", seconds(self.silence)));
        }
        if !self.refused_for.is_zero() {
            say(format!("nobody listens for {}", seconds(self.refused_for)));
        }
        match self.voice {
            Voice::Answered(status) => say(format!("the last probe was answered with {status}")),
            Voice::Broken => say("the last probe got no HTTP answer".to_owned()),
            Voice::None | Voice::Silent | Voice::Refused => {}
        }
        if self.in_flight > 0 {
            say(format!("{} under way", counted(self.in_flight, "request")));
        }
        if let Some(quiet) = self.quiet {
            say(format!("the last byte moved {} ago", seconds(quiet)));
        }
        if let Some(waiting) = self.accept_queue.filter(|waiting| *waiting > 0) {
            let wait = if waiting == 1 { "waits" } else { "wait" };
            let waiting = counted(waiting as usize, "connection");
            say(format!("{waiting} {wait} to be accepted"));
        }
        if let Some(held) = &self.held {
            say(format!("{}, for {}", held.by, seconds(held.length)));
        }
        facts
    }
}

fn counted(amount: usize, noun: &str) -> String {
    let plural = if amount == 1 { "" } else { "s" };
    format!("{amount} {noun}{plural}")
}

impl Doing {
    fn word(self) -> &'static str {
        match self {
            Self::Sleeping => "asleep",
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Traced => "held by a debugger",
            Self::DiskWait => "in an uninterruptible wait",
            Self::Unseen => "not seen",
        }
    }
}

impl Verdict {
    /// Those that end a generation, each a label of the restart metric.
    pub const ENDINGS: [Self; 7] = [
        Self::Exited,
        Self::StartTimedOut,
        Self::Stopped,
        Self::HungBlocked,
        Self::HungSpinning,
        Self::NotListening,
        Self::Requested,
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
            Self::Requested => "requested",
        }
    }

    /// Whether a human should look, even where nothing is done.
    pub fn is_suspect(self) -> bool {
        !matches!(
            self,
            Self::Healthy | Self::Starting | Self::Busy | Self::Erroring | Self::Requested
        )
    }

    /// Whether the process is there and serves nobody.
    pub fn is_hang(self) -> bool {
        matches!(
            self,
            Self::Stopped | Self::HungBlocked | Self::HungSpinning | Self::NotListening
        )
    }

    /// Whether the request under way is suspected to be the cause.
    pub fn blames_requests(self) -> bool {
        matches!(self, Self::HungBlocked | Self::HungSpinning)
    }
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
