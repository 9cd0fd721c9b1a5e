//! What the operator wants, beside what the origin does: whether requests may reach it, and whether a hang is acted on.
//! Pure: `now` comes in.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::gate::{Gate, Shut, Why};

/// What an operator asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verb {
    /// Another generation, once what is under way is done; requests are held meanwhile.
    Restart,
    /// Hold all requests for so long at the most.
    Pause(Duration),
    /// Refuse all requests, for this server is to be taken out of service; what is under way is finished.
    Drain,
    /// Refuse all requests with a word of maintenance, and leave the origin alone; until `resume`, or for so long.
    Maintenance(Option<Duration>),
    /// Back to normal.
    Resume,
    /// Write down what the origin does now, and disturb nothing.
    Capture,
    /// Let this request out of quarantine, or all of them.
    Release(Option<Arc<str>>),
}

/// What was done, or why it was not.
pub type Reply = Result<String, String>;

/// Where the operator has put us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stance {
    /// Requests reach the origin as it can take them.
    Serving,
    /// They wait.
    Paused {
        /// Until then.
        until: Instant,
    },
    /// They are refused.
    Draining,
    /// They are refused, and the origin is nobody's business.
    Maintenance {
        /// Until then, if that was said.
        until: Option<Instant>,
    },
}

/// What those who are refused are told to wait where nobody knows.
const A_WHILE: Duration = Duration::from_secs(60);

impl Stance {
    /// All words.
    pub const WORDS: [&'static str; 4] = ["serving", "paused", "draining", "maintenance"];

    /// What a verb makes of it; the others leave it as it is.
    pub fn after(self, verb: &Verb, now: Instant) -> Self {
        match verb {
            Verb::Restart | Verb::Capture | Verb::Release(_) => self,
            Verb::Resume => Self::Serving,
            Verb::Drain => Self::Draining,
            Verb::Pause(length) => Self::Paused {
                until: now + *length,
            },
            Verb::Maintenance(length) => Self::Maintenance {
                until: length.map(|length| now + length),
            },
        }
    }

    /// One lower-case word.
    pub fn word(self) -> &'static str {
        let place = match self {
            Self::Serving => 0,
            Self::Paused { .. } => 1,
            Self::Draining => 2,
            Self::Maintenance { .. } => 3,
        };
        Self::WORDS[place]
    }

    /// When it is over by itself.
    pub fn until(self) -> Option<Instant> {
        match self {
            Self::Paused { until } => Some(until),
            Self::Maintenance { until } => until,
            Self::Serving | Self::Draining => None,
        }
    }

    /// Whether the origin is let be, whatever is believed of it: somebody may be at work on it.
    pub fn lets_be(self) -> bool {
        matches!(self, Self::Paused { .. } | Self::Maintenance { .. })
    }

    /// The gate as those see it who send requests, where the origin alone would have it as in `beneath`.
    pub fn gate(self, beneath: &Gate, now: Instant) -> Gate {
        let why = match self {
            Self::Serving => return beneath.clone(),
            Self::Paused { .. } => Why::Paused,
            Self::Draining => Why::Draining,
            Self::Maintenance { .. } => Why::Maintenance,
        };
        let expected = match self {
            Self::Paused { .. } => now,
            _ => self.until().unwrap_or(now + A_WHILE),
        };
        Gate::Shut(Shut {
            since: now,
            expected,
            why,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beneath(now: Instant) -> Gate {
        Gate::Shut(Shut {
            since: now,
            expected: now,
            why: Why::Down,
        })
    }

    fn why(stance: Stance, now: Instant) -> Why {
        match stance.gate(&beneath(now), now) {
            Gate::Shut(shut) => shut.why,
            Gate::Open(_) => panic!("nobody opened it"),
        }
    }

    #[test]
    fn each_verb_leads_where_it_says_and_resume_leads_back() {
        let now = Instant::now();
        let minute = Duration::from_secs(60);
        let table = [
            (Verb::Pause(minute), Why::Paused, Some(now + minute)),
            (Verb::Drain, Why::Draining, None),
            (Verb::Maintenance(None), Why::Maintenance, None),
            (
                Verb::Maintenance(Some(minute)),
                Why::Maintenance,
                Some(now + minute),
            ),
        ];
        for (verb, reason, until) in table {
            let stance = Stance::Serving.after(&verb, now);
            assert_eq!((why(stance, now), stance.until()), (reason, until));
            for same in [Verb::Restart, Verb::Capture, Verb::Release(None)] {
                assert_eq!(stance.after(&same, now), stance);
            }
            assert_eq!(stance.after(&Verb::Resume, now), Stance::Serving);
        }
        assert_eq!(why(Stance::Serving, now), Why::Down);
    }
}
