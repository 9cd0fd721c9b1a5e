//! The origin's part of the metrics: how it is, what it holds and how that grows, how often it was replaced.

use super::super::snapshot::{ByWord, Fate, OriginFacts, Snapshot};
use super::families::{Families, Written};
use super::{BYTES, PLAIN, SECONDS};
use crate::origin::verdict::Verdict;
use crate::origin::view::Readiness;
use crate::origin::{Stance, State};

/// All of it.
pub(super) fn all(to: &mut Families<'_>, all: &Snapshot) -> Written {
    standing(to, &all.origin)?;
    replaced(to, all)?;
    held(to, &all.origin)?;
    grown(to, &all.origin)?;
    slots(to, &all.origin)
}

fn standing(to: &mut Families<'_>, origin: &OriginFacts) -> Written {
    let help = "The state of the origin: 1 for the present one, 0 for the others.";
    let state = |state: State| (state.word(), u32::from(state == origin.state));
    let states = ByWord(State::ALL.map(state).to_vec());
    to.gauges("leeward_origin_state", help, PLAIN, "state", &states)?;
    let help = "Where the operator has put the origin: 1 for where it is, 0 for the others.";
    let stance = |word: &'static str| (word, u32::from(word == origin.stance));
    let stances = ByWord(Stance::WORDS.map(stance).to_vec());
    to.gauges("leeward_origin_stance", help, PLAIN, "stance", &stances)?;
    let help = "What is believed of the origin: 1 for the present verdict, 0 for the others.";
    let verdict = |it: Verdict| (it.word(), u32::from(Some(it) == origin.verdict));
    let verdicts = ByWord(Verdict::ALL.map(verdict).to_vec());
    to.gauges("leeward_origin_verdict", help, PLAIN, "verdict", &verdicts)?;
    if let Some(standby) = &origin.standby {
        let help = "The standby: 1 for how it is, 0 for the others.";
        let readiness = |it: Readiness| (it.word(), u32::from(it.word() == standby.readiness));
        let all = ByWord(Readiness::ALL.map(readiness).to_vec());
        to.gauges("leeward_origin_standby", help, PLAIN, "readiness", &all)?;
    }
    let help = "1 while requests reach the origin.";
    let up = Some(u32::from(origin.up));
    to.gauge("leeward_origin_up", help, PLAIN, up)?;
    let help = "What becomes of a request that comes now: 1 for that, 0 for the others.";
    let fate = |it: Fate| (it.word(), u32::from(it == origin.requests));
    let fates = ByWord(Fate::ALL.map(fate).to_vec());
    to.gauges("leeward_origin_requests", help, PLAIN, "fate", &fates)?;
    let help = "1 while a hung life of the origin is kept frozen for a debugger.";
    let frozen = Some(u32::from(origin.frozen.is_some()));
    to.gauge("leeward_origin_frozen", help, PLAIN, frozen)?;
    let help = "How long the present life of the origin has lasted.";
    let uptime = origin.uptime_seconds;
    to.gauge("leeward_origin_uptime", help, SECONDS, uptime)?;
    let help = "How long the last start of the origin took, to its first answer.";
    let took = origin.start_took_seconds;
    to.gauge("leeward_origin_start", help, SECONDS, took)
}

fn replaced(to: &mut Families<'_>, all: &Snapshot) -> Written {
    let origin = &all.origin;
    let help = "How many lives of the origin there were; 0 before the first.";
    let generation = Some(origin.generation);
    to.gauge("leeward_origin_generation", help, PLAIN, generation)?;
    let help = "Lives of the origin that ended, by verdict.";
    let restarts = &origin.restarts;
    to.counters("leeward_origin_restarts", help, PLAIN, "verdict", restarts)?;
    let help = "Probes of the origin, by result.";
    let probes = &origin.probes;
    to.counters("leeward_origin_probes", help, PLAIN, "result", probes)?;
    let probe = origin.last_probe.as_ref();
    let help = "How long the last probe of the origin took, if that was answered.";
    let took = probe.and_then(|probe| probe.took_seconds);
    to.gauge("leeward_origin_probe", help, SECONDS, took)?;
    let help = "How long ago the last probe of the origin ended.";
    let age = probe.map(|probe| probe.ago_seconds);
    to.gauge("leeward_origin_probe_age", help, SECONDS, age)?;
    let help = "Deadlines that the origin missed, by phase.";
    let missed = &all.traffic.origin_timeouts;
    to.counters("leeward_origin_timeouts", help, PLAIN, "phase", missed)?;
    let help = "Time for which a client's pace kept the origin waiting; streams and tunnels only.";
    let stall = all.traffic.origin_client_stall_seconds;
    to.counter("leeward_origin_client_stall", help, SECONDS, stall)
}

fn held(to: &mut Families<'_>, origin: &OriginFacts) -> Written {
    let help = "Resident memory of the origin.";
    to.gauge("leeward_origin_memory", help, BYTES, origin.memory_bytes)?;
    let help = "Open descriptors of the origin.";
    let descriptors = origin.descriptors;
    to.gauge("leeward_origin_descriptors", help, PLAIN, descriptors)?;
    let help = "Threads of the origin.";
    to.gauge("leeward_origin_threads", help, PLAIN, origin.threads)?;
    let help = "Connections of the origin that their clients have ended and it has not.";
    to.gauge("leeward_origin_close_wait", help, PLAIN, origin.close_wait)?;
    let help = "How many processors the origin used lately.";
    let share = origin.processor_share;
    to.gauge("leeward_origin_processor_ratio", help, PLAIN, share)?;
    let help = "Connections the origin has yet to accept.";
    let waiting = origin.accept_queue;
    to.gauge("leeward_origin_accept_queue", help, PLAIN, waiting)
}

fn grown(to: &mut Families<'_>, origin: &OriginFacts) -> Written {
    let all = &origin.growth.0;
    let help = "How much more the origin holds after an hour, over the last hour or what there is of it: bytes of memory, or a count.";
    let rate = all
        .iter()
        .filter_map(|it| Some((it.holding().key(), it.per_hour?)));
    let rate = ByWord(rate.collect());
    to.gauges("leeward_origin_growth_per_hour", help, PLAIN, "of", &rate)?;
    let help = "1 where that growth is steady, as a leak is.";
    let steady = all
        .iter()
        .map(|it| (it.holding().key(), u32::from(it.steady)));
    let steady = ByWord(steady.collect());
    to.gauges("leeward_origin_growth_steady", help, PLAIN, "of", &steady)?;
    let help =
        "Beyond this the origin is believed to leak, and is replaced: bytes of memory, or a count.";
    let limit = all
        .iter()
        .filter_map(|it| Some((it.holding().key(), it.limit?)));
    let limit = ByWord(limit.collect());
    to.gauges("leeward_origin_limit", help, PLAIN, "of", &limit)?;
    let help = "When that limit is reached, where the growth is steady.";
    let reached = all
        .iter()
        .filter_map(|it| Some((it.holding().key(), it.reached?.as_secs_f64())));
    let reached = ByWord(reached.collect());
    to.gauges(
        "leeward_origin_limit_reached",
        help,
        SECONDS,
        "of",
        &reached,
    )
}

fn slots(to: &mut Families<'_>, origin: &OriginFacts) -> Written {
    let help = "Requests the origin works on at once, at the most.";
    let concurrency = origin.concurrency;
    let slots = concurrency.map(|of| of.slots);
    to.gauge("leeward_origin_slots", help, PLAIN, slots)?;
    let help = "Slots of the origin in use.";
    let busy = concurrency.and_then(|of| of.busy);
    to.gauge("leeward_origin_slots_busy", help, PLAIN, busy)
}
