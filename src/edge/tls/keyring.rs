//! Has the certificates, and takes what changes in their files when it is good; what was good last is shown until then.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ProducesTickets, WebPkiClientVerifier};

use super::by_name::ByName;
use super::certificate::{Certificate, tell_made};
use super::clients::Trusted;
use super::look::Look;
use super::term::{Term, Told};
use super::{ALPN, Shown, Spoken, TlsError, TlsFaults};
use crate::config::settings::{self, Identity, Pair, TlsVersion};
use crate::ground::published::Published;

/// Every certificate there is, and how TLS is spoken with them.
pub struct Keyring {
    settings: settings::Tls,
    /// The default first.
    held: Vec<Held>,
    ticketer: Arc<dyn ProducesTickets>,
    clients: Option<Trusted>,
    spoken: Spoken,
}

/// What a reload has read and judged, and not taken yet.
pub struct Prepared {
    settings: settings::Tls,
    held: Vec<Held>,
    clients: Option<Trusted>,
    ticketer: Arc<dyn ProducesTickets>,
    config: Arc<ServerConfig>,
}

/// One certificate, and how it stands with its files.
struct Held {
    section: String,
    pair: Option<Pair>,
    certificate: Certificate,
    /// What its files looked like when they were read last.
    looked: Option<Look>,
    fault: Option<String>,
    told: Told,
}

impl Keyring {
    /// Reads all files. Blocks.
    ///
    /// # Errors
    /// [`TlsFaults`]: all of them.
    pub fn open(settings: &settings::Tls) -> Result<Self, TlsFaults> {
        let (held, clients) = read(settings)?;
        held.iter().for_each(|it| tell_made(it.pair.as_ref()));
        let failed = |section: &str, cause| {
            let section = section.to_owned();
            TlsFaults(vec![TlsError::Rejected { section, cause }])
        };
        let ticketer = aws_lc_rs::Ticketer::new().map_err(|cause| failed("edge.tls", cause))?;
        let config = server(settings, &held, clients.as_ref(), &ticketer);
        let config = config.map_err(|cause| failed("edge.tls", cause))?;
        let spoken = Spoken {
            config: Published::new(config),
            shown: Published::new(Arc::new(shown(&held))),
            trust: Published::new(Arc::new(clients.as_ref().map(Trusted::told))),
        };
        Ok(Self {
            settings: settings.clone(),
            held,
            ticketer,
            clients,
            spoken,
        })
    }

    /// How TLS is spoken, now and later.
    pub fn spoken(&self) -> &Spoken {
        &self.spoken
    }

    /// What clients may stumble over, though TLS can be spoken: a certificate that has expired, a chain that is not in
    /// order.
    pub fn doubts(&self, now: SystemTime) -> Vec<String> {
        let mut doubts = Vec::new();
        for held in &self.held {
            let term = Term::of(held.certificate.validity, now);
            if !matches!(term, Term::Good(_)) {
                doubts.push(held.says(term));
            }
            let told = |doubt: &String| format!("{}.certificate: {doubt}", held.section);
            doubts.extend(held.certificate.doubts.iter().map(told));
        }
        doubts
    }

    /// Takes what has changed in the files and is good, each pair for itself, and tells what becomes of each in the log.
    /// Blocks.
    pub fn look(&mut self, now: SystemTime) {
        let mut has_changed = false;
        for held in &mut self.held {
            let before = held.fault.clone();
            let taken = held.look(now);
            has_changed |= taken || before != held.fault;
            match &held.fault {
                Some(fault) if before != held.fault => tracing::error!(
                    "a certificate was not taken, and the last good one is still shown: {fault}"
                ),
                None if before.is_some() && !taken => {
                    tracing::info!("{}: its files are good again", held.section);
                }
                _ => {}
            }
        }
        if let Some(clients) = &mut self.clients {
            let before = clients.fault().cloned();
            let taken = clients.look(now);
            has_changed |= taken || before.as_ref() != clients.fault();
            if taken {
                // Who resumes a session is not verified again.
                match aws_lc_rs::Ticketer::new() {
                    Ok(ticketer) => self.ticketer = ticketer,
                    Err(error) => tracing::error!(%error, "edge.tls.clients: no new tickets"),
                }
            }
        }
        if has_changed {
            self.publish();
        }
        self.tell(now);
    }

    /// Reads all files anew, as these settings name them. Blocks.
    ///
    /// # Errors
    /// [`TlsFaults`]: all of them; one that has expired is a fault where the one that is shown in its place has not.
    pub fn prepare(
        &self,
        settings: &settings::Tls,
        now: SystemTime,
    ) -> Result<Prepared, TlsFaults> {
        let (held, clients) = read(settings)?;
        let there = |section: &str| self.held.iter().find(|held| held.section == section);
        let useless = held.iter().filter_map(|next| {
            let term = Term::of(next.certificate.validity, now);
            let is_there = Term::of(there(&next.section)?.certificate.validity, now).is_good();
            let section = next.section.clone();
            (is_there && !term.is_good()).then_some(TlsError::Useless { section, term })
        });
        let useless: Vec<_> = useless.collect();
        if !useless.is_empty() {
            return Err(TlsFaults(useless));
        }
        let rejected = |cause| {
            let section = "edge.tls".to_owned();
            TlsFaults(vec![TlsError::Rejected { section, cause }])
        };
        // Who resumes a session is not verified again: where clients are, tickets begin anew with each reload.
        let ticketer = match clients.is_some() || self.clients.is_some() {
            true => aws_lc_rs::Ticketer::new().map_err(rejected)?,
            false => self.ticketer.clone(),
        };
        let config = server(settings, &held, clients.as_ref(), &ticketer).map_err(rejected)?;
        Ok(Prepared {
            settings: settings.clone(),
            held,
            clients,
            ticketer,
            config,
        })
    }

    /// Shows what was prepared from now on.
    pub fn commit(&mut self, prepared: Prepared, now: SystemTime) {
        let Prepared {
            settings,
            held,
            clients,
            ticketer,
            config,
        } = prepared;
        (self.settings, self.clients, self.ticketer) = (settings, clients, ticketer);
        // One that is self-signed is made at the start, and not at each reload.
        let before = std::mem::replace(&mut self.held, held);
        let is_kept = |held: &&mut Held| held.pair.is_none();
        let made = before.into_iter().find(|held| held.pair.is_none());
        if let (Some(next), Some(made)) = (self.held.iter_mut().find(is_kept), made) {
            *next = made;
            self.publish();
        } else {
            self.held.iter().for_each(|it| tell_made(it.pair.as_ref()));
            self.spoken.config.replace(config);
            self.show();
        }
        self.tell(now);
    }

    /// Tells what expires soon, once a day; one of our own is made anew instead.
    pub fn tell(&mut self, now: SystemTime) {
        let own = self.held.iter_mut().filter(|held| held.pair.is_none());
        let made = own.filter_map(|held| held.make_anew(now).then_some(()));
        if made.count() > 0 {
            self.publish();
        }
        for held in &mut self.held {
            let term = Term::of(held.certificate.validity, now);
            if !held.told.is_due(term, now) {
                continue;
            }
            let told = held.says(term);
            match term {
                Term::Expired(_) | Term::NotYet(_) => tracing::error!("{told}"),
                _ => tracing::warn!("{told}"),
            }
        }
    }

    /// From now on the certificates held are shown. Tickets stay good: they name no certificate.
    fn publish(&mut self) {
        let clients = self.clients.as_ref();
        match server(&self.settings, &self.held, clients, &self.ticketer) {
            Ok(config) => self.spoken.config.replace(config),
            Err(error) => tracing::error!(%error, "edge.tls: what was read cannot be used"),
        }
        self.show();
    }

    /// Tells what is shown and who is trusted from now on.
    fn show(&self) {
        self.spoken.shown.replace(Arc::new(shown(&self.held)));
        let trust = self.clients.as_ref().map(Trusted::told);
        self.spoken.trust.replace(Arc::new(trust));
    }
}

impl Held {
    /// Looks at the files and reads them where they have changed; whether there is another certificate then.
    fn look(&mut self, now: SystemTime) -> bool {
        let Some(pair) = &self.pair else {
            return false;
        };
        let look = look(pair);
        // What was faulty is read every time: it may have been read while it was written.
        if self.fault.is_none() && self.looked.as_ref() == Some(&look) {
            return false;
        }
        self.looked = look.is_settled(now).then_some(look);
        let read = Certificate::read(&self.section, pair).and_then(|next| {
            let term = |it: &Certificate| Term::of(it.validity, now);
            let section = self.section.clone();
            match (term(&self.certificate), term(&next)) {
                (there, term) if there.is_good() && !term.is_good() => {
                    Err(TlsError::Useless { section, term })
                }
                _ => Ok(next),
            }
        });
        match read {
            Err(error) => {
                self.fault = Some(error.to_string());
                false
            }
            Ok(next) => {
                self.fault = None;
                let is_other = !next.is_same(&self.certificate);
                self.certificate = next;
                if is_other {
                    self.told = Told::default();
                    let term = Term::of(self.certificate.validity, now);
                    tracing::info!("a new certificate is shown: {}", self.says(term));
                    for doubt in &self.certificate.doubts {
                        tracing::warn!("{}.certificate: {doubt}", self.section);
                    }
                }
                is_other
            }
        }
    }

    /// Replaced before its end; whether it was.
    fn make_anew(&mut self, now: SystemTime) -> bool {
        if matches!(Term::of(self.certificate.validity, now), Term::Good(_)) {
            return false;
        }
        let next = Certificate::self_signed(now);
        let next = next.inspect(|_| tell_made(None));
        self.fault = next.as_ref().err().map(ToString::to_string);
        let is_made = next.is_ok();
        self.certificate = next.unwrap_or_else(|_| self.certificate.clone());
        is_made
    }

    fn says(&self, term: Term) -> String {
        let file = self.pair.as_ref().map(|pair| &pair.certificate);
        let file = file.map_or_else(String::new, |file| format!(" = \"{}\"", file.display()));
        let names = self.certificate.names.join(", ");
        format!("{}.certificate{file} ({names}) {term}", self.section)
    }
}

/// Reads all that is configured.
fn read(settings: &settings::Tls) -> Result<(Vec<Held>, Option<Trusted>), TlsFaults> {
    let clients = settings.clients.as_ref().map(Trusted::read).transpose();
    match (hold(settings), clients) {
        (Ok(held), Ok(clients)) => Ok((held, clients)),
        (held, clients) => {
            let mut faults = held.err().map_or_else(Vec::new, |faults| faults.0);
            faults.extend(clients.err());
            Err(TlsFaults(faults))
        }
    }
}

/// Every certificate that is configured.
fn hold(settings: &settings::Tls) -> Result<Vec<Held>, TlsFaults> {
    let (mut held, mut faults) = (Vec::new(), Vec::new());
    let default = match &settings.identity {
        Identity::SelfSigned => None,
        Identity::Files(pair) => Some(pair),
    };
    let others = settings.others.iter().map(Some);
    for (place, pair) in std::iter::once(default).chain(others).enumerate() {
        let section = match place {
            0 => "edge.tls".to_owned(),
            place => format!("edge.tls.certificates[{place}]"),
        };
        let looked = pair.map(look);
        let certificate = match pair {
            Some(pair) => Certificate::read(&section, pair),
            None => Certificate::self_signed(SystemTime::now()),
        };
        match certificate {
            Err(error) => faults.push(error),
            Ok(certificate) => held.push(Held {
                section,
                pair: pair.cloned(),
                certificate,
                looked: looked.filter(|look| look.is_settled(SystemTime::now())),
                fault: None,
                told: Told::default(),
            }),
        }
    }
    match faults.is_empty() {
        true => Ok(held),
        false => Err(TlsFaults(faults)),
    }
}

fn look(pair: &Pair) -> Look {
    let files: [&Path; 2] = [&pair.certificate, &pair.key];
    Look::at(files)
}

/// The server's side of TLS.
fn server(
    settings: &settings::Tls,
    held: &[Held],
    clients: Option<&Trusted>,
    ticketer: &Arc<dyn ProducesTickets>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let versions: &[&rustls::SupportedProtocolVersion] = match settings.oldest {
        TlsVersion::V1_2 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        TlsVersion::V1_3 => &[&rustls::version::TLS13],
    };
    let [default, others @ ..] = held else {
        return Err(rustls::Error::NoCertificatesPresented);
    };
    let others = others.iter().map(|held| &held.certificate);
    let names = ByName::new(&default.certificate, others, settings.unknown_name);
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = match clients {
        Some(clients) => clients.verifier(),
        None => WebPkiClientVerifier::no_client_auth(),
    };
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(names));
    server.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
    // Tickets keep no memory of clients on our side.
    server.ticketer = ticketer.clone();
    Ok(Arc::new(server))
}

fn shown(held: &[Held]) -> Vec<Shown> {
    let shown = |held: &Held| Shown {
        section: held.section.clone(),
        file: held.pair.as_ref().map(|pair| pair.certificate.clone()),
        names: held.certificate.names.clone(),
        issuer: held.certificate.issuer.clone(),
        from: held.certificate.validity.0,
        until: held.certificate.validity.1,
        fault: held.fault.clone(),
    };
    held.iter().map(shown).collect()
}
