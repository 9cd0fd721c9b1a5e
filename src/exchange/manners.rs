//! What is mended in an answer of an origin that does not know who stands in front of it. Pure.

use http::header::{HeaderMap, HeaderValue, SET_COOKIE};

use super::redirect;
use crate::config::settings::Manners;
use crate::ground::addr::OriginAddr;

/// Mends the head of an answer. `asked` is the head of the request as the origin got it.
pub fn mend(answer: &mut HeaderMap, asked: &HeaderMap, origin: &OriginAddr, manners: &Manners) {
    if manners.rewrite_location {
        redirect::mend(answer, asked, origin);
    }
    if manners.secure_cookies {
        secure(answer);
    }
}

/// Every cookie goes over TLS alone: there is no other way to us.
fn secure(answer: &mut HeaderMap) {
    let is_secure = |value: &HeaderValue| {
        let mut attributes = value.as_bytes().split(|byte| *byte == b';').skip(1);
        attributes.any(|attribute| attribute.trim_ascii().eq_ignore_ascii_case(b"secure"))
    };
    if answer.get_all(SET_COOKIE).iter().all(is_secure) {
        return;
    }
    let cookies: Vec<HeaderValue> = answer.get_all(SET_COOKIE).iter().cloned().collect();
    answer.remove(SET_COOKIE);
    for cookie in cookies {
        let mended = match is_secure(&cookie) {
            true => cookie,
            false => HeaderValue::from_bytes(&[cookie.as_bytes(), b"; Secure"].concat())
                .unwrap_or(cookie),
        };
        answer.append(SET_COOKIE, mended);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_become_secure_each_once() {
        let mut answer = HeaderMap::new();
        for cookie in ["a=1; HttpOnly", "b=2; secure", "c=Secure"] {
            answer.append(SET_COOKIE, cookie.parse().unwrap());
        }
        secure(&mut answer);
        let told: Vec<_> = answer.get_all(SET_COOKIE).iter().collect();
        assert_eq!(
            told,
            ["a=1; HttpOnly; Secure", "b=2; secure", "c=Secure; Secure"]
        );
    }
}
