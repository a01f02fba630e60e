//! The log at its boundary: what was appended comes back, whatever happened to the end of the file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::point::{Payload, Point, PointId, SparseVector, Vector};
use crate::storage::disk::RealDisk;

fn payload(value: serde_json::Value) -> Payload {
    value.as_object().expect("object").clone()
}

fn point(number: u64) -> Point {
    let mut vectors = BTreeMap::new();
    vectors.insert(
        String::new(),
        Vector::Dense(vec![number as f32, -0.5, 1e-30]),
    );
    vectors.insert(
        "words".into(),
        Vector::Sparse(SparseVector {
            indices: vec![1, 70_000],
            values: vec![0.25, 3.0],
        }),
    );
    vectors.insert("page".into(), Vector::Multi(vec![vec![1.0, 2.0]; 3]));
    Point {
        id: PointId::Number(number),
        vectors,
        payload: payload(json!({"title": "Fuß", "price": 0.1, "tags": [1, null, {"deep": true}]})),
        expires_unix_ms: number
            .is_multiple_of(2)
            .then_some(1_700_000_000_000 + number),
    }
}

fn read(path: &Path, first_sequence: u64) -> (Vec<Entry>, Replay) {
    let mut entries = Vec::new();
    let replay = Log::replay(&RealDisk, path, first_sequence, &mut |entry| {
        entries.push(entry);
        Ok(())
    })
    .expect("replay");
    (entries, replay)
}

/// A file with three synced groups: puts 5 to 7, deletes 8 and 10, and one put, 11, whose mark follows.
fn written(directory: &tempfile::TempDir) -> (PathBuf, Vec<Entry>) {
    let path = directory.path().join(file_name(5));
    let log = Log::create(&RealDisk, &path, 5).expect("create");
    let points: Vec<Point> = (5..8).map(point).collect();
    let puts: Vec<LogEntry<'_>> = points
        .iter()
        .zip(5..)
        .map(|(point, sequence)| LogEntry {
            sequence,
            change: Change::Put(point),
        })
        .collect();
    log.append(&puts).expect("append");
    log.sync_to(7).expect("sync");
    let uuid = PointId::Uuid(0x1234_5678_9abc_def0_1122_3344_5566_7788);
    let deletes = [(8, PointId::Number(u64::MAX)), (10, uuid)];
    log.append(&deletes.map(|(sequence, id)| LogEntry {
        sequence,
        change: Change::Delete(id),
    }))
    .expect("append");
    log.sync().expect("sync");
    let last = point(11);
    log.append(&[LogEntry {
        sequence: 11,
        change: Change::Put(&last),
    }])
    .expect("append");
    assert_eq!((log.durable_sequence(), log.last_sequence()), (10, 11));
    log.sync().expect("sync");
    assert_eq!(RealDisk.length(&path).expect("length"), Some(log.bytes()));
    let puts = points
        .into_iter()
        .zip(5..)
        .map(|(point, sequence)| Entry::Put { sequence, point });
    let deletes = deletes.map(|(sequence, id)| Entry::Delete { sequence, id });
    let last = Entry::Put {
        sequence: 11,
        point: last,
    };
    (path, puts.chain(deletes).chain([last]).collect())
}

fn replace(path: &Path, bytes: &[u8]) {
    RealDisk.remove(path).expect("remove");
    let file = RealDisk.create(path).expect("create");
    file.append(bytes).expect("append");
}

#[test]
fn what_was_appended_is_replayed_and_more_can_follow() {
    let directory = tempfile::tempdir().expect("directory");
    let (path, expected) = written(&directory);
    let (entries, replay) = read(&path, 5);
    assert_eq!(entries, expected);
    assert_eq!((replay.records, replay.last_sequence), (6, 11));
    assert_eq!(replay.tail, Tail::Clean);
    let (log, _) = Log::open(&RealDisk, &path, 5, &mut |_| Ok(())).expect("open");
    let id = PointId::Number(1);
    log.append(&[LogEntry {
        sequence: 12,
        change: Change::Delete(id),
    }])
    .expect("append");
    log.sync_to(12).expect("sync");
    assert_eq!(read(&path, 5).0.len(), 7);
    assert_eq!(
        list(&RealDisk, directory.path()).expect("list"),
        [(5, path)]
    );
}

#[test]
fn a_tail_cut_at_any_byte_leaves_the_records_before_it() {
    let directory = tempfile::tempdir().expect("directory");
    let (path, expected) = written(&directory);
    let good = RealDisk.read(&path, 1 << 20).expect("read");
    for length in 0..good.len() {
        replace(&path, &good[..length]);
        let (entries, replay) = read(&path, 5);
        assert_eq!(entries, expected[..entries.len()]);
        assert!(
            !matches!(replay.tail, Tail::Damaged { .. }),
            "{length}: {replay:?}"
        );
        let (log, _) = Log::open(&RealDisk, &path, 5, &mut |_| Ok(())).expect("open");
        let next = log.last_sequence() + 1;
        log.append(&[LogEntry {
            sequence: next,
            change: Change::Delete(PointId::Number(3)),
        }])
        .expect("append");
        let (after, replay) = read(&path, 5);
        assert_eq!((after.len(), replay.tail), (entries.len() + 1, Tail::Clean));
    }
}

#[test]
fn a_flipped_byte_is_named_when_a_mark_says_that_it_was_durable() {
    let directory = tempfile::tempdir().expect("directory");
    let (path, expected) = written(&directory);
    let good = RealDisk.read(&path, 1 << 20).expect("read");
    let last_mark = good.len() - record::MARK_BYTES;
    for offset in 0..last_mark {
        let mut bad = good.clone();
        bad[offset] ^= 0x40;
        let mut entries = Vec::new();
        let outcome = parse(&bad, 5, &mut |entry| {
            entries.push(entry);
            Ok(())
        });
        let replay = outcome.unwrap_or_else(|error| panic!("{offset}: {error}"));
        // A mark between records may go unmissed; everything else is named, and only what it hit is lost.
        match replay.tail {
            Tail::Damaged { offset: at, .. } => assert!(at <= offset as u64),
            ref tail => panic!("{offset}: {tail:?}"),
        }
        assert!(entries.len() + 1 >= expected.len(), "{offset}");
        assert!(entries.iter().all(|entry| expected.contains(entry)));
    }
    let mut bad = good;
    bad[100] ^= 1;
    replace(&path, &bad);
    let error = Log::open(&RealDisk, &path, 5, &mut |_| Ok(())).expect_err("damaged");
    assert!(
        error.to_string().contains("a record at bytes 32 to"),
        "{error}"
    );
}

#[test]
fn records_written_before_what_stands_in_front_of_them_are_a_tear() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join(file_name(1));
    let log = Log::create(&RealDisk, &path, 1).expect("create");
    for sequence in 1..=3 {
        log.append(&[LogEntry {
            sequence,
            change: Change::Put(&point(sequence)),
        }])
        .expect("append");
    }
    // Nothing was synced: the disk may have written the third record and not the second.
    let mut bytes = RealDisk.read(&path, 1 << 20).expect("read");
    let second = 32 + (bytes.len() - 32) / 3;
    bytes[second..second + 50].fill(0);
    let mut count = 0;
    let replay = parse(&bytes, 1, &mut |_| {
        count += 1;
        Ok(())
    })
    .expect("parse");
    assert_eq!(count, 1);
    assert!(
        matches!(replay.tail, Tail::Torn { records: 1, .. }),
        "{replay:?}"
    );
}

#[test]
fn what_could_not_be_read_back_is_refused_before_it_is_written() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join(file_name(1));
    let log = Log::create(&RealDisk, &path, 1).expect("create");
    let mut deep = json!(1);
    for _ in 0..record::PAYLOAD_DEPTH_MAX {
        deep = json!([deep]);
    }
    let mut bad = point(1);
    bad.payload.insert("deep".into(), deep);
    let entry = |point| LogEntry {
        sequence: 1,
        change: Change::Put(point),
    };
    let error = log.append(&[entry(&bad)]).expect_err("too deep");
    assert!(matches!(error, VectorsError::Invalid { .. }), "{error}");
    let mut large = point(1);
    large.vectors.insert(
        String::new(),
        Vector::Dense(vec![0.0; RECORD_BYTES_MAX / 4]),
    );
    let error = log.append(&[entry(&large)]).expect_err("too large");
    assert!(matches!(error, VectorsError::Limit { .. }), "{error}");
    log.append(&[entry(&point(1))])
        .expect("nothing was written");
    assert_eq!(read(&path, 1).0.len(), 1);
}

#[test]
fn another_version_is_neither_torn_nor_damaged() {
    let mut bytes = replay::header(1).to_vec();
    bytes[8] = 9;
    let checksum = crc32c::crc32c(&bytes[..28]);
    bytes[28..].copy_from_slice(&checksum.to_le_bytes());
    parse(&bytes, 1, &mut |_| Ok(())).expect_err("version 9");
}

proptest! {
    #[test]
    fn noise_never_panics_and_never_yields_an_entry(noise in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let mut bytes = replay::header(1).to_vec();
        bytes.extend(noise);
        let replay = parse(&bytes, 1, &mut |entry| panic!("{entry:?}")).expect("parse");
        prop_assert_eq!(replay.records, 0);
    }
}
