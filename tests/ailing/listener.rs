//! Where the origin listens: a port, or a unix socket.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

/// One listener, whatever it is bound to.
pub enum Listener {
    /// To an address and a port.
    Tcp(TcpListener),
    /// To a path.
    Unix(UnixListener),
}

impl Listener {
    /// Binds to `ADDR` or `unix:PATH`, or takes what it was `passed` (LISTEN_FDS) or has for its `stdin`. A socket that an earlier life left behind is taken away first, as real servers
    /// do it.
    pub fn bind(listen: &str) -> io::Result<Listener> {
        match listen {
            "passed" => return passed().map(Listener::of),
            "stdin" => return io::stdin().as_fd().try_clone_to_owned().map(Listener::of),
            _ => {}
        }
        let Some(path) = listen.strip_prefix("unix:").map(Path::new) else {
            return TcpListener::bind(listen).map(Listener::Tcp);
        };
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => UnixListener::bind(path).map(Listener::Unix),
        }
    }

    fn of(socket: OwnedFd) -> Listener {
        let listener = UnixListener::from(socket);
        match listener.local_addr() {
            Ok(_) => Listener::Unix(listener),
            Err(_) => Listener::Tcp(OwnedFd::from(listener).into()),
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

/// What was passed as descriptor 3, if the environment says that something was, and to us.
fn passed() -> io::Result<OwnedFd> {
    let told = |name: &str| std::env::var(name).unwrap_or_default();
    let is_ours = told("LISTEN_PID") == std::process::id().to_string();
    let is_one = told("LISTEN_FDS") == "1" && told("LISTEN_FDNAMES") == "origin";
    if !is_ours || !is_one {
        return Err(io::Error::other("no socket was passed"));
    }
    // The way to a numbered descriptor that needs no unsafe code.
    let us = pidfd_open(getpid(), PidfdFlags::empty())?;
    Ok(pidfd_getfd(us, 3, PidfdGetfdFlags::empty())?)
}
