//! What a template is rendered from, in plain types.

use serde_json::{Map, Value};

/// A tool as the template shows it to the model.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolDefinition {
    /// Name: letters, digits, `_`, `-`.
    pub name: String,
    /// What it does.
    pub description: Option<String>,
    /// JSON Schema of its arguments.
    pub parameters: Value,
    /// The arguments must follow the schema exactly; otherwise keywords the grammar does not know are ignored.
    pub strict: bool,
}

impl ToolDefinition {
    /// The shape templates expect: `{"type": "function", "function": {...}}`.
    pub(super) fn to_value(&self) -> Value {
        let mut function = Map::new();
        function.insert("name".into(), self.name.clone().into());
        if let Some(description) = &self.description {
            function.insert("description".into(), description.clone().into());
        }
        function.insert("parameters".into(), self.parameters.clone());
        serde_json::json!({ "type": "function", "function": function })
    }
}

/// A call that the assistant made earlier in the conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolInvocation {
    /// Its id.
    pub id: String,
    /// The tool.
    pub name: String,
    /// Arguments, JSON text.
    pub arguments: String,
}

/// One turn.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ConversationMessage {
    /// `system`, `developer`, `user`, `assistant` or `tool`.
    pub role: String,
    /// Its text.
    pub content: String,
    /// Name of the participant or tool.
    pub name: Option<String>,
    /// Reasoning before the answer, when the caller sends it back.
    pub reasoning: Option<String>,
    /// Calls made in this turn.
    pub tool_calls: Vec<ToolInvocation>,
    /// The call that a `tool` turn answers.
    pub tool_call_id: Option<String>,
}

/// Everything a template sees.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Conversation {
    /// Turns, oldest first.
    pub messages: Vec<ConversationMessage>,
    /// Tools the model may call.
    pub tools: Vec<ToolDefinition>,
    /// Extra template variables (`enable_thinking`); they never replace the standard ones.
    pub variables: Map<String, Value>,
    /// Open an assistant turn at the end.
    pub add_generation_prompt: bool,
}

/// How turns are given to a template; templates differ in what they accept, so rendering tries these in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Arguments as an object, empty content of a calling turn as `none` (what the Python library gives).
    Native,
    /// Arguments as JSON text, for templates that concatenate them.
    TextArguments,
    /// Arguments as JSON text and content always a string.
    TextOnly,
}

impl ConversationMessage {
    /// The mapping that templates read.
    pub(super) fn to_value(&self, shape: Shape) -> Value {
        let mut turn = Map::new();
        turn.insert("role".into(), self.role.clone().into());
        let content =
            if self.content.is_empty() && !self.tool_calls.is_empty() && shape != Shape::TextOnly {
                Value::Null
            } else {
                self.content.clone().into()
            };
        turn.insert("content".into(), content);
        if let Some(name) = &self.name {
            turn.insert("name".into(), name.clone().into());
        }
        if let Some(reasoning) = &self.reasoning {
            turn.insert("reasoning_content".into(), reasoning.clone().into());
        }
        if let Some(id) = &self.tool_call_id {
            turn.insert("tool_call_id".into(), id.clone().into());
        }
        if !self.tool_calls.is_empty() {
            let calls = self.tool_calls.iter().map(|call| call.to_value(shape));
            turn.insert("tool_calls".into(), calls.collect());
        }
        Value::Object(turn)
    }
}

impl ToolInvocation {
    fn to_value(&self, shape: Shape) -> Value {
        let arguments = match shape {
            Shape::Native => self.parsed_arguments(),
            Shape::TextArguments | Shape::TextOnly => self.arguments.clone().into(),
        };
        serde_json::json!({
            "id": self.id,
            "type": "function",
            "function": { "name": self.name, "arguments": arguments },
        })
    }

    /// The arguments as an object, or as the text they are when they are not one.
    pub(super) fn parsed_arguments(&self) -> Value {
        if self.arguments.trim().is_empty() {
            return Value::Object(Map::new());
        }
        match serde_json::from_str::<Value>(&self.arguments) {
            Ok(value @ Value::Object(_)) => value,
            _ => self.arguments.clone().into(),
        }
    }
}
