//! The incidents of an origin that is somebody else's: told when the verdict falls, closed when it answers again.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::Observer;
use crate::ground::deadline;
use crate::origin::Ending;
use crate::origin::cost::Cost;
use crate::origin::course::{Course, Milestone};
use crate::origin::evidence::{self, Subject};
use crate::origin::forensics::{Seen, Server};
use crate::origin::incident::{Closing, Incident, Step};
use crate::origin::oom::Since;
use crate::origin::pid::Pid;
use crate::origin::verdict::{Evidence, Judgement, Verdict};

/// One sickness, from its verdict to the first answer after it. However long it lasts, it is one incident.
pub struct Sickness {
    incident: Incident,
    /// Whose it was; `None` where that was not known.
    server: Option<Server>,
    /// When the verdict fell.
    since: Instant,
    detection: Duration,
    /// What clients had paid before its first sign.
    before: Cost,
    /// When it answered again, if it has; who does so is being looked for.
    pub over: Option<Instant>,
}

impl Sickness {
    /// Whether it is over: it answered a probe, or bytes came from it, since the verdict fell.
    pub fn is_over(&self, judgement: &Judgement, evidence: &Evidence, answered: bool) -> bool {
        let serves = matches!(
            judgement.verdict,
            Verdict::Healthy
                | Verdict::Busy
                | Verdict::Erroring
                | Verdict::Overloaded
                | Verdict::Leaking
        );
        let age = deadline::now() - self.since;
        serves && (answered || evidence.quiet.is_some_and(|quiet| quiet < age))
    }

    /// What was believed when it began.
    pub fn judgement(&self) -> Judgement {
        self.incident.judgement.clone()
    }

    fn closed(mut self, obituary: String, downtime: Option<Duration>, paid: Cost) -> Incident {
        self.incident.ending = Some(Closing {
            obituary,
            signal: None,
            detection_seconds: self.detection.as_secs_f64(),
            downtime_seconds: downtime.map(|it| it.as_secs_f64()),
            unserved_seconds: downtime.map(|it| (self.detection + it).as_secs_f64()),
            requests: Some(paid.since(self.before)),
        });
        self.incident
    }
}

impl Observer {
    /// The verdict fell: shuts the gate if nobody listens, takes the evidence, and tells it.
    pub(super) async fn fall_ill(&mut self, judgement: &Judgement, evidence: &Evidence) {
        let since = deadline::now();
        let visits = self.senses.visits(since);
        let detection = evidence.silence.max(evidence.refused_for);
        let detection = match judgement.verdict {
            Verdict::Stopped => detection.max(evidence.doing_for),
            Verdict::StartTimedOut => detection.max(evidence.age),
            _ => detection,
        };
        if judgement.verdict == Verdict::NotListening {
            self.part();
        }
        let (judgement, server) = self.identified(judgement);
        let course = self.course((&judgement, evidence), since - detection, since);
        let scene = evidence::Scene {
            verdict: judgement.verdict,
            judgement: Some(judgement),
            silence: detection,
            leaks: Vec::new(),
            course,
            killed: Since::default(),
            visits,
            subject: Subject::Observed(server.part(|server| server.pid)),
        };
        let mut incident = evidence::gather(&self.watch, scene).await;
        let findings = incident.findings.as_ref();
        let ending = Ending::of(
            incident.judgement.verdict,
            &incident.visits,
            detection,
            findings,
        );
        incident.quarantined = self.watch.blame(&ending, &incident.visits, since);
        tracing::error!(
            verdict = incident.judgement.verdict.word(),
            incident = incident.id,
            "{}",
            incident.sentence
        );
        if evidence::record(&mut self.watch, &incident, Step::Opened)
            .await
            .is_some()
        {
            incident.timeline.note(Milestone::Written, deadline::now());
        }
        self.watch.roster.awaits_answer();
        self.sickness = Some(Sickness {
            incident,
            server: server.known().cloned(),
            since,
            detection,
            before: self.watch.paid,
            over: None,
        });
    }

    /// What has happened so far.
    fn course(
        &self,
        (judgement, evidence): (&Judgement, &Evidence),
        ill: Instant,
        now: Instant,
    ) -> Course {
        let mut course = Course::new(now, Timestamp::now());
        let lived = [evidence.voice_ago, evidence.quiet]
            .into_iter()
            .flatten()
            .min();
        if let Some(last) = lived.and_then(|ago| now.checked_sub(ago)) {
            course.note(Milestone::LastLife, last);
        }
        course.note(Milestone::Ill, ill);
        if let Some(noticed) = self.suspected {
            course.note(Milestone::Noticed, noticed);
        }
        let word = judgement.verdict.word().to_owned();
        course.note_with(Milestone::Verdict, now, Some(word));
        course
    }

    /// Where nobody listens because the process is gone, it has exited, and that was the process.
    fn identified(&self, judgement: &Judgement) -> (Judgement, Seen<Server>) {
        let lost = self.lost.clone().filter(|_| self.server.known().is_none());
        match (judgement.verdict, lost) {
            (Verdict::NotListening, Some(server)) => {
                let mut judgement = judgement.clone();
                judgement.verdict = Verdict::Exited;
                let fact = format!("process {} ({}) is gone", server.pid, server.comm);
                judgement.evidence_for.insert(0, fact);
                (judgement, Seen::Known(server))
            }
            _ => (judgement.clone(), self.server.clone()),
        }
    }

    /// It answered again, and who does so was looked for: closes the incident.
    pub(super) async fn recover(&mut self) {
        let searched = self.searched();
        // A search that began before the answer may have met the one before.
        let is_told = |it: &mut Sickness| it.over.is_some_and(|over| over <= searched);
        let Some(mut sickness) = self.sickness.take_if(is_told) else {
            return;
        };
        let downtime = sickness.over.map(|over| over - sickness.since);
        let obituary = obituary(sickness.server.as_ref(), &self.server);
        if let Some(over) = sickness.over {
            let who = Some(obituary.clone());
            let course = &mut sickness.incident.timeline;
            course.note_with(Milestone::Reached, over, who);
            if let Some(served) = self.watch.roster.first_answer() {
                course.note(Milestone::Served, served);
            }
        }
        tracing::info!(?downtime, "the observed origin: {obituary}");
        let incident = sickness.closed(obituary, downtime, Cost::so_far(&self.watch.ledger));
        evidence::record(&mut self.watch, &incident, Step::Closed).await;
        self.watch.board.publish();
    }

    /// Leeward ends: says so in an incident that is still open, and waits for a hook under way.
    pub(super) async fn leave(mut self) {
        if let Some(sickness) = self.sickness.take() {
            let obituary = "Leeward ended before it answered again".to_owned();
            let incident = sickness.closed(obituary, None, Cost::so_far(&self.watch.ledger));
            // Nobody is told of it as closed: it is not.
            evidence::record(&mut self.watch, &incident, Step::Amended).await;
        }
        if let Some(queue) = self.watch.told.take() {
            queue.close().await;
        }
    }
}

/// Who answers again, `before` having been the process that did not.
fn obituary(before: Option<&Server>, now: &Seen<Server>) -> String {
    let identity = |server: &Server| -> (Pid, u64) { (server.pid, server.born) };
    match (before.map(identity), now) {
        (Some(before), Seen::Known(now)) if before == identity(now) => {
            format!("it answered again by itself (process {})", now.pid)
        }
        (Some(_), Seen::Known(now)) => {
            let (pid, comm) = (now.pid, &now.comm);
            format!("another process took its place: {pid} ({comm})")
        }
        (None, Seen::Known(now)) => {
            format!("it answered again, as process {} ({})", now.pid, now.comm)
        }
        (_, Seen::Hidden(why)) => format!("it answered again; {why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(pid: u32, born: u64) -> Server {
        Server {
            pid: Pid::new(pid).expect("positive"),
            comm: "app".to_owned(),
            born,
            doubt: None,
        }
    }

    #[test]
    fn who_answers_again_is_told_by_number_and_birth() {
        let (one, again) = (server(7, 1), server(7, 2));
        let told = |before, now: &Server| obituary(before, &Seen::Known(now.clone()));
        let same = "it answered again by itself (process 7)";
        assert_eq!(told(Some(&one), &one), same);
        // A number comes round again.
        let other = "another process took its place: 7 (app)";
        assert_eq!(told(Some(&one), &again), other);
        assert_eq!(told(None, &one), "it answered again, as process 7 (app)");
        let hidden = obituary(Some(&one), &Seen::Hidden("why".to_owned()));
        assert_eq!(hidden, "it answered again; why");
    }
}
