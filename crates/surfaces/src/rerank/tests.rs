//! What one request body means, and what one ranking looks like in each shape.

use serde_json::{Value, json};
use service::{Error, RankedDocument, RerankMethod, Reranked};

use super::convert::{self, in_tei_words, in_their_words};
use super::types::{RerankBody, TeiBody};
use crate::body::read;

fn asked(body: Value) -> Result<convert::Asked, Error> {
    convert::request(read::<RerankBody>(&body)?)
}

#[track_caller]
fn refused(body: Value, field: &str) {
    let error = asked(body.clone()).err().expect("refused");
    assert_eq!(error.field.as_deref(), Some(field), "{body}");
}

fn ranked() -> Reranked {
    let place = |index, score, relevance| RankedDocument {
        index,
        score,
        relevance,
    };
    Reranked {
        id: "r1".into(),
        model: "m:latest".into(),
        method: RerankMethod::CrossEncoder,
        ranking: vec![place(1, 2.0, 0.875), place(0, -2.0, 0.125)],
        prompt_tokens: 12,
    }
}

#[test]
fn strings_and_objects_are_documents() {
    let asked = asked(
        json!({"model": "m", "query": {"text": "q"}, "documents": ["a", {"text": "b", "n": 1}],
        "top_n": 5, "return_documents": true, "max_tokens_per_doc": 9}),
    )
    .expect("read");
    assert_eq!(asked.request.query, "q");
    assert_eq!(asked.request.documents, ["a", "b"]);
    assert_eq!(asked.request.best, Some(5));
    assert_eq!(asked.request.document_tokens_max, Some(9));
    assert!(asked.request.truncate);
    let reply = convert::reply(ranked(), asked.documents, "2");
    let reply = serde_json::to_value(reply).expect("JSON");
    assert_eq!(
        reply["results"],
        json!([
            {"index": 1, "relevance_score": 0.875, "document": {"text": "b", "n": 1}},
            {"index": 0, "relevance_score": 0.125, "document": {"text": "a"}},
        ])
    );
    assert_eq!(reply["usage"]["total_tokens"], 12);
    assert_eq!(reply["meta"]["api_version"]["version"], "2");
    assert_eq!(reply["method"], "cross_encoder");
}

#[test]
fn fields_of_structured_documents_are_joined() {
    let asked = asked(json!({"query": "q", "documents": [{"title": "T", "year": 3}], "rank_fields": ["title", "year"]}))
        .expect("read");
    assert_eq!(asked.request.documents, ["title: T\nyear: 3"]);
}

#[test]
fn every_bad_field_is_named() {
    refused(json!({"documents": []}), "query");
    refused(json!({"query": "q"}), "documents");
    refused(json!({"query": 3, "documents": []}), "query");
    refused(json!({"query": {}, "documents": []}), "query.text");
    refused(json!({"query": "q", "documents": [3]}), "documents[0]");
    refused(
        json!({"query": "q", "documents": [{}]}),
        "documents[0].text",
    );
    refused(
        json!({"query": "q", "documents": [{"a": 1}], "rank_fields": ["b"]}),
        "documents[0]",
    );
    refused(
        json!({"query": "q", "documents": ["a"], "top_n": 0}),
        "top_n",
    );
    refused(
        json!({"query": "q", "documents": ["a"], "top_n": -1}),
        "top_n",
    );
    refused(
        json!({"query": "q", "documents": ["a"], "max_chunks_per_doc": 2}),
        "max_chunks_per_doc",
    );
    let error = in_their_words(Error::invalid("document_tokens_max", "no"));
    assert_eq!(error.field.as_deref(), Some("max_tokens_per_doc"));
}

#[test]
fn tei_gives_a_list_of_relevances_or_raw_scores() {
    let body = |extra: Value| -> TeiBody {
        let mut body = json!({"query": "q", "texts": ["a", "b"]});
        for (name, value) in extra.as_object().expect("object") {
            body[name] = value.clone();
        }
        read(&body).expect("read")
    };
    let request = convert::tei_request(&body(json!({}))).expect("read");
    assert!(!request.truncate);
    let plain = convert::tei_reply(body(json!({})), &ranked());
    assert_eq!(
        serde_json::to_value(plain).expect("JSON"),
        json!([{"index": 1, "score": 0.875}, {"index": 0, "score": 0.125}])
    );
    let raw = convert::tei_reply(
        body(json!({"raw_scores": true, "return_text": true})),
        &ranked(),
    );
    assert_eq!(
        serde_json::to_value(raw).expect("JSON"),
        json!([{"index": 1, "score": 2.0, "text": "b"}, {"index": 0, "score": -2.0, "text": "a"}])
    );
    let left = body(json!({"truncation_direction": "Left"}));
    assert!(convert::tei_request(&left).is_err());
    let error = in_tei_words(Error::invalid("documents[1]", "no"));
    assert_eq!(error.field.as_deref(), Some("texts[1]"));
}
