//! Reads content, reasoning and tool calls out of generated text while it streams.
//!
//! ```text
//!          ┌────────── open mark ──────────► Reasoning ── close mark ──┐
//!   Start ─┤                                     │ call opens          ▼
//!          └── anything else ───────────────────►│◄──────────────── Content ◄─────────────────┐
//!                                                ▼                     │ call opens         │ neither
//!                                            Arguments ◄───────────────┘                    │
//!                                                │ value ends        next call              │
//!                                                └────────► Closing ──────► Between ────────┘
//! ```
//! Every decision depends on the text alone, never on how it was cut: a state waits while what it holds may still
//! become something else, and what turns out to be no call is given back as text.

use std::ops::Range;

use super::pattern::{Outcome, ValueScanner, held_back, match_parts};
use super::syntax::{ReasoningMarks, ToolFormat};

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputEvent {
    /// Text of the answer.
    Content {
        /// What was added.
        text: String,
        /// Where it lies in the generated text, in bytes, to find the tokens behind it.
        span: Range<usize>,
    },
    /// Text of the reasoning.
    Reasoning(String),
    /// A call begins.
    CallStarted {
        /// Which call, from 0.
        index: u32,
        /// The tool.
        name: String,
    },
    /// More of a call's arguments.
    CallArguments {
        /// Which call.
        index: u32,
        /// JSON text to be concatenated.
        fragment: String,
    },
}

/// What to look for.
#[derive(Debug, Clone, Default)]
pub struct ParserOptions {
    /// How calls are written; `None`: there are none, and everything is content.
    pub tools: Option<ToolFormat>,
    /// Names that may be called; a call of another name is text.
    pub names: Vec<String>,
    /// How reasoning is marked.
    pub reasoning: Option<ReasoningMarks>,
    /// The prompt already opened the reasoning.
    pub reasoning_open: bool,
}

#[derive(Debug, Clone)]
enum State {
    /// Nothing was decided: only white space so far.
    Start,
    Reasoning {
        /// White space before its first character is dropped.
        fresh: bool,
    },
    Content {
        /// White space before its first character is dropped.
        trim: bool,
        /// Nothing of the answer was given yet.
        first: bool,
    },
    Arguments(ValueScanner),
    Closing,
    Between,
}

/// The streaming reader of one answer.
#[derive(Debug)]
pub struct OutputParser {
    options: ParserOptions,
    state: State,
    /// Text received and not yet given.
    pending: String,
    /// Position of `pending` in the generated text.
    offset: usize,
    calls: u32,
    events: Vec<OutputEvent>,
}

impl OutputParser {
    /// A reader at the beginning of an answer.
    pub fn new(options: ParserOptions) -> Self {
        let state = match (options.reasoning, options.reasoning_open) {
            (Some(_), true) => State::Reasoning { fresh: true },
            (Some(_), false) => State::Start,
            (None, _) => State::Content {
                trim: false,
                first: true,
            },
        };
        OutputParser {
            options,
            state,
            pending: String::new(),
            offset: 0,
            calls: 0,
            events: Vec::new(),
        }
    }

    /// Calls seen so far.
    pub fn calls(&self) -> u32 {
        self.calls
    }

    /// Takes more text and gives what is certain.
    pub fn push(&mut self, text: &str) -> Vec<OutputEvent> {
        self.pending.push_str(text);
        while self.step() {}
        std::mem::take(&mut self.events)
    }

    /// The text has ended: gives what was held back.
    pub fn finish(&mut self) -> Vec<OutputEvent> {
        while self.step() {}
        let rest = self.pending.len();
        match self.state {
            State::Reasoning { .. } => {
                let text = self.take(rest);
                self.reasoning(text.trim_end().to_owned());
            }
            State::Start | State::Content { .. } => self.content(rest),
            // What trails a call that was complete or cut short carries nothing.
            State::Arguments(_) | State::Closing | State::Between => {
                self.take(rest);
            }
        }
        std::mem::take(&mut self.events)
    }

    /// One decision; false when more text is needed.
    fn step(&mut self) -> bool {
        if self.pending.is_empty() {
            return false;
        }
        match self.state.clone() {
            State::Start => self.step_start(),
            State::Reasoning { fresh } => self.step_reasoning(fresh),
            State::Content { trim, first } => self.step_content(trim, first),
            State::Arguments(scanner) => self.step_arguments(scanner),
            State::Closing => self.step_closing(),
            State::Between => self.step_between(),
        }
    }

    fn step_start(&mut self) -> bool {
        let open = self.options.reasoning.map_or("", |marks| marks.open);
        let space = self.pending.len() - self.pending.trim_start().len();
        let text = &self.pending[space..];
        if text.starts_with(open) && !open.is_empty() {
            self.take(space + open.len());
            self.state = State::Reasoning { fresh: true };
            true
        } else if open.starts_with(text) {
            false
        } else {
            self.state = State::Content {
                trim: false,
                first: true,
            };
            true
        }
    }

    fn step_reasoning(&mut self, fresh: bool) -> bool {
        if fresh {
            let space = self.pending.len() - self.pending.trim_start().len();
            self.take(space);
            if self.pending.is_empty() {
                return false;
            }
        }
        let close = self.options.reasoning.map_or("", |marks| marks.close);
        let closes = self.pending.find(close);
        // A call inside unfinished reasoning ends it: the grammar has already made it a call.
        let found = if self.options.tools.is_some_and(ToolFormat::only_at_start) {
            Found::Nothing
        } else {
            self.find_call(false, closes.unwrap_or(self.pending.len()))
        };
        match found {
            Found::Call { at, end, name } => {
                self.end_reasoning(at);
                self.start_call(end - at, &name);
                return true;
            }
            Found::Undecided { at } => return self.give_reasoning(at, fresh),
            Found::Nothing => {}
        }
        match closes {
            Some(at) => {
                self.end_reasoning(at);
                self.take(close.len());
                self.state = State::Content {
                    trim: true,
                    first: true,
                };
                true
            }
            None => {
                let keep = held_back(&self.pending, close);
                self.give_reasoning(self.pending.len() - keep, fresh)
            }
        }
    }

    /// Gives reasoning up to `end`, less the white space before it, which may turn out to be the last.
    fn give_reasoning(&mut self, end: usize, fresh: bool) -> bool {
        let end = self.pending[..end].trim_end().len();
        if end > 0 {
            let text = self.take(end);
            self.reasoning(text);
            self.state = State::Reasoning { fresh: false };
        } else {
            self.state = State::Reasoning { fresh };
        }
        false
    }

    fn end_reasoning(&mut self, at: usize) {
        let text = self.take(at);
        self.reasoning(text.trim_end().to_owned());
    }

    fn step_content(&mut self, trim: bool, first: bool) -> bool {
        if trim {
            let space = self.pending.len() - self.pending.trim_start().len();
            self.take(space);
            if self.pending.is_empty() {
                return false;
            }
        }
        let only_start = self.options.tools.is_some_and(ToolFormat::only_at_start);
        if self.options.tools.is_none() || (only_start && !first) {
            self.content(self.pending.len());
            self.state = State::Content {
                trim: false,
                first: false,
            };
            return false;
        }
        match self.find_call(only_start, self.pending.len()) {
            Found::Call { at, end, name } => {
                self.content(self.pending[..at].trim_end().len());
                let space = self.pending.len() - self.pending.trim_start().len();
                self.take(space);
                self.start_call(end - at, &name);
                true
            }
            Found::Undecided { at } => self.give_content(at, first),
            Found::Nothing if only_start => {
                self.state = State::Content {
                    trim: false,
                    first: false,
                };
                true
            }
            Found::Nothing => self.give_content(self.pending.len(), first),
        }
    }

    /// Gives content up to `end`, less the white space before it, which is dropped when a call follows.
    fn give_content(&mut self, end: usize, first: bool) -> bool {
        let end = self.pending[..end].trim_end().len();
        let given = end > 0;
        self.content(end);
        self.state = State::Content {
            trim: false,
            first: first && !given,
        };
        false
    }

    fn step_arguments(&mut self, mut scanner: ValueScanner) -> bool {
        let (end, done) = scanner.scan(&self.pending);
        let fragment = self.take(end);
        self.events.push(OutputEvent::CallArguments {
            index: self.calls.saturating_sub(1),
            fragment,
        });
        self.state = if done {
            State::Closing
        } else {
            State::Arguments(scanner)
        };
        done
    }

    fn step_closing(&mut self) -> bool {
        let parts = self.options.tools.map_or(&[][..], ToolFormat::closing);
        match match_parts(parts, &self.pending) {
            Outcome::Partial => false,
            Outcome::Match { end, .. } => {
                self.take(end);
                self.state = State::Between;
                true
            }
            Outcome::Mismatch => {
                self.after_calls();
                true
            }
        }
    }

    fn step_between(&mut self) -> bool {
        let Some(format) = self.options.tools else {
            self.after_calls();
            return true;
        };
        let next = match_parts(format.next(), &self.pending);
        if let Outcome::Match { end, name } = &next {
            let name = self.pending[name.clone()].to_owned();
            if self.known(&name) {
                self.start_call(*end, &name);
            } else {
                self.after_calls();
            }
            return true;
        }
        let ending = if format.ending().is_empty() {
            Outcome::Mismatch
        } else {
            match_parts(format.ending(), &self.pending)
        };
        match (next, ending) {
            (_, Outcome::Match { end, .. }) => {
                self.take(end);
                self.after_calls();
                true
            }
            (Outcome::Partial, _) | (_, Outcome::Partial) => false,
            _ => {
                self.after_calls();
                true
            }
        }
    }

    fn after_calls(&mut self) {
        self.state = State::Content {
            trim: true,
            first: false,
        };
    }

    /// The first call that begins before `limit`, or the first place where one may.
    fn find_call(&self, only_start: bool, limit: usize) -> Found {
        let Some(format) = self.options.tools else {
            return Found::Nothing;
        };
        let text = &self.pending;
        let mut from = 0;
        loop {
            let candidate = format
                .openers()
                .iter()
                .filter_map(|opener| {
                    let at = from + text.get(from..limit)?.find(opener.mark)?;
                    Some((at, opener))
                })
                .min_by_key(|(at, _)| *at);
            let Some((at, opener)) = candidate else { break };
            if only_start && !text[..at].trim().is_empty() {
                return Found::Nothing;
            }
            match match_parts(opener.parts, &text[at..]) {
                Outcome::Match { end, name } => {
                    let name = text[at..][name].to_owned();
                    if self.known(&name) {
                        let end = at + end;
                        return Found::Call { at, end, name };
                    }
                }
                Outcome::Partial => return Found::Undecided { at },
                Outcome::Mismatch => {}
            }
            if only_start {
                return Found::Nothing;
            }
            from = at + opener.mark.len();
        }
        let tail = text.get(from..limit).unwrap_or_default();
        let keep = format
            .openers()
            .iter()
            .map(|opener| held_back(tail, opener.mark))
            .max()
            .unwrap_or(0);
        let at = limit - keep;
        if limit < text.len() || keep == 0 {
            // Beyond the limit something else was found, so no opener can grow there.
            return if only_start && text[..limit].trim().is_empty() && limit == text.len() {
                Found::Undecided { at: 0 }
            } else {
                Found::Nothing
            };
        }
        if only_start && !text[..at].trim().is_empty() {
            return Found::Nothing;
        }
        Found::Undecided { at }
    }

    fn known(&self, name: &str) -> bool {
        self.options.names.iter().any(|known| known == name)
    }

    /// Drops the `length` bytes that open a call and begins its arguments.
    fn start_call(&mut self, length: usize, name: &str) {
        self.take(length);
        self.events.push(OutputEvent::CallStarted {
            index: self.calls,
            name: name.to_owned(),
        });
        self.calls = self.calls.saturating_add(1);
        self.state = State::Arguments(ValueScanner::default());
    }

    fn take(&mut self, length: usize) -> String {
        let rest = self.pending.split_off(length);
        self.offset += length;
        std::mem::replace(&mut self.pending, rest)
    }

    fn content(&mut self, length: usize) {
        if length == 0 {
            return;
        }
        let span = self.offset..self.offset + length;
        let text = self.take(length);
        self.events.push(OutputEvent::Content { text, span });
    }

    fn reasoning(&mut self, text: String) {
        if !text.is_empty() {
            self.events.push(OutputEvent::Reasoning(text));
        }
    }
}

/// Where a call begins.
enum Found {
    Call {
        at: usize,
        end: usize,
        name: String,
    },
    /// From `at` on, the text may still become a call.
    Undecided {
        at: usize,
    },
    Nothing,
}
