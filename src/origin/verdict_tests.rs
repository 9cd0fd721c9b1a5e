//! One row of the table of verdicts at a time.

use super::*;
use crate::origin::forensics::On;

const LIMITS: Limits = Limits {
    certain: Duration::from_millis(1500),
    silent: Duration::from_secs(10),
    startup: Duration::from_secs(60),
    processors: 2.0,
};

fn healthy() -> Evidence {
    Evidence {
        age: Duration::from_secs(1000),
        has_answered: true,
        doing: Doing::Sleeping,
        doing_for: Duration::from_secs(1),
        processor_share: Some(0.0),
        starved_share: Some(0.0),
        silence: Duration::ZERO,
        refused_for: Duration::ZERO,
        voice: Voice::Answered(200),
        voice_ago: Some(Duration::from_secs(1)),
        in_flight: 0,
        full_for: Duration::ZERO,
        quiet: None,
        accept_queue: Some(0),
        strain: Some((0.0, 0.0)),
        shed: None,
        leaks: Vec::new(),
        growths: Vec::new(),
        closely: None,
        held: None,
        unseen: Vec::new(),
    }
}

fn verdict(change: impl FnOnce(&mut Evidence)) -> (Verdict, bool) {
    let mut evidence = healthy();
    change(&mut evidence);
    let judgement = judge(&evidence, &LIMITS);
    (judgement.verdict, judgement.act)
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn an_answer_proves_life_even_an_error() {
    assert_eq!(verdict(|_| {}), (Verdict::Healthy, false));
    let erroring = verdict(|e| e.voice = Voice::Answered(503));
    assert_eq!(erroring, (Verdict::Erroring, false));
}

#[test]
fn slow_answers_that_move_are_work_and_no_silence() {
    let at_work = |e: &mut Evidence| {
        e.in_flight = 1;
        e.full_for = secs(2);
        e.quiet = Some(Duration::from_millis(300));
    };
    assert_eq!(verdict(at_work), (Verdict::Busy, false));
    let short = |e: &mut Evidence| e.full_for = secs(1);
    assert_eq!(verdict(short), (Verdict::Healthy, false));
}

#[test]
fn a_start_counts_nothing_until_its_time_is_over() {
    let young = |e: &mut Evidence| {
        e.has_answered = false;
        e.age = secs(59);
        e.silence = secs(59);
    };
    assert_eq!(verdict(young), (Verdict::Starting, false));
    let late = |e: &mut Evidence| {
        e.has_answered = false;
        e.age = secs(60);
    };
    assert_eq!(verdict(late), (Verdict::StartTimedOut, true));
}

#[test]
fn a_stopped_process_is_conclusive_a_traced_one_is_left_alone() {
    let stopped = |length: u64| {
        verdict(|e| {
            e.doing = Doing::Stopped;
            e.doing_for = Duration::from_millis(length);
        })
    };
    assert_eq!(stopped(1400), (Verdict::Stopped, false));
    assert_eq!(stopped(1500), (Verdict::Stopped, true));
    let traced = verdict(|e| {
        e.doing = Doing::Traced;
        e.doing_for = secs(1000);
        e.silence = secs(1000);
    });
    assert_eq!(traced, (Verdict::Traced, false));
}

#[test]
fn silence_asleep_is_a_hang_after_the_longer_wait() {
    let asleep = |seconds| verdict(|e| e.silence = secs(seconds));
    assert_eq!(asleep(9), (Verdict::Silent, false));
    assert_eq!(asleep(10), (Verdict::HungBlocked, true));
}

#[test]
fn a_wait_that_no_patience_ends_is_a_hang_after_the_shorter_wait() {
    let held = |silence: u64, length: u64| {
        let mut evidence = healthy();
        evidence.silence = Duration::from_millis(silence);
        evidence.held = Some(Held {
            by: "a client".to_owned(),
            length: Duration::from_millis(length),
            on: On::Peer,
        });
        judge(&evidence, &LIMITS)
    };
    assert!(!held(1400, 1000).act);
    assert!(!held(1500, 400).act, "seen too shortly");
    let proven = held(1500, 500);
    assert_eq!(proven.verdict, Verdict::HungBlocked);
    assert!(proven.act && proven.confidence == Confidence::Conclusive);
    let told = proven.evidence_for.join("; ");
    assert!(told.contains("a client, for 0.5 s"), "{told}");
    let mut starved = healthy();
    starved.silence = secs(100);
    starved.starved_share = Some(0.6);
    starved.held = Some(Held {
        by: "a client".to_owned(),
        length: secs(100),
        on: On::Peer,
    });
    assert!(!judge(&starved, &LIMITS).act);
    // Who waits for itself waits for no host.
    if let Some(held) = &mut starved.held {
        held.on = On::Itself;
    }
    let locked = judge(&starved, &LIMITS);
    assert!(locked.act && locked.confidence == Confidence::Conclusive);
}

#[test]
fn silence_at_work_is_busy_and_a_hang_only_after_three_times_as_long() {
    let running = |seconds| {
        verdict(|e| {
            e.processor_share = Some(0.99);
            e.silence = secs(seconds);
        })
    };
    assert_eq!(running(29), (Verdict::Busy, false));
    assert_eq!(running(30), (Verdict::HungSpinning, true));
}

#[test]
fn bytes_that_move_are_life() {
    let moving = verdict(|e| {
        e.voice = Voice::Silent;
        e.silence = secs(1);
        e.quiet = Some(secs(1));
    });
    assert_eq!(moving, (Verdict::Busy, false));
}

#[test]
fn threads_that_keep_each_other_waiting_spin_and_are_not_starved() {
    let spinning = verdict(|e| {
        e.silence = secs(31);
        e.doing = Doing::Running;
        e.processor_share = Some(1.9);
        e.starved_share = Some(6.1);
    });
    assert_eq!(spinning, (Verdict::HungSpinning, true));
    let outnumbered = verdict(|e| {
        e.silence = secs(31);
        e.doing = Doing::Running;
        e.processor_share = Some(0.9);
        e.starved_share = Some(7.1);
    });
    assert_eq!(outnumbered, (Verdict::Starved, false));
}

#[test]
fn a_starved_host_never_costs_a_restart() {
    for doing in [Doing::Sleeping, Doing::Running] {
        let starved = verdict(|e| {
            e.doing = doing;
            e.starved_share = Some(0.6);
            e.silence = secs(1000);
        });
        assert_eq!(starved, (Verdict::Starved, false));
    }
    let start = verdict(|e| {
        e.has_answered = false;
        e.starved_share = Some(0.6);
    });
    assert_eq!(start, (Verdict::Starved, false));
}

#[test]
fn the_word_of_the_host_counts_where_the_process_hides_its_own() {
    let strained = |processor, memory, starved_share| {
        verdict(|e| {
            e.strain = Some((processor, memory));
            e.starved_share = starved_share;
            e.silence = secs(1000);
        })
    };
    assert_eq!(strained(0.9, 0.0, None), (Verdict::Starved, false));
    assert_eq!(strained(0.0, 0.9, Some(0.0)), (Verdict::Starved, false));
    // Others wait for processors; this one does not.
    let blocked = strained(0.9, 0.0, Some(0.0));
    assert_eq!(blocked, (Verdict::HungBlocked, true));
}

#[test]
fn a_leak_and_a_crowd_are_told_and_cost_nothing() {
    let leaking = verdict(|e| e.leaks = vec!["950 of 1000 descriptors".to_owned()]);
    assert_eq!(leaking, (Verdict::Leaking, false));
    assert!(Verdict::Leaking.is_suspect() && !Verdict::Overloaded.is_suspect());
    let crowded = verdict(|e| e.shed = Some(secs(1)));
    assert_eq!(crowded, (Verdict::Overloaded, false));
    let erroring = verdict(|e| {
        e.shed = Some(secs(1));
        e.voice = Voice::Answered(500);
    });
    assert_eq!(erroring, (Verdict::Erroring, false));
}

#[test]
fn a_disk_wait_is_told_and_not_killed() {
    let waiting = verdict(|e| {
        e.doing = Doing::DiskWait;
        e.silence = secs(1000);
    });
    assert_eq!(waiting, (Verdict::DiskWait, false));
}

#[test]
fn a_port_that_is_gone_is_restarted_after_the_shorter_wait() {
    let refused = |length: u64| verdict(|e| e.refused_for = Duration::from_millis(length));
    assert_eq!(refused(100), (Verdict::NotListening, false));
    assert_eq!(refused(1500), (Verdict::NotListening, true));
}

#[test]
fn a_judgement_tells_its_facts_and_what_it_could_not_see() {
    let mut evidence = healthy();
    evidence.silence = secs(12);
    evidence.in_flight = 3;
    evidence.unseen = vec!["its system call: not permitted".to_owned()];
    let judgement = judge(&evidence, &LIMITS);
    let told = judgement.evidence_for.join("; ");
    assert!(told.contains("no sign of life for 12.0 s"), "{told}");
    assert!(told.contains("3 requests under way"), "{told}");
    let unseen = "not seen: its system call: not permitted";
    assert_eq!(judgement.evidence_against, [unseen]);
}

#[test]
fn who_is_ready_and_neither_ran_nor_has_waited_waits_for_a_processor_now() {
    let ready = |processor, waited| {
        verdict(|it| {
            it.silence = secs(60);
            it.doing = Doing::Running;
            it.processor_share = Some(processor);
            it.starved_share = Some(waited);
        })
    };
    assert_eq!(ready(0.0, 0.0), (Verdict::Starved, false));
    assert_eq!(ready(0.9, 0.0), (Verdict::HungSpinning, true));
}

#[test]
fn what_speaks_against_a_verdict_is_told_apart_from_what_speaks_for_it() {
    let judged = |change: fn(&mut Evidence)| {
        let mut evidence = healthy();
        change(&mut evidence);
        let it = judge(&evidence, &LIMITS);
        (
            it.verdict,
            it.evidence_for.join("; "),
            it.evidence_against.join("; "),
        )
    };
    let (verdict, spoken_for, against) = judged(|e| {
        e.silence = secs(12);
        e.voice_ago = Some(secs(13));
        e.processor_share = Some(0.2);
        e.starved_share = Some(0.1);
        e.unseen = vec!["its stack: permission denied".to_owned()];
    });
    assert_eq!(verdict, Verdict::HungBlocked);
    assert_eq!(
        spoken_for,
        "asleep at every look for 1.0 s; no sign of life for 12.0 s"
    );
    assert_eq!(
        against,
        "uses 20 % of a processor; waits for a processor 10 % of the time; not seen: its stack: permission denied"
    );
    let (verdict, spoken_for, against) = judged(|e| e.accept_queue = Some(2));
    assert_eq!(verdict, Verdict::Healthy);
    assert!(
        spoken_for.contains("the last probe was answered with 200, 1.0 s ago"),
        "{spoken_for}"
    );
    assert_eq!(against, "2 connections wait to be accepted");
}
