//! A chain and its key, and what the leaf says of itself.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::TlsError;
use crate::config::settings::Pair;

/// A chain with the key of its leaf.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// As rustls uses it.
    pub key: Arc<CertifiedKey>,
    /// The names it is for, in lower case.
    pub names: Vec<String>,
    /// Who it says has signed it.
    pub issuer: String,
    /// From when until when it is good.
    pub validity: (SystemTime, SystemTime),
    /// What some clients may stumble over.
    pub doubts: Vec<String>,
}

/// In days; browsers refuse what is good for 398 or more.
const LIFE: i32 = 397;

type X509 = CertificateInner<Raw>;

/// Tells of the certificate that is made here, where there is no `pair` of files.
pub fn tell_made(pair: Option<&Pair>) {
    if pair.is_none() {
        tracing::warn!(
            "the certificate is self-signed, for localhost, and made anew at each start and before its end: browsers \
             will warn; set edge.tls.certificate and edge.tls.key"
        );
    }
}

impl Certificate {
    /// From its files; `section` is where they are named.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn read(section: &str, pair: &Pair) -> Result<Self, TlsError> {
        let wrong = |key: &str, path: &Path, cause: String| TlsError::File {
            key: format!("{section}.{key}"),
            path: path.to_owned(),
            cause,
        };
        let bad_chain = |cause| wrong("certificate", &pair.certificate, cause);
        let chain: Vec<_> = CertificateDer::pem_file_iter(&pair.certificate)
            .and_then(Iterator::collect)
            .map_err(|error| bad_chain(in_words(&error)))?;
        if chain.is_empty() {
            return Err(bad_chain("there is no certificate in it".to_owned()));
        }
        let key = PrivateKeyDer::from_pem_file(&pair.key)
            .map_err(|error| wrong("key", &pair.key, in_words(&error)))?;
        let certified = certified(section, chain, key)?;
        Self::of(certified).map_err(bad_chain)
    }

    /// One for localhost, good from a day before `now` for as long as browsers take one to be: 397 days.
    ///
    /// # Errors
    /// [`TlsError::SelfSigned`].
    pub fn self_signed(now: SystemTime) -> Result<Self, TlsError> {
        let failed = |error: &dyn std::fmt::Display| TlsError::SelfSigned(error.to_string());
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let mut wanted = rcgen::CertificateParams::new(names).map_err(|error| failed(&error))?;
        let today = Timestamp::try_from(now).map_err(|error| failed(&error))?;
        let today = TimeZone::UTC.to_datetime(today).date();
        let day = |days: i32| {
            let day = today.checked_add(Span::new().days(days));
            day.map(|it| rcgen::date_time_ymd(it.year().into(), it.month() as u8, it.day() as u8))
        };
        wanted.not_before = day(-1).map_err(|error| failed(&error))?;
        wanted.not_after = day(LIFE - 1).map_err(|error| failed(&error))?;
        let key = rcgen::KeyPair::generate().map_err(|error| failed(&error))?;
        let made = wanted.self_signed(&key).map_err(|error| failed(&error))?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let chain = vec![made.der().clone()];
        let certified = certified("edge.tls", chain, key.into())?;
        Self::of(certified).map_err(|cause| failed(&cause))
    }

    /// Whether both show the same chain.
    pub fn is_same(&self, other: &Self) -> bool {
        self.key.cert == other.key.cert
    }

    fn of(key: CertifiedKey) -> Result<Self, String> {
        let mut chain = Vec::new();
        for (place, der) in (1..).zip(&key.cert) {
            let read = X509::from_der(der);
            chain.push(read.map_err(|error| format!("certificate {place} in it: {error}"))?);
        }
        let leaf = chain[0].tbs_certificate();
        let names = names(&chain[0])?;
        let mut doubts = misordered(&chain);
        if names.is_empty() {
            doubts.push(
                "it has no subject alternative name, and browsers look at no other".to_owned(),
            );
        }
        let validity = leaf.validity();
        Ok(Self {
            names,
            issuer: leaf.issuer().to_string(),
            validity: (
                validity.not_before.to_system_time(),
                validity.not_after.to_system_time(),
            ),
            doubts,
            key: Arc::new(key),
        })
    }
}

fn certified(
    section: &str,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, TlsError> {
    let rejected = |cause| TlsError::Rejected {
        section: section.to_owned(),
        cause,
    };
    let provider = aws_lc_rs::default_provider();
    let key = provider.key_provider.load_private_key(key);
    let certified = CertifiedKey::new(chain, key.map_err(rejected)?);
    let section = section.to_owned();
    match certified.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(Error::InconsistentKeys(_)) => Err(match owner(&certified) {
            Some(place) => TlsError::Misplaced { section, place },
            None => TlsError::Strangers { section },
        }),
        Err(cause) => Err(TlsError::Rejected { section, cause }),
    }
}

/// What is wrong with a PEM file.
pub fn in_words(error: &pem::Error) -> String {
    match error {
        pem::Error::IllegalSectionStart { .. } | pem::Error::MissingSectionEnd { .. } => {
            "it breaks off in the middle of a section".to_owned()
        }
        pem::Error::NoItemsFound => "there is nothing of the kind in it".to_owned(),
        pem::Error::Io(error) => error.to_string(),
        other => other.to_string(),
    }
}

/// The certificate of the chain that the key belongs to, from 1.
fn owner(certified: &CertifiedKey) -> Option<usize> {
    let fits = |one: &CertificateDer<'static>| {
        let alone = CertifiedKey::new(vec![one.clone()], certified.key.clone());
        alone.keys_match().is_ok()
    };
    certified.cert.iter().position(fits).map(|place| place + 1)
}

/// The alternative names of the subject: of hosts, and addresses.
fn names(leaf: &X509) -> Result<Vec<String>, String> {
    let found = leaf.tbs_certificate().get_extension::<SubjectAltName>();
    let found = found.map_err(|error| format!("its subject alternative names: {error}"))?;
    let names = found.map(|(_, names)| names.0).unwrap_or_default();
    Ok(names.iter().filter_map(name).collect())
}

fn name(general: &GeneralName) -> Option<String> {
    match general {
        GeneralName::DnsName(name) => Some(name.as_str().to_ascii_lowercase()),
        GeneralName::IpAddress(bytes) => {
            let bytes = bytes.as_bytes();
            let four = <[u8; 4]>::try_from(bytes).map(|it| Ipv4Addr::from(it).to_string());
            let sixteen = <[u8; 16]>::try_from(bytes).map(|it| Ipv6Addr::from(it).to_string());
            four.or(sixteen).ok()
        }
        _ => None,
    }
}

/// Each is to be signed by the next.
fn misordered(chain: &[X509]) -> Vec<String> {
    let mut doubts = Vec::new();
    for (place, pair) in (1..).zip(chain.windows(2)) {
        let (issuer, next) = (
            pair[0].tbs_certificate().issuer(),
            pair[1].tbs_certificate().subject(),
        );
        if issuer != next {
            doubts.push(format!(
                "the chain is not in order: certificate {place} was signed by `{issuer}`, and certificate {} is `{next}`; \
                 put the one that signed it there, or take it out",
                place + 1
            ));
        }
    }
    doubts
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Term;
    use super::*;

    #[test]
    fn one_of_our_own_is_good_at_once_and_for_no_longer_than_browsers_take() {
        const DAY: Duration = Duration::from_secs(86_400);
        // A leap day on its way, and a machine whose clock was never set.
        for now in [1_835_308_800, 0] {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(now) + DAY;
            let made = Certificate::self_signed(now).expect("it is made");
            let (from, until) = made.validity;
            assert!(from <= now - DAY, "{from:?}");
            assert_eq!(until.duration_since(from).expect("later"), DAY * 397);
            assert!(matches!(Term::of(made.validity, now), Term::Good(_)));
            assert_eq!(made.names, ["localhost", "127.0.0.1", "::1"]);
        }
    }
}
