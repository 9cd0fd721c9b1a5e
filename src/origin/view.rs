//! What the watch tells of the origin: the whole picture at one instant, replaced at each change.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::growth::Growths;
use super::incident::{Incident, Step, Summary};
use super::lifecycle::{Lifecycle, Phase};
use super::pid::Pid;
use super::probe::Reading;
use super::quarantine::Barred;
use super::verdict::{Judgement, Verdict};
use super::will::Stance;
use crate::config::settings;
use crate::ground::addr::OriginAddr;

/// The word a user sees for the origin: a total function of phase and verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Started, or about to be; not answered yet.
    Starting,
    /// It answers.
    Ready,
    /// Something is wrong, and not yet sure.
    Suspect,
    /// Sure; the evidence is being taken, the end is near.
    Hung,
    /// It is being ended.
    Stopping,
    /// There is no process; the next start waits.
    Backoff,
    /// Restarting does not help; it is tried slowly, for ever.
    Degraded,
    /// The operator works on it.
    Maintenance,
}

/// Whether Leeward owns the origin's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Care {
    /// It starts, ends and restarts it.
    Owned,
    /// Somebody else starts it; it ends and restarts it by whoever that is.
    Tended,
    /// It only looks and tells.
    Observed,
}

impl Care {
    /// What is done for an origin that is started so.
    pub fn of(process: &settings::Process) -> Self {
        match process {
            settings::Process::Observed => Self::Observed,
            process if process.is_foreign() => Self::Tended,
            _ => Self::Owned,
        }
    }
}

/// The origin at one instant.
#[derive(Debug, Clone)]
pub struct View {
    /// Whose process it is.
    pub care: Care,
    /// The word.
    pub state: State,
    /// Since when.
    pub since: Instant,
    /// Where the operator has put us.
    pub stance: Stance,
    /// Where it listens.
    pub address: OriginAddr,
    /// The command that starts it, for a person.
    pub command: Option<String>,
    /// Counted from 1; 0 before the first.
    pub generation: u64,
    /// When this generation was started, or first seen.
    pub started: Option<Instant>,
    /// How long the last start took, to the first answer.
    pub start_took: Option<Duration>,
    /// Its process.
    pub pid: Option<Pid>,
    /// How many requests it works on at once, once that is known.
    pub concurrency: Option<usize>,
    /// Whether that was measured and not set.
    pub measured: bool,
    /// What is believed of it.
    pub judgement: Option<Judgement>,
    /// The last probe, and when it ended.
    pub last_probe: Option<(Reading, Instant)>,
    /// Resident memory in bytes.
    pub resident: Option<u64>,
    /// Open descriptors.
    pub descriptors: Option<u64>,
    /// Threads.
    pub threads: Option<u32>,
    /// How what it holds has grown since its first answer.
    pub growths: Growths,
    /// Its share of one processor lately.
    pub processor_share: Option<f64>,
    /// Connections waiting to be accepted.
    pub accept_queue: Option<u32>,
    /// How many generations ended, by verdict.
    pub restarts: BTreeMap<Verdict, u64>,
    /// How many probes ended, by what came of them.
    pub probes: Probes,
    /// The last incidents, the newest first.
    pub incidents: Vec<Summary>,
    /// What all incidents came to since the start.
    pub toll: Toll,
    /// Why the last start failed, if it did.
    pub trouble: Option<String>,
    /// The standby, where one is wanted.
    pub standby: Option<Spare>,
    /// A hung generation that is kept frozen.
    pub frozen: Option<Frozen>,
    /// The requests that are kept from it, the last one last; those whose time is just over, too.
    pub quarantine: Arc<[Barred]>,
}

/// What all incidents came to since Leeward started. Only grows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Toll {
    /// How many were opened, by verdict.
    pub opened: BTreeMap<Verdict, u64>,
    /// How many of them are over.
    pub closed: u64,
    /// From the first sign to the verdict, of all that are over.
    pub detection: Duration,
    /// For how long requests did not reach the origin because its process was replaced, incident or not.
    pub downtime: Duration,
    /// How often one could not be written to the journal.
    pub unwritten: u64,
}

/// The standby at one instant.
#[derive(Debug, Clone)]
pub struct Spare {
    /// How it is.
    pub readiness: Readiness,
    /// Its process, if there is one.
    pub pid: Option<Pid>,
    /// Which generation it is or would be.
    pub generation: Option<u64>,
    /// Where it listens.
    pub address: Option<OriginAddr>,
    /// When it was started.
    pub started: Option<Instant>,
    /// When it answered last.
    pub answered: Option<Instant>,
    /// Why there is none, or why the one before went.
    pub trouble: Option<String>,
}

/// How a standby is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// There is none just now.
    Absent,
    /// It has not answered yet.
    Starting,
    /// It answers, and can take over.
    Proven,
    /// It answered, and something is wrong with it.
    Doubtful,
}

/// A hung generation that is kept for a debugger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frozen {
    /// Its process.
    pub pid: Option<Pid>,
    /// Which it was.
    pub generation: u64,
    /// It is ended then.
    pub until: Instant,
}

/// How many probes ended, by what came of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Probes {
    /// With an answer.
    pub answered: u64,
    /// Without one in time.
    pub silent: u64,
    /// Nobody listened.
    pub refused: u64,
    /// No HTTP.
    pub broken: u64,
    /// It could not be asked, for a reason of ours.
    pub unasked: u64,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Starting,
        Self::Ready,
        Self::Suspect,
        Self::Hung,
        Self::Stopping,
        Self::Backoff,
        Self::Degraded,
        Self::Maintenance,
    ];

    /// The word for an origin of ours.
    pub fn of(life: &Lifecycle, verdict: Option<Verdict>, stance: Stance) -> Self {
        if matches!(stance, Stance::Maintenance { .. }) {
            return Self::Maintenance;
        }
        match life.phase() {
            Phase::Over => Self::Stopping,
            Phase::Waiting { .. } if life.is_degraded() => Self::Degraded,
            Phase::Waiting { .. } => Self::Backoff,
            Phase::Starting { .. } if life.is_degraded() => Self::Degraded,
            Phase::Starting { .. } => Self::Starting,
            Phase::Ready { .. } if verdict.is_some_and(Verdict::is_suspect) => Self::Suspect,
            Phase::Ready { .. } => Self::Ready,
            Phase::Draining { .. } => Self::Stopping,
            Phase::Stopping { verdict, .. } if verdict.is_hang() => Self::Hung,
            Phase::Stopping { .. } => Self::Stopping,
        }
    }

    /// One lower-case word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Suspect => "suspect",
            Self::Hung => "hung",
            Self::Stopping => "stopping",
            Self::Backoff => "backoff",
            Self::Degraded => "degraded",
            Self::Maintenance => "maintenance",
        }
    }
}

impl Readiness {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Absent, Self::Starting, Self::Proven, Self::Doubtful];

    /// One lower-case word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Starting => "starting",
            Self::Proven => "proven",
            Self::Doubtful => "doubtful",
        }
    }
}

impl View {
    /// The picture before anything is known.
    pub fn blank(care: Care, address: OriginAddr, now: Instant) -> Self {
        Self {
            care,
            state: State::Starting,
            since: now,
            stance: Stance::Serving,
            address,
            command: None,
            generation: 0,
            started: None,
            start_took: None,
            pid: None,
            concurrency: None,
            measured: false,
            judgement: None,
            last_probe: None,
            resident: None,
            descriptors: None,
            threads: None,
            growths: Growths::default(),
            processor_share: None,
            accept_queue: None,
            restarts: BTreeMap::new(),
            probes: Probes::default(),
            incidents: Vec::new(),
            toll: Toll::default(),
            trouble: None,
            standby: None,
            frozen: None,
            quarantine: Arc::default(),
        }
    }

    /// Enters a state; the time it began stays when it is the same as before.
    pub fn enter(&mut self, state: State, now: Instant) {
        if state != self.state {
            self.state = state;
            self.since = now;
        }
    }

    /// The process is gone, and what was measured of it says nothing any more.
    pub fn forget_process(&mut self) {
        self.started = None;
        self.pid = None;
        self.resident = None;
        self.descriptors = None;
        self.threads = None;
        self.growths = Growths::default();
        self.processor_share = None;
        self.accept_queue = None;
    }

    /// The line `systemctl status` shows.
    pub fn line(&self) -> String {
        let mut state = self.state.word().to_owned();
        if self.stance != Stance::Serving && self.state != State::Maintenance {
            state = format!("{state} ({})", self.stance.word());
        }
        match (&self.judgement, &self.trouble) {
            (_, Some(trouble)) => format!("origin {state}: {trouble}"),
            (Some(judgement), None) if judgement.verdict.is_suspect() => {
                format!("origin {state}: {}", judgement.verdict.word())
            }
            _ => format!("origin {state}, generation {}", self.generation),
        }
    }
}

impl Toll {
    /// Counts this step of an incident, which came into the journal or did not.
    pub fn count(&mut self, incident: &Incident, step: Step, is_written: bool) {
        if !is_written {
            self.unwritten += 1;
        }
        match (step, &incident.ending) {
            (Step::Opened, _) => {
                *self.opened.entry(incident.judgement.verdict).or_default() += 1;
            }
            (Step::Closed, Some(ending)) => {
                self.closed += 1;
                self.detection += length(ending.detection_seconds);
                self.downtime += ending.downtime_seconds.map_or(Duration::ZERO, length);
            }
            (Step::Closed | Step::Amended | Step::Captured, _) => {}
        }
    }
}

fn length(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

impl Probes {
    /// Counts one.
    pub fn count(&mut self, reading: &Reading) {
        match reading {
            Reading::Answered { .. } => self.answered += 1,
            Reading::Silent => self.silent += 1,
            Reading::Refused => self.refused += 1,
            Reading::Broken(_) => self.broken += 1,
            Reading::Unasked(_) => self.unasked += 1,
        }
    }
}
