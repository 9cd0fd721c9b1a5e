//! The thread that may block on files: it looks at the certificates every few seconds, and reads the configuration again
//! when it is asked to, so that no thread that serves or watches ever waits for a disk.

use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, SystemTime};

use tokio::sync::oneshot;

use super::reload::{Reloader, Told};
use crate::ground::deadline::Deadline;

/// To give it orders; it ends with the last of these.
#[derive(Debug, Clone)]
pub struct FilesThread(Sender<oneshot::Sender<Told>>);

/// The orders, before there is a thread to take them.
pub struct Orders(Receiver<oneshot::Sender<Told>>);

/// Where nobody looks at the files, what expires is told all the same.
const TELLING: Duration = Duration::from_secs(3600);
/// Whoever asks for a reload is answered within this; it goes on where the disk is slower.
const PATIENCE: Duration = Duration::from_secs(8);

/// The way to the thread, before it is started.
pub fn orders() -> (FilesThread, Orders) {
    let (orders, taken) = mpsc::channel();
    (FilesThread(orders), Orders(taken))
}

/// Starts it.
///
/// # Errors
/// What the system said.
pub fn start(reloader: Reloader, orders: Orders) -> io::Result<()> {
    thread::Builder::new()
        .name("files".to_owned())
        .spawn(move || look_after(reloader, &orders.0))?;
    Ok(())
}

impl FilesThread {
    /// Has everything read again. What comes of it is told in the log.
    pub fn reload(&self) {
        let (reply, _) = oneshot::channel();
        let _ = self.0.send(reply);
    }

    /// The same for who wants to know.
    pub async fn reloaded(self) -> Told {
        let (reply, told) = oneshot::channel();
        let _ = self.0.send(reply);
        match Deadline::within(PATIENCE).bound(told).await {
            Ok(Ok(told)) => told,
            Ok(Err(_)) => Err("Leeward is about to end, or its files thread is gone".to_owned()),
            Err(_) => Ok(format!(
                "the files could not be read within {PATIENCE:?}; it goes on, and the log tells what comes of it"
            )),
        }
    }
}

fn look_after(mut reloader: Reloader, orders: &Receiver<oneshot::Sender<Told>>) {
    reloader.keyring.tell(SystemTime::now());
    loop {
        let every = reloader.current.edge.tls.reread_every;
        match orders.recv_timeout(every.unwrap_or(TELLING)) {
            Ok(reply) => {
                // Whoever asked may have gone.
                let _ = reply.send(reloader.reload());
            }
            Err(RecvTimeoutError::Timeout) if every.is_some() => {
                reloader.keyring.look(SystemTime::now());
            }
            Err(RecvTimeoutError::Timeout) => reloader.keyring.tell(SystemTime::now()),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
