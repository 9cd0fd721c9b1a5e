//! Control groups (version 2), where Leeward has one to itself, as a service with `Delegate=yes` has: each generation
//! of the origin gets a leaf of its own, which the kernel ends whole, however fast it forks and whoever its parents are.
//!
//! Leeward divides no group that it shares: a session of somebody's is not its own to shuffle.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::pid::Pid;
use crate::config::fixed::KILLED;
use crate::ground::deadline::{self, Deadline};

/// The group that was Leeward's, and is divided.
#[derive(Debug)]
pub struct Domain(PathBuf);

/// The part of one generation.
#[derive(Debug, Clone)]
pub struct Leaf(PathBuf);

/// Leeward's own part: a group with parts has no processes of its own (cgroups(7), "no internal processes").
const OURS: &str = "leeward";
/// The parts of generations begin so.
const GENERATION: &str = "origin-";
/// Those in a group.
const PROCS: &str = "cgroup.procs";
/// Ends all that are in a group; since Linux 5.14, and not in the root of all.
const KILL: &str = "cgroup.kill";
/// Between two looks whether a part is empty.
const AGAIN: Duration = Duration::from_millis(5);

impl Domain {
    /// Moves Leeward into a part of its group, if that is its own: writable, with nobody else in it, and not the root.
    /// What a Leeward before us left in there is ended, but for the part that is `spared`.
    ///
    /// Must be called before the first child is started.
    pub fn claim(spared: Option<&Path>) -> Option<Self> {
        let claimed = claimed(&own()?, spared);
        if let Err(error) = &claimed {
            tracing::debug!(%error, "no control group of our own");
        }
        let domain = claimed.ok()??;
        tracing::info!(group = %domain.0.display(), "each generation of the origin has a control group");
        Some(domain)
    }

    /// An empty part for this generation; `None`, told, where it cannot be made.
    pub fn leaf(&self, generation: u64) -> Option<Leaf> {
        let path = self.0.join(format!("{GENERATION}{generation}"));
        match fs::create_dir(&path) {
            Ok(()) => Some(Leaf(path)),
            // From a start that failed before there was a process.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Some(Leaf(path)),
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "no control group for the origin");
                None
            }
        }
    }
}

impl Leaf {
    /// The part at this place, if there is one.
    pub fn at(path: PathBuf) -> Option<Self> {
        path.join(PROCS).exists().then_some(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Who is in it.
    pub fn members(&self) -> Vec<Pid> {
        members(&self.0).unwrap_or_default()
    }

    /// Kills all that are in it, at once.
    pub fn kill(&self) {
        if let Err(error) = fs::write(self.0.join(KILL), "1") {
            tracing::error!(%error, path = %self.0.display(), "cannot end a control group");
        }
    }

    /// Takes it away as soon as nobody is in it.
    pub async fn remove(self) {
        let deadline = Deadline::within(KILLED);
        while let Err(error) = fs::remove_dir(&self.0) {
            if deadline.is_past(deadline::now()) {
                tracing::error!(%error, path = %self.0.display(), "a control group is left behind");
                return;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// Becomes a member; for a process that is about to become the origin.
///
/// # Errors
/// What the system said.
pub fn join(group: &Path) -> io::Result<()> {
    // Zero is whoever writes it.
    fs::write(group.join(PROCS), "0")
}

/// The file in which the kernel counts how often it killed for want of memory in the group of this process, or in one around
/// it: of version 2, or of version 1 where that has the memory.
pub fn memory_of(pid: Pid) -> Option<PathBuf> {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let unified = place(&groups, &mounts).and_then(|group| {
        let around = group.ancestors().map(|it| it.join("memory.events"));
        around.into_iter().find(|file| file.exists())
    });
    unified.or_else(|| {
        let path = groups.lines().find_map(|line| line.split_once(":memory:"));
        let first = placed(path?.1, &mounts, "cgroup", "memory")?;
        Some(first.join("memory.oom_control")).filter(|file| file.exists())
    })
}

/// `None`: it is no group of our own.
fn claimed(group: &Path, spared: Option<&Path>) -> io::Result<Option<Domain>> {
    let is_ours = members(group)? == Vec::from_iter(Pid::own());
    let part = group.join(OURS);
    let is_taken = members(&part).is_ok_and(|others| !others.is_empty());
    if !is_ours || is_taken || !group.join(KILL).exists() {
        return Ok(None);
    }
    match fs::create_dir(&part) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => join(&part)?,
    }
    for entry in fs::read_dir(group)?.flatten() {
        let is_generation = entry.file_name().to_string_lossy().starts_with(GENERATION);
        if is_generation && Some(&*entry.path()) != spared {
            let leaf = Leaf(entry.path());
            tracing::warn!(path = %leaf.0.display(), "what a Leeward before left of its origin is ended");
            leaf.kill();
            let until = Deadline::within(KILLED);
            while fs::remove_dir(&leaf.0).is_err() && !until.is_past(deadline::now()) {
                std::thread::sleep(AGAIN);
            }
        }
    }
    Ok(Some(Domain(group.to_owned())))
}

fn members(group: &Path) -> io::Result<Vec<Pid>> {
    let text = fs::read_to_string(group.join(PROCS))?;
    let number = |line: &str| Pid::new(line.parse().ok()?);
    Ok(text.lines().filter_map(number).collect())
}

/// Our group, where it is mounted.
fn own() -> Option<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    place(&groups, &mounts)
}

/// From `/proc/self/cgroup` and `/proc/self/mountinfo`.
fn place(groups: &str, mounts: &str) -> Option<PathBuf> {
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    placed(path, mounts, "cgroup2", "")
}

/// Where this path is in a file system of this kind, mounted with this option.
fn placed(path: &str, mounts: &str, kind: &str, option: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        // proc(5): ID, parent, device, root, mount point, options, more, a dash, the kind of file system.
        let (before, after) = line.split_once(" - ")?;
        let mut after = after.split(' ');
        let (found, options) = (after.next()?, after.nth(1)?);
        let is_meant = option.is_empty() || options.split(',').any(|it| it == option);
        if found != kind || !is_meant {
            return None;
        }
        let mut fields = before.split(' ').skip(3);
        let (root, at) = (fields.next()?, fields.next()?);
        let below = Path::new(path).strip_prefix(root).ok()?;
        Some(Path::new(at).join(below))
    })
}

#[cfg(test)]
mod tests {
    use super::place;
    use std::path::Path;

    #[test]
    fn a_group_is_found_where_it_is_mounted() {
        const PURE: &str = "23 1 0:2 / /sys rw - sysfs sysfs rw\n30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n";
        const MIXED: &str = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        const PART: &str = "30 23 0:26 /outer /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        let at = |groups, mounts| place(groups, mounts);
        let service = "0::/system.slice/leeward.service\n";
        assert_eq!(
            at(service, PURE).as_deref(),
            Some(Path::new("/sys/fs/cgroup/system.slice/leeward.service"))
        );
        assert_eq!(
            at("1:cpu:/x\n0::/a\n", MIXED).as_deref(),
            Some(Path::new("/sys/fs/cgroup/unified/a"))
        );
        assert_eq!(
            at("0::/outer/a\n", PART).as_deref(),
            Some(Path::new("/sys/fs/cgroup/a"))
        );
        assert_eq!(at("0::/elsewhere\n", PART), None);
        assert_eq!(at("1:cpu:/x\n", MIXED), None);
    }
}
