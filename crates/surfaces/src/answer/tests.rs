//! What one request body means, and how an answer looks.

use serde_json::{Value, json};
use service::{AnswerEvent, Citation, Error, FinishReason, Passage, Ranker};

use super::convert::{self, Whole};
use super::types::AnswerBody;
use crate::body::read;

fn asked(body: Value) -> Result<service::AnswerRequest, Error> {
    convert::request(read::<AnswerBody>(&body)?)
}

#[track_caller]
fn refused(body: Value, field: &str) {
    let error = asked(body.clone()).expect_err("refused");
    assert_eq!(error.field.as_deref(), Some(field), "{body}");
}

#[test]
fn every_bad_field_is_named() {
    refused(json!({"collection": "c"}), "question");
    refused(json!({"question": "q"}), "collection");
    refused(
        json!({"question": "q", "collection": "c", "collections": ["d"]}),
        "collection",
    );
    refused(
        json!({"question": "q", "collection": "c", "rerank": 3}),
        "rerank",
    );
    refused(
        json!({"question": "q", "collection": "c", "temperature": 9}),
        "temperature",
    );
    refused(
        json!({"question": "q", "collection": "c", "filter": {"type": "like"}}),
        "filter.key",
    );
    refused(
        json!({"question": "q", "collection": "c", "limit": "many"}),
        "limit",
    );
    assert!(asked(json!({"question": "q", "collection": "c", "colour": 1})).is_err());
}

#[test]
fn a_ranking_model_is_the_configured_one_another_or_none() {
    let ranker = |rerank: Value| {
        let request = asked(json!({"question": "q", "collection": "c", "rerank": rerank}));
        request.expect("read").retrieval.ranker
    };
    assert_eq!(ranker(Value::Null), Ranker::Configured);
    assert_eq!(ranker(json!(true)), Ranker::Configured);
    assert_eq!(ranker(json!(false)), Ranker::None);
    assert_eq!(ranker(json!("m")), Ranker::Model("m".into()));
}

#[test]
fn an_answer_names_its_sources_as_its_marks_count_them() {
    let passage = Passage {
        collection: "c".into(),
        point: "7".into(),
        text: "because".into(),
        source: "a.md".into(),
        file_id: String::new(),
        score: 0.5,
        place: serde_json::Map::new(),
        attributes: serde_json::Map::new(),
    };
    let mut whole = Whole::default();
    for event in [
        AnswerEvent::Text("So [1]".into()),
        AnswerEvent::Cited(Citation {
            passage: 0,
            file_id: String::new(),
            source: "a.md".into(),
            start: 3,
            end: 6,
        }),
        AnswerEvent::Finished {
            reason: FinishReason::Length,
            prompt_tokens: 5,
            output_tokens: 2,
        },
    ] {
        whole.event(&event);
    }
    let reply = whole.reply("id", "m", &[passage]).expect("ended");
    assert_eq!(reply["answer"], "So [1]");
    assert_eq!(
        reply["citations"],
        json!([{"number": 1, "source": "a.md", "start": 3, "end": 6}])
    );
    assert_eq!(reply["sources"][0]["number"], 1);
    assert_eq!(reply["sources"][0]["text"], "because");
    assert_eq!(reply["finish_reason"], "length");
    assert_eq!(reply["usage"]["output_tokens"], 2);
    assert!(Whole::default().reply("id", "m", &[]).is_none());
}
