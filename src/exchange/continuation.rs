//! May an answer that was cut be continued by asking for the rest of it, how is that asked for, and is what comes the
//! rest of the same thing? Pure.
//!
//! What the client has and what it gets must be parts of one sequence of bytes. Only a strong validator promises that
//! (RFC 9110, section 8.8.1), so there is no continuing without one, and whatever an answer says beside it must agree.

use std::ops::Range;

use http::header::{
    ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, DATE, ETAG, HeaderMap,
    HeaderName, HeaderValue, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE, LAST_MODIFIED, RANGE,
};
use http::{Method, StatusCode};
use jiff::fmt::rfc2822;

use super::answer::AnswerHead;
use super::head::OriginHead;
use super::replay::{MOST_REPLAYS, Past};
use crate::ground::failure::{Cause, Failure, Party};

/// By what an answer that is under way to its client is known again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    validator: Validator,
    /// Where its body begins in the whole, in bytes: not at 0 where the client itself asked for a part.
    first: u64,
    /// The length of its body, where its head told.
    length: Option<u64>,
    /// The length of the whole, where its head told.
    whole: Option<u64>,
    kind: Option<HeaderValue>,
    coding: Option<HeaderValue>,
}

/// How much of an answer's body is the rest of the one that was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rest {
    /// Bytes at its beginning that the client has already.
    pub skip: u64,
    /// Bytes behind those that it lacks; `None` is all that come.
    pub lacks: Option<u64>,
}

/// What promises that two answers are parts of the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Validator {
    /// A strong entity tag.
    Tag(HeaderValue),
    /// A date of modification that is strong.
    Date(HeaderValue),
}

/// An origin that knows no ranges answers with the whole. It is let say again no more than this, which takes a moment
/// over loopback; it works for that as much as for a new request.
pub const MOST_SKIPPED: u64 = 256 << 20;

/// What a request is asked for once more must not hang on: it was answered, and what counts is that the answer is still
/// the same.
const CONDITIONS: [HeaderName; 4] = [
    IF_MATCH,
    IF_NONE_MATCH,
    IF_MODIFIED_SINCE,
    IF_UNMODIFIED_SINCE,
];

/// Whether the request of an answer that was cut may be sent once more, for the rest of it. A deadline of the origin's
/// that passed in the middle would pass again.
pub fn may_continue(past: Past, failure: &Failure) -> bool {
    let is_cut = matches!(
        failure.cause,
        Cause::Died | Cause::Truncated | Cause::Broken(_)
    );
    failure.party == Party::Origin && is_cut && !past.is_suspect && past.replays < MOST_REPLAYS
}

impl Mark {
    /// The mark of this answer to this request, which had no body; `None` where it cannot be continued.
    pub fn of(asked: &OriginHead, answer: &AnswerHead) -> Option<Self> {
        let fields = &answer.headers;
        if asked.method != Method::GET || refuses_ranges(fields) {
            return None;
        }
        let (first, length, whole) = match answer.status {
            StatusCode::OK => (0, answer.length, answer.length),
            StatusCode::PARTIAL_CONTENT => {
                let (part, whole) = content_range(fields)?;
                let length = part.end - part.start;
                let agrees = answer.length.is_none_or(|told| told == length);
                agrees.then_some((part.start, Some(length), Some(whole)))?
            }
            _ => return None,
        };
        let coding = one(fields, &CONTENT_ENCODING)?.cloned();
        if coding.is_some() && length.is_none() {
            // It is made as it is sent, and need not come out the same the next time, whatever its tag says.
            return None;
        }
        Some(Self {
            validator: Validator::of(fields)?,
            first,
            length,
            whole,
            kind: one(fields, &CONTENT_TYPE)?.cloned(),
            coding,
        })
        .filter(|mark| !mark.is_of_several_parts())
    }

    /// The request for what lies behind the first `had` bytes of the body; `None` where that is nothing.
    pub fn ask(&self, asked: &OriginHead, had: u64) -> Option<OriginHead> {
        let from = self.first.checked_add(had)?;
        let end = self.length.map(|length| self.first + length);
        if end.is_some_and(|end| from >= end) {
            return None;
        }
        let range = match end.filter(|_| self.whole != end) {
            Some(end) => format!("bytes={from}-{}", end - 1),
            None => format!("bytes={from}-"),
        };
        let mut head = asked.clone();
        for name in CONDITIONS {
            head.headers.remove(name);
        }
        let validator = match &self.validator {
            Validator::Tag(value) | Validator::Date(value) => value.clone(),
        };
        head.headers.insert(IF_RANGE, validator);
        head.headers.insert(RANGE, range.parse().ok()?);
        Some(head)
    }

    /// Which part of an answer's body is the rest of the marked one, of which the client has `had` bytes.
    ///
    /// # Errors
    /// Why none is, in words that go on "the answer to it ...".
    pub fn rest(&self, answer: &AnswerHead, had: u64) -> Result<Rest, &'static str> {
        if !self.validator.is_in(&answer.headers) {
            return Err("has another validator: it has changed meanwhile");
        }
        if one(&answer.headers, &CONTENT_ENCODING) != Some(self.coding.as_ref()) {
            return Err("has another Content-Encoding");
        }
        let kind = one(&answer.headers, &CONTENT_TYPE).ok_or("has two Content-Types")?;
        let from = self.first + had;
        match answer.status {
            StatusCode::PARTIAL_CONTENT => {
                // It need not say again what the client knows (RFC 9110, section 15.3.7).
                if kind.is_some_and(|kind| Some(kind) != self.kind.as_ref()) {
                    return Err("has another Content-Type");
                }
                let (part, whole) =
                    content_range(&answer.headers).ok_or("has no good Content-Range")?;
                let end = self.length.map_or(whole, |length| self.first + length);
                if self.whole.is_some_and(|known| known != whole) {
                    return Err("is of another length");
                }
                if part != (from..end) {
                    return Err("is another part than was asked for");
                }
                let lacks = end - from;
                if answer.length.is_some_and(|told| told != lacks) {
                    return Err("contradicts itself about its length");
                }
                Ok(Rest {
                    skip: 0,
                    lacks: Some(lacks),
                })
            }
            StatusCode::OK => {
                if kind != self.kind.as_ref() {
                    return Err("has another Content-Type");
                }
                if let (Some(known), Some(told)) = (self.whole, answer.length)
                    && known != told
                {
                    return Err("is of another length");
                }
                // A date of the page is no promise about each byte of it; its length is at least a sign.
                let is_dated = matches!(self.validator, Validator::Date(_));
                if is_dated && (self.whole.is_none() || answer.length != self.whole) {
                    return Err("is the whole once more, of a length that nobody tells");
                }
                if from > MOST_SKIPPED {
                    return Err("is the whole once more, and too long for that");
                }
                let body = self.length.or(answer.length);
                let lacks = body.map(|length| length.checked_sub(had));
                match lacks {
                    Some(None) => Err("is of another length"),
                    lacks => Ok(Rest {
                        skip: from,
                        lacks: lacks.flatten(),
                    }),
                }
            }
            _ => Err("has another status"),
        }
    }

    /// Whether the body holds several parts, each with its own place within.
    fn is_of_several_parts(&self) -> bool {
        let kind = self.kind.as_ref().map_or(&b""[..], HeaderValue::as_bytes);
        const PARTS: &[u8] = b"multipart/byteranges";
        kind.get(..PARTS.len())
            .is_some_and(|kind| kind.eq_ignore_ascii_case(PARTS))
    }
}

impl Validator {
    /// The strong validator of an answer. A tag is strong unless it says that it is weak. A date counts only where there is
    /// no tag at all (RFC 9110, section 13.1.5), and is strong where the answer was made at least a second later (section
    /// 8.8.2.2): then a change behind the answer has another date. Both are of one clock, since the origin is one machine.
    fn of(fields: &HeaderMap) -> Option<Self> {
        if let Some(tag) = one(fields, &ETAG)? {
            let bytes = tag.as_bytes();
            let inner = bytes.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
            return (!inner.contains(&b'"')).then(|| Self::Tag(tag.clone()));
        }
        let modified = one(fields, &LAST_MODIFIED)??;
        let seconds = |value: &HeaderValue| {
            let text = value.to_str().ok()?;
            let told = rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
            Some(told.as_second())
        };
        let made = seconds(one(fields, &DATE)??)?;
        (made > seconds(modified)?).then(|| Self::Date(modified.clone()))
    }

    /// Whether an answer bears this very validator.
    fn is_in(&self, fields: &HeaderMap) -> bool {
        let (name, own) = match self {
            Self::Tag(tag) => (ETAG, tag),
            Self::Date(date) => (LAST_MODIFIED, date),
        };
        one(fields, &name).flatten() == Some(own)
    }
}

/// The value of a field that may be there once; `None` where it is there more often.
fn one<'a>(fields: &'a HeaderMap, name: &HeaderName) -> Option<Option<&'a HeaderValue>> {
    let mut values = fields.get_all(name).iter();
    let first = values.next();
    values.next().is_none().then_some(first)
}

fn refuses_ranges(fields: &HeaderMap) -> bool {
    let says = |value: &HeaderValue| value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"none");
    fields.get_all(ACCEPT_RANGES).iter().any(says)
}

/// `bytes FIRST-LAST/WHOLE`: the part, its end excluded, and the length of the whole, where both are told and make sense.
fn content_range(fields: &HeaderMap) -> Option<(Range<u64>, u64)> {
    let told = one(fields, &CONTENT_RANGE)??.to_str().ok()?;
    let (unit, place) = told.trim().split_once(' ')?;
    let (part, whole) = place.trim().split_once('/')?;
    let (first, last) = part.split_once('-')?;
    let (first, last, whole) = (number(first)?, number(last)?, number(whole)?);
    let makes_sense = unit.eq_ignore_ascii_case("bytes") && first <= last && last < whole;
    makes_sense.then(|| (first..last + 1, whole))
}

/// Digits only: `parse` alone would take a sign.
fn number(digits: &str) -> Option<u64> {
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
#[path = "continuation_tests.rs"]
mod tests;
