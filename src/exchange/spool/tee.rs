//! A body that is read while it still grows.
//!
//! ```text
//! push ─▶ pages ──────────────────────────────▶ poll_next      while memory lasts
//! push ─▶ pages … waiting ─▶ file ─▶ fetched ─▶ poll_next      from then on
//! ```
//! What waits to be written is handed to the reader directly when it has caught up with the file.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;

use super::disk::{DiskError, Spill};
use super::pages::Pages;
use super::whole::Whole;
use super::{Store, full};
use crate::config::fixed::ON_THE_WAY;
use crate::ground::deadline::Deadline;
use crate::ground::failure::{Cause, Failure, Phase};

/// The filling end of a body. Dropping it unfinished cuts the body off.
#[derive(Debug)]
pub struct SpoolWriter(Arc<Mutex<Tee>>);

/// The emptying end. Dropping it lets the writer go on into nothing.
#[derive(Debug)]
pub struct SpoolReader(Arc<Mutex<Tee>>);

#[derive(Debug)]
pub(super) struct Tee {
    store: Store,
    phase: Phase,
    /// Bytes put in so far.
    len: u64,
    pub(super) pages: Pages,
    pub(super) overflow: Option<Overflow>,
    end: Option<Result<(), Failure>>,
    is_read: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// What did not fit into memory.
#[derive(Debug)]
pub(super) struct Overflow {
    pub(super) spill: Arc<Spill>,
    pub(super) written: u64,
    read: u64,
    fetched: Option<Bytes>,
    is_fetching: bool,
    pub(super) waiting: VecDeque<Bytes>,
    waiting_len: usize,
    is_writing: bool,
}

/// Written at once: 256 KiB cost hardly more than 4 (measured).
const BATCH: usize = 256 << 10;
/// Read at once.
const FETCH: u64 = 128 << 10;
/// More may not wait to be written.
const BACKLOG: usize = 2 * BATCH;
const _: () = assert!(BACKLOG + FETCH as usize == ON_THE_WAY);
/// A disk that takes none of the backlog for this long is as good as none.
const PATIENCE: Duration = Duration::from_secs(5);

/// A body that is read while it grows; `phase` is where its failures are.
pub fn tee(store: &Store, phase: Phase) -> (SpoolWriter, SpoolReader) {
    let tee = Tee {
        pages: Pages::new(store.allowance, &store.budget),
        store: store.clone(),
        phase,
        len: 0,
        overflow: None,
        end: None,
        is_read: true,
        reader: None,
        writer: None,
    };
    let tee = Arc::new(Mutex::new(tee));
    (SpoolWriter(tee.clone()), SpoolReader(tee))
}

impl SpoolWriter {
    /// Adds bytes. Where nobody reads any more they are forgotten at once. Waits for nothing but a disk that
    /// is behind, and not long for that.
    ///
    /// # Errors
    /// The edge's failure: the bytes fit nowhere, or the disk failed.
    pub async fn push(&self, bytes: Bytes) -> Result<(), Failure> {
        if locked(&self.0).push(&self.0, bytes)? {
            return Ok(());
        }
        let deadline = Deadline::within(PATIENCE);
        let caught_up = std::future::poll_fn(|cx| locked(&self.0).poll_backlog(cx));
        match deadline.bound(caught_up).await {
            Ok(result) => result,
            Err(_) => Err(self.too_slow()),
        }
    }

    /// Bytes put in so far.
    pub fn len(&self) -> u64 {
        locked(&self.0).len
    }

    /// Returns when nothing that is put in can be of use any more: nobody reads it, or it has an end.
    pub async fn left(&self) {
        std::future::poll_fn(|cx| locked(&self.0).poll_left(cx)).await
    }

    /// The body is whole, or cut off by `failure`. Only the first end counts.
    pub fn end(&self, end: Result<(), Failure>) {
        let mut tee = locked(&self.0);
        tee.end.get_or_insert(end);
        tee.wake_reader();
    }

    /// The whole body, to be read as often as one likes, once the disk has what it was given.
    ///
    /// # Errors
    /// The edge's failure: the disk failed.
    pub async fn into_whole(self) -> Result<Whole, Failure> {
        self.end(Ok(()));
        let written = std::future::poll_fn(|cx| locked(&self.0).poll_written(cx));
        match Deadline::within(PATIENCE).bound(written).await {
            Ok(result) => result?,
            Err(_) => return Err(self.too_slow()),
        }
        let mut tee = locked(&self.0);
        let empty = Pages::new(0, &tee.store.budget);
        let mut pages = std::mem::replace(&mut tee.pages, empty);
        pages.close_page();
        let rest = tee.overflow.take();
        Ok(Whole::new(pages, rest, tee.len, tee.phase))
    }
}

impl SpoolWriter {
    fn too_slow(&self) -> Failure {
        let slow = format!("it took nothing for {PATIENCE:?} (spool.directory)");
        Failure::edge(locked(&self.0).phase, Cause::Disk(slow))
    }
}

impl Drop for SpoolWriter {
    fn drop(&mut self) {
        self.end(Err(Failure::origin(Phase::Answer, Cause::Truncated)));
    }
}

impl SpoolReader {
    /// The next bytes, `None` at the end of a whole body, or what cut it off.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        locked(&self.0).poll_next(&self.0, cx)
    }

    /// The length of the body, once it is whole.
    pub fn whole_len(&self) -> Option<u64> {
        let tee = locked(&self.0);
        matches!(tee.end, Some(Ok(()))).then_some(tee.len)
    }

    /// Whether everything was taken and nothing more will come.
    pub fn is_done(&self) -> bool {
        let tee = locked(&self.0);
        let is_empty = tee.pages.is_empty() && tee.overflow.as_ref().is_none_or(Overflow::is_empty);
        is_empty && matches!(tee.end, Some(Ok(())))
    }
}

impl Drop for SpoolReader {
    fn drop(&mut self) {
        let mut tee = locked(&self.0);
        tee.is_read = false;
        tee.pages = Pages::new(0, &tee.store.budget);
        tee.overflow = None;
        if let Some(writer) = tee.writer.take() {
            writer.wake();
        }
    }
}

impl Tee {
    /// Whether the writer may go on at once.
    fn push(&mut self, this: &Arc<Mutex<Tee>>, bytes: Bytes) -> Result<bool, Failure> {
        self.len += bytes.len() as u64;
        if !self.is_read {
            return Ok(true);
        }
        if let Some(Err(failure)) = &self.end {
            return Err(failure.clone());
        }
        if self.overflow.is_none() {
            if self.pages.push(&bytes).is_ok() {
                self.wake_reader();
                return Ok(true);
            }
            let disk = self.store.disk.as_ref();
            let disk = disk.ok_or_else(|| full(self.phase, &self.store.budget, None))?;
            self.overflow = Some(Overflow::new(Arc::new(disk.spill())));
        }
        self.overflow_with(this, bytes)
    }

    fn overflow_with(&mut self, this: &Arc<Mutex<Tee>>, bytes: Bytes) -> Result<bool, Failure> {
        let (phase, budget) = (self.phase, self.store.budget.clone());
        let told = |error: DiskError| full(phase, &budget, Some(&error));
        let Some(overflow) = &mut self.overflow else {
            return Ok(true);
        };
        overflow.spill.charge(bytes.len() as u64).map_err(told)?;
        overflow.waiting_len += bytes.len();
        overflow.waiting.push_back(bytes);
        overflow.write_on(this, BATCH).map_err(told)?;
        let is_behind = overflow.waiting_len >= BACKLOG;
        self.wake_reader();
        Ok(!is_behind)
    }

    fn poll_backlog(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        if let Some(Err(failure)) = &self.end {
            return Poll::Ready(Err(failure.clone()));
        }
        match &self.overflow {
            Some(overflow) if overflow.waiting_len >= BACKLOG => {
                self.writer = Some(cx.waker().clone());
                Poll::Pending
            }
            _ => Poll::Ready(Ok(())),
        }
    }

    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        if let Some(Err(failure)) = &self.end {
            return Poll::Ready(Err(failure.clone()));
        }
        match &self.overflow {
            Some(overflow) if overflow.is_writing => {
                self.writer = Some(cx.waker().clone());
                Poll::Pending
            }
            _ => Poll::Ready(Ok(())),
        }
    }

    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_read || self.end.is_some() {
            return Poll::Ready(());
        }
        self.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_next(
        &mut self,
        this: &Arc<Mutex<Tee>>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Failure>>> {
        if let Some(bytes) = self.pages.pop() {
            return Poll::Ready(Some(Ok(bytes)));
        }
        let (phase, budget) = (self.phase, self.store.budget.clone());
        let next = self.overflow.as_mut().map(|overflow| overflow.next(this));
        match next {
            Some(Ok(Some(bytes))) => {
                if let Some(writer) = self.writer.take() {
                    writer.wake();
                }
                return Poll::Ready(Some(Ok(bytes)));
            }
            Some(Err(error)) => {
                let failure = full(phase, &budget, Some(&error));
                self.end = Some(Err(failure.clone()));
                return Poll::Ready(Some(Err(failure)));
            }
            Some(Ok(None)) | None => {}
        }
        let is_empty = self.overflow.as_ref().is_none_or(Overflow::is_empty);
        match &self.end {
            Some(Err(failure)) => Poll::Ready(Some(Err(failure.clone()))),
            Some(Ok(())) if is_empty => Poll::Ready(None),
            _ => {
                self.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// A batch has been written, or not.
    fn wrote(&mut self, this: &Arc<Mutex<Tee>>, result: Result<u64, DiskError>) {
        let (phase, budget) = (self.phase, self.store.budget.clone());
        let Some(overflow) = &mut self.overflow else {
            return;
        };
        overflow.is_writing = false;
        let result = result.and_then(|bytes| {
            overflow.written += bytes;
            overflow.write_on(this, BATCH)
        });
        if let Err(error) = result {
            // What was written with it is lost, so what waits behind it may never be read.
            overflow.waiting.clear();
            overflow.waiting_len = 0;
            self.end = Some(Err(full(phase, &budget, Some(&error))));
        }
        self.wake_reader();
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }

    /// What was asked for has come from the disk, or not.
    fn fetched(&mut self, result: Result<Bytes, DiskError>) {
        let (phase, budget) = (self.phase, self.store.budget.clone());
        let Some(overflow) = &mut self.overflow else {
            return;
        };
        overflow.is_fetching = false;
        match result {
            Ok(bytes) => overflow.fetched = Some(bytes),
            Err(error) => self.end = Some(Err(full(phase, &budget, Some(&error)))),
        }
        self.wake_reader();
    }

    fn wake_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

impl Overflow {
    fn new(spill: Arc<Spill>) -> Self {
        Self {
            spill,
            written: 0,
            read: 0,
            fetched: None,
            is_fetching: false,
            waiting: VecDeque::new(),
            waiting_len: 0,
            is_writing: false,
        }
    }

    /// Sends what waits to the disk, if that is `enough` for a batch and no batch is under way.
    fn write_on(&mut self, this: &Arc<Mutex<Tee>>, enough: usize) -> Result<(), DiskError> {
        if self.is_writing || self.waiting_len < enough {
            return Ok(());
        }
        let batch: Vec<Bytes> = self.waiting.drain(..).collect();
        self.waiting_len = 0;
        self.is_writing = true;
        let this = this.clone();
        let done = move |result| locked(&this).wrote(&this, result);
        self.spill.write(batch, self.written, done)
    }

    /// The next bytes for the reader, if they are there; asks the disk for them if they are not.
    fn next(&mut self, this: &Arc<Mutex<Tee>>) -> Result<Option<Bytes>, DiskError> {
        if let Some(bytes) = self.fetched.take() {
            self.read += bytes.len() as u64;
            return Ok(Some(bytes));
        }
        if self.is_fetching {
            return Ok(None);
        }
        let on_disk = self.written - self.read;
        if on_disk > 0 {
            self.is_fetching = true;
            let this = this.clone();
            let done = move |result| locked(&this).fetched(result);
            let length = on_disk.min(FETCH) as usize;
            self.spill.read(self.read, length, done)?;
            return Ok(None);
        }
        if self.is_writing {
            return Ok(None);
        }
        let bytes = self.waiting.pop_front();
        self.waiting_len -= bytes.as_ref().map_or(0, Bytes::len);
        Ok(bytes)
    }

    fn is_empty(&self) -> bool {
        let is_read = self.read == self.written && !self.is_writing;
        is_read && self.waiting.is_empty() && self.fetched.is_none()
    }
}

fn locked(tee: &Mutex<Tee>) -> MutexGuard<'_, Tee> {
    tee.lock().unwrap_or_else(PoisonError::into_inner)
}
