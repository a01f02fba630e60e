//! A response and its items as JSON.

use serde_json::{Map, Value, json};
use service::{
    Citation, ErrorKind, Item, ItemBody, ItemState, Items, Passage, Response, ResponseFailure,
    ResponseState, ResponseUsage, SpeakerRole, TextPart, TokenLogprob,
};

use super::convert::INCLUDE_RESULTS;
use crate::openai::reply::{finite, token_text};

/// What items show beside the usual.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shown {
    /// The passages of searches.
    pub results: bool,
}

impl Shown {
    /// As `include` asks.
    pub fn of<'a>(include: impl IntoIterator<Item = &'a str>) -> Self {
        Shown {
            results: include.into_iter().any(|name| name == INCLUDE_RESULTS),
        }
    }

    /// As the request of `response` asked.
    pub fn as_asked(response: &Response) -> Self {
        let include = response.settings.get("include").and_then(Value::as_array);
        Shown::of(include.into_iter().flatten().filter_map(Value::as_str))
    }
}

/// The whole object.
pub fn response(response: &Response, shown: Shown) -> Value {
    let mut object = match &response.settings {
        Value::Object(settings) => settings.clone(),
        _ => Map::new(),
    };
    object.remove("include");
    let completed = response.state == ResponseState::Completed;
    let output: Vec<Value> = response
        .output
        .iter()
        .map(|item| self::item(item, shown))
        .collect();
    let own = json!({
        "id": response.id,
        "object": "response",
        "created_at": response.created_unix,
        "completed_at": if completed { response.ended_unix } else { None },
        "status": state(response.state),
        "background": response.background,
        "error": response.failure.as_ref().map(failure),
        "incomplete_details": match response.state {
            ResponseState::Incomplete => json!({"reason": "max_output_tokens"}),
            _ => Value::Null,
        },
        "instructions": response.instructions,
        "metadata": response.metadata,
        "model": response.model,
        "output": output,
        "previous_response_id": response.previous,
        "store": response.stored,
        "usage": response.usage.map(usage),
    });
    if let Value::Object(own) = own {
        object.extend(own);
    }
    Value::Object(object)
}

/// The word for a state.
pub fn state(state: ResponseState) -> &'static str {
    match state {
        ResponseState::Queued => "queued",
        ResponseState::InProgress => "in_progress",
        ResponseState::Completed => "completed",
        ResponseState::Incomplete => "incomplete",
        ResponseState::Failed => "failed",
        ResponseState::Cancelled => "cancelled",
    }
}

fn failure(failure: &ResponseFailure) -> Value {
    let code = match failure.code.as_str() {
        code if code == ErrorKind::Overloaded.name() => "rate_limit_exceeded",
        code if code == ErrorKind::InvalidRequest.name() || code == "context_length_exceeded" => {
            "invalid_prompt"
        }
        _ => "server_error",
    };
    json!({"code": code, "message": failure.message})
}

fn usage(usage: ResponseUsage) -> Value {
    json!({
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            // What was computed is in the prefix cache from then on.
            "cache_write_tokens": usage.input_tokens.saturating_sub(usage.cached_tokens),
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    })
}

fn item_state(state: ItemState) -> &'static str {
    match state {
        ItemState::InProgress => "in_progress",
        ItemState::Completed => "completed",
        ItemState::Incomplete => "incomplete",
    }
}

/// One item.
pub fn item(item: &Item, shown: Shown) -> Value {
    let status = item_state(item.state);
    match &item.body {
        ItemBody::Message { role, parts } => json!({
            "id": item.id,
            "type": "message",
            "status": status,
            "role": match role {
                SpeakerRole::System => "system",
                SpeakerRole::Developer => "developer",
                SpeakerRole::User => "user",
                SpeakerRole::Assistant => "assistant",
            },
            "content": parts.iter().map(|part| match role {
                SpeakerRole::Assistant => text_part(part),
                _ => json!({"type": "input_text", "text": part.text}),
            }).collect::<Vec<_>>(),
        }),
        ItemBody::Reasoning { text } => {
            let content: Vec<Value> = if text.is_empty() {
                Vec::new()
            } else {
                vec![reasoning_part(text)]
            };
            json!({"id": item.id, "type": "reasoning", "status": status, "summary": [], "content": content})
        }
        ItemBody::FunctionCall {
            call_id,
            name,
            arguments,
        } => json!({
            "id": item.id,
            "type": "function_call",
            "status": status,
            "call_id": call_id,
            "name": name,
            "arguments": arguments,
        }),
        ItemBody::FunctionCallOutput { call_id, output } => json!({
            "id": item.id,
            "type": "function_call_output",
            "status": status,
            "call_id": call_id,
            "output": output,
        }),
        ItemBody::Search { queries, passages } => json!({
            "id": item.id,
            "type": "file_search_call",
            "status": status,
            "queries": queries,
            "results": (shown.results && item.state == ItemState::Completed)
                .then(|| passages.iter().map(result).collect::<Vec<_>>()),
        }),
    }
}

fn result(passage: &Passage) -> Value {
    json!({
        "file_id": file_id(&passage.file_id, &passage.source),
        "filename": passage.source,
        "score": finite(passage.score),
        "text": passage.text,
        "attributes": passage.attributes,
        "vector_store_id": passage.collection,
    })
}

/// A passage that was not uploaded as a file is known by its source's name.
fn file_id<'a>(id: &'a str, source: &'a str) -> &'a str {
    if id.is_empty() { source } else { id }
}

/// A part of an assistant's message.
pub fn text_part(part: &TextPart) -> Value {
    if part.refusal {
        return json!({"type": "refusal", "refusal": part.text});
    }
    json!({
        "type": "output_text",
        "text": part.text,
        "annotations": part.citations.iter().map(annotation).collect::<Vec<_>>(),
        "logprobs": logprobs(&part.logprobs),
    })
}

/// A part of reasoning.
pub fn reasoning_part(text: &str) -> Value {
    json!({"type": "reasoning_text", "text": text})
}

/// A citation; its `index` is where its mark begins in the text, in characters.
pub fn annotation(citation: &Citation) -> Value {
    json!({
        "type": "file_citation",
        "index": citation.start,
        "file_id": file_id(&citation.file_id, &citation.source),
        "filename": citation.source,
    })
}

/// Log-probabilities of tokens.
pub fn logprobs(tokens: &[TokenLogprob]) -> Value {
    let plain = |token: &TokenLogprob| {
        json!({
            "token": token_text(token),
            "bytes": token.bytes,
            "logprob": finite(token.logprob.unwrap_or(f32::NEG_INFINITY)),
        })
    };
    tokens
        .iter()
        .map(|token| {
            let mut value = plain(token);
            value["top_logprobs"] = token.top.iter().map(plain).collect();
            value
        })
        .collect()
}

/// A page of items.
pub fn list(items: &Items, shown: Shown) -> Value {
    let id = |item: Option<&Item>| item.map(|item| item.id.clone());
    json!({
        "object": "list",
        "data": items.items.iter().map(|item| self::item(item, shown)).collect::<Vec<_>>(),
        "first_id": id(items.items.first()),
        "last_id": id(items.items.last()),
        "has_more": items.has_more,
    })
}
