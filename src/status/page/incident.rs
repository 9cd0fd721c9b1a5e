//! `/incidents/ID` for a person: the sentence first, then what it cost, why it was believed, and below that the requests,
//! threads and sockets behind it. What its JSON lacks is left out: it may come from another version of Leeward.

use serde_json::Value;

use super::super::html::Html;
use super::super::story;
use super::super::terminal::{list, word};
use super::super::timeline;
use super::super::words::{bytes, counted, length, moment};
use super::{plain, time};

/// Threads told of each process; what blames one of them is in the sentence.
const THREADS: usize = 200;

/// Those before and after an incident, by their names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Neighbours {
    pub(in super::super) before: Option<String>,
    pub(in super::super) after: Option<String>,
}

/// The page of one incident.
pub(in super::super) fn render(id: &str, incident: &Value, beside: &Neighbours) -> String {
    let sentence = word(&incident["sentence"]).unwrap_or_else(|| "It has no sentence.".to_owned());
    let opened = word(&incident["opened"])
        .map(|it| moment(&it))
        .unwrap_or_default();
    let verdict = word(&incident["judgement"]["verdict"]).unwrap_or_default();
    let over = timeline::over(incident);
    let is_open = incident["ending"]["downtime_seconds"].is_null();
    let is_part = incident["part_of"].is_string();
    let mut body = Html::new()
        .raw("<section class=\"opening\" aria-labelledby=\"incident\"><h1 class=\"story\" id=\"incident\">")
        .text(&sentence)
        .raw("</h1><p><span class=\"tag\">")
        .text(&verdict)
        .raw("</span> <span class=\"soft\">")
        .text(&format!("opened {opened}"));
    body = match over {
        Some(over) => body.raw(", over ").add(time(&over)),
        None if is_open && !is_part => body.raw(", not over yet"),
        None => body,
    };
    body = body.raw("</span></p>");
    if let Some(outage) = timeline::outage(incident) {
        body = body.raw("<p class=\"lead\">").text(&outage).raw("</p>");
    }
    body = body.raw("</section>").add(course(incident));
    body = body
        .add(facts(
            "How it ended, and what it cost",
            &story::costs(incident),
        ))
        .add(facts("Why it was believed", &story::judged(incident)))
        .add(visits(incident));
    for process in list(&incident["findings"]["processes"]) {
        body = body.add(threads(process));
    }
    body = body.add(hook(&incident["before_kill"]));
    let output = list(&incident["output"]);
    if !output.is_empty() {
        body = body.add(section("The last words of the origin", quote(output)));
    }
    let body = body
        .add(links(beside))
        .raw("<p class=\"soft\"><a href=\"/incidents/")
        .text(id)
        .raw(".json\">The whole of it as JSON</a></p>");
    plain(&format!("{verdict}, {opened}"), body)
}

/// The course of it, as a list that reads as a line.
fn course(incident: &Value) -> Html {
    let lines = timeline::lines(incident);
    if lines.is_empty() {
        return Html::new();
    }
    let mut inner = Html::new().raw(
        "<p class=\"soft\">The time of that day, UTC, and how long after it fell ill.</p><ol class=\"course\">",
    );
    for line in lines {
        inner = inner
            .raw("<li><time datetime=\"")
            .text(&line.at)
            .raw("\">")
            .text(&line.clock)
            .raw("</time> <span class=\"offset\">")
            .text(&line.offset)
            .raw("</span> <span>")
            .text(&line.told)
            .raw("</span></li>");
    }
    section("What happened when", inner.raw("</ol>"))
}

fn links(beside: &Neighbours) -> Html {
    let link = |to: &Option<String>, told: &'static str| match to {
        Some(id) => Html::new()
            .raw("<a href=\"/incidents/")
            .text(id)
            .raw("\">")
            .raw(told)
            .raw("</a> "),
        None => Html::new(),
    };
    Html::new()
        .raw("<nav aria-label=\"Incidents before and after\">")
        .add(link(&beside.before, "← The incident before"))
        .add(link(&beside.after, "The incident after →"))
        .raw("</nav>")
}

fn section(title: &str, inner: Html) -> Html {
    Html::new()
        .raw("<section><h2>")
        .text(title)
        .raw("</h2>")
        .add(inner)
        .raw("</section>")
}

fn facts(title: &str, rows: &[(&'static str, String)]) -> Html {
    if rows.is_empty() {
        return Html::new();
    }
    let mut inner = Html::new().raw("<dl class=\"facts\">");
    let mut before = "";
    for (label, value) in rows {
        // Several reasons of one kind stand under one label.
        if *label != before {
            inner = inner.raw("<dt>").text(label.trim()).raw("</dt>");
        }
        before = label;
        inner = inner.raw("<dd>").text(value).raw("</dd>");
    }
    section(title, inner.raw("</dl>"))
}

fn visits(incident: &Value) -> Html {
    let visits = list(&incident["visits"]);
    if visits.is_empty() {
        return Html::new();
    }
    let mut table = Html::new().raw(
        "<table class=\"visits\"><tr><th scope=\"col\">request</th><th scope=\"col\">age</th>\
         <th scope=\"col\">quiet for</th><th scope=\"col\">received</th></tr>",
    );
    for visit in visits {
        let told = |key: &str| visit[key].as_f64().map(length).unwrap_or_default();
        let request = word(&visit["request"]).unwrap_or_default();
        let number = visit["id"].as_u64().unwrap_or_default();
        table = table
            .raw("<tr><td><code>")
            .text(&request)
            .raw("</code> ")
            .text(&format!(
                "(visit {number}{})",
                story::unread(incident, visit)
            ))
            .raw("</td><td>")
            .text(&told("age"))
            .raw("</td><td>")
            .text(&told("quiet"))
            .raw("</td><td>")
            .text(&bytes(visit["received"].as_u64().unwrap_or_default()))
            .raw("</td></tr>");
    }
    section(
        "Requests under way, the oldest first",
        table.raw("</table>"),
    )
}

fn threads(process: &Value) -> Html {
    let threads = list(&process["threads"]);
    let pid = process["pid"].as_u64().unwrap_or_default();
    let comm = word(&process["vital"]["comm"]).unwrap_or_default();
    let count = counted(threads.len() as u64, "thread");
    let mut table = Html::new().raw(
        "<table class=\"wide\"><tr><th scope=\"col\">thread</th><th scope=\"col\">what it did</th>\
         <th scope=\"col\">on what</th></tr>",
    );
    for thread in threads.iter().take(THREADS) {
        let tid = thread["tid"].as_u64().unwrap_or_default();
        let comm = word(&thread["comm"]).unwrap_or_default();
        let object = story::object(&thread["descriptor"]).unwrap_or_default();
        table = table
            .raw("<tr><td>")
            .text(&format!("{tid} {comm}"))
            .raw("</td><td>")
            .text(&story::activity(thread))
            .raw("</td><td>")
            .text(&object)
            .raw("</td></tr>");
    }
    let more = threads.len().saturating_sub(THREADS);
    let mut inner = table.raw("</table>");
    if more > 0 {
        inner = inner
            .raw("<p class=\"soft\">")
            .text(&format!("and {more} more; see its JSON"))
            .raw("</p>");
    }
    section(&format!("Process {pid} ({comm}), {count}"), inner)
}

fn hook(ran: &Value) -> Html {
    let (Some(command), Some(end)) = (word(&ran["command"]), word(&ran["end"])) else {
        return Html::new();
    };
    let took = length(ran["took_seconds"].as_f64().unwrap_or_default());
    let inner = Html::new()
        .raw("<p><code>")
        .text(&command)
        .raw("</code> ")
        .text(&format!("{end}, after {took}"))
        .raw("</p>")
        .add(quote(list(&ran["output"])));
    section("Run before the first signal", inner)
}

fn quote(lines: &[Value]) -> Html {
    let lines: Vec<_> = lines.iter().filter_map(word).collect();
    Html::new()
        .raw("<pre>")
        .text(&lines.join("\n"))
        .raw("</pre>")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_sentence_comes_first_and_what_is_behind_it_follows() {
        let page = render(
            "x-1",
            &json!({
                "sentence": "thread 7 waits for <b>", "opened": "2026-01-31T08:15:30.000Z",
                "judgement": {"verdict": "hung-blocked", "confidence": "conclusive",
                    "evidence_for": ["asleep", "silent"], "evidence_against": []},
                "visits": [{"id": 3, "request": "GET /<i>", "age": 1.5, "quiet": 1.2, "received": 2048}],
                "findings": {"processes": [{"pid": 7, "vital": {"comm": "app"}, "threads": [
                    {"tid": 7, "comm": "app", "state": "sleeping", "movement": "still",
                     "call": {"inside": {"name": "read", "descriptor": 4}},
                     "descriptor": {"number": 4, "link": {"file": {"path": "/tmp/<x>"}}}}]}]},
                "output": ["last <words>"],
                "ending": {"obituary": "was ended by signal 9", "detection_seconds": 1.5, "downtime_seconds": 0.2,
                    "requests": {"held": 4, "replayed": 1, "lost": 0}},
                "timeline": [{"what": "ill", "at": "2026-01-31T08:15:28.400Z", "after_seconds": 0.0, "note": "so <it> was"},
                    {"what": "reached", "at": "2026-01-31T08:15:30.100Z", "after_seconds": 1.7}],
            }),
            &Neighbours {
                before: Some("x-0".to_owned()),
                after: None,
            },
        );
        let places: Vec<_> = [
            "thread 7 waits for &lt;b&gt;",
            "over <time datetime=\"2026-01-31T08:15:30.100Z\">2026-01-31 08:15:30 UTC</time>",
            "Nobody was served for 1.7 s, from 08:15:28.400 to 08:15:30.100 UTC",
            "<ol class=\"course\"><li><time datetime=\"2026-01-31T08:15:28.400Z\">08:15:28.400</time>",
            "so &lt;it&gt; was",
            "How it ended, and what it cost",
            "<dd>200 ms</dd>",
            "Why it was believed",
            "<dd>asleep</dd><dd>silent</dd>",
            "GET /&lt;i&gt;",
            "Process 7 (app), 1 thread",
            "sleeping in read(4), did not move",
            "descriptor 4: /tmp/&lt;x&gt;",
            "last &lt;words&gt;",
            "<a href=\"/incidents/x-0\">",
            "/incidents/x-1.json",
        ]
        .map(|part| page.find(part).unwrap_or_else(|| panic!("{part}\n{page}")))
        .to_vec();
        assert!(places.is_sorted(), "{places:?}\n{page}");
        assert!(!page.contains("<script"));
    }

    #[test]
    fn an_empty_or_foreign_json_is_no_reason_to_fail() {
        assert!(render("x", &Value::Null, &Neighbours::default()).contains("It has no sentence."));
        render(
            "x",
            &json!({"visits": 7, "findings": {"processes": [1]}, "ending": [], "timeline": [7]}),
            &Neighbours::default(),
        );
    }
}
