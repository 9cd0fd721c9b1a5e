//! Watches an origin somebody else starts: probes, judges and tells, and never acts. The gate shuts while
//! nobody listens there, so that requests wait for it to come back.

use std::sync::Arc;

use super::gate::{Ender, Generation};
use super::probe::Reading;
use super::senses::Senses;
use super::verdict::Verdict;
use super::view::State;
use super::{Shut, Watch, concurrency};
use crate::ground::deadline;
use crate::ground::drain::Drain;

struct Observer {
    watch: Watch,
    senses: Senses,
    open: Option<(Arc<Generation>, Ender)>,
}

/// Observes until the drain begins.
pub async fn run(watch: Watch, mut drain: Drain) {
    let now = deadline::now();
    let address = watch.board.view.address.clone();
    let senses = Senses::new(&watch.settings, address, None, watch.roster.clone(), now);
    let mut observer = Observer {
        watch,
        senses,
        open: None,
    };
    observer.watch.board.view.state = State::Starting;
    loop {
        let generation = observer
            .open
            .as_ref()
            .map(|(generation, _)| generation.clone());
        let noticed = observer
            .senses
            .notice(generation.as_ref(), &mut observer.watch.nudges);
        let reading = tokio::select! {
            reading = noticed => reading,
            _ = drain.begun() => return,
        };
        observer.take_in(reading).await;
    }
}

impl Observer {
    async fn take_in(&mut self, reading: Option<Reading>) {
        let now = deadline::now();
        if let Some(reading) = reading {
            self.watch.board.view.probes.count(&reading);
            if matches!(reading, Reading::Answered { .. }) && self.open.is_none() {
                self.welcome().await;
            }
            self.watch.board.view.last_probe = Some((reading, now));
        }
        let (judgement, evidence) = self.senses.judge();
        let verdict = judgement.verdict;
        if verdict == Verdict::NotListening && judgement.act {
            self.part();
        }
        let state = match verdict {
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
        view.enter(state, now);
        self.senses.describe(view, judgement, &evidence);
        self.watch.board.publish();
    }

    /// It answers: measure how many it serves at once, unless that is set, and let requests through.
    async fn welcome(&mut self) {
        let view = &mut self.watch.board.view;
        let slots = concurrency::settle(view, &self.watch.settings.origin).await;
        view.generation += 1;
        view.started = Some(deadline::now());
        let address = view.address.clone();
        let (generation, ender) = Generation::begin(view.generation, address, slots);
        self.open = Some((generation.clone(), ender));
        self.watch.board.open(generation);
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
        });
        ender.end(super::Ending {
            verdict: Some(Verdict::NotListening),
            suspects: Vec::new(),
            unread: Vec::new(),
        });
        let address = self.watch.board.view.address.clone();
        let roster = self.watch.roster.clone();
        self.senses = Senses::new(&self.watch.settings, address, None, roster, now);
    }
}
