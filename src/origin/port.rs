//! Whether the origin's port is free for the next generation, and who is in the way.

use std::time::{Duration, Instant};

use super::evidence::aside;
use super::forensics::{Holder, Listening, accept_queue, holders};
use super::leftover;
use super::pid::Pid;
use super::senses::listening;
use crate::config::fixed::PORT_PATIENCE as PATIENCE;
use crate::ground::addr::OriginAddr;
use crate::ground::deadline::{self, Deadline};

/// Between two looks.
const AGAIN: Duration = Duration::from_millis(50);
/// For a look at an environment, which a process that is held in the kernel may hold up.
const LOOKING: Duration = Duration::from_millis(200);

/// Why the origin could not listen, should it be started now. Waits a moment for a port to become free, and ends what
/// holds it if a Leeward before us left it behind; a unix socket that is left over is no obstacle to most servers.
/// Only listeners count: a connection in TIME_WAIT hinders nobody who sets `SO_REUSEADDR`, as servers do.
pub async fn trouble(address: &OriginAddr) -> Option<String> {
    let at = listening(address);
    if matches!(at, Listening::Unix(_)) {
        return None;
    }
    let deadline = Deadline::within(PATIENCE);
    let mut freed = false;
    while let Some(Some(_)) = accept_queue(&at).known() {
        if !freed {
            freed = true;
            free(&at).await;
        }
        if deadline.is_past(deadline::now()) {
            return Some(told(&at));
        }
        tokio::time::sleep(AGAIN).await;
    }
    None
}

/// Ends those that hold it and that a Leeward before us left behind, and says who still does a moment later. For the start
/// of Leeward, which nobody waits for yet.
pub fn free_at_once(address: &OriginAddr) -> Option<String> {
    let at = listening(address);
    let until = Instant::now() + PATIENCE;
    let mut ended = false;
    for Holder { pid, .. } in found(&at) {
        ended |= leftover::end(pid);
    }
    while ended && !found(&at).is_empty() && Instant::now() < until {
        std::thread::sleep(AGAIN);
    }
    let left = found(&at);
    (!left.is_empty()).then(|| told(&at))
}

/// The same at any time: who holds it is looked for only where somebody does.
pub fn taken(address: &OriginAddr) -> Option<String> {
    let at = listening(address);
    let is_taken =
        matches!(at, Listening::Tcp(_)) && matches!(accept_queue(&at).known(), Some(Some(_)));
    if is_taken {
        free_at_once(address)
    } else {
        None
    }
}

/// Who else holds the socket that we pass: it would take what is meant for the next generation. Waits a moment for it to
/// let go.
pub async fn rival(address: &OriginAddr) -> Option<String> {
    let at = listening(address);
    let deadline = Deadline::within(PATIENCE);
    loop {
        let here = at.clone();
        let others = aside(2 * PATIENCE, move || found(&here)).await;
        let others: Vec<Holder> = others.unwrap_or_default();
        let mut others = others.iter().filter(|it| Some(it.pid) != Pid::own());
        let rival = others.next()?;
        if deadline.is_past(deadline::now()) {
            let Holder { pid, comm, .. } = rival;
            return Some(format!(
                "{comm} (process {pid}) still holds the socket of the generation before, {at}"
            ));
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Ends those that hold it and that a Leeward before us left behind.
async fn free(at: &Listening) {
    for Holder { pid, comm, .. } in found(at) {
        if aside(LOOKING, move || leftover::end(pid)).await == Some(true) {
            tracing::warn!(%pid, comm, "{at} was held by a process that a Leeward before left behind; it was ended");
        }
    }
}

fn found(at: &Listening) -> Vec<Holder> {
    let who = holders(at, Instant::now() + PATIENCE);
    who.known().map_or_else(Vec::new, |who| who.found.clone())
}

fn told(at: &Listening) -> String {
    let names: Vec<String> = found(at)
        .iter()
        .map(|holder| format!("{} (process {})", holder.comm, holder.pid))
        .collect();
    let who = match names.is_empty() {
        true => "a process we may not see".to_owned(),
        false => names.join(", "),
    };
    format!("{at} is held by {who}; end it, or choose another origin.address")
}
