//! Waits for the gate and for a slot, first come first served, within the client's deadline.
//!
//! What is held is bounded in number here, and in bytes by the spool, which its bodies rest in.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::turns::{Turn, Turns};
use crate::config::settings::Settings;
use crate::ground::deadline::{self, Deadline};
use crate::ground::failure::{Cause, Failure, Phase};
use crate::ground::ledger::{Count, Tally};
use crate::ground::published::Published;
use crate::origin::{Gate, Generation, OriginSlot};

/// Those who wait, and how many of them may.
#[derive(Debug, Clone)]
pub struct Waiting(Arc<Counts>);

/// The wait of one exchange. It begins once, however often the exchange is sent.
#[derive(Debug, Clone, Copy)]
pub struct Wait {
    begun: Instant,
    /// When the gate was first found shut.
    pub held_at: Option<Instant>,
    /// How long it was, all in all.
    pub held_for: Duration,
    /// Whether the gate was ever found shut.
    pub was_held: bool,
    /// Whether it was let through before, and has come back.
    is_back: bool,
}

#[derive(Debug)]
struct Counts {
    bounds: Published<Bounds>,
    queued: AtomicUsize,
    held: AtomicUsize,
    turns: Turns,
}

/// How many may wait, and for how long.
#[derive(Debug)]
struct Bounds {
    queue: usize,
    hold: usize,
    queue_timeout: Duration,
    hold_timeout: Duration,
}

/// A place among those who wait; given back when dropped.
struct Place<'a>(&'a AtomicUsize);

impl Waiting {
    /// Nobody waits yet.
    pub fn new(settings: &Settings) -> Self {
        Self(Arc::new(Counts {
            bounds: Published::new(Arc::new(Bounds::of(settings))),
            queued: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            turns: Turns::default(),
        }))
    }

    /// Whoever begins to wait does so by these from now on, and whoever waits looks at them when the gate moves.
    pub fn take(&self, settings: &Settings) {
        self.0.bounds.replace(Arc::new(Bounds::of(settings)));
    }

    /// How many wait for a slot.
    pub fn queued(&self) -> usize {
        self.0.queued.load(Ordering::Relaxed)
    }

    /// How many waited for the gate and have no slot yet.
    pub fn held(&self) -> usize {
        self.0.held.load(Ordering::Relaxed)
    }

    /// Waits for leave to visit the origin. `tally` learns of it if that means to be held.
    ///
    /// # Errors
    /// The origin's failure at [`Phase::Hold`] or the edge's at [`Phase::Queue`]: too many wait, or the
    /// wait was too long.
    pub async fn admit(
        &self,
        gate: &mut watch::Receiver<Gate>,
        wait: &mut Wait,
        tally: &Tally,
    ) -> Result<OriginSlot, Failure> {
        let (mut turn, mut held) = (None, None);
        loop {
            let state = gate.borrow_and_update().clone();
            let moved = match state {
                Gate::Open(generation) => {
                    if turn.is_none()
                        && self.0.turns.is_empty()
                        && let Ok(slot) = generation.free_slot()
                    {
                        return Ok(slot);
                    }
                    // Who was held has a place already.
                    let _place = match held {
                        None if !wait.is_back => Some(self.queue_up(generation.spare())?),
                        _ => None,
                    };
                    let deadline = self.deadline(wait);
                    turn.get_or_insert_with(|| self.0.turns.join(wait.begun));
                    match deadline.bound(asked(&generation, &mut turn, gate)).await {
                        Ok(Ok(slot)) => return Ok(slot),
                        Ok(Err(moved)) => moved,
                        Err(_) => return Err(self.too_late(wait)),
                    }
                }
                Gate::Shut(shut) if shut.why.refuses() => {
                    let cause = Cause::Closed(shut.why.told());
                    return Err(Failure::edge(Phase::Hold, cause));
                }
                Gate::Shut(shut) => {
                    let since = deadline::now();
                    wait.hold(tally, since);
                    let deadline = self.deadline(wait);
                    if deadline.is_past(shut.expected) {
                        // Nobody is helped by a wait that is known to be in vain.
                        return Err(Failure::origin(Phase::Hold, Cause::NotReady));
                    }
                    if held.is_none() {
                        held = Some(self.hold_on(wait)?);
                    }
                    turn.get_or_insert_with(|| self.0.turns.join(wait.begun));
                    let moved = deadline.bound(gate.changed()).await;
                    wait.held_on(since);
                    match moved {
                        Ok(moved) => moved,
                        Err(_) => return Err(self.too_late(wait)),
                    }
                }
            };
            if moved.is_err() {
                // Nobody is left who could open the gate.
                return Err(Failure::origin(Phase::Hold, Cause::NotReady));
            }
        }
    }

    /// How long one waits for a shut gate, at the most.
    pub fn patience(&self) -> Duration {
        self.0.bounds.now().patience()
    }

    /// By when the exchange must have got its slot, from what it has met so far.
    pub fn deadline(&self, wait: &Wait) -> Deadline {
        let bounds = self.0.bounds.now();
        let timeout = match wait.was_held {
            true => bounds.patience(),
            false => bounds.queue_timeout,
        };
        Deadline::after(wait.begun, timeout)
    }

    /// Those who were given one of the `spare` slots, and have not learnt of it, take no place from others.
    fn queue_up(&self, spare: usize) -> Result<Place<'_>, Failure> {
        let (limit, key) = (self.0.bounds.now().queue, "origin.queue");
        Place::take(&self.0.queued, limit.saturating_add(spare)).ok_or_else(|| {
            let limit = limit as u64;
            Failure::edge(Phase::Queue, Cause::Full { limit, key })
        })
    }

    fn hold_on(&self, wait: &Wait) -> Result<Place<'_>, Failure> {
        let (limit, key) = (self.0.bounds.now().hold, "hold.requests");
        let most = if wait.is_back { usize::MAX } else { limit };
        Place::take(&self.0.held, most).ok_or_else(|| {
            let limit = limit as u64;
            Failure::edge(Phase::Hold, Cause::Full { limit, key })
        })
    }

    fn too_late(&self, wait: &Wait) -> Failure {
        let late = |limit, key| Cause::TimedOut { limit, key };
        let bounds = self.0.bounds.now();
        match wait.was_held {
            true => Failure::origin(Phase::Hold, late(bounds.hold_timeout, "hold.timeout")),
            false => {
                let cause = late(bounds.queue_timeout, "origin.deadlines.queue");
                Failure::edge(Phase::Queue, cause)
            }
        }
    }
}

impl Bounds {
    fn of(settings: &Settings) -> Self {
        Self {
            queue: settings.origin.queue,
            hold: settings.hold.requests,
            queue_timeout: settings.origin.deadlines.queue,
            hold_timeout: settings.hold.timeout,
        }
    }

    fn patience(&self) -> Duration {
        self.hold_timeout.max(self.queue_timeout)
    }
}

impl Wait {
    /// The wait begins now.
    pub fn begin() -> Self {
        Self {
            begun: deadline::now(),
            held_at: None,
            held_for: Duration::ZERO,
            was_held: false,
            is_back: false,
        }
    }

    /// It was let through and is to be sent again: it has its place from before, before all who came later, and is not
    /// turned away because others wait by now. There are no more of those than the origin had slots.
    pub fn come_back(&mut self) {
        self.is_back = true;
    }

    /// The wait of the same exchange for the rest of its answer: it has been answered meanwhile, for long perhaps, and its
    /// patience begins anew. It comes behind those who have waited for longer than that.
    pub fn anew(&self) -> Self {
        Self {
            begun: deadline::now(),
            is_back: true,
            ..*self
        }
    }

    /// It is held; however often that is, it is counted once, and when it begins.
    fn hold(&mut self, tally: &Tally, now: Instant) {
        if !self.was_held {
            tally.count(Count::ExchangesHeld);
        }
        self.was_held = true;
        self.held_at.get_or_insert(now);
    }

    /// It was held since then.
    fn held_on(&mut self, since: Instant) {
        self.held_for += deadline::now().saturating_duration_since(since);
    }
}

/// Asks for a slot when its turn comes, and gives the turn to the next as soon as it has asked. Or returns when the gate
/// has moved, or nobody is left to move it.
async fn asked(
    generation: &Arc<Generation>,
    turn: &mut Option<Turn<'_>>,
    gate: &mut watch::Receiver<Gate>,
) -> Result<OriginSlot, Result<(), watch::error::RecvError>> {
    if let Some(turn) = turn {
        tokio::select! {
            biased;
            moved = gate.changed() => return Err(moved),
            () = turn.comes() => {}
        }
    }
    let mut slot = std::pin::pin!(generation.slot());
    let at_once = poll_fn(|cx| Poll::Ready(slot.as_mut().poll(cx))).await;
    let slot = match at_once {
        Poll::Ready(slot) => slot,
        Poll::Pending => {
            *turn = None;
            tokio::select! {
                biased;
                slot = slot => slot,
                moved = gate.changed() => return Err(moved),
            }
        }
    };
    match slot {
        Ok(slot) => Ok(slot),
        // Ended; the gate is about to say so.
        Err(_) => Err(gate.changed().await),
    }
}

impl<'a> Place<'a> {
    fn take(count: &'a AtomicUsize, limit: usize) -> Option<Self> {
        let order = Ordering::Relaxed;
        let one_more = |taken: usize| (taken < limit).then_some(taken + 1);
        count.fetch_update(order, order, one_more).ok()?;
        Some(Self(count))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[path = "hold_tests.rs"]
mod tests;
