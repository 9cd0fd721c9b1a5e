//! The sockets that systemd has listened on for us (systemd.socket(5)), or has kept for us from the Leeward before
//! (`FileDescriptorStoreMax=`), and what each is for. While we are away, clients wait in them instead of being refused.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};

use socket2::SockRef;

use super::AppError;
use crate::config::Settings;
use crate::edge::listener::{self, BindError};
use crate::ground::addr::EdgeAddr;
use crate::ground::sys;
use crate::ground::systemd::Notifier;
use crate::origin::{Legacy, is_part};

/// What a listener is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Clients, with TLS.
    Https,
    /// Clients who are sent on to HTTPS.
    Http,
    /// The status page.
    Status,
}

/// What was passed and is not taken yet.
#[derive(Debug)]
pub(super) struct Passed {
    sockets: Vec<Socket>,
    /// The origin of the Leeward before us.
    pub(super) legacy: Option<Legacy>,
}

/// The listeners of one role.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    /// Those of systemd's: it holds them whatever becomes of us.
    passed: Vec<TcpListener>,
    /// Those that we have bound, or a Leeward before us.
    bound: Vec<TcpListener>,
}

/// A listening socket that was passed.
#[derive(Debug)]
struct Socket {
    name: String,
    at: SocketAddr,
    listener: TcpListener,
}

/// What somebody else's socket is for, by its name or its address.
#[derive(Debug, Default)]
struct Wanted {
    https: Vec<SocketAddr>,
    http: Vec<SocketAddr>,
    status: Vec<SocketAddr>,
}

/// The port of plain HTTP (RFC 9110, section 4.2.1).
const HTTP: u16 = 80;

impl Role {
    /// All there are.
    const ALL: [Self; 3] = [Self::Https, Self::Http, Self::Status];

    /// What `FileDescriptorName=` calls it.
    fn name(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
            Self::Status => "status",
        }
    }

    /// What those we have bound are called while systemd keeps them.
    fn kept(self) -> &'static str {
        match self {
            Self::Https => "kept-https",
            Self::Http => "kept-http",
            Self::Status => "kept-status",
        }
    }

    fn key(self) -> &'static str {
        match self {
            Self::Https => "edge.listen",
            Self::Http => "edge.redirect",
            Self::Status => "status.listen",
        }
    }
}

impl Passed {
    /// These descriptors, by their names.
    ///
    /// # Errors
    /// [`AppError::Passed`] for what is no listening TCP socket.
    pub(super) fn of(descriptors: Vec<(String, OwnedFd)>) -> Result<Self, AppError> {
        let mut sockets = Vec::new();
        let (parts, descriptors): (Vec<_>, Vec<_>) =
            descriptors.into_iter().partition(|(name, _)| is_part(name));
        for (name, descriptor) in descriptors {
            match address(&descriptor) {
                Ok(at) => {
                    let listener = TcpListener::from(descriptor);
                    sockets.push(Socket { name, at, listener });
                }
                Err(cause) => return Err(AppError::Passed { name, cause }),
            }
        }
        let legacy = Legacy::of(parts);
        Ok(Self { sockets, legacy })
    }

    /// The listeners of this role: those that were passed, and of the addresses wanted those that none of them has. One that
    /// was kept, and is wanted no more, is closed.
    ///
    /// # Errors
    /// [`AppError::Bind`].
    pub(super) fn listeners(
        &mut self,
        role: Role,
        settings: &Settings,
    ) -> Result<Listeners, AppError> {
        let wanted = Wanted::of(settings);
        let (ours, others) = std::mem::take(&mut self.sockets)
            .into_iter()
            .partition(|it| wanted.role(&it.name, it.at) == role);
        self.sockets = others;
        let ours: Vec<Socket> = ours;
        let mut listeners = Listeners::default();
        let mut taken = Vec::new();
        for Socket { name, at, listener } in ours {
            let is_kept = name == role.kept();
            if is_kept && !wanted.of_role(role).contains(&at) {
                continue;
            }
            listener.set_nonblocking(true).map_err(|cause| BindError {
                key: role.key(),
                addr: EdgeAddr(at),
                cause,
            })?;
            taken.push(at);
            match is_kept {
                true => listeners.bound.push(listener),
                false => {
                    tracing::info!(name, key = role.key(), "{at} is listened on by systemd");
                    listeners.passed.push(listener);
                }
            }
        }
        let mut missing = wanted.of_role(role).to_vec();
        missing.retain(|wanted| !taken.iter().any(|at| covers(*at, *wanted)));
        if taken.is_empty() && role == Role::Https && missing.is_empty() {
            missing = usual();
        }
        for addr in missing {
            let bound = listener::bind(role.key(), EdgeAddr(addr))?;
            listeners.bound.push(bound);
        }
        Ok(listeners)
    }
}

impl Listeners {
    /// All of them, those of systemd's first. Systemd is asked to keep the others for the Leeward after us, too.
    pub(super) fn kept(self, role: Role, notifier: &Notifier) -> Vec<TcpListener> {
        if Notifier::is_heard() {
            // What was kept before is among them, or not wanted any more.
            notifier.let_go(role.kept());
            let ours: Vec<_> = self.bound.iter().map(AsFd::as_fd).collect();
            notifier.keep(role.kept(), &ours);
        }
        let mut all = self.passed;
        all.extend(self.bound);
        all
    }
}

impl Wanted {
    fn of(settings: &Settings) -> Self {
        let plain = |all: &[EdgeAddr]| all.iter().map(|it| it.0).collect();
        let https = plain(&settings.edge.listen);
        Self {
            // What nobody asked for is no reason to listen in two places.
            https: if https == usual() { Vec::new() } else { https },
            http: plain(&settings.edge.redirect),
            status: settings.status.listen.iter().map(|it| it.0).collect(),
        }
    }

    fn of_role(&self, role: Role) -> &[SocketAddr] {
        match role {
            Role::Https => &self.https,
            Role::Http => &self.http,
            Role::Status => &self.status,
        }
    }

    /// By its name; where that says nothing, by the address that the settings give a role; else by its port.
    fn role(&self, name: &str, at: SocketAddr) -> Role {
        let named = |role: &Role| [role.name(), role.kept()].contains(&name);
        let placed = |role: &Role| self.of_role(*role).iter().any(|it| covers(at, *it));
        let mut all = Role::ALL.into_iter();
        let known = all.clone().find(named).or_else(|| all.find(placed));
        known.unwrap_or(match at.port() {
            HTTP => Role::Http,
            _ => Role::Https,
        })
    }
}

fn usual() -> Vec<SocketAddr> {
    let usual = Settings::default().edge.listen;
    usual.into_iter().map(|it| it.0).collect()
}

/// Whether one who listens at `at` is who is wanted at `wanted`. A socket of IPv6 for all addresses takes IPv4 as well, as
/// long as nobody asks for anything else (`BindIPv6Only=`).
fn covers(at: SocketAddr, wanted: SocketAddr) -> bool {
    let same_kind = at.is_ipv6() || wanted.is_ipv4();
    let is_for_all = at.ip().is_unspecified() && same_kind;
    at.port() == wanted.port() && (is_for_all || at.ip() == wanted.ip())
}

fn address(descriptor: &OwnedFd) -> io::Result<SocketAddr> {
    let socket = SockRef::from(descriptor);
    let is_listener = socket.is_listener()? && socket.r#type()? == socket2::Type::STREAM;
    let at = socket.local_addr()?.as_socket();
    at.filter(|_| is_listener).ok_or_else(|| {
        io::Error::other("it is no TCP socket that listens (ListenStream=, Accept=no)")
    })
}

/// What the service manager has passed to this program. To be called once, before anything is opened.
///
/// # Errors
/// [`AppError::Passed`].
pub(super) fn take() -> Result<Passed, AppError> {
    Passed::of(sys::passed())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_socket_is_for_what_its_name_says_then_its_address_then_its_port() {
        let mut settings = Settings::default();
        settings.edge.redirect = vec![EdgeAddr(addr("0.0.0.0:8080"))];
        let wanted = Wanted::of(&settings);
        let role = |name, at| wanted.role(name, addr(at));
        assert_eq!(role("status", "[::]:443"), Role::Status);
        assert_eq!(role("kept-http", "[::]:443"), Role::Http);
        assert_eq!(role("leeward.socket", "[::]:443"), Role::Https);
        assert_eq!(role("leeward.socket", "[::]:80"), Role::Http);
        assert_eq!(role("leeward.socket", "[::]:8080"), Role::Http);
        assert_eq!(role("", "127.0.0.1:9180"), Role::Status);
    }

    #[test]
    fn who_listens_everywhere_is_who_is_wanted_somewhere() {
        let covers = |at, wanted| super::covers(addr(at), addr(wanted));
        assert!(covers("[::]:443", "0.0.0.0:443") && covers("[::]:443", "192.0.2.1:443"));
        assert!(covers("0.0.0.0:443", "192.0.2.1:443") && covers("[::1]:1", "[::1]:1"));
        assert!(!covers("0.0.0.0:443", "[::]:443") && !covers("[::]:443", "[::]:444"));
        assert!(!covers("127.0.0.1:1", "0.0.0.0:1"));
    }

    #[test]
    fn what_is_passed_takes_the_place_of_the_default_and_what_is_missing_is_bound() {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = free();
        let at = socket.local_addr().unwrap();
        let mut settings = Settings::default();
        let mut passed = Passed::of(vec![("leeward.socket".to_owned(), socket.into())]).unwrap();
        let of_http = passed.listeners(Role::Http, &settings).unwrap();
        assert!(of_http.passed.is_empty() && of_http.bound.is_empty());
        let found = passed.listeners(Role::Https, &settings).unwrap();
        assert_eq!((found.passed.len(), found.bound.len()), (1, 0));
        assert_eq!(found.passed[0].local_addr().unwrap(), at);

        let other = free().local_addr().unwrap();
        settings.edge.listen = vec![EdgeAddr(at), EdgeAddr(other)];
        let again = (
            "https".to_owned(),
            found.passed.into_iter().next().unwrap().into(),
        );
        let stale = ("kept-https".to_owned(), free().into());
        let mut passed = Passed::of(vec![again, stale]).unwrap();
        let found = passed.listeners(Role::Https, &settings).unwrap();
        assert_eq!((found.passed.len(), found.bound.len()), (1, 1));
        assert_eq!(found.bound[0].local_addr().unwrap(), other);
    }

    #[test]
    fn what_is_no_listener_is_refused_by_its_name() {
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let refused = Passed::of(vec![("dns".to_owned(), udp.into())]);
        let said = refused.unwrap_err().to_string();
        assert!(
            said.contains("`dns`") && said.contains("leeward.socket"),
            "{said}"
        );
    }
}
