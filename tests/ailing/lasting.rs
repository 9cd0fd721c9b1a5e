//! Answers that last: events, trailers, an echo over a WebSocket.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use crate::request::Request;
use crate::websocket;

/// Writes what lasts, if the path asks for it.
pub fn answer(request: &Request, to: &mut TcpStream) -> io::Result<bool> {
    match request.pieces()[..] {
        ["sse", n, milliseconds] => events(to, parse(n), parse(milliseconds))?,
        ["steady", framing] => steady(to, framing)?,
        ["trailers"] => to.write_all(
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/grpc\r\n\
              Trailer: grpc-status, grpc-message\r\nTransfer-Encoding: chunked\r\n\r\n\
              5\r\nhello\r\n0\r\ngrpc-status: 0\r\ngrpc-message: fine\r\n\r\n",
        )?,
        ["ws"] => return echo(request, to),
        _ => return Ok(false),
    }
    Ok(true)
}

fn events(to: &mut TcpStream, n: u64, milliseconds: u64) -> io::Result<()> {
    to.write_all(
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/event-stream\r\n\
          Transfer-Encoding: chunked\r\n\r\n",
    )?;
    for number in 0..n {
        if number > 0 {
            thread::sleep(Duration::from_millis(milliseconds));
        }
        let event = format!("data: {number}\n\n");
        to.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes())?;
    }
    to.write_all(b"0\r\n\r\n")
}

/// Writes on and on, for ever, with this framing: none (`close`), `chunked`, or the `length` of a very large body.
fn steady(to: &mut TcpStream, framing: &str) -> io::Result<()> {
    let said = match framing {
        "chunked" => "Transfer-Encoding: chunked\r\n",
        "length" => "Content-Length: 1000000000\r\n",
        _ => "",
    };
    to.write_all(format!("HTTP/1.1 200 OK\r\n{said}Connection: close\r\n\r\n").as_bytes())?;
    loop {
        let piece = match framing {
            "chunked" => format!("a\r\n{}\r\n", "steady on "),
            _ => "steady on ".to_owned(),
        };
        to.write_all(piece.as_bytes())?;
        thread::sleep(Duration::from_millis(2));
    }
}

/// Echoes short frames until a close frame. `false`: it was no handshake.
fn echo(request: &Request, peer: &mut TcpStream) -> io::Result<bool> {
    let field = |wanted| request.field(wanted);
    let (Some("websocket"), Some(key)) = (field("upgrade").as_deref(), field("sec-websocket-key"))
    else {
        return Ok(false);
    };
    let protocol = field("sec-websocket-protocol").map_or_else(String::new, |protocol| {
        format!("Sec-WebSocket-Protocol: {protocol}\r\n")
    });
    let accept = websocket::accept(&key);
    peer.write_all(
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             {protocol}Sec-WebSocket-Accept: {accept}\r\n\r\n"
        )
        .as_bytes(),
    )?;
    loop {
        let mut head = [0; 6];
        peer.read_exact(&mut head)?;
        let mut payload = vec![0; usize::from(head[1] & 0x7f)];
        peer.read_exact(&mut payload)?;
        for (at, byte) in payload.iter_mut().enumerate() {
            *byte ^= head[2 + at % 4];
        }
        let mut frame = vec![head[0], payload.len() as u8];
        frame.extend_from_slice(&payload);
        peer.write_all(&frame)?;
        if head[0] & 0x0f == 8 {
            return Ok(true);
        }
    }
}

fn parse(number: &str) -> u64 {
    number.parse().unwrap_or(0)
}
