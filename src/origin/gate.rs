//! The gate: may requests reach the origin, and which generation of it? Published through one watch value.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, watch};

use super::ending::Ending;
use super::pid::Pid;
use super::{forensics, widening};
use crate::ground::addr::OriginAddr;
use crate::ground::deadline::{self, Deadline};

/// Whether requests may reach the origin.
#[derive(Debug, Clone)]
pub enum Gate {
    /// They may reach this generation.
    Open(Arc<Generation>),
    /// They wait.
    Shut(Shut),
}

/// Why the gate is shut, and until when, as far as anyone can tell.
#[derive(Debug, Clone, Copy)]
pub struct Shut {
    /// Since when.
    pub since: Instant,
    /// When it will probably open, from what starts took so far.
    pub expected: Instant,
    /// For whose sake.
    pub why: Why,
}

/// For whose sake a gate is shut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The origin's: it is not there, or about to be replaced.
    Down,
    /// The operator's, who will open it again soon.
    Paused,
    /// The operator's, who takes this server out of service.
    Draining,
    /// The operator's, who works on the origin.
    Maintenance,
}

impl Why {
    /// Whether it is no use to wait, however soon it may open.
    pub fn refuses(self) -> bool {
        matches!(self, Self::Draining | Self::Maintenance)
    }

    /// It in a few words, for those who are refused.
    pub fn told(self) -> &'static str {
        match self {
            Self::Down => "it is being replaced",
            Self::Paused => "it is paused",
            Self::Draining => "it is being taken out of service",
            Self::Maintenance => "it is in maintenance",
        }
    }
}

/// One life of the origin process, as those see it who send it requests.
#[derive(Debug)]
pub struct Generation {
    /// Counted from 1.
    pub number: u64,
    /// Where this one listens.
    pub address: OriginAddr,
    /// Whose life it is, if it is our child's.
    process: Option<Pid>,
    slots: Arc<Semaphore>,
    concurrency: usize,
    opened: Instant,
    /// Answers that made room for more; not counted on when all slots are open.
    answered: AtomicUsize,
    /// Slots that are open, at most `concurrency`.
    width: AtomicUsize,
    /// Slots whose owners know of them.
    taken: AtomicUsize,
    ended: watch::Receiver<Option<Arc<Ending>>>,
}

/// Leave to use one unit of a generation's concurrency.
///
/// Given back when the answer is whole or the generation ended, never because a client left.
#[derive(Debug)]
pub struct OriginSlot {
    generation: Arc<Generation>,
    _permit: OwnedSemaphorePermit,
}

/// Why there is no slot just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoSlot {
    /// All are in use.
    Busy,
    /// The generation has ended.
    Ended,
}

/// Ends a generation: those at work with it learn how. Dropping it ends it without a word.
#[derive(Debug)]
pub struct Ender {
    slots: Arc<Semaphore>,
    ended: watch::Sender<Option<Arc<Ending>>>,
}

impl Generation {
    /// A new generation with `concurrency` slots (at least 1), and what ends it. One slot is open; the others open as it
    /// proves itself, see [`widening`].
    pub fn begin(number: u64, address: OriginAddr, concurrency: usize) -> (Arc<Self>, Ender) {
        Self::begin_of(None, number, address, concurrency)
    }

    /// The same, of this process.
    pub fn begin_of(
        process: Option<Pid>,
        number: u64,
        address: OriginAddr,
        concurrency: usize,
    ) -> (Arc<Self>, Ender) {
        let concurrency = concurrency.max(1);
        let slots = Arc::new(Semaphore::new(1));
        let (sender, ended) = watch::channel(None);
        let ender = Ender {
            slots: slots.clone(),
            ended: sender,
        };
        let generation = Self {
            number,
            address,
            process,
            slots,
            concurrency,
            opened: deadline::now(),
            answered: AtomicUsize::new(0),
            width: AtomicUsize::new(1),
            taken: AtomicUsize::new(0),
            ended,
        };
        (Arc::new(generation), ender)
    }

    /// A slot, in the order of asking.
    ///
    /// # Errors
    /// [`NoSlot::Ended`] when the generation ended meanwhile.
    pub async fn slot(self: &Arc<Self>) -> Result<OriginSlot, NoSlot> {
        let mut asked = std::pin::pin!(self.slots.clone().acquire_owned());
        loop {
            let next = self.widen();
            let permit = match next {
                None => asked.as_mut().await,
                Some(next) => match next.bound(asked.as_mut()).await {
                    Ok(permit) => permit,
                    Err(_) => continue,
                },
            };
            return match permit {
                Ok(permit) => Ok(self.occupy(permit)),
                Err(_) => Err(NoSlot::Ended),
            };
        }
    }

    /// A slot, if one is free at once.
    ///
    /// # Errors
    /// [`NoSlot`].
    pub fn free_slot(self: &Arc<Self>) -> Result<OriginSlot, NoSlot> {
        let mut taken = self.slots.clone().try_acquire_owned();
        if matches!(taken, Err(TryAcquireError::NoPermits)) && self.widen().is_some() {
            taken = self.slots.clone().try_acquire_owned();
        }
        match taken {
            Ok(permit) => Ok(self.occupy(permit)),
            Err(TryAcquireError::NoPermits) => Err(NoSlot::Busy),
            Err(TryAcquireError::Closed) => Err(NoSlot::Ended),
        }
    }

    /// Slots in use.
    pub fn busy(&self) -> usize {
        let open = self.width.load(Ordering::Relaxed);
        open.saturating_sub(self.slots.available_permits())
    }

    /// Slots that nobody works with yet: free, or given to somebody who waited and has not learnt of it. Of many answers
    /// that end at once, all slots are like that for a moment.
    pub fn spare(&self) -> usize {
        let open = self.width.load(Ordering::Relaxed);
        open.saturating_sub(self.taken.load(Ordering::Relaxed))
    }

    /// Slots in all.
    pub fn concurrency(&self) -> usize {
        self.concurrency
    }

    /// How the generation ended, if it has.
    pub fn ending(&self) -> Option<Arc<Ending>> {
        self.ended.borrow().clone()
    }

    /// Whether its process is gone or on its way out, though nobody has said so yet: the end of its connections is
    /// seen before its own. Always `false` where the process is not our child.
    ///
    /// If so, nobody is given a slot of it from now on. A dying process may close its listener last; whoever is sent to it
    /// meanwhile is taken into its queue and dies with it.
    pub fn notice_death(&self) -> bool {
        let is_dying = self.ending().is_some() || self.process.is_some_and(forensics::is_dying);
        if is_dying {
            self.slots.close();
        }
        is_dying
    }

    /// Returns how the generation ended, once it has.
    pub async fn ended(&self) -> Arc<Ending> {
        let mut ended = self.ended.clone();
        loop {
            if let Some(ending) = ended.borrow_and_update().clone() {
                return ending;
            }
            if ended.changed().await.is_err() {
                return Arc::new(Ending::silent());
            }
        }
    }

    /// Opens the slots it has proven to bear by now; when the next ones open by themselves, while any are shut.
    fn widen(&self) -> Option<Deadline> {
        if self.width.load(Ordering::Relaxed) >= self.concurrency {
            return None;
        }
        let lived = deadline::now().saturating_duration_since(self.opened);
        let answered = self.answered.load(Ordering::Relaxed);
        let width = widening::width(answered, lived, self.concurrency);
        let before = self.width.fetch_max(width, Ordering::Relaxed);
        self.slots.add_permits(width.saturating_sub(before));
        Some(Deadline::after(self.opened, widening::next_round(lived)))
    }

    fn occupy(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> OriginSlot {
        self.taken.fetch_add(1, Ordering::Relaxed);
        OriginSlot {
            generation: self.clone(),
            _permit: permit,
        }
    }
}

impl OriginSlot {
    /// The generation it is a slot of.
    pub fn generation(&self) -> &Arc<Generation> {
        &self.generation
    }

    /// The visit brought the head of an answer: the generation has proven that it bears one more. Costs one atomic load when all its
    /// slots are open.
    pub fn answered(&self) {
        let generation = &self.generation;
        if generation.width.load(Ordering::Relaxed) < generation.concurrency {
            generation.answered.fetch_add(1, Ordering::Relaxed);
            generation.widen();
        }
    }
}

impl Drop for OriginSlot {
    fn drop(&mut self) {
        self.generation.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Ender {
    /// Nobody gets a slot any more: waiters go back to the gate. Visits in flight go on.
    pub fn retire(&self) {
        self.slots.close();
    }

    /// Ends the generation: waiters for a slot go back to the gate, visits in flight learn the ending.
    pub fn end(self, ending: Ending) {
        self.slots.close();
        self.ended.send_replace(Some(Arc::new(ending)));
    }
}

impl Drop for Ender {
    fn drop(&mut self) {
        self.slots.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::ending::Ending;

    #[tokio::test]
    async fn a_slot_of_a_dead_generation_is_never_handed_out() {
        let address: OriginAddr = "127.0.0.1:1".parse().unwrap();
        let (generation, ender) = Generation::begin(1, address, 1);
        let slot = generation.free_slot().unwrap();
        assert_eq!(generation.busy(), 1);
        assert_eq!(generation.free_slot().err(), Some(NoSlot::Busy));
        let waiter = {
            let generation = generation.clone();
            tokio::spawn(async move { generation.slot().await.err() })
        };
        tokio::task::yield_now().await;
        ender.end(Ending::silent());
        assert_eq!(waiter.await.unwrap(), Some(NoSlot::Ended));
        drop(slot);
        assert_eq!(generation.free_slot().err(), Some(NoSlot::Ended));
        generation.ended().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_generation_is_let_have_no_more_than_it_has_proven_to_bear() {
        let address: OriginAddr = "127.0.0.1:1".parse().unwrap();
        let (generation, _ender) = Generation::begin(1, address, 4);
        let first = generation.free_slot().unwrap();
        assert_eq!(generation.free_slot().err(), Some(NoSlot::Busy));
        first.answered();
        let second = generation.free_slot().unwrap();
        assert_eq!(generation.free_slot().err(), Some(NoSlot::Busy));
        // Slow answers hold the others up no longer than its survival lets them.
        let begun = deadline::now();
        let mut taken = Vec::new();
        while taken.len() < 2 {
            taken.push(generation.slot().await.unwrap());
        }
        assert_eq!((deadline::now() - begun).as_secs(), 2);
        drop((first, second, taken));
        assert_eq!((generation.busy(), generation.spare()), (0, 4));
        assert!(generation.widen().is_none());
    }
}
