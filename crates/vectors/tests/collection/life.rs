//! Databases over time: concurrency, budgets, many collections, damage.

use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use vectors::collection::{SearchRequest, Status, With, WriteOptions};
use vectors::database::{Database, DatabaseOptions};
use vectors::schema::Metric;
use vectors::{PointId, Vector, VectorsError};

use crate::support::{durable, everything, found, open, options, plain_schema, point};

#[test]
fn readers_see_every_point_once_while_writers_and_merges_run() {
    let directory = tempfile::tempdir().expect("directory");
    let database = Database::open(
        directory.path(),
        DatabaseOptions {
            maintenance_threads: 1,
            ..options(50)
        },
    )
    .expect("database");
    let collection = database
        .create_collection("c", plain_schema(2, Metric::Dot))
        .expect("new");
    const POINTS: u64 = 200;
    let batch = |round: u64| {
        (0..POINTS)
            .map(|id| {
                point(
                    id,
                    &[id as f32 + 1.0, round as f32],
                    json!({"round": round}),
                )
            })
            .collect::<Vec<_>>()
    };
    let lazy = WriteOptions::default();
    collection.upsert(batch(0), &lazy).expect("written");
    let stop = Arc::new(AtomicBool::new(false));
    std::thread::scope(|scope| {
        for reader in 0..3 {
            let (collection, stop) = (Arc::clone(&collection), Arc::clone(&stop));
            scope.spawn(move || {
                let mut rounds = 0;
                while !stop.load(Ordering::Relaxed) || rounds == 0 {
                    rounds += 1;
                    match reader {
                        0 => assert_eq!(collection.count(None).expect("count"), POINTS),
                        1 => {
                            let request = SearchRequest::new(
                                "",
                                Vector::Dense(vec![1.0, 0.0]),
                                POINTS as usize + 10,
                            );
                            let numbers: Vec<u64> = found(&collection, &request)
                                .iter()
                                .map(|one| one.0)
                                .collect();
                            assert_eq!(numbers, (0..POINTS).rev().collect::<Vec<_>>());
                        }
                        _ => {
                            let id = PointId::Number(rounds % POINTS);
                            let got = collection.get(&[id], &With::payload()).expect("get");
                            assert_eq!(got.len(), 1, "{id} is missing");
                            assert_eq!(everything(&collection).len() as u64, POINTS);
                        }
                    }
                }
            });
        }
        for round in 1..40 {
            for part in batch(round).chunks(33) {
                collection.upsert(part.to_vec(), &lazy).expect("written");
            }
        }
        collection.optimize().expect("optimized");
        stop.store(true, Ordering::Relaxed);
    });
    let info = collection.info().expect("info");
    assert_eq!((info.points, info.damages.len()), (POINTS, 0));
    for (_, (_, value)) in everything(&collection) {
        assert_eq!(value["round"], 39);
    }
}

#[test]
fn a_budget_refuses_writes_and_gives_memory_back() {
    let directory = tempfile::tempdir().expect("directory");
    let database = Database::open(
        directory.path(),
        DatabaseOptions {
            memory_budget_bytes: Some(100_000),
            ..options(1_000_000)
        },
    )
    .expect("database");
    let collection = database
        .create_collection("c", plain_schema(100, Metric::Dot))
        .expect("new");
    let mut stored = 0u64;
    let error = loop {
        let batch = vec![point(stored, &[0.5; 100], json!({}))];
        match collection.upsert(batch, &WriteOptions::default()) {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, VectorsError::OverBudget { .. }), "{error}");
    assert!((100..250).contains(&stored), "{stored}");
    assert!(database.memory().total_bytes() <= 100_000);
    assert_eq!(collection.count(None).expect("count"), stored);
    // Sealed rows lie on disk: there is room again.
    collection.optimize().expect("optimized");
    collection
        .upsert(vec![point(stored, &[0.5; 100], json!({}))], &durable())
        .expect("room");
    assert_eq!(collection.count(None).expect("count"), stored + 1);
}

#[test]
fn a_database_holds_its_directory_and_its_names() {
    let directory = tempfile::tempdir().expect("directory");
    let database = open(directory.path(), 10);
    let locked = Database::open(directory.path(), options(10)).expect_err("held");
    assert!(matches!(locked, VectorsError::Locked { .. }), "{locked}");
    for name in ["b", "a/../b", "ü"] {
        database
            .create_collection(name, plain_schema(1, Metric::Dot))
            .expect("new");
    }
    assert_eq!(database.list(), ["a/../b", "b", "ü"]);
    let error = database
        .create_collection("b", plain_schema(1, Metric::Dot))
        .expect_err("taken");
    assert_eq!(error.to_string(), "collection `b` already exists");
    database.delete_collection("b").expect("deleted");
    let error = database.collection("b").expect_err("gone");
    assert_eq!(error.to_string(), "collection `b` doesn't exist");
    database
        .create_collection("", plain_schema(1, Metric::Dot))
        .expect_err("no name");
    database
        .create_collection("b", plain_schema(0, Metric::Dot))
        .expect_err("no dimensions");
    drop(database);
    let database = open(directory.path(), 10);
    assert_eq!(database.list(), ["a/../b", "ü"]);
}

/// Ten thousand collections, those that are used with a point in the log: copies of one, because making each durable takes
/// a minute.
#[test]
#[cfg(target_os = "linux")]
fn ten_thousand_small_collections_cost_little() {
    const COLLECTIONS: usize = 10_000;
    const OPEN_MAX: usize = 20;
    const USED_EVERY: usize = 200;
    let count = |path: &str| std::fs::read_dir(path).expect("of this process").count();
    let directory = tempfile::tempdir().expect("directory");
    let database = open(directory.path(), 10);
    let collection = database
        .create_collection("tenant-0", plain_schema(2, Metric::Dot))
        .expect("new");
    collection
        .upsert(vec![point(7, &[1.0, 2.0], json!({}))], &durable())
        .expect("written");
    drop((collection, database));
    let root = directory.path().join("collections");
    let home = root.join("tenant-0");
    let logs: Vec<_> = std::fs::read_dir(home.join("wal"))
        .expect("log")
        .map(|entry| entry.expect("entry").file_name())
        .collect();
    for number in 1..COLLECTIONS {
        let copy = root.join(format!("tenant-{number}"));
        std::fs::create_dir(&copy).expect("directory");
        std::fs::hard_link(home.join("MANIFEST"), copy.join("MANIFEST")).expect("linked");
        if number % USED_EVERY == 0 {
            std::fs::create_dir(copy.join("wal")).expect("directory");
            for log in &logs {
                let log = std::path::Path::new("wal").join(log);
                std::fs::copy(home.join(&log), copy.join(&log)).expect("copied");
            }
        }
    }
    let (files, threads) = (count("/proc/self/fd"), count("/proc/self/task"));
    let start = std::time::Instant::now();
    let database = Database::open(
        directory.path(),
        DatabaseOptions {
            open_collections_max: OPEN_MAX,
            maintenance_threads: 1,
            ..options(10)
        },
    )
    .expect("database");
    assert_eq!(database.list().len(), COLLECTIONS);
    // Generous: the machine may be busy. Opening lists names, some microseconds each.
    assert!(start.elapsed() < Duration::from_secs(5));
    for number in (0..COLLECTIONS).step_by(USED_EVERY) {
        let collection = database
            .collection(&format!("tenant-{number}"))
            .expect("opens");
        assert_eq!(collection.count(None).expect("count"), 1);
    }
    // Fifty were used, few are open; what other tests of this process have open varies by some.
    let few = OPEN_MAX + 100;
    assert!(count("/proc/self/fd") < files + few);
    assert!(count("/proc/self/task") < threads + 30);
    assert!(database.memory().total_bytes() < 100_000 * OPEN_MAX as u64);
    assert!(database.close_idle().expect("closed") <= OPEN_MAX);
    assert_eq!(database.memory().total_bytes(), 0);
}

#[test]
fn a_damaged_segment_is_named_and_the_others_serve() {
    let directory = tempfile::tempdir().expect("directory");
    let database = open(directory.path(), 4);
    let collection = database
        .create_collection("c", plain_schema(1, Metric::Dot))
        .expect("new");
    for first in [0, 4] {
        let points = (first..first + 4).map(|id| point(id, &[id as f32], json!({})));
        collection
            .upsert(points.collect(), &durable())
            .expect("written");
    }
    collection.maintain().expect("sealed");
    assert_eq!(collection.verify().expect("read").len(), 0);
    drop((collection, database));
    let rows = directory.path().join("collections/c/segments/1/rows.fxv");
    let mut bytes = std::fs::read(&rows).expect("segment 1");
    bytes[70] ^= 1;
    std::fs::remove_file(&rows).expect("removed");
    std::io::Write::write_all(&mut std::fs::File::create(&rows).expect("file"), &bytes)
        .expect("written");
    for _ in 0..2 {
        let database = open(directory.path(), 4);
        let collection = database.collection("c").expect("opens");
        let info = collection.info().expect("info");
        assert_eq!((info.points, info.status), (4, Status::Red));
        assert!(
            info.damages[0].contains("segments/1/rows.fxv is damaged"),
            "{:?}",
            info.damages
        );
        // Still named after a switch of the manifest.
        collection
            .upsert(vec![point(50, &[1.0], json!({}))], &durable())
            .expect("writes go on");
        collection.optimize().expect("optimized");
        collection
            .delete(&[PointId::Number(50)], &durable())
            .expect("deleted");
    }
}
