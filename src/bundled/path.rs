//! The path of a request as the file system has it: decoded, each of its segments looked at. Pure.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// A path that leads nowhere but down: no segment is empty, `.` or `..`, and none holds a slash or a zero byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    /// The decoded segments; they need not be UTF-8.
    pub(super) segments: Vec<Vec<u8>>,
    /// Whether it ends with a slash.
    pub(super) is_folder: bool,
}

/// Why a path cannot be looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// A percent sign without two hexadecimal digits: 400.
    Malformed,
    /// It leads up, or names what no file system can hold: 404, as for all that is not there.
    Absent,
}

impl Asked {
    /// The path of a request target, still encoded. Slashes in a row are one, as in nginx (`merge_slashes`).
    pub(super) fn of(path: &str) -> Result<Asked, Refused> {
        let path = path.strip_prefix('/').ok_or(Refused::Malformed)?;
        let mut segments = Vec::new();
        for segment in path.split('/').filter(|segment| !segment.is_empty()) {
            let segment = decoded(segment.as_bytes()).ok_or(Refused::Malformed)?;
            let is_unsafe = segment.contains(&b'/') || segment.contains(&0);
            if is_unsafe || segment == b"." || segment == b".." {
                return Err(Refused::Absent);
            }
            segments.push(segment);
        }
        let is_folder = path.is_empty() || path.ends_with('/');
        Ok(Asked {
            segments,
            is_folder,
        })
    }

    /// The same as a path below some directory.
    pub(super) fn relative(&self) -> PathBuf {
        self.segments
            .iter()
            .map(|name| OsStr::from_bytes(name))
            .collect()
    }

    /// The same as a request target that ends with a slash and leads to this very host.
    pub(super) fn as_folder(&self) -> String {
        let mut target = String::from("/");
        for segment in &self.segments {
            target.push_str(&encoded(segment));
            target.push('/');
        }
        target
    }

    /// What comes behind `prefix`, if this begins with it.
    pub(super) fn below(&self, prefix: &Asked) -> Option<&[Vec<u8>]> {
        self.segments.strip_prefix(&prefix.segments[..])
    }
}

/// A segment as a link writes it: all but the unreserved letters of RFC 3986 encoded.
pub(super) fn encoded(segment: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(segment.len());
    for byte in segment {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(*byte));
            }
            byte => {
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
    text
}

fn decoded(segment: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
    let mut bytes = segment.iter();
    let mut plain = Vec::with_capacity(segment.len());
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'%' => (digit(bytes.next())? * 16 + digit(bytes.next())?) as u8,
            byte => *byte,
        });
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::random::Random;

    #[test]
    fn what_leads_up_or_is_malformed_is_refused() {
        for path in [
            "/..",
            "/../a",
            "/a/../b",
            "/%2e%2e/a",
            "/%2E./a",
            "/.",
            "/a%2fb",
            "/a%00",
            "/a/%2e/b",
        ] {
            assert_eq!(Asked::of(path), Err(Refused::Absent), "{path}");
        }
        for path in ["", "a", "*", "/%", "/%2", "/%zz", "/%+1"] {
            assert_eq!(Asked::of(path), Err(Refused::Malformed), "{path}");
        }
    }

    #[test]
    fn it_is_decoded_once_and_its_slashes_are_merged() {
        let asked = Asked::of("//a%20b///%252e%252e/c/").unwrap();
        assert_eq!(asked.segments, [&b"a b"[..], b"%2e%2e", b"c"]);
        assert!(asked.is_folder);
        assert_eq!(asked.as_folder(), "/a%20b/%252e%252e/c/");
        assert!(Asked::of("/").unwrap().segments.is_empty());
    }

    /// 200,000 paths made of what matters here and of anything else: whatever is taken leads down, and is taken again.
    #[test]
    fn random_paths_never_lead_up() {
        let seed = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_nanos() as u64;
        println!("seed {seed}");
        let mut random = Random(seed);
        const PARTS: [&str; 14] = [
            "/", ".", "..", "%", "%2e", "%2f", "%5c", "%00", "%25", "\\", "a", "%ff", "é", "//",
        ];
        for _ in 0..200_000 {
            let mut path = String::from("/");
            for _ in 0..random.below(9) {
                match random.below(16) {
                    at @ 0..14 => path.push_str(PARTS[at as usize]),
                    _ => path.push(char::from(random.below(128) as u8)),
                }
            }
            let Ok(asked) = Asked::of(&path) else {
                continue;
            };
            let relative = asked.relative();
            let is_down = |part| matches!(part, std::path::Component::Normal(_));
            assert!(relative.components().all(is_down), "{path:?}, seed {seed}");
            assert_eq!(
                relative.components().count(),
                asked.segments.len(),
                "{path:?}"
            );
            let again = Asked::of(&asked.as_folder()).unwrap();
            assert_eq!(again.segments, asked.segments, "{path:?}, seed {seed}");
        }
    }
}
