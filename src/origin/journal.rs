//! The journal: a directory of incidents, each written whole or not at all. The oldest are dropped.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::evidence::aside;
use super::incident::Incident;

/// The journal. Its files are what there is; nothing of it is held in memory.
#[derive(Debug, Clone)]
pub struct Journal {
    directory: PathBuf,
    retention: Retention,
    /// One writes at a time: of two steps of one incident, the later must not be undone by the earlier.
    writing: Arc<Mutex<()>>,
}

/// What is kept of incidents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// How many, 1 at the least.
    pub count: usize,
    /// How old they become; `None` is without an end.
    pub age: Option<Duration>,
}

/// How the name of an incident begins: its moment, UTC. Names sort by age.
pub const MOMENT: &str = "%Y%m%dT%H%M%S.%3fZ";
/// How often the oldest are looked for where nothing happens.
const SWEEP: Duration = Duration::from_secs(3600);
/// A sweep that takes longer is left to itself: the disk is slow or dead.
const SWEEPING: Duration = Duration::from_secs(10);

impl Journal {
    /// A journal in `directory`, made if it is missing.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn open(directory: PathBuf, retention: Retention) -> io::Result<Self> {
        fs::create_dir_all(&directory)?;
        Ok(Self {
            directory,
            retention,
            writing: Arc::default(),
        })
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
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.directory.join(format!("{}.json", incident.id));
        let draft = self.directory.join(format!(".{}.draft", incident.id));
        let mut text = serde_json::to_vec_pretty(incident)?;
        text.push(b'\n');
        // Before the writing, too: a full disk may be full of old incidents.
        self.prune(Some(&path), Timestamp::now());
        let written = put(&draft, &text).and_then(|()| fs::rename(&draft, &path));
        if let Err(error) = written {
            let _ = fs::remove_file(&draft);
            return Err(error);
        }
        File::open(&self.directory)?.sync_all()?;
        Ok(path)
    }

    /// Drops what is too old, now and then, for ever.
    pub async fn sweep(self) {
        loop {
            let journal = self.clone();
            let _ = aside(SWEEPING, move || journal.prune(None, Timestamp::now())).await;
            tokio::time::sleep(SWEEP).await;
        }
    }

    /// Drops the oldest incidents, so that with the `newest` there are no more than are kept, and those that are too
    /// old at `now`. Their names begin with the time, so they sort by age; the newest is spared though a clock set
    /// back make it look old.
    fn prune(&self, newest: Option<&Path>, now: Timestamp) {
        let Ok(entries) = fs::read_dir(&self.directory) else {
            return;
        };
        let mut paths: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|end| end == "json"))
            .filter(|path| newest != Some(path))
            .collect();
        paths.sort();
        let room = self.retention.count.max(1) - usize::from(newest.is_some());
        let surplus = paths.len().saturating_sub(room);
        let oldest = self.retention.age.and_then(|age| now.checked_sub(age).ok());
        let oldest = oldest.map(|oldest| oldest.strftime(MOMENT).to_string());
        let is_old = |path: &Path| {
            oldest
                .as_deref()
                .is_some_and(|oldest| is_before(path, oldest))
        };
        for (place, path) in paths.iter().enumerate() {
            if place >= surplus && !is_old(path) {
                continue;
            }
            match fs::remove_file(path) {
                Ok(()) => tracing::debug!(file = %path.display(), "an old incident is dropped"),
                Err(error) => {
                    tracing::warn!(%error, file = %path.display(), "cannot drop an old incident")
                }
            }
        }
    }
}

/// Whether a file is named by a moment, and by one before `oldest`. Others have no age that could be trusted.
fn is_before(path: &Path, oldest: &str) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let moment = name.and_then(|name| name.get(..oldest.len()));
    let has_shape = |moment: &str| {
        moment.bytes().enumerate().all(|(at, byte)| match at {
            8 => byte == b'T',
            15 => byte == b'.',
            19 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        })
    };
    moment.is_some_and(|moment| has_shape(moment) && moment < oldest)
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
    use crate::origin::incident::SCHEMA;
    use crate::origin::pid::Pid;
    use crate::origin::verdict::{Confidence, Judgement, Verdict};

    const TWO: Retention = Retention {
        count: 2,
        age: None,
    };

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
            timeline: crate::origin::course::Course::new(
                std::time::Instant::now(),
                Timestamp::UNIX_EPOCH,
            ),
            visits: Vec::new(),
            output: vec!["last words".to_owned()],
            findings: None,
            growth: Default::default(),
            before_kill: None,
            unread: Vec::new(),
            quarantined: None,
            part_of: None,
            ending: None,
        }
    }

    #[test]
    fn the_oldest_incidents_give_way_and_no_draft_is_left() {
        let scratch = tempfile::tempdir().unwrap();
        let journal = Journal::open(scratch.path().join("deep/er"), TWO).unwrap();
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
        let journal = Journal::open(scratch.path().to_owned(), TWO).unwrap();
        // In the way of the last step, as a disk that fills up would be of one before.
        fs::create_dir(scratch.path().join("1.json")).unwrap();
        assert!(journal.write(&incident("1")).is_err());
        let left = fs::read_dir(scratch.path()).unwrap().count();
        assert_eq!(left, 1);
    }

    #[test]
    fn the_newest_incident_is_kept_though_the_clock_was_set_back() {
        let scratch = tempfile::tempdir().unwrap();
        let journal = Journal::open(scratch.path().to_owned(), TWO).unwrap();
        for id in ["2030-a", "2030-b", "1970-a"] {
            let path = journal.write(&incident(id)).unwrap();
            assert!(path.exists(), "{id}");
        }
        assert!(scratch.path().join("2030-b.json").exists());
        assert!(!scratch.path().join("2030-a.json").exists());
    }

    #[test]
    fn what_is_too_old_goes_and_what_is_not_named_by_a_moment_stays() {
        let scratch = tempfile::tempdir().unwrap();
        let retention = Retention {
            count: 100,
            age: Some(Duration::from_secs(24 * 3600)),
        };
        let journal = Journal::open(scratch.path().to_owned(), retention).unwrap();
        let old = "20260130T081459.999Z-1-exited.json";
        let young = "20260130T081500.000Z-2-exited.json";
        let foreign = ["20260130.json", "notes.json", "20260130T081459x999Z.json"];
        for name in [old, young].into_iter().chain(foreign) {
            fs::write(scratch.path().join(name), "{}").unwrap();
        }
        let now: Timestamp = "2026-01-31T08:15:00Z".parse().unwrap();
        journal.prune(None, now);
        let is_there = |name: &str| scratch.path().join(name).exists();
        assert!(!is_there(old) && is_there(young));
        assert!(foreign.into_iter().all(is_there));
        journal.prune(
            Some(&scratch.path().join(young)),
            now + Duration::from_secs(1),
        );
        assert!(is_there(young), "the newest is spared");
        journal.prune(None, now + Duration::from_secs(1));
        assert!(!is_there(young));
    }
}
