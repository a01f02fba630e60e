//! Checks of what a caller asks, before anything is loaded. Every refusal names the field in our own words; surfaces
//! translate names where theirs differ.

use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};
use crate::reranking::RerankRequest;
use crate::types::{
    ChatRequest, CompletionRequest, EmbedRequest, GenerateOptions, Message, OutputFormat, Prompt,
    Role, Tool, ToolChoice,
};

/// Bounds of a request. The defaults are generous for people and small for memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestLimits {
    /// Answers from one prompt.
    pub choices_max: u32,
    /// Stop strings.
    pub stops_max: usize,
    /// Bytes of one stop string.
    pub stop_bytes_max: usize,
    /// Alternatives per token.
    pub logprobs_max: u32,
    /// Entries of the logit bias.
    pub logit_bias_max: usize,
    /// Tools.
    pub tools_max: usize,
    /// Messages.
    pub messages_max: usize,
    /// Bytes of a JSON schema, regular expression or grammar.
    pub schema_bytes_max: usize,
    /// Inputs of one embedding request.
    pub inputs_max: usize,
    /// Tokens of all inputs together (text counts a token per four bytes until it is read).
    pub input_tokens_max: usize,
    /// Documents of one reranking request.
    pub documents_max: usize,
}

impl Default for RequestLimits {
    fn default() -> Self {
        RequestLimits {
            choices_max: 128,
            stops_max: 16,
            stop_bytes_max: 256,
            logprobs_max: 20,
            logit_bias_max: 1024,
            tools_max: 128,
            messages_max: 10_000,
            schema_bytes_max: 256 * 1024,
            inputs_max: 2048,
            input_tokens_max: 300_000,
            documents_max: 1000,
        }
    }
}

/// Deepest nesting of a schema: beyond it compilers recurse too far.
const SCHEMA_DEPTH_MAX: usize = 48;
/// Stop tokens: each token of the output is compared with all of them.
const STOP_TOKENS_MAX: usize = 128;
/// The runner's own bound: each token of the output moves a window of this many.
const REPEAT_LAST_MAX: u32 = 65_536;
/// Longest tool name.
const TOOL_NAME_BYTES_MAX: usize = 64;

impl RequestLimits {
    pub(crate) fn check_chat(&self, request: &ChatRequest) -> Result<()> {
        if request.messages.is_empty() {
            return Err(Error::invalid(
                "messages",
                "At least one message is needed.",
            ));
        }
        if request.messages.len() > self.messages_max {
            return Err(Error::invalid(
                "messages",
                format!("At most {} messages are allowed.", self.messages_max),
            ));
        }
        for (index, message) in request.messages.iter().enumerate() {
            check_message(index, message)?;
        }
        if request.tools.len() > self.tools_max {
            return Err(Error::invalid(
                "tools",
                format!("At most {} tools are allowed.", self.tools_max),
            ));
        }
        for (index, tool) in request.tools.iter().enumerate() {
            self.check_tool(index, tool)?;
            if request.tools[..index]
                .iter()
                .any(|other| other.name == tool.name)
            {
                return Err(Error::invalid(
                    format!("tools[{index}].function.name"),
                    format!("The tool '{}' is given twice.", tool.name),
                ));
            }
        }
        check_choice(request)?;
        self.check_output(&request.output)?;
        self.check_options(&request.options)?;
        if request.options.tokens_max == Some(0) {
            return Err(Error::invalid(
                "max_completion_tokens",
                "At least one token must be allowed.",
            ));
        }
        Ok(())
    }

    pub(crate) fn check_completion(&self, request: &CompletionRequest) -> Result<()> {
        if let Prompt::Tokens(tokens) = &request.prompt
            && tokens.is_empty()
        {
            return Err(Error::invalid("prompt", "The prompt holds no token."));
        }
        self.check_output(&request.output)?;
        self.check_options(&request.options)
    }

    pub(crate) fn check_embed(&self, request: &EmbedRequest) -> Result<()> {
        if request.inputs.is_empty() {
            return Err(Error::invalid("input", "At least one input is needed."));
        }
        if request.inputs.len() > self.inputs_max {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "At most {} inputs are allowed in one request.",
                    self.inputs_max
                ),
            )
            .at("input"));
        }
        let mut tokens = 0usize;
        for (index, input) in request.inputs.iter().enumerate() {
            let length = match input {
                Prompt::Text(text) => text.len(),
                Prompt::Tokens(ids) => ids.len(),
            };
            if length == 0 {
                return Err(Error::invalid(
                    format!("input[{index}]"),
                    "An input must not be empty.",
                ));
            }
            tokens = tokens.saturating_add(match input {
                Prompt::Text(text) => text.len() / 4,
                Prompt::Tokens(ids) => ids.len(),
            });
        }
        if tokens > self.input_tokens_max {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "The inputs hold about {tokens} tokens; at most {} are allowed in one request.",
                    self.input_tokens_max
                ),
            )
            .at("input"));
        }
        if request.dimensions == Some(0) {
            return Err(Error::invalid(
                "dimensions",
                "At least one dimension is needed.",
            ));
        }
        Ok(())
    }

    pub(crate) fn check_rerank(&self, request: &RerankRequest) -> Result<()> {
        if request.query.is_empty() {
            return Err(Error::invalid("query", "The query must not be empty."));
        }
        if request.documents.is_empty() {
            return Err(Error::invalid(
                "documents",
                "At least one document is needed.",
            ));
        }
        if request.documents.len() > self.documents_max {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "At most {} documents are allowed in one request.",
                    self.documents_max
                ),
            )
            .at("documents"));
        }
        if let Some(index) = request.documents.iter().position(String::is_empty) {
            return Err(Error::invalid(
                format!("documents[{index}]"),
                "A document must not be empty.",
            ));
        }
        // Every document is read together with the query.
        let bytes = request
            .documents
            .iter()
            .map(|document| document.len().saturating_add(request.query.len()))
            .fold(0, usize::saturating_add);
        if bytes / 4 > self.input_tokens_max {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "Query and documents hold about {} tokens in pairs; at most {} are allowed in one request.",
                    bytes / 4,
                    self.input_tokens_max
                ),
            )
            .at("documents"));
        }
        if request.best == Some(0) || request.document_tokens_max == Some(0) {
            let field = if request.best == Some(0) {
                "best"
            } else {
                "document_tokens_max"
            };
            return Err(Error::invalid(field, "At least one is needed."));
        }
        Ok(())
    }

    fn check_tool(&self, index: usize, tool: &Tool) -> Result<()> {
        let field = format!("tools[{index}].function");
        let named = !tool.name.is_empty()
            && tool.name.len() <= TOOL_NAME_BYTES_MAX
            && tool
                .name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        if !named {
            return Err(Error::invalid(
                format!("{field}.name"),
                "A tool's name has 1 to 64 letters, digits, '_' or '-'.",
            ));
        }
        let field = format!("{field}.parameters");
        match &tool.parameters {
            Value::Null => return Ok(()),
            Value::Object(members) => {
                if members.get("type").is_some_and(|kind| kind != "object") {
                    return Err(Error::invalid(
                        field,
                        "The schema's type must be \"object\".",
                    ));
                }
            }
            _ => return Err(Error::invalid(field, "A JSON Schema object is needed.")),
        }
        self.check_schema(&tool.parameters, &field)
    }

    fn check_schema(&self, schema: &Value, field: &str) -> Result<()> {
        if depth(schema) > SCHEMA_DEPTH_MAX {
            return Err(Error::invalid(
                field,
                format!("The schema is nested more than {SCHEMA_DEPTH_MAX} deep."),
            ));
        }
        if schema.to_string().len() > self.schema_bytes_max {
            return Err(Error::invalid(
                field,
                format!("The schema is longer than {} bytes.", self.schema_bytes_max),
            ));
        }
        Ok(())
    }

    fn check_output(&self, output: &OutputFormat) -> Result<()> {
        match output {
            OutputFormat::Text | OutputFormat::JsonObject => Ok(()),
            OutputFormat::JsonSchema(schema) => {
                let field = "response_format.json_schema.schema";
                if !(schema.is_object() || schema.is_boolean()) {
                    return Err(Error::invalid(field, "A JSON Schema object is needed."));
                }
                self.check_schema(schema, field)
            }
            OutputFormat::Regex(text) | OutputFormat::Lark(text) => {
                if text.len() > self.schema_bytes_max {
                    return Err(Error::invalid(
                        "response_format",
                        format!(
                            "The grammar is longer than {} bytes.",
                            self.schema_bytes_max
                        ),
                    ));
                }
                Ok(())
            }
        }
    }

    pub(crate) fn check_options(&self, options: &GenerateOptions) -> Result<()> {
        if options.prefix_tokens.len() > self.input_tokens_max {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "At most {} tokens of context are allowed.",
                    self.input_tokens_max
                ),
            )
            .at("context"));
        }
        if options.choices > self.choices_max {
            return Err(Error::invalid(
                "n",
                format!("At most {} choices are allowed.", self.choices_max),
            ));
        }
        if options.stop.len() > self.stops_max {
            return Err(Error::invalid(
                "stop",
                format!("At most {} stop strings are allowed.", self.stops_max),
            ));
        }
        if options.stop.iter().any(String::is_empty) {
            return Err(Error::invalid("stop", "A stop string must not be empty."));
        }
        if options
            .stop
            .iter()
            .any(|stop| stop.len() > self.stop_bytes_max)
        {
            return Err(Error::invalid(
                "stop",
                format!("A stop string has at most {} bytes.", self.stop_bytes_max),
            ));
        }
        if options.stop_tokens.len() > STOP_TOKENS_MAX {
            return Err(Error::invalid(
                "stop_token_ids",
                format!("At most {STOP_TOKENS_MAX} stop tokens are allowed."),
            ));
        }
        if options
            .logprobs
            .is_some_and(|count| count > self.logprobs_max)
        {
            return Err(Error::invalid(
                "top_logprobs",
                format!("At most {} alternatives are allowed.", self.logprobs_max),
            ));
        }
        check_sampling(options, self.logit_bias_max)
    }
}

fn check_sampling(options: &GenerateOptions, logit_bias_max: usize) -> Result<()> {
    let sampling = &options.sampling;
    let ranges = [
        ("temperature", sampling.temperature, 0.0, 2.0),
        // Zero is allowed by the API and leaves the likeliest token alone.
        ("top_p", sampling.top_p, 0.0, 1.0),
        ("min_p", sampling.min_p, 0.0, 1.0),
        ("typical_p", sampling.typical_p, 0.0, 1.0),
        ("presence_penalty", sampling.presence_penalty, -2.0, 2.0),
        ("frequency_penalty", sampling.frequency_penalty, -2.0, 2.0),
    ];
    for (field, value, least, most) in ranges {
        // Written so that NaN fails too.
        if value.is_some_and(|value| !(least..=most).contains(&value)) {
            return Err(Error::invalid(
                field,
                format!("'{field}' must be between {least} and {most}."),
            ));
        }
    }
    if sampling
        .repeat_penalty
        .is_some_and(|value| !(value > 0.0 && value <= 10.0))
    {
        return Err(Error::invalid(
            "repetition_penalty",
            "'repetition_penalty' must be above 0 and at most 10.",
        ));
    }
    if sampling
        .repeat_last
        .is_some_and(|count| count > REPEAT_LAST_MAX)
    {
        return Err(Error::invalid(
            "repeat_last_n",
            format!("'repeat_last_n' must be at most {REPEAT_LAST_MAX}."),
        ));
    }
    if sampling.logit_bias.len() > logit_bias_max {
        return Err(Error::invalid(
            "logit_bias",
            format!("At most {logit_bias_max} tokens may be biased."),
        ));
    }
    if sampling
        .logit_bias
        .values()
        .any(|bias| !(-100.0..=100.0).contains(bias))
    {
        return Err(Error::invalid(
            "logit_bias",
            "A bias must be between -100 and 100.",
        ));
    }
    if options
        .tokens_max
        .is_some_and(|most| options.tokens_min > most)
    {
        return Err(Error::invalid(
            "min_tokens",
            "'min_tokens' is more than the tokens allowed.",
        ));
    }
    Ok(())
}

fn check_message(index: usize, message: &Message) -> Result<()> {
    if message.role == Role::Tool && message.tool_call_id.is_none() {
        return Err(Error::invalid(
            format!("messages[{index}].tool_call_id"),
            "A tool message must name the call that it answers.",
        ));
    }
    if message.role != Role::Assistant && !message.tool_calls.is_empty() {
        return Err(Error::invalid(
            format!("messages[{index}].tool_calls"),
            "Only an assistant's message can call tools.",
        ));
    }
    Ok(())
}

fn check_choice(request: &ChatRequest) -> Result<()> {
    let known = |name: &String| request.tools.iter().any(|tool| &tool.name == name);
    match &request.tool_choice {
        ToolChoice::Auto | ToolChoice::None => Ok(()),
        ToolChoice::Required if request.tools.is_empty() => Err(Error::invalid(
            "tool_choice",
            "A tool call is required, but no tools were given.",
        )),
        ToolChoice::Required => Ok(()),
        ToolChoice::Named(name) if !known(name) => Err(Error::invalid(
            "tool_choice",
            format!("The tool '{name}' is not among the tools."),
        )),
        ToolChoice::Named(_) => Ok(()),
        ToolChoice::Allowed { names, required } => {
            if let Some(name) = names.iter().find(|name| !known(name)) {
                return Err(Error::invalid(
                    "tool_choice.allowed_tools",
                    format!("The tool '{name}' is not among the tools."),
                ));
            }
            if *required && names.is_empty() {
                return Err(Error::invalid(
                    "tool_choice.allowed_tools",
                    "A tool call is required, but no tool is allowed.",
                ));
            }
            Ok(())
        }
    }
}

/// Depth of nesting, without recursion: a hostile schema must not exhaust the stack here either.
fn depth(value: &Value) -> usize {
    let mut deepest = 0;
    let mut open = vec![(value, 1usize)];
    while let Some((value, level)) = open.pop() {
        deepest = deepest.max(level);
        match value {
            Value::Array(items) => open.extend(items.iter().map(|item| (item, level + 1))),
            Value::Object(members) => {
                open.extend(members.values().map(|member| (member, level + 1)));
            }
            _ => {}
        }
    }
    deepest
}
