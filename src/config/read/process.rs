//! The keys of `[origin.process]`, of which each kind of origin has its own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use super::origin::{quoted, texts};
use crate::config::raw::Section;
use crate::config::settings::{Command, Daemon, Hooked, OnExit, Process, Socket};
use crate::config::value::{self, Judged, Wrong, path, span};

/// What an operator's own commands may take, unless they say so.
const HOOKED: Duration = Duration::from_secs(30);
/// The commands of an operator's own.
const HOOKS: [&str; 3] = ["start", "stop", "restart"];
/// What only a command of Leeward's has.
const OF_COMMAND: [&str; 5] = [
    "daemonises",
    "directory",
    "environment",
    "socket",
    "on_exit",
];

/// `[origin.process]`; `None` where it is not there, or not understood.
pub fn process(mut section: Section<'_, '_, '_>) -> Option<Process> {
    let command = section.take("command", command);
    let directory = section.take("directory", path("/var/lib/origin"));
    let environment = section.take("environment", table_of_texts);
    let sockets = [
        ("own", Socket::Own),
        ("passed", Socket::Passed),
        ("stdin", Socket::Stdin),
    ];
    let socket = section.take("socket", |v| value::word(v, &sockets));
    let ends = [("end", OnExit::End), ("keep", OnExit::Keep)];
    let on_exit = section.take("on_exit", |v| value::word(v, &ends));
    let daemonises = section.take("daemonises", value::switch);
    let pid_file = section.take("pid_file", pid_file);
    let unit = section.take("unit", unit);
    let [start, stop, restart] = HOOKS.map(|key| section.take(key, hook).unwrap_or_default());
    let limit = span(Duration::from_millis(100), Duration::from_secs(3600));
    let timeout = section.take("hook_timeout", limit);
    judge(&section, daemonises);
    let is_good = section.is_present() && !section.has_faults();
    let says = |key: &str| section.says(key);
    let kind = match (command, unit) {
        _ if !is_good => None,
        (Some((program, arguments)), None) => {
            let command = Command {
                program,
                arguments,
                directory,
                environment: environment.unwrap_or_default(),
                socket: socket.unwrap_or_default(),
                on_exit: on_exit.unwrap_or_default(),
            };
            Some(match pid_file.is_some() || daemonises == Some(true) {
                true => Process::Daemon(Daemon { command, pid_file }),
                false => Process::Command(command),
            })
        }
        (None, Some(unit)) => Some(Process::Unit(unit)),
        (None, None) if says("pid_file") || HOOKS.into_iter().any(says) => {
            Some(Process::Hooked(Hooked {
                pid_file,
                start,
                stop,
                restart,
                timeout: timeout.unwrap_or(HOOKED),
            }))
        }
        _ => None,
    };
    section.finish();
    kind
}

/// Complains about what does not go together, where the file says it.
fn judge(section: &Section<'_, '_, '_>, daemonises: Option<bool>) {
    let says = |key: &str| section.says(key);
    let complain = |key: &str, message: String, remedy: &str| {
        section.complain(key, Wrong::new(message, remedy));
    };
    let hooks = || HOOKS.into_iter().filter(|key| says(key));
    let (command, unit) = (says("command"), says("unit"));
    let named = command || unit || says("pid_file") || hooks().next().is_some();
    if section.is_present() && !named {
        complain(
            "command",
            "[origin.process] without a command".to_owned(),
            "add command = [\"program\", \"argument\"], or `unit`, or `pid_file` for what somebody else starts, \
             or take the section out",
        );
        return;
    }
    if unit {
        let others = ["command", "pid_file"].into_iter().filter(|key| says(key));
        for key in others.chain(hooks()).chain(of_command(section)) {
            let message = format!("`{key}` beside `unit`, which systemd starts and ends");
            complain(key, message, "keep one of them, and take the other out");
        }
        return;
    }
    if command {
        for key in hooks() {
            let message = format!("`{key}` beside `command`, which Leeward starts and ends itself");
            complain(key, message, "keep one of them, and take the other out");
        }
    } else {
        for key in of_command(section) {
            let message = format!("`{key}` without `command`: it is for what Leeward starts");
            complain(key, message, "add `command`, or take it out");
        }
        let brings = says("start") || says("restart");
        if says("stop") && !brings && !says("pid_file") {
            complain(
                "stop",
                "nothing starts again what this has ended".to_owned(),
                "add `start` or `restart`, or `pid_file` if somebody else starts it again",
            );
        }
    }
    let is_daemon = command && (says("pid_file") || daemonises == Some(true));
    if is_daemon && says("socket") {
        complain(
            "socket",
            "a command that makes itself a daemon is passed no socket".to_owned(),
            "have it stay in the foreground, or take this out",
        );
    }
    if is_daemon && says("on_exit") {
        complain(
            "on_exit",
            "a command that makes itself a daemon ends with Leeward".to_owned(),
            "have it stay in the foreground, or take this out",
        );
    }
    if daemonises == Some(false) && command && says("pid_file") {
        complain(
            "daemonises",
            "a `pid_file` is only asked of a command that makes itself a daemon".to_owned(),
            "take one of them out",
        );
    }
    if says("hook_timeout") && hooks().next().is_none() {
        complain(
            "hook_timeout",
            "there is no `start`, `stop` or `restart` it is for".to_owned(),
            "add one of them, or take it out",
        );
    }
}

fn of_command<'s>(section: &'s Section<'_, '_, '_>) -> impl Iterator<Item = &'static str> + 's {
    OF_COMMAND.into_iter().filter(|key| section.says(key))
}

fn command(value: &DeValue<'_>) -> Judged<(String, Vec<String>)> {
    let words = texts(value)?;
    match words.split_first() {
        Some((program, arguments)) if !program.is_empty() => {
            Ok((program.clone(), arguments.to_vec()))
        }
        _ => Err(Wrong::new(
            "the command is empty",
            "write it like [\"goahead\", \"--home\", \"/etc/goahead\"]",
        )),
    }
}

fn hook(value: &DeValue<'_>) -> Judged<Vec<String>> {
    let words = texts(value)?;
    match words.first() {
        Some(program) if !program.is_empty() => Ok(words),
        _ => Err(Wrong::new(
            "the command is empty",
            "write it like [\"/etc/init.d/goahead\", \"start\"], or take the key out",
        )),
    }
}

/// A whole path: nobody knows where a relative one would begin for who writes it.
fn pid_file(value: &DeValue<'_>) -> Judged<PathBuf> {
    let file = path("/run/goahead.pid")(value)?;
    match file.is_absolute() {
        true => Ok(file),
        false => Err(Wrong::new(
            format!("`{}` is no whole path", file.display()),
            "write it like \"/run/goahead.pid\"",
        )),
    }
}

/// The name of a service, with its suffix.
fn unit(value: &DeValue<'_>) -> Judged<String> {
    let remedy = "write it like \"goahead.service\"";
    let text = value::text(value, remedy)?;
    let wrong = |message: String| Err(Wrong::new(message, remedy));
    let name = match text.rsplit_once('.') {
        Some((_, "service")) => text.clone(),
        Some((
            _,
            kind @ ("socket" | "timer" | "target" | "scope" | "slice" | "mount" | "path"),
        )) => {
            return wrong(format!("a {kind} has no main process"));
        }
        _ => format!("{text}.service"),
    };
    // systemd.unit(5); what begins with a dash would be taken for an option.
    let fits = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    let is_name = !name.starts_with(['-', '.', '@']) && name.chars().all(fits);
    match is_name && name.len() <= 255 {
        true => Ok(name),
        false => wrong(format!("`{text}` is no name of a service")),
    }
}

fn table_of_texts(value: &DeValue<'_>) -> Judged<BTreeMap<String, String>> {
    let Some(table) = value.as_table() else {
        let remedy = "write it like { NAME = \"value\" }";
        return Err(Wrong::kind(value, "a table of texts", remedy));
    };
    let pair = |(key, text): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
        let key: &std::borrow::Cow<'_, str> = key.get_ref();
        Ok((key.to_string(), quoted(text)?))
    };
    table.iter().map(pair).collect()
}
