//! The thread that may block on files: it looks at the certificates every few seconds, so that no thread that serves or
//! watches ever waits for a disk.

use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, SystemTime};

use crate::edge::tls::Keyring;

/// The thread, to be given orders.
pub struct FilesThread(Sender<Order>);

enum Order {
    /// Look at the certificates now.
    Look,
}

/// Where nobody looks at the files, what expires is told all the same.
const TELLING: Duration = Duration::from_secs(3600);

/// Starts it; it ends with its handle.
///
/// # Errors
/// What the system said.
pub fn start(keyring: Keyring, every: Option<Duration>) -> io::Result<FilesThread> {
    let (orders, taken) = mpsc::channel();
    thread::Builder::new()
        .name("files".to_owned())
        .spawn(move || look_after(keyring, every, &taken))?;
    Ok(FilesThread(orders))
}

impl FilesThread {
    /// Has the certificates looked at now, whatever was said of how often.
    pub fn look(&self) {
        let _ = self.0.send(Order::Look);
    }
}

fn look_after(mut keyring: Keyring, every: Option<Duration>, orders: &Receiver<Order>) {
    keyring.tell(SystemTime::now());
    loop {
        match orders.recv_timeout(every.unwrap_or(TELLING)) {
            Ok(Order::Look) => keyring.look(SystemTime::now()),
            Err(RecvTimeoutError::Timeout) if every.is_some() => keyring.look(SystemTime::now()),
            Err(RecvTimeoutError::Timeout) => keyring.tell(SystemTime::now()),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
