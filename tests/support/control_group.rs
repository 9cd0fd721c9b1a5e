//! Control groups: one of version 1 that a test puts an origin into, with little of a processor or frozen, and one of
//! version 2 that a test puts Leeward into.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::Skip;

/// The names of groups of version 2 begin with this, then the id of the process that made them.
const UNIFIED: &str = "leeward-unified-";

/// A group of one controller; when dropped, it is thawed, those in it go back to where all begin, and it is removed.
pub struct Group {
    controller: &'static str,
    path: PathBuf,
}

impl Group {
    /// An empty group of this controller, or why there is none.
    pub fn new(controller: &'static str) -> Result<Group, Skip> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let root = Path::new("/sys/fs/cgroup").join(controller);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = root.join(format!("leeward-test-{}-{number}", std::process::id()));
        let refused = |error| Skip(format!("control groups of {controller}: {error}"));
        std::fs::create_dir(&path).map_err(refused)?;
        Ok(Group { controller, path })
    }

    /// Writes one of its files.
    pub fn set(&self, file: &str, value: &str) -> Result<(), Skip> {
        let path = self.path.join(file);
        std::fs::write(&path, value).map_err(|error| Skip(format!("{}: {error}", path.display())))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes in a process with all its threads.
    pub fn take(&self, pid: u32) -> Result<(), Skip> {
        self.set("cgroup.procs", &pid.to_string())
    }
}

/// A group of version 2; when dropped, all in it and in its parts are killed, and they are removed.
pub struct Unified(PathBuf);

impl Unified {
    /// An empty one, or why there is none.
    pub fn new() -> Result<Unified, Skip> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let mixed = Path::new("/sys/fs/cgroup/unified");
        let root = match mixed.exists() {
            true => mixed,
            false => Path::new("/sys/fs/cgroup"),
        };
        if !root.join("cgroup.controllers").exists() {
            return Err(Skip("no control groups of version 2".to_owned()));
        }
        sweep(root);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = root.join(format!("{UNIFIED}{}-{number}", std::process::id()));
        std::fs::create_dir(&path)
            .map_err(|error| Skip(format!("control groups of version 2: {error}")))?;
        match path.join("cgroup.kill").exists() {
            true => Ok(Unified(path)),
            false => {
                let _ = std::fs::remove_dir(&path);
                Err(Skip("control groups that cannot be killed".to_owned()))
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Puts a process into one of its parts; `.` is itself.
    pub fn take(&self, part: &str, pid: u32) {
        let procs = self.0.join(part).join("cgroup.procs");
        std::fs::write(procs, pid.to_string()).expect("it can be put there");
    }
}

impl Drop for Unified {
    fn drop(&mut self) {
        let _ = std::fs::write(self.0.join("cgroup.kill"), "1");
        let until = Instant::now() + Duration::from_secs(5);
        while !remove(&self.0) && Instant::now() < until {
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Takes away what an interrupted run left behind, with all who are in it.
fn sweep(root: &Path) {
    for group in std::fs::read_dir(root).into_iter().flatten().flatten() {
        let name = group.file_name().into_string().unwrap_or_default();
        let owner = name
            .strip_prefix(UNIFIED)
            .and_then(|it| it.split('-').next());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            drop(Unified(group.path()));
        }
    }
}

/// Removes a group and all below it; whether nothing is left.
fn remove(group: &Path) -> bool {
    let parts = std::fs::read_dir(group).into_iter().flatten().flatten();
    for part in parts.filter(|part| part.path().is_dir()) {
        remove(&part.path());
    }
    std::fs::remove_dir(group).is_ok()
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.controller == "freezer" {
            let _ = self.set("freezer.state", "THAWED");
        }
        let root = self.path.parent().expect("a group has a parent");
        let until = Instant::now() + Duration::from_secs(5);
        while std::fs::remove_dir(&self.path).is_err() && Instant::now() < until {
            let inside = std::fs::read_to_string(self.path.join("cgroup.procs"));
            for pid in inside.unwrap_or_default().lines() {
                let _ = std::fs::write(root.join("cgroup.procs"), pid);
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}
