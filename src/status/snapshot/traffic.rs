//! The part of the snapshot that tells of clients, their requests and the answers.

use std::time::Duration;

use serde::Serialize;

use super::{ByWord, rounded, seconds};
use crate::ground::failure::Phase;
use crate::ground::ledger::{BOUNDS, Class, Count, Distribution, Ledger, Loss, Span};

/// Clients, their requests, the answers. Everything but `open` and `in_flight` is counted since the start.
#[derive(Debug, Clone, Serialize)]
pub struct Traffic {
    /// Exchanges that ended, a second, in the last ten seconds; absent until there were as many.
    pub requests_per_second: Option<f64>,
    /// Client connections.
    pub connections: Connections,
    /// Requests with their answers.
    pub exchanges: Exchanges,
    /// Streams and tunnels that are open now.
    pub streams_open: u64,
    /// Time for which a client's pace kept the origin waiting, over all streams and tunnels.
    pub origin_client_stall_seconds: f64,
    /// Answers by the class of their status.
    pub answered: ByWord,
    /// Answers made by us instead of the origin.
    pub answered_by_edge: u64,
    /// Requests without a good answer because of the origin, by reason.
    pub lost: ByWord,
    /// Deadlines that clients missed, by phase.
    pub client_timeouts: ByWord,
    /// Deadlines that the origin missed, by phase.
    pub origin_timeouts: ByWord,
    /// Body bytes, by direction.
    pub bytes: ByWord,
    /// Exchanges that are traced, by what became of telling the collector.
    pub traced: ByWord,
    /// Lines of the log that were not written, by why: its reader is too slow, or they repeat.
    pub log_dropped: ByWord,
    /// How long the parts of an exchange took.
    pub spans: ByWord<SpanFacts>,
}

/// Client connections.
#[derive(Debug, Clone, Serialize)]
pub struct Connections {
    /// Open now.
    pub open: u64,
    /// Of these, by what they are at: a `handshake`, a `request`, or `idle`.
    pub doing: ByWord,
    /// That may be open at once.
    pub limit: usize,
    /// Accepted.
    pub accepted: u64,
    /// Closed before TLS, by reason.
    pub shed: ByWord,
    /// TLS handshakes that failed.
    pub handshakes_failed: u64,
    /// Of these, those of clients whose certificate was not taken, or that showed none where one is required.
    pub clients_unproven: u64,
    /// HTTP/2 connections ended because the client flooded them.
    pub floods_ended: u64,
}

/// Requests with their answers.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Exchanges {
    /// Under way now.
    pub in_flight: u64,
    /// Begun.
    pub begun: u64,
    /// Ended.
    pub ended: u64,
    /// That waited for a shut gate.
    pub held: u64,
    /// Sent to the origin a second time.
    pub replayed: u64,
    /// Cut in the middle of the answer, and continued from the next generation.
    pub continued: u64,
}

/// How long one part of an exchange took, over all that were measured.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct SpanFacts {
    /// How many were measured.
    pub count: u64,
    /// All of them together.
    pub sum_seconds: f64,
    /// Half took no longer; an estimate.
    pub p50_seconds: Option<f64>,
    /// Nine of ten took no longer; an estimate.
    pub p90_seconds: Option<f64>,
    /// Ninety-nine of a hundred took no longer; an estimate.
    pub p99_seconds: Option<f64>,
    /// None took longer.
    pub longest_seconds: Option<f64>,
    /// The histogram itself.
    #[serde(skip)]
    pub distribution: Distribution,
}

impl Traffic {
    /// What the ledger holds now.
    pub fn of(ledger: &Ledger, connections_limit: usize, rate: Option<f64>) -> Self {
        let sum = |count| ledger.sum(count);
        // The end is read before the beginning: what ends in between must not make the difference negative.
        let (closed, ended) = (sum(Count::ConnectionsClosed), sum(Count::ExchangesEnded));
        let (accepted, begun) = (sum(Count::ConnectionsAccepted), sum(Count::ExchangesBegun));
        let (streams_ended, streams) = (sum(Count::StreamsEnded), sum(Count::StreamsBegun));
        let (shaken, shaking) = (sum(Count::HandshakesEnded), sum(Count::HandshakesBegun));
        let (released, engaged) = (
            sum(Count::ConnectionsReleased),
            sum(Count::ConnectionsEngaged),
        );
        let open = accepted.saturating_sub(closed);
        let (handshake, request) = (
            shaking.saturating_sub(shaken),
            engaged.saturating_sub(released),
        );
        let stalled = Duration::from_nanos(sum(Count::OriginStalledByClient));
        let phases = |of: fn(Phase) -> Count| {
            let each = |phase: Phase| (phase.word(), sum(of(phase)));
            ByWord(Phase::ALL.map(each).to_vec())
        };
        Self {
            requests_per_second: rate,
            connections: Connections {
                open,
                doing: ByWord(vec![
                    ("handshake", handshake),
                    ("request", request),
                    ("idle", open.saturating_sub(handshake + request)),
                ]),
                limit: connections_limit,
                accepted,
                shed: ByWord(vec![
                    ("connections", sum(Count::ShedConnections)),
                    ("address", sum(Count::ShedAddress)),
                    ("memory", sum(Count::ShedMemory)),
                    ("handshakes", sum(Count::ShedHandshakes)),
                ]),
                handshakes_failed: sum(Count::HandshakesFailed),
                clients_unproven: sum(Count::ClientsUnproven),
                floods_ended: sum(Count::FloodsEnded),
            },
            exchanges: Exchanges {
                in_flight: begun.saturating_sub(ended),
                begun,
                ended,
                held: sum(Count::ExchangesHeld),
                replayed: sum(Count::ExchangesReplayed),
                continued: sum(Count::ExchangesContinued),
            },
            streams_open: streams.saturating_sub(streams_ended),
            origin_client_stall_seconds: seconds(stalled),
            answered: ByWord(
                Class::ALL
                    .map(|class| (class.word(), sum(Count::Answered(class))))
                    .to_vec(),
            ),
            answered_by_edge: sum(Count::AnsweredByEdge),
            lost: ByWord(
                Loss::ALL
                    .map(|loss| (loss.word(), sum(Count::Lost(loss))))
                    .to_vec(),
            ),
            client_timeouts: phases(Count::ClientTimeout),
            origin_timeouts: phases(Count::OriginTimeout),
            traced: ByWord(vec![
                ("sent", sum(Count::SpansSent)),
                ("dropped", sum(Count::SpansDropped)),
                ("failed", sum(Count::SpansFailed)),
            ]),
            log_dropped: ByWord(vec![
                ("reader", sum(Count::LinesLost)),
                ("repeats", sum(Count::LinesWithheld)),
            ]),
            bytes: ByWord(vec![
                ("from_clients", sum(Count::BytesFromClients)),
                ("to_clients", sum(Count::BytesToClients)),
                ("from_origin", sum(Count::BytesFromOrigin)),
            ]),
            spans: ByWord(
                Span::ALL
                    .map(|span| (span.word(), SpanFacts::of(ledger.distribution(span))))
                    .to_vec(),
            ),
        }
    }
}

impl SpanFacts {
    /// What a histogram comes to.
    pub(in super::super) fn of(distribution: Distribution) -> Self {
        let within = |share| within(&distribution, share).map(rounded);
        Self {
            count: distribution.count(),
            sum_seconds: seconds(distribution.sum),
            p50_seconds: within(0.5),
            p90_seconds: within(0.9),
            p99_seconds: within(0.99),
            longest_seconds: (distribution.count() > 0).then(|| seconds(distribution.longest)),
            distribution,
        }
    }
}

/// The length in seconds that a `share` of all (0 to 1) did not exceed, as if lengths lay evenly within a bucket,
/// up to the longest there was.
///
/// `None` where nothing was measured. In the bucket without an upper bound the truth is this or more.
fn within(distribution: &Distribution, share: f64) -> Option<f64> {
    let count = distribution.count();
    if count == 0 {
        return None;
    }
    let rank = share * count as f64;
    let longest = distribution.longest.as_secs_f64();
    let mut below = 0.0;
    let mut lower = 0.0;
    for (bucket, upper) in distribution.buckets.iter().zip(BOUNDS) {
        let inside = *bucket as f64;
        if inside > 0.0 && below + inside >= rank {
            let upper = upper.min(longest);
            return Some(lower + (upper - lower) * (rank - below) / inside);
        }
        below += inside;
        lower = upper;
    }
    Some(lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lengths: &[(u64, usize)]) -> SpanFacts {
        let ledger = Ledger::default();
        let tally = ledger.open();
        for (milliseconds, times) in lengths {
            for _ in 0..*times {
                tally.time(Span::Total, Duration::from_millis(*milliseconds));
            }
        }
        SpanFacts::of(ledger.distribution(Span::Total))
    }

    #[test]
    fn percentiles_lie_within_the_bucket_they_fall_into() {
        let none = of(&[]);
        assert_eq!((none.count, none.p50_seconds), (0, None));
        let even = of(&[(75, 100)]);
        assert_eq!(even.p50_seconds, Some(0.0625));
        assert_eq!(even.p90_seconds, Some(0.0725));
        assert_eq!(even.longest_seconds, Some(0.075));
        let tail = of(&[(1, 90), (40, 9), (700, 1)]);
        assert_eq!(tail.count, 100);
        assert_eq!(tail.p50_seconds, Some(0.000778));
        assert_eq!(tail.p90_seconds, Some(0.001));
        assert_eq!(tail.p99_seconds, Some(0.05));
    }

    #[test]
    fn what_is_longer_than_every_bound_is_told_as_the_last_bound() {
        assert_eq!(of(&[(500_000, 3)]).p99_seconds, Some(300.0));
        assert_eq!(of(&[(500_000, 3)]).sum_seconds, 1500.0);
    }

    #[test]
    fn what_is_open_is_the_difference_of_two_counters() {
        let ledger = Ledger::default();
        let tally = ledger.open();
        tally.add(Count::ConnectionsAccepted, 5);
        tally.add(Count::ConnectionsClosed, 2);
        tally.add(Count::ExchangesBegun, 4);
        tally.add(Count::ExchangesEnded, 4);
        tally.count(Count::Lost(Loss::Died));
        let traffic = Traffic::of(&ledger, 10, None);
        assert_eq!(traffic.connections.open, 3);
        assert_eq!(traffic.exchanges.in_flight, 0);
        assert_eq!(traffic.lost.total(), 1);
    }
}
