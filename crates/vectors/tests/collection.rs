//! A collection through its public face: what is written comes back, by id, by search, by walk, before and after
//! sealing, merging and reopening. Expectations are computed by hand or by a naive loop here.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use platform::Clock;
use serde_json::{Value, json};
use vectors::collection::{
    Collection, CollectionOptions, Direction, Operation, OrderBy, PayloadSelection, Precondition,
    ScrollRequest, SearchRequest, Selection, Status, VectorSelection, With, WriteOptions,
};
use vectors::database::{Database, DatabaseOptions};
use vectors::filter::{Condition, FieldPath, FieldTest, Filter, Scalar};
use vectors::schema::{CollectionSchema, Datatype, Metric, VectorSchema};
use vectors::{Payload, Point, PointId, SparseVector, Vector, VectorsError};

fn dense(dimensions: u32, metric: Metric) -> VectorSchema {
    VectorSchema::Dense {
        dimensions,
        metric,
        datatype: Datatype::Float32,
        multi: false,
        index: Default::default(),
        hnsw: Default::default(),
        quantization: Default::default(),
        on_disk: false,
    }
}

fn plain_schema(dimensions: u32, metric: Metric) -> CollectionSchema {
    CollectionSchema {
        vectors: [(String::new(), dense(dimensions, metric))].into(),
        ..CollectionSchema::default()
    }
}

/// Dense, half-precision, bytes, multi and sparse vectors side by side.
fn rich_schema() -> CollectionSchema {
    let typed = |metric, datatype, multi| VectorSchema::Dense {
        dimensions: 2,
        metric,
        datatype,
        multi,
        index: Default::default(),
        hnsw: Default::default(),
        quantization: Default::default(),
        on_disk: false,
    };
    CollectionSchema {
        vectors: [
            (String::new(), typed(Metric::Dot, Datatype::Float32, false)),
            (
                "bytes".into(),
                typed(Metric::Euclid, Datatype::Uint8, false),
            ),
            (
                "half".into(),
                typed(Metric::Manhattan, Datatype::Float16, false),
            ),
            ("tokens".into(), typed(Metric::Dot, Datatype::Float32, true)),
            ("words".into(), VectorSchema::Sparse { idf: false }),
            ("rare".into(), VectorSchema::Sparse { idf: true }),
        ]
        .into(),
        ..CollectionSchema::default()
    }
}

/// Small segments, so that a few points go through everything; no threads, so that runs repeat.
fn options(growing_rows_max: u32) -> DatabaseOptions {
    DatabaseOptions {
        maintenance_threads: 0,
        collection: CollectionOptions {
            growing_rows_max,
            ..CollectionOptions::default()
        },
        ..DatabaseOptions::default()
    }
}

fn open(directory: &Path, growing_rows_max: u32) -> Database {
    Database::open(directory, options(growing_rows_max)).expect("database")
}

fn payload(value: Value) -> Payload {
    match value {
        Value::Object(map) => map,
        other => panic!("{other} is no object"),
    }
}

fn point(id: u64, values: &[f32], value: Value) -> Point {
    Point {
        id: PointId::Number(id),
        vectors: [(String::new(), Vector::Dense(values.to_vec()))].into(),
        payload: payload(value),
        expires_unix_ms: None,
    }
}

fn durable() -> WriteOptions {
    WriteOptions::durable()
}

fn ids(numbers: &[u64]) -> Selection {
    Selection::Ids(numbers.iter().copied().map(PointId::Number).collect())
}

fn path(text: &str) -> FieldPath {
    text.parse().expect("path")
}

fn equals(key: &str, text: &str) -> Filter {
    Filter {
        must: vec![Condition::field(
            path(key),
            FieldTest::Equal(Scalar::Text(text.to_owned())),
        )],
        ..Filter::default()
    }
}

/// Every point by id, as JSON.
fn everything(collection: &Collection) -> BTreeMap<PointId, (BTreeMap<String, Vector>, Value)> {
    let mut all = BTreeMap::new();
    let mut offset = None;
    loop {
        let page = collection
            .scroll(&ScrollRequest {
                offset,
                limit: 7,
                with: With::everything(),
                ..ScrollRequest::default()
            })
            .expect("page");
        for point in page.points {
            let value = Value::Object(point.payload.expect("asked for"));
            let known = all.insert(point.id, (point.vectors, value));
            assert!(known.is_none(), "{} came twice", point.id);
        }
        offset = page.next;
        if offset.is_none() {
            return all;
        }
    }
}

fn found(collection: &Collection, request: &SearchRequest) -> Vec<(u64, f32)> {
    collection
        .search(request)
        .expect("search")
        .into_iter()
        .map(|one| match one.point.id {
            PointId::Number(number) => (number, one.score),
            PointId::Uuid(_) => panic!("no UUIDs here"),
        })
        .collect()
}

/// A repeatable number from 0 to 1.
fn noise(seed: u64) -> f32 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d;
    state ^= state >> 29;
    state = state.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((state >> 40) as f32) / ((1u64 << 24) as f32)
}

fn noise_vector(seed: u64, dimensions: u64) -> Vec<f32> {
    (0..dimensions)
        .map(|at| noise(seed * 1_000 + at) - 0.5)
        .collect()
}

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

/// Brute force over what a walk returns.
fn nearest(
    collection: &Collection,
    metric: Metric,
    query: &[f32],
    limit: usize,
    wanted: impl Fn(&Value) -> bool,
) -> Vec<u64> {
    let mut ranked: Vec<(f32, PointId)> = everything(collection)
        .into_iter()
        .filter(|(_, (_, value))| wanted(value))
        .map(|(id, (vectors, _))| {
            let Some(Vector::Dense(values)) = vectors.get("") else {
                panic!("no vector")
            };
            let pairs = query.iter().zip(values);
            let rank = match metric {
                Metric::Cosine | Metric::Dot => pairs.map(|(q, v)| q * v).sum(),
                Metric::Euclid => -pairs.map(|(q, v)| (q - v) * (q - v)).sum::<f32>(),
                Metric::Manhattan => -pairs.map(|(q, v)| (q - v).abs()).sum::<f32>(),
            };
            (rank, id)
        })
        .collect();
    ranked.sort_by(|one, two| two.0.total_cmp(&one.0).then(one.1.cmp(&two.1)));
    ranked
        .into_iter()
        .take(limit)
        .map(|(_, id)| match id {
            PointId::Number(number) => number,
            PointId::Uuid(_) => panic!("no UUIDs here"),
        })
        .collect()
}

#[test]
fn searches_agree_with_a_naive_loop_over_all_segments() {
    for metric in [
        Metric::Dot,
        Metric::Cosine,
        Metric::Euclid,
        Metric::Manhattan,
    ] {
        let directory = tempfile::tempdir().expect("directory");
        let database = open(directory.path(), 64);
        let collection = database
            .create_collection("c", plain_schema(6, metric))
            .expect("new");
        let points = (0..300)
            .map(|id| {
                point(
                    id,
                    &noise_vector(id, 6),
                    json!({"even": (id % 2 == 0).to_string()}),
                )
            })
            .collect();
        collection.upsert(points, &durable()).expect("written");
        // Some change, some go, in other segments than they were written in.
        let again = (0..300)
            .step_by(7)
            .map(|id| point(id, &noise_vector(id + 5_000, 6), json!({"even": "no"})))
            .collect();
        collection.upsert(again, &durable()).expect("written");
        let gone: Vec<PointId> = (0..300).step_by(11).map(PointId::Number).collect();
        collection.delete(&gone, &durable()).expect("deleted");
        for optimized in [false, true] {
            for seed in 0..5 {
                let mut query = noise_vector(9_000 + seed, 6);
                if metric == Metric::Cosine {
                    let length = query.iter().map(|value| value * value).sum::<f32>().sqrt();
                    query.iter_mut().for_each(|value| *value /= length);
                }
                let mut request = SearchRequest::new("", Vector::Dense(query.clone()), 10);
                request.parameters.exact = true;
                let numbers = |request: &SearchRequest| -> Vec<u64> {
                    found(&collection, request)
                        .iter()
                        .map(|one| one.0)
                        .collect()
                };
                assert_eq!(
                    numbers(&request),
                    nearest(&collection, metric, &query, 10, |_| true),
                    "{metric:?} {seed} {optimized}"
                );
                request.filter = Some(equals("even", "true"));
                assert_eq!(
                    numbers(&request),
                    nearest(&collection, metric, &query, 10, |value| value["even"]
                        == "true"),
                    "{metric:?} {seed} {optimized} filtered"
                );
                request.offset = 4;
                request.limit = 3;
                assert_eq!(
                    numbers(&request),
                    nearest(&collection, metric, &query, 7, |value| value["even"]
                        == "true")[4..]
                );
                let scores = found(&collection, &request);
                request.offset = 0;
                request.limit = 100;
                request.score_threshold = Some(scores[1].1);
                let above = found(&collection, &request);
                assert_eq!(above.last().map(|one| one.0), Some(scores[1].0));
                assert_eq!(above.len(), 6);
            }
            collection.optimize().expect("optimized");
        }
    }
}

#[test]
fn sparse_and_multi_vectors_rank_by_hand() {
    let directory = tempfile::tempdir().expect("directory");
    let database = open(directory.path(), 2);
    let collection = database.create_collection("c", rich_schema()).expect("new");
    let sparse = |entries: &[(u32, f32)]| SparseVector {
        indices: entries.iter().map(|one| one.0).collect(),
        values: entries.iter().map(|one| one.1).collect(),
    };
    for (id, words, tokens) in [
        (1, sparse(&[(1, 2.0), (5, 1.0)]), vec![vec![1.0, 0.0]]),
        (2, sparse(&[(5, 3.0)]), vec![vec![0.0, 2.0], vec![3.0, 0.0]]),
        (3, sparse(&[(9, 9.0)]), vec![vec![1.0, 1.0]]),
    ] {
        let point = Point {
            id: PointId::Number(id),
            vectors: [
                ("words".to_owned(), Vector::Sparse(words.clone())),
                ("rare".to_owned(), Vector::Sparse(words)),
                ("tokens".to_owned(), Vector::Multi(tokens)),
            ]
            .into(),
            payload: Payload::new(),
            expires_unix_ms: None,
        };
        collection.upsert(vec![point], &durable()).expect("written");
    }
    for _ in 0..2 {
        let query = Vector::Sparse(sparse(&[(1, 1.0), (5, 2.0)]));
        // 1: 1*2 + 2*1 = 4; 2: 2*3 = 6; 3 shares nothing.
        let request = SearchRequest::new("words", query, 10);
        assert_eq!(found(&collection, &request), [(2, 6.0), (1, 4.0)]);
        // Of 3 points, 1 has dimension 1 and 2 have dimension 5: ln(1 + 2.5/1.5) and ln(1 + 1.5/2.5).
        let (rare, common) = ((8.0f64 / 3.0).ln() as f32, 1.6f64.ln() as f32);
        let query = Vector::Sparse(sparse(&[(1, 1.0), (5, 1.0)]));
        let request = SearchRequest::new("rare", query, 10);
        let weighed = found(&collection, &request);
        assert_eq!(weighed.iter().map(|one| one.0).collect::<Vec<_>>(), [1, 2]);
        assert!((weighed[0].1 - (2.0 * rare + common)).abs() < 1e-5);
        assert!((weighed[1].1 - 3.0 * common).abs() < 1e-5);
        // 1: 1 + 0; 2: 3 + 2; 3: 1 + 1.
        let query = Vector::Multi(vec![vec![1.0, 0.0], vec![0.0, 1.0]]);
        let request = SearchRequest::new("tokens", query, 10);
        assert_eq!(found(&collection, &request), [(2, 5.0), (3, 2.0), (1, 1.0)]);
        let request = SearchRequest::new("tokens", Vector::Dense(vec![0.0, 1.0]), 1);
        assert_eq!(found(&collection, &request), [(2, 2.0)]);
        collection.optimize().expect("optimized");
    }
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
fn walks_count_and_facets_follow_filters_and_orders() {
    let directory = tempfile::tempdir().expect("directory");
    let database = open(directory.path(), 4);
    let collection = database
        .create_collection("c", plain_schema(1, Metric::Dot))
        .expect("new");
    let rows = [
        (1, json!({"price": 3, "tags": ["a", "b"], "kind": "x"})),
        (2, json!({"price": 1.5, "tags": ["b", "b"], "kind": "x"})),
        (3, json!({"tags": "b", "kind": "y"})),
        (4, json!({"price": [9, 2], "kind": "y"})),
        (5, json!({"price": -1, "tags": [true, 7], "kind": "x"})),
        (6, json!({"price": "2020-01-01T00:00:00Z", "kind": "z"})),
    ];
    for (id, value) in rows {
        collection
            .upsert(vec![point(id, &[1.0], value)], &durable())
            .expect("written");
    }
    let walk = |direction, start_from, filter| {
        let page = collection
            .scroll(&ScrollRequest {
                limit: 10,
                filter,
                order_by: Some(OrderBy {
                    key: path("price"),
                    direction,
                    start_from,
                }),
                ..ScrollRequest::default()
            })
            .expect("page");
        let numbers: Vec<u64> = page
            .points
            .iter()
            .map(|point| match point.id {
                PointId::Number(number) => number,
                PointId::Uuid(_) => panic!("no UUIDs here"),
            })
            .collect();
        (numbers, page.order_values)
    };
    let date = 1_577_836_800_000_000.0;
    assert_eq!(
        walk(Direction::Ascending, None, None),
        (vec![5, 2, 4, 1, 6], vec![-1.0, 1.5, 2.0, 3.0, date])
    );
    assert_eq!(
        walk(Direction::Descending, Some(9.0), None),
        (vec![4, 1, 2, 5], vec![9.0, 3.0, 1.5, -1.0])
    );
    assert_eq!(
        walk(Direction::Ascending, None, Some(equals("kind", "x"))).0,
        [5, 2, 1]
    );
    assert_eq!(
        collection.count(Some(&equals("tags", "b"))).expect("count"),
        3
    );
    let facet = collection.facet(&path("tags"), None, 10).expect("facet");
    let values: Vec<(Value, u64)> = facet
        .into_iter()
        .map(|hit| (hit.value, hit.count))
        .collect();
    assert_eq!(
        values,
        [
            (json!("b"), 3),
            (json!("a"), 1),
            (json!(7), 1),
            (json!(true), 1)
        ]
    );
    let facet = collection
        .facet(&path("tags"), Some(&equals("kind", "x")), 1)
        .expect("facet");
    assert_eq!((facet[0].value.clone(), facet[0].count), (json!("b"), 2));
    let page = collection
        .scroll(&ScrollRequest {
            offset: Some(PointId::Number(2)),
            limit: 2,
            filter: Some(equals("kind", "x")),
            ..ScrollRequest::default()
        })
        .expect("page");
    assert_eq!(page.points.len(), 2);
    assert_eq!(page.next, None);
}

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

#[test]
#[cfg(target_os = "linux")]
fn thousands_of_small_collections_cost_little() {
    let open_files = || std::fs::read_dir("/proc/self/fd").expect("fds").count();
    let directory = tempfile::tempdir().expect("directory");
    const COLLECTIONS: usize = 2_000;
    let database = open(directory.path(), 10);
    for number in 0..COLLECTIONS {
        let collection = database
            .create_collection(&format!("tenant-{number}"), plain_schema(2, Metric::Dot))
            .expect("new");
        if number % 100 == 0 {
            collection
                .upsert(
                    vec![point(number as u64, &[1.0, 2.0], json!({}))],
                    &durable(),
                )
                .expect("written");
        }
    }
    drop(database);
    let before = open_files();
    let start = std::time::Instant::now();
    let database = open(directory.path(), 10);
    assert_eq!(database.list().len(), COLLECTIONS);
    // Generous: the machine may be busy. Opening lists names, some tens of nanoseconds each.
    assert!(start.elapsed() < Duration::from_secs(2));
    for number in (0..COLLECTIONS).step_by(100) {
        let collection = database
            .collection(&format!("tenant-{number}"))
            .expect("opens");
        assert_eq!(collection.count(None).expect("count"), 1);
    }
    assert!(database.close_idle().expect("closed") >= COLLECTIONS / 100);
    // Other tests of this process open files meanwhile.
    assert!(open_files() < before + 200, "{} files", open_files());
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
