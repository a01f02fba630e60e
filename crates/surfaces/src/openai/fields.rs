//! Which request fields are read, which are welcome but change nothing, and which are refused because ignoring them would
//! change what the answer means. A field in none of these lists is ignored: clients of other servers send many.

use serde_json::Value;
use service::Error;

/// A field we do not support, and the values that ask for nothing.
struct Refused {
    name: &'static str,
    /// Whether this value leaves the answer as it is.
    neutral: fn(&Value) -> bool,
    why: &'static str,
}

const fn refused(name: &'static str, neutral: fn(&Value) -> bool, why: &'static str) -> Refused {
    Refused { name, neutral, why }
}

fn never(_: &Value) -> bool {
    false
}

fn is_false(value: &Value) -> bool {
    *value == Value::Bool(false)
}

fn is_true(value: &Value) -> bool {
    *value == Value::Bool(true)
}

fn is_empty(value: &Value) -> bool {
    value.as_str().is_some_and(str::is_empty)
        || value.as_array().is_some_and(Vec::is_empty)
        || value.as_object().is_some_and(serde_json::Map::is_empty)
}

fn is_zero(value: &Value) -> bool {
    value.as_f64() == Some(0.0)
}

fn is_one(value: &Value) -> bool {
    value.as_f64() == Some(1.0)
}

fn only_text(value: &Value) -> bool {
    value
        .as_array()
        .is_some_and(|list| list.iter().all(|item| item == "text"))
}

/// Refused wherever text is generated. The second half are extras of other servers that change the text.
const GENERATION: &[Refused] = &[
    refused(
        "logits_processors",
        is_empty,
        "custom logits processors are not supported",
    ),
    refused("use_beam_search", is_false, "beam search is not supported"),
    refused("length_penalty", is_one, "beam search is not supported"),
    refused("typical_p", is_one, "typical sampling is not supported"),
    refused("mirostat", is_zero, "mirostat sampling is not supported"),
    refused("dry_multiplier", is_zero, "DRY sampling is not supported"),
    refused("xtc_probability", is_zero, "XTC sampling is not supported"),
    refused(
        "dynatemp_range",
        is_zero,
        "dynamic temperature is not supported",
    ),
    refused("repeat_penalty", is_one, "use `repetition_penalty`"),
    refused("n_predict", never, "use `max_tokens`"),
    refused("num_predict", never, "use `max_tokens`"),
    refused(
        "grammar",
        is_empty,
        "GBNF grammars are not supported; use `guided_grammar` with a Lark grammar",
    ),
    refused("json_schema", never, "use `response_format`"),
    refused(
        "allowed_token_ids",
        is_empty,
        "restricting the vocabulary is not supported; use `logit_bias`",
    ),
    refused("bad_words", is_empty, "use `logit_bias`"),
    refused(
        "include_stop_str_in_output",
        is_false,
        "stop strings are never part of the output",
    ),
    refused(
        "skip_special_tokens",
        is_true,
        "special tokens are never part of the output",
    ),
    refused(
        "prompt_logprobs",
        never,
        "use `/v1/completions` with `echo` and `logprobs`",
    ),
    refused("truncate_prompt_tokens", never, "prompts are never cut"),
    refused("return_tokens_as_token_ids", is_false, "not supported"),
    refused("lora", is_empty, "adapters are not supported"),
];

/// Refused in a chat.
const CHAT: &[Refused] = &[
    refused("audio", never, "audio output is not supported"),
    refused(
        "modalities",
        only_text,
        "only the modality `text` is supported",
    ),
    refused("web_search_options", never, "web search is not supported"),
    refused(
        "functions",
        never,
        "`functions` is the old spelling; use `tools`",
    ),
    refused(
        "function_call",
        never,
        "`function_call` is the old spelling; use `tool_choice` with `tools`",
    ),
    refused("moderation", never, "moderation is not supported"),
    refused("store", is_false, "completions are not stored"),
    refused("suffix", is_empty, "insertion is not supported"),
    refused("echo", is_false, "use `/v1/completions`"),
    refused(
        "chat_template",
        never,
        "the model's own chat template is used",
    ),
    refused("documents", is_empty, "put the documents into a message"),
    refused(
        "add_generation_prompt",
        is_true,
        "the answer is always a new assistant message",
    ),
    refused(
        "continue_final_message",
        is_false,
        "the answer is always a new assistant message",
    ),
];

/// Refused in a raw completion.
const COMPLETION: &[Refused] = &[
    refused("suffix", is_empty, "insertion is not supported"),
    refused("messages", never, "use `/v1/chat/completions`"),
    refused("tools", is_empty, "use `/v1/chat/completions`"),
];

/// Refused in embeddings.
const EMBEDDINGS: &[Refused] = &[
    refused("truncate_prompt_tokens", never, "use `truncate`"),
    refused(
        "input_type",
        never,
        "write the model's own prefix into the input",
    ),
    refused(
        "embed_dtype",
        |value| value == "float32",
        "vectors are 32-bit floats",
    ),
    refused(
        "normalize",
        is_true,
        "vectors are as the model defines them",
    ),
];

/// Refused in a response.
const RESPONSES: &[Refused] = &[
    refused("messages", never, "use `input`"),
    refused("max_tokens", never, "use `max_output_tokens`"),
    refused("max_completion_tokens", never, "use `max_output_tokens`"),
    refused("response_format", never, "use `text.format`"),
    refused("reasoning_effort", never, "use `reasoning.effort`"),
    refused("functions", never, "use `tools`"),
    refused("n", is_one, "a response has one answer"),
    refused(
        "logprobs",
        is_false,
        "use `top_logprobs`, or `include` with `message.output_text.logprobs`",
    ),
    refused(
        "conversation",
        never,
        "conversations are not kept; use `previous_response_id`",
    ),
    refused(
        "prompt",
        never,
        "prompts are not kept; use `instructions` and `input`",
    ),
    refused("context_management", is_empty, "use `truncation`"),
    refused("moderation", never, "moderation is not supported"),
    refused(
        "modalities",
        only_text,
        "only the modality `text` is supported",
    ),
    refused("audio", never, "audio output is not supported"),
];

/// Which request a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    Chat,
    Completion,
    Embeddings,
    Responses,
}

/// Refuses a body that asks for something we would otherwise silently leave out.
pub fn refuse_unsupported(request: Request, body: &Value) -> Result<(), Error> {
    let tables: &[&[Refused]] = match request {
        Request::Chat => &[CHAT, GENERATION],
        Request::Completion => &[COMPLETION, GENERATION],
        Request::Embeddings => &[EMBEDDINGS],
        Request::Responses => &[RESPONSES, GENERATION],
    };
    for row in tables.iter().copied().flatten() {
        if let Some(value) = body.get(row.name)
            && !value.is_null()
            && !(row.neutral)(value)
        {
            return Err(unsupported(row.name, row.why));
        }
    }
    Ok(())
}

/// The error of a field that exists elsewhere but not here.
pub fn unsupported(field: impl Into<String>, why: &str) -> Error {
    let field = field.into();
    let message = format!("unsupported value of `{field}`: {why}");
    Error::invalid(field, message).with_code("unsupported_parameter")
}

/// `error` with its field in OpenAI's spelling: the layers below have words of their own.
pub fn in_their_words(request: Request, mut error: Error) -> Error {
    let Some(field) = &mut error.field else {
        return error;
    };
    if request == Request::Responses {
        // A function's fields stand beside its type here, and the text's format has a place of its own.
        *field = field
            .replace(".function.", ".")
            .replace("response_format.json_schema", "text.format")
            .replace("response_format", "text.format");
    }
    let end = field.find(['[', '.']).unwrap_or(field.len());
    let theirs = match (request, &field[..end]) {
        (_, "choices") => "n",
        (_, "stop_tokens") => "stop_token_ids",
        (Request::Responses, "tokens_max" | "max_completion_tokens") => "max_output_tokens",
        (Request::Responses, "messages" | "prompt") => "input",
        (Request::Responses, "output") => "text.format",
        (Request::Responses, "collections" | "limit" | "filter") => "tools",
        (_, "output") => "response_format",
        (Request::Chat, "tokens_max") => "max_completion_tokens",
        (_, "tokens_max" | "max_completion_tokens") if request == Request::Completion => {
            "max_tokens"
        }
        (_, "tokens_min") => "min_tokens",
        (_, "repeat_penalty") => "repetition_penalty",
        (Request::Completion, "top_logprobs") => "logprobs",
        (Request::Chat, "prompt" | "text") => "messages",
        (Request::Completion, "text") => "prompt",
        (Request::Embeddings, "prompt" | "text" | "inputs" | "texts") => "input",
        // Several fields at once: none to name.
        (_, "sampling") => {
            error.field = None;
            return error;
        }
        _ => return error,
    };
    field.replace_range(..end, theirs);
    error
}
