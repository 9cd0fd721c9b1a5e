//! Accepts clients. By signature it can't fail: it tells, waits, and tries again.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};

use super::Handler;
use super::admission::Permit;
use super::connection::{self, Edge};
use super::handshake::noticed;
use super::proxy_protocol;
use crate::ground::addr::{ClientAddr, EdgeAddr};
use crate::ground::deadline::Deadline;
use crate::ground::drain::Drain;
use crate::ground::failure::Phase;
use crate::ground::ledger::Count;
use crate::ground::published::Published;

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("{key}: cannot listen on {addr}: {cause}; {}", remedy(.cause))]
pub struct BindError {
    /// The key that sets it.
    pub key: &'static str,
    /// The address.
    pub addr: EdgeAddr,
    /// What the system said.
    pub cause: io::Error,
}

fn remedy(cause: &io::Error) -> &'static str {
    match cause.kind() {
        ErrorKind::AddrInUse => "choose another port, or end who holds it (`ss -ltnp` tells)",
        ErrorKind::PermissionDenied => {
            "a port below 1024 needs root or CAP_NET_BIND_SERVICE, which the unit for systemd grants"
        }
        ErrorKind::AddrNotAvailable => "this machine has no such address (`ip address` tells)",
        _ => "choose another address",
    }
}

/// How many connections the kernel keeps for us while we are busy.
const BACKLOG: i32 = 1024;
/// A client that vanished while idle is noticed after `TIME` + `PROBES` × `BETWEEN`: 35 s.
const TIME: Duration = Duration::from_secs(20);
const BETWEEN: Duration = Duration::from_secs(5);
const PROBES: u32 = 3;
/// A client that vanished while data was on its way to it. Also ends a living one that takes nothing, and would end
/// one that takes little; so it is lifted once a client keeps us waiting (see `wire`).
const USER_TIMEOUT: Duration = Duration::from_secs(30);
/// So much unsent data may lie in the kernel before we see that the client takes none.
const UNSENT: u32 = 128 << 10;
/// After a failed accept, for instance when descriptors have run out.
const PAUSE: Duration = Duration::from_millis(100);

/// Listens on `addr`; `key` is what set it.
///
/// # Errors
/// [`BindError`].
pub fn bind(key: &'static str, addr: EdgeAddr) -> Result<std::net::TcpListener, BindError> {
    listen(addr.0).map_err(|cause| BindError { key, addr, cause })
}

/// Accepts from `listener` until the drain begins, each connection on a task of its own, by what is so then.
pub async fn accept<H: Handler>(listener: TcpListener, edge: Published<Edge<H>>, drain: Drain) {
    let mut until = drain.clone();
    loop {
        let (stream, client) = tokio::select! {
            accepted = next(&listener) => accepted,
            _ = until.begun() => return,
        };
        let edge = edge.now();
        edge.tally.count(Count::ConnectionsAccepted);
        let is_balancer = edge
            .settings
            .proxy_protocol
            .iter()
            .any(|net| net.holds(client.ip()));
        let admitted = match is_balancer {
            true => edge.admission.admit_unnamed(),
            false => edge.admission.admit(client),
        };
        match admitted {
            Ok(permit) => {
                let drain = drain.clone();
                tokio::spawn(serve(stream, client, edge, permit, drain, is_balancer));
            }
            Err(shed) => {
                edge.tally.count(shed.count());
                edge.tally.count(Count::ConnectionsClosed);
                // A reset costs nothing more, and tells the client at once.
                let _ = stream.set_zero_linger();
            }
        }
    }
}

async fn serve<H: Handler>(
    mut stream: TcpStream,
    peer: ClientAddr,
    edge: Arc<Edge<H>>,
    mut permit: Permit,
    mut drain: Drain,
    is_balancer: bool,
) {
    let client = match is_balancer {
        true => tokio::select! {
            biased;
            client = named(&mut stream, peer, &edge, &mut permit) => client,
            () = noticed(&mut drain) => None,
        },
        false => Some(peer),
    };
    match client {
        Some(client) => connection::serve(stream, client, &edge, drain).await,
        None => {
            let _ = stream.set_zero_linger();
        }
    }
    edge.tally.count(Count::ConnectionsClosed);
    drop(permit);
}

/// The client a balancer speaks for, if it says so in time and that client may have one more place.
async fn named<H>(
    stream: &mut TcpStream,
    peer: ClientAddr,
    edge: &Edge<H>,
    permit: &mut Permit,
) -> Option<ClientAddr> {
    let deadline = Deadline::within(edge.settings.deadlines.handshake);
    let client = match deadline.bound(proxy_protocol::client(stream, peer)).await {
        Ok(Ok(client)) => client,
        Ok(Err(error)) => {
            edge.tally.count(Count::HandshakesFailed);
            tracing::warn!(balancer = %peer, "{error}");
            return None;
        }
        Err(_) => {
            edge.tally.count(Count::ClientTimeout(Phase::Handshake));
            tracing::warn!(balancer = %peer, "no PROXY protocol header by the deadline of the handshake");
            return None;
        }
    };
    match permit.name(client) {
        Ok(()) => Some(client),
        Err(shed) => {
            edge.tally.count(shed.count());
            None
        }
    }
}

/// The next client, however long it takes and whatever fails meanwhile.
pub(super) async fn next(listener: &TcpListener) -> (TcpStream, ClientAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, addr)) => {
                prepare(&stream);
                return (stream, ClientAddr(addr));
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept a client; trying again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// What fails here only makes a vanished client be noticed later.
fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(TIME)
        .with_interval(BETWEEN)
        .with_retries(PROBES);
    let _ = socket.set_tcp_keepalive(&keepalive);
    let _ = socket.set_tcp_user_timeout(Some(USER_TIMEOUT));
    let _ = socket.set_tcp_notsent_lowat(UNSENT);
}

fn listen(addr: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
