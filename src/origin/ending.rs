//! How a generation ended, for those who were at work with it.

use super::roster::VisitId;
use super::verdict::Verdict;

/// The end of a generation: why, and which visits are suspected of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// What was believed of the process when it ended.
    pub verdict: Option<Verdict>,
    /// The visits during which it hung; they are not sent again.
    pub suspects: Vec<VisitId>,
}

impl Ending {
    /// Ended with nobody left to say why: at a shutdown.
    pub fn silent() -> Self {
        Self {
            verdict: None,
            suspects: Vec::new(),
        }
    }

    /// Whether this visit is suspected to have hung the origin.
    pub fn suspects(&self, visit: VisitId) -> bool {
        self.suspects.contains(&visit)
    }
}
