//! What the end of a generation costs: its incident stays open until the next one answers, and is told what it comes to
//! cost until all those it held must be done.

use std::time::{Duration, Instant};

use super::Supervisor;
use crate::origin::cost::Cost;
use crate::origin::evidence;
use crate::origin::incident::{Incident, Step};

/// The incident of the generation before, until the next one answers.
pub(super) struct Wound {
    pub(super) incident: Option<Incident>,
    /// When the gate shut.
    pub(super) shut: Instant,
    /// When the first sign was seen.
    pub(super) told: Instant,
    /// What had been paid before the first sign.
    pub(super) before: Cost,
}

/// A healed wound, while those it held may still fail.
pub(super) struct Scar {
    incident: Incident,
    before: Cost,
    next: Instant,
    until: Instant,
}

/// Between two looks at what it cost.
const EACH: Duration = Duration::from_secs(1);

impl Supervisor {
    /// Closes the incident of the generation before: requests reach the origin again.
    pub(super) async fn heal(&mut self, now: Instant) {
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
        if let Some(ending) = &mut incident.ending {
            ending.downtime_seconds = Some(downtime.as_secs_f64());
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
        if let Some(ending) = &mut scar.incident.ending
            && ending.requests.replace(paid) != Some(paid)
        {
            evidence::record(&mut self.watch, &scar.incident, Step::Amended).await;
        }
        scar.next = now + EACH;
        self.scar = Some(scar).filter(|scar| now < scar.until);
    }
}
