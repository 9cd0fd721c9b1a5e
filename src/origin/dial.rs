//! Connecting to the origin, by TCP or unix socket, so that a close is always a reset.

mod socket;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream, UnixStream};

use crate::ground::addr::OriginAddr;
use socket::Socket;

#[cfg(test)]
pub use socket::memory;

/// A connection to the origin. Dropping it resets it: nothing of it is left at the origin's port, and an
/// origin that still writes is released at once.
///
/// An origin may answer before it has read all, and close; what we write then only meets its reset, while the
/// answer lies in our kernel. So a write that finds nobody there counts as done: the read tells how it ended. The kernel
/// tells of a reset only once, and it may be the write that hears of it; so the read is told again.
#[derive(Debug)]
pub struct OriginStream {
    socket: Socket,
    /// The origin takes nothing any more.
    is_deaf: bool,
    /// A write has heard of a reset.
    is_reset: bool,
}

/// Connects, from `source` where one is set. The caller bounds it by a deadline.
///
/// # Errors
/// What the system said.
pub async fn open(address: &OriginAddr, source: Option<IpAddr>) -> io::Result<OriginStream> {
    #[cfg(test)]
    if let Some(socket) = memory::dial(address) {
        return socket.map(OriginStream::over);
    }
    let socket = match address {
        OriginAddr::Tcp(addr) => Socket::Tcp(tcp(*addr, source).await?),
        OriginAddr::Unix(path) => Socket::Unix(unix(path).await?),
    };
    Ok(OriginStream::over(socket))
}

async fn tcp(addr: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let stream = connect(addr, source).await?;
    stream.set_zero_linger()?;
    // Where nobody listens on a port the kernel also gives out to callers, a call can be given that very port
    // and reach itself; the origin could not listen there for as long as it lasts.
    if stream.local_addr()? == addr {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn unix(path: &Path) -> io::Result<UnixStream> {
    loop {
        match UnixStream::connect(path).await {
            // A full backlog of a unix socket refuses at once instead of waiting.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            done => return done,
        }
    }
}

async fn connect(addr: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let Some(source) = source else {
        return TcpStream::connect(addr).await;
    };
    let socket = match addr.is_ipv4() {
        true => TcpSocket::new_v4()?,
        false => TcpSocket::new_v6()?,
    };
    socket.bind(SocketAddr::new(source, 0))?;
    socket.connect(addr).await
}

impl OriginStream {
    fn over(socket: Socket) -> Self {
        Self {
            socket,
            is_deaf: false,
            is_reset: false,
        }
    }

    /// For hyper.
    pub fn into_io(self) -> TokioIo<Self> {
        TokioIo::new(self)
    }

    /// Our end of it.
    pub fn local(&self) -> Option<SocketAddr> {
        self.socket.local()
    }

    /// Whether the origin has said nothing that was not read yet, and takes what it is told.
    pub fn is_quiet(&self) -> bool {
        !self.is_deaf && self.socket.is_quiet()
    }

    /// Goes on as if the origin had taken all of `bytes`, should it be gone.
    fn bear(&mut self, written: Poll<io::Result<usize>>, bytes: usize) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Err(error)) if is_hang_up(&error) => {
                self.is_deaf = true;
                self.is_reset |= error.kind() == io::ErrorKind::ConnectionReset;
                Poll::Ready(Ok(bytes))
            }
            other => other,
        }
    }
}

fn is_hang_up(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
    )
}

impl AsyncRead for OriginStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.remaining();
        let read = Pin::new(&mut this.socket).poll_read(cx, buf);
        let is_at_end = matches!(read, Poll::Ready(Ok(()))) && buf.remaining() == before;
        match is_at_end && before > 0 && this.is_reset {
            true => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            false => read,
        }
    }
}

impl AsyncWrite for OriginStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.is_deaf {
            return Poll::Ready(Ok(buf.len()));
        }
        let written = Pin::new(&mut this.socket).poll_write(cx, buf);
        this.bear(written, buf.len())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let bytes = bufs.iter().map(|buf| buf.len()).sum();
        if this.is_deaf {
            return Poll::Ready(Ok(bytes));
        }
        let written = Pin::new(&mut this.socket).poll_write_vectored(cx, bufs);
        this.bear(written, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// Where nothing but the end of the connection tells the end of an answer, it would seem whole.
    #[tokio::test]
    async fn a_reset_that_a_write_heard_of_is_told_to_who_reads() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut stream = open(&OriginAddr::Tcp(address), None).await.unwrap();
        let (mut origin, _) = listener.accept().unwrap();
        std::io::Write::write_all(&mut origin, b"half").unwrap();
        stream.write_all(b"unread").await.unwrap();
        // A close over what was not read is a reset.
        drop(origin);
        stream.write_all(b"to nobody").await.unwrap();
        let mut said = [0; 4];
        stream.read_exact(&mut said).await.unwrap();
        assert_eq!(&said, b"half");
        let end = stream.read(&mut said).await.unwrap_err();
        assert_eq!(end.kind(), io::ErrorKind::ConnectionReset);
    }

    /// The kernel gives callers mostly the even ports of this range, so that some thousands of calls find one.
    #[tokio::test]
    async fn a_call_that_reaches_itself_is_refused() {
        let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
        let mut ends = range
            .split_whitespace()
            .map(|end| end.parse::<u16>().unwrap());
        let (first, last) = (ends.next().unwrap(), ends.next().unwrap());
        let even = first.next_multiple_of(2);
        let free = (even..last)
            .step_by(2)
            .map(|port| SocketAddr::from(([127, 0, 0, 1], port)))
            .find(|addr| std::net::TcpListener::bind(addr).is_ok())
            .unwrap();
        for call in 0..u32::from(last - first) {
            let reached = open(&OriginAddr::Tcp(free), None).await;
            let refused = reached.expect_err("nobody listens there").kind();
            assert_eq!(refused, io::ErrorKind::ConnectionRefused, "call {call}");
        }
    }
}
