//! `Range: bytes=` for one range (RFC 9110, section 14): what was asked, and what that is of a given length. Pure.
//!
//! Several ranges at once are answered with the whole, which a server may always do (section 14.2): hardly a client asks
//! for them but those that want to make a server work (CVE-2011-3192), and an answer in parts could not be continued by
//! a proxy.

use http::{HeaderMap, header};

/// One range as it was asked for, before the length is known. Never reversed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Range {
    /// From an offset to the end.
    From(u64),
    /// From an offset to another, both included.
    Between(u64, u64),
    /// The last so many bytes.
    Last(u64),
}

/// No byte of the range exists at this length: 416.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unsatisfiable;

impl Range {
    /// The single byte range a request asks for.
    ///
    /// `None` where the field is absent, malformed, of another unit, or asks for several ranges: a server may always
    /// ignore the field, and then answers with the whole.
    pub(super) fn of(headers: &HeaderMap) -> Option<Range> {
        let mut fields = headers.get_all(header::RANGE).iter();
        let field = fields.next()?;
        // Two fields are one list, and a list is several ranges.
        if fields.next().is_some() {
            return None;
        }
        Range::parse(field.to_str().ok()?)
    }

    fn parse(field: &str) -> Option<Range> {
        let (unit, range) = field.split_once('=')?;
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return None;
        }
        let (first, last) = range.trim().split_once('-')?;
        match (first, last) {
            ("", last) => Some(Range::Last(number(last)?)),
            (first, "") => Some(Range::From(number(first)?)),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Range::Between(first, last))
            }
        }
    }

    /// The offsets this range means in `len` bytes: start included, end excluded, never empty.
    ///
    /// # Errors
    /// [`Unsatisfiable`] where it starts at or behind the end, or asks for the last 0 bytes.
    pub(super) fn within(self, len: u64) -> Result<std::ops::Range<u64>, Unsatisfiable> {
        let range = match self {
            Range::From(first) => first..len,
            Range::Between(first, last) => first..last.saturating_add(1).min(len),
            Range::Last(count) => len.saturating_sub(count)..len,
        };
        if range.is_empty() {
            return Err(Unsatisfiable);
        }
        Ok(range)
    }
}

/// Digits only (`parse` alone would take a sign). Beyond what a length can be, the number is as good as the largest.
fn number(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_1000(field: &str) -> Option<Result<std::ops::Range<u64>, Unsatisfiable>> {
        Range::parse(field).map(|range| range.within(1000))
    }

    #[test]
    fn both_ends_are_included() {
        assert_eq!(of_1000("bytes=0-0"), Some(Ok(0..1)));
        assert_eq!(of_1000("bytes=10-19"), Some(Ok(10..20)));
        assert_eq!(of_1000("Bytes= 10-19 "), Some(Ok(10..20)));
    }

    #[test]
    fn an_end_behind_the_last_byte_means_the_last_byte() {
        assert_eq!(of_1000("bytes=990-5000"), Some(Ok(990..1000)));
        assert_eq!(
            of_1000("bytes=990-99999999999999999999999"),
            Some(Ok(990..1000))
        );
    }

    #[test]
    fn an_open_range_runs_to_the_end() {
        assert_eq!(of_1000("bytes=0-"), Some(Ok(0..1000)));
        assert_eq!(of_1000("bytes=999-"), Some(Ok(999..1000)));
    }

    #[test]
    fn a_suffix_counts_from_the_end_and_may_be_longer_than_the_whole() {
        assert_eq!(of_1000("bytes=-1"), Some(Ok(999..1000)));
        assert_eq!(of_1000("bytes=-5000"), Some(Ok(0..1000)));
    }

    #[test]
    fn a_range_without_a_single_byte_is_unsatisfiable() {
        for field in [
            "bytes=1000-",
            "bytes=1000-1001",
            "bytes=-0",
            "bytes=99999999999999999999999-",
        ] {
            assert_eq!(of_1000(field), Some(Err(Unsatisfiable)), "{field}");
        }
        assert_eq!(Range::Last(5).within(0), Err(Unsatisfiable));
        assert_eq!(Range::From(0).within(0), Err(Unsatisfiable));
    }

    #[test]
    fn what_is_malformed_reversed_or_of_another_unit_is_ignored() {
        for field in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=5-3",
            "bytes=+1-2",
            "bytes=a-b",
            "bytes=1",
            "items=0-5",
            "bytes=--5",
        ] {
            assert_eq!(Range::parse(field), None, "{field}");
        }
    }

    #[test]
    fn several_ranges_are_ignored_in_one_field_and_in_two() {
        assert_eq!(Range::parse("bytes=0-1,5-6"), None);
        let mut headers = HeaderMap::new();
        headers.append(header::RANGE, "bytes=0-1".parse().unwrap());
        assert_eq!(Range::of(&headers), Some(Range::Between(0, 1)));
        headers.append(header::RANGE, "bytes=5-6".parse().unwrap());
        assert_eq!(Range::of(&headers), None);
    }
}
