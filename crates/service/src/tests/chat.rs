//! What a chat becomes for the runner, and what its events become for the caller.

use inference::runner::protocol::constraint::Grammar;
use inference::runner::protocol::generate_request::Prompt as Wire;
use serde_json::json;

use super::scripted::{accepted, finished, text, token};
use super::*;
use crate::{CompletionRequest, FinishReason, Prompt, Timing, Tool};

fn weather() -> Tool {
    Tool {
        name: "get_weather".into(),
        description: None,
        parameters: json!({"type": "object", "properties": {"city": {"type": "string"}}}),
        strict: true,
    }
}

const CALL: [&str; 6] = [
    "I look.\n<tool",
    "_call>\n{\"name\": \"get_",
    "weather\", \"arguments\": {\"ci",
    "ty\": \"Os",
    "lo\"}}\n</tool_",
    "call>",
];

fn called() -> Reply {
    let mut steps = vec![accepted()];
    steps.extend(CALL.map(|piece| text(0, piece)));
    steps.push(finished(0, "stop"));
    Reply::Events(steps)
}

#[tokio::test]
async fn text_streams_as_the_runner_gives_it() {
    let bench = bench(vec![Reply::Events(vec![
        accepted(),
        text(0, "Hel"),
        text(0, "lo"),
        finished(0, "length"),
    ])])
    .await;
    let mut request = chat("tiny");
    request.options.stop = vec!["END".into()];
    request.options.sampling.seed = Some(7);
    let generation = bench
        .service
        .chat(&user(), request)
        .await
        .expect("accepted");
    assert_eq!(
        (generation.id.len(), generation.model.as_str()),
        (29, "tiny")
    );
    assert!(
        generation.fingerprint.len() == 12
            && generation
                .fingerprint
                .bytes()
                .all(|byte| byte.is_ascii_hexdigit()),
        "{}",
        generation.fingerprint
    );
    let events = collect(generation).await.expect("events");
    assert_eq!(
        events,
        [
            GenerationEvent::Started {
                prompt_tokens: 7,
                cached_tokens: 3,
                prompt_logprobs: vec![],
                prompt_text: None
            },
            GenerationEvent::Text {
                choice: 0,
                text: "Hel".into(),
                logprobs: vec![]
            },
            GenerationEvent::Text {
                choice: 0,
                text: "lo".into(),
                logprobs: vec![]
            },
            GenerationEvent::Finished {
                choice: 0,
                reason: FinishReason::Length,
                output_tokens: 4,
                timing: Timing::default(),
            },
        ]
    );
    let wire = bench.runtime.request(0);
    assert_eq!(wire.prompt, Some(Wire::Text("user: Hi\nassistant:".into())));
    assert!(wire.add_special && wire.parse_special && !wire.emit_special);
    assert_eq!(
        (wire.stop, wire.constraint, wire.choices),
        (vec!["END".to_owned()], None, 1)
    );
    assert_eq!(wire.sampling.and_then(|sampling| sampling.seed), Some(7));
    assert_eq!(wire.tenant, "acme");
}

#[tokio::test]
async fn a_tool_call_is_read_out_of_the_text() {
    let bench = bench(vec![called()]).await;
    let mut request = chat("tiny");
    request.tools = vec![weather()];
    let events = collect(
        bench
            .service
            .chat(&user(), request)
            .await
            .expect("accepted"),
    )
    .await
    .expect("events");
    assert_eq!(text_of(&events), "I look.");
    let mut arguments = String::new();
    let mut calls = Vec::new();
    for event in &events {
        match event {
            GenerationEvent::ToolCallStarted {
                index, id, name, ..
            } => {
                assert!(id.starts_with("call_") && id.len() == 29, "{id}");
                calls.push((*index, name.clone()));
            }
            GenerationEvent::ToolCallArguments { fragment, .. } => arguments.push_str(fragment),
            _ => {}
        }
    }
    assert_eq!(calls, [(0, "get_weather".to_owned())]);
    assert_eq!(arguments, "{\"city\": \"Oslo\"}");
    assert!(matches!(
        events.last(),
        Some(GenerationEvent::Finished {
            reason: FinishReason::ToolCalls,
            ..
        })
    ));
    let wire = bench.runtime.request(0);
    assert!(
        matches!(wire.constraint.and_then(|c| c.grammar), Some(Grammar::Lark(lark)) if lark.contains("get_weather"))
    );
    assert!(
        matches!(wire.prompt, Some(Wire::Text(prompt)) if prompt.starts_with("<tool_call> tools: [{\"type\": \"function\""))
    );
}

#[tokio::test]
async fn tools_that_may_not_be_called_are_neither_shown_nor_read() {
    let bench = bench(vec![called()]).await;
    let mut request = chat("tiny");
    request.tools = vec![weather()];
    request.tool_choice = ToolChoice::None;
    let events = collect(
        bench
            .service
            .chat(&user(), request)
            .await
            .expect("accepted"),
    )
    .await
    .expect("events");
    assert_eq!(text_of(&events), CALL.concat());
    let wire = bench.runtime.request(0);
    assert_eq!(wire.constraint, None);
    assert_eq!(wire.prompt, Some(Wire::Text("user: Hi\nassistant:".into())));
}

#[tokio::test]
async fn each_output_format_has_its_constraint() {
    let schema = json!({"type": "object"});
    for (output, expected) in [
        (OutputFormat::JsonObject, Grammar::JsonObject(true)),
        (
            OutputFormat::JsonSchema(schema.clone()),
            Grammar::JsonSchema(schema.to_string()),
        ),
        (
            OutputFormat::Regex("a+".into()),
            Grammar::Regex("a+".into()),
        ),
        (
            OutputFormat::Lark("start: \"a\"".into()),
            Grammar::Lark("start: \"a\"".into()),
        ),
    ] {
        let bench = bench(vec![Reply::Events(vec![accepted(), finished(0, "stop")])]).await;
        let mut request = chat("tiny");
        request.output = output;
        bench
            .service
            .chat(&user(), request)
            .await
            .expect("accepted");
        let wire = bench.runtime.request(0);
        assert_eq!(
            wire.constraint.and_then(|constraint| constraint.grammar),
            Some(expected)
        );
    }
}

#[tokio::test]
async fn a_raw_completion_gives_the_end_tokens_logprob_and_a_chat_does_not() {
    let end = || {
        text(0, "").map(|mut event| {
            event.logprobs = token("</s>").expect("event").logprobs;
            event
        })
    };
    let steps = || Reply::Events(vec![accepted(), token("a"), end(), finished(0, "stop")]);
    let bench = bench(vec![steps(), steps()]).await;
    let options = GenerateOptions {
        logprobs: Some(0),
        ..GenerateOptions::default()
    };
    let completion = crate::CompletionRequest {
        model: "tiny".into(),
        prompt: crate::Prompt::Text("a".into()),
        echo: false,
        output: OutputFormat::Text,
        options: options.clone(),
    };
    let raw = bench.service.complete(&user(), completion).await;
    let mut request = chat("tiny");
    request.options = options;
    let turn = bench.service.chat(&user(), request).await;
    for (generation, expected) in [(raw, vec!["a", "</s>"]), (turn, vec!["a"])] {
        let events = collect(generation.expect("accepted"))
            .await
            .expect("events");
        let mut tokens = Vec::new();
        for event in &events {
            if let GenerationEvent::Text { logprobs, .. } = event {
                tokens.extend(logprobs.iter().map(|token| token.bytes.clone()));
            }
        }
        assert_eq!(
            tokens,
            expected
                .iter()
                .map(|text| text.as_bytes())
                .collect::<Vec<_>>()
        );
        assert_eq!(text_of(&events), "a");
    }
}

#[tokio::test]
async fn logprobs_follow_the_content_and_leave_the_calls() {
    let mut steps = vec![accepted()];
    let pieces = [
        "I ",
        "look",
        "\n",
        "<tool_call>",
        "{\"name\": \"get_weather\", \"arguments\": {}",
        "}</tool_call>",
    ];
    steps.extend(pieces.map(token));
    steps.push(finished(0, "stop"));
    let bench = bench(vec![Reply::Events(steps)]).await;
    let mut request = chat("tiny");
    request.tools = vec![weather()];
    request.options.logprobs = Some(0);
    let events = collect(
        bench
            .service
            .chat(&user(), request)
            .await
            .expect("accepted"),
    )
    .await
    .expect("events");
    let bytes: Vec<u8> = events
        .iter()
        .filter_map(|event| match event {
            GenerationEvent::Text { logprobs, .. } => Some(logprobs),
            _ => None,
        })
        .flatten()
        .flat_map(|token| token.bytes.clone())
        .collect();
    assert_eq!(String::from_utf8(bytes).expect("text"), "I look");
}

#[tokio::test]
async fn several_choices_end_one_by_one() {
    let bench = bench(vec![Reply::Events(vec![
        accepted(),
        text(1, "b"),
        text(0, "a"),
        finished(0, "stop"),
        text(1, "B"),
        finished(1, "stop"),
    ])])
    .await;
    let mut request = chat("tiny");
    request.options.choices = 2;
    let events = collect(
        bench
            .service
            .chat(&user(), request)
            .await
            .expect("accepted"),
    )
    .await
    .expect("events");
    assert_eq!(text_of(&events), "baB");
    let ends = events
        .iter()
        .filter(|event| matches!(event, GenerationEvent::Finished { .. }));
    assert_eq!(ends.count(), 2);
    assert_eq!(bench.runtime.request(0).choices, 2);
}

#[tokio::test]
async fn a_model_without_a_template_talks_in_paragraphs() {
    let bench = bench(vec![Reply::Events(vec![accepted(), finished(0, "stop")])]).await;
    bench
        .service
        .chat(&user(), chat("plain"))
        .await
        .expect("accepted");
    let wire = bench.runtime.request(0);
    assert_eq!(
        wire.prompt,
        Some(Wire::Text("User: Hi\n\nAssistant:".into()))
    );
    assert_eq!(wire.stop, ["\nUser:", "\nAssistant:"]);
}

#[tokio::test]
async fn a_completion_echoes_its_prompt() {
    for (prompt, expected) in [
        (Prompt::Text("To be".into()), "To be"),
        (Prompt::Tokens(vec![84, 111]), "To"),
    ] {
        let bench = bench(vec![Reply::Events(vec![accepted(), finished(0, "length")])]).await;
        let mut options = GenerateOptions {
            tokens_max: Some(0),
            ..GenerateOptions::default()
        };
        options.logprobs = Some(1);
        let request = CompletionRequest {
            model: "tiny".into(),
            prompt,
            echo: true,
            output: OutputFormat::Text,
            options,
        };
        let generation = bench
            .service
            .complete(&user(), request)
            .await
            .expect("accepted");
        let events = collect(generation).await.expect("events");
        assert!(
            matches!(&events[0], GenerationEvent::Started { prompt_text: Some(text), .. } if text == expected)
        );
        let wire = bench.runtime.request(0);
        assert!(wire.echo_logprobs && wire.add_special && !wire.parse_special);
        assert_eq!(wire.tokens_max, Some(0));
    }
}
