//! Reads the journal for whoever asks: one incident by its name, or the last ones in a line each. The disk is given a
//! deadline and few threads, and what was read once is not read again.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::page::Neighbours;
use crate::ground::deadline::Deadline;
use crate::origin::incident::Summary;
use crate::origin::{Journal, records};

/// The journal as it is read here.
pub(super) struct Shelf {
    journal: Option<Journal>,
    readers: Arc<Semaphore>,
    known: Known,
}

/// Why there is no incident to give.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoIncident {
    /// No such name, or no journal.
    #[error("there is no such incident; /incidents lists the last hundred")]
    Unknown,
    /// It is larger than an incident can be.
    #[error("the incident's file is larger than 16 MiB; read it in the journal's directory")]
    TooLarge,
    /// All readers wait for the disk.
    #[error("the disk is slow, and enough readers wait for it already; try again later")]
    Busy,
    /// The disk did not answer in time.
    #[error("the disk did not give the incident within 2 s; try again later")]
    Slow,
    /// What the system said.
    #[error("the incident cannot be read: {0}")]
    Unreadable(io::Error),
}

/// The most incidents that are listed.
pub(super) const MOST: usize = 100;
/// A healthy disk needs milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);
/// The watch needs the same pool of threads for its own files: a dead disk must not let pages take them all.
const READERS: usize = 4;

/// The lines of incidents that were read, each with the time at which its file was last changed.
type Known = Arc<Mutex<HashMap<String, (SystemTime, Summary)>>>;

impl Shelf {
    pub(super) fn new(journal: Option<Journal>) -> Self {
        Self {
            journal,
            readers: Arc::new(Semaphore::new(READERS)),
            known: Known::default(),
        }
    }

    /// The file of the incident called `id`.
    ///
    /// # Errors
    /// [`NoIncident`].
    pub(super) async fn incident(&self, id: &str) -> Result<Bytes, NoIncident> {
        let journal = self.journal.as_ref().filter(|_| records::is_name(id));
        let directory = journal.ok_or(NoIncident::Unknown)?.directory().to_owned();
        let id = id.to_owned();
        let read = self.read(move || records::text(&directory, &id)).await?;
        read.map(Bytes::from).map_err(|cause| match cause.kind() {
            io::ErrorKind::NotFound => NoIncident::Unknown,
            io::ErrorKind::FileTooLarge => NoIncident::TooLarge,
            _ => NoIncident::Unreadable(cause),
        })
    }

    /// The last incidents, `most` of them and never more than [`MOST`], the newest first: those that are in the
    /// journal, and those of this run that could not be written. From a disk that gives nothing in time, what it gave
    /// before.
    pub(super) async fn list(&self, told: Vec<Summary>, most: usize) -> Vec<Summary> {
        let directory = self.journal.as_ref().map(|it| it.directory().to_owned());
        let known = self.known.clone();
        let is_fresh = match directory {
            None => false,
            Some(directory) => {
                let refreshed = self.read(move || refresh(&directory, &known)).await;
                matches!(refreshed, Ok(Ok(())))
            }
        };
        let known = locked(&self.known);
        let on_disk = known.values().map(|(_, summary)| summary.clone());
        joined(on_disk.collect(), told, is_fresh, most.min(MOST))
    }

    /// Those before and after this one, among the last [`MOST`] in the journal.
    pub(super) async fn beside(&self, id: &str) -> Neighbours {
        let all = self.list(Vec::new(), MOST).await;
        let place = all.iter().position(|it| it.id == id);
        let named = |place: Option<usize>| Some(all.get(place?)?.id.clone());
        Neighbours {
            before: named(place.map(|place| place + 1)),
            after: named(place.and_then(|place| place.checked_sub(1))),
        }
    }

    /// The same without a look at the disk: what is told of this run, and what the disk gave before.
    pub(super) fn recall(&self, told: Vec<Summary>, most: usize) -> Vec<Summary> {
        let mut known = HashMap::new();
        for (_, summary) in locked(&self.known).values() {
            known.insert(summary.id.clone(), summary.clone());
        }
        known.extend(told.into_iter().map(|it| (it.id.clone(), it)));
        joined(
            known.into_values().collect(),
            Vec::new(),
            false,
            most.min(MOST),
        )
    }

    /// Has the disk read by one of the few threads.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NoIncident> {
        let reader = self.readers.clone().try_acquire_owned();
        let reader = reader.map_err(|_| NoIncident::Busy)?;
        let deadline = Deadline::within(PATIENCE);
        let reading = tokio::task::spawn_blocking(move || {
            let read = work();
            // Given back when the disk has answered, not when we stopped waiting for it.
            drop(reader);
            read
        });
        match deadline.bound(reading).await {
            Err(_) => Err(NoIncident::Slow),
            Ok(Err(ended)) => Err(NoIncident::Unreadable(io::Error::other(ended))),
            Ok(Ok(read)) => Ok(read),
        }
    }
}

/// Reads what is new or changed among the last incidents, and forgets what is gone.
fn refresh(directory: &Path, known: &Known) -> io::Result<()> {
    let mut names = records::names(directory)?;
    names.truncate(MOST);
    locked(known).retain(|id, _| names.contains(id));
    for id in names {
        let changed =
            fs::metadata(directory.join(format!("{id}.json"))).and_then(|it| it.modified());
        // Dropped between two looks, perhaps.
        let Ok(changed) = changed else { continue };
        if locked(known)
            .get(&id)
            .is_some_and(|(then, _)| *then == changed)
        {
            continue;
        }
        if let Ok(text) = records::text(directory, &id) {
            let summary = records::summary(&id, &text);
            locked(known).insert(id, (changed, summary));
        }
    }
    Ok(())
}

/// What is on the disk and what is told of this run, without what is told of but gone from a disk that was just seen.
fn joined(mut list: Vec<Summary>, told: Vec<Summary>, is_fresh: bool, most: usize) -> Vec<Summary> {
    for one in told {
        let is_listed = list.iter().any(|listed| listed.id == one.id);
        let is_gone = is_fresh && one.is_on_disk;
        if !is_listed && !is_gone {
            list.push(one);
        }
    }
    list.sort_by(|one, other| other.id.cmp(&one.id));
    list.truncate(most);
    list
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::tests::ALL;
    use super::*;

    #[tokio::test]
    async fn an_incident_is_read_whole_or_not_at_all() {
        let scratch = tempfile::tempdir().unwrap();
        let journal = Journal::open(scratch.path().join("inside"), ALL).unwrap();
        let within = |name: &str| scratch.path().join("inside").join(name);
        fs::write(within("one.json"), "{}").unwrap();
        fs::write(scratch.path().join("out.json"), "secret").unwrap();
        let huge = fs::File::create(within("huge.json")).unwrap();
        huge.set_len(records::LARGEST + 1).unwrap();
        let shelf = Shelf::new(Some(journal));
        assert_eq!(shelf.incident("one").await.unwrap(), "{}");
        let refusal = |id: &'static str| async { shelf.incident(id).await.unwrap_err() };
        assert!(matches!(refusal("two").await, NoIncident::Unknown));
        assert!(matches!(refusal("../out").await, NoIncident::Unknown));
        assert!(matches!(refusal("huge").await, NoIncident::TooLarge));
        let _all = shelf.readers.acquire_many(READERS as u32).await.unwrap();
        assert!(matches!(refusal("one").await, NoIncident::Busy));
        let none = Shelf::new(None).incident("one").await;
        assert!(matches!(none, Err(NoIncident::Unknown)));
    }

    fn told(id: &str, is_on_disk: bool) -> Summary {
        Summary {
            is_on_disk,
            ..records::summary(id, br#"{"sentence": "of this run"}"#)
        }
    }

    #[tokio::test]
    async fn the_directory_says_which_incidents_there_are() {
        let scratch = tempfile::tempdir().unwrap();
        let journal = Journal::open(scratch.path().to_owned(), ALL).unwrap();
        let file = |id: &str| scratch.path().join(format!("{id}.json"));
        for id in ["1", "3"] {
            fs::write(file(id), r#"{"sentence": "of the disk"}"#).unwrap();
        }
        let shelf = Shelf::new(Some(journal));
        let run = || vec![told("4", false), told("3", true), told("2", true)];
        let list = shelf.list(run(), 10).await;
        let said: Vec<_> = list.iter().map(|it| (&*it.id, &*it.sentence)).collect();
        let (run_says, disk_says) = ("of this run", "of the disk");
        assert_eq!(said, [("4", run_says), ("3", disk_says), ("1", disk_says)]);
        fs::remove_file(file("3")).unwrap();
        let list = shelf.list(run(), 1).await;
        assert_eq!(list[0].id, "4");
        let recalled = shelf.recall(vec![told("1", true), told("5", true)], 10);
        let said: Vec<_> = recalled.iter().map(|it| (&*it.id, &*it.sentence)).collect();
        assert_eq!(said, [("5", run_says), ("1", run_says)]);
        let beside = shelf.beside("1").await;
        assert_eq!((beside.before, beside.after), (None, None));
        fs::write(file("2"), "{}").unwrap();
        let beside = shelf.beside("1").await;
        assert_eq!((beside.before, beside.after.as_deref()), (None, Some("2")));
        assert_eq!(shelf.beside("2").await.before.as_deref(), Some("1"));
        assert_eq!(shelf.beside("7").await, Neighbours::default());
        fs::remove_file(file("2")).unwrap();
        let _all = shelf.readers.acquire_many(READERS as u32).await.unwrap();
        let list = shelf.list(run(), 10).await;
        let ids: Vec<_> = list.iter().map(|it| &*it.id).collect();
        assert_eq!(
            ids,
            ["4", "3", "2", "1"],
            "what it knew, while the disk is busy"
        );
    }

    #[tokio::test]
    async fn a_file_that_changed_is_read_again_and_one_that_did_not_is_not() {
        let scratch = tempfile::tempdir().unwrap();
        let journal = Journal::open(scratch.path().to_owned(), ALL).unwrap();
        let file = scratch.path().join("1.json");
        let shelf = Shelf::new(Some(journal));
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let mut said = Vec::new();
        for (sentence, at) in [
            ("a", then),
            ("b", then),
            ("c", then + Duration::from_secs(1)),
        ] {
            fs::write(&file, format!(r#"{{"sentence": "{sentence}"}}"#)).unwrap();
            fs::File::open(&file).unwrap().set_modified(at).unwrap();
            said.push(shelf.list(Vec::new(), 10).await[0].sentence.clone());
        }
        assert_eq!(said, ["a", "a", "c"]);
    }
}
