//! A request as it is sent to the origin.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue, TE, TRANSFER_ENCODING};
use http::{Method, Request};
use http_body::{Body, Frame, SizeHint};

use super::intake::{Load, Taken};
use super::spool::WholeReader;
use super::upload::{Uplink, Upload};
use crate::ground::failure::{Cause, Failure, Phase};
use crate::ground::ledger::Tally;
use crate::origin::Pulse;

/// The request as it is sent, and how its upload goes if it is one.
///
/// # Errors
/// The origin's failure: its body was sent before, and is gone.
pub fn request(
    taken: &Taken,
    pulse: &Pulse,
    tally: &Arc<Tally>,
) -> Result<(Request<Sending>, Option<Uplink>), Failure> {
    let (body, uplink) = match &taken.body {
        Load::Whole(whole) => {
            let sent = Sent {
                body: whole.reader(),
                is_begun: false,
                left: whole.len(),
                pulse: pulse.clone(),
            };
            (Sending::Whole(sent), None)
        }
        Load::Live(live) => {
            let spent = || Failure::origin(Phase::Send, Cause::Truncated);
            let (upload, link) = live.send(pulse, tally).ok_or_else(spent)?;
            (Sending::Live(upload), Some(link))
        }
    };
    let mut request = Request::new(body);
    *request.method_mut() = taken.head.method.clone();
    *request.uri_mut() = taken.head.target.clone().into();
    let headers = request.headers_mut();
    *headers = taken.head.headers.clone();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    if let Some(bid) = &taken.bid {
        bid.ask(headers);
    }
    if taken.trailers && taken.bid.is_none() {
        headers.insert(CONNECTION, HeaderValue::from_static("close, TE"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if taken.has_body || means_a_body(&taken.head.method) {
        match taken.body.length() {
            Some(length) => headers.insert(CONTENT_LENGTH, length.into()),
            None => headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked")),
        };
    }
    Ok((request, uplink))
}

/// Whether a request without a body says so by a length of 0 (RFC 9110, section 8.6): primitive servers refuse
/// a POST that tells no length, or wait for what never comes.
fn means_a_body(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

/// A body on its way to the origin.
pub enum Sending {
    /// From the spool.
    Whole(Sent),
    /// From the client.
    Live(Upload),
}

impl Body for Sending {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        match self.get_mut() {
            Self::Whole(sent) => Pin::new(sent).poll_frame(cx),
            Self::Live(upload) => Pin::new(upload).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(sent) => sent.is_end_stream(),
            Self::Live(upload) => upload.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(sent) => sent.size_hint(),
            Self::Live(upload) => upload.size_hint(),
        }
    }
}

/// The body on its way to the origin, from the spool.
pub struct Sent {
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
