//! HTTP/2 by hand: a client that sends exactly the frames it is given, and reads those that come.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustls::version::{TLS12, TLS13};
use rustls::{ClientConnection, StreamOwned, SupportedProtocolVersion};

use super::tls;

/// The kinds of frames (RFC 9113, section 6).
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

const END_HEADERS: u8 = 4;
const END_STREAM: u8 = 1;

/// One connection, its preface sent.
pub struct Raw {
    stream: StreamOwned<ClientConnection, TcpStream>,
}

/// One frame as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Raw {
    /// Connects, and sends the preface and SETTINGS with this initial window for each stream.
    pub fn connect(address: SocketAddr, window: u32, patience: Duration) -> io::Result<Raw> {
        let mut raw = Raw::silent(address, patience)?;
        raw.preface(window)?;
        Ok(raw)
    }

    fn preface(&mut self, window: u32) -> io::Result<()> {
        self.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")?;
        let mut settings = vec![0, 4];
        settings.extend(window.to_be_bytes());
        self.frame(SETTINGS, 0, 0, &settings)
    }

    /// Connects by TLS with ALPN h2, and says nothing.
    pub fn silent(address: SocketAddr, patience: Duration) -> io::Result<Raw> {
        Raw::by(address, patience, &[&TLS13])
    }

    /// Connects over TLS 1.2, sends the preface and SETTINGS, and opens every window as far as it goes.
    pub fn open_tls12(address: SocketAddr, patience: Duration) -> io::Result<Raw> {
        Raw::by(address, patience, &[&TLS12])?.wide_open()
    }

    /// The same over TLS 1.3.
    pub fn open(address: SocketAddr, patience: Duration) -> io::Result<Raw> {
        Raw::silent(address, patience)?.wide_open()
    }

    /// The same through a socket whose own window is small.
    pub fn narrow(address: SocketAddr, patience: Duration) -> io::Result<Raw> {
        let socket = narrow(address)?;
        Raw::over(socket, patience, &[&TLS13])?.wide_open()
    }

    fn wide_open(mut self) -> io::Result<Raw> {
        const WIDEST: u32 = (1 << 31) - 1;
        self.preface(WIDEST)?;
        let more = (WIDEST - 65_535).to_be_bytes();
        self.frame(WINDOW_UPDATE, 0, 0, &more)?;
        Ok(self)
    }

    fn by(
        address: SocketAddr,
        patience: Duration,
        versions: &[&'static SupportedProtocolVersion],
    ) -> io::Result<Raw> {
        Raw::over(TcpStream::connect(address)?, patience, versions)
    }

    fn over(
        socket: TcpStream,
        patience: Duration,
        versions: &[&'static SupportedProtocolVersion],
    ) -> io::Result<Raw> {
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(patience))?;
        socket.set_write_timeout(Some(patience))?;
        let config = tls::config(versions, &["h2"]);
        let session = ClientConnection::new(config, tls::localhost()).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(session, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Raw { stream })
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Sends one frame.
    pub fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        self.send(&encoded(kind, flags, stream, payload))
    }

    /// Asks for a page on a stream (an odd number).
    pub fn get(&mut self, stream: u32, path: &str) -> io::Result<()> {
        self.ask(stream, "GET", path, &[])
    }

    /// Asks with any method and further fields, and sends no body.
    pub fn ask(
        &mut self,
        stream: u32,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
    ) -> io::Result<()> {
        let flags = END_HEADERS | END_STREAM;
        self.frame(HEADERS, flags, stream, &head(method, path, fields))
    }

    /// Asks, and owes a body.
    pub fn begin(&mut self, stream: u32, path: &str, fields: &[(&str, &str)]) -> io::Result<()> {
        self.frame(HEADERS, END_HEADERS, stream, &head("POST", path, fields))
    }

    /// The next frame; what the server wants acknowledged is acknowledged.
    pub fn read(&mut self) -> io::Result<Frame> {
        let mut header = [0; 9];
        self.stream.read_exact(&mut header).map_err(as_timeout)?;
        let [high, middle, low, kind, flags, a, b, c, d] = header;
        let length = u32::from_be_bytes([0, high, middle, low]) as usize;
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).map_err(as_timeout)?;
        if kind == SETTINGS && flags & 1 == 0 {
            // What still comes is there to be read, even where nobody takes this any more.
            let _ = self.frame(SETTINGS, 1, 0, &[]);
        }
        let stream = u32::from_be_bytes([a, b, c, d]);
        Ok(Frame {
            kind,
            flags,
            stream,
            payload,
        })
    }

    /// Reads whatever comes, and answers nothing, until the other side ends the connection.
    pub fn until_ended(&mut self) -> ErrorKind {
        let mut scratch = [0; 4096];
        loop {
            match self.stream.read(&mut scratch).map_err(as_timeout) {
                Ok(0) => return ErrorKind::UnexpectedEof,
                Ok(_) => {}
                Err(error) => return error.kind(),
            }
        }
    }

    /// Reads whatever comes, and says whether it ends with the goodbye of TLS (`close_notify`). Without that, a client
    /// cannot tell an end from a cut (RFC 8446, section 6.1).
    pub fn until_goodbye(&mut self) -> io::Result<bool> {
        let mut scratch = [0; 4096];
        loop {
            match self.stream.read(&mut scratch).map_err(as_timeout) {
                Ok(0) => return Ok(true),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }

    /// Changes the keys of what is sent, as TLS 1.3 lets either side do at any time (RFC 8446, section 4.6.3).
    pub fn change_keys(&mut self) -> io::Result<()> {
        self.stream
            .conn
            .refresh_traffic_keys()
            .map_err(io::Error::other)?;
        self.stream.flush()
    }

    /// The next frame of this kind; what comes before it is passed over.
    pub fn read_kind(&mut self, kind: u8) -> io::Result<Frame> {
        loop {
            let frame = self.read()?;
            if frame.kind == kind {
                return Ok(frame);
            }
        }
    }

    /// All data of one stream to its end, opening the windows as it comes.
    pub fn read_body(&mut self, stream: u32) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let frame = self.read()?;
            if frame.stream != stream {
                continue;
            }
            match frame.kind {
                DATA => {
                    let taken = (frame.payload.len() as u32).to_be_bytes();
                    body.extend(&frame.payload);
                    if frame.flags & END_STREAM != 0 {
                        return Ok(body);
                    }
                    if !frame.payload.is_empty() {
                        self.frame(WINDOW_UPDATE, 0, stream, &taken)?;
                        self.frame(WINDOW_UPDATE, 0, 0, &taken)?;
                    }
                }
                HEADERS if frame.flags & END_STREAM != 0 => return Ok(body),
                RST_STREAM => return Err(ErrorKind::ConnectionAborted.into()),
                _ => {}
            }
        }
    }
}

/// A connection that lets a few KiB through at once.
pub fn narrow(address: SocketAddr) -> io::Result<TcpStream> {
    let (kind, protocol) = (socket2::Type::STREAM, socket2::Protocol::TCP);
    let socket = socket2::Socket::new(socket2::Domain::IPV4, kind, Some(protocol))?;
    socket.set_recv_buffer_size(8 << 10)?;
    socket.connect(&address.into())?;
    Ok(socket.into())
}

/// A frame in bytes.
pub fn encoded(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The head of a request in HPACK: `:scheme` indexed, all others literals without indexing (RFC 7541, section 6).
fn head(method: &str, path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut head = vec![0x87];
    for (name, value) in [(2, method), (4, path), (1, "localhost")] {
        head.push(name);
        text(&mut head, value);
    }
    for (name, value) in fields {
        head.push(0);
        text(&mut head, name);
        text(&mut head, value);
    }
    head
}

fn text(to: &mut Vec<u8>, text: &str) {
    assert!(text.len() < 127, "longer ones are written in another way");
    to.push(text.len() as u8);
    to.extend(text.as_bytes());
}

fn as_timeout(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::WouldBlock => ErrorKind::TimedOut.into(),
        _ => error,
    }
}
