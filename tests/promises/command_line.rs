//! What a user meets on the command line.

use std::process::{Command, Stdio};

use crate::house::DUE;
use crate::skip;
use crate::support::h1;
use crate::support::h2;
use crate::support::netns::Pair;
use crate::support::{Leeward, leeward};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn with_nothing_configured_a_welcome_page_is_served_by_a_process_of_its_own() {
    let leeward = Leeward::start(
        "[edge]\nlisten = \"127.0.0.1:0\"\n[status]\nlisten = \"127.0.0.1:0\"\n\
         [incidents]\ndirectory = \"@DIR@\"\n",
    );
    let page = h2::get(leeward.edge(), "/", DUE).expect("the welcome page");
    assert_eq!(page.status, 200);
    assert!(page.text().contains("Leeward"));
    let large = h1::get(leeward.edge(), "/files/20m.bin", DUE).expect("a large file");
    assert_eq!(large.body.len(), 20 << 20);
    let warned = leeward.stderr();
    assert!(warned.contains("self-signed"), "{warned}");
}

/// The default ports are this test's alone in a network of its own.
#[test]
fn the_bare_command_listens_where_the_documentation_says() {
    let pair = match Pair::new() {
        Ok(pair) => pair,
        Err(reason) => skip!(reason),
    };
    let home = tempfile::tempdir().expect("a directory");
    let running = pair.server.inside(|| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_leeward"));
        command.env("STATE_DIRECTORY", home.path());
        crate::support::process::Running::start(&mut command)
    });
    let line = running
        .stderr
        .wait("leeward: ready: ", DUE)
        .expect("the ready line");
    let wanted = "leeward: ready: https://127.0.0.1:8443, status http://127.0.0.1:9180, origin 127";
    assert!(line.contains(wanted), "{line}");
    let page = pair.server.inside(|| h1::get("127.0.0.1:8443", "/", DUE));
    assert_eq!(page.expect("the welcome page").status, 200);
    let status = pair.server.inside(|| leeward(&["status"]));
    assert_eq!(status.status.code(), Some(0), "{}", text(&status.stderr));
    assert!(
        text(&status.stdout).contains("READY"),
        "{}",
        text(&status.stdout)
    );
}

#[test]
fn a_script_learns_by_the_exit_code_whether_requests_reach_the_origin() {
    let leeward_runs = Leeward::start(
        "[edge]\nlisten = \"127.0.0.1:0\"\n[status]\nlisten = \"127.0.0.1:0\"\n\
         [incidents]\ndirectory = \"@DIR@\"\n",
    );
    let url = format!("http://{}", leeward_runs.status());
    h1::get(leeward_runs.edge(), "/", DUE).expect("the welcome page");
    let asked = |more: &[&str]| leeward(&[&["status", "--url", &url], more].concat());
    let ready = asked(&["--require-ready"]);
    assert_eq!(ready.status.code(), Some(0), "{}", text(&ready.stderr));
    // Not a terminal: no colours, and nothing to watch on.
    assert!(!text(&ready.stdout).contains('\u{1b}'));
    let watched = asked(&["--watch"]);
    assert_eq!(watched.status.code(), Some(1));
    assert!(text(&watched.stderr).contains("--watch needs a terminal"));
    let socket = leeward_runs.directory().join("leeward.sock");
    let socket = socket.to_str().expect("a name");
    let drained = leeward(&["drain", "--socket", socket, "--url", &url]);
    assert_eq!(drained.status.code(), Some(0), "{}", text(&drained.stderr));
    assert_eq!(asked(&["--require-ready"]).status.code(), Some(1));
    assert_eq!(asked(&[]).status.code(), Some(0));
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = leeward(&["completions", shell]);
        assert_eq!(script.status.code(), Some(0), "{shell}");
        assert!(text(&script.stdout).contains("maintenance"), "{shell}");
    }
    let directory = tempfile::tempdir().expect("a directory");
    let place = directory.path().to_str().expect("a name");
    assert_eq!(leeward(&["man", place]).status.code(), Some(0));
    let read = |name: &str| std::fs::read_to_string(directory.path().join(name));
    for page in ["leeward.1", "leeward-status.1", "leeward-check.1"] {
        let page = read(page).unwrap_or_else(|error| panic!("{page}: {error}"));
        assert!(
            page.starts_with(".ie") && page.contains(".TH leeward"),
            "{page}"
        );
    }
    let first = read("leeward.1").expect("the page of the program");
    for chapter in ["FIRST STEPS", "BEFORE GOAHEAD", "EXIT STATUS", "FILES"] {
        assert!(first.contains(chapter), "{chapter}: {first}");
    }
    assert!(read("leeward-launch.1").is_err(), "it is nobody's to type");
    let nowhere = leeward(&["man", "/nowhere/at/all"]);
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(text(&nowhere.stderr).contains("/nowhere/at/all"));
}

#[test]
fn help_and_version_are_answered() {
    let help = leeward(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    for word in ["run", "check", "origin", "status", "incidents"] {
        assert!(text(&help.stdout).contains(word), "{word}");
    }
    assert!(!text(&help.stdout).contains("launch"));
    let version = leeward(&["--version"]);
    assert_eq!(
        text(&version.stdout).trim(),
        concat!("leeward ", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(leeward(&["no-such-command"]).status.code(), Some(2));
}

#[test]
fn a_faulty_configuration_tells_all_its_faults_and_exits_with_78() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("bad.toml");
    let bad = "[edge]\nlisten = 5\nthread = 2\n[hang]\nsilent = \"soon\"\n[upstream]\n";
    std::fs::write(&file, bad).expect("the file");
    let file = file.display().to_string();
    for arguments in [vec!["check", &file], vec!["run", "--config", &file]] {
        let output = leeward(&arguments);
        assert_eq!(output.status.code(), Some(78), "{arguments:?}");
        let told = text(&output.stderr);
        for part in [
            ":2:10: edge.listen",
            ":3:1: edge.thread: there is no such key",
            "did you mean `edge.threads`?",
            ":5:10: hang.silent",
            "it is called [origin] here",
            "4 faults",
        ] {
            assert!(told.contains(part), "{part:?} is missing in\n{told}");
        }
        assert!(!told.contains("panicked"), "{told}");
    }
    let missing = leeward(&["check", "/no/such/file.toml"]);
    assert_eq!(missing.status.code(), Some(78));
    assert!(text(&missing.stderr).contains("cannot read the configuration"));
}

#[test]
fn a_certificate_that_cannot_be_read_is_a_fault_of_the_configuration() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("tls.toml");
    let config = "[edge.tls]\ncertificate = \"/no/such.pem\"\nkey = \"/no/such.key\"\n";
    std::fs::write(&file, config).expect("the file");
    let output = leeward(&["check", &file.display().to_string()]);
    assert_eq!(output.status.code(), Some(78));
    let told = text(&output.stderr);
    assert!(
        told.contains("edge.tls.certificate = \"/no/such.pem\""),
        "{told}"
    );
}

/// `script` (util-linux) gives the program a terminal.
#[test]
fn colours_are_for_terminals_that_take_them_and_for_people_who_want_them() {
    if Command::new("script").arg("--version").output().is_err() {
        skip!("script (util-linux) is not installed");
    }
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("leeward.toml");
    std::fs::write(&file, "[hold]\ntimeout = \"12s\"\n").expect("the file");
    let incident = r#"{"id":"20260101T000000.000Z-1-stopped","opened":"2026-01-01T00:00:00Z","sentence":"it is stopped"}"#;
    let kept = directory.path().join("20260101T000000.000Z-1-stopped.json");
    std::fs::write(kept, incident).expect("an incident");
    let incidents = format!("incidents --directory {}", directory.path().display());
    let said = [
        (format!("check {}", file.display()), "\x1b[1;33mwarning"),
        (format!("{incidents} last"), "\x1b[1mit is stopped"),
        (incidents, "\x1b[1m2026-01-01"),
    ];
    for (line, coloured) in said {
        let line = format!("{} {line}", env!("CARGO_BIN_EXE_leeward"));
        let on_terminal = |term: &str, no_color: &str| {
            let mut command = Command::new("script");
            command.args(["-qec", &line, "/dev/null"]);
            command.env("TERM", term).env("NO_COLOR", no_color);
            let output = command.stdin(Stdio::null()).output();
            text(&output.expect("it ran").stdout)
        };
        let told = on_terminal("xterm", "");
        assert!(told.contains(coloured), "{line}: {told:?}");
        for told in [on_terminal("xterm", "1"), on_terminal("dumb", "")] {
            let bare = coloured.rsplit('m').next().expect("some text");
            assert!(!told.contains('\x1b'), "{line}: {told:?}");
            assert!(told.len() > bare.len(), "{line}: {told:?}");
        }
        let words: Vec<&str> = line.split(' ').skip(1).collect();
        assert!(!leeward(&words).stdout.contains(&0x1b), "{line}");
    }
}

#[test]
fn an_address_that_is_taken_is_told_with_its_key() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = holder.local_addr().expect("its address");
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("taken.toml");
    let config = format!("[edge]\nlisten = \"{addr}\"\n[status]\nlisten = \"127.0.0.1:0\"\n");
    std::fs::write(&file, config).expect("the file");
    let output = leeward(&["run", "--config", &file.display().to_string()]);
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    assert!(
        told.contains(&format!("edge.listen: cannot listen on {addr}")),
        "{told}"
    );
}
