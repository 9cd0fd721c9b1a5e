//! `leeward status`: what the status page shows, for a terminal or for a program, once or for as long as one looks.

use std::time::Duration;

use clap::Args;
use serde_json::Value;
use tokio::time::MissedTickBehavior;

use super::ask::{NoAnswer, USUAL, asked};
use super::terminal::Screen;
use super::{FAILED, FINE, say, terminal};
use crate::status::terminal::render;

/// What is asked for, and of whom.
#[derive(Debug, Args)]
pub struct Status {
    /// Where its status page is.
    #[arg(long, value_name = "URL", default_value = USUAL)]
    url: String,
    /// Print it as JSON, for programs.
    #[arg(long)]
    json: bool,
    /// Look every second, until Ctrl-C.
    #[arg(long, short, conflicts_with = "json")]
    watch: bool,
    /// Fail unless requests reach the origin: for scripts.
    #[arg(long, conflicts_with = "watch")]
    require_ready: bool,
}

/// Between two looks.
const EACH: Duration = Duration::from_secs(1);

/// Prints what is asked for.
pub fn status(status: &Status) -> u8 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let done = match runtime {
        Ok(runtime) if status.watch => runtime.block_on(watch(&status.url)),
        Ok(runtime) => runtime.block_on(once(status)),
        Err(error) => Err(error.to_string()),
    };
    match done {
        Ok(code) => code,
        Err(trouble) => {
            eprintln!("leeward status: {trouble}");
            FAILED
        }
    }
}

async fn once(status: &Status) -> Result<u8, String> {
    let text = asked(&status.url, "/status.json").await;
    let text = text.map_err(|error| trouble(&status.url, &error))?;
    let told: Value = serde_json::from_slice(&text)
        .map_err(|error| format!("{}: its answer is not a snapshot: {error}", status.url))?;
    match status.json {
        true => say(String::from_utf8_lossy(&text).trim_end()),
        false => say(render(&told, terminal::ink()).trim_end()),
    }
    let is_ready = told["origin"]["up"] == true;
    Ok(if status.require_ready && !is_ready {
        FAILED
    } else {
        FINE
    })
}

/// Looks every second until somebody has seen enough. That nobody answers is shown, and asked again.
async fn watch(url: &str) -> Result<u8, String> {
    let mut screen =
        Screen::open().map_err(|error| format!("--watch needs a terminal: {error}"))?;
    let mut enough = std::pin::pin!(terminal::enough());
    let mut looks = tokio::time::interval(EACH);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = String::new();
    loop {
        let told = tokio::select! {
            () = &mut enough => return Ok(FINE),
            told = async {
                looks.tick().await;
                asked(url, "/status.json").await
            } => told,
        };
        let told = told.and_then(|text| {
            let told = serde_json::from_slice(&text);
            told.map_err(|error| NoAnswer::Nobody(format!("its answer is not a snapshot: {error}")))
        });
        let shown = match told {
            Ok(told) => {
                last = render(&told, terminal::ink());
                last.clone()
            }
            Err(error) => format!("{}\n\nBefore that:\n\n{last}", trouble(url, &error)),
        };
        if screen.show(&shown).is_err() {
            return Ok(FINE);
        }
    }
}

fn trouble(url: &str, error: &NoAnswer) -> String {
    match error {
        NoAnswer::Refused(status, _) => {
            format!(
                "{url}: it answered {status}; is Leeward running, and is this its status.listen?"
            )
        }
        error => format!("{url}: {error}"),
    }
}
