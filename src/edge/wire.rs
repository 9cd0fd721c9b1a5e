//! A client's socket, under TLS: what the kernel takes and gives is progress, a marked one ends by reset, and
//! any other lingers a moment, so that the client gets to read our last answer.

use std::future::Future;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::flow::{End, Flow};
use super::peer;
use crate::ground::sys;

/// A client's socket whose bytes are noted in its flow.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    flow: Arc<Flow>,
    /// Whether the client has ever kept us waiting to write.
    is_slow: bool,
    farewell: Option<Farewell>,
}

/// The lingering close: we have said our last, and hear out the client for a while. Closing at once, with bytes
/// of its unread, would send a reset, and that may overtake our answer.
#[derive(Debug)]
struct Farewell {
    until: Pin<Box<Sleep>>,
    heard: usize,
}

/// A client is heard out for so long,
const LINGER: Duration = Duration::from_secs(2);
/// and for so many bytes.
const LINGER_BYTES: usize = 16 << 20;

impl Wire {
    /// Notes the bytes of `stream` in `flow`.
    pub fn new(stream: TcpStream, flow: Arc<Flow>) -> Self {
        Self {
            stream,
            flow,
            is_slow: false,
            farewell: None,
        }
    }

    fn hear_out(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let farewell = self.farewell.get_or_insert_with(|| Farewell {
            until: Box::pin(tokio::time::sleep(LINGER)),
            heard: 0,
        });
        let mut scratch = [0; 4096];
        while farewell.heard < LINGER_BYTES {
            let mut buf = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                    farewell.heard += buf.filled().len();
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return farewell.until.as_mut().poll(cx),
            }
        }
        Poll::Ready(())
    }

    fn note(&mut self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Ready(Ok(bytes)) => self.flow.wrote(*bytes),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                if let Some(info) = sys::tcp_info(self.stream.as_fd()) {
                    self.flow.acknowledged(info.acked, info.last_sent);
                }
                self.flow.stalls();
                if !std::mem::replace(&mut self.is_slow, true) {
                    // From now on its deadlines are ours. The kernel's would end a reader with a small window 30 s
                    // after that was first shut, though it takes 20 KB/s (measured): the kernel sees it open only
                    // when a whole segment of its queue, up to 64 KiB, fits in.
                    let _ = SockRef::from(&self.stream).set_tcp_user_timeout(None);
                }
            }
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.flow.is_tunnel() {
            if self.flow.is_reset() {
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
            self.flow.waits(cx.waker());
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.flow.read();
        }
        read
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.note(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.farewell.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        }
        self.hear_out(cx).map(Ok)
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let info = || sys::tcp_info(self.stream.as_fd());
        let is_reset = match self.flow.end() {
            End::Order => false,
            End::Swept => info().is_some_and(|info| peer::has_all(&info)),
            End::Late | End::Reset => true,
        };
        if self.flow.is_reset()
            && self.flow.is_stalled()
            && let Some(info) = info()
        {
            tracing::info!(client = ?self.stream.peer_addr().ok(), "client {}", peer::judge(&info));
        }
        if is_reset {
            // Best effort: a socket that is closed already has nothing left to reset.
            let _ = self.stream.set_zero_linger();
        }
        self.flow.closes();
    }
}
