//! What goes in comes out, in order and once, through memory and through the disk; what was taken is given back.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;

use super::budget::QUANTUM;
use super::pages::{PAGE, SMALL};
use super::*;

const KIB: usize = 1024;

fn memory(allowance: usize, budget: usize) -> Store {
    Store {
        allowance,
        budget: Budget::new(budget),
        disk: None,
    }
}

fn with_disk(
    memory: usize,
    change: impl FnOnce(&mut settings::Spool),
) -> (Store, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = settings::Spool {
        exchange: 0,
        memory,
        floor: 0,
        ..settings::Spool::default()
    };
    change(&mut settings);
    let disk = Disk::open(&settings, directory.path().to_owned()).unwrap();
    let store = Store {
        allowance: 0,
        budget: Budget::new(memory),
        disk: Some(disk),
    };
    (store, directory)
}

/// All there is without waiting, and the end if it was met.
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

/// All of it, with waiting.
async fn rest(reader: &mut SpoolReader) -> Result<Vec<u8>, Failure> {
    let mut all = Vec::new();
    while let Some(bytes) = std::future::poll_fn(|cx| reader.poll_next(cx)).await {
        all.extend_from_slice(&bytes?);
    }
    Ok(all)
}

async fn bounded<T>(work: impl Future<Output = T>) -> T {
    let patience = Duration::from_secs(20);
    tokio::time::timeout(patience, work)
        .await
        .expect("the disk answers")
}

/// Waits until nothing is taken any more; the disk threads may need a moment to forget a file.
async fn given_back(store: &Store) {
    let used = || store.disk.as_ref().map_or(0, Disk::used);
    bounded(async {
        while used() > 0 || store.budget.used() > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// Frames of many sizes, with contents that tell their place.
fn frames(count: usize) -> Vec<Bytes> {
    let mut place = 0_u64;
    (0..count)
        .map(|n| {
            let len = [1, 200, SMALL - 1, SMALL, SMALL + 1, PAGE, 3 * PAGE + 7, 0][n % 8];
            let next = || {
                place += 1;
                (place % 251) as u8
            };
            std::iter::repeat_with(next).take(len).collect()
        })
        .collect()
}

#[tokio::test]
async fn no_byte_is_lost_doubled_or_reordered() {
    let store = memory(64 * KIB, 8 << 20);
    let frames = frames(100);
    let wanted: Vec<u8> = frames.concat();
    for pause in [1, 3, 1000] {
        let (writer, mut reader) = tee(&store, Phase::Answer);
        let mut got = Vec::new();
        for (n, frame) in frames.iter().enumerate() {
            writer.push(frame.clone()).await.unwrap();
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
    assert_eq!(store.budget.used(), 0);
}

#[tokio::test]
async fn through_the_disk_too_whatever_the_pace_of_the_reader() {
    let (store, _directory) = with_disk(0, |_| {});
    let frames = frames(400);
    let wanted: Vec<u8> = frames.concat();
    for pause in [1, 7, 100, 100_000] {
        let (writer, mut reader) = tee(&store, Phase::Answer);
        let mut got = Vec::new();
        for (n, frame) in frames.iter().enumerate() {
            bounded(writer.push(frame.clone())).await.unwrap();
            if n % pause == 0 {
                got.extend(drained(&mut reader).0);
            }
        }
        writer.end(Ok(()));
        assert!(pause < 1000 || !reader.is_done());
        got.extend(bounded(rest(&mut reader)).await.unwrap());
        assert!(
            got == wanted,
            "pause {pause}: {} of {}",
            got.len(),
            wanted.len()
        );
        assert!(reader.is_done());
    }
    given_back(&store).await;
}

#[tokio::test]
async fn a_reader_that_follows_gets_every_byte_while_the_writer_goes_on() {
    let (store, _directory) = with_disk(QUANTUM, |_| {});
    let frames = frames(800);
    let wanted: Vec<u8> = frames.concat();
    let (writer, mut reader) = tee(&store, Phase::Answer);
    let writing = tokio::spawn(async move {
        for frame in frames {
            writer.push(frame).await.unwrap();
        }
        writer.end(Ok(()));
    });
    let got = bounded(rest(&mut reader)).await.unwrap();
    writing.await.unwrap();
    assert!(got == wanted);
}

#[tokio::test]
async fn a_whole_body_can_be_read_twice_from_memory_and_from_disk() {
    let (disk, _directory) = with_disk(QUANTUM, |_| {});
    for store in [memory(4 << 20, 0), disk] {
        let (writer, _reader) = tee(&store, Phase::Body);
        let frames = frames(300);
        for frame in &frames {
            bounded(writer.push(frame.clone())).await.unwrap();
        }
        let whole = bounded(writer.into_whole()).await.unwrap();
        for _ in 0..2 {
            let mut reader = whole.reader();
            let mut all = Vec::new();
            let next = async {
                while let Some(bytes) = std::future::poll_fn(|cx| reader.poll_next(cx)).await {
                    all.extend_from_slice(&bytes.unwrap());
                }
            };
            bounded(next).await;
            assert!(all == frames.concat(), "{} bytes", all.len());
        }
        assert_eq!(whole.len(), frames.concat().len() as u64);
        drop(whole);
        given_back(&store).await;
    }
}

#[tokio::test]
async fn without_a_disk_what_does_not_fit_is_refused_and_told() {
    let store = memory(QUANTUM, 2 * QUANTUM);
    let (writer, mut reader) = tee(&store, Phase::Answer);
    let page = Bytes::from(vec![7; QUANTUM]);
    writer.push(page.clone()).await.unwrap();
    assert_eq!(store.budget.used(), 0, "the allowance is free");
    writer.push(page.clone()).await.unwrap();
    writer.push(page.clone()).await.unwrap();
    let refused = writer.push(page.clone()).await.unwrap_err();
    assert!(refused.to_string().contains("spool.memory"), "{refused}");
    assert_eq!(drained(&mut reader).0.len(), 3 * QUANTUM);
    assert_eq!(store.budget.used(), 0, "what was read is given back");
    writer.push(page).await.unwrap();
}

#[tokio::test]
async fn each_limit_of_the_disk_is_told_by_its_key() {
    type Change = fn(&mut settings::Spool);
    let limits: [(&str, Change); 3] = [
        ("spool.file", |it| it.file = 1 << 20),
        ("spool.disk", |it| it.disk = 1 << 20),
        ("spool.floor", |it| it.floor = u64::MAX),
    ];
    for (key, change) in limits {
        let (store, _directory) = with_disk(0, change);
        let (writer, _reader) = tee(&store, Phase::Answer);
        let filling = async {
            loop {
                if let Err(failure) = writer.push(Bytes::from(vec![1; 64 * KIB])).await {
                    return failure;
                }
            }
        };
        let failure = bounded(filling).await.to_string();
        assert!(failure.contains(key), "{key}: {failure}");
    }
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_one_exchange_in_trouble() {
    let (store, _place) = with_the_place_of_its_disk_taken();
    let (writer, mut reader) = tee(&store, Phase::Answer);
    let filling = async {
        loop {
            if let Err(failure) = writer.push(Bytes::from(vec![1; 64 * KIB])).await {
                return failure;
            }
        }
    };
    let failure = bounded(filling).await;
    assert!(failure.to_string().contains("spool.directory"), "{failure}");
    assert!(bounded(rest(&mut reader)).await.is_err());
}

#[tokio::test]
async fn tiny_frames_are_charged_by_the_page_and_not_by_the_frame() {
    let store = memory(0, 64 << 20);
    let (writer, _reader) = tee(&store, Phase::Answer);
    for _ in 0..100_000 {
        writer.push(Bytes::from_static(b"x")).await.unwrap();
    }
    let used = store.budget.used();
    assert!(used < 100_000 + 2 * QUANTUM, "{used}");
}

#[tokio::test]
async fn a_writer_that_is_dropped_cuts_the_body_off() {
    let (writer, mut reader) = tee(&memory(64 * KIB, 0), Phase::Answer);
    writer.push(Bytes::from_static(b"half")).await.unwrap();
    drop(writer);
    let (got, end) = drained(&mut reader);
    assert_eq!(got, b"half");
    let cut = Failure::origin(Phase::Answer, Cause::Truncated);
    assert_eq!(end, Some(Err(cut)));
}

#[tokio::test]
async fn without_a_reader_nothing_is_kept_anywhere() {
    let (store, _directory) = with_disk(QUANTUM, |_| {});
    let (writer, reader) = tee(&store, Phase::Answer);
    for _ in 0..100 {
        bounded(writer.push(Bytes::from(vec![1; 64 * KIB])))
            .await
            .unwrap();
    }
    drop(reader);
    assert_eq!(store.budget.used(), 0);
    for _ in 0..100 {
        bounded(writer.push(Bytes::from(vec![1; QUANTUM])))
            .await
            .unwrap();
    }
    assert_eq!(writer.len(), 200 * QUANTUM as u64);
    assert_eq!(store.budget.used(), 0);
}

#[tokio::test]
async fn what_waits_behind_a_write_that_failed_is_never_read() {
    let (store, _place) = with_the_place_of_its_disk_taken();
    let (writer, mut reader) = tee(&store, Phase::Answer);
    writer.push(Bytes::from(vec![1; 256 * KIB])).await.unwrap();
    let behind = writer.push(Bytes::from(vec![2; 100 * KIB])).await;
    let first = bounded(std::future::poll_fn(|cx| reader.poll_next(cx))).await;
    assert!(matches!(first, Some(Err(_))), "{behind:?}, then a hole");
}

/// A disk whose directory has gone since, and cannot be made again: a file is there instead.
fn with_the_place_of_its_disk_taken() -> (Store, tempfile::TempPath) {
    let (store, directory) = with_disk(0, |_| {});
    let place = directory.keep();
    std::fs::remove_dir(&place).unwrap();
    std::fs::write(&place, "in the way").unwrap();
    (store, tempfile::TempPath::try_from_path(place).unwrap())
}
