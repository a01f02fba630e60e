//! What is used where a model's own template says nothing: layouts for models without a template, and rewritten
//! turns for templates without tools or without the developer's role.

use super::conversation::{Conversation, ConversationMessage, ToolDefinition};

/// ChatML, for models whose vocabulary has its marks.
pub(super) const CHATML: &str = "\
{%- for message in messages -%}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}";

/// Names of the speakers, one paragraph a turn, for models that were never taught turns at all.
pub(super) const PLAIN: &str = "\
{%- for message in messages -%}
{%- if message.role == 'system' -%}{{- message.content + '\\n\\n' -}}
{%- elif message.role == 'assistant' -%}{{- 'Assistant: ' + message.content + '\\n\\n' -}}
{%- else -%}{{- 'User: ' + message.content + '\\n\\n' -}}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- 'Assistant:' -}}{%- endif -%}";

/// Where an answer in the plain layout ends: the model goes on with the next speaker.
pub(super) const PLAIN_STOPS: [&str; 2] = ["\nUser:", "\nAssistant:"];

/// Turns `developer` into `system`.
pub(super) fn without_developer(conversation: &mut Conversation) {
    for message in &mut conversation.messages {
        if message.role == "developer" {
            message.role = "system".to_owned();
        }
    }
}

/// Puts tools, calls and results into plain text.
pub(super) fn without_tools(conversation: &mut Conversation) {
    let tools = std::mem::take(&mut conversation.tools);
    let mut turns: Vec<ConversationMessage> = Vec::with_capacity(conversation.messages.len() + 1);
    for mut message in std::mem::take(&mut conversation.messages) {
        if message.role == "tool" {
            let text = format!("<tool_response>\n{}\n</tool_response>", message.content);
            // Results of one round of calls are one turn: many templates insist on alternating roles.
            match turns.last_mut() {
                Some(last) if last.role == "user" && last.tool_call_id.is_some() => {
                    last.content = format!("{}\n{text}", last.content);
                }
                _ => turns.push(ConversationMessage {
                    role: "user".to_owned(),
                    content: text,
                    tool_call_id: message.tool_call_id,
                    ..ConversationMessage::default()
                }),
            }
            continue;
        }
        for call in std::mem::take(&mut message.tool_calls) {
            let written = serde_json::json!({
                "name": call.name,
                "arguments": call.parsed_arguments(),
            });
            if !message.content.is_empty() {
                message.content.push('\n');
            }
            message.content.push_str("<tool_call>\n");
            message
                .content
                .push_str(&super::render::python_json(&written));
            message.content.push_str("\n</tool_call>");
        }
        turns.push(message);
    }
    for turn in &mut turns {
        turn.tool_call_id = None;
    }
    if !tools.is_empty() {
        describe_tools(&tools, &mut turns);
    }
    conversation.messages = turns;
}

fn describe_tools(tools: &[ToolDefinition], turns: &mut Vec<ConversationMessage>) {
    let mut text = String::from(
        "You can call functions. Their signatures, one JSON object a line, are between <tools> tags:\n<tools>\n",
    );
    for tool in tools {
        text.push_str(&super::render::python_json(&tool.to_value()));
        text.push('\n');
    }
    text.push_str(
        "</tools>\nTo call one, answer with its name and arguments as JSON between <tool_call> tags:\n\
         <tool_call>\n{\"name\": \"<function name>\", \"arguments\": {<arguments>}}\n</tool_call>",
    );
    match turns.first_mut() {
        Some(first) if first.role == "system" => {
            if !first.content.is_empty() {
                first.content.push_str("\n\n");
            }
            first.content.push_str(&text);
        }
        _ => turns.insert(
            0,
            ConversationMessage {
                role: "system".to_owned(),
                content: text,
                ..ConversationMessage::default()
            },
        ),
    }
}
