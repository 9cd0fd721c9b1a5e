//! Connections to a concurrent origin that are kept for the next request, for a moment: one pool an edge thread.
//!
//! A serial origin is never kept waiting on a connection: an idle one would park it in `read`, the very disease.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::client::conn::http1::SendRequest;

use super::sending::Sending;
use crate::ground::deadline;
use crate::origin::Generation;

/// The kept connections of one edge thread.
#[derive(Debug, Clone)]
pub struct Pool(Arc<Inner>);

/// A connection over which a request can be sent.
#[derive(Debug)]
pub struct Line {
    /// Where it is sent.
    pub sender: SendRequest<Sending>,
    /// Our end of it.
    pub local: Option<SocketAddr>,
    /// Whether it has been used before, so that the origin may be about to close it.
    pub is_used: bool,
}

#[derive(Debug)]
struct Inner {
    keep: Option<Duration>,
    /// How many edge threads share the origin's concurrency.
    threads: usize,
    idle: Mutex<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    line: Line,
    generation: u64,
    since: Instant,
}

impl Pool {
    /// Nothing is kept yet; `keep` is how long something may be, `None` is never. The pools of `threads` edge threads
    /// together keep no more than the origin has slots: each may occupy a thread of it.
    pub fn new(keep: Option<Duration>, threads: usize) -> Self {
        Self(Arc::new(Inner {
            keep,
            threads: threads.max(1),
            idle: Mutex::default(),
        }))
    }

    /// Whether connections to this generation are kept at all.
    pub fn keeps(&self, generation: &Generation) -> bool {
        self.0.keep.is_some() && generation.concurrency() > 1
    }

    /// The connection that was used last, if one of this generation is kept and still open.
    pub fn take(&self, generation: &Generation) -> Option<Line> {
        let mut idle = self.idle();
        idle.retain(|it| it.generation == generation.number && !it.line.sender.is_closed());
        // One whose answer was taken this very moment may not have noticed it yet.
        let last = idle.iter().rposition(|it| it.line.sender.is_ready())?;
        Some(idle.remove(last).line)
    }

    /// Keeps a connection whose answer was taken whole.
    pub fn put(&self, mut line: Line, generation: &Generation) {
        let Some(keep) = self.0.keep else { return };
        line.is_used = true;
        let mut idle = self.idle();
        if idle.len() >= generation.concurrency().div_ceil(self.0.threads) {
            return;
        }
        let is_first = idle.is_empty();
        idle.push(Idle {
            line,
            generation: generation.number,
            since: deadline::now(),
        });
        if is_first {
            tokio::spawn(sweep(Arc::downgrade(&self.0), keep));
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        locked(&self.0.idle)
    }
}

/// Closes what was kept for too long; ends when nothing is kept any more.
async fn sweep(pool: std::sync::Weak<Inner>, keep: Duration) {
    loop {
        tokio::time::sleep(keep).await;
        let Some(pool) = pool.upgrade() else { return };
        let now = deadline::now();
        let mut idle = locked(&pool.idle);
        idle.retain(|it| now.saturating_duration_since(it.since) < keep);
        if idle.is_empty() {
            return;
        }
    }
}

fn locked(idle: &Mutex<Vec<Idle>>) -> MutexGuard<'_, Vec<Idle>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}
