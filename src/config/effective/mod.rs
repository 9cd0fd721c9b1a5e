//! The whole resulting configuration as TOML that parses back to the same settings. Each struct is taken apart by name, so
//! that a setting nobody tells of does not compile.

mod edge;
mod log;
mod origin;
mod recovery;

use std::fmt::{Display, Write};
use std::path::Path;
use std::time::Duration;

use super::settings::{Pace, Settings};
use super::value::{told, told_duration};

/// Every key that has a value, in the order of `config/leeward.toml`.
pub fn effective(settings: &Settings) -> String {
    let Settings {
        edge,
        spool,
        origin,
        routes,
        hang,
        restart,
        standby,
        quarantine,
        hold,
        replay,
        pages,
        incidents,
        hooks,
        status,
        log,
        trace,
    } = settings;
    let mut text = Text::default();
    text.edge(edge);
    text.spool(spool);
    text.origin(origin);
    routes.iter().for_each(|route| text.route(route));
    text.hang(hang);
    text.restart(restart);
    text.standby(standby);
    text.quarantine(quarantine);
    text.hold(hold);
    text.replay(*replay);
    text.pages(pages);
    text.incidents(incidents);
    text.hooks(hooks);
    text.status(status);
    text.log(log);
    text.trace(trace);
    text.0
}

#[derive(Default)]
struct Text(String);

const OFF: &str = "\"off\"";
const AUTO: &str = "\"auto\"";

impl Text {
    fn section(&mut self, name: &str) {
        let gap = if self.0.is_empty() { "" } else { "\n" };
        let _ = writeln!(self.0, "{gap}{name}");
    }

    fn put(&mut self, key: &str, value: impl Display) {
        let _ = writeln!(self.0, "{key} = {value}");
    }

    /// What is not told has no way to be said: its absence says it.
    fn maybe(&mut self, key: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.put(key, value);
        }
    }

    fn or(&mut self, key: &str, value: Option<impl Display>, otherwise: &str) {
        match value {
            Some(value) => self.put(key, value),
            None => self.put(key, otherwise),
        }
    }
}

/// A text as TOML writes it: a basic string of the specification.
fn quoted(text: impl Display) -> String {
    let mut written = String::from('"');
    for letter in text.to_string().chars() {
        match letter {
            '"' | '\\' => written.extend(['\\', letter]),
            letter if letter.is_control() => {
                let _ = write!(written, "\\U{:08X}", letter as u32);
            }
            letter => written.push(letter),
        }
    }
    written.push('"');
    written
}

fn file(path: &Path) -> String {
    quoted(path.display())
}

fn list(texts: impl Iterator<Item = impl Display>) -> String {
    let texts: Vec<_> = texts.map(quoted).collect();
    format!("[{}]", texts.join(", "))
}

fn time(length: Duration) -> String {
    quoted(precise(length))
}

/// As people write it, where that says all.
fn precise(length: Duration) -> String {
    let nanos = length.subsec_nanos();
    match nanos % 1_000_000 {
        0 => told_duration(length),
        _ => format!("{}.{nanos:09}s", length.as_secs()),
    }
}

fn size(bytes: u64) -> String {
    quoted(told(bytes))
}

fn pace(pace: Pace) -> String {
    let Pace { rate, after } = pace;
    quoted(format!("{}/s after {}", told(rate), precise(after)))
}

fn version(http2: bool) -> &'static str {
    if http2 { "\"2\"" } else { "\"1.1\"" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_was_said_is_said_again() {
        for text in [
            "",
            "[restart]\ngrace = \"0.0005s\"\nbackoff = \"1234.5678ms\"\nquiet = \"0s\"",
            "[edge]\nlisten = [\"[::1]:1\", \"0.0.0.0:443\"]\nredirect = \"[::]:80\"\nproxy_protocol = [\"10.0.0.0/8\", \"2001:db8::/32\"]",
            "[edge.tls]\ncertificate = \"c\"\nkey = \"k\"\nunknown_name = \"refuse\"\nreread_every = \"off\"\n[[edge.tls.certificates]]\ncertificate = \"d\"\nkey = \"l\"",
            "[[edge.tls.certificates]]\ncertificate = \"c\"\nkey = \"k\"\n[[edge.tls.certificates]]\ncertificate = \"d\"\nkey = \"l\"",
            "[edge.tls.clients]\nca = \"a\"\ncrl = [\"b\", \"c\"]\nrequired = false",
            "[edge.deadlines]\nbody_pace = \"off\"\nresponse_pace = \"1KiB/s after 1.5s\"",
            "[edge.limits]\nmemory = \"off\"\nbody = 1000001",
            "[spool]\ndisk = \"off\"\ndirectory = \"/a \\\"b\\\"\\\\\\t\u{e9}\"",
            "[origin]\naddress = \"unix:/run/o.sock\"\nprofile = \"goahead\"",
            "[origin]\naddress = \"127.0.0.1:0\"\nprofile = \"boa\"\n[origin.process]\ncommand = [\"a b\", \"{port}\", \"\"]\nenvironment = { \"A.B\" = \"c\\n\" }",
            "[origin]\naddress = \"127.0.0.1:1\"\n[origin.process]\ncommand = [\"d\"]\ndaemonises = true",
            "[origin]\naddress = \"127.0.0.1:1\"\n[origin.process]\ncommand = [\"d\"]\npid_file = \"/run/d\"",
            "[origin]\naddress = \"127.0.0.1:1\"\n[origin.process]\ncommand = [\"d\"]\nsocket = \"stdin\"\non_exit = \"keep\"",
            "[origin]\naddress = \"127.0.0.1:1\"\n[origin.process]\nunit = \"d@1.service\"",
            "[origin]\naddress = \"127.0.0.1:1\"\n[origin.process]\npid_file = \"/run/d\"",
            "[origin]\naddress = \"127.0.0.1:1\"\n[origin.process]\nrestart = [\"r\", \"x\"]\nhook_timeout = \"3s\"",
            "[origin.bundled]",
            "[origin]\naddress = \"127.0.0.1:8081\"\n[origin.bundled]\nroot = \"/srv\"\nlisting = true\nlinks = \"off\"\nnot_found = \"/404.html\"\ncache = { \"*.css\" = \"1h\", \"/\" = \"0s\" }\ncgi = \"/cgi\"\ncgi_timeout = \"1.5s\"\ncgi_at_once = 3",
            "[[route]]\npath = \"/\"\ntotal = \"off\"\nstream = true\nhttp_version = \"2\"\n[[route]]\npath = \"/a\"\ntotal = \"1d\"",
            "[status]\nlisten = \"off\"\nsocket = \"off\"\n[quarantine]\nafter = \"off\"",
        ] {
            let settings = crate::config::parse("said", text).unwrap_or_else(|it| panic!("{it}"));
            let told = effective(&settings);
            assert_eq!(crate::config::parse("told", &told), Ok(settings), "{told}");
        }
    }
}
