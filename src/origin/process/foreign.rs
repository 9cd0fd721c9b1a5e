//! An origin that somebody else starts, and that Leeward may act on: a service of systemd's, or what has a pid file,
//! a listener, and commands of the operator's. It is found, not spawned, and it outlives Leeward.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::Signal;

use super::Change;
use super::held::{Held, Kin};
use super::keeper::{Came, Ended, Keeper, Life, UNKNOWN};
use super::unit::{self, Wanted};
use crate::ground::deadline::Deadline;
use crate::origin::pid::Pid;
use crate::origin::stop::Ladder;

/// One life of it, from when it is looked for.
pub struct Foreign {
    keeper: Arc<Keeper>,
    main: Main,
    /// Why the last signal was not sent, where systemd would not send it.
    unsent: Mutex<Option<String>>,
    /// All that descended from it when it was to end.
    kin: Mutex<Kin>,
}

/// The process that serves.
enum Main {
    /// It is looked for, and started where that is wanted.
    Coming(Work<Came>),
    /// It is not there, for this reason, and is not to be started by us. When somebody does, it is found.
    Resting(String, Work<Came>),
    /// This one; and what its keeper tells of its end.
    Here(Held, End),
    /// It serves, and cannot be seen or waited for; it is looked for again.
    Unseen(Unseen, Work<Came>),
    /// It did not come.
    Failed(String),
}

/// One that cannot be seen.
struct Unseen {
    why: String,
    life: Option<Life>,
    /// Whoever keeps it says that it is no more.
    is_gone: AtomicBool,
}

/// What its keeper tells of its end.
enum End {
    /// Nothing was asked.
    Unasked,
    /// The answer is on its way.
    Asked(Work<Ended>),
    /// This.
    Told(Ended),
}

type Work<T> = Pin<Box<dyn Future<Output = T> + Send + Sync>>;

/// What can be done for an origin that Leeward cannot end.
const OUT_OF_REACH: &str = "Leeward may not signal it, or not see which process it is; give Leeward its user or the \
     capabilities for it, or set origin.process.stop";
/// The same for a service.
const UNIT_REMEDY: &str = "let polkit grant Leeward's user org.freedesktop.systemd1.manage-units for it, or run Leeward \
     as root";
/// After a signal, for whoever may not be awaited.
const KILLED: Duration = Duration::from_secs(5);

impl Foreign {
    /// Begins to look for it, and has it started where that is `wanted`; it has to come within `startup`.
    ///
    /// Must be called on the watch thread: what is run is spawned there.
    pub fn seek(keeper: Arc<Keeper>, wanted: Wanted, startup: Duration) -> Self {
        let coming = keeper.clone().come(wanted, startup);
        Self {
            keeper,
            main: Main::Coming(Box::pin(coming)),
            unsent: Mutex::new(None),
            kin: Mutex::default(),
        }
    }

    /// Returns with the next thing that becomes of it.
    pub async fn changed(&mut self) -> Change {
        let came = match &mut self.main {
            Main::Coming(work) | Main::Resting(_, work) | Main::Unseen(_, work) => {
                work.as_mut().await
            }
            Main::Here(held, end) => {
                held.exited().await;
                return match end.told(&self.keeper).await.was_asked {
                    true => Change::Ended,
                    false => Change::Exited,
                };
            }
            Main::Failed(_) => return Change::Exited,
        };
        let (main, change) = match came {
            Came::Here(held) => {
                let change = match self.main {
                    Main::Unseen(..) => Change::Seen,
                    _ => Change::Known,
                };
                (Main::Here(held, End::Unasked), change)
            }
            Came::Unseen(why, life) => {
                let unseen = Unseen {
                    why,
                    life,
                    is_gone: AtomicBool::new(false),
                };
                let seen = Box::pin(self.keeper.clone().see());
                (Main::Unseen(unseen, seen), Change::Known)
            }
            Came::Failed(why) => (Main::Failed(why), Change::Exited),
            Came::Rests(why) => {
                let back = Box::pin(self.keeper.clone().come_back());
                (Main::Resting(why, back), Change::Rests)
            }
        };
        self.main = main;
        change
    }

    /// Its number, once that is known.
    pub fn pid(&self) -> Option<Pid> {
        match &self.main {
            Main::Here(held, _) => Some(held.pid()),
            _ => None,
        }
    }

    /// Whether it is known to be there.
    pub fn is_known(&self) -> bool {
        matches!(self.main, Main::Here(..) | Main::Unseen(..))
    }

    /// Whether somebody stopped it on purpose. Where there is nobody but somebody else to start it, it may be about to come.
    pub fn was_stopped(&self) -> bool {
        matches!(
            (&*self.keeper, &self.main),
            (Keeper::Unit(..), Main::Resting(..))
        )
    }

    /// Why it is not there, or not seen.
    pub fn trouble(&self) -> Option<&str> {
        match &self.main {
            Main::Unseen(unseen, _) => Some(&unseen.why),
            Main::Resting(why, _) | Main::Failed(why) => Some(why),
            Main::Coming(_) | Main::Here(..) => None,
        }
    }

    /// Returns when it has exited, and at once where nobody is to be waited for.
    pub async fn exited(&self) {
        match &self.main {
            Main::Here(held, _) => held.exited().await,
            Main::Unseen(unseen, _) if matches!(*self.keeper, Keeper::Unit(..)) => {
                self.keeper.over(unseen.life.as_ref()).await;
                unseen.is_gone.store(true, Ordering::Relaxed);
            }
            _ => {}
        }
    }

    /// Whether it has exited, or is not there.
    pub fn has_exited(&self) -> bool {
        match &self.main {
            Main::Here(held, _) => held.has_exited(),
            Main::Unseen(unseen, _) => unseen.is_gone.load(Ordering::Relaxed),
            Main::Coming(_) | Main::Resting(..) | Main::Failed(_) => true,
        }
    }

    /// How it ended, in words.
    pub fn fate(&self) -> Option<String> {
        match &self.main {
            Main::Here(held, end) if held.has_exited() => {
                let how = match end {
                    End::Told(ended) => &ended.how,
                    End::Unasked | End::Asked(_) => UNKNOWN,
                };
                Some(how.to_owned())
            }
            Main::Failed(why) => Some(why.clone()),
            _ => None,
        }
    }

    /// Signals it and all that goes with it.
    pub async fn signal(&self, signal: Signal) {
        if self.has_exited() {
            // Who comes in its place is not meant.
            return;
        }
        match (&*self.keeper, &self.main) {
            (_, Main::Coming(_) | Main::Resting(..) | Main::Failed(_)) => {}
            (Keeper::Unit(unit, _), _) => {
                // It is to end as we end it, and not by what systemd does to it meanwhile.
                let unsent = unit::kill(unit, signal).await.err();
                // It may have ended in between.
                let unsent = unsent.filter(|_| !self.has_exited());
                if let Some(error) = &unsent {
                    tracing::error!("{unit} cannot be signalled: {error}");
                }
                *self.unsent.lock().unwrap_or_else(PoisonError::into_inner) = unsent;
            }
            (Keeper::Hooks(_), Main::Here(held, _)) => held.signal(signal).await,
            (Keeper::Hooks(_), Main::Unseen(unseen, _)) => {
                tracing::warn!("the origin cannot be signalled: {}", unseen.why);
            }
        }
    }

    /// Ends it by a command of the operator's, where there is one for it and signals are not better; whether it has
    /// ended by that.
    pub async fn is_ended_by_hook(&self, ladder: Ladder) -> bool {
        let Keeper::Hooks(hooks) = &*self.keeper else {
            return false;
        };
        if self.has_exited() {
            return false;
        }
        let held = match &self.main {
            Main::Here(held, _) => Some(held),
            Main::Unseen(..) => None,
            Main::Coming(_) | Main::Resting(..) | Main::Failed(_) => return false,
        };
        let may_signal = held.is_some_and(Held::is_ours_to_signal);
        if let Some(held) = held.filter(|_| may_signal) {
            // Once it has ended, they descend from it no more.
            let kin = held.kin().await;
            *self.kin.lock().unwrap_or_else(PoisonError::into_inner) = kin;
        }
        let Some(command) = hooks.ending(may_signal, ladder == Ladder::Kill) else {
            return false;
        };
        if let Some(held) = held {
            // It was frozen to see what it had not read, and is to hear of its end.
            held.signal(Signal::CONT).await;
        }
        hooks
            .run(command)
            .await
            .unwrap_or_else(|error| tracing::error!("{error}"));
        let grace = match ladder {
            Ladder::Kill => KILLED,
            Ladder::Term(grace) | Ladder::Abort(grace) => grace,
        };
        match held {
            Some(held) => Deadline::within(grace).bound(held.exited()).await.is_ok(),
            None => true,
        }
    }

    /// Whether a signal of ours reaches it, as far as that is known, so that it can be frozen.
    pub fn is_ours_to_freeze(&self) -> bool {
        match (&*self.keeper, &self.main) {
            (Keeper::Unit(..), _) => self.out_of_reach().is_none(),
            (Keeper::Hooks(_), Main::Here(held, _)) => {
                held.has_exited() || held.is_ours_to_signal()
            }
            (Keeper::Hooks(_), Main::Unseen(..)) => false,
            (Keeper::Hooks(_), Main::Coming(_) | Main::Resting(..) | Main::Failed(_)) => true,
        }
    }

    /// Where it is there and can be ended neither by a signal of ours nor by a command: what can be done for that. Of a
    /// service it is known once a signal was not sent.
    pub fn out_of_reach(&self) -> Option<String> {
        let hooks = match &*self.keeper {
            Keeper::Hooks(hooks) => hooks,
            Keeper::Unit(..) if self.has_exited() => return None,
            Keeper::Unit(unit, _) => {
                let unsent = self.unsent.lock().unwrap_or_else(PoisonError::into_inner);
                let remedy = |why: &String| {
                    format!("systemd does not signal {unit} for Leeward; {UNIT_REMEDY} ({why})")
                };
                return unsent.as_ref().map(remedy);
            }
        };
        let may_not_be_signalled = match &self.main {
            Main::Here(held, _) => !held.has_exited() && !held.is_ours_to_signal(),
            Main::Unseen(..) => true,
            Main::Coming(_) | Main::Resting(..) | Main::Failed(_) => false,
        };
        let is_out = may_not_be_signalled && hooks.ending(false, false).is_none();
        is_out.then(|| OUT_OF_REACH.to_owned())
    }

    /// The same before anything is done to it: a signal that changes nothing shows whether systemd would send one.
    pub async fn asked_out_of_reach(&self) -> Option<String> {
        if let (Keeper::Unit(..), Main::Here(..) | Main::Unseen(..)) = (&*self.keeper, &self.main) {
            self.signal(Signal::CONT).await;
        }
        self.out_of_reach()
    }

    /// Whether whoever keeps it is about to end it, so that its end is not ours to undo.
    pub async fn is_being_ended(&self) -> bool {
        match &*self.keeper {
            Keeper::Unit(unit, _) => unit::show(unit).await.is_ok_and(|it| it.is_being_ended()),
            Keeper::Hooks(_) => false,
        }
    }

    /// Lets go of it, and says how it ended, or that it did not.
    pub async fn bury(self) -> String {
        let pid = self.pid();
        let told = match self.main {
            Main::Here(held, mut end) if held.has_exited() => {
                let kin = self.kin.into_inner();
                kin.unwrap_or_else(PoisonError::into_inner).end().await;
                end.told(&self.keeper).await.how
            }
            Main::Unseen(unseen, _) if unseen.is_gone.load(Ordering::Relaxed) => {
                self.keeper.obituary().await.how
            }
            Main::Here(..) | Main::Unseen(..) => "was left running".to_owned(),
            Main::Coming(_) => "was not there yet".to_owned(),
            Main::Resting(why, _) | Main::Failed(why) => why,
        };
        tracing::info!(pid = pid.map(Pid::number), "origin {told}");
        told
    }
}

impl End {
    /// What is told. A question that is under way goes on when this is dropped and called again.
    async fn told(&mut self, keeper: &Arc<Keeper>) -> Ended {
        loop {
            *self = match self {
                Self::Told(ended) => return ended.clone(),
                Self::Asked(answer) => Self::Told(answer.as_mut().await),
                Self::Unasked => {
                    let keeper = keeper.clone();
                    Self::Asked(Box::pin(async move { keeper.obituary().await }))
                }
            };
        }
    }
}

impl std::fmt::Debug for Foreign {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Foreign")
            .field("pid", &self.pid())
            .finish_non_exhaustive()
    }
}
