//! The window: a few frames of a stream on their way to the client. Here, and only here, a client's pace reaches
//! the origin; for how long is counted.

use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::Frame;
use tokio::sync::mpsc::{self, error::TrySendError};

use super::terms::Limit;
use crate::ground::deadline;
use crate::ground::failure::{Cause, Failure, Phase};
use crate::ground::ledger::{Count, Tally};

/// The filling end. Dropping it without an end cuts the body off.
#[derive(Debug)]
pub struct WindowWriter {
    frames: mpsc::Sender<Frame<Bytes>>,
    end: Arc<OnceLock<Result<(), Failure>>>,
    /// How long the client may take nothing.
    stall: Limit<Duration>,
    tally: Arc<Tally>,
}

/// The emptying end. Dropping it tells the writer that the client has left.
#[derive(Debug)]
pub struct WindowReader {
    frames: mpsc::Receiver<Frame<Bytes>>,
    end: Arc<OnceLock<Result<(), Failure>>>,
}

/// Time in which the origin waits for the client, counted when it is over, however it ends.
pub struct Stalled<'a> {
    begun: Instant,
    tally: &'a Tally,
}

/// Frames under way: each is at most what is read from the origin at once.
const FRAMES: usize = 4;
/// A smaller frame is copied, so that it does not keep a whole buffer for itself.
const SMALL: usize = 8 << 10;

/// A window to a client that may stall for so long.
pub fn window(stall: Limit<Duration>, tally: &Arc<Tally>) -> (WindowWriter, WindowReader) {
    let (sender, frames) = mpsc::channel(FRAMES);
    let end = Arc::new(OnceLock::new());
    let writer = WindowWriter {
        frames: sender,
        end: end.clone(),
        stall,
        tally: tally.clone(),
    };
    (writer, WindowReader { frames, end })
}

impl WindowWriter {
    /// Passes a frame on, when there is room for it.
    ///
    /// # Errors
    /// The client's failure: it left, or took nothing for as long as it may.
    pub async fn push(&self, frame: Frame<Bytes>) -> Result<(), Failure> {
        let frame = match frame.into_data() {
            Ok(data) if data.len() < SMALL => Frame::data(Bytes::copy_from_slice(&data)),
            Ok(data) => Frame::data(data),
            Err(trailers) => trailers,
        };
        let frame = match self.frames.try_send(frame) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(_)) => return Err(left()),
            Err(TrySendError::Full(frame)) => frame,
        };
        let _stalled = Stalled::begin(&self.tally);
        match self.stall.deadline().bound(self.frames.send(frame)).await {
            Ok(sent) => sent.map_err(|_| left()),
            Err(_) => Err(Failure::client(Phase::Respond, self.stall.missed())),
        }
    }

    /// Returns when the client has left.
    pub async fn left(&self) -> Failure {
        self.frames.closed().await;
        left()
    }

    /// The body is whole, or cut off by a failure. Only the first end counts.
    pub fn end(&self, end: Result<(), Failure>) {
        let _ = self.end.set(end);
    }
}

impl WindowReader {
    /// The next frame, `None` at the end of a whole body, or what cut it off.
    pub fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let frame = std::task::ready!(self.frames.poll_recv(cx));
        Poll::Ready(match frame {
            Some(frame) => Some(Ok(frame)),
            None => match self.end.get() {
                Some(Ok(())) => None,
                Some(Err(failure)) => Some(Err(failure.clone())),
                None => Some(Err(Failure::origin(Phase::Answer, Cause::Truncated))),
            },
        })
    }
}

impl<'a> Stalled<'a> {
    /// The origin begins to wait.
    pub fn begin(tally: &'a Tally) -> Self {
        let begun = deadline::now();
        Self { begun, tally }
    }
}

impl Drop for Stalled<'_> {
    fn drop(&mut self) {
        let waited = deadline::now() - self.begun;
        let nanoseconds = u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX);
        self.tally.add(Count::OriginStalledByClient, nanoseconds);
    }
}

fn left() -> Failure {
    let how = "it left before the end of a stream".to_owned();
    Failure::client(Phase::Respond, Cause::Broken(how))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALL: Limit<Duration> = Limit {
        is: Duration::from_secs(30),
        key: "edge.deadlines.response_stall",
    };

    fn frame() -> Frame<Bytes> {
        Frame::data(Bytes::from_static(b"event"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_holds_the_origin_for_a_bounded_and_counted_time() {
        let tally = Arc::new(Tally::default());
        let (writer, _reader) = window(STALL, &tally);
        for _ in 0..FRAMES {
            writer.push(frame()).await.unwrap();
        }
        assert_eq!(tally.read(Count::OriginStalledByClient), 0);
        let failure = writer.push(frame()).await.unwrap_err();
        assert!(failure.to_string().contains("response_stall"), "{failure}");
        assert_eq!(tally.read(Count::OriginStalledByClient), 30_000_000_000);
    }

    #[tokio::test]
    async fn a_stream_ends_as_it_was_ended_and_never_by_silence() {
        let tally = Arc::new(Tally::default());
        let next = |mut reader: WindowReader| async move {
            std::future::poll_fn(move |cx| reader.poll_next(cx)).await
        };
        let (writer, reader) = window(STALL, &tally);
        writer.end(Ok(()));
        drop(writer);
        assert!(next(reader).await.is_none());
        let (writer, reader) = window(STALL, &tally);
        drop(writer);
        assert!(next(reader).await.unwrap().is_err());
    }

    #[tokio::test]
    async fn who_fills_it_learns_that_the_client_left() {
        let (writer, reader) = window(STALL, &Arc::new(Tally::default()));
        drop(reader);
        writer.left().await;
        assert!(writer.push(frame()).await.is_err());
    }
}
