//! From a failure to the response a client gets: one total table. Pure.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};

use crate::config::pages::Pages;
use crate::ground::failure::{Cause, Failure, Party, Phase};
use crate::ground::ledger::Loss;

/// The response for a failure, with one of the operator's `pages` where there is one for it. `retry_after` is when it is
/// worth trying again, where waiting helps and the failure does not say.
pub fn response(
    failure: &Failure,
    request: &HeaderMap,
    pages: &Pages,
    retry_after: Duration,
) -> Response<Bytes> {
    let status = status(failure);
    let is_closed = matches!(failure.cause, Cause::Closed(_));
    let (body, kind) = match pages.of(status.as_u16(), is_closed) {
        _ if wants_json(request) => (json(status, failure).into(), "application/json"),
        Some(theirs) => (theirs.text.clone(), theirs.kind),
        None => (page(status, failure).into(), "text/html; charset=utf-8"),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(value) = HeaderValue::from_str(&proxy_status(failure)) {
        headers.insert("proxy-status", value);
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        let retry_after = match failure.cause {
            Cause::Quarantined { left } => left,
            _ => retry_after,
        };
        let seconds = retry_after.as_secs_f64().ceil().max(1.0) as u64;
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// The status for a failure.
pub fn status(failure: &Failure) -> StatusCode {
    let Failure {
        party,
        phase,
        cause,
    } = failure;
    match (party, cause) {
        (Party::Client, Cause::TimedOut { .. } | Cause::TooSlow { .. }) => {
            StatusCode::REQUEST_TIMEOUT
        }
        (Party::Client, Cause::TooLarge { key, .. }) => match *key {
            "edge.limits.uri" => StatusCode::URI_TOO_LONG,
            "edge.limits.body" | "route.body" => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        },
        (Party::Client, Cause::Unsupported(what)) => match what.contains("expectation") {
            true => StatusCode::EXPECTATION_FAILED,
            false => StatusCode::NOT_IMPLEMENTED,
        },
        (Party::Client, _) => StatusCode::BAD_REQUEST,
        (Party::Edge, _) => StatusCode::SERVICE_UNAVAILABLE,
        (Party::Origin, cause) => match (phase, cause) {
            (Phase::Hold | Phase::Queue, _) => StatusCode::SERVICE_UNAVAILABLE,
            (_, Cause::TimedOut { .. } | Cause::Suspect) => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        },
    }
}

/// The reason by which a lost request is counted; `None` where it was the client's own doing.
pub fn loss(failure: &Failure) -> Option<Loss> {
    match (failure.party, failure.phase, &failure.cause) {
        (Party::Client, ..) => None,
        (_, _, Cause::Closed(_)) => Some(Loss::Closed),
        (_, _, Cause::Quarantined { .. }) => Some(Loss::Quarantined),
        (Party::Edge, Phase::Body | Phase::Answer, _) => Some(Loss::Spool),
        (_, _, Cause::Full { .. } | Cause::NoRoom { .. })
        | (Party::Edge, _, Cause::Unsupported(_)) => Some(Loss::Full),
        (_, Phase::Hold | Phase::Queue, _) => Some(Loss::Wait),
        (_, _, Cause::TooLarge { .. }) => Some(Loss::Spool),
        (_, _, Cause::TimedOut { .. }) => Some(Loss::TimedOut),
        (_, _, Cause::Died | Cause::Suspect | Cause::Refused | Cause::Broken(_)) => {
            Some(Loss::Died)
        }
        _ => Some(Loss::BadAnswer),
    }
}

/// The error in the words of RFC 9209, section 2.3.
fn proxy_status(failure: &Failure) -> String {
    let error = match (failure.party, failure.phase, &failure.cause) {
        (Party::Client, _, Cause::TimedOut { .. } | Cause::TooSlow { .. } | Cause::Broken(_)) => {
            "http_request_error"
        }
        (Party::Client, ..) => "http_request_denied",
        (Party::Edge, _, Cause::Disk(_)) => "proxy_internal_error",
        (Party::Edge, _, Cause::Closed(_)) => "destination_unavailable",
        (Party::Edge, Phase::Answer, _) => "http_response_body_size",
        (Party::Edge, ..) => "connection_limit_reached",
        (_, Phase::Hold | Phase::Queue, _) => "destination_unavailable",
        (_, Phase::Connect, Cause::TimedOut { .. }) => "connection_timeout",
        (_, _, Cause::Refused) => "connection_refused",
        (_, Phase::FirstByte | Phase::Answer, Cause::TimedOut { .. }) => "http_response_timeout",
        (_, _, Cause::Truncated) => "http_response_incomplete",
        (_, _, Cause::TooLarge { .. } | Cause::Full { .. } | Cause::Disk(_)) => {
            "http_response_body_size"
        }
        (_, _, Cause::Malformed(_) | Cause::Unsupported(_)) => "http_protocol_error",
        _ => "connection_terminated",
    };
    let details = failure.to_string().replace(['"', '\\'], "'");
    let details: String = details.chars().filter(|c| matches!(c, ' '..='~')).collect();
    format!("leeward; error={error}; details=\"{details}\"")
}

fn wants_json(request: &HeaderMap) -> bool {
    let accepted = request.get(ACCEPT).and_then(|value| value.to_str().ok());
    accepted.is_some_and(|accepted| accepted.contains("json") && !accepted.contains("text/html"))
}

fn json(status: StatusCode, failure: &Failure) -> String {
    let body = serde_json::json!({
        "status": status.as_u16(),
        "error": status.canonical_reason(),
        "party": failure.party.word(),
        "phase": failure.phase.word(),
        "detail": failure.cause.to_string(),
    });
    format!("{body}\n")
}

fn page(status: StatusCode, failure: &Failure) -> String {
    let code = status.as_u16();
    let title = status.canonical_reason().unwrap_or("Error");
    let what = match failure.party {
        Party::Client => "The request was not accepted.",
        _ if matches!(failure.cause, Cause::Closed(_)) => {
            "This page is out of service for maintenance. Please come back later."
        }
        _ if matches!(failure.cause, Cause::Quarantined { .. }) => {
            "This page has hung the server repeatedly and is out of service for a while. All others are served."
        }
        Party::Edge => "There is too much to do at the moment. Please try again shortly.",
        Party::Origin if status == StatusCode::SERVICE_UNAVAILABLE => {
            "The server behind this page is being restarted. Please try again shortly."
        }
        Party::Origin => "The server behind this page did not give a good answer.",
    };
    let detail = escaped(&failure.to_string());
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{code} {title}</title>\
         <style>:root{{color-scheme:light dark}}body{{font:1rem/1.5 system-ui,sans-serif;\
         max-width:36rem;margin:15vh auto;padding:0 1rem}}small{{opacity:.75}}</style></head>\
         <body><h1>{code} {title}</h1><p>{what}</p><p><small>{detail}</small></p></body></html>\n"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timed_out() -> Cause {
        Cause::TimedOut {
            limit: Duration::from_secs(30),
            key: "some.key",
        }
    }

    fn quarantined() -> Cause {
        let left = Duration::from_millis(61_500);
        Cause::Quarantined { left }
    }

    #[test]
    fn a_request_in_quarantine_is_told_so_and_for_how_long() {
        let failure = Failure::origin(Phase::Hold, quarantined());
        assert_eq!(loss(&failure), Some(Loss::Quarantined));
        let response = response(
            &failure,
            &HeaderMap::new(),
            &Pages::default(),
            Duration::ZERO,
        );
        assert_eq!(response.headers()["retry-after"], "62");
        assert_eq!(
            response.headers()["proxy-status"],
            "leeward; error=destination_unavailable; details=\"origin, hold: quarantine: this page has hung the \
             server repeatedly; it is tried again in 62 s\""
        );
        let page = String::from_utf8(response.into_body().to_vec()).unwrap();
        assert!(page.contains("All others are served"), "{page}");
    }

    #[test]
    fn whose_fault_it_is_decides_the_status() {
        let large = |key| Cause::TooLarge { limit: 1, key };
        let full = || Cause::Full { limit: 1, key: "k" };
        let (client, edge, origin) = (Failure::client, Failure::edge, Failure::origin);
        let table = [
            (client(Phase::Head, Cause::Malformed("x")), 400),
            (client(Phase::Head, Cause::Unsupported("CONNECT")), 501),
            (client(Phase::Head, Cause::Unsupported("expectation")), 417),
            (client(Phase::Head, large("edge.limits.uri")), 414),
            (client(Phase::Head, large("edge.limits.headers")), 431),
            (client(Phase::Body, large("edge.limits.body")), 413),
            (client(Phase::Body, large("route.body")), 413),
            (client(Phase::Body, timed_out()), 408),
            (edge(Phase::Body, full()), 503),
            (edge(Phase::Queue, full()), 503),
            (
                edge(Phase::Hold, Cause::Closed("it is in maintenance")),
                503,
            ),
            (origin(Phase::Hold, quarantined()), 503),
            (origin(Phase::Hold, timed_out()), 503),
            (origin(Phase::Connect, Cause::Refused), 502),
            (origin(Phase::Connect, timed_out()), 504),
            (origin(Phase::FirstByte, timed_out()), 504),
            (origin(Phase::FirstByte, Cause::Died), 502),
            (origin(Phase::FirstByte, Cause::Suspect), 504),
            (origin(Phase::Answer, Cause::Truncated), 502),
        ];
        for (failure, wanted) in table {
            assert_eq!(status(&failure).as_u16(), wanted, "{failure}");
        }
    }

    #[test]
    fn a_response_says_whose_fault_where_and_why_and_when_to_come_again() {
        let failure = Failure::origin(Phase::Hold, timed_out());
        let mut request = HeaderMap::new();
        let wait = Duration::from_millis(2300);
        let response_html = response(&failure, &request, &Pages::default(), wait);
        let headers = response_html.headers();
        assert_eq!(headers["retry-after"], "3");
        assert_eq!(
            headers["proxy-status"],
            "leeward; error=destination_unavailable; \
             details=\"origin, hold: not done within 30s (some.key)\""
        );
        request.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let told = response(&failure, &request, &Pages::default(), wait).into_body();
        let told: serde_json::Value = serde_json::from_slice(&told).unwrap();
        assert_eq!(told["party"], "origin");
        assert_eq!(told["phase"], "hold");
    }

    #[test]
    fn what_a_stranger_sent_is_never_markup() {
        let failure = Failure::client(Phase::Body, Cause::Broken("<script>".to_owned()));
        let body = response(
            &failure,
            &HeaderMap::new(),
            &Pages::default(),
            Duration::ZERO,
        )
        .into_body();
        assert!(!String::from_utf8_lossy(&body).contains("<script>"));
    }
}
