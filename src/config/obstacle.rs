//! What stands in the way of a command on this machine: read from the disk, and so no fault of the file's.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::settings::{Command, Process, Settings};

/// What keeps `command` from being started here, with the key to change; `None` if nothing is seen.
pub fn obstacle(command: &Command) -> Option<String> {
    if let Some(directory) = command.directory.as_ref().filter(|it| !it.is_dir()) {
        return Some(format!(
            "origin.process.directory: there is no directory {}; make it, or name another",
            directory.display()
        ));
    }
    let from = command.directory.clone().unwrap_or_default();
    missing("origin.process.command", &command.program, &from)
}

/// What keeps the origin from being started here, and each of the hooks from being run, with the key to change.
pub fn obstacles(settings: &Settings) -> Vec<String> {
    let (process, hooks) = (&settings.origin.process, &settings.hooks);
    let mut programs = vec![
        ("hooks.before_kill", hooks.before_kill.words.first()),
        ("hooks.on_incident", hooks.on_incident.words.first()),
        ("hooks.on_degraded", hooks.on_degraded.words.first()),
    ];
    let systemctl = "systemctl".to_owned();
    match process {
        Process::Unit(_) => programs.push(("origin.process.unit", Some(&systemctl))),
        Process::Hooked(hooked) => programs.extend([
            ("origin.process.start", hooked.start.first()),
            ("origin.process.stop", hooked.stop.first()),
            ("origin.process.restart", hooked.restart.first()),
        ]),
        _ => {}
    }
    let folders = match process {
        Process::Bundled(it) => vec![
            ("origin.bundled.root", it.root.as_ref()),
            ("origin.bundled.cgi", it.cgi.as_ref()),
        ],
        _ => Vec::new(),
    };
    let folders = folders
        .into_iter()
        .filter_map(|(key, folder)| Some((key, folder.filter(|it| !it.is_dir())?)))
        .map(|(key, folder)| {
            let folder = folder.display();
            format!("{key}: there is no directory {folder}; make it, or name another")
        });
    let program = |(key, program): (&str, Option<&String>)| missing(key, program?, Path::new(""));
    let missing = programs.into_iter().filter_map(program);
    process
        .command()
        .and_then(obstacle)
        .into_iter()
        .chain(missing)
        .chain(folders)
        .collect()
}

fn missing(key: &str, program: &str, from: &Path) -> Option<String> {
    let mut places = places(program, from);
    if places.iter().any(|place| is_executable(place)) {
        return None;
    }
    places.retain(|place| place.exists());
    Some(match places.first() {
        Some(place) => format!(
            "{key}: {} is no program that can be executed; see its permissions",
            place.display()
        ),
        None if program.contains('/') => {
            format!("{key}: there is no {program}; name the program by its whole path")
        }
        None => format!("{key}: there is no {program} on PATH; name it by its whole path"),
    })
}

/// Where the program may be: where it is named, seen from where it will run, or along PATH.
fn places(program: &str, from: &Path) -> Vec<PathBuf> {
    if program.contains('/') {
        return vec![from.join(program)];
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|directory| directory.join(program))
        .collect()
}

fn is_executable(file: &Path) -> bool {
    let told = file.metadata();
    told.is_ok_and(|told| told.is_file() && told.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(program: &str, directory: Option<&str>) -> String {
        let command = Command {
            program: program.to_owned(),
            arguments: Vec::new(),
            directory: directory.map(PathBuf::from),
            environment: Default::default(),
            socket: Default::default(),
            on_exit: Default::default(),
        };
        obstacle(&command).unwrap_or_default()
    }

    #[test]
    fn what_is_missing_is_named_with_its_key() {
        assert_eq!(told("sh", Some("/")), "");
        assert_eq!(told("bin/sh", Some("/")), "");
        let directory = told("sh", Some("/no/such"));
        assert!(
            directory.contains("origin.process.directory"),
            "{directory}"
        );
        assert!(told("no-such-program", None).contains("on PATH"));
        assert!(told("/no/such", None).contains("whole path"));
        assert!(told("/etc/passwd", None).contains("permissions"));
    }
}
