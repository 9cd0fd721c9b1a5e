//! The origin's listening socket, where Leeward holds it and passes it to each generation (sd_listen_fds(3)): while there is
//! no generation, connections wait in the kernel instead of being refused, and no port has to become free.
//!
//! What waits in it outlives a generation. Its sender learns of that generation's end all the same, and may send the
//! request again; so what waits is taken out before the next one begins, or that one would answer it twice.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::net::acceptfrom;
use socket2::SockRef;

use super::{legacy, port};
use crate::ground::addr::OriginAddr;
use crate::ground::socket_file::{self, SocketFile};

/// The socket, for as long as Leeward runs.
#[derive(Debug)]
pub struct HeldSocket {
    address: OriginAddr,
    listener: OwnedFd,
    _file: Option<SocketFile>,
}

/// A connection that waited to be accepted, and who it is from, where the kernel tells.
pub(super) type Waiting = (OwnedFd, Option<SocketAddr>);

/// For the emptying of a backlog, which takes some microseconds a connection.
const EMPTYING: Duration = Duration::from_millis(50);

impl HeldSocket {
    /// Listens on `address`; of port 0, the real one is in [`HeldSocket::address`]. What a Leeward left behind that is
    /// no more, and that holds the port, is ended.
    ///
    /// # Errors
    /// What the system said, and who is in the way.
    pub fn bind(address: &OriginAddr) -> io::Result<Self> {
        let bound = match listen(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                let holders = port::free_at_once(address);
                listen(address).map_err(|error| match holders {
                    Some(holders) => io::Error::new(error.kind(), format!("{error}: {holders}")),
                    None => error,
                })
            }
            bound => bound,
        };
        let (listener, _file) = bound?;
        let address = match address {
            OriginAddr::Tcp(_) => {
                let real = SockRef::from(&listener).local_addr()?.as_socket();
                OriginAddr::Tcp(real.ok_or(io::ErrorKind::AddrNotAvailable)?)
            }
            OriginAddr::Unix(path) => OriginAddr::Unix(path.clone()),
        };
        Ok(Self {
            address,
            listener,
            _file,
        })
    }

    /// One that a Leeward before us listened on.
    ///
    /// # Errors
    /// It listens elsewhere, or not at all.
    pub fn inherit(address: &OriginAddr, listener: OwnedFd) -> io::Result<Self> {
        let file = match address {
            OriginAddr::Tcp(_) => None,
            OriginAddr::Unix(path) => Some(SocketFile::of(path)),
        };
        let held = Self {
            address: address.clone(),
            listener,
            _file: file,
        };
        let local = SockRef::from(&held.listener).local_addr()?;
        let is_there = match address {
            OriginAddr::Tcp(wanted) => local.as_socket() == Some(*wanted),
            OriginAddr::Unix(path) => local.as_pathname() == Some(path),
        };
        match is_there {
            true => Ok(held),
            false => Err(io::ErrorKind::AddrNotAvailable.into()),
        }
    }

    /// Has it kept for the Leeward after us.
    pub fn keep(&self) {
        legacy::keep_socket(&self.listener);
    }

    /// Leaves its file where it is, for the Leeward after us.
    pub(super) fn outlive(self) {
        std::mem::forget(self._file);
    }

    /// Where it listens.
    pub fn address(&self) -> &OriginAddr {
        &self.address
    }

    /// Makes it as good as new for a generation that has none before it: a generation can shut it down for all who hold
    /// it, or set it to never wait.
    ///
    /// # Errors
    /// What the system said.
    pub(super) fn prepare(&mut self) -> io::Result<()> {
        if !self.is_listening() {
            tracing::warn!(address = %self.address, "the origin shut its listening socket down; Leeward listens anew");
            let (listener, file) = listen(&self.address)?;
            self.listener = listener;
            if let Some(old) = std::mem::replace(&mut self._file, file) {
                // The same name: what it would take away is the new one.
                std::mem::forget(old);
            }
        }
        self.empty();
        let flags = rustix::fs::fcntl_getfl(&self.listener)?;
        rustix::fs::fcntl_setfl(&self.listener, flags - OFlags::NONBLOCK)?;
        Ok(())
    }

    /// The socket for a child.
    ///
    /// # Errors
    /// What the system said.
    pub(super) fn for_child(&self) -> io::Result<Stdio> {
        self.listener.try_clone().map(Stdio::from)
    }

    /// The socket for who works aside.
    ///
    /// # Errors
    /// What the system said.
    pub(super) fn handle(&self) -> io::Result<OwnedFd> {
        self.listener.try_clone()
    }

    /// Takes out what waits to be accepted, and resets it. Says how many there were.
    pub(super) fn empty(&self) -> usize {
        let waiting = waiting(&self.listener, Instant::now() + EMPTYING);
        for (connection, _) in &waiting {
            // Over a unix socket there is no such thing, nor a need for it.
            let _ = SockRef::from(connection).set_linger(Some(Duration::ZERO));
        }
        waiting.len()
    }

    fn is_listening(&self) -> bool {
        match &self.address {
            OriginAddr::Tcp(_) => SockRef::from(&self.listener).is_listener().unwrap_or(false),
            // One that was shut down still says that it listens. What is left of the look is taken out by `empty`.
            OriginAddr::Unix(path) => UnixStream::connect(path).is_ok(),
        }
    }
}

/// Accepts all that waits at a door whose keeper sleeps. Whether the door makes one wait is the keeper's to say: so it is asked
/// only for what is there.
pub(super) fn waiting(door: &OwnedFd, until: Instant) -> Vec<Waiting> {
    let mut found = Vec::new();
    while Instant::now() < until && is_ready(door, PollFlags::IN, Duration::ZERO) {
        let Ok((connection, peer)) = acceptfrom(door) else {
            break;
        };
        let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
        let plain = |peer: SocketAddr| SocketAddr::new(peer.ip().to_canonical(), peer.port());
        found.push((connection, peer.map(plain)));
    }
    found
}

/// Whether one of these is so by `limit`.
pub(super) fn is_ready(descriptor: impl AsFd, flags: PollFlags, limit: Duration) -> bool {
    let limit = Timespec::try_from(limit).ok();
    // A reset is told whatever one asks for.
    let asked = flags - PollFlags::HUP;
    let mut asked = [PollFd::from_borrowed_fd(descriptor.as_fd(), asked)];
    poll(&mut asked, limit.as_ref()).is_ok_and(|_| asked[0].revents().intersects(flags))
}

fn listen(address: &OriginAddr) -> io::Result<(OwnedFd, Option<SocketFile>)> {
    Ok(match address {
        OriginAddr::Tcp(address) => (TcpListener::bind(address)?.into(), None),
        OriginAddr::Unix(path) => {
            let (listener, file) = socket_file::bind(path)?;
            (listener.into(), Some(file))
        }
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpStream};

    use super::*;

    fn held(address: &str) -> HeldSocket {
        HeldSocket::bind(&address.parse().unwrap()).unwrap()
    }

    fn client(held: &HeldSocket) -> TcpStream {
        match held.address() {
            OriginAddr::Tcp(address) => TcpStream::connect(address).unwrap(),
            OriginAddr::Unix(path) => OwnedFd::from(UnixStream::connect(path).unwrap()).into(),
        }
    }

    fn shut(held: &HeldSocket) {
        let handle = TcpStream::from(held.handle().unwrap());
        handle.shutdown(Shutdown::Both).unwrap();
        handle.set_nonblocking(true).unwrap();
    }

    #[test]
    fn what_waits_is_taken_out_and_nobody_reads_it() {
        let held = held("127.0.0.1:0");
        let mut clients = [client(&held), client(&held)];
        clients[0].write_all(b"POST / HTTP/1.1\r\n\r\n").unwrap();
        assert_eq!((held.empty(), held.empty()), (2, 0));
        for client in &mut clients {
            let reset = client.read(&mut [0]).unwrap_err();
            assert_eq!(reset.kind(), io::ErrorKind::ConnectionReset);
        }
    }

    #[test]
    fn a_socket_that_was_shut_down_listens_again_at_the_same_place_and_waits() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("s");
        for address in ["127.0.0.1:0", &format!("unix:{}", path.display())] {
            let mut held = held(address);
            let before = held.address().clone();
            shut(&held);
            held.prepare().unwrap();
            assert_eq!(held.address(), &before);
            drop(client(&held));
            let flags = rustix::fs::fcntl_getfl(held.handle().unwrap()).unwrap();
            assert!(!flags.contains(OFlags::NONBLOCK));
        }
        assert!(!path.exists(), "the file is taken away with it");
    }

    #[test]
    fn who_is_in_the_way_is_named() {
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = OriginAddr::Tcp(holder.local_addr().unwrap());
        let said = HeldSocket::bind(&address).unwrap_err().to_string();
        let own = format!("(process {})", std::process::id());
        assert!(said.contains(&own), "{said}");
    }
}
