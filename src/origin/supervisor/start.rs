//! The start of a generation: its door free, its process started, its senses open.

use std::io;
use std::time::Duration;

use super::{Current, LOOKING, Supervisor};
use crate::config::obstacle;
use crate::ground::addr::OriginAddr;
use crate::ground::deadline;
use crate::origin::herald::Herald;
use crate::origin::lifecycle::Event;
use crate::origin::orphans::{GENERATION, Living};
use crate::origin::pid::Pid;
use crate::origin::process::Process;
use crate::origin::renewal::Renewal;
use crate::origin::roster::Roster;
use crate::origin::senses::Senses;
use crate::origin::{evidence, port};

impl Supervisor {
    /// Starts the next generation where the one before was.
    pub(super) async fn spawn(&mut self) -> Option<Event> {
        self.let_go("another one is started in its place");
        if let Some(standby) = &mut self.standby {
            standby.gone(Duration::ZERO).await;
        }
        if let Some(trouble) = self.door_trouble().await {
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
        tracing::info!(
            generation = view.generation,
            pid = view.pid.map(Pid::number),
            command = view.command,
            "origin started"
        );
        self.current = Some(current);
        None
    }

    /// Starts the process of a generation that is to listen there.
    pub(super) fn bring_forth(&self, number: u64, address: &OriginAddr) -> io::Result<Process> {
        let leaf = self.domain.as_ref().and_then(|it| it.leaf(number));
        let restart = &self.watch.settings.restart;
        let held = self.watch.held.as_ref();
        if self.standby.is_none() {
            return Process::spawn(&self.command, address, restart, leaf, held);
        }
        let mut command = self.command.clone();
        let mark = (GENERATION.to_owned(), number.to_string());
        command.environment.extend([mark]);
        Process::spawn(&command, address, restart, leaf, held)
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
            living: self.standby.as_ref().map(|_| Living::note(self.numbers)),
            last: None,
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

    /// What is missing on this machine for the command, looked for aside: a dead disk must not hold us up.
    pub(super) async fn obstacle(&self) -> Option<String> {
        let command = self.command.clone();
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
