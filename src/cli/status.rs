//! `leeward status`: what the status page shows, for a terminal or for a program.

use super::ask::{NoAnswer, ask};
use super::{FAILED, FINE, say};
use crate::status::terminal;

/// Asks the status page at `url`, and prints its answer.
pub fn status(url: &str, json: bool) -> u8 {
    let told = ask(url, "/status.json").and_then(|text| match json {
        true => Ok(String::from_utf8_lossy(&text).into_owned()),
        false => serde_json::from_slice(&text)
            .map(|snapshot| terminal::render(&snapshot))
            .map_err(|error| NoAnswer::Nobody(format!("its answer is not a snapshot: {error}"))),
    });
    match told {
        Ok(told) => {
            say(told.trim_end());
            FINE
        }
        Err(NoAnswer::Refused(status, _)) => {
            eprintln!(
                "leeward status: {url}: it answered {status}; is Leeward running, and is this its status.listen?"
            );
            FAILED
        }
        Err(error) => {
            eprintln!("leeward status: {url}: {error}");
            FAILED
        }
    }
}
