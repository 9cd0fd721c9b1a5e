//! `leeward incidents`: what happened, from the running Leeward or, while none runs, from its files.

mod choice;

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::ask::{NoAnswer, USUAL, ask};
use super::{BAD_CONFIG, FAILED, FINE, say, terminal};
use crate::config;
use crate::ground::ink::{Ink, Tone};
use crate::origin::{journal, records};
use crate::status::story;

use choice::choose;

/// What is asked for, and where it is looked for.
#[derive(Debug, clap::Args)]
pub struct Incidents {
    /// Tell the whole story of this one: its ID, the beginning of it, or `last`.
    id: Option<String>,
    /// Read the files in this directory.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["config", "url"])]
    directory: Option<PathBuf>,
    /// Read the files where this configuration has them.
    #[arg(long, short, value_name = "FILE", conflicts_with = "url")]
    config: Option<PathBuf>,
    /// Ask the status page there [default: http://127.0.0.1:9180; if nobody answers, the files where they usually are]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Print JSON, for programs.
    #[arg(long)]
    json: bool,
}

/// Where incidents come from.
enum Place {
    Files(PathBuf),
    Page(String),
}

/// So many are listed.
const MOST: usize = 100;

/// Prints the list, or one story.
pub fn incidents(asked: &Incidents) -> u8 {
    let place = match place(asked) {
        Ok(place) => place,
        Err(code) => return code,
    };
    let told = match &asked.id {
        None => list(&place, asked.json),
        Some(id) => one(&place, id, asked.json),
    };
    match told {
        Ok(told) => {
            say(told.trim_end());
            FINE
        }
        Err(trouble) => {
            eprintln!("leeward incidents: {trouble}");
            FAILED
        }
    }
}

fn place(asked: &Incidents) -> Result<Place, u8> {
    if let Some(directory) = &asked.directory {
        return Ok(Place::Files(directory.clone()));
    }
    if let Some(file) = &asked.config {
        let settings = config::load(file).map_err(|error| {
            eprintln!("{error}");
            BAD_CONFIG
        })?;
        let directory = settings.incidents.directory;
        return Ok(Place::Files(
            directory.unwrap_or_else(journal::default_directory),
        ));
    }
    if let Some(url) = &asked.url {
        return Ok(Place::Page(url.clone()));
    }
    let usual = journal::default_directory();
    match ask(USUAL, "/livez") {
        Err(NoAnswer::Nobody(_)) if usual.is_dir() => {
            eprintln!(
                "leeward incidents: nobody answers at {USUAL}; these are the files in {}",
                usual.display()
            );
            Ok(Place::Files(usual))
        }
        _ => Ok(Place::Page(USUAL.to_owned())),
    }
}

fn list(place: &Place, json: bool) -> Result<String, String> {
    let (incidents, more) = match place {
        Place::Files(directory) => {
            let names = names(directory)?;
            let summary = |id: &String| match records::text(directory, id) {
                Ok(text) => records::summary(id, &text),
                Err(error) => {
                    let mut summary = records::summary(id, b"");
                    summary.sentence = format!("its file cannot be read: {error}");
                    summary
                }
            };
            let told = names.iter().take(MOST).map(summary);
            let told = serde_json::to_value(told.collect::<Vec<_>>());
            let told = told.map_err(|error| error.to_string())?;
            (told, names.len().saturating_sub(MOST))
        }
        Place::Page(url) => (listed(url)?, 0),
    };
    let incidents = incidents.as_array().map_or(&[][..], Vec::as_slice);
    if json {
        return serde_json::to_string_pretty(incidents).map_err(|error| error.to_string());
    }
    Ok(match (incidents.is_empty(), more) {
        (true, _) => "no incidents".to_owned(),
        (false, 0) => with_heads(&story::lines(incidents), terminal::ink()),
        (false, more) => {
            let lines = with_heads(&story::lines(incidents), terminal::ink());
            format!("{lines}and {more} older ones")
        }
    })
}

fn one(place: &Place, asked: &str, json: bool) -> Result<String, String> {
    let text = match place {
        Place::Files(directory) => {
            let id = choose(asked, &names(directory)?)?;
            let file = directory.join(format!("{id}.json"));
            records::text(directory, &id).map_err(|error| told(&file, &error))?
        }
        Place::Page(url) => {
            let listed = listed(url)?;
            let names = listed.as_array().into_iter().flatten();
            let names = names.filter_map(|one| Some(one["id"].as_str()?.to_owned()));
            let id = choose(asked, &names.collect::<Vec<_>>())?;
            let text = ask(url, &format!("/incidents/{id}"));
            text.map_err(|error| format!("{url}: {error}"))?.to_vec()
        }
    };
    if json {
        return Ok(String::from_utf8_lossy(&text).into_owned());
    }
    let incident: Value = serde_json::from_slice(&text)
        .map_err(|error| format!("its file cannot be understood: {error}"))?;
    let story = story::render(&incident);
    let (sentence, rest) = story.split_once('\n').unwrap_or((&story, ""));
    let sentence = terminal::ink().tell(Tone::Bold, sentence);
    Ok(format!("{sentence}\n{rest}"))
}

/// The same lines, those that are not indented in bold: each begins an incident.
fn with_heads(lines: &str, ink: Ink) -> String {
    let told = lines.lines().map(|line| match line.starts_with(' ') {
        true => format!("{line}\n"),
        false => format!("{}\n", ink.tell(Tone::Bold, line)),
    });
    told.collect()
}

fn names(directory: &Path) -> Result<Vec<String>, String> {
    use std::io::ErrorKind;

    records::names(directory).map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            let directory = directory.display();
            format!("{directory}: there is no such directory; see incidents.directory")
        }
        _ => told(directory, &error),
    })
}

/// What a file or directory could not be read for, and what to do about it.
fn told(path: &Path, error: &std::io::Error) -> String {
    use std::io::ErrorKind;

    let path = path.display();
    match error.kind() {
        ErrorKind::PermissionDenied => {
            format!(
                "{path}: it may not be read by this user; ask as root, or as the user Leeward has"
            )
        }
        ErrorKind::NotADirectory => format!("{path}: it is no directory; see incidents.directory"),
        _ => format!("{path}: {error}"),
    }
}

fn listed(url: &str) -> Result<Value, String> {
    let text = ask(url, "/incidents").map_err(|error| match error {
        NoAnswer::Nobody(_) => {
            format!("{url}: {error} Its files can be read by --config FILE or --directory DIR")
        }
        NoAnswer::Address | NoAnswer::Refused(..) => format!("{url}: {error}"),
    })?;
    let told = serde_json::from_slice(&text);
    told.map_err(|error| format!("{url}: its answer is no list of incidents: {error}"))
}
