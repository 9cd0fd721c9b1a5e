//! The spool: where a body rests between two parties, so that neither waits for the other.
//!
//! Bodies rest in memory: each under an allowance of its own, then under a budget all share. What does not
//! fit is refused with a word; nobody is ever slowed down to make it fit.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};

use crate::ground::failure::Failure;

/// The memory that all spools share beyond their allowances.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Purse>);

/// The budget is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full {
    /// What there is in all, in bytes.
    pub budget: usize,
}

/// A body being collected by one owner.
#[derive(Debug)]
pub struct Pages {
    done: VecDeque<Bytes>,
    tail: BytesMut,
    len: u64,
    charge: Charge,
}

/// The filling end of a body that is read while it still grows. Dropping it unfinished cuts the body off.
#[derive(Debug)]
pub struct SpoolWriter(Arc<Mutex<Tee>>);

/// The emptying end. Dropping it lets the writer go on into nothing.
#[derive(Debug)]
pub struct SpoolReader(Arc<Mutex<Tee>>);

#[derive(Debug)]
struct Purse {
    whole: usize,
    left: AtomicUsize,
}

/// What one spool has taken; given back when it is dropped.
#[derive(Debug)]
struct Charge {
    budget: Budget,
    allowance: usize,
    held: usize,
    taken: usize,
}

#[derive(Debug)]
struct Tee {
    pages: Pages,
    end: Option<Result<(), Failure>>,
    reader: Option<Waker>,
    is_read: bool,
}

/// The budget is taken in such pieces, so that it is not asked for every frame.
const QUANTUM: usize = 64 << 10;
/// Frames smaller than this are copied: kept as they are, each would pin the whole buffer it was read into.
const SMALL: usize = 8 << 10;
/// Small frames are copied into pages of this size.
const PAGE: usize = 16 << 10;

impl Budget {
    /// A budget of so many bytes.
    pub fn new(bytes: usize) -> Self {
        let left = AtomicUsize::new(bytes);
        Self(Arc::new(Purse { whole: bytes, left }))
    }

    /// What is taken of it now, in bytes.
    pub fn used(&self) -> usize {
        self.0.whole - self.0.left.load(Ordering::Relaxed)
    }

    /// What there is in all, in bytes.
    pub fn whole(&self) -> usize {
        self.0.whole
    }

    fn take(&self, bytes: usize) -> Result<(), Full> {
        let take = |left: usize| left.checked_sub(bytes);
        let order = Ordering::Relaxed;
        match self.0.left.fetch_update(order, order, take) {
            Ok(_) => Ok(()),
            Err(_) => Err(Full {
                budget: self.0.whole,
            }),
        }
    }

    fn give_back(&self, bytes: usize) {
        self.0.left.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Pages {
    /// An empty body with `allowance` bytes of its own.
    pub fn new(allowance: usize, budget: &Budget) -> Self {
        Self {
            done: VecDeque::new(),
            tail: BytesMut::new(),
            len: 0,
            charge: Charge {
                budget: budget.clone(),
                allowance,
                held: 0,
                taken: 0,
            },
        }
    }

    /// Adds bytes at the end.
    ///
    /// # Errors
    /// [`Full`]; the body is as it was before.
    pub fn push(&mut self, bytes: Bytes) -> Result<(), Full> {
        if bytes.is_empty() {
            return Ok(());
        }
        let added = bytes.len() as u64;
        if bytes.len() >= SMALL {
            self.charge.grow(bytes.len())?;
            self.close_page();
            self.done.push_back(bytes);
        } else {
            self.copy(&bytes)?;
        }
        self.len += added;
        Ok(())
    }

    /// Bytes put in so far, those taken out again included.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// The whole body, for reading again and again; the charge stays for as long as it lives.
    pub fn into_whole(mut self) -> Whole {
        self.close_page();
        Whole(Arc::new(self))
    }

    fn copy(&mut self, mut bytes: &[u8]) -> Result<(), Full> {
        let room = self.tail.capacity() - self.tail.len();
        if bytes.len() > room {
            self.charge.grow(PAGE)?;
            let (fits, rest) = bytes.split_at(room);
            self.tail.extend_from_slice(fits);
            bytes = rest;
            self.close_page();
            self.tail = BytesMut::with_capacity(PAGE);
        }
        self.tail.extend_from_slice(bytes);
        Ok(())
    }

    /// Puts what is in the last page behind the others; what room is left in it stays in use.
    fn close_page(&mut self) {
        if !self.tail.is_empty() {
            self.done.push_back(self.tail.split().freeze());
        }
    }

    /// The first page, given up by this body.
    fn pop(&mut self) -> Option<Bytes> {
        if self.done.is_empty() {
            self.close_page();
        }
        let page = self.done.pop_front()?;
        self.charge.shrink(page.len());
        Some(page)
    }
}

/// A whole body that can be read more than once.
#[derive(Debug, Clone)]
pub struct Whole(Arc<Pages>);

impl Whole {
    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        self.0.len
    }

    /// Its piece number `index`, from 0 on.
    pub fn piece(&self, index: usize) -> Option<Bytes> {
        self.0.done.get(index).cloned()
    }
}

/// A body that is read while it grows.
pub fn tee(allowance: usize, budget: &Budget) -> (SpoolWriter, SpoolReader) {
    let tee = Arc::new(Mutex::new(Tee {
        pages: Pages::new(allowance, budget),
        end: None,
        reader: None,
        is_read: true,
    }));
    (SpoolWriter(tee.clone()), SpoolReader(tee))
}

impl SpoolWriter {
    /// Adds bytes. Where nobody reads any more they are forgotten at once.
    ///
    /// # Errors
    /// [`Full`].
    pub fn push(&self, bytes: Bytes) -> Result<(), Full> {
        let mut tee = locked(&self.0);
        if !tee.is_read {
            tee.pages.len += bytes.len() as u64;
            return Ok(());
        }
        tee.pages.push(bytes)?;
        tee.wake();
        Ok(())
    }

    /// Bytes put in so far.
    pub fn len(&self) -> u64 {
        locked(&self.0).pages.len
    }

    /// The body is whole, or cut off by `failure`. Only the first end counts.
    pub fn end(&self, end: Result<(), Failure>) {
        let mut tee = locked(&self.0);
        tee.end.get_or_insert(end);
        tee.wake();
    }
}

impl Drop for SpoolWriter {
    fn drop(&mut self) {
        use crate::ground::failure::{Cause, Phase};
        self.end(Err(Failure::origin(Phase::Answer, Cause::Truncated)));
    }
}

impl SpoolReader {
    /// The next bytes, `None` at the end of a whole body, or what cut it off.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        let mut tee = locked(&self.0);
        if let Some(bytes) = tee.pages.pop() {
            return Poll::Ready(Some(Ok(bytes)));
        }
        match &tee.end {
            Some(Ok(())) => Poll::Ready(None),
            Some(Err(failure)) => Poll::Ready(Some(Err(failure.clone()))),
            None => {
                tee.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// The length of the body, once it is whole.
    pub fn whole_len(&self) -> Option<u64> {
        let tee = locked(&self.0);
        matches!(tee.end, Some(Ok(()))).then_some(tee.pages.len)
    }

    /// Whether everything was taken and nothing more will come.
    pub fn is_done(&self) -> bool {
        let tee = locked(&self.0);
        let empty = tee.pages.done.is_empty() && tee.pages.tail.is_empty();
        empty && matches!(tee.end, Some(Ok(())))
    }
}

impl Drop for SpoolReader {
    fn drop(&mut self) {
        let mut tee = locked(&self.0);
        tee.is_read = false;
        let (allowance, budget) = (tee.pages.charge.allowance, tee.pages.charge.budget.clone());
        let len = tee.pages.len;
        tee.pages = Pages::new(allowance, &budget);
        tee.pages.len = len;
    }
}

impl Tee {
    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

impl Charge {
    fn grow(&mut self, bytes: usize) -> Result<(), Full> {
        let wanted = (self.held + bytes).saturating_sub(self.allowance + self.taken);
        if wanted > 0 {
            let taken = wanted.next_multiple_of(QUANTUM);
            self.budget.take(taken)?;
            self.taken += taken;
        }
        self.held += bytes;
        Ok(())
    }

    fn shrink(&mut self, bytes: usize) {
        self.held = self.held.saturating_sub(bytes);
        let needed = self
            .held
            .saturating_sub(self.allowance)
            .next_multiple_of(QUANTUM);
        if needed < self.taken {
            self.budget.give_back(self.taken - needed);
            self.taken = needed;
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.give_back(self.taken);
    }
}

fn locked(tee: &Mutex<Tee>) -> MutexGuard<'_, Tee> {
    tee.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "spool_tests.rs"]
mod tests;
