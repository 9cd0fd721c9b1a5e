//! File systems of a test's own: small, read-only, held still, or mute.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::Skip;
use super::process::Running;

/// A file system of its own; gone when dropped.
pub struct Mounted {
    directory: TempDir,
    /// Who serves it, where that is a process.
    server: Option<Running>,
}

/// A file system that is held still; let go when dropped, because whoever waits for it cannot even be killed.
pub struct Frozen(PathBuf);

impl Mounted {
    /// One in memory, with these options.
    pub fn tmpfs(options: &str) -> Result<Mounted, Skip> {
        Mounted::at(TempDir::new(), &["-t", "tmpfs", "-o", options, "tmpfs"])
    }

    /// One of some MiB in a file.
    pub fn ext4() -> Result<Mounted, Skip> {
        let files = TempDir::new().map_err(|error| Skip(error.to_string()))?;
        let image = files.path().join("image");
        let file = std::fs::File::create(&image).map_err(|error| Skip(error.to_string()))?;
        file.set_len(32 << 20)
            .map_err(|error| Skip(error.to_string()))?;
        run("mkfs.ext4", &["-q", &image.display().to_string()])?;
        let image = image.display().to_string();
        // Once mounted, the file lives on without its name.
        Mounted::at(TempDir::new(), &["-o", "loop", &image])
    }

    /// One whose server never answers (FUSE): whoever opens a file there waits for it.
    pub fn mute() -> Result<Mounted, Skip> {
        if !Path::new("/dev/fuse").exists() {
            return Err(Skip("there is no /dev/fuse here".to_owned()));
        }
        let directory = TempDir::new().map_err(|error| Skip(error.to_string()))?;
        let script = "exec 3<>/dev/fuse && mount -i -t fuse \
                      -o fd=3,rootmode=40000,user_id=0,group_id=0 mute \"$1\" && echo mounted && exec sleep 600";
        let place = directory.path().as_os_str();
        let server = Running::start(Command::new("sh").args(["-c", script, "sh"]).arg(place));
        match server.stdout.wait("mounted", Duration::from_secs(5)) {
            Some(_) => Ok(Mounted {
                directory,
                server: Some(server),
            }),
            None => Err(Skip(server.told())),
        }
    }

    fn at(directory: std::io::Result<TempDir>, arguments: &[&str]) -> Result<Mounted, Skip> {
        if !rustix::process::geteuid().is_root() {
            return Err(Skip("mounting a file system needs root".to_owned()));
        }
        let directory = directory.map_err(|error| Skip(error.to_string()))?;
        let place = directory.path().display().to_string();
        run("mount", &[arguments, &[&place]].concat())?;
        Ok(Mounted {
            directory,
            server: None,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Holds it still: whoever writes to it is in an uninterruptible wait until this is dropped.
    pub fn freeze(&self) -> Result<Frozen, Skip> {
        run("fsfreeze", &["-f", &self.path().display().to_string()])?;
        Ok(Frozen(self.path().to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Whoever waits for it is let go of first.
        self.server = None;
        let _ = run("umount", &["-l", &self.path().display().to_string()]);
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = run("fsfreeze", &["-u", &self.0.display().to_string()]);
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<(), Skip> {
    let told = |why: &dyn std::fmt::Display| Skip(format!("`{program} {arguments:?}`: {why}"));
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| told(&error))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(told(&String::from_utf8_lossy(&output.stderr).trim())),
    }
}
