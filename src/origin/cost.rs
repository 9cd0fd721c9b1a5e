//! What an incident cost the clients, read from the ledger before and after.

use serde::{Deserialize, Serialize};

use crate::ground::ledger::{Count, Ledger, Loss};

/// Requests, counted by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// They waited for the next generation.
    pub held: u64,
    /// They were sent a second time.
    pub replayed: u64,
    /// Those of them whose answer was cut in the middle, and continued.
    #[serde(default)]
    pub continued: u64,
    /// They got no good answer, for the origin's sake.
    pub lost: u64,
}

impl Cost {
    /// Of everything that has happened so far.
    pub fn so_far(ledger: &Ledger) -> Self {
        let by_us = |loss: &&Loss| !matches!(loss, Loss::Closed | Loss::Quarantined);
        let reasons = Loss::ALL.iter().filter(by_us);
        let lost = reasons.map(|loss| ledger.sum(Count::Lost(*loss)));
        Self {
            held: ledger.sum(Count::ExchangesHeld),
            replayed: ledger.sum(Count::ExchangesReplayed),
            continued: ledger.sum(Count::ExchangesContinued),
            lost: lost.sum(),
        }
    }

    /// Of what has happened since `before`.
    pub fn since(self, before: Self) -> Self {
        Self {
            held: self.held.saturating_sub(before.held),
            replayed: self.replayed.saturating_sub(before.replayed),
            continued: self.continued.saturating_sub(before.continued),
            lost: self.lost.saturating_sub(before.lost),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_is_what_was_added_meanwhile_for_whatever_reason() {
        let ledger = Ledger::default();
        let (one, other) = (ledger.open(), ledger.open());
        one.count(Count::ExchangesHeld);
        let before = Cost::so_far(&ledger);
        other.add(Count::ExchangesHeld, 3);
        one.add(Count::ExchangesReplayed, 2);
        one.count(Count::ExchangesContinued);
        for loss in Loss::ALL {
            other.count(Count::Lost(loss));
        }
        let cost = Cost::so_far(&ledger).since(before);
        // What the operator or the quarantine refused is no incident's cost.
        let lost = Loss::ALL.len() as u64 - 2;
        let told = (cost.held, cost.replayed, cost.continued, cost.lost);
        assert_eq!(told, (3, 2, 1, lost));
    }
}
