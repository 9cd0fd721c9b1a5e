//! Waits for the gate and for a slot, first come first served, within the client's deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::config::settings::Settings;
use crate::ground::deadline::{self, Deadline};
use crate::ground::failure::{Cause, Failure, Phase};
use crate::ground::ledger::{Count, Tally};
use crate::origin::{Gate, OriginSlot};

/// Those who wait, and how many of them may.
#[derive(Debug, Clone)]
pub struct Waiting(Arc<Counts>);

/// The wait of one exchange. It begins once, however often the exchange is sent.
#[derive(Debug, Clone, Copy)]
pub struct Wait {
    begun: Instant,
    /// Whether the gate was ever found shut.
    pub was_held: bool,
}

#[derive(Debug)]
struct Counts {
    queue: usize,
    hold: usize,
    queue_timeout: Duration,
    hold_timeout: Duration,
    queued: AtomicUsize,
    held: AtomicUsize,
}

/// A place among those who wait; given back when dropped.
struct Place<'a>(&'a AtomicUsize);

impl Waiting {
    /// Nobody waits yet.
    pub fn new(settings: &Settings) -> Self {
        Self(Arc::new(Counts {
            queue: settings.origin.queue,
            hold: settings.hold.requests,
            queue_timeout: settings.origin.deadlines.queue,
            hold_timeout: settings.hold.timeout,
            queued: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
        }))
    }

    /// How many wait for a slot.
    pub fn queued(&self) -> usize {
        self.0.queued.load(Ordering::Relaxed)
    }

    /// How many wait for the gate.
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
        loop {
            let state = gate.borrow_and_update().clone();
            match state {
                Gate::Open(generation) => {
                    if let Ok(slot) = generation.free_slot() {
                        return Ok(slot);
                    }
                    let _place = self.queue_up(generation.spare())?;
                    let deadline = self.deadline(wait);
                    let admitted = async {
                        let moved = tokio::select! {
                            slot = generation.slot() => match slot {
                                Ok(slot) => return Ok(Some(slot)),
                                // Ended; the gate is about to say so.
                                Err(_) => gate.changed().await,
                            },
                            moved = gate.changed() => moved,
                        };
                        moved.map(|()| None)
                    };
                    match deadline.bound(admitted).await {
                        Ok(Ok(Some(slot))) => return Ok(slot),
                        Ok(Ok(None)) => {}
                        // Nobody is left who could open the gate.
                        Ok(Err(_)) => return Err(Failure::origin(Phase::Hold, Cause::NotReady)),
                        Err(_) => return Err(self.too_late(wait)),
                    }
                }
                Gate::Shut(shut) if shut.why.refuses() => {
                    let cause = Cause::Closed(shut.why.told());
                    return Err(Failure::edge(Phase::Hold, cause));
                }
                Gate::Shut(shut) => {
                    wait.hold(tally);
                    let deadline = self.deadline(wait);
                    if deadline.is_past(shut.expected) {
                        // Nobody is helped by a wait that is known to be in vain.
                        return Err(Failure::origin(Phase::Hold, Cause::NotReady));
                    }
                    let _place = self.hold_on()?;
                    match deadline.bound(gate.changed()).await {
                        Ok(Ok(())) => {}
                        Ok(Err(_)) => return Err(Failure::origin(Phase::Hold, Cause::NotReady)),
                        Err(_) => return Err(self.too_late(wait)),
                    }
                }
            }
        }
    }

    /// How long one waits for a shut gate, at the most.
    pub fn patience(&self) -> Duration {
        self.0.hold_timeout.max(self.0.queue_timeout)
    }

    /// By when the exchange must have got its slot, from what it has met so far.
    pub fn deadline(&self, wait: &Wait) -> Deadline {
        let timeout = match wait.was_held {
            true => self.patience(),
            false => self.0.queue_timeout,
        };
        Deadline::after(wait.begun, timeout)
    }

    /// Those who were given one of the `spare` slots, and have not learnt of it, take no place from others.
    fn queue_up(&self, spare: usize) -> Result<Place<'_>, Failure> {
        let (limit, key) = (self.0.queue, "origin.queue");
        Place::take(&self.0.queued, limit.saturating_add(spare)).ok_or_else(|| {
            let limit = limit as u64;
            Failure::edge(Phase::Queue, Cause::Full { limit, key })
        })
    }

    fn hold_on(&self) -> Result<Place<'_>, Failure> {
        let (limit, key) = (self.0.hold, "hold.requests");
        Place::take(&self.0.held, limit).ok_or_else(|| {
            let limit = limit as u64;
            Failure::edge(Phase::Hold, Cause::Full { limit, key })
        })
    }

    fn too_late(&self, wait: &Wait) -> Failure {
        let late = |limit, key| Cause::TimedOut { limit, key };
        match wait.was_held {
            true => Failure::origin(Phase::Hold, late(self.0.hold_timeout, "hold.timeout")),
            false => {
                let cause = late(self.0.queue_timeout, "origin.deadlines.queue");
                Failure::edge(Phase::Queue, cause)
            }
        }
    }
}

impl Wait {
    /// The wait begins now.
    pub fn begin() -> Self {
        Self {
            begun: deadline::now(),
            was_held: false,
        }
    }

    /// It is held; however often that is, it is counted once, and when it begins.
    fn hold(&mut self, tally: &Tally) {
        if !self.was_held {
            tally.count(Count::ExchangesHeld);
        }
        self.was_held = true;
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
mod tests {
    use super::*;
    use crate::origin::{Generation, Shut, Why};

    fn shut() -> Gate {
        let now = deadline::now();
        Gate::Shut(Shut {
            since: now,
            expected: now,
            why: Why::Down,
        })
    }

    fn open(concurrency: usize) -> (Gate, impl Sized) {
        let address = "127.0.0.1:1".parse().unwrap();
        let (generation, ender) = Generation::begin(1, address, concurrency);
        (Gate::Open(generation), ender)
    }

    #[tokio::test(start_paused = true)]
    async fn a_shut_gate_holds_a_request_until_it_opens() {
        let waiting = Waiting::new(&Settings::default());
        let (sender, mut gate) = watch::channel(shut());
        let held = {
            let waiting = waiting.clone();
            tokio::spawn(async move {
                let mut wait = Wait::begin();
                let slot = waiting.admit(&mut gate, &mut wait, &Tally::default()).await;
                (slot.is_ok(), wait.was_held)
            })
        };
        tokio::time::sleep(Duration::from_secs(19)).await;
        assert_eq!(waiting.held(), 1);
        let (gate, _ender) = open(1);
        sender.send_replace(gate);
        assert_eq!(held.await.unwrap(), (true, true));
        assert_eq!(waiting.held(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hold_ends_at_its_deadline() {
        let waiting = Waiting::new(&Settings::default());
        let (_sender, mut gate) = watch::channel(shut());
        let begun = deadline::now();
        let failure = waiting
            .admit(&mut gate, &mut Wait::begin(), &Tally::default())
            .await
            .unwrap_err();
        assert!(failure.to_string().contains("hold.timeout"), "{failure}");
        assert_eq!((deadline::now() - begun).as_secs(), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hold_that_would_be_in_vain_ends_at_once() {
        let waiting = Waiting::new(&Settings::default());
        let now = deadline::now();
        let (_sender, mut gate) = watch::channel(Gate::Shut(Shut {
            since: now,
            expected: now + Duration::from_secs(60),
            why: Why::Down,
        }));
        let failure = waiting
            .admit(&mut gate, &mut Wait::begin(), &Tally::default())
            .await;
        let not_ready = Failure::origin(Phase::Hold, Cause::NotReady);
        assert_eq!(failure.err(), Some(not_ready));
        assert_eq!(deadline::now(), now);
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_has_an_end_in_length_and_in_time() {
        let mut settings = Settings::default();
        settings.origin.queue = 1;
        let waiting = Waiting::new(&settings);
        let (gate, _ender) = open(1);
        let (_sender, mut gate) = watch::channel(gate);
        let _slot = waiting
            .admit(&mut gate, &mut Wait::begin(), &Tally::default())
            .await
            .unwrap();
        let queued = {
            let (waiting, mut gate) = (waiting.clone(), gate.clone());
            tokio::spawn(async move {
                waiting
                    .admit(&mut gate, &mut Wait::begin(), &Tally::default())
                    .await
                    .err()
            })
        };
        tokio::time::sleep(Duration::from_secs(1)).await;
        let shed = waiting
            .admit(&mut gate, &mut Wait::begin(), &Tally::default())
            .await;
        assert!(shed.unwrap_err().to_string().contains("origin.queue"));
        let late = queued.await.unwrap().unwrap().to_string();
        assert!(late.contains("origin.deadlines.queue"), "{late}");
        assert_eq!(waiting.queued(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_given_a_slot_takes_no_place_in_the_queue() {
        let mut settings = Settings::default();
        settings.origin.queue = 1;
        let waiting = Waiting::new(&settings);
        let (gate, _ender) = open(1);
        let (_sender, mut gate) = watch::channel(gate);
        let slot = waiting
            .admit(&mut gate, &mut Wait::begin(), &Tally::default())
            .await
            .unwrap();
        let queued = || {
            let (waiting, mut gate) = (waiting.clone(), gate.clone());
            tokio::spawn(async move {
                waiting
                    .admit(&mut gate, &mut Wait::begin(), &Tally::default())
                    .await
            })
        };
        let first = queued();
        tokio::task::yield_now().await;
        drop(slot);
        let mut wait = Wait::begin();
        // The slot is the first one's, who has not been told yet; there is room for one more.
        let tally = Tally::default();
        let second = waiting.admit(&mut gate, &mut wait, &tally);
        let second = tokio::time::timeout(Duration::from_secs(1), second);
        assert!(second.await.is_err(), "it waits, and is not turned away");
        assert!(first.await.unwrap().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_gate_that_nobody_keeps_any_more_is_not_waited_for() {
        let waiting = Waiting::new(&Settings::default());
        let (gate, _ender) = open(1);
        let (sender, mut gate) = watch::channel(gate);
        let _slot = waiting
            .admit(&mut gate, &mut Wait::begin(), &Tally::default())
            .await
            .unwrap();
        drop(sender);
        let failure = waiting
            .admit(&mut gate, &mut Wait::begin(), &Tally::default())
            .await;
        let not_ready = Failure::origin(Phase::Hold, Cause::NotReady);
        assert_eq!(failure.err(), Some(not_ready));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_slot_of_a_dead_generation_waits_for_the_next() {
        let waiting = Waiting::new(&Settings::default());
        let (first, ender) = open(1);
        let (sender, mut gate) = watch::channel(first);
        let _slot = waiting
            .admit(&mut gate, &mut Wait::begin(), &Tally::default())
            .await
            .unwrap();
        let queued = {
            let waiting = waiting.clone();
            tokio::spawn(async move {
                waiting
                    .admit(&mut gate, &mut Wait::begin(), &Tally::default())
                    .await
                    .is_ok()
            })
        };
        tokio::time::sleep(Duration::from_secs(1)).await;
        sender.send_replace(shut());
        drop(ender);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (second, _ender) = open(1);
        sender.send_replace(second);
        assert!(queued.await.unwrap());
    }
}
