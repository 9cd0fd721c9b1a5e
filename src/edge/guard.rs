//! Stands between TLS and HTTP/2: looks at the client's preface, counts the frames as they go by, and ends a flood
//! with a GOAWAY that names the reason.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::flood::{Account, Flood, Limits};
use super::flow::Flow;
use super::frames::{Frames, Kind, PREFACE};
use crate::ground::deadline;

/// A stream of HTTP/2 frames, guarded.
#[derive(Debug)]
pub struct Guard<S> {
    inner: S,
    from_client: Frames,
    to_client: Frames,
    account: Account,
    found: Found,
    flow: Arc<Flow>,
    /// Whether a head has begun and is not whole.
    is_in_head: bool,
    /// How much of the preface has come.
    preface: usize,
    ending: Option<Ending>,
}

/// What the guard found, for who drives the connection.
#[derive(Debug, Clone, Default)]
pub struct Found(Arc<AtomicU8>);

/// Why the guard ends a connection.
#[derive(Debug, Clone, Copy)]
enum Ending {
    /// It is flooded.
    Flood(Flood),
    /// What came is no preface (RFC 9113, section 3.4): the client speaks something else.
    NoPreface,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Guard<S> {
    /// Guards a connection whose preface is still to come.
    pub fn new(inner: S, limits: Limits, flow: Arc<Flow>) -> (Self, Found) {
        let found = Found::default();
        let guard = Self {
            inner,
            from_client: Frames::of_client(),
            to_client: Frames::of_server(),
            account: Account::open(limits, deadline::now()),
            found: found.clone(),
            flow,
            is_in_head: false,
            preface: 0,
            ending: None,
        };
        (guard, found)
    }

    fn came(&mut self, bytes: &[u8]) -> Option<Ending> {
        let owed = &PREFACE[self.preface..];
        let part = owed.len().min(bytes.len());
        if owed[..part] != bytes[..part] {
            return Some(Ending::NoPreface);
        }
        self.preface += part;
        let now = deadline::now();
        let (account, mut flood) = (&mut self.account, None);
        self.from_client.take(bytes, |kind| {
            flood = flood.or(account.seen(kind, now));
        });
        let is_in_head = self.from_client.is_in_head();
        if std::mem::replace(&mut self.is_in_head, is_in_head) != is_in_head {
            self.flow.head_is_under_way(is_in_head);
        }
        flood.map(Ending::Flood)
    }

    fn went(&mut self, bytes: &[u8]) -> Option<Flood> {
        self.account.sent(bytes.len());
        let (account, mut flood) = (&mut self.account, None);
        self.to_client.take(bytes, |kind| {
            if let Kind::Reset(reason) = kind {
                flood = flood.or(account.gave_up(reason, deadline::now()));
            }
        });
        flood
    }

    fn wrote(&mut self, flood: Option<Flood>, cx: &mut Context<'_>) {
        if let Some(flood) = flood {
            self.begin_end(Ending::Flood(flood), cx);
            // Who reads is to find out.
            cx.waker().wake_by_ref();
        }
    }

    fn begin_end(&mut self, ending: Ending, cx: &mut Context<'_>) {
        self.ending = Some(ending);
        let Ending::Flood(flood) = ending else { return };
        self.found.note(flood);
        if self.to_client.is_between() {
            // Best effort: a client that floods us may not listen.
            let _ = Pin::new(&mut self.inner).poll_write(cx, &flood.goaway());
        }
    }

    /// Says goodbye in TLS too, and hears the client out for a moment, so that it gets to read why.
    fn poll_end(&mut self, ending: Ending, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = ready!(Pin::new(&mut self.inner).poll_shutdown(cx));
        Poll::Ready(Err(io::Error::other(ending.word())))
    }
}

impl Ending {
    fn word(self) -> &'static str {
        match self {
            Self::Flood(flood) => flood.key(),
            Self::NoPreface => "what came is not the preface of HTTP/2",
        }
    }
}

impl Found {
    /// The flood that ended the connection, if one did.
    pub fn flood(&self) -> Option<Flood> {
        match self.0.load(Ordering::Relaxed) {
            1 => Some(Flood::Control),
            2 => Some(Flood::Resets),
            _ => None,
        }
    }

    fn note(&self, flood: Flood) {
        let number = match flood {
            Flood::Control => 1,
            Flood::Resets => 2,
        };
        self.0.store(number, Ordering::Relaxed);
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Guard<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(ending) = this.ending {
            return this.poll_end(ending, cx);
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut this.inner).poll_read(cx, buf);
        let Some(ending) = this.came(&buf.filled()[before..]) else {
            return read;
        };
        buf.set_filled(before);
        this.begin_end(ending, cx);
        this.poll_end(ending, cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.ending.is_some() {
            // The goodbye was the last; who reads ends it.
            return Poll::Pending;
        }
        let written = ready!(Pin::new(&mut this.inner).poll_write(cx, buf))?;
        let flood = this.went(&buf[..written]);
        this.wrote(flood, cx);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.ending.is_some() {
            return Poll::Pending;
        }
        let written = ready!(Pin::new(&mut this.inner).poll_write_vectored(cx, bufs))?;
        let (mut left, mut flood) = (written, None);
        for buf in bufs {
            let part = left.min(buf.len());
            flood = flood.or(this.went(&buf[..part]));
            left -= part;
        }
        this.wrote(flood, cx);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}
