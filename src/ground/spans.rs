//! What a collector of traces is told: one record an exchange, handed over without waiting. What nobody takes in time is
//! dropped and counted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use super::failure::Failure;
use super::ledger::{Count, Tally};
use super::trail::Trail;

/// Where records are handed over. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Spans {
    records: SyncSender<Word>,
    waiting: Arc<AtomicUsize>,
    tally: Arc<Tally>,
}

/// Where records are taken, by the one who tells the collector.
#[derive(Debug)]
pub struct Takings {
    words: Receiver<Word>,
    waiting: Arc<AtomicUsize>,
    tally: Arc<Tally>,
}

/// What is handed over.
#[derive(Debug)]
enum Word {
    /// A record.
    Record(Box<Exchanged>),
    /// The end is near: what waits is to be told now.
    Last,
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
    /// What it went through beside its visits, in order.
    pub steps: Vec<Step>,
    /// Its visits to the origin, the first first.
    pub visits: Vec<Visited>,
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
    /// `intake`, `hold`, `queue`, `connect` or `respond`.
    pub name: &'static str,
    /// From the head of the request to its begin.
    pub after: Duration,
    /// How long it took.
    pub length: Duration,
}

/// One visit to the origin.
#[derive(Debug, Clone)]
pub struct Visited {
    /// How many came before it.
    pub attempt: u64,
    /// The generation that was asked.
    pub generation: u64,
    /// From its errand's begin to its own, or from the head of the request.
    pub after: Duration,
    /// To the head of its answer, or to its end where there was none.
    pub length: Duration,
    /// Why it came to nothing, or to a part.
    pub failure: Option<Failure>,
}

/// So many records may wait for the collector, of about 600 bytes each.
const WAITING: usize = 2048;

/// So many are told at once,
const BATCH: usize = 512;
/// and none of them waits longer for the others.
const GATHERED: Duration = Duration::from_secs(1);
/// For the last ones, at the end.
const LAST: Duration = Duration::from_secs(1);

/// Where records are handed over, and where they are taken; what becomes of them is counted there.
pub fn open(tally: Arc<Tally>) -> (Spans, Takings) {
    let (records, words) = sync_channel(WAITING);
    let waiting = Arc::default();
    let spans = Spans {
        records,
        waiting: Arc::clone(&waiting),
        tally: tally.clone(),
    };
    let takings = Takings {
        words,
        waiting,
        tally,
    };
    (spans, takings)
}

impl Spans {
    /// Hands one over; never waits.
    pub fn tell(&self, record: Exchanged) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        if self
            .records
            .try_send(Word::Record(Box::new(record)))
            .is_err()
        {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            self.tally.count(Count::SpansDropped);
        }
    }

    /// Waits a moment for those that were handed over.
    pub fn settle(&self) {
        let by = Instant::now() + LAST;
        let _ = self.records.try_send(Word::Last);
        while self.waiting.load(Ordering::Relaxed) > 0 && Instant::now() < by {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Takings {
    /// The next batch, at the least one; `None` when nobody can hand over any more.
    pub fn batch(&self) -> Option<Vec<Exchanged>> {
        let mut batch = Vec::new();
        let mut by = None;
        while batch.len() < BATCH {
            let word = match by {
                None => self
                    .words
                    .recv()
                    .map_err(|_| RecvTimeoutError::Disconnected),
                Some(by) => {
                    let left = Instant::saturating_duration_since(&by, Instant::now());
                    self.words.recv_timeout(left)
                }
            };
            match word {
                Ok(Word::Record(record)) => {
                    by.get_or_insert_with(|| Instant::now() + GATHERED);
                    batch.push(*record);
                }
                Ok(Word::Last) if batch.is_empty() => {}
                Err(RecvTimeoutError::Disconnected) if batch.is_empty() => return None,
                Ok(Word::Last) | Err(_) => break,
            }
        }
        Some(batch)
    }

    /// What became of so many of them.
    pub fn settled(&self, records: usize, became: Count) {
        self.waiting.fetch_sub(records, Ordering::Relaxed);
        self.tally.add(became, records as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Exchanged {
        Exchanged {
            trail: Trail::default(),
            request: "GET /".into(),
            http: "2",
            tls: "1.3",
            client: ([192, 0, 2, 7], 1).into(),
            begun: Instant::now(),
            total: Duration::ZERO,
            steps: Vec::new(),
            visits: Vec::new(),
            status: None,
            end: "done",
            why: None,
            bytes: (0, 0),
            generation: None,
            marks: Vec::new(),
        }
    }

    #[test]
    fn what_nobody_takes_is_dropped_and_counted() {
        let tally = Arc::new(Tally::default());
        let (spans, takings) = open(tally.clone());
        for _ in 0..WAITING + 7 {
            spans.tell(record());
        }
        assert_eq!(tally.read(Count::SpansDropped), 7);
        let mut taken = 0;
        while taken < WAITING {
            let batch = takings.batch().expect("somebody hands over").len();
            assert!(batch <= BATCH);
            takings.settled(batch, Count::SpansSent);
            taken += batch;
        }
        assert_eq!(tally.read(Count::SpansSent), WAITING as u64);
        spans.settle();
        drop(spans);
        assert!(takings.batch().is_none());
    }
}
