//! The roster: every visit to the origin that is under way, so that a hang can be told by request,
//! and when the origin last moved a byte. Each edge thread writes a page of its own.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::ground::trail::RequestId;

/// The number of one visit of one exchange to the origin; unique in one run of Leeward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct VisitId(pub u64);

/// One visit as the watch sees it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VisitSeen {
    /// Its number.
    pub id: VisitId,
    /// The method, and the target up to its query.
    pub request: String,
    /// The id of the request, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// How long ago it began, in seconds.
    #[serde(serialize_with = "seconds")]
    pub age: Duration,
    /// How long ago the origin last gave or read a byte of it, or came to owe an answer, in seconds.
    #[serde(serialize_with = "seconds")]
    pub quiet: Duration,
    /// Our end of the connection, once there is one.
    pub local: Option<SocketAddr>,
    /// Bytes of the answer's body taken so far.
    pub received: u64,
    /// Whether it is a stream or a tunnel, in which silence is no answer owed.
    pub is_lasting: bool,
}

/// All pages of the roster.
#[derive(Debug, Clone)]
pub struct Roster {
    shared: Arc<Shared>,
}

/// One thread's page.
#[derive(Debug, Clone)]
pub struct Page {
    shared: Arc<Shared>,
    entries: Entries,
}

/// One visit under way; it leaves the roster when this is dropped.
#[derive(Debug)]
pub struct Visit {
    id: VisitId,
    page: Page,
    pulse: Pulse,
}

/// Through which a visit's signs of life are told.
#[derive(Debug, Clone)]
pub struct Pulse {
    shared: Arc<Shared>,
    moved: Arc<Moved>,
}

#[derive(Debug)]
struct Shared {
    epoch: Instant,
    next: AtomicU64,
    /// Microseconds from the epoch to the last sign of life, of any visit.
    last_life: AtomicU64,
    /// The same to the last request that was turned away because too many waited for the origin.
    last_shed: AtomicU64,
    /// The same to the first answer that was whole, since that was asked for; 0 before it.
    first_answer: AtomicU64,
    pages: Mutex<Vec<Entries>>,
}

/// The visits of one thread by their numbers.
type Entries = Arc<Mutex<HashMap<u64, Entry>>>;

#[derive(Debug)]
struct Entry {
    request: Arc<str>,
    id: RequestId,
    begun: Instant,
    local: Option<SocketAddr>,
    moved: Arc<Moved>,
}

#[derive(Debug, Default)]
struct Moved {
    at: AtomicU64,
    received: AtomicU64,
    is_lasting: AtomicBool,
    /// Microseconds from the epoch to when its connection stood; 0 until then.
    connected: AtomicU64,
}

/// What the origin does for the peer at this address, if that is one of these visits.
pub fn serving(visits: &[VisitSeen], peer: SocketAddr) -> Option<String> {
    let visit = visits.iter().find(|visit| visit.local == Some(peer))?;
    let number = visit.id.0;
    Some(format!(
        "it serves {} (visit {number}), which came through Leeward",
        visit.request
    ))
}

impl Roster {
    /// An empty roster; `epoch` is before everything it will ever note.
    pub fn new(epoch: Instant) -> Self {
        let shared = Shared {
            epoch,
            next: AtomicU64::new(1),
            last_life: AtomicU64::new(0),
            last_shed: AtomicU64::new(0),
            first_answer: AtomicU64::new(0),
            pages: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// A page for one more thread.
    pub fn open(&self) -> Page {
        let entries = Entries::default();
        locked(&self.shared.pages).push(entries.clone());
        let shared = self.shared.clone();
        Page { shared, entries }
    }

    /// When the origin last gave a sign of life to any visit, if it ever did.
    pub fn last_life(&self) -> Option<Instant> {
        self.shared.noted(&self.shared.last_life)
    }

    /// When a request was last turned away because too many waited for the origin, if one ever was.
    pub fn last_shed(&self) -> Option<Instant> {
        self.shared.noted(&self.shared.last_shed)
    }

    /// From now on the first answer is the next one.
    pub fn awaits_answer(&self) {
        self.shared.first_answer.store(0, Ordering::Relaxed);
    }

    /// When the first visit since then had its whole answer, if one has.
    pub fn first_answer(&self) -> Option<Instant> {
        self.shared.noted(&self.shared.first_answer)
    }

    /// The visits under way at `now`, `most` at the most: the oldest first, and streams after all others.
    pub fn visits(&self, now: Instant, most: usize) -> Vec<VisitSeen> {
        let mut seen = Vec::new();
        for page in locked(&self.shared.pages).iter() {
            for (id, entry) in locked(page).iter() {
                seen.push(entry.seen(VisitId(*id), now, &self.shared));
            }
        }
        seen.sort_by_key(|visit| (visit.is_lasting, visit.id));
        seen.truncate(most);
        seen
    }
}

impl Page {
    /// A request was turned away because too many waited for the origin.
    pub fn shed(&self) {
        let now = self.shared.micros(crate::ground::deadline::now());
        self.shared.last_shed.fetch_max(now, Ordering::Relaxed);
    }

    /// A visit begins: `request` is the method and the target up to its query.
    pub fn enter(&self, request: Arc<str>, id_of_request: RequestId) -> Visit {
        let id = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let begun = crate::ground::deadline::now();
        let moved = Arc::new(Moved::default());
        moved.at.store(self.shared.micros(begun), Ordering::Relaxed);
        let entry = Entry {
            request,
            id: id_of_request,
            begun,
            local: None,
            moved: moved.clone(),
        };
        locked(&self.entries).insert(id, entry);
        Visit {
            id: VisitId(id),
            page: self.clone(),
            pulse: Pulse {
                shared: self.shared.clone(),
                moved,
            },
        }
    }
}

impl Visit {
    /// Its number.
    pub fn id(&self) -> VisitId {
        self.id
    }

    /// The connection stands; `local` is our end of it.
    pub fn connected(&self, local: Option<SocketAddr>) {
        let now = self.pulse.shared.micros(crate::ground::deadline::now());
        self.pulse.moved.connected.store(now, Ordering::Relaxed);
        if let Some(entry) = locked(&self.page.entries).get_mut(&self.id.0) {
            entry.local = local;
        }
    }

    /// When its connection stood, if it does.
    pub fn connected_at(&self) -> Option<Instant> {
        self.pulse.shared.noted(&self.pulse.moved.connected)
    }

    /// Its pulse, for those who carry its bytes.
    pub fn pulse(&self) -> &Pulse {
        &self.pulse
    }
}

impl Pulse {
    /// The origin gave bytes, or read some: `received` of its answer's body, or 0 for anything else.
    pub fn life(&self, received: u64) {
        let micros = self.shared.micros(crate::ground::deadline::now());
        self.moved.at.store(micros, Ordering::Relaxed);
        self.moved.received.fetch_add(received, Ordering::Relaxed);
        self.shared.last_life.fetch_max(micros, Ordering::Relaxed);
    }

    /// The whole answer is here.
    pub fn answered(&self) {
        let first = &self.shared.first_answer;
        if first.load(Ordering::Relaxed) == 0 {
            let now = self.shared.micros(crate::ground::deadline::now());
            let _ = first.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// The visit may be quiet from now on without owing an answer: a stream, a tunnel, or a request whose client is
    /// still sending it.
    pub fn lasts(&self) {
        self.moved.is_lasting.store(true, Ordering::Relaxed);
    }

    /// An answer is owed from now on, and not before. That the request is whole is no sign of life of the origin's.
    pub fn owes(&self) {
        let micros = self.shared.micros(crate::ground::deadline::now());
        self.moved.at.store(micros, Ordering::Relaxed);
        self.moved.is_lasting.store(false, Ordering::Relaxed);
    }

    /// Bytes of the answer's body taken so far.
    pub fn received(&self) -> u64 {
        self.moved.received.load(Ordering::Relaxed)
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        locked(&self.page.entries).remove(&self.id.0);
    }
}

impl Shared {
    fn micros(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.epoch);
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX).max(1)
    }

    fn noted(&self, at: &AtomicU64) -> Option<Instant> {
        match at.load(Ordering::Relaxed) {
            0 => None,
            micros => Some(self.instant(micros)),
        }
    }

    fn instant(&self, micros: u64) -> Instant {
        self.epoch + Duration::from_micros(micros)
    }
}

impl Entry {
    fn seen(&self, id: VisitId, now: Instant, shared: &Shared) -> VisitSeen {
        let moved = shared.instant(self.moved.at.load(Ordering::Relaxed));
        VisitSeen {
            id,
            request: self.request.as_ref().to_owned(),
            request_id: self.id.told().map(RequestId::to_string),
            age: now.saturating_duration_since(self.begun),
            quiet: now.saturating_duration_since(moved),
            local: self.local,
            received: self.moved.received.load(Ordering::Relaxed),
            is_lasting: self.moved.is_lasting.load(Ordering::Relaxed),
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn seconds<S: serde::Serializer>(length: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64((length.as_secs_f64() * 1000.0).round() / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visit_is_on_the_roster_for_as_long_as_it_lasts() {
        let roster = Roster::new(Instant::now());
        let page = roster.open();
        assert_eq!(roster.last_life(), None);
        let visit = page.enter("GET /a".into(), RequestId::Made(1));
        let other = roster.open().enter("GET /b".into(), RequestId::Off);
        visit.pulse().life(10);
        assert!(roster.last_life().is_some());
        visit.pulse().answered();
        let first = roster.first_answer();
        other.pulse().answered();
        assert!(first.is_some() && roster.first_answer() == first);
        roster.awaits_answer();
        assert_eq!(roster.first_answer(), None);
        let seen = roster.visits(crate::ground::deadline::now(), 10);
        let said: Vec<_> = seen.iter().map(|v| (&*v.request, v.received)).collect();
        assert_eq!(said, [("GET /a", 10), ("GET /b", 0)]);
        drop(visit);
        drop(other);
        assert!(roster.visits(Instant::now(), 10).is_empty());
    }
}
