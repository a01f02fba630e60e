//! The four forms in which a prompt or an embedding input comes: a text, texts, token ids, lists of token ids.

use serde_json::Value;
use service::{Error, Prompt};

/// OpenAI's own bound for embedding inputs.
const PROMPTS_MAX: usize = 2048;

/// Every prompt in `value`, which the request calls `field`.
pub fn prompts(field: &str, value: Option<&Value>) -> Result<Vec<Prompt>, Error> {
    let items = match value {
        None | Some(Value::Null) => {
            return Err(Error::invalid(field, format!("`{field}` is required"))
                .with_code("missing_required_parameter"));
        }
        Some(Value::String(text)) => return Ok(vec![Prompt::Text(text.clone())]),
        Some(Value::Array(items)) => items,
        Some(_) => return Err(wrong_type(field.to_string())),
    };
    if items.is_empty() {
        return Err(Error::invalid(field, format!("`{field}` is empty")));
    }
    // Token ids at the top level are one prompt; anything else is a list of prompts.
    if items[0].is_number() {
        return Ok(vec![Prompt::Tokens(tokens(field, items)?)]);
    }
    if items.len() > PROMPTS_MAX {
        return Err(Error::invalid(
            field,
            format!("`{field}` takes at most {PROMPTS_MAX} items"),
        ));
    }
    items
        .iter()
        .enumerate()
        .map(|(index, item)| match item {
            Value::String(text) => Ok(Prompt::Text(text.clone())),
            Value::Array(ids) => {
                let field = format!("{field}[{index}]");
                if ids.is_empty() {
                    let message = format!("`{field}` is empty");
                    return Err(Error::invalid(field, message));
                }
                Ok(Prompt::Tokens(tokens(&field, ids)?))
            }
            _ => Err(wrong_type(format!("{field}[{index}]"))),
        })
        .collect()
}

fn tokens(field: &str, items: &[Value]) -> Result<Vec<u32>, Error> {
    items
        .iter()
        .enumerate()
        .map(|(index, item)| {
            item.as_u64()
                .and_then(|id| u32::try_from(id).ok())
                .ok_or_else(|| {
                    Error::invalid(
                        format!("{field}[{index}]"),
                        "token ids are whole numbers, not negative",
                    )
                    .with_code("invalid_type")
                })
        })
        .collect()
}

fn wrong_type(field: String) -> Error {
    let message = format!("`{field}` must be a string, token ids, or a list of either");
    Error::invalid(field, message).with_code("invalid_type")
}
