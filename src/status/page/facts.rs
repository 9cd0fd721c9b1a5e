//! The facts of the page that stand in lists: a label, and a value if it is known.

use super::super::ClientTrust;
use super::super::snapshot::{
    ByWord, CertificateFacts, Kept, OriginFacts, Quarantined, Snapshot, Standby,
};
use super::super::words::{bytes, counted, grown, length, loss, moment, number, quarantined};
use super::lists::doing;
use crate::origin::Care;
use crate::origin::growth::{Grown, Holding};

/// A label and its value; what is not known is not shown.
pub(super) type Row = (&'static str, Option<String>);

/// What the operator has done, unless that is nothing.
fn stance(origin: &OriginFacts) -> Option<String> {
    let told = match origin.stance {
        "paused" => "has paused it: requests are held",
        "draining" => "takes it out of service: new requests are refused",
        "maintenance" => "works on it: requests are refused, and it is left alone",
        _ => return None,
    };
    let left = origin.stance_ends_in_seconds.map(length);
    let until = left.map_or_else(
        || "until `leeward resume`".to_owned(),
        |left| format!("for another {left}"),
    );
    Some(format!("{told} {until}"))
}

/// The origin's.
pub(super) fn of_origin(origin: &OriginFacts) -> Vec<Row> {
    let whose = match origin.care {
        Care::Owned => "Leeward's: it starts, ends and restarts it",
        Care::Tended => {
            "somebody else's: Leeward looks, and ends and restarts it by whoever starts it"
        }
        Care::Observed => "somebody else's: Leeward looks and tells",
    };
    let slots = origin.concurrency.map(|of| {
        let how = if of.measured { "measured" } else { "set" };
        let busy = of.busy.map(|busy| format!(", {busy} in use"));
        format!("{}{} ({how})", of.slots, busy.unwrap_or_default())
    });
    let probe = origin.last_probe.as_ref().map(|probe| {
        let mut told = probe.result.to_owned();
        if let (Some(status), Some(took)) = (probe.status, probe.took_seconds) {
            told = format!("{told} {status} within {}", length(took));
        }
        if let Some(reason) = &probe.reason {
            told = format!("{told} ({reason})");
        }
        format!("{told}, {} ago", length(probe.ago_seconds))
    });
    let share = |share: f64| format!("{:.0} % of one processor", share * 100.0);
    vec![
        ("address", Some(origin.address.clone())),
        ("process is", Some(whose.to_owned())),
        ("the operator", stance(origin)),
        ("command", origin.command.clone()),
        ("process", origin.pid.map(|pid| pid.to_string())),
        ("generation", Some(origin.generation.to_string())),
        ("up for", origin.uptime_seconds.map(length)),
        ("last start took", origin.start_took_seconds.map(length)),
        ("slots", slots),
        ("standby", origin.standby.as_ref().map(standby)),
        ("kept frozen", origin.frozen.as_ref().map(frozen)),
        ("last probe", probe),
        ("probes", Some(by_word(&origin.probes))),
        ("memory", held(origin, Holding::Memory, origin.memory_bytes)),
        ("processor", origin.processor_share.map(share)),
        (
            "threads",
            held(origin, Holding::Threads, origin.threads.map(u64::from)),
        ),
        (
            "descriptors",
            held(origin, Holding::Descriptors, origin.descriptors),
        ),
        (
            "in CLOSE_WAIT",
            held(origin, Holding::CloseWait, origin.close_wait),
        ),
        (
            "yet to accept",
            origin
                .accept_queue
                .map(|waiting| counted(u64::from(waiting), "connection")),
        ),
        ("restarts", Some(by_word(&origin.restarts))),
    ]
}

/// The spare generation, and how it is.
fn standby(it: &Standby) -> String {
    let mut told = it.readiness.to_owned();
    if let (Some(pid), Some(address)) = (it.pid, &it.address) {
        told = format!("{told}: process {pid} at {address}");
    }
    if let Some(up) = it.uptime_seconds {
        told = format!("{told}, up for {}", length(up));
    }
    if let Some(ago) = it.answered_ago_seconds {
        told = format!("{told}, answered {} ago", length(ago));
    }
    match &it.trouble {
        Some(trouble) => format!("{told}; {trouble}"),
        None => told,
    }
}

/// The generation that is kept for a debugger.
fn frozen(it: &Kept) -> String {
    let pid = it
        .pid
        .map_or_else(String::new, |pid| format!("process {pid}, "));
    let left = length(it.for_seconds);
    format!(
        "{pid}generation {}, for another {left}; `leeward release frozen` ends it",
        it.generation
    )
}

/// What it holds, and how that has grown where it has.
fn held(origin: &OriginFacts, holding: Holding, now: Option<u64>) -> Option<String> {
    let told = match holding {
        Holding::Memory => bytes,
        Holding::Descriptors | Holding::Threads | Holding::CloseWait => number,
    };
    let course = |it: &Grown| {
        let reached = it.reached.map(|left| left.as_secs_f64());
        grown(it.start, it.per_hour, reached, told)
    };
    let growth = origin.growth.of(holding).filter(|it| it.has_grown());
    Some(match growth.map(course) {
        Some(course) => format!("{}; {course}", told(now?)),
        None => told(now?),
    })
}

/// Those of clients.
pub(super) fn of_clients(all: &Snapshot) -> Vec<Row> {
    let connections = &all.traffic.connections;
    let open = doing(connections.open, &connections.doing);
    let listen: Vec<_> = all.listen.edge.iter().map(ToString::to_string).collect();
    let rate = all
        .traffic
        .requests_per_second
        .map(|rate| format!("{rate:.1}"));
    let mut rows = vec![
        ("connect to", Some(listen.join(", "))),
        ("open", Some(open)),
        (
            "at most",
            Some(counted(connections.limit as u64, "connection")),
        ),
        ("requests a second", rate),
        (
            "accepted",
            Some(counted(connections.accepted, "connection")),
        ),
        ("shed", Some(by_word(&connections.shed))),
        (
            "failed handshakes",
            Some(number(connections.handshakes_failed)),
        ),
        (
            "without a good certificate",
            (connections.clients_unproven > 0).then(|| number(connections.clients_unproven)),
        ),
        ("floods ended", Some(number(connections.floods_ended))),
        ("too slow", Some(by_word(&all.traffic.client_timeouts))),
    ];
    let certificates = all.certificates.iter();
    rows.extend(certificates.map(|it| ("certificate", Some(certificate(it)))));
    rows.push((
        "client certificates",
        all.client_certificates.as_ref().map(trust),
    ));
    rows
}

/// For whom it is, until when, and what is wrong with it.
fn certificate(it: &CertificateFacts) -> String {
    let names = it.names.join(", ");
    let mut told = match &it.file {
        Some(file) => format!("{names} ({file})"),
        None => format!("{names} (self-signed, and made anew at each start and before its end)"),
    };
    let left = length(it.expires_in_seconds.unsigned_abs() as f64);
    let until = moment(&it.not_after);
    told.push_str(&match it.state {
        "expired" => format!(", EXPIRED {left} ago, on {until}"),
        "not_yet" => format!(", NOT YET GOOD, before {}", moment(&it.not_before)),
        "good" => format!(", until {until}, {left} from now"),
        _ => format!(", EXPIRES in {left}, on {until}"),
    });
    match &it.fault {
        Some(fault) => format!("{told}; what is in its files now was NOT TAKEN: {fault}"),
        None => told,
    }
}

/// Whose certificates clients may show, and what is wrong with that.
fn trust(it: &ClientTrust) -> String {
    let asked = match it.required {
        true => "each client must show one",
        false => "a client may show one",
    };
    let files = std::iter::once(&it.authorities).chain(&it.lists);
    let files: Vec<_> = files.map(String::as_str).collect();
    let told = format!("{asked}, judged by {}", files.join(", "));
    match &it.fault {
        Some(fault) => format!("{told}; what is in these files now was NOT TAKEN: {fault}"),
        None => told,
    }
}

/// Those of requests and their answers.
pub(super) fn of_traffic(all: &Snapshot) -> Vec<Row> {
    let traffic = &all.traffic;
    let spool = format!(
        "{} of {} in memory, {} on disk",
        bytes(all.spool.used_bytes as u64),
        bytes(all.spool.budget_bytes as u64),
        bytes(all.spool.disk_bytes)
    );
    let reserved = bytes(all.memory.reserved_bytes);
    let promised = "what clients could come to need, not what they use";
    let memory = match all.memory.limit_bytes {
        Some(limit) => format!("{reserved} of {}: {promised}", bytes(limit)),
        None => format!("{reserved}, without a limit: {promised}"),
    };
    let moved: Vec<_> = traffic
        .bytes
        .0
        .iter()
        .map(|(direction, amount)| format!("{} {}", bytes(*amount), direction.replace('_', " ")))
        .collect();
    vec![
        ("exchanges", Some(number(traffic.exchanges.begun))),
        ("held in all", Some(number(traffic.exchanges.held))),
        ("answers", Some(by_word(&traffic.answered))),
        ("made by Leeward", Some(number(traffic.answered_by_edge))),
        ("lost", Some(by_word_as(&traffic.lost, loss))),
        ("in quarantine", quarantine(&all.quarantine)),
        ("origin too slow", Some(by_word(&traffic.origin_timeouts))),
        ("body bytes", Some(moved.join(", "))),
        ("bodies at rest", Some(spool)),
        ("memory promised", Some(memory)),
    ]
}

fn quarantine(all: &[Quarantined]) -> Option<String> {
    let told = all
        .iter()
        .map(|it| quarantined(&it.request, it.hangs as u64, it.ends_in_seconds));
    (!all.is_empty()).then(|| told.collect::<Vec<_>>().join("; "))
}

/// Those that are not 0, or `none`.
fn by_word(values: &ByWord) -> String {
    by_word_as(values, |word| word)
}

/// The same, each word said as `told` has it.
fn by_word_as(values: &ByWord, told: fn(&str) -> &str) -> String {
    let some: Vec<_> = values
        .0
        .iter()
        .filter(|(_, amount)| *amount > 0)
        .map(|(word, amount)| format!("{} {}", number(*amount), told(word).replace('_', " ")))
        .collect();
    match some.is_empty() {
        true => "none".to_owned(),
        false => some.join(", "),
    }
}
