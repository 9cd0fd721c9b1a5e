//! Operators' verbs: from a POST to what the watch is asked to do, for those who may.

use std::sync::Arc;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, Uri};
use jiff::SignedDuration;

use crate::origin::Verb;

/// How a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Via {
    /// Over the network, where anybody could ask.
    Network,
    /// Through the control socket, which only its owner can open.
    Socket,
}

/// Why a verb is not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    /// Nobody may, over the network.
    #[error(
        "no token is set (status.token_file): verbs come through the control socket alone (status.socket)"
    )]
    NoToken,
    /// Not with this token, or without one.
    #[error("this needs `Authorization: Bearer` with the token in status.token_file")]
    Unauthorized,
    /// The time said is none.
    #[error("for={0}: not a length of time from 1s to {1}, like 90s or 2h")]
    Length(String, &'static str),
}

/// How long a pause lasts if nobody says: longer than most deployments, and short enough to be forgotten.
pub const PAUSE: Duration = Duration::from_secs(300);
/// The longest of each.
const LONGEST_PAUSE: (Duration, &str) = (Duration::from_secs(24 * 3600), "24h");
const LONGEST_MAINTENANCE: (Duration, &str) = (Duration::from_secs(30 * 24 * 3600), "30d");

/// The verb a path asks for; `None` where it is no verb's.
///
/// # Errors
/// [`Refused::Length`].
pub(super) fn verb(uri: &Uri) -> Option<Result<Verb, Refused>> {
    let length = |longest| length(uri.query().unwrap_or_default(), longest);
    Some(match uri.path() {
        "/restart" => Ok(Verb::Restart),
        "/resume" => Ok(Verb::Resume),
        "/drain" => Ok(Verb::Drain),
        "/capture" => Ok(Verb::Capture),
        "/release" => Ok(Verb::Release(named(uri.query().unwrap_or_default()))),
        "/pause" => length(LONGEST_PAUSE).map(|it| Verb::Pause(it.unwrap_or(PAUSE))),
        "/maintenance" => length(LONGEST_MAINTENANCE).map(Verb::Maintenance),
        _ => return None,
    })
}

/// Whether whoever sends these headers may have a verb carried out.
///
/// # Errors
/// [`Refused::NoToken`], [`Refused::Unauthorized`].
pub(super) fn admit(via: Via, headers: &HeaderMap, token: Option<&str>) -> Result<(), Refused> {
    if via == Via::Socket {
        return Ok(());
    }
    let token = token.ok_or(Refused::NoToken)?;
    let mut said = headers.get_all(AUTHORIZATION).iter();
    // Of several, nobody knows which is meant.
    let only = said.next().filter(|_| said.next().is_none());
    let said = only.and_then(|said| bearer(said.as_bytes()));
    match said.is_some_and(|said| is_same(said, token.as_bytes())) {
        true => Ok(()),
        false => Err(Refused::Unauthorized),
    }
}

/// What is behind the name of the scheme, which is written in letters of either case (RFC 9110, section 11.1).
fn bearer(said: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = said.split_at_checked(b"Bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"Bearer ")
        .then(|| token.trim_ascii())
}

/// Takes as long for a near miss as for a far one.
fn is_same(said: &[u8], token: &[u8]) -> bool {
    let differs = said.iter().zip(token).fold(0, |all, (a, b)| all | (a ^ b));
    std::hint::black_box(differs) == 0 && said.len() == token.len()
}

/// The request that is named by `request=`; none for all.
fn named(query: &str) -> Option<Arc<str>> {
    let said = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("request="))?;
    let named = decoded(said);
    (named != "all" && !named.is_empty()).then(|| named.into())
}

/// `%20` and its like become what they stand for; what stands for nothing stays as it is.
fn decoded(said: &str) -> String {
    let mut bytes = Vec::with_capacity(said.len());
    let mut rest = said.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).filter(|_| *first == b'%');
        let code = code.and_then(|code| std::str::from_utf8(code).ok());
        let byte = code.and_then(|code| u8::from_str_radix(code, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = byte.map_or(after, |_| &after[2..]);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn length(
    query: &str,
    (longest, told): (Duration, &'static str),
) -> Result<Option<Duration>, Refused> {
    let Some(said) = query.split('&').find_map(|pair| pair.strip_prefix("for=")) else {
        return Ok(None);
    };
    let wrong = || Refused::Length(said.chars().take(40).collect(), told);
    let length: SignedDuration = said.parse().map_err(|_| wrong())?;
    let length = Duration::try_from(length).map_err(|_| wrong())?;
    let bounds = Duration::from_secs(1)..=longest;
    bounds
        .contains(&length)
        .then_some(Some(length))
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(target: &'static str) -> Option<Result<Verb, Refused>> {
        verb(&Uri::from_static(target))
    }

    #[test]
    fn a_verb_is_a_path_and_its_length_is_bounded() {
        assert_eq!(asked("/restart"), Some(Ok(Verb::Restart)));
        assert_eq!(asked("/pause"), Some(Ok(Verb::Pause(PAUSE))));
        let hour = Duration::from_secs(3600);
        assert_eq!(asked("/pause?for=1h"), Some(Ok(Verb::Pause(hour))));
        assert_eq!(asked("/maintenance"), Some(Ok(Verb::Maintenance(None))));
        let told = asked("/maintenance?x=1&for=60m");
        assert_eq!(told, Some(Ok(Verb::Maintenance(Some(hour)))));
        for wrong in [
            "/pause?for=",
            "/pause?for=-1s",
            "/pause?for=25h",
            "/pause?for=0s",
        ] {
            assert!(
                matches!(asked(wrong), Some(Err(Refused::Length(..)))),
                "{wrong}"
            );
        }
        assert_eq!(asked("/metrics"), None);
    }

    #[test]
    fn what_is_released_is_named_or_it_is_all() {
        let release = |named: Option<&str>| Some(Ok(Verb::Release(named.map(Arc::from))));
        for all in ["/release", "/release?request=", "/release?request=all"] {
            assert_eq!(asked(all), release(None), "{all}");
        }
        let one = asked("/release?request=GET%20/a%2520b");
        assert_eq!(one, release(Some("GET /a%20b")));
        let odd = asked("/release?x=1&request=/100%&y=2");
        assert_eq!(odd, release(Some("/100%")));
    }

    #[test]
    fn over_the_network_nobody_may_without_the_token() {
        let mut headers = HeaderMap::new();
        assert_eq!(admit(Via::Socket, &headers, None), Ok(()));
        assert_eq!(admit(Via::Network, &headers, None), Err(Refused::NoToken));
        let may = |headers: &HeaderMap| admit(Via::Network, headers, Some("secret"));
        assert_eq!(may(&headers), Err(Refused::Unauthorized));
        for (said, wanted) in [
            ("Bearer secret", Ok(())),
            ("bearer secret", Ok(())),
            ("BEARER  secret", Ok(())),
            ("Bearersecret", Err(Refused::Unauthorized)),
            ("Bearer secre", Err(Refused::Unauthorized)),
            ("Bearer secrets", Err(Refused::Unauthorized)),
            ("Bearer ", Err(Refused::Unauthorized)),
            ("Basic secret", Err(Refused::Unauthorized)),
        ] {
            headers.insert(AUTHORIZATION, said.parse().unwrap());
            assert_eq!(may(&headers), wanted, "{said}");
        }
        headers.insert(AUTHORIZATION, "Bearer secret".parse().unwrap());
        headers.append(AUTHORIZATION, "Bearer other".parse().unwrap());
        assert_eq!(may(&headers), Err(Refused::Unauthorized), "two of them");
    }
}
