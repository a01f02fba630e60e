//! Searches, walks, counts and facets, with and without indexes.

use serde_json::{Value, json};
use std::time::Duration;
use vectors::collection::{
    Collection, Direction, OrderBy, ScrollRequest, SearchRequest, Status, With,
};
use vectors::database::{Database, DatabaseOptions};
use vectors::filter::Filter;
use vectors::payload::PayloadIndexKind;
use vectors::query::{Query, QueryRequest, Stage, Target};
use vectors::schema::Metric;
use vectors::{Payload, Point, PointId, SparseVector, Vector};

use crate::support::{
    durable, equals, everything, found, noise_vector, open, options, path, plain_schema, point,
    rich_schema,
};

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
fn payload_indexes_change_nothing_but_speed() {
    let directory = tempfile::tempdir().expect("directory");
    let database = open(directory.path(), 64);
    let collection = database
        .create_collection("c", plain_schema(2, Metric::Dot))
        .expect("new");
    let batch = |first: u64, last: u64| {
        (first..last)
            .map(|id| {
                let color = ["red", "green", "blue"][id as usize % 3];
                let value = json!({"color": color, "n": id});
                point(id, &[id as f32, 1.0], value)
            })
            .collect::<Vec<_>>()
    };
    collection
        .upsert(batch(0, 150), &durable())
        .expect("written");
    let red = equals("color", "red");
    let count = |collection: &Collection| collection.count(Some(&red)).expect("count");
    assert_eq!(count(&collection), 50);
    collection
        .create_payload_index(&path("color"), PayloadIndexKind::Keyword)
        .expect("index");
    collection
        .create_payload_index(&path("n"), PayloadIndexKind::Integer)
        .expect("index");
    assert_eq!(count(&collection), 50);
    // New rows, rows of segments sealed later, and rows written again are in the indexes as well.
    collection
        .upsert(batch(120, 300), &durable())
        .expect("written");
    collection
        .delete(&[PointId::Number(0), PointId::Number(1)], &durable())
        .expect("deleted");
    assert_eq!(count(&collection), 99);
    let mut request = SearchRequest::new("", Vector::Dense(vec![1.0, 0.0]), 3);
    request.filter = Some(red.clone());
    assert_eq!(
        found(&collection, &request),
        [(297, 297.0), (294, 294.0), (291, 291.0)]
    );
    drop((collection, database));
    let database = open(directory.path(), 64);
    let collection = database.collection("c").expect("opens");
    let names: Vec<String> = collection
        .payload_indexes()
        .into_iter()
        .map(|index| index.key)
        .collect();
    assert_eq!(names, ["color", "n"]);
    assert_eq!(count(&collection), 99);
    collection.optimize().expect("optimized");
    assert_eq!(count(&collection), 99);
    assert!(
        collection
            .delete_payload_index(&path("color"))
            .expect("dropped")
    );
    assert!(
        !collection
            .delete_payload_index(&path("color"))
            .expect("none")
    );
    assert_eq!(count(&collection), 99);
    assert_eq!(
        collection.info().expect("info").damages,
        Vec::<String>::new()
    );
}

#[test]
fn filters_get_the_indexes_they_need_by_themselves() {
    let directory = tempfile::tempdir().expect("directory");
    let database = Database::open(
        directory.path(),
        DatabaseOptions {
            maintenance_threads: 1,
            ..options(2_500)
        },
    )
    .expect("database");
    let collection = database
        .create_collection("c", plain_schema(1, Metric::Dot))
        .expect("new");
    let points = (0..2_500)
        .map(|id| {
            point(
                id,
                &[1.0],
                json!({"color": if id % 5 == 0 { "red" } else { "blue" }}),
            )
        })
        .collect();
    collection.upsert(points, &durable()).expect("written");
    collection.maintain().expect("sealed");
    let red = equals("color", "red");
    let start = std::time::Instant::now();
    while collection.payload_indexes().is_empty() {
        assert_eq!(collection.count(Some(&red)).expect("count"), 500);
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "no index came: {:?}",
            collection.info()
        );
        std::thread::yield_now();
    }
    assert_eq!(
        collection.payload_indexes()[0].kind,
        PayloadIndexKind::Keyword
    );
    assert_eq!(collection.count(Some(&red)).expect("count"), 500);
}

#[test]
fn graphs_are_built_kept_through_merges_and_read_again() {
    let directory = tempfile::tempdir().expect("directory");
    let database = open(directory.path(), 500);
    let mut schema = plain_schema(16, Metric::Cosine);
    schema.index_from_rows = Some(200);
    let collection = database.create_collection("c", schema).expect("new");
    let points = (0..2_000)
        .map(|id| {
            point(
                id,
                &noise_vector(id, 16),
                json!({"even": (id % 2 == 0).to_string()}),
            )
        })
        .collect::<Vec<_>>();
    for batch in points.chunks(250) {
        collection
            .upsert(batch.to_vec(), &durable())
            .expect("written");
    }
    let recall = |collection: &Collection, filter: Option<Filter>| {
        let mut right = 0;
        for seed in 0..20 {
            let query = Vector::Dense(noise_vector(70_000 + seed, 16));
            let mut request = SearchRequest::new("", query, 10);
            request.filter = filter.clone();
            request.parameters.ef = Some(100);
            let approximate = found(collection, &request);
            request.parameters.exact = true;
            let exact = found(collection, &request);
            assert_eq!(exact.len(), 10);
            right += exact.iter().filter(|one| approximate.contains(one)).count();
        }
        right as f64 / 200.0
    };
    for step in 0..3 {
        let info = collection.info().expect("info");
        assert!(
            info.segments
                .iter()
                .any(|segment| !segment.indexed.is_empty()),
            "step {step}: {:?}",
            info.segments
        );
        assert!(recall(&collection, None) >= 0.95, "step {step}");
        assert!(
            recall(&collection, Some(equals("even", "true"))) >= 0.95,
            "step {step}"
        );
        if step == 0 {
            let gone: Vec<PointId> = (0..2_000).step_by(4).map(PointId::Number).collect();
            collection.delete(&gone, &durable()).expect("deleted");
            collection.optimize().expect("optimized");
            assert_eq!(collection.info().expect("info").indexed_rows, 1_500);
        }
    }
    drop((collection, database));
    let database = open(directory.path(), 500);
    let collection = database.collection("c").expect("opens");
    let info = collection.info().expect("info");
    assert_eq!((info.indexed_rows, info.status), (1_500, Status::Green));
    assert!(recall(&collection, None) >= 0.95);
}

#[test]
fn a_limit_far_beyond_what_is_stored_means_all_of_it() {
    let directory = tempfile::tempdir().expect("directory");
    let database = open(directory.path(), 500);
    let collection = database
        .create_collection("c", plain_schema(4, Metric::Dot))
        .expect("new");
    let points = (0..50).map(|id| point(id, &noise_vector(id, 4), json!({})));
    collection
        .upsert(points.collect(), &durable())
        .expect("written");
    for limit in [999_999_999, usize::MAX] {
        let page = collection
            .scroll(&ScrollRequest {
                limit,
                ..ScrollRequest::default()
            })
            .expect("all");
        assert_eq!((page.points.len(), page.next), (50, None));
        let request = QueryRequest {
            stage: Stage {
                query: Some(Query::Nearest {
                    target: Target::Vector(Vector::Dense(noise_vector(1, 4))),
                    mmr: None,
                }),
                limit,
                ..Stage::default()
            },
            offset: 1,
        };
        let found = collection
            .query(&request, &With::nothing())
            .expect("all but one");
        assert_eq!(found.len(), 49);
    }
}
