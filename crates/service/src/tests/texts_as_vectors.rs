//! Texts in the place of vectors: what is embedded, what a collection remembers, what is refused.

use security::{Scope, Scopes};
use serde_json::json;

use super::{bench_keeping, identity};
use crate::collections::query::{Query, QueryRequest, Stage};
use crate::collections::{
    CollectionSchema, Document, Input, Operation, Payload, Point, PointId, Vector, VectorSchema,
    With, WriteOptions,
};
use crate::{ErrorKind, Identity};

fn writer() -> Identity {
    let scopes: Scopes = [Scope::CollectionsManage, Scope::Inference]
        .into_iter()
        .collect();
    identity("acme", scopes)
}

fn schema() -> CollectionSchema {
    let dense: VectorSchema =
        serde_json::from_value(json!({"kind": "dense", "dimensions": 2, "metric": "cosine"}))
            .expect("a schema");
    CollectionSchema {
        vectors: [
            (String::new(), dense.clone()),
            ("wide".to_owned(), {
                let mut wide = dense;
                if let VectorSchema::Dense { dimensions, .. } = &mut wide {
                    *dimensions = 3;
                }
                wide
            }),
            ("words".to_owned(), VectorSchema::Sparse { idf: true }),
        ]
        .into(),
        ..CollectionSchema::default()
    }
}

fn document(model: &str, text: &str, options: serde_json::Value) -> Input {
    Input::Document(Document {
        text: text.to_owned(),
        model: model.to_owned(),
        options: options.as_object().cloned().unwrap_or_default(),
    })
}

fn upsert(points: Vec<(u64, &str, Input)>) -> Vec<Operation<Input>> {
    let points = points
        .into_iter()
        .map(|(id, name, input)| Point {
            id: PointId::Number(id),
            vectors: [(name.to_owned(), input)].into(),
            payload: Payload::new(),
            expires_unix_ms: None,
        })
        .collect();
    vec![Operation::Upsert(points)]
}

fn nearest(using: &str, target: Input) -> Vec<QueryRequest<Input>> {
    vec![QueryRequest {
        stage: Stage {
            query: Some(Query::Nearest { target, mmr: None }),
            using: using.to_owned(),
            ..Stage::default()
        },
        offset: 0,
    }]
}

#[tokio::test]
async fn texts_are_embedded_once_and_the_collection_remembers_by_what() {
    let bench = bench_keeping(Vec::new(), Some(std::time::Duration::from_secs(3600))).await;
    let (service, who) = (&bench.service, writer());
    service
        .collection_create(&who, "docs", schema())
        .await
        .expect("made");
    let operations = upsert(vec![
        (1, "", document("vectors", "one", json!({}))),
        (
            2,
            "words",
            document("bm25", "running dogs, running cats", json!({})),
        ),
        (3, "", Input::Vector(Vector::Dense(vec![1.0, 0.0]))),
        (4, "", document("vectors", "two", json!({}))),
    ]);
    let embedded = service
        .embed_operations(&who, "docs", operations)
        .await
        .expect("embedded");
    // Five tokens for each of two texts; four terms.
    let usage: Vec<_> = embedded.usage.models.into_iter().collect();
    assert_eq!(usage, [("bm25".to_owned(), 4), ("vectors".to_owned(), 10)]);
    let Operation::Upsert(points) = &embedded.value[0] else {
        panic!("an upsert stays one");
    };
    assert_eq!(points[0].vectors[""], Vector::Dense(vec![0.6, 0.8]));
    assert!(
        matches!(&points[1].vectors["words"], Vector::Sparse(sparse) if sparse.indices.len() == 3)
    );
    assert_eq!(points[2].vectors[""], Vector::Dense(vec![1.0, 0.0]));
    service
        .points_batch(&who, "docs", embedded.value, WriteOptions::durable())
        .await
        .expect("stored");
    let known = service
        .collection_models(&who, "docs")
        .await
        .expect("known");
    assert_eq!(known.len(), 2);
    assert_eq!(
        (known[""].dimensions, known[""].model.as_str()),
        (2, "vectors")
    );
    assert!(known[""].digest.starts_with("sha256:"));
    // The same text again, as a query, is known by its content.
    let calls = || bench.runtime.shared.embeds.lock().expect("embeds").len();
    let before = calls();
    let queries = nearest("", document("vectors", "one", json!({})));
    let embedded = service
        .embed_queries(&who, "docs", queries)
        .await
        .expect("embedded");
    assert_eq!((calls(), embedded.usage.models["vectors"]), (before, 5));
    for query in embedded.value {
        let found = service
            .points_query(&who, "docs", query, With::nothing())
            .await
            .expect("found");
        assert_eq!(found.len(), 3);
    }
    let words = nearest("words", document("Qdrant/bm25", "a dog", json!({})));
    for query in service
        .embed_queries(&who, "docs", words)
        .await
        .expect("embedded")
        .value
    {
        let found = service
            .points_query(&who, "docs", query, With::nothing())
            .await
            .expect("found");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].point.id, PointId::Number(2));
    }
}

#[tokio::test]
async fn another_model_is_refused_with_what_to_do() {
    let bench = bench_keeping(Vec::new(), None).await;
    let (service, who) = (&bench.service, writer());
    service
        .collection_create(&who, "docs", schema())
        .await
        .expect("made");
    let first = upsert(vec![
        (1, "", document("vectors", "one", json!({}))),
        (2, "words", document("bm25", "dogs", json!({}))),
    ]);
    service
        .embed_operations(&who, "docs", first)
        .await
        .expect("embedded");
    for (operations, kind, words) in [
        (
            upsert(vec![(1, "", document("tiny", "x", json!({})))]),
            ErrorKind::Conflict,
            "another collection with `tiny`",
        ),
        (
            upsert(vec![(
                1,
                "words",
                document("bm25", "x", json!({"language": "german"})),
            )]),
            ErrorKind::Conflict,
            "another collection",
        ),
        (
            upsert(vec![(
                1,
                "",
                document("vectors", "x", json!({"prefix": "p: "})),
            )]),
            ErrorKind::Conflict,
            "prefix",
        ),
        (
            upsert(vec![(1, "wide", document("vectors", "x", json!({})))]),
            ErrorKind::InvalidRequest,
            "expected dim: 3, got 2",
        ),
        (
            upsert(vec![(1, "words", document("vectors", "x", json!({})))]),
            ErrorKind::InvalidRequest,
            "sparse",
        ),
        (
            upsert(vec![(1, "", document("bm25", "x", json!({})))]),
            ErrorKind::InvalidRequest,
            "dense",
        ),
        (
            upsert(vec![(1, "other", document("vectors", "x", json!({})))]),
            ErrorKind::InvalidRequest,
            "other",
        ),
        (
            upsert(vec![(1, "", document("absent", "x", json!({})))]),
            ErrorKind::NotFound,
            "absent",
        ),
        (
            upsert(vec![(1, "", document("vectors", "x", json!({"speed": 9})))]),
            ErrorKind::InvalidRequest,
            "speed",
        ),
        (
            upsert(vec![(1, "", Input::Point(PointId::Number(2)))]),
            ErrorKind::InvalidRequest,
            "another point",
        ),
    ] {
        let error = service
            .embed_operations(&who, "docs", operations)
            .await
            .expect_err("refused");
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains(words), "{error}");
    }
    // A query with a prefix of its own is how models with two roles are used; one with another model is not.
    let asked = nearest("", document("vectors", "x", json!({"prefix": "query: "})));
    assert!(service.embed_queries(&who, "docs", asked).await.is_ok());
    let error = service
        .embed_queries(&who, "docs", nearest("", document("tiny", "x", json!({}))))
        .await
        .expect_err("refused");
    assert_eq!(
        (error.kind, error.field.as_deref()),
        (ErrorKind::Conflict, Some("query"))
    );
}

#[tokio::test]
async fn who_may_not_write_or_embed_spends_nothing() {
    let bench = bench_keeping(Vec::new(), None).await;
    let service = &bench.service;
    service
        .collection_create(&writer(), "docs", schema())
        .await
        .expect("made");
    let text = || upsert(vec![(1, "", document("vectors", "x", json!({})))]);
    let reader = identity("acme", Scope::CollectionsRead);
    let error = service
        .embed_operations(&reader, "docs", text())
        .await
        .expect_err("refused");
    assert_eq!(error.kind, ErrorKind::Forbidden);
    let bare = identity("acme", Scope::CollectionsWrite);
    let error = service
        .embed_operations(&bare, "docs", text())
        .await
        .expect_err("refused");
    assert_eq!(error.kind, ErrorKind::Forbidden);
    let stranger = identity(
        "other",
        [Scope::CollectionsManage, Scope::Inference]
            .into_iter()
            .collect::<Scopes>(),
    );
    let error = service
        .embed_operations(&stranger, "docs", text())
        .await
        .expect_err("refused");
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert_eq!(bench.runtime.shared.embeds.lock().expect("embeds").len(), 0);
    assert!(
        service
            .collection_models(&writer(), "docs")
            .await
            .expect("known")
            .is_empty()
    );
}
