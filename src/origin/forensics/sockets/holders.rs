//! Who holds a listening address: names the process in our way.

use std::fs;
use std::time::Instant;

use serde::Serialize;

use super::{Listening, SocketRow, listeners};
use crate::origin::forensics::descriptor::{Link, links};
use crate::origin::forensics::seen::Seen;
use crate::origin::forensics::stat;
use crate::origin::forensics::vital::parsed;
use crate::origin::pid::Pid;

/// One process that holds a listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// The process.
    pub pid: Pid,
    /// Its short name.
    pub comm: String,
    /// Its descriptor.
    pub descriptor: u32,
    /// The socket behind it.
    #[serde(skip)]
    pub inode: u64,
}

/// What is known of who holds a listening address.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Holders {
    /// Every holder found. A listener inherited by children has several.
    pub found: Vec<Holder>,
    /// How many listeners the address has; 0 means the address is free to listen on.
    pub listeners: usize,
    /// The users those listeners belong to, which is known even where their processes are hidden. For a unix socket
    /// it stays empty.
    pub uids: Vec<u32>,
    /// How many processes could not be looked into.
    pub hidden: usize,
    /// The deadline came before every process was looked at.
    pub truncated: bool,
}

/// Finds every process that listens on `at`, walking all processes but none after `deadline`. Measured at
/// 2 ms for eighty processes: for an incident, not for every second.
pub fn holders(at: &Listening, deadline: Instant) -> Seen<Holders> {
    holders_with(at, &[], deadline)
}

/// Finds in the same walk who holds one of these `connections`.
pub fn holders_with(at: &Listening, connections: &[u64], deadline: Instant) -> Seen<Holders> {
    listeners(at).and_then(|rows| {
        let mut seen = Holders {
            listeners: rows.len(),
            ..Holders::default()
        };
        let mut inodes = connections.to_vec();
        for row in rows {
            match row {
                SocketRow::Tcp(row) => {
                    inodes.push(row.inode);
                    seen.uids.push(row.uid);
                }
                SocketRow::Unix(row) => inodes.push(row.inode),
            }
        }
        seen.uids.sort_unstable();
        seen.uids.dedup();
        if inodes.is_empty() {
            return Seen::Known(seen);
        }
        who_holds(&inodes, deadline, seen)
    })
}

/// Finds who holds this one socket, walking all processes but none after `deadline`.
pub fn holding(inode: u64, deadline: Instant) -> Seen<Holders> {
    who_holds(&[inode], deadline, Holders::default())
}

fn who_holds(inodes: &[u64], deadline: Instant, seen: Holders) -> Seen<Holders> {
    let mut seen = seen;
    Seen::from_io(fs::read_dir("/proc"), "/proc").map(|entries| {
        let pids = entries
            .flatten()
            .filter_map(|entry| Pid::new(entry.file_name().to_str()?.parse().ok()?));
        for pid in pids {
            if Instant::now() >= deadline {
                seen.truncated = true;
                break;
            }
            look_into(pid, inodes, &mut seen);
        }
        seen
    })
}

fn look_into(pid: Pid, inodes: &[u64], seen: &mut Holders) {
    let Seen::Known(links) = links(pid) else {
        seen.hidden += 1;
        return;
    };
    for (descriptor, link) in links {
        if let Link::Socket { inode } = link
            && inodes.contains(&inode)
        {
            let stat = parsed(&format!("/proc/{pid}/stat"), stat::stat);
            let comm = stat
                .known()
                .map_or_else(|| "?".to_owned(), |stat| stat.comm.clone());
            seen.found.push(Holder {
                pid,
                comm,
                descriptor,
                inode,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::os::fd::AsRawFd;
    use std::time::Duration;

    #[test]
    fn our_own_listener_is_found_with_our_number_and_its_descriptor() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let at = Listening::Tcp(listener.local_addr().expect("bound"));
        let seen = holders(&at, Instant::now() + Duration::from_secs(10))
            .known()
            .cloned()
            .expect("readable");
        let own = seen
            .found
            .iter()
            .find(|holder| Some(holder.pid) == Pid::own())
            .expect("we hold it");
        assert_eq!(i64::from(own.descriptor), i64::from(listener.as_raw_fd()));
        assert_eq!(
            (seen.listeners, seen.truncated, seen.uids.len()),
            (1, false, 1)
        );
    }

    #[test]
    fn a_free_address_has_no_listener_and_costs_no_walk() {
        let at = Listening::Unix("/nowhere/at/all.sock".into());
        assert_eq!(
            holders(&at, Instant::now()),
            Seen::Known(Holders::default())
        );
    }

    #[test]
    fn past_its_deadline_it_stops_and_says_so() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let at = Listening::Tcp(listener.local_addr().expect("bound"));
        let seen = holders(&at, Instant::now())
            .known()
            .cloned()
            .expect("readable");
        assert!(
            seen.truncated && seen.listeners == 1 && seen.found.is_empty(),
            "{seen:?}"
        );
    }
}
