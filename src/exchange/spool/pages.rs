//! Bytes in memory, first in first out. Small frames are copied together: kept as they came, each would pin the
//! whole buffer it was read into (200-byte frames cost 22 times their size, measured).

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::budget::{Budget, Charge, Spent};

/// A body, or the part of one that is in memory.
#[derive(Debug)]
pub struct Pages {
    done: VecDeque<Bytes>,
    tail: BytesMut,
    charge: Charge,
}

/// Frames smaller than this are copied.
pub const SMALL: usize = 8 << 10;
/// Into pages of this size.
pub const PAGE: usize = 16 << 10;

impl Pages {
    /// Empty, with `allowance` bytes that cost the budget nothing.
    pub fn new(allowance: usize, budget: &Budget) -> Self {
        Self {
            done: VecDeque::new(),
            tail: BytesMut::new(),
            charge: Charge::new(allowance, budget),
        }
    }

    /// Adds bytes at the end.
    ///
    /// # Errors
    /// [`Spent`]; nothing was added then.
    pub fn push(&mut self, bytes: &Bytes) -> Result<(), Spent> {
        if bytes.is_empty() {
            return Ok(());
        }
        if bytes.len() < SMALL {
            return self.copy(bytes);
        }
        self.charge.grow(bytes.len())?;
        self.close_page();
        self.done.push_back(bytes.clone());
        Ok(())
    }

    /// Takes the first bytes out.
    pub fn pop(&mut self) -> Option<Bytes> {
        if self.done.is_empty() {
            self.close_page();
        }
        let page = self.done.pop_front()?;
        self.charge.shrink(page.len());
        Some(page)
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.done.is_empty() && self.tail.is_empty()
    }

    /// Its piece number `index`, from 0 on. The last page must have been closed.
    pub fn piece(&self, index: usize) -> Option<Bytes> {
        self.done.get(index).cloned()
    }

    /// Puts what is in the last page behind the others; what room is left in it stays in use.
    pub fn close_page(&mut self) {
        if !self.tail.is_empty() {
            self.done.push_back(self.tail.split().freeze());
        }
    }

    fn copy(&mut self, mut bytes: &[u8]) -> Result<(), Spent> {
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
}
