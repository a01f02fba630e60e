//! What writers do, and that it lasts.

use platform::Clock;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use vectors::collection::{
    Collection, Operation, PayloadSelection, Precondition, SearchRequest, Selection, Status,
    VectorSelection, With, WriteOptions,
};
use vectors::database::{Database, DatabaseOptions};
use vectors::schema::Metric;
use vectors::{Point, PointId, SparseVector, Vector, VectorsError};

use crate::support::{
    durable, equals, everything, found, ids, open, options, path, payload, plain_schema, point,
    rich_schema,
};

#[test]
fn points_come_back_before_and_after_sealing_and_reopening() {
    let directory = tempfile::tempdir().expect("directory");
    let sparse = |entries: &[(u32, f32)]| {
        Vector::Sparse(SparseVector {
            indices: entries.iter().map(|one| one.0).collect(),
            values: entries.iter().map(|one| one.1).collect(),
        })
    };
    let mut points = Vec::new();
    for number in 0..10u64 {
        let base = number as f32;
        let mut vectors: BTreeMap<String, Vector> = BTreeMap::new();
        vectors.insert(String::new(), Vector::Dense(vec![base, 1.0]));
        if number % 2 == 0 {
            vectors.insert("bytes".into(), Vector::Dense(vec![base, 255.0]));
            vectors.insert(
                "tokens".into(),
                Vector::Multi(vec![vec![base, 0.5]; number as usize % 3 + 1]),
            );
        }
        if number % 3 == 0 {
            vectors.insert("half".into(), Vector::Dense(vec![base, 0.25]));
            vectors.insert("words".into(), sparse(&[(1, base), (900, 0.5)]));
            vectors.insert("rare".into(), sparse(&[]));
        }
        points.push(Point {
            id: if number < 5 {
                PointId::Number(100 - number)
            } else {
                PointId::Uuid(u128::from(number) << 100)
            },
            vectors,
            payload: payload(json!({"n": number, "deep": {"list": [1, null, "x"]}})),
            expires_unix_ms: (number == 9).then_some(u64::MAX - 1),
        });
    }
    let expected: BTreeMap<_, _> = points
        .iter()
        .map(|point| {
            let value = Value::Object(point.payload.clone());
            (point.id, (point.vectors.clone(), value))
        })
        .collect();
    let database = open(directory.path(), 4);
    let collection = database
        .create_collection("rich", rich_schema())
        .expect("new");
    for chunk in points.chunks(3) {
        collection
            .upsert(chunk.to_vec(), &durable())
            .expect("written");
    }
    assert_eq!(everything(&collection), expected);
    drop(collection);
    drop(database);
    let database = open(directory.path(), 4);
    let collection = database.collection("rich").expect("still there");
    assert_eq!(everything(&collection), expected);
    collection.optimize().expect("optimized");
    assert_eq!(everything(&collection), expected);
    let info = collection.info().expect("info");
    assert_eq!((info.points, info.status), (10, Status::Green));
    assert_eq!(info.segments.iter().filter(|one| one.rows > 0).count(), 1);
    drop((collection, database));
    let database = open(directory.path(), 4);
    let collection = database.collection("rich").expect("still there");
    assert_eq!(everything(&collection), expected);
    let wanted = With {
        payload: PayloadSelection::Include(vec![path("deep.list[]")]),
        vectors: VectorSelection::Names(["half".to_owned()].into()),
    };
    let got = collection
        .get(
            &[
                PointId::Number(100),
                PointId::Number(7),
                PointId::Number(99),
            ],
            &wanted,
        )
        .expect("two of them");
    assert_eq!(got.len(), 2);
    assert_eq!(
        got[0].vectors,
        [("half".to_owned(), Vector::Dense(vec![0.0, 0.25]))].into()
    );
    assert_eq!(
        got[0].payload,
        Some(payload(json!({"deep": {"list": [1, null, "x"]}})))
    );
    assert_eq!((got[1].id, got[1].vectors.len()), (PointId::Number(99), 0));
}

#[test]
fn every_kind_of_write_survives_reopening() {
    let directory = tempfile::tempdir().expect("directory");
    let dot = || plain_schema(2, Metric::Dot);
    let mut model: BTreeMap<u64, Value> = BTreeMap::new();
    let database = open(directory.path(), 3);
    let collection = database.create_collection("c", dot()).expect("new");
    let points = (0..8)
        .map(|id| {
            let value = json!({"group": if id % 2 == 0 { "even" } else { "odd" }, "n": id});
            model.insert(id, value.clone());
            point(id, &[id as f32, 1.0], value)
        })
        .collect();
    collection.upsert(points, &durable()).expect("written");
    drop((collection, database));
    type Step = (Operation, fn(&mut BTreeMap<u64, Value>));
    let steps: Vec<Step> = vec![
        (
            Operation::SetPayload {
                selection: ids(&[1, 2, 77]),
                payload: payload(json!({"new": true})),
                at: Some(path("a.b")),
            },
            |model| {
                for id in [1, 2] {
                    model.get_mut(&id).expect("there")["a"] = json!({"b": {"new": true}});
                }
            },
        ),
        (
            Operation::SetPayload {
                selection: Selection::Filter(equals("group", "odd")),
                payload: payload(json!({"group": "strange"})),
                at: None,
            },
            |model| {
                for value in model.values_mut().filter(|value| value["group"] == "odd") {
                    value["group"] = json!("strange");
                }
            },
        ),
        (
            Operation::DeletePayloadKeys {
                selection: ids(&[2, 3]),
                keys: vec![path("n"), path("a.b.new")],
            },
            |model| {
                for id in [2, 3] {
                    let value = model.get_mut(&id).and_then(Value::as_object_mut);
                    value.expect("object").remove("n");
                }
                model.get_mut(&2).expect("there")["a"]["b"] = json!({});
            },
        ),
        (
            Operation::OverwritePayload {
                selection: ids(&[4]),
                payload: payload(json!({"only": 1})),
            },
            |model| {
                model.insert(4, json!({"only": 1}));
            },
        ),
        (
            Operation::ClearPayload {
                selection: ids(&[5, 4]),
            },
            |model| {
                model.insert(4, json!({}));
                model.insert(5, json!({}));
            },
        ),
        (Operation::Delete(ids(&[6, 600])), |model| {
            model.remove(&6);
        }),
        (
            Operation::Delete(Selection::Filter(equals("group", "strange"))),
            |model| model.retain(|_, value| value["group"] != "strange"),
        ),
    ];
    for (operation, change) in steps {
        let database = open(directory.path(), 3);
        let collection = database.collection("c").expect("there");
        let name = format!("{operation:?}");
        collection.apply(operation, &durable()).expect("done");
        change(&mut model);
        for _ in 0..2 {
            let found: BTreeMap<PointId, Value> = everything(&collection)
                .into_iter()
                .map(|(id, (_, value))| (id, value))
                .collect();
            let expected = model
                .iter()
                .map(|(id, value)| (PointId::Number(*id), value.clone()))
                .collect();
            assert_eq!(found, expected, "{name}");
            collection.maintain().expect("maintained");
        }
    }
}

#[test]
fn vectors_are_updated_and_taken_away() {
    let directory = tempfile::tempdir().expect("directory");
    let database = open(directory.path(), 2);
    let collection = database.create_collection("c", rich_schema()).expect("new");
    collection
        .upsert(
            (0..4)
                .map(|id| point(id, &[id as f32, 0.0], json!({"k": id})))
                .collect(),
            &durable(),
        )
        .expect("written");
    let named = |name: &str, values: [f32; 2]| -> BTreeMap<String, Vector> {
        [(name.to_owned(), Vector::Dense(values.to_vec()))].into()
    };
    let outcome = collection
        .update_vectors(
            vec![
                (PointId::Number(1), named("bytes", [3.0, 4.0])),
                (PointId::Number(1), named("half", [1.0, 1.0])),
                (PointId::Number(50), named("half", [1.0, 1.0])),
            ],
            &durable(),
        )
        .expect("updated");
    assert_eq!((outcome.changed, outcome.passed_over), (1, 1));
    let got = &collection
        .get(&[PointId::Number(1)], &With::everything())
        .expect("point")[0];
    assert_eq!(got.vectors.len(), 3);
    assert_eq!(got.payload, Some(payload(json!({"k": 1}))));
    let request = SearchRequest::new("bytes", Vector::Dense(vec![0.0, 0.0]), 5);
    assert_eq!(found(&collection, &request), [(1, 5.0)]);
    collection
        .delete_vectors(
            ids(&[1, 2]),
            vec!["bytes".into(), String::new()],
            &durable(),
        )
        .expect("taken");
    assert_eq!(found(&collection, &request), []);
    let request = SearchRequest::new("", Vector::Dense(vec![1.0, 0.0]), 5);
    assert_eq!(found(&collection, &request), [(3, 3.0), (0, 0.0)]);
    let error = collection
        .delete_vectors(ids(&[1]), vec!["nope".into()], &durable())
        .expect_err("unknown");
    assert_eq!(error.to_string(), "vector `nope` doesn't exist");
}

#[test]
fn conditions_on_writes_hold() {
    let directory = tempfile::tempdir().expect("directory");
    let database = open(directory.path(), 3);
    let collection = database
        .create_collection("c", plain_schema(1, Metric::Dot))
        .expect("new");
    let with = |precondition| WriteOptions {
        wait: true,
        precondition,
    };
    let one = |value: Value| vec![point(1, &[1.0], value)];
    let first = collection
        .upsert(one(json!({"v": "a"})), &with(Precondition::Version(0)))
        .expect("absent");
    collection
        .upsert(one(json!({})), &with(Precondition::Version(0)))
        .expect_err("there");
    let conflict = collection
        .upsert(
            one(json!({})),
            &with(Precondition::Version(first.sequence + 5)),
        )
        .expect_err("another version");
    assert!(
        matches!(conflict, VectorsError::VersionConflict { actual, .. } if actual == Some(first.sequence)),
        "{conflict}"
    );
    let second = collection
        .upsert(
            one(json!({"v": "b"})),
            &with(Precondition::Version(first.sequence)),
        )
        .expect("as expected");
    assert!(second.sequence > first.sequence);
    for (precondition, changed) in [
        (Precondition::Absent, 0),
        (Precondition::Matches(equals("v", "a")), 0),
        (Precondition::Matches(equals("v", "b")), 1),
        (Precondition::Present, 1),
    ] {
        let outcome = collection
            .upsert(one(json!({"v": "b"})), &with(precondition.clone()))
            .expect("no conflict");
        assert_eq!(outcome.changed, changed, "{precondition:?}");
    }
    let other = vec![point(2, &[1.0], json!({}))];
    let outcome = collection
        .upsert(other, &with(Precondition::Present))
        .expect("passed over");
    assert_eq!((outcome.changed, outcome.passed_over), (0, 1));
    // Within a batch all or nothing: the second point conflicts, so the first is not stored either.
    let batch = vec![point(9, &[1.0], json!({})), point(1, &[1.0], json!({}))];
    collection
        .upsert(batch, &with(Precondition::Version(0)))
        .expect_err("1 is there");
    assert_eq!(collection.count(None).expect("count"), 1);
}

#[test]
fn points_with_an_end_are_gone_at_their_time() {
    let directory = tempfile::tempdir().expect("directory");
    let clock = Clock::manual(Duration::from_secs(1_000));
    let with_clock = || DatabaseOptions {
        clock: clock.clone(),
        ..options(3)
    };
    let database = Database::open(directory.path(), with_clock()).expect("database");
    let collection = database
        .create_collection("c", plain_schema(1, Metric::Dot))
        .expect("new");
    let points = (0..8)
        .map(|id| Point {
            expires_unix_ms: Some(1_000_000 + id * 1_000),
            ..point(id, &[id as f32], json!({}))
        })
        .collect();
    collection.upsert(points, &durable()).expect("written");
    // Point 0 ended before it was written; with each second goes one more, in whatever segment.
    let request = SearchRequest::new("", Vector::Dense(vec![1.0]), 20);
    for gone in 1..5 {
        let left: Vec<u64> = (gone..8).rev().collect();
        let numbers: Vec<u64> = found(&collection, &request)
            .iter()
            .map(|one| one.0)
            .collect();
        assert_eq!(numbers, left);
        assert_eq!(collection.count(None).expect("count"), 8 - gone);
        assert_eq!(everything(&collection).len() as u64, 8 - gone);
        clock.advance(Duration::from_secs(1));
    }
    collection.optimize().expect("optimized");
    let info = collection.info().expect("info");
    assert_eq!(info.segments.iter().map(|one| one.rows).sum::<u32>(), 3);
    drop((collection, database));
    clock.advance(Duration::from_secs(1));
    let database = Database::open(directory.path(), with_clock()).expect("database");
    let collection = database.collection("c").expect("there");
    assert_eq!(collection.count(None).expect("count"), 2);
    // Written again without an end it stays.
    collection
        .upsert(vec![point(7, &[7.0], json!({}))], &durable())
        .expect("written");
    clock.advance(Duration::from_secs(1_000));
    assert_eq!(everything(&collection).len(), 1);
}

#[test]
fn settings_change_and_vectors_do_not() {
    let directory = tempfile::tempdir().expect("directory");
    let database = open(directory.path(), 50);
    let collection = database
        .create_collection("c", plain_schema(2, Metric::Dot))
        .expect("new");
    let points = (0..50).map(|id| point(id, &[id as f32, 1.0], json!({})));
    collection
        .upsert(points.collect(), &durable())
        .expect("written");
    let indexed = |collection: &Collection| {
        let info = collection.info().expect("info");
        info.segments
            .iter()
            .any(|segment| !segment.indexed.is_empty())
    };
    assert!(!indexed(&collection));
    let mut schema = plain_schema(2, Metric::Dot);
    schema.index_from_rows = Some(10);
    collection.update_schema(schema).expect("settings");
    assert!(indexed(&collection));
    for other in [
        plain_schema(3, Metric::Dot),
        plain_schema(2, Metric::Euclid),
    ] {
        collection.update_schema(other).expect_err("vectors");
    }
    drop((collection, database));
    let database = open(directory.path(), 50);
    let collection = database.collection("c").expect("opens");
    assert_eq!(collection.schema().index_from_rows, Some(10));
    assert!(indexed(&collection));
}
