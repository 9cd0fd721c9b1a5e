//! Stands between TLS and HTTP/1: notes when part of a head has come, and tells a client whose head came too late so,
//! which hyper cannot (it ends such a connection without a word).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::flow::{End, Flow};

/// A stream of HTTP/1.
#[derive(Debug)]
pub struct Late<S> {
    inner: S,
    flow: Arc<Flow>,
    /// How much of the answer was said.
    said: usize,
}

/// 408 (RFC 9110, section 15.5.9), for any client: nobody knows what it was about to ask.
const ANSWER: &[u8] = b"HTTP/1.1 408 Request Timeout\r\n\
    Content-Type: text/plain; charset=utf-8\r\nContent-Length: 53\r\nCache-Control: no-store\r\n\
    Proxy-Status: leeward; error=http_request_error; details=\"edge.deadlines.head\"\r\n\
    Connection: close\r\n\r\n\
    The head of the request did not arrive in time (408).";

impl<S> Late<S> {
    /// `inner` is where HTTP/1 is spoken.
    pub fn new(inner: S, flow: Arc<Flow>) -> Self {
        let said = 0;
        Self { inner, flow, said }
    }
}

impl<S: AsyncWrite + Unpin> Late<S> {
    /// Says it, closes, and hears the client out.
    fn say(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.said < ANSWER.len() {
            let rest = &ANSWER[self.said..];
            match ready!(Pin::new(&mut self.inner).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                said => self.said += said,
            }
        }
        ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
        ready!(Pin::new(&mut self.inner).poll_shutdown(cx))?;
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Late<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.flow.end() == End::Late {
            return this.say(cx);
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut this.inner).poll_read(cx, buf);
        if buf.filled().len() > before {
            this.flow.hears();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Late<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, bufs)
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

#[cfg(test)]
mod tests {
    use super::super::flow::Speaks;
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn the_answer_is_whole_and_then_nothing_is_read_any_more() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let flow = Arc::new(Flow::begin(Default::default()));
        flow.speaks(Speaks::Http1);
        let mut late = Late::new(ours, flow.clone());
        theirs.write_all(b"GET / HT").await.unwrap();
        let mut scratch = [0; 64];
        assert_eq!(late.read(&mut scratch).await.unwrap(), 8);
        assert!(flow.may_be_told_late());
        flow.ends(End::Late);
        let said = tokio::spawn(async move { late.read(&mut [0; 64]).await });
        let mut answer = String::new();
        theirs.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let length = format!("Content-Length: {}", body.len());
        assert!(head.contains(&length), "{answer}");
        let ended = said.await.unwrap().unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::TimedOut);
    }
}
