//! The ladder: how a group of processes is ended, and cleared away.

use std::time::Duration;

use rustix::process::Signal;

use super::process::{Process, obituary};
use super::verdict::{Confidence, Verdict};
use crate::config::settings;
use crate::ground::deadline::Deadline;

/// How a generation is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ladder {
    /// KILL at once.
    Kill,
    /// TERM, and KILL after this long.
    Term(Duration),
}

/// After KILL, only the kernel can still hold a process.
const KILLED: Duration = Duration::from_secs(5);

/// The ladder for a verdict.
pub fn ladder(verdict: Verdict, confidence: Confidence, limits: &settings::Restart) -> Ladder {
    match (verdict, confidence) {
        // A stopped process can't act on TERM, an exited one leaves only stragglers.
        (Verdict::Stopped | Verdict::Exited, _) => Ladder::Kill,
        (Verdict::Requested, _) => Ladder::Term(limits.grace_drain),
        (_, Confidence::Conclusive) => Ladder::Term(limits.grace_certain),
        (_, Confidence::Inconclusive) => Ladder::Term(limits.grace),
    }
}

/// Goes down the ladder; `true` when the process has exited, `false` when even KILL did not end it in time.
pub async fn descend(process: &Process, ladder: Ladder) -> bool {
    if let Ladder::Term(grace) = ladder {
        process.signal(Signal::TERM);
        if Deadline::within(grace)
            .bound(process.exited())
            .await
            .is_ok()
        {
            return true;
        }
        tracing::warn!(pid = %process.pid(), "the origin did not end within {grace:?} of TERM; KILL follows");
    }
    process.signal(Signal::KILL);
    Deadline::within(KILLED)
        .bound(process.exited())
        .await
        .is_ok()
}

/// Kills what is left of the group, reaps its first process, and says how that ended.
pub fn clear(process: Process) -> String {
    // Before the reaping: until then the group's number can't be another's.
    process.signal(Signal::KILL);
    match process.reap() {
        Ok(status) => obituary(status),
        Err(error) => format!("ended, but cannot be reaped: {error}"),
    }
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
}
