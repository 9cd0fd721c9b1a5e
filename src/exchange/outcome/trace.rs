//! An exchange as its trace tells it: its steps, and each visit to the origin.

use std::time::Duration;

use super::{Held, Outcome, Visits, number};
use crate::exchange::errand::Since;
use crate::ground::failure::{Failure, Party};
use crate::ground::spans::{Exchanged, Step, Visited};

impl Outcome {
    /// All of it; `since` is what it went through behind the head of its answer.
    pub(super) fn exchanged(&self, visits: Visits, since: Since, total: Duration) -> Exchanged {
        let marks = [
            ("held", visits.was_held),
            ("replayed", visits.was_replayed),
            ("continued", visits.was_continued),
        ];
        let marks = marks.into_iter().filter(|(_, is_so)| *is_so);
        Exchanged {
            trail: self.trail.clone(),
            request: self.request.clone(),
            http: number(self.version),
            tls: self.client.tls,
            client: self.client.addr.0,
            begun: self.begun,
            total,
            steps: self.told_steps(total),
            visits: self.told_visits(since),
            status: self.status.map(|status| status.as_u16()),
            end: self.word(),
            why: self.why(),
            bytes: (self.received.bytes(), self.bytes),
            generation: self.steps.generation,
            marks: marks.map(|(mark, _)| mark).collect(),
        }
    }

    /// What it went through, one behind the other but for the connect, which is within the visit.
    fn told_steps(&self, total: Duration) -> Vec<Step> {
        let mut steps = Vec::with_capacity(5);
        let mut put = |name, after, length: Option<Duration>| {
            steps.extend(length.map(|length| Step {
                name,
                after,
                length,
            }));
        };
        let whole = self.intake.unwrap_or_default();
        put("intake", Duration::ZERO, self.intake);
        let wait = self.steps.wait.unwrap_or_default();
        let mut queue = Some((whole, whole + wait)).filter(|_| self.steps.wait.is_some());
        if let Some(Held { after, length }) = self.steps.hold {
            put("hold", whole + after, Some(length));
            queue = Some((whole + after + length, whole + wait));
        }
        if let Some((begun, ended)) = queue {
            put("queue", begun, ended.checked_sub(begun));
        }
        put("connect", whole + wait, self.steps.connect);
        let respond = self.respond(total);
        put("respond", total - respond.unwrap_or_default(), respond);
        steps
    }

    /// Its visits: those in vain, the one that was answered or was the last, and those that brought the rest.
    fn told_visits(&self, since: Since) -> Vec<Visited> {
        let ours = |failure: &&Failure| failure.party == Party::Origin;
        let last = self.steps.origin.map(|length| Visited {
            attempt: self.tried.len() as u64,
            generation: self.steps.generation.unwrap_or_default(),
            after: self.steps.wait.unwrap_or_default(),
            length,
            failure: since.cut.or(self.failure.as_ref().filter(ours).cloned()),
        });
        let begun = self.intake.unwrap_or_default();
        let all = self.tried.iter().cloned().chain(last).chain(since.tried);
        all.map(|visit| Visited {
            after: begun + visit.after,
            ..visit
        })
        .collect()
    }
}
