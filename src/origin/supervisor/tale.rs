//! What the course of an incident is told of a generation: how it fell ill, and how the next one came.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::{Current, Supervisor};
use crate::ground::deadline;
use crate::origin::course::{Course, Milestone};
use crate::origin::incident::Closing;
use crate::origin::oom::Since;
use crate::origin::roster::Roster;
use crate::origin::sender::{ABRT, KILL, Signalled, TERM};
use crate::origin::stop::Ladder;
use crate::origin::verdict::{Judgement, Verdict};

/// When what led to the end of a generation happened.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signs {
    /// It fell ill, as far as could be seen.
    pub(super) ill: Instant,
    /// The gate shut.
    pub(super) shut: Instant,
    /// The verdict fell.
    pub(super) verdict: Instant,
}

/// How a generation came to its end, beside what its obituary tells.
#[derive(Debug, Clone, Copy)]
pub(super) struct Death {
    /// The signals that Leeward sent it while it was there.
    ours: &'static [i32],
    killed: Since,
}

impl Current {
    /// A judgement was passed on it.
    pub(super) fn hear(&mut self, judgement: &Judgement, now: Instant) {
        self.judged = Some(now);
        match judgement.verdict.is_suspect() {
            true => drop(self.suspected.get_or_insert(now)),
            false => self.suspected = None,
        }
    }

    /// What has happened to it so far.
    pub(super) fn course(&self, verdict: Verdict, signs: Signs, roster: &Roster) -> Course {
        let mut course = Course::new(signs.verdict, Timestamp::now());
        if verdict != Verdict::Leaking
            && let Some(last) = self.last_life(roster)
        {
            course.note(Milestone::LastLife, last);
        }
        course.note_with(
            Milestone::Ill,
            signs.ill,
            Some(self.first_sign(verdict, signs)),
        );
        if let Some(noticed) = self.suspected {
            course.note(Milestone::Noticed, noticed);
        }
        if signs.shut < signs.verdict {
            course.note(Milestone::Held, signs.shut);
        }
        let word = verdict.word().to_owned();
        course.note_with(Milestone::Verdict, signs.verdict, Some(word));
        if verdict == Verdict::Exited {
            course.note_with(Milestone::Ended, signs.verdict, self.process.fate());
        }
        course
    }

    /// When it last answered, or moved a byte.
    fn last_life(&self, roster: &Roster) -> Option<Instant> {
        let answered = self
            .last
            .as_ref()
            .and_then(|(_, evidence)| self.judged?.checked_sub(evidence.voice_ago?));
        let moved = roster.last_life().filter(|life| *life >= self.spawned);
        answered.max(moved)
    }

    fn first_sign(&self, verdict: Verdict, signs: Signs) -> String {
        let evidence = self.last.as_ref().map(|(_, evidence)| evidence);
        let was_silent = evidence.is_some_and(|it| it.silence >= signs.verdict - signs.ill);
        let told = match verdict {
            Verdict::Exited => "its process ended",
            Verdict::Leaking => "it served, and held too much",
            Verdict::NotListening => "nobody listened any more",
            Verdict::StartTimedOut => "it had been started, and did not answer",
            Verdict::Stopped if !was_silent => "it was first seen stopped",
            _ => "a question of somebody's got no answer",
        };
        told.to_owned()
    }

    /// To be asked once it is gone, and before it is buried.
    pub(super) fn death(&self) -> Death {
        let ours: &[i32] = match self.asked {
            None => &[],
            Some(Ladder::Kill) => &[KILL],
            Some(Ladder::Term(_)) => &[TERM, KILL],
            Some(Ladder::Abort(_)) => &[ABRT, KILL],
        };
        let killed = self.kills.since();
        Death { ours, killed }
    }
}

impl Supervisor {
    /// It is told to end now, in this way.
    pub(super) fn asks(&mut self, ladder: Ladder) {
        let Some(current) = &mut self.current else {
            return;
        };
        if current.process.has_exited() {
            return;
        }
        current.asked = Some(ladder);
        let told = match ladder {
            Ladder::Kill => "SIGKILL, by Leeward".to_owned(),
            Ladder::Term(grace) => format!("SIGTERM, by Leeward, and SIGKILL after {grace:?}"),
            Ladder::Abort(grace) => format!("SIGABRT, by Leeward, and SIGKILL after {grace:?}"),
        };
        self.notes(Milestone::Signalled, Some(told));
    }

    /// This happened just now in the incident that is open.
    pub(super) fn notes(&mut self, what: Milestone, note: Option<String>) {
        let now = deadline::now();
        let wound = self.wound.as_mut();
        if let Some(incident) = wound.and_then(|wound| wound.open()) {
            incident.timeline.note_with(what, now, note);
        }
    }

    /// How it ended, for the incident, if nobody said so yet.
    pub(super) async fn close_story(&mut self, obituary: &str, death: Option<Death>) {
        let signal = death.and_then(|it| Signalled::of(obituary, it.ours, it.killed));
        let note = match &signal {
            Some(signal) => format!("{obituary}, {}", signal.told),
            None => obituary.to_owned(),
        };
        // What is set aside is there still.
        if death.is_some() {
            self.notes(Milestone::Ended, Some(note));
        }
        let Some(wound) = &mut self.wound else {
            return;
        };
        let detection = wound.shut.saturating_duration_since(wound.told);
        let closing = |detection: Duration| Closing {
            obituary: obituary.to_owned(),
            signal: signal.clone(),
            detection_seconds: detection.as_secs_f64(),
            downtime_seconds: None,
            unserved_seconds: None,
            requests: None,
        };
        let detection = match wound.again {
            // It is no outage of its own.
            Some(_) => Duration::ZERO,
            None => detection,
        };
        if let Some(incident) = wound.open() {
            incident.ending.get_or_insert(closing(detection));
        }
        self.close_again().await;
    }
}
