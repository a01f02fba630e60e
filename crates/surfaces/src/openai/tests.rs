//! What one request body means, and what one list of events looks like on the wire.

use std::time::Duration;

use futures::stream;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use service::{
    ChatRequest, Error, ErrorKind, FinishReason, GenerationEvent, OutputFormat, Prompt, Role,
    Timing, TokenLogprob, ToolChoice, WorkClass,
};

use super::chat_reply::{ChatAnswer, ChatFrames};
use super::completion_reply::{TextAnswer, TextFrames, TextShape};
use super::convert;
use super::fields::{self, Request};
use super::reply::Head;
use super::stream::{self as sse, Tagged};
use crate::body::read;

fn chat_of(body: &Value) -> Result<ChatRequest, Error> {
    fields::refuse_unsupported(Request::Chat, body)?;
    convert::chat_request(read(body)?, &read(body)?)
}

/// A minimal chat with `extra` fields.
fn chat(extra: Value) -> Result<ChatRequest, Error> {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    for (name, value) in extra.as_object().expect("object") {
        body[name] = value.clone();
    }
    chat_of(&body)
}

/// A chat with `extra` is refused at `param`.
#[track_caller]
fn refused(extra: Value, param: &str) {
    let error = chat(extra.clone()).expect_err(&extra.to_string());
    assert_eq!(error.kind, ErrorKind::InvalidRequest, "{extra}");
    assert_eq!(
        error.field.as_deref(),
        Some(param),
        "{extra}: {}",
        error.message
    );
}

#[test]
fn every_bad_field_is_named() {
    refused(json!({"model": 3}), "model");
    refused(json!({"model": null}), "model");
    refused(json!({"model": ""}), "model");
    refused(json!({"messages": []}), "messages");
    refused(json!({"messages": "hi"}), "messages");
    refused(json!({"messages": [{"content": "hi"}]}), "messages[0].role");
    refused(
        json!({"messages": [{"role": "robot", "content": "hi"}]}),
        "messages[0].role",
    );
    refused(
        json!({"messages": [{"role": "user"}]}),
        "messages[0].content",
    );
    refused(
        json!({"messages": [{"role": "user", "content": 3}]}),
        "messages[0].content",
    );
    refused(
        json!({"messages": [{"role": "tool", "content": "3"}]}),
        "messages[0].tool_call_id",
    );
    refused(
        json!({"messages": [{"role": "function", "content": "3"}]}),
        "messages[0].role",
    );
    refused(json!({"temperature": "hot"}), "temperature");
    refused(json!({"temperature": 2.5}), "temperature");
    refused(json!({"top_p": -0.1}), "top_p");
    refused(json!({"presence_penalty": 3}), "presence_penalty");
    refused(json!({"frequency_penalty": -3}), "frequency_penalty");
    refused(json!({"repetition_penalty": 0}), "repetition_penalty");
    refused(json!({"n": 0}), "n");
    refused(json!({"n": 129}), "n");
    refused(json!({"n": 1.5}), "n");
    refused(json!({"best_of": 2}), "best_of");
    refused(json!({"max_tokens": -1}), "max_tokens");
    refused(json!({"max_completion_tokens": 0}), "max_completion_tokens");
    refused(json!({"stop": 3}), "stop");
    refused(json!({"stop": ["a", 3]}), "stop[1]");
    refused(json!({"stop": ""}), "stop");
    refused(json!({"logit_bias": {"a": 1}}), "logit_bias.a");
    refused(json!({"logit_bias": {"5": 101}}), "logit_bias.5");
    refused(json!({"logit_bias": {"5": "x"}}), "logit_bias.5");
    refused(
        json!({"top_logprobs": 21, "logprobs": true}),
        "top_logprobs",
    );
    refused(json!({"top_logprobs": 2}), "top_logprobs");
    refused(json!({"seed": 1.5}), "seed");
    refused(
        json!({"stream_options": {"include_usage": true}}),
        "stream_options",
    );
    refused(
        json!({"response_format": {"type": "xml"}}),
        "response_format.type",
    );
    refused(
        json!({"response_format": {"type": "json_schema"}}),
        "response_format.json_schema",
    );
    let unnamed = json!({"type": "json_schema", "json_schema": {"schema": {}}});
    refused(
        json!({"response_format": unnamed}),
        "response_format.json_schema.name",
    );
    refused(
        json!({"guided_regex": "a", "guided_json": {}}),
        "guided_regex",
    );
    refused(json!({"priority": "high"}), "priority");
    refused(json!({"keep_alive": "soon"}), "keep_alive");
    refused(json!({"options": {"num_gpu": 1}}), "options.num_gpu");
    refused(json!({"service_tier": "gold"}), "service_tier");
}

#[test]
fn what_would_change_the_meaning_is_refused_and_what_would_not_is_ignored() {
    refused(json!({"audio": {"voice": "alloy"}}), "audio");
    refused(json!({"modalities": ["text", "audio"]}), "modalities");
    refused(json!({"web_search_options": {}}), "web_search_options");
    refused(json!({"functions": []}), "functions");
    refused(json!({"function_call": "auto"}), "function_call");
    refused(json!({"store": true}), "store");
    refused(json!({"use_beam_search": true}), "use_beam_search");
    refused(json!({"mirostat": 2}), "mirostat");
    refused(
        json!({"continue_final_message": true}),
        "continue_final_message",
    );
    let harmless = json!({
        "audio": null, "modalities": ["text"], "store": false, "metadata": {"a": "b"}, "user": "u", "verbosity": "low",
        "prompt_cache_key": "k", "safety_identifier": "s", "reasoning_effort": "low", "prediction": {"type": "content"},
        "service_tier": "auto", "mirostat": 0, "best_of": 1, "some_future_field": {"x": 1}, "stream": false,
    });
    let request = chat(harmless).expect("accepted");
    assert_eq!(request.template_variables["reasoning_effort"], "low");
}

#[test]
fn parts_that_are_not_text_are_refused_by_their_path() {
    let parts = json!([{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "data:"}}]);
    refused(
        json!({"messages": [{"role": "user", "content": parts}]}),
        "messages[0].content[1].type",
    );
    refused(
        json!({"messages": [{"role": "user", "content": ["see"]}]}),
        "messages[0].content[0].type",
    );
    refused(
        json!({"messages": [{"role": "user", "content": [{"type": "text"}]}]}),
        "messages[0].content[0].text",
    );
    let parts = json!([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]);
    let request =
        chat(json!({"messages": [{"role": "user", "content": parts}]})).expect("accepted");
    assert_eq!(request.messages[0].content, "a\nb");
}

#[test]
fn a_conversation_with_tool_calls_is_read() {
    let call = json!({"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{\"a\":1}"}});
    let request = chat(json!({"messages": [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": "1+1?", "name": "ann"},
        {"role": "assistant", "content": null, "tool_calls": [call], "reasoning_content": "hm"},
        {"role": "tool", "tool_call_id": "c1", "content": "2"},
    ]}))
    .expect("accepted");
    let roles: Vec<_> = request
        .messages
        .iter()
        .map(|message| message.role)
        .collect();
    assert_eq!(
        roles,
        [Role::Developer, Role::User, Role::Assistant, Role::Tool]
    );
    assert_eq!(request.messages[1].name.as_deref(), Some("ann"));
    assert_eq!(request.messages[2].tool_calls[0].arguments, "{\"a\":1}");
    assert_eq!(request.messages[2].reasoning.as_deref(), Some("hm"));
    assert_eq!(request.messages[3].tool_call_id.as_deref(), Some("c1"));
}

#[test]
fn tools_and_their_choice_are_checked_against_each_other() {
    let tool = |name: &str| json!({"type": "function", "function": {"name": name}});
    let with =
        |choice: Value| chat(json!({"tools": [tool("a"), tool("b")], "tool_choice": choice}));
    assert_eq!(
        with(json!(null)).map(|request| request.tool_choice),
        Ok(ToolChoice::Auto)
    );
    assert_eq!(
        with(json!("none")).map(|request| request.tool_choice),
        Ok(ToolChoice::None)
    );
    assert_eq!(
        with(json!("required")).map(|request| request.tool_choice),
        Ok(ToolChoice::Required)
    );
    assert_eq!(
        with(tool("b")).map(|request| request.tool_choice),
        Ok(ToolChoice::Named("b".into()))
    );
    let allowed = json!({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [tool("a")]}});
    let expected = ToolChoice::Allowed {
        names: vec!["a".into()],
        required: true,
    };
    assert_eq!(
        with(allowed).map(|request| request.tool_choice),
        Ok(expected)
    );
    let parameters = with(json!("auto")).expect("accepted").tools[0]
        .parameters
        .clone();
    assert_eq!(parameters, json!({"type": "object", "properties": {}}));

    refused(json!({"tool_choice": "required"}), "tool_choice");
    refused(
        json!({"tools": [tool("a")], "tool_choice": tool("z")}),
        "tool_choice.function.name",
    );
    refused(
        json!({"tools": [tool("a")], "tool_choice": {"type": "custom"}}),
        "tool_choice.type",
    );
    refused(
        json!({"tools": [tool("a"), tool("a")]}),
        "tools[1].function.name",
    );
    refused(json!({"tools": [tool("a b")]}), "tools[0].function.name");
    refused(
        json!({"tools": [{"type": "custom", "custom": {}}]}),
        "tools[0].type",
    );
    refused(
        json!({"tools": [{"type": "function"}]}),
        "tools[0].function",
    );
    refused(
        json!({"tools": [{"type": "function", "function": {}}]}),
        "tools[0].function.name",
    );
}

#[test]
fn every_spelling_of_constrained_output_is_read() {
    let output = |extra: Value| chat(extra).expect("accepted").output;
    let schema = json!({"type": "object"});
    assert_eq!(output(json!({})), OutputFormat::Text);
    assert_eq!(
        output(json!({"response_format": {"type": "text"}})),
        OutputFormat::Text
    );
    assert_eq!(
        output(json!({"response_format": {"type": "json_object"}})),
        OutputFormat::JsonObject
    );
    let expected = OutputFormat::JsonSchema(schema.clone());
    let wrapped = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": true}});
    assert_eq!(output(json!({"response_format": wrapped})), expected);
    assert_eq!(
        output(json!({"response_format": {"type": "json_schema", "schema": schema}})),
        expected
    );
    assert_eq!(output(json!({"guided_json": schema})), expected);
    assert_eq!(
        output(json!({"guided_json": "{\"type\":\"object\"}"})),
        expected
    );
    assert_eq!(
        output(json!({"structured_outputs": {"json": schema}})),
        expected
    );
    assert_eq!(
        output(json!({"guided_regex": "a+"})),
        OutputFormat::Regex("a+".into())
    );
    assert_eq!(
        output(json!({"guided_choice": ["a.b", "c"]})),
        OutputFormat::Regex(r"(a\.b|c)".into())
    );
    assert_eq!(
        output(json!({"guided_grammar": "start: \"a\""})),
        OutputFormat::Lark("start: \"a\"".into())
    );
}

#[test]
fn options_are_read_in_openais_and_in_other_servers_spelling() {
    let options = chat(json!({
        "n": 2, "temperature": 0.5, "top_k": -1, "seed": -1, "stop": "END", "max_tokens": 5, "max_completion_tokens": 7,
        "logprobs": true, "logit_bias": {"5": -100}, "priority": 3, "keep_alive": "5m", "cache_salt": "s",
        "ignore_eos": true, "min_tokens": 2, "stop_token_ids": [1, 2], "repetition_penalty": 1.1,
    }))
    .expect("accepted")
    .options;
    assert_eq!(
        (options.choices, options.tokens_max, options.tokens_min),
        (2, Some(7), 2)
    );
    assert_eq!(
        (options.sampling.top_k, options.sampling.seed),
        (Some(0), Some(u64::MAX))
    );
    assert_eq!(
        (options.logprobs, options.sampling.logit_bias[&5]),
        (Some(0), -100.0)
    );
    assert_eq!(
        (options.class, options.keep_alive),
        (WorkClass::Batch, Some(Duration::from_secs(300)))
    );
    assert_eq!(
        (options.stop, options.stop_tokens),
        (vec!["END".to_string()], vec![1, 2])
    );
}

#[test]
fn prompts_come_in_four_forms() {
    let prompts = |prompt: Value| {
        let body = json!({"model": "m", "prompt": prompt});
        convert::completion_requests(&read(&body)?, &read(&body)?).map(|requests| {
            requests
                .into_iter()
                .map(|request| request.prompt)
                .collect::<Vec<_>>()
        })
    };
    let text = |text: &str| Prompt::Text(text.to_string());
    assert_eq!(prompts(json!("a")), Ok(vec![text("a")]));
    assert_eq!(prompts(json!(["a", "b"])), Ok(vec![text("a"), text("b")]));
    assert_eq!(prompts(json!([1, 2])), Ok(vec![Prompt::Tokens(vec![1, 2])]));
    assert_eq!(
        prompts(json!([[1], [2, 3]])),
        Ok(vec![Prompt::Tokens(vec![1]), Prompt::Tokens(vec![2, 3])])
    );
    let field = |prompt: Value| prompts(prompt).expect_err("refused").field.expect("field");
    assert_eq!(field(json!(null)), "prompt");
    assert_eq!(field(json!([])), "prompt");
    assert_eq!(field(json!({})), "prompt");
    assert_eq!(field(json!([1, -2])), "prompt[1]");
    assert_eq!(field(json!([[1], [2.5]])), "prompt[1][0]");
    assert_eq!(field(json!(["a", 2])), "prompt[1]");
    assert_eq!(field(json!([[]])), "prompt[0]");
    let body = json!({"model": "m", "prompt": "a"});
    let requests =
        convert::completion_requests(&read(&body).expect("body"), &read(&body).expect("body"));
    assert_eq!(
        requests.expect("accepted")[0].options.tokens_max,
        Some(16),
        "OpenAI's default"
    );
}

#[test]
fn embeddings_are_base64_of_little_endian_floats_or_numbers() {
    let embeddings = service::Embeddings {
        model: "m".into(),
        dimensions: 2,
        vectors: vec![1.0, 2.0, 0.5, -1.0],
        prompt_tokens: 7,
        load: Duration::ZERO,
    };
    let read_as = |format: &str| {
        let body = json!({"model": "m", "input": ["a", "b"], "encoding_format": format});
        let (_, encoding) = convert::embed_request(read(&body).expect("body")).expect("accepted");
        serde_json::to_value(convert::embedding_list(&embeddings, encoding)).expect("JSON")
    };
    assert_eq!(read_as("base64")["data"][0]["embedding"], "AACAPwAAAEA=");
    let floats = read_as("float");
    assert_eq!(
        floats["data"][1],
        json!({"object": "embedding", "index": 1, "embedding": [0.5, -1.0]})
    );
    assert_eq!(
        floats["usage"],
        json!({"prompt_tokens": 7, "total_tokens": 7})
    );
    for (input, field) in [
        (json!(""), "input"),
        (json!([]), "input"),
        (json!(["a", ""]), "input[1]"),
    ] {
        let body = json!({"model": "m", "input": input});
        let error = convert::embed_request(read(&body).expect("body"))
            .map(|_| ())
            .expect_err("refused");
        assert_eq!(error.field.as_deref(), Some(field));
    }
}

// What goes out.

fn head() -> Head {
    Head {
        id: "x-1".into(),
        created: 5,
        model: "m".into(),
        fingerprint: "fp_1".into(),
    }
}

fn started() -> GenerationEvent {
    GenerationEvent::Started {
        prompt_tokens: 9,
        cached_tokens: 4,
        prompt_logprobs: Vec::new(),
        prompt_text: None,
    }
}

fn text(choice: u32, text: &str) -> GenerationEvent {
    GenerationEvent::Text {
        choice,
        text: text.into(),
        logprobs: Vec::new(),
    }
}

fn finished(choice: u32, reason: FinishReason) -> GenerationEvent {
    GenerationEvent::Finished {
        choice,
        reason,
        output_tokens: 3,
        timing: Timing::default(),
    }
}

/// The data of every event of a stream, and whether it ended with `[DONE]`.
async fn streamed<F: sse::Frames>(
    events: Vec<Result<Tagged, Error>>,
    frames: F,
) -> (Vec<Value>, bool) {
    let response = sse::respond(
        Box::pin(stream::iter(events)),
        frames,
        Duration::from_secs(5),
    )
    .await
    .expect("stream");
    assert_eq!(
        response.headers()["content-type"],
        "text/event-stream; charset=utf-8"
    );
    let bytes = response
        .into_body()
        .collect()
        .await
        .expect("body")
        .to_bytes();
    let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
    let mut data: Vec<&str> = text
        .split_terminator("\n\n")
        .map(|line| line.strip_prefix("data: ").expect("data line"))
        .collect();
    let done = data.last() == Some(&"[DONE]");
    if done {
        data.pop();
    }
    (
        data.into_iter()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect(),
        done,
    )
}

#[tokio::test]
async fn chunks_begin_with_the_role_end_with_the_usage_and_concatenate_to_the_whole() {
    let call = GenerationEvent::ToolCallStarted {
        choice: 1,
        index: 0,
        id: "c".into(),
        name: "add".into(),
    };
    let part = |text: &str| GenerationEvent::ToolCallArguments {
        choice: 1,
        index: 0,
        fragment: text.into(),
    };
    let events = vec![
        started(),
        text(0, "Grüße, "),
        call,
        part("{\"a\":"),
        text(0, "Welt"),
        part("1}"),
        finished(1, FinishReason::ToolCalls),
        finished(0, FinishReason::Stop { sequence: None }),
    ];
    let tagged: Vec<_> = events.iter().cloned().map(|event| Ok((0, event))).collect();
    let (chunks, done) = streamed(tagged, ChatFrames::new(head(), 2, true, false)).await;
    assert!(done);
    assert_eq!(
        chunks[0]["choices"][0]["delta"],
        json!({"role": "assistant", "content": ""})
    );
    assert_eq!(chunks[1]["choices"][0]["index"], 1);
    let (last, rest) = chunks.split_last().expect("chunks");
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["usage"]["total_tokens"], 15);
    assert_eq!(last["usage"]["prompt_tokens_details"]["cached_tokens"], 4);
    for chunk in rest {
        assert_eq!(chunk["usage"], Value::Null);
        assert_eq!(
            (&chunk["id"], &chunk["created"]),
            (&json!("x-1"), &json!(5))
        );
        assert_eq!(chunk["object"], "chat.completion.chunk");
    }
    let ends: Vec<_> = rest
        .iter()
        .filter(|chunk| !chunk["choices"][0]["finish_reason"].is_null())
        .collect();
    assert_eq!(ends.len(), 2);
    assert_eq!(ends[0]["choices"][0]["delta"], json!({}));

    let mut answer = ChatAnswer::new(head(), 2, false);
    events.into_iter().for_each(|event| answer.event(event));
    let whole: Value = serde_json::from_slice(&answer.finish().expect("complete")).expect("JSON");
    let concatenated: String = rest
        .iter()
        .filter(|chunk| chunk["choices"][0]["index"] == 0)
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(whole["choices"][0]["message"]["content"], concatenated);
    assert_eq!(concatenated, "Grüße, Welt");
    let message = &whole["choices"][1]["message"];
    assert_eq!(message["content"], Value::Null);
    assert_eq!(
        message["tool_calls"][0]["function"],
        json!({"name": "add", "arguments": "{\"a\":1}"})
    );
    assert_eq!(whole["choices"][1]["finish_reason"], "tool_calls");
    assert_eq!(whole["usage"], last["usage"]);
}

#[tokio::test]
async fn without_include_usage_no_chunk_speaks_of_usage() {
    let events = vec![
        Ok((0, started())),
        Ok((0, finished(0, FinishReason::Length))),
    ];
    let (chunks, done) = streamed(events, ChatFrames::new(head(), 1, false, false)).await;
    assert!(done && chunks.iter().all(|chunk| chunk.get("usage").is_none()));
    assert_eq!(
        chunks.last().expect("chunk")["choices"][0]["finish_reason"],
        "length"
    );
}

#[tokio::test]
async fn an_error_before_the_first_event_keeps_its_status_and_one_after_it_ends_the_stream() {
    let error = || Error::new(ErrorKind::ModelFailed, "the runner died");
    let frames = || ChatFrames::new(head(), 1, true, false);
    let early = sse::respond(
        Box::pin(stream::iter([Err(error())])),
        frames(),
        Duration::from_secs(5),
    )
    .await;
    assert_eq!(early.map(|_| ()).expect_err("an error"), error());
    let events = vec![Ok((0, started())), Ok((0, text(0, "a"))), Err(error())];
    let (chunks, done) = streamed(events, frames()).await;
    assert!(!done, "a failed answer is not done");
    let last = chunks.last().expect("chunk");
    assert_eq!(last["error"]["message"], "the runner died");
    assert_eq!(last["error"]["code"], "model_failed");
}

#[tokio::test(start_paused = true)]
async fn a_long_prompt_is_bridged_by_comments() {
    let slow = stream::once(async {
        tokio::time::sleep(Duration::from_secs(25)).await;
        Ok((0, started()))
    });
    let frames = ChatFrames::new(head(), 1, false, false);
    let response = sse::respond(Box::pin(slow), frames, Duration::from_secs(10))
        .await
        .expect("stream");
    let bytes = response
        .into_body()
        .collect()
        .await
        .expect("body")
        .to_bytes();
    let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
    assert!(text.starts_with(": keep-alive\n\ndata: {"), "{text}");
    assert!(text.ends_with("data: [DONE]\n\n"));
}

fn token(text: &str, logprob: Option<f32>) -> TokenLogprob {
    TokenLogprob {
        token: 1,
        bytes: text.as_bytes().to_vec(),
        logprob,
        top: Vec::new(),
    }
}

#[tokio::test]
async fn an_echo_gives_the_prompts_tokens_with_offsets_in_characters() {
    let start = GenerationEvent::Started {
        prompt_tokens: 2,
        cached_tokens: 0,
        prompt_logprobs: vec![token("né", None), token("e", Some(-0.5))],
        prompt_text: Some("née".into()),
    };
    let mut chosen = token(" x", Some(f32::NEG_INFINITY));
    chosen.top = vec![token(" y", Some(-0.25))];
    let generated = GenerationEvent::Text {
        choice: 0,
        text: " x".into(),
        logprobs: vec![chosen],
    };
    let events = [
        (0, start),
        (0, generated),
        (0, finished(0, FinishReason::Length)),
    ];
    let shape = TextShape {
        prompts: 1,
        choices: 1,
        logprobs: true,
    };
    let mut answer = TextAnswer::new(head(), shape);
    events.iter().cloned().for_each(|event| answer.event(event));
    let whole: Value = serde_json::from_slice(&answer.finish().expect("complete")).expect("JSON");
    let choice = &whole["choices"][0];
    assert_eq!(choice["text"], "née x");
    assert_eq!(choice["logprobs"]["text_offset"], json!([0, 2, 3]));
    assert_eq!(choice["logprobs"]["tokens"], json!(["né", "e", " x"]));
    assert_eq!(
        choice["logprobs"]["token_logprobs"],
        json!([null, -0.5, -9999.0])
    );
    assert_eq!(
        choice["logprobs"]["top_logprobs"],
        json!([null, {"e": -0.5}, {" x": -9999.0, " y": -0.25}])
    );

    let tagged = events.into_iter().map(Ok).collect();
    let (chunks, _) = streamed(tagged, TextFrames::new(head(), shape, false)).await;
    let offsets: Vec<_> = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["logprobs"]["text_offset"].as_array())
        .flatten()
        .cloned()
        .collect();
    assert_eq!(offsets, [0, 2, 3]);
}

#[test]
fn offsets_of_an_echo_count_only_characters_of_its_text() {
    let check = |tokens: &[&str], expected: Value| {
        let start = GenerationEvent::Started {
            prompt_tokens: tokens.len() as u32,
            cached_tokens: 0,
            prompt_logprobs: tokens
                .iter()
                .enumerate()
                .map(|(index, text)| token(text, (index > 0).then_some(-0.5)))
                .collect(),
            prompt_text: Some("Hi you".into()),
        };
        let end = GenerationEvent::Text {
            choice: 0,
            text: "!".into(),
            logprobs: vec![token("!", Some(-0.5))],
        };
        let shape = TextShape {
            prompts: 1,
            choices: 1,
            logprobs: true,
        };
        let mut answer = TextAnswer::new(head(), shape);
        for event in [start, end, finished(0, FinishReason::Length)] {
            answer.event((0, event));
        }
        let whole: Value =
            serde_json::from_slice(&answer.finish().expect("complete")).expect("JSON");
        assert_eq!(
            whole["choices"][0]["logprobs"]["text_offset"], expected,
            "{tokens:?}"
        );
    };
    check(&["Hi", " you"], json!([0, 2, 6]));
    check(&["<s>", "Hi", " you"], json!([0, 0, 2, 6]));
    check(&["<s>", " Hi", " you"], json!([0, 0, 2, 6]));
    check(&[" Hi", " you"], json!([0, 2, 6]));
}

#[test]
fn the_fingerprint_says_fp_once() {
    let generation = service::Generation {
        id: "1".into(),
        model: "m".into(),
        fingerprint: "0123".into(),
        events: Box::pin(futures::stream::empty()),
        load: Duration::ZERO,
    };
    let head = Head::of("cmpl-", &generation, 5);
    assert_eq!(
        (head.id.as_str(), head.fingerprint.as_str()),
        ("cmpl-1", "fp_0123")
    );
}

#[tokio::test]
async fn choices_of_many_prompts_are_numbered_prompt_by_prompt() {
    let shape = TextShape {
        prompts: 2,
        choices: 2,
        logprobs: false,
    };
    let mut answer = TextAnswer::new(head(), shape);
    for prompt in [1, 0] {
        answer.event((prompt, started()));
        for choice in [1, 0] {
            answer.event((prompt, text(choice, &format!("{prompt}{choice}"))));
            answer.event((prompt, finished(choice, FinishReason::Length)));
        }
    }
    let whole: Value = serde_json::from_slice(&answer.finish().expect("complete")).expect("JSON");
    let texts: Vec<_> = (0..4)
        .map(|index| whole["choices"][index]["text"].as_str().expect("text"))
        .collect();
    assert_eq!(texts, ["00", "01", "10", "11"]);
    assert_eq!(whole["usage"]["prompt_tokens"], 18);
    assert_eq!(whole["usage"]["completion_tokens"], 12);
}

#[test]
fn an_answer_without_an_end_is_not_passed_off_as_one() {
    let mut answer = ChatAnswer::new(head(), 1, false);
    answer.event(started());
    answer.event(text(0, "half"));
    assert_eq!(answer.finish(), None);
}

#[test]
fn fields_of_the_layers_below_are_renamed() {
    let renamed =
        |request, field: &str| fields::in_their_words(request, Error::invalid(field, "no")).field;
    assert_eq!(renamed(Request::Chat, "choices").as_deref(), Some("n"));
    assert_eq!(
        renamed(Request::Chat, "prompt").as_deref(),
        Some("messages")
    );
    assert_eq!(
        renamed(Request::Completion, "prompt").as_deref(),
        Some("prompt")
    );
    assert_eq!(
        renamed(Request::Completion, "max_completion_tokens").as_deref(),
        Some("max_tokens")
    );
    assert_eq!(
        renamed(Request::Embeddings, "inputs[3]").as_deref(),
        Some("input[3]")
    );
    assert_eq!(
        renamed(Request::Chat, "temperature").as_deref(),
        Some("temperature")
    );
    assert_eq!(renamed(Request::Chat, "sampling"), None);
}
