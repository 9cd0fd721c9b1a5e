//! A value that is replaced whole while others read it.

use std::sync::{Arc, PoisonError, RwLock};

/// The same value for all clones. A reader keeps what it took, however often it is replaced meanwhile.
#[derive(Debug)]
pub struct Published<T: ?Sized>(Arc<RwLock<Arc<T>>>);

impl<T: ?Sized> Published<T> {
    /// With this value at first.
    pub fn new(first: Arc<T>) -> Self {
        Self(Arc::new(RwLock::new(first)))
    }

    /// The value of this moment. Nobody holds it for longer than a copy of the pointer takes.
    pub fn now(&self) -> Arc<T> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// From now on it is this.
    pub fn replace(&self, next: Arc<T>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = next;
    }
}

impl<T: ?Sized> Clone for Published<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_see_the_next_value_and_who_took_the_last_one_keeps_it() {
        let one = Published::new(Arc::new(1));
        let other = one.clone();
        let taken = other.now();
        one.replace(Arc::new(2));
        assert_eq!((*taken, *other.now()), (1, 2));
    }
}
