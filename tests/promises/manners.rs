//! Origins that do not know who stands in front of them are spoken to as they need it, and what they say is mended:
//! by a profile, and by each of its keys alone. The stand-in has the manners that were seen in real GoAheads.

use crate::house::{DUE, behind, configuration, incidents, sick, with_origin};
use crate::support::h1::{self, Connection};
use crate::support::h2::{self, Ask};
use crate::support::response::Response;
use crate::support::{Leeward, free_port};

/// Where clients believe to be.
const HERE: &str = "a.example:8443";

/// The versions that redirect each to another place.
const VERSIONS: [&str; 3] = ["2.5.0", "5.1.3", "6.1.0"];

/// Leeward with the configuration that is shipped for GoAhead, in front of the stand-in.
fn as_shipped() -> Leeward {
    shipped_but("", "")
}

/// The same with one thing said otherwise.
fn shipped_but(said: &str, otherwise: &str) -> Leeward {
    let shipped = include_str!("../../config/goahead.toml");
    let is_command = |line: &&str| line.starts_with("command = ");
    let command = shipped.lines().find(is_command).expect("it has a command");
    let sick = format!("command = {:?}", sick(&["--manners", "goahead"]));
    let there = format!("\"127.0.0.1:{}\"", free_port());
    let changes = [
        ("\"0.0.0.0:443\"", "\"127.0.0.1:0\""),
        ("\"127.0.0.1:8080\"", &there),
        (command, &sick),
        (said, otherwise),
    ];
    let mut config = shipped.to_owned();
    for (said, otherwise) in changes {
        assert!(config.contains(said), "it does not say {said}");
        config = config.replacen(said, otherwise, 1);
    }
    config.push_str("[status]\nlisten = \"127.0.0.1:0\"\n");
    config.push_str("[incidents]\ndirectory = \"@DIR@/incidents\"\n");
    ready(&config)
}

/// Leeward in front of the stand-in, with these keys in `[origin]` and no profile.
fn with(keys: &str) -> Leeward {
    let process = "[origin.process]";
    let config = configuration(&sick(&["--manners", "goahead"]), free_port(), "");
    ready(&config.replacen(process, &format!("concurrency = 1\n{keys}\n{process}"), 1))
}

fn ready(config: &str) -> Leeward {
    let leeward = Leeward::start(config);
    leeward.wait_log("origin ready", DUE);
    leeward
}

/// What a client gets there, who names this host, over both versions of HTTP.
fn ask(leeward: &Leeward, method: &str, path: &str, field: (&str, &str)) -> [Response; 2] {
    let fields = [("Host", HERE), field];
    let one = h1::request(leeward.edge(), method, path, &fields, &[], DUE);
    let ask = Ask {
        method: method.to_owned(),
        headers: vec![(field.0.to_lowercase(), field.1.to_owned())],
        ..Ask::get(path)
    };
    let two = h2::request(leeward.edge(), ask, DUE);
    [one, two].map(|answer| answer.unwrap_or_else(|error| panic!("{method} {path}: {error}")))
}

fn get(leeward: &Leeward, path: &str) -> [Response; 2] {
    ask(leeward, "GET", path, ("X-Plain", "1"))
}

/// This field of what [`get`] brings over HTTP/1.1, where the client named [`HERE`], and over HTTP/2, where it named
/// `localhost`.
fn told(leeward: &Leeward, path: &str, field: &str) -> [String; 2] {
    get(leeward, path).map(|answer| answer.header(field).unwrap_or_default().to_owned())
}

fn here_and_localhost(rest: &str) -> [String; 2] {
    [HERE, "localhost"].map(|host| format!("https://{host}{rest}"))
}

#[test]
fn the_access_control_of_goahead_holds_behind_us() {
    let leeward = as_shipped();
    let asked = get(&leeward, "/private");
    assert_eq!(asked.map(|answer| answer.status), [401, 401]);
    let named = ask(
        &leeward,
        "GET",
        "/private",
        ("Authorization", "Basic am9lOnB3"),
    );
    assert_eq!(named.map(|answer| answer.status), [200, 200]);
}

#[test]
fn wherever_goahead_redirects_to_clients_come_back_to_us() {
    let leeward = as_shipped();
    for version in VERSIONS {
        let location = told(&leeward, &format!("/redirect/{version}"), "location");
        assert_eq!(location, here_and_localhost("/page?a=b"), "{version}");
    }
    let place = told(&leeward, "/located", "content-location");
    assert_eq!(place, here_and_localhost("/here"));
}

#[test]
fn a_session_of_goahead_travels_over_tls_alone() {
    let leeward = as_shipped();
    let [cookie, _] = told(&leeward, "/login", "set-cookie");
    let wanted = "-goahead-session-=::webs.session::61ce0e56; path=/; domain=a.example; httponly; SameSite=Lax; Secure";
    assert_eq!(cookie, wanted);
}

#[test]
fn goahead_is_told_the_host_the_client_named_and_the_length_of_every_body() {
    let leeward = as_shipped();
    let [one, two] = get(&leeward, "/headers").map(|answer| answer.text());
    assert!(one.contains("\r\nHost: a.example:8443\r\n"), "{one}");
    assert!(two.contains("\r\nHost: localhost\r\n"), "{two}");
    // It would wait for the end of a body it was told no length of.
    for answer in ask(&leeward, "POST", "/echo", ("X-Plain", "1")) {
        assert_eq!((answer.status, answer.body.len()), (200, 0));
    }
    let mut client = Connection::connect(leeward.edge(), DUE).expect("a connection");
    client
        .send(
            b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
              5\r\nfield\r\n2\r\n=x\r\n0\r\n\r\n",
        )
        .expect("it can be sent");
    assert_eq!(client.read_response().expect("an echo").text(), "field=x");
}

/// Hung in a handler, it does not come to look at the flag its handler of TERM sets, and goes on accepting.
#[test]
fn goahead_that_hangs_is_killed_and_one_that_lives_ends_by_itself() {
    let mut leeward = shipped_but("silent = \"15s\"", "silent = \"2s\"");
    let edge = leeward.edge();
    let culprit = std::thread::spawn(move || h1::get(edge, "/block/sleep", DUE));
    leeward.wait_log("from=\"ready\" to=\"suspect\"", DUE);
    Connection::connect_plain(leeward.origin(), DUE).expect("hung, it goes on accepting");
    let next = h1::get(edge, "/", DUE).expect("an answer, later");
    assert_eq!(next.status, 200);
    let blamed = culprit
        .join()
        .expect("a client")
        .expect("an answer of ours");
    assert_eq!(blamed.status, 504);
    leeward.wait_log("incident closed", DUE);
    let told = incidents(&leeward).remove(0);
    assert_eq!(told["ending"]["obituary"], "was ended by signal 9");

    leeward.terminate();
    leeward.wait_log("origin exited with 0", DUE);
}

#[test]
fn a_source_address_alone_lets_access_control_hold() {
    let around = get(&with(""), "/private");
    assert_eq!(around.map(|answer| answer.status), [200, 200]);
    let held = get(&with("source_address = \"127.0.0.2\""), "/private");
    assert_eq!(held.map(|answer| answer.status), [401, 401]);
    let away = with("profile = \"goahead\"\nsource_address = \"off\"");
    assert_eq!(get(&away, "/private").map(|it| it.status), [200, 200]);
}

#[test]
fn redirects_are_mended_unless_that_is_switched_off() {
    let mended = with("");
    for version in VERSIONS {
        let location = told(&mended, &format!("/redirect/{version}"), "location");
        assert_eq!(location, here_and_localhost("/page?a=b"), "{version}");
    }
    let place = told(&mended, "/located", "content-location");
    assert_eq!(place, here_and_localhost("/here"));
    let own = h1::get(behind(&[], "").edge(), "/redirect", DUE).expect("an answer");
    assert_eq!(own.header("location"), Some("https://localhost/x"));

    let left = with("rewrite_location = false");
    let raw = [HERE, "localhost"].map(|host| format!("http://{host}/page?a=b"));
    assert_eq!(told(&left, "/redirect/2.5.0", "location"), raw);
    let raw = [HERE, "localhost"].map(|host| format!("http://{host}/here"));
    assert_eq!(told(&left, "/located", "content-location"), raw);
}

#[test]
fn cookies_become_secure_where_that_is_asked_for() {
    let is_secure = |keys: &str| {
        told(&with(keys), "/login", "set-cookie").map(|cookie| cookie.ends_with("; Secure"))
    };
    assert_eq!(is_secure(""), [false, false]);
    assert_eq!(is_secure("secure_cookies = true"), [true, true]);
    let off = "profile = \"goahead\"\nsecure_cookies = false";
    assert_eq!(is_secure(off), [false, false]);
    // Each of several, and each once.
    let several = with_origin("secure_cookies = true\n");
    for answer in get(&several, "/cookies") {
        let cookies = answer.all("set-cookie");
        let wanted = ["first=1; Path=/; Secure", "second=2; HttpOnly; Secure"];
        assert_eq!(cookies, wanted);
    }
}

#[test]
fn http_1_0_is_spoken_where_that_is_asked_for() {
    let heads = |keys: &str| get(&with(keys), "/headers").map(|answer| answer.text());
    for head in heads("") {
        assert!(head.starts_with("GET /headers HTTP/1.1\r\n"), "{head}");
    }
    let asked = heads("http_version = \"1.0\"");
    for head in asked.into_iter().chain(heads("profile = \"boa\"")) {
        assert!(head.starts_with("GET /headers HTTP/1.0\r\n"), "{head}");
    }
    for head in heads("profile = \"boa\"\nhttp_version = \"1.1\"") {
        assert!(head.starts_with("GET /headers HTTP/1.1\r\n"), "{head}");
    }
}

/// GoAhead 5 and 6 do, although HTTP/1.0 knows no chunks.
#[test]
fn an_answer_in_chunks_to_a_question_in_http_1_0_is_taken_whole() {
    for keys in ["", "http_version = \"1.0\""] {
        for answer in get(&with(keys), "/dynamic") {
            let text = answer.text();
            assert_eq!(
                (answer.status, text.as_str()),
                (200, "made by jst\n"),
                "{keys}"
            );
        }
    }
}

/// The page it is asked for says nothing of its health: in whatever framing it comes, it is life.
#[test]
fn a_probe_in_http_1_0_that_is_answered_in_chunks_is_an_answer() {
    let probed = "[origin.probe]\npath = \"/dynamic\"\n";
    let leeward = with(&format!("http_version = \"1.0\"\n{probed}"));
    let answers = get(&leeward, "/dynamic");
    assert_eq!(answers.map(|answer| answer.status), [200, 200]);
}

#[test]
fn field_names_are_written_like_this_where_that_is_asked_for() {
    let heads = |keys: &str| get(&with(keys), "/headers").map(|answer| answer.text());
    for head in heads("") {
        assert!(
            head.contains("\r\nhost: ") && head.contains("\r\nx-plain: 1"),
            "{head}"
        );
    }
    let profiles = ["profile = \"goahead\"", "profile = \"boa\""];
    for keys in ["title_case_headers = true"].into_iter().chain(profiles) {
        for head in heads(keys) {
            let names = head.lines().skip(1).filter_map(|line| line.split_once(':'));
            let is_titled = |name: &str| {
                name.split('-')
                    .all(|it| it.starts_with(|c: char| c.is_ascii_uppercase()))
            };
            for (name, _) in names {
                assert!(is_titled(name), "{keys}: {name} in\n{head}");
            }
        }
    }
}
