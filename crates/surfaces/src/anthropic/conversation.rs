//! From Anthropic's turns to the service's. One turn of theirs holds text, calls and results side by side; ours are one
//! thing each, so a turn becomes several messages, results first.

use serde_json::{Map, Value};
use service::{Error, Message, Role, ToolCall};

use super::types::MessageBody;

/// Longest conversation. A turn costs a few dozen bytes of template; the context is full long before.
const MESSAGES_MAX: usize = 8192;
/// Most blocks of one turn: parallel calls and their results are the most that anybody sends.
const BLOCKS_MAX: usize = 1024;

/// The error of content that exists elsewhere but not here.
pub fn unsupported(field: impl Into<String>, why: &str) -> Error {
    let field = field.into();
    let message = format!("unsupported value of `{field}`: {why}");
    Error::invalid(field, message)
}

/// Every turn, the system's first.
pub fn messages(system: Option<&Value>, bodies: Vec<MessageBody>) -> Result<Vec<Message>, Error> {
    if bodies.is_empty() {
        return Err(Error::invalid(
            "messages",
            "`messages`: at least one message is required",
        ));
    }
    if bodies.len() > MESSAGES_MAX {
        return Err(Error::invalid(
            "messages",
            format!("`messages` takes at most {MESSAGES_MAX}"),
        ));
    }
    let mut conversation = Conversation::default();
    if let Some(text) = system_text("system", system)? {
        conversation.messages.push(message(Role::System, text));
    }
    let last = bodies.len() - 1;
    for (index, body) in bodies.into_iter().enumerate() {
        let path = format!("messages[{index}]");
        match body.role.as_str() {
            "user" => conversation.user(&path, &body.content)?,
            "system" => conversation.instruction(&path, &body.content)?,
            "assistant" if index == last => {
                return Err(unsupported(
                    path,
                    "the last message must be the user's: an answer that the client begins is not supported",
                ));
            }
            "assistant" => conversation.assistant(&path, &body.content)?,
            _ => {
                let field = format!("{path}.role");
                let message = format!("`{field}` must be user, assistant or system");
                return Err(Error::invalid(field, message));
            }
        }
    }
    Ok(conversation.messages)
}

fn system_text(path: &str, system: Option<&Value>) -> Result<Option<String>, Error> {
    match system {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(Value::Array(blocks)) if blocks.is_empty() => Ok(None),
        Some(Value::Array(blocks)) => texts(path, blocks).map(Some),
        Some(_) => Err(wrong_type(path, "a string or an array of text blocks")),
    }
}

/// What was read so far.
#[derive(Default)]
struct Conversation {
    messages: Vec<Message>,
    /// Calls of the turn before, which the next turn must answer, every one.
    open_calls: Vec<String>,
}

impl Conversation {
    /// Instructions in the middle of a conversation.
    fn instruction(&mut self, path: &str, content: &Value) -> Result<(), Error> {
        let field = format!("{path}.content");
        if let Some(text) = system_text(&field, Some(content))? {
            self.add_text(Role::System, text);
        }
        Ok(())
    }

    fn user(&mut self, path: &str, content: &Value) -> Result<(), Error> {
        let mut texts: Vec<String> = Vec::new();
        let mut open = std::mem::take(&mut self.open_calls);
        for (path, block) in blocks(path, content)? {
            let Block::Object(block) = block else {
                texts.push(block.text(&path)?);
                continue;
            };
            match kind(&path, block)? {
                "text" => texts.push(block_text(&path, block)?),
                "tool_result" => {
                    let id = string(&path, block, "tool_use_id")?;
                    let Some(place) = open.iter().position(|call| call == id) else {
                        let field = format!("{path}.tool_use_id");
                        let message = format!(
                            "`{field}`: the message before has no open `tool_use` with the id {id:?}"
                        );
                        return Err(Error::invalid(field, message));
                    };
                    open.remove(place);
                    let mut result = message(Role::Tool, result_text(&path, block)?);
                    result.tool_call_id = Some(id.to_owned());
                    self.messages.push(result);
                }
                other => return Err(unsupported(format!("{path}.type"), &refusal(other))),
            }
        }
        if let Some(id) = open.first() {
            let message = format!(
                "`{path}.content`: the call {id:?} of the message before has no `tool_result` here"
            );
            return Err(Error::invalid(format!("{path}.content"), message));
        }
        if !texts.is_empty() {
            self.add_text(Role::User, texts.join("\n"));
        }
        Ok(())
    }

    fn assistant(&mut self, path: &str, content: &Value) -> Result<(), Error> {
        if let Some(id) = self.open_calls.first() {
            let message =
                format!("`{path}`: the call {id:?} of the message before is not answered");
            return Err(Error::invalid(path, message));
        }
        let mut texts: Vec<String> = Vec::new();
        let mut reasoning: Vec<String> = Vec::new();
        let mut calls: Vec<ToolCall> = Vec::new();
        for (path, block) in blocks(path, content)? {
            let Block::Object(block) = block else {
                texts.push(block.text(&path)?);
                continue;
            };
            match kind(&path, block)? {
                "text" => texts.push(block_text(&path, block)?),
                "thinking" => reasoning.push(string(&path, block, "thinking")?.to_owned()),
                "redacted_thinking" => {
                    return Err(unsupported(
                        format!("{path}.type"),
                        "redacted reasoning can be read by the server that wrote it only",
                    ));
                }
                "tool_use" => {
                    let call = tool_use(&path, block)?;
                    if calls.iter().any(|other| other.id == call.id) {
                        let field = format!("{path}.id");
                        let message = format!("`{field}`: {:?} is used twice", call.id);
                        return Err(Error::invalid(field, message));
                    }
                    calls.push(call);
                }
                other => return Err(unsupported(format!("{path}.type"), &refusal(other))),
            }
        }
        self.open_calls = calls.iter().map(|call| call.id.clone()).collect();
        if calls.is_empty() && reasoning.is_empty() {
            self.add_text(Role::Assistant, texts.join("\n"));
        } else {
            self.messages.push(Message {
                reasoning: (!reasoning.is_empty()).then(|| reasoning.join("\n")),
                tool_calls: calls,
                ..message(Role::Assistant, texts.join("\n"))
            });
        }
        Ok(())
    }

    /// Turns of one role that follow each other are one turn: many templates refuse anything else.
    fn add_text(&mut self, role: Role, text: String) {
        match self.messages.last_mut() {
            Some(last) if last.role == role && last.tool_calls.is_empty() => {
                last.content.push('\n');
                last.content.push_str(&text);
            }
            _ => self.messages.push(message(role, text)),
        }
    }
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

/// A part of a turn: the text that the whole turn is, or a block.
enum Block<'a> {
    Whole(&'a str),
    Object(&'a Map<String, Value>),
}

impl Block<'_> {
    fn text(&self, path: &str) -> Result<String, Error> {
        match self {
            Block::Whole(text) if !text.is_empty() => Ok((*text).to_owned()),
            _ => Err(Error::invalid(path, format!("`{path}` is empty"))),
        }
    }
}

/// The parts of a turn's content, each with its path.
fn blocks<'a>(path: &str, content: &'a Value) -> Result<Vec<(String, Block<'a>)>, Error> {
    let field = format!("{path}.content");
    match content {
        Value::String(text) => Ok(vec![(field, Block::Whole(text))]),
        Value::Array(items) if items.is_empty() => {
            let message = format!("`{field}` is empty");
            Err(Error::invalid(field, message))
        }
        Value::Array(items) if items.len() > BLOCKS_MAX => {
            let message = format!("`{field}` takes at most {BLOCKS_MAX} blocks");
            Err(Error::invalid(field, message))
        }
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(index, item)| {
                let path = format!("{field}[{index}]");
                match item {
                    Value::Object(block) => Ok((path, Block::Object(block))),
                    _ => Err(wrong_type(&path, "an object")),
                }
            })
            .collect(),
        _ => Err(wrong_type(&field, "a string or an array of blocks")),
    }
}

fn kind<'a>(path: &str, block: &'a Map<String, Value>) -> Result<&'a str, Error> {
    string(path, block, "type")
}

/// The text of a text block.
fn block_text(path: &str, block: &Map<String, Value>) -> Result<String, Error> {
    let text = string(path, block, "text")?;
    if text.is_empty() {
        let message = format!("`{path}.text`: text blocks must not be empty");
        return Err(Error::invalid(format!("{path}.text"), message));
    }
    Ok(text.to_owned())
}

/// The texts of blocks that may hold nothing else, a line each.
fn texts(path: &str, items: &[Value]) -> Result<String, Error> {
    let mut texts = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let Value::Object(block) = item else {
            return Err(wrong_type(&path, "an object"));
        };
        match kind(&path, block)? {
            "text" => texts.push(block_text(&path, block)?),
            other => return Err(unsupported(format!("{path}.type"), &refusal(other))),
        }
    }
    Ok(texts.join("\n"))
}

/// What a tool gave. The templates have no place for `is_error`, so the text says it.
fn result_text(path: &str, block: &Map<String, Value>) -> Result<String, Error> {
    let field = format!("{path}.content");
    let text = match block.get("content") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => texts(&field, items)?,
        Some(_) => return Err(wrong_type(&field, "a string or an array of text blocks")),
    };
    match block.get("is_error") {
        None | Some(Value::Null | Value::Bool(false)) => Ok(text),
        Some(Value::Bool(true)) => Ok(format!("Error: {text}")),
        Some(_) => Err(wrong_type(&format!("{path}.is_error"), "true or false")),
    }
}

fn tool_use(path: &str, block: &Map<String, Value>) -> Result<ToolCall, Error> {
    let input = match block.get("input") {
        Some(input @ Value::Object(_)) => input.to_string(),
        _ => return Err(wrong_type(&format!("{path}.input"), "an object")),
    };
    Ok(ToolCall {
        id: string(path, block, "id")?.to_owned(),
        name: string(path, block, "name")?.to_owned(),
        arguments: input,
    })
}

fn string<'a>(path: &str, block: &'a Map<String, Value>, name: &str) -> Result<&'a str, Error> {
    match block.get(name) {
        Some(Value::String(text)) => Ok(text),
        None | Some(Value::Null) => {
            let field = format!("{path}.{name}");
            let message = format!("`{field}`: field required");
            Err(Error::invalid(field, message))
        }
        Some(_) => Err(wrong_type(&format!("{path}.{name}"), "a string")),
    }
}

fn wrong_type(field: &str, expected: &str) -> Error {
    Error::invalid(field, format!("`{field}` must be {expected}"))
}

/// Why a block of this kind is refused.
fn refusal(kind: &str) -> String {
    match kind {
        "image" | "document" => {
            format!("content of the type {kind:?} is not supported; send its text in a text block")
        }
        _ => format!("content of the type {kind:?} is not supported in this place"),
    }
}
