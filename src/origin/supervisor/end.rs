//! The end of a generation: the story first, then the hook, the proof of what is unread, the ladder, and the burial.

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use super::relief::Fate;
use super::tale::Signs;
use super::wound::Wound;
use super::{Current, Supervisor};
use crate::config::settings;
use crate::ground::deadline;
use crate::origin::course::Milestone;
use crate::origin::gate::{Shut, Why};
use crate::origin::hook::{self, Occasion};
use crate::origin::incident::{Incident, Step};
use crate::origin::lifecycle::{Event, Phase};
use crate::origin::process::Wanted;
use crate::origin::stop::Ladder;
use crate::origin::unread::Unread;
use crate::origin::verdict::{Confidence, Verdict};
use crate::origin::{Ending, evidence, stop, unread};

impl Supervisor {
    /// Shuts the gate, writes the story, ends the whole group.
    pub(super) async fn end(&mut self, verdict: Verdict) -> Option<Event> {
        let current = self.current.as_mut()?;
        let now = deadline::now();
        let shut = self.held.take().unwrap_or(now);
        self.scar = None;
        self.watch.board.shut(Shut {
            since: now,
            expected: now + self.start_took,
            why: Why::Down,
        });
        let silence = current
            .last
            .as_ref()
            .map_or(Duration::ZERO, |(_, evidence)| {
                evidence
                    .silence
                    .max(evidence.refused_for)
                    .max(match verdict {
                        Verdict::Stopped => evidence.doing_for,
                        _ => Duration::ZERO,
                    })
            });
        let unwell = match verdict {
            // However long it was at a request: it fell ill when it ended.
            Verdict::Exited => Duration::ZERO,
            _ if verdict.is_renewal() => Duration::ZERO,
            _ => silence.min(now - current.spawned),
        };
        let signs = Signs {
            ill: (now - unwell).min(shut),
            shut,
            verdict: now,
        };
        let visits = current.senses.visits(now);
        let mut confidence = Confidence::Conclusive;
        let mut incident = None;
        let mut ending = Ending::of(verdict, &visits, silence, None);
        if verdict.is_incident() {
            self.let_go("there is another incident");
            let current = self.current.as_mut()?;
            let course = current.course(verdict, signs, &self.watch.roster);
            let killed = current.kills.since();
            let last = current.last.take();
            let seen = evidence::Scene {
                verdict,
                judgement: last.as_ref().map(|(judgement, _)| judgement.clone()),
                silence,
                leaks: last.map_or_else(Vec::new, |(_, evidence)| evidence.leaks),
                visits: visits.clone(),
                course,
                killed,
                subject: evidence::Subject::Owned(&current.process),
            };
            let mut opened = evidence::gather(&self.watch, seen).await;
            ending = Ending::of(verdict, &visits, silence, opened.findings.as_ref());
            opened.quarantined = self.watch.blame(&ending, &visits, now);
            opened.part_of = self.outage();
            confidence = opened.judgement.confidence;
            tracing::error!(
                verdict = verdict.word(),
                incident = opened.id,
                "{}",
                opened.sentence
            );
            let file = evidence::record(&mut self.watch, &opened, Step::Opened).await;
            if file.is_some() {
                opened.timeline.note(Milestone::Written, deadline::now());
            }
            // Until the next generation can be judged, this is what is believed.
            self.watch.board.view.judgement = Some(opened.judgement.clone());
            incident = Some(self.before_kill(opened, file.as_deref()).await);
        }
        let is_final = self.is_final();
        let fate = self.fate(verdict);
        let current = self.current.as_mut()?;
        let mut ladder = match fate {
            None => stop::ladder(verdict, confidence, &self.watch.settings.restart),
            // A grace would be time for it to work on what the standby is given.
            Some(Fate::Killed) => Ladder::Kill,
            // A debugger may let it go on.
            Some(Fate::Kept) => Ladder::Term(Duration::ZERO),
        };
        if let Some((generation, ender)) = current.open.take() {
            let address = &self.watch.board.view.address;
            let held = self.watch.held.as_ref();
            let unread = match is_final {
                true => Unread::default(),
                false => {
                    let dying = (&current.process, generation.number);
                    let roster = &self.watch.roster;
                    unread::prove(dying, address, roster, ladder, held).await
                }
            };
            if let Some(incident) = &mut incident {
                incident.unread.clone_from(&unread.visits);
                if let Some(frozen) = unread.frozen {
                    incident.timeline.note(Milestone::Frozen, frozen);
                }
            }
            ender.end(ending.but_unread(&unread.visits));
            if ladder != Ladder::Kill && !unread.take_back().await {
                tracing::warn!("what the origin has not read is still in its reach; KILL follows");
                ladder = Ladder::Kill;
            }
        }
        if is_final && current.process.is_foreign() {
            tracing::warn!("the origin is somebody else's and is left running");
            return self.bury().await;
        }
        if is_final && current.process.bequest().is_some() && self.is_to_outlive_us().await {
            return self.bequeath();
        }
        let current = self.current.as_mut()?;
        let process = &current.process;
        let has_ended = verdict == Verdict::Exited || process.is_known() && process.has_exited();
        if !has_ended && !process.is_being_ended().await {
            self.means.want(Wanted::Up);
        }
        if !is_final {
            *self.watch.board.view.restarts.entry(verdict).or_default() += 1;
        }
        let wound = Wound::of(signs, self.watch.paid);
        self.wound.get_or_insert(wound).befalls(incident);
        let current = self.current.as_ref()?;
        if let Some(remedy) = current.process.out_of_reach() {
            return self.leave(&remedy).await;
        }
        if fate.is_some() {
            let Some(event) = self.set_aside().await else {
                return self.descend(Ladder::Kill).await;
            };
            if fate == Some(Fate::Kept) && ladder == Ladder::Kill {
                self.let_go("what it has not read is still in its reach");
            }
            return Some(event);
        }
        self.descend(ladder).await
    }

    async fn descend(&mut self, ladder: Ladder) -> Option<Event> {
        self.asks(ladder);
        let current = self.current.as_mut()?;
        // A serial origin would wait for the rest of a question that nobody goes on with, and not hear that it is to end.
        current.senses.hush();
        match stop::descend(&current.process, ladder).await {
            true => self.bury().await,
            false => match current.process.out_of_reach() {
                Some(remedy) => self.leave(&remedy).await,
                None => self.give_up(),
            },
        }
    }

    /// It cannot be ended, and runs on: it is looked for again, and serves once it answers.
    async fn leave(&mut self, remedy: &str) -> Option<Event> {
        let current = self.current.as_ref()?;
        tracing::error!("the origin is out of reach and runs on: {remedy}");
        // It may have been frozen.
        current.process.signal(Signal::CONT).await;
        let event = self.bury().await;
        let told = format!("it could not be ended and runs on: {remedy}");
        self.watch.board.view.trouble = Some(told);
        event
    }

    /// Runs the operator's hook while the process is as it was found: whatever is closed or signalled could wake it.
    async fn before_kill(&mut self, mut incident: Incident, file: Option<&Path>) -> Incident {
        let hook = &self.watch.settings.hooks.before_kill;
        let is_there = self
            .current
            .as_ref()
            .is_some_and(|it| !it.process.has_exited());
        if hook.words.is_empty() || !is_there {
            return incident;
        }
        let ran = hook::run(hook, &Occasion::of(&incident, file, Step::Opened)).await;
        let took = Duration::from_secs_f64(ran.took_seconds);
        match ran.is_good {
            true => tracing::info!(?took, "hooks.before_kill {}", ran.end),
            false => tracing::error!(?took, said = ran.said(), "hooks.before_kill {}", ran.end),
        }
        incident.before_kill = Some(ran);
        evidence::record(&mut self.watch, &incident, Step::Amended).await;
        incident
    }

    /// The group is gone: take the exit status, and say how it ended.
    pub(super) async fn bury(&mut self) -> Option<Event> {
        let mut current = self.current.take()?;
        drop(current.living.take());
        self.watch.board.view.forget_process();
        let death = current.death();
        let (obituary, orphans) = current.process.bury().await;
        orphans.tell();
        if let Some(held) = &self.watch.held {
            held.empty();
        }
        self.close_story(&obituary, Some(death)).await;
        if current.never_answered {
            let mut trouble = format!("its last start failed: it {obituary}");
            if let Some(daemon) = orphans.told() {
                trouble = format!("{trouble} and left {daemon} behind");
                if let settings::Process::Command(_) = self.watch.process {
                    trouble = format!(
                        "{trouble}; it must stay in the foreground, or origin.process.daemonises be true"
                    );
                }
            }
            if let Some(obstacle) = self.obstacle().await {
                trouble = format!("{trouble}; {obstacle}");
            }
            self.watch.board.view.trouble = Some(trouble);
        }
        Some(Event::Gone)
    }

    /// An ending that had to be left unfinished can be finished now: the process has exited at last.
    pub(super) fn is_late(&self) -> bool {
        let stopping = matches!(self.life.phase(), Phase::Stopping { .. });
        let exited = |current: &Current| current.process.has_exited();
        stopping && self.current.as_ref().is_some_and(exited)
    }

    /// Killed, and still there: it hangs in the kernel. No second one is started beside it.
    fn give_up(&mut self) -> Option<Event> {
        let pid = self.watch.board.view.pid;
        let trouble = format!(
            "process {} does not end, though it was killed: it is held in the kernel (state D); see its incident",
            pid.map(|pid| pid.to_string()).unwrap_or_default()
        );
        tracing::error!(trouble);
        self.watch.board.view.trouble = Some(trouble);
        self.is_final().then_some(Event::Gone)
    }
}
