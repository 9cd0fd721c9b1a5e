//! `/`: the snapshot as a page that a person reads at three in the morning. It is whole without a script; with one, the
//! pieces that changed are sent after it.

mod chart;
mod day;
mod facts;
mod incident;
mod lists;
mod mood;

use facts::Row;
use mood::Mood;

use std::time::Instant;

use super::history::Point;
use super::html::{Html, fill};
use super::snapshot::{OriginFacts, Snapshot};
use super::words::{about, length, moment, number};
use crate::origin::incident::Summary;
use crate::origin::verdict::Confidence;
use day::Day;

pub(super) use incident::{Neighbours, render as story};
pub(super) use lists::incidents as shelf;

/// The policy of all pages: nothing is loaded and nothing runs but their own style, script and icon, and the script may
/// ask nobody but us.
pub(super) const POLICY: &str = "default-src 'none'; \
    style-src 'sha256-DmRf2Ms/pJEFogwUfxkh3+c9Ju+7Q/kI+DQrrFRQUAs='; \
    script-src 'sha256-Lx/kV9tj6IFR9xEqXcFrMkpFduqwAWOeftNAM09yHqg='; \
    connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const TEMPLATE: &str = include_str!("page.html");
const PLAIN: &str = include_str!("plain.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Incidents that are listed on the page; the rest is at `/incidents`.
const LISTED: usize = 20;

/// A piece of the page that changes: its name in the template, and what stands there.
pub(super) type Piece = (&'static str, String);

/// The whole page. `hour` are the points of the last hour, as of `now`.
pub(super) fn render(all: &Snapshot, hour: &[Point], now: Instant) -> String {
    let pieces = pieces(all, hour, now);
    let slot = |name: &str| match name {
        "style" => Html::new().raw(STYLE),
        "script" => Html::new().raw(SCRIPT),
        _ => {
            let piece = pieces.iter().find(|(piece, _)| *piece == name);
            Html::new().drawn(piece.map_or("", |(_, html)| html))
        }
    };
    fill(TEMPLATE, slot).into_string()
}

/// All pieces that change.
pub(super) fn pieces(all: &Snapshot, hour: &[Point], now: Instant) -> Vec<Piece> {
    let origin = &all.origin;
    let mood = Mood::of(origin.state);
    let day = Day::of(&all.incidents, &all.taken_at, all.uptime_seconds);
    let title = format!("{} – Leeward", capital(origin.state.word()));
    [
        ("title", text(&title)),
        ("mood", Html::new().raw(mood.class())),
        ("head", head(all)),
        ("state", state(origin, mood).add(configuration(all))),
        ("day", day.map_or_else(Html::new, |day| told(&day))),
        ("latest", latest(all.incidents.first())),
        ("figures", figures(all)),
        ("hour", chart::both(hour, now, all.uptime_seconds)),
        ("visits", lists::visits(origin)),
        ("origin", list(&facts::of_origin(origin))),
        ("clients", list(&facts::of_clients(all))),
        ("traffic", list(&facts::of_traffic(all))),
        ("spans", lists::spans(&all.traffic.spans)),
        ("deadlines", lists::deadlines(all)),
        ("incidents", lists::last(&all.incidents, LISTED)),
    ]
    .map(|(name, html)| (name, html.into_string()))
    .to_vec()
}

/// A page that stands still, with this title and body.
fn plain(title: &str, body: Html) -> String {
    let body = body.into_string();
    let slot = |name: &str| match name {
        "style" => Html::new().raw(STYLE),
        "title" => text(title),
        "body" => Html::new().drawn(&body),
        _ => Html::new(),
    };
    fill(PLAIN, slot).into_string()
}

fn head(all: &Snapshot) -> Html {
    Html::new()
        .raw("version ")
        .text(all.version)
        .raw(", up ")
        .text(&length(all.uptime_seconds))
        .raw(", ")
        .add(time(&all.taken_at))
}

fn told(day: &Day<'_>) -> Html {
    Html::new()
        .raw("<p class=\"lead\">")
        .text(&day.sentence())
        .raw("</p>")
        .add(day.line())
}

fn state(origin: &OriginFacts, mood: Mood) -> Html {
    let meaning = about(
        origin.state,
        origin.care,
        Some(origin.requests),
        origin.opens_in_seconds,
    );
    let state = mood
        .sign()
        .raw("<div class=\"about\"><h1 id=\"word\">")
        .text(&capital(origin.state.word()))
        .raw("</h1><p class=\"soft\">for ")
        .text(&length(origin.for_seconds))
        .raw(", since ")
        .add(time(&origin.since))
        .raw("</p><p class=\"lead\">")
        .text(&meaning)
        .raw("</p>");
    let state = match &origin.trouble {
        Some(said) => state.raw("<p class=\"trouble\">").text(said).raw("</p>"),
        None => state,
    };
    state.raw("</div>").add(seen(origin))
}

/// What became of the configuration that is on the disk, where that is not what runs.
fn configuration(all: &Snapshot) -> Html {
    let it = &all.configuration;
    let mut told = Html::new();
    if let Some(fault) = &it.fault {
        told = told
            .raw("<p class=\"trouble\">The configuration on disk is faulty and was not taken; what runs was not changed: ")
            .text(fault)
            .raw("</p>");
    }
    if !it.waits_for_restart.is_empty() {
        told = told
            .raw("<p class=\"soft\">Changed on disk, and waiting for a restart of Leeward: ")
            .text(&it.waits_for_restart.join(", "))
            .raw("</p>");
    }
    told
}

/// The verdict and what speaks for and against it.
fn seen(origin: &OriginFacts) -> Html {
    let Some(verdict) = origin.verdict else {
        return Html::new();
    };
    let surely = match origin.confidence {
        Some(Confidence::Conclusive) => "the evidence is conclusive",
        Some(Confidence::Inconclusive) | None => "the evidence is not conclusive",
    };
    Html::new()
        .raw("<div class=\"seen\"><p>Verdict: <b>")
        .text(verdict.word())
        .raw("</b> <span class=\"soft\">– ")
        .raw(surely)
        .raw("</span></p>")
        .add(reasons(FOR, &origin.evidence_for))
        .add(reasons(AGAINST, &origin.evidence_against))
        .raw("</div>")
}

const FOR: &str = "<p class=\"soft\">What the last look saw; each time ends with it:</p>";
const AGAINST: &str = "<p class=\"soft\">Against it, or not seen:</p>";

fn reasons(title: &'static str, facts: &[String]) -> Html {
    if facts.is_empty() {
        return Html::new();
    }
    let mut list = Html::new().raw(title).raw("<ul>");
    for fact in facts {
        list = list.raw("<li>").text(fact).raw("</li>");
    }
    list.raw("</ul>")
}

fn latest(incident: Option<&Summary>) -> Html {
    let Some(incident) = incident else {
        return Html::new();
    };
    Html::new()
        .raw("<section aria-labelledby=\"latest\"><h2 id=\"latest\">The latest incident, ")
        .add(time(&incident.opened))
        .raw("</h2><p>")
        .add(lists::cost(incident))
        .raw("</p><p class=\"soft\">What was found then:</p><p class=\"story\">")
        .text(&incident.sentence)
        .raw("</p><p><a href=\"/incidents/")
        .text(&incident.id)
        .raw("\">The whole story</a></p></section>")
}

fn figures(all: &Snapshot) -> Html {
    let exchanges = &all.traffic.exchanges;
    let lost = all.traffic.lost.total();
    let down = all.toll.downtime_seconds;
    let figures = [
        ("requests in flight now", number(exchanges.in_flight), false),
        (
            "waiting for a slot now",
            number(all.waiting.queued as u64),
            false,
        ),
        (
            "held at the gate now",
            number(all.waiting.held as u64),
            false,
        ),
        ("replayed in all", number(exchanges.replayed), false),
        ("continued in all", number(exchanges.continued), false),
        ("lost in all", number(lost), lost > 0),
        (
            "restarts in all",
            number(all.origin.restarts.total()),
            false,
        ),
        ("gate shut in all", length(down), false),
    ];
    let mut row = Html::new();
    for (label, value, off) in figures {
        row = row
            .raw(if off {
                "<div class=\"off\"><dt>"
            } else {
                "<div><dt>"
            })
            .raw(label)
            .raw("</dt><dd>")
            .text(&value)
            .raw("</dd></div>\n");
    }
    row
}

/// What is not known is left out.
fn list(rows: &[Row]) -> Html {
    let known = |(label, value): &Row| Some((*label, value.clone()?));
    let mut list = Html::new();
    for (label, value) in rows.iter().filter_map(known) {
        list = list
            .raw("<dt>")
            .raw(label)
            .raw("</dt><dd>")
            .text(&value)
            .raw("</dd>\n");
    }
    list
}

fn time(rfc3339: &str) -> Html {
    Html::new()
        .raw("<time datetime=\"")
        .text(rfc3339)
        .raw("\">")
        .text(&moment(rfc3339))
        .raw("</time>")
}

fn text(said: &str) -> Html {
    Html::new().text(said)
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests;
