//! `leeward status`: what the status page shows, for a terminal or for a program.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST};
use http::{Request, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{FAILED, FINE, say};
use crate::ground::deadline::Deadline;
use crate::status::terminal;

/// For the whole question.
const PATIENCE: Duration = Duration::from_secs(5);
/// A snapshot larger than this is not one of ours.
const LARGEST: usize = 16 << 20;

/// Asks the status page at `url`, and prints its answer.
pub fn status(url: &str, json: bool) -> u8 {
    let asked = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())
        .and_then(|runtime| {
            runtime.block_on(async {
                let asked = Deadline::within(PATIENCE).bound(ask(url)).await;
                asked.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}")))
            })
        });
    let told = asked.and_then(|text| match json {
        true => Ok(String::from_utf8_lossy(&text).into_owned()),
        false => serde_json::from_slice(&text)
            .map(|snapshot| terminal::render(&snapshot))
            .map_err(|error| format!("its answer is not a snapshot: {error}")),
    });
    match told {
        Ok(told) => {
            say(told.trim_end());
            FINE
        }
        Err(error) => {
            eprintln!(
                "leeward status: {url}: {error}; is Leeward running, and is this its status.listen?"
            );
            FAILED
        }
    }
}

/// Asks the status page at `url` for its snapshot. The caller bounds it.
///
/// # Errors
/// What happened instead, in words.
pub async fn ask(url: &str) -> Result<Bytes, String> {
    let wrong = "not an address like http://127.0.0.1:9180";
    let uri: Uri = url.parse().map_err(|_| wrong.to_owned())?;
    let authority = match (uri.scheme_str(), uri.authority()) {
        (Some("http"), Some(authority)) => authority.clone(),
        _ => return Err(wrong.to_owned()),
    };
    let port = authority.port_u16().unwrap_or(80);
    let host = authority.host().trim_matches(['[', ']']);
    let told = |error: &dyn std::fmt::Display| error.to_string();
    let stream = TcpStream::connect((host, port))
        .await
        .map_err(|error| told(&error))?;
    let io = TokioIo::new(stream);
    let (mut sender, connection) = http1::handshake(io).await.map_err(|error| told(&error))?;
    let connection = tokio::spawn(connection);
    let request = Request::get("/status.json")
        .header(HOST, authority.as_str())
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| told(&error))?;
    let answer = sender
        .send_request(request)
        .await
        .map_err(|error| told(&error))?;
    let status = answer.status();
    if !status.is_success() {
        return Err(format!("it answered {status}"));
    }
    let body = Limited::new(answer.into_body(), LARGEST).collect().await;
    connection.abort();
    Ok(body.map_err(|error| told(&error))?.to_bytes())
}
