//! The head of what a script writes (RFC 3875, section 6). Pure.

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};

/// What the script means.
#[derive(Debug, PartialEq)]
pub(super) enum Reply {
    /// An answer: a document, or a redirect that the client follows.
    Page(Page),
    /// Another place of this site has the answer (a local redirect, section 6.2.2).
    Elsewhere(Uri),
}

/// The head of an answer.
#[derive(Debug, PartialEq)]
pub(super) struct Page {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// How long the body is, where the script says so.
    pub(super) length: Option<u64>,
}

/// Most bytes of a head; more is not one.
pub(super) const LARGEST: usize = 32 * 1024;
/// Most fields of one.
const FIELDS: usize = 100;
/// What is between us and our client, and none of a script's business.
const OURS: [&str; 9] = [
    "connection",
    "keep-alive",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "proxy-connection",
    "proxy-authenticate",
    "content-length",
];

/// Where the head ends and the body begins: behind the first empty line.
pub(super) fn end(bytes: &[u8]) -> Option<usize> {
    let mut start = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if *byte != b'\n' {
            continue;
        }
        if matches!(&bytes[start..at], b"" | b"\r") {
            return Some(at + 1);
        }
        start = at + 1;
    }
    None
}

/// Reads a head, its empty line included.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse(head: &[u8]) -> Result<Reply, &'static str> {
    let (mut status, mut location) = (None, None);
    let mut headers = HeaderMap::new();
    let lines = head.split(|byte| *byte == b'\n');
    for line in lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line)) {
        if line.is_empty() {
            continue;
        }
        let colon = line.iter().position(|byte| *byte == b':');
        let colon = colon.ok_or("a line of its head is no field")?;
        let name = HeaderName::from_bytes(&line[..colon]).map_err(|_| "a field has no name")?;
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii())
            .map_err(|_| "a field has a value that is none")?;
        if headers.len() >= FIELDS {
            return Err("its head has more than 100 fields");
        }
        let is_again = match name.as_str() {
            "status" => status.replace(self::status(&value)?).is_some(),
            "location" => location.replace(value).is_some(),
            "content-type" => headers.insert(name, value).is_some(),
            "content-length" if headers.contains_key(&name) => true,
            _ => {
                headers.append(name, value);
                false
            }
        };
        if is_again {
            return Err("its head says the same twice");
        }
    }
    let is_typed = headers.contains_key(CONTENT_TYPE);
    if status.is_none() && location.is_none() && !is_typed {
        return Err("its head has no Content-Type, no Status and no Location");
    }
    if let Some(place) = &location
        && status.is_none()
        && place.as_bytes().starts_with(b"/")
        && !place.as_bytes().starts_with(b"//")
    {
        let place = Uri::try_from(place.as_bytes()).map_err(|_| "its Location is no path")?;
        return Ok(Reply::Elsewhere(place));
    }
    let length = match headers.get(CONTENT_LENGTH) {
        Some(length) => Some(number(length).ok_or("its Content-Length is no number")?),
        None => None,
    };
    for field in OURS {
        headers.remove(field);
    }
    let usual = match location {
        Some(_) => StatusCode::FOUND,
        None => StatusCode::OK,
    };
    if let Some(location) = location {
        headers.insert(LOCATION, location);
    }
    Ok(Reply::Page(Page {
        status: status.unwrap_or(usual),
        headers,
        length,
    }))
}

/// `404 Not Found`, or the number alone. An interim one is no answer.
fn status(value: &HeaderValue) -> Result<StatusCode, &'static str> {
    let digits = value.as_bytes().split(|byte| *byte == b' ').next();
    match digits.and_then(|digits| StatusCode::from_bytes(digits).ok()) {
        Some(status) if (200..600).contains(&status.as_u16()) => Ok(status),
        _ => Err("its Status is none"),
    }
}

fn number(value: &HeaderValue) -> Option<u64> {
    let digits = value.to_str().ok()?;
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::random::Random;

    fn page(head: &str) -> Page {
        match parse(head.as_bytes()) {
            Ok(Reply::Page(page)) => page,
            other => panic!("{head:?}: {other:?}"),
        }
    }

    #[test]
    fn a_head_ends_with_an_empty_line_of_either_kind() {
        for (bytes, at) in [
            ("A: b\n\nbody", Some(6)),
            ("A: b\r\n\r\nbody", Some(8)),
            ("A: b\n\r\nbody", Some(7)),
            ("\nbody", Some(1)),
            ("A: b\n", None),
            ("A: b\r\n\r", None),
        ] {
            assert_eq!(end(bytes.as_bytes()), at, "{bytes:?}");
        }
    }

    #[test]
    fn documents_and_redirects_are_told_apart() {
        let document = page("Content-Type: text/plain\nX-A: 1\nX-A: 2\nConnection: close\n\n");
        assert_eq!(document.status, 200);
        assert_eq!(document.headers.get_all("x-a").iter().count(), 2);
        assert!(!document.headers.contains_key("connection"));
        assert_eq!(
            page("Status: 404 Not Found\nContent-Type: a/b\n\n").status,
            404
        );
        assert_eq!(page("Status: 204\n\n").status, 204);
        assert_eq!(
            page("Content-Type: a/b\nContent-Length: 7\n\n").length,
            Some(7)
        );
        let elsewhere = page("Location: https://example.org/\n\n");
        assert_eq!(
            (elsewhere.status.as_u16(), &elsewhere.headers["location"]),
            (302, &HeaderValue::from_static("https://example.org/"))
        );
        assert_eq!(
            page("Status: 303 See Other\nLocation: /here\n\n").status,
            303
        );
        assert_eq!(page("Location: //example.org/\n\n").status, 302);
        let local = parse(b"Location: /a?b=c\n\n");
        assert_eq!(local, Ok(Reply::Elsewhere(Uri::from_static("/a?b=c"))));
    }

    #[test]
    fn garbage_is_none() {
        for head in [
            "\n",
            "X: y\n\n",
            "<html>\n\n",
            "HTTP/1.1 200 OK\nContent-Type: a/b\n\n",
            "Status: 100 Continue\n\n",
            "Status: 99\n\n",
            "Status: 600\n\n",
            "Status: \n\n",
            "Content-Type: a/b\nContent-Type: c/d\n\n",
            "Content-Type: a/b\nContent-Length: +3\n\n",
            "Content-Type: a/b\nContent-Length: 3\nContent-Length: 4\n\n",
            ": a\n\n",
            "Content-Type: a\u{0}b\n\n",
            "Content-Type: a/b\n folded\n\n",
        ] {
            assert!(parse(head.as_bytes()).is_err(), "{head:?}");
        }
        let many: String = (0..=FIELDS).map(|at| format!("X-{at}: y\n")).collect();
        assert!(parse(format!("Status: 200\n{many}\n").as_bytes()).is_err());
    }

    /// Whatever a script writes is read or refused, and what is read can be sent.
    #[test]
    fn random_bytes_do_no_harm() {
        let seed = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_nanos() as u64;
        println!("seed {seed}");
        let mut random = Random(seed);
        const PARTS: [&[u8]; 9] = [
            b"Status: ",
            b"Location: ",
            b"Content-Type: ",
            b"\n",
            b"\r\n",
            b": ",
            b"/",
            b"200",
            b"a",
        ];
        let mut read = 0;
        for _ in 0..200_000 {
            let mut bytes = Vec::new();
            for _ in 0..random.below(12) {
                match random.below(11) {
                    at @ 0..9 => bytes.extend_from_slice(PARTS[at as usize]),
                    _ => bytes.push(random.draw() as u8),
                }
            }
            bytes.extend_from_slice(b"\n\n");
            let end = end(&bytes).expect("an empty line");
            if let Ok(Reply::Page(page)) = parse(&bytes[..end]) {
                assert!(page.status.as_u16() >= 200, "seed {seed}: {bytes:?}");
                read += 1;
            }
        }
        assert!(read > 100, "only {read} were read, seed {seed}");
    }
}
