//! A command of ours that makes itself a daemon: its first process exits with 0, and what it left behind serves. The
//! main process is the one that its pid file names or, without one, that listens at the origin's address; and it must
//! be of our making: in the generation's control group, a descendant of ours, or with our mark.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::Change;
use super::child::Child;
use super::held::{Candidate, Held};
use super::pid_file::{self, Who};
use crate::ground::deadline;
use crate::origin::cgroup::Leaf;
use crate::origin::evidence::aside;
use crate::origin::forensics::{Listening, Seen, parent, server, vital};
use crate::origin::orphans::Cleared;
use crate::origin::output::Output;
use crate::origin::pid::Pid;
use crate::origin::{leftover, orphans};

/// A command that makes itself a daemon, and the daemon.
#[derive(Debug)]
pub struct Daemon {
    launcher: Child,
    search: Arc<Search>,
    main: Main,
}

/// The process that serves.
#[derive(Debug)]
enum Main {
    /// It is not known yet, and awaited until then.
    Coming {
        until: Instant,
        refused: Refused,
        look: Option<Look>,
    },
    /// This one.
    Here(Held),
    /// It never came.
    Failed(String),
}

/// A look that is under way. Whoever waits for it may be called away before it is done, again and again.
struct Look {
    /// How the command had ended before.
    end: Option<String>,
    found: Pin<Box<dyn Future<Output = Option<Who>> + Send + Sync>>,
}

/// Why the last look found nobody, and whether that was told.
#[derive(Debug, Default)]
struct Refused {
    why: String,
    looks: u32,
}

/// What is looked for.
#[derive(Debug)]
struct Search {
    pid_file: Option<PathBuf>,
    at: Listening,
    launcher: Pid,
    /// Who was born before that was there before.
    born: u64,
    leaf: Option<Leaf>,
    startup: Duration,
}

/// How a command ends that has made itself a daemon.
const DETACHED: &str = "exited with 0";
/// Between two looks.
const EACH: Duration = Duration::from_millis(10);
/// A look may take this long.
const LOOKING: Duration = Duration::from_millis(200);
/// A file is half written for shorter than so many looks.
const TOLD_AFTER: u32 = 5;
/// A line of descent is not longer.
const DEEPEST: usize = 64;

impl std::fmt::Debug for Look {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Look")
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

impl Daemon {
    /// What `launcher`, just started, is to leave behind within `startup`.
    pub fn new(
        launcher: Child,
        pid_file: Option<PathBuf>,
        at: Listening,
        startup: Duration,
    ) -> Self {
        let pid = launcher.group().pid();
        let search = Search {
            pid_file,
            at,
            launcher: pid,
            born: vital(pid).born.known().copied().unwrap_or(u64::MAX),
            leaf: launcher.leaf().cloned(),
            startup,
        };
        Self {
            launcher,
            search: Arc::new(search),
            main: Main::Coming {
                until: deadline::now() + startup,
                refused: Refused::default(),
                look: None,
            },
        }
    }

    /// Returns with the next thing that becomes of it.
    pub async fn changed(&mut self) -> Change {
        loop {
            let (until, refused, look) = match &mut self.main {
                Main::Coming {
                    until,
                    refused,
                    look,
                } => (*until, refused, look),
                Main::Here(held) => {
                    held.exited().await;
                    return Change::Exited;
                }
                Main::Failed(_) => return Change::Exited,
            };
            let begun = look.get_or_insert_with(|| {
                // Before the look: what it has left behind by then is there.
                let end = self.launcher.group().fate();
                let has_detached = end.as_deref() == Some(DETACHED);
                let search = self.search.clone();
                let found = aside(LOOKING, move || search.look(has_detached));
                Look {
                    end,
                    found: Box::pin(found),
                }
            });
            let who = begun.found.as_mut().await;
            let end = look.take().and_then(|look| look.end);
            let has_detached = end.as_deref() == Some(DETACHED);
            let why = match who {
                Some(Who::Found(held)) => {
                    self.main = Main::Here(self.search.kept(held));
                    return Change::Known;
                }
                Some(Who::Nobody(why) | Who::Unseen(why)) => why,
                None => format!("it could not be looked for within {LOOKING:?}"),
            };
            refused.note(&why);
            let is_late = deadline::now() >= until;
            let failure = match end {
                Some(end) if !has_detached => end,
                _ if is_late => self.search.late(has_detached, &why),
                _ => {
                    tokio::time::sleep(EACH).await;
                    continue;
                }
            };
            self.main = Main::Failed(failure);
        }
    }

    /// The main process, or the command while that is not known.
    pub fn pid(&self) -> Pid {
        match &self.main {
            Main::Here(held) => held.pid(),
            _ => self.search.launcher,
        }
    }

    /// Whether the main process is known.
    pub fn is_known(&self) -> bool {
        matches!(self.main, Main::Here(_))
    }

    /// Returns when it has exited.
    pub async fn exited(&self) {
        match &self.main {
            Main::Here(held) => held.exited().await,
            _ => self.launcher.group().exited().await,
        }
    }

    /// Whether it has exited.
    pub fn has_exited(&self) -> bool {
        match &self.main {
            Main::Here(held) => held.has_exited(),
            _ => self.launcher.group().has_exited(),
        }
    }

    /// How it ended, in words.
    pub fn fate(&self) -> Option<String> {
        match &self.main {
            Main::Here(held) => held.fate(),
            Main::Coming { .. } => None,
            Main::Failed(why) => Some(why.clone()),
        }
    }

    /// Signals the daemon with all that descend from it, and the command's group.
    pub async fn signal(&self, signal: Signal) {
        if let Main::Here(held) = &self.main {
            held.signal(signal).await;
        }
        self.launcher.group().signal(signal);
    }

    /// The last lines they wrote.
    pub fn output(&self) -> &Output {
        self.launcher.output()
    }

    /// Ends what is left of it and of what it started, and takes its pid file away.
    pub async fn bury(self) -> (String, Cleared) {
        let pid = self.pid();
        let (ended, leaf) = self.launcher.end();
        let told = match self.main {
            Main::Here(held) if held.pid() == self.search.launcher => ended,
            Main::Here(held) => held.reap().unwrap_or_else(|| {
                "ended; it was no child of ours, so that how is not known".to_owned()
            }),
            Main::Coming { .. } => ended,
            Main::Failed(why) => why,
        };
        tracing::info!(%pid, "origin {told}");
        let cleared = orphans::clear(pid, leaf).await;
        let search = self.search;
        let clear = move || {
            let file = search.pid_file.as_deref();
            file.into_iter().for_each(|file| pid_file::clear(file, pid));
        };
        let _ = aside(LOOKING, clear).await;
        (told, cleared)
    }
}

impl Refused {
    fn note(&mut self, why: &str) {
        self.looks += 1;
        if self.why != why {
            (self.why, self.looks) = (why.to_owned(), 1);
        }
        let is_news = self.looks == TOLD_AFTER && why.contains("names");
        if is_news {
            tracing::warn!("{why}: it is not believed, and the next word awaited");
        }
    }
}

impl Search {
    /// Looks for it; without a pid file only when the command has gone, which may have listened itself before.
    fn look(&self, has_detached: bool) -> Who {
        match &self.pid_file {
            Some(file) => pid_file::named(file, |candidate| self.believes(candidate)),
            None if !has_detached => Who::Nobody("its command still runs".to_owned()),
            None => self.listener(),
        }
    }

    fn listener(&self) -> Who {
        let nobody = |why: String| Who::Nobody(why);
        let found = match server(&self.at, Instant::now() + LOOKING / 2) {
            Seen::Known(Some(server)) => server.pid,
            Seen::Known(None) => return nobody(format!("nobody listens on {}", self.at)),
            Seen::Hidden(why) => return nobody(why),
        };
        match Candidate::open(found) {
            Ok(Some(candidate)) => match self.believes(&candidate) {
                Ok(()) => pid_file::held(candidate),
                Err(why) => nobody(format!(
                    "{} is served by process {found} ({}), {why}",
                    self.at, candidate.comm
                )),
            },
            Ok(None) => nobody(format!("process {found} is gone")),
            Err(error) => nobody(format!("process {found} cannot be held: {error}")),
        }
    }

    /// Whether it is of this generation's making.
    fn believes(&self, candidate: &Candidate) -> Result<(), String> {
        let pid = candidate.pid;
        if candidate.born < self.born {
            return Err("which was there before it was started".to_owned());
        }
        let is_within = self
            .leaf
            .as_ref()
            .is_some_and(|leaf| leaf.members().contains(&pid));
        match is_within || descends(pid) || leftover::is_marked_by_us(pid) {
            true => Ok(()),
            false => Err("which Leeward did not start".to_owned()),
        }
    }

    /// Its exit is for us to take, unless it is the command itself.
    fn kept(&self, held: Held) -> Held {
        match held.pid() == self.launcher {
            true => held,
            false => held.keep(),
        }
    }

    fn late(&self, has_detached: bool, why: &str) -> String {
        let within = format!("within {:?} (restart.startup)", self.startup);
        let named = self.pid_file.is_some();
        match (has_detached, named) {
            (true, true) => format!("exited with 0, and its pid file did not come {within}: {why}"),
            (true, false) => format!("exited with 0, and left no daemon behind {within}: {why}"),
            (false, true) => format!("still runs, and its pid file did not come {within}: {why}"),
            (false, false) => format!(
                "did not make itself a daemon {within}: it stays in the foreground; take \
                 origin.process.daemonises out"
            ),
        }
    }
}

/// Whether we started it, or what started it, or took in what did.
fn descends(pid: Pid) -> bool {
    let own = Pid::own();
    let line = std::iter::successors(Some(pid), |pid| parent(*pid));
    line.skip(1).take(DEEPEST).any(|it| Some(it) == own)
}
