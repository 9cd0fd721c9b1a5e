//! What is done about an origin that fails, and what is told.

use super::{AUTO, OFF, Text, file, list, quoted, size, time};
use crate::config::settings::{
    Hang, Hold, Hook, Hooks, Incidents, Pages, Place, Quarantine, Replay, Restart, Standby, Status,
};

impl Text {
    pub(super) fn hang(&mut self, hang: &Hang) {
        let Hang { certain, silent } = hang;
        self.section("[hang]");
        self.put("certain", time(*certain));
        self.put("silent", time(*silent));
    }

    pub(super) fn restart(&mut self, restart: &Restart) {
        let Restart {
            startup,
            grace_certain,
            grace,
            grace_drain,
            leaking,
            every,
            quiet,
            drain,
            core,
            backoff,
            backoff_most,
            forget,
            degraded_after,
            degraded_within,
            degraded_every,
            degraded_watchdog,
        } = restart;
        self.section("[restart]");
        self.put("startup", time(*startup));
        self.put("grace_certain", time(*grace_certain));
        self.put("grace", time(*grace));
        self.put("grace_drain", time(*grace_drain));
        self.put("leaking", leaking);
        self.or("every", every.map(time), OFF);
        self.put("quiet", time(*quiet));
        self.put("drain", time(*drain));
        self.put("core", core);
        self.put("backoff", time(*backoff));
        self.put("backoff_most", time(*backoff_most));
        self.put("forget", time(*forget));
        self.put("degraded_after", degraded_after);
        self.put("degraded_within", time(*degraded_within));
        self.put("degraded_every", time(*degraded_every));
        self.or("degraded_watchdog", degraded_watchdog.map(time), OFF);
    }

    pub(super) fn standby(&mut self, standby: &Standby) {
        let Standby { address, keep } = standby;
        self.section("[standby]");
        self.or("address", address.as_ref().map(quoted), OFF);
        self.or("keep", keep.map(time), OFF);
    }

    pub(super) fn quarantine(&mut self, quarantine: &Quarantine) {
        let Quarantine {
            after,
            within,
            length,
        } = quarantine;
        self.section("[quarantine]");
        self.or("after", *after, OFF);
        self.put("within", time(*within));
        self.put("length", time(*length));
    }

    pub(super) fn hold(&mut self, hold: &Hold) {
        let Hold { timeout, requests } = hold;
        self.section("[hold]");
        self.put("timeout", time(*timeout));
        self.put("requests", requests);
    }

    pub(super) fn replay(&mut self, replay: Replay) {
        let Replay {
            continue_answers,
            idempotency_key,
        } = replay;
        self.section("[replay]");
        self.put("continue_answers", continue_answers);
        self.put("idempotency_key", idempotency_key);
    }

    pub(super) fn pages(&mut self, pages: &Pages) {
        let Pages {
            unavailable,
            maintenance,
            directory,
        } = pages;
        self.section("[pages]");
        self.maybe("unavailable", unavailable.as_deref().map(file));
        self.maybe("maintenance", maintenance.as_deref().map(file));
        self.maybe("directory", directory.as_deref().map(file));
    }

    pub(super) fn incidents(&mut self, incidents: &Incidents) {
        let Incidents {
            directory,
            keep,
            max_age,
        } = incidents;
        self.section("[incidents]");
        self.maybe("directory", directory.as_deref().map(file));
        self.put("keep", keep);
        self.or("max_age", max_age.map(time), OFF);
    }

    pub(super) fn hooks(&mut self, hooks: &Hooks) {
        let Hooks {
            before_kill,
            on_incident,
            on_degraded,
        } = hooks;
        let words = |hook: &Hook| (!hook.words.is_empty()).then(|| list(hook.words.iter()));
        self.section("[hooks]");
        self.maybe("before_kill", words(before_kill));
        self.put("before_kill_timeout", time(before_kill.timeout));
        self.put("before_kill_output", size(before_kill.output as u64));
        self.maybe("on_incident", words(on_incident));
        self.put("on_incident_timeout", time(on_incident.timeout));
        self.maybe("on_degraded", words(on_degraded));
        self.put("on_degraded_timeout", time(on_degraded.timeout));
    }

    pub(super) fn status(&mut self, status: &Status) {
        let Status {
            listen,
            socket,
            token_file,
        } = status;
        self.section("[status]");
        self.or("listen", listen.as_ref().map(quoted), OFF);
        let socket = match socket {
            Place::Usual => AUTO.to_owned(),
            Place::At(path) => file(path),
            Place::Nowhere => OFF.to_owned(),
        };
        self.put("socket", socket);
        self.or("token_file", token_file.as_deref().map(file), OFF);
    }
}
