//! Whether the kernel killed for want of memory: its own counters, read before and after. Blocks for some microseconds,
//! for these files are made by the kernel.

use std::fs;
use std::path::{Path, PathBuf};

use super::cgroup;
use super::pid::Pid;

/// How often it had killed so far.
#[derive(Debug, Clone, Default)]
pub struct Kills {
    /// In the control group of a process.
    group: Option<(PathBuf, u64)>,
    /// On the whole machine.
    machine: Option<u64>,
}

/// How often it has killed since then; `None` where that cannot be known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Since {
    /// In the control group.
    pub group: Option<u64>,
    /// On the whole machine.
    pub machine: Option<u64>,
}

/// Of the whole machine, since Linux 4.13; see proc(5).
const MACHINE: &str = "/proc/vmstat";

impl Kills {
    /// Until now, where this process is.
    pub fn so_far(pid: Option<Pid>) -> Self {
        let file = pid.and_then(cgroup::memory_of);
        Self {
            group: file.and_then(|file| {
                let killed = killed(&file)?;
                Some((file, killed))
            }),
            machine: killed(Path::new(MACHINE)),
        }
    }

    /// From then to now.
    pub fn since(&self) -> Since {
        let grown = |file: &Path, before: u64| Some(killed(file)?.saturating_sub(before));
        Since {
            group: self
                .group
                .as_ref()
                .and_then(|(file, before)| grown(file, *before)),
            machine: self
                .machine
                .and_then(|before| grown(Path::new(MACHINE), before)),
        }
    }
}

fn killed(file: &Path) -> Option<u64> {
    counted(&fs::read_to_string(file).ok()?)
}

/// All three files that tell it have such a line.
fn counted(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    line?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_found_in_each_of_the_files() {
        let unified = "low 0\nhigh 0\nmax 3\noom 1\noom_kill 2\noom_group_kill 0\n";
        assert_eq!(counted(unified), Some(2));
        let first = "oom_kill_disable 0\nunder_oom 0\noom_kill 7\n";
        assert_eq!(counted(first), Some(7));
        assert_eq!(counted("pgfault 1\n"), None);
    }

    #[test]
    fn what_was_killed_before_does_not_count() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("memory.events");
        fs::write(&file, "oom_kill 3\n").unwrap();
        let kills = Kills {
            group: Some((file.clone(), 3)),
            machine: None,
        };
        assert_eq!(kills.since().group, Some(0));
        fs::write(&file, "oom_kill 4\n").unwrap();
        assert_eq!(kills.since().group, Some(1));
        // The group went with the process.
        fs::remove_file(&file).unwrap();
        assert_eq!(kills.since(), Since::default());
    }
}
