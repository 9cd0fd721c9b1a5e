//! Reading one request with blocking reads and no timeout.

use std::io::{self, Read};

/// One request, as far as a primitive server understands it.
pub struct Request {
    /// The method, unjudged.
    pub method: String,
    /// The target as it was sent, query and all.
    pub target: String,
    /// The whole head, byte for byte, with its closing empty line.
    pub head: Vec<u8>,
    /// The body; its length is what Content-Length said. Chunked bodies are beyond this server.
    pub body: Vec<u8>,
    /// How many bytes of the body are still to be read.
    missing: usize,
}

impl Request {
    /// Reads up to the empty line. `None`: the peer closed without asking anything.
    pub fn read_head(connection: &mut impl Read) -> io::Result<Option<Request>> {
        let mut bytes = Vec::new();
        let mut piece = [0; 4096];
        let end = loop {
            if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            match connection.read(&mut piece)? {
                0 if bytes.is_empty() => return Ok(None),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => bytes.extend_from_slice(&piece[..count]),
            }
        };
        let body = bytes.split_off(end);
        let head = String::from_utf8_lossy(&bytes);
        let mut words = head.split_ascii_whitespace().map(str::to_owned);
        let (method, target) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        );
        let missing = content_length(&head).saturating_sub(body.len());
        Ok(Some(Request {
            method,
            target,
            head: bytes,
            body,
            missing,
        }))
    }

    /// Reads what Content-Length promised, waiting for it as long as it takes.
    pub fn read_body(&mut self, connection: &mut impl Read) -> io::Result<()> {
        let have = self.body.len();
        self.body.resize(have + self.missing, 0);
        self.missing = 0;
        connection.read_exact(&mut self.body[have..])
    }

    /// The value of a field, by its name in any case.
    pub fn field(&self, wanted: &str) -> Option<String> {
        field(&String::from_utf8_lossy(&self.head), wanted).map(str::to_owned)
    }

    /// The target without its query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The path in pieces: `/drip/5/10` is `["drip", "5", "10"]`.
    pub fn pieces(&self) -> Vec<&str> {
        self.path().trim_start_matches('/').split('/').collect()
    }
}

fn content_length(head: &str) -> usize {
    field(head, "content-length")
        .and_then(|value| value.parse().ok())
        .unwrap_or(0)
}

fn field<'a>(head: &'a str, wanted: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
        .map(|(_, value)| value.trim())
}
