//! The floor plan holds: arrows between rooms point one way, and what is called pure is pure.

use std::fs;
use std::path::{Path, PathBuf};

/// Which rooms a room may use; `origin` stands for its handle where `exchange` and `status` use it.
const MAY_USE: [(&str, &[&str]); 10] = [
    ("ground", &[]),
    ("config", &["ground"]),
    ("bundled", &["ground"]),
    ("origin", &["config", "ground"]),
    ("edge", &["config", "ground"]),
    ("exchange", &["config", "ground", "origin"]),
    ("status", &["config", "ground", "origin"]),
    (
        "app",
        &["config", "edge", "exchange", "ground", "origin", "status"],
    ),
    (
        "cli",
        &[
            "app", "bundled", "config", "edge", "ground", "origin", "status",
        ],
    ),
    ("main", &["cli"]),
];

/// Files that judge and decide, and touch nothing.
const PURE: [&str; 58] = [
    "src/bundled/caching.rs",
    "src/bundled/cgi/environment.rs",
    "src/bundled/cgi/reply.rs",
    "src/bundled/encoding.rs",
    "src/bundled/media.rs",
    "src/bundled/path.rs",
    "src/bundled/pattern.rs",
    "src/bundled/range.rs",
    "src/origin/lifecycle.rs",
    "src/origin/verdict.rs",
    "src/origin/attention.rs",
    "src/origin/cost.rs",
    "src/origin/course.rs",
    "src/origin/sender.rs",
    "src/status/timeline.rs",
    "src/origin/growth.rs",
    "src/origin/herald.rs",
    "src/origin/plight.rs",
    "src/origin/readying.rs",
    "src/origin/renewal.rs",
    "src/origin/quarantine.rs",
    "src/origin/will.rs",
    "src/origin/widening.rs",
    "src/origin/forensics/stuck.rs",
    "src/exchange/leg/framing.rs",
    "src/exchange/leg/parse.rs",
    "src/exchange/leg/write.rs",
    "src/exchange/head.rs",
    "src/exchange/redirect.rs",
    "src/exchange/rescue.rs",
    "src/exchange/replay.rs",
    "src/exchange/continuation.rs",
    "src/exchange/manners.rs",
    "src/edge/flood.rs",
    "src/edge/frames.rs",
    "src/edge/judge.rs",
    "src/edge/peer.rs",
    "src/exchange/terms.rs",
    "src/exchange/websocket.rs",
    "src/ground/redact.rs",
    "src/config/change.rs",
    "src/ground/trail.rs",
    "src/cli/log/entry.rs",
    "src/config/settings.rs",
    "src/config/effective/mod.rs",
    "src/config/fixed.rs",
    "src/config/proof/contradictions.rs",
    "src/config/proof/detection.rs",
    "src/config/proof/mod.rs",
    "src/config/proof/outages.rs",
    "src/config/proof/programs.rs",
    "src/config/proof/recovery.rs",
    "src/config/proof/room.rs",
    "src/config/proof/told.rs",
    "src/config/proof/waits.rs",
    "src/config/settings/longest.rs",
    "src/config/value.rs",
    "src/origin/forensics/stat.rs",
];

/// What a pure file must not name outside its tests.
const IMPURE: [&str; 11] = [
    "Instant::now",
    "deadline::now",
    "SystemTime",
    "std::fs",
    "std::net::Tcp",
    "std::process",
    "std::thread",
    "std::env",
    "tokio::",
    "async fn",
    "hyper::",
];

/// Words that name no place.
const NO_NAMES: [&str; 4] = ["util", "common", "helper", "manager"];

#[test]
fn arrows_between_rooms_point_one_way() {
    let mut wrong = Vec::new();
    for file in sources() {
        let room = room(&file);
        let (_, allowed) = MAY_USE
            .iter()
            .find(|(name, _)| *name == room)
            .unwrap_or_else(|| panic!("{} is in no room of the floor plan", file.display()));
        for used in rooms_used(&code(&file)) {
            if used != room && !allowed.contains(&used.as_str()) {
                wrong.push(format!("{} uses {used}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn pure_files_are_pure() {
    let mut wrong = Vec::new();
    for file in PURE {
        let code = code(Path::new(file));
        for impure in IMPURE.iter().filter(|impure| code.contains(**impure)) {
            wrong.push(format!("{file} names {impure}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_can_be_seen_whole_and_is_named_for_what_it_does() {
    let mut wrong = Vec::new();
    for file in sources() {
        let name = file.display().to_string();
        let lines = fs::read_to_string(&file)
            .expect("a source file")
            .lines()
            .count();
        if lines > 400 {
            wrong.push(format!("{name} has {lines} lines"));
        }
        if NO_NAMES.iter().any(|word| name.contains(word)) {
            wrong.push(format!("{name} has a name that names nothing"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn unsafe_code_has_one_room() {
    for file in sources() {
        let text = fs::read_to_string(&file).expect("a source file");
        let allows = text.contains("allow(unsafe_code)") || text.contains("unsafe {");
        assert!(
            !allows || file == Path::new("src/ground/sys.rs"),
            "{} is unsafe",
            file.display()
        );
    }
}

/// Every source file of the program.
fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            match path.extension().and_then(|end| end.to_str()) {
                Some("rs") if path != Path::new("src/lib.rs") => found.push(path),
                None if path.is_dir() => folders.push(path),
                _ => {}
            }
        }
    }
    assert!(found.len() > 50, "the sources were not found");
    found
}

fn room(file: &Path) -> String {
    let second = file.components().nth(1).expect("a file below src");
    let name = second.as_os_str().to_string_lossy();
    name.trim_end_matches(".rs").to_owned()
}

/// The code of a file without its comments and its tests.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The rooms named behind `crate::` or `leeward::`, in whatever form.
fn rooms_used(code: &str) -> Vec<String> {
    let mut used = Vec::new();
    for start in ["crate::", "leeward::"] {
        for (at, _) in code.match_indices(start) {
            let rest = &code[at + start.len()..];
            let names = match rest.strip_prefix('{') {
                Some(group) => group.split('}').next().unwrap_or_default(),
                None => rest,
            };
            for name in names
                .split(',')
                .take(if rest.starts_with('{') { 99 } else { 1 })
            {
                let name: String = name
                    .trim()
                    .chars()
                    .take_while(|c| c.is_ascii_lowercase() || *c == '_')
                    .collect();
                used.push(name);
            }
        }
    }
    used.retain(|name| !name.is_empty());
    used
}
