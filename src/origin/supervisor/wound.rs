//! What the end of a generation costs: its incident stays open until the next one answers, and is told what it comes to
//! cost until all those it held must be done.

use std::time::{Duration, Instant};

use super::Supervisor;
use super::tale::Signs;
use crate::origin::cost::Cost;
use crate::origin::course::Milestone;
use crate::origin::evidence;
use crate::origin::incident::{Incident, Step};

/// The outage that the end of a generation is, until the next one answers.
pub(super) struct Wound {
    /// How it began.
    incident: Option<Incident>,
    /// The incident of a start that failed meanwhile, until that one is buried.
    pub(super) again: Option<Incident>,
    /// How many starts failed meanwhile.
    failed: u64,
    /// When the gate shut.
    pub(super) shut: Instant,
    /// When the first sign was seen.
    pub(super) told: Instant,
    /// What had been paid before the first sign.
    before: Cost,
}

/// A healed wound, while those it held may still fail.
pub(super) struct Scar {
    incident: Incident,
    before: Cost,
    next: Instant,
    until: Instant,
}

/// A start that comes later than this after an end was put off.
const PUT_OFF: Duration = Duration::from_millis(250);
/// Between two looks at what it cost.
const EACH: Duration = Duration::from_secs(1);

impl Wound {
    /// Nobody has told of it yet.
    pub(super) fn of(signs: Signs, before: Cost) -> Self {
        Self {
            incident: None,
            again: None,
            failed: 0,
            shut: signs.shut,
            told: signs.ill,
            before,
        }
    }

    /// A generation has ended: the first one is how it began, others are starts that failed meanwhile.
    pub(super) fn befalls(&mut self, incident: Option<Incident>) {
        if self.incident.is_none() {
            self.incident = incident;
        } else if incident.is_some() {
            self.failed += 1;
            self.again = incident;
        }
    }

    /// The incident of the generation that ended last.
    pub(super) fn open(&mut self) -> Option<&mut Incident> {
        self.again.as_mut().or(self.incident.as_mut())
    }
}

impl Supervisor {
    /// The incident that began the outage there is, if there is one.
    pub(super) fn outage(&self) -> Option<String> {
        let incident = self.wound.as_ref()?.incident.as_ref();
        incident.map(|incident| incident.id.clone())
    }

    /// Writes down how a start ended that failed during an outage. Nobody is told that it is over: the outage is not.
    pub(super) async fn close_again(&mut self) {
        let again = self.wound.as_mut().and_then(|wound| wound.again.take());
        if let Some(again) = again {
            evidence::record(&mut self.watch, &again, Step::Amended).await;
        }
    }

    /// Closes the incident of the generation before: the next one `answered` then, and requests reach it from `now` on.
    pub(super) async fn heal(&mut self, answered: Instant, now: Instant) {
        self.held = None;
        let Some(wound) = self.wound.take() else {
            return;
        };
        let downtime = now - wound.shut;
        tracing::info!(?downtime, "requests reach the origin again");
        let Some(mut incident) = wound.incident else {
            self.watch.board.view.toll.downtime += downtime;
            return;
        };
        let paid = Cost::so_far(&self.watch.ledger).since(wound.before);
        if let Some(current) = &self.current {
            let mut came = format!("generation {}", self.watch.board.view.generation);
            let ended = incident.timeline.at(Milestone::Ended);
            let waited = ended.map(|ended| current.spawned.saturating_duration_since(ended));
            let is_ours = !current.process.is_foreign();
            if let Some(waited) = waited.filter(|waited| is_ours && *waited >= PUT_OFF) {
                let waited = waited.as_secs_f64();
                came = format!(
                    "{came}, {waited:.1} s later: restarts in a row are put off (restart.backoff)"
                );
            }
            match wound.failed {
                0 => {}
                1 => came += ", after a start that failed",
                many => came = format!("{came}, after {many} starts that failed"),
            }
            let course = &mut incident.timeline;
            course.note_with(Milestone::Started, current.spawned, Some(came));
        }
        incident.timeline.note(Milestone::Ready, answered);
        incident.timeline.note(Milestone::Reached, now);
        if let Some(ending) = &mut incident.ending {
            let down = downtime.as_secs_f64();
            ending.downtime_seconds = Some(down);
            ending.unserved_seconds = Some(down + ending.detection_seconds);
            ending.requests = Some(paid);
        }
        evidence::record(&mut self.watch, &incident, Step::Closed).await;
        let settings = &self.watch.settings;
        let patience = settings.hold.timeout.max(settings.origin.deadlines.queue);
        self.scar = Some(Scar {
            incident,
            before: wound.before,
            next: now + EACH,
            until: now + patience,
        });
    }

    /// Writes down what the last incident came to cost since it was closed, if that is more by now.
    pub(super) async fn settle(&mut self, now: Instant) {
        let Some(mut scar) = self.scar.take_if(|scar| now >= scar.next) else {
            return;
        };
        let paid = Cost::so_far(&self.watch.ledger).since(scar.before);
        let course = &mut scar.incident.timeline;
        let served = match course.at(Milestone::Served) {
            None => self.watch.roster.first_answer(),
            Some(_) => None,
        };
        if let Some(served) = served {
            course.note(Milestone::Served, served);
        }
        let ending = scar.incident.ending.as_mut();
        let has_cost_more = ending.is_some_and(|it| it.requests.replace(paid) != Some(paid));
        if has_cost_more || served.is_some() {
            evidence::record(&mut self.watch, &scar.incident, Step::Amended).await;
        }
        scar.next = now + EACH;
        self.scar = Some(scar).filter(|scar| now < scar.until);
    }
}
