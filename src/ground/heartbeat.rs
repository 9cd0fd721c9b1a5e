//! Whether every thread of ours still makes progress: each runtime beats, the watch looks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two beats.
pub const BEAT: Duration = Duration::from_millis(250);

/// The hearts of all threads.
#[derive(Debug, Clone)]
pub struct Hearts {
    epoch: Instant,
    all: Arc<Mutex<Vec<Arc<Heart>>>>,
}

/// The heart of one thread.
#[derive(Debug)]
pub struct Heart {
    name: String,
    epoch: Instant,
    /// Milliseconds from the epoch to the last beat.
    last: AtomicU64,
}

impl Hearts {
    /// None beats yet; `epoch` is before the first beat.
    pub fn new(epoch: Instant) -> Self {
        let all = Arc::default();
        Self { epoch, all }
    }

    /// A heart for one more thread, which is called `name`.
    pub fn add(&self, name: String) -> Arc<Heart> {
        let heart = Arc::new(Heart {
            name,
            epoch: self.epoch,
            last: AtomicU64::new(0),
        });
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(heart.clone());
        heart
    }

    /// The threads that have not beaten for `limit` at `now`, and for how long they have not.
    pub fn still(&self, now: Instant, limit: Duration) -> Vec<(String, Duration)> {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter()
            .map(|heart| (heart.name.clone(), heart.silence(now)))
            .filter(|(_, silence)| *silence > limit)
            .collect()
    }
}

impl Heart {
    /// Notes that the thread makes progress at `now`.
    pub fn beat(&self, now: Instant) {
        let since = now.saturating_duration_since(self.epoch).as_millis();
        let since = u64::try_from(since).unwrap_or(u64::MAX);
        self.last.store(since, Ordering::Relaxed);
    }

    /// Beats for ever, on the runtime it is run on.
    pub async fn beat_on(self: Arc<Self>) {
        loop {
            self.beat(super::deadline::now());
            tokio::time::sleep(BEAT).await;
        }
    }

    fn silence(&self, now: Instant) -> Duration {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        now.saturating_duration_since(self.epoch)
            .saturating_sub(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_stopped_is_named() {
        let epoch = Instant::now();
        let hearts = Hearts::new(epoch);
        let (edge, watch) = (hearts.add("edge".into()), hearts.add("watch".into()));
        let later = epoch + Duration::from_secs(10);
        edge.beat(epoch + Duration::from_secs(4));
        watch.beat(later);
        let still = hearts.still(later, Duration::from_secs(5));
        assert_eq!(still, [("edge".to_owned(), Duration::from_secs(6))]);
    }
}
