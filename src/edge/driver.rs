//! Drives one connection to its end: one timer for every deadline of its client's, and the bounds that hold though
//! nobody else keeps them.

use std::future::Future;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::{Pin, pin};
use std::time::{Duration, Instant};

use super::connection::Edge;
use super::flow::{End, Flow};
use super::judge::{Footing, NOTICE, Overdue, Quiet};
use super::peer::{self, Side};
use super::stream::Streams;
use crate::ground::addr::ClientAddr;
use crate::ground::deadline::{self, Deadline};
use crate::ground::drain::Drain;
use crate::ground::failure::Phase;
use crate::ground::ledger::{Class, Count, Tally};
use crate::ground::sys;

/// Who sees to it that a connection ends.
pub struct Driver<'a, H> {
    edge: &'a Edge<H>,
    flow: &'a Flow,
    streams: &'a Streams,
    client: ClientAddr,
    drain: Drain,
    /// When it is old.
    age: Option<Deadline>,
    /// Its socket, where nobody reads from it while a request is under way.
    unread: Option<OwnedFd>,
    ending: Option<Ending>,
    quiet: Quiet,
    /// For how long, in all, the client's kernel had taken nothing at the last look.
    blocked: Duration,
}

/// A connection that was told to end.
#[derive(Clone, Copy)]
struct Ending {
    told: Instant,
    /// Even if it is busy.
    by: Deadline,
    heard: Heard,
}

/// Whether hyper knows that a connection is to end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Heard {
    Yes,
    /// It would close one that has asked nothing at once, on a client who is about to ask. So it hears when that has, and one
    /// that does not is over with the notice.
    WhenAsked,
}

/// What a look at a connection leads to.
enum Next {
    GoOn,
    /// It is told to finish what is in flight and take nothing new.
    Finish(Deadline),
    /// Its client is told that the head came too late.
    SayLate,
    /// It ends now.
    End(End),
}

/// An idle connection is given this long when there is little room left.
const CROWDED: Duration = Duration::from_secs(5);
/// To say that a head came too late, and to hear the client out: a lingering close, and a little.
const FAREWELL: Duration = Duration::from_secs(3);
/// A socket that nobody reads is looked at this often.
const UNREAD: Duration = Duration::from_secs(1);

impl<'a, H> Driver<'a, H> {
    /// Of a connection whose handshake is done.
    pub fn new(
        edge: &'a Edge<H>,
        flow: &'a Flow,
        streams: &'a Streams,
        client: ClientAddr,
        drain: Drain,
    ) -> Self {
        let age = edge.settings.deadlines.age;
        Self {
            edge,
            flow,
            streams,
            client,
            drain,
            age: age.map(|age| Deadline::within(spread(age, dice()))),
            unread: None,
            ending: None,
            blocked: Duration::ZERO,
            quiet: Quiet::from(deadline::now()),
        }
    }

    /// Looks itself whether the client has gone from this socket, because nobody else does. It is best effort: without
    /// it, a client that is gone is noticed with the answer to it.
    pub fn watches(&mut self, socket: impl AsFd) {
        self.unread = socket.as_fd().try_clone_to_owned().ok();
    }

    /// Drives it to its end. `end` asks it to finish what is in flight and take nothing new.
    pub async fn drive<C>(&mut self, connection: C, end: impl Fn(Pin<&mut C>))
    where
        C: Future<Output = hyper::Result<()>>,
    {
        let mut connection = pin!(connection);
        loop {
            let look = self.next_look();
            tokio::select! {
                // A request that has come is served, though the drain begins at the same moment.
                biased;
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(client = %self.client, %error, "client: connection broke");
                    }
                    return self.ended();
                }
                by = self.drain.begun(), if self.ending.is_none() => {
                    match self.flow.has_asked() {
                        true => {
                            end(connection.as_mut());
                            self.told(by, Heard::Yes);
                        }
                        false => {
                            self.flow.takes_one_more();
                            self.told(by, Heard::WhenAsked);
                        }
                    }
                    continue;
                }
                () = look.passed() => {}
            }
            if let Some(by) = self.unheard() {
                end(connection.as_mut());
                self.told(by, Heard::Yes);
            }
            match self.look() {
                Next::GoOn => {}
                Next::Finish(by) => {
                    end(connection.as_mut());
                    self.told(by, Heard::Yes);
                }
                Next::SayLate => {
                    self.flow.ends(End::Late);
                    // Best effort: what is left after that is reset.
                    let _ = Deadline::within(FAREWELL).bound(connection.as_mut()).await;
                    return self.flow.reset();
                }
                Next::End(how) => return self.flow.ends(how),
            }
        }
    }

    /// What has to be done now.
    fn look(&mut self) -> Next {
        let (now, deadlines) = (deadline::now(), &self.edge.settings.deadlines);
        let is_past = |by: Deadline| by.is_past(now);
        match self.ending {
            Some(ending) if is_past(ending.by) => return Next::End(End::Reset),
            None if self.age.is_some_and(is_past) => {
                return Next::Finish(Deadline::within(deadlines.drain));
            }
            _ => {}
        }
        let longest = &self.edge.longest;
        let blocked_before = std::mem::replace(&mut self.blocked, self.flow.blocked());
        let blocked = self.blocked.saturating_sub(blocked_before);
        let overdue = self.streams.end_overdue(deadlines, blocked, longest.stream);
        for overdue in overdue {
            tell(&overdue, "stream", self.client, &self.edge.tally);
        }
        let (side, glance) = (self.side(), self.flow.glance());
        if side == Side::Gone {
            return Next::End(End::Reset);
        }
        if self.quiet.look(&glance, now) >= longest.quiet {
            tracing::error!(client = %self.client, "a connection was quiet for longer than anything may take; reset");
            return Next::End(End::Reset);
        }
        let footing = self.footing(side == Side::HalfClosed);
        match glance.overdue(deadlines, footing) {
            None => Next::GoOn,
            Some(overdue) => self.missed(&overdue),
        }
    }

    fn missed(&self, overdue: &Overdue) -> Next {
        let tally = &self.edge.tally;
        match (overdue.phase, self.ending) {
            // It has asked nothing, and is said goodbye to.
            (Phase::Drain, Some(ending)) if ending.heard == Heard::WhenAsked => {
                self.flow.ends(End::Swept);
                Next::Finish(ending.by)
            }
            // It has nothing left to do, and its client does not take note.
            (Phase::Drain, _) => Next::End(End::Swept),
            (Phase::KeepAlive, Some(_)) => Next::End(End::Swept),
            (Phase::KeepAlive, None) => {
                self.flow.ends(End::Swept);
                Next::Finish(Deadline::within(self.edge.settings.deadlines.drain))
            }
            (Phase::Head, _) if self.flow.may_be_told_late() => {
                tell(overdue, "connection", self.client, tally);
                tally.count(Count::Answered(Class::ClientError));
                tally.count(Count::AnsweredByEdge);
                Next::SayLate
            }
            (phase, _) => {
                tell(overdue, "connection", self.client, tally);
                self.flow.fate().missed(phase);
                self.streams.all_missed(phase);
                Next::End(End::Reset)
            }
        }
    }

    /// A request may have come in at the last moment: what was just answered is not swept away.
    fn ended(&self) {
        let idle = self.flow.glance().idle.unwrap_or_default();
        if self.flow.end() == End::Swept && idle < NOTICE {
            self.flow.ends(End::Order);
        }
    }

    fn told(&mut self, by: Deadline, heard: Heard) {
        let told = self.ending.map_or_else(deadline::now, |it| it.told);
        self.ending = Some(Ending { told, by, heard });
    }

    /// By when it has to end, where hyper is to hear of that now.
    fn unheard(&self) -> Option<Deadline> {
        let ending = self.ending?;
        (ending.heard == Heard::WhenAsked && self.flow.has_asked()).then_some(ending.by)
    }

    fn next_look(&self) -> Deadline {
        let deadlines = &self.edge.settings.deadlines;
        let mut wait = self.flow.glance().next_look(deadlines, self.footing(false));
        if self.unread.is_some() {
            wait = wait.min(UNREAD);
        }
        let by = match self.ending {
            Some(ending) => Some(ending.by),
            None => self.age,
        };
        let look = Deadline::within(wait);
        by.map_or(look, |by| by.min(look))
    }

    fn footing(&self, is_half_closed: bool) -> Footing {
        let usual = self.edge.settings.deadlines.keep_alive;
        Footing {
            keep_alive: match self.edge.admission.is_crowded() {
                true => usual.min(CROWDED),
                false => usual,
            },
            told: self.ending.map(|it| deadline::now() - it.told),
            is_half_closed,
        }
    }

    fn side(&self) -> Side {
        let info = self
            .unread
            .as_ref()
            .and_then(|it| sys::tcp_info(it.as_fd()));
        info.map_or(Side::Open, |info| peer::side(&info))
    }
}

/// Tells of a deadline that was missed, and counts it.
pub fn tell(overdue: &Overdue, what: &str, client: ClientAddr, tally: &Tally) {
    tally.count(Count::ClientTimeout(overdue.phase));
    let Overdue { phase, limit, key } = overdue;
    let phase = phase.word();
    tracing::info!(%client, "client, {phase}: not done within {limit:?} ({key}); {what} reset");
}

/// An age 10 % more or less: connections that were begun together, after a restart, are not all renewed together.
/// `dice` is from 0 to 1.
fn spread(age: Duration, dice: f64) -> Duration {
    age.mul_f64(0.9 + 0.2 * dice.clamp(0.0, 1.0))
}

/// A number from 0 to 1 that nobody needs to be able to guess or not to guess.
fn dice() -> f64 {
    use std::hash::{BuildHasher, Hasher};
    let drawn = std::hash::RandomState::new().build_hasher().finish();
    drawn as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_spread_by_a_tenth_either_way() {
        let age = Duration::from_secs(100);
        let ages = [0.0, 0.5, 1.0].map(|dice| spread(age, dice).as_secs_f64().round());
        assert_eq!(ages, [90.0, 100.0, 110.0]);
        let drawn: Vec<_> = (0..100).map(|_| dice()).collect();
        assert!(drawn.iter().all(|it| (0.0..=1.0).contains(it)), "{drawn:?}");
        assert!(drawn.iter().any(|it| *it < 0.5) && drawn.iter().any(|it| *it > 0.5));
    }
}
