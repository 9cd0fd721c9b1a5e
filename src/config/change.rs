//! What a changed configuration means to a Leeward that runs: what is taken at once, and what waits. Pure.
//!
//! Each struct is taken apart by name, so that a setting nobody has thought of does not compile.

use super::Settings;
use super::settings::{Edge, EdgeLimits, Log, Origin, Process};

/// What has changed, by key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// In force from now on.
    pub live: Vec<&'static str>,
    /// In force from the next generation of the origin on.
    pub next_start: Vec<&'static str>,
    /// In force when Leeward is started anew.
    pub waits: Vec<&'static str>,
}

/// When a change of some setting comes into force.
enum When {
    Live,
    NextStart,
    Restart,
}

/// Compares field by field; a field that has to wait is given back its old value.
macro_rules! compare {
    ($changes:ident, $old:expr, $next:expr, $kind:ident { $($field:ident $key:literal $when:expr),+ $(,)? }) => {{
        let $kind { $($field),+ } = $old;
        $(
            if *$field != $next.$field {
                match $when {
                    When::Live => $changes.live.push($key),
                    When::NextStart => $changes.next_start.push($key),
                    When::Restart => {
                        $changes.waits.push($key);
                        $next.$field = $field.clone();
                    }
                }
            }
        )+
    }};
}

/// What is so from now on for a Leeward that runs by `old` and is told `next`, and what that changes. What has to wait for a
/// restart stays as it was.
pub fn taken(old: &Settings, mut next: Settings) -> (Settings, Changes) {
    use When::{Live, NextStart, Restart};
    let mut it = Changes::default();
    edge(&mut it, &old.edge, &mut next.edge);
    let command = match is_restartable(&old.origin.process, &next.origin.process) {
        true => NextStart,
        false => Restart,
    };
    compare!(it, &old.origin, next.origin, Origin {
        address "origin.address" Restart,
        concurrency "origin.concurrency" Restart,
        streams "origin.streams" Restart,
        queue "origin.queue" Live,
        // Kept connections were made by the old one.
        keep_alive "origin.keep_alive" Restart,
        manners "origin.profile and its keys" Live,
        process "origin.process" command,
        deadlines "origin.deadlines" Live,
        probe "origin.probe" Live,
        limits "origin.limits" Live,
    });
    compare!(it, &old.log, next.log, Log {
        format "log.format" Restart,
        level "log.level" Live,
        access "log.access" Live,
        slow "log.slow" Live,
        origin "log.origin" NextStart,
        repeats "log.repeats" Restart,
        queries "log.queries" Live,
    });
    let (edge, origin, log) = (next.edge.clone(), next.origin.clone(), next.log.clone());
    let settled = Settings {
        edge,
        origin,
        log,
        ..old.clone()
    };
    compare!(it, &settled, next, Settings {
        // Compared above.
        edge "edge" Live,
        origin "origin" Live,
        log "log" Live,
        spool "spool" Restart,
        routes "route" Live,
        hang "hang" Live,
        restart "restart" Live,
        standby "standby" Restart,
        quarantine "quarantine" Live,
        hold "hold" Live,
        replay "replay" Live,
        pages "pages" Live,
        incidents "incidents" Restart,
        hooks "hooks" Live,
        status "status" Restart,
        trace "trace" Restart,
    });
    (next, it)
}

fn edge(it: &mut Changes, old: &Edge, next: &mut Edge) {
    use When::{Live, Restart};
    compare!(it, &old.limits, next.limits, EdgeLimits {
        connections "edge.limits.connections" Live,
        connections_per_address "edge.limits.connections_per_address" Live,
        handshakes "edge.limits.handshakes" Restart,
        // What is set aside for clients is reckoned by these two.
        memory "edge.limits.memory" Restart,
        head "edge.limits.head" Restart,
        headers "edge.limits.headers" Live,
        uri "edge.limits.uri" Live,
        body "edge.limits.body" Live,
        streams "edge.limits.streams" Live,
        resets "edge.limits.resets" Live,
        control_frames "edge.limits.control_frames" Live,
    });
    let limits = next.limits.clone();
    let settled = Edge {
        limits,
        ..old.clone()
    };
    compare!(it, &settled, next, Edge {
        listen "edge.listen" Restart,
        redirect "edge.redirect" Restart,
        proxy_protocol "edge.proxy_protocol" Live,
        half_close "edge.half_close" Live,
        threads "edge.threads" Restart,
        tls "edge.tls" Live,
        deadlines "edge.deadlines" Live,
        limits "edge.limits" Live,
    });
}

/// Whether the next generation can be started by the other command: who starts it, and over which socket, stays.
fn is_restartable(old: &Process, next: &Process) -> bool {
    match (old, next) {
        (Process::Command(old), Process::Command(next)) => old.socket == next.socket,
        _ => false,
    }
}

impl Changes {
    /// In a sentence.
    pub fn told(&self) -> String {
        let mut parts = Vec::new();
        if !self.live.is_empty() {
            parts.push(format!("taken: {}", self.live.join(", ")));
        }
        if !self.next_start.is_empty() {
            let keys = self.next_start.join(", ");
            parts.push(format!(
                "{keys} changed: taken at the next start of the origin (`leeward restart` makes it now)"
            ));
        }
        if !self.waits.is_empty() {
            let keys = self.waits.join(", ");
            parts.push(format!(
                "{keys} changed: needs a restart of Leeward, and is as it was until then"
            ));
        }
        match parts.is_empty() {
            true => "nothing has changed in it".to_owned(),
            false => parts.join("; "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(old: &str, next: &str) -> (Settings, Changes) {
        let [old, next] = [old, next].map(|text| crate::config::parse("t", text).unwrap());
        taken(&old, next)
    }

    #[test]
    fn what_can_be_taken_is_and_what_cannot_stays_as_it_was() {
        let (now, changes) = of(
            "[edge]\nlisten = \"127.0.0.1:1\"",
            "[edge]\nlisten = \"127.0.0.1:2\"\n[edge.limits]\nhead = \"16KiB\"\nbody = \"1MiB\"\n\
             [edge.deadlines]\nhead = \"1s\"\n[log]\nlevel = \"debug\"\nformat = \"json\"\n[hold]\nrequests = 3\n\
             [incidents]\nkeep = 7",
        );
        let live = ["edge.limits.body", "edge.deadlines", "log.level", "hold"];
        assert_eq!(changes.live, live);
        let waits = ["edge.limits.head", "edge.listen", "log.format", "incidents"];
        assert_eq!(changes.waits, waits);
        let wanted = of(
            "",
            "[edge]\nlisten = \"127.0.0.1:1\"\n[edge.limits]\nbody = \"1MiB\"\n[edge.deadlines]\nhead = \"1s\"\n\
             [log]\nlevel = \"debug\"\n[hold]\nrequests = 3",
        );
        let mut wanted = wanted.0;
        wanted.edge.listen = now.edge.listen.clone();
        assert_eq!(now, wanted);
        assert_eq!(now.edge.listen[0].to_string(), "127.0.0.1:1");
        assert!(
            changes
                .told()
                .contains("edge.listen, log.format, incidents changed: needs")
        );
    }

    #[test]
    fn another_command_is_for_the_next_start_and_another_kind_of_process_is_not() {
        let origin = |process: &str| {
            format!("[origin]\naddress = \"127.0.0.1:1\"\n[origin.process]\n{process}\n")
        };
        let old = origin("command = [\"a\"]");
        let (now, changes) = of(&old, &origin("command = [\"b\"]"));
        assert_eq!(changes.next_start, ["origin.process"]);
        assert_eq!(now.origin.process.command().unwrap().program, "b");
        let (now, changes) = of(&old, &origin("unit = \"b.service\""));
        assert_eq!(changes.waits, ["origin.process"]);
        assert_eq!(now.origin.process.command().unwrap().program, "a");
    }

    #[test]
    fn the_same_changes_nothing() {
        let (_, changes) = of("[hold]\nrequests = 3", "[hold]\nrequests = 3");
        assert_eq!(changes, Changes::default());
        assert_eq!(changes.told(), "nothing has changed in it");
    }
}
