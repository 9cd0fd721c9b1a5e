//! Whose process it is: looked for aside and seldom, and kept by its number and the moment of its start.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use super::Observer;
use crate::ground::addr::OriginAddr;
use crate::ground::deadline;
use crate::origin::evidence::aside;
use crate::origin::forensics::{Listening, RunState, Seen, Server, Vital, server};
use crate::origin::senses::listening;
use crate::origin::verdict::Verdict;

/// What a search comes to: whose process it is, that nobody listens, or why it could not be seen.
pub type Found = Seen<Option<Server>>;

/// The search for the process, one at a time.
pub struct Search {
    at: Listening,
    /// When the one under way, or the last one, began.
    begun: Instant,
    under_way: Option<Pin<Box<dyn Future<Output = Option<Found>> + Send>>>,
    next: Instant,
}

/// Why nothing is known of one that answers, where nobody listens: a redirection leads out of this namespace.
const ELSEWHERE: &str =
    "no process of it can be seen: it answers, but nobody listens there in this network namespace";
/// Between two searches while all is well. Each walks all processes: some 2 ms for eighty of them.
const EVERY: Duration = Duration::from_secs(30);
/// Between two searches that something calls for.
const AGAIN: Duration = Duration::from_secs(1);
/// A search may take this long.
const SEARCHING: Duration = Duration::from_millis(500);

impl Search {
    /// A search for who listens at `address`, due at `now`.
    pub fn new(address: &OriginAddr, now: Instant) -> Self {
        Self {
            at: listening(address),
            begun: now,
            under_way: None,
            next: now,
        }
    }

    /// Something changed: the next search is due now. One that is under way may have looked too early.
    pub fn at_once(&mut self) {
        self.next = deadline::now();
    }

    /// The same, but not again and again.
    pub fn soon(&mut self) {
        self.next = self.next.min(deadline::now() + AGAIN);
    }

    /// Returns with what the next search came to.
    pub async fn found(&mut self) -> Found {
        if self.under_way.is_none() {
            tokio::time::sleep_until(self.next.into()).await;
        }
        let found = self.under_way.get_or_insert_with(|| {
            self.begun = deadline::now();
            self.next = self.begun + EVERY;
            let at = self.at.clone();
            let until = Instant::now() + SEARCHING;
            Box::pin(aside(2 * SEARCHING, move || server(&at, until)))
        });
        let found = found.await;
        self.under_way = None;
        found.unwrap_or_else(|| {
            let why = "which process it is was not found within";
            Seen::Hidden(format!("{why} {:?}", 2 * SEARCHING))
        })
    }
}

impl Observer {
    /// Takes in what a search came to.
    pub(super) async fn found(&mut self, found: Found) {
        let found = match found {
            Seen::Known(Some(server)) => Some(Seen::Known(server)),
            // What is known of the one before is worth more.
            Seen::Known(None) if self.is_deserted() => None,
            Seen::Known(None) => Some(Seen::Hidden(ELSEWHERE.to_owned())),
            Seen::Hidden(why) => Some(Seen::Hidden(why)),
        };
        // One that no longer listens, or cannot be proven to, is still the one it was.
        let keeps = |found: &Seen<Server>| found.known().is_none() && self.server.known().is_some();
        if let Some(found) = found.filter(|found| !keeps(found) && *found != self.server) {
            match &found {
                Seen::Known(Server {
                    pid, comm, doubt, ..
                }) => tracing::info!(%pid, comm, doubt, "the observed origin's process is known"),
                Seen::Hidden(why) => tracing::info!("{why}"),
            }
            self.server = found;
            self.lost = None;
            self.attend();
        }
        self.recover().await;
    }

    /// Whether nobody listens, as far as those can tell who connect.
    fn is_deserted(&self) -> bool {
        let judgement = self.watch.board.view.judgement.as_ref();
        let is_gone = self.lost.is_some();
        self.open.is_none()
            || is_gone
            || judgement.is_some_and(|it| it.verdict == Verdict::NotListening)
    }

    /// When the search began whose result was the last.
    pub(super) fn searched(&self) -> Instant {
        self.search.begun
    }

    /// Forgets a process that is gone, or whose number is another's by now.
    pub(super) fn keep_track(&mut self) {
        let Some(server) = self.server.known() else {
            return;
        };
        if self
            .senses
            .vital()
            .is_none_or(|vital| is_there(vital, server))
        {
            return;
        }
        tracing::info!(pid = %server.pid, "the observed origin's process is gone");
        let gone = Seen::Hidden(format!("process {} is gone", server.pid));
        self.lost = std::mem::replace(&mut self.server, gone).known().cloned();
        self.attend();
        self.search.soon();
    }

    /// Has the senses look at the process that is known now, or at none.
    pub(super) fn attend(&mut self) {
        let pid = self.server.part(|server| server.pid);
        let doubt = self.server.known().and_then(|server| server.doubt.clone());
        let view = &mut self.watch.board.view;
        if view.pid != pid.known().copied() {
            let started = view.started;
            view.forget_process();
            view.started = started;
            view.pid = pid.known().copied();
        }
        self.senses.look_at(pid, doubt);
        self.watch.board.publish();
    }
}

/// Whether what is seen under its number is still the process, and has not ended. What cannot be seen may be.
pub(super) fn is_there(vital: &Vital, server: &Server) -> bool {
    let is_another = vital.born.known().is_some_and(|born| *born != server.born);
    let has_ended = match (vital.state.known(), vital.threads.known()) {
        // With threads left, only the first one has ended.
        (Some(RunState::Zombie | RunState::Dead), threads) => threads.is_none_or(|it| *it <= 1),
        (None, _) => vital.state.is_gone(),
        _ => false,
    };
    !is_another && !has_ended
}
