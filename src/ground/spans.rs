//! What a collector of traces is told: one record an exchange, handed over without waiting. What nobody takes in time is
//! dropped and counted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use super::trail::Trail;

/// Where records are handed over. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Spans {
    records: SyncSender<Box<Exchanged>>,
    counts: Arc<SpanCounts>,
}

/// How many exchanges were traced, by what became of that.
#[derive(Debug, Default)]
pub struct SpanCounts {
    /// The collector took them.
    pub sent: AtomicU64,
    /// Too many waited for the collector.
    pub dropped: AtomicU64,
    /// The collector did not take them.
    pub failed: AtomicU64,
}

/// One exchange, as its trace tells it.
#[derive(Debug, Clone)]
pub struct Exchanged {
    /// Its place in its trace.
    pub trail: Trail,
    /// The method, and the target as far as it may be told.
    pub request: Arc<str>,
    /// The version of HTTP the client speaks, as its number.
    pub http: &'static str,
    /// The version of TLS, as its number.
    pub tls: &'static str,
    /// Who asked.
    pub client: SocketAddr,
    /// When its head was there.
    pub begun: Instant,
    /// From then to its end.
    pub total: Duration,
    /// What it went through, in order.
    pub steps: Vec<Step>,
    /// What the client was answered.
    pub status: Option<u16>,
    /// How it ended, in one word.
    pub end: &'static str,
    /// Why, where it did not end well.
    pub why: Option<String>,
    /// Body bytes from the client, and to it.
    pub bytes: (u64, u64),
    /// Which generation of the origin was asked last.
    pub generation: Option<u64>,
    /// What was done for it: `held`, `replayed`, `continued`.
    pub marks: Vec<&'static str>,
}

/// A part of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// `intake`, `hold`, `queue`, `connect`, `origin` or `respond`.
    pub name: &'static str,
    /// From the head of the request to its begin.
    pub after: Duration,
    /// How long it took.
    pub length: Duration,
}

/// So many records may wait for the collector, of about 600 bytes each.
const WAITING: usize = 2048;

impl Spans {
    /// Where records are handed over, and where they are taken.
    pub fn open() -> (Self, Receiver<Box<Exchanged>>) {
        let (records, waiting) = sync_channel(WAITING);
        let counts = Arc::default();
        (Self { records, counts }, waiting)
    }

    /// What became of them.
    pub fn counts(&self) -> &Arc<SpanCounts> {
        &self.counts
    }

    /// Hands one over; never waits.
    pub fn tell(&self, record: Box<Exchanged>) {
        if self.records.try_send(record).is_err() {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}
