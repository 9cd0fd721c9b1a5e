//! The leg to the origin: HTTP/1 as a client speaks it, one exchange after the other over one connection.
//!
//! [`mod@write`] and [`out`] make the request, [`parse`] and [`framing`] read the answer; nothing runs beside it, so that a
//! small exchange is one write and one read. What the origin may do wrong ends here with a word.

mod framing;
mod out;
mod parse;
pub mod write;

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode, response};
use http_body::Frame;

use self::framing::{Found, Framing};
use self::out::Out;
use super::sending::Message;
use crate::ground::failure::{Cause, Failure, Phase};
use crate::origin::dial::OriginStream;

/// One connection to the origin. Dropping it resets it.
pub struct Leg {
    stream: OriginStream,
    local: Option<SocketAddr>,
    buffer: BytesMut,
    /// How much is read next at once.
    read: usize,
    is_ended: bool,
    out: Out,
    /// Bytes of interim answers.
    interim: usize,
    framing: Framing,
    persists: bool,
}

/// Why a leg ended before the answer did.
#[derive(Debug)]
pub enum LegError {
    /// The origin closed it before the whole head of an answer had come.
    Closed,
    /// The origin closed it in the middle of a body.
    Truncated,
    /// What the origin sent is no HTTP.
    Malformed(&'static str),
    /// The connection broke.
    Broken(io::Error),
    /// The body of the request ended early; whose fault that is, it says itself.
    Body(Failure),
}

/// Read at first: most answers are no larger.
const READ: usize = 8 << 10;
/// Read at once, at the most.
const READ_MOST: usize = 64 << 10;

impl Leg {
    /// Over a new connection.
    pub fn new(stream: OriginStream) -> Self {
        Self {
            local: stream.local(),
            stream,
            buffer: BytesMut::new(),
            read: READ,
            is_ended: false,
            out: Out::default(),
            interim: 0,
            framing: Framing::Done,
            persists: true,
        }
    }

    /// Our end of the connection.
    pub fn local(&self) -> Option<SocketAddr> {
        self.local
    }

    /// Begins to send `message`, and returns the head of the final answer to it; what is left to be sent is sent while
    /// the answer is read. Interim answers (1xx) are passed over, up to 64 KiB of them. The caller bounds it by a deadline.
    ///
    /// # Errors
    /// [`LegError`].
    pub async fn ask(
        &mut self,
        message: Message,
        asked: &Method,
    ) -> Result<response::Parts, LegError> {
        self.out = Out::new(message);
        self.interim = 0;
        poll_fn(|cx| self.poll_head(asked, cx)).await
    }

    /// The next frame of the answer's body, `None` at its end. The caller bounds it by a deadline.
    ///
    /// # Errors
    /// [`LegError`].
    pub async fn frame(&mut self) -> Option<Result<Frame<Bytes>, LegError>> {
        poll_fn(|cx| self.poll_piece(cx)).await
    }

    /// Whether another request may be sent over it: the answer has come whole, and nothing beside it.
    pub fn is_reusable(&self) -> bool {
        let is_answered = self.framing == Framing::Done && self.buffer.is_empty();
        self.persists && is_answered && self.out.is_done() && !self.is_ended
    }

    /// Whether the body had no end but that of the connection, and that has come.
    pub fn ended_by_close(&self) -> bool {
        self.is_ended && self.framing == Framing::UntilClose
    }

    /// Gives its buffer back, to rest.
    pub fn rest(&mut self) {
        self.buffer = BytesMut::new();
        self.read = READ;
    }

    /// Whether it is still as it rested: neither closed by the origin, nor spoken into.
    pub fn is_fresh(&self) -> bool {
        self.stream.is_quiet()
    }

    /// The connection itself, and what came behind the head: what the origin says to a tunnel.
    pub fn into_tunnel(self) -> (OriginStream, Bytes) {
        (self.stream, self.buffer.freeze())
    }

    fn poll_head(
        &mut self,
        asked: &Method,
        cx: &mut Context<'_>,
    ) -> Poll<Result<response::Parts, LegError>> {
        loop {
            if let Poll::Ready(Err(error)) = self.poll_send(cx) {
                return Poll::Ready(Err(error));
            }
            let before = self.buffer.len();
            if before > 0
                && let Some(head) = parse::head(&mut self.buffer, asked).map_err(malformed)?
            {
                let status = head.parts.status;
                if status == StatusCode::SWITCHING_PROTOCOLS {
                    if !self.out.is_done() {
                        // The rest of the request would be taken for what is said in the tunnel.
                        let what = "it switched protocols before it had the whole request";
                        return Poll::Ready(Err(LegError::Malformed(what)));
                    }
                } else if status.is_informational() {
                    self.interim += before - self.buffer.len();
                    if self.interim > parse::LONGEST {
                        let what = "its interim answers are larger than 64 KiB";
                        return Poll::Ready(Err(LegError::Malformed(what)));
                    }
                    continue;
                }
                self.framing = head.framing;
                self.persists = head.persists && status != StatusCode::SWITCHING_PROTOCOLS;
                return Poll::Ready(Ok(head.parts));
            }
            if self.is_ended {
                return Poll::Ready(Err(LegError::Closed));
            }
            ready!(self.poll_read(cx)).map_err(LegError::Broken)?;
        }
    }

    /// The same for who polls.
    pub fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, LegError>>> {
        loop {
            if let Poll::Ready(Err(error)) = self.poll_send(cx) {
                return Poll::Ready(Some(Err(error)));
            }
            match self.framing.next(&mut self.buffer) {
                Ok(Found::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(Found::Trailers(fields)) => {
                    return Poll::Ready(Some(Ok(Frame::trailers(fields))));
                }
                Ok(Found::End) => return Poll::Ready(None),
                Ok(Found::More) => {}
                Err(error) => return Poll::Ready(Some(Err(malformed(error)))),
            }
            if self.is_ended {
                return Poll::Ready(match self.framing {
                    Framing::UntilClose => None,
                    _ => Some(Err(LegError::Truncated)),
                });
            }
            if let Err(error) = ready!(self.poll_read(cx)) {
                return Poll::Ready(Some(Err(LegError::Broken(error))));
            }
        }
    }

    /// Sends what is left of the request, as far as that goes.
    pub fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LegError>> {
        match self.out.is_done() {
            true => Poll::Ready(Ok(())),
            false => self.out.poll_write(&mut self.stream, cx),
        }
    }

    /// Reads once. Who fills the buffer is given a larger one.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.buffer.capacity() - self.buffer.len() < self.read / 2 {
            self.buffer.reserve(self.read);
        }
        let room = self.buffer.capacity() - self.buffer.len();
        let stream = Pin::new(&mut self.stream);
        let read = ready!(tokio_util::io::poll_read_buf(stream, cx, &mut self.buffer))?;
        self.is_ended = read == 0;
        if read == room {
            self.read = (self.read * 2).min(READ_MOST);
        }
        Poll::Ready(Ok(()))
    }
}

fn malformed(error: parse::Malformed) -> LegError {
    LegError::Malformed(error.0)
}

impl LegError {
    /// Whose fault it is: the origin's at `phase`, but for the body of a request.
    pub fn at(self, phase: Phase) -> Failure {
        let cause = match self {
            Self::Closed => Cause::Broken("it closed the connection without an answer".to_owned()),
            Self::Truncated => Cause::Truncated,
            Self::Malformed(what) => Cause::Malformed(what),
            Self::Broken(error) => Cause::Broken(error.to_string()),
            Self::Body(failure) => return failure,
        };
        Failure::origin(phase, cause)
    }
}

#[cfg(test)]
mod tests;
