//! Writes a response from a generation's events: opens and closes its items, numbers its citations, counts its tokens.
//!
//! Invariants: at most one item is open; an item is in the output only when it is closed; every event that was given out
//! belongs to the response that [`Writer::response`] shows once all are taken.

use std::collections::VecDeque;

use crate::answering::{MarkReader, Passage};
use crate::error::{Error, Result};
use crate::identifiers;
use crate::types::{FinishReason, GenerationEvent, TokenLogprob};

use super::types::{
    Citation, Item, ItemBody, ItemEvent, ItemState, PartKind, Response, ResponseEvent,
    ResponseFailure, ResponseState, ResponseUsage, SearchStep, SpeakerRole, TextPart,
};

/// The item being written.
enum Open {
    Message {
        id: String,
        part: TextPart,
        marks: MarkReader,
    },
    Reasoning {
        id: String,
        text: String,
    },
    Call {
        id: String,
        call_id: String,
        name: String,
        arguments: String,
    },
}

/// One response while it is written.
pub(super) struct Writer {
    response: Response,
    open: Option<Open>,
    /// What the model was shown, by number from 1.
    passages: Vec<Passage>,
    usage: ResponseUsage,
    /// All reasoning, to count its tokens when it is whole.
    reasoning: String,
    ready: VecDeque<ResponseEvent>,
}

impl Writer {
    /// Begins `response`, which is queued or in progress and empty.
    pub(super) fn new(response: Response) -> Self {
        let mut ready = VecDeque::from([ResponseEvent::Created(Box::new(response.clone()))]);
        if response.state == ResponseState::Queued {
            ready.push_back(ResponseEvent::Queued(Box::new(response.clone())));
        }
        Writer {
            response,
            open: None,
            passages: Vec::new(),
            usage: ResponseUsage::default(),
            reasoning: String::new(),
            ready,
        }
    }

    /// As it stands, without the item that is open.
    pub(super) fn response(&self) -> &Response {
        &self.response
    }

    /// The next event, if one is ready.
    pub(super) fn take(&mut self) -> Option<ResponseEvent> {
        self.ready.pop_front()
    }

    /// All reasoning so far.
    pub(super) fn reasoning(&self) -> &str {
        &self.reasoning
    }

    /// It is being written from now on, by this model.
    pub(super) fn progress(&mut self, model: &str) {
        model.clone_into(&mut self.response.model);
        self.response.state = ResponseState::InProgress;
        let now = Box::new(self.response.clone());
        self.ready.push_back(ResponseEvent::InProgress(now));
    }

    /// Documents were searched; `passages` is what the model is shown.
    pub(super) fn searched(&mut self, queries: Vec<String>, passages: Vec<Passage>) -> Result<()> {
        let (output, item_id) = (self.response.output.len(), identifiers::item("fs_")?);
        let mut item = Item {
            id: item_id.clone(),
            state: ItemState::InProgress,
            body: ItemBody::Search {
                queries: queries.clone(),
                passages: Vec::new(),
            },
        };
        self.ready.push_back(ResponseEvent::ItemStarted {
            output,
            item: item.clone(),
        });
        for step in [
            SearchStep::Begun,
            SearchStep::Searching,
            SearchStep::Completed,
        ] {
            self.ready
                .push_back(within(output, &item_id, ItemEvent::Searched(step)));
        }
        item.state = ItemState::Completed;
        item.body = ItemBody::Search {
            queries,
            passages: passages.clone(),
        };
        self.passages = passages;
        self.end_item(item);
        Ok(())
    }

    /// One more event of the generation; true when it was the last.
    pub(super) fn write(&mut self, event: GenerationEvent) -> Result<bool> {
        match event {
            GenerationEvent::Started {
                prompt_tokens,
                cached_tokens,
                ..
            } => {
                self.usage.input_tokens = u64::from(prompt_tokens);
                self.usage.cached_tokens = u64::from(cached_tokens);
            }
            GenerationEvent::Text { text, logprobs, .. } => self.text(text, logprobs)?,
            GenerationEvent::Reasoning { text, .. } => self.reason(text)?,
            GenerationEvent::ToolCallStarted { id, name, .. } => self.call(id, name)?,
            GenerationEvent::ToolCallArguments { fragment, .. } => self.argue(fragment),
            GenerationEvent::Finished {
                reason,
                output_tokens,
                ..
            } => {
                self.usage.output_tokens += u64::from(output_tokens);
                let (item, state) = match reason {
                    FinishReason::Length => (ItemState::Incomplete, ResponseState::Incomplete),
                    FinishReason::Stop { .. } | FinishReason::ToolCalls => {
                        (ItemState::Completed, ResponseState::Completed)
                    }
                };
                self.say_something()?;
                self.close(item);
                self.response.state = state;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// It went wrong.
    pub(super) fn fail(&mut self, error: &Error) {
        self.close(ItemState::Incomplete);
        self.response.state = ResponseState::Failed;
        self.response.failure = Some(ResponseFailure {
            code: error.code.unwrap_or(error.kind.name()).to_owned(),
            message: error.message.clone(),
        });
    }

    /// Somebody stopped it.
    pub(super) fn cancel(&mut self) {
        self.close(ItemState::Incomplete);
        self.response.state = ResponseState::Cancelled;
    }

    /// Nothing more comes: the state is final and `reasoning_tokens` of the output were reasoning.
    pub(super) fn end(&mut self, ended_unix: u64, reasoning_tokens: u64) {
        self.usage.reasoning_tokens = reasoning_tokens.min(self.usage.output_tokens);
        self.response.ended_unix = Some(ended_unix);
        let counted = self.usage.input_tokens > 0;
        self.response.usage = counted.then_some(self.usage);
        let whole = Box::new(self.response.clone());
        self.ready.push_back(ResponseEvent::Ended(whole));
    }

    fn text(&mut self, text: String, logprobs: Vec<TokenLogprob>) -> Result<()> {
        let output = self.response.output.len();
        if !matches!(self.open, Some(Open::Message { .. })) {
            self.close(ItemState::Completed);
            let id = identifiers::item("msg_")?;
            self.start_item(
                id.clone(),
                ItemBody::Message {
                    role: SpeakerRole::Assistant,
                    parts: Vec::new(),
                },
            );
            let part = PartKind::Text(TextPart::default());
            let output = self.response.output.len();
            self.ready
                .push_back(within(output, &id, ItemEvent::PartStarted(part)));
            self.open = Some(Open::Message {
                id,
                part: TextPart::default(),
                marks: MarkReader::default(),
            });
            return self.text(text, logprobs);
        }
        let Some(Open::Message { id, part, marks }) = &mut self.open else {
            return Ok(());
        };
        part.text.push_str(&text);
        part.logprobs.extend(logprobs.iter().cloned());
        let found = marks.push(&text);
        if text.is_empty() && logprobs.is_empty() {
            return Ok(());
        }
        self.ready
            .push_back(within(output, id, ItemEvent::TextAdded { text, logprobs }));
        let passages = &self.passages;
        for citation in found
            .into_iter()
            .filter_map(|mark| Citation::of(mark, passages))
        {
            let event = ItemEvent::Cited {
                index: part.citations.len(),
                citation: citation.clone(),
            };
            self.ready.push_back(within(output, id, event));
            part.citations.push(citation);
        }
        Ok(())
    }

    /// A model that ended at once gave an empty message, not none.
    fn say_something(&mut self) -> Result<()> {
        let spoke = |item: &Item| {
            matches!(
                item.body,
                ItemBody::Message { .. } | ItemBody::FunctionCall { .. }
            )
        };
        let speaks = matches!(self.open, Some(Open::Message { .. } | Open::Call { .. }));
        if speaks || self.response.output.iter().any(spoke) {
            return Ok(());
        }
        self.text(String::new(), Vec::new())
    }

    fn reason(&mut self, text: String) -> Result<()> {
        self.reasoning.push_str(&text);
        if !matches!(self.open, Some(Open::Reasoning { .. })) {
            self.close(ItemState::Completed);
            let id = identifiers::item("rs_")?;
            self.start_item(
                id.clone(),
                ItemBody::Reasoning {
                    text: String::new(),
                },
            );
            let part = PartKind::Reasoning(String::new());
            let output = self.response.output.len();
            self.ready
                .push_back(within(output, &id, ItemEvent::PartStarted(part)));
            self.open = Some(Open::Reasoning {
                id,
                text: String::new(),
            });
        }
        if let Some(Open::Reasoning { id, text: whole }) = &mut self.open {
            whole.push_str(&text);
            let output = self.response.output.len();
            self.ready
                .push_back(within(output, id, ItemEvent::ReasoningAdded(text)));
        }
        Ok(())
    }

    fn call(&mut self, call_id: String, name: String) -> Result<()> {
        self.close(ItemState::Completed);
        let id = identifiers::item("fc_")?;
        self.start_item(
            id.clone(),
            ItemBody::FunctionCall {
                call_id: call_id.clone(),
                name: name.clone(),
                arguments: String::new(),
            },
        );
        self.open = Some(Open::Call {
            id,
            call_id,
            name,
            arguments: String::new(),
        });
        Ok(())
    }

    fn argue(&mut self, fragment: String) {
        // Calls are written one after the other, so the open one is meant.
        if let Some(Open::Call { id, arguments, .. }) = &mut self.open {
            arguments.push_str(&fragment);
            let output = self.response.output.len();
            self.ready
                .push_back(within(output, id, ItemEvent::ArgumentsAdded(fragment)));
        }
    }

    fn start_item(&mut self, id: String, body: ItemBody) {
        self.ready.push_back(ResponseEvent::ItemStarted {
            output: self.response.output.len(),
            item: Item {
                id,
                state: ItemState::InProgress,
                body,
            },
        });
    }

    fn end_item(&mut self, item: Item) {
        self.ready.push_back(ResponseEvent::ItemEnded {
            output: self.response.output.len(),
            item: item.clone(),
        });
        self.response.output.push(item);
    }

    /// Closes the open item, if there is one.
    fn close(&mut self, state: ItemState) {
        let output = self.response.output.len();
        let Some(open) = self.open.take() else {
            return;
        };
        let (id, events, body) = match open {
            Open::Message { id, part, .. } => {
                let events = vec![
                    ItemEvent::TextEnded(part.clone()),
                    ItemEvent::PartEnded(PartKind::Text(part.clone())),
                ];
                let body = ItemBody::Message {
                    role: SpeakerRole::Assistant,
                    parts: vec![part],
                };
                (id, events, body)
            }
            Open::Reasoning { id, text } => {
                let events = vec![
                    ItemEvent::ReasoningEnded(text.clone()),
                    ItemEvent::PartEnded(PartKind::Reasoning(text.clone())),
                ];
                (id, events, ItemBody::Reasoning { text })
            }
            Open::Call {
                id,
                call_id,
                name,
                arguments,
            } => {
                let events = vec![ItemEvent::ArgumentsEnded {
                    name: name.clone(),
                    arguments: arguments.clone(),
                }];
                let body = ItemBody::FunctionCall {
                    call_id,
                    name,
                    arguments,
                };
                (id, events, body)
            }
        };
        let events = events.into_iter().map(|event| within(output, &id, event));
        self.ready.extend(events);
        self.end_item(Item { id, state, body });
    }
}

fn within(output: usize, item_id: &str, event: ItemEvent) -> ResponseEvent {
    ResponseEvent::Within {
        output,
        item_id: item_id.to_owned(),
        event,
    }
}
