//! Which certificate a client is shown: by the name that it asks for.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::certificate::Certificate;
use crate::config::settings::UnknownName;

/// Certificates by the names they are for.
#[derive(Debug)]
pub struct ByName {
    exact: Names,
    /// By what stands behind the star and its dot.
    wildcard: Names,
    default: Arc<CertifiedKey>,
    unknown: UnknownName,
}

type Names = HashMap<String, Vec<Arc<CertifiedKey>>>;

impl ByName {
    /// Of these, `default` is shown where none fits. The first of several for one name is preferred, and the default to
    /// all others.
    pub fn new<'a>(
        default: &'a Certificate,
        others: impl Iterator<Item = &'a Certificate>,
        unknown: UnknownName,
    ) -> Self {
        let mut it = Self {
            exact: Names::new(),
            wildcard: Names::new(),
            default: default.key.clone(),
            unknown,
        };
        for certificate in std::iter::once(default).chain(others) {
            for name in &certificate.names {
                let (names, name) = match name.strip_prefix("*.") {
                    Some(domain) => (&mut it.wildcard, domain),
                    None => (&mut it.exact, name.as_str()),
                };
                let there = names.entry(name.to_owned()).or_default();
                there.push(certificate.key.clone());
            }
        }
        it
    }

    /// What is shown to a client that asks for `name` and can verify signatures of these `schemes`.
    pub fn of(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let fitting = name.and_then(|name| {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            let domain = name.split_once('.').map(|(_, domain)| domain);
            let wildcard = || self.wildcard.get(domain?);
            self.exact.get(&name).or_else(wildcard)
        });
        let Some(fitting) = fitting else {
            return match self.unknown {
                UnknownName::Default => Some(self.default.clone()),
                UnknownName::Refuse => None,
            };
        };
        let can = |it: &&Arc<CertifiedKey>| it.key.choose_scheme(schemes).is_some();
        fitting.iter().find(can).or(fitting.first()).cloned()
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.of(hello.server_name(), hello.signature_schemes())
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use rustls::crypto::aws_lc_rs::sign::any_supported_type;
    use rustls::pki_types::PrivatePkcs8KeyDer;

    use super::*;

    fn certificate(names: &[&str]) -> Certificate {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names.clone()).unwrap();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let key = any_supported_type(&key.into()).unwrap();
        let chain = vec![made.cert.der().clone()];
        Certificate {
            key: Arc::new(CertifiedKey::new(chain, key)),
            names,
            issuer: String::new(),
            validity: (SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH),
            doubts: Vec::new(),
        }
    }

    #[test]
    fn an_exact_name_goes_before_a_wildcard_and_a_wildcard_stands_for_one_label() {
        let default = certificate(&["a.test"]);
        let wildcard = certificate(&["*.b.test", "b.test"]);
        let exact = certificate(&["www.b.test"]);
        let all = [wildcard.clone(), exact.clone()];
        let of = |unknown, name: Option<&str>| {
            let names = ByName::new(&default, all.iter(), unknown);
            names.of(name, &[SignatureScheme::ECDSA_NISTP256_SHA256])
        };
        let shown = |name, it: &Certificate| {
            let shown = of(UnknownName::Default, name).expect("one is shown");
            assert!(Arc::ptr_eq(&shown, &it.key), "{name:?}");
        };
        shown(Some("a.test"), &default);
        shown(Some("WWW.B.test."), &exact);
        shown(Some("mail.b.test"), &wildcard);
        shown(Some("b.test"), &wildcard);
        shown(Some("deep.mail.b.test"), &default);
        shown(Some("other.test"), &default);
        shown(None, &default);
        for unknown in [Some("other.test"), None] {
            assert!(of(UnknownName::Refuse, unknown).is_none(), "{unknown:?}");
        }
        assert!(of(UnknownName::Refuse, Some("a.test")).is_some());
    }
}
