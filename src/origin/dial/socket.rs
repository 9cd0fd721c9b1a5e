//! The socket beneath a connection to the origin; in tests also a pipe in memory, so that time can be paused.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// Where the bytes go.
#[derive(Debug)]
pub enum Socket {
    /// Over loopback.
    Tcp(TcpStream),
    /// Over a unix socket.
    Unix(UnixStream),
    /// In memory.
    #[cfg(test)]
    Memory(tokio::io::DuplexStream),
}

/// The same for each kind.
macro_rules! each {
    ($socket:expr, $stream:ident => $does:expr) => {
        match $socket {
            Socket::Tcp($stream) => $does,
            Socket::Unix($stream) => $does,
            #[cfg(test)]
            Socket::Memory($stream) => $does,
        }
    };
}

impl Socket {
    /// Our end of it.
    pub fn local(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.local_addr().ok(),
            _ => None,
        }
    }

    /// Whether nothing waits to be read, not even the end. Asks the kernel itself: the runtime may not have heard of what
    /// came just now.
    pub fn is_quiet(&self) -> bool {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let heard = match self {
            Self::Tcp(stream) => recv(stream, &mut [0], flags),
            Self::Unix(stream) => recv(stream, &mut [0], flags),
            #[cfg(test)]
            Self::Memory(_) => return false,
        };
        heard.is_err_and(|error| error == Errno::AGAIN)
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_shutdown(cx))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

/// Addresses at which a test listens in memory, on this thread.
#[cfg(test)]
pub mod memory {
    use std::cell::RefCell;
    use std::collections::HashMap;
    use std::io;
    use std::path::PathBuf;

    use tokio::io::{DuplexStream, duplex};
    use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

    use super::Socket;
    use crate::ground::addr::OriginAddr;

    thread_local! {
        static LISTENERS: RefCell<HashMap<PathBuf, UnboundedSender<DuplexStream>>> = RefCell::default();
    }

    /// As much as a socket of the kernel's takes at once, about.
    const ROOM: usize = 64 << 10;

    /// The connections that are made to this address from now on; it is refused when they are dropped.
    pub fn listen(path: &str) -> UnboundedReceiver<DuplexStream> {
        let (sender, connections) = unbounded_channel();
        LISTENERS.with_borrow_mut(|all| all.insert(path.into(), sender));
        connections
    }

    /// A connection to an address at which somebody listens in memory, or did.
    pub fn dial(address: &OriginAddr) -> Option<io::Result<Socket>> {
        let OriginAddr::Unix(path) = address else {
            return None;
        };
        LISTENERS.with_borrow(|all| {
            let (ours, theirs) = duplex(ROOM);
            let sent = all.get(path)?.send(theirs);
            let refused = |_| io::ErrorKind::ConnectionRefused.into();
            Some(sent.map(|()| Socket::Memory(ours)).map_err(refused))
        })
    }
}
