//! The second way to the socket tables: the texts of `/proc/net`, for a sandbox without netlink. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use super::row::{TcpRow, TcpState, UnixRow};

/// Reads `/proc/net/tcp` or `/proc/net/tcp6`; lines of another shape (the heading) are passed over.
pub(super) fn tcp(text: &str) -> impl Iterator<Item = TcpRow> {
    text.lines().filter_map(tcp_line)
}

/// Reads `/proc/net/unix`; lines of another shape (the heading) are passed over.
pub(super) fn unix(text: &str) -> impl Iterator<Item = UnixRow> {
    text.lines().filter_map(unix_line)
}

fn tcp_line(line: &str) -> Option<TcpRow> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (unsent, unread) = fields.get(4)?.split_once(':')?;
    Some(TcpRow {
        local: address(fields.get(1)?)?,
        peer: address(fields.get(2)?)?,
        state: TcpState::from_number(u8::from_str_radix(fields.get(3)?, 16).ok()?),
        unread: u32::from_str_radix(unread, 16).ok()?,
        unsent: u32::from_str_radix(unsent, 16).ok()?,
        uid: fields.get(7)?.parse().ok()?,
        inode: fields.get(9)?.parse().ok()?,
        only_v6: false,
        traffic: None,
    })
}

// The kernel prints each 32-bit word of an address as this machine reads it, and the port as a number.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let word = |at: usize| {
        Some(
            u32::from_str_radix(ip.get(at..at + 8)?, 16)
                .ok()?
                .to_ne_bytes(),
        )
    };
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut octets = [0; 16];
            for at in 0..4 {
                octets[at * 4..at * 4 + 4].copy_from_slice(&word(at * 8)?);
            }
            IpAddr::V6(Ipv6Addr::from(octets))
        }
        _ => return None,
    };
    Some(SocketAddr::new(
        ip.to_canonical(),
        u16::from_str_radix(port, 16).ok()?,
    ))
}

fn unix_line(line: &str) -> Option<UnixRow> {
    // A path may hold spaces; what stands before it does not, but is padded.
    let mut rest = line.trim_start();
    let mut next = || {
        let (field, after) = rest.split_once(' ').unwrap_or((rest, ""));
        rest = after.trim_start();
        field
    };
    let mut fields = [""; 7];
    fields.fill_with(&mut next);
    let [_, _, _, flags, _, _, inode] = fields;
    Some(UnixRow {
        inode: inode.parse().ok()?,
        listening: u32::from_str_radix(flags, 16).ok()? & SO_ACCEPTCON != 0,
        path: Some(rest)
            .filter(|path| !path.is_empty() && !path.starts_with('@'))
            .map(PathBuf::from),
        peer_inode: None,
        unread: None,
        unsent: None,
    })
}

const SO_ACCEPTCON: u32 = 1 << 16;

#[cfg(test)]
#[cfg(target_endian = "little")]
mod tests {
    use super::*;

    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
        \x20  0: 0100007F:1F90 00000000:0000 0A 00000000:00000003 00:00000000 00000000    33        0 1154 1 00000000cb339c71 100 0 0 10 0\n\
        \x20  1: 0100007F:1F90 0100007F:C822 01 002625A0:00000000 01:00000019 00000004     0        0 4711 2 0000000000000000 22 4 30 10 -1\n";
    const TCP6: &str = "   0: 0000000000000000FFFF00000100007F:1F90 00000000000000000000000001000000:C822 08 0:0 00:0 0 0 0 7 1 0\n";

    #[test]
    fn a_listener_and_a_connection_are_read_and_the_heading_is_not() {
        let rows: Vec<_> = tcp(TCP).collect();
        assert_eq!(rows.len(), 2);
        assert_eq!(
            (rows[0].state, rows[0].unread, rows[0].uid),
            (TcpState::Listen, 3, 33)
        );
        assert_eq!(rows[0].local.to_string(), "127.0.0.1:8080");
        assert_eq!(rows[1].peer.to_string(), "127.0.0.1:51234");
        assert_eq!((rows[1].unsent, rows[1].inode), (2_500_000, 4711));
    }

    #[test]
    fn ipv6_is_read_and_ipv4_in_its_clothes_is_undressed() {
        let row = tcp(TCP6).next().expect("a whole line");
        assert_eq!(
            (row.local.to_string().as_str(), row.state),
            ("127.0.0.1:8080", TcpState::CloseWait)
        );
        assert_eq!(row.peer.to_string(), "[::1]:51234");
    }

    #[test]
    fn unix_paths_keep_their_spaces() {
        let text = "Num       RefCount Protocol Flags    Type St Inode Path\n\
            0000000062f9c6c2: 00000003 00000000 00000000 0001 03  1150\n\
            00000000551182cd: 00000002 00000000 00010000 0001 01    27 /run/my origin.sock\n\
            00000000551182ce: 00000002 00000000 00010000 0001 01 28 @abstract\n";
        let rows: Vec<_> = unix(text).collect();
        assert_eq!(rows.len(), 3);
        assert_eq!(
            (rows[0].listening, &rows[0].path, rows[0].inode),
            (false, &None, 1150)
        );
        assert_eq!((rows[1].listening, rows[1].inode), (true, 27));
        assert_eq!(rows[1].path, Some(PathBuf::from("/run/my origin.sock")));
        assert_eq!(rows[2].path, None);
    }

    #[test]
    fn torn_lines_are_passed_over() {
        for cut in 0..TCP6.len() {
            let _ = (tcp(&TCP6[..cut]).count(), unix(&TCP6[..cut]).count());
        }
    }
}
