//! The errand: waits for leave, visits the origin, and again where that is safe. It outlives the client.

mod resume;
mod sent;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::Thread;
use super::answer::{AnswerHead, Reader};
use super::forward::{self, Way};
use super::hold::Wait;
use super::intake::Taken;
use super::missed::Missed;
use super::outcome::{Held, Steps, Visits};
use super::replay::{self, Delivery, Past};
use super::streams::Place;
use super::terms::Terms;
use crate::config::fixed::NOTICING;
use crate::ground::deadline::{self, Deadline};
use crate::ground::failure::{Cause, Failure, Party, Phase};
use crate::ground::ledger::{Count, Span};
use crate::ground::spans::Visited;
use crate::origin::{Gate, Generation, OriginSlot, Reading, Visit};
use sent::Sent;

pub use sent::{Answer, Course, Since};

/// Whether a kept connection was closed by the origin, as it may be at any moment. Only what can be sent again
/// without harm is sent over one.
fn was_closed(missed: &Missed) -> bool {
    let is_unseen = missed.delivery != Delivery::Answered && !missed.is_suspect;
    missed.was_kept && is_unseen && matches!(missed.failure.cause, Cause::Broken(_))
}

/// The slot of whoever may ask the same generation again: it need not queue up anew.
fn live(slot: OriginSlot, gate: &watch::Receiver<Gate>) -> Option<OriginSlot> {
    let is_open =
        matches!(&*gate.borrow(), Gate::Open(it) if it.number == slot.generation().number);
    Some(slot).filter(|slot| is_open && !slot.generation().notice_death())
}

/// Between two tries of an origin that refuses connections, while the watch has not yet said why.
const REFUSED_PAUSE: Duration = Duration::from_millis(20);

/// Sends `taken` on its errand, and returns with the answer's head. Dropping the future calls the errand
/// back for as long as it waits; once it is with the origin, it goes on to the end, by itself.
pub fn send(
    thread: Arc<Thread>,
    taken: Taken,
    terms: Terms,
    request: Arc<str>,
) -> impl Future<Output = Answer> + Send + use<> {
    let course = Arc::new(Course::default());
    let errand = Errand {
        thread,
        is_fresh: false,
        taken,
        terms,
        request,
        place: None,
        wait: Wait::begin(),
        begun: deadline::now(),
        steps: Steps::default(),
        replays: 0,
        was_replayed: false,
        tried: Vec::new(),
        course: course.clone(),
    };
    Sent::begin(errand.run(), course)
}

struct Errand {
    thread: Arc<Thread>,
    taken: Taken,
    terms: Terms,
    request: Arc<str>,
    /// Taken when it is declared a stream.
    place: Option<Place>,
    wait: Wait,
    begun: Instant,
    steps: Steps,
    /// A kept connection was of no use; the next is to be a new one.
    is_fresh: bool,
    replays: u32,
    was_replayed: bool,
    /// Visits that came to nothing.
    tried: Vec<Visited>,
    course: Arc<Course>,
}

impl Errand {
    /// To be held once: an async function holds its arguments twice.
    fn run(self) -> impl Future<Output = ()> + Send + 'static {
        let mut errand = self;
        async move { errand.go().await }
    }

    async fn go(&mut self) {
        let mut gate = self.thread.shared.origin.gate();
        let begun = self.begun;
        let mut kept = None;
        loop {
            if let Err(failure) = self.pass() {
                return self.fail(failure);
            }
            let open = gate.borrow().clone();
            if let Gate::Open(generation) = open
                && let Err(failure) = self.join_streams(&generation)
            {
                return self.fail(failure);
            }
            let waiting = &self.thread.shared.waiting;
            let slot: Result<OriginSlot, _> = match kept.take() {
                Some(slot) => Ok(slot),
                None => {
                    waiting
                        .admit(&mut gate, &mut self.wait, &self.thread.tally)
                        .await
                }
            };
            let slot = match slot {
                Ok(slot) => slot,
                Err(failure) => {
                    self.steps = self.waited(deadline::now() - begun);
                    return self.fail(failure);
                }
            };
            // What it has waited for may be what put it in quarantine.
            let passed = self.pass();
            if let Err(failure) = passed.and_then(|()| self.join_streams(slot.generation())) {
                return self.fail(failure);
            }
            let wait = deadline::now() - begun;
            self.thread.tally.time(Span::Wait, wait);
            self.course.is_out.store(true, Ordering::Relaxed);
            self.steps = Steps {
                generation: Some(slot.generation().number),
                ..self.waited(wait)
            };
            let visited = self.visit(&slot).await;
            self.course.is_out.store(false, Ordering::Relaxed);
            match visited {
                Ok(()) => return,
                Err(missed) if missed.cut.is_some() => {
                    // Boxed, so that the many that are not cut need not carry what it takes.
                    return Box::pin(self.resume(missed, slot, &mut gate)).await;
                }
                // Nobody would take the answer.
                Err(_) if self.course.is_alone.load(Ordering::Relaxed) => return,
                Err(missed) if was_closed(&missed) && !self.is_fresh => {
                    self.is_fresh = true;
                    self.tried(missed.failure);
                    kept = live(slot, &gate);
                }
                Err(missed) if self.may_go_again(&missed) => {
                    self.wait.come_back();
                    self.go_again(&missed, &mut gate).await;
                    self.tried(missed.failure);
                    kept = live(slot, &gate);
                }
                Err(missed) => return self.fail(missed.failure),
            }
        }
    }

    /// Passes unless it is in quarantine.
    fn pass(&self) -> Result<(), Failure> {
        let origin = &self.thread.shared.origin;
        match origin.quarantined(&self.request, deadline::now()) {
            Some(left) => Err(Failure::origin(Phase::Hold, Cause::Quarantined { left })),
            None => Ok(()),
        }
    }

    /// Takes a place among the streams, if this is to be one and has none yet.
    fn join_streams(&mut self, generation: &Generation) -> Result<(), Failure> {
        let lasts = self.terms.stream || self.taken.bid.is_some();
        if lasts && self.place.is_none() {
            let place = self
                .thread
                .shared
                .streams
                .enter(generation, &self.thread.tally)?;
            self.place = Some(place);
        }
        Ok(())
    }

    async fn visit(&mut self, slot: &OriginSlot) -> Result<(), Box<Missed>> {
        let id = self.taken.head.trail.id.clone();
        let visit = self.thread.page.enter(self.request.clone(), id);
        let begun = deadline::now();
        let visits = self.visits();
        let (course, tried) = (&self.course, &self.tried);
        let waited = self.steps;
        let steps = || {
            let connected = visit.connected_at();
            Steps {
                origin: Some(deadline::now() - begun),
                connect: connected.map(|at| at.saturating_duration_since(begun)),
                ..waited
            }
        };
        let mut is_stream = false;
        let commit = |head: AnswerHead, reader: Reader| {
            is_stream = matches!(reader, Reader::Window(_));
            course.tell(Answer {
                result: Ok((head, reader)),
                visits,
                steps: steps(),
                tried: tried.clone(),
                course: None,
            });
        };
        let way = self.way(slot, &visit);
        let done = forward::visit(&self.taken, way, commit).await;
        if !is_stream {
            self.thread
                .tally
                .time(Span::Origin, deadline::now() - begun);
        }
        self.thread
            .tally
            .add(Count::BytesFromOrigin, visit.pulse().received());
        if done.is_ok() {
            visit.pulse().answered();
        }
        if let Err(missed) = &done {
            self.steps = steps();
            let is_cut_off = missed.delivery == Delivery::Answered && missed.cut.is_none();
            if is_cut_off && missed.failure.party != Party::Client {
                tracing::warn!(request = &*self.request, why = %missed.failure, "an answer was cut off");
            }
            self.report(missed);
            if matches!(missed.failure.cause, Cause::Broken(_) | Cause::Refused) {
                // Before its slot goes to somebody else.
                slot.generation().notice_death();
            }
        }
        done
    }

    /// Tells the watch what a visit met that came to nothing.
    fn report(&self, missed: &Missed) {
        let origin = &self.thread.shared.origin;
        match (&missed.failure.cause, missed.failure.phase) {
            (Cause::Refused, _) => origin.report(Reading::Refused),
            // Whoever waits in its stead begins anew, and the silence must not.
            (Cause::TimedOut { .. }, Phase::FirstByte) => origin.report(Reading::Silent),
            _ => {}
        }
    }

    /// To the origin, by this slot, as this visit.
    fn way<'a>(&'a self, slot: &'a OriginSlot, visit: &'a Visit) -> Way<'a> {
        Way {
            request: &self.request,
            slot,
            visit,
            terms: &self.terms,
            manners: self.thread.shared.settings.origin.manners,
            store: &self.thread.shared.store,
            streams: &self.thread.shared.streams,
            pool: &self.thread.pool,
            is_fresh: self.is_fresh,
            tally: &self.thread.tally,
        }
    }

    fn may_go_again(&self, missed: &Missed) -> bool {
        let past = Past {
            delivery: missed.delivery,
            replays: self.replays,
            is_suspect: missed.is_suspect,
            has_key: self.has_key(),
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
            .thread
            .shared
            .waiting
            .deadline(&self.wait)
            .is_past(deadline::now());
        !is_final
            && !late
            && self.taken.body.is_at_hand()
            && replay::may_replay(&self.taken.head.method, past)
    }

    fn has_key(&self) -> bool {
        let by_key = self.thread.shared.settings.replay.idempotency_key;
        let key = self.taken.head.headers.get("idempotency-key");
        by_key && key.is_some_and(|key| !key.is_empty())
    }

    async fn go_again(&mut self, missed: &Missed, gate: &mut watch::Receiver<Gate>) {
        let by = self.thread.shared.waiting.deadline(&self.wait);
        if missed.delivery == Delivery::NeverSent {
            let _ = by.bound(tokio::time::sleep(REFUSED_PAUSE)).await;
            return;
        }
        let pause = Deadline::within(NOTICING).min(by);
        let _ = pause.bound(gate.changed()).await;
        // What was left unread was as good as not sent.
        self.replays += u32::from(missed.delivery != Delivery::Unread);
        self.was_replayed = true;
        self.thread.tally.count(Count::ExchangesReplayed);
        tracing::info!(request = &*self.request, because = %missed.failure, "sent to the origin again");
    }

    /// A visit came to nothing, and there is to be another.
    fn tried(&mut self, failure: Failure) {
        let trail = &mut self.taken.head.trail;
        self.tried.push(Visited {
            attempt: trail.attempt,
            generation: self.steps.generation.unwrap_or_default(),
            after: self.steps.wait.unwrap_or_default(),
            length: self.steps.origin.unwrap_or_default(),
            failure: Some(failure),
        });
        trail.attempt += 1;
    }

    fn fail(&self, failure: Failure) {
        if failure.phase == Phase::Queue {
            self.thread.page.shed();
        }
        self.course.tell(Answer {
            result: Err(failure),
            visits: self.visits(),
            steps: self.steps,
            tried: self.tried.clone(),
            course: None,
        });
    }

    /// Its steps until it was given leave, or was refused it, after so long.
    fn waited(&self, wait: Duration) -> Steps {
        Steps {
            wait: Some(wait),
            hold: self.wait.held_at.map(|at| Held {
                after: at.saturating_duration_since(self.begun),
                length: self.wait.held_for,
            }),
            ..Steps::default()
        }
    }

    fn visits(&self) -> Visits {
        Visits {
            was_held: self.wait.was_held,
            was_replayed: self.was_replayed,
            was_continued: false,
        }
    }
}
