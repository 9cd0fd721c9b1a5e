//! An answer that is passed on as it comes: declared by its route, or asked for by the answer itself.

use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName};
use http_body::Frame;

use super::answer::AnswerHead;
use super::head::is_hop_by_hop;
use super::leg::{Leg, LegError};
use super::terms::Times;
use super::window::WindowWriter;
use crate::ground::deadline::{self, Deadline};
use crate::ground::failure::{Failure, Phase};
use crate::origin::Pulse;

/// What an answer says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Nothing of the kind.
    Ordinary,
    /// It would rather not be buffered.
    Unbuffered,
    /// Events, which may go on without an end.
    Events,
}

/// How the answer behind `head` wants to be passed on.
pub fn manner(head: &AnswerHead) -> Manner {
    let says = |name: HeaderName, wanted: &str| {
        let value = head.headers.get(name).and_then(|it| it.to_str().ok());
        let first = value.and_then(|it| it.split(';').next());
        first.is_some_and(|it| it.trim().eq_ignore_ascii_case(wanted))
    };
    if says(CONTENT_TYPE, "text/event-stream") {
        Manner::Events
    } else if says(HeaderName::from_static("x-accel-buffering"), "no") {
        Manner::Unbuffered
    } else {
        Manner::Ordinary
    }
}

/// An answer's body, as it comes.
pub trait Frames {
    /// The next frame, `None` at the end, or the failure of whoever broke it off.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>>;

    /// Sends what is left of the request, for whoever cannot take more of the answer now. Ready only if that fails.
    fn poll_send_on(&mut self, cx: &mut Context<'_>) -> Poll<Failure>;
}

impl Frames for Leg {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let at = |error: LegError| error.at(Phase::Answer);
        self.poll_piece(cx)
            .map(|piece| piece.map(|it| it.map_err(at)))
    }

    fn poll_send_on(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        match self.poll_send(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(error.at(Phase::Answer)),
            _ => Poll::Pending,
        }
    }
}

/// Passes what comes from `source` on through `window` until it ends; that it is whole is for the
/// caller to say. `total` is when the visit must be over.
///
/// # Errors
/// The origin's failure at [`Phase::Answer`], or the client's at [`Phase::Respond`].
pub async fn pass(
    source: &mut impl Frames,
    window: &WindowWriter,
    pulse: &Pulse,
    times: &Times,
    total: Deadline,
) -> Result<(), Failure> {
    loop {
        let by = times.idle.deadline().min(total);
        let frame = tokio::select! {
            frame = by.bound(poll_fn(|cx| source.poll_frame(cx))) => frame,
            failure = window.left() => return Err(failure),
        };
        let Ok(frame) = frame else {
            let missed = times.missed(total, times.idle, deadline::now());
            return Err(Failure::origin(Phase::Answer, missed));
        };
        let Some(frame) = frame else { break };
        let frame = frame?;
        pulse.life(frame.data_ref().map_or(0, |data| data.len() as u64));
        tokio::select! {
            biased;
            pushed = window.push(for_client(frame)) => pushed?,
            // A client may read only when it has said all.
            failure = poll_fn(|cx| source.poll_send_on(cx)) => return Err(failure),
        }
    }
    Ok(())
}

/// Trailers must not speak of the framing or the connection.
fn for_client(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(trailers) => {
            let kept = trailers.iter();
            let kept =
                kept.filter(|(name, _)| !is_hop_by_hop(name, &[]) && **name != CONTENT_LENGTH);
            let mut headers = HeaderMap::with_capacity(trailers.len());
            kept.for_each(|(name, value)| {
                headers.append(name, value.clone());
            });
            Frame::trailers(headers)
        }
        Err(data) => data,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::answer;

    fn told(fields: &[(&str, &str)]) -> Manner {
        let mut answer = http::Response::builder();
        for (name, value) in fields {
            answer = answer.header(*name, *value);
        }
        let (parts, ()) = answer.body(()).unwrap().into_parts();
        manner(&answer::rebuild(parts, &http::Method::GET).unwrap())
    }

    #[test]
    fn an_answer_says_itself_that_it_streams() {
        let events = ("content-type", "text/event-stream; charset=utf-8");
        assert_eq!(told(&[events]), Manner::Events);
        assert_eq!(told(&[("x-accel-buffering", "No")]), Manner::Unbuffered);
        assert_eq!(told(&[("x-accel-buffering", "yes")]), Manner::Ordinary);
    }
}
