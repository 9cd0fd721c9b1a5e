//! What stands behind a descriptor of the process.

use std::fs;
use std::io;
use std::path::PathBuf;

use serde::Serialize;

use super::seen::Seen;
use super::sockets::{SocketRow, Table, connection};
use crate::origin::pid::Pid;

/// A descriptor and what stands behind it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Descriptor {
    /// Its number.
    pub number: u32,
    /// What it refers to.
    pub link: Seen<Link>,
    /// Its row in the socket tables, where it is a socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket: Option<Seen<SocketRow>>,
}

/// What `/proc/PID/fd/N` points to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// A file, a directory or a device.
    File {
        /// Where it is, or was: ` (deleted)` at the end says so.
        path: PathBuf,
    },
    /// A pipe; both ends show the same number.
    Pipe {
        /// Its number.
        inode: u64,
    },
    /// A socket of any family.
    Socket {
        /// Its number, by which the socket tables know it.
        inode: u64,
    },
    /// A thing without a name in any directory: `eventpoll`, `eventfd`, `timerfd`, `inotify` and the like.
    Anon {
        /// What it is.
        name: String,
    },
}

/// Reads the text of a link. Pure.
pub fn link(text: &str) -> Link {
    let numbered = |kind: &str| text.strip_prefix(kind)?.strip_suffix(']')?.parse().ok();
    if let Some(inode) = numbered("pipe:[") {
        Link::Pipe { inode }
    } else if let Some(inode) = numbered("socket:[") {
        Link::Socket { inode }
    } else if let Some(name) = text.strip_prefix("anon_inode:") {
        Link::Anon {
            name: name.trim_matches(['[', ']']).to_owned(),
        }
    } else {
        Link::File {
            path: PathBuf::from(text),
        }
    }
}

/// Looks up descriptor `number` of thread `tid`, and its socket in `table`.
pub(super) fn descriptor(pid: Pid, tid: Pid, number: u32, table: &Seen<Table>) -> Descriptor {
    // By the thread, not the process: the process's own directory is empty once its first thread has ended.
    let path = format!("/proc/{pid}/task/{tid}/fd/{number}");
    let link =
        Seen::from_io(fs::read_link(&path), &path).map(|target| link(&target.to_string_lossy()));
    let socket = match link {
        Seen::Known(Link::Socket { inode }) => Some(
            table
                .part(|table| table.row(inode).cloned())
                .and_then(|row| {
                    Seen::from_option(row, || {
                format!("socket {inode} is neither TCP nor unix, or of another network namespace")
            })
            .map(with_traffic)
                }),
        ),
        _ => None,
    };
    Descriptor {
        number,
        link,
        socket,
    }
}

/// Every descriptor of the process with its link, at most [`MOST_LINKS`]; one closed meanwhile is left out.
pub fn links(pid: Pid) -> Seen<Vec<(u32, Link)>> {
    let path = format!("/proc/{pid}/fd");
    Seen::from_io(fs::read_dir(&path), &path).and_then(|entries| {
        let mut links = Vec::new();
        for entry in entries.flatten().take(MOST_LINKS) {
            let number = entry.file_name().to_str().and_then(|it| it.parse().ok());
            match (number, fs::read_link(entry.path())) {
                (Some(number), Ok(target)) => links.push((number, link(&target.to_string_lossy()))),
                // CAP_DAC_READ_SEARCH alone lists the names and opens none: that is not a process without sockets.
                (_, Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => {
                    return Seen::from_io(Err(error), &path);
                }
                _ => {}
            }
        }
        Seen::Known(links)
    })
}

// The table is read without it: the kernel would gather it for every socket of the host.
fn with_traffic(row: SocketRow) -> SocketRow {
    match row {
        SocketRow::Tcp(row) => {
            let fresh = connection(row.local, row.peer).known().cloned().flatten();
            SocketRow::Tcp(
                fresh
                    .filter(|fresh| fresh.inode == row.inode)
                    .unwrap_or(row),
            )
        }
        unix @ SocketRow::Unix(_) => unix,
    }
}

/// How many descriptors of a process are looked at. At about 2 µs each, some 30 ms.
pub(super) const MOST_LINKS: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_link_is_told_apart() {
        assert_eq!(link("pipe:[1234]"), Link::Pipe { inode: 1234 });
        assert_eq!(link("socket:[4711]"), Link::Socket { inode: 4711 });
        assert_eq!(
            link("anon_inode:[eventpoll]"),
            Link::Anon {
                name: "eventpoll".into()
            }
        );
        assert_eq!(
            link("anon_inode:inotify"),
            Link::Anon {
                name: "inotify".into()
            }
        );
        assert_eq!(
            link("/tmp/x (deleted)"),
            Link::File {
                path: "/tmp/x (deleted)".into()
            }
        );
        assert_eq!(
            link("/tmp/socket:[1]"),
            Link::File {
                path: "/tmp/socket:[1]".into()
            }
        );
        assert_eq!(
            link("socket:[x]"),
            Link::File {
                path: "socket:[x]".into()
            }
        );
    }

    #[test]
    fn our_own_descriptors_are_listed() {
        let (read, write) = std::io::pipe().expect("a pipe");
        let seen = links(Pid::own().expect("a number"))
            .known()
            .cloned()
            .expect("our own");
        let pipes = |fd: i32| {
            seen.iter().find_map(|(number, link)| match link {
                Link::Pipe { inode } if i64::from(*number) == i64::from(fd) => Some(*inode),
                _ => None,
            })
        };
        use std::os::fd::AsRawFd;
        assert!(pipes(read.as_raw_fd()).is_some());
        assert_eq!(pipes(read.as_raw_fd()), pipes(write.as_raw_fd()));
    }
}
