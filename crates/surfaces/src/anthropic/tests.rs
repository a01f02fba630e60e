//! What one request body means, and what one list of events looks like on the wire.

use std::time::Duration;

use futures::stream;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use service::{
    ChatRequest, Error, ErrorKind, FinishReason, Generation, GenerationEvent, OutputFormat, Role,
    Timing, ToolChoice,
};

use super::convert::{self, Thinking};
use super::reply::{Head, MessageAnswer, MessageFrames};
use super::{failure_body, models};
use crate::body::read;
use crate::streaming;

/// A minimal request with `extra` fields.
fn request(extra: Value) -> Result<(ChatRequest, Thinking), Error> {
    let mut body = json!({
        "model": "m", "max_tokens": 2000, "messages": [{"role": "user", "content": "hi"}]
    });
    for (name, value) in extra.as_object().expect("object") {
        body[name] = value.clone();
    }
    convert::refuse_unsupported(&body)?;
    convert::chat_request(read(&body)?, false)
}

/// A request with `extra` is refused at `field`.
#[track_caller]
fn refused(extra: Value, field: &str) {
    let error = request(extra.clone()).expect_err(&extra.to_string());
    assert_eq!(error.kind, ErrorKind::InvalidRequest, "{extra}");
    assert_eq!(
        error.field.as_deref(),
        Some(field),
        "{extra}: {}",
        error.message
    );
}

/// A request with these messages is refused at `field`.
#[track_caller]
fn turns_refused(messages: Value, field: &str) {
    refused(json!({"messages": messages}), field);
}

#[test]
fn every_bad_field_is_named() {
    refused(json!({"model": ""}), "model");
    refused(json!({"model": null}), "model");
    refused(json!({"max_tokens": null}), "max_tokens");
    refused(json!({"max_tokens": 0}), "max_tokens");
    refused(json!({"max_tokens": -1}), "max_tokens");
    refused(json!({"temperature": 1.5}), "temperature");
    refused(json!({"top_p": -0.1}), "top_p");
    refused(json!({"top_k": -1}), "top_k");
    refused(json!({"stop_sequences": "x"}), "stop_sequences");
    refused(json!({"stop_sequences": ["a", " "]}), "stop_sequences[1]");
    refused(json!({"stop_sequences": vec!["a"; 17]}), "stop_sequences");
    refused(json!({"service_tier": "fast"}), "service_tier");
    refused(
        json!({"metadata": {"user_id": "x".repeat(257)}}),
        "metadata.user_id",
    );
    refused(json!({"thinking": {"type": "maybe"}}), "thinking.type");
    for budget in [json!(null), json!(1023), json!(2000)] {
        refused(
            json!({"thinking": {"type": "enabled", "budget_tokens": budget}}),
            "thinking.budget_tokens",
        );
    }
    refused(json!({"container": "c"}), "container");
    refused(json!({"mcp_servers": [{"url": "u"}]}), "mcp_servers");
    refused(
        json!({"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}}),
        "context_management",
    );
    refused(
        json!({"output_config": {"format": {"type": "xml"}}}),
        "output_config.format.type",
    );
    refused(
        json!({"output_config": {"effort": "huge"}}),
        "output_config.effort",
    );
}

#[test]
fn every_bad_tool_is_named() {
    let schema = json!({"type": "object"});
    refused(json!({"tools": [{"name": "f"}]}), "tools[0].input_schema");
    refused(
        json!({"tools": [{"name": "f", "input_schema": {"type": "array"}}]}),
        "tools[0].input_schema.type",
    );
    refused(
        json!({"tools": [{"name": "a b", "input_schema": schema}]}),
        "tools[0].name",
    );
    refused(
        json!({"tools": [
            {"name": "f", "input_schema": schema}, {"name": "f", "input_schema": schema}
        ]}),
        "tools[1].name",
    );
    refused(
        json!({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
        "tools[0].type",
    );
    refused(json!({"tool_choice": {"type": "any"}}), "tool_choice");
    refused(json!({"tool_choice": {"type": "some"}}), "tool_choice.type");
    refused(json!({"tool_choice": {"type": "tool"}}), "tool_choice.name");
    refused(
        json!({"tool_choice": {"type": "tool", "name": "g"}}),
        "tool_choice.name",
    );
}

#[test]
fn every_bad_turn_is_named() {
    let call = json!({"type": "tool_use", "id": "t1", "name": "f", "input": {}});
    let result = json!({"type": "tool_result", "tool_use_id": "t1", "content": "3"});
    turns_refused(json!([]), "messages");
    turns_refused(json!("hi"), "messages");
    turns_refused(
        json!([{"role": "robot", "content": "x"}]),
        "messages[0].role",
    );
    turns_refused(json!([{"role": "user"}]), "messages[0].content");
    turns_refused(
        json!([{"role": "user", "content": ""}]),
        "messages[0].content",
    );
    turns_refused(
        json!([{"role": "user", "content": 3}]),
        "messages[0].content",
    );
    turns_refused(
        json!([{"role": "user", "content": []}]),
        "messages[0].content",
    );
    turns_refused(
        json!([{"role": "user", "content": ["hi"]}]),
        "messages[0].content[0]",
    );
    turns_refused(
        json!([{"role": "user", "content": [{"text": "hi"}]}]),
        "messages[0].content[0].type",
    );
    turns_refused(
        json!([{"role": "user", "content": [{"type": "text", "text": ""}]}]),
        "messages[0].content[0].text",
    );
    for kind in ["image", "document", "server_tool_use", "nonsense"] {
        turns_refused(
            json!([{"role": "user", "content": [{"type": kind}]}]),
            "messages[0].content[0].type",
        );
    }
    let user = json!({"role": "user", "content": "hi"});
    turns_refused(
        json!([user, {"role": "assistant", "content": "I"}]),
        "messages[1]",
    );
    turns_refused(
        json!([user, {"role": "assistant", "content": [call]}, user]),
        "messages[2].content",
    );
    turns_refused(
        json!([{"role": "user", "content": [result]}]),
        "messages[0].content[0].tool_use_id",
    );
    turns_refused(
        json!([user, {"role": "assistant", "content": [call, call]}, user]),
        "messages[1].content[1].id",
    );
    turns_refused(
        json!([user, {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": "{}"}]}, user]),
        "messages[1].content[0].input",
    );
    turns_refused(
        json!([user, {"role": "assistant", "content": [{"type": "redacted_thinking", "data": "x"}]}, user]),
        "messages[1].content[0].type",
    );
    refused(json!({"system": 3}), "system");
    refused(json!({"system": [{"type": "image"}]}), "system[0].type");
}

#[test]
fn a_conversation_with_tools_and_reasoning_is_read_whole() {
    let (chat, thinking) = request(json!({
        "system": [
            {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}},
            {"type": "text", "text": "Be kind."}
        ],
        "messages": [
            {"role": "user", "content": "one"},
            {"role": "user", "content": [{"type": "text", "text": "two"}]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "t1", "name": "f", "input": {"x": 1}}
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "t1", "is_error": true,
                 "content": [{"type": "text", "text": "no"}]},
                {"type": "text", "text": "and now?"}
            ]}
        ],
        "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": true},
        "stop_sequences": ["END"], "temperature": 0.5, "top_p": 0.9, "top_k": 7,
        "metadata": {"user_id": "u"}, "service_tier": "auto",
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}, "effort": "low"}
    }))
    .expect("read");
    assert_eq!(thinking, Thinking::On);
    let turns: Vec<(Role, &str)> = chat
        .messages
        .iter()
        .map(|message| (message.role, message.content.as_str()))
        .collect();
    assert_eq!(
        turns,
        [
            (Role::System, "Be brief.\nBe kind."),
            (Role::User, "one\ntwo"),
            (Role::Assistant, "I look."),
            (Role::Tool, "Error: no"),
            (Role::User, "and now?"),
        ]
    );
    assert_eq!(chat.messages[2].reasoning.as_deref(), Some("hm"));
    assert_eq!(chat.messages[2].tool_calls[0].arguments, r#"{"x":1}"#);
    assert_eq!(chat.messages[3].tool_call_id.as_deref(), Some("t1"));
    assert_eq!(chat.tool_choice, ToolChoice::Named("f".into()));
    assert!(!chat.parallel_tool_calls);
    assert_eq!(
        chat.output,
        OutputFormat::JsonSchema(json!({"type": "object"}))
    );
    assert_eq!(chat.options.stop, ["END"]);
    assert_eq!(chat.options.tokens_max, Some(2000));
    assert_eq!(chat.options.sampling.top_k, Some(7));
    assert_eq!(chat.template_variables["enable_thinking"], true);
    assert_eq!(chat.template_variables["reasoning_effort"], "low");
}

#[test]
fn counting_needs_no_bound_of_the_answer() {
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    assert!(convert::chat_request(read(&body).expect("read"), true).is_ok());
    assert!(convert::chat_request(read(&body).expect("read"), false).is_err());
}

fn head() -> Head {
    let generation = Generation {
        id: "1".into(),
        model: "m".into(),
        fingerprint: "f".into(),
        load: Duration::ZERO,
        events: Box::pin(stream::empty()),
    };
    Head::of(&generation, vec!["END".into()], 50)
}

fn started() -> GenerationEvent {
    GenerationEvent::Started {
        prompt_tokens: 10,
        cached_tokens: 4,
        prompt_logprobs: Vec::new(),
        prompt_text: None,
    }
}

fn text(text: &str) -> GenerationEvent {
    GenerationEvent::Text {
        choice: 0,
        text: text.into(),
        logprobs: Vec::new(),
    }
}

fn finished(reason: FinishReason, output_tokens: u32) -> GenerationEvent {
    GenerationEvent::Finished {
        choice: 0,
        reason,
        output_tokens,
        timing: Timing::default(),
    }
}

fn full_answer() -> Vec<GenerationEvent> {
    let call = |index: u32, fragments: &[&str]| {
        let begun = GenerationEvent::ToolCallStarted {
            choice: 0,
            index,
            id: format!("t{index}"),
            name: "f".into(),
        };
        let fragments = fragments
            .iter()
            .map(|fragment| GenerationEvent::ToolCallArguments {
                choice: 0,
                index,
                fragment: (*fragment).to_owned(),
            });
        std::iter::once(begun).chain(fragments).collect::<Vec<_>>()
    };
    let reasoning = GenerationEvent::Reasoning {
        choice: 0,
        text: "hm".into(),
    };
    let mut events = vec![started(), reasoning, text("I "), text(""), text("look.")];
    events.extend(call(0, &["{\"x\"", ": 1}"]));
    events.extend(call(1, &["{}"]));
    events.push(finished(FinishReason::ToolCalls, 9));
    events
}

fn whole(events: Vec<GenerationEvent>) -> Value {
    let mut answer = MessageAnswer::new(head());
    for event in events {
        answer.event(event);
    }
    serde_json::from_slice(&answer.finish().expect("whole")).expect("JSON")
}

/// Names and data of the server-sent events.
async fn streamed(events: Vec<Result<GenerationEvent, Error>>) -> Vec<(String, Value)> {
    let events = Box::pin(stream::iter(events));
    let response = streaming::respond(events, MessageFrames::new(head()), Duration::from_secs(5))
        .await
        .expect("response");
    assert_eq!(
        response.headers()["content-type"],
        "text/event-stream; charset=utf-8"
    );
    let body = response.into_body().collect().await.expect("body");
    let text = String::from_utf8(body.to_bytes().to_vec()).expect("UTF-8");
    text.split("\n\n")
        .filter(|frame| !frame.is_empty())
        .map(|frame| {
            let (name, data) = frame.split_once('\n').expect("two lines");
            let name = name.strip_prefix("event: ").expect("a name").to_owned();
            let data = data.strip_prefix("data: ").expect("data");
            let data: Value = serde_json::from_str(data).expect("JSON");
            assert_eq!(data["type"], name, "{data}");
            (name, data)
        })
        .collect()
}

#[test]
fn a_whole_answer_has_its_blocks_in_order_and_true_counts() {
    let reply = whole(full_answer());
    assert_eq!(
        reply["content"],
        json!([
            {"type": "thinking", "thinking": "hm", "signature": ""},
            {"type": "text", "text": "I look."},
            {"type": "tool_use", "id": "t0", "name": "f", "input": {"x": 1}},
            {"type": "tool_use", "id": "t1", "name": "f", "input": {}},
        ])
    );
    assert_eq!(reply["stop_reason"], "tool_use");
    assert_eq!(reply["id"], "msg_1");
    assert_eq!(
        reply["usage"],
        json!({"input_tokens": 6, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 4, "output_tokens": 9})
    );
}

#[tokio::test]
async fn a_stream_says_what_the_whole_answer_says() {
    let events = streamed(full_answer().into_iter().map(Ok).collect()).await;
    let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    let block = |deltas: usize| {
        let mut names = vec!["content_block_start"];
        names.extend(vec!["content_block_delta"; deltas]);
        names.push("content_block_stop");
        names
    };
    let mut expected = vec!["message_start", "ping"];
    for deltas in [1, 2, 2, 1] {
        expected.extend(block(deltas));
    }
    expected.extend(["message_delta", "message_stop"]);
    assert_eq!(names, expected);
    assert_eq!(events[0].1["message"]["stop_reason"], Value::Null);
    assert_eq!(events[0].1["message"]["usage"]["input_tokens"], 6);
    let end = &events[events.len() - 2].1;
    assert_eq!(end["delta"]["stop_reason"], "tool_use");
    assert_eq!(end["usage"]["output_tokens"], 9);
    let joined = |kind: &str, name: &str| -> String {
        events
            .iter()
            .filter(|(_, data)| data["delta"]["type"] == kind)
            .filter_map(|(_, data)| data["delta"][name].as_str())
            .collect()
    };
    assert_eq!(joined("text_delta", "text"), "I look.");
    assert_eq!(joined("thinking_delta", "thinking"), "hm");
    assert_eq!(joined("input_json_delta", "partial_json"), "{\"x\": 1}{}");
    let indices: Vec<u64> = events
        .iter()
        .filter(|(name, _)| name == "content_block_start")
        .filter_map(|(_, data)| data["index"].as_u64())
        .collect();
    assert_eq!(indices, [0, 1, 2, 3]);
}

#[tokio::test]
async fn an_error_in_the_middle_is_an_event_and_nothing_follows() {
    let error = Error::new(ErrorKind::ModelFailed, "died");
    let events = streamed(vec![Ok(started()), Ok(text("I")), Err(error)]).await;
    let (name, data) = events.last().expect("events");
    assert_eq!(name, "error");
    assert_eq!(
        data["error"],
        json!({"type": "api_error", "message": "died"})
    );
    let cut = streamed(vec![Ok(started()), Ok(text("I"))]).await;
    assert_eq!(cut.last().expect("events").0, "error", "no reason, no end");
}

#[test]
fn each_end_has_its_reason() {
    let end = |reason, tokens| {
        let reply = whole(vec![started(), text("x"), finished(reason, tokens)]);
        (
            reply["stop_reason"].as_str().expect("reason").to_owned(),
            reply["stop_sequence"].clone(),
        )
    };
    let stop = |sequence: Option<&str>| FinishReason::Stop {
        sequence: sequence.map(str::to_owned),
    };
    assert_eq!(end(stop(None), 3), ("end_turn".into(), Value::Null));
    assert_eq!(
        end(stop(Some("END")), 3),
        ("stop_sequence".into(), json!("END"))
    );
    // The model's own, of which the client knows nothing.
    assert_eq!(
        end(stop(Some("\nUser:")), 3),
        ("end_turn".into(), Value::Null)
    );
    assert_eq!(
        end(FinishReason::Length, 50),
        ("max_tokens".into(), Value::Null)
    );
    assert_eq!(
        end(FinishReason::Length, 49).0,
        "model_context_window_exceeded"
    );
}

#[test]
fn a_call_that_was_cut_short_is_no_call() {
    let mut events = full_answer();
    events.truncate(events.len() - 2);
    events.push(finished(FinishReason::Length, 50));
    let reply = whole(events);
    assert_eq!(reply["content"].as_array().expect("content").len(), 3);
    assert_eq!(reply["stop_reason"], "max_tokens");
}

#[test]
fn errors_lead_with_their_field() {
    let said = |error: Error| failure_body(&error, "t")["error"]["message"].clone();
    assert_eq!(
        said(Error::invalid("a[0].b", "is wrong")),
        "a[0].b: is wrong"
    );
    assert_eq!(said(Error::invalid("a", "`a` is wrong")), "`a` is wrong");
    let long = Error::new(ErrorKind::ContextExceeded, "Too many.").at("messages");
    assert_eq!(said(long), "prompt is too long: Too many.");
}

#[test]
fn models_come_in_pages() {
    let model = |name: &str| service::ModelSummary {
        name: name.into(),
        digest: String::new(),
        size_bytes: 1,
        created_unix: 0,
        origin: String::new(),
        kind: service::ModelKind::Generate,
        architecture: String::new(),
        parameters: 1,
        quantization: String::new(),
        context_length: 1,
        embedding_length: 1,
        pooling: None,
        has_chat_template: false,
        license: None,
    };
    let all = || ["a", "b", "c"].map(model).to_vec();
    let page = |limit: Option<&str>, after: Option<&str>, before: Option<&str>| {
        let query = super::PageQuery {
            limit: limit.map(str::to_owned),
            after_id: after.map(str::to_owned),
            before_id: before.map(str::to_owned),
        };
        models::page(all(), &query).map(|page| {
            let ids: Vec<String> = page.data.into_iter().map(|model| model.id).collect();
            (ids.concat(), page.has_more)
        })
    };
    assert_eq!(page(None, None, None), Ok(("abc".into(), false)));
    assert_eq!(page(Some("2"), None, None), Ok(("ab".into(), true)));
    assert_eq!(page(Some("1"), Some("a"), None), Ok(("b".into(), true)));
    assert_eq!(page(None, Some("c"), None), Ok((String::new(), false)));
    assert_eq!(page(Some("1"), None, Some("c")), Ok(("b".into(), true)));
    for limit in ["0", "1001", "-1", "x"] {
        assert!(page(Some(limit), None, None).is_err(), "{limit}");
    }
    assert!(page(None, Some("a"), Some("b")).is_err());
    assert!(page(None, Some("z"), None).is_err());
}
