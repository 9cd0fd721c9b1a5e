//! Plain HTTP where TLS is spoken: told in words, not by a broken handshake.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::ground::deadline::Deadline;

/// The first byte of a TLS record that carries a handshake (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;
/// To take the answer.
const PATIENCE: Duration = Duration::from_secs(2);

const BODY: &str = "This port speaks HTTPS, and the request came as plain HTTP.\n\
    Use https:// in place of http:// in the address.\n";

/// Whether the first byte of the connection is that of a plain HTTP request. Nothing is taken from the stream.
/// A client that says nothing is waited for; the caller bounds that.
pub async fn is_plain_http(stream: &TcpStream) -> bool {
    let mut first = [0; 1];
    match stream.peek(&mut first).await {
        Ok(1) => first[0] != HANDSHAKE && first[0].is_ascii_uppercase(),
        _ => false,
    }
}

/// Answers with 400 and closes in good order.
pub async fn refuse(mut stream: TcpStream) {
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         Proxy-Status: leeward; error=http_request_denied; details=\"plain HTTP on a port that speaks TLS\"\r\n\
         Connection: close\r\n\r\n{BODY}",
        BODY.len()
    );
    let deadline = Deadline::within(PATIENCE);
    let said = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        // Closing with bytes unread would send a reset, and that may overtake the answer.
        let mut scratch = [0; 4096];
        while tokio::io::AsyncReadExt::read(&mut stream, &mut scratch).await? > 0 {}
        Ok::<(), std::io::Error>(())
    };
    // Best effort: who speaks the wrong protocol may not listen either.
    if deadline.bound(said).await.is_err() {
        let _ = stream.set_zero_linger();
    }
}
