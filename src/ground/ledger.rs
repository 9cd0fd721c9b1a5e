//! Every number we utter. Each thread adds to a tally of its own; the reader sums them up.

mod words;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use words::{Class, Loss, Span};

use super::failure::Phase;

/// What is counted. Counters only grow; what is open now is the difference of two of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// Client connections accepted.
    ConnectionsAccepted,
    /// Client connections that are over, however they ended.
    ConnectionsClosed,
    /// Connections closed before TLS because all places were taken.
    ShedConnections,
    /// Connections closed before TLS because one address had too many.
    ShedAddress,
    /// Connections closed before TLS because no memory is left for them.
    ShedMemory,
    /// Connections closed before TLS because too many handshakes were under way for all of their time.
    ShedHandshakes,
    /// TLS handshakes that failed (not those that were too slow).
    HandshakesFailed,
    /// Of these, those of clients whose certificate was not taken, or that showed none where one is required.
    ClientsUnproven,
    /// HTTP/2 connections ended because the client flooded them.
    FloodsEnded,
    /// Client connections with which a handshake was begun.
    HandshakesBegun,
    /// Of these, those whose handshake is over, however it ended.
    HandshakesEnded,
    /// Times at which a connection without a request got one.
    ConnectionsEngaged,
    /// Times at which a connection had done its last request.
    ConnectionsReleased,
    /// Exchanges begun: heads received.
    ExchangesBegun,
    /// Exchanges ended, each with exactly one outcome.
    ExchangesEnded,
    /// Exchanges that waited for a shut gate at least once.
    ExchangesHeld,
    /// Requests sent to the origin a second time.
    ExchangesReplayed,
    /// Answers that were cut in the middle, and of which the rest came from the next generation.
    ExchangesContinued,
    /// Body bytes received from clients.
    BytesFromClients,
    /// Body bytes of answers handed to clients.
    BytesToClients,
    /// Body bytes received from the origin.
    BytesFromOrigin,
    /// Deadlines of clients that passed, by phase.
    ClientTimeout(Phase),
    /// Deadlines of the origin that passed, by phase.
    OriginTimeout(Phase),
    /// Answers by class, 1 to 5, as the client saw them.
    Answered(Class),
    /// Answers that we made ourselves instead of the origin.
    AnsweredByEdge,
    /// Streams and tunnels begun.
    StreamsBegun,
    /// Streams and tunnels that are over.
    StreamsEnded,
    /// Nanoseconds for which a client's pace kept the origin waiting: on streams and tunnels only.
    OriginStalledByClient,
    /// Exchanges that the collector of traces took.
    SpansSent,
    /// Exchanges that it was not told of, because too many waited for it.
    SpansDropped,
    /// Exchanges that it did not take.
    SpansFailed,
    /// Lines of the log that were lost: its reader is too slow.
    LinesLost,
    /// Lines of the log that were withheld because they repeat: they are told of by their number.
    LinesWithheld,
    /// Requests that got no good answer because of the origin, by reason.
    Lost(Loss),
}

/// Upper bounds of the histogram buckets, in seconds; the last bucket has none. An answer over loopback takes a tenth of a
/// millisecond, a request is held for 20 s, an origin has 5 min for an answer.
pub const BOUNDS: [f64; 20] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 20.0, 30.0, 60.0, 300.0,
];

const PHASES: usize = Phase::ALL.len();
const PLAIN: usize = 30;
const COUNTS: usize = PLAIN + 2 * PHASES + Class::ALL.len() + Loss::ALL.len();

/// What a thread is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    /// It serves clients.
    Serving,
    /// Something else.
    Aside,
}

/// One thread's own numbers.
#[derive(Debug)]
pub struct Tally {
    work: Work,
    counts: [AtomicU64; COUNTS],
    spans: [Histogram; Span::ALL.len()],
}

#[derive(Debug, Default)]
struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
    longest: AtomicU64,
}

/// All tallies together.
#[derive(Debug, Clone, Default)]
pub struct Ledger(Arc<Mutex<Vec<Arc<Tally>>>>);

/// A histogram summed over all threads.
#[derive(Debug, Clone, Copy, Default)]
pub struct Distribution {
    /// How many fell into each bucket (not cumulated); the last has no upper bound.
    pub buckets: [u64; BOUNDS.len() + 1],
    /// The sum of all lengths.
    pub sum: Duration,
    /// The longest of them.
    pub longest: Duration,
}

impl Ledger {
    /// A tally for one more thread that serves clients.
    pub fn open(&self) -> Arc<Tally> {
        self.open_for(Work::Serving)
    }

    /// A tally for one more thread that does something else.
    pub fn open_aside(&self) -> Arc<Tally> {
        self.open_for(Work::Aside)
    }

    /// The sum of one counter over all threads.
    pub fn sum(&self, count: Count) -> u64 {
        self.tallies().iter().map(|tally| tally.read(count)).sum()
    }

    /// Something of each thread that serves clients.
    pub fn each_serving<T>(&self, of: impl Fn(&Tally) -> T) -> Vec<T> {
        let tallies = self.tallies();
        let serving = tallies.iter().filter(|it| it.work == Work::Serving);
        serving.map(|tally| of(tally)).collect()
    }

    /// The sum of one histogram over all threads.
    pub fn distribution(&self, span: Span) -> Distribution {
        let mut whole = Distribution::default();
        for tally in self.tallies().iter() {
            let part = &tally.spans[span as usize];
            for (sum, bucket) in whole.buckets.iter_mut().zip(&part.buckets) {
                *sum += bucket.load(Ordering::Relaxed);
            }
            whole.sum += Duration::from_nanos(part.nanoseconds.load(Ordering::Relaxed));
            let longest = Duration::from_nanos(part.longest.load(Ordering::Relaxed));
            whole.longest = whole.longest.max(longest);
        }
        whole
    }

    fn open_for(&self, work: Work) -> Arc<Tally> {
        let tally = Arc::new(Tally::new(work));
        self.tallies().push(tally.clone());
        tally
    }

    fn tallies(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Tally>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tally {
    fn new(work: Work) -> Self {
        Self {
            work,
            counts: std::array::from_fn(|_| AtomicU64::new(0)),
            spans: Default::default(),
        }
    }

    /// Adds one.
    pub fn count(&self, count: Count) {
        self.add(count, 1);
    }

    /// Adds `amount`.
    pub fn add(&self, count: Count, amount: u64) {
        self.counts[count.index()].fetch_add(amount, Ordering::Relaxed);
    }

    /// Notes one length of a span.
    pub fn time(&self, span: Span, length: Duration) {
        let seconds = length.as_secs_f64();
        let bucket = BOUNDS.partition_point(|bound| *bound < seconds);
        let histogram = &self.spans[span as usize];
        histogram.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
        histogram
            .nanoseconds
            .fetch_add(nanoseconds, Ordering::Relaxed);
        // A plain look first: a new longest is rare.
        if histogram.longest.load(Ordering::Relaxed) < nanoseconds {
            histogram.longest.fetch_max(nanoseconds, Ordering::Relaxed);
        }
    }

    /// What this thread counted so far.
    pub fn read(&self, count: Count) -> u64 {
        self.counts[count.index()].load(Ordering::Relaxed)
    }
}

/// Of a thread that serves, in no ledger.
impl Default for Tally {
    fn default() -> Self {
        Self::new(Work::Serving)
    }
}

impl Distribution {
    /// How many lengths were noted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// What was noted since `earlier`. The longest of these is not known, but that it is no longer than the longest of
    /// all.
    pub fn since(&self, earlier: &Self) -> Self {
        let pairs = self.buckets.iter().zip(&earlier.buckets);
        let mut buckets = [0; BOUNDS.len() + 1];
        for (left, (now, then)) in buckets.iter_mut().zip(pairs) {
            *left = now.saturating_sub(*then);
        }
        Self {
            buckets,
            sum: self.sum.saturating_sub(earlier.sum),
            longest: self.longest,
        }
    }
}

impl Count {
    fn index(self) -> usize {
        match self {
            Self::ConnectionsAccepted => 0,
            Self::ConnectionsClosed => 1,
            Self::ShedConnections => 2,
            Self::ShedAddress => 3,
            Self::HandshakesFailed => 4,
            Self::ExchangesBegun => 5,
            Self::ExchangesEnded => 6,
            Self::ExchangesHeld => 7,
            Self::ExchangesReplayed => 8,
            Self::BytesFromClients => 9,
            Self::BytesToClients => 10,
            Self::BytesFromOrigin => 11,
            Self::AnsweredByEdge => 12,
            Self::FloodsEnded => 13,
            Self::StreamsBegun => 14,
            Self::StreamsEnded => 15,
            Self::OriginStalledByClient => 16,
            Self::ShedMemory => 17,
            Self::ShedHandshakes => 18,
            Self::ExchangesContinued => 19,
            Self::HandshakesBegun => 20,
            Self::HandshakesEnded => 21,
            Self::ConnectionsEngaged => 22,
            Self::ConnectionsReleased => 23,
            Self::SpansSent => 24,
            Self::SpansDropped => 25,
            Self::SpansFailed => 26,
            Self::ClientsUnproven => 27,
            Self::LinesLost => 28,
            Self::LinesWithheld => 29,
            Self::ClientTimeout(phase) => PLAIN + phase as usize,
            Self::OriginTimeout(phase) => PLAIN + PHASES + phase as usize,
            Self::Answered(class) => PLAIN + 2 * PHASES + class as usize,
            Self::Lost(loss) => PLAIN + 2 * PHASES + Class::ALL.len() + loss as usize,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_has_a_place_of_its_own() {
        let mut all = vec![
            Count::ConnectionsAccepted,
            Count::ConnectionsClosed,
            Count::ShedConnections,
            Count::ShedAddress,
            Count::ShedMemory,
            Count::ShedHandshakes,
            Count::HandshakesFailed,
            Count::ClientsUnproven,
            Count::FloodsEnded,
            Count::ExchangesBegun,
            Count::ExchangesEnded,
            Count::ExchangesHeld,
            Count::ExchangesReplayed,
            Count::ExchangesContinued,
            Count::BytesFromClients,
            Count::BytesToClients,
            Count::BytesFromOrigin,
            Count::AnsweredByEdge,
            Count::StreamsBegun,
            Count::StreamsEnded,
            Count::OriginStalledByClient,
            Count::HandshakesBegun,
            Count::HandshakesEnded,
            Count::ConnectionsEngaged,
            Count::ConnectionsReleased,
            Count::SpansSent,
            Count::SpansDropped,
            Count::SpansFailed,
            Count::LinesLost,
            Count::LinesWithheld,
        ];
        all.extend(Phase::ALL.map(Count::ClientTimeout));
        all.extend(Phase::ALL.map(Count::OriginTimeout));
        all.extend(Class::ALL.map(Count::Answered));
        all.extend(Loss::ALL.map(Count::Lost));
        let mut places: Vec<_> = all.iter().map(|count| count.index()).collect();
        places.sort_unstable();
        assert_eq!(places, (0..COUNTS).collect::<Vec<_>>());
    }

    #[test]
    fn the_reader_sums_what_each_thread_counted() {
        let ledger = Ledger::default();
        let (one, two) = (ledger.open(), ledger.open());
        one.count(Count::ExchangesBegun);
        two.add(Count::ExchangesBegun, 2);
        one.time(Span::Total, Duration::from_millis(1));
        two.time(Span::Total, Duration::from_secs(500));
        assert_eq!(ledger.sum(Count::ExchangesBegun), 3);
        let total = ledger.distribution(Span::Total);
        assert_eq!(total.count(), 2);
        assert_eq!((total.buckets[3], total.buckets[BOUNDS.len()]), (1, 1));
        assert_eq!(total.sum, Duration::from_millis(500_001));
        assert_eq!(total.longest, Duration::from_secs(500));
    }
}
