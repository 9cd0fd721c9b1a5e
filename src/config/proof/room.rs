//! Memory and disk.

use super::{Amount, Bound, Part};
use crate::config::fixed::{MANY, ON_THE_WAY, SENDING, WINDOW};
use crate::config::settings::Settings;

/// Bytes of an incident of a thousand threads, the most that one tells of, beside what a hook said; usually it is some tens
/// of KiB.
const INCIDENT: u64 = 4 << 20;

/// What clients may take of memory, and what there is on the disk.
pub(super) fn all(settings: &Settings) -> Vec<Bound> {
    vec![
        Bound {
            name: "memory",
            told: "memory, beside some MiB for the program itself",
            parts: memory(settings),
        },
        Bound {
            name: "disk",
            told: "disk, beside the log; none of it is memory",
            parts: disk(settings),
        },
    ]
}

fn memory(settings: &Settings) -> Vec<Part> {
    let limit = settings.edge.limits.memory;
    let mut parts = vec![Part {
        amount: limit.map_or(Amount::Endless, |limit| Amount::Bytes(limit as u64)),
        key: "edge.limits.memory",
        what: "connections, requests under way, bodies that fit",
    }];
    let streams = streams(settings) as u64;
    if streams > 0 {
        parts.push(Part {
            amount: Amount::Bytes(streams * WINDOW as u64),
            key: "origin.streams",
            what: "what is on its way in streams, 256 KiB each",
        });
    }
    if let Some(most) = requests(settings).filter(|_| settings.spool.disk > 0) {
        parts.push(Part {
            amount: Amount::Bytes(most * ON_THE_WAY as u64),
            key: "",
            what: "buffers of bodies on their way to the disk and from it, 640 KiB for each request there is room for, if all of them outgrow memory at once; none with spool.disk = \"off\"",
        });
    }
    parts
}

/// Requests that may be under way at once, as far as memory goes.
pub fn requests(settings: &Settings) -> Option<u64> {
    let (limits, spool) = (&settings.edge.limits, &settings.spool);
    let each = SENDING + limits.head + 2 * spool.exchange;
    let left = limits.memory?.saturating_sub(spool.memory);
    Some((left / each) as u64)
}

/// Streams and tunnels that may be open at once.
pub(super) fn streams(settings: &Settings) -> usize {
    let slots = settings.origin.concurrency.unwrap_or(MANY);
    settings.origin.streams.unwrap_or(match slots {
        1 => 0,
        many => many / 2,
    })
}

fn disk(settings: &Settings) -> Vec<Part> {
    let keep = settings.incidents.keep as u64;
    let hook = &settings.hooks.before_kill;
    let said = if hook.words.is_empty() {
        0
    } else {
        hook.output as u64
    };
    vec![
        Part {
            amount: Amount::Bytes(settings.spool.disk),
            key: "spool.disk",
            what: "bodies that do not fit into memory; no file of it is left behind",
        },
        Part {
            // One more is a draft. A short line of output takes eight times its bytes in JSON.
            amount: Amount::Bytes((keep + 1) * (INCIDENT + 8 * said)),
            key: "incidents.keep",
            what: "incidents of 4 MiB; a usual one has some tens of KiB",
        },
    ]
}
