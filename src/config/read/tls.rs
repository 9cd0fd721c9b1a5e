//! The keys of `[edge.tls]`.

use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use crate::config::raw::Section;
use crate::config::settings::{Clients, Identity, Pair, Tls, TlsVersion, UnknownName};
use crate::config::value::{self, Judged, Wrong, path, span};

use super::DAY;

/// `[edge.tls]`
pub fn tls(mut section: Section<'_, '_, '_>) -> Tls {
    let mut it = Tls::default();
    let pair = pair(&mut section);
    let words = [
        ("default", UnknownName::Default),
        ("refuse", UnknownName::Refuse),
    ];
    section.set("unknown_name", &mut it.unknown_name, |v| {
        value::word(v, &words)
    });
    section.set("reread_every", &mut it.reread_every, |v| {
        value::or_off(v, span(Duration::from_secs(1), DAY))
    });
    let versions = [("1.2", TlsVersion::V1_2), ("1.3", TlsVersion::V1_3)];
    section.set("min_version", &mut it.oldest, |v| value::word(v, &versions));
    it.clients = clients(section.section("edge.tls.clients"));
    it.others = section
        .sections("edge.tls.certificates")
        .into_iter()
        .filter_map(other)
        .collect();
    it.identity = match pair {
        Some(pair) => Identity::Files(pair),
        // Nobody means the one for localhost who has some: the first stands in.
        None if !it.others.is_empty() => Identity::Files(it.others.remove(0)),
        None => Identity::SelfSigned,
    };
    section.finish();
    it
}

/// `[edge.tls.clients]`
fn clients(mut section: Section<'_, '_, '_>) -> Option<Clients> {
    let ca = section.take("ca", path("/etc/leeward/tls/clients-ca.pem"));
    let (mut crl, mut required) = (Vec::new(), true);
    section.set("crl", &mut crl, paths);
    section.set("required", &mut required, value::switch);
    if section.is_present() && !section.says("ca") {
        let remedy = "add ca = \"/etc/leeward/tls/clients-ca.pem\", the authorities that sign them";
        let message = "client certificates without anybody who may have signed them";
        section.complain("ca", Wrong::new(message, remedy));
    }
    section.finish();
    Some(Clients {
        ca: ca?,
        crl,
        required,
    })
}

/// One file, or several.
fn paths(value: &DeValue<'_>) -> Judged<Vec<PathBuf>> {
    let one = path("/etc/leeward/tls/clients.crl");
    match value.as_array() {
        None => Ok(vec![one(value)?]),
        Some(many) => many.iter().map(|it| value::part(it, &one)).collect(),
    }
}

/// One of `[[edge.tls.certificates]]`.
fn other(mut section: Section<'_, '_, '_>) -> Option<Pair> {
    let pair = pair(&mut section);
    if !section.says("certificate") && !section.says("key") {
        let remedy = "add certificate = \"/etc/leeward/tls/other.pem\" and its key";
        let wrong = Wrong::new("neither a certificate nor a key", remedy);
        section.complain("certificate", wrong);
    }
    section.finish();
    pair
}

/// Both, or neither.
fn pair(section: &mut Section<'_, '_, '_>) -> Option<Pair> {
    let certificate = section.take("certificate", path("/etc/leeward/tls/chain.pem"));
    let key = section.take("key", path("/etc/leeward/tls/key.pem"));
    match (certificate, key) {
        (Some(certificate), Some(key)) => return Some(Pair { certificate, key }),
        (Some(_), None) if !section.says("key") => section.complain(
            "certificate",
            Wrong::new(
                "a certificate without its key",
                "add key = \"/etc/leeward/tls/key.pem\" beside it",
            ),
        ),
        (None, Some(_)) if !section.says("certificate") => section.complain(
            "key",
            Wrong::new(
                "a key without its certificate",
                "add certificate = \"/etc/leeward/tls/chain.pem\" beside it",
            ),
        ),
        _ => {}
    }
    None
}
