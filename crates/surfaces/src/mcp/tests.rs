//! What the tools say of themselves, and what their arguments become.

use serde_json::{Value, json};
use service::{Error, ErrorKind, Role};

use super::types::{EmbedArguments, GenerateArguments};
use super::{convert, tools};
use crate::body::read;

#[test]
fn every_tool_is_declared_in_full() {
    let mut names = std::collections::BTreeSet::new();
    for tool in tools::all() {
        let definition = &tool.definition;
        let name = definition.name.as_ref();
        assert!(names.insert(name.to_owned()), "{name} twice");
        assert!(
            name.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
            "{name}"
        );
        assert!(definition.title.is_some(), "{name}");
        let description = definition.description.as_deref().unwrap_or_default();
        assert!(
            description.ends_with('.') && !description.contains("  "),
            "{name}: {description}"
        );
        let output = definition.output_schema.as_ref().expect("output schema");
        for schema in [&definition.input_schema, output] {
            assert_eq!(
                schema["$schema"],
                "https://json-schema.org/draft/2020-12/schema"
            );
            assert_eq!(schema["type"], "object", "{name}");
            let text = Value::Object(schema.as_ref().clone()).to_string();
            assert!(!text.contains("$ref"), "{name}: {text}");
        }
        assert_eq!(
            definition.input_schema["additionalProperties"], false,
            "{name}"
        );
        for (field, facts) in definition
            .input_schema
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            assert!(facts["description"].is_string(), "{name}.{field}");
        }
    }
}

fn generate(arguments: Value) -> Result<service::ChatRequest, Error> {
    convert::chat_request(read::<GenerateArguments>(&arguments)?)
}

#[test]
fn arguments_of_generate_become_a_conversation() {
    let request = generate(json!({
        "model": "m", "prompt": "Hi", "system": "Be brief.", "max_tokens": 5, "temperature": 0, "seed": 7, "stop": ["."],
        "json_schema": {"type": "string"}
    }))
    .expect("accepted");
    let turns: Vec<_> = request
        .messages
        .iter()
        .map(|message| (message.role, message.content.as_str()))
        .collect();
    assert_eq!(turns, [(Role::System, "Be brief."), (Role::User, "Hi")]);
    assert_eq!(request.options.tokens_max, Some(5));
    assert_eq!(request.options.sampling.temperature, Some(0.0));
    assert_eq!(request.options.sampling.seed, Some(7));
    assert_eq!(request.options.stop, ["."]);
    let schema = service::OutputFormat::JsonSchema(json!({"type": "string"}));
    assert_eq!(request.output, schema);

    let messages = json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]);
    let request = generate(json!({"model": "m", "messages": messages})).expect("accepted");
    assert_eq!(request.messages[1].role, Role::Assistant);
}

#[test]
fn wrong_arguments_are_named() {
    let many = vec!["x"; 17];
    for (arguments, field) in [
        (json!({"prompt": "x"}), "model"),
        (json!({"model": "m"}), "prompt"),
        (
            json!({"model": "m", "prompt": "x", "messages": []}),
            "prompt",
        ),
        (json!({"model": "m", "messages": []}), "messages"),
        (
            json!({"model": "m", "messages": [{"role": "robot", "content": "x"}]}),
            "messages[0].role",
        ),
        (
            json!({"model": "m", "prompt": "x", "temperature": 2.1}),
            "temperature",
        ),
        (json!({"model": "m", "prompt": "x", "top_p": -1}), "top_p"),
        (
            json!({"model": "m", "prompt": "x", "max_tokens": 0}),
            "max_tokens",
        ),
        (
            json!({"model": "m", "prompt": "x", "max_tokens": -1}),
            "max_tokens",
        ),
        (json!({"model": "m", "prompt": "x", "stop": [""]}), "stop"),
        (json!({"model": "m", "prompt": "x", "stop": many}), "stop"),
        (json!({"model": "m", "prompt": "x", "tone": 1}), "tone"),
    ] {
        let error = generate(arguments.clone()).expect_err(&arguments.to_string());
        assert_eq!(error.kind, ErrorKind::InvalidRequest, "{arguments}");
        assert_eq!(error.field.as_deref(), Some(field), "{}", error.message);
    }
    let embed = |texts: Value| {
        let arguments = read::<EmbedArguments>(&json!({"model": "m", "texts": texts}));
        convert::embed_request(arguments.expect("shape"))
    };
    assert!(embed(json!([])).is_err());
    assert!(embed(json!(vec!["x"; convert::TEXTS_MAX + 1])).is_err());
    assert!(embed(json!(["x"])).is_ok());
}

#[test]
fn a_tools_error_is_told_to_the_model_and_to_machines() {
    let error = Error::invalid("texts", "`texts` takes 1 to 256")
        .with_code("c")
        .retry_after(std::time::Duration::from_millis(1500));
    let result = serde_json::to_value(convert::tool_result(Err(error))).expect("JSON");
    assert_eq!(result["isError"], true);
    assert_eq!(result["content"][0]["text"], "`texts` takes 1 to 256");
    let facts =
        json!({"kind": "invalid_request", "field": "texts", "code": "c", "retryAfterMs": 1500});
    assert_eq!(result["_meta"]["fornax/error"], facts);
    assert!(result.get("structuredContent").is_none());
}

#[test]
fn an_answer_is_structured_and_also_text() {
    let result = convert::tool_result(Ok(json!({"models": []})));
    let result = serde_json::to_value(result).expect("JSON");
    assert_eq!(result["structuredContent"], json!({"models": []}));
    assert_eq!(result["content"][0]["text"], "{\"models\":[]}");
    assert_eq!(result["isError"], false);
}
