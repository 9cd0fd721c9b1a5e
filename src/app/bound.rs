//! Everything that is listened on, bound before anything else is done, so that a clash is told and nothing is started.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;

use super::AppError;
use super::passed::{Passed, Role};
use crate::config::Settings;
use crate::config::settings::{OnExit, Origin, Place, Process, Socket};
use crate::ground::addr::OriginAddr;
use crate::ground::socket_file::{self, SocketFile};
use crate::ground::systemd::Notifier;
use crate::origin::{HeldSocket, Legacy};
use crate::status::socket;

/// What is listened on, and who may come in.
pub(super) struct Bound {
    pub(super) edge: Vec<TcpListener>,
    pub(super) redirect: Vec<TcpListener>,
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) status: Option<TcpListener>,
    pub(super) socket: Option<UnixListener>,
    pub(super) socket_file: Option<SocketFile>,
    pub(super) token: Option<Arc<str>>,
    pub(super) held: Option<HeldSocket>,
    pub(super) legacy: Option<Legacy>,
}

/// A token that could be guessed is none.
const SHORTEST_TOKEN: usize = 16;

impl Bound {
    /// Takes what was `passed`, and binds all else that the settings name.
    ///
    /// # Errors
    /// [`AppError::Bind`], [`AppError::Door`], [`AppError::Passed`].
    pub(super) fn open(settings: &Settings, passed: Passed) -> Result<Self, AppError> {
        let mut passed = passed;
        let https = passed.listeners(Role::Https, settings)?;
        let http = passed.listeners(Role::Http, settings)?;
        let status = passed.listeners(Role::Status, settings)?;
        let (socket, socket_file) = control(&settings.status.socket)?.unzip();
        let token = settings.status.token_file.as_deref();
        let token = token.map(read_token).transpose()?;
        let mut legacy = passed.legacy.take();
        let held = held(&settings.origin, legacy.as_mut())?;
        // Nothing can fail any more: what is kept from now on is what is served.
        let notifier = Notifier::from_environment();
        let edge = https.kept(Role::Https, &notifier);
        let addresses = edge.iter().filter_map(|it| it.local_addr().ok()).collect();
        Ok(Self {
            edge,
            redirect: http.kept(Role::Http, &notifier),
            addresses,
            status: status.kept(Role::Status, &notifier).into_iter().next(),
            socket,
            socket_file,
            token,
            held,
            legacy,
        })
    }

    /// The real addresses, for the line that says ready.
    pub(super) fn line(&self, origin: &OriginAddr) -> String {
        let edges: Vec<String> = self
            .addresses
            .iter()
            .map(|addr| format!("https://{addr}"))
            .collect();
        let status = self.status.as_ref().and_then(|it| it.local_addr().ok());
        let status = status.map_or_else(String::new, |addr| format!(", status http://{addr}"));
        format!("{}{status}, origin {origin}", edges.join(" "))
    }
}

/// The control socket. Where nobody asked for it, one that cannot be had is told and no more.
fn control(place: &Place) -> Result<Option<(UnixListener, SocketFile)>, AppError> {
    match place {
        Place::Nowhere => Ok(None),
        Place::At(path) => control_at(path).map(Some).map_err(|error| AppError::Door {
            key: "status.socket",
            path: path.display().to_string(),
            cause: error.to_string(),
            remedy: "name a place where this user may write and no other Leeward listens, or \"off\"",
        }),
        Place::Usual => {
            let bound = socket::usual().map(|path| (control_at(&path), path));
            Ok(bound.and_then(|(bound, path)| {
                let path = path.display();
                let told = |error: &io::Error| {
                    tracing::warn!(%error, "no control socket at {path}: `leeward restart` and the like do not reach this one; set status.socket");
                };
                bound.inspect_err(told).ok()
            }))
        }
    }
}

/// The origin's own socket, where we are to pass it.
fn held(origin: &Origin, legacy: Option<&mut Legacy>) -> Result<Option<HeldSocket>, AppError> {
    let command = match &origin.process {
        Process::Command(command) if command.socket != Socket::Own => command,
        _ => return Ok(None),
    };
    let inherited = legacy.and_then(|it| {
        let at = it.address(&origin.address, Some(command))?;
        HeldSocket::inherit(&at, it.take_socket()?).ok()
    });
    let held = match inherited {
        Some(held) => Ok(held),
        None => HeldSocket::bind(&origin.address),
    };
    let held = held.map_err(|error| AppError::Door {
        key: "origin.address",
        path: origin.address.to_string(),
        cause: error.to_string(),
        remedy: "Leeward listens there for the origin (origin.process.socket); end who holds it, or name another address",
    })?;
    if command.on_exit == OnExit::Keep {
        held.keep();
    }
    Ok(Some(held))
}

fn control_at(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let (listener, file) = socket_file::bind(path)?;
    listener.set_nonblocking(true)?;
    Ok((listener, file))
}

fn read_token(path: &Path) -> Result<Arc<str>, AppError> {
    let wrong = |cause: String| AppError::Door {
        key: "status.token_file",
        path: path.display().to_string(),
        cause,
        remedy: "put 16 or more letters and digits into it, as `openssl rand -hex 24` makes them, for this user to read",
    };
    let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let token = text.trim();
    let is_plain = token.bytes().all(|byte| byte.is_ascii_graphic());
    match token.len() >= SHORTEST_TOKEN && is_plain {
        true => Ok(token.into()),
        false => Err(wrong(format!(
            "a token of {} characters",
            token.chars().count()
        ))),
    }
}
