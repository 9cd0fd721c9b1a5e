//! The replay proof: which visits the origin has provably not begun with, so that they may be sent to the next one whatever
//! they ask for.
//!
//! The origin is frozen; what lies unread in its sockets then is what it has not read. A proof holds for as long as nobody
//! reads it afterwards. Killed out of its freeze, the origin never does. Where it is to be given a grace instead, it would:
//! a reset of ours does not help, since Linux leaves the reader what had arrived before it (measured on 6.18). So the
//! bytes are taken back first: we accept what waits to be accepted, and empty the other sockets, by descriptors of the
//! origin's that the kernel lends us (`pidfd_getfd(2)`). Where it lends none there is no proof.
//!
//! An origin that exited by itself leaves no proof, for its sockets went with it. But what it had handed its door to, a worker
//! or a daemon, is frozen like itself, and proves what waits there; and where we hold its listening socket, what it had not
//! accepted is still there. It would be the next generation's to answer, so it is always taken back.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::net::{RecvFlags, recv};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, Signal, pidfd_getfd, pidfd_open};

use super::evidence::aside;
use super::forensics::{Holder, Listening, connection, holders_with, is_stopped};
use super::held::{self, HeldSocket, is_ready};
use super::orphans;
use super::pid::Pid;
use super::process::Process;
use super::roster::{Roster, VisitId};
use super::stop::Ladder;
use crate::config::fixed::{PROVEN, PROVING, RESETTING};
use crate::ground::addr::OriginAddr;
use crate::ground::deadline;

/// What was found unread, and what was taken back of it.
#[derive(Debug, Default)]
pub struct Unread {
    /// The visits.
    pub visits: Vec<VisitId>,
    /// When the origin was frozen for that, if it was.
    pub frozen: Option<Instant>,
    /// What the origin had not accepted. Not closed before its visit knows that it ended.
    accepted: Vec<OwnedFd>,
    /// Connections the origin has as well, to be emptied once our end has reset them.
    shared: Vec<OwnedFd>,
}

/// What keeps a frozen origin from reading what it has not read, beside its freeze.
struct Grip {
    /// It will be continued.
    runs_on: bool,
    /// Its listening socket, which the next generation gets as it is.
    door: Option<OwnedFd>,
}

/// One visit of which nothing was read.
struct Candidate {
    visit: VisitId,
    peer: SocketAddr,
    /// Of its connection; 0 while that waits to be accepted.
    inode: u64,
}

/// For all threads of the origin to stop. A signal takes microseconds to get there, but each thread has to run for it, and
/// the host may be busy.
const STOPPING: Duration = Duration::from_millis(500);
/// So many visits are looked at, the oldest first.
const MOST: usize = 1024;

/// Freezes the origin and proves what it has not read; `ladder` is how it is to end. It stays frozen, until it is
/// killed or continued. Takes some milliseconds; nothing is done where no visit is under way, or over a unix socket, whose
/// peer the kernel does not tell. `held` is its listening socket, where we hold it.
pub async fn prove(
    (process, number): (&Process, u64),
    address: &OriginAddr,
    roster: &Roster,
    ladder: Ladder,
    held: Option<&HeldSocket>,
) -> Unread {
    let OriginAddr::Tcp(at) = *address else {
        return Unread::default();
    };
    // Who is not ours to freeze may read on; and its workers, if they are ours, would be frozen for nothing.
    if roster.visits(deadline::now(), 1).is_empty() || !process.is_ours_to_freeze() {
        return Unread::default();
    }
    process.signal(Signal::STOP).await;
    if !process.is_ours_to_freeze() {
        return Unread::default();
    }
    let frozen = (!process.has_exited()).then(deadline::now);
    if ladder == Ladder::Kill {
        // They have no grace either.
        orphans::freeze(number).await;
    }
    let visits = roster.visits(deadline::now(), MOST);
    let peers = visits.iter().filter_map(|it| Some((it.id, it.local?)));
    let peers: Vec<_> = peers.collect();
    let grip = Grip {
        runs_on: ladder != Ladder::Kill,
        door: held.and_then(|held| held.handle().ok()),
    };
    let until = Instant::now() + PROVING;
    let limit = PROVING + PROVEN;
    let found = aside(limit, move || look(at, &peers, &grip, until)).await;
    if found.is_none() {
        tracing::warn!("what the origin has not read could not be proven within {limit:?}");
    }
    let mut unread = found.unwrap_or_default();
    unread.frozen = frozen;
    if !unread.visits.is_empty() {
        let count = unread.visits.len();
        tracing::info!(
            count,
            "the origin has not read these requests; they go to the next"
        );
    }
    unread
}

impl Unread {
    /// Empties what the origin could still read, when the visits have been told of their end. `false`: something could
    /// not be taken back, and the origin must not run on.
    pub async fn take_back(self) -> bool {
        if self.shared.is_empty() {
            return true;
        }
        let limit = RESETTING + PROVEN;
        aside(limit, move || self.shared.iter().all(is_emptied))
            .await
            .unwrap_or(false)
    }
}

fn look(at: SocketAddr, visits: &[(VisitId, SocketAddr)], grip: &Grip, until: Instant) -> Unread {
    let mut unread = Unread::default();
    let before = candidates(at, visits);
    if before.is_empty() {
        return unread;
    }
    let Some(holders) = holding(at, &before, until) else {
        tracing::warn!("it was not seen in time who holds what the origin has not read: no proof");
        return unread;
    };
    if !all_stopped(&holders, (Instant::now() + STOPPING).min(until)) {
        tracing::warn!("somebody could still read what the origin has not: no proof");
        return unread;
    }
    let is_held = |inode| inode == 0 || holders.iter().any(|it| it.inode == inode);
    let mut proven = candidates(at, visits);
    // What was accepted in between has a holder we do not know.
    proven.retain(|now| {
        let same = |it: &Candidate| it.visit == now.visit && it.inode == now.inode;
        before.iter().any(same) && is_held(now.inode)
    });
    if let Some(door) = &grip.door {
        unread.keep_from_next(door, &mut proven, until);
    }
    if grip.runs_on {
        unread.keep_from(&holders, grip, &mut proven, until);
    }
    unread.visits = proven.iter().map(|it| it.visit).collect();
    unread
}

fn candidates(at: SocketAddr, visits: &[(VisitId, SocketAddr)]) -> Vec<Candidate> {
    let unread = |&(visit, peer): &(VisitId, SocketAddr)| {
        let row = connection(at, peer).known().cloned().flatten()?;
        let inode = row.inode;
        (row.untouched() == Some(true)).then_some(Candidate { visit, peer, inode })
    };
    visits.iter().filter_map(unread).collect()
}

/// All others who could read: they hold the door, or one of the connections.
fn holding(at: SocketAddr, candidates: &[Candidate], until: Instant) -> Option<Vec<Holder>> {
    let accepted: Vec<_> = candidates.iter().map(|it| it.inode).collect();
    let seen = holders_with(&Listening::Tcp(at), &accepted, until);
    let seen = seen.known().cloned()?;
    let others = seen
        .found
        .into_iter()
        .filter(|it| Some(it.pid) != Pid::own());
    (!seen.truncated).then(|| others.collect())
}

fn all_stopped(holders: &[Holder], until: Instant) -> bool {
    loop {
        if holders.iter().all(|it| is_stopped(it.pid)) {
            return true;
        }
        if Instant::now() >= until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

impl Unread {
    /// Takes back what waits to be accepted at a door of ours.
    fn keep_from_next(&mut self, door: &OwnedFd, proven: &mut Vec<Candidate>, until: Instant) {
        let taken = self.take_in(door, until);
        proven.retain(|it| it.inode != 0 || taken.contains(&it.peer));
    }

    /// Takes back what waits to be accepted at a door of the origin's, and gets hold of what was accepted; what it cannot get
    /// is not proven.
    fn keep_from(
        &mut self,
        holders: &[Holder],
        grip: &Grip,
        proven: &mut Vec<Candidate>,
        until: Instant,
    ) {
        let is_ours = grip.door.is_some();
        let waits = !is_ours && proven.iter().any(|it| it.inode == 0);
        let mut taken = Vec::new();
        let mut seen = Vec::new();
        for holder in holders {
            let is_connection = proven.iter().any(|it| it.inode == holder.inode);
            if seen.contains(&holder.inode) || !(is_connection || waits) {
                continue;
            }
            let descriptor = match lent(holder) {
                Ok(descriptor) => descriptor,
                Err(error) => {
                    let pid = holder.pid;
                    tracing::warn!(%pid, %error, "what the origin has not read cannot be taken back from it");
                    continue;
                }
            };
            seen.push(holder.inode);
            match is_connection {
                true => self.shared.push(descriptor),
                false => taken.extend(self.take_in(&descriptor, until)),
            }
        }
        proven.retain(|it| match it.inode {
            0 => is_ours || taken.contains(&it.peer),
            inode => seen.contains(&inode),
        });
    }

    /// Accepts all that wait, and says whose they are.
    fn take_in(&mut self, door: &OwnedFd, until: Instant) -> Vec<SocketAddr> {
        let (connections, peers): (Vec<_>, Vec<_>) = held::waiting(door, until).into_iter().unzip();
        self.accepted.extend(connections);
        peers.into_iter().flatten().collect()
    }
}

fn lent(holder: &Holder) -> io::Result<OwnedFd> {
    let pid = i32::try_from(holder.pid.number()).ok();
    let pid = pid.and_then(rustix::process::Pid::from_raw);
    let process = pidfd_open(pid.ok_or(io::ErrorKind::NotFound)?, PidfdFlags::empty())?;
    let number = i32::try_from(holder.descriptor).map_err(io::Error::other)?;
    Ok(pidfd_getfd(process, number, PidfdGetfdFlags::empty())?)
}

/// Waits until our end has reset the connection, so that nothing more can come, and reads what had.
fn is_emptied(connection: &OwnedFd) -> bool {
    if !is_ready(connection, PollFlags::HUP, RESETTING) {
        return false;
    }
    let mut scrap = vec![0; 64 << 10];
    while recv(connection, &mut scrap[..], RecvFlags::DONTWAIT).is_ok_and(|(_, read)| read > 0) {}
    true
}
