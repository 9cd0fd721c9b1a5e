//! The tunnel: a request that became a WebSocket, by HTTP/1.1 (Upgrade) or by HTTP/2 (RFC 8441). From then on bytes
//! go both ways as they come ([`carry`](super::carry)), until one side ends it, or nothing has moved for long.

use std::time::Duration;

use http::header::{CONNECTION, HeaderMap, HeaderValue, UPGRADE, VIA};
use http::request::Parts;
use http::{Extensions, Method, StatusCode, Version};
use hyper::ext::Protocol;
use hyper::upgrade::{OnUpgrade, Upgraded};

use super::answer::AnswerHead;
use super::head::{nominated, strip, via};
use super::terms::Limit;
use super::websocket;
use crate::ground::failure::{Cause, Failure, Phase};

/// A client's wish for a tunnel.
#[derive(Debug)]
pub struct Bid {
    upgrade: OnUpgrade,
    /// Ours, where the client speaks HTTP/2 and has none.
    key: Option<String>,
    /// What the edge tied to the request; its connection is in use for as long as this lives.
    _tied: Extensions,
}

const WEBSOCKET: &str = "websocket";
const KEY: &str = "sec-websocket-key";
const ACCEPT: &str = "sec-websocket-accept";
const VERSION: &str = "sec-websocket-version";

/// Takes the wish for a WebSocket out of a head, if there is one; what is left asks for it as HTTP/1.1 does.
pub fn bid(parts: &mut Parts) -> Option<Bid> {
    let key = match parts.version {
        Version::HTTP_2 => {
            let protocol = parts.extensions.get::<Protocol>()?;
            if parts.method != Method::CONNECT || protocol.as_ref() != WEBSOCKET.as_bytes() {
                return None;
            }
            parts.headers.remove(KEY);
            Some(fresh_key()?)
        }
        _ => {
            let asks = parts.method == Method::GET && is_websocket(&parts.headers);
            if !asks {
                return None;
            }
            None
        }
    };
    let upgrade = parts.extensions.remove::<OnUpgrade>()?;
    parts.method = Method::GET;
    Some(Bid {
        upgrade,
        key,
        _tied: std::mem::take(&mut parts.extensions),
    })
}

fn is_websocket(headers: &HeaderMap) -> bool {
    let upgrade = headers.get(UPGRADE).and_then(|value| value.to_str().ok());
    upgrade.is_some_and(|value| value.trim().eq_ignore_ascii_case(WEBSOCKET))
        && nominated(headers).iter().any(|name| name == "upgrade")
}

/// It only tells one handshake from another, and so that caches do not mix them up.
fn fresh_key() -> Option<String> {
    let mut key = [0; 16];
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.secure_random.fill(&mut key).ok()?;
    Some(websocket::base64(&key))
}

impl Bid {
    /// The fields that tell the wish to the origin, beside those the client `asked` with.
    pub fn ask(&self, asked: &HeaderMap, wish: &mut HeaderMap) {
        wish.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        wish.insert(UPGRADE, HeaderValue::from_static(WEBSOCKET));
        if let Some(Ok(key)) = self.key.as_deref().map(HeaderValue::from_str) {
            wish.insert(KEY, key);
            if !asked.contains_key(VERSION) {
                wish.insert(VERSION, HeaderValue::from_static("13"));
            }
        }
    }

    /// The head for the client, from an origin's that agreed.
    ///
    /// # Errors
    /// The origin's failure: it did not agree to what it was asked.
    pub fn agreed(&self, answer: http::response::Parts) -> Result<AnswerHead, Failure> {
        let wrong = |what| Failure::origin(Phase::FirstByte, Cause::Malformed(what));
        if !is_websocket(&answer.headers) {
            return Err(wrong("it switched to another protocol than WebSocket"));
        }
        let mut headers = answer.headers;
        strip(&mut headers);
        headers.append(VIA, via(Version::HTTP_11));
        let status = match &self.key {
            None => {
                headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
                headers.insert(UPGRADE, HeaderValue::from_static(WEBSOCKET));
                StatusCode::SWITCHING_PROTOCOLS
            }
            Some(key) => {
                let accepted = headers.remove(ACCEPT);
                if accepted.is_none_or(|it| it.as_bytes() != websocket::accept(key).as_bytes()) {
                    return Err(wrong("its Sec-WebSocket-Accept is not for our key"));
                }
                StatusCode::OK
            }
        };
        Ok(AnswerHead {
            status,
            headers,
            length: None,
            has_body: false,
        })
    }

    /// Whether an answer that did not agree can be given as it is: over HTTP/2, a success would be a tunnel.
    ///
    /// # Errors
    /// The origin's failure.
    pub fn declined(&self, status: StatusCode) -> Result<(), Failure> {
        match self.key.is_some() && status.is_success() {
            true => {
                let what = "it was asked for a WebSocket and answered with something else";
                Err(Failure::origin(Phase::FirstByte, Cause::Malformed(what)))
            }
            false => Ok(()),
        }
    }

    /// The client's end, once it has been answered.
    ///
    /// # Errors
    /// The client's failure: it left, or did not take the answer for as long as it may.
    pub async fn met(&self, stall: Limit<Duration>) -> Result<Upgraded, Failure> {
        match stall.deadline().bound(self.upgrade.clone()).await {
            Ok(Ok(client)) => Ok(client),
            Ok(Err(error)) => {
                let cause = Cause::Broken(error.to_string());
                Err(Failure::client(Phase::Respond, cause))
            }
            Err(_) => Err(Failure::client(Phase::Respond, stall.missed())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bid_of(version: Version, fields: &[(&str, &str)]) -> bool {
        let mut request = http::Request::get("/").version(version);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let on = hyper::upgrade::on(http::Request::new(()));
        parts.extensions.insert(on);
        bid(&mut parts).is_some()
    }

    #[test]
    fn only_a_websocket_that_is_asked_for_in_form_becomes_a_tunnel() {
        let (ask, close) = (
            ("connection", "keep-alive, Upgrade"),
            ("connection", "close"),
        );
        let websocket = ("upgrade", "WebSocket");
        assert!(bid_of(Version::HTTP_11, &[ask, websocket]));
        assert!(!bid_of(Version::HTTP_11, &[close, websocket]));
        assert!(!bid_of(Version::HTTP_11, &[ask, ("upgrade", "h2c")]));
        assert!(!bid_of(Version::HTTP_2, &[ask, websocket]));
    }
}
