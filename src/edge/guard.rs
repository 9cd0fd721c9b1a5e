//! Stands between TLS and HTTP/2: counts the client's frames as they go by, and ends a flood with a GOAWAY that
//! names the reason.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::flood::{Account, Flood, Limits};
use super::flow::Flow;
use super::frames::Frames;
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
}

/// What the guard found, for who drives the connection.
#[derive(Debug, Clone, Default)]
pub struct Found(Arc<AtomicU8>);

impl<S> Guard<S> {
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
        };
        (guard, found)
    }

    fn count(&mut self, bytes: &[u8]) -> Option<Flood> {
        let now = deadline::now();
        let (account, mut flood) = (&mut self.account, None);
        self.from_client.take(bytes, |kind| {
            flood = flood.or(account.seen(kind, now));
        });
        let is_in_head = self.from_client.is_in_head();
        if std::mem::replace(&mut self.is_in_head, is_in_head) != is_in_head {
            self.flow.head_is_under_way(is_in_head);
        }
        flood
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
        let before = buf.filled().len();
        let read = Pin::new(&mut this.inner).poll_read(cx, buf);
        let Some(flood) = this.count(&buf.filled()[before..]) else {
            return read;
        };
        this.found.note(flood);
        if this.to_client.is_between() {
            // Best effort: a client that floods us may not listen.
            let _ = Pin::new(&mut this.inner).poll_write(cx, &flood.goaway());
            let _ = Pin::new(&mut this.inner).poll_flush(cx);
        }
        Poll::Ready(Err(io::Error::other(flood.key())))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write(cx, buf);
        if let Poll::Ready(Ok(written)) = written {
            this.to_client.take(&buf[..written], |_| {});
            this.account.sent(written);
        }
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write_vectored(cx, bufs);
        if let Poll::Ready(Ok(written)) = written {
            let mut left = written;
            for buf in bufs {
                let part = left.min(buf.len());
                this.to_client.take(&buf[..part], |_| {});
                left -= part;
            }
            this.account.sent(written);
        }
        written
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
