//! Multi-vectors through the index of their single vectors, against the scan that `exact` asks for.

use serde_json::json;
use std::collections::BTreeMap;
use vectors::collection::{Collection, SearchRequest, WriteOptions};
use vectors::filter::Filter;
use vectors::index::SearchParameters;
use vectors::schema::{CollectionSchema, Metric, VectorSchema};
use vectors::{Point, PointId, Vector};

use crate::support::*;

const DIMENSIONS: u64 = 16;
const POINTS: u64 = 1_500;
const TOPICS: u64 = 40;

fn schema(metric: Metric, left_on_disk: bool) -> CollectionSchema {
    let mut schema = plain_schema(DIMENSIONS as u32, metric);
    for vector in schema.vectors.values_mut() {
        if let VectorSchema::Dense { multi, on_disk, .. } = vector {
            (*multi, *on_disk) = (true, left_on_disk);
        }
    }
    CollectionSchema {
        index_from_rows: Some(1_000),
        ..schema
    }
}

/// A vector near the topic `topic`.
fn token(topic: u64, seed: u64) -> Vec<f32> {
    let spread = noise_vector(seed + 100_000, DIMENSIONS);
    let centre = noise_vector(topic % TOPICS, DIMENSIONS);
    centre
        .iter()
        .zip(spread)
        .map(|(centre, spread)| centre + 0.6 * spread)
        .collect()
}

/// Two to seven vectors; those of a point are of few topics, as the words of a text are.
fn tokens(id: u64) -> Vec<Vec<f32>> {
    (0..2 + id % 6)
        .map(|place| token(id * 7 + place / 2, id * 10 + place))
        .collect()
}

fn document(id: u64) -> Point {
    let group = format!("g{}", id % 10);
    let rare = format!("r{}", id % 100);
    Point {
        id: PointId::Number(id),
        vectors: BTreeMap::from([(String::new(), Vector::Multi(tokens(id)))]),
        payload: payload(json!({"group": group, "rare": rare})),
        expires_unix_ms: None,
    }
}

fn query(seed: u64) -> Vector {
    let vectors = (0..4).map(|place| token(seed * 3 + place, seed * 10 + place + 70_000));
    Vector::Multi(vectors.collect())
}

fn request(query: Vector, filter: Option<Filter>, exact: bool) -> SearchRequest {
    SearchRequest {
        filter,
        parameters: SearchParameters {
            exact,
            ef: Some(64),
            ..SearchParameters::default()
        },
        ..SearchRequest::new("", query, 10)
    }
}

/// Part of the ten best that the index finds, over some queries. What it finds has the rank of the scan.
fn recall(collection: &Collection, filter: Option<&Filter>) -> f32 {
    let (mut common, mut wanted) = (0, 0);
    for seed in 0..25 {
        let scanned = found(collection, &request(query(seed), filter.cloned(), true));
        let searched = found(collection, &request(query(seed), filter.cloned(), false));
        assert_eq!(searched.len(), scanned.len(), "query {seed}");
        let scores: BTreeMap<u64, f32> = scanned.iter().copied().collect();
        for (id, score) in &searched {
            if let Some(expected) = scores.get(id) {
                assert_eq!(score, expected, "query {seed}, point {id}");
                common += 1;
            }
        }
        wanted += scanned.len();
    }
    common as f32 / wanted as f32
}

fn is_indexed(collection: &Collection) -> bool {
    let info = collection.info().expect("info");
    info.segments.iter().any(|one| !one.indexed.is_empty())
}

#[test]
fn an_index_of_tokens_finds_what_a_scan_finds_with_filters_and_deletes_inside() {
    for (metric, left_on_disk) in [(Metric::Cosine, false), (Metric::Euclid, true)] {
        let directory = tempfile::tempdir().expect("directory");
        let database = open(directory.path(), 700);
        let collection = database
            .create_collection("documents", schema(metric, left_on_disk))
            .expect("new");
        let write = |range: std::ops::Range<u64>| {
            let points = range.map(document).collect();
            collection.upsert(points, &WriteOptions::default())
        };
        write(0..POINTS / 2).expect("written");
        collection.optimize().expect("indexed");
        assert!(is_indexed(&collection));
        // The rest goes into the graph that stands.
        write(POINTS / 2..POINTS).expect("written");
        collection.optimize().expect("merged");
        let plain = recall(&collection, None);
        assert!(plain >= 0.97, "{metric:?}: {plain}");
        for filter in [equals("group", "g3"), equals("rare", "r33")] {
            let filtered = recall(&collection, Some(&filter));
            assert!(filtered >= 0.97, "{metric:?}: {filtered}");
        }
        // The best of each query dies; the next ones move up, and nothing dead is found.
        let dead: Vec<u64> = (0..25)
            .flat_map(|seed| found(&collection, &request(query(seed), None, true)))
            .map(|(id, _)| id)
            .collect();
        let gone: Vec<PointId> = dead.iter().copied().map(PointId::Number).collect();
        collection.delete(&gone, &durable()).expect("deleted");
        for (filter, least) in [(None, 0.97), (Some(equals("group", "g3")), 0.97)] {
            let left = recall(&collection, filter.as_ref());
            assert!(left >= least, "{metric:?}: {left}");
            let searched = found(&collection, &request(query(1), filter, false));
            assert!(searched.iter().all(|(id, _)| !dead.contains(id)));
        }
        let before = found(&collection, &request(query(2), None, false));
        drop((collection, database));
        let database = open(directory.path(), 700);
        let collection = database.collection("documents").expect("opens");
        assert!(is_indexed(&collection), "the index is on disk");
        assert_eq!(
            found(&collection, &request(query(2), None, false)),
            before,
            "after opening again"
        );
        assert_eq!(collection.verify().expect("read").len(), 0);
    }
}

#[test]
fn points_that_share_their_tokens_fill_the_results_all_the_same() {
    let directory = tempfile::tempdir().expect("directory");
    let database = open(directory.path(), 5_000);
    let collection = database
        .create_collection("alike", schema(Metric::Dot, false))
        .expect("new");
    // One point with a thousand vectors nearest to the query, and others with one each.
    let near = token(1, 1);
    let crowd = Point {
        vectors: BTreeMap::from([(String::new(), Vector::Multi(vec![near.clone(); 1_000]))]),
        ..document(0)
    };
    let mut points: Vec<Point> = (1..900).map(document).collect();
    points.push(crowd);
    collection
        .upsert(points, &WriteOptions::default())
        .expect("written");
    collection.optimize().expect("indexed");
    assert!(is_indexed(&collection));
    let asked = |exact| request(Vector::Multi(vec![near.clone()]), None, exact);
    let scanned = found(&collection, &asked(true));
    assert_eq!(scanned.len(), 10);
    let searched = found(&collection, &asked(false));
    assert_eq!(searched.len(), 10);
    assert_eq!(searched[0], scanned[0]);
}
