//! The ladder: how the process of the origin is ended.

use std::time::Duration;

use rustix::process::Signal;

use super::pid::Pid;
use super::process::Process;
use super::verdict::{Confidence, Verdict};
use crate::config::fixed::KILLED;
use crate::config::settings;
use crate::ground::deadline::Deadline;

/// How a generation is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ladder {
    /// KILL at once.
    Kill,
    /// TERM, and KILL after this long.
    Term(Duration),
    /// ABRT, for a core, and KILL after this long.
    Abort(Duration),
}

/// The ladder for a verdict.
pub fn ladder(verdict: Verdict, confidence: Confidence, limits: &settings::Restart) -> Ladder {
    match (verdict, confidence) {
        // A stopped process can't act on TERM, an exited one leaves only stragglers.
        (Verdict::Stopped | Verdict::Exited, _) => Ladder::Kill,
        (verdict, _) if verdict.is_renewal() => Ladder::Term(limits.grace_drain),
        // A core takes its time to write, and KILL would cut it off.
        _ if limits.core => Ladder::Abort(limits.grace),
        (_, Confidence::Conclusive) => Ladder::Term(limits.grace_certain),
        (_, Confidence::Inconclusive) => Ladder::Term(limits.grace),
    }
}

/// Goes down the ladder, a command of the operator's first; `true` when the process has exited, `false` when even KILL
/// did not end it in time, or it is out of reach.
pub async fn descend(process: &Process, ladder: Ladder) -> bool {
    if process.is_ended_by_hook(ladder).await {
        return true;
    }
    let asked = match ladder {
        Ladder::Kill => None,
        Ladder::Term(grace) => Some((Signal::TERM, "TERM", grace)),
        Ladder::Abort(grace) => Some((Signal::ABORT, "ABRT", grace)),
    };
    if let Some((signal, name, grace)) = asked {
        process.signal(signal).await;
        if process.out_of_reach().is_some() {
            return false;
        }
        // Whoever is frozen hears of it only then.
        process.signal(Signal::CONT).await;
        if Deadline::within(grace)
            .bound(process.exited())
            .await
            .is_ok()
        {
            return true;
        }
        tracing::warn!(
            pid = process.pid().map(Pid::number),
            "the origin did not end within {grace:?} of {name}; KILL follows"
        );
    }
    process.signal(Signal::KILL).await;
    if process.out_of_reach().is_some() {
        return false;
    }
    Deadline::within(KILLED)
        .bound(process.exited())
        .await
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_surer_the_shorter_the_grace() {
        let limits = settings::Restart::default();
        let of = |verdict, confidence| ladder(verdict, confidence, &limits);
        let conclusive = Confidence::Conclusive;
        assert_eq!(of(Verdict::Stopped, conclusive), Ladder::Kill);
        assert_eq!(
            of(Verdict::NotListening, conclusive),
            Ladder::Term(limits.grace_certain)
        );
        assert_eq!(
            of(Verdict::HungBlocked, Confidence::Inconclusive),
            Ladder::Term(limits.grace)
        );
        assert_eq!(
            of(Verdict::Requested, conclusive),
            Ladder::Term(limits.grace_drain)
        );
    }

    #[test]
    fn a_core_is_asked_of_the_condemned_alone() {
        let limits = settings::Restart {
            core: true,
            ..settings::Restart::default()
        };
        let of = |verdict| ladder(verdict, Confidence::Conclusive, &limits);
        assert_eq!(of(Verdict::HungSpinning), Ladder::Abort(limits.grace));
        assert_eq!(of(Verdict::Requested), Ladder::Term(limits.grace_drain));
        assert_eq!(of(Verdict::Stopped), Ladder::Kill);
    }
}
