//! The answers, ordinary and odd, all written with blocking writes: a client that does not read blocks the origin for
//! ever, which is the point.

use std::io::{self, Write};
use std::net::TcpStream;
use std::process;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use crate::hoards::ERRING;
use crate::request::Request;

/// How many header lines `/header-bomb` sends, and how long each one's value is: 4 MiB of head.
const BOMB: (usize, usize) = (256, 16 * 1024);

/// Writes the answer the path asks for.
pub fn answer(request: &Request, to: &mut TcpStream) -> io::Result<()> {
    match request.pieces()[..] {
        _ if ERRING.load(Ordering::Relaxed) => page(request, to, "500 Out Of Order", "broken"),
        [""] => page(request, to, "200 OK", "the ailing origin"),
        ["bytes", n] => {
            let length = parse(n);
            head(to, "200 OK", &format!("Content-Length: {length}"))?;
            pattern(request, to, length)
        }
        ["unbuffered", n] => {
            let length = parse(n);
            let fields = format!("X-Accel-Buffering: no\r\nContent-Length: {length}");
            head(to, "200 OK", &fields)?;
            pattern(request, to, length)
        }
        ["chunked", n] => chunked(request, to, parse(n)),
        ["close", n] => {
            to.write_all(b"HTTP/1.0 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n")?;
            pattern(request, to, parse(n))
        }
        ["drip", milliseconds, n] => drip(request, to, parse(milliseconds), parse(n)),
        ["slow" | "compute" | "query", _] => page(request, to, "200 OK", "slept well"),
        ["stop"] => page(request, to, "200 OK", "continued"),
        ["leak", ..] => page(request, to, "200 OK", "has more now"),
        [
            "stop-accepting" | "close-listener" | "hand-over" | "dawdle",
            ..,
        ] => page(request, to, "200 OK", "the last answer"),
        ["truncated"] => {
            head(to, "200 OK", "Content-Length: 1000")?;
            pattern(request, to, 100)
        }
        ["garbage"] => to.write_all(b"\x16\x03\x01 this is no HTTP at all\r\n\r\n"),
        ["status", code] => page(
            request,
            to,
            &format!("{} As Asked", parse(code)),
            "a status as asked",
        ),
        ["headers"] => whole(
            request,
            to,
            "200 OK",
            "Content-Type: text/plain",
            &request.head,
        ),
        ["echo"] => whole(
            request,
            to,
            "200 OK",
            "Content-Type: application/octet-stream",
            &request.body,
        ),
        ["early"] => page(request, to, "413 Content Too Large", "not read"),
        ["redirect"] => {
            let location = format!("Location: http://{}/x", to.local_addr()?);
            whole(request, to, "302 Found", &location, b"elsewhere\n")
        }
        ["cookies"] => whole(
            request,
            to,
            "200 OK",
            "Set-Cookie: first=1; Path=/\r\nSet-Cookie: second=2; HttpOnly",
            b"two cookies\n",
        ),
        ["noise", lines] => {
            make_noise(parse(lines));
            page(request, to, "200 OK", "made noise")
        }
        ["header-bomb"] => {
            let line = |at| format!("X-Bomb-{at}: {}", "b".repeat(BOMB.1));
            let lines: Vec<String> = (0..BOMB.0).map(line).collect();
            whole(request, to, "200 OK", &lines.join("\r\n"), b"boom\n")
        }
        ["hop"] => whole(request, to, "200 OK", HOP_BY_HOP, b"hop\n"),
        _ => page(request, to, "404 Not Found", "no such page"),
    }
}

/// Fields that belong to one connection and must not travel on, and one that must.
const HOP_BY_HOP: &str = "Connection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: close\r\n\
                          Proxy-Authenticate: Basic realm=\"hop\"\r\nTE: trailers\r\nUpgrade: hop/1\r\nX-End: 1";

/// A small page that tells which process wrote it.
fn page(request: &Request, to: &mut TcpStream, status: &str, text: &str) -> io::Result<()> {
    let body = format!("{text}\npid={}\n", process::id());
    whole(
        request,
        to,
        status,
        "Content-Type: text/plain",
        body.as_bytes(),
    )
}

/// An answer with a Content-Length and all of its body.
pub fn whole(
    request: &Request,
    to: &mut TcpStream,
    status: &str,
    fields: &str,
    body: &[u8],
) -> io::Result<()> {
    head(
        to,
        status,
        &format!("{fields}\r\nContent-Length: {}", body.len()),
    )?;
    write_body(request, to, body)
}

fn head(to: &mut TcpStream, status: &str, fields: &str) -> io::Result<()> {
    to.write_all(format!("HTTP/1.1 {status}\r\nConnection: close\r\n{fields}\r\n\r\n").as_bytes())
}

/// A HEAD request is answered by the head alone.
fn write_body(request: &Request, to: &mut TcpStream, body: &[u8]) -> io::Result<()> {
    if request.method == "HEAD" {
        return Ok(());
    }
    to.write_all(body)
}

/// The byte at each place of `/bytes`, `/chunked`, `/close` and `/drip`: its place modulo 251, a prime, so that a
/// piece lost or doubled shows.
fn pattern_piece(from: usize, length: usize) -> Vec<u8> {
    (from..from + length)
        .map(|at| (at % PERIOD) as u8)
        .collect()
}

fn pattern(request: &Request, to: &mut TcpStream, length: usize) -> io::Result<()> {
    const PIECE: usize = 64 * 1024;
    // Made once: a crowd that asks for gigabytes is to find an origin that is quick at it.
    let piece = pattern_piece(0, PIECE + PERIOD);
    for from in (0..length).step_by(PIECE) {
        let begin = from % PERIOD;
        write_body(request, to, &piece[begin..begin + PIECE.min(length - from)])?;
    }
    Ok(())
}

/// After so many bytes the pattern begins anew.
const PERIOD: usize = 251;

fn chunked(request: &Request, to: &mut TcpStream, length: usize) -> io::Result<()> {
    const CHUNK: usize = 8000;
    head(to, "200 OK", "Transfer-Encoding: chunked")?;
    for from in (0..length).step_by(CHUNK) {
        let piece = pattern_piece(from, CHUNK.min(length - from));
        let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
        chunk.extend_from_slice(&piece);
        chunk.extend_from_slice(b"\r\n");
        write_body(request, to, &chunk)?;
    }
    write_body(request, to, b"0\r\n\r\n")
}

fn drip(
    request: &Request,
    to: &mut TcpStream,
    milliseconds: usize,
    length: usize,
) -> io::Result<()> {
    head(to, "200 OK", &format!("Content-Length: {length}"))?;
    for at in 0..length {
        thread::sleep(Duration::from_millis(milliseconds as u64));
        write_body(request, to, &pattern_piece(at, 1))?;
    }
    Ok(())
}

/// Chatters on standard output, blocking when nobody drains it.
fn make_noise(lines: usize) {
    let mut out = io::stdout().lock();
    for line in 0..lines {
        let _ = writeln!(out, "noise {line}: as chatty as a server in debug mode");
    }
}

fn parse(number: &str) -> usize {
    number.parse().unwrap_or(0)
}
