//! A thing with a tag and a known length, and the answers HTTP has for it: whole, in part, unchanged, or refused.

use std::borrow::Cow;
use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    ETAG, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED,
    RANGE, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};

use super::content::{Content, FilePart};
use super::range::Range;

/// One representation of what is at an address.
pub(super) struct Representation {
    /// Its media type.
    pub(super) content_type: &'static str,
    /// Its entity tag, quotes included: where it is strong, other bytes must mean another tag.
    pub(super) tag: Cow<'static, str>,
    /// When it changed last, in whole seconds, if that is known.
    pub(super) modified: Option<SystemTime>,
    /// What `Cache-Control` says of it.
    pub(super) cache: Option<Cow<'static, str>>,
    /// How it is packed; `None` is not at all.
    pub(super) encoding: Option<&'static str>,
    /// Whether others at the same address are packed in another way.
    pub(super) choice: Choice,
    /// Where its bytes come from.
    pub(super) source: Source,
}

/// Whether there are other representations at the same address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// There are none.
    Only,
    /// Which one is sent depends on `Accept-Encoding`.
    ByEncoding,
}

/// Where bytes come from.
#[derive(Clone)]
pub(super) enum Source {
    /// They are in the binary.
    Static(&'static str),
    /// So many bytes of the pattern.
    Pattern(u64),
    /// So many bytes of a file.
    File(Arc<File>, u64),
}

impl Representation {
    /// What is the same for all, always asked for anew: so many bytes of the pattern, or a text.
    pub(super) fn fixed(
        content_type: &'static str,
        tag: Cow<'static, str>,
        source: Source,
    ) -> Self {
        Representation {
            content_type,
            tag,
            modified: None,
            cache: Some("no-cache".into()),
            encoding: None,
            choice: Choice::Only,
            source,
        }
    }

    /// A text of the binary's own, tagged by what it says.
    pub(super) fn text(content_type: &'static str, text: &'static str) -> Self {
        let tag = format!("\"{:016x}\"", fingerprint(text.as_bytes()));
        Representation::fixed(content_type, tag.into(), Source::Static(text))
    }

    /// Answers a GET or HEAD with these headers: 200, 206, 304, 412 or 416.
    pub(super) fn answer(&self, method: &Method, headers: &HeaderMap) -> Response<Content> {
        // The order is that of RFC 9110, section 13.2.2.
        let is_as_wanted = match headers.contains_key(IF_MATCH) {
            true => self.named_by(headers, IF_MATCH, Compare::Strong),
            false => self.is_unchanged_since(headers, IF_UNMODIFIED_SINCE) != Some(false),
        };
        if !is_as_wanted {
            return self.respond(StatusCode::PRECONDITION_FAILED, None);
        }
        let is_known = match headers.contains_key(IF_NONE_MATCH) {
            true => self.named_by(headers, IF_NONE_MATCH, Compare::Weak),
            false => self.is_unchanged_since(headers, IF_MODIFIED_SINCE) == Some(true),
        };
        if is_known {
            return self.respond(StatusCode::NOT_MODIFIED, None);
        }
        // Only GET knows ranges; others must ignore the field.
        if *method == Method::GET
            && headers.contains_key(RANGE)
            // Of nothing there is no part, and whoever resumes a download has all of it.
            && self.source.len() > 0
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
        if let Some(cache) = &self.cache {
            insert(headers, CACHE_CONTROL, cache);
        }
        if let Some(modified) = self.modified {
            insert(headers, LAST_MODIFIED, &httpdate::fmt_http_date(modified));
        }
        // A cache must learn from a 304 what it would have learnt from the 200.
        if self.choice == Choice::ByEncoding {
            insert(headers, VARY, "accept-encoding");
        }
        if status == StatusCode::RANGE_NOT_SATISFIABLE {
            insert(headers, CONTENT_RANGE, &format!("bytes */{whole}"));
        }
        if let Some(part) = part {
            insert(headers, CONTENT_TYPE, self.content_type);
            if let Some(encoding) = self.encoding {
                insert(headers, CONTENT_ENCODING, encoding);
            }
            headers.insert(CONTENT_LENGTH, HeaderValue::from(part.end - part.start));
            if status == StatusCode::PARTIAL_CONTENT {
                let place = format!("bytes {}-{}/{whole}", part.start, part.end - 1);
                insert(headers, CONTENT_RANGE, &place);
            }
            *response.body_mut() = self.source.content(part);
        }
        response
    }

    /// False where `If-Range` names anything but this very tag, and that is a strong one. A date never does: it is to the
    /// second, and cannot promise that two parts fit together.
    fn range_applies(&self, headers: &HeaderMap) -> bool {
        let is_strong = !self.tag.starts_with("W/");
        headers
            .get(IF_RANGE)
            .is_none_or(|named| is_strong && named.as_bytes() == self.tag.as_bytes())
    }

    /// `None` where there is no date to compare, on either side, or one that is none.
    fn is_unchanged_since(&self, headers: &HeaderMap, field: HeaderName) -> Option<bool> {
        let since = headers.get(field)?.to_str().ok()?;
        let since = httpdate::parse_http_date(since).ok()?;
        Some(self.modified? <= since)
    }

    fn named_by(&self, headers: &HeaderMap, field: HeaderName, compare: Compare) -> bool {
        headers
            .get_all(field)
            .iter()
            .filter_map(|value| value.to_str().ok())
            // Our own tags hold no comma.
            .flat_map(|list| list.split(',').map(str::trim))
            .any(|named| match compare {
                _ if named == "*" => true,
                Compare::Weak => opaque(named) == opaque(&self.tag),
                Compare::Strong => named == self.tag && !named.starts_with("W/"),
            })
    }
}

/// How tags are compared (RFC 9110, section 8.8.3.2).
#[derive(Clone, Copy)]
enum Compare {
    Strong,
    Weak,
}

/// A tag without the sign that it is weak.
fn opaque(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

/// The tag of a file that changed at `modified` and has `len` bytes, packed or not; weak where it changed less than a
/// second before `now`: the clock of a file system moves in steps, and it may change again within this one.
pub(super) fn file_tag(
    modified: SystemTime,
    len: u64,
    encoding: Option<&str>,
    now: SystemTime,
) -> String {
    let age = now.duration_since(modified).unwrap_or_default();
    let weak = if age < Duration::from_secs(1) {
        "W/"
    } else {
        ""
    };
    let nanos = modified
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_nanos();
    let packed = encoding.map_or(String::new(), |it| format!("-{it}"));
    format!("{weak}\"{nanos:x}-{len:x}{packed}\"")
}

impl Source {
    fn len(&self) -> u64 {
        match self {
            Source::Static(text) => text.len() as u64,
            Source::Pattern(len) | Source::File(_, len) => *len,
        }
    }

    /// The bytes of `part`, which must lie within the length.
    fn content(&self, part: std::ops::Range<u64>) -> Content {
        match self {
            Source::Static(text) => Content::Whole(
                Bytes::from_static(text.as_bytes()).slice(part.start as usize..part.end as usize),
            ),
            Source::Pattern(_) => Content::Pattern {
                next: part.start,
                end: part.end,
            },
            Source::File(file, _) => Content::File(FilePart::of(file.clone(), part)),
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
    const BEFORE: &str = "Fri, 31 Jul 2026 00:00:00 GMT";
    const CHANGED: &str = "Sat, 01 Aug 2026 00:00:00 GMT";
    const AFTER: &str = "Sunday, 02-Aug-26 00:00:00 GMT";

    fn answer(method: Method, fields: &[(HeaderName, &str)]) -> Response<Content> {
        let source = Source::Pattern(1000);
        let representation = Representation {
            modified: Some(httpdate::parse_http_date(CHANGED).unwrap()),
            ..Representation::fixed("application/octet-stream", TAG.into(), source)
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

    #[test]
    fn dates_count_where_no_tag_is_named() {
        for (field, date, wanted) in [
            (IF_MODIFIED_SINCE, BEFORE, 200),
            (IF_MODIFIED_SINCE, CHANGED, 304),
            (IF_MODIFIED_SINCE, AFTER, 304),
            (IF_MODIFIED_SINCE, "yesterday", 200),
            (IF_UNMODIFIED_SINCE, BEFORE, 412),
            (IF_UNMODIFIED_SINCE, CHANGED, 200),
            (IF_UNMODIFIED_SINCE, "yesterday", 200),
        ] {
            assert_eq!(status(&[(field.clone(), date)]), wanted, "{field}: {date}");
        }
        assert_eq!(
            status(&[(IF_MODIFIED_SINCE, AFTER), (IF_NONE_MATCH, "\"u\"")]),
            200
        );
        assert_eq!(
            status(&[(IF_UNMODIFIED_SINCE, BEFORE), (IF_MATCH, TAG)]),
            200
        );
        assert_eq!(status(&[(IF_MATCH, TAG), (IF_NONE_MATCH, TAG)]), 304);
    }

    #[test]
    fn the_tag_of_a_file_is_weak_while_it_may_still_change_unseen() {
        let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(0x1000);
        let tag = |encoding, later| {
            file_tag(
                changed,
                255,
                encoding,
                changed + Duration::from_millis(later),
            )
        };
        assert_eq!(tag(None, 1000), "\"3b9aca00000-ff\"");
        assert_eq!(tag(Some("br"), 1000), "\"3b9aca00000-ff-br\"");
        assert_eq!(tag(None, 999), "W/\"3b9aca00000-ff\"");
        let before = changed - Duration::from_secs(9);
        assert!(file_tag(changed, 255, None, before).starts_with("W/"));
    }
}
