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
use super::{FAILED, FINE, say, terminal};

/// What is rehearsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Freeze the origin's process (SIGSTOP).
    Freeze,
    /// Kill it (SIGKILL).
    Kill,
    /// Let all its threads run in circles, as in an endless loop; needs root or the rights of a debugger.
    Spin,
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
/// Beyond the silence that counts as a hang: a failure that nobody has noticed by then is one that Leeward keeps from
/// the origin.
const UNNOTICED: Duration = Duration::from_secs(10);
/// Beyond that, a drill is over, whatever comes of it.
const LONGEST: Duration = Duration::from_secs(100);
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
    after?;
    tokio::time::sleep(PEACE).await;
    let seen = witnesses.dismiss().await;
    // What became of the last of them is counted by now.
    let after = snapshot(&line.url).await?;
    let report = Report::of(line.kind, &before, &after, began_at, seen);
    say(&match line.json {
        true => report.json(),
        false => report.text(terminal::ink()),
    });
    Ok(match report.is_good() {
        true => FINE,
        false => FAILED,
    })
}

/// Waits for the incident that the failure leads to, and for its end; or until it is plain that none comes.
async fn until_over(line: &Drill, before: &Value, begun: Instant) -> Result<(), String> {
    let unnoticed = certain_after(line.kind, before) + UNNOTICED;
    loop {
        tokio::time::sleep(EACH).await;
        let now = snapshot(&line.url).await?;
        let incident = report::incident(before, &now);
        let is_closed = incident.is_some_and(report::is_closed);
        let spent = begun.elapsed();
        if is_closed || spent >= unnoticed + LONGEST || incident.is_none() && spent >= unnoticed {
            return Ok(());
        }
    }
}

/// The longest silence after which the system in this snapshot is sure of such a failure: a process that runs is given
/// three times as long as one that waits.
fn certain_after(kind: Kind, snapshot: &Value) -> Duration {
    let hang = &snapshot["hang"];
    let set = |name: &str, usual: f64| {
        let told = hang[name].as_f64().unwrap_or(usual);
        Duration::try_from_secs_f64(told).unwrap_or(LONGEST)
    };
    // A Leeward that tells none is an older one; these are the defaults.
    let (certain, silent) = (set("certain_seconds", 1.5), set("silent_seconds", 10.0));
    let turns = if kind == Kind::Spin { 3 } else { 1 };
    certain.max(silent * turns)
}

async fn snapshot(url: &str) -> Result<Value, String> {
    let answer = asked(url, "/status.json").await;
    let text = answer.map_err(|error| format!("{url}: {error}"))?;
    serde_json::from_slice(&text).map_err(|error| format!("{url}: not a snapshot: {error}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_drill_waits_for_as_long_as_the_running_system_does() {
        let after = |kind, hang| certain_after(kind, &json!({ "hang": hang })).as_secs();
        let slow = json!({ "certain_seconds": 2.0, "silent_seconds": 60.0 });
        assert_eq!(after(Kind::Spin, slow.clone()), 180);
        assert_eq!(after(Kind::Block, slow), 60);
        assert_eq!(after(Kind::Freeze, json!({ "certain_seconds": 90.0 })), 90);
        assert_eq!(after(Kind::Spin, Value::Null), 30);
    }
}
