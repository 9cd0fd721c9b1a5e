//! By what one exchange is known beyond us: the id of its request, and its place in a trace (W3C Trace Context). Pure.

use std::fmt;

use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::random::Random;

/// The trail of one exchange.
#[derive(Debug, Clone, Default)]
pub struct Trail {
    /// The trace it belongs to; never 0 but in a default.
    pub trace: u128,
    /// The exchange's own span.
    pub span: u64,
    /// The span of the client's that it continues.
    pub parent: Option<u64>,
    /// Whether it is to be recorded, as far as its beginning decided.
    pub is_sampled: bool,
    /// Whether the origin is told of the trace.
    pub is_told: bool,
    /// The id of the request.
    pub id: RequestId,
    /// How many visits to the origin came before the one that is told of it.
    pub attempt: u64,
}

/// The id of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum RequestId {
    /// It has none.
    #[default]
    Off,
    /// Ours: the id of its trace.
    Made(u128),
    /// The client's, which is decent.
    Taken(HeaderValue),
}

/// What a new trail is made by.
#[derive(Debug, Clone, Copy)]
pub struct Making {
    /// Whether there is an id, and whether the client's is taken.
    pub id: IdSource,
    /// Whether traces begin here: one in so many.
    pub one_in: Option<u32>,
}

/// Where the id of a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdSource {
    /// From the client, where it brings a decent one; else it is made.
    Client,
    /// From here.
    Own,
    /// From nowhere.
    Nobody,
}

/// A field of the origin's head, written without an allocation.
#[derive(Debug, Clone, Copy)]
pub struct Written {
    text: [u8; TRACEPARENT],
    length: usize,
}

/// The field that carries the id of a request; nobody has standardised it, and everybody uses it.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The field that carries the trace.
pub const PARENT: HeaderName = HeaderName::from_static("traceparent");
const STATE: HeaderName = HeaderName::from_static("tracestate");
/// `00-`, 32 digits, `-`, 16 digits, `-`, 2 digits.
const TRACEPARENT: usize = 55;
/// The longest id that is taken from a client.
const LONGEST_ID: usize = 128;

impl Trail {
    /// The trail of a request with these fields. `chance` is used up.
    pub fn begin(headers: &HeaderMap, making: Making, chance: &mut Random) -> Self {
        let parent = parent(headers);
        let (trace, parent, flags) = match parent {
            Some((trace, parent, flags)) => (trace, Some(parent), Some(flags)),
            None => {
                let trace = u128::from(chance.draw()) << 64 | u128::from(chance.draw());
                (trace | 1, None, None)
            }
        };
        let is_sampled = match (flags, making.one_in) {
            (Some(flags), _) => flags & 1 == 1,
            (None, Some(times)) => chance.once_in(u64::from(times.max(1))),
            (None, None) => false,
        };
        let taken = || headers.get(REQUEST_ID).filter(|id| is_decent(id)).cloned();
        let id = match making.id {
            IdSource::Nobody => RequestId::Off,
            IdSource::Client if one(headers, &REQUEST_ID) => {
                taken().map_or(RequestId::Made(trace), RequestId::Taken)
            }
            IdSource::Client | IdSource::Own => RequestId::Made(trace),
        };
        Self {
            trace,
            span: chance.draw() | 1,
            parent,
            is_sampled,
            is_told: parent.is_some() || making.one_in.is_some(),
            id,
            attempt: 0,
        }
    }

    /// Takes away what this trail tells the origin itself.
    pub fn replace_in(&self, headers: &mut HeaderMap) {
        if matches!(self.id, RequestId::Made(_)) {
            headers.remove(REQUEST_ID);
        }
        if self.is_told {
            headers.remove(PARENT);
            if self.parent.is_none() {
                // It belongs to a trace that nobody could read.
                headers.remove(STATE);
            }
        }
    }

    /// The span of the visit to the origin that comes after so many, below which the origin's own spans are.
    pub fn visit(&self, attempt: u64) -> u64 {
        self.below(attempt << 8)
    }

    /// The `nth` span below the exchange's own, from 1 to 255.
    pub fn below(&self, nth: u64) -> u64 {
        Random(self.span.wrapping_add(nth)).draw() | 1
    }

    /// The fields that the origin is told beside those of the client.
    pub fn fields(&self) -> impl Iterator<Item = (HeaderName, Written)> {
        let id = match self.id {
            RequestId::Made(id) => Some((REQUEST_ID, Written::hex(id))),
            _ => None,
        };
        let parent = self.is_told.then(|| (PARENT, self.traceparent()));
        [id, parent].into_iter().flatten()
    }

    fn traceparent(&self) -> Written {
        let mut it = Written::empty();
        it.put(b"00-");
        it.digits(self.trace, 32);
        it.put(b"-");
        it.digits(u128::from(self.visit(self.attempt)), 16);
        it.put(b"-");
        it.digits(u128::from(self.is_sampled), 2);
        it
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("-"),
            Self::Made(id) => write!(f, "{id:032x}"),
            Self::Taken(id) => f.write_str(id.to_str().unwrap_or("-")),
        }
    }
}

impl RequestId {
    /// It, where there is one.
    pub fn told(&self) -> Option<&Self> {
        Some(self).filter(|id| **id != Self::Off)
    }
}

impl Written {
    fn empty() -> Self {
        Self {
            text: [0; TRACEPARENT],
            length: 0,
        }
    }

    fn hex(number: u128) -> Self {
        let mut it = Self::empty();
        it.digits(number, 32);
        it
    }

    fn put(&mut self, text: &[u8]) {
        self.text[self.length..self.length + text.len()].copy_from_slice(text);
        self.length += text.len();
    }

    fn digits(&mut self, number: u128, digits: u32) {
        for digit in (0..digits).rev() {
            let four = (number >> (digit * 4)) as usize & 0xf;
            self.put(&[b"0123456789abcdef"[four]]);
        }
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.text[..self.length]
    }
}

/// The trace, the span and the flags that a client's `traceparent` tells, if it tells one (Trace Context, section 3.2):
/// a version we do not know is read as far as version 00 goes.
fn parent(headers: &HeaderMap) -> Option<(u128, u64, u8)> {
    let said = headers.get(PARENT).filter(|_| one(headers, &PARENT))?;
    let said = said.to_str().ok()?;
    let (head, rest) = said.split_at_checked(TRACEPARENT)?;
    let mut parts = head.split('-');
    let mut next = |digits| parts.next().and_then(|part| hex(part, digits));
    let version = next(2)?;
    let (trace, span, flags) = (next(32)?, next(16)?, next(2)?);
    let is_whole = match version {
        0 => rest.is_empty(),
        0xff => false,
        _ => rest.is_empty() || rest.starts_with('-'),
    };
    let is_valid = is_whole && trace != 0 && span != 0;
    is_valid.then_some((trace, span as u64, flags as u8))
}

/// So many digits in lower case, and nothing else.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_plain = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let is_good = text.len() == digits && text.bytes().all(is_plain);
    u128::from_str_radix(text, 16).ok().filter(|_| is_good)
}

fn one(headers: &HeaderMap, name: &HeaderName) -> bool {
    headers.get_all(name).iter().nth(1).is_none()
}

/// Whether an id can stand in any log as it is.
fn is_decent(id: &HeaderValue) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:+/=".contains(byte);
    (1..=LONGEST_ID).contains(&id.len()) && id.as_bytes().iter().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn trail(making: Making, fields: &[(&str, &str)]) -> Trail {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, value.parse().unwrap());
        }
        Trail::begin(&headers, making, &mut Random(7))
    }

    fn quiet(id: IdSource) -> Making {
        Making { id, one_in: None }
    }

    fn told(trail: &Trail) -> Vec<String> {
        let fields = trail.fields();
        fields
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.bytes())))
            .collect()
    }

    #[test]
    fn a_clients_trace_is_continued_with_a_span_of_ours() {
        let it = trail(quiet(IdSource::Own), &[("traceparent", GOOD)]);
        assert_eq!(it.parent, Some(0xb7ad_6b71_6920_3331));
        assert!(it.is_sampled && it.is_told);
        let said = told(&it);
        assert_eq!(said[0], "x-request-id: 0af7651916cd43dd8448eb211c80319c");
        let (front, back) =
            said[1].split_at("traceparent: 00-0af7651916cd43dd8448eb211c80319c-".len());
        assert_eq!(front, "traceparent: 00-0af7651916cd43dd8448eb211c80319c-");
        assert_eq!(back, format!("{:016x}-01", it.visit(0)));
        assert_ne!(it.visit(0), 0xb7ad_6b71_6920_3331);
    }

    #[test]
    fn a_later_version_is_read_as_far_as_we_know_it() {
        let later = format!("cc{}-what-ever", &GOOD[2..]);
        let it = trail(quiet(IdSource::Own), &[("traceparent", &later)]);
        assert!(it.parent.is_some());
    }

    #[test]
    fn what_is_no_trace_begins_none_where_nobody_is_told() {
        let none = "00-00000000000000000000000000000000-b7ad6b7169203331-01";
        for bad in [
            "",
            "00",
            none,
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            let it = trail(quiet(IdSource::Nobody), &[("traceparent", bad)]);
            assert_eq!((it.parent, it.is_told), (None, false), "{bad}");
            assert!(told(&it).is_empty());
        }
        let twice = [("traceparent", GOOD), ("traceparent", GOOD)];
        assert_eq!(trail(quiet(IdSource::Own), &twice).parent, None);
    }

    #[test]
    fn where_somebody_is_told_a_trace_begins_here() {
        let making = Making {
            id: IdSource::Own,
            one_in: Some(1),
        };
        let it = trail(making, &[]);
        assert!(it.is_told && it.is_sampled && it.trace != 0);
    }

    #[test]
    fn a_decent_id_is_taken_and_another_is_not() {
        let client = quiet(IdSource::Client);
        let taken = trail(client, &[("x-request-id", "a-1:b/2=")]).id;
        assert_eq!(taken.to_string(), "a-1:b/2=");
        let long = "a".repeat(LONGEST_ID + 1);
        for bad in ["", "a b", "a\"b", "a,b", &long] {
            let id = trail(client, &[("x-request-id", bad)]).id;
            assert!(matches!(id, RequestId::Made(_)), "{bad}");
        }
        let id = trail(quiet(IdSource::Own), &[("x-request-id", "a")]).id;
        assert!(matches!(id, RequestId::Made(_)));
    }

    #[test]
    fn the_origin_is_told_each_once() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-request-id", "a b"),
            ("traceparent", "x"),
            ("tracestate", "y"),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        let making = Making {
            id: IdSource::Client,
            one_in: Some(1),
        };
        Trail::begin(&headers, making, &mut Random(1)).replace_in(&mut headers);
        assert!(headers.is_empty());
    }
}
