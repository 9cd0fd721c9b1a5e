//! What is refused, and what the origin gets instead of what the client said.

use http::Request;

use super::*;

fn client() -> ClientAddr {
    ClientAddr("192.0.2.7:5555".parse().unwrap())
}

/// A method, a target and a version.
type Line<'a> = (&'a str, &'a str, Version);
/// A name and a value.
type Field<'a> = (&'a str, &'a str);

/// The head rebuilt from a request's line and fields.
fn rebuilt(line: Line<'_>, fields: &[Field<'_>]) -> Result<OriginHead, Failure> {
    let (method, target, version) = line;
    let mut request = Request::builder()
        .method(method)
        .uri(target)
        .version(version);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let (parts, ()) = request.body(()).unwrap().into_parts();
    rebuild(&parts, client(), &EdgeLimits::default(), "127.0.0.1:80")
}

const GET: Line<'_> = ("GET", "/a?b=c", Version::HTTP_11);
const H2: Line<'_> = ("GET", "https://example.org/a", Version::HTTP_2);

fn all<'h>(head: &'h OriginHead, name: &str) -> Vec<&'h str> {
    let values = head.headers.get_all(name).iter();
    values.map(|value| value.to_str().unwrap()).collect()
}

#[test]
fn the_origin_is_told_who_asked_and_by_which_way() {
    let head = rebuilt(GET, &[("host", "example.org:8443"), ("via", "1.1 first")]).unwrap();
    assert_eq!(head.target, "/a?b=c");
    assert_eq!(all(&head, "host"), ["example.org:8443"]);
    assert_eq!(all(&head, "x-forwarded-for"), ["192.0.2.7"]);
    assert_eq!(all(&head, "x-forwarded-proto"), ["https"]);
    assert_eq!(all(&head, "x-forwarded-host"), ["example.org:8443"]);
    assert_eq!(
        all(&head, "forwarded"),
        ["for=192.0.2.7;host=\"example.org:8443\";proto=https"]
    );
    assert_eq!(all(&head, "via"), ["1.1 first", "1.1 leeward"]);
    let first = head.headers.keys().next().map(HeaderName::as_str);
    assert_eq!(first, Some("host"));
}

#[test]
fn a_client_cannot_speak_for_us() {
    let fields = [
        ("host", "example.org"),
        ("x-forwarded-for", "1.2.3.4"),
        ("x-forwarded-user", "root"),
        ("forwarded", "for=1.2.3.4"),
        ("x-real-ip", "1.2.3.4"),
        ("content_length", "5"),
        ("transfer_encoding", "chunked"),
    ];
    let head = rebuilt(GET, &fields).unwrap();
    let told = format!("{:?}", head.headers);
    assert!(
        !told.contains("1.2.3.4") && !told.contains("root"),
        "{told}"
    );
    assert!(!told.contains('_'), "{told}");
}

#[test]
fn fields_of_one_connection_stay_behind_those_nominated_too() {
    let fields = [
        ("host", "example.org"),
        ("connection", "close, X-Secret"),
        ("connection", "keep-alive, x-forwarded-for, host"),
        ("x-secret", "1"),
        ("keep-alive", "timeout=5"),
        ("te", "trailers"),
        ("upgrade", "h2c"),
        ("http2-settings", "AAMAAABkAAQAAP__"),
        ("proxy-authorization", "Basic eA=="),
        ("expect", "100-continue"),
        ("accept", "*/*"),
    ];
    let head = rebuilt(GET, &fields).unwrap();
    let mut names: Vec<_> = head.headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    let wanted = [
        "accept",
        "forwarded",
        "host",
        "via",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
    ];
    assert_eq!(names, wanted);
}

#[test]
fn cookie_crumbs_become_one_field() {
    let fields = [("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")];
    let head = rebuilt(H2, &fields).unwrap();
    assert_eq!(all(&head, "cookie"), ["a=1; b=2; c=3"]);
    assert_eq!(all(&head, "host"), ["example.org"]);
    assert_eq!(all(&head, "via"), ["2.0 leeward"]);
}

#[test]
fn an_absolute_target_names_the_host() {
    let line = ("GET", "http://real.example/x", Version::HTTP_11);
    let head = rebuilt(line, &[("host", "other.example")]).unwrap();
    assert_eq!(all(&head, "host"), ["real.example"]);
    assert_eq!(head.target, "/x");
}

#[test]
fn an_old_client_without_a_host_is_served() {
    let head = rebuilt(("GET", "/", Version::HTTP_10), &[]).unwrap();
    assert_eq!(all(&head, "host"), ["127.0.0.1:80"]);
}

#[test]
fn what_two_readers_could_understand_differently_is_refused() {
    let host = ("host", "example.org");
    let long = format!("/{}", "a".repeat(9000));
    let v11 = Version::HTTP_11;
    let cases: &[(&str, Line<'_>, &[Field<'_>])] = &[
        ("missing", GET, &[]),
        ("more than once", GET, &[host, host]),
        ("not the name", GET, &[("host", "")]),
        ("not the name", GET, &[("host", "a/b@c, d")]),
        ("not the name", GET, &[("host", "user@example.org")]),
        ("not the name", GET, &[("host", "example.org:http")]),
        ("not the name", GET, &[("host", "example.org:99999")]),
        ("not the name", GET, &[("host", "example.org:+80")]),
        ("differ", H2, &[("host", "other.example")]),
        (
            "chunked",
            GET,
            &[host, ("transfer-encoding", "identity, chunked")],
        ),
        (
            "chunked",
            GET,
            &[host, ("transfer-encoding", "gzip, chunked")],
        ),
        (
            "more than once",
            GET,
            &[
                host,
                ("transfer-encoding", "chunked"),
                ("transfer-encoding", "chunked"),
            ],
        ),
        ("plain number", GET, &[host, ("content-length", "003")]),
        ("plain number", GET, &[host, ("content-length", "+3")]),
        ("100-continue", GET, &[host, ("expect", "tea")]),
        ("CONNECT", ("CONNECT", "a:80", v11), &[host]),
        ("CONNECT and TRACE", ("TRACE", "/", v11), &[host]),
        ("`*`", ("GET", "*", v11), &[host]),
        ("not a path", ("GET", "a:80", v11), &[host]),
        ("edge.limits.uri", ("GET", &long, v11), &[host]),
    ];
    for (wanted, line, fields) in cases {
        let said = rebuilt(*line, fields).unwrap_err().to_string();
        assert!(said.contains(wanted), "{line:?} {fields:?}: {said}");
    }
}

#[test]
fn options_may_ask_for_everything() {
    let head = rebuilt(("OPTIONS", "*", Version::HTTP_11), &[("host", "a")]).unwrap();
    assert_eq!(head.target, "*");
}
