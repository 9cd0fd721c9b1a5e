//! The keys of `[edge]`.

use toml::de::DeValue;

use crate::config::raw::Section;
use crate::config::settings::{Edge, EdgeDeadlines, EdgeLimits, Spool};
use crate::config::value::{self, Judged, Wrong, bytes, count, or_auto, span};
use crate::ground::addr::{EdgeAddr, Net};

use super::{DAY, MIB, MS, tls};

/// Memory for connections and requests, beside `spool.memory`: the least,
const LEAST: usize = 16 << 20;
/// and what there is unless it is set.
const BESIDE: usize = (1 << 30) - (64 << 20);

/// `[edge]`
pub fn edge(mut section: Section<'_, '_, '_>, spool: &Spool) -> Edge {
    let mut edge = Edge::default();
    section.set("listen", &mut edge.listen, listen);
    section.set("redirect", &mut edge.redirect, |v| {
        Ok(value::or_off(v, listen)?.unwrap_or_default())
    });
    section.set("proxy_protocol", &mut edge.proxy_protocol, |v| {
        Ok(value::or_off(v, nets)?.unwrap_or_default())
    });
    section.set("half_close", &mut edge.half_close, value::switch);
    section.set("threads", &mut edge.threads, |v| {
        or_auto(v, |v| Ok(value::number(v, 1, 64)? as usize))
    });
    edge.tls = tls::tls(section.section("edge.tls"));
    edge.deadlines = edge_deadlines(section.section("edge.deadlines"));
    edge.limits = edge_limits(section.section("edge.limits"), spool);
    section.finish();
    edge
}

fn edge_deadlines(mut section: Section<'_, '_, '_>) -> EdgeDeadlines {
    let mut it = EdgeDeadlines::default();
    section.set("handshake", &mut it.handshake, span(100 * MS, DAY));
    section.set("head", &mut it.head, span(100 * MS, DAY));
    section.set("body_stall", &mut it.body_stall, span(100 * MS, DAY));
    section.set("body_pace", &mut it.body_pace, |v| {
        value::or_off(v, value::pace)
    });
    section.set("body_total", &mut it.body_total, |v| {
        value::or_off(v, span(100 * MS, DAY))
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
    section.set("half_close", &mut it.half_close, span(100 * MS, DAY));
    section.set("age", &mut it.age, |v| {
        value::or_off(v, span(100 * MS, 365 * DAY))
    });
    section.set("drain", &mut it.drain, span(MS, DAY));
    section.finish();
    it
}

fn edge_limits(mut section: Section<'_, '_, '_>, spool: &Spool) -> EdgeLimits {
    let mut it = EdgeLimits::default();
    section.set("connections", &mut it.connections, count(1, 1_000_000));
    section.set(
        "connections_per_address",
        &mut it.connections_per_address,
        |v| value::or_off(v, count(1, 1_000_000)),
    );
    section.set("handshakes", &mut it.handshakes, |v| {
        value::or_off(v, count(1, 1_000_000))
    });
    section.set("memory", &mut it.memory, |v| {
        value::or_off(v, bytes(16 * MIB, 1 << 44))
    });
    section.set("headers", &mut it.headers, count(8, 1000));
    section.set("head", &mut it.head, bytes(8 << 10, MIB));
    section.set("uri", &mut it.uri, bytes(256, 64 << 10));
    section.set("body", &mut it.body, |v| value::size(v, 0, 1 << 40));
    section.set("streams", &mut it.streams, number(1, 10_000));
    section.set("resets", &mut it.resets, number(1, 1_000_000));
    section.set(
        "control_frames",
        &mut it.control_frames,
        number(10, 1_000_000),
    );
    let least = spool.memory.saturating_add(LEAST);
    if !section.says("memory") {
        it.memory = Some(spool.memory.saturating_add(BESIDE));
    } else if it.memory.is_some_and(|memory| memory < least) && !section.has_faults() {
        let least = value::told(least as u64);
        section.complain(
            "memory",
            Wrong::new(
                "too little: `spool.memory` is a part of it, and connections and requests need 16 MiB beside it",
                format!("raise it to {least} or more, or lower `spool.memory`"),
            ),
        );
    }
    section.finish();
    it
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

fn nets(value: &DeValue<'_>) -> Judged<Vec<Net>> {
    match value.as_array() {
        None => Ok(vec![value::address(value)?]),
        Some(many) => many
            .iter()
            .map(|one| value::part(one, value::address))
            .collect(),
    }
}

fn number(least: u64, most: u64) -> impl Fn(&DeValue<'_>) -> Judged<u32> {
    move |value| Ok(value::number(value, least, most)? as u32)
}
