//! The answer on its way to the client: its head made anew, its body read behind the origin from the spool.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING, VIA};
use http::response::Parts;
use http::{Method, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};

use super::head::{strip, via};
use super::outcome::Outcome;
use super::spool::SpoolReader;
use super::window::WindowReader;
use crate::ground::failure::{Cause, Failure, Phase};

/// The head of the origin's answer, judged and rebuilt.
#[derive(Debug, Clone)]
pub struct AnswerHead {
    /// The status.
    pub status: StatusCode,
    /// The header fields, none of them hop-by-hop.
    pub headers: HeaderMap,
    /// The length of the body, where the head told it.
    pub length: Option<u64>,
    /// Whether a body follows at all.
    pub has_body: bool,
}

/// What the client is given. The exchange ends when this is given out, or dropped.
#[derive(Debug)]
pub struct AnswerBody {
    source: Source,
    outcome: Outcome,
}

/// Where the body of an answer is read.
#[derive(Debug)]
pub enum Reader {
    /// It is small, and all there.
    Whole(Bytes),
    /// Behind the origin, at the client's pace.
    Spool(SpoolReader),
    /// With the origin.
    Window(WindowReader),
}

#[derive(Debug)]
enum Source {
    /// Read behind the origin; so many bytes are still to come, where that is known.
    Spool {
        reader: SpoolReader,
        left: Option<u64>,
    },
    /// Read with the origin, frame by frame; likewise.
    Window {
        reader: WindowReader,
        left: Option<u64>,
    },
    /// All of it in one piece.
    Piece(Option<Bytes>),
    /// There is none.
    Nothing,
}

/// Judges and rebuilds the head of an answer to a request with this method.
///
/// # Errors
/// The origin's [`Failure`] at [`Phase::FirstByte`].
pub fn rebuild(answer: Parts, method: &Method) -> Result<AnswerHead, Failure> {
    let status = answer.status;
    if status.is_informational() {
        let what = "an answer with a 1xx status that nobody asked for";
        return Err(Failure::origin(Phase::FirstByte, Cause::Unsupported(what)));
    }
    let mut headers = answer.headers;
    let chunked = is_chunked(&headers)?;
    let length = length(&headers)?;
    strip(&mut headers);
    headers.append(VIA, via(Version::HTTP_11));
    let bodiless = status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
    match length.filter(|_| status != StatusCode::NO_CONTENT && !chunked) {
        Some(length) => headers.insert(CONTENT_LENGTH, length.into()),
        None => headers.remove(CONTENT_LENGTH),
    };
    let has_body = method != Method::HEAD && !bodiless;
    Ok(AnswerHead {
        status,
        headers,
        length: length.filter(|_| has_body && !chunked),
        has_body,
    })
}

/// Any other coding would reach the client undone and without its name, since we never ask for one (RFC 9112,
/// section 7.4) and the field is not passed on.
fn is_chunked(headers: &HeaderMap) -> Result<bool, Failure> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(false),
        (Some(one), None) if one.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(true),
        _ => {
            let cause =
                Cause::Unsupported("an answer with a transfer coding that nobody asked for");
            Err(Failure::origin(Phase::FirstByte, cause))
        }
    }
}

fn length(headers: &HeaderMap) -> Result<Option<u64>, Failure> {
    let Some(value) = headers.get(CONTENT_LENGTH) else {
        return Ok(None);
    };
    let number = value
        .to_str()
        .ok()
        .and_then(|text| text.trim().parse().ok());
    number.map(Some).ok_or_else(|| {
        let cause = Cause::Malformed("its Content-Length is not a number");
        Failure::origin(Phase::FirstByte, cause)
    })
}

impl AnswerBody {
    /// The body behind a head, from the spool or the window.
    pub fn of(head: &AnswerHead, reader: Reader, outcome: Outcome) -> Self {
        let source = match reader {
            _ if !head.has_body || head.length == Some(0) => Source::Nothing,
            Reader::Whole(bytes) if bytes.is_empty() => Source::Nothing,
            Reader::Whole(bytes) => Source::Piece(Some(bytes)),
            Reader::Spool(reader) => match head.length.or_else(|| reader.whole_len()) {
                Some(0) => Source::Nothing,
                left => Source::Spool { reader, left },
            },
            Reader::Window(reader) => Source::Window {
                reader,
                left: head.length,
            },
        };
        Self::from(source, outcome)
    }

    /// A body of our own.
    pub fn own(bytes: Bytes, outcome: Outcome) -> Self {
        let source = match bytes.is_empty() {
            true => Source::Nothing,
            false => Source::Piece(Some(bytes)),
        };
        Self::from(source, outcome)
    }

    fn from(source: Source, mut outcome: Outcome) -> Self {
        if matches!(source, Source::Nothing) {
            outcome.delivered();
        }
        Self { source, outcome }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let Self { source, outcome } = self.get_mut();
        let bytes = match source {
            Source::Nothing => return Poll::Ready(None),
            Source::Piece(bytes) => match bytes.take() {
                Some(bytes) => bytes,
                None => return Poll::Ready(None),
            },
            Source::Window { reader, left } => {
                let next = std::task::ready!(reader.poll_next(cx));
                match &next {
                    None => outcome.delivered(),
                    Some(Err(failure)) => outcome.cut_off(failure.clone()),
                    Some(Ok(frame)) => {
                        let given = frame.data_ref().map_or(0, Bytes::len);
                        outcome.gave(given);
                        if let Some(left) = left {
                            *left = left.saturating_sub(given as u64);
                        }
                        if *left == Some(0) || frame.is_trailers() {
                            outcome.delivered();
                        }
                    }
                }
                return Poll::Ready(next);
            }
            Source::Spool { reader, left } => match std::task::ready!(reader.poll_next(cx)) {
                None => {
                    outcome.delivered();
                    return Poll::Ready(None);
                }
                Some(Err(failure)) => {
                    outcome.cut_off(failure.clone());
                    return Poll::Ready(Some(Err(failure)));
                }
                Some(Ok(bytes)) => {
                    if let Some(left) = left {
                        *left = left.saturating_sub(bytes.len() as u64);
                    }
                    bytes
                }
            },
        };
        outcome.gave(bytes.len());
        if Self::is_given(source) {
            outcome.delivered();
        }
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        Self::is_given(&self.source)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Nothing | Source::Piece(None) => SizeHint::with_exact(0),
            Source::Piece(Some(bytes)) => SizeHint::with_exact(bytes.len() as u64),
            Source::Spool { left, .. } | Source::Window { left, .. } => {
                left.map_or_else(SizeHint::default, SizeHint::with_exact)
            }
        }
    }
}

impl AnswerBody {
    fn is_given(source: &Source) -> bool {
        match source {
            Source::Nothing | Source::Piece(None) => true,
            Source::Piece(Some(_)) => false,
            Source::Spool { reader, left } => *left == Some(0) || reader.is_done(),
            Source::Window { left, .. } => *left == Some(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rebuilt(status: u16, fields: &[(&str, &str)]) -> Result<AnswerHead, Failure> {
        let mut answer = http::Response::builder().status(status);
        for (name, value) in fields {
            answer = answer.header(*name, *value);
        }
        let (parts, ()) = answer.body(()).unwrap().into_parts();
        rebuild(parts, &Method::GET)
    }

    #[test]
    fn fields_of_the_origins_connection_stay_behind() {
        let fields = [
            ("connection", "close, x-hop"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("content-length", "3"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
        ];
        let head = rebuilt(200, &fields).unwrap();
        let mut names: Vec<_> = head.headers.keys().map(|name| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-length", "set-cookie", "via"]);
        assert_eq!(head.headers.get_all("set-cookie").iter().count(), 2);
        assert_eq!(head.length, Some(3));
    }

    #[test]
    fn a_length_beside_chunks_is_not_believed() {
        let fields = [("transfer-encoding", "chunked"), ("content-length", "3")];
        let head = rebuilt(200, &fields).unwrap();
        assert_eq!(head.length, None);
        assert!(!head.headers.contains_key("content-length"));
    }

    #[test]
    fn a_coding_nobody_asked_for_is_no_answer() {
        for coding in ["gzip", "gzip, chunked"] {
            assert!(rebuilt(200, &[("transfer-encoding", coding)]).is_err());
        }
        assert!(rebuilt(200, &[("transfer-encoding", "Chunked")]).is_ok());
    }

    #[test]
    fn an_upgrade_nobody_asked_for_is_no_answer() {
        assert!(rebuilt(101, &[]).is_err());
    }

    #[test]
    fn no_content_has_no_length() {
        let head = rebuilt(204, &[("content-length", "0")]).unwrap();
        assert!(!head.has_body && !head.headers.contains_key("content-length"));
    }
}
