//! What one request body means, and how events and items look on the wire.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use service::{
    Citation, Error, ErrorKind, Item, ItemBody, ItemEvent, ItemState, NumberedEvent, OutputFormat,
    PartKind, Passage, Ranker, Response, ResponseEvent, ResponseFailure, ResponseRequest,
    ResponseState, ResponseUsage, SpeakerRole, TextPart, ToolChoice, Truncation,
};

use super::reply::{self, Shown};
use super::{convert, events};
use crate::body::read;
use crate::openai::fields::{self, Request, in_their_words};

fn asked(extra: Value) -> Result<ResponseRequest, Error> {
    let mut body = json!({"model": "m", "input": "hi"});
    for (name, value) in extra.as_object().expect("object") {
        body[name] = value.clone();
    }
    fields::refuse_unsupported(Request::Responses, &body)?;
    convert::request(read(&body)?, &read(&body)?)
        .map_err(|error| in_their_words(Request::Responses, error))
}

/// A request with `extra` is refused at `field`.
#[track_caller]
fn refused(extra: Value, field: &str) {
    let error = asked(extra.clone()).expect_err(&extra.to_string());
    assert_eq!(error.kind, ErrorKind::InvalidRequest, "{extra}");
    assert_eq!(
        error.field.as_deref(),
        Some(field),
        "{extra}: {}",
        error.message
    );
}

#[test]
fn every_bad_field_is_named() {
    refused(json!({"model": ""}), "model");
    refused(json!({"model": 3}), "model");
    refused(json!({"input": ""}), "input");
    refused(json!({"input": []}), "input");
    refused(json!({"input": 3}), "input");
    refused(json!({"input": ["hi"]}), "input[0]");
    refused(json!({"input": [{}]}), "input[0].type");
    refused(json!({"input": [{"type": "poem"}]}), "input[0].type");
    refused(
        json!({"input": [{"role": "robot", "content": "hi"}]}),
        "input[0].role",
    );
    refused(json!({"input": [{"role": "user"}]}), "input[0].content");
    let image =
        json!([{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": "u"}]);
    refused(
        json!({"input": [{"role": "user", "content": image}]}),
        "input[0].content[1].type",
    );
    refused(
        json!({"input": [{"type": "function_call_output", "output": "1"}]}),
        "input[0].call_id",
    );
    refused(
        json!({"input": [{"type": "function_call", "call_id": "c", "name": "f"}]}),
        "input[0].arguments",
    );
    refused(
        json!({"input": [{"type": "item_reference", "id": "i"}]}),
        "input[0].type",
    );
    refused(json!({"tools": [{"type": "web_search"}]}), "tools[0].type");
    refused(
        json!({"tools": [{"type": "code_interpreter", "container": {}}]}),
        "tools[0].type",
    );
    refused(json!({"tools": [{"name": "f"}]}), "tools[0].type");
    refused(json!({"tools": [{"type": "function"}]}), "tools[0].name");
    refused(
        json!({"tools": [{"type": "function", "function": {"name": "f"}}]}),
        "tools[0].name",
    );
    refused(
        json!({"tools": [{"type": "function", "name": "f", "parameters": 3}]}),
        "tools[0].parameters",
    );
    refused(
        json!({"tools": [{"type": "file_search"}]}),
        "tools[0].vector_store_ids",
    );
    refused(
        json!({"tools": [{"type": "file_search", "vector_store_ids": ["v"], "max_num_results": 51}]}),
        "tools[0].max_num_results",
    );
    refused(json!({"tool_choice": "perhaps"}), "tool_choice");
    refused(json!({"tool_choice": "required"}), "tool_choice");
    refused(
        json!({"tool_choice": {"type": "function", "name": "f"}}),
        "tool_choice.name",
    );
    refused(
        json!({"tool_choice": {"type": "file_search"}}),
        "tool_choice",
    );
    refused(
        json!({"text": {"format": {"type": "xml"}}}),
        "text.format.type",
    );
    refused(
        json!({"text": {"format": {"type": "json_schema", "schema": {}}}}),
        "text.format.name",
    );
    refused(json!({"max_output_tokens": 0}), "max_output_tokens");
    refused(json!({"truncation": "middle"}), "truncation");
    refused(json!({"include": ["everything"]}), "include[0]");
    refused(json!({"top_logprobs": 21}), "top_logprobs");
    refused(json!({"temperature": 3}), "temperature");
    refused(json!({"conversation": "conv_1"}), "conversation");
    refused(json!({"prompt": {"id": "p"}}), "prompt");
    refused(json!({"messages": []}), "messages");
    refused(json!({"max_tokens": 5}), "max_tokens");
    refused(json!({"n": 2}), "n");
    refused(json!({"metadata": {"a": 1}}), "metadata.a");
}

#[test]
fn errors_of_the_layers_below_are_named_as_here() {
    let theirs = |field: &str| {
        let error = in_their_words(Request::Responses, Error::invalid(field, "no"));
        error.field.expect("field")
    };
    assert_eq!(theirs("tools[1].function.name"), "tools[1].name");
    assert_eq!(
        theirs("response_format.json_schema.schema"),
        "text.format.schema"
    );
    assert_eq!(theirs("max_completion_tokens"), "max_output_tokens");
    assert_eq!(theirs("messages"), "input");
    assert_eq!(theirs("collections"), "tools");
}

#[test]
fn a_conversation_of_items_is_read() {
    let request = asked(json!({"input": [
        {"role": "developer", "content": "be brief"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "1+1?"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "add", "arguments": "{}", "status": "completed"},
        {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "2"}]},
        {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
         "content": [{"type": "output_text", "text": "Two.", "annotations": []}]},
    ]}))
    .expect("read");
    let bodies: Vec<&ItemBody> = request.input.iter().map(|item| &item.body).collect();
    assert_eq!(request.input[2].id, "rs_1");
    assert_eq!(*bodies[2], ItemBody::Reasoning { text: "hm".into() });
    assert_eq!(
        *bodies[4],
        ItemBody::FunctionCallOutput {
            call_id: "c1".into(),
            output: "2".into()
        }
    );
    assert_eq!(
        *bodies[5],
        ItemBody::Message {
            role: SpeakerRole::Assistant,
            parts: vec![TextPart::plain("Two.")]
        }
    );
}

#[test]
fn settings_are_read_and_repeated() {
    let request = asked(json!({
        "instructions": "be kind", "temperature": 0, "top_p": 0.5, "max_output_tokens": 9, "store": false,
        "truncation": "auto", "reasoning": {"effort": "none"}, "metadata": {"a": "b"}, "user": "u", "seed": 7,
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}},
        "tools": [{"type": "function", "name": "f"}], "tool_choice": {"type": "function", "name": "f"},
        "parallel_tool_calls": false, "include": ["reasoning.encrypted_content"],
    }))
    .expect("read");
    assert_eq!(request.instructions.as_deref(), Some("be kind"));
    assert_eq!(request.options.tokens_max, Some(9));
    assert_eq!(request.options.sampling.temperature, Some(0.0));
    assert_eq!(request.options.sampling.seed, Some(7));
    assert!(!request.store && !request.parallel_tool_calls);
    assert_eq!(request.truncation, Truncation::DropOldest);
    assert_eq!(request.tool_choice, ToolChoice::Named("f".into()));
    assert_eq!(
        request.output,
        OutputFormat::JsonSchema(json!({"type": "object"}))
    );
    assert_eq!(request.template_variables["enable_thinking"], false);
    let settings = &request.settings;
    assert_eq!(settings["temperature"], 0.0);
    assert_eq!(settings["tools"][0]["strict"], true);
    assert_eq!(settings["text"]["format"]["name"], "n");
    assert_eq!(settings["tool_choice"]["name"], "f");
}

#[test]
fn a_file_search_is_read_and_the_choice_of_tools_decides_over_it() {
    let tool = json!({"type": "file_search", "vector_store_ids": ["vs_1"], "max_num_results": 3,
        "ranking_options": {"ranker": "none", "score_threshold": 0.25},
        "filters": {"type": "eq", "key": "region", "value": "eu"}});
    let both = json!([tool, {"type": "function", "name": "f"}]);
    let request = asked(json!({"tools": both})).expect("read");
    let search = request.search.expect("search");
    assert_eq!(search.collections, ["vs_1"]);
    assert_eq!((search.limit, search.score_min), (3, Some(0.25)));
    assert_eq!(search.ranker, Ranker::None);
    assert_eq!(search.filter.must.len(), 1);
    let none = asked(json!({"tools": both, "tool_choice": "none"})).expect("read");
    assert!(none.search.is_none());
    let forced = asked(json!({"tools": both, "tool_choice": {"type": "file_search"}}));
    let forced = forced.expect("read");
    assert!(forced.search.is_some());
    assert_eq!(forced.tool_choice, ToolChoice::None);
    let named = asked(json!({"tools": both, "tool_choice": {"type": "function", "name": "f"}}));
    assert!(named.expect("read").search.is_none());
    refused(json!({"tools": [tool, tool]}), "tools[1].type");
    let mut bad = tool;
    bad["filters"]["value"] = json!({});
    refused(json!({"tools": [bad]}), "tools[0].filters.value");
}

fn response() -> Response {
    Response {
        id: "resp_1".into(),
        created_unix: 10,
        ended_unix: Some(12),
        model: "m:latest".into(),
        state: ResponseState::Completed,
        background: false,
        stored: true,
        previous: None,
        instructions: None,
        metadata: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
        settings: json!({"temperature": 0.5, "include": ["file_search_call.results"]}),
        output: vec![searched(), answered()],
        usage: Some(ResponseUsage {
            input_tokens: 7,
            cached_tokens: 3,
            output_tokens: 4,
            reasoning_tokens: 1,
        }),
        failure: None,
    }
}

fn searched() -> Item {
    Item {
        id: "fs_1".into(),
        state: ItemState::Completed,
        body: ItemBody::Search {
            queries: vec!["why".into()],
            passages: vec![Passage {
                collection: "vs_1".into(),
                point: "1".into(),
                text: "because".into(),
                source: "a.md".into(),
                file_id: "file-1".into(),
                score: 0.5,
                place: serde_json::Map::new(),
                attributes: serde_json::Map::new(),
            }],
        },
    }
}

fn citation() -> Citation {
    Citation {
        passage: 0,
        file_id: "file-1".into(),
        source: "a.md".into(),
        start: 8,
        end: 11,
    }
}

fn answered() -> Item {
    Item {
        id: "msg_1".into(),
        state: ItemState::Completed,
        body: ItemBody::Message {
            role: SpeakerRole::Assistant,
            parts: vec![TextPart {
                citations: vec![citation()],
                ..TextPart::plain("Because [1]")
            }],
        },
    }
}

#[test]
fn a_response_is_written_with_what_was_asked_for() {
    let response = response();
    let json = reply::response(&response, Shown::as_asked(&response));
    assert_eq!(json["object"], "response");
    assert_eq!(json["temperature"], 0.5);
    assert_eq!(json["completed_at"], 12);
    assert_eq!(json["usage"]["total_tokens"], 11);
    assert_eq!(
        json["usage"]["output_tokens_details"]["reasoning_tokens"],
        1
    );
    assert!(json.get("include").is_none());
    assert_eq!(json["output"][0]["results"][0]["file_id"], "file-1");
    assert_eq!(
        json["output"][1]["content"][0]["annotations"][0],
        json!({"type": "file_citation", "index": 8, "file_id": "file-1", "filename": "a.md"})
    );
    let plain = reply::response(&response, Shown::default());
    assert_eq!(plain["output"][0]["results"], Value::Null);
}

#[test]
fn failed_and_incomplete_responses_say_why() {
    let mut failed = response();
    failed.state = ResponseState::Failed;
    failed.failure = Some(ResponseFailure {
        code: "model_failed".into(),
        message: "died".into(),
    });
    let json = reply::response(&failed, Shown::default());
    assert_eq!(
        json["error"],
        json!({"code": "server_error", "message": "died"})
    );
    assert_eq!(json["completed_at"], Value::Null);
    failed.state = ResponseState::Incomplete;
    let json = reply::response(&failed, Shown::default());
    assert_eq!(json["incomplete_details"]["reason"], "max_output_tokens");
}

#[test]
fn every_event_has_its_type_and_number() {
    let within = |event| ResponseEvent::Within {
        output: 1,
        item_id: "msg_1".into(),
        event,
    };
    let cases = [
        (
            ResponseEvent::Created(Box::new(response())),
            "response.created",
        ),
        (
            ResponseEvent::ItemStarted {
                output: 1,
                item: answered(),
            },
            "response.output_item.added",
        ),
        (
            within(ItemEvent::PartStarted(PartKind::Text(TextPart::default()))),
            "response.content_part.added",
        ),
        (
            within(ItemEvent::TextAdded {
                text: "a".into(),
                logprobs: Vec::new(),
            }),
            "response.output_text.delta",
        ),
        (
            within(ItemEvent::Cited {
                index: 0,
                citation: citation(),
            }),
            "response.output_text.annotation.added",
        ),
        (
            within(ItemEvent::ArgumentsAdded("{".into())),
            "response.function_call_arguments.delta",
        ),
        (
            within(ItemEvent::ReasoningAdded("hm".into())),
            "response.reasoning_text.delta",
        ),
        (
            ResponseEvent::Ended(Box::new(response())),
            "response.completed",
        ),
    ];
    for (sequence, (event, expected)) in (0..).zip(cases) {
        let within = matches!(event, ResponseEvent::Within { .. });
        let (kind, data) = events::event(&NumberedEvent { sequence, event }, Shown::default());
        assert_eq!(kind, expected);
        assert_eq!(data["type"], expected);
        assert_eq!(data["sequence_number"], sequence);
        if within {
            assert_eq!(
                (&data["output_index"], &data["item_id"]),
                (&json!(1), &json!("msg_1"))
            );
        }
    }
}
