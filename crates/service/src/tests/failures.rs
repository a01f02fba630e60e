//! Errors: their kinds, fields and words; the one retry; what dropping does.

#![expect(clippy::disallowed_methods, reason = "a test writes throw-away files")]

use std::sync::atomic::Ordering;
use std::time::Duration;

use inference::runner::{RunnerError, RunnerErrorKind};
use serde_json::json;

use super::scripted::{accepted, crash, finished, text};
use super::*;
use crate::{EmbedRequest, ErrorKind, Prompt, Tool};

async fn refusal(replies: Vec<Reply>, change: impl FnOnce(&mut ChatRequest)) -> Error {
    let bench = bench(replies).await;
    let mut request = chat("tiny");
    change(&mut request);
    match bench.service.chat(&user(), request).await {
        Ok(_) => panic!("the request was accepted"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_prompt_that_does_not_fit_is_told_in_openais_words() {
    let kind = RunnerErrorKind::ContextExceeded {
        prompt: 9000,
        limit: 8192,
    };
    let error = refusal(
        vec![Reply::Refuse(RunnerError::new(kind, "too long"))],
        |_| {},
    )
    .await;
    assert_eq!(error.kind, ErrorKind::ContextExceeded);
    assert_eq!(
        (error.field.as_deref(), error.code),
        (Some("messages"), Some("context_length_exceeded"))
    );
    assert_eq!(
        error.message,
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens. \
         Please reduce the length of the messages."
    );
}

#[tokio::test]
async fn a_completions_error_is_at_its_prompt() {
    let kind = RunnerErrorKind::ContextExceeded {
        prompt: 9000,
        limit: 8192,
    };
    let bench = bench(vec![Reply::Refuse(RunnerError::new(kind, "too long"))]).await;
    let request = crate::CompletionRequest {
        model: "tiny".into(),
        prompt: Prompt::Text("a".into()),
        echo: false,
        output: OutputFormat::Text,
        options: GenerateOptions::default(),
    };
    let error = bench.service.complete(&user(), request).await.err();
    assert_eq!(
        error.and_then(|error| error.field).as_deref(),
        Some("prompt")
    );
}

#[tokio::test]
async fn a_full_queue_says_when_to_come_back() {
    let kind = RunnerErrorKind::Overloaded {
        retry_after: Some(Duration::from_secs(3)),
    };
    let error = refusal(
        vec![Reply::Refuse(RunnerError::new(kind, "the queue is full"))],
        |_| {},
    )
    .await;
    assert_eq!(
        (error.kind, error.retry_after, error.message.as_str()),
        (
            ErrorKind::Overloaded,
            Some(Duration::from_secs(3)),
            "The queue is full."
        )
    );
}

#[tokio::test]
async fn bad_requests_name_their_field() {
    type Change = fn(&mut ChatRequest);
    let cases: Vec<(&str, Change)> = vec![
        ("messages", |r| r.messages.clear()),
        ("messages[0].tool_call_id", |r| {
            r.messages[0].role = Role::Tool
        }),
        ("temperature", |r| {
            r.options.sampling.temperature = Some(2.5)
        }),
        ("temperature", |r| {
            r.options.sampling.temperature = Some(f32::NAN)
        }),
        ("top_p", |r| r.options.sampling.top_p = Some(-0.1)),
        ("stop_token_ids", |r| r.options.stop_tokens = vec![1; 129]),
        ("presence_penalty", |r| {
            r.options.sampling.presence_penalty = Some(-3.0)
        }),
        ("logit_bias", |r| {
            r.options.sampling.logit_bias.insert(300, 1.0);
        }),
        ("logit_bias", |r| {
            r.options.sampling.logit_bias.insert(1, 101.0);
        }),
        ("n", |r| r.options.choices = 129),
        ("stop", |r| r.options.stop = vec![String::new()]),
        ("stop", |r| r.options.stop = vec!["x".into(); 17]),
        ("top_logprobs", |r| r.options.logprobs = Some(21)),
        ("max_completion_tokens", |r| r.options.tokens_max = Some(0)),
        ("tool_choice", |r| r.tool_choice = ToolChoice::Required),
        ("tool_choice", |r| {
            r.tool_choice = ToolChoice::Named("f".into())
        }),
        ("tools[0].function.name", |r| {
            r.tools = vec![tool("bad name")]
        }),
        ("tools[1].function.name", |r| {
            r.tools = vec![tool("f"), tool("f")]
        }),
        ("response_format.json_schema.schema", |r| {
            r.output = OutputFormat::JsonSchema(json!([]))
        }),
        ("response_format.json_schema.schema", |r| {
            let deep = (0..60).fold(json!({}), |inner, _| json!({"not": inner}));
            r.output = OutputFormat::JsonSchema(deep);
        }),
        ("response_format", |r| {
            r.tools = vec![tool("f")];
            r.output = OutputFormat::Regex("a".into());
        }),
        ("model", |r| r.model = "tinny".into()),
        ("model", |r| r.model = "vectors".into()),
    ];
    for (field, change) in cases {
        let error = refusal(Vec::new(), change).await;
        assert_eq!(error.field.as_deref(), Some(field), "{error:?}");
    }
}

fn tool(name: &str) -> Tool {
    Tool {
        name: name.into(),
        description: None,
        parameters: json!({}),
        strict: false,
    }
}

#[tokio::test]
async fn an_unknown_model_gets_the_nearest_name() {
    let error = refusal(Vec::new(), |request| request.model = "tinyy".into()).await;
    assert_eq!(
        (error.kind, error.code),
        (ErrorKind::NotFound, Some("model_not_found"))
    );
    assert_eq!(
        error.message,
        "The model 'tinyy' does not exist. Did you mean 'tiny'?"
    );
}

#[tokio::test]
async fn a_crash_before_any_output_is_tried_once_more() {
    let answer = || vec![accepted(), text(0, "ok"), finished(0, "stop")];
    for first in [
        Reply::Refuse(crash()),
        Reply::Events(vec![Err(crash())]),
        Reply::Events(vec![accepted(), Err(crash())]),
        Reply::Events(vec![accepted()]),
    ] {
        let bench = bench(vec![first, Reply::Events(answer())]).await;
        let generation = bench
            .service
            .chat(&user(), chat("tiny"))
            .await
            .expect("accepted");
        let events = collect(generation).await.expect("events");
        assert_eq!(text_of(&events), "ok");
        let starts = events
            .iter()
            .filter(|event| matches!(event, GenerationEvent::Started { .. }));
        assert_eq!(starts.count(), 1, "{events:?}");
        assert_eq!(bench.runtime.requests(), 2);
        assert_eq!(
            bench.runtime.request(0),
            bench.runtime.request(1),
            "the same seed too"
        );
        assert_eq!(bench.runtime.shared.acquired.load(Ordering::SeqCst), 2);
    }
}

#[tokio::test]
async fn a_crash_after_output_or_a_second_one_is_the_callers_to_hear() {
    let bench_after = bench(vec![Reply::Events(vec![
        accepted(),
        text(0, "half"),
        Err(crash()),
    ])])
    .await;
    let generation = bench_after
        .service
        .chat(&user(), chat("tiny"))
        .await
        .expect("accepted");
    let (events, error) = collect(generation).await.expect_err("crash");
    assert_eq!(
        (text_of(&events).as_str(), error.kind),
        ("half", ErrorKind::ModelFailed)
    );
    assert_eq!(bench_after.runtime.requests(), 1);

    let error = refusal(vec![Reply::Refuse(crash()), Reply::Refuse(crash())], |_| {}).await;
    assert_eq!(error.kind, ErrorKind::ModelFailed);
}

#[tokio::test]
async fn dropping_a_generation_drops_the_runners_stream_and_frees_its_place() {
    let bench = bench(vec![Reply::Hang(vec![accepted(), text(0, "a")])]).await;
    let mut generation = bench
        .service
        .chat(&user(), chat("tiny"))
        .await
        .expect("accepted");
    for _ in 0..2 {
        generation.events.next().await.expect("event").expect("ok");
    }
    assert_eq!(
        bench.service.drain(Duration::from_millis(20)).await,
        1,
        "it still runs"
    );
    drop(generation);
    assert_eq!(
        bench.runtime.shared.streams_dropped.load(Ordering::SeqCst),
        1
    );
    assert_eq!(bench.service.drain(Duration::from_secs(5)).await, 0);
}

#[tokio::test]
async fn a_store_that_fails_tells_no_path_and_readiness_asks_it_once_a_second() {
    let bench = bench(Vec::new()).await;
    assert!(bench.service.readiness().await.ready);
    let manifests = bench._directory.path().join("models/manifests");
    std::fs::remove_dir_all(&manifests).expect("remove");
    std::fs::write(&manifests, b"not a directory").expect("write");
    let error = bench
        .service
        .chat(&user(), chat("tiny"))
        .await
        .err()
        .expect("refused");
    assert!(!error.message.contains("manifests"), "{error}");
    assert!(bench.service.readiness().await.ready, "within the second");
}

#[tokio::test]
async fn an_unreadable_key_database_is_no_strangers_business() {
    let bench = bench(Vec::new()).await;
    bench.service.close_keys().await;
    let key = format!("fx-{}-{}", "a".repeat(12), "b".repeat(52));
    let error = bench.service.authenticate(&key).await.expect_err("closed");
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.message.contains("server's log"), "{error}");
}

#[tokio::test]
async fn a_draining_service_takes_nothing_new() {
    let bench = bench(Vec::new()).await;
    assert!(bench.service.readiness().await.ready);
    bench.service.begin_drain();
    let readiness = bench.service.readiness().await;
    assert!(!readiness.ready && readiness.draining);
    let error = bench
        .service
        .chat(&user(), chat("tiny"))
        .await
        .err()
        .expect("refused");
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.retry_after.is_some());
}

fn embed(model: &str) -> EmbedRequest {
    EmbedRequest {
        model: model.into(),
        inputs: vec![Prompt::Text("a".into()), Prompt::Tokens(vec![1, 2])],
        dimensions: None,
        truncate: false,
        keep_alive: None,
        fresh: false,
    }
}

#[tokio::test]
async fn embeddings_come_in_order_and_scaled() {
    let bench = bench(Vec::new()).await;
    let embeddings = bench
        .service
        .embed(&user(), embed("vectors"))
        .await
        .expect("embed");
    assert_eq!(embeddings.dimensions, 2);
    assert_eq!(embeddings.vectors, [0.6, 0.8, 0.6, 0.8]);
    assert_eq!(embeddings.prompt_tokens, 10);

    let mut many = embed("vectors");
    many.inputs = vec![Prompt::Text("x".into()); 300];
    let embeddings = bench.service.embed(&user(), many).await.expect("embed");
    assert_eq!(embeddings.vectors.len(), 600);
    let calls: Vec<usize> = bench
        .runtime
        .shared
        .embeds
        .lock()
        .expect("embeds")
        .iter()
        .map(|call| call.inputs.len())
        .collect();
    assert_eq!(calls, [2, 128, 128, 44]);
}

#[tokio::test]
async fn embedding_refusals_name_their_field() {
    let bench = bench(Vec::new()).await;
    type Change = fn(&mut EmbedRequest);
    let cases: Vec<(&str, ErrorKind, Change)> = vec![
        ("model", ErrorKind::InvalidRequest, |r| {
            r.model = "tiny".into()
        }),
        ("input", ErrorKind::InvalidRequest, |r| r.inputs.clear()),
        ("input[1]", ErrorKind::InvalidRequest, |r| {
            r.inputs[1] = Prompt::Text(String::new())
        }),
        ("input", ErrorKind::TooLarge, |r| {
            r.inputs = vec![Prompt::Text("x".into()); 2049]
        }),
        ("input", ErrorKind::TooLarge, |r| {
            r.inputs = vec![Prompt::Tokens(vec![1; 300_001])]
        }),
        ("dimensions", ErrorKind::InvalidRequest, |r| {
            r.dimensions = Some(0)
        }),
        ("dimensions", ErrorKind::InvalidRequest, |r| {
            r.dimensions = Some(3)
        }),
    ];
    for (field, kind, change) in cases {
        let mut request = embed("vectors");
        change(&mut request);
        let error = bench
            .service
            .embed(&user(), request)
            .await
            .expect_err("refused");
        assert_eq!(
            (error.field.as_deref(), error.kind),
            (Some(field), kind),
            "{error:?}"
        );
    }
}
