//! The head of an origin's answer, read and judged: what body follows it, and whether the connection outlasts it. Pure.

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue, Method, StatusCode, Version, response};

use super::framing::Framing;

/// A head as it came.
#[derive(Debug)]
pub struct Head {
    /// Status, version and fields.
    pub parts: response::Parts,
    /// What follows.
    pub framing: Framing,
    /// Whether the origin will take another request over the connection, as far as the head tells.
    pub persists: bool,
}

/// Against the rules of HTTP; the sentence says which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// More fields than this are not an answer's head.
const MOST_FIELDS: usize = 128;
/// Nor is more than this, in bytes.
pub const LONGEST: usize = 64 << 10;

/// Where a field stands in the buffer: its name and its value, from and to.
type Place = [u32; 4];

/// Takes the head of an answer to a request with this method out of the buffer; `None` while it is not all there.
///
/// # Errors
/// [`Malformed`].
pub fn head(buffer: &mut BytesMut, asked: &Method) -> Result<Option<Head>, Malformed> {
    let mut slots = [const { std::mem::MaybeUninit::uninit() }; MOST_FIELDS];
    let mut places = [Place::default(); MOST_FIELDS];
    let mut read = httparse::Response::new(&mut []);
    let parser = httparse::ParserConfig::default();
    let parsed = parser.parse_response_with_uninit_headers(&mut read, buffer, &mut slots);
    let length = match parsed {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if buffer.len() > LONGEST => {
            return Err(Malformed("its head is larger than 64 KiB"));
        }
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(Malformed("its head has more than 128 fields"));
        }
        Err(_) => return Err(NO_HTTP),
    };
    let status = read.code.and_then(|code| StatusCode::from_u16(code).ok());
    let version = match read.version {
        Some(1) => Version::HTTP_11,
        _ => Version::HTTP_10,
    };
    let fields = read.headers.len();
    for (place, field) in places.iter_mut().zip(read.headers.iter()) {
        let (name, value) = (field.name.as_bytes(), field.value);
        let (name, value) = (range(buffer, name), range(buffer, value));
        *place = [name.0, name.1, value.0, value.1];
    }
    let bytes = buffer.split_to(length).freeze();
    let (mut parts, ()) = http::Response::new(()).into_parts();
    parts.status = status.ok_or(NO_HTTP)?;
    parts.version = version;
    parts.headers = fields_at(&bytes, &places[..fields])?;
    let framing = framing(&parts, asked)?;
    let persists = persists(&parts, &framing);
    Ok(Some(Head {
        parts,
        framing,
        persists,
    }))
}

const NO_HTTP: Malformed = Malformed("its answer is not HTTP as we know it");

/// Where `part` stands in `whole`, which it was cut from.
fn range(whole: &[u8], part: &[u8]) -> (u32, u32) {
    let begin = part.as_ptr().addr() - whole.as_ptr().addr();
    // No head is longer than `LONGEST` and what is read at once.
    (begin as u32, (begin + part.len()) as u32)
}

fn fields_at(bytes: &Bytes, places: &[Place]) -> Result<HeaderMap, Malformed> {
    let mut headers = HeaderMap::with_capacity(places.len() + 2);
    for place in places {
        let [name_from, name_to, from, to] = place.map(|at| at as usize);
        let name = HeaderName::from_bytes(&bytes[name_from..name_to]).map_err(|_| NO_HTTP)?;
        let value = HeaderValue::from_maybe_shared(bytes.slice(from..to)).map_err(|_| NO_HTTP)?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// What follows the head (RFC 9112, section 6.3).
fn framing(parts: &response::Parts, asked: &Method) -> Result<Framing, Malformed> {
    let status = parts.status;
    let is_bodiless = status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED;
    let length = length(&parts.headers)?;
    if asked == Method::HEAD || is_bodiless {
        return Ok(Framing::done());
    }
    if let Some(coding) = parts.headers.get(TRANSFER_ENCODING) {
        // GoAhead 5 and 6 answer in chunks even so (measured). Two ways to tell the end would leave it open which holds.
        if parts.version == Version::HTTP_10 && length.is_some() {
            return Err(Malformed(
                "it speaks HTTP/1.0 and sends both a transfer coding and a length",
            ));
        }
        // Whether that is the only coding is judged with the rest of the head.
        return Ok(match coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
            true => Framing::chunked(),
            false => Framing::UntilClose,
        });
    }
    Ok(length.map_or(Framing::UntilClose, Framing::length))
}

/// The length the head tells, once or several times the same.
fn length(headers: &HeaderMap) -> Result<Option<u64>, Malformed> {
    const WRONG: Malformed = Malformed("its Content-Length is not one number");
    let mut told = None;
    for value in headers.get_all(CONTENT_LENGTH) {
        let digits = value.to_str().map_err(|_| WRONG)?;
        let is_plain = !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_digit());
        let length: u64 = digits.parse().map_err(|_| WRONG)?;
        if !is_plain || told.is_some_and(|other| other != length) {
            return Err(WRONG);
        }
        told = Some(length);
    }
    Ok(told)
}

fn persists(parts: &response::Parts, framing: &Framing) -> bool {
    let names = |wanted: &str| {
        let values = parts.headers.get_all(CONNECTION).iter();
        values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|word| word.trim().eq_ignore_ascii_case(wanted))
    };
    let says_both =
        parts.headers.contains_key(TRANSFER_ENCODING) && parts.headers.contains_key(CONTENT_LENGTH);
    // Some servers send that body all the same, and later.
    let may_send_more = *framing == Framing::Done && tells_a_body(&parts.headers);
    let is_open = match parts.version {
        Version::HTTP_11 => !names("close"),
        _ => names("keep-alive"),
    };
    let is_told = match framing {
        Framing::UntilClose => false,
        // There are no chunks in HTTP/1.0: such an answer is taken, and nothing is built on it.
        Framing::Chunked(_) => parts.version == Version::HTTP_11,
        Framing::Length(_) | Framing::Done => true,
    };
    is_open && !says_both && !may_send_more && is_told
}

fn tells_a_body(headers: &HeaderMap) -> bool {
    let length = headers.get(CONTENT_LENGTH);
    let is_none = |value: &HeaderValue| value.as_bytes().iter().all(|digit| *digit == b'0');
    headers.contains_key(TRANSFER_ENCODING) || length.is_some_and(|value| !is_none(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Option<Head>, Malformed> {
        head(&mut BytesMut::from(text), &Method::GET)
    }

    fn taken(text: &str) -> Head {
        parsed(text).unwrap().unwrap()
    }

    #[test]
    fn a_head_is_taken_when_it_is_whole_and_what_follows_stays() {
        let text =
            "HTTP/1.1 200 OK\r\nContent-Type: a\r\nx: 1\r\nX: 2\r\ncontent-length: 3\r\n\r\nabc";
        for cut in 0..text.len() - 3 {
            assert!(parsed(&text[..cut]).unwrap().is_none(), "{cut}");
        }
        let mut buffer = BytesMut::from(text);
        let head = head(&mut buffer, &Method::GET).unwrap().unwrap();
        assert_eq!(&buffer[..], b"abc");
        assert_eq!(head.parts.status, 200);
        assert_eq!(head.parts.headers["content-type"], "a");
        assert_eq!(head.parts.headers.get_all("x").iter().count(), 2);
        assert!(head.persists && head.framing == Framing::length(3));
    }

    #[test]
    fn what_follows_is_told_by_the_method_the_status_and_the_fields() {
        let close = Framing::UntilClose;
        for (text, wanted) in [
            ("HTTP/1.1 200 OK\r\n\r\n", close.clone()),
            ("HTTP/1.0 200 OK\r\n\r\n", close),
            (
                "HTTP/1.1 204 No\r\ncontent-length: 5\r\n\r\n",
                Framing::done(),
            ),
            (
                "HTTP/1.1 304 No\r\ncontent-length: 5\r\n\r\n",
                Framing::done(),
            ),
            ("HTTP/1.1 100 C\r\n\r\n", Framing::done()),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n",
                Framing::chunked(),
            ),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n",
                Framing::chunked(),
            ),
            (
                "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
                Framing::chunked(),
            ),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\n",
                Framing::length(5),
            ),
        ] {
            assert_eq!(taken(text).framing, wanted, "{text}");
        }
        let mut of_head = BytesMut::from("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n");
        let head = head(&mut of_head, &Method::HEAD).unwrap().unwrap();
        // What comes behind it may be the body, and taken for the next answer.
        assert!(head.framing == Framing::done() && !head.persists);
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for text in [
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: \r\n\r\n",
            "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 099 Low\r\n\r\n",
            "HTTP/2.0 200 OK\r\n\r\n",
            "SSH-2.0-OpenSSH\r\n",
            "HTTP/1.1 200 OK\r\na b: c\r\n\r\n",
            "HTTP/1.1 200 OK\r\na: b\r\n c\r\n\r\n",
        ] {
            assert!(parsed(text).is_err(), "{text}");
        }
        let many = "a: b\r\n".repeat(MOST_FIELDS + 1);
        assert!(parsed(&format!("HTTP/1.1 200 OK\r\n{many}\r\n")).is_err());
        let long = "b".repeat(LONGEST);
        assert!(parsed(&format!("HTTP/1.1 200 OK\r\na: {long}")).is_err());
    }

    #[test]
    fn a_connection_outlasts_an_answer_only_where_both_know_its_end() {
        for (text, wanted) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", true),
            ("HTTP/1.1 200 OK\r\n\r\n", false),
            ("HTTP/1.1 304 Not Modified\r\n\r\n", true),
            (
                "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n",
                false,
            ),
            (
                "HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n",
                false,
            ),
            ("HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n", true),
            (
                "HTTP/1.1 200 OK\r\nconnection: x, Close\r\ncontent-length: 0\r\n\r\n",
                false,
            ),
            ("HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", false),
            (
                "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 0\r\n\r\n",
                true,
            ),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n",
                false,
            ),
            (
                "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ntransfer-encoding: chunked\r\n\r\n",
                false,
            ),
        ] {
            assert_eq!(taken(text).persists, wanted, "{text}");
        }
    }
}
