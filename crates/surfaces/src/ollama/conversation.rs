//! From Ollama's messages to the service's. Ollama names no calls, so a result is matched to the call it answers here.

use serde_json::Value;
use service::{Error, Message, Role, ToolCall};

use super::types::MessageBody;
use super::unsupported;

/// Longest conversation. A turn costs a few dozen bytes of template; the context is full long before.
const MESSAGES_MAX: usize = 8192;

/// Every message.
///
/// # Errors
/// `InvalidRequest` naming the place.
pub fn messages(bodies: Vec<MessageBody>) -> Result<Vec<Message>, Error> {
    if bodies.len() > MESSAGES_MAX {
        return Err(Error::invalid(
            "messages",
            format!("`messages` takes at most {MESSAGES_MAX}"),
        ));
    }
    let mut messages = Vec::with_capacity(bodies.len());
    // Calls without a result so far: id and name.
    let mut open: Vec<(String, String)> = Vec::new();
    for (index, body) in bodies.into_iter().enumerate() {
        messages.push(message(index, body, &mut open)?);
    }
    Ok(messages)
}

fn message(
    index: usize,
    body: MessageBody,
    open: &mut Vec<(String, String)>,
) -> Result<Message, Error> {
    let path = format!("messages[{index}]");
    let role = match body.role.as_str() {
        "system" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => Role::Tool,
        _ => {
            let field = format!("{path}.role");
            let message = format!("`{field}` must be system, user, assistant or tool");
            return Err(Error::invalid(field, message));
        }
    };
    no_images(&format!("{path}.images"), body.images.as_deref())?;
    let calls = body.tool_calls.unwrap_or_default();
    if !calls.is_empty() && role != Role::Assistant {
        let field = format!("{path}.tool_calls");
        let message = format!("`{field}`: only an assistant's message has calls");
        return Err(Error::invalid(field, message));
    }
    let tool_calls: Vec<ToolCall> = calls
        .into_iter()
        .enumerate()
        .map(|(call, body)| ToolCall {
            id: body.id.unwrap_or_else(|| format!("call_{index}_{call}")),
            name: body.function.name,
            arguments: Value::Object(body.function.arguments.unwrap_or_default()).to_string(),
        })
        .collect();
    open.extend(
        tool_calls
            .iter()
            .map(|call| (call.id.clone(), call.name.clone())),
    );
    let tool_call_id = (role == Role::Tool)
        .then(|| answered(index, body.tool_call_id, body.tool_name.as_deref(), open));
    Ok(Message {
        role,
        content: body.content.unwrap_or_default(),
        name: body.tool_name,
        reasoning: body.thinking.filter(|text| !text.is_empty()),
        tool_calls,
        tool_call_id,
    })
}

/// Refuses images: no engine here reads them.
pub fn no_images(field: &str, images: Option<&[Value]>) -> Result<(), Error> {
    match images {
        Some(images) if !images.is_empty() => Err(unsupported(
            field,
            "the models of this server read text only",
        )),
        _ => Ok(()),
    }
}

/// The id of the call that a result answers: the one it names, else the first open call of its tool, else the first open
/// one, else one of its own.
fn answered(
    index: usize,
    id: Option<String>,
    tool: Option<&str>,
    open: &mut Vec<(String, String)>,
) -> String {
    let place = match &id {
        Some(id) => open.iter().position(|(call, _)| call == id),
        None => open
            .iter()
            .position(|(_, name)| Some(name.as_str()) == tool)
            .or((!open.is_empty()).then_some(0)),
    };
    let call = place.map(|place| open.remove(place).0);
    id.or(call).unwrap_or_else(|| format!("call_{index}"))
}
