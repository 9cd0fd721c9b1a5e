//! Turns: those who wait while the gate is shut, in the order in which they began to wait, whatever thread they are on.
//!
//! When the gate opens, all of them learn of it at once, on all threads. Each then waits for its turn, which is to ask the
//! new generation for a slot; the slots are given out in the order of asking.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Instant;

/// Those who wait for their turn. Who finds it empty need not enter it.
#[derive(Debug, Default)]
pub struct Turns {
    /// How many there are; it lags behind by an instant.
    length: AtomicUsize,
    joined: AtomicU64,
    waiting: Mutex<BTreeMap<Ticket, Option<Waker>>>,
}

/// Since when somebody waits; of those who began at the same instant, who came first.
type Ticket = (Instant, u64);

/// A place among them; given up when dropped, and whoever is first then learns of it.
#[derive(Debug)]
pub struct Turn<'a> {
    turns: &'a Turns,
    ticket: Ticket,
}

impl Turns {
    /// Whether nobody waits. Costs one atomic load.
    pub fn is_empty(&self) -> bool {
        self.length.load(Ordering::Relaxed) == 0
    }

    /// A place for somebody who has waited since `begun`: before all who came later.
    pub fn join(&self, begun: Instant) -> Turn<'_> {
        let ticket = (begun, self.joined.fetch_add(1, Ordering::Relaxed));
        let mut waiting = self.waiting();
        waiting.insert(ticket, None);
        self.length.store(waiting.len(), Ordering::Relaxed);
        Turn {
            turns: self,
            ticket,
        }
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<Ticket, Option<Waker>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// Returns when nobody who waits came before.
    pub async fn comes(&self) {
        poll_fn(|cx| {
            let mut waiting = self.turns.waiting();
            let is_first = waiting
                .first_key_value()
                .is_none_or(|(first, _)| *first == self.ticket);
            match waiting.get_mut(&self.ticket) {
                Some(waker) if !is_first => {
                    *waker = Some(cx.waker().clone());
                    Poll::Pending
                }
                _ => Poll::Ready(()),
            }
        })
        .await
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut waiting = self.turns.waiting();
        waiting.remove(&self.ticket);
        self.turns.length.store(waiting.len(), Ordering::Relaxed);
        let next = waiting.first_entry().and_then(|mut it| it.get_mut().take());
        drop(waiting);
        if let Some(next) = next {
            next.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn turns_come_in_the_order_in_which_the_waits_began() {
        let turns = Turns::default();
        assert!(turns.is_empty());
        let now = Instant::now();
        let late = turns.join(now + Duration::from_secs(1));
        late.comes().await;
        let (early, twin) = (turns.join(now), turns.join(now));
        let comes = |turn: &Turn<'_>| {
            let turn = Box::pin(turn.comes());
            is_ready(turn)
        };
        assert!(comes(&early) && !comes(&twin) && !comes(&late));
        drop(early);
        assert!(comes(&twin) && !comes(&late));
        drop(twin);
        assert!(comes(&late));
        drop(late);
        assert!(turns.is_empty());
    }

    #[tokio::test]
    async fn who_leaves_wakes_the_next() {
        let turns = std::sync::Arc::new(Turns::default());
        let now = Instant::now();
        let first = turns.join(now);
        let next = {
            let turns = turns.clone();
            tokio::spawn(async move { turns.join(now).comes().await })
        };
        tokio::task::yield_now().await;
        drop(first);
        next.await.unwrap();
    }

    fn is_ready(mut turn: std::pin::Pin<Box<impl Future<Output = ()>>>) -> bool {
        let mut cx = std::task::Context::from_waker(Waker::noop());
        turn.as_mut().poll(&mut cx).is_ready()
    }
}
