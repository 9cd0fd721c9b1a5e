//! What is taken for growth, and what is not.

use super::*;

const MIB: u64 = 1 << 20;

/// A generation that is looked at twice a second, for so long, and held what `held` says at each second.
fn lived(holding: Holding, seconds: u64, held: impl Fn(f64) -> u64) -> Grown {
    let begun = Instant::now();
    let mut growth = Growth::default();
    let mut now = begun;
    for half in 0..=seconds * 2 {
        now = begun + Duration::from_millis(half * 500);
        growth.note(holding, held(half as f64 / 2.0), now);
    }
    growth.of(holding, Some(1024), now).expect("it was noted")
}

/// Whether any minute of such a life is taken for a steady growth, and any for a reason to warn.
fn ever(holding: Holding, minutes: u64, held: impl Fn(f64) -> u64) -> (bool, bool) {
    let begun = Instant::now();
    let mut growth = Growth::default();
    let (mut steady, mut ominous) = (false, false);
    for half in 0..=minutes * 120 {
        let now = begun + Duration::from_millis(half * 500);
        growth.note(holding, held(half as f64 / 2.0), now);
        if half % 60 == 0 {
            let limit = Some(10_000 * MIB);
            let grown = growth.of(holding, limit, now).expect("it was noted");
            steady |= grown.steady;
            ominous |= grown.is_ominous();
        }
    }
    (steady, ominous)
}

/// Numbers without a course, from 0 to 1.
fn noise(second: f64) -> f64 {
    let mut x = (second * 2.0) as u64 ^ 0x9e37_79b9_7f4a_7c15;
    for _ in 0..3 {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x = x.wrapping_mul(0x2545_f491_4f6c_dd1d);
    }
    (x >> 11) as f64 / (1u64 << 53) as f64
}

#[test]
fn a_leak_is_told_with_its_start_its_pace_and_its_end() {
    let grown = lived(Holding::Descriptors, 7200, |second| {
        40 + (second / 37.5) as u64
    });
    assert!(grown.steady);
    assert_eq!((grown.start, grown.now), (40, 232));
    let rate = grown.per_hour.expect("an hour was seen");
    assert!((92.0..100.0).contains(&rate), "{rate}");
    let reached = grown.reached.expect("it has a limit").as_secs_f64() / HOUR;
    assert!((7.9..8.7).contains(&reached), "{reached}");
    let told = grown.told().expect("it grows");
    assert!(
        told.starts_with("holds 232 descriptors, 40 at its start 2.0 h ago, 9"),
        "{told}"
    );
    assert!(
        told.contains(" more an hour; at this pace the limit of 1024 is reached in 8."),
        "{told}"
    );
}

#[test]
fn whoever_will_be_at_the_limit_soon_is_warned_of() {
    let grown = lived(Holding::Descriptors, 3600, |second| {
        40 + (second / 10.0) as u64
    });
    assert!(grown.steady && grown.is_ominous(), "{grown:?}");
    let grown = lived(Holding::Descriptors, 1200, |second| {
        40 + (second / 10.0) as u64
    });
    assert!(
        grown.steady && !grown.is_ominous(),
        "too early to say: {grown:?}"
    );
}

#[test]
fn a_fast_leak_is_seen_within_a_quarter_of_a_minute() {
    let grown = lived(Holding::Memory, 15, |second| {
        20 * MIB + (second * 4.0) as u64 * MIB
    });
    assert!(grown.steady, "{grown:?}");
    let rate = grown.per_hour.expect("it is steady") / MIB as f64;
    assert!((13_000.0..15_800.0).contains(&rate), "{rate}");
    let grown = lived(Holding::Memory, 8, |second| {
        20 * MIB + (second * 4.0) as u64 * MIB
    });
    assert!(!grown.steady && grown.per_hour.is_none(), "{grown:?}");
}

#[test]
fn a_slow_leak_shows_over_the_day() {
    let grown = lived(Holding::CloseWait, 20 * 3600, |second| {
        (second / 1800.0) as u64
    });
    assert!(grown.steady, "{grown:?}");
    assert!(
        grown.over > Some(Duration::from_secs(10 * 3600)),
        "{grown:?}"
    );
    assert_eq!(grown.per_hour, Some(2.0));
}

#[test]
fn a_step_is_no_growth() {
    let step = |second: f64| if second < 900.0 { 40 } else { 400 };
    assert_eq!(ever(Holding::Descriptors, 120, step), (false, false));
    let two = |second: f64| 40 + 200 * u64::from(second > 900.0) + 200 * u64::from(second > 1200.0);
    assert_eq!(ever(Holding::Descriptors, 120, two), (false, false));
    // A trickle with a step in it is not told by the pace of the step.
    let both = |second: f64| 40 + (second / 240.0) as u64 + 300 * u64::from(second > 6300.0);
    assert!(!lived(Holding::Descriptors, 7200, both).steady);
}

#[test]
fn the_saw_of_a_collector_is_no_growth() {
    for period in [3.0, 45.0, 400.0, 1500.0] {
        let saw = |second: f64| 100 * MIB + (second % period / period * 300.0) as u64 * MIB;
        let (_, ominous) = ever(Holding::Memory, 300, saw);
        assert!(!ominous, "{period}");
        let grown = lived(Holding::Memory, 5 * 3600, saw);
        assert!(!grown.steady, "{period}: {grown:?}");
    }
}

#[test]
fn a_leak_under_a_saw_is_one() {
    let held = |second: f64| 100 * MIB + ((second % 17.0) * 10.0 + second / 60.0) as u64 * MIB;
    let grown = lived(Holding::Memory, 7200, held);
    assert!(grown.steady, "{grown:?}");
    let rate = grown.per_hour.expect("steady") / MIB as f64;
    assert!((55.0..65.0).contains(&rate), "{rate}");
}

#[test]
fn a_cache_that_warms_up_is_warned_of_by_nobody() {
    for warm in [20.0, 120.0, 600.0, 1800.0, 3600.0, 7200.0] {
        let cache = |second: f64| 50 * MIB + ((1.0 - (-second / warm).exp()) * 8e9) as u64;
        let (_, ominous) = ever(Holding::Memory, 480, cache);
        assert!(!ominous, "{warm}");
    }
    let warmed = |second: f64| 50 * MIB + ((1.0 - (-second / 1200.0_f64).exp()) * 8e9) as u64;
    assert!(!lived(Holding::Memory, 3600, warmed).steady);
}

#[test]
fn noise_is_no_growth() {
    for every in [0.5, 60.0] {
        let held = |second: f64| 200 + (noise((second / every).floor()) * 100.0) as u64;
        let told = ever(Holding::Descriptors, 24 * 60, held);
        assert_eq!(told, (false, false), "{every}");
    }
}

#[test]
fn what_was_held_before_and_given_back_is_no_news() {
    // A saw with teeth of three hours, in its second tooth.
    let saw = |second: f64| 40 + (second % 10_800.0 / 15.0) as u64;
    assert!(
        lived(Holding::Descriptors, 9000, saw).steady,
        "the first time it may be a leak"
    );
    assert!(!lived(Holding::Descriptors, 10_800 + 5400, saw).steady);
}

#[test]
fn a_hang_stands_in_no_course_and_is_told_all_the_same() {
    let begun = Instant::now();
    let mut growth = Growth::default();
    growth.saw(Holding::Threads, 3);
    assert_eq!(growth.of(Holding::Threads, None, begun), None);
    for half in 0..40 {
        growth.note(
            Holding::Threads,
            10 + half,
            begun + Duration::from_millis(half * 500),
        );
    }
    growth.saw(Holding::Threads, 500);
    let grown = growth.of(Holding::Threads, None, begun + Duration::from_secs(60));
    let grown = grown.expect("it was noted");
    assert!(grown.steady && grown.now == 500 && grown.reached.is_none());
    let rate = grown.per_hour.expect("steady");
    assert!((7000.0..7400.0).contains(&rate), "{rate}");
}

#[test]
fn the_memory_is_bounded() {
    let begun = Instant::now();
    let mut growth = Growth::default();
    for minute in 0..100_000 {
        growth.note(
            Holding::Memory,
            minute,
            begun + Duration::from_secs(minute * 60),
        );
    }
    let course = growth.courses[0].as_ref().expect("noted");
    let kept: Vec<usize> = course.rings.iter().map(|ring| ring.kept.len()).collect();
    assert_eq!(kept, [60, 60, 48]);
}

#[test]
fn in_json_every_amount_has_a_name_with_its_unit() {
    let grown = lived(Holding::Memory, 3600, |second| {
        (50 + (second / 60.0) as u64) * MIB
    });
    let json = serde_json::to_value(Growths(vec![grown])).expect("plain data");
    let memory = &json["memory_bytes"];
    assert_eq!(memory["start"], 50 * MIB);
    assert_eq!(memory["now"], 110 * MIB);
    assert_eq!(memory["start_seconds_ago"], 3600.0);
    assert_eq!(memory["steady"], true);
    assert_eq!(memory["limit"], 1024);
    assert!(memory["over_seconds"].is_f64() && memory["limit_reached_in_seconds"].is_f64());
}
