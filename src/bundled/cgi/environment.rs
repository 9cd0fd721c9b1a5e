//! What a script is told: the meta-variables of RFC 3875, section 4.1, and the customary ones beside them. Pure.

use std::ffi::{OsStr, OsString};
use std::net::IpAddr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, Version, request};

use super::find::Script;
use crate::bundled::options::Client;

/// What it is made of.
pub(super) struct Facts<'f> {
    pub(super) script: &'f Script,
    pub(super) head: &'f request::Parts,
    pub(super) peer: IpAddr,
    pub(super) client: Client,
    pub(super) root: Option<&'f Path>,
}

/// Fields that no script is told: secrets that are for the server (section 4.1.18), what has a variable of its own, what
/// belongs to the connection, and `Proxy`, which programs take for their own `HTTP_PROXY` (httpoxy).
const UNTOLD: [&str; 13] = [
    "authorization",
    "proxy-authorization",
    "proxy",
    "content-length",
    "content-type",
    "connection",
    "keep-alive",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "proxy-connection",
];
/// A small environment that is the same on each machine, as other servers have it.
const SEARCHED: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Every variable, and nothing of ours.
pub(super) fn of(facts: &Facts<'_>) -> Vec<(OsString, OsString)> {
    let Facts { script, head, .. } = facts;
    let headers = &head.headers;
    let text = |value: &str| OsString::from(value);
    let (host, port) = server(facts);
    let client = forwarded(facts, "x-forwarded-for")
        .and_then(|list| list.rsplit(',').next()?.trim().parse().ok())
        .unwrap_or(facts.peer)
        .to_string();
    let is_https = forwarded(facts, "x-forwarded-proto") == Some("https");
    let protocol = match head.version {
        Version::HTTP_10 => "HTTP/1.0",
        _ => "HTTP/1.1",
    };
    let target = head.uri.path_and_query();
    let mut all = vec![
        ("GATEWAY_INTERFACE", text("CGI/1.1")),
        ("PATH", text(SEARCHED)),
        ("QUERY_STRING", text(head.uri.query().unwrap_or_default())),
        ("REMOTE_ADDR", text(&client)),
        ("REMOTE_HOST", text(&client)),
        ("REQUEST_METHOD", text(head.method.as_str())),
        (
            "REQUEST_SCHEME",
            text(if is_https { "https" } else { "http" }),
        ),
        ("REQUEST_URI", text(target.map_or("/", |it| it.as_str()))),
        ("SCRIPT_FILENAME", script.file.clone().into()),
        ("SCRIPT_NAME", text(&script.name)),
        ("SERVER_NAME", text(&host)),
        ("SERVER_PORT", text(&port)),
        ("SERVER_PROTOCOL", text(protocol)),
        (
            "SERVER_SOFTWARE",
            text(concat!("leeward-origin/", env!("CARGO_PKG_VERSION"))),
        ),
    ];
    if is_https {
        all.push(("HTTPS", text("on")));
    }
    if let Some(root) = facts.root {
        all.push(("DOCUMENT_ROOT", root.into()));
    }
    if !script.rest.is_empty() {
        all.push(("PATH_INFO", OsString::from_vec(script.rest.clone())));
        if let Some(root) = facts.root {
            let mut translated = root.as_os_str().to_owned();
            translated.push(OsStr::from_bytes(&script.rest));
            all.push(("PATH_TRANSLATED", translated));
        }
    }
    for (name, field) in [
        ("CONTENT_LENGTH", CONTENT_LENGTH),
        ("CONTENT_TYPE", CONTENT_TYPE),
    ] {
        if let Some(value) = headers.get(field) {
            all.push((name, OsString::from_vec(value.as_bytes().to_vec())));
        }
    }
    let told = headers.keys().filter(|name| is_told(name));
    let fields = told.map(|name| {
        let upper = name.as_str().to_ascii_uppercase().replace('-', "_");
        (format!("HTTP_{upper}").into(), joined(headers, name))
    });
    let all = all.into_iter().map(|(name, value)| (name.into(), value));
    all.chain(fields).collect()
}

/// A name with an underscore could stand for another one with a dash.
fn is_told(name: &HeaderName) -> bool {
    !UNTOLD.contains(&name.as_str()) && !name.as_str().contains('_')
}

/// All values of a field as one (RFC 9110, section 5.3; for cookies RFC 9113, section 8.2.3).
fn joined(headers: &HeaderMap, name: &HeaderName) -> OsString {
    let between: &[u8] = match name.as_str() {
        "cookie" => b"; ",
        _ => b", ",
    };
    let values: Vec<&[u8]> = headers
        .get_all(name)
        .iter()
        .map(|value| value.as_bytes())
        .collect();
    OsString::from_vec(values.join(between))
}

/// A field that only Leeward writes.
fn forwarded<'f>(facts: &Facts<'f>, name: &str) -> Option<&'f str> {
    match facts.client {
        Client::Connection => None,
        Client::Forwarded => facts.head.headers.get(name)?.to_str().ok(),
    }
}

/// The name and port by which the client reached this site.
fn server(facts: &Facts<'_>) -> (String, String) {
    let said = forwarded(facts, "x-forwarded-host")
        .or_else(|| facts.head.headers.get(HOST)?.to_str().ok())
        .or_else(|| facts.head.uri.authority().map(|it| it.as_str()));
    let said = said.and_then(|host| host.parse::<http::uri::Authority>().ok());
    let usual = match forwarded(facts, "x-forwarded-proto") {
        Some("https") => 443,
        _ => 80,
    };
    match said {
        Some(host) => {
            let port = host.port_u16().unwrap_or(usual);
            (host.host().to_owned(), port.to_string())
        }
        None => ("localhost".to_owned(), usual.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;
    use std::collections::BTreeMap;

    fn told(request: Request<()>, client: Client) -> BTreeMap<String, String> {
        let (head, ()) = request.into_parts();
        let script = Script {
            file: "/srv/cgi/run".into(),
            name: "/cgi-bin/run".to_owned(),
            rest: b"/a b".to_vec(),
        };
        let facts = Facts {
            script: &script,
            head: &head,
            peer: "127.0.0.1".parse().unwrap(),
            client,
            root: Some(Path::new("/srv/www")),
        };
        let all = of(&facts).into_iter();
        all.map(|(name, value)| (name.into_string().unwrap(), value.into_string().unwrap()))
            .collect()
    }

    fn request() -> Request<()> {
        Request::post("/cgi-bin/run/a%20b?x=%20y")
            .header("host", "example.org:8443")
            .header("x-forwarded-for", "192.0.2.7")
            .header("x-forwarded-proto", "https")
            .header("x-forwarded-host", "example.org:8443")
            .header("authorization", "Basic c2VjcmV0")
            .header("proxy", "http://evil/")
            .header("x_forwarded_for", "evil")
            .header("content-length", "3")
            .header("content-type", "text/csv")
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .body(())
            .unwrap()
    }

    #[test]
    fn the_variables_are_those_of_the_standard() {
        let told = told(request(), Client::Forwarded);
        for (name, value) in [
            ("GATEWAY_INTERFACE", "CGI/1.1"),
            ("SCRIPT_NAME", "/cgi-bin/run"),
            ("PATH_INFO", "/a b"),
            ("PATH_TRANSLATED", "/srv/www/a b"),
            ("QUERY_STRING", "x=%20y"),
            ("REQUEST_URI", "/cgi-bin/run/a%20b?x=%20y"),
            ("REQUEST_METHOD", "POST"),
            ("REMOTE_ADDR", "192.0.2.7"),
            ("SERVER_NAME", "example.org"),
            ("SERVER_PORT", "8443"),
            ("SERVER_PROTOCOL", "HTTP/1.1"),
            ("CONTENT_LENGTH", "3"),
            ("CONTENT_TYPE", "text/csv"),
            ("HTTP_COOKIE", "a=1; b=2"),
            ("HTTPS", "on"),
        ] {
            assert_eq!(told.get(name).map(String::as_str), Some(value), "{name}");
        }
        for name in [
            "HTTP_AUTHORIZATION",
            "HTTP_PROXY",
            "AUTH_TYPE",
            "HTTP_CONTENT_LENGTH",
        ] {
            assert!(!told.contains_key(name), "{name}");
        }
        assert_eq!(told["HTTP_X_FORWARDED_FOR"], "192.0.2.7");
    }

    #[test]
    fn whoever_connects_by_himself_is_not_believed() {
        let told = told(request(), Client::Connection);
        assert_eq!(told["REMOTE_ADDR"], "127.0.0.1");
        assert_eq!(told["REQUEST_SCHEME"], "http");
        assert!(!told.contains_key("HTTPS"));
    }
}
