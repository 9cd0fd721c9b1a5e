//! Whether a client that takes nothing has vanished, or is there and has stopped reading. Pure.

use std::time::Duration;

use crate::ground::sys::TcpInfo;

/// What became of a client that took nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// It answers nothing any more: a pulled cable, a dead battery.
    Vanished {
        /// Since it was last heard.
        silence: Duration,
    },
    /// It is there, and does not read.
    StoppedReading,
}

/// What a client has said of its side of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// It may say more.
    Open,
    /// It says no more, and may still listen.
    HalfClosed,
    /// It is gone: it has reset the connection.
    Gone,
}

/// The numbers of the kernel's states (net/tcp_states.h).
const CLOSE: u8 = 7;
const CLOSE_WAIT: u8 = 8;
/// A closing record of TLS, and the end itself.
const GOODBYE: u32 = 2;
/// A living peer acknowledges within this, or answers a window probe; they come ever more slowly, but the
/// retransmissions of a dead one have begun by then.
const ALIVE: Duration = Duration::from_secs(3);

/// What the kernel's account of the connection means. Measured: a vanished peer leaves data unacknowledged,
/// sent again and again; a living one with a shut window has acknowledged all it got, and answers probes.
pub fn judge(info: &TcpInfo) -> Peer {
    let is_unheard = info.unacked > 0 && info.retransmits > 0;
    let is_unanswered = info.probes > 1 && info.last_heard > ALIVE;
    match is_unheard || is_unanswered {
        true => Peer::Vanished {
            silence: info.last_heard,
        },
        false => Peer::StoppedReading,
    }
}

/// What it has said of its side.
pub fn side(info: &TcpInfo) -> Side {
    match info.state {
        CLOSE => Side::Gone,
        CLOSE_WAIT => Side::HalfClosed,
        _ => Side::Open,
    }
}

/// Whether it has everything that was for it, the goodbye excepted.
pub fn has_all(info: &TcpInfo) -> bool {
    info.unsent == 0 && info.unacked <= GOODBYE
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Vanished { silence } => {
                write!(
                    f,
                    "vanished: nothing heard for {:.1} s",
                    silence.as_secs_f64()
                )
            }
            Self::StoppedReading => f.write_str("stopped reading: it is there, and takes nothing"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(unacked: u32, retransmits: u8, probes: u8, heard: u64) -> TcpInfo {
        TcpInfo {
            state: 1,
            unacked,
            unsent: 0,
            retransmits,
            probes,
            last_heard: Duration::from_millis(heard),
            last_sent: Duration::ZERO,
            acked: 0,
        }
    }

    #[test]
    fn who_leaves_data_unacknowledged_has_vanished() {
        let vanished = Peer::Vanished {
            silence: Duration::from_millis(12_300),
        };
        assert_eq!(judge(&info(10, 5, 0, 12_300)), vanished);
        assert!(vanished.to_string().contains("12.3 s"));
    }

    #[test]
    fn who_sends_no_more_may_listen_and_who_has_reset_is_gone() {
        let of = |state| TcpInfo {
            state,
            ..info(0, 0, 0, 0)
        };
        let sides = [1, 8, 7].map(|state| side(&of(state)));
        assert_eq!(sides, [Side::Open, Side::HalfClosed, Side::Gone]);
    }

    #[test]
    fn who_owes_only_the_goodbye_has_all() {
        assert!(has_all(&info(2, 0, 0, 0)));
        assert!(!has_all(&info(3, 0, 0, 0)));
        let unsent = TcpInfo {
            unsent: 1,
            ..info(0, 0, 0, 0)
        };
        assert!(!has_all(&unsent));
    }

    #[test]
    fn who_answers_probes_has_stopped_reading() {
        assert_eq!(judge(&info(0, 0, 1, 132)), Peer::StoppedReading);
        assert_eq!(judge(&info(0, 0, 0, 25_000)), Peer::StoppedReading);
    }

    #[test]
    fn who_answers_no_probe_has_vanished() {
        let silence = Duration::from_secs(20);
        assert_eq!(judge(&info(0, 0, 4, 20_000)), Peer::Vanished { silence });
    }
}
