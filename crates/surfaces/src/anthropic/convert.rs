//! From Anthropic's request to the service's, and the service's errors in Anthropic's words.

use std::collections::HashSet;

use serde_json::{Map, Value};
use service::{
    ChatRequest, Error, GenerateOptions, OutputFormat, SamplingOptions, Tool, ToolChoice, WorkClass,
};

use super::conversation::{self, unsupported};
use super::types::{FormatBody, MessagesBody, ThinkingBody, ToolBody, ToolChoiceBody};

/// The service's own bound.
const TOOLS_MAX: usize = 128;
/// As the service's: each costs a scan per token.
const STOPS_MAX: usize = 16;
/// The protocol's bound.
const USER_ID_BYTES_MAX: usize = 256;
/// The protocol's least budget for reasoning.
const THINKING_TOKENS_MIN: u32 = 1024;
/// Fields that change the answer and are not built, and why. Empty values of them ask for nothing.
const REFUSED: &[(&str, &str)] = &[
    ("container", "there are no containers"),
    (
        "mcp_servers",
        "tools of MCP servers are called by the client here",
    ),
    ("context_management", "conversations are never edited"),
    ("max_tokens_to_sample", "use `max_tokens`"),
    ("prompt", "use `messages`"),
];

/// Refuses a body that asks for something we would otherwise silently leave out.
pub fn refuse_unsupported(body: &Value) -> Result<(), Error> {
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members
            .values()
            .all(|value| value.is_null() || value.as_array().is_some_and(Vec::is_empty)),
        _ => false,
    };
    for (name, why) in REFUSED {
        if body.get(*name).is_some_and(|value| !empty(value)) {
            return Err(unsupported(*name, why));
        }
    }
    Ok(())
}

/// Whether the client wants the model to reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thinking {
    /// It must not.
    Off,
    /// The model decides.
    Adaptive,
    /// It must; a model that cannot is refused.
    On,
}

/// The service's request, and how much the client wants to see of the model's reasoning. `counting`: only the prompt
/// matters.
pub fn chat_request(body: MessagesBody, counting: bool) -> Result<(ChatRequest, Thinking), Error> {
    if body.model.is_empty() {
        return Err(Error::invalid("model", "`model` is empty"));
    }
    let tokens_max = match body.max_tokens {
        None if counting => None,
        None => return Err(Error::invalid("max_tokens", "`max_tokens`: field required")),
        Some(0) => {
            return Err(Error::invalid(
                "max_tokens",
                "`max_tokens` must be at least 1",
            ));
        }
        some => some,
    };
    check_metadata(&body)?;
    let thinking = thinking(body.thinking.as_ref(), tokens_max)?;
    let tools = tools(body.tools.unwrap_or_default())?;
    let (tool_choice, parallel_tool_calls) = tool_choice(body.tool_choice.as_ref(), &tools)?;
    let mut template_variables = Map::new();
    // Templates of reasoning models read these; the others do not know them.
    template_variables.insert("enable_thinking".into(), (thinking != Thinking::Off).into());
    let (format, effort) = match body.output_config {
        Some(config) => (config.format.or(body.output_format), config.effort),
        None => (body.output_format, None),
    };
    if let Some(effort) = effort {
        if !["low", "medium", "high", "xhigh", "max"].contains(&effort.as_str()) {
            return Err(Error::invalid(
                "output_config.effort",
                "`output_config.effort` is low, medium, high, xhigh or max",
            ));
        }
        template_variables.insert("reasoning_effort".into(), effort.into());
    }
    let request = ChatRequest {
        model: body.model,
        messages: conversation::messages(body.system.as_ref(), body.messages)?,
        tools,
        tool_choice,
        parallel_tool_calls,
        output: output(format)?,
        template_variables,
        options: GenerateOptions {
            choices: 1,
            tokens_max,
            stop: stops(body.stop_sequences.unwrap_or_default())?,
            sampling: SamplingOptions {
                temperature: fraction("temperature", body.temperature)?,
                top_p: fraction("top_p", body.top_p)?,
                top_k: body.top_k,
                ..SamplingOptions::default()
            },
            class: WorkClass::Interactive,
            ..GenerateOptions::default()
        },
    };
    Ok((request, thinking))
}

fn check_metadata(body: &MessagesBody) -> Result<(), Error> {
    let user = body
        .metadata
        .as_ref()
        .and_then(|metadata| metadata.user_id.as_ref());
    if user.is_some_and(|user| user.len() > USER_ID_BYTES_MAX) {
        return Err(Error::invalid(
            "metadata.user_id",
            format!("`metadata.user_id` has at most {USER_ID_BYTES_MAX} bytes"),
        ));
    }
    match body.service_tier.as_deref() {
        None | Some("auto" | "standard_only") => Ok(()),
        Some(_) => Err(Error::invalid(
            "service_tier",
            "`service_tier` is auto or standard_only",
        )),
    }
}

fn fraction(field: &str, value: Option<f32>) -> Result<Option<f32>, Error> {
    match value {
        Some(number) if !(0.0..=1.0).contains(&number) => Err(Error::invalid(
            field,
            format!("`{field}` is {number}; it must be between 0 and 1"),
        )),
        other => Ok(other),
    }
}

fn stops(stops: Vec<String>) -> Result<Vec<String>, Error> {
    if stops.len() > STOPS_MAX {
        return Err(Error::invalid(
            "stop_sequences",
            format!("`stop_sequences` takes at most {STOPS_MAX}"),
        ));
    }
    // The protocol refuses white space alone; its clients rely on hearing of an empty one.
    if let Some(index) = stops.iter().position(|stop| stop.trim().is_empty()) {
        let field = format!("stop_sequences[{index}]");
        let message = format!("`{field}`: each stop sequence must contain non-whitespace");
        return Err(Error::invalid(field, message));
    }
    Ok(stops)
}

fn thinking(body: Option<&ThinkingBody>, tokens_max: Option<u32>) -> Result<Thinking, Error> {
    let Some(body) = body else {
        return Ok(Thinking::Off);
    };
    match body.kind.as_str() {
        "disabled" => Ok(Thinking::Off),
        "adaptive" => Ok(Thinking::Adaptive),
        "enabled" => {
            let field = "thinking.budget_tokens";
            let Some(budget) = body.budget_tokens else {
                return Err(Error::invalid(field, format!("`{field}`: field required")));
            };
            if budget < THINKING_TOKENS_MIN {
                return Err(Error::invalid(
                    field,
                    format!("`{field}` must be at least {THINKING_TOKENS_MIN}"),
                ));
            }
            if tokens_max.is_some_and(|most| budget >= most) {
                return Err(Error::invalid(
                    field,
                    format!("`max_tokens` must be greater than `{field}`"),
                ));
            }
            Ok(Thinking::On)
        }
        _ => Err(Error::invalid(
            "thinking.type",
            "`thinking.type` is enabled, adaptive or disabled",
        )),
    }
}

fn tools(bodies: Vec<ToolBody>) -> Result<Vec<Tool>, Error> {
    if bodies.len() > TOOLS_MAX {
        return Err(Error::invalid(
            "tools",
            format!("`tools` takes at most {TOOLS_MAX}"),
        ));
    }
    let mut names = HashSet::new();
    let mut tools = Vec::with_capacity(bodies.len());
    for (index, body) in bodies.into_iter().enumerate() {
        let path = format!("tools[{index}]");
        if body.kind.as_deref().is_some_and(|kind| kind != "custom") {
            return Err(unsupported(
                format!("{path}.type"),
                "only tools of the client are supported, with a name and an `input_schema`",
            ));
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        let field = format!("{path}.name");
        if body.name.is_empty() || body.name.len() > 64 || !body.name.bytes().all(plain) {
            let message = format!("`{field}` has 1 to 64 letters, digits, `_` and `-`");
            return Err(Error::invalid(field, message));
        }
        if !names.insert(body.name.clone()) {
            let message = format!(
                "`{field}`: tool names must be unique, {:?} is not",
                body.name
            );
            return Err(Error::invalid(field, message));
        }
        let Some(schema) = body.input_schema else {
            let field = format!("{path}.input_schema");
            let message = format!("`{field}`: field required");
            return Err(Error::invalid(field, message));
        };
        if schema.get("type").is_none_or(|kind| kind != "object") {
            let field = format!("{path}.input_schema.type");
            let message = format!("`{field}` must be \"object\"");
            return Err(Error::invalid(field, message));
        }
        tools.push(Tool {
            name: body.name,
            description: body.description,
            parameters: Value::Object(schema),
            strict: body.strict.unwrap_or(false),
        });
    }
    Ok(tools)
}

/// Which tools, and whether several calls in one turn are welcome.
fn tool_choice(body: Option<&ToolChoiceBody>, tools: &[Tool]) -> Result<(ToolChoice, bool), Error> {
    let Some(body) = body else {
        return Ok((ToolChoice::Auto, true));
    };
    let parallel = !body.disable_parallel_tool_use.unwrap_or(false);
    let choice = match body.kind.as_str() {
        "auto" => ToolChoice::Auto,
        "none" => ToolChoice::None,
        "any" => ToolChoice::Required,
        "tool" => {
            let field = "tool_choice.name";
            let name = body
                .name
                .as_ref()
                .ok_or_else(|| Error::invalid(field, format!("`{field}`: field required")))?;
            if !tools.iter().any(|tool| &tool.name == name) {
                return Err(Error::invalid(
                    field,
                    format!("`{field}`: there is no tool called {name:?} in `tools`"),
                ));
            }
            ToolChoice::Named(name.clone())
        }
        _ => {
            return Err(Error::invalid(
                "tool_choice.type",
                "`tool_choice.type` is auto, any, tool or none",
            ));
        }
    };
    if tools.is_empty() && matches!(choice, ToolChoice::Required) {
        return Err(Error::invalid("tool_choice", "`tool_choice` needs `tools`"));
    }
    Ok((choice, parallel))
}

fn output(format: Option<FormatBody>) -> Result<OutputFormat, Error> {
    let Some(format) = format else {
        return Ok(OutputFormat::Text);
    };
    if format.kind != "json_schema" {
        return Err(unsupported(
            "output_config.format.type",
            "it is json_schema",
        ));
    }
    match format.schema {
        Some(schema @ Value::Object(_)) => Ok(OutputFormat::JsonSchema(schema)),
        _ => Err(Error::invalid(
            "output_config.format.schema",
            "`output_config.format.schema` must be a JSON Schema",
        )),
    }
}

/// `error` with its field in Anthropic's spelling: the layers below have words of their own.
pub fn in_their_words(mut error: Error) -> Error {
    let Some(field) = &error.field else {
        return error;
    };
    let theirs = match field.as_str() {
        "max_completion_tokens" | "tokens_max" | "max_tokens" => "max_tokens".to_owned(),
        "stop" => "stop_sequences".to_owned(),
        "prompt" | "text" => "messages".to_owned(),
        "response_format.json_schema.schema" | "response_format" => {
            "output_config.format.schema".to_owned()
        }
        field if field.starts_with("tools[") => field
            .replace(".function.parameters", ".input_schema")
            .replace(".function.name", ".name"),
        _ => return error,
    };
    error.field = Some(theirs);
    error
}
