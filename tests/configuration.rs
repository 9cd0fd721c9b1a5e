//! What the shipped configurations say, and what is said of faulty ones, word by word.
//!
//! `BLESS=1 cargo test --test configuration` writes what is said today beside each file of `tests/faulty`;
//! read the difference with a human eye before committing it.

#[path = "configuration/packages.rs"]
mod packages;
#[path = "configuration/proofs.rs"]
mod proofs;
#[path = "configuration/schema.rs"]
mod schema;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use leeward::config;
use leeward::config::settings::{Bundled, Identity, Process, Settings};

#[test]
fn the_documented_configuration_is_the_default_one() {
    let settings = config::load(&shipped("leeward.toml")).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(settings, Settings::default());
}

#[test]
fn every_key_is_documented() {
    let text = fs::read_to_string(shipped("leeward.toml")).unwrap();
    let documented = documented(&text);
    let known = known("");
    assert!(
        known.len() >= 50,
        "the reader was not asked well: {known:#?}"
    );
    let missing: Vec<_> = known.difference(&documented).collect();
    assert!(missing.is_empty(), "not documented: {missing:#?}");
    let invented: Vec<_> = documented.difference(&known).collect();
    assert!(
        invented.is_empty(),
        "documented, but no such key: {invented:#?}"
    );
}

#[test]
fn every_example_for_a_key_without_a_default_is_accepted() {
    let settings =
        config::parse("leeward.toml", &uncommented()).unwrap_or_else(|faults| panic!("{faults}"));
    assert!(matches!(settings.edge.tls.identity, Identity::Files { .. }));
    assert!(matches!(settings.origin.process, Process::Command(_)));
    assert!(settings.origin.probe.host.is_some());
    assert!(settings.incidents.directory.is_some());
    assert!(!settings.hooks.before_kill.words.is_empty());
    assert!(!settings.hooks.on_incident.words.is_empty());
    assert!(!settings.hooks.on_degraded.words.is_empty());
    assert!(settings.pages.unavailable.is_some());
}

#[test]
fn every_example_for_the_bundled_origin_is_accepted_and_tells_its_defaults() {
    let text = fs::read_to_string(shipped("leeward.toml")).unwrap();
    let mut header = "";
    let keys = text.lines().filter_map(|line| {
        let said = example(line).unwrap_or(line);
        if said.starts_with('[') {
            header = said;
        }
        (header == BUNDLED).then_some(said)
    });
    let text = keys.flat_map(|line| [line, "\n"]).collect::<String>();
    let settings = config::parse("bundled", &text).unwrap_or_else(|faults| panic!("{faults}"));
    let Process::Bundled(said) = settings.origin.process else {
        panic!("{text}");
    };
    let documented = Bundled {
        root: said.root.clone(),
        not_found: said.not_found.clone(),
        cache: said.cache.clone(),
        cgi: said.cgi.clone(),
        ..Bundled::default()
    };
    assert_eq!(said, documented);
    assert!(said.root.is_some() && said.cgi.is_some() && said.not_found.is_some());
    assert_eq!(said.cache.len(), 2);
}

/// Each block of lines that begin with two signs is one way, with its section to itself.
#[test]
fn every_example_of_another_way_is_accepted() {
    let text = fs::read_to_string(shipped("leeward.toml")).unwrap();
    let lines: Vec<_> = text.lines().map(other).collect();
    let ways: Vec<_> = lines.split(Option::is_none).collect();
    let ways: Vec<_> = ways.into_iter().filter(|way| !way.is_empty()).collect();
    assert!(ways.len() >= 5, "only {} ways were found", ways.len());
    for way in ways {
        let keys: Vec<_> = way.iter().copied().flatten().collect();
        let before = "[origin]\naddress = \"127.0.0.1:8080\"\n[origin.process]";
        let text = format!("{before}\n{}\n", keys.join("\n"));
        let settings = config::parse("way.toml", &text).unwrap_or_else(|faults| panic!("{faults}"));
        let process = settings.origin.process;
        assert!(!matches!(process, Process::Command(_) | Process::Observed));
    }
}

#[test]
fn every_shipped_configuration_is_accepted() {
    let mut read = 0;
    for path in files(&shipped(""), "toml") {
        if let Err(error) = config::load(&path) {
            panic!("{error}");
        }
        read += 1;
    }
    assert!(read >= 3, "only {read} files were found");
}

#[test]
fn the_configurations_in_pods_are_accepted() {
    let manifests = files(&shipped(""), "yaml");
    assert_eq!(manifests.len(), 2, "{manifests:?}");
    for path in manifests {
        let manifest = fs::read_to_string(&path).unwrap();
        let (_, rest) = manifest.split_once("  leeward.toml: |\n").unwrap();
        let lines = rest.lines().map_while(|line| line.strip_prefix("    "));
        let text: String = lines.flat_map(|line| [line, "\n"]).collect();
        assert!(text.contains("[origin]"), "{text}");
        config::parse("leeward.toml", &text).unwrap_or_else(|faults| panic!("{faults}"));
    }
}

/// Nobody has said yet what is served, so that nothing is; filled in, it is good.
#[test]
fn the_configuration_of_the_packages_waits_to_be_filled_in() {
    let text = fs::read_to_string(shipped("../packaging/leeward.toml")).unwrap();
    let said = config::parse("leeward.toml", &text)
        .unwrap_err()
        .to_string();
    for key in [": origin.address: ", ": origin.process.command: "] {
        assert!(said.contains(key), "{said}");
    }
    assert!(said.ends_with("leeward.toml: 2 faults"), "{said}");
    let filled = text
        .replace("\"\"", "\"127.0.0.1:8080\"")
        .replace("[]", "[\"server\"]");
    config::parse("leeward.toml", &filled).unwrap_or_else(|faults| panic!("{faults}"));
}

#[test]
fn an_empty_configuration_is_the_default_one() {
    for text in [
        "",
        "\n",
        "# nothing yet\n",
        "\u{feff}",
        "[edge]\r\n[origin.probe]\r\n",
    ] {
        assert_eq!(config::parse("empty.toml", text), Ok(Settings::default()));
    }
}

#[test]
fn faults_are_told_word_by_word() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faulty");
    let bless = std::env::var_os("BLESS").is_some_and(|value| value == "1");
    let mut wrong = Vec::new();
    let faulty = files(&folder, "toml");
    assert!(faulty.len() >= 20, "only {} files were found", faulty.len());
    for path in &faulty {
        let name = path.file_name().unwrap().to_str().unwrap();
        let text = fs::read_to_string(path).unwrap();
        let said = match config::parse(name, &text) {
            Ok(_) => panic!("{name} was accepted"),
            Err(faults) => format!("{faults}\n"),
        };
        let golden = path.with_extension("txt");
        if bless {
            fs::write(&golden, &said).unwrap();
        }
        let wanted = fs::read_to_string(&golden).unwrap_or_default();
        if said != wanted {
            wrong.push(format!("{name}\n--- wanted\n{wanted}--- said\n{said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let orphans: Vec<_> = files(&folder, "txt")
        .into_iter()
        .filter(|golden| !golden.with_extension("toml").exists())
        .collect();
    assert!(orphans.is_empty(), "without a configuration: {orphans:?}");
}

/// The section that does not go together with another origin's.
const BUNDLED: &str = "[origin.bundled]";

/// The documented configuration with every example in it set, those of the bundled origin aside.
fn uncommented() -> String {
    let text = fs::read_to_string(shipped("leeward.toml")).unwrap();
    let mut header = "";
    let lines = text.lines().map(|line| {
        let said = example(line).unwrap_or(line);
        if said.starts_with('[') {
            header = said;
        }
        if header == BUNDLED { "" } else { said }
    });
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// Every key the reader knows in `section` and below, by its whole name: asked of the reader itself, which
/// tells what it knows when it is given a key that is like none.
fn known(section: &str) -> BTreeSet<String> {
    let text = format!("{section}\nzzzzzzzz = 1\n");
    let faults = match config::parse("stranger.toml", &text) {
        Ok(_) => panic!("a key that is like none was taken by {section}"),
        Err(faults) => faults.faults,
    };
    let lists: Vec<_> = faults
        .iter()
        .filter_map(|fault| fault.remedy.strip_prefix("known here: "))
        .collect();
    let [list] = lists[..] else {
        panic!("no list of keys: {faults:?}")
    };
    list.split(", ")
        .flat_map(|known_here| match known_here.starts_with('[') {
            true => known(known_here),
            false => BTreeSet::from([whole(section, known_here)]),
        })
        .collect()
}

fn whole(section: &str, key: &str) -> String {
    format!("{}.{key}", section.trim_matches(['[', ']']))
}

/// Every key that a text sets or shows an example of, by its whole name.
fn documented(text: &str) -> BTreeSet<String> {
    let mut section = "";
    let mut keys = BTreeSet::new();
    for line in text.lines() {
        let line = example(line).or_else(|| other(line)).unwrap_or(line);
        if line.starts_with('[') {
            section = line;
        } else if !line.starts_with('#')
            && let Some((key, _)) = line.split_once(" = ")
        {
            keys.insert(whole(section, key));
        }
    }
    keys
}

/// The example in a line like `#key = value` or `#[section]`; prose has a space after its sign.
fn example(line: &str) -> Option<&str> {
    line.strip_prefix('#')
        .filter(|rest| rest.starts_with(|first: char| first == '[' || first.is_ascii_lowercase()))
}

/// The line of another way, like `##key = value`.
fn other(line: &str) -> Option<&str> {
    line.strip_prefix("##")
}

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("config")
        .join(name)
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}
