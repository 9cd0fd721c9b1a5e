//! Leeward with the sick origin behind it, on ports of its own, as most promises want it.

use std::time::Duration;

use crate::support::{Leeward, ailing, free_port};

/// How long an answer may take where one is due, on a machine that is busy with other tests.
pub const DUE: Duration = Duration::from_secs(30);

/// Leeward in front of the sick origin, started with these options; `more` is added to the configuration.
pub fn behind(options: &[&str], more: &str) -> Leeward {
    let mut command = vec![
        ailing().display().to_string(),
        "--listen".into(),
        "{address}".into(),
    ];
    command.extend(options.iter().map(|option| (*option).to_owned()));
    in_front_of(&command, more)
}

/// Leeward in front of the sick origin, with these keys in `[origin]`.
pub fn with_origin(keys: &str) -> Leeward {
    let command = [
        ailing().display().to_string(),
        "--listen".into(),
        "{address}".into(),
    ];
    let config = configuration(&command, free_port(), "");
    let config = config.replace("[origin.process]", &format!("{keys}[origin.process]"));
    let leeward = Leeward::start(&config);
    leeward.wait_log("origin ready", DUE);
    leeward
}

/// Leeward in front of the sick origin, with these keys in `[edge]`.
pub fn configured(keys: &str) -> Leeward {
    let command = [
        ailing().display().to_string(),
        "--listen".into(),
        "{address}".into(),
    ];
    let config = configuration(&command, free_port(), "");
    let leeward = Leeward::start(&config.replacen("[edge]\n", &format!("[edge]\n{keys}"), 1));
    leeward.wait_log("origin ready", DUE);
    leeward
}

/// Leeward in front of any command; `{port}` in it is the origin's.
pub fn in_front_of(command: &[String], more: &str) -> Leeward {
    let port = free_port();
    let leeward = Leeward::start(&configuration(command, port, more));
    // Whatever the promise is about, it begins with an origin that has answered.
    leeward.wait_log("origin ready", DUE);
    leeward
}

/// The configuration of [`in_front_of`].
pub fn configuration(command: &[String], port: u16, more: &str) -> String {
    format!(
        "[edge]\nlisten = \"127.0.0.1:0\"\n\
         [status]\nlisten = \"127.0.0.1:0\"\n\
         [incidents]\ndirectory = \"@DIR@/incidents\"\n\
         [origin]\naddress = \"127.0.0.1:{port}\"\n\
         [origin.process]\ncommand = {command:?}\n{more}"
    )
}

/// All incidents written so far, the oldest first.
pub fn incidents(leeward: &Leeward) -> Vec<serde_json::Value> {
    let Ok(entries) = std::fs::read_dir(leeward.directory().join("incidents")) else {
        return Vec::new();
    };
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "json"));
    files.sort();
    let read = |path| std::fs::read(path).expect("an incident can be read");
    let parsed = |text: Vec<u8>| serde_json::from_slice(&text).expect("an incident is JSON");
    files.into_iter().map(read).map(parsed).collect()
}
