//! A file in parts, as real servers give it: with a strong tag, by Range and on the condition of If-Range.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::thread;
use std::time::Duration;

use crate::request::Request;

/// Written at once.
const PIECE: u64 = 64 << 10;
/// Between two pieces of a whole file, so that it takes a while; a part goes out at once.
const PAUSE: Duration = Duration::from_millis(5);

/// Writes the file below `/file`, if the path asks for one.
pub fn answer(request: &Request, to: &mut TcpStream) -> io::Result<bool> {
    let Some(path) = request.path().strip_prefix("/file") else {
        return Ok(false);
    };
    let mut file = File::open(path)?;
    let seen = file.metadata()?;
    let (length, tag) = (
        seen.len(),
        format!("\"{}-{}\"", seen.mtime(), seen.mtime_nsec()),
    );
    let is_same = request.field("if-range").is_none_or(|named| named == tag);
    let part = request.field("range").filter(|_| is_same);
    let part = part.and_then(|range| bounds(&range, length));
    let (status, (first, end)) = match part {
        Some(part) => ("206 Partial Content", part),
        None => ("200 OK", (0, length)),
    };
    let place = match part {
        Some(_) => format!("Content-Range: bytes {first}-{}/{length}\r\n", end - 1),
        None => String::new(),
    };
    let left = end - first;
    to.write_all(
        format!(
            "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: application/octet-stream\r\n\
             Accept-Ranges: bytes\r\nETag: {tag}\r\n{place}Content-Length: {left}\r\n\r\n"
        )
        .as_bytes(),
    )?;
    file.seek(SeekFrom::Start(first))?;
    let is_rest = request.field("if-range").is_some();
    for from in (first..end).step_by(PIECE as usize) {
        let mut piece = vec![0; PIECE.min(end - from) as usize];
        file.read_exact(&mut piece)?;
        to.write_all(&piece)?;
        if !is_rest {
            thread::sleep(PAUSE);
        }
    }
    Ok(true)
}

/// `bytes=FIRST-` or `bytes=FIRST-LAST`, its end excluded.
fn bounds(range: &str, length: u64) -> Option<(u64, u64)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let first = first.parse().ok()?;
    let end = match last {
        "" => length,
        last => last.parse::<u64>().ok()? + 1,
    };
    (first < end && end <= length).then_some((first, end))
}
