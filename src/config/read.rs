//! Names every key, its bounds and its place in the settings.

mod bundled;
mod edge;
mod hooks;
mod log;
mod origin;
mod process;
mod route;
mod standby;
mod tls;

use std::time::Duration;

use toml::de::DeValue;

use super::fault::Faults;
use super::raw::{Reading, Section};
use super::settings::{
    Hang, Hold, Incidents, Pages, Place, Quarantine, Replay, Restart, Settings, Spool, Status,
};
use super::value::{self, Wrong, bytes, count, path, span};

const MS: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(24 * 3600);
const MIB: u64 = 1 << 20;

/// All settings of `text`, or all its faults.
pub fn settings(file: &str, text: &str) -> Result<Settings, Faults> {
    let reading = Reading::new(file, text);
    let document = reading.parse();
    let settings = document
        .as_ref()
        .map(|document| whole(reading.root(document.get_ref())));
    reading.finish(settings)
}

fn whole(mut root: Section<'_, '_, '_>) -> Settings {
    let edge = root.section("edge");
    let spool = spool(root.section("spool"));
    let origin = root.section("origin");
    let is_ours = ["process", "bundled"]
        .into_iter()
        .any(|key| origin.says(key));
    let is_observed = origin.says("address") && !is_ours;
    let origin = origin::origin(origin);
    let settings = Settings {
        edge: edge::edge(edge, &spool),
        spool,
        standby: standby::standby(root.section("standby"), &origin),
        origin,
        routes: route::routes(root.sections("route")),
        hang: hang(root.section("hang")),
        restart: restart(root.section("restart"), is_observed),
        quarantine: quarantine(root.section("quarantine")),
        hold: hold(root.section("hold")),
        replay: replay(root.section("replay")),
        pages: pages(root.section("pages")),
        incidents: incidents(root.section("incidents")),
        hooks: hooks::hooks(root.section("hooks"), is_observed),
        status: status(root.section("status")),
        log: log::log(root.section("log")),
        trace: log::trace(root.section("trace")),
    };
    root.finish();
    settings
}

fn spool(mut section: Section<'_, '_, '_>) -> Spool {
    let mut it = Spool::default();
    section.set("exchange", &mut it.exchange, bytes(4 << 10, 16 * MIB));
    section.set("memory", &mut it.memory, bytes(MIB, 1 << 40));
    let directory = path("/var/cache/leeward/spool");
    section.set("directory", &mut it.directory, |v| Ok(Some(directory(v)?)));
    section.set("file", &mut it.file, |v| value::size(v, MIB, 1 << 44));
    section.set("disk", &mut it.disk, |v| {
        let size = value::or_off(v, |v| value::size(v, MIB, 1 << 44))?;
        Ok(size.unwrap_or(0))
    });
    section.set("floor", &mut it.floor, |v| value::size(v, 0, 1 << 44));
    section.finish();
    it
}

fn hang(mut section: Section<'_, '_, '_>) -> Hang {
    let mut it = Hang::default();
    section.set("certain", &mut it.certain, span(200 * MS, DAY));
    section.set("silent", &mut it.silent, span(500 * MS, DAY));
    in_order(&section, ("certain", it.certain), ("silent", it.silent));
    section.finish();
    it
}

fn restart(mut section: Section<'_, '_, '_>, observed: bool) -> Restart {
    let mut it = Restart::default();
    section.set("startup", &mut it.startup, span(100 * MS, DAY));
    section.set(
        "grace_certain",
        &mut it.grace_certain,
        span(Duration::ZERO, DAY),
    );
    section.set("grace", &mut it.grace, span(Duration::ZERO, DAY));
    section.set(
        "grace_drain",
        &mut it.grace_drain,
        span(Duration::ZERO, DAY),
    );
    section.set("leaking", &mut it.leaking, value::switch);
    section.set("every", &mut it.every, |v| {
        value::or_off(v, span(Duration::from_secs(1), 365 * DAY))
    });
    section.set("quiet", &mut it.quiet, span(Duration::ZERO, DAY));
    section.set("drain", &mut it.drain, span(Duration::ZERO, DAY));
    section.set("core", &mut it.core, value::switch);
    section.set("backoff", &mut it.backoff, span(10 * MS, DAY));
    section.set("backoff_most", &mut it.backoff_most, span(10 * MS, DAY));
    section.set("forget", &mut it.forget, span(MS, 365 * DAY));
    section.set("degraded_after", &mut it.degraded_after, count(1, 1000));
    section.set(
        "degraded_within",
        &mut it.degraded_within,
        span(MS, 365 * DAY),
    );
    section.set("degraded_every", &mut it.degraded_every, span(10 * MS, DAY));
    section.set("degraded_watchdog", &mut it.degraded_watchdog, |v| {
        value::or_off(v, span(Duration::from_secs(1), 30 * DAY))
    });
    if observed && it.degraded_watchdog.is_some() && !section.has_faults() {
        section.complain(
            "degraded_watchdog",
            Wrong::new(
                "without [origin.process] Leeward restarts nothing, so that it would never act",
                "add [origin.process], or let whoever starts the origin ask /livez",
            ),
        );
    }
    let most = ("backoff_most", it.backoff_most);
    in_order(&section, ("backoff", it.backoff), most);
    section.finish();
    it
}

/// Complains where the file says it, when what must be the longer one of two is the shorter.
fn in_order(
    section: &Section<'_, '_, '_>,
    (short, short_is): (&str, Duration),
    (long, long_is): (&str, Duration),
) {
    if long_is >= short_is || section.has_faults() {
        return;
    }
    let [least, found] = [short_is, long_is].map(value::told_duration);
    let (key, message, remedy) = match section.says(long) {
        true => (
            long,
            format!("{found} is shorter than `{short}`, which is {least}"),
            format!("raise it to {least} or more, or lower `{short}`"),
        ),
        false => (
            short,
            format!("{least} is longer than `{long}`, which is {found} unless it is set"),
            format!("lower it to {found} or less, or set `{long}` as well"),
        ),
    };
    section.complain(key, Wrong::new(message, remedy));
}

fn quarantine(mut section: Section<'_, '_, '_>) -> Quarantine {
    let mut it = Quarantine::default();
    section.set("after", &mut it.after, |v| value::or_off(v, count(1, 100)));
    section.set("within", &mut it.within, span(Duration::from_secs(1), DAY));
    section.set("length", &mut it.length, span(Duration::from_secs(1), DAY));
    section.finish();
    it
}

fn hold(mut section: Section<'_, '_, '_>) -> Hold {
    let mut it = Hold::default();
    section.set("timeout", &mut it.timeout, span(Duration::ZERO, DAY));
    section.set("requests", &mut it.requests, count(0, 1_000_000));
    section.finish();
    it
}

fn replay(mut section: Section<'_, '_, '_>) -> Replay {
    let mut it = Replay::default();
    section.set("continue_answers", &mut it.continue_answers, value::switch);
    section.set("idempotency_key", &mut it.idempotency_key, value::switch);
    section.finish();
    it
}

fn pages(mut section: Section<'_, '_, '_>) -> Pages {
    let mut it = Pages::default();
    let sorry = |v: &DeValue<'_>| path("/etc/leeward/sorry.html")(v).map(Some);
    section.set("unavailable", &mut it.unavailable, sorry);
    section.set("maintenance", &mut it.maintenance, sorry);
    section.set("directory", &mut it.directory, |v| {
        path("/etc/leeward/pages")(v).map(Some)
    });
    section.finish();
    it
}

fn incidents(mut section: Section<'_, '_, '_>) -> Incidents {
    let mut it = Incidents::default();
    section.set("directory", &mut it.directory, |v| {
        path("/var/lib/leeward/incidents")(v).map(Some)
    });
    section.set("keep", &mut it.keep, count(1, 100_000));
    section.set("max_age", &mut it.max_age, |v| {
        value::or_off(v, span(Duration::from_secs(3600), 3650 * DAY))
    });
    section.finish();
    it
}

fn status(mut section: Section<'_, '_, '_>) -> Status {
    let mut it = Status::default();
    section.set("listen", &mut it.listen, |v| {
        value::or_off(v, value::address)
    });
    section.set("socket", &mut it.socket, |v| match v.as_str() {
        Some("auto") => Ok(Place::Usual),
        _ => {
            let at = value::or_off(v, path("/run/leeward/leeward.sock"));
            at.map(|at| at.map_or(Place::Nowhere, Place::At))
        }
    });
    section.set("token_file", &mut it.token_file, |v| {
        value::or_off(v, path("/etc/leeward/token"))
    });
    section.finish();
    it
}
