//! Takes a request wholly into our hands, under the client's deadlines. The client's wait ends here.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt;

use super::head::OriginHead;
use super::spool::{self, SpoolReader, SpoolWriter, Store, Whole};
use super::terms::Limit;
use super::tunnel::Bid;
use super::upload::Live;
use crate::config::settings::EdgeDeadlines;
use crate::ground::deadline::{self, Deadline};
use crate::ground::failure::{Cause, Failure, Phase};

/// A request wholly in our hands, or declared a stream: the only thing that may be forwarded.
#[derive(Debug)]
pub struct Taken {
    /// Its head, rebuilt.
    pub head: OriginHead,
    /// Its body.
    pub body: Load,
    /// Whether it came with a body at all, an empty one included.
    pub has_body: bool,
    /// Whether its client takes trailers, and the origin is to be told so.
    pub trailers: bool,
    /// Its wish to become a tunnel.
    pub bid: Option<Bid>,
}

/// The body of a request.
#[derive(Debug)]
pub enum Load {
    /// All of it.
    Whole(Whole),
    /// Still with the client; only a route declared a stream has that.
    Live(Live),
}

/// What bounds the intake of a body.
#[derive(Debug, Clone, Copy)]
pub struct Bounds<'a> {
    /// How long the client may take.
    pub deadlines: &'a EdgeDeadlines,
    /// How much it may send.
    pub size: Limit<u64>,
    /// Where it rests.
    pub store: &'a Store,
}

/// Receives the whole body that follows `head`.
///
/// # Errors
/// The client's failure at [`Phase::Body`], or the edge's where the spool is full.
pub async fn take<B>(head: OriginHead, body: B, bounds: Bounds<'_>) -> Result<Taken, Failure>
where
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    let hint = body.size_hint();
    if hint.lower() > bounds.size.is {
        return Err(too_large(bounds.size));
    }
    let whole = receive(body, bounds).await?;
    Ok(Taken {
        body: Load::Whole(whole),
        has_body: true,
        ..Taken::bare(head)
    })
}

impl Taken {
    /// A request without a body.
    pub fn bare(head: OriginHead) -> Self {
        Self {
            head,
            body: Load::Whole(Whole::empty()),
            has_body: false,
            trailers: false,
            bid: None,
        }
    }
}

impl Load {
    /// Its length, where that is known.
    pub fn length(&self) -> Option<u64> {
        match self {
            Self::Whole(whole) => Some(whole.len()),
            Self::Live(live) => live.length,
        }
    }

    /// Whether it can be sent, once more or at all.
    pub fn is_at_hand(&self) -> bool {
        match self {
            Self::Whole(_) => true,
            Self::Live(live) => !live.is_spent(),
        }
    }
}

/// One piece no larger than this needs no spool.
const SMALL: usize = 16 << 10;

async fn receive<B>(body: B, bounds: Bounds<'_>) -> Result<Whole, Failure>
where
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    let mut pacer = Pacer::new(bounds.deadlines);
    let mut body = std::pin::pin!(body);
    // Nobody reads it before it is whole; the reader is kept so that nothing is forgotten.
    let mut spool: Option<(SpoolWriter, SpoolReader)> = None;
    loop {
        let frame = pacer
            .due()
            .bound(body.frame())
            .await
            .map_err(|_| pacer.too_late(deadline::now()))?;
        let Some(frame) = frame else { break };
        let frame = frame
            .map_err(|error| Failure::client(Phase::Body, Cause::Broken(error.to_string())))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        pacer.moved(data.len());
        if pacer.bytes > bounds.size.is {
            return Err(too_large(bounds.size));
        }
        if spool.is_none() && data.len() <= SMALL && body.is_end_stream() {
            return Ok(Whole::Piece(data));
        }
        let (spool, _) = spool.get_or_insert_with(|| spool::tee(bounds.store, Phase::Body));
        spool.push(data).await?;
    }
    match spool {
        Some((spool, _reader)) => spool.into_whole().await,
        None => Ok(Whole::empty()),
    }
}

/// Keeps the client's deadlines: it may not be silent for long, it may not drip (at any time, so many bytes must have
/// come as the pace asks for since its `after`), and it may not take for ever.
struct Pacer<'a> {
    limits: &'a EdgeDeadlines,
    begun: Instant,
    bytes: u64,
}

impl<'a> Pacer<'a> {
    fn new(limits: &'a EdgeDeadlines) -> Self {
        Self {
            limits,
            begun: deadline::now(),
            bytes: 0,
        }
    }

    fn moved(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// The instant by which more must have come.
    fn due(&self) -> Deadline {
        let stall = Deadline::within(self.limits.body_stall);
        let others = [self.pace_due(), self.total_due()];
        others.into_iter().flatten().fold(stall, Deadline::min)
    }

    fn pace_due(&self) -> Option<Deadline> {
        let pace = self.limits.body_pace?;
        let earned = Duration::from_secs_f64(self.bytes as f64 / pace.rate as f64);
        let spent = pace.after.saturating_add(earned);
        Some(Deadline::after(self.begun, spent))
    }

    fn total_due(&self) -> Option<Deadline> {
        let total = self.limits.body_total?;
        Some(Deadline::after(self.begun, total))
    }

    fn too_late(&self, now: Instant) -> Failure {
        let is_past = |due: Option<Deadline>| due.is_some_and(|due| due.is_past(now));
        let timed_out = |limit, key| Cause::TimedOut { limit, key };
        let limits = self.limits;
        let cause = match (limits.body_total, limits.body_pace) {
            (Some(total), _) if is_past(self.total_due()) => {
                timed_out(total, "edge.deadlines.body_total")
            }
            (_, Some(pace)) if is_past(self.pace_due()) => Cause::TooSlow {
                pace: pace.rate,
                key: "edge.deadlines.body_pace",
            },
            _ => timed_out(limits.body_stall, "edge.deadlines.body_stall"),
        };
        Failure::client(Phase::Body, cause)
    }
}

fn too_large(size: Limit<u64>) -> Failure {
    let (limit, key) = (size.is, size.key);
    Failure::client(Phase::Body, Cause::TooLarge { limit, key })
}

#[cfg(test)]
mod tests {
    use http::Request;
    use tokio::sync::mpsc;

    use super::*;
    use crate::config::settings::EdgeLimits;
    use crate::exchange::head;
    use crate::ground::addr::ClientAddr;

    const SIZE: Limit<u64> = Limit {
        is: 16 << 20,
        key: "edge.limits.body",
    };

    type Frame = Result<http_body::Frame<Bytes>, std::io::Error>;

    fn head() -> OriginHead {
        let request = Request::post("/").header("host", "a").body(()).unwrap();
        let (parts, ()) = request.into_parts();
        let client = ClientAddr("192.0.2.7:1".parse().unwrap());
        head::rebuild(&parts, client, &EdgeLimits::default(), "a").unwrap()
    }

    fn in_memory() -> Store {
        Store {
            allowance: 1 << 20,
            budget: spool::Budget::new(64 << 20),
            disk: None,
        }
    }

    /// What comes of a body that yields a frame of `size` bytes each `every`, for ever.
    async fn dripping(
        size: usize,
        every: Duration,
        deadlines: EdgeDeadlines,
    ) -> (Failure, Duration) {
        let (sender, receiver) = mpsc::channel::<Frame>(1);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(every).await;
                let frame = http_body::Frame::data(Bytes::from(vec![1; size]));
                if sender.send(Ok(frame)).await.is_err() {
                    return;
                }
            }
        });
        let stream = frames(receiver);
        let begun = deadline::now();
        let bounds = Bounds {
            deadlines: &deadlines,
            size: SIZE,
            store: &in_memory(),
        };
        let failure = take(head(), stream, bounds).await.unwrap_err();
        (failure, deadline::now() - begun)
    }

    fn frames(
        mut receiver: mpsc::Receiver<Frame>,
    ) -> impl Body<Data = Bytes, Error = std::io::Error> {
        struct Frames<F>(F);
        impl<F> Body for Frames<F>
        where
            F: FnMut(&mut std::task::Context<'_>) -> std::task::Poll<Option<Frame>> + Unpin,
        {
            type Data = Bytes;
            type Error = std::io::Error;

            fn poll_frame(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Option<Frame>> {
                (self.0)(cx)
            }
        }
        Frames(move |cx: &mut std::task::Context<'_>| receiver.poll_recv(cx))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stalls_is_given_up_after_the_stall_timeout() {
        let (failure, took) =
            dripping(1, Duration::from_secs(3600), EdgeDeadlines::default()).await;
        assert!(failure.to_string().contains("body_stall"), "{failure}");
        assert_eq!(took.as_secs(), 15);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_drips_is_given_up_by_its_pace() {
        let (failure, took) = dripping(1, Duration::from_secs(1), EdgeDeadlines::default()).await;
        assert!(failure.to_string().contains("body_pace"), "{failure}");
        assert_eq!(took.as_secs(), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_keeps_the_pace_is_taken_until_its_size_ends_it() {
        let (failure, took) =
            dripping(16 << 10, Duration::from_secs(10), EdgeDeadlines::default()).await;
        assert!(
            failure.to_string().contains("edge.limits.body"),
            "{failure}"
        );
        assert!(took > Duration::from_secs(10_000), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_keeps_the_pace_is_given_up_when_all_its_time_is_over() {
        let deadlines = EdgeDeadlines {
            body_total: Some(Duration::from_secs(95)),
            ..EdgeDeadlines::default()
        };
        let (failure, took) = dripping(16 << 10, Duration::from_secs(10), deadlines).await;
        assert!(failure.to_string().contains("body_total"), "{failure}");
        assert_eq!(took.as_secs(), 95);
    }

    #[tokio::test]
    async fn a_body_is_taken_whole() {
        let deadlines = EdgeDeadlines::default();
        let bounds = Bounds {
            deadlines: &deadlines,
            size: SIZE,
            store: &in_memory(),
        };
        let body = http_body_util::Full::new(Bytes::from_static(b"abc"));
        let taken = take(head(), body, bounds).await.unwrap();
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        let Load::Whole(whole) = &taken.body else {
            panic!("it was taken")
        };
        let first = whole.reader().poll_next(&mut cx);
        assert_eq!(
            first,
            std::task::Poll::Ready(Some(Ok(Bytes::from_static(b"abc"))))
        );
        assert!(taken.has_body);
        let taken = Taken::bare(head());
        assert!(taken.body.length() == Some(0) && !taken.has_body);
    }
}
