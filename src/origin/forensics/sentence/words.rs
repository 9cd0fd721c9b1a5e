//! Sockets, waits, spans and sizes in words. Pure.

use std::fmt::Write;
use std::time::Duration;

use crate::origin::forensics::blame::Why;
use crate::origin::forensics::descriptor::{Descriptor, Link};
use crate::origin::forensics::seen::Seen;
use crate::origin::forensics::sockets::{SocketRow, TcpRow, TcpState, UnixRow};
use crate::origin::forensics::syscall::{Syscall, WaitKind};

/// What stands behind a descriptor.
pub(super) fn behind(descriptor: &Descriptor, why: Why) -> String {
    match (&descriptor.link, &descriptor.socket) {
        (_, Some(Seen::Known(SocketRow::Tcp(row)))) => format!("socket {}", tcp(row, why)),
        (_, Some(Seen::Known(SocketRow::Unix(row)))) => unix(row),
        (_, Some(Seen::Hidden(why))) => format!("a socket, but {why}"),
        (Seen::Known(Link::Pipe { inode }), None) => format!("pipe {inode}"),
        (Seen::Known(Link::Socket { inode }), None) => format!("socket {inode}"),
        (Seen::Known(Link::File { path }), None) => path.display().to_string(),
        (Seen::Known(Link::Anon { name }), None) => name.clone(),
        (Seen::Hidden(why), None) => format!("a descriptor that could not be looked up, {why}"),
    }
}

/// A TCP socket, as far as it matters to a thread in such a plight.
pub(super) fn tcp(row: &TcpRow, why: Why) -> String {
    if row.state == TcpState::Listen {
        // The kernel counts connections there, and not bytes.
        return format!("{}, the door itself", row.local);
    }
    let mut said = format!("{} to {}, {}", row.local, row.peer, row.state);
    // The question that is still on its way counts as a byte.
    if row.unsent > 0 && row.state != TcpState::SynSent {
        let _ = write!(said, ", {} unsent", size(row.unsent));
    }
    match row.unread {
        0 if why == Why::Reading => said += ", nothing to read",
        0 => {}
        unread => drop(write!(said, ", {} unread", size(unread))),
    }
    if let Some(traffic) = &row.traffic {
        if why == Why::Reading {
            let first = if traffic.received == 0 {
                "no data ever, open for"
            } else {
                "last data"
            };
            let ago = if traffic.received == 0 { "" } else { " ago" };
            let _ = write!(said, ", {first} {}{ago}", span(traffic.last_received));
        }
        match traffic.retransmits {
            0 => {}
            1 => said += ", 1 retransmission unanswered",
            many => drop(write!(said, ", {many} retransmissions unanswered")),
        }
    }
    said
}

fn unix(row: &UnixRow) -> String {
    let mut said = match &row.path {
        Some(path) => format!("unix socket {}", path.display()),
        None => format!("unix socket {}", row.inode),
    };
    if let Some(unsent) = row.unsent.filter(|&unsent| unsent > 0) {
        let _ = write!(said, ", {} unsent", size(unsent));
    }
    said
}

/// What it means to sit still in `call`.
pub(super) fn meaning(why: Why, call: &Syscall) -> &'static str {
    match why {
        Why::Writing => "; the other end does not read",
        Why::Reading | Why::ReadingPipe => "; the other end sends nothing",
        Why::Connecting => "; the other end does not answer",
        Why::Locked if call.name.starts_with("futex") => {
            "; it waits for a lock (futex) that another thread holds, or for work"
        }
        Why::Locked => "; it waits for a lock",
        Why::Child => "; it waits for a child process",
        Why::Idle if call.waits_for == WaitKind::Accept => {
            "; it waits for a connection, as an idle server does"
        }
        Why::Idle => "; it waits for events, as an idle server does",
        Why::File if call.descriptor.is_some() => "; that file gives or takes nothing",
        Why::File => "; it waits for a file or a file system",
        Why::Asleep if call.waits_for == WaitKind::Sleep => {
            "; it sleeps, as its own code told it to"
        }
        _ => "",
    }
}

/// What a kernel function means, for the few that every blocked server sits in.
pub(super) fn hint(function: &str) -> &'static str {
    match function {
        "sk_stream_wait_memory" => " (a socket whose peer does not read)",
        "sk_wait_data" | "wait_woken" | "tcp_recvmsg" => " (a socket whose peer sends nothing)",
        "inet_csk_accept" => " (a new connection)",
        "do_epoll_wait" | "ep_poll" | "do_poll" | "do_select" | "poll_schedule_timeout" => {
            " (events)"
        }
        "pipe_read" | "anon_pipe_read" => " (an empty pipe)",
        "pipe_write" | "anon_pipe_write" => " (a full pipe)",
        _ if function.starts_with("futex_") => " (a lock)",
        _ => "",
    }
}

/// What a kernel function says of a file that is not open yet.
pub(super) fn of_a_file(function: &str) -> &'static str {
    match function {
        "wait_for_partner" | "fifo_open" => " (a FIFO that nobody has opened at its other end)",
        "request_wait_answer" | "__fuse_simple_request" | "fuse_get_req" => {
            " (a FUSE file system whose server does not answer)"
        }
        "rpc_wait_bit_killable" | "nfs_wait_bit_killable" => {
            " (an NFS server that does not answer)"
        }
        "percpu_rwsem_wait" => " (a file system that is frozen)",
        _ => "",
    }
}

/// A duration as people write it.
pub(super) fn span(span: Duration) -> String {
    match span.as_secs() {
        0 => format!("{} ms", span.as_millis()),
        1..=119 => format!("{:.1} s", span.as_secs_f64()),
        120..=7199 => format!("{} min", span.as_secs() / 60),
        _ => format!("{:.1} h", span.as_secs_f64() / 3600.0),
    }
}

/// A number of bytes as people write it.
pub(super) fn size(bytes: u32) -> String {
    let bytes = f64::from(bytes);
    const KIB: f64 = 1024.0;
    if bytes < KIB {
        format!("{bytes:.0} byte{}", if bytes == 1.0 { "" } else { "s" })
    } else if bytes < KIB * KIB {
        format!("{:.1} KiB", bytes / KIB)
    } else {
        format!("{:.1} MiB", bytes / KIB / KIB)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_sizes_read_as_people_write_them() {
        let spans =
            [5, 1_500, 119_900, 180_000, 10_800_000].map(|ms| span(Duration::from_millis(ms)));
        assert_eq!(spans, ["5 ms", "1.5 s", "119.9 s", "3 min", "3.0 h"]);
        assert_eq!(
            [1, 1_023, 1_024, 2_621_440].map(size),
            ["1 byte", "1023 bytes", "1.0 KiB", "2.5 MiB"]
        );
    }
}
