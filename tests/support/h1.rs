//! HTTP/1.1 by hand, over TLS or plain: a client that sends exactly the bytes it is given.
//!
//! Every call is bounded by the patience the connection was opened with; when it runs out the error is `TimedOut`.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use rustls::version::{TLS12, TLS13};
use rustls::{ClientConnection, StreamOwned, SupportedProtocolVersion};

use socket2::{Domain, Socket, Type};

use super::response::Response;
use super::tls;

/// One connection.
pub struct Connection {
    stream: Box<dyn Stream>,
    socket: TcpStream,
    patience: Duration,
    unread: Vec<u8>,
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// Asks for one page over TLS.
pub fn get(address: impl ToSocketAddrs, path: &str, patience: Duration) -> io::Result<Response> {
    request(address, "GET", path, &[], &[], patience)
}

/// Sends one request over TLS, on a connection of its own, and reads its answer.
pub fn request(
    address: impl ToSocketAddrs,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    patience: Duration,
) -> io::Result<Response> {
    Connection::connect(address, patience)?.request(method, path, headers, body)
}

/// Asks for one page over plain HTTP: the status listener, or an origin without Leeward.
pub fn plain_get(
    address: impl ToSocketAddrs,
    path: &str,
    patience: Duration,
) -> io::Result<Response> {
    Connection::connect_plain(address, patience)?.request("GET", path, &[], &[])
}

impl Connection {
    /// Connects over the newest TLS and finishes the handshake.
    pub fn connect(address: impl ToSocketAddrs, patience: Duration) -> io::Result<Connection> {
        Connection::connect_tls(address, patience, &[&TLS13, &TLS12])
    }

    /// Connects over TLS 1.2 and finishes the handshake.
    pub fn connect_tls12(
        address: impl ToSocketAddrs,
        patience: Duration,
    ) -> io::Result<Connection> {
        Connection::connect_tls(address, patience, &[&TLS12])
    }

    /// Connects as a client that speaks this application alone, such as `http/1.0`.
    pub fn connect_as(
        application: &str,
        address: impl ToSocketAddrs,
        patience: Duration,
    ) -> io::Result<Connection> {
        let socket = dial(address, patience)?;
        Connection::over_tls(socket, patience, &[&TLS13, &TLS12], application)
    }

    /// Connects with little room: the kernel takes so many bytes for a client that does not read, and not megabytes.
    pub fn connect_narrow(
        address: SocketAddr,
        room: usize,
        patience: Duration,
    ) -> io::Result<Connection> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_recv_buffer_size(room)?;
        // As on a real network; on loopback, one segment would be larger than all the room.
        socket.set_tcp_mss(1400)?;
        socket.connect(&address.into())?;
        socket.set_read_timeout(Some(patience))?;
        Connection::over(socket.into(), patience)
    }

    /// Speaks TLS over a socket that is there already.
    pub fn over(socket: TcpStream, patience: Duration) -> io::Result<Connection> {
        Connection::over_tls(socket, patience, &[&TLS13, &TLS12], "http/1.1")
    }

    /// Connects without TLS.
    pub fn connect_plain(
        address: impl ToSocketAddrs,
        patience: Duration,
    ) -> io::Result<Connection> {
        let socket = dial(address, patience)?;
        Ok(Connection {
            stream: Box::new(socket.try_clone()?),
            socket,
            patience,
            unread: Vec::new(),
        })
    }

    fn connect_tls(
        address: impl ToSocketAddrs,
        patience: Duration,
        versions: &[&'static SupportedProtocolVersion],
    ) -> io::Result<Connection> {
        Connection::over_tls(dial(address, patience)?, patience, versions, "http/1.1")
    }

    fn over_tls(
        socket: TcpStream,
        patience: Duration,
        versions: &[&'static SupportedProtocolVersion],
        application: &str,
    ) -> io::Result<Connection> {
        let config = tls::config(versions, &[application]);
        let session = ClientConnection::new(config, tls::localhost()).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(session, socket.try_clone()?);
        while stream.conn.is_handshaking() {
            stream
                .conn
                .complete_io(&mut stream.sock)
                .map_err(as_timeout)?;
        }
        Ok(Connection {
            stream: Box::new(stream),
            socket,
            patience,
            unread: Vec::new(),
        })
    }

    /// The socket below: to shut it down, to ask its addresses, to set its options.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Bounds the calls to come by another patience.
    pub fn be_patient(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.set_write_timeout(Some(self.patience))?;
        self.stream.write_all(bytes).map_err(as_timeout)?;
        self.stream.flush().map_err(as_timeout)
    }

    /// Sends a request, with Host and (for a body, or a POST) Content-Length unless given, and reads its answer.
    pub fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        let mut bytes = format!("{method} {path} HTTP/1.1\r\n").into_bytes();
        let has = |name: &str| {
            headers
                .iter()
                .any(|(key, _)| key.eq_ignore_ascii_case(name))
        };
        if !has("host") {
            bytes.extend_from_slice(b"Host: localhost\r\n");
        }
        let framed = has("content-length") || has("transfer-encoding");
        if !framed && (!body.is_empty() || method == "POST") {
            bytes.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
        }
        for (name, value) in headers {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(body);
        // A server may answer before it has read everything, and close: what counts is whether an answer came.
        let sent = self.send(&bytes);
        let answer = self.read_response_to(method);
        if answer.is_err() {
            sent?;
        }
        answer
    }

    /// Reads one answer to anything but HEAD.
    pub fn read_response(&mut self) -> io::Result<Response> {
        self.read_response_to("GET")
    }

    /// Reads one answer to a request of that method. An answer that ends before its framing says so is an
    /// `UnexpectedEof`, never a short body.
    pub fn read_response_to(&mut self, method: &str) -> io::Result<Response> {
        let until = Instant::now() + self.patience;
        let mut interim = Vec::new();
        let mut response = loop {
            let response = self.read_head(until)?;
            if response.status >= 200 || response.status == 101 {
                break response;
            }
            interim.push(response.status);
        };
        response.interim = interim;
        let bodiless = method == "HEAD" || matches!(response.status, 101 | 204 | 304);
        if !bodiless {
            response.body = self.read_body(&response, until)?;
        }
        Ok(response)
    }

    /// Reads the head of an answer and leaves its body unread.
    pub fn read_head_only(&mut self) -> io::Result<Response> {
        self.read_head(Instant::now() + self.patience)
    }

    /// Reads one chunk of a chunked body; an empty one is the last, and its trailers are left unread.
    pub fn read_chunk(&mut self) -> io::Result<Vec<u8>> {
        let until = Instant::now() + self.patience;
        let size = self.read_line(until)?;
        let size = usize::from_str_radix(size.trim(), 16)
            .map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        let chunk = self.read_exact_until(size, until)?;
        if size > 0 {
            self.read_line(until)?;
        }
        Ok(chunk)
    }

    /// Reads exactly so many bytes of whatever comes.
    pub fn read_exact(&mut self, count: usize) -> io::Result<Vec<u8>> {
        self.read_exact_until(count, Instant::now() + self.patience)
    }

    /// Reads until the peer ends the connection in order (under TLS: with a `close_notify`).
    pub fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
        self.read_to_end_until(Instant::now() + self.patience)
    }

    fn read_head(&mut self, until: Instant) -> io::Result<Response> {
        let status_line = self.read_line(until)?;
        let malformed = || {
            io::Error::new(
                ErrorKind::InvalidData,
                format!("not a status line: {status_line:?}"),
            )
        };
        let status = status_line
            .strip_prefix("HTTP/1.")
            .and_then(|rest| rest.split(' ').nth(1))
            .and_then(|code| code.parse().ok())
            .ok_or_else(malformed)?;
        let mut headers = Vec::new();
        loop {
            let line = self.read_line(until)?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(malformed)?;
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        Ok(Response {
            status,
            headers,
            body: Vec::new(),
            interim: Vec::new(),
        })
    }

    fn read_body(&mut self, response: &Response, until: Instant) -> io::Result<Vec<u8>> {
        let chunked = response
            .header("transfer-encoding")
            .is_some_and(|codings| codings.to_ascii_lowercase().ends_with("chunked"));
        if chunked {
            return self.read_chunks(until);
        }
        match response.header("content-length") {
            Some(length) => {
                let length = length
                    .parse()
                    .map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
                self.read_exact_until(length, until)
            }
            None => self.read_to_end_until(until),
        }
    }

    fn read_chunks(&mut self, until: Instant) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.read_line(until)?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16)
                .map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
            if size == 0 {
                while !self.read_line(until)?.is_empty() {}
                return Ok(body);
            }
            body.append(&mut self.read_exact_until(size, until)?);
            self.read_line(until)?;
        }
    }

    fn read_line(&mut self, until: Instant) -> io::Result<String> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line);
                return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
            }
            self.read_more_or_fail(until)?;
        }
    }

    fn read_exact_until(&mut self, count: usize, until: Instant) -> io::Result<Vec<u8>> {
        while self.unread.len() < count {
            self.read_more_or_fail(until)?;
        }
        Ok(self.unread.drain(..count).collect())
    }

    fn read_to_end_until(&mut self, until: Instant) -> io::Result<Vec<u8>> {
        while self.read_more(until)? > 0 {}
        Ok(std::mem::take(&mut self.unread))
    }

    fn read_more_or_fail(&mut self, until: Instant) -> io::Result<()> {
        match self.read_more(until)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// One read, bounded by the deadline of the whole call. A socket with a timeout is interrupted by a signal that
    /// nobody handles, too, so an interrupted read is simply begun again.
    fn read_more(&mut self, until: Instant) -> io::Result<usize> {
        let mut piece = [0; 64 * 1024];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            self.socket.set_read_timeout(Some(left))?;
            match self.stream.read(&mut piece) {
                Ok(count) => {
                    self.unread.extend_from_slice(&piece[..count]);
                    return Ok(count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(as_timeout(error)),
            }
        }
    }
}

fn dial(address: impl ToSocketAddrs, patience: Duration) -> io::Result<TcpStream> {
    let address: SocketAddr = address
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| io::Error::from(ErrorKind::AddrNotAvailable))?;
    let socket = TcpStream::connect_timeout(&address, patience)?;
    socket.set_read_timeout(Some(patience))?;
    socket.set_write_timeout(Some(patience))?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

/// A blocking socket says `WouldBlock` when its timeout runs out.
fn as_timeout(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::WouldBlock => ErrorKind::TimedOut.into(),
        _ => error,
    }
}
