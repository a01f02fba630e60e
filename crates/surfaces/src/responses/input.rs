//! From the items of `input` to the service's.

use serde_json::{Map, Value};
use service::{Error, Item, ItemBody, ItemState, SpeakerRole, TextPart};

use crate::openai::fields::unsupported;

/// Most items in one request.
const ITEMS_MAX: usize = 8192;

/// Reads `input`: a text, or a list of items.
pub fn items(input: Option<&Value>) -> Result<Vec<Item>, Error> {
    match input {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::String(text)) if text.is_empty() => {
            Err(Error::invalid("input", "`input` is empty"))
        }
        Some(Value::String(text)) => Ok(vec![Item::said(SpeakerRole::User, text.clone())]),
        Some(Value::Array(items)) => {
            if items.is_empty() {
                return Err(Error::invalid("input", "`input` is empty"));
            }
            if items.len() > ITEMS_MAX {
                return Err(Error::invalid(
                    "input",
                    format!("`input` takes at most {ITEMS_MAX} items"),
                ));
            }
            items
                .iter()
                .enumerate()
                .map(|(index, value)| item(&format!("input[{index}]"), value))
                .collect()
        }
        Some(_) => Err(wrong_type("input", "is a string or an array of items")),
    }
}

fn wrong_type(field: &str, what: &str) -> Error {
    Error::invalid(field, format!("`{field}` {what}")).with_code("invalid_type")
}

fn item(path: &str, value: &Value) -> Result<Item, Error> {
    let Some(object) = value.as_object() else {
        return Err(wrong_type(path, "is an object"));
    };
    let kind = match object.get("type") {
        Some(Value::String(kind)) => kind.as_str(),
        // The short form of a message leaves it out.
        None | Some(Value::Null) if object.contains_key("role") => "message",
        None | Some(Value::Null) => {
            let field = format!("{path}.type");
            let message = format!("`{field}` is required");
            return Err(Error::invalid(field, message).with_code("missing_required_parameter"));
        }
        Some(_) => return Err(wrong_type(&format!("{path}.type"), "is a string")),
    };
    let body = match kind {
        "message" => message(path, object)?,
        "function_call" => ItemBody::FunctionCall {
            call_id: required(path, object, "call_id")?,
            name: required(path, object, "name")?,
            arguments: required(path, object, "arguments")?,
        },
        "function_call_output" => ItemBody::FunctionCallOutput {
            call_id: required(path, object, "call_id")?,
            output: text_of(&format!("{path}.output"), object.get("output"))?,
        },
        "reasoning" => ItemBody::Reasoning {
            text: reasoning(path, object)?,
        },
        // What was found is not shown again; the model's answer from it is in its message.
        "file_search_call" => ItemBody::Search {
            queries: Vec::new(),
            passages: Vec::new(),
        },
        "item_reference" => {
            return Err(unsupported(
                format!("{path}.type"),
                "send the item itself, or use `previous_response_id`",
            ));
        }
        other => {
            return Err(unsupported(
                format!("{path}.type"),
                &format!(
                    "`{}` is not one of message, function_call, function_call_output, reasoning, file_search_call",
                    short(other)
                ),
            ));
        }
    };
    let id = match object.get("id") {
        Some(Value::String(id)) => id.clone(),
        None | Some(Value::Null) => String::new(),
        Some(_) => return Err(wrong_type(&format!("{path}.id"), "is a string")),
    };
    Ok(Item {
        id,
        state: ItemState::Completed,
        body,
    })
}

/// As much of a caller's word as a message repeats.
pub fn short(word: &str) -> String {
    word.chars().take(64).collect()
}

fn required(path: &str, object: &Map<String, Value>, name: &str) -> Result<String, Error> {
    let field = format!("{path}.{name}");
    match object.get(name) {
        Some(Value::String(text)) => Ok(text.clone()),
        None | Some(Value::Null) => {
            let message = format!("`{field}` is required");
            Err(Error::invalid(field, message).with_code("missing_required_parameter"))
        }
        Some(_) => Err(wrong_type(&field, "is a string")),
    }
}

fn message(path: &str, object: &Map<String, Value>) -> Result<ItemBody, Error> {
    let role = match required(path, object, "role")?.as_str() {
        "user" => SpeakerRole::User,
        "assistant" => SpeakerRole::Assistant,
        "system" => SpeakerRole::System,
        "developer" => SpeakerRole::Developer,
        _ => {
            let field = format!("{path}.role");
            let message = format!("`{field}` must be user, assistant, system or developer");
            return Err(Error::invalid(field, message));
        }
    };
    let field = format!("{path}.content");
    let parts = match object.get("content") {
        Some(Value::String(text)) => vec![TextPart::plain(text.clone())],
        Some(Value::Array(parts)) => parts
            .iter()
            .enumerate()
            .map(|(index, value)| part(&format!("{field}[{index}]"), value))
            .collect::<Result<_, _>>()?,
        None | Some(Value::Null) => {
            let message = format!("`{field}` is required");
            return Err(Error::invalid(field, message).with_code("missing_required_parameter"));
        }
        Some(_) => return Err(wrong_type(&field, "is a string or an array of parts")),
    };
    Ok(ItemBody::Message { role, parts })
}

fn part(path: &str, value: &Value) -> Result<TextPart, Error> {
    let Some(object) = value.as_object() else {
        return Err(wrong_type(path, "is an object"));
    };
    let kind = required(path, object, "type")?;
    match kind.as_str() {
        "input_text" | "output_text" | "text" => {
            Ok(TextPart::plain(required(path, object, "text")?))
        }
        "refusal" => Ok(TextPart {
            refusal: true,
            ..TextPart::plain(required(path, object, "refusal")?)
        }),
        other => Err(unsupported(
            format!("{path}.type"),
            &format!("only text parts are supported, not `{}`", short(other)),
        )),
    }
}

/// The output of a function: a text, or parts of text.
fn text_of(field: &str, value: Option<&Value>) -> Result<String, Error> {
    match value {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Array(parts)) => {
            let mut texts = Vec::with_capacity(parts.len());
            for (index, value) in parts.iter().enumerate() {
                texts.push(part(&format!("{field}[{index}]"), value)?.text);
            }
            Ok(texts.join("\n"))
        }
        None | Some(Value::Null) => {
            let message = format!("`{field}` is required");
            Err(Error::invalid(field, message).with_code("missing_required_parameter"))
        }
        Some(_) => Err(wrong_type(field, "is a string or an array of parts")),
    }
}

/// The thoughts of a reasoning item: its content, else its summary.
fn reasoning(path: &str, object: &Map<String, Value>) -> Result<String, Error> {
    for name in ["content", "summary"] {
        let field = format!("{path}.{name}");
        let parts = match object.get(name) {
            Some(Value::Array(parts)) if !parts.is_empty() => parts,
            None | Some(Value::Null | Value::Array(_)) => continue,
            Some(_) => return Err(wrong_type(&field, "is an array of parts")),
        };
        let mut texts = Vec::with_capacity(parts.len());
        for (index, value) in parts.iter().enumerate() {
            let path = format!("{field}[{index}]");
            let Some(object) = value.as_object() else {
                return Err(wrong_type(&path, "is an object"));
            };
            texts.push(required(&path, object, "text")?);
        }
        return Ok(texts.join("\n"));
    }
    Ok(String::new())
}
