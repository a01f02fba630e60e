//! From generation events to a chat completion: in chunks, or whole. Both read the same events, so the concatenation of
//! the chunks is the whole answer.

use std::collections::BTreeMap;

use service::GenerationEvent;

use super::replies::{
    AssistantMessage, ChatChoice, ChatChunkChoice, ChatLogprobs, Delta, Envelope, FunctionDelta,
    FunctionReply, ToolCallDelta, ToolCallReply,
};
use super::reply::{Counts, Head, chat_logprobs, finish_word};
use super::stream::{Frames, Tagged, write_data};

const CHUNK: &str = "chat.completion.chunk";
const WHOLE: &str = "chat.completion";
const TIER: Option<&str> = Some("default");

/// Writes a stream of chunks.
pub struct ChatFrames {
    head: Head,
    choices: u32,
    include_usage: bool,
    logprobs: bool,
    counts: Counts,
}

impl ChatFrames {
    /// For an answer of `choices` choices.
    pub fn new(head: Head, choices: u32, include_usage: bool, logprobs: bool) -> Self {
        ChatFrames {
            head,
            choices,
            include_usage,
            logprobs,
            counts: Counts::default(),
        }
    }

    fn write(&self, out: &mut Vec<u8>, choices: Vec<ChatChunkChoice>, last: bool) {
        let usage = match (self.include_usage, last) {
            (false, _) => None,
            (true, false) => Some(None),
            (true, true) => Some(Some(self.counts.usage())),
        };
        write_data(
            out,
            &Envelope {
                id: &self.head.id,
                object: CHUNK,
                created: self.head.created,
                model: &self.head.model,
                choices,
                usage,
                system_fingerprint: &self.head.fingerprint,
                service_tier: TIER,
            },
        );
    }

    fn delta(&self, out: &mut Vec<u8>, index: u32, delta: Delta, logprobs: Option<ChatLogprobs>) {
        self.write(
            out,
            vec![ChatChunkChoice {
                index,
                delta,
                logprobs,
                finish_reason: None,
            }],
            false,
        );
    }
}

impl ChatFrames {
    /// The first chunk of every choice.
    fn roles(&self, out: &mut Vec<u8>) {
        for index in 0..self.choices {
            let delta = Delta {
                role: Some("assistant"),
                content: Some(String::new()),
                ..Delta::default()
            };
            self.delta(out, index, delta, None);
        }
    }

    fn call(&self, out: &mut Vec<u8>, choice: u32, call: ToolCallDelta) {
        let delta = Delta {
            tool_calls: Some([call]),
            ..Delta::default()
        };
        self.delta(out, choice, delta, None);
    }
}

impl Frames for ChatFrames {
    fn event(&mut self, (_, event): Tagged, out: &mut Vec<u8>) {
        match event {
            GenerationEvent::Started {
                prompt_tokens,
                cached_tokens,
                ..
            } => {
                self.counts.prompt(prompt_tokens, cached_tokens);
                self.roles(out);
            }
            GenerationEvent::Text {
                choice,
                text,
                logprobs,
            } => {
                let logprobs =
                    (self.logprobs && !logprobs.is_empty()).then(|| chat_logprobs(logprobs));
                if !text.is_empty() || logprobs.is_some() {
                    self.delta(
                        out,
                        choice,
                        Delta {
                            content: Some(text),
                            ..Delta::default()
                        },
                        logprobs,
                    );
                }
            }
            GenerationEvent::Reasoning { choice, text } => {
                self.counts.reasoned();
                self.delta(
                    out,
                    choice,
                    Delta {
                        reasoning_content: Some(text),
                        ..Delta::default()
                    },
                    None,
                );
            }
            GenerationEvent::ToolCallStarted {
                choice,
                index,
                id,
                name,
            } => {
                let call = ToolCallDelta {
                    index,
                    id: Some(id),
                    kind: Some("function"),
                    function: FunctionDelta {
                        name: Some(name),
                        arguments: String::new(),
                    },
                };
                self.call(out, choice, call);
            }
            GenerationEvent::ToolCallArguments {
                choice,
                index,
                fragment,
            } => {
                let call = ToolCallDelta {
                    index,
                    id: None,
                    kind: None,
                    function: FunctionDelta {
                        name: None,
                        arguments: fragment,
                    },
                };
                self.call(out, choice, call);
            }
            GenerationEvent::Finished {
                choice,
                reason,
                output_tokens,
                ..
            } => {
                self.counts.output(output_tokens);
                let finish_reason = Some(finish_word(&reason));
                let last = ChatChunkChoice {
                    index: choice,
                    delta: Delta::default(),
                    logprobs: None,
                    finish_reason,
                };
                self.write(out, vec![last], false);
            }
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if self.include_usage {
            self.write(out, Vec::new(), true);
        }
    }
}

/// One choice while it is put together.
#[derive(Default)]
struct Answer {
    text: String,
    reasoning: String,
    calls: BTreeMap<u32, ToolCallReply>,
    logprobs: ChatLogprobs,
    finish_reason: Option<&'static str>,
}

/// Puts a whole answer together.
pub struct ChatAnswer {
    head: Head,
    logprobs: bool,
    counts: Counts,
    answers: Vec<Answer>,
}

impl ChatAnswer {
    /// For an answer of `choices` choices.
    pub fn new(head: Head, choices: u32, logprobs: bool) -> Self {
        let answers = (0..choices).map(|_| Answer::default()).collect();
        ChatAnswer {
            head,
            logprobs,
            counts: Counts::default(),
            answers,
        }
    }

    /// Adds one event; a choice outside the request is not possible and is left out.
    pub fn event(&mut self, event: GenerationEvent) {
        match event {
            GenerationEvent::Started {
                prompt_tokens,
                cached_tokens,
                ..
            } => {
                self.counts.prompt(prompt_tokens, cached_tokens);
            }
            GenerationEvent::Text {
                choice,
                text,
                logprobs,
            } => {
                if let Some(answer) = self.answers.get_mut(choice as usize) {
                    answer.text.push_str(&text);
                    answer
                        .logprobs
                        .content
                        .extend(chat_logprobs(logprobs).content);
                }
            }
            GenerationEvent::Reasoning { choice, text } => {
                self.counts.reasoned();
                if let Some(answer) = self.answers.get_mut(choice as usize) {
                    answer.reasoning.push_str(&text);
                }
            }
            GenerationEvent::ToolCallStarted {
                choice,
                index,
                id,
                name,
            } => {
                if let Some(answer) = self.answers.get_mut(choice as usize) {
                    let function = FunctionReply {
                        name,
                        arguments: String::new(),
                    };
                    answer.calls.insert(
                        index,
                        ToolCallReply {
                            id,
                            kind: "function",
                            function,
                        },
                    );
                }
            }
            GenerationEvent::ToolCallArguments {
                choice,
                index,
                fragment,
            } => {
                if let Some(call) = self
                    .answers
                    .get_mut(choice as usize)
                    .and_then(|answer| answer.calls.get_mut(&index))
                {
                    call.function.arguments.push_str(&fragment);
                }
            }
            GenerationEvent::Finished {
                choice,
                reason,
                output_tokens,
                ..
            } => {
                self.counts.output(output_tokens);
                if let Some(answer) = self.answers.get_mut(choice as usize) {
                    answer.finish_reason = Some(finish_word(&reason));
                }
            }
        }
    }

    /// The reply as JSON text; `None` when a choice never ended, which is the service's fault.
    pub fn finish(self) -> Option<Vec<u8>> {
        let with_logprobs = self.logprobs;
        let choices = self
            .answers
            .into_iter()
            .enumerate()
            .map(|(index, answer)| {
                let tool_calls: Vec<_> = answer.calls.into_values().collect();
                let silent = answer.text.is_empty() && !tool_calls.is_empty();
                Some(ChatChoice {
                    index: u32::try_from(index).ok()?,
                    message: AssistantMessage {
                        role: "assistant",
                        content: (!silent).then_some(answer.text),
                        refusal: None,
                        reasoning_content: (!answer.reasoning.is_empty())
                            .then_some(answer.reasoning),
                        tool_calls,
                    },
                    logprobs: with_logprobs.then_some(answer.logprobs),
                    finish_reason: answer.finish_reason?,
                })
            })
            .collect::<Option<Vec<_>>>()?;
        serde_json::to_vec(&Envelope {
            id: &self.head.id,
            object: WHOLE,
            created: self.head.created,
            model: &self.head.model,
            choices,
            usage: Some(Some(self.counts.usage())),
            system_fingerprint: &self.head.fingerprint,
            service_tier: TIER,
        })
        .ok()
    }
}
