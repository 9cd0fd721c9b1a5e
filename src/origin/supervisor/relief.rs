//! The standby relieves the one that serves: one that is condemned is frozen first, with its evidence on the disk, and
//! ended when the requests go to the other; one that is well works off what it has.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::Supervisor;
use super::standby::{Frozen, Retiring, There};
use crate::ground::deadline;
use crate::origin::course::Milestone;
use crate::origin::evidence::aside;
use crate::origin::forensics::{descendants, is_stopped};
use crate::origin::herald::Herald;
use crate::origin::lifecycle::{Event, Phase};
use crate::origin::pid::Pid;
use crate::origin::process::Process;
use crate::origin::stop::Ladder;
use crate::origin::verdict::Verdict;
use crate::origin::will::Reply;
use crate::origin::{Ending, orphans, told};

/// What becomes of a condemned generation once a standby is at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is frozen, and killed when it has been relieved.
    Killed,
    /// It is frozen, and kept for a debugger.
    Kept,
}

/// The name under which a frozen generation is let go; no request is called so.
pub(super) const FROZEN: &str = "frozen";
/// For all of its threads to stop; a signal takes microseconds to get there.
const STOPPING: Duration = Duration::from_millis(100);

impl Supervisor {
    /// Whether a standby can take over.
    pub(super) fn has_spare(&self) -> bool {
        self.standby.as_ref().is_some_and(|it| it.is_proven())
    }

    /// What becomes of one that is condemned by this, if it need not be ended before another can serve. For a core, it must wake.
    pub(super) fn fate(&self, verdict: Verdict) -> Option<Fate> {
        let was_ready = self.current.as_ref().is_some_and(|it| it.open.is_some());
        let is_there = !matches!(verdict, Verdict::Exited) && !verdict.is_renewal();
        let wakes = self.watch.settings.restart.core || self.is_final();
        if !was_ready || !is_there || wakes || !self.has_spare() {
            return None;
        }
        let keep = self.standby.as_ref().and_then(|it| it.keep());
        Some(keep.map_or(Fate::Killed, |_| Fate::Kept))
    }

    /// Freezes the condemned and sets it aside. `None`: something of it may run on, so it must be ended first.
    pub(super) async fn set_aside(&mut self) -> Option<Event> {
        let current = self.current.as_ref()?;
        if !is_frozen(&current.process, self.watch.board.view.generation).await {
            tracing::warn!(
                "the origin cannot be frozen; it is ended before its standby takes over"
            );
            return None;
        }
        let current = self.current.take()?;
        let pid = current.process.pid();
        let standby = self.standby.as_mut()?;
        let kept = match standby.keep() {
            Some(keep) => format!("kept so for {keep:?} at the most"),
            None => "ended once its standby had taken over".to_owned(),
        };
        let view = &mut self.watch.board.view;
        standby.frozen = Some(Frozen {
            process: current.process,
            number: view.generation,
            address: view.address.clone(),
            until: None,
        });
        view.forget_process();
        self.notes(Milestone::Frozen, None);
        self.close_story(&format!("was frozen, and {kept}"), None)
            .await;
        tracing::info!(
            pid = pid.map(Pid::number),
            "the origin is frozen; its standby takes over"
        );
        Some(Event::Gone)
    }

    /// There is no other: the standby is the next generation.
    pub(super) async fn promote(&mut self) -> Option<Event> {
        let settings = self.watch.settings.clone();
        let taken = match &mut self.standby {
            Some(standby) => standby.take(&settings.origin).await,
            None => None,
        };
        let Some(there) = taken else {
            return Some(Event::SpawnFailed);
        };
        self.install(*there);
        Some(Event::Answered)
    }

    /// The standby goes on; the one that serves works off what it has. No request waits.
    pub(super) async fn swap(&mut self, verdict: Verdict) -> Option<Event> {
        let settings = self.watch.settings.clone();
        let taken = match &mut self.standby {
            Some(standby) => standby.take(&settings.origin).await,
            None => None,
        };
        let Some(there) = taken else {
            return Some(Event::Renew(verdict));
        };
        let old = self.current.take()?;
        let address = self.watch.board.view.address.clone();
        self.install(*there);
        self.admit().await;
        if let Some((_, ender)) = &old.open {
            ender.retire();
        }
        if let Some(standby) = &mut self.standby {
            standby.retiring = Some(Retiring {
                process: old.process,
                _living: old.living,
                address,
                open: old.open,
                until: deadline::now() + settings.restart.drain,
            });
        }
        *self.watch.board.view.restarts.entry(verdict).or_default() += 1;
        Some(Event::Swapped)
    }

    /// The one that retires goes.
    pub(super) async fn retire(&mut self, ladder: Ladder) {
        let Some(standby) = &mut self.standby else {
            return;
        };
        let Some(retiring) = standby.retiring.take() else {
            return;
        };
        if ladder == Ladder::Kill {
            tracing::warn!(
                "what was under way with the generation before is cut off: it had its time (restart.drain)"
            );
            // Whoever is sent again must not be worked on twice.
            retiring.process.signal(Signal::KILL).await;
        }
        if let Some((_, ender)) = retiring.open {
            ender.end(Ending {
                verdict: Some(Verdict::Requested),
                ..Ending::silent()
            });
        }
        standby.send_off(retiring.process, ladder);
    }

    /// The frozen one is ended, or kept from now on: its standby serves.
    pub(super) fn relieved(&mut self, now: Instant) {
        let Some(standby) = &mut self.standby else {
            return;
        };
        let keep = standby.keep();
        if let (Some(frozen), Some(keep)) = (&mut standby.frozen, keep) {
            frozen.until.get_or_insert(now + keep);
            let pid = frozen.process.pid().map(Pid::number);
            tracing::warn!(
                pid,
                "it is kept frozen for {keep:?}: look at it by `gdb -p {}`, let it go by `leeward release {FROZEN}`",
                pid.unwrap_or_default()
            );
            return;
        }
        self.let_go("its standby serves");
    }

    /// The frozen one is ended, if there is one.
    pub(super) fn let_go(&mut self, why: &str) {
        let Some(standby) = &mut self.standby else {
            return;
        };
        if let Some(frozen) = standby.frozen.take() {
            let pid = frozen.process.pid().map(Pid::number);
            tracing::info!(
                pid,
                generation = frozen.number,
                "the frozen origin is ended: {why}"
            );
            standby.send_off(frozen.process, Ladder::Kill);
        }
    }

    /// An operator wants it so.
    pub(super) fn release_frozen(&mut self) -> Reply {
        let is_kept = |it: &super::standby::Standby| it.frozen.is_some();
        if !self.standby.as_ref().is_some_and(is_kept) {
            return Err("no generation is kept frozen".to_owned());
        }
        self.let_go("an operator wants it so");
        Ok("the frozen generation is ended".to_owned())
    }

    /// What happens instead of a renewal, where a standby makes it possible.
    pub(super) fn renewal(&self, verdict: Verdict) -> Event {
        let is_ready = matches!(self.life.phase(), Phase::Ready { .. });
        match is_ready && !verdict.is_incident() && self.has_spare() {
            true => Event::Swap(verdict),
            false => Event::Renew(verdict),
        }
    }

    /// The standby is the current generation from now on.
    fn install(&mut self, there: There) {
        let There {
            mut current,
            number,
            address,
            ..
        } = there;
        current.senses.serves(self.watch.roster.clone());
        while self.watch.nudges.try_recv().is_ok() {}
        self.watch.herald = Herald::new();
        let view = &mut self.watch.board.view;
        view.forget_process();
        view.generation = number;
        view.started = Some(current.spawned);
        view.pid = current.process.pid();
        view.command = told(&self.watch.process, &address);
        view.address = address;
        view.judgement = None;
        tracing::info!(generation = number, pid = view.pid.map(Pid::number), address = %view.address, "the standby takes over");
        let took = format!("its standby took over, generation {number}");
        self.notes(Milestone::Started, Some(took));
        self.current = Some(current);
    }
}

/// Freezes it, and whether all of it stands still, what it let go its own way too.
async fn is_frozen(process: &Process, number: u64) -> bool {
    process.signal(Signal::STOP).await;
    let Some(pid) = process.pid() else {
        return false;
    };
    let until = Instant::now() + STOPPING;
    let look = move || {
        loop {
            if descendants(pid, until).into_iter().all(is_stopped) {
                return !orphans::has_strayed(number);
            }
            if Instant::now() >= until {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    aside(2 * STOPPING, look).await.unwrap_or(false)
}
