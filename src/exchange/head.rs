//! Judges a request's head and rebuilds it for the origin. Pure. Nothing is forwarded as it came: what the
//! origin gets is made anew from what was understood, so that two readers can't understand it differently.

use std::sync::Arc;

use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue,
    TRANSFER_ENCODING, VIA,
};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{Method, Version};

use crate::config::settings::EdgeLimits;
use crate::ground::addr::ClientAddr;
use crate::ground::client_certificate::ClientCertificate;
use crate::ground::failure::{Cause, Failure, Phase};
use crate::ground::trail::Trail;

/// A head as the origin will get it, but for its length.
#[derive(Debug, Clone)]
pub struct OriginHead {
    /// The method, as it came.
    pub method: Method,
    /// The target in origin-form (or `*`).
    pub target: PathAndQuery,
    /// The header fields: `Host` first, none of them hop-by-hop.
    pub headers: HeaderMap,
    /// By what it is known beyond us; its fields are written behind the others.
    pub trail: Trail,
}

impl OriginHead {
    /// The same on this trail, which tells the origin its fields itself.
    pub fn on(mut self, trail: &Trail) -> Self {
        trail.replace_in(&mut self.headers);
        self.trail = trail.clone();
        self
    }
}

/// Fields that concern only one connection (RFC 9110, section 7.6.1), or that we speak for ourselves.
const HOP_BY_HOP: [&str; 11] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-authentication-info",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// Judges the head of a request from `client` and rebuilds it. `default_host` stands in where an
/// HTTP/1.0 client names none.
///
/// # Errors
/// The client's [`Failure`] at [`Phase::Head`].
pub fn rebuild(
    parts: &Parts,
    client: ClientAddr,
    limits: &EdgeLimits,
    default_host: &str,
) -> Result<OriginHead, Failure> {
    if parts.method == Method::CONNECT || parts.method == Method::TRACE {
        return Err(refused(Cause::Unsupported(
            "CONNECT and TRACE are not served here",
        )));
    }
    judge_framing(parts)?;
    let fields = parts.headers.len() as u64;
    if fields > limits.headers as u64 {
        return Err(too_large(limits.headers, "edge.limits.headers"));
    }
    let target = target(parts, limits)?;
    let host = host(parts, default_host)?;
    let headers = fields_for_origin(parts, client, &host)?;
    Ok(OriginHead {
        method: parts.method.clone(),
        target,
        headers,
        trail: Trail::default(),
    })
}

/// Whether a field concerns only one connection, by itself or because `nominated` says so.
pub fn is_hop_by_hop(name: &HeaderName, nominated: &[String]) -> bool {
    HOP_BY_HOP.contains(&name.as_str()) || nominated.iter().any(|other| other == name.as_str())
}

/// Takes away the fields that concern only one connection.
pub fn strip(headers: &mut HeaderMap) {
    for name in nominated(headers) {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// The field names that `Connection` nominates, in lower case.
pub fn nominated(headers: &HeaderMap) -> Vec<String> {
    headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        // A client can't have these taken away from the origin; RFC 9110 forbids to nominate them.
        .filter(|name| !matches!(name.as_str(), "" | "close" | "host" | "content-length"))
        .collect()
}

/// Our entry in `Via`, for a message that came by `version`.
pub fn via(version: Version) -> HeaderValue {
    HeaderValue::from_static(match version {
        Version::HTTP_10 => "1.0 leeward",
        Version::HTTP_2 => "2.0 leeward",
        _ => "1.1 leeward",
    })
}

fn judge_framing(parts: &Parts) -> Result<(), Failure> {
    let mut codings = parts.headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => {}
        (Some(one), None) if one.as_bytes().eq_ignore_ascii_case(b"chunked") => {}
        (Some(_), None) => {
            return Err(refused(Cause::Unsupported(
                "the only transfer coding served here is `chunked`",
            )));
        }
        (Some(_), Some(_)) => {
            return Err(refused(Cause::Malformed(
                "Transfer-Encoding is given more than once",
            )));
        }
    }
    let lengths = parts.headers.get_all(CONTENT_LENGTH);
    if lengths.iter().any(|value| !is_plain_length(value)) {
        return Err(refused(Cause::Malformed(
            "Content-Length is not a plain number",
        )));
    }
    let expected = parts.headers.get_all(EXPECT);
    if expected
        .iter()
        .any(|value| !value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
    {
        return Err(refused(Cause::Unsupported(
            "the only expectation met here is 100-continue",
        )));
    }
    Ok(())
}

/// Digits without a leading zero: `003` reads as 3 here and as octal elsewhere.
fn is_plain_length(value: &HeaderValue) -> bool {
    let digits = value.as_bytes();
    let leads_with_zero = digits.len() > 1 && digits[0] == b'0';
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) && !leads_with_zero
}

fn target(parts: &Parts, limits: &EdgeLimits) -> Result<PathAndQuery, Failure> {
    let wrong = |what| Err(refused(Cause::Malformed(what)));
    let target = match parts.uri.path_and_query() {
        Some(target) => target.clone(),
        None if parts.uri.authority().is_some() && parts.uri.scheme().is_some() => {
            PathAndQuery::from_static("/")
        }
        None => return wrong("the target is not a path"),
    };
    if target.as_str().len() > limits.uri {
        return Err(too_large(limits.uri, "edge.limits.uri"));
    }
    if target.as_str() == "*" {
        return match parts.method == Method::OPTIONS {
            true => Ok(target),
            false => wrong("only OPTIONS may ask for `*`"),
        };
    }
    if !target.as_str().starts_with('/') {
        return wrong("the target does not begin with a slash");
    }
    if !target.as_str().bytes().all(|byte| byte.is_ascii_graphic()) {
        return wrong("the target holds characters that must be percent-encoded");
    }
    Ok(target)
}

/// The one canonical host: of the target where that is absolute (RFC 9112, section 3.2.2), else of the field.
fn host(parts: &Parts, default_host: &str) -> Result<HeaderValue, Failure> {
    let wrong = |what| Err(refused(Cause::Malformed(what)));
    let mut fields = parts.headers.get_all(HOST).iter();
    let (field, second) = (fields.next(), fields.next());
    if second.is_some() {
        return wrong("Host is given more than once");
    }
    let named = match parts.uri.authority() {
        Some(authority) => {
            let differs = field.is_some_and(|field| {
                !field
                    .as_bytes()
                    .eq_ignore_ascii_case(authority.as_str().as_bytes())
            });
            if differs && parts.version == Version::HTTP_2 {
                return wrong("Host and :authority differ");
            }
            authority.as_str()
        }
        None => match field {
            Some(field) => field.to_str().unwrap_or(""),
            None if parts.version == Version::HTTP_10 => default_host,
            None => return wrong("Host is missing"),
        },
    };
    match named.parse::<Authority>() {
        Ok(authority) if names_a_host(&authority) => HeaderValue::from_str(authority.as_str())
            .or_else(|_| wrong("Host is not the name of a host")),
        _ => wrong("Host is not the name of a host"),
    }
}

/// A host, and behind it nothing but a port; who it is that asks does not belong there.
fn names_a_host(authority: &Authority) -> bool {
    let whole = authority.as_str();
    let host = authority.host();
    let Some(behind) = whole.strip_prefix(host) else {
        return false;
    };
    let is_port = |port: &str| {
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        digits && (port.is_empty() || port.parse::<u16>().is_ok())
    };
    !host.is_empty() && (behind.is_empty() || behind.strip_prefix(':').is_some_and(is_port))
}

fn fields_for_origin(
    parts: &Parts,
    client: ClientAddr,
    host: &HeaderValue,
) -> Result<HeaderMap, Failure> {
    let nominated = nominated(&parts.headers);
    let mut headers = HeaderMap::with_capacity(parts.headers.len() + 8);
    headers.insert(HOST, host.clone());
    for (name, value) in &parts.headers {
        if !is_ours(name) && !is_hop_by_hop(name, &nominated) {
            headers.append(name, value.clone());
        }
    }
    if let Some(cookies) = joined_cookies(&parts.headers) {
        headers.insert(COOKIE, cookies?);
    }
    let ip = client.ip();
    let told = |text: &str| {
        HeaderValue::from_str(text)
            .map_err(|_| refused(Cause::Malformed("Host is not the name of a host")))
    };
    headers.insert("x-forwarded-for", told(&ip.to_string())?);
    headers.insert("x-forwarded-proto", HeaderValue::from_static("https"));
    headers.insert("x-forwarded-host", host.clone());
    let node = match ip.is_ipv6() {
        true => format!("\"[{ip}]\""),
        false => ip.to_string(),
    };
    let host = host.to_str().unwrap_or_default();
    headers.insert(
        "forwarded",
        told(&format!("for={node};host=\"{host}\";proto=https"))?,
    );
    if let Some(certificate) = parts.extensions.get::<Arc<ClientCertificate>>() {
        headers.insert("client-cert", certificate.whole.clone());
        headers.insert("x-client-cert-subject", certificate.subject.clone());
    }
    headers.append(VIA, via(parts.version));
    Ok(headers)
}

/// Fields the origin has from us alone, so that no client can speak for us. Names with `_` are dropped:
/// CGI makes `Content_Length` and `Content-Length` the same variable.
fn is_ours(name: &HeaderName) -> bool {
    let text = name.as_str();
    *name == HOST
        || *name == CONTENT_LENGTH
        || *name == EXPECT
        || *name == COOKIE
        || matches!(text, "forwarded" | "x-real-ip")
        || text.starts_with("x-forwarded-")
        || text.starts_with("x-client-cert")
        || matches!(text, "client-cert" | "client-cert-chain")
        || text.contains('_')
}

/// HTTP/2 splits cookies into crumbs; HTTP/1.1 wants them in one field (RFC 9113, section 8.2.3).
fn joined_cookies(headers: &HeaderMap) -> Option<Result<HeaderValue, Failure>> {
    let mut crumbs = headers.get_all(COOKIE).iter();
    let first = crumbs.next()?;
    let mut joined = first.as_bytes().to_vec();
    for crumb in crumbs {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(crumb.as_bytes());
    }
    let wrong = |_| refused(Cause::Malformed("the cookies can't be joined"));
    Some(HeaderValue::from_bytes(&joined).map_err(wrong))
}

fn refused(cause: Cause) -> Failure {
    Failure::client(Phase::Head, cause)
}

fn too_large(limit: usize, key: &'static str) -> Failure {
    let limit = limit as u64;
    refused(Cause::TooLarge { limit, key })
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;
