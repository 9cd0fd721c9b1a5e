//! What is made of what was noticed.

use super::*;
use crate::origin::roster::VisitId;

fn visit(age: u64) -> VisitSeen {
    VisitSeen {
        id: VisitId(1),
        request: "GET /".to_owned(),
        request_id: None,
        age: Duration::from_secs(age),
        quiet: Duration::from_secs(age),
        local: None,
        received: 0,
        is_lasting: false,
    }
}

fn after(begun: Instant, seconds: u64) -> Instant {
    begun + Duration::from_secs(seconds)
}

#[test]
fn silence_needs_a_question() {
    let begun = Instant::now();
    let attention = Attention::new(begun);
    let evidence = attention.evidence(&[], (None, None), after(begun, 100));
    assert_eq!(evidence.silence, Duration::ZERO);
}

#[test]
fn silence_runs_from_the_first_unanswered_question() {
    let begun = Instant::now();
    let mut attention = Attention::new(begun);
    attention.asked(after(begun, 10));
    attention.heard(&Reading::Silent, after(begun, 12));
    attention.asked(after(begun, 13));
    let evidence = attention.evidence(&[], (None, None), after(begun, 15));
    assert_eq!(evidence.silence, Duration::from_secs(5));
}

#[test]
fn a_visit_is_a_question_too_and_any_moving_byte_an_answer() {
    let begun = Instant::now();
    let attention = Attention::new(begun);
    let evidence = attention.evidence(&[visit(8)], (None, None), after(begun, 20));
    assert_eq!(evidence.silence, Duration::from_secs(8));
    let life = Some(after(begun, 17));
    let evidence = attention.evidence(&[visit(8)], (life, None), after(begun, 20));
    assert_eq!(evidence.silence, Duration::from_secs(3));
}

#[test]
fn a_stream_is_no_question() {
    let begun = Instant::now();
    let attention = Attention::new(begun);
    let stream = VisitSeen {
        is_lasting: true,
        ..visit(100)
    };
    let evidence = attention.evidence(&[stream.clone(), visit(2)], (None, None), after(begun, 200));
    assert_eq!(evidence.silence, Duration::from_secs(2));
    let evidence = attention.evidence(&[stream], (None, None), after(begun, 200));
    assert_eq!(evidence.silence, Duration::ZERO);
}

#[test]
fn the_answer_to_a_request_that_was_long_in_coming_is_owed_from_its_end_on() {
    let begun = Instant::now();
    let attention = Attention::new(begun);
    let upload = VisitSeen {
        quiet: Duration::from_secs(2),
        ..visit(60)
    };
    let evidence = attention.evidence(&[upload], (None, None), after(begun, 100));
    assert_eq!(evidence.silence, Duration::from_secs(2));
}

#[test]
fn life_of_a_generation_before_is_no_life_of_this_one() {
    let before = Instant::now();
    let mut attention = Attention::new(after(before, 10));
    attention.asked(after(before, 11));
    let evidence = attention.evidence(&[], (Some(before), None), after(before, 15));
    assert_eq!(evidence.silence, Duration::from_secs(4));
}

#[test]
fn a_silent_probe_is_forgiven_when_others_are_answered() {
    let begun = Instant::now();
    let mut attention = Attention::new(begun);
    attention.asked(after(begun, 1));
    attention.heard(&Reading::Silent, after(begun, 3));
    let life = Some(after(begun, 4));
    let evidence = attention.evidence(&[], (life, None), after(begun, 60));
    assert_eq!(evidence.silence, Duration::ZERO);
}

#[test]
fn what_could_not_be_asked_tells_nothing() {
    let begun = Instant::now();
    let mut attention = Attention::new(begun);
    attention.asked(after(begun, 1));
    let no_descriptors = Reading::Unasked("too many open files".to_owned());
    attention.heard(&no_descriptors, after(begun, 1));
    let evidence = attention.evidence(&[], (None, None), after(begun, 60));
    assert_eq!(evidence.silence, Duration::ZERO);
    assert!(!evidence.has_answered);
    // Nor does it speak for an origin whose visits are silent.
    let evidence = attention.evidence(&[visit(30)], (None, None), after(begun, 60));
    assert_eq!(evidence.silence, Duration::from_secs(30));
}

#[test]
fn refusal_counts_from_the_first_and_ends_with_an_answer() {
    let begun = Instant::now();
    let mut attention = Attention::new(begun);
    attention.heard(&Reading::Refused, after(begun, 1));
    attention.heard(&Reading::Refused, after(begun, 2));
    let evidence = attention.evidence(&[], (None, None), after(begun, 3));
    assert_eq!(evidence.refused_for, Duration::from_secs(2));
    let answer = Reading::Answered {
        status: 200,
        took: Duration::ZERO,
    };
    attention.heard(&answer, after(begun, 4));
    let evidence = attention.evidence(&[], (None, None), after(begun, 5));
    assert_eq!(evidence.refused_for, Duration::ZERO);
}

#[test]
fn a_process_that_ran_between_two_stops_was_not_stopped_all_along() {
    let begun = Instant::now();
    let mut attention = Attention::new(begun);
    let mut stopped_for = |turns: u64, second: u64| {
        attention.saw(&stopped(turns), after(begun, second));
        attention
            .evidence(&[], (None, None), after(begun, second))
            .doing_for
    };
    stopped_for(5, 1);
    assert_eq!(stopped_for(5, 2), Duration::from_secs(1));
    assert_eq!(stopped_for(6, 3), Duration::ZERO);
    assert_eq!(stopped_for(6, 4), Duration::from_secs(1));
}

fn stopped(turns: u64) -> Vital {
    let unseen = || Seen::Hidden("not looked at".to_owned());
    Vital {
        comm: Seen::Hidden("not looked at".to_owned()),
        state: Seen::Known(RunState::Stopped),
        cpu: Seen::Known(Duration::ZERO),
        queued: Seen::Known(Duration::ZERO),
        turns: Seen::Known(turns),
        threads: Seen::Known(1),
        resident_bytes: unseen(),
        descriptors: unseen(),
        tracer: Seen::Known(None),
        born: unseen(),
    }
}
