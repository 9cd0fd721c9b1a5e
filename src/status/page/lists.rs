//! The parts of the page that are lists and tables.

use super::super::html::Html;
use super::super::snapshot::{ByWord, OriginFacts, Snapshot, SpanFacts};
use super::super::words::{bytes, counted, length, number};
use super::{plain, time};
use crate::origin::cost::Cost;
use crate::origin::incident::Summary;

/// `/incidents` for a person: all that are kept, up to a hundred.
pub(in super::super) fn incidents(all: &[Summary]) -> String {
    let body = Html::new()
        .raw("<section aria-labelledby=\"incidents\"><h1 class=\"title\" id=\"incidents\">Incidents</h1>")
        .add(rows(all))
        .raw("</section>");
    plain("Incidents", body)
}

/// The last of them, and where the others are.
pub(super) fn last(all: &[Summary], most: usize) -> Html {
    let list = rows(&all[..all.len().min(most)]);
    match all.len().saturating_sub(most) {
        0 => list,
        more => list
            .raw("<p><a href=\"/incidents\">")
            .text(&format!("{} more", number(more as u64)))
            .raw("</a></p>"),
    }
}

fn rows(list: &[Summary]) -> Html {
    if list.is_empty() {
        return Html::new().raw("<p class=\"soft\">None that is still kept.</p>");
    }
    let mut items = Html::new().raw("<ol class=\"incidents\">\n");
    for incident in list {
        items = items
            .raw("<li><a href=\"/incidents/")
            .text(&incident.id)
            .raw("\">")
            .add(time(&incident.opened))
            .raw("</a> ")
            .add(cost(incident))
            .raw("<p>")
            .text(&incident.sentence)
            .raw("</p></li>\n");
    }
    items.raw("</ol>")
}

/// The verdict, and what it cost.
pub(super) fn cost(incident: &Summary) -> Html {
    let cost = match (incident.unserved_seconds, &incident.part_of) {
        (Some(0.0), _) => "over; nobody had to wait for it".to_owned(),
        (Some(lasted), _) => {
            let requests = requests(incident);
            format!("over; nobody served for {}{requests}", length(lasted))
        }
        (None, Some(_)) => "a start that failed, in the outage before it".to_owned(),
        (None, None) => "not over yet".to_owned(),
    };
    Html::new()
        .raw("<span class=\"tag\">")
        .text(&incident.verdict)
        .raw("</span> <span class=\"soft\">")
        .text(&cost)
        .raw("</span>")
}

/// What it cost the clients, after a colon; nothing where that is not known.
fn requests(incident: &Summary) -> String {
    let told = |it: &Cost| {
        format!(
            ": {} held, {} replayed, {} continued, {} lost",
            it.held, it.replayed, it.continued, it.lost
        )
    };
    incident.requests.as_ref().map(told).unwrap_or_default()
}

/// The requests that are with the origin.
pub(super) fn visits(origin: &OriginFacts) -> Html {
    if origin.visits.is_empty() {
        return Html::new().raw("<p class=\"soft\">None at this moment.</p>");
    }
    let mut table = Html::new().raw(
        "<table class=\"visits\"><tr><th scope=\"col\">request</th><th scope=\"col\">age</th>\
         <th scope=\"col\">quiet for</th><th scope=\"col\">received</th></tr>\n",
    );
    for visit in &origin.visits {
        table = table
            .raw("<tr><td><code>")
            .text(&visit.request)
            .raw("</code></td><td>")
            .text(&length(visit.age_seconds))
            .raw("</td><td>")
            .text(&length(visit.quiet_seconds))
            .raw("</td><td>")
            .text(&bytes(visit.received_bytes))
            .raw("</td></tr>\n");
    }
    table.raw("</table>")
}

/// How long the parts of an exchange take.
pub(super) fn spans(spans: &ByWord<SpanFacts>) -> Html {
    let mut rows = Html::new();
    for (word, span) in &spans.0 {
        rows = rows.raw("<tr><td>").text(word).raw("</td>");
        for part in [
            span.p50_seconds,
            span.p90_seconds,
            span.p99_seconds,
            span.longest_seconds,
        ] {
            let told = part.map_or_else(|| "–".to_owned(), length);
            rows = rows.raw("<td>").text(&told).raw("</td>");
        }
        rows = rows.raw("</tr>\n");
    }
    rows
}

/// Each wait that has a limit, and how often that was reached.
pub(super) fn deadlines(all: &Snapshot) -> Html {
    let mut rows = Html::new();
    for it in &all.deadlines {
        let phase = format!("{}, {}", it.whose, it.phase.replace('_', " "));
        rows = rows
            .raw("<tr><td>")
            .text(&phase)
            .raw("</td><td>")
            .text(&length(it.limit_seconds))
            .raw("</td><td>")
            .text(&number(it.missed))
            .raw("</td></tr>\n");
    }
    rows
}

/// `3 connections: 1 handshake, 2 idle`.
pub(super) fn doing(open: u64, doing: &ByWord) -> String {
    let some: Vec<_> = doing
        .0
        .iter()
        .filter(|(_, amount)| *amount > 0)
        .map(|(word, amount)| match *word {
            "idle" => format!("{} idle", number(*amount)),
            word => format!("{} in a {word}", number(*amount)),
        })
        .collect();
    match some.is_empty() {
        true => counted(open, "connection"),
        false => format!("{}: {}", counted(open, "connection"), some.join(", ")),
    }
}
