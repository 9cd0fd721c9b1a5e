//! The questions of the kernel's socket diagnosis (`sock_diag(7)`), as bytes. Pure.

use std::net::{IpAddr, SocketAddr};

/// Which IP family to ask about: the kernel keeps one table for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) const BOTH: [Self; 2] = [Self::V4, Self::V6];

    pub(super) fn of(addr: SocketAddr) -> Self {
        if addr.ip().to_canonical().is_ipv4() {
            Self::V4
        } else {
            Self::V6
        }
    }

    fn number(self) -> u8 {
        match self {
            Self::V4 => AF_INET,
            Self::V6 => AF_INET6,
        }
    }
}

/// Asks for every TCP socket of a family: only listeners, or only those on one local port, where wished.
pub(super) fn all_tcp(family: Family, only_listeners: bool, port: Option<u16>) -> Vec<u8> {
    // Asked for listeners alone, the kernel never walks its table of connections.
    let states = if only_listeners {
        1 << LISTEN
    } else {
        u32::MAX
    };
    let mut id = [0; 48];
    id[..2].copy_from_slice(&port.unwrap_or(0).to_be_bytes());
    message(
        NLM_F_REQUEST | NLM_F_DUMP,
        &tcp_request(family, 0, states, &id),
    )
}

/// Asks for the one TCP socket with these two addresses, and how its bytes moved. The kernel hashes straight to it.
pub(super) fn one_tcp(local: SocketAddr, peer: SocketAddr) -> Vec<u8> {
    let mut id = [0; 48];
    id[..2].copy_from_slice(&local.port().to_be_bytes());
    id[2..4].copy_from_slice(&peer.port().to_be_bytes());
    for (at, addr) in [(4, local), (20, peer)] {
        match addr.ip().to_canonical() {
            IpAddr::V4(ip) => id[at..at + 4].copy_from_slice(&ip.octets()),
            IpAddr::V6(ip) => id[at..at + 16].copy_from_slice(&ip.octets()),
        }
    }
    id[40..48].fill(0xff); // no cookie: any socket with these addresses will do
    message(
        NLM_F_REQUEST,
        &tcp_request(Family::of(local), 1 << (INET_DIAG_INFO - 1), u32::MAX, &id),
    )
}

/// Asks for every unix socket, or only for listeners.
pub(super) fn all_unix(only_listeners: bool) -> Vec<u8> {
    let states = if only_listeners {
        1u32 << LISTEN
    } else {
        u32::MAX
    };
    let mut request = vec![AF_UNIX, 0, 0, 0];
    request.extend(states.to_ne_bytes());
    request.extend(0u32.to_ne_bytes()); // any inode
    request.extend((UDIAG_SHOW_NAME | UDIAG_SHOW_PEER | UDIAG_SHOW_RQLEN).to_ne_bytes());
    request.extend([0; 8]);
    message(NLM_F_REQUEST | NLM_F_DUMP, &request)
}

// These stand in the answers too.
pub(super) const AF_UNIX: u8 = 1;
pub(super) const AF_INET: u8 = 2;
pub(super) const AF_INET6: u8 = 10;
pub(super) const LISTEN: u8 = 10;
pub(super) const SOCK_DIAG_BY_FAMILY: u16 = 20;
pub(super) const INET_DIAG_INFO: u16 = 2;

const IPPROTO_TCP: u8 = 6;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
const UDIAG_SHOW_NAME: u32 = 1;
const UDIAG_SHOW_PEER: u32 = 4;
const UDIAG_SHOW_RQLEN: u32 = 16;

/// One netlink message: a header before `request`.
pub(super) fn message(flags: u16, request: &[u8]) -> Vec<u8> {
    let len = 16 + request.len();
    let mut bytes = Vec::with_capacity(len);
    bytes.extend((len as u32).to_ne_bytes());
    bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend([0; 8]); // sequence and sender: one question a socket needs neither
    bytes.extend(request);
    bytes
}

fn tcp_request(family: Family, extensions: u8, states: u32, id: &[u8; 48]) -> Vec<u8> {
    let mut request = vec![family.number(), IPPROTO_TCP, extensions, 0];
    request.extend(states.to_ne_bytes());
    request.extend(id);
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_question_on_listeners_excludes_every_other_state() {
        let asked = all_tcp(Family::V4, true, Some(8080));
        assert_eq!(asked.len(), 16 + 56);
        assert_eq!(asked[..4], 72u32.to_ne_bytes());
        assert_eq!(asked[16..18], [AF_INET, IPPROTO_TCP]);
        assert_eq!(asked[20..24], (1u32 << LISTEN).to_ne_bytes());
        assert_eq!(asked[24..26], 8080u16.to_be_bytes());
    }

    #[test]
    fn a_question_on_one_connection_names_both_ends_and_undresses_mapped_ipv4() {
        let plain = one_tcp(addr("127.0.0.1:80"), addr("127.0.0.2:5000"));
        assert_eq!(plain[24..28], [0, 80, 0x13, 0x88]);
        assert_eq!(
            (&plain[28..32], &plain[44..48]),
            (&[127, 0, 0, 1][..], &[127, 0, 0, 2][..])
        );
        let mapped = one_tcp(
            addr("[::ffff:127.0.0.1]:80"),
            addr("[::ffff:127.0.0.2]:5000"),
        );
        assert_eq!(plain, mapped);
        assert_eq!(one_tcp(addr("[::1]:80"), addr("[::1]:5000"))[16], AF_INET6);
    }
}
