//! Admission: leave to be connected, given before a byte is read, and taken back by `Drop`.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::config::settings::EdgeLimits;
use crate::ground::addr::ClientAddr;
use crate::ground::ledger::Count;
use crate::ground::reserve::Reserve;

/// Who is connected, over all edge threads.
#[derive(Debug, Clone)]
pub struct Admission(Arc<Doors>);

/// Leave to be connected, for as long as it lives.
#[derive(Debug)]
pub struct Permit {
    doors: Arc<Doors>,
    /// Whose place it is, once that is known.
    net: Option<IpAddr>,
}

/// Why somebody is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shed {
    /// All places are taken.
    Full,
    /// This address has all the places one address may have.
    Address,
    /// No memory is left for it.
    Memory,
}

#[derive(Debug)]
struct Doors {
    handshakes: Option<Semaphore>,
    reserve: Reserve,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    most: usize,
    most_per_address: Option<usize>,
    all: usize,
    by_net: HashMap<IpAddr, usize>,
}

impl Admission {
    /// Nobody is connected yet; what is connected is reckoned against `reserve`.
    pub fn new(limits: &EdgeLimits, reserve: Reserve) -> Self {
        Self(Arc::new(Doors {
            handshakes: limits.handshakes.map(Semaphore::new),
            reserve,
            inside: Mutex::new(Inside {
                most: limits.connections,
                most_per_address: limits.connections_per_address,
                ..Inside::default()
            }),
        }))
    }

    /// So many may be connected from now on; nobody who is inside is sent away.
    pub fn take(&self, limits: &EdgeLimits) {
        let mut inside = self.0.inside();
        inside.most = limits.connections;
        inside.most_per_address = limits.connections_per_address;
    }

    /// Leave for one more connection of `client`.
    ///
    /// # Errors
    /// [`Shed`].
    pub fn admit(&self, client: ClientAddr) -> Result<Permit, Shed> {
        let mut permit = self.admit_unnamed()?;
        permit.name(client)?;
        Ok(permit)
    }

    /// Leave for one more connection, whose client is told later.
    ///
    /// # Errors
    /// [`Shed::Full`] or [`Shed::Memory`].
    pub fn admit_unnamed(&self) -> Result<Permit, Shed> {
        let mut inside = self.0.inside();
        if inside.all >= inside.most {
            return Err(Shed::Full);
        }
        if self.0.reserve.connections(inside.all + 1).is_err() {
            return Err(Shed::Memory);
        }
        inside.all += 1;
        Ok(Permit {
            doors: self.0.clone(),
            net: None,
        })
    }

    /// A turn to shake hands, in the order of asking; `None` where they are not limited. The caller bounds the wait.
    ///
    /// They wait rather than being turned away: after a restart all clients come at once, and each is served in a
    /// second or two.
    pub async fn handshake(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.0.handshakes.as_ref()?.acquire().await.ok()
    }

    /// Whether more than 80 % of the places are taken, so that idle connections should make room.
    pub fn is_crowded(&self) -> bool {
        let inside = self.0.inside();
        inside.all * 5 > inside.most * 4
    }
}

impl Shed {
    /// As what it is counted.
    pub fn count(self) -> Count {
        match self {
            Self::Full => Count::ShedConnections,
            Self::Address => Count::ShedAddress,
            Self::Memory => Count::ShedMemory,
        }
    }
}

impl Doors {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// The client is this one.
    ///
    /// # Errors
    /// [`Shed::Address`].
    pub fn name(&mut self, client: ClientAddr) -> Result<(), Shed> {
        let net = net(client.ip());
        let mut inside = self.doors.inside();
        let here = inside.by_net.get(&net).copied().unwrap_or(0);
        if inside.most_per_address.is_some_and(|most| here >= most) {
            return Err(Shed::Address);
        }
        inside.by_net.insert(net, here + 1);
        self.net = Some(net);
        Ok(())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut inside = self.doors.inside();
        inside.all -= 1;
        let Some(net) = self.net else { return };
        if let Some(here) = inside.by_net.get_mut(&net) {
            *here -= 1;
            if *here == 0 {
                inside.by_net.remove(&net);
            }
        }
    }
}

/// Who counts as one: an IPv4 address, or an IPv6 /64, of which one host may use any part.
fn net(ip: IpAddr) -> IpAddr {
    const PREFIX: u128 = !(u64::MAX as u128);
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(u128::from(v6) & PREFIX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::ledger::Ledger;
    use crate::ground::reserve::Prices;

    fn limits(connections: usize, per_address: Option<usize>) -> EdgeLimits {
        EdgeLimits {
            connections,
            connections_per_address: per_address,
            ..EdgeLimits::default()
        }
    }

    fn admission(connections: usize, per_address: Option<usize>) -> Admission {
        Admission::new(&limits(connections, per_address), Reserve::boundless())
    }

    fn client(text: &str) -> ClientAddr {
        ClientAddr(text.parse().unwrap())
    }

    #[test]
    fn places_are_limited_and_given_back() {
        let admission = admission(2, None);
        let one = admission.admit(client("192.0.2.1:1")).unwrap();
        let _two = admission.admit(client("192.0.2.1:2")).unwrap();
        let third = admission.admit(client("192.0.2.2:1"));
        assert_eq!(third.err(), Some(Shed::Full));
        drop(one);
        assert!(admission.admit(client("192.0.2.2:1")).is_ok());
    }

    #[test]
    fn one_address_cannot_take_all_places_nor_one_ipv6_network() {
        let admission = admission(100, Some(1));
        let _four = admission.admit(client("192.0.2.1:1")).unwrap();
        let mapped = admission.admit(client("[::ffff:192.0.2.1]:2"));
        assert_eq!(mapped.err(), Some(Shed::Address));
        let _six = admission.admit(client("[2001:db8::1]:1")).unwrap();
        let same_net = admission.admit(client("[2001:db8::ffff]:1"));
        assert_eq!(same_net.err(), Some(Shed::Address));
        assert!(admission.admit(client("[2001:db8:0:1::1]:1")).is_ok());
    }

    #[test]
    fn a_crowd_is_more_than_four_fifths() {
        let admission = admission(5, None);
        let mut permits = Vec::new();
        for n in 0..5 {
            assert!(!admission.is_crowded(), "{n}");
            permits.push(admission.admit(client("192.0.2.1:1")).unwrap());
        }
        assert!(admission.is_crowded());
    }

    #[test]
    fn nobody_is_admitted_whom_memory_has_no_room_for() {
        let ledger = Ledger::default();
        let _thread = ledger.open();
        // Three quarters are for connections that ask for nothing.
        let prices = Prices::new(Some(8 << 20), 0, 1 << 20, 1 << 20, 1);
        let admission = Admission::new(&limits(100, None), Reserve::new(prices, ledger));
        let mut permits = Vec::new();
        for n in 0..6 {
            permits.push(
                admission
                    .admit(client("192.0.2.1:1"))
                    .unwrap_or_else(|shed| panic!("{n}: {shed:?}")),
            );
        }
        let seventh = admission.admit(client("192.0.2.1:1"));
        assert_eq!(seventh.err(), Some(Shed::Memory));
        permits.pop();
        assert!(admission.admit(client("192.0.2.1:1")).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn handshakes_beyond_the_limit_wait_in_order() {
        let limits = EdgeLimits {
            handshakes: Some(1),
            ..EdgeLimits::default()
        };
        let admission = Admission::new(&limits, Reserve::boundless());
        let under_way = admission.handshake().await;
        let mut second = std::pin::pin!(admission.handshake());
        let mut third = std::pin::pin!(admission.handshake());
        let patience = std::time::Duration::from_secs(9);
        for waiting in [&mut second, &mut third] {
            assert!(tokio::time::timeout(patience, waiting).await.is_err());
        }
        drop(under_way);
        assert!(tokio::time::timeout(patience, &mut third).await.is_err());
        let turn = second.await;
        assert!(turn.is_some());
        drop(turn);
        assert!(third.await.is_some());
    }
}
