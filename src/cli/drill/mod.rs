//! `leeward drill`: a failure on purpose, on the running system, and what it cost. Only when asked twice.

mod fault;
mod report;
mod witness;

use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use serde_json::Value;

use self::fault::Fault;
use self::report::Report;
use self::witness::Witnesses;
use super::ask::{USUAL, asked};
use super::{FAILED, FINE, say};

/// What is rehearsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Freeze the origin's process (SIGSTOP).
    Freeze,
    /// Kill it (SIGKILL).
    Kill,
    /// Hold it with clients that go straight to it, begin a request and say no more.
    Block,
    /// Fill its accept queue with such clients.
    Fill,
    /// Ask for a page through Leeward, and never read it.
    Client,
}

/// The command line of a drill.
#[derive(Debug, Args)]
pub struct Drill {
    /// What to rehearse.
    kind: Kind,
    /// Do it; without this, only what would be done is told.
    #[arg(long)]
    yes: bool,
    /// Where the status page of the running Leeward is.
    #[arg(long, value_name = "URL", default_value = USUAL)]
    url: String,
    /// What the witnesses ask for meanwhile, five times a second: something cheap that changes nothing.
    #[arg(long, value_name = "PATH", default_value = "/")]
    path: String,
    /// Print the report as JSON, for programs.
    #[arg(long)]
    json: bool,
}

/// It was told what would be done, and nothing was.
const ASK_AGAIN: u8 = 2;
/// Between two questions.
const EACH: Duration = Duration::from_millis(100);
/// A drill is over after this, whatever comes of it.
const LONGEST: Duration = Duration::from_secs(120);
/// A failure that nobody has noticed after this is one that Leeward keeps from the origin.
const UNNOTICED: Duration = Duration::from_secs(20);
/// The witnesses see how it is before, and after.
const PEACE: Duration = Duration::from_secs(1);

/// Carries out a drill.
pub fn drill(line: &Drill) -> u8 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let done = runtime
        .map_err(|error| error.to_string())
        .and_then(|runtime| runtime.block_on(rehearse(line)));
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("leeward drill: {error}");
            FAILED
        }
    }
}

async fn rehearse(line: &Drill) -> Result<u8, String> {
    let before = snapshot(&line.url).await?;
    let fault = Fault::plan(line.kind, &before, &line.path)?;
    if !line.yes {
        say(&format!(
            "would {fault}, and measure what that costs.\nNothing was done. Clients may notice; ask again with --yes."
        ));
        return Ok(ASK_AGAIN);
    }
    let edge = fault::edge(&before)?;
    let mut witnesses = Witnesses::call(edge, line.path.clone());
    tokio::time::sleep(PEACE).await;
    let (begun, began_at) = (Instant::now(), jiff::Timestamp::now());
    let mut undo = fault.inject().await?;
    let after = tokio::select! {
        after = until_over(line, &before, begun) => after,
        _ = tokio::signal::ctrl_c() => Err("interrupted; what was done is undone".to_owned()),
    };
    undo.release();
    let after = after?;
    tokio::time::sleep(PEACE).await;
    let seen = witnesses.dismiss().await;
    let report = Report::of(line.kind, &before, &after, began_at, seen);
    say(&match line.json {
        true => report.json(),
        false => report.text(),
    });
    Ok(match report.is_good() {
        true => FINE,
        false => FAILED,
    })
}

/// Waits for the incident that the failure leads to, and for its end; or until it is plain that none comes.
async fn until_over(line: &Drill, before: &Value, begun: Instant) -> Result<Value, String> {
    let known = report::newest(before);
    loop {
        tokio::time::sleep(EACH).await;
        let now = snapshot(&line.url).await?;
        let incident = report::newest(&now).filter(|newest| known.as_ref() != Some(newest));
        let is_closed = report::is_closed(&now);
        let spent = begun.elapsed();
        match incident {
            Some(_) if is_closed || spent >= LONGEST => return Ok(now),
            None if spent >= UNNOTICED => return Ok(now),
            _ => {}
        }
    }
}

async fn snapshot(url: &str) -> Result<Value, String> {
    let answer = asked(url, "/status.json").await;
    let text = answer.map_err(|error| format!("{url}: {error}"))?;
    serde_json::from_slice(&text).map_err(|error| format!("{url}: not a snapshot: {error}"))
}
