//! Answers from documents: what is found, what the model is shown, and which citations come of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;
use security::{Scope, Scopes};
use serde_json::json;

use super::scripted::{Reply, accepted, finished, text};
use super::{Bench, bench, identity};
use crate::collections::{
    CollectionSchema, Document, Filter, Input, Operation, Payload, Point, PointId, VectorSchema,
    WriteOptions,
};
use crate::{
    AnswerEvent, AnswerRequest, Citation, ErrorKind, GenerateOptions, Identity, Item, ItemBody,
    OutputFormat, Ranker, ResponseRequest, Retrieval, SpeakerRole, ToolChoice, Truncation,
};

fn writer() -> Identity {
    let scopes: Scopes = [Scope::CollectionsManage, Scope::Inference]
        .into_iter()
        .collect();
    identity("acme", scopes)
}

fn document(model: &str, text: &str) -> Input {
    Input::Document(Document {
        text: text.to_owned(),
        model: model.to_owned(),
        options: Payload::default(),
    })
}

/// Short texts: the script's model reads 128 bytes as 128 tokens, so the rules of citing do not fit it; see [`service`].
const TEXTS: [(&str, &str); 3] = [
    (
        "storage.md",
        "Writes reach the disk before they are acknowledged.",
    ),
    ("music.md", "Violins come in softly after the second bar."),
    ("sky.md", "Neutron stars are what is left of massive stars."),
];

/// A service with a collection `docs` of [`TEXTS`], as ingest makes them.
async fn library(replies: Vec<Reply>) -> Bench {
    let bench = bench(replies).await;
    bench.runtime.widen(4096);
    let (service, who) = (&bench.service, writer());
    let dense: VectorSchema =
        serde_json::from_value(json!({"kind": "dense", "dimensions": 2, "metric": "cosine"}))
            .expect("schema");
    let schema = CollectionSchema {
        vectors: [
            (String::new(), dense),
            ("bm25".to_owned(), VectorSchema::Sparse { idf: true }),
        ]
        .into(),
        ..CollectionSchema::default()
    };
    let made = service.collection_create(&who, "docs", schema).await;
    made.expect("made");
    let points = (1..)
        .zip(TEXTS)
        .map(|(id, (source, text))| Point {
            id: PointId::Number(id),
            vectors: [
                (String::new(), document("vectors", text)),
                ("bm25".to_owned(), document("bm25", text)),
            ]
            .into(),
            payload:
                json!({"text": text, "source": source, "file_id": format!("file-{id}"), "page": id})
                    .as_object()
                    .cloned()
                    .expect("object"),
            expires_unix_ms: None,
        })
        .collect();
    let embedded = service
        .embed_operations(&who, "docs", vec![Operation::Upsert(points)])
        .await
        .expect("embedded");
    service
        .points_batch(&who, "docs", embedded.value, WriteOptions::durable())
        .await
        .expect("stored");
    bench
}

fn retrieval() -> Retrieval {
    Retrieval {
        collections: vec!["docs".into()],
        limit: 2,
        filter: Filter::default(),
        score_min: None,
        ranker: Ranker::Configured,
    }
}

fn question(text: &str) -> AnswerRequest {
    AnswerRequest {
        question: text.into(),
        retrieval: retrieval(),
        model: Some("tiny".into()),
        instructions: None,
        options: GenerateOptions::default(),
    }
}

fn answer(words: &[&str]) -> Reply {
    let steps = words.iter().map(|word| text(0, word));
    Reply::Events(
        std::iter::once(accepted())
            .chain(steps)
            .chain([finished(0, "stop")])
            .collect(),
    )
}

#[tokio::test]
async fn passages_are_found_by_their_words() {
    // The script gives every text the same vector, so the words alone decide.
    let bench = library(Vec::new()).await;
    for (words, source) in [
        ("acknowledged writes on disk", "storage.md"),
        ("when do violins play softly", "music.md"),
        ("massive neutron stars", "sky.md"),
    ] {
        let found = bench
            .service
            .retrieve(&writer(), &retrieval(), words)
            .await
            .expect("found");
        assert_eq!(found[0].source, source, "{words}");
        assert_eq!(found.len(), 2);
        assert!(found[0].score > found[1].score);
        assert!(found[0].label().contains(", page "));
    }
}

#[tokio::test]
async fn a_ranking_model_has_the_last_word() {
    let bench = library(Vec::new()).await;
    let mut asked = retrieval();
    asked.ranker = Ranker::Model("ranker".into());
    // The script ranks by how often the question's first byte occurs: `V` is in one text only.
    let found = bench
        .service
        .retrieve(&writer(), &asked, "Vast neutron stars on disk")
        .await
        .expect("found");
    assert_eq!(found[0].source, "music.md");
    assert!(found[0].score > 0.7 && found[1].score == 0.5);
    asked.score_min = Some(0.6);
    let found = bench
        .service
        .retrieve(&writer(), &asked, "Vast neutron stars on disk")
        .await
        .expect("found");
    assert_eq!(found.len(), 1);
}

#[tokio::test]
async fn an_answer_has_the_citations_that_the_model_wrote_and_no_others() {
    let bench = library(vec![answer(&["They survive [", "1], surely [7]."])]).await;
    let asked = question("Are acknowledged writes on disk?");
    let mut answer = bench.service.answer(&writer(), asked).await.expect("begun");
    assert_eq!(answer.passages[0].source, "storage.md");
    let mut events = Vec::new();
    while let Some(event) = answer.events.next().await {
        events.push(event.expect("event"));
    }
    let cited: Vec<&Citation> = events
        .iter()
        .filter_map(|event| match event {
            AnswerEvent::Cited(citation) => Some(citation),
            _ => None,
        })
        .collect();
    assert_eq!(cited.len(), 1);
    assert_eq!(
        (cited[0].passage, cited[0].start, cited[0].end),
        (0, 13, 16)
    );
    assert_eq!(cited[0].file_id, "file-1");
    assert!(matches!(events.last(), Some(AnswerEvent::Finished { .. })));
    // The question stands last, outside of the marks.
    let prompt = format!("{:?}", bench.runtime.request(0).prompt);
    let (quoted, asked) = (
        prompt.find("[1] storage.md, page 1").expect("quoted"),
        prompt.find("Are acknowledged writes").expect("asked"),
    );
    assert!(quoted < asked, "{prompt}");
}

#[tokio::test]
async fn what_does_not_fit_is_not_shown_and_not_listed() {
    let bench = library(vec![answer(&["No."])]).await;
    // Rules, question and frames take some 410 bytes; a quarter is kept for the answer.
    bench.runtime.widen(760);
    let answer = bench
        .service
        .answer(&writer(), question("acknowledged writes on disk"))
        .await
        .expect("begun");
    assert_eq!(answer.passages.len(), 1, "{:?}", answer.passages);
    let prompt = format!("{:?}", bench.runtime.request(0).prompt);
    assert!(
        prompt.contains("[1]") && !prompt.contains("[2] "),
        "{prompt}"
    );
}

#[tokio::test]
async fn another_tenant_finds_nothing_there() {
    let bench = library(Vec::new()).await;
    let scopes: Scopes = [Scope::CollectionsManage, Scope::Inference]
        .into_iter()
        .collect();
    let other = identity("other", scopes);
    let error = bench.service.retrieve(&other, &retrieval(), "disk").await;
    assert_eq!(error.expect_err("refused").kind, ErrorKind::NotFound);
    let inference_only = identity("acme", Scope::Inference);
    let found = bench
        .service
        .retrieve(&inference_only, &retrieval(), "disk")
        .await;
    if let Err(error) = found {
        assert_eq!(error.kind, ErrorKind::Forbidden);
    }
}

#[tokio::test]
async fn bounds_of_a_search_are_checked() {
    let bench = library(Vec::new()).await;
    let refused = async |retrieval: &Retrieval, question: &str| {
        let error = bench.service.retrieve(&writer(), retrieval, question).await;
        error.expect_err("refused").field.expect("field")
    };
    assert_eq!(refused(&retrieval(), " ").await, "question");
    let mut none = retrieval();
    none.collections.clear();
    assert_eq!(refused(&none, "q").await, "collections");
    let mut many = retrieval();
    many.limit = 51;
    assert_eq!(refused(&many, "q").await, "limit");
}

#[tokio::test]
async fn a_response_searches_and_cites() {
    let bench = library(vec![answer(&["On disk [1]."])]).await;
    let service = Arc::new(bench.service);
    let request = ResponseRequest {
        model: "tiny".into(),
        input: vec![Item::said(SpeakerRole::User, "Are writes on disk?")],
        instructions: None,
        previous: None,
        tools: Vec::new(),
        search: Some(retrieval()),
        tool_choice: ToolChoice::Auto,
        parallel_tool_calls: true,
        output: OutputFormat::Text,
        template_variables: serde_json::Map::new(),
        options: GenerateOptions::default(),
        truncation: Truncation::Refuse,
        store: true,
        background: false,
        metadata: BTreeMap::new(),
        settings: json!({}),
    };
    let started = service.response_create(&writer(), request).await;
    let response = started.expect("started").whole().await.expect("whole");
    let ItemBody::Search { queries, passages } = &response.output[0].body else {
        panic!("{:?}", response.output);
    };
    assert_eq!(queries, &["Are writes on disk?"]);
    assert_eq!(passages[0].source, "storage.md");
    let ItemBody::Message { parts, .. } = &response.output[1].body else {
        panic!("{:?}", response.output);
    };
    assert_eq!(parts[0].text, "On disk [1].");
    assert_eq!(parts[0].citations.len(), 1);
    assert_eq!(parts[0].citations[0].file_id, "file-1");
    let kept = service.response(&writer(), &response.id).await;
    assert_eq!(kept.expect("kept"), response);
}
