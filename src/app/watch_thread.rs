//! The watch thread: the origin, the status page and the service manager, on a runtime that shares no fate
//! with traffic. The origin's processes are spawned here, and only here.

use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use tokio::sync::oneshot;

use super::files_thread::FilesThread;
use crate::edge::tls::{Shown, Spoken, Term, Trust};
use crate::exchange::{Disk, Shared};
use crate::ground::deadline;
use crate::ground::drain::Drain;
use crate::ground::heartbeat::Heart;
use crate::ground::ledger::Ledger;
use crate::ground::published::Published;
use crate::ground::systemd::Notifier;
use crate::origin::{Journal, Origin, Watch};
use crate::status;

/// What the watch thread is made of.
pub struct Parts {
    /// What watches the origin.
    pub watch: Watch,
    /// What is known of it.
    pub origin: Origin,
    /// Where its incidents are.
    pub journal: Option<Journal>,
    /// What waits and rests in the exchanges.
    pub shared: Shared,
    /// What clients are shown.
    pub tls: Spoken,
    /// The numbers.
    pub ledger: Ledger,
    /// Its own.
    pub heart: Arc<Heart>,
    /// Where the status page listens.
    pub listener: Option<TcpListener>,
    /// Where operators' verbs come in.
    pub socket: Option<UnixListener>,
    /// With what they may come in by the status page.
    pub token: Option<Arc<str>>,
    /// What changes with the configuration alone.
    pub facts: Published<status::Facts>,
    /// Who reads that again.
    pub files: FilesThread,
    /// Begins when the origin is to end.
    pub drain: Drain,
}

/// The thread, to wait for.
pub struct WatchThread(oneshot::Receiver<()>);

/// The most often the status line is sent.
const LINE: Duration = Duration::from_millis(500);

/// Starts it; it ends when the drain has begun and the origin is gone.
///
/// # Errors
/// What the system said.
pub fn start(parts: Parts) -> io::Result<WatchThread> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (ended, thread) = oneshot::channel();
    thread::Builder::new()
        .name("watch".to_owned())
        .spawn(move || {
            runtime.block_on(watch(parts));
            let _ = ended.send(());
            // Work set aside on a dead disk must not hold the end back.
            runtime.shutdown_background();
        })?;
    Ok(WatchThread(thread))
}

impl WatchThread {
    /// Returns when it has ended, by a panic included.
    pub async fn finished(&mut self) {
        let _ = (&mut self.0).await;
    }
}

async fn watch(parts: Parts) {
    let notifier = Notifier::from_environment();
    tokio::spawn(parts.heart.beat_on());
    let troubles = troubles(parts.facts.clone(), parts.tls.clone());
    tokio::spawn(tell(notifier, parts.origin.clone(), troubles));
    let doors = doors(parts.listener, parts.socket, parts.token);
    let (shared, tls) = (parts.shared, parts.tls);
    let gauges = move || status::Gauges {
        queued: shared.waiting().queued(),
        held: shared.waiting().held(),
        spool_used: shared.store().budget.used(),
        spool_on_disk: shared.store().disk.as_ref().map_or(0, Disk::used),
        memory_reserved: shared.reserve().used(),
        certificates: tls.shown().iter().map(certificate).collect(),
        trust: tls.trust().as_ref().as_ref().map(trust),
    };
    let now = deadline::now();
    let source = status::Source::new(
        parts.origin,
        parts.ledger,
        parts.facts,
        Box::new(gauges),
        now,
    );
    let files = parts.files;
    let source = source.reloading(Box::new(move || Box::pin(files.clone().reloaded())));
    tokio::spawn(status::serve(doors, Arc::new(source), parts.journal));
    parts.watch.run(parts.drain).await;
}

/// What else `systemctl status` should say.
fn troubles(facts: Published<status::Facts>, tls: Spoken) -> impl Fn() -> String {
    move || {
        let mut told = String::new();
        if facts.now().configuration.fault.is_some() {
            told.push_str("; the configuration on disk is faulty and was not taken");
        }
        if tls.shown().iter().any(|shown| shown.fault.is_some()) {
            told.push_str("; a certificate on disk is faulty and was not taken");
        }
        if tls
            .trust()
            .as_ref()
            .as_ref()
            .is_some_and(|it| it.fault.is_some())
        {
            told.push_str("; the authorities or lists of client certificates on disk are faulty and were not taken");
        }
        told
    }
}

/// As the status page tells of it.
fn trust(it: &Trust) -> status::ClientTrust {
    let name = |path: &std::path::PathBuf| path.display().to_string();
    status::ClientTrust {
        authorities: name(&it.authorities),
        lists: it.lists.iter().map(name).collect(),
        required: it.required,
        fault: it.fault.clone(),
    }
}

/// As the status page tells of it.
fn certificate(shown: &Shown) -> status::Certificate {
    status::Certificate {
        section: shown.section.clone(),
        file: shown.file.as_ref().map(|file| file.display().to_string()),
        names: shown.names.clone(),
        issuer: shown.issuer.clone(),
        from: shown.from,
        until: shown.until,
        state: Term::of((shown.from, shown.until), SystemTime::now()).word(),
        fault: shown.fault.clone(),
    }
}

/// The listeners as this thread's runtime knows them; one that cannot be used is told, and the others are.
fn doors(
    listener: Option<TcpListener>,
    socket: Option<UnixListener>,
    token: Option<Arc<str>>,
) -> status::Doors {
    let failed = |what: &str, error: &io::Error| tracing::error!(%error, "{what} cannot be used");
    let network = listener.and_then(|it| {
        let listener = tokio::net::TcpListener::from_std(it);
        listener
            .inspect_err(|error| failed("status.listen", error))
            .ok()
    });
    let socket = socket.and_then(|it| {
        let listener = tokio::net::UnixListener::from_std(it);
        listener
            .inspect_err(|error| failed("status.socket", error))
            .ok()
    });
    status::Doors {
        network,
        socket,
        token,
    }
}

/// Keeps the line that `systemctl status` shows up to date.
async fn tell(notifier: Notifier, origin: Origin, troubles: impl Fn() -> String) {
    let mut views = origin.views();
    let mut last = String::new();
    while views.changed().await.is_ok() {
        let line = format!("{}{}", views.borrow_and_update().line(), troubles());
        if line != last {
            notifier.status(&line);
            last = line;
        }
        tokio::time::sleep(LINE).await;
    }
}
