//! Between the protocol and the service: requests, answers, and errors.

use http::{HeaderMap, HeaderValue};
use rmcp::model::{
    CallToolResult, ContentBlock, ErrorCode, ErrorData, Extensions, Implementation, JsonObject,
    MetaObject, ProtocolVersion, RequestMetaObject,
};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, model::ServerConfig};
use serde_json::{Value, json};
use service::{
    ChatRequest, EmbedRequest, Embeddings, Error, ErrorKind, GenerateOptions, Identity, Message,
    ModelSummary, OutputFormat, Prompt, Role, SamplingOptions, ToolChoice,
};

use super::messages::error_body;
use super::types::{
    EmbedAnswer, EmbedArguments, GenerateArguments, MessageArgument, MessageRole, ModelAnswer,
    ModelEntry,
};
use crate::freshness::Fresh;
use crate::state::App;

/// Texts in one call of `embed`. Vectors go over this protocol as decimal text, twice.
pub const TEXTS_MAX: usize = 256;
/// Longest conversation of `generate`.
pub const MESSAGES_MAX: usize = 1024;
/// Most stop texts.
const STOPS_MAX: usize = 16;

/// The revisions that are spoken here, oldest first. 2024-11-05 had another transport.
pub const VERSIONS: &[ProtocolVersion] = &[
    ProtocolVersion::V_2025_03_26,
    ProtocolVersion::V_2025_06_18,
    ProtocolVersion::V_2025_11_25,
    ProtocolVersion::V_2026_07_28,
];

/// Whether a request is of the revision without sessions, or a later one.
pub fn is_modern(context: &RequestContext<RoleServer>) -> bool {
    context.protocol_version().is_some_and(|version| {
        // Dates of this form compare as text.
        version.as_str() >= ProtocolVersion::V_2026_07_28.as_str()
    })
}

/// Who sent a request and what serves it: put there by the route, so that its absence is a fault of ours.
pub fn caller(context: &RequestContext<RoleServer>) -> Result<(App, Identity), ErrorData> {
    caller_of(&context.extensions)
}

/// The same, from the extensions of any message.
pub fn caller_of(extensions: &Extensions) -> Result<(App, Identity), ErrorData> {
    let parts = extensions.get::<http::request::Parts>();
    let found = parts.and_then(|parts| {
        let app = parts.extensions.get::<App>()?.clone();
        let identity = parts.extensions.get::<Identity>()?.clone();
        Some((app, identity))
    });
    found.ok_or_else(|| ErrorData::internal_error("the request came without an identity", None))
}

/// Whether a request asks for results that are computed now, as a header of its own says over HTTP.
pub fn wants_fresh(context: &RequestContext<RoleServer>) -> bool {
    let parts = context.extensions.get::<http::request::Parts>();
    parts.is_some_and(|parts| Fresh::of(&parts.headers).0)
}

/// The W3C trace context that a message carries in its `_meta`, as headers would.
pub fn trace_headers(meta: &RequestMetaObject) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for name in ["traceparent", "tracestate"] {
        let value = meta.get(name).and_then(Value::as_str);
        if let Some(value) = value.and_then(|text| HeaderValue::from_str(text).ok()) {
            headers.insert(name, value);
        }
    }
    headers
}

/// What the server says of itself.
pub fn about(capabilities: rmcp::model::ServerCapabilities) -> ServerConfig {
    let implementation = Implementation::new("fornax", env!("CARGO_PKG_VERSION"))
        .with_title("Fornax")
        .with_description("Serves AI models, vectors and science models from one binary");
    ServerConfig::new(capabilities)
        .with_server_info(implementation)
        .with_protocol_version(ProtocolVersion::V_2025_11_25)
        .with_instructions(
            "Tools over the models, collections and science models of this server. Begin with `list_models`, \
             `list_collections` or `list_science_models`: the other tools take names that these give.",
        )
}

/// The service's request for a call of `generate`.
pub fn chat_request(arguments: GenerateArguments) -> Result<ChatRequest, Error> {
    let turns = match (arguments.prompt, arguments.messages) {
        (Some(prompt), None) => vec![message(Role::User, prompt)],
        (None, Some(messages)) if !messages.is_empty() => {
            if messages.len() > MESSAGES_MAX {
                let text = format!("`messages` takes at most {MESSAGES_MAX}");
                return Err(Error::invalid("messages", text));
            }
            messages.into_iter().map(turn).collect()
        }
        (None, Some(_)) => return Err(Error::invalid("messages", "`messages` is empty")),
        (None, None) => return Err(Error::invalid("prompt", "give `prompt` or `messages`")),
        (Some(_), Some(_)) => {
            return Err(Error::invalid(
                "prompt",
                "give either `prompt` or `messages`",
            ));
        }
    };
    let stop = arguments.stop.unwrap_or_default();
    if stop.len() > STOPS_MAX || stop.iter().any(String::is_empty) {
        let text = format!("`stop` takes at most {STOPS_MAX} texts, none of them empty");
        return Err(Error::invalid("stop", text));
    }
    in_range("temperature", arguments.temperature, 2.0)?;
    in_range("top_p", arguments.top_p, 1.0)?;
    if arguments.max_tokens == Some(0) {
        return Err(Error::invalid(
            "max_tokens",
            "`max_tokens` must be at least 1",
        ));
    }
    let system = arguments.system.map(|text| message(Role::System, text));
    Ok(ChatRequest {
        model: arguments.model,
        messages: system.into_iter().chain(turns).collect(),
        tools: Vec::new(),
        tool_choice: ToolChoice::None,
        parallel_tool_calls: false,
        output: match arguments.json_schema {
            Some(schema) => OutputFormat::JsonSchema(Value::Object(schema)),
            None => OutputFormat::Text,
        },
        template_variables: serde_json::Map::new(),
        options: GenerateOptions {
            choices: 1,
            tokens_max: arguments.max_tokens,
            stop,
            sampling: SamplingOptions {
                temperature: arguments.temperature,
                top_p: arguments.top_p,
                seed: arguments.seed,
                ..SamplingOptions::default()
            },
            ..GenerateOptions::default()
        },
    })
}

fn in_range(field: &str, value: Option<f32>, most: f32) -> Result<(), Error> {
    match value {
        Some(value) if !(0.0..=most).contains(&value) => Err(Error::invalid(
            field,
            format!("`{field}` must be between 0 and {most}"),
        )),
        _ => Ok(()),
    }
}

fn turn(argument: MessageArgument) -> Message {
    let role = match argument.role {
        MessageRole::System => Role::System,
        MessageRole::User => Role::User,
        MessageRole::Assistant => Role::Assistant,
    };
    message(role, argument.content)
}

fn message(role: Role, content: String) -> Message {
    Message {
        role,
        content,
        name: None,
        reasoning: None,
        tool_calls: Vec::new(),
        tool_call_id: None,
    }
}

/// The service's request for a call of `embed`.
pub fn embed_request(arguments: EmbedArguments) -> Result<EmbedRequest, Error> {
    if arguments.texts.is_empty() || arguments.texts.len() > TEXTS_MAX {
        let text = format!("`texts` takes 1 to {TEXTS_MAX}");
        return Err(Error::invalid("texts", text));
    }
    Ok(EmbedRequest {
        model: arguments.model,
        inputs: arguments.texts.into_iter().map(Prompt::Text).collect(),
        dimensions: arguments.dimensions,
        truncate: arguments.truncate,
        keep_alive: None,
        fresh: false,
    })
}

/// The answer of `embed`.
pub fn embed_answer(embeddings: Embeddings) -> EmbedAnswer {
    let width = usize::try_from(embeddings.dimensions)
        .unwrap_or(usize::MAX)
        .max(1);
    EmbedAnswer {
        model: embeddings.model,
        dimensions: embeddings.dimensions,
        vectors: embeddings
            .vectors
            .chunks(width)
            .map(<[f32]>::to_vec)
            .collect(),
        input_tokens: embeddings.prompt_tokens,
    }
}

/// A model in a list.
pub fn model_entry(model: &ModelSummary) -> ModelEntry {
    ModelEntry {
        name: model.name.clone(),
        kind: model.kind.name().to_owned(),
        parameters: model.parameters,
        context_length: model.context_length,
    }
}

/// A model in full.
pub fn model_answer(model: ModelSummary) -> ModelAnswer {
    ModelAnswer {
        name: model.name,
        kind: model.kind.name().to_owned(),
        digest: model.digest,
        size_bytes: model.size_bytes,
        created_unix: model.created_unix,
        origin: model.origin,
        architecture: model.architecture,
        parameters: model.parameters,
        quantization: model.quantization,
        context_length: model.context_length,
        embedding_length: model.embedding_length,
        has_chat_template: model.has_chat_template,
        license: model.license,
    }
}

/// What a tool gave, as the protocol's result. An error is told to the model, which can often do something about it.
pub fn tool_result(outcome: Result<Value, Error>) -> CallToolResult {
    match outcome {
        Ok(value) => CallToolResult::structured(value),
        Err(error) => {
            let mut meta = MetaObject::default();
            meta.insert("fornax/error".to_owned(), error_facts(&error));
            CallToolResult::error(vec![ContentBlock::text(error.message)]).with_meta(Some(meta))
        }
    }
}

/// What machines read of an error.
pub fn error_facts(error: &Error) -> Value {
    let mut facts = JsonObject::new();
    facts.insert("kind".to_owned(), json!(error.kind.name()));
    if let Some(field) = &error.field {
        facts.insert("field".to_owned(), json!(field));
    }
    if let Some(code) = error.code {
        facts.insert("code".to_owned(), json!(code));
    }
    if let Some(wait) = error.retry_after {
        let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        facts.insert("retryAfterMs".to_owned(), json!(wait));
    }
    Value::Object(facts)
}

/// A service error as the protocol's error, for methods whose results have no place for one.
pub fn protocol_error(error: Error) -> ErrorData {
    ErrorData::new(
        error_code(error.kind),
        error.message.clone(),
        Some(error_facts(&error)),
    )
}

/// JSON-RPC's code of an error kind.
pub fn error_code(kind: ErrorKind) -> ErrorCode {
    match kind {
        ErrorKind::InvalidRequest
        | ErrorKind::ContextExceeded
        | ErrorKind::NotFound
        | ErrorKind::Conflict
        | ErrorKind::NotSupported => ErrorCode::INVALID_PARAMS,
        ErrorKind::TooLarge | ErrorKind::Unauthenticated | ErrorKind::Forbidden => {
            ErrorCode::INVALID_REQUEST
        }
        ErrorKind::Overloaded
        | ErrorKind::Unavailable
        | ErrorKind::DeadlineExceeded
        | ErrorKind::Cancelled
        | ErrorKind::ModelFailed
        | ErrorKind::Internal
        | ErrorKind::DataLoss => ErrorCode::INTERNAL_ERROR,
    }
}

/// The body of a refusal that came before any message was read.
pub fn failure_body(error: &Error) -> Value {
    let code = if error.code == Some("invalid_json") {
        ErrorCode::PARSE_ERROR
    } else {
        error_code(error.kind)
    };
    error_body(None, code, &error.message, Some(error_facts(error)))
}
