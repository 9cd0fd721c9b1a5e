//! How long a client waits, the longest first, as `exchange/hold`, `exchange/errand` and `exchange/forward` let it.

use super::{Bound, Part, fixed, set};
use crate::config::fixed::{COMMIT_AFTER, NOTICING};
use crate::config::settings::Settings;

/// While the origin is replaced, while it is well, and how much of an outage that covers.
pub(super) fn all(settings: &Settings) -> Vec<Bound> {
    let deadlines = &settings.origin.deadlines;
    let queue = ("origin.deadlines.queue", deadlines.queue);
    let hold = ("hold.timeout", settings.hold.timeout);
    // Who is held waits for the longer of the two, all holds and turns together.
    let patience = if hold.1 > queue.1 { hold } else { queue };
    let mut well = vec![set(queue.0, queue.1, "until it is its turn")];
    well.extend(visit(settings));
    if is_kept(settings) {
        // The origin may close a kept connection at the last moment; then it is sent once more.
        well.extend(visit(settings));
    }
    well.extend(shown(settings));
    let what = "held, and until it is its turn";
    let mut replaced = vec![set(patience.0, patience.1, what)];
    replaced.extend(visit(settings));
    if is_kept(settings) {
        replaced.extend(visit(settings));
    }
    replaced.push(fixed(NOTICING, "until an end is heard of"));
    replaced.extend(shown(settings));
    let held = vec![set(patience.0, patience.1, "then it is answered 503")];
    vec![
        Bound {
            name: "longest",
            told: "at the longest, whatever happens: the origin is replaced meanwhile, and the request sent again",
            parts: replaced,
        },
        Bound {
            name: "well",
            told: "while the origin is well, and busy",
            parts: well,
        },
        Bound {
            name: "hold",
            told: "of an outage that lasts longer: for so long a request is held for the next origin",
            parts: held,
        },
    ]
}

fn visit(settings: &Settings) -> [Part; 2] {
    let deadlines = &settings.origin.deadlines;
    let (length, key) = super::slowest(settings);
    [
        set("origin.deadlines.connect", deadlines.connect, "connecting"),
        set(key, length, "to the head of the answer"),
    ]
}

fn shown(settings: &Settings) -> [Part; 2] {
    let idle = settings.origin.deadlines.idle;
    [
        set(
            "origin.deadlines.idle",
            idle,
            "to the first byte of its body",
        ),
        fixed(
            COMMIT_AFTER,
            "an answer is shown this long after that at the latest",
        ),
    ]
}

/// Whether connections to the origin are kept for the next request.
fn is_kept(settings: &Settings) -> bool {
    settings.origin.keep_alive.is_some() && settings.origin.concurrency != Some(1)
}
