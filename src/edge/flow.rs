//! What flows on one client connection, and which of its deadlines has passed. The judging is pure.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::judge::Glance;
use crate::ground::deadline;
use crate::ground::fate::Fate;
use crate::ground::ledger::{Count, Tally};

/// Which version of HTTP a connection speaks; idle time means something else in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// One request after the other: bytes that come between two are the next head.
    Http1,
    /// Bytes come at any time and may mean anything.
    Http2,
}

/// The progress of one connection. Written where the bytes move, read by its one timer.
#[derive(Debug)]
pub struct Flow {
    epoch: Instant,
    is_http1: AtomicBool,
    /// Instants are microseconds from the epoch; 0 is "not".
    head_begun: AtomicU64,
    idle_since: AtomicU64,
    stalled_since: AtomicU64,
    given_at: AtomicU64,
    /// Microseconds in all.
    blocked: AtomicU64,
    written: AtomicU64,
    /// How often bytes came. Only who reads adds to it.
    reads: AtomicU64,
    /// Of these, the bytes the client itself is known to have; 0 where that is not known.
    acked: AtomicU64,
    in_flight: AtomicUsize,
    /// Of those in flight, the ones that wait for us and not for the client.
    ours: AtomicUsize,
    /// Whether a byte of the head that is owed has come, as hyper sees it.
    is_heard: AtomicBool,
    /// The answer to what is asked next is the last.
    is_last: AtomicBool,
    end: AtomicU8,
    fate: Fate,
    /// Once the connection is a tunnel: who is to be woken when it must end, and when it has.
    is_tunnel: AtomicBool,
    reader: Mutex<Option<Waker>>,
    closed: Notify,
    tally: Arc<Tally>,
}

/// One request of the connection, from its head to the last of its answer.
#[derive(Debug)]
pub struct InFlight {
    flow: Arc<Flow>,
    is_ours: bool,
}

/// How the socket is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// In good order.
    Order,
    /// In good order, and once nothing is left but the goodbye, by a reset: a deadline has passed, and its socket must
    /// not be waited for by the kernel.
    Swept,
    /// The client is told that its head came too late, and then by a reset.
    Late,
    /// By a reset.
    Reset,
}

impl Flow {
    /// A connection begins, with its handshake; what it is at is counted in `tally`.
    pub fn begin(tally: Arc<Tally>) -> Self {
        Self {
            epoch: deadline::now(),
            is_http1: AtomicBool::new(false),
            head_begun: AtomicU64::new(0),
            idle_since: AtomicU64::new(0),
            stalled_since: AtomicU64::new(0),
            given_at: AtomicU64::new(0),
            blocked: AtomicU64::new(0),
            written: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            acked: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
            ours: AtomicUsize::new(0),
            is_heard: AtomicBool::new(false),
            is_last: AtomicBool::new(false),
            end: AtomicU8::new(End::Order as u8),
            fate: Fate::default(),
            is_tunnel: AtomicBool::new(false),
            reader: Mutex::default(),
            closed: Notify::new(),
            tally,
        }
    }

    /// The handshake is done: from now on, a head is owed.
    pub fn speaks(&self, version: Speaks) {
        let is_http1 = version == Speaks::Http1;
        self.is_http1.store(is_http1, Ordering::Relaxed);
        self.head_begun.store(self.now(), Ordering::Relaxed);
    }

    /// Bytes came from the client. Over HTTP/1, those that come while it is idle begin a head.
    pub fn read(&self) {
        let reads = self.reads.load(Ordering::Relaxed);
        self.reads.store(reads.wrapping_add(1), Ordering::Relaxed);
        let is_idle = self.idle_since.load(Ordering::Relaxed) != 0;
        if is_idle && self.is_http1.load(Ordering::Relaxed) {
            let begun = self.now();
            let (zero, order) = (0, Ordering::Relaxed);
            let _ = self.head_begun.compare_exchange(zero, begun, order, order);
        }
    }

    /// The client's kernel took bytes.
    pub fn wrote(&self, bytes: usize) {
        self.written.fetch_add(bytes as u64, Ordering::Relaxed);
        let stalled = self.stalled_since.swap(0, Ordering::Relaxed);
        if stalled != 0 {
            let now = self.now();
            let blocked = now.saturating_sub(stalled);
            self.blocked.fetch_add(blocked, Ordering::Relaxed);
            self.given_at.store(now, Ordering::Relaxed);
        }
    }

    /// The client's kernel takes nothing just now.
    pub fn stalls(&self) {
        if self.stalled_since.load(Ordering::Relaxed) == 0 {
            self.stalled_since.store(self.now(), Ordering::Relaxed);
        }
    }

    /// The client has acknowledged so many bytes from the beginning, and had room for more until `ago`. That is
    /// progress, though our kernel may still be too full to take more: it tells that there is room only once some
    /// ten KiB are gone.
    pub fn acknowledged(&self, bytes: u64, ago: Duration) {
        if self.acked.swap(bytes, Ordering::Relaxed) == bytes {
            return;
        }
        let ago = u64::try_from(ago.as_micros()).unwrap_or(u64::MAX);
        let moved = self.now().saturating_sub(ago).max(1);
        self.given_at.fetch_max(moved, Ordering::Relaxed);
        let stalled = self.stalled_since.load(Ordering::Relaxed);
        if stalled != 0 && stalled < moved {
            self.stalled_since.store(moved, Ordering::Relaxed);
            self.blocked.fetch_add(moved - stalled, Ordering::Relaxed);
        }
    }

    /// Whether the client's kernel takes nothing just now.
    pub fn is_stalled(&self) -> bool {
        self.stalled_since.load(Ordering::Relaxed) != 0
    }

    /// For how long, in all, the client's kernel took nothing.
    pub fn blocked(&self) -> Duration {
        self.glance().blocked
    }

    /// The connection is to end by a reset.
    pub fn reset(&self) {
        self.ends(End::Reset);
    }

    /// What becomes of its client, for the records of its requests.
    pub fn fate(&self) -> &Fate {
        &self.fate
    }

    /// The connection is to end like this.
    pub fn ends(&self, end: End) {
        self.end.store(end as u8, Ordering::Relaxed);
    }

    /// How the connection is to end.
    pub fn end(&self) -> End {
        let all = [End::Order, End::Swept, End::Late, End::Reset];
        all[usize::from(self.end.load(Ordering::Relaxed))]
    }

    /// Whether the connection is to end by a reset.
    pub fn is_reset(&self) -> bool {
        self.end() == End::Reset
    }

    /// Bytes came through TLS: while a head is owed, they are the head's.
    pub fn hears(&self) {
        if self.head_begun.load(Ordering::Relaxed) != 0 {
            self.is_heard.store(true, Ordering::Relaxed);
        }
    }

    /// Whether part of a head has come over HTTP/1, and nothing of an answer to it is on its way.
    pub fn may_be_told_late(&self) -> bool {
        self.is_http1.load(Ordering::Relaxed)
            && self.is_heard.load(Ordering::Relaxed)
            && self.in_flight.load(Ordering::Relaxed) == 0
    }

    /// Whether it has been asked anything yet. Over HTTP/2 nobody needs to know: who is told to end may ask again elsewhere.
    pub fn has_asked(&self) -> bool {
        let is_http2 = !self.is_http1.load(Ordering::Relaxed);
        let has_answered = self.idle_since.load(Ordering::Relaxed) != 0;
        let is_heard = self.is_heard.load(Ordering::Relaxed);
        is_http2 || has_answered || is_heard || self.in_flight.load(Ordering::Relaxed) > 0
    }

    /// What is asked next is answered, and nothing after that: the answer says so.
    pub fn takes_one_more(&self) {
        self.is_last.store(true, Ordering::Relaxed);
    }

    /// Over HTTP/2: a head has begun and is not whole, or is whole now.
    pub fn head_is_under_way(&self, is_under_way: bool) {
        let (begun, order) = (self.now(), Ordering::Relaxed);
        match is_under_way {
            true => {
                let _ = self.head_begun.compare_exchange(0, begun, order, order);
            }
            false => self.head_begun.store(0, order),
        }
    }

    /// Whether the connection was handed on.
    pub fn is_tunnel(&self) -> bool {
        self.is_tunnel.load(Ordering::Relaxed)
    }

    /// Who reads the tunnel waits for bytes.
    pub fn waits(&self, reader: &Waker) {
        let mut waiting = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        waiting
            .get_or_insert_with(|| reader.clone())
            .clone_from(reader);
    }

    /// Ends a tunnel by a reset: who reads it learns that at once.
    pub fn cut(&self) {
        self.reset();
        let mut waiting = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reader) = waiting.take() {
            reader.wake();
        }
    }

    /// The socket is closed.
    pub fn closes(&self) {
        self.closed.notify_one();
    }

    /// Returns when the socket is closed.
    pub async fn closed(&self) {
        self.closed.notified().await;
    }

    /// What is so now.
    pub fn glance(&self) -> Glance {
        let now = self.now();
        let since = |at: &AtomicU64| match at.load(Ordering::Relaxed) {
            0 => None,
            at => Some(Duration::from_micros(now.saturating_sub(at))),
        };
        let in_flight = self.in_flight.load(Ordering::Relaxed);
        // Streams are judged each by itself; see `stream`.
        let is_one = self.is_http1.load(Ordering::Relaxed) && in_flight > 0;
        let is_client_due = is_one && self.ours.load(Ordering::Relaxed) == 0;
        let untaken = since(&self.given_at).filter(|_| is_client_due);
        let stalled = since(&self.stalled_since);
        let blocked = Duration::from_micros(self.blocked.load(Ordering::Relaxed));
        Glance {
            head: since(&self.head_begun),
            idle: since(&self.idle_since),
            stalled: stalled.max(untaken),
            blocked: blocked + stalled.unwrap_or_default(),
            written: self.taken(stalled.is_some()),
            is_in_flight: in_flight > 0,
            reads: self.reads.load(Ordering::Relaxed),
        }
    }

    /// The bytes the client has taken. What lies in our kernel it has not, which matters once that is full.
    fn taken(&self, is_full: bool) -> u64 {
        let written = self.written.load(Ordering::Relaxed);
        match self.acked.load(Ordering::Relaxed) {
            acked if is_full && acked > 0 => acked.min(written),
            _ => written,
        }
    }

    fn now(&self) -> u64 {
        let since = deadline::now().saturating_duration_since(self.epoch);
        // One more, so that the epoch itself is not "not".
        u64::try_from(since.as_micros()).map_or(u64::MAX, |micros| micros.saturating_add(1))
    }
}

impl InFlight {
    /// Whether nothing more is taken after this.
    pub fn is_last(&self) -> bool {
        self.flow.is_last.load(Ordering::Relaxed)
    }

    /// A head has come whole, and we are at work on it.
    pub fn begin(flow: &Arc<Flow>) -> Self {
        flow.head_begun.store(0, Ordering::Relaxed);
        flow.is_heard.store(false, Ordering::Relaxed);
        flow.idle_since.store(0, Ordering::Relaxed);
        if flow.in_flight.fetch_add(1, Ordering::Relaxed) == 0 {
            flow.tally.count(Count::ConnectionsEngaged);
        }
        flow.ours.fetch_add(1, Ordering::Relaxed);
        Self {
            flow: flow.clone(),
            is_ours: true,
        }
    }

    /// Something was given to the client: the next move is the client's.
    pub fn gave(&mut self) {
        let now = self.flow.now();
        self.flow.given_at.store(now, Ordering::Relaxed);
        if std::mem::replace(&mut self.is_ours, false) {
            self.flow.ours.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// From now on bytes mean nothing to us: the connection is handed on, and ends elsewhere.
    pub fn tunnels(&self) {
        self.flow.is_tunnel.store(true, Ordering::Relaxed);
    }

    /// The client would take more, and we have none: the next move is ours.
    pub fn lacks(&mut self) {
        if !std::mem::replace(&mut self.is_ours, true) {
            self.flow.ours.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.is_ours {
            self.flow.ours.fetch_sub(1, Ordering::Relaxed);
        }
        if self.flow.in_flight.fetch_sub(1, Ordering::Relaxed) == 1 {
            let now = self.flow.now();
            self.flow.idle_since.store(now, Ordering::Relaxed);
            self.flow.tally.count(Count::ConnectionsReleased);
        }
    }
}

#[cfg(test)]
#[path = "flow_tests.rs"]
mod tests;
