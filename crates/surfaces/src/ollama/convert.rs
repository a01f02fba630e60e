//! From Ollama's requests to the service's.

use serde_json::{Map, Value, json};
use service::{
    ChatRequest, CompletionRequest, EmbedRequest, Error, GenerateOptions, Message, OutputFormat,
    Prompt, Role, Tool, ToolChoice, WorkClass,
};

use super::options;
use super::types::{EmbedBody, EmbeddingBody, GenerateBody, GenerationBody, ToolBody};
use super::{conversation, unsupported};
use crate::duration;

/// Most alternatives per token, as the service's.
const TOP_LOGPROBS_MAX: u32 = 20;
/// The service's own bound.
const TOOLS_MAX: usize = 128;
/// Most texts of one embedding request, as the service's.
const INPUTS_MAX: usize = 2048;

/// Whether the model is to reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thinking {
    /// Nothing was said.
    Unsaid,
    /// It must not.
    Off,
    /// It must; a model that cannot is refused.
    On,
}

/// What chat and generate ask for beside their text.
pub struct Generation {
    pub model: String,
    pub stream: bool,
    pub thinking: Thinking,
    pub output: OutputFormat,
    pub template_variables: Map<String, Value>,
    pub options: GenerateOptions,
}

/// The name of a model, which every request has.
pub fn model(name: Option<String>) -> Result<String, Error> {
    name.filter(|name| !name.is_empty())
        .ok_or_else(|| Error::invalid("model", "`model` is required"))
}

/// Reads what chat and generate have in common.
pub fn generation(body: GenerationBody) -> Result<Generation, Error> {
    let model = model(body.model)?;
    let options = options::read(body.options.as_ref())?;
    let (thinking, template_variables) = thinking(body.think.as_ref())?;
    let logprobs = match body.top_logprobs {
        Some(top) if top > TOP_LOGPROBS_MAX => {
            return Err(Error::invalid(
                "top_logprobs",
                format!("`top_logprobs` must be between 0 and {TOP_LOGPROBS_MAX}"),
            ));
        }
        top => body.logprobs.unwrap_or(false).then_some(top.unwrap_or(0)),
    };
    Ok(Generation {
        model,
        stream: body.stream.unwrap_or(true),
        thinking,
        output: format(body.format)?,
        template_variables,
        options: GenerateOptions {
            choices: 1,
            tokens_max: options.tokens_max,
            stop: options.stop,
            sampling: options.sampling,
            logprobs,
            class: WorkClass::Interactive,
            keep_alive: body
                .keep_alive
                .as_ref()
                .map(duration::keep_alive)
                .transpose()?,
            ..GenerateOptions::default()
        },
    })
}

fn thinking(value: Option<&Value>) -> Result<(Thinking, Map<String, Value>), Error> {
    let mut variables = Map::new();
    let thinking = match value {
        None | Some(Value::Null) => Thinking::Unsaid,
        Some(Value::Bool(true)) => Thinking::On,
        Some(Value::Bool(false)) => Thinking::Off,
        Some(Value::String(level))
            if ["low", "medium", "high", "max"].contains(&level.as_str()) =>
        {
            variables.insert("reasoning_effort".into(), level.clone().into());
            Thinking::On
        }
        Some(_) => {
            return Err(Error::invalid(
                "think",
                "`think` must be true, false, \"low\", \"medium\", \"high\" or \"max\"",
            ));
        }
    };
    if thinking != Thinking::Unsaid {
        variables.insert("enable_thinking".into(), (thinking == Thinking::On).into());
    }
    Ok((thinking, variables))
}

fn format(value: Option<Value>) -> Result<OutputFormat, Error> {
    match value {
        None | Some(Value::Null) => Ok(OutputFormat::Text),
        Some(Value::String(name)) if name.is_empty() => Ok(OutputFormat::Text),
        Some(Value::String(name)) if name == "json" => Ok(OutputFormat::JsonObject),
        Some(schema @ Value::Object(_)) => Ok(OutputFormat::JsonSchema(schema)),
        Some(_) => Err(Error::invalid(
            "format",
            "invalid format; expected \"json\" or a valid JSON Schema object",
        )),
    }
}

/// The service's request for a chat.
pub fn chat_request(
    generation: Generation,
    messages: Vec<Message>,
    tools: Vec<Tool>,
) -> ChatRequest {
    ChatRequest {
        model: generation.model,
        messages,
        tools,
        tool_choice: ToolChoice::Auto,
        parallel_tool_calls: true,
        output: generation.output,
        template_variables: generation.template_variables,
        options: generation.options,
    }
}

/// Tools on offer.
pub fn tools(bodies: Vec<ToolBody>) -> Result<Vec<Tool>, Error> {
    if bodies.len() > TOOLS_MAX {
        return Err(Error::invalid(
            "tools",
            format!("`tools` takes at most {TOOLS_MAX}"),
        ));
    }
    bodies
        .into_iter()
        .enumerate()
        .map(|(index, body)| {
            if body.kind.as_deref().is_some_and(|kind| kind != "function") {
                let field = format!("tools[{index}].type");
                let message = format!("`{field}` must be \"function\"");
                return Err(Error::invalid(field, message));
            }
            Ok(Tool {
                name: body.function.name,
                description: body.function.description,
                parameters: match body.function.parameters {
                    Some(schema) if !schema.is_empty() => Value::Object(schema),
                    _ => json!({"type": "object", "properties": {}}),
                },
                strict: false,
            })
        })
        .collect()
}

/// What a prompt is answered with.
pub enum Prompted {
    /// The model's template, as one turn of a conversation.
    Chat(Box<ChatRequest>),
    /// Nothing but the prompt.
    Raw(Box<CompletionRequest>),
}

/// The service's request for a prompt.
///
/// # Errors
/// `InvalidRequest` for what is not supported here.
pub fn prompted(generation: Generation, body: GenerateBody) -> Result<Prompted, Error> {
    let given = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    if given(&body.suffix) {
        let message = format!("{:?} does not support insert", generation.model);
        return Err(Error::invalid("suffix", message));
    }
    conversation::no_images("images", body.images.as_deref())?;
    let context = body.context.unwrap_or_default();
    let prompt = body.prompt.unwrap_or_default();
    if body.raw.unwrap_or(false) {
        if given(&body.template) || given(&body.system) || !context.is_empty() {
            return Err(Error::invalid(
                "raw",
                "raw mode does not support template, system, or context",
            ));
        }
        return Ok(Prompted::Raw(Box::new(CompletionRequest {
            model: generation.model,
            prompt: Prompt::Text(prompt),
            echo: false,
            output: generation.output,
            options: generation.options,
        })));
    }
    if given(&body.template) {
        return Err(unsupported("template", "the model's own template is used"));
    }
    let system = body.system.filter(|text| !text.is_empty());
    let messages = system
        .map(|text| turn(Role::System, text))
        .into_iter()
        .chain([turn(Role::User, prompt)])
        .collect();
    let mut request = chat_request(generation, messages, Vec::new());
    request.options.prefix_tokens = context;
    Ok(Prompted::Chat(Box::new(request)))
}

fn turn(role: Role, content: String) -> Message {
    Message {
        role,
        content,
        name: None,
        reasoning: None,
        tool_calls: Vec::new(),
        tool_call_id: None,
    }
}

/// The service's request for vectors; without inputs it only loads the model, as with Ollama.
pub fn embed_request(body: EmbedBody) -> Result<EmbedRequest, Error> {
    let wrong = |field: String| {
        let message = format!("invalid input type: `{field}` must be a string or strings");
        Error::invalid(field, message)
    };
    let inputs = match body.input {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(text)) if text.is_empty() => Vec::new(),
        Some(Value::String(text)) => vec![Prompt::Text(text)],
        Some(Value::Array(items)) if items.len() > INPUTS_MAX => {
            return Err(Error::invalid(
                "input",
                format!("`input` takes at most {INPUTS_MAX} texts"),
            ));
        }
        Some(Value::Array(items)) => items
            .into_iter()
            .enumerate()
            .map(|(index, item)| match item {
                Value::String(text) => Ok(Prompt::Text(text)),
                _ => Err(wrong(format!("input[{index}]"))),
            })
            .collect::<Result<_, _>>()?,
        Some(_) => return Err(wrong("input".to_owned())),
    };
    Ok(EmbedRequest {
        model: model(body.model)?,
        inputs,
        dimensions: body.dimensions,
        truncate: body.truncate.unwrap_or(true),
        keep_alive: body
            .keep_alive
            .as_ref()
            .map(duration::keep_alive)
            .transpose()?,
        fresh: false,
    })
}

/// The older form as the newer one.
pub fn newer(body: EmbeddingBody) -> EmbedBody {
    EmbedBody {
        model: body.model,
        input: body.prompt.map(Value::String),
        truncate: None,
        dimensions: None,
        keep_alive: body.keep_alive,
    }
}
