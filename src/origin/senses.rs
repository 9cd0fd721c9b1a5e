//! Asks the origin and looks at it, at the pace its health calls for. One probe at a time.

mod limits;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::attention::{Attention, Hoard};
use super::evidence::aside;
use super::forensics::{
    ByState, Findings, Listening, Seen, TcpState, Vital, accept_queue, by_state, descriptor_limit,
    examine, sentence, strain, stuck, vital,
};
use super::gate::Generation;
use super::growth::Holding;
use super::pid::Pid;
use super::probe::{self, Reading};
use super::roster::{Roster, VisitSeen, serving};
use super::verdict::{self, Doing, Evidence, Judgement, Limits, Verdict};
use super::view::View;
use crate::config::fixed::{ALERT, CALM, EXAMINING, NOTICED};
use crate::config::settings::{self, Settings};
use crate::ground::addr::OriginAddr;
use crate::ground::deadline::{self, Deadline};
use limits::limits;

/// The senses for one generation of the origin.
pub struct Senses {
    begun: Instant,
    address: OriginAddr,
    listening: Listening,
    origin: Arc<settings::Origin>,
    limits: Limits,
    roster: Roster,
    process: Seen<Pid>,
    /// Why that is in doubt.
    doubt: Option<String>,
    is_ours: bool,
    attention: Attention,
    /// What the process looked like at the last look.
    vital: Option<Vital>,
    probing: Option<Work<Reading>>,
    /// A close look at the process that is under way, and the silence it is for.
    examining: Option<Work<Option<Findings>>>,
    looked_after: Duration,
    /// A look at what it hoards that is under way.
    rummaging: Option<Work<Option<Hoard>>>,
    next_rummage: Instant,
    /// How long a silence must be for the next close look.
    worth_a_look: Duration,
    next_probe: Instant,
    next_look: Instant,
    alert: bool,
    /// Of what it was warned that its limit is near.
    warned: Vec<Holding>,
}

/// What is under way.
type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Between two probes of an origin that is starting, at the most. It begins with the least, since many start within
/// milliseconds, and everybody waits for it; whoever takes longer is asked each time a quarter of that has passed.
const STARTING: Duration = Duration::from_millis(50);
const JUST_STARTED: Duration = Duration::from_millis(5);
/// Between two looks at what it hoards: each reads every descriptor and the table of all sockets, 2 ms and more.
const RUMMAGE: Duration = Duration::from_secs(30);
/// The first is soon after its start.
const FIRST_RUMMAGE: Duration = Duration::from_secs(2);

impl Senses {
    /// Begins to watch whatever listens at `address`; `pid` is the process, if it is ours. Another's is looked at once
    /// it is told by [`Senses::look_at`].
    pub fn new(
        settings: &Settings,
        address: OriginAddr,
        pid: Option<Pid>,
        roster: Roster,
        now: Instant,
    ) -> Self {
        Self {
            begun: now,
            listening: listening(&address),
            address,
            origin: Arc::new(settings.origin.clone()),
            limits: limits(settings),
            roster,
            process: Seen::from_option(pid, || "no process of it was seen yet".to_owned()),
            doubt: None,
            is_ours: pid.is_some(),
            attention: Attention::new(now),
            vital: None,
            probing: None,
            examining: None,
            looked_after: Duration::ZERO,
            rummaging: None,
            next_rummage: now + FIRST_RUMMAGE,
            worth_a_look: first_look(settings.hang.certain),
            next_probe: now,
            next_look: now,
            alert: false,
            warned: Vec::new(),
        }
    }

    /// Asks and judges by these settings from now on.
    pub fn adopt(&mut self, settings: &Settings) {
        self.origin = Arc::new(settings.origin.clone());
        self.limits = limits(settings);
        self.worth_a_look = first_look(settings.hang.certain);
        self.next_probe = deadline::now();
    }

    /// From now on this is the process, or why there is none to look at; `doubt` tells why it may be another one.
    pub fn look_at(&mut self, process: Seen<Pid>, doubt: Option<String>) {
        self.doubt = doubt;
        if self.process.known() != process.known() {
            self.attention.looks_elsewhere(deadline::now());
            // Work that is under way is about the other one.
            (self.examining, self.rummaging) = (None, None);
            self.vital = None;
        }
        self.process = process;
        self.next_look = deadline::now();
    }

    /// It serves from now on: these are the visits it is judged by.
    pub fn serves(&mut self, roster: Roster) {
        self.roster = roster;
    }

    /// What the process looked like at the last look, if there was one.
    pub fn vital(&self) -> Option<&Vital> {
        self.vital.as_ref()
    }

    /// Returns with the next thing noticed: what came of a probe, or nothing but the passing of time.
    ///
    /// A probe takes a slot of `generation` like any request, so that a serial origin that is busy with
    /// us is not asked. Without a generation, there is nobody it could get in the way of.
    pub async fn notice(
        &mut self,
        generation: Option<&Arc<Generation>>,
        nudges: &mut mpsc::Receiver<Reading>,
    ) -> Option<Reading> {
        self.look();
        self.ask(generation);
        let wake = match self.probing {
            Some(_) => self.next_look,
            None => self.next_look.min(self.next_probe),
        };
        tokio::select! {
            hoard = done(&mut self.rummaging) => {
                self.rummaging = None;
                let (hoard, now) = (hoard.unwrap_or_default(), deadline::now());
                self.attention.hoards(hoard, !self.alert, now);
                None
            }
            findings = done(&mut self.examining) => {
                self.examining = None;
                self.examined(findings.as_ref());
                None
            }
            reading = done(&mut self.probing) => {
                self.probing = None;
                let now = deadline::now();
                self.next_probe = now + self.pace(generation.is_some(), now);
                if generation.is_none() {
                    // What it holds at its start is what it holds at its first answer.
                    self.next_look = now;
                }
                self.attention.heard(&reading, now);
                Some(reading)
            }
            Some(reading) = nudges.recv() => {
                let now = deadline::now();
                self.next_probe = self.next_probe.min(now + STARTING);
                self.attention.heard(&reading, now);
                None
            }
            () = tokio::time::sleep_until(wake.into()) => None,
        }
    }

    /// Takes back what is being asked just now; it is asked again.
    pub fn hush(&mut self) {
        self.probing = None;
    }

    /// What all that was noticed comes to.
    pub fn judge(&mut self) -> (Judgement, Evidence) {
        let now = deadline::now();
        let visits = self.visits(now);
        let noted = (self.roster.last_life(), self.roster.last_shed());
        let mut evidence = self.attention.evidence(&visits, noted, now);
        // One that answers is not stopped: it was another that was looked at.
        if self.doubt.is_some() && evidence.silence < self.limits.certain {
            evidence.doing = Doing::Unseen;
        }
        let judgement = verdict::judge(&evidence, &self.limits);
        // A leak grows slowly, and may stay for weeks.
        let is_urgent = judgement.verdict.is_suspect() && judgement.verdict != Verdict::Leaking;
        self.alert = is_urgent || evidence.silence > NOTICED || !evidence.refused_for.is_zero();
        self.examine(&evidence);
        if self.alert {
            self.next_probe = self.next_probe.min(now + self.origin.probe.suspect_every);
        }
        (judgement, evidence)
    }

    /// The requests under way, the oldest first.
    pub fn visits(&self, now: Instant) -> Vec<VisitSeen> {
        const TOLD: usize = 64;
        self.roster.visits(now, TOLD)
    }

    /// Writes what is known of the process into the view.
    pub fn describe(&self, view: &mut View, judgement: Judgement, evidence: &Evidence) {
        view.accept_queue = evidence.accept_queue;
        view.processor_share = evidence.processor_share;
        view.judgement = Some(judgement);
        view.growths = self.attention.growths().clone();
        if let Some(vital) = &self.vital {
            view.resident = vital.resident_bytes.known().copied();
            view.descriptors = vital.descriptors.known().copied();
            view.threads = vital.threads.known().copied();
        }
    }

    fn look(&mut self) {
        let now = deadline::now();
        self.rummage(now);
        if now < self.next_look {
            return;
        }
        self.next_look = now + if self.alert { ALERT } else { CALM };
        self.attention.looks();
        match &self.process {
            Seen::Known(pid) => {
                let seen = vital(*pid);
                self.attention.saw(&seen, now);
                let limits = &self.origin.limits;
                self.attention.weighed(&seen, limits, !self.alert, now);
                self.warn();
                self.vital = Some(seen);
            }
            Seen::Hidden(why) => self.attention.misses(why),
        }
        self.doubt.iter().for_each(|why| self.attention.misses(why));
        self.attention.felt(&strain());
        self.attention.counted(&accept_queue(&self.listening));
    }

    /// Says once of each thing that its limit will be reached within a day.
    fn warn(&mut self) {
        for grown in &self.attention.growths().0 {
            if !grown.is_ominous() || self.warned.contains(&grown.holding()) {
                continue;
            }
            self.warned.push(grown.holding());
            tracing::warn!("the origin {}", grown.told().unwrap_or_default());
        }
    }

    /// Looks closely at a process that keeps silent: twice before `hang.certain` is over, then ever more seldom, since a
    /// look at a hundred threads costs 20 ms.
    fn examine(&mut self, evidence: &Evidence) {
        let first = first_look(self.limits.certain);
        if evidence.silence < first {
            self.worth_a_look = first;
            return;
        }
        let is_due = evidence.silence >= self.worth_a_look && self.process.known().is_some();
        if !is_due || self.examining.is_some() {
            return;
        }
        self.worth_a_look *= 2;
        self.looked_after = evidence.silence;
        let (root, at) = (self.process.clone(), self.listening.clone());
        let until = Instant::now() + EXAMINING;
        let look = aside(2 * EXAMINING, move || examine(&root, &at, until));
        self.examining = Some(Box::pin(look));
    }

    fn examined(&mut self, findings: Option<&Findings>) {
        let (now, after) = (deadline::now(), self.looked_after);
        let visits = self.visits(now);
        // A stream may have more to send; what is not one was sent whole.
        let is_ours = |peer| {
            let mut whole = visits.iter().filter(|visit| !visit.is_lasting);
            whole.any(|visit| visit.local == Some(peer))
        };
        let owes = visits.iter().any(|visit| !visit.is_lasting);
        let found = findings.and_then(|findings| stuck(findings, owes, is_ours));
        let closely = findings.map(|findings| {
            let said = sentence(findings, after, |peer| serving(&visits, peer));
            format!("a close look after {after:.1?} of silence: {said}")
        });
        self.attention.examined(found, closely, now);
    }

    /// Looks now and then at what costs more to look at.
    fn rummage(&mut self, now: Instant) {
        let Some(pid) = self.process.known().copied() else {
            return;
        };
        if now < self.next_rummage || self.rummaging.is_some() {
            return;
        }
        self.next_rummage = now + RUMMAGE;
        let look = aside(2 * EXAMINING, move || {
            let by_state = by_state(pid);
            let close_wait = |states: &ByState| states.get(&TcpState::CloseWait).copied();
            let held = by_state.known().map(|it| close_wait(it).unwrap_or(0));
            Hoard {
                close_wait: held.map(u64::from),
                descriptor_limit: descriptor_limit(pid).known().copied().flatten(),
                unseen: by_state.hidden().map(str::to_owned),
            }
        });
        self.rummaging = Some(Box::pin(look));
    }

    fn ask(&mut self, generation: Option<&Arc<Generation>>) {
        let now = deadline::now();
        if self.probing.is_some() || now < self.next_probe {
            return;
        }
        let slot = match generation.map(Generation::free_slot) {
            None => None,
            Some(Ok(slot)) => Some(slot),
            Some(Err(_)) => {
                self.attention.found_full(now);
                self.next_probe = now + self.origin.probe.suspect_every;
                return;
            }
        };
        self.attention.asked(now);
        let (address, origin) = (self.address.clone(), self.origin.clone());
        let deadline = Deadline::after(now, self.origin.probe.timeout);
        self.probing = Some(Box::pin(async move {
            let reading = probe::ask(&address, &origin, deadline).await;
            drop(slot);
            reading
        }));
    }

    fn pace(&self, is_open: bool, now: Instant) -> Duration {
        let is_start = !is_open && self.is_ours;
        let age = now.saturating_duration_since(self.begun);
        match self.alert || !is_open {
            _ if is_start => patience_at_start(age).min(self.origin.probe.suspect_every),
            true => self.origin.probe.suspect_every,
            false => self.origin.probe.every,
        }
    }
}

/// Returns with what came of it; never while there is none.
async fn done<T>(work: &mut Option<Work<T>>) -> T {
    match work {
        Some(work) => work.await,
        None => std::future::pending().await,
    }
}

/// Until the next probe of an origin that was started so long ago and has not answered.
fn patience_at_start(age: Duration) -> Duration {
    (age / 4).clamp(JUST_STARTED, STARTING)
}

/// A silence of this length is worth a first close look.
fn first_look(certain: Duration) -> Duration {
    certain / 2
}

/// The origin's address in the words of forensics.
pub fn listening(address: &OriginAddr) -> Listening {
    match address {
        OriginAddr::Tcp(addr) => Listening::Tcp(*addr),
        OriginAddr::Unix(path) => Listening::Unix(path.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_starts_at_once_is_asked_at_once_and_who_takes_long_is_not_pestered() {
        let of = |age| patience_at_start(Duration::from_millis(age)).as_millis();
        assert_eq!(
            [0, 20, 40, 100, 200, 60_000].map(of),
            [5, 5, 10, 25, 50, 50]
        );
    }
}
