//! The composition root: bind everything first, start the rooms, wait, drain by a deadline.
//!
//! ```text
//! main thread    signals, the order of the drain
//! edge threads   a runtime each, accepting from the same listeners
//! watch thread   the origin, the status page, the service manager
//! files thread   what is read while we run: it may wait for a disk
//! sentinel       whether all but the files thread make progress
//! ```

mod bound;
mod collector;
mod edge_thread;
mod files_thread;
mod memory;
mod passed;
pub mod reload;
mod sentinel;
mod watch_thread;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::config::Settings;
use crate::config::fixed::BURIAL;
use crate::config::pages::{self, PageFaults};
use crate::config::settings::{Bundled, Command, OnExit, Process};
use crate::edge::admission::Admission;
use crate::edge::listener::BindError;
use crate::edge::tls::{Keyring, TlsFaults};
use crate::exchange::Shared;
use crate::ground::addr::OriginAddr;
use crate::ground::deadline::{self, Deadline};
use crate::ground::drain::DrainSwitch;
use crate::ground::heartbeat::Hearts;
use crate::ground::ledger::Ledger;
use crate::ground::published::Published;
use crate::ground::reserve::Reserve;
use crate::ground::systemd::Notifier;
use crate::origin::{Journal, Origin, Retention, journal};
use crate::status;
use bound::Bound;
use files_thread::FilesThread;
use reload::{Reloader, SetLevel};

/// Why Leeward cannot run, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// An address is taken, or not ours.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The control socket, or the token.
    #[error("{key}: {path}: {cause}; {remedy}")]
    Door {
        /// The key that asked for it.
        key: &'static str,
        /// The file.
        path: String,
        /// What is wrong with it.
        cause: String,
        /// What to do.
        remedy: &'static str,
    },
    /// What systemd passes is of no use to us.
    #[error(
        "systemd passes a socket called `{name}`, which cannot be used: {cause}; take it out of leeward.socket"
    )]
    Passed {
        /// What it is called.
        name: String,
        /// What is wrong with it.
        cause: std::io::Error,
    },
    /// The certificate or its key.
    #[error(transparent)]
    Tls(#[from] TlsFaults),
    /// The operator's own pages.
    #[error(transparent)]
    Pages(#[from] PageFaults),
    /// The system refuses something every program needs.
    #[error("cannot {what}: {cause}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The watch thread ended by itself; without it, the origin has nobody.
    #[error("the watch thread has ended, and the origin with it; this is a fault of Leeward's own")]
    Unwatched,
}

/// Runs until a signal ends it. `file` is where the settings came from, for a reload, and `set_level` changes the log then;
/// `ledger` has what the log counts.
///
/// # Errors
/// [`AppError`], before anything was served; [`AppError::Unwatched`] at any time.
pub fn run(
    settings: Settings,
    file: Option<PathBuf>,
    ledger: Ledger,
    set_level: SetLevel,
) -> Result<(), AppError> {
    let system = |what| move |cause| AppError::System { what, cause };
    let bound = Bound::open(&settings, passed::take()?)?;
    let keyring = Keyring::open(&settings.edge.tls)?;
    let tls = keyring.spoken().clone();
    let pages = pages::read(&settings.pages)?;
    let wanted = &settings.origin.address;
    let command = settings.origin.process.command();
    let left = bound
        .legacy
        .as_ref()
        .and_then(|it| it.address(wanted, command));
    let address = match (&bound.held, left) {
        (Some(held), _) => held.address().clone(),
        (None, Some(left)) => left,
        (None, None) => settle(wanted).map_err(system("find a free port"))?,
    };
    let process = process(&settings).map_err(system("find its own program"))?;
    if command.is_some_and(|it| it.on_exit == OnExit::Keep) && !Notifier::is_heard() {
        tracing::warn!(
            "origin.process.on_exit = \"keep\": nobody is there to keep what that takes, as systemd does by \
             FileDescriptorStoreMax=; the origin ends with Leeward"
        );
    }
    let journal = open_journal(&settings);
    let settings = Arc::new(settings);
    let now = deadline::now();
    let (origin, watched) = Origin::open(
        settings.clone(),
        address.clone(),
        process,
        journal.clone(),
        ledger.clone(),
        now,
    );
    let prices = memory::prices(&settings, edge_thread::count(&settings));
    let reserve = Reserve::new(prices, ledger.clone());
    let collector = collector::start(&settings.trace, &ledger)
        .map_err(system("start the thread that tells the collector"))?;
    let shared = Shared::new(
        settings.clone(),
        origin.clone(),
        reserve.clone(),
        pages,
        collector.as_ref().map(|it| it.spans().clone()),
    );
    let hearts = Hearts::default();
    let notifier = Notifier::from_environment();
    let evidence = journal.as_ref().map(|it| it.directory().to_owned());
    sentinel::start(hearts.clone(), notifier, evidence).map_err(system("start the sentinel"))?;
    let (edge_switch, edge_drain) = DrainSwitch::new();
    let (origin_switch, origin_drain) = DrainSwitch::new();
    let line = bound.line(&address);
    // Removed when all is over.
    let _socket_file = bound.socket_file;
    let (files, orders) = files_thread::orders();
    let (renew, settings_now) = watch::channel(settings.clone());
    let facts = Published::new(Arc::new(status::Facts {
        version: env!("CARGO_PKG_VERSION"),
        edge: bound.addresses.clone(),
        status: bound.status.as_ref().and_then(|it| it.local_addr().ok()),
        started: now,
        started_at: jiff::Timestamp::now(),
        spool_budget: shared.store().budget.whole(),
        spool_disk_limit: Some(settings.spool.disk).filter(|limit| *limit > 0),
        queue_limit: settings.origin.queue,
        hold_limit: settings.hold.requests,
        connections_limit: settings.edge.limits.connections,
        memory_limit: shared.reserve().limit(),
        patience: shared.waiting().patience(),
        hang: settings.hang.clone(),
        waits: settings.waits(),
        configuration: status::Configuration {
            file: file.as_ref().map(|file| file.display().to_string()),
            taken: now,
            fault: None,
            waits: Vec::new(),
        },
    }));
    let seen = origin.clone();

    let mut watch = watch_thread::start(watch_thread::Parts {
        watch: watched
            .holding(bound.held)
            .inheriting(bound.legacy)
            .following(settings_now.clone()),
        origin,
        journal,
        shared: shared.clone(),
        tls: tls.clone(),
        ledger: ledger.clone(),
        heart: hearts.add("watch".to_owned()),
        listener: bound.status,
        socket: bound.socket,
        token: bound.token,
        facts: facts.clone(),
        files: files.clone(),
        drain: origin_drain,
    })
    .map_err(system("start the watch thread"))?;
    let edges = edge_thread::start(edge_thread::Parts {
        settings: settings.clone(),
        tls,
        admission: Admission::new(&settings.edge.limits, reserve),
        shared: shared.clone(),
        ledger,
        hearts: hearts.clone(),
        redirects: (
            bound.redirect,
            bound.addresses.first().map_or(443, SocketAddr::port),
        ),
        listeners: bound.edge,
        drain: edge_drain,
    })
    .map_err(system("start an edge thread"))?;

    let reloader = Reloader {
        file,
        current: settings,
        keyring,
        edges,
        shared,
        settings: renew,
        facts,
        set_level,
        origin: seen,
    };
    files_thread::start(reloader, orders).map_err(system("start the files thread"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(system("start a runtime"))?;
    let heart = hearts.add("main".to_owned());
    runtime.block_on(async move {
        let mut signals = Signals::new().map_err(system("listen to signals"))?;
        tokio::spawn(heart.beat_on());
        eprintln!("leeward: ready: {line}");
        notifier.ready(&line);
        tokio::select! {
            () = signals.until_end(&files) => {}
            // What it had started died with it. Better to be started anew than to answer 502 for ever.
            () = watch.finished() => return Err(AppError::Unwatched),
        }
        notifier.stopping("draining");
        let settings = settings_now.borrow().clone();
        let by = Deadline::within(settings.edge.deadlines.drain);
        tracing::info!("draining: what is under way may finish within {:?}", settings.edge.deadlines.drain);
        edge_switch.begin(by);
        tokio::select! {
            drained = edge_switch.finished(by) => if drained.is_err() {
                tracing::warn!("{} connections did not finish in time", edge_switch.in_flight());
            },
            () = signals.again() => tracing::warn!("asked again to end: not waiting for connections"),
        }
        let hook = settings.hooks.before_kill.timeout;
        let by = Deadline::within(settings.restart.grace_drain + hook + BURIAL);
        origin_switch.begin(by);
        if by.bound(watch.finished()).await.is_err() {
            tracing::error!("the watch thread did not end in time");
        }
        tracing::info!("stopped");
        Ok(())
    })
}

/// The signals that matter to the whole program.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Returns when Leeward is to end.
    async fn until_end(&mut self, files: &FilesThread) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => files.reload(),
            }
        }
    }

    /// Returns when it is asked a second time.
    async fn again(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Chooses the port where that was left to us. Nobody else is likely to take it before the origin does.
fn settle(address: &OriginAddr) -> std::io::Result<OriginAddr> {
    match address {
        OriginAddr::Tcp(addr) if addr.port() == 0 => {
            let chosen = TcpListener::bind(SocketAddr::new(addr.ip(), 0))?;
            Ok(OriginAddr::Tcp(chosen.local_addr()?))
        }
        settled => Ok(settled.clone()),
    }
}

/// Who starts the origin, the bundled one by its command.
fn process(settings: &Settings) -> std::io::Result<Process> {
    let bundled = |bundled: &Bundled| -> std::io::Result<Command> {
        let mut arguments = ["origin", "--listen", "{address}"]
            .map(str::to_owned)
            .to_vec();
        arguments.extend(bundled.arguments());
        let program = std::env::current_exe()?;
        Ok(Command {
            program: program.to_string_lossy().into_owned(),
            arguments,
            directory: None,
            environment: Default::default(),
            socket: Default::default(),
            on_exit: Default::default(),
        })
    };
    Ok(match &settings.origin.process {
        Process::Bundled(it) => Process::Command(bundled(it)?),
        other => other.clone(),
    })
}

/// Without a journal, incidents are told in the log alone: that is no reason not to serve.
fn open_journal(settings: &Settings) -> Option<Journal> {
    let directory = settings.incidents.directory.clone();
    let directory = directory.unwrap_or_else(journal::default_directory);
    let told = directory.display().to_string();
    let retention = Retention {
        count: settings.incidents.keep,
        age: settings.incidents.max_age,
    };
    match Journal::open(directory, retention) {
        Ok(journal) => Some(journal),
        Err(error) => {
            tracing::error!(
                "incidents.directory: {told}: {error}; make it writable for this user, or name another: \
                 until then incidents are only logged"
            );
            None
        }
    }
}
