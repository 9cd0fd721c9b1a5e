//! What we tell systemd (sd_notify(3)): ready, status, alive, reloading, stopping, and what it is to keep for us. Silent
//! where there is none.
//!
//! A few lines of our own in place of a library: those wait for as long as systemd does not read, and the thread that tells
//! it that we are alive must not hang in that.

use std::env;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use super::deadline;

/// Tells the service manager; a no-op when `NOTIFY_SOCKET` is not set.
#[derive(Debug, Clone, Copy)]
pub struct Notifier {
    watchdog: Option<Duration>,
}

/// Where the service manager listens.
const SOCKET: &str = "NOTIFY_SOCKET";
/// So long it is waited for; then it goes without the message.
const PATIENCE: Duration = Duration::from_millis(200);
/// So many descriptors go into one message; the kernel takes 253 (unix(7), `SCM_MAX_FD`).
const MOST: usize = 16;

impl Notifier {
    /// Reads what the service manager wants of us from the environment.
    pub fn from_environment() -> Self {
        Self {
            watchdog: watchdog(|name| env::var(name).ok()),
        }
    }

    /// `WatchdogSec`: within it, [`Notifier::alive`] is to be called, better three times than once. `None` when it is off.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Start-up is finished; `status` is the line `systemctl status` shows.
    pub fn ready(&self, status: &str) {
        tell(&format!("READY=1\nSTATUS={}", line(status)));
    }

    /// One line for a human.
    pub fn status(&self, status: &str) {
        tell(&format!("STATUS={}", line(status)));
    }

    /// Every thread of ours made progress.
    pub fn alive(&self) {
        tell("WATCHDOG=1");
    }

    /// Whether there is anybody to be told.
    pub fn is_heard() -> bool {
        env::var_os(SOCKET).is_some()
    }

    /// We cannot help any more: to be dealt with as if the watchdog had run out, whether or not it is on.
    pub fn trigger(&self) {
        tell("WATCHDOG=trigger");
    }

    /// A reload begins. systemd wants the moment it began in the same message.
    pub fn reloading(&self, status: &str) {
        let micros = deadline::since_boot().as_micros();
        let status = line(status);
        tell(&format!(
            "RELOADING=1\nMONOTONIC_USEC={micros}\nSTATUS={status}"
        ));
    }

    /// Has a copy of each kept for the next process of this service, which gets them under this name (sd_listen_fds(3));
    /// what it has by this name already, it keeps as well. Nothing is kept where `FileDescriptorStoreMax=` is not set.
    pub fn keep(&self, name: &str, descriptors: &[BorrowedFd<'_>]) {
        for some in descriptors.chunks(MOST) {
            tell_with(&format!("FDSTORE=1\nFDNAME={name}"), some);
        }
    }

    /// Has all let go that is kept under this name.
    pub fn let_go(&self, name: &str) {
        tell(&format!("FDSTOREREMOVE=1\nFDNAME={name}"));
    }

    /// Shutdown has begun.
    pub fn stopping(&self, status: &str) {
        tell(&format!("STOPPING=1\nSTATUS={}", line(status)));
    }
}

/// A message is lines, so a status has to be one.
fn line(status: &str) -> String {
    status.replace('\n', " ")
}

fn tell(message: &str) {
    tell_with(message, &[]);
}

fn tell_with(message: &str, descriptors: &[BorrowedFd<'_>]) {
    let Some(place) = env::var_os(SOCKET) else {
        return;
    };
    if let Err(error) = send(place.as_bytes(), message, descriptors) {
        let what = message.split(['=', '\n']).next().unwrap_or_default();
        tracing::warn!(%error, what, "cannot notify systemd");
    }
}

fn send(place: &[u8], message: &str, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let address = match place.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(place))?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_write_timeout(Some(PATIENCE))?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("too many descriptors for one message"));
    }
    sendmsg(
        &socket,
        &[IoSlice::new(message.as_bytes())],
        &mut beside,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

/// What the environment says of the watchdog (sd_watchdog_enabled(3)).
fn watchdog(told: impl Fn(&str) -> Option<String>) -> Option<Duration> {
    let is_for_us = told("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
    let micros = told("WATCHDOG_USEC")?.parse().ok()?;
    (is_for_us && micros > 0).then(|| Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn who_does_not_read_is_not_waited_for() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("notify");
        let _deaf = UnixDatagram::bind(&path).unwrap();
        let begun = Instant::now();
        let sent =
            (0..10_000).find_map(|_| send(path.as_os_str().as_bytes(), "WATCHDOG=1", &[]).err());
        assert_eq!(sent.unwrap().kind(), io::ErrorKind::WouldBlock);
        assert!(begun.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn messages_reach_a_socket_without_a_file_and_carry_descriptors() {
        let name = format!("leeward-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let systemd = UnixDatagram::bind_addr(&address).unwrap();
        let file = tempfile::tempfile().unwrap();
        let place = format!("@{name}");
        send(
            place.as_bytes(),
            "FDSTORE=1\nFDNAME=x",
            &[std::os::fd::AsFd::as_fd(&file)],
        )
        .unwrap();
        let mut heard = [0; 64];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut beside = rustix::net::RecvAncillaryBuffer::new(&mut space);
        let mut into = [io::IoSliceMut::new(&mut heard)];
        let flags = rustix::net::RecvFlags::empty();
        let length = rustix::net::recvmsg(&systemd, &mut into, &mut beside, flags)
            .unwrap()
            .bytes;
        assert_eq!(&heard[..length], b"FDSTORE=1\nFDNAME=x");
        assert_eq!(beside.drain().count(), 1);
    }

    #[test]
    fn a_watchdog_of_another_process_is_none_of_ours() {
        let with = |pid: Option<String>, micros: &'static str| {
            watchdog(move |name| match name {
                "WATCHDOG_PID" => pid.clone(),
                _ => Some(micros.to_owned()),
            })
        };
        assert_eq!(with(None, "3000000"), Some(Duration::from_secs(3)));
        assert_eq!(
            with(Some(std::process::id().to_string()), "1"),
            Some(Duration::from_micros(1))
        );
        assert_eq!(with(Some("1".to_owned()), "3000000"), None);
        assert_eq!(with(None, "0"), None);
    }
}
