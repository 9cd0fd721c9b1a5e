//! The start of a generation: a command of ours is run; what somebody else starts is found, and started where it is to be.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::{Current, Supervisor};
use crate::config::{obstacle, settings};
use crate::ground::addr::OriginAddr;
use crate::ground::deadline;
use crate::origin::forensics::Seen;
use crate::origin::herald::Herald;
use crate::origin::lifecycle::Event;
use crate::origin::oom::Kills;
use crate::origin::orphans::{GENERATION, Living};
use crate::origin::pid::Pid;
use crate::origin::process::{Keeper, Process, Speaker, Wanted, fill};
use crate::origin::renewal::Renewal;
use crate::origin::roster::Roster;
use crate::origin::senses::{Senses, listening};
use crate::origin::verdict::Verdict;
use crate::origin::{evidence, port};

/// How a generation comes into being.
pub(super) enum Means {
    /// By a command of ours.
    Command,
    /// By somebody else, and in which way it is wanted now.
    Keeper(Arc<Keeper>, Wanted),
}

/// For a look at what a command needs.
const LOOKING: Duration = Duration::from_millis(200);

impl Means {
    /// What the settings say.
    pub(super) fn of(process: &settings::Process, address: &OriginAddr) -> Self {
        match Keeper::of(process, listening(address), |text| fill(text, address)) {
            Some(keeper) => Self::Keeper(Arc::new(keeper), Wanted::First),
            None => Self::Command,
        }
    }

    /// Returns when whoever keeps it has it running again; never where that is us.
    pub(super) async fn come_back(&self) {
        match self {
            Self::Keeper(keeper, _) => drop(keeper.clone().come_back().await),
            Self::Command => std::future::pending().await,
        }
    }

    /// What comes next is wanted in this way.
    pub(super) fn want(&mut self, how: Wanted) {
        if let Self::Keeper(_, wanted) = self {
            *wanted = how;
        }
    }
}

impl Supervisor {
    /// Starts the next generation where the one before was.
    pub(super) async fn spawn(&mut self) -> Option<Event> {
        self.let_go("another one is started in its place");
        if let Some(legacy) = self.watch.legacy.take()
            && self.inherit(legacy).await
        {
            return None;
        }
        if let Some(standby) = &mut self.standby {
            standby.gone(Duration::ZERO).await;
        }
        if let Means::Command = self.means
            && let Some(trouble) = self.door_trouble().await
        {
            return self.fail_start(trouble);
        }
        let address = self.watch.board.view.address.clone();
        self.numbers += 1;
        let process = match self.bring_forth(self.numbers, &address) {
            Ok(process) => process,
            Err(error) => {
                let trouble = self.obstacle().await;
                let trouble = trouble.unwrap_or_else(|| error.to_string());
                return self.fail_start(format!("it cannot be started: {trouble}"));
            }
        };
        // What the visits met that were with the generation before says nothing of this one.
        while self.watch.nudges.try_recv().is_ok() {}
        self.watch.herald = Herald::new();
        let current = self.begin(process, address, self.watch.roster.clone());
        let view = &mut self.watch.board.view;
        view.generation = self.numbers;
        view.started = Some(current.spawned);
        view.pid = current.process.pid();
        view.judgement = None;
        match current.process.is_foreign() {
            true => tracing::info!(generation = view.generation, "the origin is looked for"),
            false => tracing::info!(
                generation = view.generation,
                pid = view.pid.map(Pid::number),
                command = view.command,
                "origin started"
            ),
        }
        self.current = Some(current);
        None
    }

    /// Starts the process of a generation that is to listen there.
    pub(super) fn bring_forth(&self, number: u64, address: &OriginAddr) -> io::Result<Process> {
        let restart = &self.watch.settings.restart;
        if let Means::Keeper(keeper, wanted) = &self.means {
            return Ok(Process::seek(keeper.clone(), *wanted, restart));
        }
        let leaf = self.domain.as_ref().and_then(|it| it.leaf(number));
        let held = self.watch.held.as_ref();
        let daemon = match &self.watch.process {
            settings::Process::Daemon(daemon) => Some(daemon),
            _ => None,
        };
        let command = self.watch.process.command();
        let mut command = command.ok_or(io::ErrorKind::NotFound)?.clone();
        if self.standby.is_some() {
            let mark = (GENERATION.to_owned(), number.to_string());
            command.environment.extend([mark]);
        }
        let speaker = Speaker {
            generation: number,
            is_logged: self.watch.settings.log.origin,
        };
        Process::spawn(&command, daemon, address, restart, leaf, held, speaker)
    }

    /// The generation of a process that was started just now.
    pub(super) fn begin(&self, process: Process, address: OriginAddr, roster: Roster) -> Current {
        let now = deadline::now();
        let senses = Senses::new(&self.watch.settings, address, process.pid(), roster, now);
        Current {
            senses,
            open: None,
            spawned: now,
            took: None,
            rested: false,
            living: self.standby.as_ref().map(|_| Living::note(self.numbers)),
            last: None,
            judged: None,
            suspected: None,
            asked: None,
            kills: Kills::so_far(process.pid()),
            renewal: Renewal::default(),
            never_answered: true,
            process,
        }
    }

    /// Why the next generation could not listen, or not alone.
    async fn door_trouble(&mut self) -> Option<String> {
        let address = &self.watch.board.view.address;
        let Some(held) = &mut self.watch.held else {
            return port::trouble(address).await;
        };
        if let Some(rival) = port::rival(address).await {
            return Some(rival);
        }
        let prepared = held.prepare();
        let told = |error| format!("Leeward cannot listen on {address} for it: {error}");
        prepared.err().map(told)
    }

    /// It serves on, and can be seen from now on; what was heard of it stays so.
    pub(super) fn see(&mut self) {
        let Some(current) = &mut self.current else {
            return;
        };
        let Some(pid) = current.process.pid() else {
            return;
        };
        tracing::info!(pid = pid.number(), "the origin's main process is known");
        current.senses.look_at(Seen::Known(pid), None);
        let view = &mut self.watch.board.view;
        (view.pid, view.trouble) = (Some(pid), None);
        self.tell();
    }

    /// It is known now which process serves.
    pub(super) fn recognise(&mut self) {
        let Some(current) = &self.current else {
            return;
        };
        let (pid, trouble) = (current.process.pid(), current.process.trouble());
        let trouble = trouble.map(str::to_owned);
        match &trouble {
            None => tracing::info!(
                pid = pid.map(Pid::number),
                "the origin's main process is known"
            ),
            Some(trouble) => tracing::warn!("the origin is there, but not to be seen: {trouble}"),
        }
        self.means.want(Wanted::AsItIs);
        let watch = &self.watch;
        let (address, roster) = (watch.board.view.address.clone(), watch.roster.clone());
        let senses = Senses::new(&watch.settings, address, pid, roster, deadline::now());
        let view = &mut self.watch.board.view;
        (view.pid, view.trouble) = (pid, trouble);
        if let Some(current) = &mut self.current {
            current.senses = senses;
            current.kills = Kills::so_far(pid);
            if std::mem::take(&mut current.rested) {
                // How long it rested says nothing of how long a start takes.
                current.spawned = deadline::now();
                let expected = current.spawned + self.start_took;
                self.watch.board.expect(expected, current.spawned);
            }
        }
        self.tell();
    }

    /// Whoever keeps it has ended it because somebody wanted that: no incident, and nothing that counts.
    pub(super) async fn part(&mut self) {
        tracing::warn!("the origin was ended by whoever keeps it");
        self.take(Event::Condemned(Verdict::Requested)).await;
    }

    /// It is not there, and it is not for us to start it.
    pub(super) fn rest(&mut self) {
        let current = self.current.as_ref();
        let trouble = current.and_then(|it| it.process.trouble());
        let trouble = trouble.map(str::to_owned);
        tracing::warn!(
            "the origin is left as it is: {}",
            trouble.as_deref().unwrap_or_default()
        );
        self.watch.board.view.trouble = trouble;
        if let Some(current) = &mut self.current {
            current.rested = true;
        }
        self.tell();
    }

    /// What is missing on this machine for the command, looked for aside: a dead disk must not hold us up.
    pub(super) async fn obstacle(&self) -> Option<String> {
        let command = self.watch.process.command()?.clone();
        evidence::aside(LOOKING, move || obstacle(&command))
            .await
            .flatten()
    }

    fn fail_start(&mut self, trouble: String) -> Option<Event> {
        tracing::error!(trouble, "the origin cannot be started");
        self.watch.board.view.trouble = Some(trouble);
        Some(Event::SpawnFailed)
    }
}
