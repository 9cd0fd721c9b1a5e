//! Hooks that tell somebody: one run at a time, in the order of the steps, waited for by nobody.

use std::time::Duration;

use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::JoinHandle;

use super::{Occasion, run};
use crate::config::settings::Hook;
use crate::ground::deadline::Deadline;

/// What waits to be told, and who tells it.
#[derive(Debug)]
pub struct Queue {
    /// The hook's.
    key: &'static str,
    occasions: Sender<Occasion>,
    teller: JoinHandle<()>,
}

/// For what is under way when Leeward ends; what is left then is killed with it.
const LAST: Duration = Duration::from_secs(2);
/// So many may wait; each has its file, so that nothing is lost but the telling.
const WAITING: usize = 16;

impl Queue {
    /// The queue of the hook with this key; `None` where there is no hook. Must be called on the watch thread, where children are
    /// spawned.
    pub fn open(key: &'static str, hook: &Hook) -> Option<Self> {
        if hook.words.is_empty() {
            return None;
        }
        let (occasions, waiting) = mpsc::channel(WAITING);
        let teller = tokio::spawn(tell(key, hook.clone(), waiting));
        Some(Self {
            key,
            occasions,
            teller,
        })
    }

    /// Has it told, as soon as it is its turn. Never waits.
    pub fn put(&self, occasion: Occasion) {
        if let Err(full) = self.occasions.try_send(occasion) {
            let occasion = full.into_inner();
            tracing::error!(
                incident = occasion.fact("id"),
                step = occasion.fact("step"),
                "{} is not run: {WAITING} wait for it already",
                self.key
            );
        }
    }

    /// Takes nothing new, and waits a moment for what is under way.
    pub async fn close(self) {
        drop(self.occasions);
        if Deadline::within(LAST).bound(self.teller).await.is_err() {
            tracing::warn!("{} was not waited for any longer than {LAST:?}", self.key);
        }
    }
}

async fn tell(key: &'static str, hook: Hook, mut waiting: Receiver<Occasion>) {
    while let Some(occasion) = waiting.recv().await {
        let ran = run(&hook, &occasion).await;
        let (incident, step) = (occasion.fact("id"), occasion.fact("step"));
        match ran.is_good {
            true => tracing::debug!(incident, step, "{key} {}", ran.end),
            false => tracing::error!(incident, step, said = ran.said(), "{key} {}", ran.end),
        }
    }
}
