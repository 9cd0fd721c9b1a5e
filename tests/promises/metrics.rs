//! What Prometheus is told, and what is shipped for it: the alerts, and the dashboard of Grafana.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::house::{DUE, behind};
use crate::skip;
use crate::support::h1;
use crate::support::process::Running;

fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(file(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Whether the tool of Prometheus is installed.
fn has_promtool() -> bool {
    Command::new("promtool").arg("--version").output().is_ok()
}

/// Runs it with these words, which a shell reads, and fails with what it said if it finds anything amiss.
fn promtool(words: &str) {
    let mut running = Running::start(Command::new("sh").args(["-c", &format!("promtool {words}")]));
    let status = running.wait(DUE);
    let told = running.told();
    assert!(status.is_some_and(|status| status.success()), "{told}");
    let told = running.stderr.whole(DUE);
    assert!(told.is_empty(), "{told}");
}

#[test]
fn promtool_finds_nothing_amiss_in_the_metrics() {
    if !has_promtool() {
        skip!("promtool is not installed");
    }
    let leeward = behind(&[], "");
    h1::get(leeward.edge(), "/", DUE).expect("an answer");
    let mut asking = h1::Connection::connect_plain(leeward.status(), DUE).expect("a connection");
    let old = [("Accept", "text/plain;version=0.0.4")];
    let told = asking.request("GET", "/metrics", &old, &[]).expect("them");
    let path = leeward.directory().join("metrics");
    fs::write(&path, &told.body).expect("the metrics");
    promtool(&format!("check metrics < {}", path.display()));
}

#[test]
fn each_alert_fires_when_it_should_and_stays_silent_when_it_should_not() {
    const TESTS: &str = "tests/prometheus/rules_test.yml";
    let tests = read(TESTS);
    for alert in alerts() {
        for how in ["fires", "stays silent"] {
            let title = format!("- name: {alert} {how}\n");
            assert!(tests.contains(&title), "no test for: {alert} {how}");
        }
    }
    if !has_promtool() {
        skip!("promtool is not installed");
    }
    promtool(&format!(
        "check rules {}",
        file("config/prometheus-rules.yml").display()
    ));
    promtool(&format!("test rules {}", file(TESTS).display()));
}

fn alerts() -> Vec<String> {
    let rules = read("config/prometheus-rules.yml");
    let names = rules
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("- alert: "));
    let alerts: Vec<String> = names.map(str::to_owned).collect();
    assert!(alerts.len() > 10, "{alerts:?}");
    alerts
}

/// A dashboard that asks for what is not there shows nothing, and an alert never fires.
#[test]
fn rules_and_dashboard_ask_for_what_is_there() {
    // With a standby everything is told that can be.
    let leeward = behind(&[], "[standby]\naddress = \"127.0.0.1:0\"\n");
    let shipped = [
        "config/prometheus-rules.yml",
        "config/grafana-dashboard.json",
    ]
    .map(read);
    let asked: BTreeSet<_> = shipped.iter().flat_map(|text| asked(text)).collect();
    assert!(asked.len() > 40, "{asked:?}");
    // Some of it is known when the origin was looked at for the first time.
    let until = Instant::now() + DUE;
    loop {
        let there = names(&leeward.status_get("/metrics").text());
        let missing: Vec<_> = asked.difference(&there).collect();
        if missing.is_empty() {
            return;
        }
        assert!(
            Instant::now() < until,
            "there is no {missing:?} in\n{there:?}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// All names under which samples of these families come.
fn names(metrics: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for line in metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
    {
        let (name, kind) = line.split_once(' ').expect("a type");
        let ends: &[&str] = match kind {
            "counter" => &["_total"],
            "info" => &["_info"],
            "histogram" => &["_bucket", "_sum", "_count"],
            "gauge" => &[""],
            other => panic!("a family is {other}"),
        };
        names.extend(ends.iter().map(|end| format!("{name}{end}")));
    }
    names
}

/// Every word that is the name of a metric of ours.
fn asked(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let is_ours = |word: &&str| word.starts_with("leeward_") || word.starts_with("process_");
    words.filter(is_ours).map(str::to_owned).collect()
}

#[test]
fn each_question_of_the_dashboard_can_be_parsed() {
    let dashboard: Value =
        serde_json::from_str(&read("config/grafana-dashboard.json")).expect("JSON");
    assert!(dashboard["schemaVersion"].as_u64() >= Some(39));
    let mut questions = Vec::new();
    exprs(&dashboard, &mut questions);
    assert!(questions.len() > 30, "{}", questions.len());
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(
        ids.len(),
        panels.len(),
        "each panel has a number of its own"
    );
    if !has_promtool() {
        skip!("promtool is not installed");
    }
    // It parses what stands in a file of rules.
    let rules: Vec<Value> = questions
        .iter()
        .enumerate()
        .map(|(place, expr)| serde_json::json!({"record": format!("q:{place}"), "expr": spelled_out(expr)}))
        .collect();
    let rules = serde_json::json!({"groups": [{"name": "dashboard", "rules": rules}]});
    let scratch = tempfile::tempdir().expect("a directory");
    let path = scratch.path().join("rules.yml");
    // JSON is YAML.
    fs::write(&path, rules.to_string()).expect("the rules");
    promtool(&format!("check rules {}", path.display()));
}

fn exprs(value: &Value, all: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                match field.as_str().filter(|_| key == "expr") {
                    Some(expr) => all.push(expr.to_owned()),
                    None => exprs(field, all),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| exprs(value, all)),
        _ => {}
    }
}

/// With the variables of Grafana as it fills them in.
fn spelled_out(expr: &str) -> String {
    let told = ["$__range", "$__rate_interval", "$__interval"]
        .iter()
        .fold(expr.to_owned(), |told, name| told.replace(name, "5m"));
    let told = told.replace("$instance", "127.0.0.1:9180");
    assert!(!told.contains('$'), "{told}");
    told
}
