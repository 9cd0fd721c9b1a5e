//! Whether the origin's port is free for the next generation, and who is in the way.

use std::time::{Duration, Instant};

use super::forensics::{Listening, accept_queue, holders};
use super::senses::listening;
use crate::ground::addr::OriginAddr;
use crate::ground::deadline::{self, Deadline};

/// How long the port of an ended generation may stay taken before that is told as a fault.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two looks.
const AGAIN: Duration = Duration::from_millis(50);

/// Why the origin could not listen, should it be started now. Waits a moment for a port to become free;
/// a unix socket that is left over is no obstacle to most servers.
pub async fn trouble(address: &OriginAddr) -> Option<String> {
    let at = listening(address);
    if matches!(at, Listening::Unix(_)) {
        return None;
    }
    let deadline = Deadline::within(PATIENCE);
    while let Some(Some(_)) = accept_queue(&at).known() {
        if deadline.is_past(deadline::now()) {
            return Some(told(&at));
        }
        tokio::time::sleep(AGAIN).await;
    }
    None
}

fn told(at: &Listening) -> String {
    let who = holders(at, Instant::now() + PATIENCE);
    let names: Vec<String> = who
        .known()
        .into_iter()
        .flat_map(|holders| &holders.found)
        .map(|holder| format!("{} (process {})", holder.comm, holder.pid))
        .collect();
    let who = match names.is_empty() {
        true => "a process we may not see".to_owned(),
        false => names.join(", "),
    };
    format!("{at} is held by {who}; end it, or choose another origin.address")
}
