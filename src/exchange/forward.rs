//! One visit to the origin: dial, send, take the answer into a spool at loopback speed, all under the
//! origin's deadlines. The client's pace plays no part in it.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1;

use super::answer::{self, AnswerHead};
use super::intake::Taken;
use super::replay::Delivery;
use super::spool::{SpoolWriter, WholeReader};
use super::terms::{Terms, Times};
use crate::ground::deadline::{self, Deadline};
use crate::ground::failure::{Cause, Failure, Phase};
use crate::origin::{OriginSlot, Pulse, Visit, dial};

/// A visit that brought no whole answer.
#[derive(Debug)]
pub struct Missed {
    /// Why.
    pub failure: Failure,
    /// How far the request had come.
    pub delivery: Delivery,
    /// Whether the origin hung while it was at this request.
    pub is_suspect: bool,
}

/// An answer is given to the client no later than this after its head, however much of it there is.
const COMMIT_AFTER: Duration = Duration::from_millis(50);
/// Or as soon as this much of its body has come. Until then a failure can still be mended unseen.
const COMMIT_BYTES: u64 = 64 << 10;

/// Visits the origin with `taken`. `commit` is called once, when the answer may be shown to the client;
/// the body goes into `spool` before and after. Ends when the answer is whole, or lost.
///
/// # Errors
/// [`Missed`], with [`Delivery::Answered`] when `commit` had been called.
pub async fn visit(
    taken: &Taken,
    slot: &OriginSlot,
    visit: &Visit,
    terms: &Terms,
    spool: &SpoolWriter,
    commit: impl FnOnce(AnswerHead),
) -> Result<(), Missed> {
    let generation = slot.generation();
    let mut delivery = Delivery::NeverSent;
    let result = {
        let walk = Walk {
            taken,
            slot,
            visit,
            terms,
            spool,
            delivery: &mut delivery,
        };
        let mut walk = pin!(walk.go(commit));
        tokio::select! {
            biased;
            result = &mut walk => result.map_err(|failure| (failure, false)),
            ending = generation.ended() => {
                let is_suspect = ending.suspects(visit.id());
                let cause = if is_suspect { Cause::Suspect } else { Cause::Died };
                Err((Failure::origin(Phase::FirstByte, cause), is_suspect))
            }
        }
    };
    result.map_err(|(failure, is_suspect)| Missed {
        failure,
        delivery,
        is_suspect,
    })
}

struct Walk<'a> {
    taken: &'a Taken,
    slot: &'a OriginSlot,
    visit: &'a Visit,
    terms: &'a Terms,
    spool: &'a SpoolWriter,
    delivery: &'a mut Delivery,
}

impl Walk<'_> {
    async fn go(self, commit: impl FnOnce(AnswerHead)) -> Result<(), Failure> {
        let total = self.terms.usual.total.deadline();
        let stream = self.dial(total).await?;
        self.visit.connected(stream.local());
        let first_byte = self.terms.first_byte.deadline().min(total);
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(READ_BUFFER)
            .handshake(stream.into_io())
            .await
            .map_err(|error| broken(Phase::Send, &error))?;
        let request = request(self.taken, self.visit);
        *self.delivery = Delivery::Unknown;
        let take = async {
            let answer = first_byte
                .bound(sender.send_request(request))
                .await
                .map_err(|_| self.late(total))?
                .map_err(|error| broken(Phase::FirstByte, &error))?;
            self.visit.pulse().life(0);
            let (parts, body) = answer.into_parts();
            let head = answer::rebuild(&parts, &self.taken.head.method)?;
            let shown = Shown {
                head,
                commit,
                delivery: self.delivery,
            };
            take_body(
                body,
                shown,
                self.spool,
                self.visit,
                &self.terms.usual,
                total,
            )
            .await
        };
        beside(connection, take).await
    }

    async fn dial(&self, total: Deadline) -> Result<dial::OriginStream, Failure> {
        let deadline = self.terms.connect.deadline().min(total);
        match deadline
            .bound(dial::open(&self.slot.generation().address))
            .await
        {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(Failure::origin(
                Phase::Connect,
                match error.kind() {
                    std::io::ErrorKind::ConnectionRefused | std::io::ErrorKind::NotFound => {
                        Cause::Refused
                    }
                    _ => Cause::Broken(error.to_string()),
                },
            )),
            Err(_) => Err(Failure::origin(Phase::Connect, self.terms.connect.missed())),
        }
    }

    fn late(&self, total: Deadline) -> Failure {
        let missed = match total.is_past(deadline::now()) {
            true => self.terms.usual.total,
            false => self.terms.first_byte,
        };
        Failure::origin(Phase::FirstByte, missed.missed())
    }
}

const READ_BUFFER: usize = 64 << 10;

struct Shown<'a, C> {
    head: AnswerHead,
    commit: C,
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
        let frame = frame.map_err(|error| match error.is_incomplete_message() {
            true => Failure::origin(Phase::Answer, Cause::Truncated),
            false => broken(Phase::Answer, &error),
        })?;
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

fn broken(phase: Phase, error: &hyper::Error) -> Failure {
    let cause = match error.is_parse() {
        true => Cause::Malformed("its answer is not HTTP as we know it"),
        false => Cause::Broken(error.to_string()),
    };
    Failure::origin(phase, cause)
}

fn request(taken: &Taken, visit: &Visit) -> http::Request<Sent> {
    let mut request = http::Request::new(Sent {
        body: taken.body.reader(),
        is_begun: false,
        left: taken.body.len(),
        pulse: visit.pulse().clone(),
    });
    *request.method_mut() = taken.head.method.clone();
    *request.uri_mut() = taken.head.target.clone().into();
    let headers = request.headers_mut();
    *headers = taken.head.headers.clone();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    if taken.has_body {
        headers.insert(CONTENT_LENGTH, taken.body.len().into());
    }
    request
}

/// The body on its way to the origin, from the spool.
struct Sent {
    body: WholeReader,
    is_begun: bool,
    left: u64,
    pulse: Pulse,
}

impl Body for Sent {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let this = self.get_mut();
        let next = ready!(this.body.poll_next(cx));
        if std::mem::replace(&mut this.is_begun, true) {
            // The piece before was taken from us: the origin reads.
            this.pulse.life(0);
        }
        Poll::Ready(next.map(|piece| {
            let piece = piece?;
            this.left = this.left.saturating_sub(piece.len() as u64);
            Ok(Frame::data(piece))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
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
