//! An instant by which a wait ends. Minted once, where the obligation begins, and passed down.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// An instant by which something is over. Deadlines are compared and tightened, never restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

/// The deadline passed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the deadline has passed")]
pub struct Expired;

/// Returns then; never where there is no such moment.
pub async fn reached(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

/// The present instant. Follows tokio's clock, so that in-memory tests can pause it.
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// The monotonic clock, which is the same for all processes until the next boot (clock_gettime(2)).
pub fn since_boot() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::try_from(now).unwrap_or_default()
}

impl Deadline {
    /// The deadline `timeout` from this moment on.
    pub fn within(timeout: Duration) -> Self {
        Self::after(now(), timeout)
    }

    /// The deadline `timeout` after `start`. A timeout beyond the clock's range counts as 30 years.
    pub fn after(start: Instant, timeout: Duration) -> Self {
        const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
        Self(start.checked_add(timeout).unwrap_or(start + FAR))
    }

    /// The instant itself.
    pub fn at(self) -> Instant {
        self.0
    }

    /// Whether it has passed at `now`.
    pub fn is_past(self, now: Instant) -> bool {
        now >= self.0
    }

    /// What is left of it at `now`; zero when it has passed.
    pub fn left(self, now: Instant) -> Duration {
        self.0.saturating_duration_since(now)
    }

    /// Returns when the deadline passes.
    pub async fn passed(self) {
        tokio::time::sleep_until(self.0.into()).await;
    }

    /// Runs `work` no longer than to the deadline; work that is done at once wins over a past deadline. To be called
    /// where a runtime's clock is at hand.
    ///
    /// # Errors
    /// [`Expired`] when the deadline passed first; `work` is dropped then.
    pub fn bound<W: Future>(self, work: W) -> Bound<W> {
        Bound {
            work: tokio::time::timeout_at(self.0.into(), work),
        }
    }
}

pin_project_lite::pin_project! {
    /// Work that ends by a deadline; see [`Deadline::bound`]. No async function, since that would hold the work twice.
    #[derive(Debug)]
    #[must_use = "it does nothing unless it is awaited"]
    pub struct Bound<W> {
        #[pin]
        work: tokio::time::Timeout<W>,
    }
}

impl<W: Future> Future for Bound<W> {
    type Output = Result<W::Output, Expired>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().work.poll(cx).map_err(|_| Expired)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_at_the_instant_not_after_a_fresh_timeout() {
        let deadline = Deadline::within(Duration::from_secs(10));
        let begun = now();
        for _ in 0..4 {
            let slow = tokio::time::sleep(Duration::from_secs(3));
            let _ = deadline.bound(slow).await;
        }
        assert_eq!(now() - begun, Duration::from_secs(10));
    }

    #[test]
    fn an_absurd_timeout_is_far_away_and_does_not_panic() {
        let start = Instant::now();
        assert!(!Deadline::after(start, Duration::MAX).is_past(start));
    }
}
