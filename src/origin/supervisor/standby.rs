//! The warm standby: a second process beside the one that serves, started in advance, probed all the time, asked nothing
//! else. How it relieves the other is in `relief`; those that leave are waited for aside, since nothing else may wait for them.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Current;
use crate::config::settings::{self, Settings};
use crate::ground::addr::OriginAddr;
use crate::ground::deadline::{self, Deadline};
use crate::origin::evidence::aside;
use crate::origin::gate::{Ender, Generation};
use crate::origin::orphans::Living;
use crate::origin::pid::Pid;
use crate::origin::port;
use crate::origin::probe::{self, Reading};
use crate::origin::process::{Change, Process};
use crate::origin::readying::Pace;
use crate::origin::stop::{self, Ladder};
use crate::origin::view::{self, Readiness};

/// The standby, and those that are on their way out.
pub(super) struct Standby {
    keep: Option<Duration>,
    /// Where a generation may listen; one that is open is any free port.
    homes: [OriginAddr; 2],
    pub(super) spare: Spare,
    pub(super) pace: Pace,
    pub(super) trouble: Option<String>,
    /// One that was relieved and still works off what it has.
    pub(super) retiring: Option<Retiring>,
    /// One that was relieved and is frozen.
    pub(super) frozen: Option<Frozen>,
    leaving: JoinSet<()>,
    /// Nobody tells anything of a standby.
    nudges: (mpsc::Sender<Reading>, mpsc::Receiver<Reading>),
}

pub(super) enum Spare {
    /// There is none; the next is started then.
    Due(Instant),
    There(Box<There>),
}

/// A standby that was started.
pub(super) struct There {
    pub(super) current: Current,
    pub(super) number: u64,
    pub(super) address: OriginAddr,
    /// It has answered: its probes take a slot of this, and nobody else.
    pub(super) proof: Option<(Arc<Generation>, Ender)>,
    pub(super) is_well: bool,
    pub(super) answered: Option<Instant>,
}

/// A generation that serves no new request.
pub(super) struct Retiring {
    pub(super) process: Process,
    pub(super) _living: Option<Living>,
    pub(super) address: OriginAddr,
    pub(super) open: Option<(Arc<Generation>, Ender)>,
    /// What is under way then is cut off.
    pub(super) until: Instant,
}

/// A generation that does nothing any more.
pub(super) struct Frozen {
    pub(super) process: Process,
    pub(super) number: u64,
    pub(super) address: OriginAddr,
    /// It is kept until then; `None` until its standby serves.
    pub(super) until: Option<Instant>,
}

/// What is to be looked after.
pub(super) enum Noticed {
    /// A standby may be started.
    Due,
    /// It was probed or looked at.
    Seen(Option<Reading>),
    /// It is gone.
    Lost,
    /// The one that retires has nothing to do any more, or is gone.
    Idle,
    /// It has had its time.
    Late,
    /// The frozen one has been kept long enough, or is gone.
    Thawed,
}

/// Between two looks whether a retiring one has something to do.
const LOOK: Duration = Duration::from_millis(20);
/// For one more answer before the requests go over; it has answered within the last seconds.
const LAST_PROOF: Duration = Duration::from_millis(500);
/// For a look at who holds the standby's address, and for a leftover to let go of it: a walk, the wait, two more walks.
const FREEING: Duration = Duration::from_secs(2);
/// For those that leave when Leeward ends, beyond their grace.
const BURIAL: Duration = Duration::from_secs(6);

impl Standby {
    /// None is there yet; `None` where none is wanted. `home` is where the origin listens.
    pub(super) fn wanted(settings: &Settings, home: &OriginAddr, now: Instant) -> Option<Self> {
        let second = settings.standby.address.clone()?;
        Some(Self {
            keep: settings.standby.keep,
            homes: [home.clone(), second],
            spare: Spare::Due(now),
            pace: Pace::new(&settings.restart),
            trouble: None,
            retiring: None,
            frozen: None,
            leaving: JoinSet::new(),
            nudges: mpsc::channel(1),
        })
    }

    /// Whether it can take over.
    pub(super) fn is_proven(&self) -> bool {
        matches!(&self.spare, Spare::There(it) if it.is_well && !it.current.process.has_exited())
    }

    /// For how long a relieved one is kept.
    pub(super) fn keep(&self) -> Option<Duration> {
        self.keep
    }

    /// Returns with the next thing to look after. `may_start`: the one that serves does.
    pub(super) async fn notice(&mut self, may_start: bool) -> Noticed {
        let Self {
            spare,
            retiring,
            frozen,
            leaving,
            nudges,
            ..
        } = self;
        let may_start = may_start && retiring.is_none();
        tokio::select! {
            noticed = spare.notice(&mut nudges.1, leaving, may_start) => noticed,
            noticed = done(retiring) => noticed,
            noticed = over(frozen) => noticed,
        }
    }

    /// The standby, which is asked once more first; `None` where there is none that answers.
    pub(super) async fn take(&mut self, origin: &settings::Origin) -> Option<Box<There>> {
        let now = deadline::now();
        let due = Spare::Due(self.pace.next(now));
        let mut there = match std::mem::replace(&mut self.spare, due) {
            Spare::There(it) if it.is_well => it,
            other => {
                self.spare = other;
                return None;
            }
        };
        // Nobody drives what its senses are asking just now, and a serial one would wait for the end of that.
        there.current.senses.hush();
        let by = Deadline::after(now, LAST_PROOF);
        let reading = probe::ask(&there.address, origin, by).await;
        if matches!(reading, Reading::Answered { .. }) {
            return Some(there);
        }
        self.lose(
            *there,
            &format!("did not answer when it was needed: {reading:?}"),
        );
        None
    }

    /// An address where nobody of ours is, given that the one that serves is at `taken`.
    pub(super) async fn home(&self, taken: &OriginAddr) -> Result<OriginAddr, String> {
        let retiring = self.retiring.as_ref().map(|it| &it.address);
        let frozen = self.frozen.as_ref().map(|it| &it.address);
        let is_ours =
            |home: &OriginAddr| home == taken || Some(home) == retiring || Some(home) == frozen;
        let mut free = self.homes.iter().filter(|home| !is_ours(home));
        let home = free.next().ok_or_else(|| {
            "no address is left while a hung generation is kept frozen at one; `standby.address` with port 0 finds another"
                .to_owned()
        })?;
        let OriginAddr::Tcp(address) = home else {
            return Ok(home.clone());
        };
        match home.is_open() {
            false => {
                let asked = home.clone();
                match aside(FREEING, move || port::taken(&asked)).await {
                    Some(None) => Ok(home.clone()),
                    Some(Some(trouble)) => Err(trouble),
                    None => Err(format!(
                        "it was not seen within {FREEING:?} who holds {home}"
                    )),
                }
            }
            true => {
                let chosen = TcpListener::bind(address).and_then(|it| it.local_addr());
                chosen
                    .map(OriginAddr::Tcp)
                    .map_err(|error| error.to_string())
            }
        }
    }

    /// It is of no use any more.
    pub(super) fn lose(&mut self, there: There, why: &str) {
        let pid = there.current.process.pid();
        tracing::warn!(
            pid = pid.map(Pid::number),
            generation = there.number,
            "the standby {why}; another one is started"
        );
        self.trouble = Some(format!("the last one {why}"));
        self.spare = Spare::Due(self.pace.next(deadline::now()));
        // Nobody waits for an answer of its.
        self.send_off(there.current.process, Ladder::Kill);
    }

    /// Has a process ended aside.
    pub(super) fn send_off(&mut self, process: Process, ladder: Ladder) {
        self.leaving.spawn(async move {
            if !stop::descend(&process, ladder).await {
                let pid = process.pid().map(Pid::number);
                tracing::error!(
                    pid,
                    "it does not end, though it was killed: it is held in the kernel"
                );
            }
            process.bury().await.1.tell();
        });
    }

    /// All of them go: Leeward is about to end.
    pub(super) fn dismiss(&mut self, grace: Duration) {
        if let Spare::There(there) = std::mem::replace(&mut self.spare, Spare::never()) {
            self.send_off(there.current.process, Ladder::Term(grace));
        }
        if let Some(retiring) = self.retiring.take() {
            self.send_off(retiring.process, Ladder::Term(grace));
        }
        if let Some(frozen) = self.frozen.take() {
            self.send_off(frozen.process, Ladder::Kill);
        }
    }

    /// Returns when they are gone, or should be.
    pub(super) async fn gone(&mut self, grace: Duration) {
        let gone = async { while self.leaving.join_next().await.is_some() {} };
        let _ = Deadline::within(grace + BURIAL).bound(gone).await;
    }

    /// The one that is kept, for the view.
    pub(super) fn kept(&self) -> Option<view::Frozen> {
        let frozen = self.frozen.as_ref()?;
        Some(view::Frozen {
            pid: frozen.process.pid(),
            generation: frozen.number,
            until: frozen.until?,
        })
    }

    /// It for the view.
    pub(super) fn seen(&self) -> view::Spare {
        let mut seen = view::Spare {
            readiness: Readiness::Absent,
            pid: None,
            generation: None,
            address: None,
            started: None,
            answered: None,
            trouble: self.trouble.clone(),
        };
        if let Spare::There(it) = &self.spare {
            seen.readiness = match (it.is_well, it.answered) {
                (true, _) => Readiness::Proven,
                (false, None) => Readiness::Starting,
                (false, Some(_)) => Readiness::Doubtful,
            };
            seen.pid = it.current.process.pid();
            seen.generation = Some(it.number);
            seen.address = Some(it.address.clone());
            seen.started = Some(it.current.spawned);
            seen.answered = it.answered;
        }
        seen
    }
}

impl Spare {
    pub(super) fn never() -> Self {
        const FAR: Duration = Duration::from_secs(365 * 24 * 3600);
        Self::Due(deadline::now() + FAR)
    }

    async fn notice(
        &mut self,
        nudges: &mut mpsc::Receiver<Reading>,
        leaving: &mut JoinSet<()>,
        may_start: bool,
    ) -> Noticed {
        let there = match self {
            Self::Due(due) if may_start => {
                tokio::time::sleep_until((*due).into()).await;
                // Its place may be theirs still.
                while leaving.join_next().await.is_some() {}
                return Noticed::Due;
            }
            Self::Due(_) => return std::future::pending().await,
            Self::There(there) => there,
        };
        let probed = there
            .proof
            .as_ref()
            .map(|(generation, _)| generation.clone());
        let There { current, .. } = &mut **there;
        tokio::select! {
            Change::Exited = current.process.changed() => Noticed::Lost,
            reading = current.senses.notice(probed.as_ref(), nudges) => Noticed::Seen(reading),
        }
    }
}

async fn done(retiring: &mut Option<Retiring>) -> Noticed {
    let Some(retiring) = retiring else {
        return std::future::pending().await;
    };
    let Retiring {
        process,
        open,
        until,
        ..
    } = retiring;
    let idle = async {
        while open.as_ref().is_some_and(|(it, _)| it.busy() > 0) {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::select! {
        Change::Exited = process.changed() => Noticed::Idle,
        () = idle => Noticed::Idle,
        () = tokio::time::sleep_until((*until).into()) => Noticed::Late,
    }
}

async fn over(frozen: &mut Option<Frozen>) -> Noticed {
    let Some(frozen) = frozen else {
        return std::future::pending().await;
    };
    let until = frozen.until;
    tokio::select! {
        Change::Exited = frozen.process.changed() => Noticed::Thawed,
        () = deadline::reached(until) => Noticed::Thawed,
    }
}
