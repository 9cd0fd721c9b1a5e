//! Watches an origin somebody else starts: probes, looks, judges and tells, and never acts. The gate shuts while
//! nobody listens there, so that requests wait for it to come back.

mod search;
mod sickness;

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;

use super::course::Course;
use super::evidence::{self, Subject};
use super::forensics::{Seen, Server};
use super::gate::{Ender, Generation};
use super::oom::Since;
use super::probe::Reading;
use super::senses::Senses;
use super::verdict::{Evidence, Judgement, Verdict};
use super::view::State;
use super::will::{Reply, Stance, Verb};
use super::{Shut, Watch, Why, Wish, concurrency, hook};
use crate::ground::deadline;
use crate::ground::drain::Drain;

use search::Search;
use sickness::Sickness;

struct Observer {
    watch: Watch,
    senses: Senses,
    open: Option<(Arc<Generation>, Ender)>,
    search: Search,
    /// Whose process it is, or why that is not known.
    server: Seen<Server>,
    /// Whose it was until it was gone.
    lost: Option<Server>,
    /// What it suffers from, from the verdict until it answers again.
    sickness: Option<Sickness>,
    /// Since when it has been suspected.
    suspected: Option<Instant>,
}

/// Observes until the drain begins.
pub async fn run(mut watch: Watch, mut drain: Drain) {
    let now = deadline::now();
    let address = watch.board.view.address.clone();
    let senses = Senses::new(&watch.settings, address, None, watch.roster.clone(), now);
    watch.told = hook::Queue::open("hooks.on_incident", &watch.settings.hooks.on_incident);
    watch.board.view.state = State::Starting;
    let mut observer = Observer {
        search: Search::new(&watch.board.view.address, now),
        watch,
        senses,
        open: None,
        server: Seen::Hidden("no process of it was seen yet".to_owned()),
        lost: None,
        sickness: None,
        suspected: None,
    };
    loop {
        observer.watch.release_due(deadline::now());
        let generation = observer
            .open
            .as_ref()
            .map(|(generation, _)| generation.clone());
        let stance_ends = observer.watch.board.view.stance.until();
        let noticed = observer
            .senses
            .notice(generation.as_ref(), &mut observer.watch.nudges);
        tokio::select! {
            reading = noticed => observer.take_in(reading).await,
            found = observer.search.found() => observer.found(found).await,
            Some(wish) = observer.watch.wishes.recv() => observer.grant(wish).await,
            Ok(()) = observer.watch.renewed.changed() => {
                let next = observer.watch.adopt();
                observer.senses.adopt(&next);
            }
            () = deadline::reached(stance_ends) => drop(observer.watch.stand(Verb::Resume)),
            _ = drain.begun() => break,
        }
    }
    observer.leave().await;
}

impl Observer {
    async fn take_in(&mut self, reading: Option<Reading>) {
        let now = deadline::now();
        let answered = matches!(reading, Some(Reading::Answered { .. }));
        if let Some(reading) = reading {
            self.watch.board.view.probes.count(&reading);
            if answered && self.open.is_none() {
                self.welcome().await;
            }
            self.watch.board.view.last_probe = Some((reading, now));
        }
        self.keep_track();
        let (judgement, evidence) = self.senses.judge();
        match judgement.verdict.is_suspect() {
            true => drop(self.suspected.get_or_insert(now)),
            false => self.suspected = None,
        }
        self.watch.hear(&judgement);
        let lets_be = self.watch.board.view.stance.lets_be();
        if judgement.act && self.sickness.is_none() && !lets_be {
            self.fall_ill(&judgement, &evidence).await;
        } else if judgement.verdict == Verdict::NotListening && judgement.act {
            self.part();
        } else if let Some(sickness) = &mut self.sickness
            && sickness.is_over(&judgement, &evidence, answered)
        {
            // Who answers now is a part of the story.
            sickness.over.get_or_insert(now);
            self.search.at_once();
        }
        self.tell(judgement, &evidence);
    }

    /// Carries out what an operator wants, as far as that is ours to do.
    async fn grant(&mut self, wish: Wish) {
        let reply = match wish.verb {
            Verb::Restart => Err(
                "Leeward only observes this origin ([origin.process] is not set): whoever started it has to restart it"
                    .to_owned(),
            ),
            Verb::Capture => self.capture().await,
            Verb::Release(request) => self.watch.release(request.as_deref()),
            _ => self.watch.stand(wish.verb),
        };
        // Whoever asked may have gone.
        let _ = wish.reply.send(reply);
    }

    async fn capture(&mut self) -> Reply {
        let (judgement, evidence) = self.senses.judge();
        let scene = evidence::Scene {
            verdict: judgement.verdict,
            silence: evidence.silence,
            leaks: Vec::new(),
            course: Course::new(deadline::now(), Timestamp::now()),
            killed: Since::default(),
            judgement: Some(judgement),
            visits: self.senses.visits(deadline::now()),
            subject: Subject::Observed(self.server.part(|server| server.pid)),
        };
        evidence::capture(&mut self.watch, scene).await
    }

    fn tell(&mut self, judgement: Judgement, evidence: &Evidence) {
        let verdict = judgement.verdict;
        let stance = self.watch.board.view.stance;
        let state = match verdict {
            _ if matches!(stance, Stance::Maintenance { .. }) => State::Maintenance,
            _ if self.open.is_none() => State::Starting,
            _ if verdict.is_hang() && judgement.act => State::Hung,
            _ if verdict.is_suspect() => State::Suspect,
            _ => State::Ready,
        };
        let view = &mut self.watch.board.view;
        if state != view.state {
            tracing::info!(from = view.state.word(), to = state.word(), verdict = verdict.word(),
                because = %judgement.evidence_for.join("; "), "the observed origin changed");
        }
        view.enter(state, deadline::now());
        self.senses.describe(view, judgement, evidence);
        // Until there is somebody to be judged again, this is what is believed.
        if let Some(sickness) = self.sickness.as_ref().filter(|_| self.open.is_none()) {
            view.judgement = Some(sickness.judgement());
        }
        self.watch.board.publish();
    }

    /// It answers: measure how many it serves at once, unless that is set, and let requests through.
    async fn welcome(&mut self) {
        self.search.at_once();
        let view = &mut self.watch.board.view;
        let slots = concurrency::settle(view, &self.watch.settings.origin).await;
        view.generation += 1;
        view.started = Some(deadline::now());
        let address = view.address.clone();
        let (generation, ender) = Generation::begin(view.generation, address, slots);
        self.open = Some((generation.clone(), ender));
        self.watch.board.open(generation, deadline::now());
    }

    /// Nobody listens any more.
    fn part(&mut self) {
        let Some((_, ender)) = self.open.take() else {
            return;
        };
        let now = deadline::now();
        self.watch.board.shut(Shut {
            since: now,
            expected: now + self.watch.settings.origin.probe.suspect_every,
            why: Why::Down,
        });
        ender.end(super::Ending {
            verdict: Some(Verdict::NotListening),
            suspects: Vec::new(),
            unread: Vec::new(),
        });
        let address = self.watch.board.view.address.clone();
        let roster = self.watch.roster.clone();
        self.senses = Senses::new(&self.watch.settings, address, None, roster, now);
        self.attend();
    }
}
