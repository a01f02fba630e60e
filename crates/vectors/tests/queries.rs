//! Queries against the answers of Qdrant's in-memory mode (`qdrant/generate.py` wrote them), over a collection that is a
//! list of points and finds everything by looking at each.

#![expect(
    clippy::unwrap_used,
    reason = "cases are this test's own; a malformed one may end it"
)]

#[path = "qdrant/convert.rs"]
mod convert;
#[path = "qdrant/points.rs"]
mod points;
#[path = "qdrant/stored.rs"]
mod stored;

use convert::query_request;
use points::Points;
use serde_json::Value;
use stored::Shape;
use vectors::collection::With;
use vectors::query::{self, GroupKey, GroupRequest, Hit, Query, QueryRequest, Stage, Target};
use vectors::{Metric, PointId, Vector};

const CASES: &str = include_str!("qdrant/cases.json");

/// Scores within this part of each other count as equal: Qdrant rounds to f32 at other places.
const TOLERANCE: f64 = 2e-5;

fn close(one: f64, two: f64) -> bool {
    (one - two).abs() <= TOLERANCE * one.abs().max(two.abs()).max(1.0)
}

/// The same scores in the same order, and the same points wherever a score is one point's alone.
fn check(name: &str, offset: usize, found: &[Hit], answer: &[Value]) {
    assert_eq!(found.len(), answer.len(), "{name}: {found:?}\n{answer:?}");
    let answer: Vec<(u64, f64)> = answer
        .iter()
        .map(|hit| (hit[0].as_u64().unwrap(), hit[1].as_f64().unwrap()))
        .collect();
    for (place, (hit, &(id, score))) in found.iter().zip(&answer).enumerate() {
        assert!(
            close(f64::from(hit.score), score),
            "{name}, hit {place}: {found:?}\n{answer:?}"
        );
        let alone = answer
            .iter()
            .filter(|(_, other)| close(*other, score))
            .count()
            == 1;
        // A tie with a point that was cut off, before or behind, doesn't show.
        let at_a_cut = place + 1 == found.len() || (place == 0 && offset > 0);
        if alone && !at_a_cut {
            assert_eq!(hit.id, PointId::Number(id), "{name}, hit {place}");
        }
    }
}

const METRICS: [(&str, Metric); 4] = [
    ("Cosine", Metric::Cosine),
    ("Dot", Metric::Dot),
    ("Euclid", Metric::Euclid),
    ("Manhattan", Metric::Manhattan),
];

/// All cases of one metric, their hits given by `run`; returns the cases that fail.
fn failures(
    cases: &Value,
    metric: &str,
    what: &str,
    run: impl Fn(&QueryRequest) -> Vec<Hit>,
) -> Vec<String> {
    let requests = cases["cases"].as_array().unwrap();
    let answers = cases["answers"][metric].as_array().unwrap();
    assert_eq!(requests.len(), answers.len());
    let mut failures = Vec::new();
    for (request, answer) in requests.iter().zip(answers) {
        let converted = query_request(request);
        let name = format!("{metric}, {what}: {request}");
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let found = run(&converted);
            let answer = answer.as_array().unwrap();
            check(&name, converted.offset, &found, answer);
            // Points that are ordered by a value have no score, and each its place.
            if request["query"].get("order_by").is_some() {
                for (hit, answer) in found.iter().zip(answer) {
                    assert_eq!(hit.id, PointId::Number(answer[0].as_u64().unwrap()));
                }
            }
        }));
        if checked.is_err() {
            failures.push(name);
        }
    }
    failures
}

fn none_fail(failures: &[String]) {
    assert!(
        failures.is_empty(),
        "{} failed:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

#[test]
fn answers_equal_those_of_qdrant() {
    let cases: Value = serde_json::from_str(CASES).unwrap();
    let mut failed = Vec::new();
    for (name, metric) in METRICS {
        let points = Points::new(metric, cases["points"].as_array().unwrap());
        failed.extend(failures(&cases, name, "list", |request| {
            query::execute(&points, request).unwrap()
        }));
    }
    none_fail(&failed);
}

#[test]
fn collections_answer_as_qdrant_however_their_segments_lie() {
    let cases: Value = serde_json::from_str(CASES).unwrap();
    let mut failed = Vec::new();
    for (name, metric) in METRICS {
        for shape in [Shape::Growing, Shape::Sealed, Shape::Mixed] {
            let directory = tempfile::tempdir().unwrap();
            let points = cases["points"].as_array().unwrap();
            let database = stored::database(directory.path(), shape, metric, points);
            failed.extend(failures(&cases, name, &format!("{shape:?}"), |request| {
                let found = database.query("points", request, &With::payload()).unwrap();
                found
                    .into_iter()
                    .map(|one| {
                        assert!(one.point.payload.is_some());
                        Hit {
                            id: one.point.id,
                            score: one.score,
                        }
                    })
                    .collect()
            }));
        }
    }
    none_fail(&failed);
}

fn points() -> Points {
    let cases: Value = serde_json::from_str(CASES).unwrap();
    Points::new(Metric::Dot, cases["points"].as_array().unwrap())
}

fn stage(query: Query, limit: usize) -> Stage {
    Stage {
        query: Some(query),
        limit,
        ..Stage::default()
    }
}

fn run(stage: Stage) -> Result<Vec<Hit>, String> {
    let request = QueryRequest { stage, offset: 0 };
    query::execute(&points(), &request).map_err(|error| error.to_string())
}

fn nearest() -> Query {
    Query::Nearest {
        target: Target::Vector(Vector::Dense(vec![0.3, -0.2, 0.9, 0.1, -0.5, 0.4])),
        mmr: None,
    }
}

#[test]
fn samples_repeat_with_their_seed_and_differ_without() {
    let points = points();
    let sample = |seed, limit| {
        let request = QueryRequest {
            stage: stage(Query::Sample { seed }, limit),
            offset: 0,
        };
        query::execute(&points, &request).unwrap()
    };
    assert_eq!(sample(1, 10), sample(1, 10));
    assert_ne!(sample(1, 10), sample(2, 10));
    assert_eq!(sample(1, 10)[..4], sample(1, 4));
    assert_eq!(sample(3, 1_000_000).len(), 40);
    // Each of 40 points is in a sample of 10 with chance 1/4: 1,000 ± 4 · 27.4 times in 4,000.
    let mut counts = [0; 41];
    for seed in 0..4000 {
        for hit in sample(seed, 10) {
            let PointId::Number(id) = hit.id else {
                unreachable!()
            };
            counts[id as usize] += 1;
        }
    }
    assert!(
        counts[1..].iter().all(|count| (890..1110).contains(count)),
        "{counts:?}"
    );
}

#[test]
fn groups_hold_the_best_hits_of_the_best_groups() {
    let points = points();
    let request = GroupRequest {
        query: QueryRequest {
            stage: stage(nearest(), 1),
            offset: 0,
        },
        group_by: "group".parse().unwrap(),
        group_size: 3,
        limit: 3,
    };
    let groups = query::execute_groups(&points, &request).unwrap();
    // By hand: all hits in order, each offered to each of its groups.
    let all = run(stage(nearest(), 40)).unwrap();
    let mut expected: Vec<(String, Vec<PointId>)> = Vec::new();
    for hit in &all {
        for key in points.groups_of(hit.id) {
            if !expected.iter().any(|(other, _)| *other == key) {
                expected.push((key.clone(), Vec::new()));
            }
            let (_, ids) = expected
                .iter_mut()
                .find(|(other, _)| *other == key)
                .unwrap();
            if ids.len() < 3 {
                ids.push(hit.id);
            }
        }
    }
    expected.truncate(3);
    let found: Vec<(String, Vec<PointId>)> = groups
        .into_iter()
        .map(|group| {
            let GroupKey::Text(key) = group.key else {
                panic!("{:?}", group.key)
            };
            (key, group.hits.iter().map(|hit| hit.id).collect())
        })
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn points_of_another_collection_are_looked_up_and_not_left_out() {
    let looked_up = Stage {
        lookup_from: Some(query::LookupFrom {
            collection: "other".to_owned(),
            vector: None,
        }),
        ..stage(
            Query::Nearest {
                target: Target::Point(PointId::Number(7)),
                mmr: None,
            },
            40,
        )
    };
    assert_eq!(run(looked_up.clone()).unwrap().len(), 40);
    let here = Stage {
        lookup_from: None,
        ..looked_up.clone()
    };
    assert_eq!(run(here).unwrap().len(), 39);
    let nowhere = Stage {
        lookup_from: Some(query::LookupFrom {
            collection: "nowhere".to_owned(),
            vector: None,
        }),
        ..looked_up
    };
    assert_eq!(
        run(nowhere).unwrap_err(),
        "collection `nowhere` doesn't exist"
    );
}

#[test]
fn senseless_queries_are_refused_and_the_part_is_named() {
    let deep = (0..10).fold(stage(nearest(), 5), |inner, _| Stage {
        prefetch: vec![inner],
        ..stage(nearest(), 5)
    });
    let wide = Stage {
        prefetch: vec![stage(nearest(), 5); 70],
        ..stage(nearest(), 5)
    };
    let short = Query::Nearest {
        target: Target::Vector(Vector::Dense(vec![1.0])),
        mmr: None,
    };
    let inner = Stage {
        prefetch: vec![stage(nearest(), 5), stage(nearest(), 0)],
        ..stage(nearest(), 5)
    };
    let absent = Query::Nearest {
        target: Target::Point(PointId::Number(4711)),
        mmr: None,
    };
    for (stage, expected) in [
        (deep, "prefetch depth is 9, more than the limit of 8"),
        (
            wide,
            "number of prefetches is 65, more than the limit of 64",
        ),
        (
            stage(short, 3),
            "query: vector has 1 dimensions, expected 6",
        ),
        (inner, "prefetch[1].limit: must be at least 1"),
        (stage(absent, 3), "vector of point `4711` doesn't exist"),
        (
            stage(Query::Fusion(query::Fusion::Borda), 3),
            "query: needs prefetches",
        ),
        (
            Stage {
                using: "nothing".to_owned(),
                ..stage(nearest(), 3)
            },
            "vector `nothing` doesn't exist",
        ),
    ] {
        assert_eq!(run(stage).unwrap_err(), expected);
    }
}
