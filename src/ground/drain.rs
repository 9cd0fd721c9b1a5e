//! Drain: finish what is in flight, take nothing new, by a deadline.

use tokio::sync::watch;

use super::deadline::{Deadline, Expired};

/// Orders the drain and sees it through. There is one, in the composition root.
#[derive(Debug)]
pub struct DrainSwitch(watch::Sender<Option<Deadline>>);

/// A share in the drain: tells when it begins, and holds its end back for as long as it lives.
///
/// Whoever has work in flight keeps one; the drain is over when the last is dropped, panics included.
#[derive(Debug, Clone)]
pub struct Drain(watch::Receiver<Option<Deadline>>);

impl DrainSwitch {
    /// A switch with its first share.
    pub fn new() -> (Self, Drain) {
        let (sender, receiver) = watch::channel(None);
        (Self(sender), Drain(receiver))
    }

    /// Begins the drain: every share learns the deadline.
    pub fn begin(&self, deadline: Deadline) {
        self.0.send_replace(Some(deadline));
    }

    /// How many shares are still out.
    pub fn in_flight(&self) -> usize {
        self.0.receiver_count()
    }

    /// Waits until all shares are given back.
    ///
    /// # Errors
    /// [`Expired`] when the deadline passed first.
    pub async fn finished(&self, deadline: Deadline) -> Result<(), Expired> {
        deadline.bound(self.0.closed()).await
    }
}

impl Drain {
    /// Returns the drain's deadline once it has begun; never returns when the switch is gone
    /// without having been used.
    pub async fn begun(&mut self) -> Deadline {
        loop {
            if let Some(deadline) = self.deadline() {
                return deadline;
            }
            if self.0.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// The drain's deadline, if it has begun.
    pub fn deadline(&self) -> Option<Deadline> {
        *self.0.borrow()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_drain_ends_with_its_last_share_or_at_its_deadline() {
        let (switch, share) = DrainSwitch::new();
        let mut other = share.clone();
        let deadline = Deadline::within(Duration::from_secs(30));
        switch.begin(deadline);
        assert_eq!(other.begun().await, deadline);
        drop(share);
        let early = Deadline::within(Duration::from_secs(1));
        assert_eq!(switch.finished(early).await, Err(Expired));
        assert_eq!(switch.in_flight(), 1);
        drop(other);
        assert_eq!(switch.finished(deadline).await, Ok(()));
    }
}
