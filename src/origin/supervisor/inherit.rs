//! From one Leeward to the next: the origin of the one before us is taken over, and ours is left to the one after us.

use super::Supervisor;
use crate::origin::legacy::Legacy;
use crate::origin::lifecycle::Event;
use crate::origin::pid::Pid;
use crate::origin::process::{Process, is_being_restarted};
use crate::origin::stop::{self, Ladder};

impl Supervisor {
    /// Takes over what the Leeward before us left, if it is what would be started now, and ends it otherwise. Whether there is
    /// a generation by that.
    pub(super) async fn inherit(&mut self, legacy: Legacy) -> bool {
        let record = legacy.record.clone();
        let address = self.watch.board.view.address.clone();
        let command = self.watch.process.command();
        let is_wanted = legacy.address(&address, command) == Some(address.clone());
        let is_logged = self.watch.settings.log.origin;
        let process = match Process::inherit(legacy, is_logged) {
            Ok(Some(process)) => process,
            Ok(None) => {
                tracing::warn!(pid = %record.pid, "the origin that the Leeward before this one left is no more");
                return false;
            }
            Err(error) => {
                tracing::error!(%error, pid = %record.pid, "the origin that the Leeward before this one left cannot be taken over");
                return false;
            }
        };
        // Whatever comes next is not counted as that one was.
        self.numbers = record.generation;
        if !is_wanted {
            tracing::warn!(pid = %record.pid, "the origin that the Leeward before this one left is not what would be started now; it is replaced");
            self.replace(process).await;
            return false;
        }
        let mut current = self.begin(process, address, self.watch.roster.clone());
        current.spawned = record.started();
        current.took = Some(record.took.unwrap_or(self.start_took));
        let view = &mut self.watch.board.view;
        view.generation = record.generation;
        view.started = Some(current.spawned);
        view.pid = Some(record.pid);
        view.concurrency = record.slots;
        view.judgement = None;
        tracing::info!(
            generation = record.generation,
            pid = %record.pid,
            "the origin of the Leeward before this one is taken over"
        );
        self.current = Some(current);
        true
    }

    /// Whether ours goes on when we end: there is a Leeward to come. Where nobody says so, there is.
    pub(super) async fn is_to_outlive_us(&self) -> bool {
        match is_being_restarted().await {
            Ok(is_restarted) => is_restarted,
            Err(why) => {
                tracing::warn!(
                    "whether Leeward is stopped or restarted is not known ({why}): the origin is kept"
                );
                true
            }
        }
    }

    /// Leaves ours to the Leeward after us.
    pub(super) fn bequeath(&mut self) -> Option<Event> {
        let current = self.current.take()?;
        let pid = current.process.pid().map(Pid::number);
        tracing::info!(pid, "the origin goes on, for the Leeward after this one");
        self.watch.board.view.forget_process();
        current.process.outlive();
        if let Some(held) = self.watch.held.take() {
            held.outlive();
        }
        Some(Event::Gone)
    }

    async fn replace(&mut self, process: Process) {
        let grace = self.watch.settings.restart.grace_drain;
        if stop::descend(&process, Ladder::Term(grace)).await {
            let (_, orphans) = process.bury().await;
            orphans.tell();
        }
    }
}
