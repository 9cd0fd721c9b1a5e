//! What programs are told has the shape that `config/status.schema.json` says: nothing is missing, and nothing is told that
//! stands not there.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::house::{DUE, behind, wait_metric};
use crate::support::{Leeward, h1};
use crate::verbs::done;

fn schema() -> Value {
    serde_json::from_str(include_str!("../../config/status.schema.json")).expect("JSON")
}

fn told(leeward: &Leeward, path: &str) -> Value {
    let answer = leeward.status_get(path);
    assert_eq!(answer.status, 200, "{path}");
    serde_json::from_slice(&answer.body).expect("JSON")
}

/// Whether what is told now has its shape, in `/status.json` and all lists of incidents.
fn holds(leeward: &Leeward, when: &str) -> Value {
    let status = told(leeward, "/status.json");
    for (path, shape) in [
        ("/status.json", "status"),
        ("/history.json", "history"),
        ("/incidents", "incidents"),
    ] {
        fits(shape, &told(leeward, path), &format!("{when}, {path}"));
    }
    for incident in status["incidents"].as_array().expect("a list") {
        let path = format!(
            "/incidents/{}.json",
            incident["id"].as_str().expect("a name")
        );
        fits(
            "incident",
            &told(leeward, &path),
            &format!("{when}, {path}"),
        );
    }
    status
}

fn fits(shape: &str, value: &Value, what: &str) {
    let schema = schema();
    let faults = judged(&schema, &schema["$defs"][shape], value, "");
    assert!(faults.is_empty(), "{what}: {faults:#?}");
}

#[test]
fn in_every_state_programs_are_told_what_the_schema_says() {
    let leeward = behind(
        &["--start-delay-ms", "300"],
        "[hang]\ncertain = \"500ms\"\n[origin.probe]\nevery = \"100ms\"\n[standby]\naddress = \"127.0.0.1:0\"\n",
    );
    leeward.wait_log("the standby is ready", DUE);
    let status = holds(&leeward, "ready");
    assert_eq!(status["origin"]["state"], "ready");
    // A request that hangs it: with a visit, with threads, with sockets.
    let edge = leeward.edge();
    let asking = std::thread::spawn(move || h1::get(edge, "/block/lock", DUE));
    let pid = status["origin"]["pid"].as_u64().expect("a process");
    let pid = Pid::from_raw(i32::try_from(pid).expect("a number")).expect("a process");
    wait_metric(&leeward, "leeward_exchanges_in_flight 1");
    kill_process(pid, Signal::STOP).expect("a signal");
    wait_metric(&leeward, "leeward_origin_state{state=\"suspect\"} 1");
    holds(&leeward, "suspect");
    leeward.wait_log("incident closed", DUE);
    let status = holds(&leeward, "after a hang");
    assert!(!status["incidents"].as_array().expect("a list").is_empty());
    done(&leeward, &["maintenance"]);
    assert_eq!(
        holds(&leeward, "maintenance")["origin"]["stance"],
        "maintenance"
    );
    drop(asking);
}

#[test]
fn an_origin_that_does_not_start_and_one_that_is_not_ours_are_told_in_shape() {
    let command = ["sh".to_owned(), "-c".to_owned(), "exit 3".to_owned()];
    let port = crate::support::free_port();
    let more = "[restart]\nbackoff = \"100ms\"\ndegraded_after = 2\n";
    let config = crate::house::configuration(&command, port, more);
    let leeward = Leeward::start(&config);
    wait_metric(&leeward, "leeward_origin_state{state=\"degraded\"} 1");
    let status = holds(&leeward, "degraded");
    assert!(status["origin"]["trouble"].is_string(), "{status}");
    let observing = crate::house::before(&format!("127.0.0.1:{port}"), "");
    let status = holds(&observing, "observed");
    assert_eq!(status["origin"]["care"], "observed");
}

/// The check of the checks: each of these is a fault, and told where it is.
#[test]
fn what_is_not_in_the_schema_is_refused() {
    let leeward = behind(&[], "");
    let whole = told(&leeward, "/status.json");
    let (schema, none) = (schema(), Vec::<String>::new());
    let faults = |value: &Value| judged(&schema, &schema["$defs"]["status"], value, "");
    assert_eq!(faults(&whole), none);
    let spoilt = |path: &str, value: Option<Value>| {
        let mut spoilt = whole.clone();
        let (parent, key) = path.rsplit_once('/').expect("a path");
        let parent = spoilt.pointer_mut(parent).expect("it is there");
        let parent = parent.as_object_mut().expect("a table");
        match value {
            Some(value) => parent.insert(key.to_owned(), value),
            None => parent.remove(key),
        };
        faults(&spoilt)
    };
    for (path, value) in [
        ("/more", Some(json!(1))),
        ("/origin/more", Some(json!(1))),
        ("/traffic/connections/more", Some(json!(1))),
        ("/origin/pid", Some(json!("7"))),
        ("/origin/state", Some(json!("well"))),
        ("/traffic/spans/total/count", Some(json!(1.5))),
        ("/schema", Some(json!(2))),
        ("/hang/certain_seconds", None),
        ("/waiting", Some(Value::Null)),
    ] {
        let faults = spoilt(path, value);
        assert_eq!(faults.len(), 1, "{path}: {faults:?}");
        assert!(faults[0].starts_with(path), "{path}: {faults:?}");
    }
}

/// What is amiss with `value`: the part of JSON Schema that the file uses, and no name that it does not have.
fn judged(whole: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.strip_prefix('#').expect("of this file");
        let meant = whole.pointer(name).expect("it is defined");
        return judged(whole, meant, value, at);
    }
    if let Some(either) = schema["anyOf"].as_array() {
        let tried: Vec<_> = either
            .iter()
            .map(|one| judged(whole, one, value, at))
            .collect();
        if tried.iter().any(Vec::is_empty) {
            return Vec::new();
        }
        // The faults of the one that comes nearest.
        return tried.into_iter().min_by_key(Vec::len).unwrap_or_default();
    }
    if let Some(words) = schema["enum"].as_array() {
        return fault(words.contains(value), at, value, schema);
    }
    if let Some(word) = schema.get("const") {
        return fault(word == value, at, value, schema);
    }
    let kinds = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        kind => vec![
            kind.as_str()
                .unwrap_or_else(|| panic!("{at}: no type in {schema}")),
        ],
    };
    let is = |kind: &&str| match *kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{at}: {other}"),
    };
    if !kinds.iter().any(is) {
        return fault(false, at, value, schema);
    }
    match value {
        Value::Array(items) => {
            let each = items.iter().enumerate();
            let each = each.flat_map(|(place, item)| {
                judged(whole, &schema["items"], item, &format!("{at}/{place}"))
            });
            each.collect()
        }
        Value::Object(_) => judged_object(whole, schema, value, at),
        _ => Vec::new(),
    }
}

fn judged_object(whole: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let fields = value.as_object().expect("a table");
    let required = schema["required"].as_array().into_iter().flatten();
    let required = required.filter_map(Value::as_str);
    let missing = required.filter(|name| !fields.contains_key(*name));
    let mut faults: Vec<String> = missing
        .map(|name| format!("{at}/{name} is missing"))
        .collect();
    for (name, field) in fields {
        let at = format!("{at}/{name}");
        let other = schema.get("additionalProperties");
        match schema["properties"].get(name).or(other) {
            Some(schema) => faults.extend(judged(whole, schema, field, &at)),
            None => faults.push(format!("{at} is not in the schema")),
        }
    }
    faults
}

fn fault(is_good: bool, at: &str, value: &Value, schema: &Value) -> Vec<String> {
    match is_good {
        true => Vec::new(),
        false => vec![format!("{at} is {value}, which is not {schema}")],
    }
}
