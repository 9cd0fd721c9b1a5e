//! The kernel's socket tables: who waits at the door, what lies unread, what the peer won't take.
//!
//! All of it is of the network namespace of this program, and an origin on loopback shares that.

mod answer;
mod holders;
mod netlink;
mod proc_net;
mod question;
mod row;
mod table;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Serialize;

pub use holders::{Holder, Holders, holders, holders_with, holding};
#[cfg(test)]
pub(in crate::origin::forensics) use row::tests::row;
pub use row::{SocketRow, TcpRow, TcpState, Traffic, UnixRow};
pub(super) use table::Table;

use self::question::Family;
use super::seen::{Seen, text};

/// Where the origin takes its connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Listening {
    /// On a TCP address.
    Tcp(SocketAddr),
    /// On a unix socket with this path, as its server bound it.
    Unix(PathBuf),
}

impl fmt::Display for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

/// Connections that are complete but that nobody has accepted yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AcceptQueue {
    /// How many wait, over all listeners of the address (there are several with `SO_REUSEPORT`).
    pub waiting: u32,
    /// How many may wait before the kernel turns new ones away; `None` where only `/proc/net` could be read.
    pub limit: Option<u32>,
}

/// How many sockets stand where.
pub type ByState = BTreeMap<TcpState, u32>;

/// How many wait to be accepted; `None` where nobody listens. Cheap enough for every second: measured at 40 µs, with
/// two thousand connections open just the same.
pub fn accept_queue(at: &Listening) -> Seen<Option<AcceptQueue>> {
    listeners(at).map(|rows| {
        let queue = |row: &SocketRow| match row {
            SocketRow::Tcp(row) => (row.unread, (row.unsent > 0).then_some(row.unsent)),
            SocketRow::Unix(row) => (row.unread.unwrap_or(0), row.unsent),
        };
        rows.iter()
            .map(queue)
            .map(|(waiting, limit)| AcceptQueue { waiting, limit })
            .reduce(|sum, one| AcceptQueue {
                waiting: sum.waiting.saturating_add(one.waiting),
                limit: sum
                    .limit
                    .zip(one.limit)
                    .map(|(sum, one)| sum.saturating_add(one)),
            })
    })
}

/// The one connection between these two addresses, seen from `local`, with its traffic; `None` where there is none.
/// [`TcpRow::untouched`] then tells whether its owner has read anything. Measured at 13 µs.
pub fn connection(local: SocketAddr, peer: SocketAddr) -> Seen<Option<TcpRow>> {
    // Asked for a connection that is gone, the kernel answers with the listener of its address.
    let exact = |row: &TcpRow| row.state != TcpState::Listen;
    let found = netlink::one_row(&question::one_tcp(local, peer), answer::tcp);
    Seen::from_io(found.map(|row| row.filter(exact)), DIAGNOSIS)
}

/// The listeners that would take a connection to `at`. One on the very address goes before one on a wildcard, as in
/// the kernel.
fn listeners(at: &Listening) -> Seen<Vec<SocketRow>> {
    match at {
        Listening::Tcp(addr) => all_tcp(true, Some(addr.port())).map(|mut rows| {
            rows.retain(|row| row.takes(*addr));
            if rows
                .iter()
                .any(|row| row.local.ip() == addr.ip().to_canonical())
            {
                rows.retain(|row| row.local.ip() == addr.ip().to_canonical());
            }
            rows.into_iter().map(SocketRow::Tcp).collect()
        }),
        Listening::Unix(path) => all_unix(true).map(|mut rows| {
            rows.retain(|row| row.listening && row.path.as_ref() == Some(path));
            rows.into_iter().map(SocketRow::Unix).collect()
        }),
    }
}

const DIAGNOSIS: &str = "the kernel's socket diagnosis";

fn all_tcp(only_listeners: bool, port: Option<u16>) -> Seen<Vec<TcpRow>> {
    let mut rows = Vec::new();
    let by_netlink = Family::BOTH.iter().try_for_each(|&family| {
        netlink::each_row(&question::all_tcp(family, only_listeners, port), |row| {
            rows.extend(answer::tcp(row));
        })
    });
    by_second_way(by_netlink.map(|()| rows), || {
        proc_net_tcp(only_listeners, port)
    })
}

fn all_unix(only_listeners: bool) -> Seen<Vec<UnixRow>> {
    let mut rows = Vec::new();
    let by_netlink = netlink::each_row(&question::all_unix(only_listeners), |row| {
        rows.extend(answer::unix(row));
    });
    by_second_way(by_netlink.map(|()| rows), || proc_net_unix(only_listeners))
}

fn proc_net_tcp(only_listeners: bool, port: Option<u16>) -> Seen<Vec<TcpRow>> {
    let wanted = |row: &TcpRow| {
        (!only_listeners || row.state == TcpState::Listen)
            && port.is_none_or(|port| row.local.port() == port)
    };
    // A machine without IPv6 has no tcp6.
    let v6 = text("/proc/net/tcp6");
    let v6 = v6.known().map_or("", String::as_str);
    text("/proc/net/tcp").map(|v4| {
        proc_net::tcp(&v4)
            .chain(proc_net::tcp(v6))
            .filter(wanted)
            .collect()
    })
}

fn proc_net_unix(only_listeners: bool) -> Seen<Vec<UnixRow>> {
    text("/proc/net/unix").map(|text| {
        proc_net::unix(&text)
            .filter(|row| row.listening || !only_listeners)
            .collect()
    })
}

fn by_second_way<T>(first: io::Result<T>, second: impl FnOnce() -> Seen<T>) -> Seen<T> {
    let Err(error) = first else {
        return Seen::from_io(first, DIAGNOSIS);
    };
    match second() {
        Seen::Hidden(why) => Seen::Hidden(format!("{DIAGNOSIS}: {error}; {why}")),
        known @ Seen::Known(_) => known,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::forensics::captive::wait_until;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::{UnixListener, UnixStream};

    fn queue(at: &Listening) -> Option<AcceptQueue> {
        *accept_queue(at)
            .known()
            .expect("the tables can be read here")
    }

    #[test]
    fn three_connections_that_nobody_accepts_are_counted_at_the_door() {
        for bind in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"] {
            let Ok(listener) = TcpListener::bind(bind) else {
                println!("skipped {bind}: this machine cannot bind it");
                continue;
            };
            let port = listener.local_addr().expect("bound").port();
            let ip = if bind.starts_with("[::1]") {
                "[::1]"
            } else {
                "127.0.0.1"
            };
            let at: SocketAddr = format!("{ip}:{port}").parse().expect("an address");
            let _clients: Vec<_> = (0..3)
                .map(|_| TcpStream::connect(at).expect("the kernel accepts"))
                .collect();
            let seen = queue(&Listening::Tcp(at));
            assert_eq!(seen.map(|queue| queue.waiting), Some(3), "{bind}");
            assert!(
                seen.and_then(|queue| queue.limit)
                    .is_some_and(|limit| limit >= 3),
                "{bind}: {seen:?}"
            );
        }
    }

    #[test]
    fn where_nobody_listens_there_is_no_queue() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let at = Listening::Tcp(listener.local_addr().expect("bound"));
        drop(listener);
        assert_eq!(queue(&at), None);
        assert_eq!(queue(&Listening::Unix("/nowhere/at/all.sock".into())), None);
    }

    #[test]
    fn a_unix_listener_has_a_queue_too() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("origin.sock");
        let _listener = UnixListener::bind(&path).expect("bound");
        let _client = UnixStream::connect(&path).expect("the kernel accepts");
        assert_eq!(
            queue(&Listening::Unix(path)).map(|queue| queue.waiting),
            Some(1)
        );
    }

    #[test]
    fn a_connection_is_untouched_until_its_first_byte_is_read() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let at = listener.local_addr().expect("bound");
        let mut client = TcpStream::connect(at).expect("connected");
        let from = client.local_addr().expect("bound");
        client
            .write_all(b"POST / HTTP/1.0\r\n\r\n")
            .expect("taken by the kernel");
        let seen = || {
            connection(at, from)
                .known()
                .cloned()
                .flatten()
                .expect("the connection is there")
        };
        assert_eq!(
            (seen().inode, seen().untouched()),
            (0, Some(true)),
            "not accepted"
        );

        let (mut server, _) = listener.accept().expect("one waits");
        assert_eq!(
            (seen().unread, seen().untouched()),
            (19, Some(true)),
            "accepted, unread"
        );
        assert_eq!(seen().traffic.map(|traffic| traffic.received), Some(19));

        server.read_exact(&mut [0]).expect("one byte");
        assert_eq!(
            (seen().unread, seen().untouched()),
            (18, Some(false)),
            "one byte read"
        );
        server.read_exact(&mut [0; 18]).expect("the rest");
        drop(server);
        wait_until("it is closed by its owner", || {
            seen().state != TcpState::Established
        });
        // The kernel may have folded it up meanwhile, and then knows no traffic of it.
        let closed = seen();
        assert_eq!(closed.inode, 0);
        assert_ne!(
            closed.untouched(),
            Some(true),
            "inode 0 again, but no proof"
        );
    }

    #[test]
    fn a_connection_that_never_was_is_not_mistaken_for_its_listener() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let at = listener.local_addr().expect("bound");
        assert_eq!(
            connection(at, "127.0.0.1:1".parse().expect("an address")),
            Seen::Known(None)
        );
    }

    #[test]
    fn both_ways_to_the_tables_tell_the_same() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let at = listener.local_addr().expect("bound");
        let client = TcpStream::connect(at).expect("connected");
        let from = client.local_addr().expect("bound");
        let on_port = |rows: Seen<Vec<TcpRow>>| {
            let mut rows = rows.known().cloned().expect("readable");
            rows.retain(|row| row.local.port() == from.port() && row.peer == at);
            rows
        };
        let first = on_port(all_tcp(false, None));
        assert_eq!(first.len(), 1);
        assert_eq!(first, on_port(proc_net_tcp(false, Some(from.port()))));

        let waiting = |rows: Seen<Vec<TcpRow>>| {
            rows.known()
                .map(|rows| rows.iter().map(|row| row.unread).collect::<Vec<_>>())
        };
        assert_eq!(waiting(all_tcp(true, Some(at.port()))), Some(vec![1]));
        assert_eq!(waiting(proc_net_tcp(true, Some(at.port()))), Some(vec![1]));
    }

    #[test]
    fn both_ways_tell_of_the_same_unix_listener() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("my origin.sock");
        let _listener = UnixListener::bind(&path).expect("bound");
        let inode = |rows: Seen<Vec<UnixRow>>| {
            let rows = rows.known().cloned().expect("readable");
            rows.into_iter()
                .find(|row| row.path.as_ref() == Some(&path))
                .map(|row| row.inode)
        };
        assert!(inode(all_unix(true)).is_some());
        assert_eq!(inode(all_unix(true)), inode(proc_net_unix(true)));
    }

    #[test]
    fn without_netlink_the_second_way_is_taken_and_without_both_each_says_why() {
        let refused = || io::Error::from(io::ErrorKind::PermissionDenied);
        assert_eq!(
            by_second_way(Err(refused()), || Seen::Known(7)),
            Seen::Known(7)
        );
        let neither = by_second_way::<u32>(Err(refused()), || {
            Seen::Hidden("/proc/net/tcp: gone".into())
        });
        let why = neither.hidden().expect("nothing was seen");
        assert!(
            why.contains("permission denied") && why.ends_with("/proc/net/tcp: gone"),
            "{why}"
        );
    }
}
