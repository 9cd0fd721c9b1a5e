//! What becomes of an answer that was cut in the middle: it is continued from the origin's next generation where that is
//! safe, once, and else it is cut off for its client, too.

use std::sync::atomic::Ordering;

use tokio::sync::watch;

use super::{Errand, NOTICING, REFUSED_PAUSE};
use crate::exchange::continuation;
use crate::exchange::hold::Wait;
use crate::exchange::intake::Taken;
use crate::exchange::missed::Missed;
use crate::exchange::outcome::Visits;
use crate::exchange::replay::{Delivery, Past};
use crate::exchange::rest::{self, Cut};
use crate::ground::deadline::{self, Deadline};
use crate::ground::failure::{Cause, Failure, Phase};
use crate::ground::ledger::{Count, Span};
use crate::ground::spans::Visited;
use crate::origin::{Gate, OriginSlot};

/// Why an answer is not continued, or not yet.
enum Stop {
    /// The origin has not heard of it, for this reason, and may be asked again.
    Unheard(Failure),
    /// There is no rest to be had.
    Lost(Failure),
    /// There is no client that would take it.
    Left,
}

impl Errand {
    /// Continues the answer that was cut, or cuts it off visibly. It is never ended as if it were whole.
    pub(super) async fn resume(
        &mut self,
        mut missed: Box<Missed>,
        slot: OriginSlot,
        gate: &mut watch::Receiver<Gate>,
    ) {
        let Some(cut) = missed.cut.take() else { return };
        // It is answered, and goes on by itself.
        self.course.is_out.store(true, Ordering::Relaxed);
        // It queues up anew, and the origin may have but this one.
        drop(slot);
        let Some(mut question) = self.question(&cut, &missed) else {
            return self.cut_off(&cut, &missed.failure, None);
        };
        self.course.was_cut(&missed.failure);
        question.head.trail.attempt = self.taken.head.trail.attempt + 1;
        self.thread.tally.count(Count::ExchangesReplayed);
        let (request, because) = (&*self.request, &missed.failure);
        tracing::info!(request, %because, had = cut.spool.len(), "the rest of an answer is asked for");
        let mut wait = self.wait.anew();
        let waits_until = self.thread.shared.waiting.deadline(&wait);
        let pause = Deadline::within(NOTICING).min(waits_until);
        let _ = pause.bound(gate.changed()).await;
        loop {
            let why = match self.go_on(&mut question, &cut, &mut wait, gate).await {
                Ok(()) | Err(Stop::Left) => return,
                Err(Stop::Lost(why)) => why,
                Err(Stop::Unheard(why)) => {
                    let by = self.thread.shared.waiting.deadline(&wait);
                    if !by.is_past(deadline::now()) {
                        let _ = by.bound(tokio::time::sleep(REFUSED_PAUSE)).await;
                        continue;
                    }
                    why
                }
            };
            return self.cut_off(&cut, &missed.failure, Some(&why));
        }
    }

    /// What asks for the rest, where that may be asked for.
    fn question(&self, cut: &Cut, missed: &Missed) -> Option<Taken> {
        let past = Past {
            delivery: missed.delivery,
            replays: self.replays,
            is_suspect: missed.is_suspect,
            has_key: false,
        };
        let is_on = self.thread.shared.settings.replay.continue_answers;
        if !is_on || !continuation::may_continue(past, &missed.failure) {
            return None;
        }
        cut.mark
            .ask(&self.taken.head, cut.spool.len())
            .map(Taken::bare)
    }

    /// Waits for leave, as long as there is a client, and takes the rest.
    async fn go_on(
        &self,
        question: &mut Taken,
        cut: &Cut,
        wait: &mut Wait,
        gate: &mut watch::Receiver<Gate>,
    ) -> Result<(), Stop> {
        let tally = &self.thread.tally;
        self.pass().map_err(Stop::Lost)?;
        let begun = deadline::now();
        let admitted = tokio::select! {
            biased;
            () = cut.spool.left() => Err(Stop::Left),
            slot = self.thread.shared.waiting.admit(gate, wait, tally) => slot.map_err(Stop::Lost),
        };
        let goes_through = |was_continued| {
            self.course.goes_through(Visits {
                was_held: wait.was_held,
                was_replayed: true,
                was_continued,
            });
        };
        goes_through(false);
        let slot = admitted?;
        if slot.generation().notice_death() {
            let cause = Cause::NotReady;
            return Err(Stop::Unheard(Failure::origin(Phase::Hold, cause)));
        }
        self.pass().map_err(Stop::Lost)?;
        tally.time(Span::Wait, deadline::now() - begun);
        let id = self.taken.head.trail.id.clone();
        let visit = self.thread.page.enter(self.request.clone(), id);
        let asked = deadline::now();
        let fits = || {
            tally.count(Count::ExchangesContinued);
            goes_through(true);
        };
        let way = self.way(&slot, &visit);
        let done = rest::visit(question, way, cut, fits).await;
        tally.time(Span::Origin, deadline::now() - asked);
        tally.add(Count::BytesFromOrigin, visit.pulse().received());
        self.course.tried(Visited {
            attempt: question.head.trail.attempt,
            generation: slot.generation().number,
            after: asked.saturating_duration_since(self.begun),
            length: deadline::now() - asked,
            failure: done.as_ref().err().map(|missed| missed.failure.clone()),
        });
        question.head.trail.attempt += 1;
        if let Err(missed) = &done {
            self.report(missed);
        }
        done.map_err(|missed| match missed.delivery {
            Delivery::NeverSent | Delivery::Unread => Stop::Unheard(missed.failure),
            Delivery::Unknown | Delivery::Answered => Stop::Lost(missed.failure),
        })
    }

    /// The client's answer ends in the middle, because the origin's did.
    fn cut_off(&self, cut: &Cut, because: &Failure, no_rest: Option<&Failure>) {
        let no_rest = no_rest.map(tracing::field::display);
        tracing::warn!(request = &*self.request, why = %because, no_rest, "an answer was cut off");
        cut.spool.end(Err(because.clone()));
    }
}
