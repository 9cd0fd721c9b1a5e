//! A process that a Leeward before us started, and that we took over from it. It is no child of ours: how it ends, only its
//! parent is told.

use std::io;

use rustix::process::{Signal, kill_process_group};

use super::held::{Candidate, Held};
use crate::origin::cgroup::Leaf;
use crate::origin::legacy::{Bequest, Legacy};
use crate::origin::orphans;
use crate::origin::output::{Output, Voice};

/// One that we took over.
#[derive(Debug)]
pub struct Adopted {
    held: Held,
    output: Output,
    leaf: Option<Leaf>,
    bequest: Bequest,
}

/// What is known of its end.
const ENDED: &str =
    "ended; a Leeward before this one had started it, so that how it ended is not known";

impl Adopted {
    /// Takes over what was left; `None` where it is no more.
    ///
    /// # Errors
    /// What the system said.
    pub fn take(mut legacy: Legacy, is_logged: bool) -> io::Result<Option<Self>> {
        let record = &legacy.record;
        let (pid, born, generation) = (record.pid, record.born, record.generation);
        let leaf = record.cgroup.clone().and_then(Leaf::at);
        let Some(candidate) = Candidate::open(pid)?.filter(|it| it.born == born) else {
            return Ok(None);
        };
        let (stdout, stderr) = legacy.take_pipes();
        let voice = Voice {
            is_logged,
            generation,
            pid,
        };
        Ok(Some(Self {
            held: candidate.hold()?,
            output: Output::listen(stdout, stderr, voice)?,
            leaf,
            bequest: legacy.pass_on(),
        }))
    }

    /// The process.
    pub fn held(&self) -> &Held {
        &self.held
    }

    /// The last lines it wrote.
    pub fn output(&self) -> &Output {
        &self.output
    }

    /// What is left of it for the Leeward after us.
    pub fn bequest(&mut self) -> &mut Bequest {
        &mut self.bequest
    }

    /// How it ended, if it has.
    pub fn fate(&self) -> Option<String> {
        self.held.has_exited().then(|| ENDED.to_owned())
    }

    /// Signals it, its process group, and all that descend from it.
    pub async fn signal(&self, signal: Signal) {
        self.held.signal(signal).await;
        // While it is there, its number is its group's and nobody else's.
        if let Some(group) = self.held.pid().raw().filter(|_| !self.held.has_exited()) {
            let _ = kill_process_group(group, signal);
        }
        if let Some(leaf) = self.leaf.as_ref().filter(|_| signal == Signal::KILL) {
            leaf.kill();
        }
    }

    /// Ends what is left of it and of what it started, as far as that is known.
    pub async fn bury(self) -> (String, orphans::Cleared) {
        let pid = self.held.pid();
        self.signal(Signal::KILL).await;
        tracing::info!(%pid, "origin {ENDED}");
        (ENDED.to_owned(), orphans::clear(pid, self.leaf).await)
    }

    /// Leaves it running, for the Leeward after us.
    pub fn outlive(self) {
        self.bequest.stay();
    }
}
