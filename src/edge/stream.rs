//! One stream of an HTTP/2 connection: whose move it is, how long the client takes with its own, and the way to
//! end that stream alone.
//!
//! hyper hands a chunk to h2 and asks for the next; h2 may keep it for ever if the client never opens its window,
//! after the last chunk too. So each chunk is watched until h2 lets go of it, and the end of the stream is held
//! back until all are gone.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::judge::Overdue;
use crate::config::settings::EdgeDeadlines;
use crate::ground::deadline;
use crate::ground::failure::Phase;
use crate::ground::fate::Fate;

/// One stream, from its head to the last byte that h2 has let go of.
#[derive(Debug)]
pub struct Stream {
    epoch: Instant,
    is_ours: AtomicBool,
    /// Microseconds from the epoch to the client's last move, or to the beginning of a turn.
    moved: AtomicU64,
    /// Microseconds in all that it was the client's turn, before this turn.
    waited: AtomicU64,
    /// When this turn of the client's began.
    turn: AtomicU64,
    /// Microseconds of it, since the last move and in this turn, in which the connection as a whole let nothing through:
    /// its own deadlines are for that.
    excused: AtomicU64,
    excused_turn: AtomicU64,
    taken: AtomicU64,
    outstanding: AtomicUsize,
    end: Mutex<Option<Waker>>,
    kill: Notify,
    fate: Fate,
}

/// The streams of one connection.
#[derive(Debug, Clone, Default)]
pub struct Streams(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// The one whose head has just come, until its task is spawned.
    newest: Option<Arc<Stream>>,
    all: Vec<Arc<Stream>>,
}

/// Runs the tasks of a connection, each so that its stream can be ended alone: dropping it makes h2 reset it.
#[derive(Debug, Clone)]
pub struct StreamExec(pub Streams);

impl Streams {
    /// A stream begins, with us.
    pub fn begin(&self) -> Arc<Stream> {
        let stream = Arc::new(Stream::new());
        let mut known = self.known();
        known.newest = Some(stream.clone());
        known.all.push(stream.clone());
        stream
    }

    /// Ends every stream whose client is overdue, and says which deadlines they missed. For `blocked` of the time since
    /// the last call the connection let nothing through, and no stream is to blame for that.
    ///
    /// `longest` is the outer bound of one that waits for us, which none of ours ever reaches.
    pub fn end_overdue(
        &self,
        limits: &EdgeDeadlines,
        blocked: Duration,
        longest: Option<Duration>,
    ) -> Vec<Overdue> {
        let now = deadline::now();
        let mut missed = Vec::new();
        // A stream nobody else knows is over.
        let mut known = self.known();
        known.all.retain(|stream| Arc::strong_count(stream) > 1);
        for stream in &known.all {
            stream.excuse(blocked);
            if let Some(overdue) = stream.overdue(limits, now) {
                stream.fate.missed(overdue.phase);
                missed.push(overdue);
                stream.kill.notify_one();
            } else if longest.is_some_and(|longest| stream.waits_for_us(now) >= longest) {
                tracing::error!("a stream has waited for us longer than anything may take; ended");
                stream.kill.notify_one();
            }
        }
        missed
    }

    /// The whole connection is cut off at this phase.
    pub fn all_missed(&self, phase: Phase) {
        for stream in &self.known().all {
            stream.fate.missed(phase);
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream {
    fn new() -> Self {
        Self {
            epoch: deadline::now(),
            is_ours: AtomicBool::new(true),
            moved: AtomicU64::new(0),
            waited: AtomicU64::new(0),
            turn: AtomicU64::new(0),
            excused: AtomicU64::new(0),
            excused_turn: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            outstanding: AtomicUsize::new(0),
            end: Mutex::new(None),
            kill: Notify::new(),
            fate: Fate::default(),
        }
    }

    /// So many bytes are handed over: it is the client's turn until they are let go of.
    pub(super) fn hands_over(&self, bytes: usize) {
        self.outstanding.fetch_add(bytes, Ordering::Relaxed);
        self.turn_to_client();
    }

    /// What becomes of its client, for the record of its request.
    pub fn fate(&self) -> &Fate {
        &self.fate
    }

    /// Ready when h2 has let go of everything.
    pub fn poll_taken(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        if self.outstanding.load(Ordering::Relaxed) == 0 {
            return Poll::Ready(());
        }
        *end = Some(cx.waker().clone());
        Poll::Pending
    }

    /// The next move is the client's.
    pub fn turn_to_client(&self) {
        if self.is_ours.swap(false, Ordering::Relaxed) {
            let now = self.micros(deadline::now());
            self.moved.store(now, Ordering::Relaxed);
            self.turn.store(now, Ordering::Relaxed);
            self.excused.store(0, Ordering::Relaxed);
            self.excused_turn.store(0, Ordering::Relaxed);
        }
    }

    /// The next move is ours: the client would take more.
    pub fn turn_to_us(&self) {
        let is_pending = self.outstanding.load(Ordering::Relaxed) > 0;
        if !is_pending && !self.is_ours.swap(true, Ordering::Relaxed) {
            let turn = self.turn.load(Ordering::Relaxed);
            let excused = self.excused_turn.load(Ordering::Relaxed);
            let now = self.micros(deadline::now());
            let waited = now.saturating_sub(turn).saturating_sub(excused);
            self.moved.store(now, Ordering::Relaxed);
            self.waited.fetch_add(waited, Ordering::Relaxed);
        }
    }

    fn excuse(&self, blocked: Duration) {
        let blocked = u64::try_from(blocked.as_micros()).unwrap_or(u64::MAX);
        self.excused.fetch_add(blocked, Ordering::Relaxed);
        self.excused_turn.fetch_add(blocked, Ordering::Relaxed);
    }

    /// So many of them were let go of.
    pub(super) fn lets_go(&self, bytes: usize) {
        let now = self.micros(deadline::now());
        self.moved.store(now, Ordering::Relaxed);
        self.excused.store(0, Ordering::Relaxed);
        self.taken.fetch_add(bytes as u64, Ordering::Relaxed);
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        if self.outstanding.fetch_sub(bytes, Ordering::Relaxed) == bytes
            && let Some(waker) = end.take()
        {
            waker.wake();
        }
    }

    fn overdue(&self, limits: &EdgeDeadlines, now: Instant) -> Option<Overdue> {
        if self.is_ours.load(Ordering::Relaxed) {
            return None;
        }
        let overdue = |limit, key| {
            let phase = Phase::Respond;
            Some(Overdue { phase, limit, key })
        };
        let since = |at: &AtomicU64, excused: &AtomicU64| {
            let since = self.micros(now).saturating_sub(at.load(Ordering::Relaxed));
            since.saturating_sub(excused.load(Ordering::Relaxed))
        };
        if Duration::from_micros(since(&self.moved, &self.excused)) >= limits.response_stall {
            return overdue(limits.response_stall, "edge.deadlines.response_stall");
        }
        let pace = limits.response_pace?;
        let waited = self.waited.load(Ordering::Relaxed) + since(&self.turn, &self.excused_turn);
        let taken = self.taken.load(Ordering::Relaxed);
        let earned = Duration::from_secs_f64(taken as f64 / pace.rate as f64);
        match Duration::from_micros(waited) > pace.after.saturating_add(earned) {
            true => overdue(pace.after, "edge.deadlines.response_pace"),
            false => None,
        }
    }

    fn waits_for_us(&self, now: Instant) -> Duration {
        if !self.is_ours.load(Ordering::Relaxed) {
            return Duration::ZERO;
        }
        let moved = self.moved.load(Ordering::Relaxed);
        Duration::from_micros(self.micros(now).saturating_sub(moved))
    }

    fn micros(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.epoch);
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }
}

impl<F> hyper::rt::Executor<F> for StreamExec
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        // hyper spawns a stream's task right after it has called the service with its head.
        let stream = self.0.known().newest.take();
        tokio::spawn(async move {
            match stream {
                None => task.await,
                Some(stream) => tokio::select! {
                    () = task => {}
                    () = stream.kill.notified() => {}
                },
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use bytes::{Buf, Bytes};

    use super::*;
    use crate::edge::piece::Piece;

    async fn pass(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    fn missed(streams: &Streams) -> Vec<&'static str> {
        missed_but(streams, 0)
    }

    /// The connection let nothing through for so many seconds since the last look.
    fn missed_but(streams: &Streams, blocked: u64) -> Vec<&'static str> {
        let blocked = Duration::from_secs(blocked);
        let missed = streams.end_overdue(&EdgeDeadlines::default(), blocked, None);
        missed.into_iter().map(|overdue| overdue.key).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_at_work_with_us_is_never_overdue() {
        let streams = Streams::default();
        let _stream = streams.begin();
        pass(10_000).await;
        assert!(missed(&streams).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_waits_for_us_for_ever_ends_by_the_outer_bound() {
        let streams = Streams::default();
        let exec = StreamExec(streams.clone());
        let ended = Arc::new(Notify::new());
        let (stream, guard) = (streams.begin(), OnDrop(ended.clone()));
        hyper::rt::Executor::execute(&exec, async move {
            let _guard = (guard, stream);
            std::future::pending::<()>().await;
        });
        tokio::task::yield_now().await;
        let longest = Some(Duration::from_secs(1000));
        let limits = EdgeDeadlines::default();
        for (passes, is_over) in [(999, false), (1, true)] {
            pass(passes).await;
            streams.end_overdue(&limits, Duration::ZERO, longest);
            let patience = Duration::from_micros(1);
            let end = tokio::time::timeout(patience, ended.notified()).await;
            assert_eq!(end.is_ok(), is_over, "after {passes}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_chunk_that_is_never_let_go_of_is_overdue_the_last_one_too() {
        let streams = Streams::default();
        let stream = streams.begin();
        let chunk = Piece::watched(&stream, Bytes::from_static(b"last"));
        stream.turn_to_us();
        pass(29).await;
        assert!(missed(&streams).is_empty());
        pass(1).await;
        assert_eq!(missed(&streams), ["edge.deadlines.response_stall"]);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(stream.poll_taken(&mut cx).is_pending());
        drop(chunk);
        assert!(stream.poll_taken(&mut cx).is_ready());
        stream.turn_to_us();
        assert!(missed(&streams).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_chunk_that_is_taken_bit_by_bit_is_not_overdue() {
        let streams = Streams::default();
        let stream = streams.begin();
        let mut chunk = Piece::watched(&stream, Bytes::from(vec![0; 128 << 10]));
        for _ in 0..4 {
            pass(20).await;
            assert!(missed(&streams).is_empty());
            chunk.advance(32 << 10);
        }
        let mut cx = Context::from_waker(Waker::noop());
        assert!(stream.poll_taken(&mut cx).is_ready());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_is_not_to_blame_for_its_connection() {
        let streams = Streams::default();
        let stream = streams.begin();
        let mut chunk = Piece::watched(&stream, Bytes::from(vec![0; 16 << 10]));
        for _ in 0..20 {
            pass(5).await;
            assert!(missed_but(&streams, 4).is_empty());
        }
        // From its next move on, all is counted anew.
        chunk.advance(8 << 10);
        pass(30).await;
        assert_eq!(missed(&streams), ["edge.deadlines.response_stall"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_tiny_window_now_and_then_is_overdue_by_its_pace() {
        let streams = Streams::default();
        let stream = streams.begin();
        for _ in 0..3 {
            let chunk = Piece::watched(&stream, Bytes::from_static(b"x"));
            pass(20).await;
            assert!(missed(&streams).is_empty());
            drop(chunk);
        }
        let _chunk = Piece::watched(&stream, Bytes::from_static(b"x"));
        pass(1).await;
        assert_eq!(missed(&streams), ["edge.deadlines.response_pace"]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_bad_stream_is_ended_alone() {
        let streams = Streams::default();
        let exec = StreamExec(streams.clone());
        let (bad_ended, good_ended) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        for (ended, is_bad) in [(&bad_ended, true), (&good_ended, false)] {
            let stream = streams.begin();
            let guard = OnDrop(ended.clone());
            hyper::rt::Executor::execute(&exec, async move {
                let _guard = guard;
                if is_bad {
                    stream.turn_to_client();
                }
                std::future::pending::<()>().await;
                drop(stream);
            });
        }
        tokio::task::yield_now().await;
        pass(31).await;
        assert_eq!(missed(&streams).len(), 1);
        bad_ended.notified().await;
        let patience = Duration::from_secs(1);
        let good = tokio::time::timeout(patience, good_ended.notified()).await;
        assert!(good.is_err(), "the good stream goes on");
    }

    struct OnDrop(Arc<Notify>);

    impl Drop for OnDrop {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
}
