//! The keys of `[origin]`.

use std::net::IpAddr;

use toml::de::DeValue;

use crate::config::raw::Section;
use crate::config::settings::{
    Manners, Origin, OriginDeadlines, OriginLimits, OriginVersion, Probe, Process, Profile, Socket,
};
use crate::config::value::{self, Judged, Wrong, bytes, count, or_auto, span};
use crate::ground::addr::OriginAddr;

use super::{DAY, MS, bundled, process};

/// `[origin]`
pub fn origin(mut section: Section<'_, '_, '_>) -> Origin {
    let mut it = Origin::default();
    let address = section.take("address", value::address);
    section.set("concurrency", &mut it.concurrency, |v| {
        or_auto(v, count(1, 10_000))
    });
    it.manners = manners(&mut section);
    section.set("streams", &mut it.streams, |v| or_auto(v, count(0, 10_000)));
    section.set("queue", &mut it.queue, count(0, 1_000_000));
    section.set("keep_alive", &mut it.keep_alive, |v| {
        value::or_off(v, span(MS, DAY))
    });
    let started = section.section("origin.process");
    let is_started = started.is_present();
    let process = process::process(started);
    let bundled = bundled::bundled(section.section("origin.bundled"));
    if is_started && bundled.is_some() {
        let message = "[origin.bundled] beside [origin.process], which is for another origin";
        let remedy = "keep one of them, and take the other out";
        section.complain("bundled", Wrong::new(message, remedy));
    }
    it.deadlines = origin_deadlines(section.section("origin.deadlines"));
    it.probe = probe(section.section("origin.probe"));
    it.limits = limits(section.section("origin.limits"));
    let is_understood = is_started == process.is_some();
    it.process = match (&address, process, bundled) {
        (_, Some(process), _) => process,
        (_, None, Some(bundled)) => Process::Bundled(bundled),
        (Some(_), None, None) => Process::Observed,
        (None, None, None) => Process::Bundled(Default::default()),
    };
    if let Some(address) = address {
        it.address = address;
    } else if is_started && is_understood && !section.says("address") {
        let (message, remedy) = match it.process.command() {
            Some(_) => (
                "a command, but no address where the origin will listen",
                "add address = \"127.0.0.1:8080\" to [origin], with the port the command listens on",
            ),
            None => (
                "an origin that somebody else starts, but no address where it listens",
                "add address = \"127.0.0.1:8080\" to [origin], with the port it listens on",
            ),
        };
        section.complain("process", Wrong::new(message, remedy));
    }
    judge_source(&section, &mut it);
    if it.address.is_open() && is_understood && section.says("address") {
        judge_open_port(&section, &it.process);
    }
    section.finish();
    it
}

/// What the profile says, and what the keys beside it say instead.
fn manners(section: &mut Section<'_, '_, '_>) -> Manners {
    let profiles = [
        ("generic", Profile::Generic),
        ("goahead", Profile::GoAhead),
        ("boa", Profile::Boa),
        ("uhttpd", Profile::Uhttpd),
        ("wsgi", Profile::Wsgi),
    ];
    let versions = [("1.0", OriginVersion::V1_0), ("1.1", OriginVersion::V1_1)];
    let profile = section.take("profile", |v| value::word(v, &profiles));
    let mut it = profile.unwrap_or(Profile::Generic).manners();
    section.set("source_address", &mut it.source, |v| {
        value::or_off(v, source)
    });
    section.set("http_version", &mut it.version, |v| {
        value::word(v, &versions)
    });
    section.set("title_case_headers", &mut it.title_case, value::switch);
    section.set("rewrite_location", &mut it.rewrite_location, value::switch);
    section.set("secure_cookies", &mut it.secure_cookies, value::switch);
    it
}

fn source(value: &DeValue<'_>) -> Judged<IpAddr> {
    let remedy = "name a loopback address, like \"127.0.0.2\"";
    let text = value::text(value, remedy)?;
    match text.parse::<IpAddr>() {
        Ok(address) if address.is_loopback() => Ok(address),
        _ => Err(Wrong::new(
            format!("`{text}` is not a loopback address"),
            remedy,
        )),
    }
}

/// An address of one family cannot connect to the other. A profile's is dropped then, one that was asked for is not.
fn judge_source(section: &Section<'_, '_, '_>, origin: &mut Origin) {
    let fits = match (&origin.address, origin.manners.source) {
        (OriginAddr::Tcp(addr), Some(source)) => addr.is_ipv4() == source.is_ipv4(),
        (OriginAddr::Unix(_), Some(_)) => false,
        (_, None) => true,
    };
    if fits {
        return;
    }
    origin.manners.source = None;
    if section.says("source_address") {
        section.complain(
            "source_address",
            Wrong::new(
                "not of the same kind as origin.address",
                "name an IPv4 address for an IPv4 origin, an IPv6 address for an IPv6 origin, or \"off\"",
            ),
        );
    }
}

/// Port 0 needs somebody to be told which one was chosen.
fn judge_open_port(section: &Section<'_, '_, '_>, process: &Process) {
    let remedy = match (process, process.command()) {
        (Process::Bundled(_), _) => return,
        (_, None) => "name the port on which the origin listens",
        (_, Some(command)) => {
            if command.socket != Socket::Own {
                return;
            }
            let mut told = command.arguments.iter().chain(command.environment.values());
            if told.any(|text| text.contains("{port}") || text.contains("{address}")) {
                return;
            }
            "put {port} or {address} into origin.process.command, name the port, or set origin.process.socket"
        }
    };
    let message = "port 0 chooses a free port, but the origin is not told which";
    section.complain("address", Wrong::new(message, remedy));
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
    section.set("http_version", &mut it.http2, |v| {
        value::word(v, &[("1.1", false), ("2", true)])
    });
    section.set("every", &mut it.every, span(50 * MS, DAY));
    section.set("suspect_every", &mut it.suspect_every, span(50 * MS, DAY));
    section.set("timeout", &mut it.timeout, span(50 * MS, DAY));
    section.finish();
    it
}

fn limits(mut section: Section<'_, '_, '_>) -> OriginLimits {
    let mut it = OriginLimits::default();
    let number = |v: &DeValue<'_>| Ok(count(1, 10_000_000)(v)? as u64);
    section.set("memory", &mut it.memory, |v| {
        value::or_off(v, |v| Ok(bytes(1 << 20, 1 << 50)(v)? as u64))
    });
    section.set("descriptors", &mut it.descriptors, |v| {
        value::or_off(v, number)
    });
    section.set("close_wait", &mut it.close_wait, |v| {
        value::or_off(v, number)
    });
    section.finish();
    it
}

/// A list of texts, the program first.
pub(super) fn texts(value: &DeValue<'_>) -> Judged<Vec<String>> {
    match value.as_array() {
        Some(many) => many.iter().map(quoted).collect(),
        None => Err(Wrong::kind(
            value,
            "a list of texts",
            "write it like [\"program\", \"argument\"]; there is no shell in between",
        )),
    }
}

pub(super) fn quoted(value: &toml::Spanned<DeValue<'_>>) -> Judged<String> {
    value::part(value, |v| value::text(v, "put it into double quotes"))
}
