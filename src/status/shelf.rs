//! Reads one incident from the journal, for whoever names it. The disk is given a deadline and few threads.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::ground::deadline::Deadline;
use crate::origin::Journal;

/// The journal as it is read here.
pub(super) struct Shelf {
    journal: Option<Journal>,
    readers: Arc<Semaphore>,
}

/// Why there is no incident to give.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoIncident {
    /// No such name, or no journal.
    #[error("there is no such incident; /incidents lists those of this run")]
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

/// No incident is larger; most are some 10 KiB.
const LARGEST: u64 = 16 << 20;
/// A healthy disk needs milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);
/// The watch needs the same pool of threads for its own files: a dead disk must not let pages take them all.
const READERS: usize = 4;
/// The longest name: a moment, a generation, a verdict.
const LONGEST_NAME: usize = 128;

impl Shelf {
    pub(super) fn new(journal: Option<Journal>) -> Self {
        Self {
            journal,
            readers: Arc::new(Semaphore::new(READERS)),
        }
    }

    /// The file of the incident called `id`.
    ///
    /// # Errors
    /// [`NoIncident`].
    pub(super) async fn incident(&self, id: &str) -> Result<Bytes, NoIncident> {
        let journal = self.journal.as_ref().filter(|_| is_name(id));
        let journal = journal.ok_or(NoIncident::Unknown)?;
        let path = journal.directory().join(format!("{id}.json"));
        let reader = self.readers.clone().try_acquire_owned();
        let reader = reader.map_err(|_| NoIncident::Busy)?;
        let deadline = Deadline::within(PATIENCE);
        let reading = tokio::task::spawn_blocking(move || {
            let text = read(&path);
            // Given back when the disk has answered, not when we stopped waiting for it.
            drop(reader);
            text
        });
        match deadline.bound(reading).await {
            Err(_) => Err(NoIncident::Slow),
            Ok(Err(ended)) => Err(NoIncident::Unreadable(io::Error::other(ended))),
            Ok(Ok(text)) => text,
        }
    }
}

fn read(path: &Path) -> Result<Bytes, NoIncident> {
    let failed = |cause: io::Error| match cause.kind() {
        io::ErrorKind::NotFound => NoIncident::Unknown,
        _ => NoIncident::Unreadable(cause),
    };
    let mut text = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(LARGEST + 1)
        .read_to_end(&mut text)
        .map_err(failed)?;
    match text.len() as u64 > LARGEST {
        true => Err(NoIncident::TooLarge),
        false => Ok(text.into()),
    }
}

/// Whether an incident can be called so. Nothing that leads elsewhere can: no slash, no leading dot.
fn is_name(id: &str) -> bool {
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-';
    !id.is_empty() && id.len() <= LONGEST_NAME && !id.starts_with('.') && id.bytes().all(letters)
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

    #[tokio::test]
    async fn an_incident_is_read_whole_or_not_at_all() {
        let scratch = tempfile::tempdir().unwrap();
        let journal = Journal::open(scratch.path().join("inside"), 10).unwrap();
        let within = |name: &str| scratch.path().join("inside").join(name);
        std::fs::write(within("one.json"), "{}").unwrap();
        std::fs::write(scratch.path().join("out.json"), "secret").unwrap();
        let huge = File::create(within("huge.json")).unwrap();
        huge.set_len(LARGEST + 1).unwrap();
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
}
