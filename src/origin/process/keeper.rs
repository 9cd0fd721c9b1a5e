//! Who keeps an origin that is not ours: how it is found, and started where that is wanted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::held::{Candidate, Held};
use super::hooked::{self, Hooked};
use super::pid_file::Who;
use super::unit::{self, Step, Told, Wanted};
use crate::config::settings;
use crate::ground::deadline;
use crate::origin::evidence::aside;
use crate::origin::forensics::Listening;
use crate::origin::pid::Pid;

/// Who starts it.
pub enum Keeper {
    /// systemd: the service, and where it listens.
    Unit(String, Listening),
    /// Somebody, with the operator's commands to have it done.
    Hooks(Hooked),
}

/// What a search came to.
pub enum Came {
    /// This is it.
    Here(Held),
    /// It is there, and cannot be seen, for this reason; and which life of a service it is, where systemd says so.
    Unseen(String, Option<Life>),
    /// It is not there, and is not to be started.
    Rests(String),
    /// It is not there.
    Failed(String),
}

/// How one ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// In words.
    pub how: String,
    /// Whether somebody wanted that of whoever keeps it.
    pub was_asked: bool,
}

/// By what systemd knows one life of a service.
pub type Life = String;

/// Of whoever is no child of ours, and kept by nobody who would know.
pub const UNKNOWN: &str = "ended; it was no child of ours, so that how is not known";
/// Between two questions to systemd, each of which is a process.
const ASKED: Duration = Duration::from_millis(100);
/// The same of a service that rests.
const RESTING: Duration = Duration::from_secs(1);
/// The same of one that cannot be seen, of which most never can.
const LOOKED: Duration = Duration::from_secs(3);
impl Keeper {
    /// Who keeps what listens `at`, where that is somebody else; `fill` puts its address into a command.
    pub fn of(
        process: &settings::Process,
        at: Listening,
        fill: impl Fn(&str) -> String,
    ) -> Option<Self> {
        match process {
            settings::Process::Unit(unit) => Some(Self::Unit(unit.clone(), at)),
            settings::Process::Hooked(hooks) => Some(Self::Hooks(Hooked::new(hooks, at, fill))),
            _ => None,
        }
    }

    /// Looks for it, and has it started where that is `wanted`; it has to come within `startup`.
    pub async fn come(self: Arc<Self>, wanted: Wanted, startup: Duration) -> Came {
        let until = deadline::now() + startup;
        match &*self {
            Self::Unit(unit, at) => come_unit(unit, at, wanted, (until, startup)).await,
            Self::Hooks(hooks) => hooks.come((until, startup)).await,
        }
    }

    /// Waits, for as long as it takes, for somebody else to start it.
    pub async fn come_back(self: Arc<Self>) -> Came {
        let mut each = ASKED;
        match &*self {
            Self::Unit(unit, at) => loop {
                let step = unit::show(unit)
                    .await
                    .map(|it| (it.step(Wanted::AsItIs, false), it.life()));
                match step {
                    Ok((Step::Take(pid), life)) => match taken(pid, life) {
                        // Another one of it is about to come.
                        Came::Failed(_) => {}
                        came => return came,
                    },
                    Ok((Step::Find, life)) => return found(at, life).await,
                    _ => {}
                }
                tokio::time::sleep(each).await;
                each = (2 * each).min(RESTING);
            },
            Self::Hooks(hooks) => hooks.come_back().await,
        }
    }

    /// Looks, for as long as it takes, whether one that could not be seen can be.
    pub async fn see(self: Arc<Self>) -> Came {
        loop {
            tokio::time::sleep(LOOKED).await;
            let came = match &*self {
                Self::Unit(unit, at) => {
                    let told = unit::show(unit).await.unwrap_or_default();
                    match told.step(Wanted::AsItIs, false) {
                        Step::Take(pid) => taken(pid, None),
                        Step::Find => found(at, None).await,
                        _ => continue,
                    }
                }
                Self::Hooks(hooks) => hooks.come_back().await,
            };
            if matches!(came, Came::Here(_)) {
                return came;
            }
        }
    }

    /// Returns when this life of a service is over, by what systemd says; whoever waits sets the deadline.
    pub async fn over(&self, life: Option<&Life>) {
        let Self::Unit(unit, _) = self else { return };
        // Where it does not answer, nobody is taken for dead.
        while unit::show(unit).await.map_or(true, |told| told.lives(life)) {
            tokio::time::sleep(ASKED).await;
        }
    }

    /// How the one that has just exited ended.
    pub async fn obituary(&self) -> Ended {
        let told = match self {
            Self::Unit(unit, _) => unit::show(unit).await.ok(),
            Self::Hooks(_) => None,
        };
        Ended {
            was_asked: told.as_ref().is_some_and(Told::was_asked_to_end),
            how: told.map_or_else(|| UNKNOWN.to_owned(), |told| told.obituary()),
        }
    }
}

async fn come_unit(
    unit: &str,
    at: &Listening,
    wanted: Wanted,
    (until, startup): (Instant, Duration),
) -> Came {
    let mut was_started = false;
    let mut told = Told::default();
    while deadline::now() < until {
        told = match unit::show(unit).await {
            Ok(told) => told,
            Err(error) => {
                return Came::Failed(format!("systemd cannot be asked of {unit}: {error}"));
            }
        };
        match told.step(wanted, was_started) {
            Step::Take(pid) => match taken(pid, told.life()) {
                // It has ended meanwhile, and systemd is about to hear of it.
                Came::Failed(_) => {}
                came => return came,
            },
            Step::Find => return found(at, told.life()).await,
            Step::Wait => {}
            Step::Start => {
                tracing::info!(unit, "systemd is told to start the origin");
                if let Err(error) = unit::start(unit, &told).await {
                    return Came::Failed(format!("{unit} cannot be started: {error}"));
                }
                was_started = true;
            }
            Step::Rest(state) => {
                return Came::Rests(format!(
                    "{unit} is {state}: somebody stopped it, and it is left so; `systemctl start {unit}` or `leeward \
                     restart` starts it"
                ));
            }
            Step::Fail(why) => {
                return Came::Failed(format!("{unit}: {why}; see `journalctl -u {unit}`"));
            }
        }
        tokio::time::sleep(ASKED).await;
    }
    let state = told.state();
    Came::Failed(format!(
        "{unit} did not come up within {startup:?} (restart.startup): it is {state}"
    ))
}

/// Takes hold of whom systemd calls the main process.
fn taken(pid: Pid, life: Option<Life>) -> Came {
    match Candidate::open(pid) {
        Ok(Some(candidate)) => match candidate.hold() {
            Ok(held) => Came::Here(held),
            Err(error) => {
                let why = format!("process {pid} cannot be waited for: {error}");
                Came::Unseen(why, life)
            }
        },
        Ok(None) => Came::Failed(format!("process {pid} is gone")),
        Err(error) => Came::Unseen(format!("process {pid} cannot be held: {error}"), life),
    }
}

async fn found(at: &Listening, life: Option<Life>) -> Came {
    let at = at.clone();
    match aside(hooked::LOOKING, move || hooked::listener(&at)).await {
        Some(Who::Found(held)) => Came::Here(held),
        Some(Who::Nobody(why) | Who::Unseen(why)) => Came::Unseen(why, life),
        None => Came::Unseen("its process was not found in time".to_owned(), life),
    }
}
