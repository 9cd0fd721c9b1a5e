//! What a judgement rests on, and how it is told. Pure.

use std::time::Duration;

use super::Verdict;
use crate::origin::forensics::On;

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
    /// For how long questions have been without any sign of life: an answer, or a byte given or read on any visit.
    /// Zero when nothing is asked.
    pub silence: Duration,
    /// For how long nobody has been listening.
    pub refused_for: Duration,
    /// The last probe.
    pub voice: Voice,
    /// How long ago the last probe was answered, if one ever was.
    pub voice_ago: Option<Duration>,
    /// Visits under way.
    pub in_flight: usize,
    /// For how long every probe found all slots in use.
    pub full_for: Duration,
    /// Time since the origin gave or read a byte on any visit, if it ever did.
    pub quiet: Option<Duration>,
    /// Connections waiting to be accepted, if that could be seen.
    pub accept_queue: Option<u32>,
    /// The share of time in which some task of the host waited for a processor, and for memory.
    pub strain: Option<(f64, f64)>,
    /// How long ago a request was turned away because too many waited, if that was lately.
    pub shed: Option<Duration>,
    /// What it has more of than it should.
    pub leaks: Vec<String>,
    /// What it holds ever more of.
    pub growths: Vec<String>,
    /// What the last close look during this silence found.
    pub closely: Option<String>,
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
    /// Whom it waits for.
    pub on: On,
}

/// Above this share of the time spent waiting for a processor, silence is the host's fault.
const STARVED: f64 = 0.25;
/// Above this share of the time that some task of the host waited, nobody's silence is its own fault.
const STRAINED: f64 = 0.4;

/// Less than this share of a processor is what a process takes that waits.
const IDLE: f64 = 0.05;
/// A shorter silence is what every answer begins with.
const WORTH_A_WORD: Duration = Duration::from_millis(100);

impl Evidence {
    /// Ready to run and kept waiting, for a good part of the time and for longer than it ran; where that cannot be seen,
    /// the host's own word counts. Or the host is out of memory, and nobody's pages stay where they are.
    ///
    /// The kernel counts a wait when it is over: who is ready, and neither ran nor waited, waits right now.
    ///
    /// Threads that keep each other waiting have most of the `processors` for themselves: that is no fault of the host's.
    pub(super) fn is_starved(&self, processors: f64) -> bool {
        let ran = self.processor_share.unwrap_or(0.0);
        let (processor, memory) = self.strain.unwrap_or_default();
        let waits = match self.starved_share {
            Some(waited) if self.is_ready() && waited + ran < STARVED => true,
            Some(waited) => waited > STARVED && waited > ran && ran < processors / 2.0,
            None => processor > STRAINED,
        };
        waits || memory > STRAINED
    }

    fn is_ready(&self) -> bool {
        self.doing == Doing::Running && self.processor_share.is_some()
    }

    /// Each fact as a short sentence, those that say nothing left out: those that speak for `verdict`, or lay it out, and
    /// those that speak against it. All lengths end with the last look.
    pub(super) fn told(&self, verdict: Verdict) -> (Vec<String>, Vec<String>) {
        let mut facts = Facts {
            verdict,
            on_its_side: Vec::new(),
            against: Vec::new(),
        };
        self.tell_of_the_process(&mut facts);
        self.tell_of_its_answers(&mut facts);
        self.tell_of_others(&mut facts);
        (facts.on_its_side, facts.against)
    }

    fn tell_of_the_process(&self, facts: &mut Facts) {
        let length = seconds(self.doing_for);
        match self.doing {
            Doing::Unseen => {}
            Doing::Sleeping | Doing::Running => {
                facts.plain(format!("{} at every look for {length}", self.doing.word()))
            }
            doing => facts.of_illness(format!("{} for {length}", doing.word())),
        }
        if let Some(share) = self.processor_share {
            let told = format!("uses {:.0} % of a processor", share * 100.0);
            match facts.verdict == Verdict::HungBlocked && share > IDLE {
                true => facts.against.push(told),
                false => facts.plain(told),
            }
        }
        if let Some(share) = self.starved_share {
            let told = format!("waits for a processor {:.0} % of the time", share * 100.0);
            match facts.is_of_a_hang() && share > IDLE {
                true => facts.against.push(told),
                false => facts.plain(told),
            }
        }
    }

    fn tell_of_its_answers(&self, facts: &mut Facts) {
        if self.silence >= WORTH_A_WORD {
            facts.of_illness(format!("no sign of life for {}", seconds(self.silence)));
        }
        if !self.refused_for.is_zero() {
            facts.of_illness(format!("nobody listens for {}", seconds(self.refused_for)));
        }
        match self.voice {
            // That it answered before it fell ill says nothing of now.
            Voice::Answered(_) | Voice::Broken if facts.is_of_a_hang() => {}
            Voice::Answered(status) => {
                let ago = self.voice_ago.map(seconds);
                let ago = ago.map_or_else(String::new, |ago| format!(", {ago} ago"));
                facts.plain(format!("the last probe was answered with {status}{ago}"));
            }
            Voice::Broken => facts.plain("the last probe got no HTTP answer".to_owned()),
            Voice::None | Voice::Silent | Voice::Refused => {}
        }
        if self.in_flight > 0 {
            facts.plain(format!("{} under way", counted(self.in_flight, "request")));
        }
        if self.full_for >= WORTH_A_WORD {
            let full = seconds(self.full_for);
            facts.plain(format!("all its slots have been in use for {full}"));
        }
        if let Some(quiet) = self.quiet {
            facts.plain(format!("the last byte moved {} ago", seconds(quiet)));
        }
    }

    fn tell_of_others(&self, facts: &mut Facts) {
        if let Some(waiting) = self.accept_queue.filter(|waiting| *waiting > 0) {
            let wait = if waiting == 1 { "waits" } else { "wait" };
            let waiting = counted(waiting as usize, "connection");
            facts.of_illness(format!("{waiting} {wait} to be accepted"));
        }
        if let Some((processor, memory)) = self.strain {
            for (share, of) in [(processor, "processors"), (memory, "memory")] {
                if share > STRAINED {
                    let share = share * 100.0;
                    let told = format!("the host waits for {of} {share:.0} % of the time");
                    match facts.is_of_a_hang() {
                        true => facts.against.push(told),
                        false => facts.plain(told),
                    }
                }
            }
        }
        if let Some(shed) = self.shed {
            facts.of_illness(format!("requests were turned away {} ago", seconds(shed)));
        }
        for leak in &self.leaks {
            facts.of_illness(leak.clone());
        }
        for growth in &self.growths {
            facts.plain(growth.clone());
        }
        if let Some(closely) = &self.closely {
            facts.plain(closely.clone());
        }
        if let Some(held) = &self.held {
            facts.of_illness(format!("{}, for {}", held.by, seconds(held.length)));
        }
    }
}

/// What is said, by the side it is on.
struct Facts {
    verdict: Verdict,
    on_its_side: Vec<String>,
    against: Vec<String>,
}

impl Facts {
    /// It lays out what the verdict is made of, whichever that is.
    fn plain(&mut self, fact: String) {
        self.on_its_side.push(fact);
    }

    /// Something is wrong: that is no reason to call it healthy.
    fn of_illness(&mut self, fact: String) {
        match self.verdict {
            Verdict::Healthy => self.against.push(fact),
            _ => self.on_its_side.push(fact),
        }
    }

    fn is_of_a_hang(&self) -> bool {
        self.verdict.is_hang() || self.verdict == Verdict::Silent
    }
}

fn seconds(length: Duration) -> String {
    format!("{:.1} s", length.as_secs_f64())
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

fn counted(amount: usize, noun: &str) -> String {
    let plural = if amount == 1 { "" } else { "s" };
    format!("{amount} {noun}{plural}")
}
