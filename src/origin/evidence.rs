//! From a verdict to an incident on the disk, within a bounded time, before anything is disturbed.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::Watch;
use super::course::Course;
use super::forensics::{Findings, Seen, examine, sentence};
use super::hook::Occasion;
use super::incident::{Closing, Incident, SCHEMA, Step, Summary};
use super::journal::{Journal, MOMENT};
use super::oom::Since;
use super::pid::Pid;
use super::process::Process;
use super::roster::{VisitSeen, serving};
use super::sender::Signalled;
use super::senses::listening;
use super::stranger::{stranger, told};
use super::verdict::{Confidence, Judgement, Verdict};
use super::will::Reply;
use crate::config::fixed::{AMENDING, FOUND, LAST_WORDS, LOOKING, WRITING};
use crate::ground::deadline::Deadline;

/// What is known at the moment of the verdict.
pub struct Scene<'a> {
    /// Why the generation ends, or would end if it were ours.
    pub verdict: Verdict,
    /// What was last believed.
    pub judgement: Option<Judgement>,
    /// For how long nothing has moved.
    pub silence: Duration,
    /// What it holds too much of.
    pub leaks: Vec<String>,
    /// The requests under way.
    pub visits: Vec<VisitSeen>,
    /// What has happened so far.
    pub course: Course,
    /// How often the kernel has killed for want of memory since its start.
    pub killed: Since,
    /// The process.
    pub subject: Subject<'a>,
}

/// Whose process it is about.
pub enum Subject<'a> {
    /// One of ours, whose output and end are ours to know.
    Owned(&'a Process),
    /// Somebody else's, or why nobody knows which it is.
    Observed(Seen<Pid>),
}

/// So many of the origin's last lines are kept.
const LINES: usize = 50;
/// So many incidents are told of on the status page.
const TOLD: usize = 20;

/// Looks at everything and tells it as an incident.
pub async fn gather(watch: &Watch, scene: Scene<'_>) -> Incident {
    let view = &watch.board.view;
    let root = scene.subject.root();
    let pid = root.known().copied();
    let at = listening(&view.address);
    let findings = match (scene.verdict, &scene.subject) {
        (Verdict::Exited, Subject::Owned(process)) => {
            let _ = Deadline::within(LAST_WORDS)
                .bound(process.last_words())
                .await;
            None
        }
        (Verdict::Exited, Subject::Observed(_)) => None,
        _ => {
            let (root, at) = (root.clone(), at.clone());
            let until = Instant::now() + LOOKING;
            aside(LOOKING + FOUND, move || examine(&root, &at, until)).await
        }
    };
    let output = scene.subject.output();
    let said = match (&findings, scene.verdict, &scene.subject) {
        (_, Verdict::Leaking, Subject::Owned(process)) => of_leaks(process, &scene.leaks),
        (Some(findings), ..) => {
            let story = |peer| serving(&scene.visits, peer);
            sentence(findings, scene.silence, story) + &whose(findings, &scene.visits).await
        }
        (None, Verdict::Exited, Subject::Owned(process)) => {
            of_exit(process, output.last(), scene.killed)
        }
        (None, Verdict::Exited, Subject::Observed(_)) => {
            let who = pid.map_or_else(|| "its process".to_owned(), |pid| format!("process {pid}"));
            format!(
                "{who} is gone, and nobody listens on {at}; how it ended, whoever started it can tell"
            )
        }
        (None, ..) => format!("what holds up {at} could not be looked at within {LOOKING:?}"),
    };
    let now = Timestamp::now();
    let moment = now.strftime(MOMENT);
    let (generation, verdict) = (view.generation, scene.verdict);
    Incident {
        schema: SCHEMA,
        id: format!("{moment}-{generation}-{}", verdict.word()),
        sentence: said,
        opened: now.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(),
        generation,
        pid,
        command: view.command.clone(),
        judgement: judged(verdict, scene.judgement),
        timeline: scene.course,
        visits: scene.visits,
        output,
        growth: view.growths.clone(),
        findings,
        before_kill: None,
        unread: Vec::new(),
        quarantined: None,
        part_of: None,
        ending: None,
    }
}

/// Looks at everything because an operator asked for it, and writes it down among the incidents; nobody is told of it.
/// Says where it is.
pub async fn capture(watch: &mut Watch, scene: Scene<'_>) -> Reply {
    let mut seen = gather(watch, scene).await;
    let whose = seen.judgement.verdict.word();
    let until = seen.id.len() - whose.len();
    seen.id.replace_range(until.., "capture");
    seen.ending = Some(Closing {
        obituary: "was looked at because somebody asked for it, and left as it was".to_owned(),
        signal: None,
        detection_seconds: 0.0,
        downtime_seconds: Some(0.0),
        unserved_seconds: Some(0.0),
        requests: None,
    });
    match record(watch, &seen, Step::Captured).await {
        Some(file) => Ok(format!(
            "{}; all of it is in {}",
            seen.sentence,
            file.display()
        )),
        None => Err(format!("{}; it could not be written down", seen.sentence)),
    }
}

impl Subject<'_> {
    fn root(&self) -> Seen<Pid> {
        match self {
            Self::Owned(process) => {
                Seen::from_option(process.pid(), || "its process is not known yet".to_owned())
            }
            Self::Observed(pid) => pid.clone(),
        }
    }

    fn output(&self) -> Vec<String> {
        match self {
            Self::Owned(process) => process.last_lines(LINES),
            Self::Observed(_) => Vec::new(),
        }
    }
}

/// Writes an incident down, synced, puts it on the list, and has the operator told; `step` says which part of its story
/// this is. Returns where it is, unless it could not be written.
pub async fn record(watch: &mut Watch, incident: &Incident, step: Step) -> Option<PathBuf> {
    let path = write(watch.journal.as_ref(), incident, step).await;
    // Without a journal there is nothing that could fail.
    let is_written = path.is_some() || watch.journal.is_none();
    watch.board.view.toll.count(incident, step, is_written);
    let list = &mut watch.board.view.incidents;
    list.retain(|told| told.id != incident.id);
    let summary = Summary {
        is_on_disk: path.is_some(),
        ..incident.summary()
    };
    list.insert(0, summary);
    list.truncate(TOLD);
    if let Some(queue) = watch.told.as_ref().filter(|_| step.is_told()) {
        queue.put(Occasion::of(incident, path.as_deref(), step));
    }
    path
}

async fn write(journal: Option<&Journal>, incident: &Incident, step: Step) -> Option<PathBuf> {
    let limit = match step {
        Step::Opened | Step::Closed | Step::Captured => WRITING,
        Step::Amended => AMENDING,
    };
    let (journal, copy) = (journal?.clone(), incident.clone());
    let directory = journal.directory().display().to_string();
    match aside(limit, move || journal.write(&copy)).await {
        Some(Ok(path)) => {
            tracing::info!(file = %path.display(), "incident {}", step.word());
            return Some(path);
        }
        Some(Err(error)) => tracing::error!(
            "the incident cannot be written to {directory}: {error}; see incidents.directory"
        ),
        None => tracing::error!("the incident was not on the disk within {limit:?} ({directory})"),
    }
    None
}

/// Runs `work` on a thread of its own, and waits for it no longer than `limit`.
pub async fn aside<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let work = tokio::task::spawn_blocking(work);
    Deadline::within(limit).bound(work).await.ok()?.ok()
}

fn judged(verdict: Verdict, judgement: Option<Judgement>) -> Judgement {
    match judgement {
        Some(judgement) if judgement.verdict == verdict => judgement,
        earlier => Judgement {
            verdict,
            confidence: Confidence::Conclusive,
            evidence_for: vec!["its process has ended".to_owned()],
            evidence_against: earlier.map_or_else(Vec::new, |it| it.evidence_against),
            act: true,
        },
    }
}

/// Whose connection it is that holds it up, where that is no request's; empty otherwise.
async fn whose(findings: &Findings, visits: &[VisitSeen]) -> String {
    let Some(ends) = stranger(findings, visits) else {
        return String::new();
    };
    let until = Instant::now() + FOUND;
    let told = aside(2 * FOUND, move || told(ends, until)).await;
    told.map_or_else(String::new, |told| format!("; {told}"))
}

/// What it holds too much of, as the verdict has it.
fn of_leaks(process: &Process, leaks: &[String]) -> String {
    let (who, leaks) = (named(process), leaks.join(", "));
    format!("{who} {leaks}; it is replaced before it fails")
}

fn of_exit(process: &Process, last_line: Option<&String>, killed: Since) -> String {
    let who = named(process);
    let mut how = process.fate().unwrap_or_else(|| "ended".to_owned());
    // It ended by itself, as far as Leeward is concerned.
    if let Some(signal) = Signalled::of(&how, &[], killed) {
        let name = signal.name.unwrap_or("a signal");
        how = format!("{how}: {name}, {}", signal.told);
    }
    match last_line {
        Some(line) => format!("{who} {how}; its last line was: {line}"),
        None => format!("{who} {how}, and had written nothing"),
    }
}

fn named(process: &Process) -> String {
    let number = |pid: Pid| format!("process {pid}");
    process.pid().map_or_else(|| "it".to_owned(), number)
}
