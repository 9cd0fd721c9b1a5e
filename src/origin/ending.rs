//! How a generation ended, for those who were at work with it.

use std::time::Duration;

use super::forensics::Findings;
use super::roster::{VisitId, VisitSeen};
use super::verdict::Verdict;

/// The end of a generation: why, and which visits are suspected of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// What was believed of the process when it ended.
    pub verdict: Option<Verdict>,
    /// The visits during which it hung; they are not sent again.
    pub suspects: Vec<VisitId>,
    /// The visits of which it has provably read nothing; none of them is a suspect.
    pub unread: Vec<VisitId>,
}

impl Ending {
    /// Ended by this verdict, after so long a silence. Suspected are those visits that were as quiet as the origin,
    /// unless the kernel still holds every byte of theirs unread.
    pub fn of(
        verdict: Verdict,
        visits: &[VisitSeen],
        silence: Duration,
        findings: Option<&Findings>,
    ) -> Self {
        let untouched = |visit: &VisitSeen| {
            let local = visit.local;
            findings.is_some_and(|seen| local.is_some_and(|local| seen.untouched(local)))
        };
        let suspects = visits
            .iter()
            .filter(|visit| verdict.blames_requests() && !visit.is_lasting)
            .filter(|visit| visit.quiet >= silence && !untouched(visit))
            .map(|visit| visit.id)
            .collect();
        Self {
            verdict: Some(verdict),
            suspects,
            unread: Vec::new(),
        }
    }

    /// The same, with what is proven to be unread.
    pub fn but_unread(mut self, visits: &[VisitId]) -> Self {
        self.suspects.retain(|it| !visits.contains(it));
        self.unread = visits.to_vec();
        self
    }

    /// Ended with nobody left to say why: at a shutdown.
    pub fn silent() -> Self {
        Self {
            verdict: None,
            suspects: Vec::new(),
            unread: Vec::new(),
        }
    }

    /// Whether this visit is suspected to have hung the origin.
    pub fn suspects(&self, visit: VisitId) -> bool {
        self.suspects.contains(&visit)
    }

    /// Whether the generation has provably read nothing of this visit, and never will.
    pub fn left_unread(&self, visit: VisitId) -> bool {
        self.unread.contains(&visit)
    }
}
