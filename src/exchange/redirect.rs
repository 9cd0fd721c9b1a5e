//! Where the origin sends clients to. It speaks plain HTTP on a port of its own, and so do its absolute redirects:
//! clients that followed them would leave HTTPS, or end at a port that is not for them. Pure.

use http::header::{CONTENT_LOCATION, HOST, HeaderMap, HeaderValue, LOCATION};
use http::uri::Authority;

use crate::ground::addr::OriginAddr;

/// Puts `https` and the host the client asked for in the place of the origin's own in `Location` and `Content-Location`, where that names
/// the origin. A redirect to anywhere else, and a relative one, stays what it is.
pub fn mend(answer: &mut HeaderMap, request: &HeaderMap, origin: &OriginAddr) {
    for name in [LOCATION, CONTENT_LOCATION] {
        let mended = answer
            .get(&name)
            .and_then(|location| mended(location, request.get(HOST)?, origin));
        if let Some(location) = mended {
            answer.insert(name, location);
        }
    }
}

fn mended(location: &HeaderValue, host: &HeaderValue, origin: &OriginAddr) -> Option<HeaderValue> {
    let host = host.to_str().ok()?;
    if host == origin.authority() {
        // The client named none, so there is nothing better to say.
        return None;
    }
    // Not parsed as a whole: what follows the authority is the origin's business, well-formed or not.
    let (scheme, rest) = location.to_str().ok()?.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let names_origin = scheme.eq_ignore_ascii_case("http")
        && is_origins(&authority.parse().ok()?, &host.parse().ok()?, origin);
    let told = || HeaderValue::from_str(&format!("https://{host}{rest}")).ok();
    names_origin.then(told).flatten()
}

/// Whether `named` is the host of the request as the origin understood it, or the origin's own address.
fn is_origins(named: &Authority, host: &Authority, origin: &OriginAddr) -> bool {
    if named.as_str().contains('@') {
        return false;
    }
    let same_name = named.host().eq_ignore_ascii_case(host.host());
    let port = port(named);
    match (same_name, Some(port) == origin.port()) {
        (true, true) => true,
        (true, false) => port == self::port(host),
        (false, is_its_port) => is_its_port && is_loopback(named.host()),
    }
}

/// The port the origin means; it takes every request for plain HTTP.
fn port(authority: &Authority) -> u16 {
    authority.port_u16().unwrap_or(80)
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_address = |ip: std::net::IpAddr| ip.is_loopback();
    host.eq_ignore_ascii_case("localhost") || bare.parse().is_ok_and(is_address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent_to(location: &str, host: &str) -> String {
        let fields = |name, value: &str| HeaderMap::from_iter([(name, value.parse().unwrap())]);
        let mut answer = fields(LOCATION, location);
        let origin = "127.0.0.1:8080".parse().unwrap();
        mend(&mut answer, &fields(HOST, host), &origin);
        answer[LOCATION].to_str().unwrap().to_owned()
    }

    #[test]
    fn a_redirect_to_the_origin_leads_back_to_us() {
        for (location, host, wanted) in [
            (
                "http://a.example/x?y#z",
                "a.example",
                "https://a.example/x?y#z",
            ),
            ("http://A.example:80/", "a.example", "https://a.example/"),
            (
                "http://a.example:8443/",
                "a.example:8443",
                "https://a.example:8443/",
            ),
            ("http://a.example:8080/", "a.example", "https://a.example/"),
            (
                "http://127.0.0.1:8080/x",
                "a.example",
                "https://a.example/x",
            ),
            ("http://localhost:8080", "a.example", "https://a.example"),
            ("http://[::1]:8080/", "[::2]:8443", "https://[::2]:8443/"),
            ("HTTP://a.example//x", "a.example", "https://a.example//x"),
            ("http://a.example/a b", "a.example", "https://a.example/a b"),
        ] {
            assert_eq!(sent_to(location, host), wanted);
        }
    }

    #[test]
    fn a_redirect_elsewhere_stays_what_it_is() {
        for location in [
            "/x",
            "x",
            "//b.example/x",
            "https://a.example/x",
            "https://127.0.0.1:8080/x",
            "http://b.example/x",
            "http://b.example:8080/x",
            "http://a.example:81/x",
            "http://127.0.0.1:81/x",
            "http://u@a.example/x",
            "http://a.example.b/x",
            "ftp://a.example/x",
            "http://",
            "/x?to=http://a.example/",
        ] {
            assert_eq!(sent_to(location, "a.example"), location);
        }
        // An HTTP/1.0 client named no host: the origin's address stood in for it.
        let unnamed = "http://127.0.0.1:8080/x";
        assert_eq!(sent_to(unnamed, "127.0.0.1:8080"), unnamed);
    }
}
