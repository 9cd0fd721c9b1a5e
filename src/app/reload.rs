//! A reload: the configuration and all files that it names are read and judged, and then it is taken whole, or not at all.
//!
//! What cannot change while we run does not stand in the way of the rest: it is named, and waits. An operator who mends a
//! deadline at night is not helped by a refusal for the sake of another line. (PostgreSQL does so, too.)

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::watch;

use super::edge_thread::Edges;
use crate::config::change::{self, Changes};
use crate::config::pages::{self, Pages};
use crate::config::{self, Settings};
use crate::edge::tls::Keyring;
use crate::exchange::Shared;
use crate::ground::deadline;
use crate::ground::published::Published;
use crate::ground::systemd::Notifier;
use crate::origin::Origin;
use crate::status;

/// Sets the level of the log.
pub type SetLevel = Box<dyn Fn(&config::settings::Log) + Send>;

/// What it comes to, in words: what was taken, or every fault.
pub type Told = Result<String, String>;

/// Has what runs, and where a change is told.
pub struct Reloader {
    /// Where the settings came from; `None` where there are none.
    pub file: Option<PathBuf>,
    /// What is so now.
    pub current: Arc<Settings>,
    /// The certificates.
    pub keyring: Keyring,
    /// The edge, and the exchanges of its threads.
    pub edges: Edges,
    /// Those who wait.
    pub shared: Shared,
    /// The watch, and whoever else follows.
    pub settings: watch::Sender<Arc<Settings>>,
    /// What the status page tells.
    pub facts: Published<status::Facts>,
    /// The log.
    pub set_level: SetLevel,
    /// To tell the service manager how it is.
    pub origin: Origin,
}

impl Reloader {
    /// Reads everything again and takes it, unless there is a fault in it. Blocks. What comes of it is told in the log, on the
    /// page, and to the service manager.
    pub fn reload(&mut self) -> Told {
        let notifier = Notifier::from_environment();
        notifier.reloading("reading the configuration");
        let told = self.take();
        match &told {
            Ok(told) => tracing::info!("{told}"),
            Err(faults) => tracing::error!(
                "the configuration is faulty and was not taken; what runs was not changed:\n{faults}"
            ),
        }
        let line = match &told {
            Ok(told) => told.as_str(),
            Err(_) => "the configuration on disk is faulty; what runs was not changed",
        };
        notifier.ready(&format!("{}; {line}", self.origin.view().line()));
        told
    }

    fn take(&mut self) -> Told {
        let Some(file) = &self.file else {
            self.keyring.look(SystemTime::now());
            return Ok("there is no configuration file to read again".to_owned());
        };
        let name = file.display().to_string();
        let read = config::load(file).map_err(|error| error.to_string());
        let judged = read.and_then(|next| {
            let (pages, keyring) = (
                pages::read(&next.pages),
                self.keyring.prepare(&next.edge.tls, SystemTime::now()),
            );
            match (pages, keyring) {
                (Ok(pages), Ok(prepared)) => Ok((next, pages, prepared)),
                (pages, keyring) => {
                    let mut faults = Vec::new();
                    let told = |fault: &dyn std::fmt::Display| format!("{name}: {fault}");
                    if let Err(error) = pages {
                        faults.extend(error.0.iter().map(|fault| told(fault)));
                    }
                    if let Err(error) = keyring {
                        faults.extend(error.0.iter().map(|fault| told(fault)));
                    }
                    Err(faults.join("\n"))
                }
            }
        });
        let (next, pages, prepared) = match judged {
            Ok(judged) => judged,
            Err(faults) => {
                self.tell(|it| it.fault = Some(faults.clone()));
                return Err(faults);
            }
        };
        let (next, changes) = change::taken(&self.current, next);
        self.keyring.commit(prepared, SystemTime::now());
        self.publish(Arc::new(next), &Arc::new(pages), &changes);
        Ok(format!("{name} was read again; {}", changes.told()))
    }

    fn publish(&mut self, next: Arc<Settings>, pages: &Arc<Pages>, changes: &Changes) {
        (self.set_level)(&next.log);
        self.shared.take(&next);
        self.edges.take(&next, pages);
        self.settings.send_replace(next.clone());
        let patience = self.shared.waiting().patience();
        let mut facts = (*self.facts.now()).clone();
        facts.connections_limit = next.edge.limits.connections;
        facts.queue_limit = next.origin.queue;
        facts.hold_limit = next.hold.requests;
        facts.patience = patience;
        facts.hang = next.hang.clone();
        facts.waits = next.waits();
        self.facts.replace(Arc::new(facts));
        let waits = changes.waits.iter().map(|&key| key.to_owned()).collect();
        self.tell(|it| {
            it.taken = deadline::now();
            it.fault = None;
            it.waits = waits;
        });
        self.current = next;
    }

    fn tell(&self, change: impl FnOnce(&mut status::Configuration)) {
        let mut facts = (*self.facts.now()).clone();
        change(&mut facts.configuration);
        self.facts.replace(Arc::new(facts));
    }
}
