//! What somebody else starts, and commands of the operator's that start and end it: found by its pid file, if that names
//! one that listens at the origin's address, or by who listens there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::held::Candidate;
use super::keeper::Came;
use super::pid_file::{self, Who};
use crate::config::settings;
use crate::ground::deadline;
use crate::origin::evidence::aside;
use crate::origin::forensics::{Listening, Seen, accept_queue, holders, links, parent, server};
use crate::origin::hook::{Remains, carry_out};
use crate::origin::pid::Pid;

/// The commands, and where the process is found.
#[derive(Debug)]
pub struct Hooked {
    settings: settings::Hooked,
    at: Listening,
}

/// What a look came to.
enum Look {
    /// Whom to take.
    Came(Came),
    /// Nobody is there.
    Nobody(String),
    /// Somebody may be there, and be seen soon.
    Again(String),
}

/// A look may take this long.
pub const LOOKING: Duration = Duration::from_millis(500);
/// Between two looks.
const EACH: Duration = Duration::from_millis(50);
/// The same while nobody is there, and somebody else is to start it.
const RESTING: Duration = Duration::from_millis(200);
/// For so long somebody else is given time to start it again before that is told.
const SOON: Duration = Duration::from_secs(2);
/// So much of what a command writes is kept, in bytes.
const KEPT: usize = 4 << 10;
/// A line of descent is not longer.
const DEEPEST: usize = 64;

impl Hooked {
    /// As the settings have it, for an origin that listens `at`; `fill` puts its address into the commands.
    pub fn new(settings: &settings::Hooked, at: Listening, fill: impl Fn(&str) -> String) -> Self {
        let filled = |words: &[String]| words.iter().map(|word| fill(word)).collect();
        let settings = settings::Hooked {
            start: filled(&settings.start),
            stop: filled(&settings.stop),
            restart: filled(&settings.restart),
            ..settings.clone()
        };
        Self { settings, at }
    }

    /// The command that ends it: `stop`, but not where KILL is due and may be sent; where there is none and it may not
    /// be signalled, `restart`.
    pub fn ending(&self, may_signal: bool, kills: bool) -> Option<&[String]> {
        let settings::Hooked { stop, restart, .. } = &self.settings;
        match (stop.is_empty(), may_signal) {
            (false, true) if kills => None,
            (false, _) => Some(stop),
            (true, false) if !restart.is_empty() => Some(restart),
            (true, _) => None,
        }
    }

    /// Runs one of the commands, within the time for it; what it said is logged.
    ///
    /// # Errors
    /// What became of it, in words.
    pub async fn run(&self, command: &[String]) -> Result<(), String> {
        let timeout = self.settings.timeout;
        let ran = carry_out(command, Vec::new(), timeout, KEPT, Remains::Kept).await;
        let took = Duration::from_secs_f64(ran.took_seconds);
        for line in &ran.output {
            tracing::info!(target: "hook", "{line}");
        }
        if ran.is_good {
            tracing::info!(?took, "`{}` {}", ran.command, ran.end);
            return Ok(());
        }
        let said = ran.said().map(|said| format!(": {said}"));
        let said = said.unwrap_or_default();
        Err(format!("`{}` {}{said}", ran.command, ran.end))
    }

    /// Finds it, and has it started once where it is not there.
    pub async fn come(&self, (mut until, startup): (Instant, Duration)) -> Came {
        let up = self.settings.up();
        let patience = (deadline::now() + SOON).min(until);
        let mut was_started = false;
        loop {
            let (why, is_nobody) = match self.look(startup).await {
                Look::Came(came) => return came,
                Look::Nobody(why) => (why, true),
                Look::Again(why) => (why, false),
            };
            let now = deadline::now();
            match up.is_empty() {
                true if now >= patience => {
                    return Came::Rests(format!(
                        "{why}: somebody else has to start it, or set origin.process.start"
                    ));
                }
                false if !was_started && is_nobody => {
                    was_started = true;
                    until = now + startup;
                    tracing::info!("{why}: the origin is started");
                    if let Err(error) = self.run(up).await {
                        return Came::Failed(error);
                    }
                }
                false if now >= until && !was_started => {
                    return Came::Failed(format!(
                        "{why}: it is not started beside one that may be there"
                    ));
                }
                false if now >= until => {
                    return Came::Failed(format!(
                        "`{}` was run, and the origin did not come within {startup:?} (restart.startup): {why}",
                        up.join(" ")
                    ));
                }
                _ => tokio::time::sleep(EACH).await,
            }
        }
    }

    /// Waits, for as long as it takes, for somebody else to start it.
    pub async fn come_back(&self) -> Came {
        loop {
            if let Look::Came(came) = self.look(Duration::ZERO).await {
                return came;
            }
            tokio::time::sleep(RESTING).await;
        }
    }

    /// Whom it is, or why nobody. One that was started within `startup` may not listen yet.
    async fn look(&self, startup: Duration) -> Look {
        let (file, at) = (self.settings.pid_file.clone(), self.at.clone());
        let look = move || match file {
            Some(file) => of_file(&file, &at, startup),
            None => listener(&at).into(),
        };
        aside(LOOKING, look).await.unwrap_or_else(|| {
            Look::Again(format!("it could not be looked for within {LOOKING:?}"))
        })
    }
}

impl From<Who> for Look {
    fn from(who: Who) -> Self {
        match who {
            Who::Found(held) => Self::Came(Came::Here(held)),
            Who::Unseen(why) => Self::Came(Came::Unseen(why, None)),
            Who::Nobody(why) => Self::Nobody(why),
        }
    }
}

/// The one that listens, proven to.
pub fn listener(at: &Listening) -> Who {
    let found = match server(at, Instant::now() + LOOKING / 2) {
        Seen::Known(Some(server)) => match server.doubt {
            None => server.pid,
            // Whoever is only taken for it is not signalled.
            Some(doubt) => return Who::Unseen(doubt),
        },
        Seen::Known(None) => return Who::Nobody(format!("nobody listens on {at}")),
        Seen::Hidden(why) => return Who::Unseen(why),
    };
    match Candidate::open(found) {
        Ok(Some(candidate)) => pid_file::held(candidate),
        Ok(None) => Who::Nobody(format!("process {found} is gone")),
        Err(error) => Who::Unseen(format!("process {found} cannot be held: {error}")),
    }
}

/// The one that a pid file names, if it is proven to listen, or one that it started.
fn of_file(file: &Path, at: &Listening, startup: Duration) -> Look {
    let (mut unseen, mut is_young) = (None, false);
    let who = pid_file::named(file, |candidate| {
        let seen = holders(at, Instant::now() + LOOKING / 2);
        let seen = match seen {
            Seen::Known(seen) => seen,
            Seen::Hidden(why) => {
                unseen = Some(why);
                return Err("of which nothing can be seen".to_owned());
            }
        };
        let listen: BTreeSet<Pid> = seen.found.iter().map(|holder| holder.pid).collect();
        let is_it = listen.iter().any(|pid| descends(*pid, candidate.pid));
        if is_it {
            return Ok(());
        }
        let may_be_seen = links(candidate.pid).hidden().is_none();
        let is_whole = !listen.is_empty() || seen.hidden == 0 && !seen.truncated;
        if seen.listeners > 0 && !(may_be_seen && is_whole) {
            unseen = Some(format!(
                "whether process {} listens on {at} may not be seen",
                candidate.pid
            ));
        }
        is_young = age(candidate.born) < startup;
        Err(format!("which does not listen on {at}"))
    });
    match (who, unseen) {
        (Who::Nobody(_), Some(why)) => Who::Unseen(why).into(),
        (Who::Nobody(why), None) if is_young => Look::Again(why),
        // Whoever it is that cannot be seen: it serves only if somebody listens.
        (Who::Unseen(why), _) if matches!(accept_queue(at).known(), Some(None)) => {
            Look::Nobody(why)
        }
        (who, _) => who.into(),
    }
}

/// For how long a process has been there that was born then, in clock ticks since boot.
fn age(born: u64) -> Duration {
    // The unit of /proc on all of Linux's architectures but two that are no more.
    const TICKS: u64 = 100;
    let up = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let up = up.split('.').next().and_then(|up| up.parse().ok());
    Duration::from_secs(up.unwrap_or(u64::MAX).saturating_sub(born / TICKS))
}

/// Whether the one is the other, or comes of it.
fn descends(pid: Pid, of: Pid) -> bool {
    let line = std::iter::successors(Some(pid), |pid| parent(*pid));
    line.take(DEEPEST).any(|it| it == of)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn with(stop: &[&str], restart: &[&str]) -> Hooked {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let settings = settings::Hooked {
            pid_file: None,
            start: Vec::new(),
            stop: words(stop),
            restart: words(restart),
            timeout: Duration::from_secs(1),
        };
        let at = Listening::Unix(PathBuf::from("/run/origin.sock"));
        Hooked::new(&settings, at, str::to_owned)
    }

    #[test]
    fn one_that_was_started_just_now_may_not_listen_yet() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("pid");
        let at = Listening::Unix(directory.path().join("origin.sock"));
        let mut child = std::process::Command::new("sleep")
            .arg("600")
            .spawn()
            .expect("sleep");
        std::fs::write(&file, child.id().to_string()).expect("it can be written");
        let look = |startup| of_file(&file, &at, startup);
        assert!(matches!(look(Duration::from_secs(600)), Look::Again(_)));
        assert!(matches!(look(Duration::ZERO), Look::Nobody(_)));
        child
            .kill()
            .and_then(|()| child.wait())
            .expect("it is ours");
        assert!(matches!(look(Duration::from_secs(600)), Look::Nobody(_)));
    }

    #[test]
    fn who_may_be_killed_and_must_be_is() {
        let (stop, restart) = (&["stop"][..], &["restart"][..]);
        let ending = |it: &Hooked, may_signal, kills| {
            it.ending(may_signal, kills).map(|words| words.concat())
        };
        let both = with(stop, restart);
        assert_eq!(ending(&both, true, true), None);
        for (may_signal, kills) in [(true, false), (false, true), (false, false)] {
            assert_eq!(ending(&both, may_signal, kills).as_deref(), Some("stop"));
        }
        let one = with(&[], restart);
        assert_eq!(ending(&one, true, false), None);
        assert_eq!(ending(&one, false, false).as_deref(), Some("restart"));
        assert_eq!(ending(&with(&[], &[]), false, true), None);
    }
}
