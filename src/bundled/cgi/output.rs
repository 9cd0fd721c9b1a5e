//! What a script writes behind its head, on its way to the client.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Method, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::process::ChildStdout;
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};

use super::reply::Page;
use super::run::Group;
use crate::bundled::content::Content;

/// The rest of a script's output. When this is dropped before its end, the script is ended: nobody reads it.
pub(in crate::bundled) struct Output {
    name: String,
    stdout: ChildStdout,
    /// Read together with the head.
    begun: Bytes,
    /// What it said it would still write.
    promised: Option<u64>,
    /// `None` once it ends by itself.
    group: Option<Group>,
    deadline: Instant,
    alarm: Pin<Box<Sleep>>,
}

/// Taken at a time: what a pipe holds.
const CHUNK: usize = 64 * 1024;

impl Output {
    pub(super) fn new(
        name: String,
        stdout: ChildStdout,
        begun: Bytes,
        promised: Option<u64>,
        group: Group,
        deadline: Instant,
    ) -> Output {
        Output {
            name,
            stdout,
            begun,
            promised,
            group: Some(group),
            deadline,
            alarm: Box::pin(sleep_until(deadline)),
        }
    }

    /// The answer this is the body of.
    pub(super) fn with(self, page: Page, method: &Method) -> Response<Content> {
        let is_bodiless = *method == Method::HEAD
            || page.length == Some(0)
            || matches!(
                page.status,
                StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
            );
        let mut response = Response::new(Content::EMPTY);
        *response.status_mut() = page.status;
        *response.headers_mut() = page.headers;
        if *method == Method::HEAD
            && let Some(length) = page.length
        {
            let length = HeaderValue::from(length);
            response.headers_mut().insert(CONTENT_LENGTH, length);
        }
        match is_bodiless {
            true => self.finish(),
            false => *response.body_mut() = Content::Script(Box::new(self)),
        }
        response
    }

    /// Lets it end within its time, and takes no notice of what it still writes.
    pub(super) fn finish(mut self) {
        tokio::spawn(async move {
            let mut unread = vec![0; CHUNK];
            let rest = async { while matches!(self.stdout.read(&mut unread).await, Ok(1..)) {} };
            let _ = timeout_at(self.deadline, rest).await;
            self.leave();
        });
    }

    /// What it said it would still write.
    pub(in crate::bundled) fn promised(&self) -> Option<u64> {
        self.promised
    }

    /// The next bytes. Fails where it takes longer than it may, or writes less than it promised.
    pub(in crate::bundled) fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Bytes>>> {
        if self.group.is_none() {
            return Poll::Ready(None);
        }
        let chunk = match self.begun.is_empty() {
            false => std::mem::take(&mut self.begun),
            true => {
                if self.alarm.as_mut().poll(cx).is_ready() {
                    let told =
                        "its answer did not end in time; it was killed with all that it started";
                    return self.fail(io::ErrorKind::TimedOut, told);
                }
                let mut room = vec![0; CHUNK];
                let mut read = ReadBuf::new(&mut room);
                ready!(Pin::new(&mut self.stdout).poll_read(cx, &mut read))?;
                let len = read.filled().len();
                room.truncate(len);
                Bytes::from(room)
            }
        };
        if chunk.is_empty() {
            if self.promised.is_some_and(|promised| promised > 0) {
                let told = "it ended before all that its Content-Length promised";
                return self.fail(io::ErrorKind::UnexpectedEof, told);
            }
            self.leave();
            return Poll::Ready(None);
        }
        Poll::Ready(Some(Ok(self.counted(chunk))))
    }

    /// No more than was promised: what is beyond would be taken for the next answer.
    fn counted(&mut self, mut chunk: Bytes) -> Bytes {
        if let Some(promised) = &mut self.promised {
            let fits = (*promised).min(chunk.remaining() as u64);
            if fits < chunk.len() as u64 {
                tracing::warn!(script = %self.name, "it writes more than its Content-Length says");
            }
            chunk.truncate(fits as usize);
            *promised -= fits;
            if *promised == 0 {
                self.leave();
            }
        }
        chunk
    }

    fn fail(&mut self, kind: io::ErrorKind, told: &'static str) -> Poll<Option<io::Result<Bytes>>> {
        tracing::error!(script = %self.name, "{told}");
        self.group = None;
        Poll::Ready(Some(Err(io::Error::new(kind, told))))
    }

    /// It has said all; it may still have to clear up.
    fn leave(&mut self) {
        if let Some(group) = self.group.take() {
            tokio::spawn(group.end_by(self.deadline));
        }
    }
}
