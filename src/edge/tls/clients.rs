//! Client certificates: who may have signed them, what is revoked, and what the origin is told of one.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConnection};
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::Decode;

use super::certificate::in_words;
use super::look::Look;
use super::{TlsError, Trust};
use crate::config::settings::Clients;
use crate::ground::client_certificate::ClientCertificate;

/// Whose certificates clients may show.
pub struct Trusted {
    settings: Clients,
    read: Read,
    verifier: Arc<dyn ClientCertVerifier>,
    /// What its files looked like when they were read last.
    looked: Option<Look>,
    fault: Option<String>,
}

/// What is in the files.
#[derive(PartialEq)]
struct Read {
    authorities: Vec<CertificateDer<'static>>,
    lists: Vec<CertificateRevocationListDer<'static>>,
}

impl Trusted {
    /// From its files. Blocks.
    ///
    /// # Errors
    /// [`TlsError::File`] or [`TlsError::Clients`].
    pub fn read(settings: &Clients) -> Result<Self, TlsError> {
        let look = look_at(settings);
        let read = Read::of(settings)?;
        Ok(Self {
            verifier: read.verifier(settings)?,
            read,
            settings: settings.clone(),
            looked: look.is_settled(SystemTime::now()).then_some(look),
            fault: None,
        })
    }

    /// Who verifies them.
    pub fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        self.verifier.clone()
    }

    /// As it is told.
    pub fn told(&self) -> Trust {
        Trust {
            authorities: self.settings.ca.clone(),
            lists: self.settings.crl.clone(),
            required: self.settings.required,
            fault: self.fault.clone(),
        }
    }

    /// Why what is in the files now was not taken.
    pub fn fault(&self) -> Option<&String> {
        self.fault.as_ref()
    }

    /// Looks at the files and takes what has changed in them; whether something has. Blocks.
    pub fn look(&mut self, now: SystemTime) -> bool {
        let look = look_at(&self.settings);
        if self.fault.is_none() && self.looked.as_ref() == Some(&look) {
            return false;
        }
        self.looked = look.is_settled(now).then_some(look);
        let read =
            Read::of(&self.settings).and_then(|read| Ok((read.verifier(&self.settings)?, read)));
        match read {
            Ok((_, read)) if read == self.read => {
                self.fault = None;
                false
            }
            Ok((verifier, read)) => {
                (self.verifier, self.read, self.fault) = (verifier, read, None);
                tracing::info!(
                    "edge.tls.clients: other authorities or lists; clients are verified anew"
                );
                true
            }
            Err(error) => {
                let fault = error.to_string();
                if self.fault.as_ref() != Some(&fault) {
                    tracing::error!("client certificates are still judged as before: {fault}");
                }
                self.fault = Some(fault);
                false
            }
        }
    }
}

impl Read {
    fn of(clients: &Clients) -> Result<Self, TlsError> {
        let mut lists = Vec::new();
        for path in &clients.crl {
            lists.extend(all::<CertificateRevocationListDer<'static>>("crl", path)?);
        }
        let authorities = all::<CertificateDer<'static>>("ca", &clients.ca)?;
        Ok(Self { authorities, lists })
    }

    /// A client's own certificate and all that signed it must not be revoked, where there are lists; a list that has run
    /// out revokes everything, since nobody knows any more.
    fn verifier(&self, clients: &Clients) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let refused = |cause: &dyn std::fmt::Display| TlsError::Clients {
            cause: cause.to_string(),
        };
        let mut roots = RootCertStore::empty();
        for ca in &self.authorities {
            roots.add(ca.clone()).map_err(|error| refused(&error))?;
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let builder = match self.lists.is_empty() {
            true => builder,
            false => builder
                .with_crls(self.lists.iter().cloned())
                .enforce_revocation_expiration(),
        };
        let builder = match clients.required {
            true => builder,
            false => builder.allow_unauthenticated(),
        };
        builder.build().map_err(|error| refused(&error))
    }
}

fn look_at(clients: &Clients) -> Look {
    let lists = clients.crl.iter().map(|path| path.as_path());
    Look::at(std::iter::once(clients.ca.as_path()).chain(lists))
}

fn all<T: PemObject>(key: &str, path: &Path) -> Result<Vec<T>, TlsError> {
    let wrong = |cause| TlsError::File {
        key: format!("edge.tls.clients.{key}"),
        path: path.to_owned(),
        cause,
    };
    let read = T::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<T>, _>>);
    let found = read.map_err(|error| wrong(in_words(&error)))?;
    match found.is_empty() {
        true => Err(wrong("there is nothing of the kind in it".to_owned())),
        false => Ok(found),
    }
}

/// The verified certificate that a client has shown, if it has.
pub fn shown_by(connection: &ServerConnection) -> Option<Arc<ClientCertificate>> {
    let leaf = connection.peer_certificates()?.first()?;
    let subject = CertificateInner::<Raw>::from_der(leaf)
        .map(|it| it.tbs_certificate().subject().to_string())
        .unwrap_or_default();
    Some(Arc::new(ClientCertificate::new(leaf, &subject)))
}
