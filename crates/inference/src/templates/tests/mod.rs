//! Templates, grammars and readers at the module's boundary.

mod families;
mod grammars;
mod reading;
mod rendering;

use serde_json::{Value, json};

use super::{Conversation, ConversationMessage, ToolDefinition, ToolInvocation};

fn turn(role: &str, content: &str) -> ConversationMessage {
    ConversationMessage {
        role: role.into(),
        content: content.into(),
        ..ConversationMessage::default()
    }
}

fn conversation(messages: Vec<ConversationMessage>) -> Conversation {
    Conversation {
        messages,
        add_generation_prompt: true,
        ..Conversation::default()
    }
}

fn weather() -> ToolDefinition {
    tool(
        "get_weather",
        json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": false}),
    )
}

fn tool(name: &str, parameters: Value) -> ToolDefinition {
    ToolDefinition {
        name: name.into(),
        description: Some("Weather now".into()),
        parameters,
        strict: true,
    }
}

/// Asked, called, answered: the turns that exercise a template's tool branches.
fn called_conversation() -> Conversation {
    let mut call = turn("assistant", "");
    call.tool_calls = vec![ToolInvocation {
        id: "abc123DEF".into(),
        name: "get_weather".into(),
        arguments: "{\"city\": \"Oslo\"}".into(),
    }];
    let mut result = turn("tool", "{\"degrees\": -3}");
    result.tool_call_id = Some("abc123DEF".into());
    result.name = Some("get_weather".into());
    let mut conversation = conversation(vec![turn("user", "Weather in Oslo?"), call, result]);
    conversation.tools = vec![weather()];
    conversation
}
