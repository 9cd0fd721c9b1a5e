//! Reads the journal back: which incidents there are, each as it was written, and each in one line. Blocks.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use serde::Deserialize;

use super::cost::Cost;
use super::incident::Summary;

/// No incident is larger; most are some 10 KiB.
pub const LARGEST: u64 = 16 << 20;
/// The longest name: a moment, a generation, a verdict.
const LONGEST_NAME: usize = 128;
/// What is said of the verdict of a file that tells none.
const UNKNOWN: &str = "unknown";

/// The names of all incidents in a directory, the newest first.
///
/// # Errors
/// What the system said of the directory.
pub fn names(directory: &Path) -> io::Result<Vec<String>> {
    let name = |entry: io::Result<fs::DirEntry>| {
        let name = entry.ok()?.file_name().into_string().ok()?;
        let id = name.strip_suffix(".json")?;
        is_name(id).then(|| id.to_owned())
    };
    let mut names: Vec<String> = fs::read_dir(directory)?.filter_map(name).collect();
    names.sort_by(|one, other| other.cmp(one));
    Ok(names)
}

/// The file of the incident called `id`, which [`is_name`].
///
/// # Errors
/// What the system said; [`io::ErrorKind::FileTooLarge`] beyond [`LARGEST`].
pub fn text(directory: &Path, id: &str) -> io::Result<Vec<u8>> {
    if !is_name(id) {
        return Err(io::ErrorKind::NotFound.into());
    }
    let mut text = Vec::new();
    let file = File::open(directory.join(format!("{id}.json")))?;
    file.take(LARGEST + 1).read_to_end(&mut text)?;
    match text.len() as u64 > LARGEST {
        true => Err(io::ErrorKind::FileTooLarge.into()),
        false => Ok(text),
    }
}

/// An incident's file in one line. What can't be understood is told as such: that it is there matters.
pub fn summary(id: &str, text: &[u8]) -> Summary {
    let told = serde_json::from_slice::<Told>(text);
    let is_known = told.is_ok();
    let told = told.unwrap_or_default();
    let ended = told.ending.unwrap_or_default();
    Summary {
        id: id.to_owned(),
        opened: told.opened,
        verdict: match told.judgement.verdict.is_empty() {
            true => UNKNOWN.to_owned(),
            false => told.judgement.verdict,
        },
        sentence: match is_known {
            true => told.sentence,
            false => "its file cannot be understood".to_owned(),
        },
        downtime_seconds: ended.downtime_seconds,
        // An earlier version told the parts alone.
        unserved_seconds: ended
            .unserved_seconds
            .or_else(|| Some(ended.downtime_seconds? + ended.detection_seconds)),
        requests: ended.requests,
        part_of: told.part_of,
        is_on_disk: true,
    }
}

/// Whether an incident can be called so. Nothing that leads elsewhere can: no slash, no leading dot.
pub fn is_name(id: &str) -> bool {
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-';
    !id.is_empty() && id.len() <= LONGEST_NAME && !id.starts_with('.') && id.bytes().all(letters)
}

/// The part of an incident that a line tells; a file of another version may lack some of it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Told {
    opened: String,
    sentence: String,
    judgement: Judged,
    part_of: Option<String>,
    ending: Option<Ended>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Judged {
    verdict: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Ended {
    detection_seconds: f64,
    downtime_seconds: Option<f64>,
    unserved_seconds: Option<f64>,
    requests: Option<Cost>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_nowhere_but_into_the_journal() {
        assert!(is_name("20260131T081500.123Z-2-hung-blocked"));
        for id in [
            "", ".", "..", ".x", "../x", "a/b", "a%2fb", "a\\b", "a b", "a\0", "é",
        ] {
            assert!(!is_name(id), "{id}");
        }
        assert!(!is_name(&"a".repeat(129)));
    }

    #[test]
    fn the_newest_comes_first_and_what_is_no_incident_is_left_out() {
        let scratch = tempfile::tempdir().unwrap();
        for name in [
            "1.json", "3.json", "2.json", ".4.draft", "5.txt", "a b.json",
        ] {
            fs::write(scratch.path().join(name), "{}").unwrap();
        }
        assert_eq!(names(scratch.path()).unwrap(), ["3", "2", "1"]);
        assert!(names(&scratch.path().join("none")).is_err());
        assert_eq!(text(scratch.path(), "3").unwrap(), b"{}");
        let outside = text(&scratch.path().join("deeper"), "../3").unwrap_err();
        assert_eq!(outside.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_file_that_is_torn_or_of_another_version_is_told_as_far_as_it_goes() {
        let whole = br#"{"opened": "then", "sentence": "so", "judgement": {"verdict": "exited"}, "ending": null}"#;
        let told = summary("1", whole);
        assert_eq!(
            (told.verdict.as_str(), told.sentence.as_str()),
            ("exited", "so")
        );
        let other = summary("2", br#"{"sentence": "so", "more": 1}"#);
        assert_eq!(
            (other.verdict.as_str(), other.sentence.as_str()),
            ("unknown", "so")
        );
        let torn = summary("3", &whole[..20]);
        let early = br#"{"ending": {"detection_seconds": 1.5, "downtime_seconds": 0.25}}"#;
        assert_eq!(summary("4", early).unserved_seconds, Some(1.75));
        let open = br#"{"ending": {"detection_seconds": 1.5}, "part_of": "1"}"#;
        let open = summary("5", open);
        assert_eq!(
            (open.unserved_seconds, open.part_of.as_deref()),
            (None, Some("1"))
        );
        assert_eq!(torn.sentence, "its file cannot be understood");
    }
}
