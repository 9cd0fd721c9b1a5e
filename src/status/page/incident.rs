//! `/incidents/ID` for a person: the sentence first, then what it cost, why it was believed, and below that the requests,
//! threads and sockets behind it. What its JSON lacks is left out: it may come from another version of Leeward.

use serde_json::Value;

use super::super::html::Html;
use super::super::story;
use super::super::terminal::{list, word};
use super::super::words::{bytes, counted, length, moment};
use super::plain;

/// Threads told of each process; what blames one of them is in the sentence.
const THREADS: usize = 200;

/// The page of one incident.
pub(in super::super) fn render(id: &str, incident: &Value) -> String {
    let sentence = word(&incident["sentence"]).unwrap_or_else(|| "It has no sentence.".to_owned());
    let opened = word(&incident["opened"])
        .map(|it| moment(&it))
        .unwrap_or_default();
    let verdict = word(&incident["judgement"]["verdict"]).unwrap_or_default();
    let over = match incident["ending"].is_null() {
        true => "not over yet",
        false => "over",
    };
    let mut body = Html::new()
        .raw("<section class=\"opening\" aria-labelledby=\"incident\"><h1 class=\"story\" id=\"incident\">")
        .text(&sentence)
        .raw("</h1><p><span class=\"tag\">")
        .text(&verdict)
        .raw("</span> <span class=\"soft\">")
        .text(&format!("{opened}, {over}"))
        .raw("</span></p></section>");
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
        .raw("<p class=\"soft\"><a href=\"/incidents/")
        .text(id)
        .raw(".json\">The whole of it as JSON</a></p>");
    plain(&format!("{verdict}, {opened}"), body)
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
            }),
        );
        let places: Vec<_> = [
            "thread 7 waits for &lt;b&gt;",
            "How it ended, and what it cost",
            "200 ms",
            "Why it was believed",
            "<dd>asleep</dd><dd>silent</dd>",
            "GET /&lt;i&gt;",
            "Process 7 (app), 1 thread",
            "sleeping in read(4), did not move",
            "descriptor 4: /tmp/&lt;x&gt;",
            "last &lt;words&gt;",
            "/incidents/x-1.json",
        ]
        .map(|part| page.find(part).unwrap_or_else(|| panic!("{part}\n{page}")))
        .to_vec();
        assert!(places.is_sorted(), "{places:?}\n{page}");
        assert!(!page.contains("<script"));
    }

    #[test]
    fn an_empty_or_foreign_json_is_no_reason_to_fail() {
        assert!(render("x", &Value::Null).contains("It has no sentence."));
        render(
            "x",
            &json!({"visits": 7, "findings": {"processes": [1]}, "ending": []}),
        );
    }
}
