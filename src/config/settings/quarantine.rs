//! `[quarantine]`: requests that hang the origin again and again.

use std::time::Duration;

/// When a request is kept from the origin, and for how long.
#[derive(Debug, Clone, PartialEq)]
pub struct Quarantine {
    /// After so many hangs; `None` is never.
    pub after: Option<usize>,
    /// Within this time.
    pub within: Duration,
    /// The first time for so long; each further time twice as long, to sixteen times this.
    pub length: Duration,
}

impl Default for Quarantine {
    fn default() -> Self {
        Self {
            after: Some(3),
            within: Duration::from_secs(600),
            length: Duration::from_secs(600),
        }
    }
}
