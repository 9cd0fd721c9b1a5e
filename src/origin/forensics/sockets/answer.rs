//! The answers of the kernel's socket diagnosis (`sock_diag(7)`), from bytes. Pure.

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use super::question::{AF_INET, AF_INET6, INET_DIAG_INFO, LISTEN, SOCK_DIAG_BY_FAMILY};
use super::row::{TcpRow, TcpState, Traffic, UnixRow};

/// One message of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer<'a> {
    /// A socket; read it with [`tcp`] or [`unix`].
    Row(&'a [u8]),
    /// The end of the table.
    Done,
    /// The kernel's refusal, as an error number.
    Refused(i32),
}

/// Splits what one receive brought into messages; stops at the first that is torn.
pub(super) fn answers(mut bytes: &[u8]) -> impl Iterator<Item = Answer<'_>> {
    std::iter::from_fn(move || {
        loop {
            let len = u32_at(bytes, 0)? as usize;
            let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
            let payload = bytes.get(16..len)?;
            bytes = bytes.get(aligned(len)..).unwrap_or_default();
            match kind {
                SOCK_DIAG_BY_FAMILY => return Some(Answer::Row(payload)),
                NLMSG_DONE => return Some(Answer::Done),
                NLMSG_ERROR => {
                    return Some(Answer::Refused(
                        u32_at(payload, 0)?.cast_signed().wrapping_neg(),
                    ));
                }
                _ => {}
            }
        }
    })
}

/// Reads a row of a TCP table (`struct inet_diag_msg` and its attributes).
pub(super) fn tcp(row: &[u8]) -> Option<TcpRow> {
    let fixed = row.get(..72)?;
    let port = |at: usize| Some(u16::from_be_bytes(fixed.get(at..at + 2)?.try_into().ok()?));
    let ip = |at: usize| match fixed[0] {
        AF_INET => Some(IpAddr::V4(Ipv4Addr::from(
            <[u8; 4]>::try_from(fixed.get(at..at + 4)?).ok()?,
        ))),
        AF_INET6 => Some(IpAddr::V6(Ipv6Addr::from(
            <[u8; 16]>::try_from(fixed.get(at..at + 16)?).ok()?,
        ))),
        _ => None,
    };
    let mut read = TcpRow {
        local: SocketAddr::new(ip(8)?.to_canonical(), port(4)?),
        peer: SocketAddr::new(ip(24)?.to_canonical(), port(6)?),
        state: TcpState::from_number(fixed[1]),
        unread: u32_at(fixed, 56)?,
        unsent: u32_at(fixed, 60)?,
        uid: u32_at(fixed, 64)?,
        inode: u64::from(u32_at(fixed, 68)?),
        only_v6: false,
        traffic: None,
    };
    for (kind, value) in attributes(&row[72..]) {
        match kind {
            INET_DIAG_INFO => read.traffic = traffic(value),
            INET_DIAG_SKV6ONLY => read.only_v6 = value.first() == Some(&1),
            _ => {}
        }
    }
    Some(read)
}

/// Reads a row of the unix table (`struct unix_diag_msg` and its attributes).
pub(super) fn unix(row: &[u8]) -> Option<UnixRow> {
    let fixed = row.get(..16)?;
    let mut read = UnixRow {
        path: None,
        inode: u64::from(u32_at(fixed, 4)?),
        peer_inode: None,
        listening: fixed[2] == LISTEN,
        unread: None,
        unsent: None,
    };
    for (kind, value) in attributes(&row[16..]) {
        match kind {
            // An abstract name begins with a zero byte and is no path.
            UNIX_DIAG_NAME if value.first().is_some_and(|&byte| byte != 0) => {
                let end = value
                    .iter()
                    .position(|&byte| byte == 0)
                    .unwrap_or(value.len());
                read.path = Some(PathBuf::from(OsStr::from_bytes(&value[..end])));
            }
            UNIX_DIAG_PEER => {
                read.peer_inode = u32_at(value, 0).map(u64::from).filter(|&inode| inode != 0)
            }
            UNIX_DIAG_RQLEN => (read.unread, read.unsent) = (u32_at(value, 0), u32_at(value, 4)),
            _ => {}
        }
    }
    Some(read)
}

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const INET_DIAG_SKV6ONLY: u16 = 11;
const UNIX_DIAG_NAME: u16 = 0;
const UNIX_DIAG_PEER: u16 = 2;
const UNIX_DIAG_RQLEN: u16 = 4;

// struct tcp_info only ever grows at its end; a short one is of an older kernel.
fn traffic(info: &[u8]) -> Option<Traffic> {
    let millis = |at| u32_at(info, at).map(|ms| Duration::from_millis(u64::from(ms)));
    let wide = |at: usize| Some(u64::from_ne_bytes(info.get(at..at + 8)?.try_into().ok()?));
    Some(Traffic {
        retransmits: *info.get(2)?,
        probes: *info.get(3)?,
        last_sent: millis(44)?,
        last_received: millis(52)?,
        acknowledged: wide(120)?,
        received: wide(128)?,
    })
}

fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let len = usize::from(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?);
        let value = bytes.get(4..len)?;
        bytes = bytes.get(aligned(len)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn aligned(len: usize) -> usize {
    len.next_multiple_of(4)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::question::{AF_UNIX, message};
    use super::*;

    fn netlink(kind: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = message(0, payload);
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes
    }

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = ((value.len() + 4) as u16).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(aligned(bytes.len()), 0);
        bytes
    }

    fn tcp_bytes(family: u8, state: u8) -> Vec<u8> {
        let mut bytes = vec![family, state, 0, 0];
        bytes.extend(8080u16.to_be_bytes());
        bytes.extend(51234u16.to_be_bytes());
        let mut ip = [0; 16];
        match family {
            AF_INET => ip[..4].copy_from_slice(&[127, 0, 0, 1]),
            _ => ip = Ipv4Addr::new(127, 0, 0, 1).to_ipv6_mapped().octets(),
        }
        bytes.extend(ip);
        bytes.extend(ip);
        bytes.extend([0; 16]); // interface, cookie, expiry
        for number in [3u32, 2_500_000, 33, 4711] {
            bytes.extend(number.to_ne_bytes());
        }
        bytes
    }

    #[test]
    fn a_tcp_row_is_read_in_both_families_and_shown_as_ipv4() {
        for family in [AF_INET, AF_INET6] {
            let read = tcp(&tcp_bytes(family, 1)).expect("a whole row");
            assert_eq!(read.local.to_string(), "127.0.0.1:8080");
            assert_eq!(read.peer.to_string(), "127.0.0.1:51234");
            assert_eq!(
                (read.unread, read.unsent, read.uid, read.inode),
                (3, 2_500_000, 33, 4711)
            );
            assert_eq!(read.state, TcpState::Established);
        }
    }

    #[test]
    fn attributes_add_traffic_and_the_v6_only_mark() {
        let mut info = [0u8; 232];
        info[2] = 7;
        info[52..56].copy_from_slice(&29_100u32.to_ne_bytes());
        info[128..136].copy_from_slice(&512u64.to_ne_bytes());
        let mut row = tcp_bytes(AF_INET6, 10);
        row.extend(attribute(INET_DIAG_SKV6ONLY, &[1]));
        row.extend(attribute(99, &[1, 2, 3]));
        row.extend(attribute(INET_DIAG_INFO, &info));
        let read = tcp(&row).expect("a whole row");
        let traffic = read.traffic.expect("the info was there");
        assert!(read.only_v6);
        assert_eq!((traffic.received, traffic.retransmits), (512, 7));
        assert_eq!(traffic.last_received, Duration::from_millis(29_100));
    }

    #[test]
    fn a_unix_listener_tells_its_path_and_queue() {
        let mut row = vec![AF_UNIX, 1, LISTEN, 0];
        row.extend(815u32.to_ne_bytes());
        row.extend([0; 8]);
        row.extend(attribute(UNIX_DIAG_NAME, b"/run/origin.sock\0"));
        row.extend(attribute(
            UNIX_DIAG_RQLEN,
            &[3u32.to_ne_bytes(), 128u32.to_ne_bytes()].concat(),
        ));
        let read = unix(&row).expect("a whole row");
        assert_eq!(read.path, Some(PathBuf::from("/run/origin.sock")));
        assert_eq!(
            (read.inode, read.listening, read.unread, read.unsent),
            (815, true, Some(3), Some(128))
        );
    }

    #[test]
    fn an_abstract_name_is_no_path() {
        let mut row = vec![AF_UNIX, 1, 1, 0];
        row.extend([0; 12]);
        row.extend(attribute(UNIX_DIAG_NAME, b"\0hidden"));
        assert_eq!(unix(&row).expect("a whole row").path, None);
    }

    #[test]
    fn an_answer_is_split_into_rows_and_an_end() {
        let mut bytes = netlink(SOCK_DIAG_BY_FAMILY, b"row1");
        bytes.extend(netlink(1, b"noop"));
        bytes.extend(netlink(SOCK_DIAG_BY_FAMILY, b"row2"));
        bytes.extend(netlink(NLMSG_DONE, &[0; 4]));
        let read: Vec<_> = answers(&bytes).collect();
        assert_eq!(
            read,
            [Answer::Row(b"row1"), Answer::Row(b"row2"), Answer::Done]
        );
        let refused = netlink(NLMSG_ERROR, &(-2i32).to_ne_bytes());
        assert_eq!(answers(&refused).next(), Some(Answer::Refused(2)));
    }

    #[test]
    fn torn_bytes_end_the_reading_and_never_panic() {
        let mut row = tcp_bytes(AF_INET, 1);
        row.extend(attribute(INET_DIAG_INFO, &[0; 136]));
        let whole = netlink(SOCK_DIAG_BY_FAMILY, &row);
        for cut in 0..whole.len() {
            assert_eq!(answers(&whole[..cut]).count(), 0);
        }
        for cut in 0..row.len() {
            let _ = (tcp(&row[..cut]), unix(&row[..cut]));
        }
        // A length of nothing must not turn in a circle.
        assert_eq!(answers(&[0; 64]).count(), 0);
        assert_eq!(attributes(&[0; 64]).count(), 0);
    }
}
