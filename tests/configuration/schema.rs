//! `config/leeward.schema.json` is what the reader says of itself: which keys there are, and what each takes, is asked of it by
//! values that are wrong; what a key is for stands above it in `config/leeward.toml`.
//!
//! `BLESS=1 cargo test --test configuration` writes the file.

use std::collections::BTreeMap;
use std::fs;

use leeward::config;
use serde_json::{Map, Value, json};
use toml::de::{DeTable, DeValue};

use super::{example, files, shipped, uncommented};

const NUMBER: &str = r"([0-9]+\.?[0-9]*|\.[0-9]+)\s*";
const TIMES: &str = "(ms|s|m|h|d)";
const SIZES: &str = "(B|KiB|MiB|GiB)";

#[test]
fn the_schema_for_editors_says_what_the_reader_says() {
    let schema = format!("{:#}\n", schema());
    let file = shipped("leeward.schema.json");
    if std::env::var_os("BLESS").is_some_and(|value| value == "1") {
        fs::write(&file, &schema).unwrap();
    }
    let there = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        there == schema,
        "config/leeward.schema.json is not what the reader says; BLESS=1 writes it"
    );
}

#[test]
fn the_schema_takes_what_the_reader_takes() {
    let schema = schema();
    let mut texts: Vec<(String, String)> = files(&shipped(""), "toml")
        .into_iter()
        .map(|path| {
            (
                path.display().to_string(),
                fs::read_to_string(path).unwrap(),
            )
        })
        .collect();
    texts.push(("every example".to_owned(), uncommented()));
    let whole = config::effective(&config::parse("every", &uncommented()).unwrap());
    texts.push(("the whole configuration".to_owned(), whole));
    for (name, text) in texts {
        let faults = judged(&schema, &document(&text));
        assert!(faults.is_empty(), "{name}: {faults:#?}");
    }
}

#[test]
fn the_schema_refuses_what_the_reader_refuses_of_a_single_value() {
    let schema = schema();
    for name in [
        "types",
        "units",
        "unknown",
        "misplaced",
        "route-alone",
        "elsewhere",
    ] {
        let path = shipped("../tests/faulty").join(format!("{name}.toml"));
        let text = fs::read_to_string(path).unwrap();
        let faults = judged(&schema, &document(&text));
        assert!(!faults.is_empty(), "{name}.toml was taken");
    }
    for text in [
        "[edge]\nthreads = 65",
        "[edge]\nlisten = [1]",
        "[origin]\nprofile = \"nginx\"",
        "[origin.process]\nenvironment = { A = 1 }",
        "[edge.deadlines]\nbody_pace = \"fast\"",
        "[restart]\ncore = \"yes\"",
    ] {
        assert!(config::parse("t", text).is_err(), "{text}");
        assert!(!judged(&schema, &document(text)).is_empty(), "{text}");
    }
}

/// The whole schema.
fn schema() -> Value {
    let documented = Documented::read();
    let mut root = section("", &documented);
    root["$schema"] = "http://json-schema.org/draft-07/schema#".into();
    root["title"] = "Leeward's configuration".into();
    root
}

/// What one section takes; `header` is its line.
fn section(header: &str, documented: &Documented) -> Value {
    let mut properties = Map::new();
    for known in known_in(header) {
        let name = known.trim_matches(['[', ']']);
        let short = name.rsplit('.').next().unwrap();
        let value = match known.starts_with('[') {
            true => section(&known, documented),
            false => key(header, name, documented),
        };
        properties.insert(short.to_owned(), value);
    }
    let mut told =
        json!({ "type": "object", "additionalProperties": false, "properties": properties });
    match header {
        "[[route]]" => told["required"] = json!(["path"]),
        "[[edge.tls.certificates]]" => told["required"] = json!(["certificate", "key"]),
        _ => {}
    }
    if let Some(reason) = documented.reasons.get(header) {
        told["description"] = reason.as_str().into();
    }
    match header.starts_with("[[") {
        true => json!({ "type": "array", "items": told }),
        false => told,
    }
}

/// What one key takes, as the reader says when it is given something else.
fn key(header: &str, name: &str, documented: &Documented) -> Value {
    let whole = format!("{}.{name}", header.trim_matches(['[', ']']));
    let ask = |value: &str| refused(header, name, &whole, value);
    let mut told = match ask("true") {
        None => json!({ "type": "boolean" }),
        Some((message, remedy)) => {
            let wanted = message.split(" is wanted here").next().unwrap();
            let mut told = match wanted {
                "a duration" => text(&format!("^{NUMBER}{TIMES}$")),
                "a size" => json!({ "anyOf": [
                    text(&format!("^{NUMBER}{SIZES}$")),
                    { "type": "integer", "minimum": 0 },
                ] }),
                "a pace" => text(&format!("^{NUMBER}{SIZES}/s after {NUMBER}{TIMES}$")),
                "a whole number" => number(&ask("99999999999999999999").unwrap().1),
                "a list of texts" => json!({ "type": "array", "items": { "type": "string" } }),
                "a table of texts" => {
                    json!({ "type": "object", "additionalProperties": { "type": "string" } })
                }
                "a text" => words(&remedy).unwrap_or_else(|| match ask("[true]") {
                    Some((message, _)) if message.contains("not a boolean") => json!({ "anyOf": [
                        { "type": "string" },
                        { "type": "array", "items": { "type": "string" } },
                    ] }),
                    _ => json!({ "type": "string" }),
                }),
                other => panic!("{whole} wants {other}: {message}; {remedy}"),
            };
            let special = ["off", "auto"].map(|word| (word, format!("or \"{word}\"")));
            for (word, end) in special {
                let is_text = told["type"] == "string" && told.get("pattern").is_none();
                if remedy.ends_with(&end) && !is_text {
                    let mut either = match told.get("anyOf") {
                        Some(either) => either.as_array().unwrap().clone(),
                        None => vec![told],
                    };
                    either.push(json!({ "const": word }));
                    told = json!({ "anyOf": either });
                }
            }
            told
        }
    };
    if let Some(reason) = documented.reasons.get(&whole) {
        told["description"] = reason.as_str().into();
    }
    if let Some(default) = documented.defaults.get(&whole) {
        told["default"] = default.clone();
    }
    told
}

fn text(pattern: &str) -> Value {
    json!({ "type": "string", "pattern": pattern })
}

/// From a remedy like `choose one from 1 to 64`.
fn number(remedy: &str) -> Value {
    let mut bounds = remedy
        .split(|c: char| !c.is_ascii_digit())
        .filter(|it| !it.is_empty());
    let mut bound = || bounds.next().unwrap().parse::<u64>().unwrap();
    json!({ "type": "integer", "minimum": bound(), "maximum": bound() })
}

/// From a remedy like `choose one of "1.0", "1.1"`.
fn words(remedy: &str) -> Option<Value> {
    let list = remedy.strip_prefix("choose one of ")?;
    let words: Vec<_> = list
        .split(", ")
        .map(|word| word.trim_matches('"'))
        .collect();
    Some(json!({ "enum": words }))
}

/// What the reader says of this value for this key: what is wrong, and what would be right.
fn refused(header: &str, name: &str, whole: &str, value: &str) -> Option<(String, String)> {
    let faults = config::parse("t", &format!("{header}\n{name} = {value}\n")).err()?;
    let fault = faults.faults.into_iter().find(|fault| fault.key == whole)?;
    Some((fault.message, fault.remedy))
}

/// The keys and sections the reader knows in a section, as it tells them.
fn known_in(header: &str) -> Vec<String> {
    let faults = config::parse("t", &format!("{header}\nzzzzzzzz = 1\n")).unwrap_err();
    let list = |fault: &config::Fault| Some(fault.remedy.strip_prefix("known here: ")?.to_owned());
    let list = faults.faults.iter().find_map(list).unwrap();
    list.split(", ").map(str::to_owned).collect()
}

/// What `config/leeward.toml` says.
struct Documented {
    /// The comment above each key and section.
    reasons: BTreeMap<String, String>,
    defaults: BTreeMap<String, Value>,
}

impl Documented {
    fn read() -> Self {
        let text = fs::read_to_string(shipped("leeward.toml")).unwrap();
        let mut it = Self {
            reasons: BTreeMap::new(),
            defaults: BTreeMap::new(),
        };
        let (mut header, mut comment) = (String::new(), Vec::new());
        for line in text.lines() {
            let said = example(line).unwrap_or(line);
            if let Some(prose) = said.strip_prefix('#') {
                comment.push(prose.trim());
            } else if said.starts_with('[') {
                header = said.to_owned();
                it.reasons
                    .insert(header.clone(), comment.join(" ").trim().to_owned());
                comment.clear();
            } else if let Some((key, _)) = said.split_once(" = ") {
                let whole = format!("{}.{key}", header.trim_matches(['[', ']']));
                if !comment.is_empty() {
                    it.reasons.insert(whole, comment.join(" "));
                }
            } else {
                comment.clear();
            }
        }
        collect("", &document(&text), &mut it.defaults);
        it
    }
}

/// Every value that is no table, by its whole name.
fn collect(name: &str, value: &Value, into: &mut BTreeMap<String, Value>) {
    match value.as_object() {
        None => drop(into.insert(name.to_owned(), value.clone())),
        Some(table) => {
            for (key, value) in table {
                let dot = if name.is_empty() { "" } else { "." };
                collect(&format!("{name}{dot}{key}"), value, into);
            }
        }
    }
}

fn document(text: &str) -> Value {
    let (table, _) = DeTable::parse_recoverable(text);
    self::table(table.get_ref())
}

fn table(table: &DeTable<'_>) -> Value {
    let pair = |(key, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
        let key: &std::borrow::Cow<'_, str> = key.get_ref();
        (key.to_string(), value_of(value.get_ref()))
    };
    Value::Object(table.iter().map(pair).collect())
}

fn value_of(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Integer(number) => {
            let digits = number.as_str().replace('_', "");
            i64::from_str_radix(&digits, number.radix()).map_or(json!(1e300), Value::from)
        }
        DeValue::Float(_) => json!(0.5),
        DeValue::Boolean(is) => Value::from(*is),
        DeValue::Datetime(_) => Value::Null,
        DeValue::Array(many) => many.iter().map(|one| value_of(one.get_ref())).collect(),
        DeValue::Table(inner) => table(inner),
    }
}

/// What the schema says is wrong with a value: as much of JSON Schema as is used above.
fn judged(schema: &Value, value: &Value) -> Vec<String> {
    if let Some(either) = schema["anyOf"].as_array() {
        let fits = either.iter().any(|one| judged(one, value).is_empty());
        return if fits {
            Vec::new()
        } else {
            vec![format!("{value} is none of {either:?}")]
        };
    }
    if let Some(word) = schema.get("const") {
        return if word == value {
            Vec::new()
        } else {
            vec![format!("{value} is not {word}")]
        };
    }
    if let Some(words) = schema["enum"].as_array() {
        let fits = words.contains(value);
        return if fits {
            Vec::new()
        } else {
            vec![format!("{value} is none of {words:?}")]
        };
    }
    let fits = match schema["type"].as_str().expect("a type") {
        "boolean" => value.is_boolean(),
        "integer" => value.as_i64().is_some_and(|it| {
            let least = schema["minimum"].as_i64().unwrap_or(i64::MIN);
            (least..=schema["maximum"].as_i64().unwrap_or(i64::MAX)).contains(&it)
        }),
        "string" => value.as_str().is_some_and(|text| {
            schema["pattern"]
                .as_str()
                .is_none_or(|pattern| matches(pattern, text))
        }),
        "array" => {
            let Some(many) = value.as_array() else {
                return vec![format!("{value} is no list")];
            };
            return many
                .iter()
                .flat_map(|one| judged(&schema["items"], one))
                .collect();
        }
        "object" => return judged_table(schema, value),
        other => panic!("{other}"),
    };
    if fits {
        Vec::new()
    } else {
        vec![format!("{value} is not {schema}")]
    }
}

fn judged_table(schema: &Value, value: &Value) -> Vec<String> {
    let Some(table) = value.as_object() else {
        return vec![format!("{value} is no table")];
    };
    let required = schema["required"].as_array().into_iter().flatten();
    let missing = required.filter(|key| !table.contains_key(key.as_str().unwrap()));
    let mut faults: Vec<String> = missing.map(|key| format!("{key} is missing")).collect();
    for (key, value) in table {
        let known = schema["properties"].get(key);
        match known.or(schema
            .get("additionalProperties")
            .filter(|it| it.is_object()))
        {
            Some(schema) => faults.extend(judged(schema, value)),
            None => faults.push(format!("{key} is not known")),
        }
    }
    faults
}

/// Whether a text is of one of the three patterns there are.
fn matches(pattern: &str, text: &str) -> bool {
    let is = |text: &str, units: &str| {
        let end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let mut units = units.trim_matches(['(', ')']).split('|');
        number.parse::<f64>().is_ok() && units.any(|it| it == unit.trim_start())
    };
    match pattern {
        _ if pattern.contains("after") => text
            .split_once("/s after ")
            .is_some_and(|(rate, after)| is(rate, SIZES) && is(after, TIMES)),
        _ if pattern.ends_with(&format!("{TIMES}$")) => is(text, TIMES),
        _ => is(text, SIZES),
    }
}
