//! One row of a socket table, in words.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

/// A socket as the kernel's tables show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SocketRow {
    /// A TCP socket.
    Tcp(TcpRow),
    /// A unix socket.
    Unix(UnixRow),
}

/// One TCP socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TcpRow {
    /// The address of its own end. IPv4 in IPv6 clothes is shown as IPv4.
    pub local: SocketAddr,
    /// The address of the other end; port 0 on a listener.
    pub peer: SocketAddr,
    /// Where the connection stands.
    pub state: TcpState,
    /// Bytes the peer sent and the process has not read. On a listener: connections waiting to be accepted.
    pub unread: u32,
    /// Bytes the process wrote and the peer has not acknowledged. On a listener: the most that may wait, or 0 where
    /// only `/proc/net` could be read, which does not say.
    pub unsent: u32,
    /// The number that ties it to a descriptor; 0 while it waits to be accepted, and after its close.
    pub inode: u64,
    /// The user it belongs to.
    pub uid: u32,
    /// On a listener on `[::]`: it takes no IPv4.
    pub only_v6: bool,
    /// How bytes moved so far, where it was asked for.
    pub traffic: Option<Traffic>,
}

impl TcpRow {
    /// Whether this is a listener that would take a connection to `wanted`.
    pub fn takes(&self, wanted: SocketAddr) -> bool {
        let local = self.local.ip();
        let by_wildcard = match (local, wanted.ip()) {
            (IpAddr::V4(any), IpAddr::V4(_)) => any.is_unspecified(),
            (IpAddr::V6(any), IpAddr::V6(_)) => any.is_unspecified(),
            (IpAddr::V6(any), IpAddr::V4(_)) => any.is_unspecified() && !self.only_v6,
            (IpAddr::V4(_), IpAddr::V6(_)) => false,
        };
        self.state == TcpState::Listen
            && self.local.port() == wanted.port()
            && (by_wildcard || local == wanted.ip().to_canonical())
    }

    /// Whether the process has provably read nothing of what the peer sent: the connection still waits to be
    /// accepted, or every byte that ever arrived still lies unread. `None` where `traffic` was not asked for.
    pub fn untouched(&self) -> Option<bool> {
        let open = matches!(
            self.state,
            TcpState::Established | TcpState::CloseWait | TcpState::SynRecv
        );
        // After a close the inode is 0 too, but then the state is past these three.
        if open && self.inode == 0 {
            return Some(true);
        }
        self.traffic
            .as_ref()
            .map(|traffic| open && u64::from(self.unread) == traffic.received)
    }
}

/// How bytes moved over a connection so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// Bytes the peer sent, read or not (its FIN counts as one).
    pub received: u64,
    /// Bytes the peer has acknowledged.
    pub acknowledged: u64,
    /// How long ago the peer's last data arrived. Before the first data: since the connection began.
    #[serde(
        rename = "last_received_seconds",
        serialize_with = "crate::origin::forensics::seen::seconds"
    )]
    pub last_received: Duration,
    /// How long ago data was last sent.
    #[serde(
        rename = "last_sent_seconds",
        serialize_with = "crate::origin::forensics::seen::seconds"
    )]
    pub last_sent: Duration,
    /// Retransmissions under way without an answer: above 0, the peer or the path to it is silent.
    pub retransmits: u8,
    /// Unanswered probes of a peer that keeps its window shut or its side idle.
    pub probes: u8,
}

/// One unix socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnixRow {
    /// The path it is bound to, as it was given; `None` for a nameless or an abstract one.
    pub path: Option<PathBuf>,
    /// The socket's own number.
    pub inode: u64,
    /// The number of the socket at the other end, where it has one.
    pub peer_inode: Option<u64>,
    /// Whether it takes connections.
    pub listening: bool,
    /// Bytes not yet read. On a listener: connections waiting to be accepted. `None` where only `/proc/net` could
    /// be read, which does not say.
    pub unread: Option<u32>,
    /// Bytes sent and not yet read by the other end. On a listener: the most that may wait. `None` as above.
    pub unsent: Option<u32>,
}

/// Where a TCP connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs)] // RFC 9293 explains them better than a line could.
pub enum TcpState {
    Established,
    SynSent,
    SynRecv,
    FinWait1,
    FinWait2,
    TimeWait,
    Close,
    CloseWait,
    LastAck,
    Listen,
    Closing,
    NewSynRecv,
    Unknown,
}

impl TcpState {
    /// The state the kernel numbers `number`.
    pub(super) fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Established,
            2 => Self::SynSent,
            3 => Self::SynRecv,
            4 => Self::FinWait1,
            5 => Self::FinWait2,
            6 => Self::TimeWait,
            7 => Self::Close,
            8 => Self::CloseWait,
            9 => Self::LastAck,
            10 => Self::Listen,
            11 => Self::Closing,
            12 => Self::NewSynRecv,
            _ => Self::Unknown,
        }
    }
}

impl fmt::Display for TcpState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Established => "ESTABLISHED",
            Self::SynSent => "SYN_SENT",
            Self::SynRecv => "SYN_RECV",
            Self::FinWait1 => "FIN_WAIT1",
            Self::FinWait2 => "FIN_WAIT2",
            Self::TimeWait => "TIME_WAIT",
            Self::Close => "CLOSE",
            Self::CloseWait => "CLOSE_WAIT",
            Self::LastAck => "LAST_ACK",
            Self::Listen => "LISTEN",
            Self::Closing => "CLOSING",
            Self::NewSynRecv => "NEW_SYN_RECV",
            Self::Unknown => "in an unknown state",
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn row(local: &str, peer: &str, state: TcpState) -> TcpRow {
        TcpRow {
            local: local.parse().expect("an address"),
            peer: peer.parse().expect("an address"),
            state,
            unread: 0,
            unsent: 0,
            inode: 4711,
            uid: 0,
            only_v6: false,
            traffic: None,
        }
    }

    fn listens(local: &str, wanted: &str) -> bool {
        row(local, "0.0.0.0:0", TcpState::Listen).takes(wanted.parse().expect("an address"))
    }

    #[test]
    fn a_listener_takes_its_own_address_and_a_wildcard_takes_all_of_its_kind() {
        assert!(listens("127.0.0.1:80", "127.0.0.1:80"));
        assert!(listens("0.0.0.0:80", "127.0.0.1:80"));
        assert!(listens("[::]:80", "127.0.0.1:80"));
        assert!(listens("[::]:80", "[::1]:80"));
        assert!(listens("127.0.0.1:80", "[::ffff:127.0.0.1]:80"));
        assert!(!listens("127.0.0.1:81", "127.0.0.1:80"));
        assert!(!listens("127.0.0.2:80", "127.0.0.1:80"));
        assert!(!listens("0.0.0.0:80", "[::1]:80"));
    }

    #[test]
    fn a_listener_for_ipv6_alone_takes_no_ipv4() {
        let mut listener = row("[::]:80", "[::]:0", TcpState::Listen);
        listener.only_v6 = true;
        assert!(!listener.takes("127.0.0.1:80".parse().expect("an address")));
        assert!(listener.takes("[::1]:80".parse().expect("an address")));
    }

    #[test]
    fn untouched_is_claimed_only_with_proof() {
        let traffic = |received| {
            Some(Traffic {
                received,
                acknowledged: 1,
                last_received: Duration::ZERO,
                last_sent: Duration::ZERO,
                retransmits: 0,
                probes: 0,
            })
        };
        let mut row = row("127.0.0.1:80", "127.0.0.1:5000", TcpState::Established);
        assert_eq!(row.untouched(), None, "nobody asked how many bytes came");
        (row.unread, row.traffic) = (100, traffic(100));
        assert_eq!(row.untouched(), Some(true));
        row.traffic = traffic(101);
        assert_eq!(row.untouched(), Some(false), "one byte was read");
        row.inode = 0;
        assert_eq!(row.untouched(), Some(true), "not accepted yet");
        row.state = TcpState::FinWait2;
        assert_eq!(row.untouched(), Some(false), "accepted, read and closed");
    }
}
