//! A thing with a tag and a known length, and the answers HTTP has for it: whole, in part, unchanged, or refused.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_MATCH,
    IF_NONE_MATCH, IF_RANGE, RANGE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};

use super::content::Content;
use super::range::Range;

/// One representation of the built-in site.
pub(super) struct Representation {
    /// Its media type.
    pub(super) content_type: &'static str,
    /// Its strong entity tag, quotes included: other bytes must mean another tag.
    pub(super) tag: Cow<'static, str>,
    /// Where its bytes come from.
    pub(super) source: Source,
}

/// Where bytes come from.
#[derive(Clone, Copy)]
pub(super) enum Source {
    /// They are in the binary.
    Static(&'static str),
    /// So many bytes of the pattern.
    Pattern(u64),
}

impl Representation {
    /// A text of the binary's own, tagged by what it says.
    pub(super) fn text(content_type: &'static str, text: &'static str) -> Self {
        Representation {
            content_type,
            tag: format!("\"{:016x}\"", fingerprint(text.as_bytes())).into(),
            source: Source::Static(text),
        }
    }

    /// Answers a GET or HEAD with these headers: 200, 206, 304, 412 or 416.
    pub(super) fn answer(&self, method: &Method, headers: &HeaderMap) -> Response<Content> {
        // The order is that of RFC 9110, section 13.2.2.
        if headers.contains_key(IF_MATCH) && !self.named_by(headers, IF_MATCH, Compare::Strong) {
            return self.respond(StatusCode::PRECONDITION_FAILED, None);
        }
        if self.named_by(headers, IF_NONE_MATCH, Compare::Weak) {
            return self.respond(StatusCode::NOT_MODIFIED, None);
        }
        // Only GET knows ranges; others must ignore the field.
        if *method == Method::GET
            && headers.contains_key(RANGE)
            && self.range_applies(headers)
            && let Some(range) = Range::of(headers)
        {
            return match range.within(self.source.len()) {
                Ok(part) => self.respond(StatusCode::PARTIAL_CONTENT, Some(part)),
                Err(_) => self.respond(StatusCode::RANGE_NOT_SATISFIABLE, None),
            };
        }
        let mut response = self.respond(StatusCode::OK, Some(0..self.source.len()));
        if *method == Method::HEAD {
            *response.body_mut() = Content::EMPTY;
        }
        response
    }

    /// The head that belongs to `status`, and the bytes of `part` as the body.
    fn respond(&self, status: StatusCode, part: Option<std::ops::Range<u64>>) -> Response<Content> {
        let mut response = Response::new(Content::EMPTY);
        *response.status_mut() = status;
        let whole = self.source.len();
        let headers = response.headers_mut();
        insert(headers, ETAG, &self.tag);
        insert(headers, ACCEPT_RANGES, "bytes");
        insert(headers, CACHE_CONTROL, "no-cache");
        if status == StatusCode::RANGE_NOT_SATISFIABLE {
            insert(headers, CONTENT_RANGE, &format!("bytes */{whole}"));
        }
        if let Some(part) = part {
            insert(headers, CONTENT_TYPE, self.content_type);
            headers.insert(CONTENT_LENGTH, HeaderValue::from(part.end - part.start));
            if status == StatusCode::PARTIAL_CONTENT {
                let place = format!("bytes {}-{}/{whole}", part.start, part.end - 1);
                insert(headers, CONTENT_RANGE, &place);
            }
            *response.body_mut() = self.source.content(part);
        }
        response
    }

    /// False where `If-Range` names anything but this very tag; a date never does, since nothing here has one.
    fn range_applies(&self, headers: &HeaderMap) -> bool {
        headers
            .get(IF_RANGE)
            .is_none_or(|named| named.as_bytes() == self.tag.as_bytes())
    }

    fn named_by(&self, headers: &HeaderMap, field: HeaderName, compare: Compare) -> bool {
        headers
            .get_all(field)
            .iter()
            .filter_map(|value| value.to_str().ok())
            // Our own tags hold no comma.
            .flat_map(|list| list.split(',').map(str::trim))
            .any(|named| match (compare, named.strip_prefix("W/")) {
                (_, None) => named == "*" || named == self.tag,
                (Compare::Weak, Some(weak)) => weak == self.tag,
                (Compare::Strong, Some(_)) => false,
            })
    }
}

/// How tags are compared (RFC 9110, section 8.8.3.2).
#[derive(Clone, Copy)]
enum Compare {
    Strong,
    Weak,
}

impl Source {
    fn len(self) -> u64 {
        match self {
            Source::Static(text) => text.len() as u64,
            Source::Pattern(len) => len,
        }
    }

    /// The bytes of `part`, which must lie within the length.
    fn content(self, part: std::ops::Range<u64>) -> Content {
        match self {
            Source::Static(text) => Content::Whole(
                Bytes::from_static(text.as_bytes()).slice(part.start as usize..part.end as usize),
            ),
            Source::Pattern(_) => Content::Pattern {
                next: part.start,
                end: part.end,
            },
        }
    }
}

/// Sets a field to a text of our own making, which is always a legal value.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// FNV-1a: tells our own texts apart from one build to the next; nobody attacks it.
fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body::Body;

    const TAG: &str = "\"t\"";

    fn answer(method: Method, fields: &[(HeaderName, &str)]) -> Response<Content> {
        let representation = Representation {
            content_type: "application/octet-stream",
            tag: TAG.into(),
            source: Source::Pattern(1000),
        };
        let headers = fields
            .iter()
            .map(|(name, value)| (name.clone(), value.parse().unwrap()))
            .collect();
        representation.answer(&method, &headers)
    }

    fn status(fields: &[(HeaderName, &str)]) -> u16 {
        answer(Method::GET, fields).status().as_u16()
    }

    #[test]
    fn a_part_says_where_it_lies() {
        let response = answer(Method::GET, &[(RANGE, "bytes=-10")]);
        assert_eq!(response.status(), 206);
        assert_eq!(response.headers()[CONTENT_RANGE], "bytes 990-999/1000");
        assert_eq!(response.headers()[CONTENT_LENGTH], "10");
        assert_eq!(response.body().size_hint().exact(), Some(10));
    }

    #[test]
    fn an_impossible_part_is_refused_with_the_length() {
        let response = answer(Method::GET, &[(RANGE, "bytes=1000-")]);
        assert_eq!(response.status(), 416);
        assert_eq!(response.headers()[CONTENT_RANGE], "bytes */1000");
    }

    #[test]
    fn several_parts_are_answered_with_the_whole() {
        let response = answer(Method::GET, &[(RANGE, "bytes=0-1,5-6")]);
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()[CONTENT_LENGTH], "1000");
    }

    #[test]
    fn head_tells_the_length_carries_nothing_and_knows_no_range() {
        let response = answer(Method::HEAD, &[(RANGE, "bytes=0-1")]);
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()[CONTENT_LENGTH], "1000");
        assert!(response.body().is_end_stream());
    }

    #[test]
    fn if_range_keeps_the_part_only_for_this_very_tag() {
        let range = (RANGE, "bytes=0-1");
        assert_eq!(status(&[range.clone(), (IF_RANGE, TAG)]), 206);
        for other in ["\"u\"", "W/\"t\"", "Sat, 01 Aug 2026 00:00:00 GMT"] {
            assert_eq!(status(&[range.clone(), (IF_RANGE, other)]), 200, "{other}");
        }
        let impossible = (RANGE, "bytes=5000-");
        assert_eq!(status(&[impossible, (IF_RANGE, "\"u\"")]), 200);
    }

    #[test]
    fn a_client_that_has_it_is_told_so() {
        for list in [TAG, "W/\"t\"", "\"u\", \"t\"", "*"] {
            let response = answer(Method::GET, &[(IF_NONE_MATCH, list)]);
            assert_eq!(response.status(), 304, "{list}");
            assert_eq!(response.headers()[ETAG], TAG);
            assert!(response.body().is_end_stream());
        }
        assert_eq!(status(&[(IF_NONE_MATCH, "\"u\"")]), 200);
        let with_range = [(IF_NONE_MATCH, TAG), (RANGE, "bytes=0-1")];
        assert_eq!(status(&with_range), 304);
    }

    #[test]
    fn if_match_wants_the_very_tag() {
        assert_eq!(status(&[(IF_MATCH, TAG)]), 200);
        assert_eq!(status(&[(IF_MATCH, "*")]), 200);
        assert_eq!(status(&[(IF_MATCH, "W/\"t\"")]), 412);
        assert_eq!(status(&[(IF_MATCH, "\"u\"")]), 412);
    }
}
