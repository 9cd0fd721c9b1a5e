//! The errand: waits for leave, visits the origin, and again where that is safe. It outlives the client.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::answer::AnswerHead;
use super::forward::{self, Missed, Way};
use super::hold::Wait;
use super::intake::Taken;
use super::outcome::Visits;
use super::pool::Pool;
use super::replay::{self, Delivery, Past};
use super::spool::{self, SpoolReader};
use super::streams::Place;
use super::terms::Terms;
use super::window::WindowReader;
use super::{Exchanges, Shared};
use crate::ground::deadline::{self, Deadline};
use crate::ground::failure::{Cause, Failure, Party, Phase};
use crate::ground::ledger::{Count, Span, Tally};
use crate::origin::{Gate, Generation, OriginSlot, Page, Reading};

/// What came of an errand, as far as the client is concerned.
#[derive(Debug)]
pub struct Answer {
    /// The head and the body behind it, or why there is none.
    pub result: Result<(AnswerHead, Reader), Failure>,
    /// What it went through.
    pub visits: Visits,
    /// How long it waited for leave.
    pub wait: Option<Duration>,
    /// From the leave to the head of the answer.
    pub origin: Option<Duration>,
}

/// Where the body of an answer is read.
#[derive(Debug)]
pub enum Reader {
    /// Behind the origin, at the client's pace.
    Spool(SpoolReader),
    /// With the origin.
    Window(WindowReader),
}

/// Whether a kept connection was closed by the origin, as it may be at any moment. Only what can be sent again
/// without harm is sent over one.
fn was_closed(missed: &Missed) -> bool {
    let is_unseen = missed.delivery != Delivery::Answered && !missed.is_suspect;
    missed.was_kept && is_unseen && matches!(missed.failure.cause, Cause::Broken(_))
}

/// Between two tries of an origin that refuses connections, while the watch has not yet said why.
const REFUSED_PAUSE: Duration = Duration::from_millis(20);
/// For the watch to notice that a connection broke because the process died. A dying process may close its listener
/// last, and whoever asks again at once is taken into its queue and dies with it.
const NOTICING: Duration = Duration::from_millis(100);

/// Sends `taken` on its errand, and returns with the answer's head. Dropping the future calls the errand
/// back for as long as it waits; once it is with the origin, it goes on to the end.
pub async fn send(exchanges: &Exchanges, taken: Taken, terms: Terms, request: String) -> Answer {
    let (reply, answer) = oneshot::channel();
    let errand = Errand {
        shared: exchanges.shared.clone(),
        tally: exchanges.tally.clone(),
        page: exchanges.page.clone(),
        pool: exchanges.pool.clone(),
        is_fresh: false,
        taken,
        terms,
        request,
        place: None,
        wait: Wait::begin(),
        replays: 0,
        reply: Some(reply),
    };
    tokio::spawn(errand.run());
    answer.await.unwrap_or_else(|_| Answer {
        result: Err(Failure::edge(Phase::Drain, Cause::NotReady)),
        visits: Visits::default(),
        wait: None,
        origin: None,
    })
}

struct Errand {
    shared: Shared,
    tally: Arc<Tally>,
    page: Page,
    taken: Taken,
    terms: Terms,
    request: String,
    /// Taken when it is declared a stream.
    place: Option<Place>,
    wait: Wait,
    pool: Pool,
    /// A kept connection was of no use; the next is to be a new one.
    is_fresh: bool,
    replays: u32,
    /// Taken when the client is answered.
    reply: Option<oneshot::Sender<Answer>>,
}

impl Errand {
    async fn run(mut self) {
        let mut gate = self.shared.origin.gate();
        let begun = deadline::now();
        loop {
            let open = gate.borrow().clone();
            if let Gate::Open(generation) = open
                && let Err(failure) = self.join_streams(&generation)
            {
                return self.fail(failure);
            }
            let waiting = self.shared.waiting.clone();
            let client_left = async {
                match &mut self.reply {
                    Some(reply) => reply.closed().await,
                    None => std::future::pending().await,
                }
            };
            let slot = tokio::select! {
                slot = waiting.admit(&mut gate, &mut self.wait) => slot,
                () = client_left => return,
            };
            let slot = match slot {
                Ok(slot) => slot,
                Err(failure) => return self.fail(failure),
            };
            if let Err(failure) = self.join_streams(slot.generation()) {
                return self.fail(failure);
            }
            let wait = deadline::now() - begun;
            self.tally.time(Span::Wait, wait);
            match self.visit(slot, wait).await {
                Ok(()) => return,
                Err(missed) if was_closed(&missed) && !self.is_fresh => self.is_fresh = true,
                Err(missed) if self.may_go_again(&missed) => {
                    self.go_again(&missed, &mut gate).await;
                }
                Err(missed) => return self.fail(missed.failure),
            }
        }
    }

    /// Takes a place among the streams, if this is to be one and has none yet.
    fn join_streams(&mut self, generation: &Generation) -> Result<(), Failure> {
        let lasts = self.terms.stream || self.taken.bid.is_some();
        if lasts && self.place.is_none() {
            let place = self.shared.streams.enter(generation, &self.tally)?;
            self.place = Some(place);
        }
        Ok(())
    }

    async fn visit(&mut self, slot: OriginSlot, wait: Duration) -> Result<(), Missed> {
        let (writer, reader) = spool::tee(&self.shared.store, Phase::Answer);
        let visit = self.page.enter(self.request.clone());
        let begun = deadline::now();
        let visits = self.visits();
        let reply = &mut self.reply;
        let mut is_stream = false;
        let commit = |head: AnswerHead, window: Option<WindowReader>| {
            is_stream = window.is_some();
            let reader = window.map_or(Reader::Spool(reader), Reader::Window);
            if let Some(reply) = reply.take() {
                let _ = reply.send(Answer {
                    result: Ok((head, reader)),
                    visits,
                    wait: Some(wait),
                    origin: Some(deadline::now() - begun),
                });
            }
        };
        let way = Way {
            request: &self.request,
            slot: &slot,
            visit: &visit,
            terms: &self.terms,
            manners: self.shared.settings.origin.manners,
            spool: &writer,
            streams: &self.shared.streams,
            pool: &self.pool,
            is_fresh: self.is_fresh,
            tally: &self.tally,
        };
        let done = forward::visit(&self.taken, way, commit).await;
        if !is_stream {
            self.tally.time(Span::Origin, deadline::now() - begun);
        }
        self.tally
            .add(Count::BytesFromOrigin, visit.pulse().received());
        if let Err(missed) = &done {
            writer.end(Err(missed.failure.clone()));
            if missed.delivery == Delivery::Answered && missed.failure.party != Party::Client {
                tracing::warn!(request = self.request, why = %missed.failure, "an answer was cut off");
            }
            if missed.failure.cause == Cause::Refused {
                self.shared.origin.report(Reading::Refused);
            }
        }
        done
    }

    fn may_go_again(&self, missed: &Missed) -> bool {
        let past = Past {
            delivery: missed.delivery,
            replays: self.replays,
            is_suspect: missed.is_suspect,
        };
        let ours = &missed.failure;
        let is_final = matches!(
            ours.cause,
            Cause::TimedOut { .. }
                | Cause::Malformed(_)
                | Cause::Unsupported(_)
                | Cause::Full { .. }
        );
        // A deadline of the origin's that passed would pass again; so would a bad answer be given again.
        let is_final = is_final && ours.phase != Phase::Connect;
        let late = self
            .shared
            .waiting
            .deadline(&self.wait)
            .is_past(deadline::now());
        !is_final
            && !late
            && self.taken.body.is_at_hand()
            && replay::may_replay(&self.taken.head.method, past)
    }

    async fn go_again(&mut self, missed: &Missed, gate: &mut watch::Receiver<Gate>) {
        let by = self.shared.waiting.deadline(&self.wait);
        if missed.delivery == Delivery::NeverSent {
            let _ = by.bound(tokio::time::sleep(REFUSED_PAUSE)).await;
            return;
        }
        let pause = Deadline::within(NOTICING).min(by);
        let _ = pause.bound(gate.changed()).await;
        self.replays += 1;
        self.tally.count(Count::ExchangesReplayed);
        tracing::info!(request = self.request, because = %missed.failure, "sent to the origin again");
    }

    fn fail(mut self, failure: Failure) {
        let visits = self.visits();
        if let Some(reply) = self.reply.take() {
            let _ = reply.send(Answer {
                result: Err(failure),
                visits,
                wait: None,
                origin: None,
            });
        }
    }

    fn visits(&self) -> Visits {
        Visits {
            was_held: self.wait.was_held,
            was_replayed: self.replays > 0,
        }
    }
}

impl Drop for Errand {
    fn drop(&mut self) {
        if self.wait.was_held {
            self.tally.count(Count::ExchangesHeld);
        }
    }
}
