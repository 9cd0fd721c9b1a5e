//! Which process serves an address, where somebody else started it.

use std::fs;
use std::time::Instant;

use super::descriptor::links;
use super::seen::{NOT_PERMITTED, Seen};
use super::sockets::{Holders, Listening, holders};
use super::stat;
use super::vital::parsed;
use crate::origin::pid::Pid;

/// The process that serves an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its number.
    pub pid: Pid,
    /// Its short name.
    pub comm: String,
    /// When it started, in clock ticks since boot. Another value under the same number is another process.
    pub born: u64,
    /// Why it is only taken for the one, where nobody let us see that it is.
    pub doubt: Option<String>,
}

/// Finds the process that listens on `at`; of several the eldest, which forked the others. `None` where nobody
/// listens. Walks all processes, but none after `deadline`: 2 ms for eighty of them.
///
/// Whose descriptors may not be read, may still be the only program of the listener's user: then it is taken for the
/// one, and says so.
pub fn server(at: &Listening, deadline: Instant) -> Seen<Option<Server>> {
    holders(at, deadline).and_then(|holders| {
        if holders.listeners == 0 {
            return Seen::Known(None);
        }
        let found: Vec<Pid> = holders.found.iter().map(|holder| holder.pid).collect();
        let known: Vec<Candidate> = found.into_iter().filter_map(candidate).collect();
        if let Some(eldest) = eldest(&known) {
            return Seen::Known(Some(eldest.server(None)));
        }
        let why = unseen(at, &holders, known.first());
        match holders.uids[..] {
            [uid] if known.is_empty() && uid != ROOT => match only_of_user(uid, deadline) {
                Some(only) => {
                    let doubt = format!("{why}: taken for it is the only program of user {uid}");
                    Seen::Known(Some(only.server(Some(doubt))))
                }
                None => Seen::Hidden(why),
            },
            _ => Seen::Hidden(why),
        }
    })
}

/// Who has this number has far more than one program.
const ROOT: u32 = 0;
/// What holds listeners for others, until somebody connects or along with them.
const ACTIVATORS: [&str; 3] = ["systemd", "init", "launchd"];

/// One like us holds them for what it starts. The origin in our binary has the same name, and starts nothing.
const LEEWARD: &str = "leeward";

#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    pid: Pid,
    parent: Option<Pid>,
    comm: String,
    born: u64,
}

impl Candidate {
    fn server(&self, doubt: Option<String>) -> Server {
        Server {
            pid: self.pid,
            comm: self.comm.clone(),
            born: self.born,
            doubt,
        }
    }
}

fn candidate(pid: Pid) -> Option<Candidate> {
    let stat = parsed(&format!("/proc/{pid}/stat"), stat::stat);
    let stat = stat.known()?;
    Some(Candidate {
        pid,
        parent: stat.parent,
        comm: stat.comm.clone(),
        born: stat.born,
    })
}

/// The one that forked the others, but nobody who only holds the listener for them.
fn eldest(found: &[Candidate]) -> Option<&Candidate> {
    let keeps = |one: &Candidate| {
        let is_parent = found.iter().any(|other| other.parent == Some(one.pid));
        ACTIVATORS.contains(&one.comm.as_str()) || (one.comm == LEEWARD && is_parent)
    };
    let serves = |one: &&Candidate| !keeps(one);
    let age = |one: &&Candidate| (one.born, one.pid);
    found.iter().filter(serves).min_by_key(age)
}

/// The only one among them that none of them started, if there is but one.
fn only_root(found: &[Candidate]) -> Option<&Candidate> {
    let is_root = |one: &&Candidate| !found.iter().any(|other| Some(other.pid) == one.parent);
    let mut roots = found.iter().filter(is_root);
    roots.next().filter(|_| roots.next().is_none())
}

/// The only program of a user, of those whose descriptors may not be read.
fn only_of_user(uid: u32, deadline: Instant) -> Option<Candidate> {
    let entries = fs::read_dir("/proc").ok()?;
    let numbered = |entry: fs::DirEntry| Pid::new(entry.file_name().to_str()?.parse().ok()?);
    let mut found = Vec::new();
    for pid in entries.flatten().filter_map(numbered) {
        if Instant::now() >= deadline {
            return None;
        }
        let status = parsed(&format!("/proc/{pid}/status"), stat::status);
        let is_theirs = status.known().is_some_and(|status| status.uid == Some(uid));
        if is_theirs && links(pid).hidden().is_some() {
            found.extend(candidate(pid));
        }
    }
    only_root(&found).cloned()
}

/// Why nobody was found, though somebody listens.
fn unseen(at: &Listening, holders: &Holders, activator: Option<&Candidate>) -> String {
    let begun = format!("which process listens on {at} could not be seen");
    match (holders, activator) {
        (_, Some(activator)) => {
            let Candidate { comm, pid, .. } = activator;
            format!(
                "{begun}: only {comm} (process {pid}) holds the socket, for a service it starts"
            )
        }
        (
            Holders {
                truncated: true, ..
            },
            None,
        ) => format!("{begun}: time ran out"),
        (Holders { hidden: 0, .. }, None) => format!(
            "{begun}: /proc is not mounted here, or hides other users' processes (hidepid), or it is a process of \
             another PID namespace"
        ),
        _ => format!("{begun}: /proc/PID/fd of those it may be: {NOT_PERMITTED}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::time::Duration;

    fn one(pid: u32, parent: u32, comm: &str, born: u64) -> Candidate {
        Candidate {
            pid: Pid::new(pid).expect("positive"),
            parent: Pid::new(parent),
            comm: comm.to_owned(),
            born,
        }
    }

    #[test]
    fn of_a_family_the_one_that_forked_the_others_serves() {
        // Numbers come round again: the eldest need not have the lowest.
        let family = [
            one(12, 900, "w", 8),
            one(900, 1, "m", 7),
            one(13, 900, "w", 8),
        ];
        assert_eq!(eldest(&family), Some(&family[1]));
        assert_eq!(only_root(&family), Some(&family[1]));
        let two = [one(5, 1, "a", 1), one(6, 1, "b", 2)];
        assert_eq!(only_root(&two), None, "either may be it");
    }

    #[test]
    fn who_holds_a_listener_for_others_does_not_serve() {
        let held = [one(1, 0, "systemd", 0), one(70, 1, "httpd", 9)];
        assert_eq!(eldest(&held), Some(&held[1]));
        assert_eq!(eldest(&held[..1]), None);
        let passed = [one(4, 1, LEEWARD, 1), one(5, 4, LEEWARD, 2)];
        assert_eq!(eldest(&passed), Some(&passed[1]));
        assert_eq!(eldest(&passed[1..]), Some(&passed[1]));
    }

    #[test]
    fn our_own_listener_is_served_by_us() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let at = Listening::Tcp(listener.local_addr().expect("bound"));
        let until = Instant::now() + Duration::from_secs(10);
        let seen = server(&at, until).known().cloned().flatten();
        let seen = seen.expect("we listen");
        assert_eq!((Some(seen.pid), seen.doubt), (Pid::own(), None));
        drop(listener);
        assert_eq!(server(&at, until), Seen::Known(None));
    }
}
