//! An incident: the whole story of one generation's end, on disk before the first signal is sent.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::forensics::Findings;
use super::pid::Pid;
use super::roster::VisitSeen;
use super::verdict::Judgement;

/// The story, as far as it is known at the time of writing.
#[derive(Debug, Clone, Serialize)]
pub struct Incident {
    /// The version of this shape.
    pub schema: u32,
    /// Its name: the moment, the generation, the verdict.
    pub id: String,
    /// What a human can act on.
    pub sentence: String,
    /// When it was opened, RFC 3339.
    pub opened: String,
    /// Which generation.
    pub generation: u64,
    /// Its process.
    pub pid: Option<Pid>,
    /// The command that had started it.
    pub command: Option<String>,
    /// What was believed, and why.
    pub judgement: Judgement,
    /// The requests under way, the oldest first.
    pub visits: Vec<VisitSeen>,
    /// The last lines the origin wrote.
    pub output: Vec<String>,
    /// What the kernel told.
    pub findings: Option<Findings>,
    /// How it ended and what it cost; absent while it is open.
    pub ending: Option<Closing>,
}

/// How an incident ended.
#[derive(Debug, Clone, Serialize)]
pub struct Closing {
    /// How the process ended, in words.
    pub obituary: String,
    /// From the first sign to the verdict, in seconds.
    pub detection_seconds: f64,
    /// From the gate's shutting to its opening, in seconds; absent until it opens.
    pub downtime_seconds: Option<f64>,
}

/// An incident in one line, for a list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Its name.
    pub id: String,
    /// When it was opened, RFC 3339.
    pub opened: String,
    /// The word of the verdict.
    pub verdict: &'static str,
    /// What a human can act on.
    pub sentence: String,
    /// From the gate's shutting to its opening, in seconds, once it has opened.
    pub downtime_seconds: Option<f64>,
}

/// The journal: a directory of incidents, the oldest of which are dropped.
#[derive(Debug, Clone)]
pub struct Journal {
    directory: PathBuf,
    keep: usize,
}

/// The version of [`Incident`]'s shape.
pub const SCHEMA: u32 = 1;

impl Incident {
    /// It in one line.
    pub fn summary(&self) -> Summary {
        Summary {
            id: self.id.clone(),
            opened: self.opened.clone(),
            verdict: self.judgement.verdict.word(),
            sentence: self.sentence.clone(),
            downtime_seconds: self
                .ending
                .as_ref()
                .and_then(|ending| ending.downtime_seconds),
        }
    }
}

impl Journal {
    /// A journal in `directory`, made if it is missing, that keeps `keep` incidents.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn open(directory: PathBuf, keep: usize) -> io::Result<Self> {
        fs::create_dir_all(&directory)?;
        Ok(Self { directory, keep })
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Writes an incident, whole or not at all, and returns when it is on the disk. Blocks.
    ///
    /// # Errors
    /// What the system said.
    pub fn write(&self, incident: &Incident) -> io::Result<PathBuf> {
        let path = self.directory.join(format!("{}.json", incident.id));
        let draft = self.directory.join(format!(".{}.draft", incident.id));
        let mut text = serde_json::to_vec_pretty(incident)?;
        text.push(b'\n');
        // Before the writing, too: a full disk may be full of old incidents.
        self.prune(&path);
        let written = put(&draft, &text).and_then(|()| fs::rename(&draft, &path));
        if let Err(error) = written {
            let _ = fs::remove_file(&draft);
            return Err(error);
        }
        File::open(&self.directory)?.sync_all()?;
        Ok(path)
    }

    /// Drops the oldest incidents, so that with the `newest` there are no more than are kept. Their names begin
    /// with the time, so they sort by age; the newest is spared though a clock set back make it look old.
    fn prune(&self, newest: &Path) {
        let Ok(entries) = fs::read_dir(&self.directory) else {
            return;
        };
        let mut names: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|end| end == "json") && path != newest)
            .collect();
        names.sort();
        let surplus = (names.len() + 1).saturating_sub(self.keep.max(1));
        for name in &names[..surplus] {
            if let Err(error) = fs::remove_file(name) {
                tracing::warn!(%error, file = %name.display(), "cannot drop an old incident");
            }
        }
    }
}

/// Writes a file, and returns when it is on the disk.
fn put(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(text)?;
    file.sync_all()
}

/// Where incidents go when nobody says: the state directory of the service manager, of the system, or of the user.
pub fn default_directory() -> PathBuf {
    let of = |name: &str| std::env::var_os(name).map(PathBuf::from);
    if let Some(first) = std::env::var("STATE_DIRECTORY")
        .ok()
        .and_then(|all| all.split(':').next().map(PathBuf::from))
    {
        return first.join("incidents");
    }
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/lib/leeward/incidents");
    }
    of("XDG_STATE_HOME")
        .or_else(|| Some(of("HOME")?.join(".local/state")))
        .unwrap_or_else(std::env::temp_dir)
        .join("leeward/incidents")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::verdict::{Confidence, Verdict};

    fn incident(id: &str) -> Incident {
        Incident {
            schema: SCHEMA,
            id: id.to_owned(),
            sentence: "thread 1 sleeps".to_owned(),
            opened: "2026-01-01T00:00:00Z".to_owned(),
            generation: 1,
            pid: Pid::new(7),
            command: None,
            judgement: Judgement {
                verdict: Verdict::HungBlocked,
                confidence: Confidence::Inconclusive,
                evidence_for: Vec::new(),
                evidence_against: Vec::new(),
                act: true,
            },
            visits: Vec::new(),
            output: vec!["last words".to_owned()],
            findings: None,
            ending: None,
        }
    }

    #[test]
    fn the_oldest_incidents_give_way_and_no_draft_is_left() {
        let scratch = tempfile::tempdir().unwrap();
        let journal = Journal::open(scratch.path().join("deep/er"), 2).unwrap();
        for id in ["1", "2", "3"] {
            journal.write(&incident(id)).unwrap();
        }
        let mut left: Vec<_> = fs::read_dir(journal.directory())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["2.json", "3.json"]);
        let text = fs::read_to_string(journal.directory().join("3.json")).unwrap();
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["judgement"]["verdict"], "hung-blocked");
        assert_eq!(read["output"][0], "last words");
    }

    #[test]
    fn an_incident_that_cannot_be_written_leaves_no_draft() {
        let scratch = tempfile::tempdir().unwrap();
        let journal = Journal::open(scratch.path().to_owned(), 2).unwrap();
        // In the way of the last step, as a disk that fills up would be of one before.
        fs::create_dir(scratch.path().join("1.json")).unwrap();
        assert!(journal.write(&incident("1")).is_err());
        let left = fs::read_dir(scratch.path()).unwrap().count();
        assert_eq!(left, 1);
    }

    #[test]
    fn the_newest_incident_is_kept_though_the_clock_was_set_back() {
        let scratch = tempfile::tempdir().unwrap();
        let journal = Journal::open(scratch.path().to_owned(), 2).unwrap();
        for id in ["2030-a", "2030-b", "1970-a"] {
            let path = journal.write(&incident(id)).unwrap();
            assert!(path.exists(), "{id}");
        }
        assert!(scratch.path().join("2030-b.json").exists());
        assert!(!scratch.path().join("2030-a.json").exists());
    }
}
