//! The body of an origin's answer, cut out of the bytes of the connection (RFC 9112, sections 6 and 7.1). Pure.

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::parse::{LONGEST, Malformed};

/// How the end of a body is known, and what is left of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes are still to come.
    Length(u64),
    /// In chunks, each with its length before it.
    Chunked(Chunk),
    /// It ends with the connection.
    UntilClose,
    /// Nothing more comes.
    Done,
}

/// What comes next in a chunked body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chunk {
    /// The line with a length.
    Length,
    /// So many bytes.
    Bytes(u64),
    /// The end of the line behind them.
    End,
    /// The fields behind the last chunk.
    Trailers,
}

/// What was found next.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// Some of the body.
    Data(Bytes),
    /// The fields behind it.
    Trailers(HeaderMap),
    /// The end.
    End,
    /// Nothing, before more has come.
    More,
}

/// A length with its extensions is no longer than this, in bytes.
const LONGEST_LINE: usize = 4 << 10;
/// Nor are there more fields behind a body.
const MOST_TRAILERS: usize = 64;

impl Framing {
    /// A body of so many bytes.
    pub fn length(bytes: u64) -> Self {
        match bytes {
            0 => Self::Done,
            bytes => Self::Length(bytes),
        }
    }

    /// A body in chunks.
    pub fn chunked() -> Self {
        Self::Chunked(Chunk::Length)
    }

    /// No body, or no more of it.
    pub fn done() -> Self {
        Self::Done
    }

    /// Takes what comes next out of the buffer.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Found, Malformed> {
        match self {
            Self::Done => Ok(Found::End),
            _ if buffer.is_empty() => Ok(Found::More),
            Self::UntilClose => Ok(Found::Data(buffer.split().freeze())),
            Self::Length(left) => {
                let data = take(buffer, left);
                if *left == 0 {
                    *self = Self::Done;
                }
                Ok(Found::Data(data))
            }
            Self::Chunked(chunk) => {
                let found = chunk.next(buffer)?;
                if matches!(found, Found::End | Found::Trailers(_)) {
                    *self = Self::Done;
                }
                Ok(found)
            }
        }
    }
}

impl Chunk {
    fn next(&mut self, buffer: &mut BytesMut) -> Result<Found, Malformed> {
        loop {
            match self {
                Self::Length => match length(buffer)? {
                    None => return Ok(Found::More),
                    Some(0) => *self = Self::Trailers,
                    Some(length) => *self = Self::Bytes(length),
                },
                Self::Bytes(_) if buffer.is_empty() => return Ok(Found::More),
                Self::Bytes(left) => {
                    let data = take(buffer, left);
                    if *left == 0 {
                        *self = Self::End;
                    }
                    return Ok(Found::Data(data));
                }
                Self::End => {
                    if buffer.len() < 2 {
                        return Ok(Found::More);
                    }
                    if !buffer.starts_with(b"\r\n") {
                        return Err(Malformed("a chunk is longer than it says"));
                    }
                    buffer.advance(2);
                    *self = Self::Length;
                }
                Self::Trailers => return trailers(buffer),
            }
        }
    }
}

fn take(buffer: &mut BytesMut, left: &mut u64) -> Bytes {
    let length = usize::try_from(*left).map_or(buffer.len(), |left| left.min(buffer.len()));
    *left -= length as u64;
    buffer.split_to(length).freeze()
}

/// Takes the line with a chunk's length, extensions and all; `None` while it is not all there.
fn length(buffer: &mut BytesMut) -> Result<Option<u64>, Malformed> {
    let Some(end) = buffer.iter().position(|byte| *byte == b'\n') else {
        return match buffer.len() > LONGEST_LINE {
            true => Err(Malformed("the length of a chunk has no end")),
            false => Ok(None),
        };
    };
    const WRONG: Malformed = Malformed("the length of a chunk is not a number");
    let line = buffer[..end].strip_suffix(b"\r").ok_or(WRONG)?;
    if line.contains(&b'\r') {
        return Err(WRONG);
    }
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
    let blanks = digits.iter().rev();
    let blanks = blanks.take_while(|byte| matches!(byte, b' ' | b'\t'));
    let digits = &digits[..digits.len() - blanks.count()];
    let is_plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit);
    let text = std::str::from_utf8(digits).map_err(|_| WRONG)?;
    let length = u64::from_str_radix(text, 16).map_err(|_| WRONG)?;
    if !is_plain {
        return Err(WRONG);
    }
    buffer.advance(end + 1);
    Ok(Some(length))
}

fn trailers(buffer: &mut BytesMut) -> Result<Found, Malformed> {
    if buffer.starts_with(b"\r\n") {
        buffer.advance(2);
        return Ok(Found::End);
    }
    const WRONG: Malformed = Malformed("the fields behind its body are not HTTP as we know it");
    let mut slots = [httparse::EMPTY_HEADER; MOST_TRAILERS];
    let (length, fields) = match httparse::parse_headers(buffer, &mut slots) {
        Ok(httparse::Status::Complete(parsed)) => parsed,
        Ok(httparse::Status::Partial) if buffer.len() > LONGEST => return Err(WRONG),
        Ok(httparse::Status::Partial) => return Ok(Found::More),
        Err(_) => return Err(WRONG),
    };
    // As everywhere in a chunked body, a line feed alone ends no line.
    let mut lines = buffer[..length].split_inclusive(|byte| *byte == b'\n');
    if !lines.all(|line| line.ends_with(b"\r\n")) {
        return Err(WRONG);
    }
    let mut headers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| WRONG)?;
        let value = HeaderValue::from_bytes(field.value).map_err(|_| WRONG)?;
        headers.append(name, value);
    }
    buffer.advance(length);
    Ok(Found::Trailers(headers))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of a body whose bytes come in pieces of this size; whether it came to its end.
    fn read(mut framing: Framing, text: &[u8], piece: usize) -> Result<(Vec<u8>, bool), Malformed> {
        let mut buffer = BytesMut::new();
        let mut body = Vec::new();
        let mut pieces = text.chunks(piece);
        loop {
            match framing.next(&mut buffer)? {
                Found::Data(data) => body.extend_from_slice(&data),
                Found::Trailers(fields) => {
                    body.extend_from_slice(format!("{fields:?}").as_bytes());
                }
                Found::End => return Ok((body, true)),
                Found::More => match pieces.next() {
                    Some(more) => buffer.extend_from_slice(more),
                    None => return Ok((body, false)),
                },
            }
        }
    }

    #[test]
    fn a_body_is_the_same_in_whatever_pieces_it_comes() {
        let chunked =
            b"4\r\nWiki\r\n6;a=\"b\"\r\npedia \r\nE\r\nin \r\n\r\nchunks.\r\n0\r\n\r\nrest";
        for piece in 1..chunked.len() {
            let wanted = (b"Wikipedia in \r\n\r\nchunks.".to_vec(), true);
            assert_eq!(
                read(Framing::chunked(), chunked, piece),
                Ok(wanted),
                "{piece}"
            );
            let wanted = (chunked[..7].to_vec(), true);
            assert_eq!(
                read(Framing::length(7), chunked, piece),
                Ok(wanted),
                "{piece}"
            );
            let wanted = (chunked.to_vec(), false);
            assert_eq!(
                read(Framing::UntilClose, chunked, piece),
                Ok(wanted),
                "{piece}"
            );
        }
    }

    #[test]
    fn trailers_are_found_behind_the_last_chunk() {
        let text = b"1\r\na\r\n0\r\nx-sum: 1\r\ny: 2\r\n\r\n";
        for piece in 1..text.len() {
            let (body, is_whole) = read(Framing::chunked(), text, piece).unwrap();
            assert!(is_whole);
            assert_eq!(body, b"a{\"x-sum\": \"1\", \"y\": \"2\"}");
        }
    }

    #[test]
    fn what_ends_early_does_not_come_to_its_end() {
        for text in [
            "",
            "1",
            "1\r\n",
            "1\r\na",
            "1\r\na\r\n",
            "1\r\na\r\n0\r\n",
            "0\r\na: b\r\n",
        ] {
            assert!(
                !read(Framing::chunked(), text.as_bytes(), 1).unwrap().1,
                "{text}"
            );
        }
        assert!(!read(Framing::length(2), b"a", 1).unwrap().1);
    }

    #[test]
    fn a_chunk_that_lies_is_refused() {
        for text in [
            "\r\n",
            "x\r\n",
            "-1\r\n",
            "+1\r\na",
            "1\na\n",
            " 1\r\na\r\n",
            "1 2\r\n",
            "1\r\r\na\r\n",
            "1\x0c\r\na\r\n",
            ";\r\n",
            "fffffffffffffffff\r\n",
            "1\r\nab\r\n",
            "1;a\rb\r\na\r\n",
            "0\r\na: b\n\r\n",
            "0\r\n: b\r\n\r\n",
            "0\r\na b\r\n\r\n",
        ] {
            assert!(
                read(Framing::chunked(), text.as_bytes(), 1).is_err(),
                "{text}"
            );
        }
        let endless = "1".repeat(LONGEST_LINE + 1);
        assert!(read(Framing::chunked(), endless.as_bytes(), 100).is_err());
    }
}
