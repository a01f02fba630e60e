//! Snapshots: taken while writes go on, listed, verified, restored, carried elsewhere; damaged ones are named and refused.

use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use vectors::collection::{Collection, With, WriteOptions};
use vectors::database::{Database, DatabaseOptions, Existing};
use vectors::payload::PayloadIndexKind;
use vectors::schema::Metric;
use vectors::{PointId, VectorsError};

use crate::support::{durable, everything, ids, open, options, path, plain_schema, point};

/// A collection with sealed segments, dead rows, a payload index, and rows in the log only.
fn filled(database: &Database, name: &str) -> Arc<Collection> {
    let collection = database
        .create_collection(name, plain_schema(2, Metric::Euclid))
        .expect("new");
    collection
        .create_payload_index(&path("tag"), PayloadIndexKind::Keyword)
        .expect("index");
    let points = (0..25).map(|id| point(id, &[id as f32, 1.0], json!({"tag": "first"})));
    collection
        .upsert(points.collect(), &durable())
        .expect("written");
    collection.maintain().expect("sealed");
    collection
        .delete(&[3, 4].map(PointId::Number), &durable())
        .expect("deleted");
    collection.maintain().expect("tombstones");
    collection
        .delete(&[PointId::Number(5)], &WriteOptions::default())
        .expect("in the log");
    let late = point(30, &[30.0, 1.0], json!({"tag": "late"}));
    collection
        .upsert(vec![late], &WriteOptions::default())
        .expect("in the log");
    collection
}

fn data_of(root: &Path, collection: &str, snapshot: &str) -> PathBuf {
    root.join(format!(
        "collections/{collection}/snapshots/{snapshot}/data"
    ))
}

/// Changes one byte in the middle of a file.
fn damage(file: &Path) {
    let mut bytes = std::fs::read(file).expect("file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::remove_file(file).expect("the other names keep their bytes");
    std::io::Write::write_all(&mut std::fs::File::create(file).expect("file"), &bytes)
        .expect("written");
}

#[test]
fn a_snapshot_comes_back_as_a_new_collection_and_in_place_of_the_old_one() {
    let directory = tempfile::tempdir().expect("directory");
    let database = open(directory.path(), 10);
    let collection = filled(&database, "a/b");
    let before = everything(&collection);
    let snapshot = collection.snapshot("monday").expect("taken");
    assert_eq!(snapshot.name, "monday");
    let taken = collection
        .snapshot("monday")
        .expect_err("the name is taken");
    assert!(matches!(taken, VectorsError::Invalid { .. }), "{taken}");
    collection.snapshot("../x").expect_err("no name");
    collection
        .overwrite_payload(ids(&[1, 2]), Default::default(), &durable())
        .expect("changed");
    collection
        .delete(&[PointId::Number(7)], &durable())
        .expect("deleted");
    collection.optimize().expect("the files of then are gone");
    let after = everything(&collection);
    assert_ne!(after, before);

    let listed = database.snapshots("a/b").expect("list");
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].as_ref().expect("facts"), &snapshot);
    assert!(
        database
            .verify_snapshot("a/b", "monday")
            .expect("read")
            .is_empty()
    );
    let refused = database.restore("a/b", "monday", "a/b", Existing::Refuse);
    assert!(matches!(
        refused,
        Err(VectorsError::CollectionExists { .. })
    ));
    let copy = database
        .restore("a/b", "monday", "copy", Existing::Refuse)
        .expect("restored");
    assert_eq!(everything(&copy), before);
    assert_eq!(copy.payload_indexes().len(), 1);
    assert_eq!(everything(&collection), after);

    let restored = database
        .restore("a/b", "monday", "a/b", Existing::Replace)
        .expect("restored");
    assert_eq!(everything(&restored), before);
    // Who held the old one reads it to the end and writes nothing into the new one.
    assert_eq!(everything(&collection), after);
    let late = point(40, &[0.0, 0.0], json!({}));
    collection
        .upsert(vec![late.clone()], &durable())
        .expect_err("closed");
    collection.snapshot("late").expect_err("closed");
    restored.upsert(vec![late], &durable()).expect("goes on");
    restored.maintain().expect("goes on");
    assert_eq!(restored.info().expect("info").damages, Vec::<String>::new());
    // The snapshots stayed, across the restore and a start.
    assert_eq!(database.snapshots("a/b").expect("list").len(), 1);
    drop((collection, restored, copy, database));
    let database = open(directory.path(), 10);
    assert_eq!(database.list(), ["a/b", "copy"]);
    let restored = database.collection("a/b").expect("opens");
    assert_eq!(
        restored.count(None).expect("count"),
        before.len() as u64 + 1
    );
    database.delete_snapshot("a/b", "monday").expect("deleted");
    let gone = database.verify_snapshot("a/b", "monday").expect_err("gone");
    assert_eq!(gone.to_string(), "snapshot `monday` doesn't exist");
    assert!(database.snapshots("a/b").expect("list").is_empty());
    database.snapshots("nobody").expect_err("no collection");
}

#[test]
fn a_snapshot_holds_one_moment_of_writes_that_go_on() {
    let directory = tempfile::tempdir().expect("directory");
    let database = Database::open(
        directory.path(),
        DatabaseOptions {
            maintenance_threads: 1,
            ..options(40)
        },
    )
    .expect("database");
    let collection = database
        .create_collection("c", plain_schema(2, Metric::Dot))
        .expect("new");
    const POINTS: u64 = 30;
    // A round is one batch, seen as a whole or not at all: a point that stays, one that goes, and one that changes.
    let batch = |round: u64| {
        let mut points: Vec<_> = (0..POINTS)
            .map(|id| point(id, &[1.0, round as f32], json!({"round": round})))
            .collect();
        points.push(point(1_000 + round, &[0.0, 1.0], json!({"round": round})));
        points
    };
    let done = AtomicU64::new(0);
    let stop = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1.. {
                collection
                    .upsert(batch(round), &WriteOptions::default())
                    .expect("written");
                done.store(round, Ordering::SeqCst);
                if stop.load(Ordering::SeqCst) > 0 {
                    break;
                }
            }
        });
        for number in 0..12u64 {
            while done.load(Ordering::SeqCst) < 4 * number {
                std::thread::yield_now();
            }
            let (name, least) = (format!("s{number}"), done.load(Ordering::SeqCst));
            collection.snapshot(&name).expect("taken");
            let most = done.load(Ordering::SeqCst) + 1;
            let copy = database
                .restore("c", &name, &name, Existing::Refuse)
                .expect("restored");
            let all = everything(&copy);
            let round = all
                .values()
                .next()
                .map_or(0, |(_, value)| value["round"].as_u64().expect("round"));
            assert!((least..=most).contains(&round), "{least} {round} {most}");
            let expected = if round == 0 { 0 } else { POINTS + round };
            assert_eq!(all.len() as u64, expected, "round {round}");
            for (id, (_, value)) in &all {
                match *id {
                    PointId::Number(id) if id >= 1_000 => assert_eq!(value["round"], id - 1_000),
                    _ => assert_eq!(value["round"], round),
                }
            }
            assert!(copy.verify().expect("read").is_empty());
            drop(copy);
            database.delete_collection(&name).expect("deleted");
        }
        stop.store(1, Ordering::SeqCst);
    });
    let info = collection.info().expect("info");
    assert!(
        info.damages.is_empty() && info.read_only.is_none(),
        "{info:?}"
    );
    assert_eq!(database.snapshots("c").expect("list").len(), 12);
}

#[test]
fn a_damaged_snapshot_is_named_and_refused_and_nothing_changes() {
    let directory = tempfile::tempdir().expect("directory");
    let database = open(directory.path(), 10);
    let collection = filled(&database, "c");
    collection.snapshot("good").expect("taken");
    collection.snapshot("bad").expect("taken");
    let before = everything(&collection);
    let data = data_of(directory.path(), "c", "bad");
    damage(&data.join("segments/1/rows.fxv"));
    let damages = database.verify_snapshot("c", "bad").expect("read");
    assert_eq!(damages.len(), 1, "{damages:?}");
    let named = |error: &VectorsError| {
        let message = error.to_string();
        assert!(
            message.contains("segments/1/rows.fxv is damaged"),
            "{message}"
        );
    };
    named(&damages[0]);
    for (target, existing) in [("copy", Existing::Refuse), ("c", Existing::Replace)] {
        let error = database
            .restore("c", "bad", target, existing)
            .expect_err("damaged");
        assert!(error.to_string().contains("rows.fxv is damaged"), "{error}");
    }
    assert_eq!(database.list(), ["c"]);
    assert_eq!(everything(&collection), before);
    collection
        .delete(&[PointId::Number(1)], &durable())
        .expect("still in service");
    // An archive of it is refused where it arrives.
    let mut archive = Vec::new();
    database
        .export_snapshot("c", "bad", &mut archive)
        .expect("lengths are right");
    let error = database
        .import_snapshot("c", "again", &mut &archive[..], u64::MAX)
        .expect_err("damaged");
    assert!(error.to_string().contains("rows.fxv is damaged"), "{error}");
    let refused = database.restore_archive(&mut &archive[..], u64::MAX, "x", Existing::Refuse);
    refused.expect_err("damaged");
    // Damage to the facts of one snapshot leaves the others in the list.
    damage(&data.with_file_name("SNAPSHOT"));
    let listed = database.snapshots("c").expect("list");
    assert_eq!(listed.iter().filter(|one| one.is_ok()).count(), 1);
    let error = listed.into_iter().find_map(Result::err).expect("damaged");
    assert!(
        error.to_string().contains("bad/SNAPSHOT is damaged"),
        "{error}"
    );
    database
        .restore("c", "good", "c", Existing::Replace)
        .expect("good");
    database.delete_snapshot("c", "bad").expect("deleted");
    assert!(
        !directory.path().join("imports").exists() || {
            let left = std::fs::read_dir(directory.path().join("imports")).expect("list");
            left.count() == 0
        }
    );
}

#[test]
fn an_archive_carries_a_collection_to_another_database() {
    let (here, there) = (
        tempfile::tempdir().expect("directory"),
        tempfile::tempdir().expect("directory"),
    );
    let database = open(here.path(), 10);
    let collection = filled(&database, "c");
    let before = everything(&collection);
    let versions = |collection: &Collection| {
        let stored = collection
            .get(
                &(0..40).map(PointId::Number).collect::<Vec<_>>(),
                &With::nothing(),
            )
            .expect("get");
        stored
            .iter()
            .map(|one| (one.id, one.version))
            .collect::<Vec<_>>()
    };
    let expected = versions(&collection);
    collection.snapshot("s").expect("taken");
    let mut archive = Vec::new();
    let bytes = database
        .export_snapshot("c", "s", &mut archive)
        .expect("exported");
    assert_eq!(bytes, archive.len() as u64);
    drop((collection, database));

    let other = open(there.path(), 10);
    let too_large = other.restore_archive(&mut &archive[..], 1_000, "d", Existing::Refuse);
    too_large.expect_err("above the limit");
    assert!(other.list().is_empty());
    let carried = other
        .restore_archive(&mut &archive[..], u64::MAX, "d", Existing::Refuse)
        .expect("restored");
    assert_eq!(everything(&carried), before);
    assert_eq!(versions(&carried), expected);
    // As a snapshot among those of a collection, too.
    other
        .import_snapshot("d", "from-here", &mut &archive[..], u64::MAX)
        .expect("imported");
    assert!(
        other
            .verify_snapshot("d", "from-here")
            .expect("read")
            .is_empty()
    );
    other
        .restore("d", "from-here", "e", Existing::Refuse)
        .expect("restored");
    let again = other
        .restore_archive(&mut &archive[..], u64::MAX, "e", Existing::Replace)
        .expect("restored");
    assert_eq!(everything(&again), before);
}
