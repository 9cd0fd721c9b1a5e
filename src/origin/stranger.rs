//! Whose connection holds the origin, where it is that of no request under way: somebody may have come past Leeward.

use std::net::SocketAddr;
use std::time::Instant;

use super::forensics::{Findings, Holder, Seen, blame, connection, holding};
use super::pid::Pid;
use super::roster::{VisitSeen, serving};

/// The two ends of a connection: the origin's, and the other one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// The origin's.
    pub origin: SocketAddr,
    /// Its peer's.
    pub peer: SocketAddr,
}

/// Who holds the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Whose {
    /// Leeward, though no request is under way on it.
    Ours,
    /// This process of this machine.
    Local(Holder),
    /// One of this machine that could not be seen, but not Leeward.
    Unseen,
    /// Nobody of this machine any more.
    Nobody,
    /// Somebody on another machine.
    Remote,
}

/// The connection through the door that holds the origin up, if it is that of none of these visits.
pub fn stranger(findings: &Findings, visits: &[VisitSeen]) -> Option<Ends> {
    let story = |peer| serving(visits, peer);
    let blamed = blame(findings, &story)?;
    let row = blamed.through(&findings.door)?;
    let is_known = row.peer.ip().is_unspecified() || story(row.peer).is_some();
    (!is_known).then_some(Ends {
        origin: row.local,
        peer: row.peer,
    })
}

/// Says whose it is; walks over all processes until `until` at the most.
pub fn told(ends: Ends, until: Instant) -> String {
    in_words(ends.peer, &whose(ends, until))
}

fn whose(Ends { origin, peer }: Ends, until: Instant) -> Whose {
    if !peer.ip().is_loopback() && peer.ip() != origin.ip() {
        return Whose::Remote;
    }
    let row = connection(peer, origin).known().cloned().flatten();
    let Some(row) = row.filter(|row| row.inode != 0) else {
        return Whose::Nobody;
    };
    let Seen::Known(holders) = holding(row.inode, until) else {
        return Whose::Unseen;
    };
    let is_ours = |it: &&Holder| Some(it.pid) == Pid::own();
    match (holders.found.iter().find(is_ours), holders.found.first()) {
        (Some(_), _) => Whose::Ours,
        (None, Some(other)) => Whose::Local(other.clone()),
        (None, None) => Whose::Unseen,
    }
}

fn in_words(peer: SocketAddr, whose: &Whose) -> String {
    const PAST: &str = "it came past Leeward, straight to the origin";
    match whose {
        Whose::Ours => "the other end is Leeward's, and no request is under way on it".to_owned(),
        Whose::Local(it) => format!("the other end is process {} ({}): {PAST}", it.pid, it.comm),
        Whose::Unseen => format!("the other end is another process on this machine, which could not be seen: {PAST}"),
        Whose::Nobody => "no request under way is on it, and no process of this machine holds the other end any more".to_owned(),
        Whose::Remote => format!("the other end is on another machine ({}): {PAST}", peer.ip()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use super::*;

    fn until() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[test]
    fn a_connection_of_our_own_is_ours_and_one_that_is_gone_is_nobodys() {
        let door = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let ours = TcpStream::connect(door.local_addr().expect("bound")).expect("it listens");
        let (origin, peer) = (
            ours.peer_addr().expect("connected"),
            ours.local_addr().expect("connected"),
        );
        let ends = Ends { origin, peer };
        assert_eq!(whose(ends, until()), Whose::Ours);
        drop(ours);
        assert_eq!(whose(ends, until()), Whose::Nobody);
    }

    #[test]
    fn who_is_on_another_machine_is_looked_for_nowhere() {
        let origin = "10.0.0.1:80".parse().expect("an address");
        let peer = "10.0.0.7:4711".parse().expect("an address");
        let told = told(Ends { origin, peer }, Instant::now());
        assert!(
            told.contains("another machine (10.0.0.7): it came past Leeward"),
            "{told}"
        );
    }
}
