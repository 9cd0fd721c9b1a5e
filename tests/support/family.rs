//! The descendants of a process, held so that they can be killed without ever hitting a stranger.

use std::fs;
use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Every process below one, as it was when looked at.
pub struct Family(Vec<OwnedFd>);

impl Family {
    /// Takes hold of the descendants of `pid`.
    pub fn of(pid: u32) -> Family {
        let mut held = Vec::new();
        let mut unseen = children(pid);
        while let Some(child) = unseen.pop() {
            let pid = i32::try_from(child).ok().and_then(Pid::from_raw);
            if let Some(Ok(pidfd)) = pid.map(|pid| pidfd_open(pid, PidfdFlags::empty())) {
                held.push(pidfd);
                unseen.extend(children(child));
            }
        }
        Family(held)
    }

    /// Kills those that are still there.
    pub fn kill(self) {
        for pidfd in self.0 {
            let _ = pidfd_send_signal(pidfd, Signal::KILL);
        }
    }
}

fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|line| {
            line.split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<_>>()
        })
        .collect()
}
