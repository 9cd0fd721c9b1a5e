//! The disk threads: few, bounded, and the only ones that wait for a disk. What rests on disk is an unlinked
//! file, so that nothing is left behind whatever becomes of us.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;

use bytes::Bytes;

use crate::config::settings;

/// Where bodies go that do not fit into memory.
#[derive(Debug, Clone)]
pub struct Disk(Arc<Shared>);

/// The file of one spool. Made with its first bytes, gone with the last who knows it.
#[derive(Debug)]
pub struct Spill {
    disk: Arc<Shared>,
    file: OnceLock<File>,
    /// Bytes charged to it.
    charged: AtomicU64,
}

/// Why something cannot rest on disk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiskError {
    /// This body has all the disk that one body may have.
    #[error("a body may take {0} bytes of disk (spool.file)")]
    File(u64),
    /// All bodies together have all the disk they may have.
    #[error("all bodies together may take {0} bytes of disk (spool.disk)")]
    Disk(u64),
    /// The file system is nearly full.
    #[error("the disk has less than {0} bytes free (spool.floor)")]
    Floor(u64),
    /// The disk threads have more to do than they can.
    #[error("the disk is too slow: {0} transfers are waiting (spool.directory)")]
    Busy(usize),
    /// What the system said.
    #[error("the disk: {0} (spool.directory)")]
    System(String),
}

#[derive(Debug)]
struct Shared {
    jobs: SyncSender<Job>,
    directory: PathBuf,
    most_each: u64,
    most: u64,
    floor: u64,
    used: AtomicU64,
    /// Whether the last write failed; that is told once, and its end is.
    is_failing: AtomicBool,
}

type Job = Box<dyn FnOnce() + Send>;

/// A hung disk stops these threads, and nobody else.
const THREADS: usize = 2;
/// Transfers that may wait for a thread.
const WAITING: usize = 256;

impl Disk {
    /// Starts the disk threads; the directory is made if it is missing.
    ///
    /// # Errors
    /// The directory, a file in it or the threads cannot be made.
    pub fn open(settings: &settings::Spool, directory: PathBuf) -> io::Result<Self> {
        file_in(&directory)?;
        warn_of_memory(&directory);
        let (jobs, waiting) = sync_channel(WAITING);
        let waiting = Arc::new(Mutex::new(waiting));
        for number in 0..THREADS {
            let waiting = waiting.clone();
            thread::Builder::new()
                .name(format!("disk-{number}"))
                .spawn(move || work(&waiting))?;
        }
        Ok(Self(Arc::new(Shared {
            jobs,
            directory,
            most_each: settings.file,
            most: settings.disk,
            floor: settings.floor,
            used: AtomicU64::new(0),
            is_failing: AtomicBool::new(false),
        })))
    }

    /// A place on disk for one body; nothing is there yet.
    pub fn spill(&self) -> Spill {
        Spill {
            disk: self.0.clone(),
            file: OnceLock::new(),
            charged: AtomicU64::new(0),
        }
    }

    /// Bytes on disk now.
    pub fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }
}

impl Spill {
    /// Takes room for so many bytes more.
    ///
    /// # Errors
    /// [`DiskError`], naming the limit.
    pub fn charge(&self, bytes: u64) -> Result<(), DiskError> {
        let charged = self.charged.load(Ordering::Relaxed);
        if charged + bytes > self.disk.most_each {
            return Err(DiskError::File(self.disk.most_each));
        }
        let order = Ordering::Relaxed;
        let more = |used: u64| (used + bytes <= self.disk.most).then_some(used + bytes);
        if self.disk.used.fetch_update(order, order, more).is_err() {
            return Err(DiskError::Disk(self.disk.most));
        }
        self.charged.fetch_add(bytes, order);
        Ok(())
    }

    /// Writes `batch` at `offset` on a disk thread; `done` is called there with the result.
    ///
    /// # Errors
    /// [`DiskError::Busy`]; `done` is not called then.
    pub fn write(
        self: &Arc<Self>,
        batch: Vec<Bytes>,
        offset: u64,
        done: impl FnOnce(Result<u64, DiskError>) + Send + 'static,
    ) -> Result<(), DiskError> {
        let spill = self.clone();
        self.send(move || {
            let written = spill.write_now(&batch, offset);
            spill.disk.tell(&written);
            done(written);
        })
    }

    /// Reads `length` bytes at `offset` on a disk thread; `done` is called there with them.
    ///
    /// # Errors
    /// [`DiskError::Busy`]; `done` is not called then.
    pub fn read(
        self: &Arc<Self>,
        offset: u64,
        length: usize,
        done: impl FnOnce(Result<Bytes, DiskError>) + Send + 'static,
    ) -> Result<(), DiskError> {
        let spill = self.clone();
        self.send(move || done(spill.read_now(offset, length)))
    }

    fn send(&self, job: impl FnOnce() + Send + 'static) -> Result<(), DiskError> {
        match self.disk.jobs.try_send(Box::new(job)) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => Err(DiskError::Busy(WAITING)),
            Err(TrySendError::Disconnected(_)) => {
                Err(DiskError::System("its threads have ended".to_owned()))
            }
        }
    }

    fn write_now(&self, batch: &[Bytes], offset: u64) -> Result<u64, DiskError> {
        let file = self.file()?;
        let mut at = offset;
        for bytes in batch {
            file.write_all_at(bytes, at).map_err(system)?;
            at += bytes.len() as u64;
        }
        Ok(at - offset)
    }

    fn read_now(&self, offset: u64, length: usize) -> Result<Bytes, DiskError> {
        let mut bytes = vec![0; length];
        self.file()?
            .read_exact_at(&mut bytes, offset)
            .map_err(system)?;
        Ok(bytes.into())
    }

    fn file(&self) -> Result<&File, DiskError> {
        if let Some(file) = self.file.get() {
            return Ok(file);
        }
        let file = file_in(&self.disk.directory).map_err(system)?;
        let free = rustix::fs::fstatvfs(&file).map_err(|error| system(error.into()))?;
        if free.f_bavail.saturating_mul(free.f_frsize) < self.disk.floor {
            return Err(DiskError::Floor(self.disk.floor));
        }
        Ok(self.file.get_or_init(|| file))
    }
}

impl Drop for Spill {
    fn drop(&mut self) {
        let charged = self.charged.load(Ordering::Relaxed);
        self.disk.used.fetch_sub(charged, Ordering::Relaxed);
        if let Some(file) = self.file.take() {
            // Giving back a large file's blocks takes a while; it is a disk thread's work where one is free.
            let _ = self.send(move || drop(file));
        }
    }
}

impl Shared {
    fn tell(&self, written: &Result<u64, DiskError>) {
        let fails = written.is_err();
        if self.is_failing.swap(fails, Ordering::Relaxed) == fails {
            return;
        }
        let directory = self.directory.display();
        match written {
            Ok(_) => tracing::info!("spool.directory = \"{directory}\" can be written again"),
            Err(error) => tracing::error!(
                "spool.directory = \"{directory}\": {error}; what does not fit into memory is refused or cut off \
                 until there is room: make room there, or name another directory"
            ),
        }
    }
}

/// A file without a name. The directory is made if it is missing: caches are cleaned under running programs.
fn file_in(directory: &Path) -> io::Result<File> {
    match tempfile::tempfile_in(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            std::fs::create_dir_all(directory)?;
            tempfile::tempfile_in(directory)
        }
        made => made,
    }
}

fn work(waiting: &Mutex<Receiver<Job>>) {
    loop {
        let job = waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv();
        match job {
            Ok(job) => job(),
            Err(_) => return,
        }
    }
}

fn system(error: io::Error) -> DiskError {
    DiskError::System(error.to_string())
}

/// A file system in memory is no relief for memory.
fn warn_of_memory(directory: &Path) {
    /// `TMPFS_MAGIC` of statfs(2).
    const TMPFS: i64 = 0x0102_1994;
    let found = rustix::fs::statfs(directory);
    if found.is_ok_and(|found| found.f_type == TMPFS) {
        tracing::warn!(
            "spool.directory = \"{}\" is in memory (tmpfs): what is put there counts as memory all the same; \
             name a directory on a disk",
            directory.display()
        );
    }
}
