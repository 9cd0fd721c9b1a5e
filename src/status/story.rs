//! `leeward incidents`: incidents as text for a terminal, all of them in a few lines each, or one as its whole story.
//! Whatever is quoted was chosen by others, and is made harmless.

use std::fmt::Write;

use serde_json::Value;

use super::terminal::{Rows, growth, list, plain, word};
use super::timeline;
use super::words::{bytes, counted, length, moment};

/// Threads told of each process; what blames one of them is in the sentence.
const THREADS: usize = 40;
/// Reasons told for what could not be seen.
const HIDDEN: usize = 8;

/// Incidents in three lines each, in the order in which they come.
pub fn lines(incidents: &[Value]) -> String {
    let mut text = String::new();
    for incident in incidents {
        let told = |key: &str| word(&incident[key]).unwrap_or_default();
        let opened = moment(&told("opened"));
        let cost = match incident["unserved_seconds"].as_f64() {
            Some(lasted) => format!("nobody served for {}", length(lasted)),
            None if incident["part_of"].is_string() => "a start that failed".to_owned(),
            None => "not closed".to_owned(),
        };
        let cost = match requests(&incident["requests"]) {
            Some(requests) => format!("{cost}: {requests}"),
            None => cost,
        };
        let _ = writeln!(text, "{opened}  {}, {cost}", told("verdict"));
        let _ = writeln!(text, "  {}\n  {}", told("sentence"), told("id"));
    }
    text
}

/// The whole story of one incident. What its JSON lacks is left out: it may come from another version of Leeward.
pub fn render(incident: &Value) -> String {
    let mut text = String::new();
    if let Some(sentence) = word(&incident["sentence"]) {
        let _ = writeln!(text, "{sentence}\n");
    }
    if let Some(outage) = timeline::outage(incident) {
        let _ = writeln!(text, "{outage}\n");
    }
    let mut rows = Rows(judged(incident));
    rows.0.extend(costs(incident));
    rows.write(&mut text);
    course(&mut text, incident);
    visits(&mut text, incident);
    for process in list(&incident["findings"]["processes"]) {
        threads(&mut text, process);
    }
    hook(&mut text, &incident["before_kill"]);
    let output = list(&incident["output"]);
    if !output.is_empty() {
        text.push_str("\nlast output of the origin\n");
        quote(&mut text, output);
    }
    text
}

/// What was believed and why, and of which process, a label and a value each.
pub(super) fn judged(incident: &Value) -> Vec<(&'static str, String)> {
    let mut rows = Rows(Vec::new());
    rows.several("incident", [word(&incident["id"])]);
    let opened = word(&incident["opened"]).map(|opened| moment(&opened));
    rows.several("opened", [opened]);
    let over = timeline::over(incident).map(|over| moment(&over));
    rows.several("over", [over]);
    let life = incident["generation"].as_u64();
    let life = life.map(|life| format!("generation {life}"));
    let pid = incident["pid"].as_u64().map(|pid| format!("pid {pid}"));
    rows.several("origin", [life, pid]);
    rows.several("command", [word(&incident["command"])]);
    let judgement = &incident["judgement"];
    let surely = word(&judgement["confidence"]);
    rows.several("verdict", [word(&judgement["verdict"]), surely]);
    // All lengths of these end with the verdict.
    for fact in list(&judgement["evidence_for"]) {
        rows.several("  for it", [word(fact)]);
    }
    for fact in list(&judgement["evidence_against"]) {
        rows.several("  against, or not seen", [word(fact)]);
    }
    growth(&mut rows, &incident["growth"], |it| {
        it["now"] != it["start"]
    });
    let findings = &incident["findings"];
    rows.several("  left out", [word(&findings["truncated"])]);
    let mut reasons = Vec::new();
    hidden(findings, &mut reasons);
    let more = reasons.len().saturating_sub(HIDDEN);
    for reason in reasons.into_iter().take(HIDDEN) {
        rows.several("  not seen", [Some(reason)]);
    }
    let more = (more > 0).then(|| format!("and {more} more; see its JSON"));
    rows.several("  not seen", [more]);
    rows.0
}

/// How it ended and what it cost, in the same form.
pub(super) fn costs(incident: &Value) -> Vec<(&'static str, String)> {
    let mut rows = Rows(Vec::new());
    let ending = &incident["ending"];
    rows.several("in quarantine for it", [word(&incident["quarantined"])]);
    let signal = &ending["signal"];
    let obituary = [word(&ending["obituary"]), word(&signal["told"])];
    rows.several("the process", obituary);
    let seconds = |key: &str| ending[key].as_f64().map(length);
    rows.several("proven after", [seconds("detection_seconds")]);
    rows.several("served again after", [seconds("downtime_seconds")]);
    rows.several("requests", [requests(&ending["requests"])]);
    rows.0
}

/// What became of the requests.
fn requests(told: &Value) -> Option<String> {
    let count = |key: &str| told[key].as_u64();
    let (held, replayed, lost) = (count("held")?, count("replayed")?, count("lost")?);
    let continued = count("continued").unwrap_or(0);
    Some(format!(
        "{held} held, {replayed} replayed, {continued} continued, {lost} lost"
    ))
}

/// What is said of a visit of which the origin had provably read nothing.
pub(super) fn unread(incident: &Value, visit: &Value) -> &'static str {
    match list(&incident["unread"]).contains(&visit["id"]) {
        true => ", not read by it: sent to the next",
        false => "",
    }
}

fn course(text: &mut String, incident: &Value) {
    let lines = timeline::lines(incident);
    if lines.is_empty() {
        return;
    }
    text.push_str("\nwhat happened when (UTC, and since it fell ill)\n");
    for line in lines {
        let (clock, offset) = (line.clock, line.offset);
        let _ = writeln!(text, "  {clock}  {offset:>11}  {}", line.told);
    }
}

fn visits(text: &mut String, incident: &Value) {
    let visits = list(&incident["visits"]);
    if visits.is_empty() {
        return;
    }
    text.push_str("\nrequests under way, the oldest first\n");
    for visit in visits {
        let told = |key: &str| visit[key].as_f64().map(length).unwrap_or_default();
        let (age, quiet) = (told("age"), told("quiet"));
        let request = word(&visit["request"]).unwrap_or_default();
        let id = visit["id"].as_u64().unwrap_or_default();
        let taken = bytes(visit["received"].as_u64().unwrap_or_default());
        let unread = unread(incident, visit);
        let _ = writeln!(
            text,
            "  {age:>10}, quiet for {quiet:<10}  {request} (visit {id}, {taken} received{unread})"
        );
    }
}

fn threads(text: &mut String, process: &Value) {
    let threads = list(&process["threads"]);
    let pid = process["pid"].as_u64().unwrap_or_default();
    let comm = word(&process["vital"]["comm"]).unwrap_or_default();
    let count = counted(threads.len() as u64, "thread");
    let _ = writeln!(text, "\nprocess {pid} ({comm}), {count}");
    for thread in threads.iter().take(THREADS) {
        let tid = thread["tid"].as_u64().unwrap_or_default();
        let comm = word(&thread["comm"]).unwrap_or_default();
        let _ = writeln!(text, "  {tid} {comm}: {}", activity(thread));
        if let Some(object) = object(&thread["descriptor"]) {
            let _ = writeln!(text, "    {object}");
        }
    }
    if threads.len() > THREADS {
        let _ = writeln!(text, "  and {} more; see its JSON", threads.len() - THREADS);
    }
}

/// What a thread did.
pub(super) fn activity(thread: &Value) -> String {
    let state = word(&thread["state"]).unwrap_or_else(|| "in a state not seen".to_owned());
    let doing = doing(&thread["call"]);
    let still = match thread["movement"].as_str() {
        Some("still") => ", did not move",
        Some("moved") => ", moved",
        _ => "",
    };
    format!("{state}{doing}{still}")
}

/// In which system call a thread was.
fn doing(call: &Value) -> String {
    let inside = &call["inside"];
    match (word(&inside["name"]), inside["descriptor"].as_u64()) {
        (Some(name), Some(descriptor)) => format!(" in {name}({descriptor})"),
        (Some(name), None) => format!(" in {name}"),
        (None, _) => String::new(),
    }
}

/// What stands behind the descriptor of a call.
pub(super) fn object(descriptor: &Value) -> Option<String> {
    let number = descriptor["number"].as_u64()?;
    let tcp = &descriptor["socket"]["tcp"];
    if let (Some(local), Some(peer)) = (word(&tcp["local"]), word(&tcp["peer"])) {
        let state = word(&tcp["state"]).unwrap_or_default();
        let waiting = |key: &str| bytes(tcp[key].as_u64().unwrap_or_default());
        if state == "LISTEN" {
            let many = |key: &str| tcp[key].as_u64().unwrap_or_default();
            // Of a listening socket the kernel tells these two under the names of others.
            let (waiting, limit) = (many("unread"), many("unsent"));
            let waiting = counted(waiting, "connection");
            return Some(format!(
                "descriptor {number}: listens at {local}, {waiting} yet to accept, at most {limit}"
            ));
        }
        let heard = tcp["traffic"]["last_received_seconds"].as_f64();
        let heard = heard.map(|ago| format!(", last data {} ago", length(ago)));
        return Some(format!(
            "descriptor {number}: socket {local} to {peer}, {state}, {} unread, {} unsent{}",
            waiting("unread"),
            waiting("unsent"),
            heard.unwrap_or_default()
        ));
    }
    let link = &descriptor["link"];
    let path = word(&link["file"]["path"]).or_else(|| word(&link["anon"]["name"]));
    let kind = link.as_object().and_then(|link| link.keys().next());
    let told = path.or_else(|| kind.map(|kind| plain(kind)))?;
    Some(format!("descriptor {number}: {told}"))
}

fn hook(text: &mut String, ran: &Value) {
    let (Some(command), Some(end)) = (word(&ran["command"]), word(&ran["end"])) else {
        return;
    };
    let took = length(ran["took_seconds"].as_f64().unwrap_or_default());
    let _ = writeln!(
        text,
        "\nbefore the first signal: {command}\n  {end}, after {took}"
    );
    quote(text, list(&ran["output"]));
    let omitted = ran["omitted_bytes"].as_u64().filter(|amount| *amount > 0);
    if let Some(amount) = omitted {
        let _ = writeln!(text, "  and {} that were not kept", bytes(amount));
    }
}

fn quote(text: &mut String, lines: &[Value]) {
    for line in lines.iter().filter_map(word) {
        let _ = writeln!(text, "  | {line}");
    }
}

/// Every reason for which a field stayed hidden, once.
fn hidden(value: &Value, reasons: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                match word(field).filter(|_| key == "hidden") {
                    Some(reason) if reasons.contains(&reason) => {}
                    Some(reason) => reasons.push(reason),
                    None => hidden(field, reasons),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| hidden(value, reasons)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_sentence_comes_first_and_nothing_known_is_left_out() {
        let story = render(&json!({
            "id": "20260131T081530.000Z-2-hung-blocked",
            "sentence": "thread 7 waits",
            "opened": "2026-01-31T08:15:30.000Z",
            "generation": 2, "pid": 7, "command": "app --password=***",
            "judgement": {"verdict": "hung-blocked", "confidence": "inconclusive",
                "evidence_for": ["asleep for 1.6 s"], "evidence_against": ["no wait channel"]},
            "growth": {"descriptors": {"start": 12, "now": 812, "per_hour": 96.0, "limit_reached_in_seconds": 7560.0},
                "threads": {"start": 4, "now": 4, "per_hour": 0.0}},
            "visits": [{"id": 3, "request": "GET /a", "age": 1.5, "quiet": 1.2, "received": 2048},
                {"id": 4, "request": "POST /b", "age": 0.5, "quiet": 0.5, "received": 0}],
            "unread": [4],
            "output": ["last \u{1b}[2Jwords"],
            "findings": {"processes": [{"pid": 7, "vital": {"comm": "app", "cpu": {"hidden": "not permitted"}},
                "threads": [{"tid": 7, "comm": "app", "state": "sleeping", "movement": "still",
                    "call": {"inside": {"name": "recvfrom", "descriptor": 4}},
                    "descriptor": {"number": 4, "link": {"socket": {"inode": 9}}, "socket": {"tcp": {
                        "local": "127.0.0.1:80", "peer": "127.0.0.1:99", "state": "ESTABLISHED",
                        "unread": 0, "unsent": 512, "traffic": {"last_received_seconds": 2.5}}}}}]}],
                "truncated": "left out: some threads"},
            "before_kill": {"command": "gdb -p 7", "end": "exited with 0", "took_seconds": 0.25,
                "output": ["#0 read ()"], "omitted_bytes": 1024},
            "quarantined": "GET /bad",
            "ending": {"obituary": "was ended by signal 9", "detection_seconds": 1.5,
                "downtime_seconds": 0.2, "requests": {"held": 4, "replayed": 1, "continued": 1, "lost": 2}},
        }));
        for line in [
            "opened                  2026-01-31 08:15:30 UTC",
            "verdict                 hung-blocked, inconclusive",
            "  for it                asleep for 1.6 s",
            "  against, or not seen  no wait channel",
            "  it held               812 descriptors, 12 at its start, 96 more an hour, at its limit in 2 h 6 min",
            "in quarantine for it    GET /bad",
            "  left out              left out: some threads",
            "  not seen              not permitted",
            "the process             was ended by signal 9",
            "proven after            1.5 s",
            "served again after      200 ms",
            "requests                4 held, 1 replayed, 1 continued, 2 lost",
            "  7 app: sleeping in recvfrom(4), did not move",
            "    descriptor 4: socket 127.0.0.1:80 to 127.0.0.1:99, ESTABLISHED, 0 B unread, 512 B unsent, last data 2.5 s ago",
            "before the first signal: gdb -p 7",
            "  exited with 0, after 250 ms",
            "  | #0 read ()",
            "  and 1.0 KiB that were not kept",
            "  | last \u{fffd}[2Jwords",
        ] {
            assert!(story.lines().any(|said| said == line), "{line}\n{story}");
        }
        assert!(
            story.starts_with("thread 7 waits\n\nNobody was served for 1.7 s: 1.5 s until"),
            "{story}"
        );
        let unread = "POST /b (visit 4, 0 B received, not read by it: sent to the next)";
        assert!(story.contains(unread), "{story}");
        assert!(
            story.contains("GET /a (visit 3, 2.0 KiB received)"),
            "{story}"
        );
        assert!(!story.contains("threads, 4 at its start"), "{story}");
    }

    #[test]
    fn an_empty_or_foreign_json_is_no_reason_to_fail() {
        assert_eq!(render(&Value::Null), "");
        assert_eq!(
            render(&json!({"visits": 7, "findings": {"processes": [1]}}))
                .lines()
                .count(),
            2
        );
        assert_eq!(lines(&[Value::Null]).lines().count(), 3);
    }

    #[test]
    fn a_line_tells_when_what_and_for_how_long() {
        let told = lines(&[
            json!({"id": "x", "opened": "2026-01-31T08:15:30.000Z", "verdict": "exited",
            "sentence": "so \u{202e}\u{9b}", "downtime_seconds": 0.2, "unserved_seconds": 0.7, "requests": {"held": 4, "replayed": 0, "lost": 0}}),
        ]);
        let wanted = "2026-01-31 08:15:30 UTC  exited, nobody served for 700 ms: 4 held, 0 replayed, 0 continued, 0 lost\n  so \u{fffd}\u{fffd}\n  x\n";
        assert_eq!(told, wanted);
    }
}
