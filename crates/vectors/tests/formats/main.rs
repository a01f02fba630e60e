//! Files that an earlier build wrote, kept in `testdata/formats`, are read by this one: every layout of version 1.

mod shared;

use std::path::{Path, PathBuf};

use shared::{
    DELETED, NAME, TOKEN_POINTS, TOKENS, WRITTEN, id, payload_indexes, point, schema, token_point,
    token_schema,
};
use vectors::collection::{Collection, SearchRequest, With};
use vectors::database::{Database, DatabaseOptions, Existing};
use vectors::filter::{Condition, FieldPath, FieldTest, Filter, Scalar};
use vectors::index::SearchParameters;
use vectors::storage::{Container, ContainerKind, Log, Manifest, RealDisk, log, snapshot};
use vectors::{PointId, Vector};

fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/formats/v1")
}

/// A copy of the kept files, which stay as they are.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("directory");
    for entry in std::fs::read_dir(from).expect("kept files") {
        let entry = entry.expect("entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}

fn live() -> impl Iterator<Item = u64> {
    (0..WRITTEN).filter(|number| !DELETED.contains(number))
}

fn check(collection: &Collection) {
    let info = collection.info().expect("info");
    assert_eq!(info.damages, Vec::<String>::new());
    assert_eq!(collection.verify().expect("read").len(), 0);
    assert_eq!(info.schema, schema());
    assert_eq!(collection.payload_indexes().len(), payload_indexes().len());
    assert_eq!(info.points, live().count() as u64);
    for number in 0..WRITTEN {
        let found = collection
            .get(&[id(number)], &With::everything())
            .expect("get");
        if DELETED.contains(&number) {
            assert!(found.is_empty(), "{number} is back");
            continue;
        }
        let expected = point(number);
        assert_eq!(found[0].vectors, expected.vectors, "{number}");
        assert_eq!(found[0].payload.as_ref(), Some(&expected.payload));
        assert_eq!(found[0].expires_unix_ms, expected.expires_unix_ms);
    }
    // The indexes that were kept answer; they were not built again.
    let indexed: Vec<_> = info.segments.iter().filter(|one| one.sealed).collect();
    assert!(!indexed.is_empty());
    for segment in indexed {
        assert_eq!(segment.indexed.len(), 6, "{segment:?}");
    }
    for name in schema().vectors.keys() {
        let Some(query) = point(11).vectors.get(name).cloned() else {
            continue;
        };
        let mut request = SearchRequest::new(name.clone(), query.clone(), 1);
        request.parameters = SearchParameters {
            ef: Some(64),
            ..SearchParameters::default()
        };
        let found = collection.search(&request).expect("search");
        // Itself, but for max-sim and products, where a larger one may win.
        if matches!(query, Vector::Dense(_)) {
            assert_eq!(found[0].point.id, id(11), "{name}");
        }
        assert_eq!(found.len(), 1, "{name}");
    }
    let equals = |key: &str, test| {
        let filter = Filter {
            must: vec![Condition::field(FieldPath::key(key), test)],
            ..Filter::default()
        };
        collection.count(Some(&filter)).expect("count")
    };
    let count = |passes: fn(&u64) -> bool| live().filter(passes).count() as u64;
    let red = FieldTest::Equal(Scalar::Text("red".into()));
    assert_eq!(equals("color", red), count(|number| number % 3 == 0));
    let even = FieldTest::Equal(Scalar::Bool(true));
    assert_eq!(equals("even", even), count(|number| number % 2 == 0));
    let phrase = FieldTest::Phrase("number 4 of".into());
    assert_eq!(equals("title", phrase), count(|number| number % 9 == 4));
}

#[test]
fn a_kept_collection_opens_answers_and_goes_on() {
    let directory = tempfile::tempdir().expect("directory");
    copy(&kept(), directory.path());
    let options = || DatabaseOptions {
        maintenance_threads: 0,
        ..DatabaseOptions::default()
    };
    let database = Database::open(directory.path(), options()).expect("open");
    let collection = database.collection(NAME).expect("collection");
    check(&collection);
    assert_eq!(database.verify_snapshot(NAME, NAME).expect("read").len(), 0);
    let copy = database
        .restore(NAME, NAME, "again", Existing::Refuse)
        .expect("restored");
    check(&copy);
    collection.optimize().expect("merged with what is new");
    let late = vec![point(1_000)];
    collection
        .upsert(late, &vectors::WriteOptions::durable())
        .expect("written");
    drop((collection, copy, database));
    let database = Database::open(directory.path(), options()).expect("open");
    let collection = database.collection(NAME).expect("collection");
    assert_eq!(
        collection.count(None).expect("count"),
        live().count() as u64 + 1
    );
}

#[test]
fn a_kept_index_of_the_vectors_of_multi_vectors_answers() {
    let directory = tempfile::tempdir().expect("directory");
    copy(&kept(), directory.path());
    let options = DatabaseOptions {
        maintenance_threads: 0,
        ..DatabaseOptions::default()
    };
    let database = Database::open(directory.path(), options).expect("open");
    let collection = database.collection(TOKENS).expect("collection");
    let info = collection.info().expect("info");
    assert_eq!(info.damages, Vec::<String>::new());
    assert_eq!(info.schema, token_schema());
    assert_eq!(info.points, TOKEN_POINTS);
    assert_eq!(info.segments[0].indexed, ["bytes"]);
    assert_eq!(collection.verify().expect("read").len(), 0);
    for number in [0, 7, 50, TOKEN_POINTS - 1] {
        // Its own vectors: by distance nothing is nearer than the point itself.
        let query = token_point(number).vectors["bytes"].clone();
        for exact in [false, true] {
            let mut request = SearchRequest::new("bytes", query.clone(), 1);
            request.parameters.exact = exact;
            request.parameters.ef = Some(16);
            let found = collection.search(&request).expect("search");
            assert_eq!(found[0].point.id, id(number), "exact: {exact}");
            assert_eq!(found[0].score, 0.0);
        }
    }
}

#[test]
fn every_kept_file_is_decoded_by_itself() {
    let root = kept().join("collections").join(NAME);
    let manifest = Manifest::load(&RealDisk, &root)
        .expect("whole")
        .expect("there");
    assert_eq!(manifest.schema, schema());
    let mut records = Vec::new();
    for (first, path) in log::list(&RealDisk, &root.join("wal")).expect("list") {
        Log::replay(&RealDisk, &path, first, &mut |entry| {
            records.push(entry);
            Ok(())
        })
        .expect("replayed");
    }
    assert!(!records.is_empty());
    for entry in &records {
        assert!(entry.sequence() > manifest.applied_sequence);
        if let log::Entry::Put { point: found, .. } = entry {
            let number = found.payload["number"].as_u64().expect("number");
            assert_eq!(*found, point(number));
        }
    }
    let deleted: Vec<PointId> = records
        .iter()
        .filter_map(|entry| match entry {
            log::Entry::Delete { id, .. } => Some(*id),
            log::Entry::Put { .. } => None,
        })
        .collect();
    assert!(deleted.contains(&id(DELETED[2])));
    let mut kinds = std::collections::BTreeMap::new();
    for segment in &manifest.segments {
        let directory = root.join("segments").join(segment.id.to_string());
        for entry in std::fs::read_dir(directory).expect("segment") {
            let path = entry.expect("entry").path();
            let file = Container::open_any(&RealDisk, &path).expect("a container");
            file.verify_all().expect("whole");
            *kinds.entry(file.kind().0).or_insert(0) += 1;
        }
    }
    for kind in [
        ContainerKind::ROWS,
        ContainerKind::VECTOR_INDEX,
        ContainerKind::PAYLOAD_INDEX,
        ContainerKind::SPARSE_INDEX,
        ContainerKind::TOMBSTONES,
    ] {
        assert!(kinds.contains_key(&kind.0), "{kind} of {kinds:?}");
    }
    let snapshot = snapshot::find(&RealDisk, &root, NAME).expect("a snapshot");
    assert!(
        snapshot::verify(&RealDisk, &snapshot)
            .expect("facts")
            .is_empty()
    );
}
