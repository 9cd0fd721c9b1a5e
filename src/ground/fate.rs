//! What the edge did to a request's client before its answer was out, told to whoever keeps the request's record.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::failure::Phase;

/// Shared by the edge, which decides it, and the exchange, which tells it. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Fate(Arc<AtomicU8>);

impl Fate {
    /// The client missed its deadline at this phase, and was cut off for it.
    pub fn missed(&self, phase: Phase) {
        let index = Phase::ALL.iter().position(|other| *other == phase);
        let mark = index.and_then(|index| u8::try_from(index + 1).ok());
        self.0.store(mark.unwrap_or(0), Ordering::Relaxed);
    }

    /// The phase at which it was cut off, if it was.
    pub fn phase(&self) -> Option<Phase> {
        let mark = usize::from(self.0.load(Ordering::Relaxed));
        Phase::ALL.get(mark.checked_sub(1)?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fate_is_told_to_all_who_share_it() {
        let fate = Fate::default();
        let shared = fate.clone();
        assert_eq!(shared.phase(), None);
        for phase in Phase::ALL {
            fate.missed(phase);
            assert_eq!(shared.phase(), Some(phase));
        }
    }
}
