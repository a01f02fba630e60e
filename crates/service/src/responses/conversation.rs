//! From items to the turns of a chat, and shortening a conversation that does not fit.

use std::collections::HashSet;

use crate::error::{Error, Result};
use crate::types::{Message, Role, ToolCall};

use super::types::{Item, ItemBody};

/// The turns of `items`, of which those from `own` on came with this request.
///
/// # Errors
/// A call without its output, or an output without its call: a chat template could not show either.
pub(super) fn messages(items: &[Item], own: usize) -> Result<Vec<Message>> {
    check_calls(items, own)?;
    let mut messages: Vec<Message> = Vec::with_capacity(items.len());
    // An assistant's turn is put together from reasoning, text and calls that follow each other.
    let mut turn = Turn::default();
    for item in items {
        match &item.body {
            ItemBody::Message { role, parts } => {
                let role = Role::from(*role);
                let text = parts
                    .iter()
                    .map(|part| part.text.as_str())
                    .collect::<Vec<_>>()
                    .join("\n");
                if role == Role::Assistant {
                    // Calls end a turn, and so does a text that is there already.
                    if !turn.calls.is_empty() || turn.text.is_some() {
                        turn.end(&mut messages);
                    }
                    turn.text = Some(text);
                } else {
                    turn.end(&mut messages);
                    messages.push(plain(role, text));
                }
            }
            ItemBody::Reasoning { text } => {
                if turn.text.is_some() || !turn.calls.is_empty() {
                    turn.end(&mut messages);
                }
                turn.reasoning = Some(text.clone());
            }
            ItemBody::FunctionCall {
                call_id,
                name,
                arguments,
            } => turn.calls.push(ToolCall {
                id: call_id.clone(),
                name: name.clone(),
                arguments: arguments.clone(),
            }),
            ItemBody::FunctionCallOutput { call_id, output } => {
                turn.end(&mut messages);
                messages.push(Message {
                    tool_call_id: Some(call_id.clone()),
                    ..plain(Role::Tool, output.clone())
                });
            }
            // What was found was shown to the model for its own turn only.
            ItemBody::Search { .. } => {}
        }
    }
    turn.end(&mut messages);
    Ok(messages)
}

fn plain(role: Role, content: String) -> Message {
    Message {
        role,
        content,
        name: None,
        reasoning: None,
        tool_calls: Vec::new(),
        tool_call_id: None,
    }
}

#[derive(Default)]
struct Turn {
    reasoning: Option<String>,
    text: Option<String>,
    calls: Vec<ToolCall>,
}

impl Turn {
    /// Reasoning alone is no turn: it belongs to what never came.
    fn end(&mut self, messages: &mut Vec<Message>) {
        let turn = std::mem::take(self);
        if turn.text.is_some() || !turn.calls.is_empty() {
            messages.push(Message {
                reasoning: turn.reasoning,
                tool_calls: turn.calls,
                ..plain(Role::Assistant, turn.text.unwrap_or_default())
            });
        }
    }
}

fn check_calls(items: &[Item], own: usize) -> Result<()> {
    let place = |index: usize| match index.checked_sub(own) {
        Some(index) => format!("input[{index}].call_id"),
        None => "previous_response_id".to_owned(),
    };
    let mut open: Vec<(usize, &str)> = Vec::new();
    let mut seen: HashSet<&str> = HashSet::new();
    for (index, item) in items.iter().enumerate() {
        match &item.body {
            ItemBody::FunctionCall { call_id, .. } => {
                if !seen.insert(call_id) {
                    return Err(Error::invalid(
                        place(index),
                        format!("There are two function calls with the call_id {call_id}."),
                    ));
                }
                open.push((index, call_id));
            }
            ItemBody::FunctionCallOutput { call_id, .. } => {
                match open.iter().position(|(_, id)| id == call_id) {
                    Some(found) => drop(open.remove(found)),
                    None => {
                        return Err(Error::invalid(
                            place(index),
                            format!(
                                "No tool call found for function call output with call_id {call_id}."
                            ),
                        ));
                    }
                }
            }
            _ => {}
        }
    }
    match open.first() {
        Some((index, call_id)) => Err(Error::invalid(
            if *index < own {
                "input".to_owned()
            } else {
                place(*index)
            },
            format!("No tool output found for function call {call_id}."),
        )),
        None => Ok(()),
    }
}

/// Leaves out the oldest quarter of the turns (at least one) after the instructions, and outputs whose calls went with them.
/// False when nothing can be left out: the last turn stays.
pub(super) fn drop_oldest(messages: &mut Vec<Message>) -> bool {
    let instructed = |message: &&Message| matches!(message.role, Role::System | Role::Developer);
    let first = messages.iter().take_while(instructed).count();
    let turns = messages.len() - first;
    if turns <= 1 {
        return false;
    }
    let mut end = first + (turns / 4).max(1);
    while end < messages.len() - 1 && messages[end].role == Role::Tool {
        end += 1;
    }
    // Only outputs of one call are left: without it they mean nothing.
    if messages[end].role == Role::Tool {
        return false;
    }
    messages.drain(first..end);
    true
}

#[cfg(test)]
mod tests {
    use super::super::types::{ItemState, SpeakerRole, TextPart};
    use super::*;

    fn item(body: ItemBody) -> Item {
        Item {
            id: "i".into(),
            state: ItemState::Completed,
            body,
        }
    }

    fn said(role: SpeakerRole, text: &str) -> Item {
        item(ItemBody::Message {
            role,
            parts: vec![TextPart::plain(text)],
        })
    }

    fn call(id: &str) -> Item {
        item(ItemBody::FunctionCall {
            call_id: id.into(),
            name: "f".into(),
            arguments: "{}".into(),
        })
    }

    fn output(id: &str) -> Item {
        item(ItemBody::FunctionCallOutput {
            call_id: id.into(),
            output: format!("of {id}"),
        })
    }

    fn thought(text: &str) -> Item {
        item(ItemBody::Reasoning { text: text.into() })
    }

    /// Each turn as `role:text[calls]~reasoning`.
    fn shown(messages: &[Message]) -> Vec<String> {
        let one = |message: &Message| {
            let calls: Vec<&str> = message
                .tool_calls
                .iter()
                .map(|call| call.id.as_str())
                .collect();
            format!(
                "{:?}:{}{}{}",
                message.role,
                message.content,
                if calls.is_empty() {
                    String::new()
                } else {
                    format!("[{}]", calls.join(","))
                },
                message
                    .reasoning
                    .as_ref()
                    .map_or(String::new(), |text| format!("~{text}")),
            )
        };
        messages.iter().map(one).collect()
    }

    #[test]
    fn reasoning_text_and_calls_make_one_turn() {
        let items = [
            said(SpeakerRole::User, "hi"),
            thought("hm"),
            said(SpeakerRole::Assistant, "wait"),
            call("a"),
            call("b"),
            output("a"),
            output("b"),
            thought("so"),
            said(SpeakerRole::Assistant, "done"),
        ];
        assert_eq!(
            shown(&messages(&items, 0).expect("messages")),
            [
                "User:hi",
                "Assistant:wait[a,b]~hm",
                "Tool:of a",
                "Tool:of b",
                "Assistant:done~so"
            ]
        );
    }

    #[test]
    fn reasoning_that_nothing_follows_is_left_out() {
        let items = [said(SpeakerRole::User, "hi"), thought("hm")];
        assert_eq!(shown(&messages(&items, 0).expect("messages")), ["User:hi"]);
    }

    #[test]
    fn calls_and_outputs_must_meet() {
        let field = |items: &[Item], own| messages(items, own).expect_err("refused").field;
        assert_eq!(
            field(&[output("a")], 0).as_deref(),
            Some("input[0].call_id")
        );
        assert_eq!(field(&[call("a")], 0).as_deref(), Some("input[0].call_id"));
        let unanswered = [call("a"), said(SpeakerRole::User, "and?")];
        assert_eq!(field(&unanswered, 1).as_deref(), Some("input"));
        assert_eq!(
            field(&[call("a"), call("a")], 0).as_deref(),
            Some("input[1].call_id")
        );
    }

    #[test]
    fn the_oldest_turns_go_first_and_outputs_go_with_their_calls() {
        let items = [
            said(SpeakerRole::System, "s"),
            call("a"),
            output("a"),
            said(SpeakerRole::User, "1"),
            said(SpeakerRole::User, "2"),
        ];
        let mut turns = messages(&items, 0).expect("messages");
        assert!(drop_oldest(&mut turns));
        assert_eq!(shown(&turns), ["System:s", "User:1", "User:2"]);
        assert!(drop_oldest(&mut turns));
        assert_eq!(shown(&turns), ["System:s", "User:2"]);
        assert!(!drop_oldest(&mut turns));
        let mut turns = messages(&items[..3], 0).expect("messages");
        assert!(!drop_oldest(&mut turns), "an output keeps its call");
    }
}
