//! The Debian package: made by `packaging/build`, installed, upgraded and taken away by apt, as somebody does who builds no
//! Rust.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use tempfile::TempDir;

use crate::house::{DUE, ENABLE, get, is_served, suites};
use crate::or_skip;
use crate::support::Skip;
use crate::support::booted::Booted;
use crate::support::process::Running;

const APT: &str = "DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Options::=--force-confdef";
/// How long the package may take to be made, on a machine that is busy with other tests.
const BUILT: Duration = Duration::from_secs(240);
const CONFIG: &str = "/etc/leeward/leeward.toml";
/// What the one file wants: where the server is, and how it is started.
const FILL_IN: &str = r#"sed -i -e 's|^address = ""|address = "127.0.0.1:8080"|' \
    -e 's|^command = \[\]|command = ["leeward", "origin", "--root", "/srv/www", "--listen", "{address}"]|' /etc/leeward/leeward.toml"#;

#[test]
fn a_package_and_one_edited_file_are_all_it_takes() {
    let package = or_skip!(package());
    for suite in suites() {
        let machine = or_skip!(bare(&suite));
        let told = install(&machine, package);
        // Nothing is served that nobody has asked for, nothing has failed, and it says what to do.
        assert!(
            told.contains(CONFIG) && told.contains(ENABLE_AS_TOLD),
            "{told}"
        );
        assert!(get(&machine, 443).is_err(), "somebody listens");
        assert_eq!(machine.property("leeward", "ActiveState"), "inactive");
        assert_eq!(enabled(&machine), ["enabled", "disabled"]);
        // Who starts it too soon is told which lines to fill in.
        assert!(!machine.run("systemctl start leeward").status.success());
        let status = machine.run("systemctl status --no-pager --full leeward");
        let status = String::from_utf8_lossy(&status.stdout).into_owned();
        for wanted in ["18:11: origin.address", "24:11: origin.process.command"] {
            assert!(status.contains(&format!("{CONFIG}:{wanted}")), "{status}");
        }
        machine.succeed(FILL_IN);
        machine.succeed(ENABLE);
        is_served(&machine, 443);
        assert_eq!(enabled(&machine), ["enabled", "enabled"]);
        for page in ["leeward", "leeward-status"] {
            machine.succeed(&format!("test -s /usr/share/man/man1/{page}.1.gz"));
        }
        machine.succeed("bash -n /usr/share/bash-completion/completions/leeward");
        let version = env!("CARGO_PKG_VERSION");
        let told = machine.succeed("dpkg-query -W leeward; leeward --version");
        assert_eq!(told, format!("leeward\t{version}-1\nleeward {version}\n"));
    }
}

#[test]
fn an_upgrade_keeps_what_was_edited_and_ends_nothing_that_serves() {
    let package = or_skip!(package());
    let place = TempDir::new().expect("a directory");
    let next = later(package, place.path());
    for suite in suites() {
        let machine = or_skip!(bare(&suite));
        install(&machine, package);
        // Before it is configured, an upgrade starts nothing either.
        install(&machine, package);
        assert_eq!(machine.property("leeward", "ActiveState"), "inactive");
        machine.succeed(FILL_IN);
        machine
            .succeed("systemctl disable --quiet leeward; systemctl start leeward.socket leeward");
        let edited = machine.read(CONFIG);
        let first = machine.property("leeward", "MainPID");
        let ports = machine.property("leeward.socket", "ActiveEnterTimestampMonotonic");
        install(&machine, &next);
        assert_eq!(
            machine.succeed("dpkg-query -W leeward").trim(),
            "leeward\t99.0-1"
        );
        assert_eq!(machine.read(CONFIG), edited);
        is_served(&machine, 443);
        let second = machine.property("leeward", "MainPID");
        assert_ne!(second, first, "the new version does not run");
        // The ports are held throughout, and what an administrator disabled stays so.
        let held = machine.property("leeward.socket", "ActiveEnterTimestampMonotonic");
        assert_eq!(held, ports);
        assert_eq!(enabled(&machine), ["disabled", "disabled"]);
        // A configuration that the new version does not take: the old one serves on, and the faults are told.
        machine.succeed(&format!("echo 'nonsense = 1' >>{CONFIG}"));
        let told = install(&machine, &next);
        assert!(
            told.contains("nonsense") && told.contains("is not restarted"),
            "{told}"
        );
        is_served(&machine, 443);
        assert_eq!(machine.property("leeward", "MainPID"), second);
    }
}

#[test]
fn a_removal_ends_it_and_a_purge_leaves_nothing() {
    let package = or_skip!(package());
    for suite in suites() {
        let machine = or_skip!(bare(&suite));
        install(&machine, package);
        machine.succeed(FILL_IN);
        machine.succeed(ENABLE);
        // An instance as well, at ports of its own.
        let other = machine
            .read(CONFIG)
            .replace(":443", ":8443")
            .replace(":8080", ":8081");
        let other = other + "[status]\nlisten = \"127.0.0.1:9181\"\n";
        machine.put("/etc/leeward/shop.toml", other);
        machine.succeed("systemctl enable --quiet --now leeward@shop");
        is_served(&machine, 443);
        is_served(&machine, 8443);
        machine.succeed("leeward capture");
        machine.succeed(&format!("{APT} remove leeward"));
        assert!(
            get(&machine, 443).is_err() && get(&machine, 8443).is_err(),
            "somebody listens"
        );
        machine.succeed("test -s /etc/leeward/leeward.toml && ls /var/lib/leeward/incidents/*");
        // Who has thought better of it goes on where he was.
        install(&machine, package);
        machine.succeed(ENABLE);
        is_served(&machine, 443);
        // What the administrator made is the administrator's.
        machine.succeed("rm /etc/leeward/shop.toml");
        machine.succeed(&format!("{APT} purge leeward"));
        let left = machine
            .succeed("find / -xdev -iname '*leeward*' -not -path '/proc/*' -not -path '/root/*'");
        assert_eq!(left, "");
        assert!(
            !machine.run("getent passwd leeward").status.success(),
            "its user is left"
        );
        machine.wait_for("systemctl is-system-running", "running", DUE);
    }
}

/// As the package says it.
const ENABLE_AS_TOLD: &str = "systemctl enable --now leeward.socket leeward.service";

/// The package around the program that is tested: made once, for all of them.
fn package() -> Result<&'static Path, Skip> {
    static MADE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match MADE.get_or_init(build) {
        Ok(package) => Ok(package),
        Err(missing) => Err(Skip(missing.clone())),
    }
}

/// What is missing for it is an error.
fn build() -> Result<PathBuf, String> {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("packages");
    let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/build");
    let mut command = Command::new(build);
    command.args(["--binary", env!("CARGO_BIN_EXE_leeward"), "deb", "--out"]);
    let mut running = Running::start(command.arg(&place));
    match running.wait(BUILT) {
        Some(status) if status.success() => {}
        _ if running.told().contains("packaging/build: missing") => return Err(running.told()),
        ended => panic!("packaging/build: {ended:?}\n{}", running.told()),
    }
    let machine = Command::new("dpkg").arg("--print-architecture").output();
    let machine = String::from_utf8(machine.expect("dpkg is there").stdout).expect("a word");
    let version = env!("CARGO_PKG_VERSION");
    Ok(place.join(format!("leeward_{version}-1_{}.deb", machine.trim())))
}

/// The same as a later version, whose shipped configuration is another.
fn later(package: &Path, place: &Path) -> PathBuf {
    let next = place.join("later.deb");
    let line = "dpkg-deb -R \"$1\" \"$2/tree\" && sed -i 's/^Version: .*/Version: 99.0-1/' \"$2/tree/DEBIAN/control\" \
         && echo '# later' >>\"$2/tree/etc/leeward/leeward.toml\" && dpkg-deb -Z none -b \"$2/tree\" \"$2/later.deb\"";
    let done = Command::new("sh")
        .args(["-c", line, "sh"])
        .arg(package)
        .arg(place)
        .output();
    let done = done.expect("a shell");
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    next
}

/// A machine that has never heard of Leeward.
fn bare(suite: &str) -> Result<Booted, Skip> {
    let machine = Booted::boot(suite, Path::new(env!("CARGO_BIN_EXE_leeward")))?;
    machine.succeed("umount /usr/bin/leeward && rm /usr/bin/leeward");
    machine.put("/srv/www/index.html", "served\n");
    Ok(machine)
}

/// Has apt install the package, and says what was told.
fn install(machine: &Booted, package: &Path) -> String {
    machine.put("/root/leeward.deb", fs::read(package).expect("the package"));
    machine.succeed(&format!(
        "{APT} install --reinstall --allow-downgrades /root/leeward.deb </dev/null 2>&1"
    ))
}

/// Whether the service and the socket start with the machine.
fn enabled(machine: &Booted) -> Vec<String> {
    let told = machine.run("systemctl is-enabled leeward.service leeward.socket");
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    told.lines().map(str::to_owned).collect()
}
