//! The memory budget: what it refuses, what waits for it, and that neither changes an answer.

use serde_json::json;
use vectors::VectorsError;
use vectors::collection::{Collection, CollectionOptions, SearchRequest, Status};
use vectors::database::{Database, DatabaseOptions};
use vectors::memory::Component;
use vectors::payload::PayloadIndexKind;
use vectors::schema::{IndexKind, Metric, VectorSchema};
use vectors::{Point, SparseVector, Vector};

use crate::support::*;

fn open_within(
    directory: &std::path::Path,
    budget_bytes: Option<u64>,
    growing_rows_max: u32,
) -> Database {
    Database::open(
        directory,
        DatabaseOptions {
            memory_budget_bytes: budget_bytes,
            collection: CollectionOptions {
                growing_rows_max,
                ..CollectionOptions::default()
            },
            ..options(growing_rows_max)
        },
    )
    .expect("database")
}

fn works(collection: &Collection) -> Vec<String> {
    let info = collection.info().expect("info");
    info.deferred.into_iter().map(|one| one.work).collect()
}

#[test]
fn index_entries_of_unsealed_rows_are_counted_and_refused() {
    const BUDGET: u64 = 150_000;
    let directory = tempfile::tempdir().expect("directory");
    let database = open_within(directory.path(), Some(BUDGET), 1_000_000);
    let schema = plain_schema(1, Metric::Dot);
    let collection = database.create_collection("c", schema).expect("new");
    let filled = |key: &str, number: u64| {
        let text = format!("{key}-{number}-{}", "x".repeat(80));
        json!({"a": text, "b": text})
    };
    collection
        .upsert(vec![point(0, &[1.0], filled("first", 0))], &durable())
        .expect("room");
    let plain = database.memory().of(Component::Growing);
    for key in ["a", "b"] {
        collection
            .create_payload_index(&path(key), PayloadIndexKind::Keyword)
            .expect("room");
    }
    assert!(database.memory().of(Component::Growing) > plain);
    let mut stored = 1;
    let error = loop {
        let row = point(stored, &[1.0], filled("more", stored));
        match collection.upsert(vec![row], &Default::default()) {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
    };
    assert!(
        matches!(error, VectorsError::OverBudget { component, .. } if component == "growing segment"),
        "{error}"
    );
    assert!(database.memory().total_bytes() <= BUDGET);
    let before = collection.info().expect("info").sequence;
    assert_eq!(
        (before, collection.count(None).expect("count")),
        (stored, stored)
    );
    // An index more is refused as well, and there is none afterwards.
    let names = collection.payload_indexes();
    let error = collection
        .create_payload_index(
            &path("b"),
            PayloadIndexKind::Text {
                analyzer: None,
                scoring: None,
            },
        )
        .expect_err("no room");
    assert!(
        matches!(error, VectorsError::OverBudget { component, .. } if component == "payload indexes"),
        "{error}"
    );
    assert_eq!(collection.payload_indexes(), names);
    assert_eq!(everything(&collection).len() as u64, stored);
    // Sealing gives memory back, and takes no more meanwhile than there is.
    collection.optimize().expect("sealed");
    collection
        .upsert(vec![point(stored, &[1.0], filled("more", 0))], &durable())
        .expect("room again");
}

#[test]
fn a_vector_index_without_room_waits_and_rows_are_scanned() {
    const BUDGET: u64 = 250_000;
    let directory = tempfile::tempdir().expect("directory");
    let database = open_within(directory.path(), Some(BUDGET), 200);
    let mut schema = plain_schema(64, Metric::Dot);
    schema.index_from_rows = Some(800);
    if let Some(VectorSchema::Dense { index, .. }) = schema.vectors.get_mut("") {
        *index = IndexKind::Hnsw;
    }
    schema
        .vectors
        .insert("words".into(), VectorSchema::Sparse { idf: false });
    let collection = database.create_collection("c", schema).expect("new");
    let rows: Vec<Point> = (0..1_000)
        .map(|id| {
            let mut row = point(id, &noise_vector(id, 64), json!({}));
            let words = SparseVector {
                indices: vec![id as u32 % 50, 60],
                values: vec![1.0, 0.5],
            };
            row.vectors.insert("words".into(), Vector::Sparse(words));
            row
        })
        .collect();
    for part in rows.chunks(40) {
        collection
            .upsert(part.to_vec(), &Default::default())
            .expect("room");
        assert!(database.memory().total_bytes() <= BUDGET);
    }
    collection.optimize().expect("optimized");
    assert_eq!(works(&collection), ["index of vector ``"]);
    let info = collection.info().expect("info");
    assert_eq!((info.status, info.indexed_rows), (Status::Yellow, 0));
    assert_eq!(info.deferred[0].component, "vector indexes");
    assert!(info.memory.mapped_bytes > 1_000 * 64 * 4);
    let query = noise_vector(5_000, 64);
    let request = SearchRequest::new("", Vector::Dense(query.clone()), 5);
    let mut wanted: Vec<(u64, f32)> = (0..1_000)
        .map(|id| {
            let row = noise_vector(id, 64);
            (id, row.iter().zip(&query).map(|(one, two)| one * two).sum())
        })
        .collect();
    wanted.sort_by(|one, two| two.1.total_cmp(&one.1));
    let numbers = |found: Vec<(u64, f32)>| found.iter().map(|one| one.0).collect::<Vec<_>>();
    wanted.truncate(5);
    assert_eq!(
        numbers(found(&collection, &request)),
        numbers(wanted.clone())
    );
    drop((collection, database));
    let database = open_within(directory.path(), None, 200);
    let collection = database.collection("c").expect("opens");
    collection.maintain().expect("built");
    let info = collection.info().expect("info");
    assert_eq!((info.status, info.indexed_rows), (Status::Green, 1_000));
    assert!(info.memory.of(Component::VectorIndexes) > 0);
    assert_eq!(numbers(found(&collection, &request)), numbers(wanted));
}

#[test]
fn payload_and_sparse_indexes_without_room_wait_and_answers_stay() {
    const BUDGET: u64 = 120_000;
    let directory = tempfile::tempdir().expect("directory");
    let mut schema = plain_schema(1, Metric::Dot);
    schema
        .vectors
        .insert("words".into(), VectorSchema::Sparse { idf: false });
    let database = open_within(directory.path(), None, 900);
    let collection = database.create_collection("c", schema).expect("new");
    let rows = (0..900)
        .map(|id| {
            let text = format!("{id}-{}", "y".repeat(60));
            let mut row = point(id, &[1.0], json!({"a": text, "even": id % 2 == 0}));
            let words = SparseVector {
                indices: vec![id as u32, 5_000],
                values: vec![1.0, id as f32],
            };
            row.vectors.insert("words".into(), Vector::Sparse(words));
            row
        })
        .collect();
    collection.upsert(rows, &durable()).expect("written");
    drop((collection, database));
    // The log is replayed with less memory than its rows take: they are sealed, their indexes wait.
    let database = open_within(directory.path(), Some(BUDGET), 900);
    let collection = database.collection("c").expect("opens");
    collection.optimize().expect("sealed");
    assert!(database.memory().total_bytes() <= BUDGET);
    collection
        .create_payload_index(&path("a"), PayloadIndexKind::Keyword)
        .expect("declared");
    assert!(database.memory().total_bytes() <= BUDGET);
    let waiting = works(&collection);
    assert!(
        waiting.contains(&"payload indexes".to_owned()),
        "{waiting:?}"
    );
    let check = |collection: &Collection| {
        let filter = equals("a", &format!("17-{}", "y".repeat(60)));
        assert_eq!(collection.count(Some(&filter)).expect("count"), 1);
        let words = SparseVector {
            indices: vec![5_000],
            values: vec![1.0],
        };
        let request = SearchRequest::new("words", Vector::Sparse(words), 2);
        assert_eq!(found(collection, &request), [(899, 899.0), (898, 898.0)]);
    };
    check(&collection);
    drop((collection, database));
    let database = open_within(directory.path(), Some(10 * BUDGET), 900);
    let collection = database.collection("c").expect("opens");
    collection.maintain().expect("built");
    assert_eq!(works(&collection), Vec::<String>::new());
    assert_eq!(collection.info().expect("info").status, Status::Green);
    check(&collection);
}
