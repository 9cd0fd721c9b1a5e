//! Certificates for tests: an authority of their own, files in PEM, and clients that tell whose certificate they were shown.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    IsCa, KeyIdMethod, KeyPair, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::tls;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Of the next certificate.
static SERIAL: AtomicU64 = AtomicU64::new(1000);
const PATIENCE: Duration = Duration::from_secs(20);

/// Who signs certificates.
pub struct Authority(pub CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key.
pub struct Made {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: KeyPair,
    pub serial: SerialNumber,
}

impl Authority {
    /// One with this name.
    pub fn named(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Authority(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    /// Signs a certificate for these names that became good so many days after today, and is no more after so many.
    pub fn sign(&self, names: &[&str], from: i64, until: i64) -> Made {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names.clone()).expect("names");
        let common = names.first().map_or("nobody", |name| name);
        params.distinguished_name.push(DnType::CommonName, common);
        params.serial_number = Some(SerialNumber::from(SERIAL.fetch_add(1, Ordering::Relaxed)));
        params.not_before = date_time_ymd(1970, 1, 1) + after_today(from);
        params.not_after = date_time_ymd(1970, 1, 1) + after_today(until);
        let key = KeyPair::generate().expect("a key");
        let leaf = params.signed_by(&key, &self.0).expect("a certificate");
        Made {
            serial: params.serial_number.expect("a number"),
            chain: vec![leaf.der().clone(), self.0.der().clone()],
            key,
        }
    }

    /// One for these names that is good for a year.
    pub fn good(&self, names: &[&str]) -> Made {
        self.sign(names, -1, 365)
    }
}

impl Authority {
    /// Its own certificate, in PEM.
    pub fn pem(&self) -> String {
        pem("CERTIFICATE", self.0.der())
    }

    /// A list of what it has revoked, good for a day, in PEM.
    pub fn revoked(&self, revoked: &[&Made]) -> String {
        let now = date_time_ymd(1970, 1, 1) + after_today(0);
        let one = |made: &&Made| RevokedCertParams {
            serial_number: made.serial.clone(),
            revocation_time: now,
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: now,
            next_update: now + DAY,
            crl_number: SerialNumber::from(1u64),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(one).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        pem("X509 CRL", list.signed_by(&self.0).expect("a list").der())
    }
}

impl Made {
    /// A client that shows it, and one that shows none.
    pub fn client(shown: Option<&Made>) -> Arc<ClientConfig> {
        let mut config = (*tls::config(&[&TLS13, &TLS12], &["http/1.1"])).clone();
        if let Some(made) = shown {
            let provider = rustls::crypto::aws_lc_rs::default_provider();
            let key = provider.key_provider.load_private_key(made.private_key());
            let key = CertifiedKey::new(made.chain.clone(), key.expect("a key"));
            config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(key));
        }
        Arc::new(config)
    }

    /// Writes both files, `name.pem` and `name.key`, each at once.
    pub fn write(&self, directory: &Path, name: &str) -> (PathBuf, PathBuf) {
        let chain = directory.join(format!("{name}.pem"));
        let key = directory.join(format!("{name}.key"));
        let certificates: Vec<_> = self.chain.iter().map(|it| pem("CERTIFICATE", it)).collect();
        replace(&key, &pem("PRIVATE KEY", self.key.serialized_der()));
        replace(&chain, &certificates.concat());
        (chain, key)
    }

    /// The same, as `certificate` and `key` of a configuration.
    pub fn configured(&self, directory: &Path, name: &str) -> String {
        let (chain, key) = self.write(directory, name);
        format!("certificate = {chain:?}\nkey = {key:?}\n")
    }

    /// For a client that shows it.
    pub fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialized_der().to_vec()).into()
    }
}

/// Puts a file in the place of another by a rename.
pub fn replace(path: &Path, text: &str) {
    let next = path.with_extension("next");
    fs::write(&next, text).expect("a file can be written");
    fs::rename(&next, path).expect("a file can be renamed");
}

/// PEM (RFC 7468).
pub fn pem(label: &str, der: &[u8]) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in der.chunks(3) {
        let mut whole = [0; 4];
        whole[1..=three.len()].copy_from_slice(three);
        let bits = u32::from_be_bytes(whole);
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place)) as usize & 63];
            let is_there = place <= three.len();
            text.push(if is_there { char::from(letter) } else { '=' });
        }
    }
    let lines: Vec<_> = text
        .as_bytes()
        .chunks(64)
        .map(String::from_utf8_lossy)
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

/// The leaf that a client is shown that asks for this name, over the newest TLS.
pub fn shown(edge: SocketAddr, name: Option<&str>) -> io::Result<CertificateDer<'static>> {
    let mut config = (*tls::config(&[&TLS13, &TLS12], &["http/1.1"])).clone();
    config.enable_sni = name.is_some();
    let (stream, _) = shake(edge, Arc::new(config), name.unwrap_or("localhost"), "/")?;
    let chain = stream.conn.peer_certificates().expect("a chain");
    Ok(chain[0].clone())
}

/// A finished handshake by this configuration, and the answer to a GET of this path that brings forged fields.
pub fn asked(edge: SocketAddr, config: Arc<ClientConfig>, path: &str) -> io::Result<String> {
    let (_, answer) = shake(edge, config, "localhost", path)?;
    Ok(answer)
}

fn shake(
    edge: SocketAddr,
    config: Arc<ClientConfig>,
    name: &str,
    path: &str,
) -> io::Result<(StreamOwned<ClientConnection, TcpStream>, String)> {
    let socket = TcpStream::connect(edge)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let session = ClientConnection::new(config, name).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(session, socket);
    // In TLS 1.3 a refusal of the client comes after its end of the handshake: only an answer is proof.
    let ask = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nClient-Cert: :forged:\r\nX-Client-Cert-Subject: CN=forged\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(ask.as_bytes())?;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if answer.is_empty() => return Err(error),
        _ => {}
    }
    Ok((stream, String::from_utf8_lossy(&answer).into_owned()))
}

fn after_today(days: i64) -> Duration {
    let today = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let today = today.expect("it is after 1970");
    let length = DAY * u32::try_from(days.unsigned_abs()).expect("few days");
    match days < 0 {
        true => today - length,
        false => today + length,
    }
}
