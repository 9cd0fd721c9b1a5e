use super::*;
use crate::origin::{Generation, Shut, Why};

fn shut() -> Gate {
    let now = deadline::now();
    Gate::Shut(Shut {
        since: now,
        expected: now,
        why: Why::Down,
    })
}

fn open(concurrency: usize) -> (Gate, impl Sized) {
    let address = "127.0.0.1:1".parse().unwrap();
    let (generation, ender) = Generation::begin(1, address, concurrency);
    (Gate::Open(generation), ender)
}

#[tokio::test(start_paused = true)]
async fn a_shut_gate_holds_a_request_until_it_opens() {
    let waiting = Waiting::new(&Settings::default());
    let (sender, mut gate) = watch::channel(shut());
    let held = {
        let waiting = waiting.clone();
        tokio::spawn(async move {
            let mut wait = Wait::begin();
            let slot = waiting.admit(&mut gate, &mut wait, &Tally::default()).await;
            (slot.is_ok(), wait.was_held)
        })
    };
    tokio::time::sleep(Duration::from_secs(19)).await;
    assert_eq!(waiting.held(), 1);
    let (gate, _ender) = open(1);
    sender.send_replace(gate);
    assert_eq!(held.await.unwrap(), (true, true));
    assert_eq!(waiting.held(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_hold_ends_at_its_deadline() {
    let waiting = Waiting::new(&Settings::default());
    let (_sender, mut gate) = watch::channel(shut());
    let begun = deadline::now();
    let failure = waiting
        .admit(&mut gate, &mut Wait::begin(), &Tally::default())
        .await
        .unwrap_err();
    assert!(failure.to_string().contains("hold.timeout"), "{failure}");
    assert_eq!((deadline::now() - begun).as_secs(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_would_be_in_vain_ends_at_once() {
    let waiting = Waiting::new(&Settings::default());
    let now = deadline::now();
    let (_sender, mut gate) = watch::channel(Gate::Shut(Shut {
        since: now,
        expected: now + Duration::from_secs(60),
        why: Why::Down,
    }));
    let failure = waiting
        .admit(&mut gate, &mut Wait::begin(), &Tally::default())
        .await;
    let not_ready = Failure::origin(Phase::Hold, Cause::NotReady);
    assert_eq!(failure.err(), Some(not_ready));
    assert_eq!(deadline::now(), now);
}

#[tokio::test(start_paused = true)]
async fn a_queue_has_an_end_in_length_and_in_time() {
    let mut settings = Settings::default();
    settings.origin.queue = 1;
    let waiting = Waiting::new(&settings);
    let (gate, _ender) = open(1);
    let (_sender, mut gate) = watch::channel(gate);
    let _slot = waiting
        .admit(&mut gate, &mut Wait::begin(), &Tally::default())
        .await
        .unwrap();
    let queued = {
        let (waiting, mut gate) = (waiting.clone(), gate.clone());
        tokio::spawn(async move {
            waiting
                .admit(&mut gate, &mut Wait::begin(), &Tally::default())
                .await
                .err()
        })
    };
    tokio::time::sleep(Duration::from_secs(1)).await;
    let shed = waiting
        .admit(&mut gate, &mut Wait::begin(), &Tally::default())
        .await;
    assert!(shed.unwrap_err().to_string().contains("origin.queue"));
    let late = queued.await.unwrap().unwrap().to_string();
    assert!(late.contains("origin.deadlines.queue"), "{late}");
    assert_eq!(waiting.queued(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_was_given_a_slot_takes_no_place_in_the_queue() {
    let mut settings = Settings::default();
    settings.origin.queue = 1;
    let waiting = Waiting::new(&settings);
    let (gate, _ender) = open(1);
    let (_sender, mut gate) = watch::channel(gate);
    let slot = waiting
        .admit(&mut gate, &mut Wait::begin(), &Tally::default())
        .await
        .unwrap();
    let queued = || {
        let (waiting, mut gate) = (waiting.clone(), gate.clone());
        tokio::spawn(async move {
            waiting
                .admit(&mut gate, &mut Wait::begin(), &Tally::default())
                .await
        })
    };
    let first = queued();
    tokio::task::yield_now().await;
    drop(slot);
    let mut wait = Wait::begin();
    // The slot is the first one's, who has not been told yet; there is room for one more.
    let tally = Tally::default();
    let second = waiting.admit(&mut gate, &mut wait, &tally);
    let second = tokio::time::timeout(Duration::from_secs(1), second);
    assert!(second.await.is_err(), "it waits, and is not turned away");
    assert!(first.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_gate_that_nobody_keeps_any_more_is_not_waited_for() {
    let waiting = Waiting::new(&Settings::default());
    let (gate, _ender) = open(1);
    let (sender, mut gate) = watch::channel(gate);
    let _slot = waiting
        .admit(&mut gate, &mut Wait::begin(), &Tally::default())
        .await
        .unwrap();
    drop(sender);
    let failure = waiting
        .admit(&mut gate, &mut Wait::begin(), &Tally::default())
        .await;
    let not_ready = Failure::origin(Phase::Hold, Cause::NotReady);
    assert_eq!(failure.err(), Some(not_ready));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_slot_of_a_dead_generation_waits_for_the_next() {
    let waiting = Waiting::new(&Settings::default());
    let (first, ender) = open(1);
    let (sender, mut gate) = watch::channel(first);
    let _slot = waiting
        .admit(&mut gate, &mut Wait::begin(), &Tally::default())
        .await
        .unwrap();
    let queued = {
        let waiting = waiting.clone();
        tokio::spawn(async move {
            waiting
                .admit(&mut gate, &mut Wait::begin(), &Tally::default())
                .await
                .is_ok()
        })
    };
    tokio::time::sleep(Duration::from_secs(1)).await;
    sender.send_replace(shut());
    drop(ender);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (second, _ender) = open(1);
    sender.send_replace(second);
    assert!(queued.await.unwrap());
}
