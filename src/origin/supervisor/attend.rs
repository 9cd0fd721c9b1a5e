//! Looks after the standby: starts it, judges it, replaces it.

use super::Supervisor;
use super::standby::{Noticed, Spare, There};
use crate::ground::deadline;
use crate::origin::gate::Generation;
use crate::origin::pid::Pid;
use crate::origin::probe::Reading;
use crate::origin::roster::Roster;
use crate::origin::stop::Ladder;
use crate::origin::verdict::Verdict;

impl Supervisor {
    /// Looks after the standby and those that leave.
    pub(super) async fn attend(&mut self, noticed: Noticed) {
        match noticed {
            Noticed::Due => self.ready_a_spare().await,
            Noticed::Seen(reading) => self.look_at_spare(reading),
            Noticed::Lost => self.lose_spare("ended by itself"),
            Noticed::Idle => {
                self.retire(Ladder::Term(self.watch.settings.restart.grace_drain))
                    .await
            }
            Noticed::Late => self.retire(Ladder::Kill).await,
            Noticed::Thawed => self.let_go("it was kept for as long as it was to be, or ended"),
        }
        self.tell();
    }

    async fn ready_a_spare(&mut self) {
        let now = deadline::now();
        let taken = self.watch.board.view.address.clone();
        let Some(standby) = &mut self.standby else {
            return;
        };
        standby.pace.starts(now);
        let home = standby.home(&taken).await;
        let started = home.and_then(|address| {
            self.numbers += 1;
            let begun = self.bring_forth(self.numbers, &address);
            // Its visits are nobody's.
            let begun = begun.map(|it| self.begin(it, address.clone(), Roster::new(now)));
            let current = begun.map_err(|error| error.to_string())?;
            Ok((current, address))
        });
        let Some(standby) = &mut self.standby else {
            return;
        };
        match started {
            Ok((current, address)) => {
                let pid = current.process.pid().map(Pid::number);
                tracing::info!(generation = self.numbers, pid, %address, "a standby was started");
                standby.spare = Spare::There(Box::new(There {
                    current,
                    number: self.numbers,
                    address,
                    proof: None,
                    is_well: false,
                    answered: None,
                }));
            }
            Err(trouble) => {
                tracing::error!(trouble, "no standby can be started");
                standby.trouble = Some(trouble);
                let next = standby
                    .pace
                    .next(now)
                    .max(now + self.watch.settings.restart.backoff);
                standby.spare = Spare::Due(next);
            }
        }
    }

    fn look_at_spare(&mut self, reading: Option<Reading>) {
        let Some(standby) = &mut self.standby else {
            return;
        };
        let Spare::There(there) = &mut standby.spare else {
            return;
        };
        let now = deadline::now();
        let (judgement, _) = there.current.senses.judge();
        if matches!(reading, Some(Reading::Answered { .. })) {
            there.answered = Some(now);
            if there.proof.is_none() {
                let (pid, took) = (there.current.process.pid(), now - there.current.spawned);
                there.current.took = Some(took);
                let (number, address) = (there.number, there.address.clone());
                there.proof = Some(Generation::begin_of(pid, number, address, 1));
                tracing::info!(
                    generation = number,
                    pid = pid.map(Pid::number),
                    ?took,
                    "the standby is ready"
                );
            }
            standby.trouble = None;
        }
        let verdict = judgement.verdict;
        let is_bearable = !verdict.is_suspect() || verdict == Verdict::Leaking;
        there.is_well = there.proof.is_some() && is_bearable;
        if judgement.act {
            self.lose_spare(&format!("is {}", verdict.word()));
        }
    }

    fn lose_spare(&mut self, why: &str) {
        let Some(standby) = &mut self.standby else {
            return;
        };
        match std::mem::replace(&mut standby.spare, Spare::never()) {
            Spare::There(there) => standby.lose(*there, why),
            due => standby.spare = due,
        }
    }
}
