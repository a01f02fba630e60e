//! Responses at their public boundary: items, states, continuing, the background, restarts, tenants.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;

use super::scripted::{Reply, accepted, crash, finished, text};
use super::{Bench, bench, identity, user};
use crate::{
    ErrorKind, GenerateOptions, Item, ItemBody, ItemEvent, ItemPage, ItemState, NumberedEvent,
    OutputFormat, Response, ResponseEvent, ResponseEvents, ResponseRequest, ResponseState, Scope,
    Service, SpeakerRole, Tool, ToolChoice, Truncation,
};

fn ask(text: &str) -> ResponseRequest {
    ResponseRequest {
        model: "tiny".into(),
        input: vec![Item::said(SpeakerRole::User, text)],
        instructions: None,
        previous: None,
        tools: Vec::new(),
        search: None,
        tool_choice: ToolChoice::Auto,
        parallel_tool_calls: true,
        output: OutputFormat::Text,
        template_variables: serde_json::Map::new(),
        options: GenerateOptions::default(),
        truncation: Truncation::Refuse,
        store: true,
        background: false,
        metadata: BTreeMap::new(),
        settings: serde_json::json!({"temperature": 0.5}),
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

struct Shared {
    service: Arc<Service>,
    bench: Parts,
}

/// What must live as long as the service.
struct Parts {
    runtime: Arc<super::scripted::Scripted>,
    directory: tempfile::TempDir,
}

async fn shared(replies: Vec<Reply>) -> Shared {
    let Bench {
        service,
        runtime,
        _directory: directory,
    } = bench(replies).await;
    Shared {
        service: Arc::new(service),
        bench: Parts { runtime, directory },
    }
}

impl Shared {
    async fn create(&self, request: ResponseRequest) -> crate::Result<Response> {
        let started = self.service.response_create(&user(), request).await?;
        started.whole().await
    }
}

async fn all(mut events: ResponseEvents) -> Vec<NumberedEvent> {
    let mut seen = Vec::new();
    while let Some(event) = events.next().await {
        seen.push(event.expect("event"));
    }
    seen
}

fn output_text(response: &Response) -> String {
    let parts = response.output.iter().filter_map(|item| match &item.body {
        ItemBody::Message { parts, .. } => Some(parts),
        _ => None,
    });
    parts.flatten().map(|part| part.text.as_str()).collect()
}

#[tokio::test]
async fn a_response_is_written_kept_read_and_deleted() {
    let shared = shared(vec![answer(&["Hel", "lo"])]).await;
    let mut request = ask("Hi");
    request.instructions = Some("Be brief.".into());
    request.metadata.insert("topic".into(), "greeting".into());
    let response = shared.create(request).await.expect("response");
    assert_eq!(response.state, ResponseState::Completed);
    assert_eq!(output_text(&response), "Hello");
    assert_eq!(response.model, "tiny");
    let usage = response.usage.expect("usage");
    assert_eq!((usage.input_tokens, usage.cached_tokens), (7, 3));
    assert_eq!((usage.output_tokens, usage.reasoning_tokens), (4, 0));
    let prompt = format!("{:?}", shared.bench.runtime.request(0).prompt);
    assert!(prompt.contains("system: Be brief."), "{prompt}");

    let read = shared.service.response(&user(), &response.id).await;
    assert_eq!(read.expect("kept"), response);
    shared
        .service
        .response_delete(&user(), &response.id)
        .await
        .expect("deleted");
    let gone = shared.service.response(&user(), &response.id).await;
    assert_eq!(gone.expect_err("gone").kind, ErrorKind::NotFound);
    let again = shared.service.response_delete(&user(), &response.id).await;
    assert_eq!(again.expect_err("gone").kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn events_are_numbered_and_tell_the_whole_answer() {
    let shared = shared(vec![answer(&["Hel", "lo"])]).await;
    let started = shared.service.response_create(&user(), ask("Hi")).await;
    let events = all(started.expect("started").events).await;
    let numbers: Vec<u64> = events.iter().map(|event| event.sequence).collect();
    assert_eq!(numbers, (0..events.len() as u64).collect::<Vec<_>>());
    assert!(matches!(events[0].event, ResponseEvent::Created(_)));
    assert!(matches!(events[1].event, ResponseEvent::InProgress(_)));
    let added: String = events
        .iter()
        .filter_map(|event| match &event.event {
            ResponseEvent::Within {
                event: ItemEvent::TextAdded { text, .. },
                ..
            } => Some(text.as_str()),
            _ => None,
        })
        .collect();
    let Some(ResponseEvent::Ended(whole)) = events.last().map(|event| &event.event) else {
        panic!("no end");
    };
    assert_eq!(added, output_text(whole));
    let ended = events.iter().find_map(|event| match &event.event {
        ResponseEvent::ItemEnded { item, .. } => Some(item.clone()),
        _ => None,
    });
    assert_eq!(ended.as_ref(), whole.output.first());
}

#[tokio::test]
async fn a_conversation_goes_on_where_it_stopped_but_without_its_instructions() {
    let shared = shared(vec![answer(&["Ann"]), answer(&["You are Ann."])]).await;
    let mut first = ask("I am Ann.");
    first.instructions = Some("Listen.".into());
    let first = shared.create(first).await.expect("first");
    let mut second = ask("Who am I?");
    second.previous = Some(first.id.clone());
    let second = shared.create(second).await.expect("second");
    assert_eq!(second.previous.as_deref(), Some(first.id.as_str()));
    let prompt = format!("{:?}", shared.bench.runtime.request(1).prompt);
    assert!(
        prompt.contains("user: I am Ann.\\nassistant: Ann\\nuser: Who am I?"),
        "{prompt}"
    );
    assert!(!prompt.contains("Listen."), "{prompt}");

    // Only what was new in the turn is its input.
    let page = ItemPage {
        after: None,
        limit: 10,
        ascending: true,
    };
    let items = shared
        .service
        .response_input(&user(), &second.id, &page)
        .await
        .expect("items");
    assert_eq!(items.items.len(), 1);
    assert!(!items.has_more);
}

#[tokio::test]
async fn what_is_not_stored_cannot_be_read_or_continued() {
    let shared = shared(vec![answer(&["Hi"])]).await;
    let mut request = ask("Hi");
    request.store = false;
    let response = shared.create(request).await.expect("response");
    let read = shared.service.response(&user(), &response.id).await;
    assert_eq!(read.expect_err("not kept").kind, ErrorKind::NotFound);
    let mut next = ask("And?");
    next.previous = Some(response.id);
    let error = shared.create(next).await.expect_err("refused");
    assert_eq!(error.field.as_deref(), Some("previous_response_id"));
    assert_eq!(error.code, Some("previous_response_not_found"));
}

#[tokio::test]
async fn another_tenant_sees_no_response() {
    let shared = shared(vec![answer(&["Hi"])]).await;
    let response = shared.create(ask("Hi")).await.expect("response");
    let other = identity("other", Scope::Inference);
    let service = &shared.service;
    let page = ItemPage {
        after: None,
        limit: 10,
        ascending: true,
    };
    let id = &response.id;
    let errors = [
        service.response(&other, id).await.err(),
        service.response_delete(&other, id).await.err(),
        service.response_cancel(&other, id).await.err(),
        service.response_input(&other, id, &page).await.err(),
        service.response_events(&other, id, None).await.err(),
    ];
    for error in errors {
        assert_eq!(error.expect("refused").kind, ErrorKind::NotFound);
    }
    let mut next = ask("And?");
    next.previous = Some(response.id.clone());
    let started = service.response_create(&other, next).await;
    assert_eq!(
        started.err().expect("refused").code,
        Some("previous_response_not_found")
    );
    assert!(service.response(&user(), id).await.is_ok());
    let metrics = identity("acme", Scope::Metrics);
    let error = service.response(&metrics, id).await.expect_err("refused");
    assert_eq!(error.kind, ErrorKind::Forbidden);
}

#[tokio::test]
async fn an_answer_that_is_cut_off_is_incomplete() {
    let steps = vec![accepted(), text(0, "Once"), finished(0, "length")];
    let shared = shared(vec![Reply::Events(steps)]).await;
    let response = shared.create(ask("Tell")).await.expect("response");
    assert_eq!(response.state, ResponseState::Incomplete);
    assert_eq!(response.output[0].state, ItemState::Incomplete);
    assert_eq!(output_text(&response), "Once");
}

#[tokio::test]
async fn a_runner_that_dies_after_it_has_spoken_fails_the_response() {
    let steps = vec![accepted(), text(0, "Once"), Err(crash())];
    let shared = shared(vec![Reply::Events(steps)]).await;
    let started = shared.service.response_create(&user(), ask("Tell")).await;
    let events = all(started.expect("started").events).await;
    let Some(ResponseEvent::Ended(end)) = events.last().map(|event| &event.event) else {
        panic!("no end");
    };
    assert_eq!(end.state, ResponseState::Failed);
    assert_eq!(end.failure.as_ref().expect("why").code, "model_failed");
    assert_eq!(output_text(end), "Once");
    let kept = shared.service.response(&user(), &end.id).await;
    assert_eq!(kept.expect("kept"), **end);
}

#[tokio::test]
async fn a_function_is_called_and_its_output_answered() {
    let call = "<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 1}}\n</tool_call>";
    let shared = shared(vec![answer(&[call]), answer(&["It is 2."])]).await;
    let tools = vec![Tool {
        name: "add".into(),
        description: None,
        parameters: serde_json::json!({"type": "object", "properties": {"a": {"type": "integer"}}}),
        strict: true,
    }];
    let mut request = ask("1+1?");
    request.tools = tools.clone();
    let first = shared.create(request).await.expect("first");
    let Some(ItemBody::FunctionCall {
        call_id,
        name,
        arguments,
    }) = first.output.first().map(|item| item.body.clone())
    else {
        panic!("{:?}", first.output);
    };
    assert_eq!(name, "add");
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&arguments).expect("JSON"),
        serde_json::json!({"a": 1})
    );
    let mut second = ask("");
    second.input = vec![Item {
        id: String::new(),
        state: ItemState::Completed,
        body: ItemBody::FunctionCallOutput {
            call_id: call_id.clone(),
            output: "2".into(),
        },
    }];
    second.previous = Some(first.id.clone());
    second.tools = tools;
    let second = shared.create(second).await.expect("second");
    assert_eq!(output_text(&second), "It is 2.");

    // A call without its output cannot be continued.
    let mut third = ask("And?");
    third.previous = Some(first.id);
    let error = shared.create(third).await.expect_err("refused");
    assert_eq!(error.field.as_deref(), Some("input"));
    assert!(error.message.contains(&call_id), "{}", error.message);
}

#[tokio::test]
async fn a_background_response_is_written_without_a_reader_and_can_be_followed() {
    let shared = shared(vec![answer(&["Hel", "lo"])]).await;
    let mut request = ask("Hi");
    request.background = true;
    let started = shared
        .service
        .response_create(&user(), request)
        .await
        .expect("started");
    let id = started.response.id.clone();
    assert_eq!(started.response.state, ResponseState::Queued);
    let seen = all(started.events).await;
    assert!(matches!(seen[1].event, ResponseEvent::Queued(_)));
    let response = shared.service.response(&user(), &id).await.expect("kept");
    assert_eq!(response.state, ResponseState::Completed);
    assert_eq!(output_text(&response), "Hello");
    // Everybody who follows sees the same, from wherever they begin.
    let again = shared.service.response_events(&user(), &id, None).await;
    assert_eq!(all(again.expect("followed")).await, seen);
    let later = shared.service.response_events(&user(), &id, Some(4)).await;
    assert_eq!(all(later.expect("followed")).await, seen[5..]);
    let after = shared
        .service
        .response_events(&user(), &id, Some(u64::MAX))
        .await;
    assert!(all(after.expect("followed")).await.is_empty());
}

#[tokio::test]
async fn a_background_response_is_cancelled_and_its_generation_ends() {
    let shared = shared(vec![Reply::Hang(vec![accepted(), text(0, "Once")])]).await;
    let mut request = ask("Tell");
    request.background = true;
    let started = shared
        .service
        .response_create(&user(), request)
        .await
        .expect("started");
    let id = started.response.id.clone();
    let mut events = started.events;
    // Until the model has spoken.
    while let Some(event) = events.next().await {
        let event = event.expect("event").event;
        if matches!(
            event,
            ResponseEvent::Within {
                event: ItemEvent::TextAdded { .. },
                ..
            }
        ) {
            break;
        }
    }
    let running = shared
        .service
        .response(&user(), &id)
        .await
        .expect("running");
    assert_eq!(running.state, ResponseState::InProgress);
    let cancelled = shared
        .service
        .response_cancel(&user(), &id)
        .await
        .expect("cancelled");
    assert_eq!(cancelled.state, ResponseState::Cancelled);
    assert_eq!(output_text(&cancelled), "Once");
    let dropped = &shared.bench.runtime.shared.streams_dropped;
    assert_eq!(dropped.load(std::sync::atomic::Ordering::SeqCst), 1);
    let kept = shared.service.response(&user(), &id).await.expect("kept");
    assert_eq!(kept.state, ResponseState::Cancelled);
    // Twice is once.
    let again = shared.service.response_cancel(&user(), &id).await;
    assert_eq!(again.expect("same").state, ResponseState::Cancelled);
}

#[tokio::test]
async fn only_background_responses_are_cancelled_or_followed() {
    let shared = shared(vec![answer(&["Hi"])]).await;
    let response = shared.create(ask("Hi")).await.expect("response");
    let error = shared.service.response_cancel(&user(), &response.id).await;
    assert_eq!(error.expect_err("refused").kind, ErrorKind::InvalidRequest);
    let error = shared
        .service
        .response_events(&user(), &response.id, None)
        .await;
    assert_eq!(
        error.err().expect("refused").field.as_deref(),
        Some("stream")
    );
}

#[tokio::test]
async fn a_background_response_must_be_stored_and_its_model_must_exist() {
    let shared = shared(Vec::new()).await;
    let mut request = ask("Hi");
    request.background = true;
    request.store = false;
    let error = shared.create(request).await.expect_err("refused");
    assert_eq!(error.field.as_deref(), Some("background"));
    let mut request = ask("Hi");
    request.background = true;
    request.model = "absent".into();
    let error = shared.create(request).await.expect_err("refused");
    assert_eq!(error.kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn a_response_whose_server_was_killed_is_failed_truthfully() {
    let shared = shared(vec![Reply::Hang(vec![accepted(), text(0, "Once")])]).await;
    let mut request = ask("Tell");
    request.background = true;
    let started = shared
        .service
        .response_create(&user(), request)
        .await
        .expect("started");
    let id = started.response.id.clone();
    // Another server on the same directory, as after `kill -9`: it shares nothing but the database.
    let location = crate::RecordsLocation::Sqlite(shared.bench.directory.path().join("fornax.db"));
    let records = crate::Records::open(&location).await.expect("records");
    let after = bench(Vec::new()).await;
    let mut service = after.service;
    service.records = records;
    let response = service.response(&user(), &id).await.expect("kept");
    assert_eq!(response.state, ResponseState::Failed);
    assert_eq!(response.failure.expect("why").code, "server_ended");
    // A final state never changes, whoever still writes.
    let cancelled = shared.service.response_cancel(&user(), &id).await;
    assert!(cancelled.is_ok());
    let kept = service.response(&user(), &id).await.expect("kept");
    assert_eq!(kept.state, ResponseState::Failed);
}

#[tokio::test]
async fn dropping_a_foreground_response_ends_its_generation() {
    let shared = shared(vec![Reply::Hang(vec![accepted(), text(0, "Once")])]).await;
    let started = shared.service.response_create(&user(), ask("Tell")).await;
    let mut started = started.expect("started");
    assert!(started.events.next().await.is_some());
    drop(started);
    tokio::time::sleep(Duration::from_millis(1)).await;
    let dropped = &shared.bench.runtime.shared.streams_dropped;
    assert_eq!(dropped.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[tokio::test]
async fn old_responses_and_those_beyond_the_bound_are_pruned() {
    let shared = shared((0..4).map(|_| answer(&["Hi"])).collect()).await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(shared.create(ask("Hi")).await.expect("response").id);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let tenant = user().tenant;
    let records = &shared.service.records;
    records
        .responses_prune(&tenant, 0, 2)
        .await
        .expect("pruned");
    let mut left = Vec::new();
    for id in &ids {
        left.push(shared.service.response(&user(), id).await.is_ok());
    }
    assert_eq!(left, [false, false, true, true]);
    records
        .responses_prune(&tenant, i64::MAX, 100)
        .await
        .expect("pruned");
    assert!(shared.service.response(&user(), &ids[3]).await.is_err());
}

#[tokio::test]
async fn bad_requests_are_refused_before_a_model_is_asked() {
    let shared = shared(Vec::new()).await;
    let mut nothing = ask("Hi");
    nothing.input = Vec::new();
    let error = shared.create(nothing).await.expect_err("refused");
    assert_eq!(error.field.as_deref(), Some("input"));
    let mut notes = ask("Hi");
    notes.metadata = (0..17).map(|n| (n.to_string(), String::new())).collect();
    let error = shared.create(notes).await.expect_err("refused");
    assert_eq!(error.field.as_deref(), Some("metadata"));
    let mut unknown = ask("Hi");
    unknown.previous = Some("resp_absent".into());
    let error = shared.create(unknown).await.expect_err("refused");
    assert_eq!(error.code, Some("previous_response_not_found"));
    assert_eq!(shared.bench.runtime.requests(), 0);
}
