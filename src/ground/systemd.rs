//! What we tell systemd: ready, status, alive, reloading, stopping. Silent where there is none.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use sd_notify::NotifyState;

/// Tells the service manager; a no-op when `NOTIFY_SOCKET` is not set.
#[derive(Debug, Clone, Copy)]
pub struct Notifier {
    watchdog: Option<Duration>,
}

impl Notifier {
    /// Reads what the service manager wants of us from the environment.
    pub fn from_environment() -> Self {
        Self {
            watchdog: sd_notify::watchdog_enabled(),
        }
    }

    /// How often to call [`Notifier::alive`]: a third of `WatchdogSec`, or `None` when it is off.
    pub fn pet_every(&self) -> Option<Duration> {
        self.watchdog.map(|limit| limit / 3)
    }

    /// Start-up is finished; `status` is the line `systemctl status` shows.
    pub fn ready(&self, status: &str) {
        self.tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// One line for a human.
    pub fn status(&self, status: &str) {
        self.tell(&[NotifyState::Status(status)]);
    }

    /// Every thread of ours made progress.
    pub fn alive(&self) {
        self.tell(&[NotifyState::Watchdog]);
    }

    /// Whether there is anybody to be told.
    pub fn is_heard() -> bool {
        std::env::var_os("NOTIFY_SOCKET").is_some()
    }

    /// We cannot help any more: to be dealt with as if the watchdog had run out, whether or not it is on.
    pub fn trigger(&self) {
        self.tell(&[NotifyState::WatchdogTrigger]);
    }

    /// A reload begins. systemd wants the moment it began in the same message (sd_notify(3)).
    pub fn reloading(&self, status: &str) {
        match NotifyState::monotonic_usec_now() {
            Ok(moment) => self.tell(&[NotifyState::Reloading, moment, NotifyState::Status(status)]),
            Err(error) => tracing::warn!(%error, "cannot read the monotonic clock for systemd"),
        }
    }

    /// Has a copy of each kept for the next process of this service, which gets them under this name (sd_listen_fds(3));
    /// what it has by this name already, it keeps as well. Nothing is kept where `FileDescriptorStoreMax=` is not set.
    pub fn keep(&self, name: &str, descriptors: &[BorrowedFd<'_>]) {
        if descriptors.is_empty() || !Self::is_heard() {
            return;
        }
        let states = [NotifyState::FdStore, NotifyState::FdName(name)];
        if let Err(error) = sd_notify::notify_with_fds(&states, descriptors) {
            tracing::warn!(%error, name, "systemd cannot be asked to keep a descriptor");
        }
    }

    /// Has all let go that is kept under this name.
    pub fn let_go(&self, name: &str) {
        self.tell(&[NotifyState::FdStoreRemove, NotifyState::FdName(name)]);
    }

    /// Shutdown has begun.
    pub fn stopping(&self, status: &str) {
        self.tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
    }

    fn tell(&self, states: &[NotifyState]) {
        if let Err(error) = sd_notify::notify(states) {
            tracing::warn!(%error, "cannot notify systemd");
        }
    }
}
