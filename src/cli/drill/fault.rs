//! The failure itself, and how it is undone.

mod spin;

use std::fmt;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use self::spin::Spinning;
use super::Kind;
use super::witness;

/// A failure that is planned.
#[derive(Debug)]
pub enum Fault {
    /// A signal for the origin's process.
    Signal {
        /// Its number.
        pid: i32,
        /// Which signal.
        signal: Signal,
        /// What that does.
        does: &'static str,
    },
    /// All threads of the origin's process run in circles.
    Spin {
        /// Its number.
        pid: i32,
    },
    /// Clients that go straight to the origin, begin a request and say no more.
    Silent {
        /// Where it listens.
        origin: SocketAddr,
        /// How many.
        clients: usize,
    },
    /// A client of Leeward that asks and never reads.
    Unread {
        /// Where Leeward listens.
        edge: SocketAddr,
        /// What it asks for.
        path: String,
    },
}

/// Undoes a failure when it is dropped, as far as it is still there.
#[derive(Debug, Default)]
pub struct Undo {
    frozen: Option<OwnedFd>,
    spinning: Option<Spinning>,
    clients: Vec<TcpStream>,
    unread: Option<witness::Tls>,
}

/// Enough for any accept queue that is not set higher by hand (net.core.somaxconn is 4096 since Linux 5.4).
const CROWD: usize = 512;

impl Fault {
    /// What a drill of this kind comes to on the system in this snapshot.
    ///
    /// # Errors
    /// It cannot be rehearsed there, and why.
    pub fn plan(kind: Kind, snapshot: &Value, path: &str) -> Result<Self, String> {
        let origin = &snapshot["origin"];
        let process = || {
            if origin["care"] == "observed" {
                return Err("the origin is somebody else's: Leeward would not restart it");
            }
            let pid = origin["pid"].as_i64().and_then(|pid| pid.try_into().ok());
            pid.ok_or("Leeward knows no process of the origin: it is down")
        };
        let silent = |clients| {
            let address = origin["address"].as_str().unwrap_or_default();
            let wrong = |_| format!("the origin is at {address}, and this drill needs a TCP port");
            let origin = address.parse().map_err(wrong)?;
            Ok(Self::Silent { origin, clients })
        };
        let slots = origin["concurrency"]["slots"].as_u64().unwrap_or(1) as usize;
        match kind {
            Kind::Freeze => Ok(Self::Signal {
                pid: process()?,
                signal: Signal::STOP,
                does: "freeze",
            }),
            Kind::Kill => Ok(Self::Signal {
                pid: process()?,
                signal: Signal::KILL,
                does: "kill",
            }),
            Kind::Spin => {
                let pid = process()?;
                spin::is_possible(pid)?;
                Ok(Self::Spin { pid })
            }
            Kind::Block => silent(slots.min(CROWD)),
            Kind::Fill => silent(CROWD),
            Kind::Client => Ok(Self::Unread {
                edge: edge(snapshot)?,
                path: path.to_owned(),
            }),
        }
    }

    /// Lets it happen.
    ///
    /// # Errors
    /// What the system said.
    pub async fn inject(self) -> Result<Undo, String> {
        let mut undo = Undo::default();
        match self {
            Self::Signal { pid, signal, does } => {
                let wrong = |error: rustix::io::Errno| {
                    format!("process {pid}: {error}; a drill needs the rights of its user, or root")
                };
                let number = Pid::from_raw(pid).ok_or("not a process number")?;
                // Held from here on, it cannot come to mean another process.
                let process = pidfd_open(number, PidfdFlags::empty()).map_err(wrong)?;
                pidfd_send_signal(&process, signal).map_err(wrong)?;
                undo.frozen = (does == "freeze").then_some(process);
            }
            Self::Spin { pid } => undo.spinning = Some(Spinning::begin(pid)?),
            Self::Silent { origin, clients } => {
                for _ in 0..clients {
                    let patience = std::time::Duration::from_millis(500);
                    let connected =
                        tokio::time::timeout(patience, TcpStream::connect(origin)).await;
                    // The queue is full: that was the aim.
                    let Ok(Ok(mut client)) = connected else { break };
                    let _ = client.write_all(b"GET / HT").await;
                    undo.clients.push(client);
                }
                if undo.clients.is_empty() {
                    return Err(format!("nobody listens at {origin}"));
                }
            }
            Self::Unread { edge, path } => {
                undo.unread = Some(witness::begin(edge, &path).await?);
            }
        }
        Ok(undo)
    }
}

impl Undo {
    /// Undoes it now.
    pub fn release(&mut self) {
        if let Some(process) = self.frozen.take() {
            // It may have been replaced long since.
            let _ = pidfd_send_signal(&process, Signal::CONT);
        }
        if let Some(mut spinning) = self.spinning.take() {
            spinning.end();
        }
        self.clients.clear();
        self.unread = None;
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        self.release();
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal { pid, does, .. } => write!(f, "{does} process {pid}, the origin"),
            Self::Spin { pid } => {
                write!(
                    f,
                    "make every thread of process {pid}, the origin, run in a circle"
                )
            }
            Self::Silent { origin, clients } => write!(
                f,
                "send {clients} clients straight to {origin}, the origin, that begin a request and say no more"
            ),
            Self::Unread { edge, path } => {
                write!(f, "ask {edge} for {path} and never read the answer")
            }
        }
    }
}

/// Where Leeward listens, as one reaches it from the same machine.
///
/// # Errors
/// The snapshot does not tell.
pub fn edge(snapshot: &Value) -> Result<SocketAddr, String> {
    let first = snapshot["listen"]["edge"][0].as_str().unwrap_or_default();
    let mut edge: SocketAddr = first
        .parse()
        .map_err(|_| "the snapshot does not tell where Leeward listens".to_owned())?;
    if edge.ip().is_unspecified() {
        edge.set_ip(match edge.is_ipv4() {
            true => std::net::Ipv4Addr::LOCALHOST.into(),
            false => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    Ok(edge)
}
