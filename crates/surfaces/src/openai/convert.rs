//! From OpenAI's chat, completion and embedding requests to the service's.

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use service::{
    ChatRequest, CompletionRequest, EmbedRequest, Embeddings, Error, GenerateOptions, Message,
    Prompt, Role, Tool, ToolCall, ToolChoice,
};

use super::fields::unsupported;
use super::prompts;
use super::replies::{EmbeddingItem, EmbeddingList, EmbeddingUsage, EmbeddingValue};
use super::settings::{self, TOP_LOGPROBS_MAX};
use super::types::{
    ChatBody, CompletionBody, EmbeddingsBody, GenerationBody, MessageBody, ToolBody, ToolCallBody,
};
use crate::duration;

/// OpenAI's own bound.
const TOOLS_MAX: usize = 128;
/// Longest conversation. A turn costs a few dozen bytes of template; the context is full long before.
const MESSAGES_MAX: usize = 8192;
/// OpenAI's default for raw completions.
const COMPLETION_TOKENS_DEFAULT: u32 = 16;

/// The service's request for a chat.
pub fn chat_request(body: ChatBody, generation: &GenerationBody) -> Result<ChatRequest, Error> {
    let mut options = settings::generate_options(generation)?;
    options.tokens_max = chat_tokens_max(&body)?;
    options.logprobs = chat_logprobs(&body)?;
    let tools = tools(body.tools.unwrap_or_default())?;
    let mut template_variables = body.chat_template_kwargs.unwrap_or_default();
    // Templates of reasoning models read these; the others do not know them.
    for (name, value) in [
        ("reasoning_effort", body.reasoning_effort),
        ("verbosity", body.verbosity),
    ] {
        if let Some(value) = value {
            template_variables
                .entry(name)
                .or_insert(Value::String(value));
        }
    }
    Ok(ChatRequest {
        model: model(body.model)?,
        messages: messages(body.messages)?,
        tool_choice: tool_choice(body.tool_choice.as_ref(), &tools)?,
        tools,
        parallel_tool_calls: body.parallel_tool_calls.unwrap_or(true),
        output: settings::output_format(generation)?,
        template_variables,
        options,
    })
}

fn model(name: String) -> Result<String, Error> {
    if name.is_empty() {
        return Err(Error::invalid("model", "`model` is empty"));
    }
    Ok(name)
}

fn chat_tokens_max(body: &ChatBody) -> Result<Option<u32>, Error> {
    let (field, tokens) = match (body.max_completion_tokens, body.max_tokens) {
        (Some(tokens), _) => ("max_completion_tokens", Some(tokens)),
        (None, tokens) => ("max_tokens", tokens),
    };
    if tokens == Some(0) {
        return Err(Error::invalid(
            field,
            format!("`{field}` must be at least 1"),
        ));
    }
    Ok(tokens)
}

fn chat_logprobs(body: &ChatBody) -> Result<Option<u32>, Error> {
    let asked = body.logprobs.unwrap_or(false);
    match body.top_logprobs {
        Some(top) if top > TOP_LOGPROBS_MAX => Err(Error::invalid(
            "top_logprobs",
            format!("`top_logprobs` is at most {TOP_LOGPROBS_MAX}"),
        )),
        Some(top) if top > 0 && !asked => Err(Error::invalid(
            "top_logprobs",
            "`top_logprobs` needs `logprobs: true`",
        )),
        top => Ok(asked.then_some(top.unwrap_or(0))),
    }
}

fn messages(bodies: Vec<MessageBody>) -> Result<Vec<Message>, Error> {
    if bodies.is_empty() {
        return Err(Error::invalid("messages", "`messages` is empty"));
    }
    if bodies.len() > MESSAGES_MAX {
        return Err(Error::invalid(
            "messages",
            format!("`messages` takes at most {MESSAGES_MAX}"),
        ));
    }
    bodies
        .into_iter()
        .enumerate()
        .map(|(index, body)| message(&format!("messages[{index}]"), body))
        .collect()
}

fn message(path: &str, body: MessageBody) -> Result<Message, Error> {
    let role = match body.role.as_str() {
        "system" => Role::System,
        "developer" => Role::Developer,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => Role::Tool,
        "function" => {
            return Err(unsupported(
                format!("{path}.role"),
                "use the role `tool` with `tool_call_id`",
            ));
        }
        _ => {
            let message =
                format!("`{path}.role` must be system, developer, user, assistant or tool");
            return Err(Error::invalid(format!("{path}.role"), message));
        }
    };
    if body.function_call.is_some() {
        return Err(unsupported(
            format!("{path}.function_call"),
            "use `tool_calls`",
        ));
    }
    if body.audio.is_some() {
        return Err(unsupported(
            format!("{path}.audio"),
            "audio is not supported",
        ));
    }
    let calls = body.tool_calls.unwrap_or_default();
    if !calls.is_empty() && role != Role::Assistant {
        return Err(Error::invalid(
            format!("{path}.tool_calls"),
            "only an assistant's message has `tool_calls`",
        ));
    }
    if role == Role::Tool && body.tool_call_id.is_none() {
        let field = format!("{path}.tool_call_id");
        return Err(Error::invalid(
            field,
            "a tool's message needs `tool_call_id`",
        ));
    }
    let content = match (content(path, body.content.as_ref())?, body.refusal) {
        (Some(text), _) => text,
        (None, Some(refusal)) if role == Role::Assistant => refusal,
        // An assistant's turn may be calls, or reasoning, alone.
        (None, _)
            if role == Role::Assistant
                && (!calls.is_empty() || body.reasoning_content.is_some()) =>
        {
            String::new()
        }
        (None, _) => {
            return Err(Error::invalid(
                format!("{path}.content"),
                format!("`{path}.content` is required"),
            ));
        }
    };
    Ok(Message {
        role,
        content,
        name: body.name,
        reasoning: body.reasoning_content,
        tool_calls: calls
            .into_iter()
            .enumerate()
            .map(|(index, call)| tool_call(&format!("{path}.tool_calls[{index}]"), call))
            .collect::<Result<_, _>>()?,
        tool_call_id: body.tool_call_id,
    })
}

/// Text, or text parts, which are joined by line breaks as other servers do.
fn content(path: &str, value: Option<&Value>) -> Result<Option<String>, Error> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(Value::Array(parts)) => {
            let mut texts = Vec::with_capacity(parts.len());
            for (index, part) in parts.iter().enumerate() {
                texts.push(part_text(&format!("{path}.content[{index}]"), part)?);
            }
            Ok(Some(texts.join("\n")))
        }
        Some(_) => {
            let field = format!("{path}.content");
            let message = format!("`{field}` is a string or an array of parts");
            Err(Error::invalid(field, message).with_code("invalid_type"))
        }
    }
}

fn part_text<'a>(path: &str, part: &'a Value) -> Result<&'a str, Error> {
    let kind = part.get("type").and_then(Value::as_str);
    let name = match kind {
        Some("text" | "input_text" | "output_text") => "text",
        Some("refusal") => "refusal",
        Some(other) => {
            return Err(unsupported(
                format!("{path}.type"),
                &format!("only text parts are supported, not `{other}`"),
            ));
        }
        None => {
            return Err(Error::invalid(
                format!("{path}.type"),
                format!("`{path}.type` is required"),
            ));
        }
    };
    part.get(name).and_then(Value::as_str).ok_or_else(|| {
        let field = format!("{path}.{name}");
        let message = format!("`{field}` must be a string");
        Error::invalid(field, message).with_code("invalid_type")
    })
}

fn tool_call(path: &str, call: ToolCallBody) -> Result<ToolCall, Error> {
    if call.kind.as_deref().is_some_and(|kind| kind != "function") {
        return Err(unsupported(
            format!("{path}.type"),
            "only calls of functions are supported",
        ));
    }
    Ok(ToolCall {
        id: call.id,
        name: call.function.name,
        arguments: call.function.arguments,
    })
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
        if body.kind != "function" {
            return Err(unsupported(
                format!("{path}.type"),
                "only tools of the type `function` are supported",
            ));
        }
        let Some(function) = body.function else {
            let field = format!("{path}.function");
            let message = format!("`{field}` is required");
            return Err(Error::invalid(field, message).with_code("missing_required_parameter"));
        };
        let field = format!("{path}.function.name");
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if function.name.is_empty() || function.name.len() > 64 || !function.name.chars().all(plain)
        {
            return Err(Error::invalid(
                field,
                "a function's name has 1 to 64 letters, digits, `_` and `-`",
            ));
        }
        if !names.insert(function.name.clone()) {
            return Err(Error::invalid(
                field,
                format!("there are two tools called `{}`", function.name),
            ));
        }
        tools.push(Tool {
            name: function.name,
            description: function.description,
            parameters: match function.parameters {
                Some(schema) if !schema.is_empty() => Value::Object(schema),
                _ => settings::no_parameters(),
            },
            strict: function.strict.unwrap_or(false),
        });
    }
    Ok(tools)
}

fn tool_choice(value: Option<&Value>, tools: &[Tool]) -> Result<ToolChoice, Error> {
    let field = "tool_choice";
    let choice = match value {
        None | Some(Value::Null) => ToolChoice::Auto,
        Some(Value::String(word)) => match word.as_str() {
            "none" => ToolChoice::None,
            "auto" => ToolChoice::Auto,
            "required" => ToolChoice::Required,
            _ => {
                return Err(Error::invalid(
                    field,
                    "`tool_choice` is none, auto, required or an object",
                ));
            }
        },
        Some(Value::Object(object)) => match object.get("type").and_then(Value::as_str) {
            Some("function") => ToolChoice::Named(choice_name("tool_choice", object, tools)?),
            Some("allowed_tools") => allowed_tools(object, tools)?,
            Some(other) => {
                return Err(unsupported(
                    "tool_choice.type",
                    &format!("`{other}` is neither function nor allowed_tools"),
                ));
            }
            None => {
                return Err(Error::invalid(
                    "tool_choice.type",
                    "`tool_choice.type` is required",
                ));
            }
        },
        Some(_) => {
            return Err(
                Error::invalid(field, "`tool_choice` is a string or an object")
                    .with_code("invalid_type"),
            );
        }
    };
    let needs_tools = matches!(
        choice,
        ToolChoice::Required | ToolChoice::Named(_) | ToolChoice::Allowed { .. }
    );
    if needs_tools && tools.is_empty() {
        return Err(Error::invalid(field, "`tool_choice` needs `tools`"));
    }
    Ok(choice)
}

/// The function that `{"type": "function", "function": {"name"}}` names, which must be on offer.
fn choice_name(path: &str, object: &Map<String, Value>, tools: &[Tool]) -> Result<String, Error> {
    let field = format!("{path}.function.name");
    let name = object
        .get("function")
        .and_then(|function| function.get("name"))
        .and_then(Value::as_str)
        .ok_or_else(|| Error::invalid(field.clone(), format!("`{field}` is required")))?;
    if !tools.iter().any(|tool| tool.name == name) {
        return Err(Error::invalid(
            field,
            format!("there is no tool called `{name}` in `tools`"),
        ));
    }
    Ok(name.to_string())
}

/// `{"type": "allowed_tools", "allowed_tools": {"mode", "tools"}}`, with the inner object left out by some clients.
fn allowed_tools(object: &Map<String, Value>, tools: &[Tool]) -> Result<ToolChoice, Error> {
    let (path, inner) = match object.get("allowed_tools").and_then(Value::as_object) {
        Some(inner) => ("tool_choice.allowed_tools", inner),
        None => ("tool_choice", object),
    };
    let required = match inner.get("mode").and_then(Value::as_str) {
        None | Some("auto") => false,
        Some("required") => true,
        Some(_) => {
            return Err(Error::invalid(
                format!("{path}.mode"),
                "the mode is auto or required",
            ));
        }
    };
    let list = inner
        .get("tools")
        .and_then(Value::as_array)
        .filter(|list| !list.is_empty())
        .ok_or_else(|| {
            Error::invalid(
                format!("{path}.tools"),
                "allowed tools are a list of at least one tool",
            )
        })?;
    let mut names = Vec::with_capacity(list.len());
    for (index, item) in list.iter().enumerate() {
        let path = format!("{path}.tools[{index}]");
        let object = item
            .as_object()
            .ok_or_else(|| Error::invalid(path.clone(), "an allowed tool is an object"))?;
        names.push(choice_name(&path, object, tools)?);
    }
    Ok(ToolChoice::Allowed { names, required })
}

/// One service request per prompt of a raw completion.
pub fn completion_requests(
    body: &CompletionBody,
    generation: &GenerationBody,
) -> Result<Vec<CompletionRequest>, Error> {
    let model = model(body.model.clone())?;
    let logprobs = match body.logprobs {
        Some(top) if top > TOP_LOGPROBS_MAX => {
            return Err(Error::invalid(
                "logprobs",
                format!("`logprobs` is at most {TOP_LOGPROBS_MAX}"),
            ));
        }
        top => top,
    };
    let options = GenerateOptions {
        tokens_max: Some(body.max_tokens.unwrap_or(COMPLETION_TOKENS_DEFAULT)),
        logprobs,
        ..settings::generate_options(generation)?
    };
    let output = settings::output_format(generation)?;
    let prompts = prompts::prompts("prompt", body.prompt.as_ref())?;
    Ok(prompts
        .into_iter()
        .map(|prompt| CompletionRequest {
            model: model.clone(),
            prompt,
            echo: body.echo.unwrap_or(false),
            output: output.clone(),
            options: options.clone(),
        })
        .collect())
}

/// How vectors are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Float,
    Base64,
}

/// The service's request for embeddings, and how to write the answer.
pub fn embed_request(body: EmbeddingsBody) -> Result<(EmbedRequest, Encoding), Error> {
    let encoding = match body.encoding_format.as_deref() {
        None | Some("float") => Encoding::Float,
        Some("base64") => Encoding::Base64,
        Some(_) => {
            return Err(Error::invalid(
                "encoding_format",
                "`encoding_format` is float or base64",
            ));
        }
    };
    if body.dimensions == Some(0) {
        return Err(Error::invalid(
            "dimensions",
            "`dimensions` must be at least 1",
        ));
    }
    let inputs = prompts::prompts("input", body.input.as_ref())?;
    if let Some(index) = inputs.iter().position(is_empty) {
        let field = if inputs.len() == 1 {
            "input".to_string()
        } else {
            format!("input[{index}]")
        };
        let message = format!("`{field}` is empty");
        return Err(Error::invalid(field, message));
    }
    let request = EmbedRequest {
        model: model(body.model)?,
        inputs,
        dimensions: body.dimensions,
        truncate: body.truncate.unwrap_or(false),
        keep_alive: body
            .keep_alive
            .as_ref()
            .map(duration::keep_alive)
            .transpose()?,
        fresh: false,
    };
    Ok((request, encoding))
}

fn is_empty(prompt: &Prompt) -> bool {
    match prompt {
        Prompt::Text(text) => text.is_empty(),
        Prompt::Tokens(tokens) => tokens.is_empty(),
    }
}

/// The reply for embeddings.
pub fn embedding_list(embeddings: &Embeddings, encoding: Encoding) -> EmbeddingList<'_> {
    let width = (embeddings.dimensions as usize).max(1);
    let data = embeddings
        .vectors
        .chunks_exact(width)
        .enumerate()
        .map(|(index, vector)| EmbeddingItem {
            object: "embedding",
            index,
            embedding: match encoding {
                Encoding::Float => EmbeddingValue::Floats(vector),
                Encoding::Base64 => EmbeddingValue::Base64(base64_of(vector)),
            },
        })
        .collect();
    let tokens = u64::from(embeddings.prompt_tokens);
    EmbeddingList {
        object: "list",
        data,
        model: &embeddings.model,
        usage: EmbeddingUsage {
            prompt_tokens: tokens,
            total_tokens: tokens,
        },
    }
}

fn base64_of(vector: &[f32]) -> String {
    let bytes: Vec<u8> = vector
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect();
    STANDARD.encode(bytes)
}
