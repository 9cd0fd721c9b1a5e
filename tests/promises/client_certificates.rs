//! Only clients whose certificate is good are let in, where they must show one; and the origin knows whose it is.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::house::{DUE, behind, wait_metric};
use crate::support::Leeward;
use crate::support::pki::{Authority, Made, asked, replace};

fn home() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

/// In front of the sick origin, which tells what it was sent at `/headers`.
fn with(clients: &str) -> Leeward {
    behind(
        &[],
        &format!("[edge.tls]\nreread_every = \"1s\"\n[edge.tls.clients]\n{clients}"),
    )
}

fn ask(leeward: &Leeward, shown: Option<&Made>) -> io::Result<String> {
    asked(leeward.edge(), Made::client(shown), "/headers")
}

fn is_refused(leeward: &Leeward, shown: Option<&Made>, why: &str) {
    let error = ask(leeward, shown).expect_err("no answer");
    assert!(
        error.to_string().contains("received fatal alert"),
        "{error}"
    );
    leeward.wait_log(&format!("its certificate is not taken: {why}"), DUE);
}

#[test]
fn a_client_shows_a_certificate_or_is_refused_and_the_origin_is_told_whose_it_is() {
    let (home, authority) = (home(), Authority::named("Client CA"));
    let ca = home.path().join("ca.pem");
    fs::write(&ca, authority.pem()).expect("a file");
    let leeward = with(&format!("ca = {ca:?}\n"));
    let alice = authority.good(&["alice"]);
    let answer = ask(&leeward, Some(&alice)).expect("an answer");
    let sent = answer.to_ascii_lowercase();
    assert!(sent.contains("x-client-cert-subject: cn=alice"), "{answer}");
    assert!(sent.contains("client-cert: :mii"), "{answer}");
    assert!(!sent.contains("forged"), "{answer}");

    is_refused(&leeward, None, "it shows none");
    let stranger = Authority::named("Other CA").good(&["alice"]);
    is_refused(
        &leeward,
        Some(&stranger),
        "nobody in edge.tls.clients.ca has signed it",
    );
    let expired = authority.sign(&["alice"], -90, -2);
    is_refused(&leeward, Some(&expired), "it has expired");
    let early = authority.sign(&["alice"], 2, 90);
    is_refused(&leeward, Some(&early), "it is not valid yet");
    let text = leeward.status_get("/status.json").text();
    let status: Value = serde_json::from_str(&text).expect("a snapshot");
    assert_eq!(status["traffic"]["connections"]["clients_unproven"], 4);
    let metrics = leeward.status_get("/metrics").text();
    assert!(
        metrics.contains("leeward_clients_unproven_total 4"),
        "{metrics}"
    );
}

#[test]
fn a_crowd_whose_certificates_are_not_taken_cannot_fill_the_log() {
    let (home, authority) = (home(), Authority::named("Client CA"));
    let ca = home.path().join("ca.pem");
    fs::write(&ca, authority.pem()).expect("a file");
    let mut leeward = with(&format!("ca = {ca:?}\n"));
    for _ in 0..50 {
        ask(&leeward, None).expect_err("no answer");
    }
    let unproven = "leeward_clients_unproven_total 50";
    let begun = Instant::now();
    while !leeward.status_get("/metrics").text().contains(unproven) {
        assert!(begun.elapsed() < DUE, "it is not counted");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(leeward.terminate().success());
    let told = leeward.stderr();
    let more =
        "and 30 more like this in the last 60 s: client, handshake: its certificate is not taken";
    assert!(told.contains(more), "{told}");
    let lines = told.matches("its certificate is not taken: it shows none");
    assert_eq!(lines.count(), 21, "20 and the one that tells of the rest");
}

/// Who resumes a session is not verified again by rustls: so sessions end with a change of the lists.
#[test]
fn a_revoked_certificate_is_refused_as_soon_as_the_list_says_so_and_no_ticket_helps() {
    let (home, authority) = (home(), Authority::named("Client CA"));
    let at = |name: &str| home.path().join(name);
    fs::write(at("ca.pem"), authority.pem()).expect("a file");
    let [alice, bob] = ["alice", "bob"].map(|name| authority.good(&[name]));
    fs::write(at("crl.pem"), authority.revoked(&[&bob])).expect("a file");
    let leeward = with(&format!(
        "ca = {:?}\ncrl = {:?}\n",
        at("ca.pem"),
        at("crl.pem")
    ));
    // It keeps the tickets it is given.
    let client = Made::client(Some(&alice));
    let get = || asked(leeward.edge(), client.clone(), "/headers");
    assert!(get().expect("an answer").contains("200 OK"));
    assert!(get().expect("an answer").contains("200 OK"));
    is_refused(&leeward, Some(&bob), "it is revoked");

    // A list that cannot be read changes nothing.
    replace(&at("crl.pem"), "nothing");
    leeward.wait_log("client certificates are still judged as before", DUE);
    // It is shown a moment after it is said.
    wait_metric(
        &leeward,
        "leeward_certificate_faulty{certificate=\"edge.tls.clients\"} 1",
    );
    let status = leeward.status_get("/status.json").text();
    let status: Value = serde_json::from_str(&status).expect("a snapshot");
    let fault = status["client_certificates"]["fault"].to_string();
    assert!(fault.contains("edge.tls.clients.crl"), "{status:#}");
    assert_eq!(
        status["certificates"][0]["fault"],
        Value::Null,
        "the other is well"
    );
    let well = "leeward_certificate_faulty{certificate=\"edge.tls\"} 0";
    wait_metric(&leeward, well);
    assert!(get().expect("an answer").contains("200 OK"));
    is_refused(&leeward, Some(&bob), "it is revoked");
    replace(&at("crl.pem"), &authority.revoked(&[&alice]));
    let begun = Instant::now();
    while get().is_ok() {
        assert!(begun.elapsed() < DUE, "it is let in still");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(
        ask(&leeward, Some(&bob))
            .expect("an answer")
            .contains("200 OK")
    );
}

#[test]
fn where_it_is_not_required_a_client_may_show_none_and_nobody_forges_one() {
    let (home, authority) = (home(), Authority::named("Client CA"));
    let ca = home.path().join("ca.pem");
    fs::write(&ca, authority.pem()).expect("a file");
    let leeward = with(&format!("ca = {ca:?}\nrequired = false\n"));
    let answer = ask(&leeward, None).expect("an answer").to_ascii_lowercase();
    assert!(answer.contains("200 ok"), "{answer}");
    assert!(!answer.contains("client-cert"), "{answer}");
    let alice = authority.good(&["alice"]);
    let answer = ask(&leeward, Some(&alice))
        .expect("an answer")
        .to_ascii_lowercase();
    assert!(
        answer.contains("x-client-cert-subject: cn=alice"),
        "{answer}"
    );
    let stranger = Authority::named("Other CA").good(&["alice"]);
    is_refused(
        &leeward,
        Some(&stranger),
        "nobody in edge.tls.clients.ca has signed it",
    );
}
