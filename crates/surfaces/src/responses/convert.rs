//! From a request's body to the service's request, and what of it every reply repeats.

use serde_json::{Map, Value, json};
use service::{Error, OutputFormat, ResponseRequest, Truncation};

use super::input;
use super::tools::{self, Tools};
use super::types::{ResponsesBody, TextBody};
use crate::openai::fields::unsupported;
use crate::openai::settings::{self, TOP_LOGPROBS_MAX};
use crate::openai::types::GenerationBody;

/// What may be asked for beside the usual, and whether there is such a thing here. What there is not is harmless to ask for:
/// it belongs to tools that are refused, or to reasoning that is not encrypted.
const INCLUDABLE: [&str; 8] = [
    "file_search_call.results",
    "message.output_text.logprobs",
    "reasoning.encrypted_content",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
];
/// Asks for the passages of a search.
pub const INCLUDE_RESULTS: &str = "file_search_call.results";
const INCLUDE_LOGPROBS: &str = "message.output_text.logprobs";

/// The service's request.
pub fn request(body: ResponsesBody, generation: &GenerationBody) -> Result<ResponseRequest, Error> {
    if body.model.is_empty() {
        return Err(Error::invalid("model", "`model` is empty"));
    }
    let include = include(body.include.as_deref().unwrap_or_default())?;
    let raw_tools = body.tools.clone().unwrap_or_default();
    let mut tools = tools::tools(&raw_tools)?;
    let tool_choice = tools::choose(body.tool_choice.as_ref(), &mut tools)?;
    if body.max_tool_calls == Some(0) {
        tools.search = None;
    }
    let (format, output) = output_format(body.text.as_ref())?;
    let truncation = match body.truncation.as_deref() {
        None | Some("disabled") => Truncation::Refuse,
        Some("auto") => Truncation::DropOldest,
        Some(_) => {
            return Err(Error::invalid(
                "truncation",
                "`truncation` is auto or disabled",
            ));
        }
    };
    let mut options = settings::generate_options(generation)?;
    if body.max_output_tokens == Some(0) {
        return Err(Error::invalid(
            "max_output_tokens",
            "`max_output_tokens` must be at least 1",
        ));
    }
    options.tokens_max = body.max_output_tokens;
    options.logprobs = logprobs(body.top_logprobs, &include)?;
    let settings = echoed(&body, &raw_tools, format, &include);
    let ResponsesBody {
        model,
        input,
        instructions,
        previous_response_id,
        parallel_tool_calls,
        text,
        metadata,
        reasoning,
        background,
        store,
        chat_template_kwargs,
        ..
    } = body;
    let verbosity = text.and_then(|text| text.verbosity);
    let effort = reasoning.and_then(|reasoning| reasoning.effort);
    let Tools { functions, search } = tools;
    Ok(ResponseRequest {
        model,
        input: input::items(input.as_ref())?,
        instructions,
        previous: previous_response_id,
        tools: functions,
        search,
        tool_choice,
        parallel_tool_calls: parallel_tool_calls.unwrap_or(true),
        output,
        template_variables: template_variables(chat_template_kwargs, effort, verbosity),
        options,
        truncation,
        store: store.unwrap_or(true),
        background: background.unwrap_or(false),
        metadata: metadata.unwrap_or_default(),
        settings,
    })
}

fn include(asked: &[String]) -> Result<Vec<String>, Error> {
    for (index, name) in asked.iter().enumerate() {
        if !INCLUDABLE.contains(&name.as_str()) {
            let field = format!("include[{index}]");
            let message = format!("`{field}` is not one of {}", INCLUDABLE.join(", "));
            return Err(Error::invalid(field, message));
        }
    }
    Ok(asked.to_vec())
}

fn logprobs(top: Option<u32>, include: &[String]) -> Result<Option<u32>, Error> {
    let asked = include.iter().any(|name| name == INCLUDE_LOGPROBS);
    match top {
        Some(top) if top > TOP_LOGPROBS_MAX => Err(Error::invalid(
            "top_logprobs",
            format!("`top_logprobs` is at most {TOP_LOGPROBS_MAX}"),
        )),
        Some(top) if top > 0 => Ok(Some(top)),
        _ => Ok(asked.then_some(0)),
    }
}

/// Templates of reasoning models read these; the others do not know them.
fn template_variables(
    given: Option<Map<String, Value>>,
    effort: Option<String>,
    verbosity: Option<String>,
) -> Map<String, Value> {
    let mut variables = given.unwrap_or_default();
    if effort.as_deref() == Some("none") {
        variables
            .entry("enable_thinking")
            .or_insert(Value::Bool(false));
    }
    for (name, value) in [("reasoning_effort", effort), ("verbosity", verbosity)] {
        if let Some(value) = value {
            variables.entry(name).or_insert(Value::String(value));
        }
    }
    variables
}

/// The format as it is repeated, and as the service takes it.
fn output_format(text: Option<&TextBody>) -> Result<(Value, OutputFormat), Error> {
    let plain = || (json!({"type": "text"}), OutputFormat::Text);
    let Some(format) = text.and_then(|text| text.format.as_ref()) else {
        return Ok(plain());
    };
    match format.get("type").and_then(Value::as_str) {
        Some("text") => Ok(plain()),
        Some("json_object") => Ok((format.clone(), OutputFormat::JsonObject)),
        Some("json_schema") => {
            let name = format.get("name").and_then(Value::as_str);
            if name.is_none_or(str::is_empty) {
                return Err(
                    Error::invalid("text.format.name", "`text.format.name` is required")
                        .with_code("missing_required_parameter"),
                );
            }
            match format.get("schema") {
                Some(schema @ Value::Object(_)) => {
                    Ok((format.clone(), OutputFormat::JsonSchema(schema.clone())))
                }
                _ => Err(Error::invalid(
                    "text.format.schema",
                    "`text.format.schema` is a JSON Schema object",
                )),
            }
        }
        Some(_) => Err(unsupported(
            "text.format.type",
            "it is text, json_object or json_schema",
        )),
        None => Err(Error::invalid(
            "text.format.type",
            "`text.format.type` is required",
        )),
    }
}

/// What every reply repeats of the request.
fn echoed(body: &ResponsesBody, tools: &[Value], format: Value, include: &[String]) -> Value {
    let reasoning = body.reasoning.as_ref();
    let verbosity = body.text.as_ref().and_then(|text| text.verbosity.clone());
    json!({
        "parallel_tool_calls": body.parallel_tool_calls.unwrap_or(true),
        "tool_choice": body.tool_choice.clone().unwrap_or_else(|| json!("auto")),
        "tools": tools.iter().map(echoed_tool).collect::<Vec<_>>(),
        "temperature": body.temperature.unwrap_or(1.0),
        "top_p": body.top_p.unwrap_or(1.0),
        "presence_penalty": body.presence_penalty.unwrap_or(0.0),
        "frequency_penalty": body.frequency_penalty.unwrap_or(0.0),
        "max_output_tokens": body.max_output_tokens,
        "max_tool_calls": body.max_tool_calls,
        "reasoning": {
            "effort": reasoning.and_then(|reasoning| reasoning.effort.clone()),
            "summary": reasoning.and_then(|reasoning| reasoning.summary.clone()),
        },
        "text": {"format": format, "verbosity": verbosity.unwrap_or_else(|| "medium".to_owned())},
        "top_logprobs": body.top_logprobs.unwrap_or(0),
        "truncation": body.truncation.as_deref().unwrap_or("disabled"),
        "user": body.user,
        "safety_identifier": body.safety_identifier,
        "prompt_cache_key": body.prompt_cache_key,
        "service_tier": "default",
        "include": include,
    })
}

/// A tool as it is repeated: with what the caller left out.
fn echoed_tool(tool: &Value) -> Value {
    let mut tool = tool.clone();
    if let Some(object) = tool.as_object_mut()
        && object.get("type").and_then(Value::as_str) == Some("function")
    {
        object.entry("strict").or_insert(Value::Bool(true));
        object.entry("description").or_insert(Value::Null);
        object
            .entry("parameters")
            .or_insert_with(settings::no_parameters);
    }
    tool
}
