//! What is done when restarting does not help: somebody is told, and at last the service manager.

use std::time::Instant;

use super::Supervisor;
use crate::ground::systemd::Notifier;
use crate::origin::hook::Occasion;
use crate::origin::plight::News;

impl Supervisor {
    /// When that is to be looked at again, if nothing happens before. While the origin is let be, it is nobody's fault
    /// that it does not serve.
    pub(super) fn plight_due(&self) -> Option<Instant> {
        let due = self.watch.plight.due(&self.watch.settings.restart);
        let stands = self.watch.board.view.stance;
        // One that is ready is looked at anyhow, and one whose time is over and that serves must not be a spinning loop.
        due.filter(|_| self.current.is_none() && !stands.lets_be())
    }

    /// Says at the start what is rare enough to be forgotten, and may end more than this program.
    pub(super) fn announce(&self) {
        let Some(limit) = self.watch.settings.restart.degraded_watchdog else {
            return;
        };
        match Notifier::is_heard() {
            true => tracing::warn!(
                "should restarting not help for {limit:?} (restart.degraded_watchdog), the service manager is told \
                 WATCHDOG=trigger"
            ),
            false => tracing::warn!(
                "restart.degraded_watchdog is set, and there is no service manager to be told: NOTIFY_SOCKET is not set"
            ),
        }
    }

    /// Tells whoever is to be told.
    pub(super) fn weigh(&mut self, now: Instant) {
        if self.watch.board.view.stance.lets_be() {
            return;
        }
        if self
            .current
            .as_ref()
            .is_some_and(|it| it.process.was_stopped())
        {
            // Nothing that is to be started anew would help: somebody wants it so.
            self.watch.plight.rests(now);
            return;
        }
        let restart = &self.watch.settings.restart;
        let Some(news) = self.watch.plight.judge(&self.life, restart, now) else {
            return;
        };
        match news {
            News::Degraded => {
                let (after, within) = (restart.degraded_after, restart.degraded_within);
                let each = restart.degraded_every;
                let mut told = format!(
                    "restarting does not help: {after} restarts within {within:?}; it is tried again each {each:?}"
                );
                if let Some(trouble) = &self.watch.board.view.trouble {
                    told = format!("{told}; {trouble}");
                }
                tracing::error!("{told}");
                self.call("degraded", &told);
            }
            News::Recovered { after } => {
                let told = format!(
                    "it has served for {:?} again, {:.0} s after restarting was said not to help",
                    restart.degraded_every,
                    after.as_secs_f64()
                );
                tracing::warn!("{told}");
                self.call("recovered", &told);
            }
            News::BeyondHelp => {
                let limit = restart.degraded_watchdog.unwrap_or_default();
                match Notifier::is_heard() {
                    true => tracing::error!(
                        "restarting has not helped for {limit:?} (restart.degraded_watchdog): the service manager is \
                         told WATCHDOG=trigger, and does with us and this machine what the unit says"
                    ),
                    false => tracing::error!(
                        "restarting has not helped for {limit:?} (restart.degraded_watchdog), but there is no service \
                         manager to be told: NOTIFY_SOCKET is not set"
                    ),
                }
                Notifier::from_environment().trigger();
            }
        }
    }

    /// Runs `hooks.on_degraded`.
    fn call(&self, step: &'static str, told: &str) {
        let Some(queue) = &self.watch.called else {
            return;
        };
        let view = &self.watch.board.view;
        let journal = self.watch.journal.as_ref();
        let last = view.incidents.first();
        let file = last
            .filter(|last| last.is_on_disk)
            .zip(journal)
            .map(|(last, journal)| journal.directory().join(format!("{}.json", last.id)));
        let pid = view.pid.map(|pid| pid.to_string()).unwrap_or_default();
        queue.put(Occasion::beside(last, file.as_deref(), &pid, (step, told)));
    }
}
