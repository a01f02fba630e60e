//! Trees as clients write them, and what is refused of them. Answers are compared with other engines in `conformance/`.

use serde_json::{Value, json};
use service::ErrorKind;
use service::collections::query::{
    Direction, Expression, Fusion, LookupFrom, Mmr, OrderBy, Query, SearchOptions, Stage, Strategy,
};
use service::collections::{Input, PayloadSelection, PointId, Vector, VectorSelection};

use super::convert::{ReadQuery, group_request, query_request};
use super::part::Part;

fn read(body: &Value) -> ReadQuery {
    query_request(&Part::root(body), 7).expect("fits")
}

fn query(body: &Value) -> Query<Input> {
    read(&json!({ "query": body }))
        .request
        .stage
        .query
        .expect("a query")
}

fn point(id: u64) -> Input {
    Input::Point(PointId::Number(id))
}

fn dense(values: &[f32]) -> Input {
    Input::Vector(Vector::Dense(values.to_vec()))
}

#[test]
fn a_whole_tree_is_read() {
    let body = json!({
        "prefetch": [
            {"query": [1, 2], "limit": 999_999_999, "using": "a", "params": {"exact": true, "hnsw_ef": 9}},
            {"prefetch": {"query": {"nearest": 3}}, "query": {"fusion": "dbsf"}, "score_threshold": 0.5},
        ],
        "query": {"rrf": {"k": 60, "weights": [2, 1]}},
        "limit": 5, "offset": 2, "with_payload": ["a.b"], "with_vector": true,
        "lookup_from": {"collection": "other", "vector": "v"},
        "filter": null, "using": null,
    });
    let ReadQuery { request, with } = read(&body);
    assert_eq!(request.offset, 2);
    assert_eq!(with.vectors, VectorSelection::All);
    assert!(matches!(with.payload, PayloadSelection::Include(paths) if paths.len() == 1));
    let leaf = |query, limit| Stage {
        query: Some(query),
        limit,
        ..Stage::default()
    };
    let nearest = |target| Query::Nearest { target, mmr: None };
    let expected = Stage {
        prefetch: vec![
            Stage {
                using: "a".to_owned(),
                options: SearchOptions {
                    exact: true,
                    ef: Some(9),
                    ..SearchOptions::default()
                },
                ..leaf(nearest(dense(&[1.0, 2.0])), 999_999_999)
            },
            Stage {
                prefetch: vec![leaf(nearest(point(3)), 10)],
                score_threshold: Some(0.5),
                ..leaf(Query::Fusion(Fusion::DistributionBased), 10)
            },
        ],
        lookup_from: Some(LookupFrom {
            collection: "other".to_owned(),
            vector: Some("v".to_owned()),
        }),
        // Positions count from 0 on the wire.
        ..leaf(
            Query::Fusion(Fusion::ReciprocalRank {
                constant: 59.0,
                weights: vec![2.0, 1.0],
            }),
            5,
        )
    };
    assert_eq!(request.stage, expected);
}

#[test]
fn every_kind_of_query_is_told_apart() {
    assert_eq!(
        query(&json!({"nearest": [1], "mmr": {"diversity": 0.25, "candidates_limit": 9}})),
        Query::Nearest {
            target: dense(&[1.0]),
            mmr: Some(Mmr {
                lambda: 0.75,
                candidates: Some(9),
            }),
        }
    );
    assert_eq!(
        query(
            &json!({"recommend": {"positive": [1], "negative": [[2.0]], "strategy": "sum_scores"}})
        ),
        Query::Recommend {
            positive: vec![point(1)],
            negative: vec![dense(&[2.0])],
            strategy: Strategy::SumScores,
        }
    );
    let pair = json!({"positive": 1, "negative": 2});
    assert_eq!(
        query(&json!({"context": pair})),
        query(&json!({"context": [pair]}))
    );
    assert!(matches!(
        query(&json!({"discover": {"target": 3, "context": pair}})),
        Query::Discover { context, .. } if context.len() == 1
    ));
    assert_eq!(
        query(
            &json!({"order_by": {"key": "a", "direction": "desc", "start_from": "1970-01-01T00:00:01Z"}})
        ),
        Query::OrderBy(OrderBy {
            key: "a".parse().expect("a path"),
            direction: Direction::Descending,
            start_from: Some(1_000_000.0),
        })
    );
    assert_eq!(
        query(&json!({"sample": "random"})),
        Query::Sample { seed: 7 }
    );
    assert!(matches!(
        query(&json!({"fusion": "rrf"})),
        Query::Fusion(Fusion::ReciprocalRank { constant: 1.0, .. })
    ));
    assert!(
        matches!(query(&json!({"text": "words"})), Query::Text { text, .. } if text == "words")
    );
    assert!(matches!(
        query(&json!({"text": {"query": "words", "scoring": {"bm25": {"k1": 2.0}}}})),
        Query::Text { parameters, .. } if parameters.k1 == Some(2.0)
    ));
    assert!(matches!(
        query(&json!({"text": "words", "model": "m"})),
        Query::Nearest {
            target: Input::Document(_),
            ..
        }
    ));
    let Query::Formula(formula) = query(&json!({
        "formula": {"sum": ["$score[1]", {"mult": [2, "a.b"]}, {"key": "c", "match": {"value": 1}}]},
        "defaults": {"$score[1]": 0.5, "a.b": 3},
    })) else {
        panic!("a formula");
    };
    assert_eq!(
        (formula.score_defaults.len(), formula.payload_defaults.len()),
        (1, 1)
    );
    assert!(matches!(
        formula.expression,
        Expression::Sum(operands) if matches!(&operands[2], Expression::Condition(_))
    ));
}

#[test]
fn a_grouped_query_counts_groups() {
    let body = json!({"query": [1], "group_by": "a.b", "limit": 4, "with_lookup": {"collection": "c", "with_payload": false}});
    let read = group_request(&Part::root(&body), 0).expect("fits");
    assert_eq!((read.request.limit, read.request.group_size), (4, 3));
    let lookup = read.lookup.expect("one");
    assert_eq!(
        (lookup.collection.as_str(), lookup.with.payload),
        ("c", PayloadSelection::None)
    );
}

#[test]
fn what_makes_no_sense_is_refused_at_its_place() {
    for (body, kind, words) in [
        (
            json!({"query": [1], "limit": 0}),
            ErrorKind::InvalidRequest,
            "limit",
        ),
        (
            json!({"query": [1], "limits": 1}),
            ErrorKind::InvalidRequest,
            "limits",
        ),
        (
            json!({"prefetch": [{"query": [1], "offset": 1}], "query": [1]}),
            ErrorKind::InvalidRequest,
            "prefetch[0]",
        ),
        (
            json!({"prefetch": [{"query": [1]}, {"query": {"nearest": "x"}}]}),
            ErrorKind::InvalidRequest,
            "prefetch[1].query.nearest",
        ),
        (
            json!({"query": {"nearest": [1], "fusion": "rrf"}}),
            ErrorKind::InvalidRequest,
            "fusion",
        ),
        (
            json!({"query": {"recommend": {"positive": 1}}}),
            ErrorKind::InvalidRequest,
            "query.recommend.positive",
        ),
        (
            json!({"query": {"context": [{"positive": 1}]}}),
            ErrorKind::InvalidRequest,
            "negative",
        ),
        (
            json!({"query": {"order_by": {"key": "a["}}}),
            ErrorKind::InvalidRequest,
            "query.order_by.key",
        ),
        (
            json!({"query": {"rrf": {"k": 0}}}),
            ErrorKind::InvalidRequest,
            "query.rrf.k",
        ),
        (
            json!({"query": {"nearest": [1], "mmr": {"diversity": 2}}}),
            ErrorKind::InvalidRequest,
            "query.mmr.diversity",
        ),
        (
            json!({"query": {"formula": {"sum": ["$rank"]}}}),
            ErrorKind::InvalidRequest,
            "query.formula.sum[0]",
        ),
        (
            json!({"query": {"formula": {"div": {"left": 1}}}}),
            ErrorKind::InvalidRequest,
            "right",
        ),
        (
            json!({"query": [1], "params": {"quantization": {"codes": 1}}}),
            ErrorKind::InvalidRequest,
            "codes",
        ),
        (
            json!({"query": [1], "lookup_from": {"vector": "a"}}),
            ErrorKind::InvalidRequest,
            "collection",
        ),
        (
            json!({"query": [1], "params": {"idf": {"corpus": {}}}}),
            ErrorKind::NotSupported,
            "params.idf",
        ),
        (
            json!({"query": [1], "shard_key": "a"}),
            ErrorKind::NotSupported,
            "shard",
        ),
        (
            json!({"query": {"relevance_feedback": {}}}),
            ErrorKind::NotSupported,
            "feedback",
        ),
        (
            json!({"query": {"image": "x", "model": "m"}}),
            ErrorKind::NotSupported,
            "query.image",
        ),
    ] {
        let error = query_request(&Part::root(&body), 0).expect_err("refused");
        assert_eq!(error.kind, kind, "{body}: {error}");
        assert!(error.message.contains(words), "{body}: {error}");
    }
}
