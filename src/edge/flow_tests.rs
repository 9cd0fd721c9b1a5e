//! Each deadline of a client, on a clock that is moved by hand.

use super::*;
use crate::config::settings::EdgeDeadlines;
use crate::edge::judge::{EACH, Footing, MOMENT};
use crate::ground::failure::Phase;

fn steady(limits: &EdgeDeadlines) -> Footing {
    Footing {
        keep_alive: limits.keep_alive,
        told: None,
        is_half_closed: false,
    }
}

fn phase(flow: &Flow) -> Option<Phase> {
    let limits = EdgeDeadlines::default();
    let overdue = flow.glance().overdue(&limits, steady(&limits));
    overdue.map(|it| it.phase)
}

fn speaking(version: Speaks) -> Arc<Flow> {
    let flow = Arc::new(Flow::begin(Default::default()));
    flow.speaks(version);
    flow
}

async fn pass(seconds: u64) {
    tokio::time::advance(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_head_is_owed_from_the_handshake_and_dripping_does_not_help() {
    for version in [Speaks::Http1, Speaks::Http2] {
        let flow = speaking(version);
        for _ in 0..9 {
            pass(1).await;
            flow.read();
            assert_eq!(phase(&flow), None);
        }
        pass(1).await;
        assert_eq!(phase(&flow), Some(Phase::Head));
    }
}

#[tokio::test(start_paused = true)]
async fn between_requests_a_connection_may_rest_but_a_begun_head_must_end() {
    let flow = speaking(Speaks::Http1);
    drop(InFlight::begin(&flow));
    pass(59).await;
    assert_eq!(phase(&flow), None);
    pass(1).await;
    assert_eq!(phase(&flow), Some(Phase::KeepAlive));
    drop(InFlight::begin(&flow));
    pass(30).await;
    flow.read();
    pass(9).await;
    assert_eq!(phase(&flow), None);
    pass(1).await;
    assert_eq!(phase(&flow), Some(Phase::Head));
}

#[tokio::test(start_paused = true)]
async fn frames_of_an_idle_http2_connection_begin_no_head_and_save_it_from_nothing() {
    let flow = speaking(Speaks::Http2);
    drop(InFlight::begin(&flow));
    for _ in 0..59 {
        pass(1).await;
        flow.read();
        assert_eq!(phase(&flow), None);
    }
    pass(1).await;
    assert_eq!(phase(&flow), Some(Phase::KeepAlive));
}

#[tokio::test(start_paused = true)]
async fn a_request_at_work_with_us_is_never_the_clients_fault() {
    for version in [Speaks::Http1, Speaks::Http2] {
        let flow = speaking(version);
        let _at_work = InFlight::begin(&flow);
        flow.read();
        pass(10_000).await;
        assert_eq!(phase(&flow), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_takes_nothing_is_overdue() {
    let flow = speaking(Speaks::Http1);
    let _at_work = InFlight::begin(&flow);
    flow.stalls();
    pass(29).await;
    flow.stalls();
    assert_eq!(phase(&flow), None);
    pass(1).await;
    assert_eq!(phase(&flow), Some(Phase::Respond));
    flow.wrote(1);
    assert_eq!(phase(&flow), None);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_taken_is_overdue_and_one_that_lacks_is_ours() {
    let flow = speaking(Speaks::Http1);
    let mut answer = InFlight::begin(&flow);
    pass(100).await;
    answer.gave();
    pass(29).await;
    assert_eq!(phase(&flow), None);
    pass(1).await;
    assert_eq!(phase(&flow), Some(Phase::Respond));
    answer.lacks();
    assert_eq!(phase(&flow), None);
}

#[tokio::test(start_paused = true)]
async fn a_byte_now_and_then_does_not_keep_a_slow_reader() {
    let flow = speaking(Speaks::Http1);
    let _at_work = InFlight::begin(&flow);
    let mut passed = 0;
    while phase(&flow).is_none() {
        flow.stalls();
        pass(20).await;
        passed += 20;
        flow.wrote(10);
        assert!(passed < 1000);
    }
    assert_eq!(passed, 80);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_within_the_pace_is_kept() {
    let flow = speaking(Speaks::Http1);
    let _at_work = InFlight::begin(&flow);
    for _ in 0..1000 {
        flow.stalls();
        pass(20).await;
        flow.wrote(11_000);
        assert_eq!(phase(&flow), None);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_reader_acknowledges_counts_though_our_kernel_takes_no_more() {
    let flow = speaking(Speaks::Http1);
    let mut answer = InFlight::begin(&flow);
    answer.gave();
    flow.wrote(400_000);
    flow.stalls();
    for looks in 1..30 {
        pass(20).await;
        flow.acknowledged(looks * 11_000, Duration::ZERO);
        flow.stalls();
        assert_eq!(phase(&flow), None);
    }
    // What lies in our kernel is not taken: ten bytes now and then are too few.
    let mut passed = 0;
    while phase(&flow).is_none() {
        pass(20).await;
        passed += 20;
        flow.acknowledged(29 * 11_000 + passed / 2, Duration::ZERO);
        flow.stalls();
        assert!(passed < 300);
    }
    assert_eq!(passed, 120);
    // And none are none.
    let flow = speaking(Speaks::Http1);
    let _at_work = InFlight::begin(&flow);
    flow.stalls();
    pass(5).await;
    flow.acknowledged(7, Duration::from_secs(4));
    pass(25).await;
    flow.acknowledged(7, Duration::from_secs(29));
    assert_eq!(phase(&flow), None);
    pass(1).await;
    assert_eq!(phase(&flow), Some(Phase::Respond));
}

#[tokio::test(start_paused = true)]
async fn the_next_look_is_never_far_away() {
    let limits = EdgeDeadlines::default();
    let flow = speaking(Speaks::Http1);
    for _ in 0..100 {
        let wait = flow.glance().next_look(&limits, steady(&limits));
        assert!((MOMENT..=EACH).contains(&wait));
        pass(1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn half_a_head_is_one_whose_bytes_have_come() {
    let flow = speaking(Speaks::Http1);
    assert!(!flow.may_be_told_late());
    flow.hears();
    assert!(flow.may_be_told_late());
    let asked = InFlight::begin(&flow);
    // The request's body.
    flow.read();
    flow.hears();
    assert!(!flow.may_be_told_late());
    drop(asked);
    assert!(!flow.may_be_told_late());
    flow.read();
    flow.hears();
    assert!(flow.may_be_told_late());
}

#[tokio::test(start_paused = true)]
async fn a_head_of_http2_that_drips_between_other_streams_is_overdue() {
    let flow = speaking(Speaks::Http2);
    let _other = InFlight::begin(&flow);
    flow.head_is_under_way(true);
    pass(5).await;
    flow.head_is_under_way(true);
    pass(5).await;
    assert_eq!(phase(&flow), Some(Phase::Head));
    flow.head_is_under_way(false);
    assert_eq!(phase(&flow), None);
}
