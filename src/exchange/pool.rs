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
        let keep = self.0.keep?;
        loop {
            let last = self.resting().idle.pop()?;
            let is_ours = last.generation == generation.number;
            if is_ours && !last.is_past(keep, deadline::now()) && last.leg.is_fresh() {
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
        resting.idle.retain(|it| !it.is_past(keep, now));
        if resting.idle.is_empty() {
            resting.is_swept = false;
            return;
        }
    }
}

impl Idle {
    fn is_past(&self, keep: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= keep
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;
    use crate::origin::dial;

    #[tokio::test]
    async fn what_rested_for_too_long_is_not_used_though_nobody_swept_it() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (generation, _ender) = Generation::begin(1, address.parse().unwrap(), 8);
        let mut settings = Settings::default();
        settings.origin.keep_alive = Some(Duration::from_secs(2));
        let pool = Pool::new(&settings.origin, 1);
        let leg = || async {
            let stream = dial::open(&generation.address, None).await.unwrap();
            Box::new(Leg::new(stream))
        };
        let (first, second) = (leg().await, leg().await);
        tokio::time::pause();
        pool.put(first, &generation);
        tokio::time::advance(Duration::from_millis(1900)).await;
        pool.put(second, &generation);
        tokio::time::advance(Duration::from_millis(1900)).await;
        let taken = pool.take(&generation).expect("still good");
        pool.put(taken, &generation);
        tokio::time::advance(Duration::from_millis(2100)).await;
        assert!(pool.take(&generation).is_none());
    }
}
