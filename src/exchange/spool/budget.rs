//! The memory that all spools share, and what each has taken of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The memory that all spools share beyond their allowances.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Purse>);

/// The budget is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent;

#[derive(Debug)]
struct Purse {
    whole: usize,
    left: AtomicUsize,
}

/// What one spool has taken; given back when it is dropped.
#[derive(Debug)]
pub struct Charge {
    budget: Budget,
    allowance: usize,
    held: usize,
    taken: usize,
}

/// The budget is taken in such pieces, so that it is not asked for every frame.
pub const QUANTUM: usize = 64 << 10;

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

    fn take(&self, bytes: usize) -> Result<(), Spent> {
        let take = |left: usize| left.checked_sub(bytes);
        let order = Ordering::Relaxed;
        match self.0.left.fetch_update(order, order, take) {
            Ok(_) => Ok(()),
            Err(_) => Err(Spent),
        }
    }

    fn give_back(&self, bytes: usize) {
        self.0.left.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Charge {
    /// Nothing is taken yet; `allowance` bytes are free.
    pub fn new(allowance: usize, budget: &Budget) -> Self {
        Self {
            budget: budget.clone(),
            allowance,
            held: 0,
            taken: 0,
        }
    }

    /// Holds so many bytes more.
    ///
    /// # Errors
    /// [`Spent`]; nothing is held more then.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Spent> {
        let wanted = (self.held + bytes).saturating_sub(self.allowance + self.taken);
        if wanted > 0 {
            let taken = wanted.next_multiple_of(QUANTUM);
            self.budget.take(taken)?;
            self.taken += taken;
        }
        self.held += bytes;
        Ok(())
    }

    /// Holds so many bytes less.
    pub fn shrink(&mut self, bytes: usize) {
        self.held = self.held.saturating_sub(bytes);
        let needed = self.held.saturating_sub(self.allowance);
        let needed = needed.next_multiple_of(QUANTUM);
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
