//! Machines with Leeward's files in their places, and what is asked of them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::support::Skip;
use crate::support::booted::Booted;
use crate::support::h1;
use crate::support::response::Response;

/// How long an answer may take where one is due, on a machine that is busy with other tests.
pub const DUE: Duration = Duration::from_secs(30);

/// In front of the bundled origin.
pub const CONFIG: &str = "[edge]\nlisten = \"0.0.0.0:443\"\n\
     [origin]\naddress = \"127.0.0.1:8080\"\n[origin.bundled]\nroot = \"/srv/www\"\n";

/// All that it takes, once the files are there.
pub const ENABLE: &str = "systemctl enable --quiet --now leeward.socket leeward.service";

/// What is to be put where, of `systemd/`.
const FILES: [(&str, &str); 5] = [
    ("leeward.service", "/etc/systemd/system"),
    ("leeward.socket", "/etc/systemd/system"),
    ("leeward@.service", "/etc/systemd/system"),
    ("sysusers.conf", "/usr/lib/sysusers.d/leeward.conf"),
    ("tmpfiles.conf", "/usr/lib/tmpfiles.d/leeward.conf"),
];

/// A machine for each release that is asked for, with Leeward's files in their places and this configuration.
pub fn machines(config: &str) -> Result<Vec<Booted>, Skip> {
    let suites = suites().into_iter();
    suites.map(|suite| installed(&suite, config)).collect()
}

/// The releases that are asked for.
pub fn suites() -> Vec<String> {
    let asked = std::env::var("LEEWARD_SUITES").unwrap_or_else(|_| "bookworm".to_owned());
    asked.split_whitespace().map(str::to_owned).collect()
}

fn installed(suite: &str, config: &str) -> Result<Booted, Skip> {
    let machine = Booted::boot(suite, &program(suite)?)?;
    let tried = machine.run("leeward --version");
    if !tried.status.success() {
        let why = String::from_utf8_lossy(&tried.stderr).into_owned();
        return Err(Skip(format!("the program does not run in {suite}: {why}")));
    }
    for (name, place) in FILES {
        let place = match place.ends_with(".conf") {
            true => place.to_owned(),
            false => format!("{place}/{name}"),
        };
        machine.put(&place, shipped(name));
    }
    machine.put("/etc/leeward/leeward.toml", config);
    machine.put("/srv/www/index.html", "served\n");
    machine.succeed("systemd-sysusers leeward.conf && systemd-tmpfiles --create leeward.conf");
    machine.succeed("systemctl daemon-reload");
    Ok(machine)
}

/// A machine older than the one it was built on lacks the C library that the program wants.
fn program(suite: &str) -> Result<PathBuf, Skip> {
    if suite != "bullseye" {
        return Ok(PathBuf::from(env!("CARGO_BIN_EXE_leeward")));
    }
    let given = std::env::var_os("LEEWARD_STATIC").map(PathBuf::from);
    given.ok_or_else(|| Skip("LEEWARD_STATIC names no static program for bullseye".to_owned()))
}

/// What is in this file below `systemd/`.
pub fn shipped(name: &str) -> String {
    let place = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("systemd")
        .join(name);
    std::fs::read_to_string(&place).unwrap_or_else(|error| panic!("{}: {error}", place.display()))
}

/// Puts one of the examples, and no other, where `systemctl edit leeward` would.
pub fn drop_in(machine: &Booted, name: &str) {
    machine.succeed("rm -rf /etc/systemd/system/leeward.service.d");
    let text = shipped(&format!("examples/{name}"));
    machine.put(
        &format!("/etc/systemd/system/leeward.service.d/{name}"),
        text,
    );
    machine.succeed("systemctl daemon-reload");
}

/// A page of its edge, there.
pub fn get(machine: &Booted, port: u16) -> std::io::Result<Response> {
    machine.inside(|| h1::get(Booted::at(port), "/", DUE))
}

/// It serves what the origin has.
pub fn is_served(machine: &Booted, port: u16) {
    let answer = get(machine, port).unwrap_or_else(|error| panic!("{error}\n{}", machine.told()));
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (200, "served\n"),
        "{}",
        machine.told()
    );
}

/// The id, there, of the process of the latest generation.
pub fn origin(machine: &Booted) -> String {
    let started = journal(machine, "info").into_iter().rev().find(|entry| {
        let message = entry["MESSAGE"].as_str();
        message.is_some_and(|message| message.contains("origin started"))
    });
    let started = started.unwrap_or_else(|| panic!("none was started\n{}", machine.told()));
    let pid = started["LEEWARD_PID"].as_str();
    pid.unwrap_or_else(|| panic!("no pid in {started:#}"))
        .to_owned()
}

/// The entries of its unit's journal that are this severe, as JSON, one a line.
pub fn journal(machine: &Booted, priority: &str) -> Vec<serde_json::Value> {
    let line = format!("journalctl --sync; journalctl -q -u leeward -p {priority} -o json");
    let told = machine.succeed(&line);
    let parsed = told.lines().map(serde_json::from_str);
    parsed.map(|entry| entry.expect("it is JSON")).collect()
}

/// The one of them that says this.
pub fn entry(machine: &Booted, priority: &str, part: &str) -> serde_json::Value {
    let until = Instant::now() + DUE;
    loop {
        let all = journal(machine, priority);
        let says = |it: &&serde_json::Value| {
            let message = it["MESSAGE"].as_str();
            message.is_some_and(|message| message.contains(part))
        };
        if let Some(found) = all.iter().find(says) {
            return found.clone();
        }
        assert!(Instant::now() < until, "no '{part}' in {all:#?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
