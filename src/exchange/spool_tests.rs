//! What goes in comes out, in order and once; what was taken is given back.

use super::*;
use crate::ground::failure::{Cause, Phase};

fn drained(reader: &mut SpoolReader) -> (Vec<u8>, Option<Result<(), Failure>>) {
    let mut cx = Context::from_waker(Waker::noop());
    let mut all = Vec::new();
    loop {
        match reader.poll_next(&mut cx) {
            Poll::Pending => return (all, None),
            Poll::Ready(None) => return (all, Some(Ok(()))),
            Poll::Ready(Some(Err(failure))) => return (all, Some(Err(failure))),
            Poll::Ready(Some(Ok(bytes))) => all.extend_from_slice(&bytes),
        }
    }
}

/// Frames of many sizes, with contents that tell their place.
fn frames(count: usize) -> Vec<Bytes> {
    let mut place = 0_u32;
    (0..count)
        .map(|n| {
            let len = [1, 200, SMALL - 1, SMALL, SMALL + 1, PAGE, 3 * PAGE + 7, 0][n % 8];
            let next = || {
                place += 1;
                place.to_le_bytes()[0]
            };
            std::iter::repeat_with(next).take(len).collect()
        })
        .collect()
}

#[test]
fn no_byte_is_lost_doubled_or_reordered() {
    let budget = Budget::new(8 << 20);
    let frames = frames(100);
    let wanted: Vec<u8> = frames.concat();
    for pause in [1, 3, 1000] {
        let (writer, mut reader) = tee(64 << 10, &budget);
        let mut got = Vec::new();
        for (n, frame) in frames.iter().enumerate() {
            writer.push(frame.clone()).unwrap();
            if n % pause == 0 {
                got.extend(drained(&mut reader).0);
            }
        }
        writer.end(Ok(()));
        let (rest, end) = drained(&mut reader);
        got.extend(rest);
        assert!(got == wanted, "pause {pause}");
        assert_eq!(end, Some(Ok(())));
        assert_eq!(reader.whole_len(), Some(wanted.len() as u64));
    }
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_whole_body_can_be_read_twice() {
    let budget = Budget::new(1 << 20);
    let mut pages = Pages::new(1 << 20, &budget);
    let frames = frames(40);
    for frame in &frames {
        pages.push(frame.clone()).unwrap();
    }
    let whole = pages.into_whole();
    let read = || -> Vec<u8> {
        let pieces = (0..).map_while(|index| whole.piece(index));
        pieces.flatten().collect()
    };
    assert!(read() == frames.concat() && read() == read());
    assert_eq!(whole.len(), frames.concat().len() as u64);
}

#[test]
fn beyond_its_allowance_a_spool_asks_the_budget_and_is_refused_when_that_is_spent() {
    let budget = Budget::new(2 * QUANTUM);
    let (writer, mut reader) = tee(QUANTUM, &budget);
    let page = Bytes::from(vec![7; QUANTUM]);
    writer.push(page.clone()).unwrap();
    assert_eq!(budget.used(), 0);
    writer.push(page.clone()).unwrap();
    writer.push(page.clone()).unwrap();
    let full = Full {
        budget: 2 * QUANTUM,
    };
    assert_eq!(writer.push(page.clone()), Err(full));
    assert_eq!(drained(&mut reader).0.len(), 3 * QUANTUM);
    assert_eq!(budget.used(), 0, "what was read is given back");
    writer.push(page).unwrap();
}

#[test]
fn tiny_frames_are_charged_by_the_page_and_not_by_the_frame() {
    let budget = Budget::new(64 << 20);
    let mut pages = Pages::new(0, &budget);
    for _ in 0..100_000 {
        pages.push(Bytes::from_static(b"x")).unwrap();
    }
    assert!(budget.used() < 100_000 + 2 * QUANTUM, "{}", budget.used());
}

#[test]
fn a_writer_that_is_dropped_cuts_the_body_off() {
    let budget = Budget::new(0);
    let (writer, mut reader) = tee(64 << 10, &budget);
    writer.push(Bytes::from_static(b"half")).unwrap();
    drop(writer);
    let (got, end) = drained(&mut reader);
    assert_eq!(got, b"half");
    let cut = Failure::origin(Phase::Answer, Cause::Truncated);
    assert_eq!(end, Some(Err(cut)));
}

#[test]
fn without_a_reader_nothing_is_kept() {
    let budget = Budget::new(QUANTUM);
    let (writer, reader) = tee(0, &budget);
    writer.push(Bytes::from(vec![1; SMALL])).unwrap();
    assert!(budget.used() > 0);
    drop(reader);
    assert_eq!(budget.used(), 0);
    for _ in 0..100 {
        writer.push(Bytes::from(vec![1; QUANTUM])).unwrap();
    }
    assert_eq!(budget.used(), 0);
}
