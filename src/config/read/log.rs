//! `[log]` and `[trace]`.

use std::time::Duration;

use toml::de::DeValue;

use crate::config::raw::Section;
use crate::config::settings::{Access, Log, LogFormat, LogLevel, RequestId, Trace};
use crate::config::value::{self, Judged, Wrong, span};

const DAY: Duration = Duration::from_secs(24 * 3600);

pub(super) fn log(mut section: Section<'_, '_, '_>) -> Log {
    let mut it = Log::default();
    let formats = [
        ("auto", LogFormat::Auto),
        ("text", LogFormat::Text),
        ("json", LogFormat::Json),
        ("journal", LogFormat::Journal),
    ];
    let levels = [
        ("error", LogLevel::Error),
        ("warn", LogLevel::Warn),
        ("info", LogLevel::Info),
        ("debug", LogLevel::Debug),
    ];
    let access = [
        ("all", Access::All),
        ("errors", Access::Errors),
        ("off", Access::Off),
    ];
    section.set("format", &mut it.format, |v| value::word(v, &formats));
    section.set("level", &mut it.level, |v| value::word(v, &levels));
    section.set("access", &mut it.access, |v| value::word(v, &access));
    section.set("slow", &mut it.slow, |v| {
        value::or_off(v, span(Duration::from_millis(1), DAY))
    });
    section.set("queries", &mut it.queries, value::switch);
    section.set("origin", &mut it.origin, value::switch);
    section.set("repeats", &mut it.repeats, |v| {
        value::or_off(v, |v| times(v, 1_000_000))
    });
    section.finish();
    it
}

pub(super) fn trace(mut section: Section<'_, '_, '_>) -> Trace {
    let mut it = Trace::default();
    let sources = [
        ("take", RequestId::Take),
        ("make", RequestId::Make),
        ("off", RequestId::Off),
    ];
    section.set("request_id", &mut it.request_id, |v| {
        value::word(v, &sources)
    });
    section.set("collector", &mut it.collector, |v| {
        value::or_off(v, collector)
    });
    section.set("service", &mut it.service, service);
    section.set("one_in", &mut it.one_in, |v| times(v, 1_000_000_000));
    section.finish();
    it
}

fn times(value: &DeValue<'_>, most: u32) -> Judged<u32> {
    let times = value::number(value, 1, u64::from(most))?;
    Ok(u32::try_from(times).unwrap_or(most))
}

/// A collector's address: plain HTTP, and no path, which OTLP prescribes.
fn collector(value: &DeValue<'_>) -> Judged<String> {
    let remedy = "write it like \"http://127.0.0.1:4318\"; for a collector that wants TLS, run an agent beside Leeward";
    let text = value::text(value, remedy)?;
    let wrong = || {
        Wrong::new(
            format!("`{text}` is not the address of a collector"),
            remedy,
        )
    };
    let uri: http::Uri = text.parse().map_err(|_| wrong())?;
    let is_plain = uri.scheme_str() == Some("http") && matches!(uri.path(), "" | "/");
    let host = uri.host().filter(|host| !host.is_empty());
    let has_user = uri.authority().is_some_and(|it| it.as_str().contains('@'));
    match (is_plain && uri.query().is_none() && !has_user, host) {
        (true, Some(host)) => Ok(format!("http://{host}:{}", uri.port_u16().unwrap_or(4318))),
        _ => Err(wrong()),
    }
}

fn service(value: &DeValue<'_>) -> Judged<String> {
    let remedy = "write the name that the traces are to be found under, like \"shop\"";
    let text = value::text(value, remedy)?;
    match text.is_empty() || text.len() > 255 || text.chars().any(char::is_control) {
        true => Err(Wrong::new(
            "a name of 1 to 255 letters is wanted here",
            remedy,
        )),
        false => Ok(text),
    }
}
