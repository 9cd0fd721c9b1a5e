//! Whether a client floods an HTTP/2 connection with frames that carry nothing, or with streams it gives up at
//! once. Pure. hyper and h2 end neither SETTINGS, PING, PRIORITY, WINDOW_UPDATE nor unknown frames (measured: a
//! core at 20 to 90 %), and count only those resets that come before they have looked at the stream.

use std::time::{Duration, Instant};

use super::frames::Kind;

/// The account of one connection.
#[derive(Debug)]
pub struct Account {
    limits: Limits,
    /// Control frames that may still come at once.
    left: f64,
    resets: u32,
    resets_since: Instant,
    at: Instant,
}

/// What a connection may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Control frames at once, beyond those that the traffic explains.
    pub control_frames: u32,
    /// Streams given up in 10 s.
    pub resets: u32,
}

/// What a client floods us with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flood {
    /// Frames that carry no request and no body.
    Control,
    /// Streams given up as soon as they were begun.
    Resets,
}

/// Resets are counted over this long.
const WINDOW: Duration = Duration::from_secs(10);
/// So many control frames a second are always good manners.
const RATE: f64 = 50.0;
/// A client acknowledges what it takes: one WINDOW_UPDATE for the stream and one for the connection, for as little
/// as this.
const BYTES_A_FRAME: f64 = 1024.0;
/// Reasons to give up a stream that are its client's fault (RFC 9113, section 7). STREAM_CLOSED is not among them: an
/// honest client is told so of what was on its way when we gave up the stream, and no work is lost by it.
const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;

impl Account {
    /// Opened at `now`.
    pub fn open(limits: Limits, now: Instant) -> Self {
        Self {
            left: f64::from(limits.control_frames),
            limits,
            resets: 0,
            resets_since: now,
            at: now,
        }
    }

    /// The client was sent so many bytes, which it may acknowledge.
    pub fn sent(&mut self, bytes: usize) {
        self.credit(bytes as f64 / BYTES_A_FRAME);
    }

    /// The client has sent a frame. A flood is told once it is one.
    pub fn seen(&mut self, kind: Kind, now: Instant) -> Option<Flood> {
        match kind {
            // A request may come with a PRIORITY, a body with empty frames.
            Kind::Headers | Kind::Data(_) => {
                self.credit(2.0);
                None
            }
            Kind::Reset(_) => self.gives_up(now),
            Kind::Control => {
                let passed = now.saturating_duration_since(self.at).as_secs_f64();
                self.at = now;
                self.credit(passed * RATE);
                self.left -= 1.0;
                (self.left < 0.0).then_some(Flood::Control)
            }
        }
    }

    /// We have given up one of the client's streams, for this reason. Where that is the client's fault, it counts as
    /// if the client had given it up: a flood may as well make us do it (CVE-2025-8671).
    pub fn gave_up(&mut self, reason: u32, now: Instant) -> Option<Flood> {
        match reason {
            PROTOCOL_ERROR | FLOW_CONTROL_ERROR => self.gives_up(now),
            _ => None,
        }
    }

    fn gives_up(&mut self, now: Instant) -> Option<Flood> {
        if now.saturating_duration_since(self.resets_since) > WINDOW {
            self.resets = 0;
            self.resets_since = now;
        }
        self.resets += 1;
        (self.resets > self.limits.resets).then_some(Flood::Resets)
    }

    fn credit(&mut self, frames: f64) {
        self.left = (self.left + frames).min(f64::from(self.limits.control_frames));
    }
}

impl Flood {
    /// The limit it broke, for the log and for the client.
    pub fn key(self) -> &'static str {
        match self {
            Self::Control => "edge.limits.control_frames",
            Self::Resets => "edge.limits.resets",
        }
    }

    /// The GOAWAY that names the reason: ENHANCE_YOUR_CALM (RFC 9113, section 7), with the key as debug data.
    pub fn goaway(self) -> Vec<u8> {
        const ENHANCE_YOUR_CALM: u32 = 0xb;
        const GOAWAY: u8 = 7;
        let key = self.key().as_bytes();
        let length = 8 + key.len() as u32;
        let mut frame = length.to_be_bytes()[1..].to_vec();
        frame.extend([GOAWAY, 0, 0, 0, 0, 0]);
        // Every stream we have begun to serve may have been acted on.
        frame.extend(0x7fff_ffff_u32.to_be_bytes());
        frame.extend(ENHANCE_YOUR_CALM.to_be_bytes());
        frame.extend(key);
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        control_frames: 1000,
        resets: 100,
    };

    #[test]
    fn a_thousand_pings_at_once_are_a_flood_and_a_few_for_ever_are_not() {
        let begun = Instant::now();
        let mut account = Account::open(LIMITS, begun);
        let first = (0..5000).position(|_| account.seen(Kind::Control, begun).is_some());
        assert_eq!(first, Some(1000));
        let mut account = Account::open(LIMITS, begun);
        for n in 0..100_000_u32 {
            let now = begun + Duration::from_millis(25) * n;
            assert_eq!(account.seen(Kind::Control, now), None);
        }
    }

    #[test]
    fn who_takes_a_lot_may_acknowledge_a_lot() {
        let begun = Instant::now();
        let mut account = Account::open(LIMITS, begun);
        for _ in 0..100_000 {
            account.sent(16 << 10);
            for _ in 0..4 {
                assert_eq!(account.seen(Kind::Control, begun), None);
            }
        }
    }

    #[test]
    fn streams_given_up_are_counted_over_ten_seconds() {
        let begun = Instant::now();
        let mut account = Account::open(LIMITS, begun);
        let flood = (0..200).position(|_| account.seen(Kind::Reset(8), begun).is_some());
        assert_eq!(flood, Some(100));
        let mut account = Account::open(LIMITS, begun);
        for n in 0..1000_u32 {
            let now = begun + Duration::from_millis(200) * n;
            assert_eq!(account.seen(Kind::Reset(8), now), None);
        }
    }

    #[test]
    fn streams_the_client_makes_us_give_up_count_as_its_own_and_others_do_not() {
        let begun = Instant::now();
        let mut account = Account::open(LIMITS, begun);
        for reason in [0, 2, 5, 7, 8] {
            for _ in 0..200 {
                assert_eq!(account.gave_up(reason, begun), None);
            }
        }
        for _ in 0..50 {
            assert_eq!(account.gave_up(PROTOCOL_ERROR, begun), None);
            assert_eq!(account.seen(Kind::Reset(8), begun), None);
        }
        let flood = account.gave_up(FLOW_CONTROL_ERROR, begun);
        assert_eq!(flood, Some(Flood::Resets));
    }

    #[test]
    fn the_goaway_names_the_limit() {
        let frame = Flood::Resets.goaway();
        assert_eq!(frame[..4], [0, 0, 8 + 18, 7]);
        assert_eq!(frame[13..17], [0, 0, 0, 0xb]);
        assert_eq!(&frame[17..], b"edge.limits.resets");
    }
}
