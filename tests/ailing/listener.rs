//! Where the origin listens: a port, or a unix socket.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;

/// One listener, whatever it is bound to.
pub enum Listener {
    /// To an address and a port.
    Tcp(TcpListener),
    /// To a path.
    Unix(UnixListener),
}

impl Listener {
    /// Binds to `ADDR` or `unix:PATH`. A socket that an earlier life left behind is taken away first, as real servers
    /// do it.
    pub fn bind(listen: &str) -> io::Result<Listener> {
        let Some(path) = listen.strip_prefix("unix:").map(Path::new) else {
            return TcpListener::bind(listen).map(Listener::Tcp);
        };
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => UnixListener::bind(path).map(Listener::Unix),
        }
    }

    /// The next connection. Reading and writing are the same system calls for both kinds, so one type serves.
    pub fn accept(&self) -> io::Result<TcpStream> {
        match self {
            Listener::Tcp(listener) => listener.accept().map(|(peer, _)| peer),
            Listener::Unix(listener) => {
                let (peer, _) = listener.accept()?;
                Ok(TcpStream::from(OwnedFd::from(peer)))
            }
        }
    }

    /// Another handle to the same listener.
    pub fn try_clone(&self) -> io::Result<Listener> {
        match self {
            Listener::Tcp(listener) => listener.try_clone().map(Listener::Tcp),
            Listener::Unix(listener) => listener.try_clone().map(Listener::Unix),
        }
    }

    /// A handle to give away.
    pub fn handle(&self) -> io::Result<OwnedFd> {
        match self.try_clone()? {
            Listener::Tcp(listener) => Ok(listener.into()),
            Listener::Unix(listener) => Ok(listener.into()),
        }
    }

    /// From now on nobody listens there, though the handle stays.
    pub fn shut(&self) -> io::Result<()> {
        TcpStream::from(self.handle()?).shutdown(Shutdown::Both)
    }

    /// Where it listens, as it may be written behind `--listen`.
    pub fn address(&self) -> io::Result<String> {
        match self {
            Listener::Tcp(listener) => Ok(listener.local_addr()?.to_string()),
            Listener::Unix(listener) => {
                let address = listener.local_addr()?;
                let path = address.as_pathname().unwrap_or(Path::new("")).display();
                Ok(format!("unix:{path}"))
            }
        }
    }
}
