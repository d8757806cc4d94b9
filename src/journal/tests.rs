//! The journal on a disk of which only synced bytes survive.

use super::simulated::Simulated;
use super::*;
use crate::otlp::Signal;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

const LIMITS: Limits = Limits { bytes_max: 1 << 20, segment_bytes: 4_096, requests_max: 1_000, context: 0 };
const NAMES: [&str; 2] = ["otlp/one", "otlp/other"];

fn names() -> Vec<String> {
    NAMES.map(str::to_owned).to_vec()
}

fn open(disk: &Simulated, limits: Limits) -> (Arc<Journal>, Opening) {
    Journal::open(Arc::new(disk.clone()), limits, &names()).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(disk: &Simulated) -> JournalError {
    match Journal::open(Arc::new(disk.clone()), LIMITS, &names()) {
        Ok(_) => panic!("it opens"),
        Err(error) => error,
    }
}

fn account(journal: &Arc<Journal>, backend: usize) -> Account {
    Account::of_journal(journal, backend)
}

fn request(number: u64) -> Bytes {
    let length = 40 + usize::try_from(number * 37 % 700).expect("small");
    Bytes::from(format!("{number} {}", "x".repeat(length)))
}

fn append(request: &Bytes, arrived: Nanos) -> Append<'_> {
    Append { receiver: "otlp", signal: Signal::Logs, items: 1, arrived, request }
}

/// Keeps a request for both backends.
async fn keep(journal: &Journal, number: u64) -> Result<u64, NotKept> {
    let request = request(number);
    Ok(journal.append(append(&request, number as i64)).await?.used(&[(0, 1), (1, 1)]))
}

fn replayed(journal: &Journal) -> Vec<Entry> {
    let mut replay = journal.replay();
    let mut all = Vec::new();
    while let Some(entry) = replay.read_next().expect("it can be read") {
        all.push(entry);
    }
    all
}

#[tokio::test]
async fn what_is_kept_is_replayed_to_the_backends_that_lack_it() {
    let disk = Simulated::new(1);
    let (journal, opening) = open(&disk, LIMITS);
    assert!(opening.warnings.is_empty() && journal.replay().is_empty());
    let mut positions = Vec::new();
    for number in 0..50 {
        positions.push(keep(&journal, number).await.expect("it is kept"));
    }
    assert_eq!(positions, (1..51).collect::<Vec<u64>>());
    account(&journal, 0).done(&Marks::of(Some(1)));
    account(&journal, 1).done(&Marks::of(Some(1)));
    for position in 10..20 {
        account(&journal, 0).done(&Marks::of(Some(position)));
    }
    journal.close();
    assert_eq!(journal.append(append(&request(0), 0)).await.err(), Some(NotKept::Closed));
    let (journal, opening) = open(&disk, LIMITS);
    assert_eq!(opening.warnings, Vec::<String>::new());
    let all = replayed(&journal);
    let first = all.first().expect("one");
    assert_eq!((first.receiver.as_str(), first.signal, first.items, first.arrived), ("otlp", Signal::Logs, 1, 1));
    assert_eq!(all.iter().map(|entry| entry.position).collect::<Vec<u64>>(), (2..51).collect::<Vec<u64>>());
    assert!(all.iter().all(|entry| entry.request == request(entry.position - 1)));
    assert_eq!(
        (account(&journal, 0).lacks(9), account(&journal, 0).lacks(15), account(&journal, 1).lacks(15)),
        (true, false, true)
    );
    assert_eq!(keep(&journal, 99).await, Ok(51), "positions go on");
}

#[tokio::test]
async fn what_everybody_has_is_removed_and_what_somebody_lacks_stays() {
    let disk = Simulated::new(2);
    let (journal, _) = open(&disk, LIMITS);
    for number in 0..200 {
        let position = keep(&journal, number).await.expect("it is kept");
        account(&journal, 0).done(&Marks::of(Some(position)));
        if position != 70 {
            account(&journal, 1).done(&Marks::of(Some(position)));
        }
    }
    journal.close();
    let segments = |disk: &Simulated| {
        let names = disk.names().expect("names");
        names.iter().filter_map(|name| segment::first_of(name)).collect::<Vec<u64>>()
    };
    let first = *segments(&disk).first().expect("one");
    assert!(first > 1 && first <= 70, "{first}");
    let (journal, _) = open(&disk, LIMITS);
    for entry in replayed(&journal) {
        journal.open_pieces(entry.position, &[(0, 1), (1, 1)]);
    }
    assert_eq!((account(&journal, 0).open_count(), account(&journal, 1).open_count()), (0, 1));
    account(&journal, 1).done(&Marks::of(Some(70)));
    journal.close();
    let (journal, _) = open(&disk, LIMITS);
    assert!(journal.replay().is_empty());
    assert_eq!(keep(&journal, 1).await, Ok(201));
    journal.close();
    assert!(segments(&disk).first().is_some_and(|first| *first >= 201));
}

#[tokio::test]
async fn a_full_journal_refuses_until_something_is_delivered() {
    let disk = Simulated::new(3);
    let limits = Limits { bytes_max: 40_000, ..LIMITS };
    let (journal, _) = open(&disk, limits);
    let mut count = 0;
    let full = loop {
        match keep(&journal, count).await {
            Ok(_) => count += 1,
            Err(why) => break why,
        }
    };
    assert!(matches!(full, NotKept::Full { bytes_max: 40_000, .. }) && count > 50, "{full} {count}");
    for position in 1..=count {
        account(&journal, 0).done(&Marks::of(Some(position)));
        account(&journal, 1).done(&Marks::of(Some(position)));
    }
    let mut tries = 0;
    while keep(&journal, count).await.is_err() {
        tries += 1;
        assert!(tries < 1_000, "there is room again");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn more_requests_than_can_be_counted_are_refused_until_some_are_delivered() {
    let disk = Simulated::new(7);
    let (journal, _) = open(&disk, Limits { requests_max: 3, ..LIMITS });
    for number in 0..3 {
        keep(&journal, number).await.expect("there is room");
    }
    let refused = keep(&journal, 3).await.expect_err("three wait");
    assert_eq!(refused.to_string(), "the journal is full (3 requests wait for a backend)");
    assert_eq!(journal.trouble(), Some(refused));
    for backend in 0..2 {
        account(&journal, backend).done(&Marks::of(Some(1)));
    }
    keep(&journal, 4).await.expect("one is delivered to both");
}

#[tokio::test]
async fn a_full_disk_refuses_and_takes_again_when_there_is_room() {
    let disk = Simulated::new(4);
    let (journal, _) = open(&disk, LIMITS);
    for number in 0..10 {
        keep(&journal, number).await.expect("it is kept");
    }
    disk.room(Some(300));
    let mut refused = 0;
    for number in 10..20 {
        if let Err(why) = keep(&journal, number).await {
            assert!(why.to_string().contains("free space"), "{why}");
            refused += 1;
        }
    }
    assert!(refused >= 9, "{refused}");
    disk.room(None);
    for number in 20..40 {
        keep(&journal, number).await.expect("there is room again");
    }
    journal.close();
    let (journal, opening) = open(&disk, LIMITS);
    assert_eq!(opening.warnings, Vec::<String>::new(), "nothing of it is damage");
    let numbers: BTreeSet<u64> = replayed(&journal).iter().map(|entry| entry.arrived as u64).collect();
    assert!((0..10).chain(20..40).all(|number| numbers.contains(&number)), "{numbers:?}");
    assert_eq!(numbers.len(), 40 - refused);
}

#[tokio::test]
async fn after_a_sync_that_failed_nothing_is_acknowledged() {
    let disk = Simulated::new(5);
    let (journal, _) = open(&disk, LIMITS);
    keep(&journal, 0).await.expect("it is kept");
    disk.fail_after(0);
    let first = keep(&journal, 1).await.expect_err("the sync fails");
    assert!(matches!(first, NotKept::Poisoned(_)), "{first}");
    assert!(first.to_string().contains("start why502 anew"), "{first}");
    // The disk says yes again, and must not be believed.
    assert_eq!(keep(&journal, 2).await, Err(first));
    journal.close();
    let (journal, _) = open(&disk.after_power_loss(), LIMITS);
    assert!(replayed(&journal).iter().any(|entry| entry.arrived == 0));
}

/// Writes on many disks until the power goes, in the middle of it; what was acknowledged must be there, and nothing is
/// called damaged.
#[tokio::test]
async fn what_was_acknowledged_survives_a_loss_of_power() {
    for seed in 0..150 {
        let mut disk = Simulated::new(seed);
        let mut acknowledged: BTreeMap<u64, u64> = BTreeMap::new();
        let mut delivered = BTreeSet::new();
        let mut number = 0;
        for round in 0..3 {
            let (journal, _) = open(&disk, LIMITS);
            let found: BTreeMap<u64, u64> =
                replayed(&journal).iter().map(|entry| (entry.position, entry.arrived as u64)).collect();
            let lost: Vec<_> = acknowledged
                .iter()
                .filter(|(position, _)| !delivered.contains(*position))
                .filter(|(position, number)| found.get(position) != Some(number))
                .collect();
            assert!(lost.is_empty(), "seed {seed}, round {round}: {lost:?} of {} are gone", acknowledged.len());
            for entry in replayed(&journal) {
                journal.open_pieces(entry.position, &[(0, 1), (1, 1)]);
            }
            for _ in 0..disk.below(30) {
                // Several at once, of which the last may be on their way when the power goes.
                let together = (0..=disk.below(6)).map(|index| number + index).collect::<Vec<u64>>();
                number += together.len() as u64;
                let kept = futures_of(&journal, &together).await;
                acknowledged.extend(kept.iter().copied());
                for (position, _) in kept {
                    if disk.below(3) > 0 {
                        account(&journal, 0).done(&Marks::of(Some(position)));
                        account(&journal, 1).done(&Marks::of(Some(position)));
                        delivered.insert(position);
                    }
                }
            }
            // Written, and the answer of the disk not awaited.
            let last: Vec<Bytes> = (0..disk.below(5)).map(request).collect();
            let unanswered: Vec<_> = last.iter().map(|request| journal.writer.stage(append(request, -1))).collect();
            if disk.below(2) == 0 {
                tokio::task::yield_now().await;
            }
            let next = disk.after_power_loss();
            drop(unanswered);
            journal.close();
            disk = next;
        }
    }
}

async fn futures_of(journal: &Arc<Journal>, numbers: &[u64]) -> Vec<(u64, u64)> {
    let mut tasks = tokio::task::JoinSet::new();
    for number in numbers.iter().copied() {
        let journal = Arc::clone(journal);
        tasks.spawn(async move { (keep(&journal, number).await.expect("it is kept"), number) });
    }
    tasks.join_all().await
}

#[tokio::test]
async fn a_flipped_bit_is_said_with_its_place_and_repaired_without_the_rest() {
    let mut damaged = 0;
    for at in (0..3_500).step_by(61) {
        let disk = Simulated::new(6);
        let (journal, _) = open(&disk, LIMITS);
        for number in 0..40 {
            keep(&journal, number).await.expect("it is kept");
        }
        journal.close();
        let name = segment::name_of(1);
        assert!(disk.size(&name) > 3_500);
        disk.flip(&name, at);
        let error = refused(&disk);
        if at >= frame::HEADER {
            let JournalError::Damaged(damage) = &error else { panic!("{at}: {error}") };
            assert!(damage.offset <= at as u64 && damage.name == name, "{at}: {damage:?}");
            assert!(error.to_string().contains("why502 journal repair DIR"), "{error}");
            damaged += 1;
        }
        if matches!(error, JournalError::Version { .. }) {
            continue;
        }
        let repaired = check::repair_storage(&disk).unwrap_or_else(|error| panic!("{at}: {error}"));
        let missing: u64 = repaired.damages.iter().map(|damage| damage.missing.end - damage.missing.start).sum();
        assert!(!repaired.aside.is_empty());
        let (journal, _) = open(&disk, LIMITS);
        let left = replayed(&journal).len() as u64;
        assert_eq!(left + missing, 40, "{at}: {repaired:?}");
        assert!(at < frame::HEADER || missing == 1, "{at}");
        assert!(keep(&journal, 7).await.is_ok());
    }
    assert!(damaged > 50);
}

#[tokio::test]
async fn damage_at_the_very_end_and_missing_segments_are_seen_as_well() {
    let disk = Simulated::new(7);
    let (journal, _) = open(&disk, LIMITS);
    for number in 0..40 {
        keep(&journal, number).await.expect("it is kept");
    }
    journal.close();
    let segments: Vec<String> =
        disk.names().expect("names").into_iter().filter(|name| segment::first_of(name).is_some()).collect();
    let [first, .., last] = segments.as_slice() else { panic!("several") };
    let cursors_know = disk.after_power_loss();
    cursors_know.flip(last, cursors_know.size(last) - 1);
    assert!(matches!(refused(&cursors_know), JournalError::Damaged(damage) if damage.missing == (40..41)));
    for name in [first, last] {
        let gone = disk.after_power_loss();
        gone.remove(name).expect("it was there");
        assert!(matches!(refused(&gone), JournalError::Damaged(_)), "{name}");
        check::repair_storage(&gone).expect("what is left is repaired");
        open(&gone, LIMITS);
    }
    let lost = disk.after_power_loss();
    lost.flip(cursors::NAME, 60);
    assert!(matches!(refused(&lost), JournalError::Cursors));
    let repaired = check::repair_storage(&lost).expect("it is made anew");
    assert_eq!(repaired.aside, ["cursors.damaged"]);
    let (journal, opening) = open(&lost, LIMITS);
    assert!(opening.warnings.iter().any(|warning| warning.contains("delivered again")));
    assert_eq!(replayed(&journal).len(), 40);
}

#[tokio::test]
async fn a_clock_that_is_put_back_loses_nothing() {
    let disk = Simulated::new(9);
    let (journal, _) = open(&disk, LIMITS);
    for (number, arrived) in [(0, 5_000), (1, 9_000), (2, 100), (3, 200)] {
        let request = request(number);
        journal.append(append(&request, arrived)).await.expect("it is kept").used(&[(0, 1), (1, 1)]);
    }
    account(&journal, 0).done(&Marks::of(Some(1)));
    account(&journal, 1).done(&Marks::of(Some(1)));
    journal.close();
    let (journal, _) = open(&disk, LIMITS);
    let positions: Vec<u64> = replayed(&journal).iter().map(|entry| entry.position).collect();
    assert_eq!(positions, [2, 3, 4]);
}

#[tokio::test]
async fn a_backend_that_comes_or_goes_is_told_of() {
    let disk = Simulated::new(8);
    let (journal, _) = open(&disk, LIMITS);
    for number in 0..5 {
        keep(&journal, number).await.expect("it is kept");
    }
    journal.close();
    drop(journal);
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    let changed = [NAMES[0].to_owned(), "otlp/new".to_owned()];
    let (journal, opening) = Journal::open(storage, LIMITS, &changed).expect("it opens");
    let [warning] = opening.warnings.as_slice() else { panic!("{opening:?}") };
    assert!(warning.contains("`otlp/other`") && warning.contains("5 requests"), "{warning}");
    assert_eq!(
        (account(&journal, 0).open_count(), account(&journal, 1).open_count()),
        (5, 0),
        "a new one does not get what came before"
    );
}
