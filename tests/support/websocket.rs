//! WebSocket by hand: short frames, over HTTP/1.1 and HTTP/2.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use hyper::ext::Protocol;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::h1::Connection;
use super::h2;
use super::response::Response;

/// The handshake over HTTP/1.1, with the key whose answer the standard tells.
pub fn open(
    address: impl ToSocketAddrs,
    path: &str,
    patience: Duration,
) -> io::Result<(Connection, Response)> {
    let mut client = Connection::connect(address, patience)?;
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: chat\r\n\r\n"
    );
    client.send(head.as_bytes())?;
    let response = client.read_head_only()?;
    Ok((client, response))
}

/// Sends a text and returns what came back, without its frame.
pub fn echo(client: &mut Connection, text: &str) -> io::Result<String> {
    client.send(&masked(0x81, text))?;
    let frame = client.read_exact(2 + text.len())?;
    Ok(String::from_utf8_lossy(&frame[2..]).into_owned())
}

/// A masked frame with this first byte.
pub fn masked(first: u8, text: &str) -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let mut frame = vec![first, 0x80 | text.len() as u8];
    frame.extend_from_slice(&mask);
    frame.extend(text.bytes().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
    frame
}

/// The same over HTTP/2 (RFC 8441): the status, and what came back for each text, sent `pause` after the one before.
pub fn echo_h2(
    address: SocketAddr,
    path: &str,
    texts: &[&str],
    pause: Duration,
    patience: Duration,
) -> io::Result<(u16, Vec<String>)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(h2::within(patience, async {
        let mut sender = h2::connect(address).await?;
        let request = hyper::Request::connect(format!("https://localhost{path}"))
            .extension(Protocol::from_static("websocket"))
            .header("sec-websocket-version", "13")
            .body(http_body_util::Full::default())
            .map_err(io::Error::other)?;
        let answer = sender.send_request(request).await;
        let answer = answer.map_err(io::Error::other)?;
        let status = answer.status().as_u16();
        let mut heard = Vec::new();
        if status != 200 {
            return Ok((status, heard));
        }
        let upgraded = hyper::upgrade::on(answer).await.map_err(io::Error::other)?;
        let mut stream = TokioIo::new(upgraded);
        for text in texts {
            stream.write_all(&masked(0x81, text)).await?;
            let mut frame = vec![0; 2 + text.len()];
            stream.read_exact(&mut frame).await?;
            heard.push(String::from_utf8_lossy(&frame[2..]).into_owned());
            tokio::time::sleep(pause).await;
        }
        Ok((status, heard))
    }))
}
