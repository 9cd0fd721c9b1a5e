//! Names every key, its bounds and its place in the settings.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use super::fault::Faults;
use super::raw::{Reading, Section};
use super::settings::{
    Command, Edge, EdgeDeadlines, EdgeLimits, Hang, Hold, Identity, Incidents, Keep, Log,
    LogFormat, LogLevel, Origin, OriginDeadlines, Probe, Process, Restart, Settings, Spool, Status,
    Tls, TlsVersion,
};
use super::value::{self, Judged, Wrong};
use crate::ground::addr::EdgeAddr;

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
    let settings = Settings {
        edge: edge(root.section("edge")),
        spool: spool(root.section("spool")),
        origin: origin(root.section("origin")),
        hang: hang(root.section("hang")),
        restart: restart(root.section("restart")),
        hold: hold(root.section("hold")),
        incidents: incidents(root.section("incidents")),
        status: status(root.section("status")),
        log: log(root.section("log")),
    };
    root.finish();
    settings
}

fn edge(mut section: Section<'_, '_, '_>) -> Edge {
    let mut edge = Edge::default();
    section.set("listen", &mut edge.listen, listen);
    section.set("threads", &mut edge.threads, |v| {
        or_auto(v, |v| Ok(value::number(v, 1, 64)? as usize))
    });
    edge.tls = tls(section.section("edge.tls"));
    edge.deadlines = edge_deadlines(section.section("edge.deadlines"));
    edge.limits = edge_limits(section.section("edge.limits"));
    section.finish();
    edge
}

fn tls(mut section: Section<'_, '_, '_>) -> Tls {
    let certificate = section.take("certificate", path("/etc/leeward/tls/chain.pem"));
    let key = section.take("key", path("/etc/leeward/tls/key.pem"));
    let mut tls = Tls::default();
    let versions = [("1.2", TlsVersion::V1_2), ("1.3", TlsVersion::V1_3)];
    section.set("min_version", &mut tls.oldest, |v| {
        value::word(v, &versions)
    });
    match (certificate, key) {
        (Some(certificate), Some(key)) => tls.identity = Identity::Files { certificate, key },
        (Some(_), None) if !section.says("key") => section.complain(
            "certificate",
            Wrong::new(
                "a certificate without its key",
                "add key = \"/etc/leeward/tls/key.pem\" beside it",
            ),
        ),
        (None, Some(_)) if !section.says("certificate") => section.complain(
            "key",
            Wrong::new(
                "a key without its certificate",
                "add certificate = \"/etc/leeward/tls/chain.pem\" beside it",
            ),
        ),
        _ => {}
    }
    section.finish();
    tls
}

fn edge_deadlines(mut section: Section<'_, '_, '_>) -> EdgeDeadlines {
    let mut it = EdgeDeadlines::default();
    section.set("handshake", &mut it.handshake, span(100 * MS, DAY));
    section.set("head", &mut it.head, span(100 * MS, DAY));
    section.set("body_stall", &mut it.body_stall, span(100 * MS, DAY));
    section.set("body_pace", &mut it.body_pace, |v| {
        value::or_off(v, value::pace)
    });
    section.set(
        "response_stall",
        &mut it.response_stall,
        span(100 * MS, DAY),
    );
    section.set("response_pace", &mut it.response_pace, |v| {
        value::or_off(v, value::pace)
    });
    section.set("keep_alive", &mut it.keep_alive, span(100 * MS, DAY));
    section.set("drain", &mut it.drain, span(MS, DAY));
    section.finish();
    it
}

fn edge_limits(mut section: Section<'_, '_, '_>) -> EdgeLimits {
    let mut it = EdgeLimits::default();
    section.set("connections", &mut it.connections, count(1, 1_000_000));
    section.set(
        "connections_per_address",
        &mut it.connections_per_address,
        |v| value::or_off(v, count(1, 1_000_000)),
    );
    section.set("headers", &mut it.headers, count(8, 1000));
    section.set("head", &mut it.head, bytes(8 << 10, MIB));
    section.set("uri", &mut it.uri, bytes(256, 64 << 10));
    section.set("body", &mut it.body, |v| value::size(v, 0, 1 << 40));
    section.set("streams", &mut it.streams, |v| {
        Ok(value::number(v, 1, 10_000)? as u32)
    });
    section.finish();
    it
}

fn spool(mut section: Section<'_, '_, '_>) -> Spool {
    let mut it = Spool::default();
    section.set("exchange", &mut it.exchange, bytes(4 << 10, 16 * MIB));
    section.set("memory", &mut it.memory, bytes(MIB, 1 << 40));
    section.finish();
    it
}

fn origin(mut section: Section<'_, '_, '_>) -> Origin {
    let mut it = Origin::default();
    let address = section.take("address", value::address);
    section.set("concurrency", &mut it.concurrency, |v| {
        or_auto(v, count(1, 10_000))
    });
    section.set("queue", &mut it.queue, count(0, 1_000_000));
    let started = section.section("origin.process");
    let is_started = started.is_present();
    let command = process(started);
    it.deadlines = origin_deadlines(section.section("origin.deadlines"));
    it.probe = probe(section.section("origin.probe"));
    it.process = match (&address, command) {
        (_, Some(command)) => Process::Command(command),
        (Some(_), None) => Process::Observed,
        (None, None) => Process::Bundled,
    };
    if let Some(address) = address {
        it.address = address;
    } else if matches!(it.process, Process::Command(_)) && !section.says("address") {
        section.complain(
            "process",
            Wrong::new(
                "a command, but no address where the origin will listen",
                "add address = \"127.0.0.1:8080\" to [origin], with the port the command listens on",
            ),
        );
    }
    let is_understood = is_started == matches!(it.process, Process::Command(_));
    if it.address.is_open() && is_understood && section.says("address") {
        judge_open_port(&section, &it.process);
    }
    section.finish();
    it
}

/// Port 0 needs somebody to be told which one was chosen.
fn judge_open_port(section: &Section<'_, '_, '_>, process: &Process) {
    let remedy = match process {
        Process::Bundled => return,
        Process::Observed => "name the port on which the origin listens",
        Process::Command(command) => {
            let mut told = command.arguments.iter().chain(command.environment.values());
            if told.any(|text| text.contains("{port}") || text.contains("{address}")) {
                return;
            }
            "put {port} or {address} into origin.process.command, or name the port"
        }
    };
    let message = "port 0 chooses a free port, but the origin is not told which";
    section.complain("address", Wrong::new(message, remedy));
}

fn process(mut section: Section<'_, '_, '_>) -> Option<Command> {
    let command = section.take("command", |v| {
        let words = texts(v)?;
        match words.split_first() {
            Some((program, arguments)) if !program.is_empty() => {
                Ok((program.clone(), arguments.to_vec()))
            }
            _ => Err(Wrong::new(
                "the command is empty",
                "write it like [\"goahead\", \"--home\", \"/etc/goahead\"]",
            )),
        }
    });
    let directory = section.take("directory", path("/var/lib/origin"));
    let environment = section.take("environment", table_of_texts);
    if section.is_present() && !section.says("command") {
        section.complain(
            "command",
            Wrong::new(
                "[origin.process] without a command",
                "add command = [\"program\", \"argument\"], or take the section out",
            ),
        );
    }
    section.finish();
    let (program, arguments) = command?;
    Some(Command {
        program,
        arguments,
        directory,
        environment: environment.unwrap_or_default(),
    })
}

fn origin_deadlines(mut section: Section<'_, '_, '_>) -> OriginDeadlines {
    let mut it = OriginDeadlines::default();
    section.set("queue", &mut it.queue, span(MS, DAY));
    section.set("connect", &mut it.connect, span(MS, DAY));
    section.set("first_byte", &mut it.first_byte, span(MS, DAY));
    section.set("idle", &mut it.idle, span(MS, DAY));
    section.set("total", &mut it.total, span(MS, DAY));
    section.finish();
    it
}

fn probe(mut section: Section<'_, '_, '_>) -> Probe {
    let mut it = Probe::default();
    section.set("path", &mut it.path, |v| {
        let path = value::text(v, "write it like \"/health\"")?;
        let good = path.starts_with('/') && path.parse::<http::Uri>().is_ok();
        let wrong = || Wrong::new(format!("`{path}` is not a path"), "begin it with a slash");
        good.then(|| path.clone()).ok_or_else(wrong)
    });
    section.set("host", &mut it.host, |v| {
        let remedy = "write it like \"example.org\" or \"example.org:8080\"";
        let host = value::text(v, remedy)?;
        let wrong = |_| Wrong::new(format!("`{host}` is not a host"), remedy);
        host.parse::<http::uri::Authority>().map_err(wrong)?;
        Ok(Some(host))
    });
    section.set("every", &mut it.every, span(50 * MS, DAY));
    section.set("suspect_every", &mut it.suspect_every, span(50 * MS, DAY));
    section.set("timeout", &mut it.timeout, span(50 * MS, DAY));
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

fn restart(mut section: Section<'_, '_, '_>) -> Restart {
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

fn hold(mut section: Section<'_, '_, '_>) -> Hold {
    let mut it = Hold::default();
    section.set("timeout", &mut it.timeout, span(Duration::ZERO, DAY));
    section.set("requests", &mut it.requests, count(0, 1_000_000));
    section.finish();
    it
}

fn incidents(mut section: Section<'_, '_, '_>) -> Incidents {
    let mut it = Incidents::default();
    section.set("directory", &mut it.directory, |v| {
        path("/var/lib/leeward/incidents")(v).map(Some)
    });
    section.set("keep", &mut it.keep, |v| Ok(Keep(count(1, 100_000)(v)?)));
    section.finish();
    it
}

fn status(mut section: Section<'_, '_, '_>) -> Status {
    let mut it = Status::default();
    section.set("listen", &mut it.listen, |v| {
        value::or_off(v, value::address)
    });
    section.finish();
    it
}

fn log(mut section: Section<'_, '_, '_>) -> Log {
    let mut it = Log::default();
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let levels = [
        ("error", LogLevel::Error),
        ("warn", LogLevel::Warn),
        ("info", LogLevel::Info),
        ("debug", LogLevel::Debug),
    ];
    section.set("format", &mut it.format, |v| value::word(v, &formats));
    section.set("level", &mut it.level, |v| value::word(v, &levels));
    section.set("access", &mut it.access, value::switch);
    section.finish();
    it
}

fn span(least: Duration, most: Duration) -> impl Fn(&DeValue<'_>) -> Judged<Duration> {
    move |value| value::duration(value, least, most)
}

fn count(least: u64, most: u64) -> impl Fn(&DeValue<'_>) -> Judged<usize> {
    move |value| Ok(value::number(value, least, most)? as usize)
}

fn bytes(least: u64, most: u64) -> impl Fn(&DeValue<'_>) -> Judged<usize> {
    move |value| Ok(value::size(value, least, most)? as usize)
}

fn or_auto<T>(
    value: &DeValue<'_>,
    parse: impl FnOnce(&DeValue<'_>) -> Judged<T>,
) -> Judged<Option<T>> {
    match value.as_str() {
        Some("auto") => Ok(None),
        Some(other) => Err(Wrong::new(
            format!("`{other}` is not known here"),
            "write \"auto\", or a whole number without quotes",
        )),
        None => parse(value).map(Some).map_err(|wrong| Wrong {
            remedy: format!("{}, or \"auto\"", wrong.remedy),
            ..wrong
        }),
    }
}

fn path(example: &str) -> impl Fn(&DeValue<'_>) -> Judged<PathBuf> {
    move |value| {
        let remedy = format!("write it like \"{example}\"");
        let text = value::text(value, &remedy)?;
        match text.is_empty() {
            true => Err(Wrong::new("the path is empty", remedy)),
            false => Ok(PathBuf::from(text)),
        }
    }
}

fn listen(value: &DeValue<'_>) -> Judged<Vec<EdgeAddr>> {
    match value.as_array() {
        None => Ok(vec![value::address(value)?]),
        Some(many) if many.is_empty() => Err(Wrong::new(
            "nowhere to listen",
            "name one address at least, like \"0.0.0.0:443\"",
        )),
        Some(many) => many
            .iter()
            .map(|one| value::part(one, value::address))
            .collect(),
    }
}

fn texts(value: &DeValue<'_>) -> Judged<Vec<String>> {
    match value.as_array() {
        Some(many) => many.iter().map(quoted).collect(),
        None => Err(Wrong::kind(
            value,
            "a list of texts",
            "write it like [\"program\", \"argument\"]; there is no shell in between",
        )),
    }
}

fn table_of_texts(value: &DeValue<'_>) -> Judged<BTreeMap<String, String>> {
    let Some(table) = value.as_table() else {
        let remedy = "write it like { NAME = \"value\" }";
        return Err(Wrong::kind(value, "a table of texts", remedy));
    };
    let pair = |(key, text): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
        let key: &std::borrow::Cow<'_, str> = key.get_ref();
        Ok((key.to_string(), quoted(text)?))
    };
    table.iter().map(pair).collect()
}

fn quoted(value: &toml::Spanned<DeValue<'_>>) -> Judged<String> {
    value::part(value, |v| value::text(v, "put it into double quotes"))
}
