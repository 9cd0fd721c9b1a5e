//! Connections to a concurrent origin that are kept for the next request, for a moment: one pool an edge thread.
//!
//! A serial origin is never kept waiting on a connection: an idle one would park it in `read`, the very disease.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::leg::Leg;
use crate::config::settings;
use crate::ground::deadline;
use crate::origin::Generation;

/// The kept connections of one edge thread.
#[derive(Clone)]
pub struct Pool(Arc<Inner>);

struct Inner {
    keep: Option<Duration>,
    most: Option<usize>,
    resting: Mutex<Resting>,
}

#[derive(Default)]
struct Resting {
    idle: Vec<Idle>,
    /// Somebody closes what rests for too long.
    is_swept: bool,
}

struct Idle {
    /// In a box, since it is handed about.
    leg: Box<Leg>,
    generation: u64,
    since: Instant,
}

impl Pool {
    /// Nothing is kept yet. As many connections are kept as the origin has slots, since whoever has none to send over
    /// must dial. Where its concurrency was set, each may occupy a thread of it: then the pools of `threads` edge
    /// threads share them.
    pub fn new(origin: &settings::Origin, threads: usize) -> Self {
        let set = origin.concurrency;
        Self(Arc::new(Inner {
            keep: origin.keep_alive,
            most: set.map(|slots| slots.div_ceil(threads.max(1))),
            resting: Mutex::default(),
        }))
    }

    /// Whether connections to this generation are kept at all.
    pub fn keeps(&self, generation: &Generation) -> bool {
        self.0.keep.is_some() && generation.concurrency() > 1
    }

    /// The connection that was used last, if one of this generation is kept and still open.
    pub fn take(&self, generation: &Generation) -> Option<Box<Leg>> {
        loop {
            let mut last = self.resting().idle.pop()?;
            if last.generation == generation.number && last.leg.is_fresh() {
                return Some(last.leg);
            }
        }
    }

    /// Keeps a connection whose answer was taken whole.
    pub fn put(&self, mut leg: Box<Leg>, generation: &Generation) {
        let Some(keep) = self.0.keep else { return };
        let mut resting = self.resting();
        let most = self.0.most.unwrap_or(generation.concurrency());
        if resting.idle.len() >= most {
            return;
        }
        leg.rest();
        resting.idle.push(Idle {
            leg,
            generation: generation.number,
            since: deadline::now(),
        });
        if !std::mem::replace(&mut resting.is_swept, true) {
            tokio::spawn(sweep(Arc::downgrade(&self.0), keep));
        }
    }

    fn resting(&self) -> MutexGuard<'_, Resting> {
        locked(&self.0.resting)
    }
}

/// Closes what was kept for too long; ends when nothing is kept any more.
async fn sweep(pool: std::sync::Weak<Inner>, keep: Duration) {
    loop {
        tokio::time::sleep(keep).await;
        let Some(pool) = pool.upgrade() else { return };
        let now = deadline::now();
        let mut resting = locked(&pool.resting);
        resting
            .idle
            .retain(|it| now.saturating_duration_since(it.since) < keep);
        if resting.idle.is_empty() {
            resting.is_swept = false;
            return;
        }
    }
}

fn locked(resting: &Mutex<Resting>) -> MutexGuard<'_, Resting> {
    resting.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let resting = self.resting().idle.len();
        f.debug_struct("Pool").field("resting", &resting).finish()
    }
}
