//! A renewed certificate is shown to the next client, and no connection is broken for it; a bad one is never shown.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::house::DUE;
use crate::support::h1::Connection;
use crate::support::pki::{Authority, Made, replace, shown};
use crate::support::{Leeward, leeward};

/// Looked at as often as may be.
const OFTEN: &str = "reread_every = \"1s\"\n";

/// In front of the bundled origin, with these keys in `[edge.tls]`.
fn with(tls: &str) -> Leeward {
    let leeward = Leeward::start(&configuration(tls));
    leeward.wait_log("origin ready", DUE);
    leeward
}

fn configuration(tls: &str) -> String {
    format!(
        "[edge]\nlisten = \"127.0.0.1:0\"\n[status]\nlisten = \"127.0.0.1:0\"\n\
         [incidents]\ndirectory = \"@DIR@/incidents\"\n[edge.tls]\n{tls}"
    )
}

fn home() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

/// Waits until a client that asks for this name is shown that one.
fn becomes(edge: SocketAddr, name: &str, wanted: &Made) {
    let begun = Instant::now();
    while shown(edge, Some(name)).expect("a handshake") != wanted.chain[0] {
        assert!(begun.elapsed() < DUE, "{name}: it was never shown");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn is_shown(edge: SocketAddr, name: Option<&str>, wanted: &Made) {
    let leaf = shown(edge, name).expect("a handshake");
    assert!(leaf == wanted.chain[0], "{name:?}: another was shown");
}

fn certificates(leeward: &Leeward) -> Vec<Value> {
    let text = leeward.status_get("/status.json").text();
    let all: Value = serde_json::from_str(&text).expect("a snapshot");
    all["certificates"].as_array().expect("a list").clone()
}

#[test]
fn one_that_leeward_makes_itself_lives_for_as_long_as_browsers_take_one_to() {
    let leeward = with("");
    let told = certificates(&leeward).remove(0);
    let at = |key: &str| -> jiff::Timestamp {
        let text = told[key].as_str().expect("a time");
        text.parse().expect("RFC 3339")
    };
    let (from, until) = (at("not_before"), at("not_after"));
    assert_eq!(until.duration_since(from).as_hours(), 397 * 24);
    let now = jiff::Timestamp::now();
    assert!(now.duration_since(from).as_hours() >= 24, "{told}");
    assert_eq!(told["state"], "good");
    let page = leeward.status_get("/").text();
    assert!(
        page.contains("self-signed, and made anew at each start"),
        "{page}"
    );
}

#[test]
fn a_renewed_certificate_is_shown_to_new_clients_and_breaks_no_connection() {
    let (home, authority) = (home(), Authority::named("Test CA"));
    let first = authority.good(&["one.test"]);
    let tls = format!("{OFTEN}{}", first.configured(home.path(), "site"));
    let leeward = with(&tls);
    is_shown(leeward.edge(), Some("one.test"), &first);
    let mut open = Connection::connect(leeward.edge(), DUE).expect("a connection");
    let answer = open.request("GET", "/", &[], &[]).expect("an answer");
    assert_eq!(answer.status, 200);

    let second = authority.good(&["one.test", "two.test"]);
    second.write(home.path(), "site");
    becomes(leeward.edge(), "one.test", &second);
    let answer = open
        .request("GET", "/", &[], &[])
        .expect("the connection is as it was");
    assert_eq!(answer.status, 200);
    leeward.wait_log("a new certificate is shown: edge.tls.certificate", DUE);
    let told = &certificates(&leeward)[0];
    assert_eq!(told["names"], serde_json::json!(["one.test", "two.test"]));
    assert_eq!(
        (&told["state"], &told["fault"]),
        (&"good".into(), &Value::Null)
    );
    let page = leeward.status_get("/").text();
    assert!(page.contains("one.test, two.test"), "{page}");
    let metrics = leeward.status_get("/metrics").text();
    assert!(
        metrics.contains("leeward_certificate_faulty{certificate=\"edge.tls\"} 0"),
        "{metrics}"
    );
}

#[test]
fn a_bad_pair_is_told_everywhere_and_the_last_good_one_is_shown_until_it_is_mended() {
    let (home, authority) = (home(), Authority::named("Test CA"));
    let good = authority.good(&["one.test"]);
    let mut leeward = with(&format!("{OFTEN}{}", good.configured(home.path(), "site")));
    let stranger = authority.good(&["one.test"]);
    let next = authority.good(&["one.test"]);
    let key = home.path().join("site.key");
    let (_, strange) = stranger.write(home.path(), "stranger");
    fs::copy(&strange, &key).expect("another key");
    leeward.wait_log("edge.tls.key does not belong to edge.tls.certificate", DUE);
    is_shown(leeward.edge(), Some("one.test"), &good);
    let fault = certificates(&leeward)[0]["fault"].to_string();
    assert!(fault.contains("does not belong"), "{fault}");
    let page = leeward.status_get("/").text();
    assert!(page.contains("NOT TAKEN"), "{page}");
    let metrics = leeward.status_get("/metrics").text();
    assert!(
        metrics.contains("leeward_certificate_faulty{certificate=\"edge.tls\"} 1"),
        "{metrics}"
    );

    // One that has expired is of no use either, and half a file is none.
    authority
        .sign(&["one.test"], -90, -2)
        .write(home.path(), "site");
    leeward.wait_log("it expired 2 d ago; renew it", DUE);
    replace(&home.path().join("site.pem"), "-----BEGIN CERT");
    leeward.wait_log("it breaks off in the middle of a section", DUE);
    is_shown(leeward.edge(), Some("one.test"), &good);

    next.write(home.path(), "site");
    becomes(leeward.edge(), "one.test", &next);
    assert_eq!(certificates(&leeward)[0]["fault"], Value::Null);
    assert_eq!(leeward.terminate().code(), Some(0));
}

/// As Kubernetes mounts secrets, and as certbot has its `live` directory.
#[test]
fn a_link_that_is_turned_to_other_files_is_followed() {
    let (home, authority) = (home(), Authority::named("Test CA"));
    let [first, second] = [(); 2].map(|()| authority.good(&["one.test"]));
    for (made, version) in [(&first, "v1"), (&second, "v2")] {
        fs::create_dir(home.path().join(version)).expect("a directory");
        made.write(&home.path().join(version), "tls");
    }
    let turn = |to: &str| {
        let next = home.path().join("next");
        symlink(to, &next).expect("a link");
        fs::rename(&next, home.path().join("data")).expect("it is turned");
    };
    turn("v1");
    let at = |name: &str| home.path().join("data").join(name);
    let tls = format!(
        "{OFTEN}certificate = {:?}\nkey = {:?}\n",
        at("tls.pem"),
        at("tls.key")
    );
    let leeward = with(&tls);
    is_shown(leeward.edge(), Some("one.test"), &first);
    turn("v2");
    becomes(leeward.edge(), "one.test", &second);
}

#[test]
fn each_name_is_shown_its_own_certificate_and_sighup_reads_all_of_them_again() {
    let (home, authority) = (home(), Authority::named("Test CA"));
    let default = authority.good(&["one.test"]);
    let other = authority.good(&["*.two.test"]);
    let exact = authority.good(&["www.two.test"]);
    let others = |unknown: &str| {
        format!(
            "reread_every = \"off\"\nunknown_name = \"{unknown}\"\n{}\
             [[edge.tls.certificates]]\n{}[[edge.tls.certificates]]\n{}",
            default.configured(home.path(), "default"),
            other.configured(home.path(), "other"),
            exact.configured(home.path(), "exact"),
        )
    };
    let mut leeward = with(&others("default"));
    let edge = leeward.edge();
    is_shown(edge, Some("one.test"), &default);
    is_shown(edge, Some("mail.two.test"), &other);
    is_shown(edge, Some("www.two.test"), &exact);
    is_shown(edge, Some("nobody.test"), &default);
    is_shown(edge, None, &default);
    let next = authority.good(&["www.two.test"]);
    next.write(home.path(), "exact");
    leeward.signal(Signal::HUP);
    becomes(edge, "www.two.test", &next);
    is_shown(edge, Some("mail.two.test"), &other);
    let metrics = leeward.status_get("/metrics").text();
    let label =
        "leeward_certificate_expiry_timestamp_seconds{certificate=\"edge.tls.certificates[2]\"}";
    assert!(metrics.contains(label), "{metrics}");

    let strict = with(&others("refuse"));
    is_shown(strict.edge(), Some("mail.two.test"), &other);
    for unknown in [Some("nobody.test"), None] {
        let refused = shown(strict.edge(), unknown).expect_err("no handshake");
        assert!(refused.to_string().contains("AccessDenied"), "{refused}");
    }
}

#[test]
fn a_certificate_that_ends_soon_is_told_long_before() {
    let (home, authority) = (home(), Authority::named("Test CA"));
    let told = |until: i64, tell: &str, word: &str| {
        let made = authority.sign(&["one.test"], -400, until);
        let leeward = with(&made.configured(home.path(), "site"));
        leeward.wait_log(tell, DUE);
        assert_eq!(certificates(&leeward)[0]["state"], word);
        // It is told and shown: no certificate at all would help nobody.
        is_shown(leeward.edge(), Some("one.test"), &made);
    };
    told(20, "(one.test) expires in 19 d", "expires_soon");
    told(5, "(one.test) expires in 4 d", "expires_very_soon");
    told(-3, "(one.test) expired 3 d ago", "expired");
}

#[test]
fn check_says_which_certificate_is_wrong_and_what_to_do() {
    let (home, authority) = (home(), Authority::named("Test CA"));
    let judged = |tls: &str| {
        let file = home.path().join("leeward.toml");
        fs::write(&file, configuration(tls).replace("@DIR@", "/tmp")).expect("a file");
        let output = leeward(&["check", file.to_str().expect("a path")]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    let says = |tls: &str, code: i32, words: &[&str]| {
        let (found, said) = judged(tls);
        assert_eq!(found, Some(code), "{said}");
        for word in words {
            assert!(said.contains(word), "{word}\n{said}");
        }
    };
    let good = authority.good(&["one.test"]);
    let pair = good.configured(home.path(), "good");
    let (code, said) = judged(&pair);
    assert_eq!((code, said.as_str()), (Some(0), ""));

    let expired = authority.sign(&["one.test"], -90, -3);
    let expired = expired.configured(home.path(), "expired");
    says(
        &expired,
        0,
        &["warning: edge.tls.certificate = ", "expired 3 d ago"],
    );
    // All faults at once.
    let strangers = format!(
        "certificate = {:?}\nkey = {:?}\n[[edge.tls.certificates]]\ncertificate = {:?}\nkey = {:?}\n",
        path(&home, "good.pem"),
        path(&home, "expired.key"),
        path(&home, "none.pem"),
        path(&home, "good.key"),
    );
    says(
        &strangers,
        78,
        &[
            "edge.tls.key does not belong to edge.tls.certificate; the first",
            "edge.tls.certificates[1].certificate = ",
            "name a readable PEM file",
        ],
    );
    let mut turned = authority.good(&["one.test"]);
    turned.chain.reverse();
    let turned = turned.configured(home.path(), "turned");
    says(
        &turned,
        78,
        &["the key belongs to certificate 2 of the chain"],
    );
    let mut foreign = authority.good(&["one.test"]);
    let other = Authority::named("Other CA");
    foreign.chain[1] = other.0.der().clone();
    let foreign = foreign.configured(home.path(), "foreign");
    says(
        &foreign,
        0,
        &["the chain is not in order: certificate 1 was signed by `CN=Test CA`"],
    );
}

fn path(home: &TempDir, name: &str) -> std::path::PathBuf {
    let home: &Path = home.path();
    home.join(name)
}
