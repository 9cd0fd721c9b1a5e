//! What a judgement rests on, and how it is told. Pure.

use std::time::Duration;

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

    /// Each fact as a short sentence, those that say nothing left out.
    pub(super) fn told(&self) -> Vec<String> {
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
        if self.full_for >= WORTH_A_WORD {
            let full = seconds(self.full_for);
            say(format!("all its slots have been in use for {full}"));
        }
        if let Some(quiet) = self.quiet {
            say(format!("the last byte moved {} ago", seconds(quiet)));
        }
        if let Some(waiting) = self.accept_queue.filter(|waiting| *waiting > 0) {
            let wait = if waiting == 1 { "waits" } else { "wait" };
            let waiting = counted(waiting as usize, "connection");
            say(format!("{waiting} {wait} to be accepted"));
        }
        if let Some((processor, memory)) = self.strain {
            let mut strained = |share: f64, of: &str| {
                if share > STRAINED {
                    let share = share * 100.0;
                    say(format!("the host waits for {of} {share:.0} % of the time"));
                }
            };
            strained(processor, "processors");
            strained(memory, "memory");
        }
        if let Some(shed) = self.shed {
            say(format!("requests were turned away {} ago", seconds(shed)));
        }
        let held = self.leaks.iter().chain(&self.growths);
        held.cloned().for_each(&mut say);
        if let Some(closely) = &self.closely {
            say(closely.clone());
        }
        if let Some(held) = &self.held {
            say(format!("{}, for {}", held.by, seconds(held.length)));
        }
        facts
    }
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
