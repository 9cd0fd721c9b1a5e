//! A machine of its own, with a systemd as its first process: a tree of Debian's (`.ci/machine SUITE` makes it) that
//! `systemd-nspawn` boots. What is changed in it is in memory, and gone with it.
//!
//! Its processes, mounts, network (loopback alone), host name and control groups are its own; all of them are killed when
//! this is dropped, or, where the test itself was killed, by the next one.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::Skip;
use super::control_group::Unified;
use super::netns;
use super::process::Running;

/// How long it may take to boot: some two seconds, where nothing else runs.
const BOOTED: Duration = Duration::from_secs(60);
/// How long a command in it may take.
const PATIENCE: Duration = Duration::from_secs(90);
/// Between two looks, where there is nothing to wait for.
const EACH: Duration = Duration::from_millis(20);

/// `$1` is the tree, `$2` a directory for what is changed, `$3` a control group, and the rest is for nspawn. All that is
/// mounted is seen from here on alone, and gone with the last process.
const BOOT: &str = r#"set -e
tree=$1 changes=$2 group=$3; shift 3
echo $$ >"$group/cgroup.procs"
mount -t tmpfs -o mode=755 changes "$changes"
mkdir "$changes/upper" "$changes/work" "$changes/root"
mount -t overlay -o "lowerdir=$tree,upperdir=$changes/upper,workdir=$changes/work" machine "$changes/root"
# A machine with control groups of version 2 alone, whatever this one has.
mount -t cgroup2 groups /sys/fs/cgroup
exec systemd-nspawn --quiet --directory="$changes/root" --boot --register=no --keep-unit --private-network --console=pipe \
    --resolv-conf=off --timezone=off --link-journal=no "$@"
"#;

/// A running machine.
pub struct Booted {
    suite: String,
    // Dropped in this order: whoever still runs is killed by the group.
    nspawn: Running,
    group: Unified,
    _changes: TempDir,
    /// Its first process, by its id here.
    first: u32,
}

impl Booted {
    /// Boots this release of Debian's with `program` at `/usr/bin/leeward`, or says why that cannot be.
    pub fn boot(suite: &str, program: &Path) -> Result<Booted, Skip> {
        let tree = tree(suite)?;
        let changes = TempDir::new().map_err(|error| Skip(error.to_string()))?;
        let group = Unified::new()?;
        let name = format!("leeward-{}", group.path().display())
            .replace(|letter: char| !letter.is_ascii_alphanumeric(), "");
        let nspawn = Running::start(
            Command::new("unshare")
                .args(["--mount", "--propagation", "slave"])
                .args(["sh", "-c", BOOT, "sh"])
                .args([&tree, changes.path(), group.path()])
                .arg(format!("--machine={}", &name[name.len() - 20..]))
                .arg(format!("--bind-ro={}:/usr/bin/leeward", program.display())),
        );
        let mut booted = Booted {
            suite: suite.to_owned(),
            nspawn,
            group,
            _changes: changes,
            first: 0,
        };
        booted.wait_until_up()?;
        Ok(booted)
    }

    /// The release that it is.
    pub fn suite(&self) -> &str {
        &self.suite
    }

    /// The version of its systemd.
    pub fn systemd(&self) -> u32 {
        let told = self.succeed("systemctl --version");
        let number = told.split_whitespace().nth(1);
        number
            .and_then(|number| number.parse().ok())
            .unwrap_or_else(|| panic!("systemctl --version: {told}"))
    }

    /// Runs a line of shell in it, as root, and says how that went.
    pub fn run(&self, line: &str) -> Output {
        let mut command = Command::new("nsenter");
        command
            .args(["-t", &self.first.to_string()])
            .args("-m -u -i -n -p -C -r -w -- env -i".split(' '))
            .args(["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "SYSTEMD_PAGER="])
            .args(["LANG=C.UTF-8", "HOME=/root", "sh", "-c", line]);
        let mut running = Running::start(&mut command);
        let Some(status) = running.wait(PATIENCE) else {
            panic!(
                "`{line}` takes longer than {PATIENCE:?}: {}",
                running.told()
            );
        };
        Output {
            status,
            stdout: running.stdout.whole(PATIENCE).into_bytes(),
            stderr: running.stderr.whole(PATIENCE).into_bytes(),
        }
    }

    /// The same for a line that must succeed; what it printed.
    pub fn succeed(&self, line: &str) -> String {
        let output = self.run(line);
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "`{line}` on {}: {}\n{printed}{}\n{}",
            self.suite,
            output.status,
            String::from_utf8_lossy(&output.stderr),
            self.told()
        );
        printed
    }

    /// A property of a unit.
    pub fn property(&self, unit: &str, name: &str) -> String {
        let told = self.succeed(&format!("systemctl show -p {name} --value {unit}"));
        told.trim().to_owned()
    }

    /// Waits until a line of shell prints this.
    pub fn wait_for(&self, line: &str, wanted: &str, patience: Duration) {
        let until = Instant::now() + patience;
        loop {
            let output = self.run(line);
            let printed = String::from_utf8_lossy(&output.stdout);
            if printed.trim() == wanted {
                return;
            }
            assert!(
                Instant::now() < until,
                "`{line}` on {} printed '{}' and not '{wanted}' for {patience:?}\n{}",
                self.suite,
                printed.trim(),
                self.told()
            );
            thread::sleep(EACH);
        }
    }

    /// Puts a file there, with its directories, for all to read.
    pub fn put(&self, path: &str, text: impl AsRef<[u8]>) {
        let place = self.place(path);
        let directory = place.parent().expect("a file is in a directory");
        std::fs::create_dir_all(directory).expect("a directory in the machine");
        std::fs::write(&place, text).expect("a file in the machine");
    }

    /// What is in a file there.
    pub fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.place(path)).unwrap_or_default()
    }

    /// Does something on a thread that lives in its network.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let door = format!("/proc/{}/ns/net", self.first);
        let door = std::fs::File::open(door).expect("the machine has a network");
        netns::inside(door, work)
    }

    /// Waits until it goes down by itself, be it for ever or to boot again.
    pub fn wait_down(&self, patience: Duration) {
        let until = Instant::now() + patience;
        let first = PathBuf::from(format!("/proc/{}/ns/pid", self.first));
        while first.read_link().is_ok() {
            assert!(Instant::now() < until, "it is still up\n{}", self.told());
            thread::sleep(EACH);
        }
    }

    /// An address of its loopback.
    pub fn at(port: u16) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, port).into()
    }

    /// What its journal has, and its console.
    pub fn told(&self) -> String {
        let journal = self.run("journalctl --no-pager -o short-precise -n 120");
        format!(
            "--- journal of {}\n{}--- console\n{}",
            self.suite,
            String::from_utf8_lossy(&journal.stdout),
            self.nspawn.told()
        )
    }

    /// A path of the machine's, as it is reached from here.
    fn place(&self, path: &str) -> PathBuf {
        Path::new("/proc")
            .join(self.first.to_string())
            .join("root")
            .join(path.trim_start_matches('/'))
    }

    fn wait_until_up(&mut self) -> Result<(), Skip> {
        let until = Instant::now() + BOOTED;
        while Instant::now() < until {
            if self.nspawn.wait(Duration::ZERO).is_some() {
                break;
            }
            match self.find_first() {
                Some(first) if self.first == 0 => self.first = first,
                Some(_) => {
                    let state = self.run("systemctl is-system-running");
                    let state = String::from_utf8_lossy(&state.stdout).into_owned();
                    if matches!(state.trim(), "running" | "degraded") {
                        return Ok(());
                    }
                }
                None => {}
            }
            thread::sleep(EACH);
        }
        Err(Skip(format!(
            "{} does not boot here: {}",
            self.suite,
            self.nspawn.told()
        )))
    }

    /// The child of nspawn's that has become systemd.
    fn find_first(&self) -> Option<u32> {
        let nspawn = self.nspawn.pid();
        let children = format!("/proc/{nspawn}/task/{nspawn}/children");
        let children = std::fs::read_to_string(children).ok()?;
        let mut pids = children.split_whitespace().filter_map(|it| it.parse().ok());
        pids.find(|pid: &u32| {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
            name.is_ok_and(|name| name.trim() == "systemd")
        })
    }
}

/// The tree of this release's, where all that it takes to boot it is there.
fn tree(suite: &str) -> Result<PathBuf, Skip> {
    if !rustix::process::geteuid().is_root() {
        return Err(Skip("booting a machine needs root".to_owned()));
    }
    if Command::new("systemd-nspawn")
        .arg("--version")
        .output()
        .is_err()
    {
        return Err(Skip(
            "systemd-nspawn is not installed (systemd-container)".to_owned(),
        ));
    }
    let built = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("machines");
    let tree = built.join(suite);
    match tree.join(".whole").exists() {
        true => Ok(tree),
        false => Err(Skip(format!(
            "there is no {}: run `.ci/machine {suite}`",
            tree.display()
        ))),
    }
}
