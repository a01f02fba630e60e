//! Events as JSON: each event of the service is one of the wire, with the same number.

use serde_json::{Value, json};
use service::{ItemEvent, NumberedEvent, PartKind, ResponseEvent, ResponseState, SearchStep};

use super::reply::{self, Shown};

/// The event's type and its data.
pub fn event(numbered: &NumberedEvent, shown: Shown) -> (&'static str, Value) {
    let (kind, mut data) = of(&numbered.event, shown);
    data["type"] = json!(kind);
    data["sequence_number"] = json!(numbered.sequence);
    (kind, data)
}

fn of(event: &ResponseEvent, shown: Shown) -> (&'static str, Value) {
    match event {
        ResponseEvent::Created(response) => (
            "response.created",
            json!({"response": reply::response(response, shown)}),
        ),
        ResponseEvent::Queued(response) => (
            "response.queued",
            json!({"response": reply::response(response, shown)}),
        ),
        ResponseEvent::InProgress(response) => (
            "response.in_progress",
            json!({"response": reply::response(response, shown)}),
        ),
        ResponseEvent::Ended(response) => (
            match response.state {
                ResponseState::Incomplete => "response.incomplete",
                ResponseState::Failed => "response.failed",
                ResponseState::Cancelled => "response.cancelled",
                _ => "response.completed",
            },
            json!({"response": reply::response(response, shown)}),
        ),
        ResponseEvent::ItemStarted { output, item } => (
            "response.output_item.added",
            json!({"output_index": output, "item": reply::item(item, shown)}),
        ),
        ResponseEvent::ItemEnded { output, item } => (
            "response.output_item.done",
            json!({"output_index": output, "item": reply::item(item, shown)}),
        ),
        ResponseEvent::Within {
            output,
            item_id,
            event,
        } => {
            let (kind, mut data) = of_item(event);
            data["output_index"] = json!(output);
            data["item_id"] = json!(item_id);
            (kind, data)
        }
    }
}

/// Events within an item.
fn of_item(event: &ItemEvent) -> (&'static str, Value) {
    match event {
        ItemEvent::Searched(step) => (
            match step {
                SearchStep::Begun => "response.file_search_call.in_progress",
                SearchStep::Searching => "response.file_search_call.searching",
                SearchStep::Completed => "response.file_search_call.completed",
            },
            json!({}),
        ),
        ItemEvent::PartStarted(part) => (
            "response.content_part.added",
            json!({"content_index": 0, "part": part_of(part)}),
        ),
        ItemEvent::PartEnded(part) => (
            "response.content_part.done",
            json!({"content_index": 0, "part": part_of(part)}),
        ),
        ItemEvent::TextAdded { text, logprobs } => (
            "response.output_text.delta",
            json!({"content_index": 0, "delta": text, "logprobs": reply::logprobs(logprobs)}),
        ),
        ItemEvent::TextEnded(part) => (
            "response.output_text.done",
            json!({"content_index": 0, "text": part.text, "logprobs": reply::logprobs(&part.logprobs)}),
        ),
        ItemEvent::Cited { index, citation } => (
            "response.output_text.annotation.added",
            json!({
                "content_index": 0,
                "annotation_index": index,
                "annotation": reply::annotation(citation),
            }),
        ),
        ItemEvent::ReasoningAdded(text) => (
            "response.reasoning_text.delta",
            json!({"content_index": 0, "delta": text}),
        ),
        ItemEvent::ReasoningEnded(text) => (
            "response.reasoning_text.done",
            json!({"content_index": 0, "text": text}),
        ),
        ItemEvent::ArgumentsAdded(fragment) => (
            "response.function_call_arguments.delta",
            json!({"delta": fragment}),
        ),
        ItemEvent::ArgumentsEnded { name, arguments } => (
            "response.function_call_arguments.done",
            json!({"name": name, "arguments": arguments}),
        ),
    }
}

fn part_of(part: &PartKind) -> Value {
    match part {
        PartKind::Text(part) => reply::text_part(part),
        PartKind::Reasoning(text) => reply::reasoning_part(text),
    }
}
