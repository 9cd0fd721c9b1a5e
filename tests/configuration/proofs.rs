//! What follows from configurations, word by word; and the whole configuration, which is the same one.
//!
//! `BLESS=1 cargo test --test configuration` writes what is said today beside each file of `tests/proofs`; read the difference
//! with a human eye before committing it.

use std::fs;
use std::path::Path;

use leeward::config;
use leeward::config::proof::Proof;
use leeward::ground::ink::Ink;

use super::{documented, files, known, shipped, uncommented};

#[test]
fn what_follows_is_told_word_by_word() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/proofs");
    let bless = std::env::var_os("BLESS").is_some_and(|value| value == "1");
    let mut wrong = Vec::new();
    let all = files(&folder, "toml");
    assert!(all.len() >= 4, "only {} files were found", all.len());
    for path in &all {
        let settings = config::load(path).unwrap_or_else(|error| panic!("{error}"));
        let proof = Proof::of(&settings);
        let mut said = proof.for_people(Ink::Plain);
        if path.file_stem().is_some_and(|name| name == "default") {
            said.push_str(&format!("\n{:#}\n", proof.for_programs()));
        }
        let golden = path.with_extension("txt");
        if bless {
            fs::write(&golden, &said).unwrap();
        }
        let wanted = fs::read_to_string(&golden).unwrap_or_default();
        if said != wanted {
            wrong.push(format!(
                "{}\n--- wanted\n{wanted}--- said\n{said}",
                path.display()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_whole_configuration_is_the_same_one() {
    let mut texts = vec![String::new(), uncommented()];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in [shipped(""), root.join("tests/proofs")] {
        let read = |path| fs::read_to_string(path).unwrap();
        texts.extend(files(&folder, "toml").into_iter().map(read));
    }
    for text in texts {
        let settings = config::parse("t", &text).unwrap_or_else(|faults| panic!("{faults}"));
        let whole = config::effective(&settings);
        assert_eq!(config::parse("whole", &whole), Ok(settings), "{whole}");
    }
}

#[test]
fn the_whole_configuration_has_every_key() {
    // Each kind of origin has keys of its own, and no file has them all.
    let kinds = [
        "command = [\"d\"]\npid_file = \"/run/d.pid\"",
        "unit = \"d.service\"",
        "pid_file = \"/run/d.pid\"\nstart = [\"a\"]\nstop = [\"b\"]\nrestart = [\"c\"]",
    ];
    let of_kind = |keys| format!("[origin]\naddress = \"127.0.0.1:1\"\n[origin.process]\n{keys}\n");
    let mut missing = known("");
    let bundled = "[origin.bundled]\nroot = \"/r\"\ncgi = \"/c\"\nnot_found = \"/n\"\n".to_owned();
    for text in kinds
        .map(of_kind)
        .into_iter()
        .chain([uncommented(), bundled])
    {
        let settings = config::parse("t", &text).unwrap_or_else(|faults| panic!("{faults}"));
        let told = documented(&config::effective(&settings));
        missing.retain(|key| !told.contains(key));
    }
    // It is told by what it sets.
    assert_eq!(missing.into_iter().collect::<Vec<_>>(), ["origin.profile"]);
}
