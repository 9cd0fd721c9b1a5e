//! What the packages are to have, as `Cargo.toml` says it for each kind: the same files, and all that there are.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// A name in one kind of package that is another in the other: Debian's own way with licences and with linters.
const DEBIAN_ALONE: [&str; 2] = [
    "packaging/deb/lintian-overrides",
    "target/packaging/LIBRARIES.gz",
];
const RPM_ALONE: [&str; 3] = [
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "target/packaging/LIBRARIES",
];

#[test]
fn both_kinds_of_package_have_the_same_files() {
    let metadata = metadata();
    let debian = sources(&metadata["deb"], &DEBIAN_ALONE);
    let rpm = sources(&metadata["generate-rpm"], &RPM_ALONE);
    assert_eq!(debian, rpm);
    assert!(debian.len() > 10, "{debian:?}");
}

#[test]
fn what_is_shipped_is_in_the_packages_and_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = sources(&metadata()["deb"], &[]);
    for source in sources.iter().filter(|it| !it.starts_with("target/")) {
        assert!(root.join(source.trim_end_matches('*')).exists(), "{source}");
    }
    for folder in ["config", "systemd", "systemd/examples"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{folder}/{}", path.file_name().unwrap().to_string_lossy());
            let is_there = sources.contains(&name) || sources.contains(&format!("{folder}/*"));
            assert!(is_there || path.is_dir(), "{name} is in no package");
        }
    }
}

/// As cargo reads it.
fn metadata() -> Value {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--no-deps", "--format-version=1", "--offline"]);
    let asked = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let told = asked.expect("cargo is there").stdout;
    let told: Value = serde_json::from_slice(&told).expect("it is JSON");
    told["packages"][0]["metadata"].clone()
}

/// Where the files of a kind of package come from, but these; a page of the manual is the same one compressed.
fn sources(kind: &Value, but: &[&str]) -> BTreeSet<String> {
    let assets = kind["assets"].as_array().expect("a list");
    let named = assets.iter().map(|asset| match asset {
        Value::Array(parts) => parts[0].as_str(),
        table => table["source"].as_str(),
    });
    let named = named.map(|name| name.expect("a source").replace(".1.gz", ".1"));
    named.filter(|name| !but.contains(&name.as_str())).collect()
}
