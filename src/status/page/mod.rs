//! `/`: the snapshot as a page that a person reads at three in the morning, without any script.

mod facts;
mod mood;

use facts::Row;
use mood::Mood;

use super::html::{Html, fill};
use super::snapshot::{ByWord, OriginFacts, Snapshot, SpanFacts};
use super::words::{about, bytes, length, moment, number};
use crate::origin::cost::Cost;
use crate::origin::incident::Summary;
use crate::origin::verdict::Confidence;

/// The policy of the page: nothing is loaded and nothing runs, but for its own style and its own icon.
pub(super) const POLICY: &str = "default-src 'none'; \
    style-src 'sha256-GdA90LxsP2vsvsOdKnPDQVtZONV5tTefazhxI+EsJR8='; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const TEMPLATE: &str = include_str!("page.html");

/// The whole page.
pub(super) fn render(all: &Snapshot) -> String {
    let origin = &all.origin;
    let mood = Mood::of(origin.state);
    let slot = |name: &str| match name {
        "word" => text(&capital(origin.state.word())),
        "mood" => Html::new().raw(mood.class()),
        "sign" => mood.sign(),
        "version" => text(all.version),
        "uptime" => text(&length(all.uptime_seconds)),
        "taken" => time(&all.taken_at),
        "for" => text(&length(origin.for_seconds)),
        "since" => time(&origin.since),
        "meaning" => text(&about(
            origin.state,
            origin.care,
            Some(origin.requests),
            origin.opens_in_seconds,
        )),
        "trouble" => trouble(origin.trouble.as_deref()),
        "seen" => seen(origin),
        "latest" => latest(all.incidents.first()),
        "figures" => figures(all),
        "visits" => visits(origin),
        "origin" => list(&facts::of_origin(origin)),
        "traffic" => list(&facts::of_traffic(all)),
        "spans" => spans(&all.traffic.spans),
        "incidents" => incidents(&all.incidents),
        _ => Html::new(),
    };
    fill(TEMPLATE, slot).into_string()
}

fn trouble(said: Option<&str>) -> Html {
    said.map_or_else(Html::new, |said| {
        Html::new()
            .raw("<p class=\"trouble\">")
            .text(said)
            .raw("</p>")
    })
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
    let mut seen = Html::new()
        .raw("<div class=\"seen\"><p>Verdict: <b>")
        .text(verdict.word())
        .raw("</b> <span class=\"soft\">– ")
        .raw(surely)
        .raw("</span></p>");
    for (title, facts) in [
        ("", &origin.evidence_for),
        (
            "<p class=\"soft\">Against it, or not seen:</p>",
            &origin.evidence_against,
        ),
    ] {
        if facts.is_empty() {
            continue;
        }
        seen = seen.raw(title).raw("<ul>");
        for fact in facts {
            seen = seen.raw("<li>").text(fact).raw("</li>");
        }
        seen = seen.raw("</ul>");
    }
    seen.raw("</div>")
}

fn latest(incident: Option<&Summary>) -> Html {
    let Some(incident) = incident else {
        return Html::new();
    };
    Html::new()
        .raw("<section aria-labelledby=\"latest\"><h2 id=\"latest\">The latest incident, ")
        .add(time(&incident.opened))
        .raw("</h2><p class=\"story\">")
        .text(&incident.sentence)
        .raw(" <a href=\"/incidents/")
        .text(&incident.id)
        .raw("\">The whole story</a></p></section>")
}

fn figures(all: &Snapshot) -> Html {
    let traffic = &all.traffic;
    let lost = traffic.lost.total();
    let figures = [
        ("requests in flight", traffic.exchanges.in_flight, false),
        ("waiting for a slot", all.waiting.queued as u64, false),
        ("held at the gate", all.waiting.held as u64, false),
        ("replayed", traffic.exchanges.replayed, false),
        ("continued", traffic.exchanges.continued, false),
        ("lost", lost, lost > 0),
        ("restarts", all.origin.restarts.total(), false),
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
            .text(&number(value))
            .raw("</dd></div>\n");
    }
    row
}

fn visits(origin: &OriginFacts) -> Html {
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

fn spans(spans: &ByWord<SpanFacts>) -> Html {
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

fn incidents(list: &[Summary]) -> Html {
    if list.is_empty() {
        return Html::new().raw("<p class=\"soft\">None that is still kept.</p>");
    }
    let mut items = Html::new().raw("<ol class=\"incidents\">\n");
    for incident in list {
        let cost = match incident.downtime_seconds {
            Some(downtime) => format!("down for {}{}", length(downtime), requests(incident)),
            None => "not over yet".to_owned(),
        };
        items = items
            .raw("<li><a href=\"/incidents/")
            .text(&incident.id)
            .raw("\">")
            .add(time(&incident.opened))
            .raw("</a> <span class=\"tag\">")
            .text(&incident.verdict)
            .raw("</span> <span class=\"soft\">")
            .text(&cost)
            .raw("</span><p>")
            .text(&incident.sentence)
            .raw("</p></li>\n");
    }
    items.raw("</ol>")
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
mod tests {
    use super::super::tests::hung;
    use super::*;

    #[test]
    fn what_anybody_wrote_stays_text() {
        let page = render(&hung());
        assert!(page.contains("POST /reports/&lt;script&gt;alert(1)&lt;/script&gt;"));
        assert!(page.contains("&lt;b&gt;no sign of life"));
        assert!(page.contains("failed &lt;here&gt;"));
        assert!(page.contains("10.0.0.7 &amp; reads &quot;nothing&quot;"));
        assert!(!page.contains("<script"));
    }

    #[test]
    fn the_state_is_a_word_a_colour_and_a_sign() {
        let page = render(&hung());
        assert!(page.contains("<title>Hung – Leeward</title>"));
        assert!(page.contains("<h1 id=\"word\">Hung</h1>"));
        assert!(page.contains("<body class=\"bad\">"));
        assert!(page.contains("Requests are held, perhaps for another 400 ms."));
        assert!(page.contains("href=\"/incidents/20260131T081530.000Z-2-hung-blocked\""));
        assert!(!page.contains("{{") && !page.contains("}}"));
    }

    #[test]
    fn the_policy_names_the_hash_of_the_style() {
        let (_, rest) = TEMPLATE.split_once("<style>").unwrap();
        let (style, _) = rest.split_once("</style>").unwrap();
        let wanted = format!("style-src 'sha256-{}'", base64(&sha256(style)));
        assert!(POLICY.contains(&wanted), "the style is new; write {wanted}");
        assert!(!TEMPLATE.contains("style="), "the policy forbids it");
    }

    fn sha256(text: &str) -> Vec<u8> {
        use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
        let suite = TLS13_AES_128_GCM_SHA256.tls13().unwrap();
        let hash = suite.common.hash_provider.hash(text.as_bytes());
        hash.as_ref().to_vec()
    }

    fn base64(bytes: &[u8]) -> String {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for three in bytes.chunks(3) {
            let mut whole = [0; 4];
            whole[1..=three.len()].copy_from_slice(three);
            let bits = u32::from_be_bytes(whole);
            for place in 0..4 {
                let letter = LETTERS[(bits >> (18 - 6 * place)) as usize & 63];
                text.push(if place <= three.len() {
                    letter as char
                } else {
                    '='
                });
            }
        }
        text
    }
}
