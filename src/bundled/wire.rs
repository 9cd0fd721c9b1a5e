//! A connection's stream, with bounds on how long its peer may take: for a head, and to take the next byte of an answer.
//!
//! hyper has one timer for "no complete head yet", idle time included, and none for a peer that reads nothing. So hyper
//! keeps the long idle limit, and the two shorter waits are bounded here, under it. Nothing is armed, and no timer
//! is touched, while the stream moves.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a peer may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// From the first byte of a request (or from the accept) to the end of its head.
    pub(super) head: Duration,
    /// Without taking a single byte, while bytes wait to be written.
    pub(super) stall: Duration,
}

/// A TCP stream whose reads and writes fail with [`io::ErrorKind::TimedOut`] at the limits.
pub(super) struct Wire {
    stream: TcpStream,
    limits: Limits,
    serving: Serving,
    /// The requests begun at the last read.
    begun: u64,
    /// Since when a head is under way; none while idle or serving.
    head_since: Option<Instant>,
    head_alarm: Alarm,
    /// Since when the peer takes nothing.
    stalled_since: Option<Instant>,
    stall_alarm: Alarm,
}

impl Wire {
    /// Takes over a stream just accepted: its first head is due from now on. `serving` says when heads are not awaited.
    pub(super) fn new(stream: TcpStream, limits: Limits, serving: Serving) -> Self {
        Wire {
            stream,
            limits,
            serving,
            begun: 0,
            head_since: Some(Instant::now()),
            head_alarm: Alarm::default(),
            stalled_since: None,
            stall_alarm: Alarm::default(),
        }
    }

    /// What a write came to, with the stall bounded.
    fn written(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if outcome.is_ready() {
            self.stalled_since = None;
            return outcome;
        }
        let since = *self.stalled_since.get_or_insert_with(Instant::now);
        match self.stall_alarm.poll(cx, since + self.limits.stall) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => {
                // Or the kernel would go on offering what it holds to a peer that takes nothing.
                let _ = self.stream.set_zero_linger();
                Poll::Ready(Err(expired("the client took no byte of its answer")))
            }
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        let outcome = Pin::new(&mut wire.stream).poll_read(cx, buf);
        // Whatever was under way has become a request; that may have been served between two reads.
        let begun = wire.serving.begun();
        if wire.begun != begun {
            wire.begun = begun;
            wire.head_since = None;
        }
        if wire.serving.is_on() {
            return outcome;
        }
        if outcome.is_ready() {
            wire.head_since.get_or_insert_with(Instant::now);
            return outcome;
        }
        let Some(since) = wire.head_since else {
            return Poll::Pending;
        };
        match wire.head_alarm.poll(cx, since + wire.limits.head) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => Poll::Ready(Err(expired("the head of the request did not end"))),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        let outcome = Pin::new(&mut wire.stream).poll_write(cx, buf);
        wire.written(cx, outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        let outcome = Pin::new(&mut wire.stream).poll_write_vectored(cx, bufs);
        wire.written(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    // A TCP stream flushes and half-closes without waiting, so these need no bound.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// Whether a request of the connection is being served: from its head to the end of its answer's body.
#[derive(Clone, Default)]
pub(super) struct Serving(Arc<Counts>);

#[derive(Default)]
struct Counts {
    begun: AtomicU64,
    ended: AtomicU64,
}

impl Serving {
    /// Serving, until the mark falls.
    pub(super) fn begin(&self) -> Mark {
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        Mark(self.clone())
    }

    fn begun(&self) -> u64 {
        self.0.begun.load(Ordering::Relaxed)
    }

    fn is_on(&self) -> bool {
        self.begun() != self.0.ended.load(Ordering::Relaxed)
    }
}

/// Kept by what serves a request.
pub(super) struct Mark(Serving);

impl Drop for Mark {
    fn drop(&mut self) {
        self.0.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// A body that keeps its request's mark until hyper lets go of it.
pub(super) struct Marked<B> {
    pub(super) body: B,
    pub(super) _mark: Mark,
}

impl<B: Body + Unpin> Body for Marked<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A timer made at the first wait and set anew for each further one.
#[derive(Default)]
struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    fn poll(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let sleep = self
            .0
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() != deadline {
            sleep.as_mut().reset(deadline);
        }
        sleep.as_mut().poll(cx)
    }
}

fn expired(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    const LIMITS: Limits = Limits {
        head: Duration::from_millis(100),
        stall: Duration::from_millis(400),
    };
    /// Far more than any limit here: nothing that is bounded gets this far.
    const PATIENCE: Duration = Duration::from_secs(10);

    async fn pair() -> (TcpStream, Wire, Serving) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(client, listener.accept());
        let serving = Serving::default();
        let wire = Wire::new(accepted.unwrap().0, LIMITS, serving.clone());
        (client.unwrap(), wire, serving)
    }

    /// Reads until the wire fails or `patience` is over.
    async fn read_on(wire: &mut Wire, patience: Duration) -> Option<io::Error> {
        let all = async {
            loop {
                if let Err(cause) = wire.read_u8().await {
                    return cause;
                }
            }
        };
        tokio::time::timeout(patience, all).await.ok()
    }

    #[tokio::test]
    async fn a_client_that_says_nothing_is_ended() {
        let (_client, mut wire, _) = pair().await;
        let cause = read_on(&mut wire, PATIENCE).await.unwrap();
        assert_eq!(cause.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_client_that_drips_its_head_is_ended() {
        let (mut client, mut wire, _) = pair().await;
        let drip = tokio::spawn(async move {
            while client.write_all(b"x").await.is_ok() {
                tokio::time::sleep(LIMITS.head / 10).await;
            }
        });
        let cause = read_on(&mut wire, PATIENCE).await.unwrap();
        assert_eq!(cause.kind(), io::ErrorKind::TimedOut);
        drip.abort();
    }

    #[tokio::test]
    async fn neither_serving_nor_being_idle_counts_as_a_head() {
        let (mut client, mut wire, serving) = pair().await;
        client.write_all(b"x").await.unwrap();
        wire.read_u8().await.unwrap();
        let mark = serving.begin();
        assert!(read_on(&mut wire, LIMITS.head * 3).await.is_none());
        drop(mark);
        assert!(read_on(&mut wire, LIMITS.head * 3).await.is_none());
        client.write_all(b"x").await.unwrap();
        let cause = read_on(&mut wire, PATIENCE).await.unwrap();
        assert_eq!(cause.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_request_served_between_two_reads_leaves_no_clock_running() {
        let (mut client, mut wire, serving) = pair().await;
        client.write_all(b"x").await.unwrap();
        wire.read_u8().await.unwrap();
        drop(serving.begin());
        assert!(read_on(&mut wire, LIMITS.head * 3).await.is_none());
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_ended_with_a_reset() {
        let (mut client, mut wire, _) = pair().await;
        let chunk = [0; 64 * 1024];
        let all = async {
            loop {
                if let Err(cause) = wire.write_all(&chunk).await {
                    return cause;
                }
            }
        };
        let cause = tokio::time::timeout(PATIENCE, all).await.unwrap();
        assert_eq!(cause.kind(), io::ErrorKind::TimedOut);
        drop(wire);
        let mut sink = Vec::new();
        let cause = client.read_to_end(&mut sink).await.unwrap_err();
        assert_eq!(cause.kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn a_client_that_takes_a_little_now_and_then_is_served() {
        let (mut client, mut wire, _) = pair().await;
        let len = 16 << 20;
        let slow = tokio::spawn(async move {
            let mut taken = 0;
            let mut buffer = vec![0; 1 << 20];
            while taken < len {
                tokio::time::sleep(LIMITS.stall / 8).await;
                taken += client.read(&mut buffer).await.unwrap();
            }
        });
        wire.write_all(&vec![0; len]).await.unwrap();
        slow.await.unwrap();
    }
}
