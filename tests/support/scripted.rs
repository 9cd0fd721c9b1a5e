//! An origin that says exactly the bytes a test gives it, by TCP or a unix socket: for what a sick origin would need a
//! path of its own for.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// An origin with a thread a connection; it lives as long as the test does.
pub struct Scripted {
    address: String,
    heard: Heard,
}

type Heard = Arc<Mutex<Vec<String>>>;

/// No write of a script waits longer for a reader.
const PATIENCE: Duration = Duration::from_secs(30);

impl Scripted {
    /// Listens on a loopback port and has `answer` write what is to be said to each request, which it is given head and
    /// body. The connection is closed behind it.
    pub fn tcp(answer: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static) -> Scripted {
        Scripted::keeping(once(answer))
    }

    /// The same, for as many requests on each connection as `answer` says it keeps it for.
    pub fn keeping(
        answer: impl Fn(&str, &mut TcpStream) -> bool + Send + Sync + 'static,
    ) -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address").to_string();
        let accept = move || listener.accept().map(|(peer, _)| peer);
        Scripted::begin(address, accept, answer)
    }

    /// The same on a unix socket.
    pub fn unix(
        path: &Path,
        answer: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static,
    ) -> Scripted {
        let listener = UnixListener::bind(path).expect("a socket");
        // Reading and writing are the same system calls for both kinds.
        let accept = move || {
            let (peer, _) = listener.accept()?;
            Ok(TcpStream::from(OwnedFd::from(peer)))
        };
        let address = format!("unix:{}", path.display());
        Scripted::begin(address, accept, once(answer))
    }

    /// Says the same to everybody.
    pub fn saying(answer: impl Into<Vec<u8>>) -> Scripted {
        let answer = answer.into();
        Scripted::tcp(move |_, peer| {
            let _ = peer.write_all(&answer);
        })
    }

    /// Where it listens, as `origin.address` wants it.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The requests with `part` in their first line, in the order they came.
    pub fn heard(&self, part: &str) -> Vec<String> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let first = |request: &String| request.lines().next().unwrap_or_default().to_owned();
        let asked = heard.iter().filter(|request| first(request).contains(part));
        asked.cloned().collect()
    }

    fn begin(
        address: String,
        accept: impl Fn() -> io::Result<TcpStream> + Send + 'static,
        answer: impl Fn(&str, &mut TcpStream) -> bool + Send + Sync + 'static,
    ) -> Scripted {
        let heard = Heard::default();
        let (answer, noted) = (Arc::new(answer), heard.clone());
        thread::spawn(move || {
            while let Ok(mut peer) = accept() {
                let (answer, noted) = (answer.clone(), noted.clone());
                thread::spawn(move || {
                    let _ = peer.set_write_timeout(Some(PATIENCE));
                    while let Ok(request) = read(&mut peer) {
                        let mut heard = noted.lock().unwrap_or_else(PoisonError::into_inner);
                        heard.push(request.clone());
                        drop(heard);
                        if !answer(&request, &mut peer) {
                            return;
                        }
                    }
                });
            }
        });
        Scripted { address, heard }
    }
}

/// For whoever closes the connection behind each answer.
fn once(answer: impl Fn(&str, &mut TcpStream)) -> impl Fn(&str, &mut TcpStream) -> bool {
    move |request, peer| {
        answer(request, peer);
        false
    }
}

/// Ends a connection by a reset, as a process does that dies with unread bytes.
pub fn reset(peer: &TcpStream) {
    let at_once = Some(Duration::ZERO);
    rustix::net::sockopt::set_socket_linger(peer, at_once).expect("a socket can linger");
}

/// One request: its head, and as much body as Content-Length says.
fn read(peer: &mut TcpStream) -> io::Result<String> {
    let mut bytes = Vec::new();
    let mut piece = [0; 16 << 10];
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"))
                .and_then(|value| value.trim().parse().ok())
                .unwrap_or(0);
            if bytes.len() >= end + 4 + length {
                return Ok(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        match peer.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => bytes.extend_from_slice(&piece[..count]),
        }
    }
}
