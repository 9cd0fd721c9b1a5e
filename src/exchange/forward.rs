//! One visit to the origin: dial, send, take the answer into a spool at loopback speed, all under the
//! origin's deadlines. The client's pace plays no part in it.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use http::header::{CONNECTION, TRAILER};
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::answer::{self, AnswerHead};
use super::carry::{Carried, Tunnel, carry};
use super::framing::Framing;
use super::intake::Taken;
use super::line;
use super::live::{self, Manner};
use super::manners;
use super::pool::Pool;
use super::replay::Delivery;
use super::sending;
use super::spool::SpoolWriter;
use super::streams::{Place, Streams};
use super::terms::{Terms, Times};
use super::tunnel::Bid;
use super::upload::Uplink;
use super::window::{WindowReader, WindowWriter, window};
use crate::config::settings::{Manners, OriginVersion};
use crate::ground::deadline::{self, Deadline};
use crate::ground::failure::{Cause, Failure, Party, Phase};
use crate::ground::ledger::Tally;
use crate::origin::{Ending, Generation, OriginSlot, Visit};

/// A visit that brought no whole answer.
#[derive(Debug)]
pub struct Missed {
    /// Why.
    pub failure: Failure,
    /// How far the request had come.
    pub delivery: Delivery,
    /// Whether the origin hung while it was at this request.
    pub is_suspect: bool,
    /// Whether it was sent over a connection that had been kept, and that the origin may have closed meanwhile.
    pub was_kept: bool,
}

/// An answer is given to the client no later than this after its head, however much of it there is.
const COMMIT_AFTER: Duration = Duration::from_millis(50);
/// Or as soon as this much of its body has come. Until then a failure can still be mended unseen.
const COMMIT_BYTES: u64 = 64 << 10;

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
    /// Where the answer goes, unless it is a stream.
    pub spool: &'a SpoolWriter,
    /// How many streams there are.
    pub streams: &'a Streams,
    /// The numbers of this thread.
    pub tally: &'a Arc<Tally>,
}

/// Visits the origin with `taken`. `commit` is called once, when the answer may be shown to the client;
/// the body goes into the spool before and after, or through the window that `commit` is given.
/// Ends when the answer is whole, or lost.
///
/// # Errors
/// [`Missed`], with [`Delivery::Answered`] when `commit` had been called.
pub async fn visit(
    taken: &Taken,
    way: Way<'_>,
    commit: impl FnOnce(AnswerHead, Option<WindowReader>),
) -> Result<(), Missed> {
    let generation = way.slot.generation();
    let mut stream = None;
    let mut delivery = Delivery::NeverSent;
    let mut was_kept = false;
    let result = {
        let walk = Walk {
            taken,
            way,
            delivery: &mut delivery,
            was_kept: &mut was_kept,
            stream: &mut stream,
        };
        let mut walk = pin!(walk.go(commit));
        tokio::select! {
            biased;
            result = &mut walk => match (result, generation.ending()) {
                // The connection may break before its ending is heard of; the ending says more.
                (Err(failure), Some(ending)) if failure.party == Party::Origin => {
                    Err(ended(&ending, way.visit))
                }
                (result, _) => result.map_err(|failure| (failure, false)),
            },
            ending = generation.ended() => Err(ended(&ending, way.visit)),
        }
    };
    result.map_err(|(failure, is_suspect)| {
        if let Some(stream) = stream {
            stream.end(Err(failure.clone()));
        }
        Missed {
            failure,
            delivery,
            is_suspect,
            was_kept,
        }
    })
}

/// The failure of a visit whose generation ended, and whether the visit is suspected of it.
fn ended(ending: &Ending, visit: &Visit) -> (Failure, bool) {
    let is_suspect = ending.suspects(visit.id());
    let cause = match is_suspect {
        true => Cause::Suspect,
        false => Cause::Died,
    };
    (Failure::origin(Phase::FirstByte, cause), is_suspect)
}

struct Walk<'a> {
    taken: &'a Taken,
    way: Way<'a>,
    delivery: &'a mut Delivery,
    was_kept: &'a mut bool,
    /// The window to the client, once the answer is known to be a stream.
    stream: &'a mut Option<WindowWriter>,
}

impl Walk<'_> {
    async fn go(
        self,
        commit: impl FnOnce(AnswerHead, Option<WindowReader>),
    ) -> Result<(), Failure> {
        let Way {
            visit,
            terms,
            manners,
            tally,
            ..
        } = self.way;
        let begun = deadline::now();
        let times = terms.times();
        let total = Deadline::after(begun, times.total.is);
        let (mut request, uplink) = sending::request(self.taken, visit.pulse(), tally)?;
        *request.version_mut() = manners.version.into();
        let keeps = self.keeps();
        if keeps {
            request.headers_mut().remove(CONNECTION);
        }
        let (mut line, connection) = line::obtain(&self.way, total, keeps).await?;
        *self.was_kept = line.is_used;
        visit.connected(line.local);
        let first_byte = terms.first_byte.deadline().min(total);
        *self.delivery = Delivery::Unknown;
        let mut is_whole = false;
        let take = async {
            let sent = line.sender.send_request(request);
            let answer = match &uplink {
                None => first_byte.bound(sent).await.ok(),
                Some(uplink) => uplink.bound(sent, terms.first_byte, total).await,
            };
            let answer = answer
                .ok_or_else(|| self.late(times, total))?
                .map_err(|error| broken(Phase::FirstByte, &error))?;
            visit.pulse().life(0);
            if let Some(bid) = &self.taken.bid {
                if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
                    let commit = |head| {
                        *self.delivery = Delivery::Answered;
                        // There is no body, and nothing to read.
                        commit(head, Some(window(terms.stall, tally).1));
                    };
                    return tunnel(answer, bid, &self.way, begun, commit).await;
                }
                bid.declined(answer.status())?;
            }
            let (parts, body) = answer.into_parts();
            let asked = &self.taken.head;
            let mut head = answer::rebuild(&parts, &asked.method)?;
            let generation = self.way.slot.generation();
            let framing = Framing::of(&parts.headers, head.has_body);
            let origin = &generation.address;
            manners::mend(&mut head.headers, &asked.headers, origin, &manners);
            let Some(_place) = as_stream(&self.way, &head)? else {
                let shown = Shown {
                    head,
                    commit: |head| commit(head, None),
                    framing,
                    generation,
                    delivery: self.delivery,
                };
                take_body(body, shown, self.way.spool, visit, times, total).await?;
                is_whole = true;
                return Ok(());
            };
            if self.taken.trailers {
                let named = parts.headers.get_all(TRAILER).iter().cloned();
                head.headers.extend(named.map(|name| (TRAILER, name)));
            }
            if let Some(uplink) = &uplink {
                uplink.answered();
            }
            visit.pulse().lasts(true);
            let (writer, reader) = window(terms.stall, tally);
            let writer = self.stream.insert(writer);
            *self.delivery = Delivery::Answered;
            commit(head, Some(reader));
            let total = Deadline::after(begun, terms.lasting.total.is);
            live::pass(body, writer, visit.pulse(), &terms.lasting, total).await?;
            framing.judge(generation).map(|()| writer.end(Ok(())))
        };
        let done = match connection {
            Some(connection) => beside(connection.with_upgrades(), take).await,
            None => take.await,
        };
        if is_whole && keeps {
            self.way.pool.put(line, self.way.slot.generation());
        }
        // What the client did to its upload shows as a broken connection to the origin.
        match uplink.as_ref().and_then(Uplink::failure) {
            Some(failure) if done.is_err() => Err(failure),
            _ => done,
        }
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

    fn late(&self, times: &Times, total: Deadline) -> Failure {
        let missed = match total.is_past(deadline::now()) {
            true => times.total,
            false => self.way.terms.first_byte,
        };
        Failure::origin(Phase::FirstByte, missed.missed())
    }
}

/// The tunnel the origin agreed to, to its end.
async fn tunnel(
    mut answer: Response<Incoming>,
    bid: &Bid,
    way: &Way<'_>,
    begun: Instant,
    commit: impl FnOnce(AnswerHead),
) -> Result<(), Failure> {
    let Way { terms, visit, .. } = *way;
    let origin = hyper::upgrade::on(&mut answer);
    let (parts, _) = answer.into_parts();
    let head = bid.agreed(&parts)?;
    visit.pulse().lasts(true);
    commit(head);
    let client = bid.met(terms.stall).await?;
    let origin = origin.await;
    let origin = origin.map_err(|error| broken(Phase::Answer, &error))?;
    let tunnel = Tunnel {
        terms,
        pulse: visit.pulse(),
        tally: way.tally,
        total: Deadline::after(begun, terms.lasting.total.is),
    };
    let Carried { up, down, end } = carry(client, origin, tunnel).await;
    let why = end.as_ref().err().map(tracing::field::display);
    tracing::info!(request = way.request, up, down, why, "a tunnel ended");
    Ok(())
}

/// A place for the answer as a stream, if it is one. What would merely like not to be buffered is buffered where
/// there is no place for it; events are refused then, because they need not have an end.
fn as_stream(way: &Way<'_>, head: &AnswerHead) -> Result<Option<Option<Place>>, Failure> {
    let enter = || way.streams.enter(way.slot.generation(), way.tally);
    match live::manner(head) {
        _ if !head.has_body || head.length == Some(0) => Ok(None),
        // Its place was taken before it was sent.
        _ if way.terms.stream => Ok(Some(None)),
        Manner::Ordinary => Ok(None),
        Manner::Unbuffered => Ok(enter().ok().map(Some)),
        Manner::Events => enter().map(|place| Some(Some(place))),
    }
}

struct Shown<'a, C> {
    head: AnswerHead,
    commit: C,
    framing: Framing,
    generation: &'a Generation,
    delivery: &'a mut Delivery,
}

async fn take_body<C: FnOnce(AnswerHead)>(
    mut body: Incoming,
    shown: Shown<'_, C>,
    spool: &SpoolWriter,
    visit: &Visit,
    times: &Times,
    total: Deadline,
) -> Result<(), Failure> {
    let commit_by = Deadline::within(COMMIT_AFTER);
    let (framing, generation) = (shown.framing, shown.generation);
    let mut shown = Some(shown);
    let show = |shown: &mut Option<Shown<'_, C>>| {
        if let Some(shown) = shown.take() {
            *shown.delivery = Delivery::Answered;
            (shown.commit)(shown.head);
        }
    };
    let mut idle = times.idle.deadline().min(total);
    loop {
        let by = match shown {
            Some(_) => commit_by.min(idle),
            None => idle,
        };
        let Ok(frame) = by.bound(body.frame()).await else {
            if by == idle {
                return Err(late(times, total));
            }
            show(&mut shown);
            continue;
        };
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| live::cut_off(&error))?;
        idle = times.idle.deadline().min(total);
        let Ok(data) = frame.into_data() else {
            continue;
        };
        visit.pulse().life(data.len() as u64);
        spool.push(data).await?;
        if spool.len() >= COMMIT_BYTES {
            show(&mut shown);
        }
    }
    framing.judge(generation)?;
    spool.end(Ok(()));
    show(&mut shown);
    Ok(())
}

fn late(times: &Times, total: Deadline) -> Failure {
    let missed = match total.is_past(deadline::now()) {
        true => times.total,
        false => times.idle,
    };
    Failure::origin(Phase::Answer, missed.missed())
}

/// A connection that broke, or an answer that is no HTTP.
pub fn broken(phase: Phase, error: &hyper::Error) -> Failure {
    let cause = match error.is_parse() {
        true => Cause::Malformed("its answer is not HTTP as we know it"),
        false => Cause::Broken(error.to_string()),
    };
    Failure::origin(phase, cause)
}

/// Runs `work` with the connection it depends on beside it; what ails the connection shows in `work`.
async fn beside<T>(connection: impl Future, work: impl Future<Output = T>) -> T {
    let mut connection = pin!(connection);
    let mut work = pin!(work);
    let mut is_open = true;
    std::future::poll_fn(|cx| {
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(done);
        }
        if is_open && connection.as_mut().poll(cx).is_ready() {
            is_open = false;
        }
        // What the connection has just received is there to be taken now.
        work.as_mut().poll(cx)
    })
    .await
}
