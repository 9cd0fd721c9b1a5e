//! Where the quarantine is told: by the watch, to those who send requests.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Watch;
use super::ending::Ending;
use super::quarantine::{Barred, known_by};
use super::roster::VisitSeen;
use super::will::Reply;

/// What is in quarantine now, for those who ask before each visit.
#[derive(Debug, Clone, Default)]
pub(super) struct Barrier(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Almost always, nothing is, and one look at this is all it costs.
    is_any: AtomicBool,
    barred: Mutex<Arc<[Barred]>>,
}

impl Barrier {
    /// For how long this request is kept from the origin, if it is.
    pub(super) fn left(&self, request: &str, now: Instant) -> Option<Duration> {
        if !self.0.is_any.load(Ordering::Relaxed) {
            return None;
        }
        let known = known_by(request)?;
        let barred = self.now();
        let found = barred.iter().find(|it| &*it.request == known)?;
        let left = found.until.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    fn tell(&self, barred: Arc<[Barred]>) {
        let is_any = !barred.is_empty();
        *self.0.barred.lock().unwrap_or_else(PoisonError::into_inner) = barred;
        self.0.is_any.store(is_any, Ordering::Relaxed);
    }

    fn now(&self) -> Arc<[Barred]> {
        let barred = self.0.barred.lock();
        barred.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Watch {
    /// The origin hung: holds it against the oldest of the suspects, for those that came after it may only have waited
    /// for what it holds. Returns the request that is in quarantine for it.
    pub(super) fn blame(
        &mut self,
        ending: &Ending,
        visits: &[VisitSeen],
        now: Instant,
    ) -> Option<String> {
        let oldest = visits.iter().find(|visit| ending.suspects(visit.id))?;
        let barred = self.quarantine.blame(&oldest.request, now)?.clone();
        tracing::warn!(
            request = &*barred.request, hangs = barred.hangs, length = ?barred.until - barred.since,
            "in quarantine: this request has hung the origin repeatedly, and is answered 503 without it"
        );
        self.tell_quarantine();
        Some(barred.request.as_ref().to_owned())
    }

    /// Lets those go whose time is over.
    pub(super) fn release_due(&mut self, now: Instant) {
        let released = self.quarantine.release_due(now);
        for barred in &released {
            tracing::warn!(
                request = &*barred.request,
                "out of quarantine: its time is over"
            );
        }
        if !released.is_empty() {
            self.tell_quarantine();
        }
    }

    /// Lets those go that the operator wants released, `None` for all, and says which.
    pub(super) fn release(&mut self, request: Option<&str>) -> Reply {
        let released = self.quarantine.release(request);
        if released.is_empty() {
            let there = names(&self.quarantine.barred());
            return match request.filter(|_| !there.is_empty()) {
                Some(request) => Err(format!("{request} is not in quarantine; there is: {there}")),
                None => Ok("nothing is in quarantine".to_owned()),
            };
        }
        self.tell_quarantine();
        let names = names(&released);
        tracing::warn!(
            released = names,
            "out of quarantine: the operator wants it so"
        );
        Ok(format!("out of quarantine: {names}"))
    }

    fn tell_quarantine(&mut self) {
        let barred: Arc<[Barred]> = self.quarantine.barred().into();
        self.board.view.quarantine = barred.clone();
        self.barrier.tell(barred);
        self.board.publish();
    }
}

fn names(barred: &[Barred]) -> String {
    let names: Vec<_> = barred.iter().map(|it| &*it.request).collect();
    names.join(", ")
}
