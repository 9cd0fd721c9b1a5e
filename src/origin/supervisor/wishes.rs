//! What an operator wants of an origin of ours, carried out.

use std::time::Duration;

use jiff::Timestamp;

use super::Supervisor;
use super::relief::FROZEN;
use crate::ground::deadline;
use crate::origin::Wish;
use crate::origin::course::Course;
use crate::origin::evidence::{self, Subject};
use crate::origin::gate::{Shut, Why};
use crate::origin::lifecycle::{Event, Phase};
use crate::origin::oom::Since;
use crate::origin::verdict::Verdict;
use crate::origin::will::{Reply, Verb};

impl Supervisor {
    /// Carries out one wish, and says what was done.
    pub(super) async fn grant(&mut self, wish: Wish) {
        let reply = match wish.verb {
            Verb::Restart => self.renew().await,
            Verb::Capture => self.capture().await,
            Verb::Release(Some(it)) if &*it == FROZEN => self.release_frozen(),
            Verb::Release(request) => self.watch.release(request.as_deref()),
            _ => self.watch.stand(wish.verb),
        };
        self.tell();
        // Whoever asked may have gone.
        let _ = wish.reply.send(reply);
    }

    /// The time is over for which the operator wanted something.
    pub(super) fn resume(&mut self) {
        let _ = self.watch.stand(Verb::Resume);
        self.tell();
    }

    async fn renew(&mut self) -> Reply {
        if let Some(current) = &self.current
            && let Some(remedy) = current.process.asked_out_of_reach().await
        {
            return Err(remedy);
        }
        let told = match self.life.phase() {
            Phase::Waiting { .. } => "it is not running; it is started now",
            Phase::Starting { .. } => "it was still starting; it is ended and started again",
            Phase::Ready { .. } if self.has_spare() => {
                "its standby takes over; what is under way is finished"
            }
            Phase::Ready { .. } => {
                "it is restarted when what is under way is done; requests are held meanwhile"
            }
            Phase::Draining { .. } => "it is about to be restarted already",
            Phase::Stopping { .. } => "it is being replaced already",
            Phase::Over => return Err("Leeward is about to end".to_owned()),
        };
        tracing::info!("an operator wants the origin restarted: {told}");
        self.take(self.renewal(Verdict::Requested)).await;
        Ok(told.to_owned())
    }

    async fn capture(&mut self) -> Reply {
        let now = deadline::now();
        let Some(current) = &self.current else {
            return Err("there is no process to look at just now".to_owned());
        };
        let last = current.last.as_ref();
        let judgement = last.map(|(judgement, _)| judgement.clone());
        let scene = evidence::Scene {
            verdict: judgement
                .as_ref()
                .map_or(Verdict::Starting, |it| it.verdict),
            silence: last.map_or(Duration::ZERO, |(_, evidence)| evidence.silence),
            leaks: Vec::new(),
            course: Course::new(now, Timestamp::now()),
            killed: Since::default(),
            judgement,
            visits: current.senses.visits(now),
            subject: Subject::Owned(&current.process),
        };
        evidence::capture(&mut self.watch, scene).await
    }

    /// Holds requests until the next generation is there; this one finishes what it has.
    pub(super) fn drain(&mut self) -> Option<Event> {
        let now = deadline::now();
        let ends = match self.life.phase() {
            Phase::Draining { until, .. } => until,
            _ => now,
        };
        self.held = Some(now);
        // What is under way is usually done long before the last moment for it.
        let expected = (now + self.start_took).min(ends);
        self.watch.board.shut(Shut {
            since: now,
            expected,
            why: Why::Down,
        });
        None
    }
}
