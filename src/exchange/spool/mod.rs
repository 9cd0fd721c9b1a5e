//! The spool: where a body rests between two parties, so that neither waits for the other.
//!
//! A body's first bytes rest in memory, under an allowance of its own and then under a budget all share; what does
//! not fit there goes to disk in batches. What fits nowhere is refused with a word. Nobody is ever slowed down to
//! the pace of a client; an origin that is faster than the disk waits for the disk, for a bounded time.

mod budget;
mod disk;
mod pages;
mod tee;
mod whole;

use std::path::PathBuf;

pub use budget::Budget;
pub use disk::Disk;
pub use tee::{SpoolReader, SpoolWriter, tee};
pub use whole::{Whole, WholeReader};

use crate::config::settings;
use crate::ground::failure::{Cause, Failure, Phase};

/// Where all bodies rest.
#[derive(Debug, Clone)]
pub struct Store {
    /// Bytes each may have in memory for nothing.
    pub allowance: usize,
    /// The memory they share.
    pub budget: Budget,
    /// The disk, unless it is switched off or cannot be used.
    pub disk: Option<Disk>,
}

impl Store {
    /// The store these settings ask for. A disk that cannot be used is told, and done without.
    pub fn open(settings: &settings::Spool) -> Self {
        let directory = settings.directory.clone().unwrap_or_else(default_directory);
        let disk = match settings.disk {
            0 => None,
            _ => match Disk::open(settings, directory.clone()) {
                Ok(disk) => Some(disk),
                Err(error) => {
                    let directory = directory.display();
                    tracing::error!(
                        "spool.directory = \"{directory}\": {error}; bodies rest in memory alone"
                    );
                    None
                }
            },
        };
        Self {
            allowance: settings.exchange,
            budget: Budget::new(settings.memory),
            disk,
        }
    }
}

/// Where bodies go when nobody says: the cache of the service manager or the system, or of the user.
fn default_directory() -> PathBuf {
    let of = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let managed = ["CACHE_DIRECTORY", "STATE_DIRECTORY"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok())
        .and_then(|all| {
            all.split(':')
                .next()
                .map(|first| PathBuf::from(first).join("spool"))
        });
    match managed {
        Some(managed) => managed,
        None if rustix::process::geteuid().is_root() => PathBuf::from("/var/cache/leeward/spool"),
        None => of("XDG_CACHE_HOME")
            .or_else(|| Some(of("HOME")?.join(".cache")))
            .unwrap_or_else(std::env::temp_dir)
            .join("leeward/spool"),
    }
}

/// The failure of a body that fits nowhere.
fn full(phase: Phase, memory: &Budget, disk: Option<&disk::DiskError>) -> Failure {
    let cause = match disk {
        Some(error) => Cause::Disk(error.to_string()),
        None => Cause::Full {
            limit: memory.whole() as u64,
            key: "spool.memory",
        },
    };
    Failure::edge(phase, cause)
}

#[cfg(test)]
mod tests;
