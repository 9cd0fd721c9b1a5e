//! The keys of `[[route]]`.

use std::collections::BTreeSet;

use toml::de::DeValue;

use crate::config::raw::Section;
use crate::config::settings::{Route, Total};
use crate::config::value::{self, Judged, Wrong, span};

use super::{DAY, MS};

/// Every `[[route]]`, in the order of the file.
pub fn routes(sections: Vec<Section<'_, '_, '_>>) -> Vec<Route> {
    let mut seen = BTreeSet::new();
    let mut routes = Vec::new();
    for section in sections {
        routes.extend(route(section, &mut seen));
    }
    routes
}

/// One route, unless nobody can tell its path.
fn route(mut section: Section<'_, '_, '_>, seen: &mut BTreeSet<String>) -> Option<Route> {
    let mut it = Route::default();
    let path = section.take("path", path);
    let limit = |least, most| move |v: &DeValue<'_>| value::size(v, least, most).map(Some);
    section.set("body", &mut it.body, limit(0, 1 << 40));
    let some = |v: &DeValue<'_>| span(MS, DAY)(v).map(Some);
    section.set("first_byte", &mut it.first_byte, some);
    section.set("idle", &mut it.idle, some);
    section.set("total", &mut it.total, |v| {
        let total = value::or_off(v, span(MS, DAY))?;
        Ok(total.map_or(Total::Off, Total::Within))
    });
    section.set("stream", &mut it.stream, value::switch);
    section.set("http_version", &mut it.http2, |v| {
        value::word(v, &[("1.1", false), ("2", true)])
    });
    section.set("upgrade", &mut it.upgrade, value::switch);
    if it.http2 && !it.stream && !section.has_faults() {
        let message = "only streams are sent by HTTP/2";
        let remedy = "add stream = true, as gRPC wants it, or leave it out";
        section.complain("http_version", Wrong::new(message, remedy));
    }
    if it.total == Total::Off && !it.is_lasting() && !section.has_faults() {
        let message = "only a stream may go on without an end";
        let remedy = "name a duration, or add stream = true";
        section.complain("total", Wrong::new(message, remedy));
    }
    match &path {
        Some(path) if !seen.insert(path.clone()) => {
            let message = format!("there is a route for `{path}` already");
            section.complain("path", Wrong::new(message, "join the two"));
        }
        None if !section.says("path") => {
            let remedy = "add path = \"/api\", or the like";
            section.complain("path", Wrong::new("a route without a path", remedy));
        }
        _ => {}
    }
    section.finish();
    Some(Route { path: path?, ..it })
}

fn path(value: &DeValue<'_>) -> Judged<String> {
    const REMEDY: &str = "write it like \"/api\"; it stands for all paths below it, too";
    let said = value::text(value, REMEDY)?;
    let is_plain = said
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'*'));
    if !said.starts_with('/') || !is_plain || said.contains("//") {
        let message = format!("`{said}` is not a path that a request could ask for");
        return Err(Wrong::new(message, REMEDY));
    }
    Ok(match said.trim_end_matches('/') {
        "" => "/".to_owned(),
        path => path.to_owned(),
    })
}
