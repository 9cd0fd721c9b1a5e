//! One visit to the origin: dial, send, take the answer into a spool at loopback speed, all under the
//! origin's deadlines. The client's pace plays no part in it.

use std::sync::Arc;
use std::time::Instant;

use http::StatusCode;
use http::header::TRAILER;
use http::response::Parts;

use super::answer::{self, AnswerHead, Reader};
use super::continuation::Mark;
use super::http2::Http2;
use super::intake::Taken;
use super::lasting::{as_stream, tunnel};
use super::leg::Leg;
use super::line;
use super::live::{self, Frames};
use super::manners;
use super::missed::{Fault, Missed, ended};
use super::pool::Pool;
use super::receive::{Filling, judge_end, receive};
use super::replay::Delivery;
use super::rest::{self, Cut};
use super::sending;
use super::spool::{SpoolWriter, Store};
use super::streams::Streams;
use super::terms::Terms;
use super::upload::Uplink;
use super::window::{WindowWriter, window};
use crate::config::settings::{Manners, OriginVersion};
use crate::ground::deadline::{self, Deadline};
use crate::ground::failure::{Failure, Party, Phase};
use crate::ground::ledger::Tally;
use crate::origin::{OriginSlot, Visit};

/// What a visit needs beside its request.
#[derive(Debug, Clone, Copy)]
pub struct Way<'a> {
    /// What was asked for, without its query.
    pub request: &'a str,
    /// Leave to visit.
    pub slot: &'a OriginSlot,
    /// Its entry in the roster.
    pub visit: &'a Visit,
    /// Its limits.
    pub terms: &'a Terms,
    /// How the origin wants to be spoken to.
    pub manners: Manners,
    /// Connections that were kept, if one of them may be used.
    pub pool: &'a Pool,
    /// Whether a kept connection may be used.
    pub is_fresh: bool,
    /// Where the answer rests, unless it is a stream.
    pub store: &'a Store,
    /// How many streams there are.
    pub streams: &'a Streams,
    /// The numbers of this thread.
    pub tally: &'a Arc<Tally>,
}

/// Visits the origin with `taken`. `commit` is called once, when the answer may be shown to the client, with where its
/// body is read. Ends when the answer is whole, or lost.
///
/// # Errors
/// [`Missed`], with [`Delivery::Answered`] when `commit` had been called.
pub async fn visit(
    taken: &Taken,
    way: Way<'_>,
    commit: impl FnOnce(AnswerHead, Reader),
) -> Result<(), Box<Missed>> {
    let generation = way.slot.generation();
    let mut course = Course::default();
    let result = {
        let walk = Walk {
            taken,
            way,
            course: &mut course,
        };
        tokio::select! {
            biased;
            result = walk.go(commit) => match (result, generation.ending()) {
                // The connection may break before its ending is heard of; the ending says more.
                (Err(failure), Some(ending)) if failure.party == Party::Origin => {
                    Err(ended(&ending, way.visit))
                }
                (result, _) => result.map_err(|failure| (failure, Fault::default())),
            },
            ending = generation.ended() => Err(ended(&ending, way.visit)),
        }
    };
    result.map_err(|(failure, fault)| {
        let cut = match (course.spool, course.mark) {
            (Some(spool), Some(mark)) => Some(Cut { spool, mark }),
            (Some(spool), None) => {
                spool.end(Err(failure.clone()));
                None
            }
            (None, _) => None,
        };
        if let Some(window) = course.window {
            window.end(Err(failure.clone()));
        }
        Box::new(Missed {
            was_kept: course.was_kept,
            cut,
            ..Missed::of(failure, fault, course.delivery)
        })
    })
}

/// How far a walk has come, for whoever has to end what it leaves behind.
struct Course {
    delivery: Delivery,
    was_kept: bool,
    /// The answer's body, once it needs a spool.
    spool: Option<SpoolWriter>,
    /// By what the answer is known again, once the client has seen a part of it.
    mark: Option<Box<Mark>>,
    /// The window to the client, once the answer is known to be a stream.
    window: Option<WindowWriter>,
}

impl Default for Course {
    fn default() -> Self {
        Self {
            delivery: Delivery::NeverSent,
            was_kept: false,
            spool: None,
            mark: None,
            window: None,
        }
    }
}

struct Walk<'a> {
    taken: &'a Taken,
    way: Way<'a>,
    course: &'a mut Course,
}

impl Walk<'_> {
    async fn go(mut self, commit: impl FnOnce(AnswerHead, Reader)) -> Result<(), Failure> {
        let Way {
            visit,
            terms,
            manners,
            tally,
            ..
        } = self.way;
        let begun = deadline::now();
        let total = Deadline::after(begun, terms.times().total.is);
        if terms.http2 {
            return Box::pin(self.by_http2(begun, total, commit)).await;
        }
        let keeps = self.keeps();
        let (message, uplink) =
            sending::message(self.taken, &manners, keeps, visit.pulse(), tally)?;
        let mut leg = match line::kept(&self.way, keeps) {
            Some(leg) => {
                self.course.was_kept = true;
                leg
            }
            None => Box::pin(line::dial(&self.way, total)).await?,
        };
        visit.connected(leg.local());
        let first_byte = terms.first_byte.deadline().min(total);
        self.course.delivery = Delivery::Unknown;
        let asked = leg.ask(message, &self.taken.head.method);
        let answer = match &uplink {
            None => first_byte.bound(asked).await.ok(),
            Some(uplink) => Box::pin(uplink.bound(asked, terms.first_byte, total)).await,
        };
        let done = match answer {
            Some(Ok(parts)) => {
                visit.pulse().life(0);
                self.way.slot.answered();
                self.take(parts, leg, &uplink, begun, commit).await
            }
            Some(Err(error)) => Err(error.at(Phase::FirstByte)),
            None => Err(self.late(total)),
        };
        blamed(done, &uplink)
    }

    /// The same over HTTP/2, for a stream.
    async fn by_http2(
        mut self,
        begun: Instant,
        total: Deadline,
        commit: impl FnOnce(AnswerHead, Reader),
    ) -> Result<(), Failure> {
        let Way { visit, terms, .. } = self.way;
        let (body, uplink) = sending::body(self.taken, visit.pulse(), self.way.tally)?;
        let leg = line::dial(&self.way, total).await?;
        visit.connected(leg.local());
        let begin = terms.connect.deadline().min(total);
        let begun_leg = begin.bound(Http2::begin(leg.into_tunnel().0)).await;
        let missed = |_| Failure::origin(Phase::Connect, terms.connect.missed());
        let mut leg = begun_leg.map_err(missed)??;
        self.course.delivery = Delivery::Unknown;
        let asked = leg.ask(self.taken, body);
        let answer = match &uplink {
            None => terms
                .first_byte
                .deadline()
                .min(total)
                .bound(asked)
                .await
                .ok(),
            Some(uplink) => uplink.bound(asked, terms.first_byte, total).await,
        };
        let done = match answer {
            Some(Ok(parts)) => {
                visit.pulse().life(0);
                self.way.slot.answered();
                let head = self.mended(parts)?;
                if let Some(uplink) = &uplink {
                    uplink.answered();
                }
                match leg.is_bare() {
                    true => {
                        self.course.delivery = Delivery::Answered;
                        commit(head, Reader::Whole(Default::default()));
                        Ok(())
                    }
                    false => self.pass(&mut leg, head, begun, commit).await,
                }
            }
            Some(Err(failure)) => Err(failure),
            None => Err(self.late(total)),
        };
        blamed(done, &uplink).map(|()| self.whole())
    }

    /// Takes the answer whose head has come, by whichever way it wants to go.
    async fn take(
        &mut self,
        parts: Parts,
        mut leg: Box<Leg>,
        uplink: &Option<Uplink>,
        begun: Instant,
        commit: impl FnOnce(AnswerHead, Reader),
    ) -> Result<(), Failure> {
        let Way { visit, terms, .. } = self.way;
        if let Some(bid) = &self.taken.bid {
            if parts.status == StatusCode::SWITCHING_PROTOCOLS {
                // There is no body, and nothing to read.
                let reader = Reader::Whole(Default::default());
                let head = bid.agreed(parts)?;
                self.course.delivery = Delivery::Answered;
                visit.pulse().lasts();
                commit(head, reader);
                return Box::pin(tunnel(leg, bid, &self.way, begun)).await;
            }
            bid.declined(parts.status)?;
        }
        let trailers: Vec<_> = match self.taken.trailers {
            true => parts.headers.get_all(TRAILER).iter().cloned().collect(),
            false => Vec::new(),
        };
        let mut head = self.mended(parts)?;
        if let Some(_place) = as_stream(&self.way, &head)? {
            let named = trailers.into_iter().map(|name| (TRAILER, name));
            head.headers.extend(named);
            if let Some(uplink) = uplink {
                uplink.answered();
            }
            Box::pin(self.pass(&mut *leg, head, begun, commit)).await?;
            return judge_end(&leg, self.way.slot.generation()).map(|()| self.whole());
        }
        let Course {
            delivery,
            spool,
            mark,
            ..
        } = self.course;
        let taken = self.taken;
        let commit = |head, reader| {
            *delivery = Delivery::Answered;
            *mark = rest::mark(taken, &head, &reader);
            commit(head, reader);
        };
        let times = terms.times();
        let total = Deadline::after(begun, times.total.is);
        // Lent, since an async function holds its arguments twice.
        let mut filling = Filling::new(self.way.store, spool);
        let way = (visit.pulse(), &**self.way.slot.generation());
        receive(&mut leg, head, commit, &mut filling, way, (times, total)).await?;
        if self.keeps() && leg.is_reusable() {
            self.way.pool.put(leg, self.way.slot.generation());
        }
        Ok(())
    }

    /// The head of an answer as its client gets it.
    fn mended(&self, parts: Parts) -> Result<AnswerHead, Failure> {
        let asked = &self.taken.head;
        let mut head = answer::rebuild(parts, &asked.method)?;
        let origin = &self.way.slot.generation().address;
        manners::mend(&mut head.headers, &asked.headers, origin, &self.way.manners);
        Ok(head)
    }

    /// What was passed on is whole.
    fn whole(&self) {
        if let Some(window) = &self.course.window {
            window.end(Ok(()));
        }
    }

    /// Passes the answer on as it comes; that it is whole is for the caller to say.
    async fn pass(
        &mut self,
        source: &mut impl Frames,
        head: AnswerHead,
        begun: Instant,
        commit: impl FnOnce(AnswerHead, Reader),
    ) -> Result<(), Failure> {
        let Way {
            visit,
            terms,
            tally,
            ..
        } = self.way;
        visit.pulse().lasts();
        let (writer, reader) = window(terms.stall, tally);
        let writer = self.course.window.insert(writer);
        self.course.delivery = Delivery::Answered;
        commit(head, Reader::Window(reader));
        let total = Deadline::after(begun, terms.lasting.total.is);
        live::pass(source, writer, visit.pulse(), &terms.lasting, total).await
    }

    /// Whether the connection may be kept for another request: one that does no harm should it have to be sent
    /// again, because the origin closed the connection at the same moment.
    fn keeps(&self) -> bool {
        let head = &self.taken.head;
        self.way.pool.keeps(self.way.slot.generation())
            && self.way.manners.version == OriginVersion::V1_1
            && head.method.is_idempotent()
            && self.taken.body.is_at_hand()
            && !self.taken.trailers
            && self.taken.bid.is_none()
            && !self.way.terms.stream
    }

    fn late(&self, total: Deadline) -> Failure {
        let terms = self.way.terms;
        let missed = terms
            .times()
            .missed(total, terms.first_byte, deadline::now());
        Failure::origin(Phase::FirstByte, missed)
    }
}

/// What the client did to its upload shows as a broken connection to the origin.
fn blamed(done: Result<(), Failure>, uplink: &Option<Uplink>) -> Result<(), Failure> {
    match uplink.as_ref().and_then(Uplink::failure) {
        Some(failure) if done.is_err() => Err(failure),
        _ => done,
    }
}
