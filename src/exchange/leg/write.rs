//! A request's head as HTTP/1 writes it (RFC 9112, sections 3 and 5). Pure.

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{HOST, HeaderMap, HeaderName};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method};

use crate::config::settings::OriginVersion;

/// A head under way to being written.
#[derive(Debug)]
pub struct HeadWriter {
    out: BytesMut,
    is_title_case: bool,
}

/// What a head without many cookies takes.
const USUAL: usize = 1 << 10;

impl HeadWriter {
    /// Begins with the request line.
    pub fn begin(
        method: &Method,
        target: &PathAndQuery,
        version: OriginVersion,
        is_title_case: bool,
    ) -> Self {
        let mut out = BytesMut::with_capacity(USUAL.max(target.as_str().len() + 256));
        out.put_slice(method.as_str().as_bytes());
        out.put_u8(b' ');
        out.put_slice(target.as_str().as_bytes());
        out.put_slice(match version {
            OriginVersion::V1_0 => b" HTTP/1.0\r\n",
            OriginVersion::V1_1 => b" HTTP/1.1\r\n",
        });
        Self { out, is_title_case }
    }

    /// All of these fields, `Host` first (RFC 9110, section 7.2).
    pub fn fields(&mut self, headers: &HeaderMap) {
        if let Some(host) = headers.get(HOST) {
            self.field(&HOST, host);
        }
        for (name, value) in headers.iter().filter(|(name, _)| **name != HOST) {
            self.field(name, value);
        }
    }

    /// One field.
    pub fn field(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.written(name, value.as_bytes());
    }

    /// One field, whose value is known to be good.
    pub fn written(&mut self, name: &HeaderName, value: &[u8]) {
        let name = name.as_str().as_bytes();
        self.out.reserve(name.len() + value.len() + 4);
        match self.is_title_case {
            true => put_title_case(&mut self.out, name),
            false => self.out.put_slice(name),
        }
        self.out.put_slice(b": ");
        self.out.put_slice(value);
        self.out.put_slice(b"\r\n");
    }

    /// The whole head, with the empty line behind it.
    pub fn end(mut self) -> Bytes {
        self.out.put_slice(b"\r\n");
        self.out.freeze()
    }
}

/// `content-type` as `Content-Type`, which is how primitive servers look for it.
fn put_title_case(out: &mut BytesMut, name: &[u8]) {
    let mut is_first = true;
    for byte in name {
        out.put_u8(match is_first {
            true => byte.to_ascii_uppercase(),
            false => *byte,
        });
        is_first = *byte == b'-';
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_written_host_first_and_ends_with_an_empty_line() {
        let mut headers = HeaderMap::new();
        headers.insert("x-a", HeaderValue::from_static("1"));
        headers.insert(HOST, HeaderValue::from_static("h"));
        let target = PathAndQuery::from_static("/p?q");
        let written = |version, is_title_case| {
            let mut head = HeadWriter::begin(&Method::GET, &target, version, is_title_case);
            head.fields(&headers);
            String::from_utf8(head.end().to_vec()).unwrap()
        };
        assert_eq!(
            written(OriginVersion::V1_1, false),
            "GET /p?q HTTP/1.1\r\nhost: h\r\nx-a: 1\r\n\r\n"
        );
        assert_eq!(
            written(OriginVersion::V1_0, true),
            "GET /p?q HTTP/1.0\r\nHost: h\r\nX-A: 1\r\n\r\n"
        );
    }
}
