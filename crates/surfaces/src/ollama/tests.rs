//! What one request body means, and what one list of events looks like on the wire.

use std::sync::Arc;
use std::time::Duration;

use futures::stream;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use service::{
    Error, ErrorKind, FinishReason, GenerationEvent, Message, NewModelSource, OutputFormat, Role,
    Timing,
};
use tokio::time::Instant;

use super::convert::{self, Prompted, Thinking};
use super::reply::{Head, Lines, Route, Step, Whole};
use super::{catalog, conversation, in_their_words, options, sources};
use crate::body::read;
use crate::streaming;

#[test]
fn options_are_read_by_name_and_type() {
    let read = |value: Value| options::read(value.as_object());
    let all = read(json!({
        "temperature": 0.5, "top_p": 1, "min_p": 0.1, "typical_p": 0.9, "top_k": -1, "repeat_penalty": 1.1,
        "repeat_last_n": -1, "presence_penalty": 1, "frequency_penalty": 0.5, "seed": 42, "num_predict": 7,
        "num_ctx": 4096, "stop": ["a", ""], "num_gpu": "whatever", "nobody_knows": {}, "top_k_": null
    }))
    .expect("read");
    assert_eq!(all.sampling.temperature, Some(0.5));
    assert_eq!(all.sampling.top_k, Some(0));
    assert_eq!(all.sampling.repeat_last, Some(65_536));
    assert_eq!(all.sampling.seed, Some(42));
    assert_eq!(all.tokens_max, Some(7));
    assert_eq!(all.context_tokens, Some(4096));
    assert_eq!(all.stop, ["a"]);
    for (value, expected) in [
        (json!(-1), None),
        (json!(-2), None),
        (json!(0), None),
        (json!(3.0), Some(3)),
    ] {
        assert_eq!(
            read(json!({"num_predict": value}))
                .expect("read")
                .tokens_max,
            expected
        );
    }
    assert_eq!(read(json!({"seed": -1})).expect("read").sampling.seed, None);
    for bad in [
        json!({"temperature": "hot"}),
        json!({"top_k": 1.5}),
        json!({"num_ctx": 0}),
        json!({"num_ctx": -5}),
        json!({"stop": 3}),
        json!({"stop": ["a", 3]}),
        json!({"stop": vec!["a"; 17]}),
        json!({"seed": 1e300}),
    ] {
        let error = read(bad.clone()).expect_err(&bad.to_string());
        assert!(error.field.expect("field").starts_with("options."), "{bad}");
    }
}

/// A generation with `extra` fields.
fn generation(extra: Value) -> Result<convert::Generation, Error> {
    let mut body = json!({"model": "m"});
    for (name, value) in extra.as_object().expect("object") {
        body[name] = value.clone();
    }
    convert::generation(read(&body)?)
}

#[test]
fn what_chat_and_generate_share_is_read() {
    let plain = generation(json!({})).expect("read");
    assert!(plain.stream, "streams unless told not to");
    assert_eq!(plain.thinking, Thinking::Unsaid);
    assert!(plain.template_variables.is_empty());
    let full = generation(json!({
        "stream": false, "format": {"type": "object"}, "keep_alive": "5m", "think": "low",
        "logprobs": true, "top_logprobs": 3
    }))
    .expect("read");
    assert!(!full.stream);
    assert_eq!(
        full.output,
        OutputFormat::JsonSchema(json!({"type": "object"}))
    );
    assert_eq!(full.options.keep_alive, Some(Duration::from_secs(300)));
    assert_eq!(full.thinking, Thinking::On);
    assert_eq!(full.template_variables["reasoning_effort"], "low");
    assert_eq!(full.options.logprobs, Some(3));
    let off = generation(json!({"think": false})).expect("read");
    assert_eq!(off.template_variables["enable_thinking"], false);
    for (extra, field) in [
        (json!({"model": ""}), "model"),
        (json!({"model": null}), "model"),
        (json!({"format": "xml"}), "format"),
        (json!({"format": 3}), "format"),
        (json!({"think": "hard"}), "think"),
        (json!({"think": 3}), "think"),
        (json!({"keep_alive": "soon"}), "keep_alive"),
        (json!({"top_logprobs": 21}), "top_logprobs"),
        (json!({"options": {"top_p": "x"}}), "options.top_p"),
    ] {
        let error = generation(extra.clone()).err().expect("refused");
        assert_eq!(error.field.as_deref(), Some(field), "{extra}");
    }
}

fn messages(value: Value) -> Result<Vec<Message>, Error> {
    conversation::messages(serde_json::from_value(value).expect("messages"))
}

#[test]
fn results_find_the_calls_they_answer() {
    let call = |name: &str| json!({"function": {"name": name, "arguments": {"x": 1}}});
    let read = messages(json!([
        {"role": "user", "content": "?"},
        {"role": "assistant", "tool_calls": [call("f"), call("g"), call("h")], "thinking": "hm"},
        {"role": "tool", "content": "1", "tool_name": "g"},
        {"role": "tool", "content": "2"},
        {"role": "tool", "content": "3", "tool_call_id": "mine"},
        {"role": "tool", "content": "4", "tool_name": "nobody"},
        {"role": "tool", "content": "5"}
    ]))
    .expect("read");
    assert_eq!(read[1].role, Role::Assistant);
    assert_eq!(read[1].reasoning.as_deref(), Some("hm"));
    assert_eq!(read[1].tool_calls[0].arguments, r#"{"x":1}"#);
    let answered: Vec<_> = read[2..]
        .iter()
        .filter_map(|message| message.tool_call_id.as_deref())
        .collect();
    assert_eq!(
        answered,
        ["call_1_1", "call_1_0", "mine", "call_1_2", "call_6"]
    );
}

#[test]
fn bad_messages_are_named() {
    for (value, field) in [
        (json!([{"role": "robot"}]), "messages[0].role"),
        (
            json!([{"role": "user", "images": ["x"]}]),
            "messages[0].images",
        ),
        (
            json!([{"role": "user", "tool_calls": [{"function": {"name": "f"}}]}]),
            "messages[0].tool_calls",
        ),
    ] {
        let error = messages(value.clone()).expect_err("refused");
        assert_eq!(error.field.as_deref(), Some(field), "{value}");
    }
}

#[test]
fn a_prompt_is_a_turn_or_raw() {
    let prompted = |extra: Value| {
        let mut body = json!({"prompt": "hi"});
        for (name, value) in extra.as_object().expect("object") {
            body[name] = value.clone();
        }
        let generation = generation(json!({})).expect("generation");
        convert::prompted(generation, read(&body)?)
    };
    let Ok(Prompted::Chat(chat)) = prompted(json!({"system": "s", "context": [1, 2]})) else {
        panic!("a chat");
    };
    let turns: Vec<_> = chat
        .messages
        .iter()
        .map(|turn| turn.content.as_str())
        .collect();
    assert_eq!(turns, ["s", "hi"]);
    assert_eq!(chat.options.prefix_tokens, [1, 2]);
    assert!(matches!(
        prompted(json!({"raw": true})),
        Ok(Prompted::Raw(_))
    ));
    for (extra, field) in [
        (json!({"suffix": "x"}), "suffix"),
        (json!({"template": "x"}), "template"),
        (json!({"raw": true, "system": "x"}), "raw"),
        (json!({"raw": true, "context": [1]}), "raw"),
        (json!({"images": ["x"]}), "images"),
        (json!({"context": [-1]}), "context[0]"),
    ] {
        let error = prompted(extra.clone()).err().expect("refused");
        assert_eq!(error.field.as_deref(), Some(field), "{extra}");
    }
}

#[test]
fn sources_of_pulls_are_places_and_never_files_of_the_server() {
    let source =
        |name: &str| sources::pull_request(name).map(|request| (request.source, request.name));
    let named = |source: &str, name: &str| Some((source.to_owned(), Some(name.to_owned())));
    assert_eq!(
        source("hf.co/o/r:Q4_K_M"),
        named("hf:o/r:Q4_K_M", "hf.co/o/r:Q4_K_M")
    );
    assert_eq!(
        source("https://huggingface.co/o/r"),
        named("hf:o/r", "huggingface.co/o/r")
    );
    let url = "https://example.com/m.gguf";
    assert_eq!(source(url), Some((url.to_owned(), None)));
    assert_eq!(source("hf:o/r"), Some(("hf:o/r".to_owned(), None)));
    for name in [
        "llama3.2",
        "file:/etc/passwd",
        "/etc/passwd",
        "../x",
        "hf.co/o",
    ] {
        assert_eq!(source(name), None, "{name}");
    }
}

#[test]
fn a_model_is_made_of_one_thing_and_keeps_what_the_store_can_keep() {
    let made = |extra: Value| {
        let mut body = json!({"model": "m"});
        for (name, value) in extra.as_object().expect("object") {
            body[name] = value.clone();
        }
        sources::new_model(read(&body)?)
    };
    let new = made(
        json!({"from": "a", "system": "s", "parameters": {"temperature": 0, "num_ctx": 64, "stop": "x"}}),
    );
    let new = new.expect("made");
    assert_eq!(new.source, NewModelSource::Model("a".into()));
    assert_eq!(new.defaults.system.as_deref(), Some("s"));
    assert_eq!(new.defaults.context_tokens, Some(64));
    assert_eq!(new.defaults.stop, ["x"]);
    let upload = made(json!({"files": {"m.GGUF": "sha256:1"}})).expect("made");
    assert!(matches!(upload.source, NewModelSource::Upload { .. }));
    for (extra, field) in [
        (json!({}), "from"),
        (json!({"model": "", "from": "a"}), "model"),
        (json!({"from": "a", "files": {"m.gguf": "d"}}), "files"),
        (json!({"files": {"m.gguf": "d", "n.gguf": "e"}}), "files"),
        (json!({"files": {"m.safetensors": "d"}}), "files"),
        (json!({"from": "a", "template": "t"}), "template"),
        (json!({"from": "a", "quantize": "q4_0"}), "quantize"),
        (json!({"from": "a", "license": ["l"]}), "license"),
        (json!({"from": "a", "messages": [{}]}), "messages"),
        (json!({"modelfile": "FROM a"}), "modelfile"),
        (
            json!({"from": "a", "parameters": {"seed": 1}}),
            "parameters.seed",
        ),
    ] {
        let error = made(extra.clone()).expect_err("refused");
        assert_eq!(error.field.as_deref(), Some(field), "{extra}");
    }
}

fn head(route: Route) -> Head {
    Head {
        route,
        model: "m".into(),
        now_unix: Arc::new(|| 1_800_000_000),
        began: Instant::now(),
        load: Duration::from_millis(5),
    }
}

fn step(event: GenerationEvent) -> Step {
    Step {
        event,
        context: None,
    }
}

fn answer() -> Vec<Step> {
    let text = |text: &str| GenerationEvent::Text {
        choice: 0,
        text: text.into(),
        logprobs: Vec::new(),
    };
    let fragment = |index: u32, fragment: &str| GenerationEvent::ToolCallArguments {
        choice: 0,
        index,
        fragment: fragment.into(),
    };
    let call = |index: u32| GenerationEvent::ToolCallStarted {
        choice: 0,
        index,
        id: format!("c{index}"),
        name: "f".into(),
    };
    let finished = GenerationEvent::Finished {
        choice: 0,
        reason: FinishReason::ToolCalls,
        output_tokens: 9,
        timing: Timing {
            prefill: Duration::from_micros(2),
            decode: Duration::from_micros(3),
        },
    };
    let events = vec![
        GenerationEvent::Started {
            prompt_tokens: 7,
            cached_tokens: 0,
            prompt_logprobs: Vec::new(),
            prompt_text: None,
        },
        GenerationEvent::Reasoning {
            choice: 0,
            text: "hm".into(),
        },
        text("I "),
        text(""),
        text("look."),
        call(0),
        fragment(0, "{\"x\""),
        fragment(0, ": 1}"),
        call(1),
        fragment(1, "{}"),
        finished,
    ];
    events.into_iter().map(step).collect()
}

fn whole(route: Route, steps: Vec<Step>) -> Value {
    let mut answer = Whole::new(head(route));
    for step in steps {
        answer.add(step);
    }
    answer.finish().expect("whole")
}

async fn lines(steps: Vec<Result<Step, Error>>) -> Vec<Value> {
    let lines = Lines::new(head(Route::Chat));
    let events = Box::pin(stream::iter(steps));
    let response = streaming::respond(events, lines, Duration::from_secs(5))
        .await
        .expect("response");
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    let body = response.into_body().collect().await.expect("body");
    let text = String::from_utf8(body.to_bytes().to_vec()).expect("UTF-8");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

#[test]
fn a_whole_chat_says_everything_at_once() {
    let reply = whole(Route::Chat, answer());
    assert_eq!(
        reply["message"],
        json!({
            "role": "assistant", "content": "I look.", "thinking": "hm",
            "tool_calls": [
                {"id": "c0", "function": {"index": 0, "name": "f", "arguments": {"x": 1}}},
                {"id": "c1", "function": {"index": 1, "name": "f", "arguments": {}}},
            ]
        })
    );
    assert_eq!(reply["created_at"], "2027-01-15T08:00:00Z");
    assert_eq!(reply["done"], true);
    assert_eq!(reply["done_reason"], "stop");
    assert_eq!(reply["prompt_eval_count"], 7);
    assert_eq!(reply["eval_count"], 9);
    assert_eq!(reply["load_duration"], 5_000_000);
    assert_eq!(reply["prompt_eval_duration"], 2_000);
    assert_eq!(reply["eval_duration"], 3_000);
    assert!(reply["total_duration"].as_u64().expect("number") > 0);
    assert!(reply.get("context").is_none());
}

#[test]
fn a_prompts_answer_has_its_own_words() {
    let mut steps = answer();
    if let Some(last) = steps.last_mut() {
        last.context = Some(vec![1, 2]);
    }
    let reply = whole(Route::Generate, steps);
    assert_eq!(reply["response"], "I look.");
    assert_eq!(reply["thinking"], "hm");
    assert_eq!(reply["context"], json!([1, 2]));
    assert!(reply.get("message").is_none());
}

#[tokio::test]
async fn lines_say_what_the_whole_says_and_only_the_last_is_done() {
    let lines = lines(answer().into_iter().map(Ok).collect()).await;
    let joined = |name: &str| -> String {
        lines
            .iter()
            .filter_map(|line| line["message"][name].as_str())
            .collect()
    };
    assert_eq!(joined("content"), "I look.");
    assert_eq!(joined("thinking"), "hm");
    let calls: Vec<&Value> = lines
        .iter()
        .filter_map(|line| line["message"]["tool_calls"].as_array())
        .flatten()
        .collect();
    assert_eq!(calls.len(), 2, "each call once, and whole");
    let done: Vec<bool> = lines
        .iter()
        .filter_map(|line| line["done"].as_bool())
        .collect();
    assert_eq!(done.iter().filter(|done| **done).count(), 1);
    assert_eq!(done.last(), Some(&true));
    assert_eq!(lines[lines.len() - 1]["eval_count"], 9);
}

#[tokio::test]
async fn an_error_in_the_middle_is_the_last_line() {
    let mut steps: Vec<_> = answer().into_iter().take(3).map(Ok).collect();
    steps.push(Err(Error::new(ErrorKind::ModelFailed, "died")));
    let lines = lines(steps).await;
    assert_eq!(lines.last(), Some(&json!({"error": "died"})));
}

#[test]
fn parameters_are_counted_as_ollama_counts_them() {
    for (count, expected) in [
        (999, "999"),
        (512_000, "512K"),
        (22_713_216, "22.71M"),
        (8_030_000_000, "8.0B"),
    ] {
        assert_eq!(catalog::parameter_size(count), expected);
    }
}

#[test]
fn a_missing_model_is_said_in_the_words_that_clients_look_for() {
    let error = Error::new(
        ErrorKind::NotFound,
        "The model 'minilm-' does not exist. Did you mean 'minilm'?",
    )
    .with_code("model_not_found");
    let said = in_their_words(error, "minilm-").message;
    assert_eq!(said, "model 'minilm-' not found. Did you mean 'minilm'?");
    let other = in_their_words(Error::new(ErrorKind::Overloaded, "full"), "m");
    assert_eq!(other.message, "full");
}
