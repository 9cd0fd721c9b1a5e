//! A request as it is sent to the origin.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Method;
use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING,
};

use super::intake::{Load, Taken};
use super::leg::write::HeadWriter;
use super::spool::WholeReader;
use super::upload::{Uplink, Upload};
use crate::config::settings::{Manners, OriginVersion};
use crate::ground::failure::{Cause, Failure, Phase};
use crate::ground::ledger::Tally;
use crate::origin::Pulse;

/// A request, ready to be written.
pub struct Message {
    /// Its head, as it goes out.
    pub head: Bytes,
    /// Its body, where it has one.
    pub body: Option<Sending>,
    /// Whether that goes out in chunks, because nobody knows its length.
    pub is_chunked: bool,
}

/// A body on its way to the origin.
pub enum Sending {
    /// From the spool.
    Whole(Sent),
    /// From the client.
    Live(Upload),
}

/// A body on its way to the origin, from the spool.
pub struct Sent {
    body: WholeReader,
    pulse: Pulse,
}

/// The request as it is sent, and how its upload goes if it is one. `keeps` asks the origin to leave the connection
/// open.
///
/// # Errors
/// The origin's failure: its body was sent before, and is gone. The client's: the origin speaks HTTP/1.0, and has to be
/// told a length that the client did not tell.
pub fn message(
    taken: &Taken,
    manners: &Manners,
    keeps: bool,
    pulse: &Pulse,
    tally: &Arc<Tally>,
) -> Result<(Message, Option<Uplink>), Failure> {
    let (body, uplink) = self::body(taken, pulse, tally)?;
    let framing = framing(taken, manners.version)?;
    let is_chunked = matches!(&framing, Some((name, _)) if *name == TRANSFER_ENCODING);
    let head = head(taken, manners, keeps, framing);
    let message = Message {
        head,
        body,
        is_chunked,
    };
    Ok((message, uplink))
}

/// The body as it is sent, and how its upload goes if it is one.
///
/// # Errors
/// The origin's failure: it was sent before, and is gone.
pub fn body(
    taken: &Taken,
    pulse: &Pulse,
    tally: &Arc<Tally>,
) -> Result<(Option<Sending>, Option<Uplink>), Failure> {
    Ok(match &taken.body {
        Load::Whole(whole) if whole.len() == 0 => (None, None),
        Load::Whole(whole) => {
            let sent = Sent {
                body: whole.reader(),
                pulse: pulse.clone(),
            };
            (Some(Sending::Whole(sent)), None)
        }
        Load::Live(live) => {
            let spent = || Failure::origin(Phase::Send, Cause::Truncated);
            let (upload, link) = live.send(pulse, tally).ok_or_else(spent)?;
            (Some(Sending::Live(upload)), Some(link))
        }
    })
}

fn head(
    taken: &Taken,
    manners: &Manners,
    keeps: bool,
    framing: Option<(HeaderName, HeaderValue)>,
) -> Bytes {
    let asked = &taken.head;
    let mut head = HeadWriter::begin(
        &asked.method,
        &asked.target,
        manners.version,
        manners.title_case,
    );
    head.fields(&asked.headers);
    for (name, value) in asked.trail.fields() {
        head.written(&name, value.bytes());
    }
    if let Some(bid) = &taken.bid {
        let mut wish = HeaderMap::new();
        bid.ask(&asked.headers, &mut wish);
        head.fields(&wish);
    } else if taken.trailers {
        head.field(&CONNECTION, &HeaderValue::from_static("close, TE"));
        head.field(&TE, &HeaderValue::from_static("trailers"));
    } else if !keeps {
        head.field(&CONNECTION, &HeaderValue::from_static("close"));
    }
    if let Some((name, value)) = framing {
        head.field(&name, &value);
    }
    head.end()
}

/// The field that tells how the end of the body is known, where one is due.
fn framing(
    taken: &Taken,
    version: OriginVersion,
) -> Result<Option<(HeaderName, HeaderValue)>, Failure> {
    if !taken.has_body && !means_a_body(&taken.head.method) {
        return Ok(None);
    }
    match taken.body.length() {
        Some(length) => Ok(Some((CONTENT_LENGTH, length.into()))),
        None if version == OriginVersion::V1_0 => {
            let what =
                "this origin speaks HTTP/1.0: a body that is streamed to it needs a Content-Length";
            Err(Failure::client(Phase::Body, Cause::Unsupported(what)))
        }
        None => Ok(Some((
            TRANSFER_ENCODING,
            HeaderValue::from_static("chunked"),
        ))),
    }
}

/// Whether a request without a body says so by a length of 0 (RFC 9110, section 8.6): primitive servers refuse
/// a POST that tells no length, or wait for what never comes.
fn means_a_body(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

impl Sending {
    /// The next bytes, `None` at the end, or why there are no more.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        match self {
            Self::Whole(sent) => sent.body.poll_next(cx),
            Self::Live(upload) => upload.poll_next(cx),
        }
    }

    /// The origin has read some of it: a sign of life. That it was sent is none, for the kernel takes some megabytes of a
    /// body, and the whole of most requests, whether or not anybody reads them.
    pub fn is_read(&self) {
        match self {
            Self::Whole(sent) => sent.pulse.life(0),
            Self::Live(upload) => upload.is_read(),
        }
    }
}
