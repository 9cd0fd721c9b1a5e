//! An incident: the whole story of one generation's end, on disk before the first signal is sent.

use serde::Serialize;

use super::cost::Cost;
use super::course::Course;
use super::forensics::Findings;
use super::growth::Growths;
use super::hook::Ran;
use super::pid::Pid;
use super::roster::{VisitId, VisitSeen};
use super::sender::Signalled;
use super::verdict::Judgement;

/// The story, as far as it is known at the time of writing.
#[derive(Debug, Clone, Serialize)]
pub struct Incident {
    /// The version of this shape.
    pub schema: u32,
    /// Its name: the moment, the generation, the verdict.
    pub id: String,
    /// What a human can act on.
    pub sentence: String,
    /// When it was opened, RFC 3339.
    pub opened: String,
    /// Which generation.
    pub generation: u64,
    /// Its process.
    pub pid: Option<Pid>,
    /// The command that had started it.
    pub command: Option<String>,
    /// What was believed, and why.
    pub judgement: Judgement,
    /// What happened when, in the order of its happening.
    pub timeline: Course,
    /// The requests under way, the oldest first.
    pub visits: Vec<VisitSeen>,
    /// The last lines the origin wrote.
    pub output: Vec<String>,
    /// How what it held had grown since its first answer, by what it is.
    pub growth: Growths,
    /// What the kernel told.
    pub findings: Option<Findings>,
    /// What the hook said that was run before the first signal; absent where none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before_kill: Option<Ran>,
    /// The visits of which it had provably read nothing when it was ended: they were as good as not sent, and went to the
    /// next generation whatever they ask for. Absent where there was none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<VisitId>,
    /// The request that is in quarantine for this; absent where none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quarantined: Option<String>,
    /// The incident whose outage this is a part of: a start that failed meanwhile is no outage of its own. Absent
    /// otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part_of: Option<String>,
    /// How it ended and what it cost; absent while it is open.
    pub ending: Option<Closing>,
}

/// How an incident ended.
#[derive(Debug, Clone, Serialize)]
pub struct Closing {
    /// How the process ended, in words.
    pub obituary: String,
    /// The signal by which that was, and whose it was; absent where it was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<Signalled>,
    /// From the first sign to the verdict, in seconds.
    pub detection_seconds: f64,
    /// From the gate's shutting to its opening, in seconds; absent until it opens. Of an origin that is somebody else's,
    /// from the verdict to its next answer.
    pub downtime_seconds: Option<f64>,
    /// For how long nobody was served, as far as that could be seen: the sum of the two; absent until the gate opens.
    pub unserved_seconds: Option<f64>,
    /// What it cost the clients, from the last moment at which nothing was wrong; absent until the gate opens.
    pub requests: Option<Cost>,
}

/// An incident in one line, for a list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Its name.
    pub id: String,
    /// When it was opened, RFC 3339.
    pub opened: String,
    /// The word of the verdict.
    pub verdict: String,
    /// What a human can act on.
    pub sentence: String,
    /// From the gate's shutting to its opening, in seconds, once it has opened.
    pub downtime_seconds: Option<f64>,
    /// From the first sign to the gate's opening, in seconds, once it has opened: for so long nobody was served.
    pub unserved_seconds: Option<f64>,
    /// What it cost the clients, once the gate has opened.
    pub requests: Option<Cost>,
    /// The incident whose outage this is a part of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part_of: Option<String>,
    /// Whether its file could be written, and so may be gone again by now.
    #[serde(skip)]
    pub is_on_disk: bool,
}

/// Which part of its story is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// What was seen; nothing has been disturbed yet.
    Opened,
    /// What a hook added to it, or what it came to cost after its end.
    Amended,
    /// How it ended.
    Closed,
    /// All of it: somebody wanted to know what the origin does, and nothing was done to it.
    Captured,
}

/// The version of [`Incident`]'s shape.
pub const SCHEMA: u32 = 1;

impl Incident {
    /// It in one line.
    pub fn summary(&self) -> Summary {
        let ending = self.ending.as_ref();
        Summary {
            id: self.id.clone(),
            opened: self.opened.clone(),
            verdict: self.judgement.verdict.word().to_owned(),
            sentence: self.sentence.clone(),
            downtime_seconds: ending.and_then(|it| it.downtime_seconds),
            unserved_seconds: ending.and_then(|it| it.unserved_seconds),
            requests: ending.and_then(|it| it.requests),
            part_of: self.part_of.clone(),
            is_on_disk: false,
        }
    }
}

impl Step {
    /// Whether the operator's program is told of it.
    pub fn is_told(self) -> bool {
        matches!(self, Self::Opened | Self::Closed)
    }

    /// One lower-case word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Amended => "amended",
            Self::Closed => "closed",
            Self::Captured => "captured",
        }
    }
}
