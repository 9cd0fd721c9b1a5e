//! The page as text: what is on it, and what its policy rests on.

use super::super::tests::hung;
use super::*;
use crate::ground::client_certificate::base64;

fn page() -> String {
    render(&hung(), &[], Instant::now())
}

#[test]
fn what_anybody_wrote_stays_text() {
    let page = page();
    assert!(page.contains("POST /reports/&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(page.contains("&lt;b&gt;no sign of life"));
    assert!(page.contains("failed &lt;here&gt;"));
    assert!(page.contains("10.0.0.7 &amp; reads &quot;nothing&quot;"));
    assert_eq!(page.matches("<script").count(), 1, "our own");
}

#[test]
fn the_fault_of_a_list_of_the_clients_is_told_as_its_own() {
    let page = page();
    let wanted = "<dt>client certificates</dt><dd>each client must show one, judged by /etc/leeward/ca.pem, \
         /etc/leeward/crl.pem; what is in these files now was NOT TAKEN: edge.tls.clients.crl: it &lt;breaks&gt; off";
    assert!(page.contains(wanted), "{page}");
    let (_, certificate) = page
        .split_once("<dt>certificate</dt>")
        .expect("one is shown");
    let (certificate, _) = certificate.split_once("</dd>").expect("an end");
    assert!(!certificate.contains("clients.crl"), "{certificate}");
}

#[test]
fn the_state_is_a_word_a_colour_and_a_sign() {
    let page = page();
    assert!(page.contains("<title>Hung – Leeward</title>"));
    assert!(page.contains("<h1 id=\"word\">Hung</h1>"));
    assert!(page.contains("<body class=\"bad\">"));
    assert!(page.contains("Requests are held, perhaps for another 400 ms."));
    assert!(page.contains("href=\"/incidents/20260131T081530.000Z-2-hung-blocked\""));
    assert!(!page.contains("{{") && !page.contains("}}"));
}

/// A piece without a place would be sent for nothing, a place without a piece would grow old.
#[test]
fn each_piece_has_its_place_and_each_place_its_piece() {
    let pieces = pieces(&hung(), &[], Instant::now());
    for (name, _) in &pieces {
        assert!(TEMPLATE.contains(&format!("{{{{{name}}}}}")), "{name}");
        let is_live = TEMPLATE.contains(&format!("data-live=\"{name}\""));
        assert!(is_live || ["title", "mood"].contains(name), "{name}");
    }
    let places = TEMPLATE.matches("data-live=").count();
    assert_eq!(places, pieces.len() - 2);
}

#[test]
fn the_policy_names_the_hash_of_the_style_and_of_the_script() {
    for (kind, content) in [("style", STYLE), ("script", SCRIPT)] {
        // What the template puts before it is a part of it.
        let wanted = format!(
            "{kind}-src 'sha256-{}'",
            base64(&sha256(&format!("\n{content}")))
        );
        assert!(POLICY.contains(&wanted), "it is new; write {wanted}");
    }
    for template in [TEMPLATE, PLAIN] {
        assert!(!template.contains("style="), "the policy forbids it");
        assert!(!template.contains(" on"), "the policy forbids it");
    }
}

fn sha256(text: &str) -> Vec<u8> {
    use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
    let suite = TLS13_AES_128_GCM_SHA256.tls13().unwrap();
    let hash = suite.common.hash_provider.hash(text.as_bytes());
    hash.as_ref().to_vec()
}
