//! Whether a request may be answered under the name it asks for. A page on the web can make a browser that sits
//! near us ask any name it likes, and let that name point at us; it can't make it ask for an address.

use std::net::{IpAddr, Ipv6Addr};

use http::header::HOST;
use http::{Request, Version};

/// Why a request is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turned {
    /// It names no host, or several, where HTTP asks for one.
    Unnamed,
    /// It names a host that could be anybody's.
    Foreign,
}

/// Lets pass what asks for an IP address or `localhost`, at any port, and HTTP/1.0 without a host.
///
/// # Errors
/// [`Turned`]: how to turn it away.
pub(super) fn admit<B>(request: &Request<B>) -> Result<(), Turned> {
    // An absolute target counts for more than the field (RFC 9112, 3.2.2).
    if let Some(authority) = request.uri().authority() {
        return judge(authority.as_str());
    }
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if request.version() < Version::HTTP_11 => Ok(()),
        (Some(host), None) => judge(host.to_str().map_err(|_| Turned::Foreign)?),
        _ => Err(Turned::Unnamed),
    }
}

fn judge(host: &str) -> Result<(), Turned> {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((inside, port)) => {
            inside.parse::<Ipv6Addr>().map_err(|_| Turned::Foreign)?;
            ("localhost", port.strip_prefix(':').unwrap_or(port))
        }
        None => host.split_once(':').unwrap_or((host, "")),
    };
    let is_port = port.is_empty() || port.parse::<u16>().is_ok();
    let is_ours = name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok();
    match is_ours && is_port {
        true => Ok(()),
        false => Err(Turned::Foreign),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_localhost_are_answered_at_any_port() {
        for host in [
            "127.0.0.1:9180",
            "10.0.0.7",
            "[::1]:9180",
            "[fe80::1]",
            "localhost",
            "LocalHost:1",
        ] {
            assert_eq!(judge(host), Ok(()), "{host}");
        }
    }

    #[test]
    fn names_that_somebody_else_can_point_at_us_are_not() {
        for host in [
            "evil.example",
            "evil.example:9180",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "localhost@evil.example",
            "user@127.0.0.1",
            "127.0.0.1:port",
            "::1",
            "[::1",
            "[evil]:80",
            "[::1]evil",
            "",
        ] {
            assert_eq!(judge(host), Err(Turned::Foreign), "{host}");
        }
    }

    #[test]
    fn the_target_counts_for_more_than_the_field() {
        let request = Request::get("http://evil.example/").header(HOST, "127.0.0.1");
        assert_eq!(admit(&request.body(()).unwrap()), Err(Turned::Foreign));
        let twice = Request::get("/").header(HOST, "localhost");
        let twice = twice.header(HOST, "localhost").body(()).unwrap();
        assert_eq!(admit(&twice), Err(Turned::Unnamed));
        assert_eq!(
            admit(&Request::get("/").body(()).unwrap()),
            Err(Turned::Unnamed)
        );
        let old = Request::get("/").version(Version::HTTP_10);
        assert_eq!(admit(&old.body(()).unwrap()), Ok(()));
    }
}
