//! Facets and orders of fields, with indexes and without.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vectors::PointId;
use vectors::collection::{Collection, Direction, OrderBy, ScrollRequest};
use vectors::database::{Database, DatabaseOptions};
use vectors::payload::PayloadIndexKind;
use vectors::schema::Metric;

use crate::support::*;

/// Values of every kind, several of them, and none.
fn value_of(id: u64, round: u64) -> Value {
    let drawn = (noise(id * 7 + round) * 12.0) as u64;
    let price = match drawn {
        0 => json!(null),
        1 => json!([drawn, id % 5, 2.5]),
        2 => json!("2024-03-01T12:00:00Z"),
        3 => json!((id % 9) as f64 - 4.5),
        _ => json!(id % 17),
    };
    let tag = match drawn {
        0 => json!(true),
        1 => json!(["a", "b", "a"]),
        2 => json!(drawn),
        _ => Value::from(["a", "b", "c"][id as usize % 3]),
    };
    let kind = if id.is_multiple_of(4) { "x" } else { "y" };
    json!({"price": price, "tag": tag, "kind": kind})
}

const DATE: f64 = 1_709_294_400_000_000.0;

fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(all) => all.iter().flat_map(numbers).collect(),
        Value::Number(number) => number.as_f64().into_iter().collect(),
        Value::String(_) => vec![DATE],
        _ => Vec::new(),
    }
}

/// What an order must give, by looking at every point.
fn ordered(points: &BTreeMap<u64, Value>, order: &OrderBy, limit: usize) -> Vec<(u64, f64)> {
    let sign = match order.direction {
        Direction::Ascending => 1.0,
        Direction::Descending => -1.0,
    };
    let mut all: Vec<(f64, u64)> = points
        .iter()
        .filter_map(|(&id, value)| {
            let allowed = numbers(&value["price"])
                .into_iter()
                .map(|number| sign * number)
                .filter(|&number| order.start_from.is_none_or(|start| number >= sign * start));
            Some((allowed.min_by(f64::total_cmp)?, id))
        })
        .collect();
    all.sort_by(|one, two| one.0.total_cmp(&two.0).then(one.1.cmp(&two.1)));
    all.truncate(limit);
    all.into_iter()
        .map(|(value, id)| (id, sign * value))
        .collect()
}

fn facets<'v>(points: impl Iterator<Item = &'v Value>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for value in points {
        let values: BTreeSet<String> = match &value["tag"] {
            Value::Array(all) => all.iter().map(Value::to_string).collect(),
            one => [one.to_string()].into(),
        };
        for value in values {
            *counts.entry(value).or_default() += 1;
        }
    }
    counts
}

fn check(collection: &Collection, points: &BTreeMap<u64, Value>) {
    for direction in [Direction::Ascending, Direction::Descending] {
        for start_from in [None, Some(2.0), Some(-100.0), Some(1e18)] {
            for limit in [0, 1, 10, 1_000] {
                let order = OrderBy {
                    key: path("price"),
                    direction,
                    start_from,
                };
                let page = collection
                    .scroll(&ScrollRequest {
                        limit,
                        order_by: Some(order.clone()),
                        ..ScrollRequest::default()
                    })
                    .expect("page");
                let ids = page.points.iter().map(|point| match point.id {
                    PointId::Number(number) => number,
                    PointId::Uuid(_) => panic!("no UUIDs here"),
                });
                let found: Vec<(u64, f64)> = ids.zip(page.order_values).collect();
                assert_eq!(found, ordered(points, &order, limit), "{order:?} {limit}");
            }
        }
    }
    for only_x in [false, true] {
        let filter = only_x.then(|| equals("kind", "x"));
        let hits = collection
            .facet(&path("tag"), filter.as_ref(), 100)
            .expect("facet");
        let found: BTreeMap<String, u64> = hits
            .iter()
            .map(|hit| (hit.value.to_string(), hit.count))
            .collect();
        let wanted = facets(
            points
                .values()
                .filter(|value| !only_x || value["kind"] == "x"),
        );
        assert_eq!((found.len(), found), (hits.len(), wanted));
    }
}

#[test]
fn facets_and_orders_are_those_of_a_naive_loop_with_and_without_indexes() {
    let directory = tempfile::tempdir().expect("directory");
    let database = open(directory.path(), 90);
    let collection = database
        .create_collection("c", plain_schema(1, Metric::Dot))
        .expect("new");
    let mut points = BTreeMap::new();
    let write = |points: &mut BTreeMap<u64, Value>, range: std::ops::Range<u64>, round| {
        for id in range {
            let value = value_of(id, round);
            collection
                .upsert(vec![point(id, &[1.0], value.clone())], &Default::default())
                .expect("written");
            points.insert(id, value);
        }
    };
    write(&mut points, 0..200, 0);
    check(&collection, &points);
    for (key, kind) in [
        ("tag", PayloadIndexKind::Keyword),
        ("price", PayloadIndexKind::Integer),
    ] {
        collection
            .create_payload_index(&path(key), kind)
            .expect("index");
    }
    check(&collection, &points);
    // Rows written again, in other segments, and rows that go.
    write(&mut points, 150..260, 1);
    for id in [3, 77, 201] {
        collection
            .delete(&[PointId::Number(id)], &durable())
            .expect("deleted");
        points.remove(&id);
    }
    check(&collection, &points);
    collection.optimize().expect("optimized");
    check(&collection, &points);
}

#[test]
fn facets_and_orders_get_the_indexes_they_need_by_themselves() {
    let directory = tempfile::tempdir().expect("directory");
    let database = Database::open(
        directory.path(),
        DatabaseOptions {
            maintenance_threads: 1,
            ..options(2_100)
        },
    )
    .expect("database");
    let collection = database
        .create_collection("c", plain_schema(1, Metric::Dot))
        .expect("new");
    let points = (0..2_100)
        .map(|id| {
            point(
                id,
                &[1.0],
                json!({"tag": if id % 2 == 0 { "a" } else { "b" }, "price": id}),
            )
        })
        .collect();
    collection.upsert(points, &durable()).expect("written");
    collection.maintain().expect("sealed");
    let start = Instant::now();
    loop {
        let hits = collection.facet(&path("tag"), None, 2).expect("facet");
        assert_eq!(hits.iter().map(|hit| hit.count).sum::<u64>(), 2_100);
        collection
            .scroll(&ScrollRequest {
                limit: 3,
                order_by: Some(OrderBy {
                    key: path("price"),
                    direction: Direction::Descending,
                    start_from: None,
                }),
                ..ScrollRequest::default()
            })
            .expect("page");
        let kinds: BTreeMap<String, PayloadIndexKind> = collection
            .payload_indexes()
            .into_iter()
            .map(|index| (index.key, index.kind))
            .collect();
        if kinds.len() == 2 {
            assert_eq!(kinds["tag"], PayloadIndexKind::Keyword);
            assert_eq!(kinds["price"], PayloadIndexKind::Integer);
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{kinds:?}");
        std::thread::yield_now();
    }
}
