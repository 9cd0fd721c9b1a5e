//! A request on its way out: its head, and behind it the body as that comes.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

use super::LegError;
use crate::exchange::sending::{Message, Sending};

/// What is still to be written of one request.
#[derive(Default)]
pub struct Out {
    /// The head, or the line before a chunk.
    before: Bytes,
    data: Bytes,
    /// The end of the line behind a chunk.
    behind: Bytes,
    /// Where the rest comes from.
    body: Option<Sending>,
    is_chunked: bool,
    /// The connection took no more, the last time.
    was_full: bool,
}

const LINE_END: Bytes = Bytes::from_static(b"\r\n");
const LAST_CHUNK: Bytes = Bytes::from_static(b"0\r\n\r\n");

impl Out {
    /// All of `message`, nothing of it written yet.
    pub fn new(message: Message) -> Self {
        Self {
            before: message.head,
            data: Bytes::new(),
            behind: Bytes::new(),
            body: message.body,
            is_chunked: message.is_chunked,
            was_full: false,
        }
    }

    /// Whether all of it was written.
    pub fn is_done(&self) -> bool {
        self.body.is_none() && self.is_drained()
    }

    /// Writes as much as can be; ready when that was all. The head goes out with the first of the body, where that is
    /// at hand, since primitive servers read both at once.
    ///
    /// # Errors
    /// [`LegError`]: of the connection, or of whoever the body comes from.
    pub fn poll_write<W: AsyncWrite + Unpin>(
        &mut self,
        to: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), LegError>> {
        loop {
            let is_waiting = self.poll_body(cx)?.is_pending();
            if self.is_drained() {
                return match is_waiting {
                    true => Poll::Pending,
                    false => Poll::Ready(Ok(())),
                };
            }
            let Poll::Ready(written) = self.poll_some(to, cx) else {
                self.was_full = true;
                return Poll::Pending;
            };
            let written = written.map_err(LegError::Broken)?;
            if std::mem::take(&mut self.was_full) {
                // There is room again: the origin reads. What fits without that lies in the kernel, for all we know.
                self.body.iter().for_each(Sending::is_read);
            }
            if written == 0 {
                let error = io::ErrorKind::WriteZero.into();
                return Poll::Ready(Err(LegError::Broken(error)));
            }
            self.advance(written);
        }
    }

    fn is_drained(&self) -> bool {
        self.before.is_empty() && self.data.is_empty() && self.behind.is_empty()
    }

    /// Fetches the next piece of the body, if there is room for it.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LegError>> {
        if !self.data.is_empty() || !self.behind.is_empty() {
            return Poll::Ready(Ok(()));
        }
        // The line of a chunk is written behind the head, once that is out.
        if self.is_chunked && !self.before.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while let Some(body) = &mut self.body {
            match ready!(body.poll_next(cx)) {
                Some(Err(failure)) => return Poll::Ready(Err(LegError::Body(failure))),
                Some(Ok(data)) if data.is_empty() => {}
                Some(Ok(data)) => {
                    if self.is_chunked {
                        self.before = format!("{:x}\r\n", data.len()).into();
                        self.behind = LINE_END;
                    }
                    self.data = data;
                    break;
                }
                None => {
                    self.body = None;
                    if self.is_chunked {
                        self.behind = LAST_CHUNK;
                    }
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_some<W: AsyncWrite + Unpin>(
        &self,
        to: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.data.is_empty() && self.behind.is_empty() {
            return Pin::new(to).poll_write(cx, &self.before);
        }
        let parts = [&self.before, &self.data, &self.behind].map(|part| IoSlice::new(part));
        Pin::new(to).poll_write_vectored(cx, &parts)
    }

    fn advance(&mut self, mut written: usize) {
        for part in [&mut self.before, &mut self.data, &mut self.behind] {
            let here = written.min(part.len());
            part.advance(here);
            written -= here;
        }
    }
}
