//! From generation events to a raw completion: in chunks, or whole. Prompt `p` and its choice `c` make the reply's choice
//! `p * n + c`.

use service::{GenerationEvent, TokenLogprob};

use super::replies::{Envelope, TextChoice, TextLogprobs};
use super::reply::{Counts, Head, finish_word, finite, text_alternatives, token_text};
use super::stream::{Frames, Tagged, write_data};

const OBJECT: &str = "text_completion";

/// What the caller asked about the reply.
#[derive(Debug, Clone, Copy)]
pub struct TextShape {
    /// Number of prompts.
    pub prompts: usize,
    /// Choices of each.
    pub choices: u32,
    /// Log-probabilities were asked for.
    pub logprobs: bool,
}

impl TextShape {
    fn total(self) -> usize {
        self.prompts.saturating_mul(self.choices as usize)
    }
}

/// One piece of text of one choice, before it has an index in a reply.
struct Piece {
    index: usize,
    text: String,
    logprobs: Vec<TokenLogprob>,
    finish_reason: Option<&'static str>,
}

/// Reads events into pieces; the part that chunks and whole answers share.
struct Reader {
    shape: TextShape,
    counts: Counts,
}

impl Reader {
    fn new(shape: TextShape) -> Self {
        Reader {
            shape,
            counts: Counts::default(),
        }
    }

    fn index(&self, prompt: usize, choice: u32) -> usize {
        prompt * self.shape.choices as usize + choice as usize
    }

    fn pieces(&mut self, (prompt, event): Tagged) -> Vec<Piece> {
        match event {
            GenerationEvent::Started {
                prompt_tokens,
                cached_tokens,
                prompt_logprobs,
                prompt_text,
            } => {
                self.counts.prompt(prompt_tokens, cached_tokens);
                if prompt_text.is_none() && prompt_logprobs.is_empty() {
                    return Vec::new();
                }
                (0..self.shape.choices)
                    .map(|choice| Piece {
                        index: self.index(prompt, choice),
                        text: prompt_text.clone().unwrap_or_default(),
                        logprobs: prompt_logprobs.clone(),
                        finish_reason: None,
                    })
                    .collect()
            }
            GenerationEvent::Text {
                choice,
                text,
                logprobs,
            } => {
                vec![Piece {
                    index: self.index(prompt, choice),
                    text,
                    logprobs,
                    finish_reason: None,
                }]
            }
            // Raw completions have neither; a reasoning model's marks are plain text here.
            GenerationEvent::Reasoning { choice, text } => {
                self.counts.reasoned();
                vec![Piece {
                    index: self.index(prompt, choice),
                    text,
                    logprobs: Vec::new(),
                    finish_reason: None,
                }]
            }
            GenerationEvent::ToolCallStarted { .. } | GenerationEvent::ToolCallArguments { .. } => {
                Vec::new()
            }
            GenerationEvent::Finished {
                choice,
                reason,
                output_tokens,
                ..
            } => {
                self.counts.output(output_tokens);
                vec![Piece {
                    index: self.index(prompt, choice),
                    text: String::new(),
                    logprobs: Vec::new(),
                    finish_reason: Some(finish_word(&reason)),
                }]
            }
        }
    }
}

/// Appends the piece's tokens to `lists`; `offset` is the number of characters before them, and is moved on.
fn append(lists: &mut TextLogprobs, offset: &mut u64, piece: &Piece) {
    let mut hidden = hidden_characters(&piece.text, &piece.logprobs);
    for token in &piece.logprobs {
        lists.text_offset.push(*offset);
        lists.token_logprobs.push(token.logprob.map(finite));
        lists.tokens.push(token_text(token));
        lists.top_logprobs.push(text_alternatives(token));
        let length = characters(&token.bytes);
        *offset += length.saturating_sub(hidden);
        hidden = hidden.saturating_sub(length);
    }
}

/// Characters are counted by their first bytes, so a character split over two tokens counts once.
fn characters(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte & 0xC0 != 0x80).count() as u64
}

/// Characters at the beginning of a prompt's tokens that are not in its text: the begin token that the model put before
/// it, and the space that some vocabularies put before the first word. Without this every offset would be off by them.
fn hidden_characters(text: &str, tokens: &[TokenLogprob]) -> u64 {
    // Only a prompt's first token has no log-probability.
    let [first, rest @ ..] = tokens else { return 0 };
    if first.logprob.is_some() {
        return 0;
    }
    let space = |token: &TokenLogprob| {
        let (shown, bytes) = (text.as_bytes(), token.bytes.as_slice());
        let inside = bytes
            .strip_prefix(b" ")
            .is_some_and(|word| shown.starts_with(word));
        (!shown.starts_with(bytes) && inside).then_some(1)
    };
    if text.as_bytes().starts_with(&first.bytes) {
        return 0;
    }
    space(first)
        .unwrap_or_else(|| characters(&first.bytes) + rest.first().and_then(space).unwrap_or(0))
}

/// Writes a stream of chunks.
pub struct TextFrames {
    head: Head,
    include_usage: bool,
    reader: Reader,
    offsets: Vec<u64>,
}

impl TextFrames {
    /// For a reply of `shape`.
    pub fn new(head: Head, shape: TextShape, include_usage: bool) -> Self {
        TextFrames {
            head,
            include_usage,
            reader: Reader::new(shape),
            offsets: vec![0; shape.total()],
        }
    }

    fn write(&self, out: &mut Vec<u8>, choices: Vec<TextChoice>, last: bool) {
        let usage = match (self.include_usage, last) {
            (false, _) => None,
            (true, false) => Some(None),
            (true, true) => Some(Some(self.reader.counts.usage())),
        };
        write_data(out, &envelope(&self.head, choices, usage));
    }
}

fn envelope(
    head: &Head,
    choices: Vec<TextChoice>,
    usage: Option<Option<super::replies::Usage>>,
) -> Envelope<'_, TextChoice> {
    Envelope {
        id: &head.id,
        object: OBJECT,
        created: head.created,
        model: &head.model,
        choices,
        usage,
        system_fingerprint: &head.fingerprint,
        service_tier: None,
    }
}

impl Frames for TextFrames {
    fn event(&mut self, tagged: Tagged, out: &mut Vec<u8>) {
        for piece in self.reader.pieces(tagged) {
            let Some(offset) = self.offsets.get_mut(piece.index) else {
                continue;
            };
            if piece.text.is_empty() && piece.logprobs.is_empty() && piece.finish_reason.is_none() {
                continue;
            }
            let logprobs = (self.reader.shape.logprobs && !piece.logprobs.is_empty()).then(|| {
                let mut lists = TextLogprobs::default();
                append(&mut lists, offset, &piece);
                lists
            });
            let index = u32::try_from(piece.index).unwrap_or(u32::MAX);
            let choice = TextChoice {
                text: piece.text,
                index,
                logprobs,
                finish_reason: piece.finish_reason,
            };
            self.write(out, vec![choice], false);
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
    logprobs: TextLogprobs,
    offset: u64,
    finish_reason: Option<&'static str>,
}

/// Puts a whole answer together.
pub struct TextAnswer {
    head: Head,
    reader: Reader,
    answers: Vec<Answer>,
}

impl TextAnswer {
    /// For a reply of `shape`.
    pub fn new(head: Head, shape: TextShape) -> Self {
        let answers = (0..shape.total()).map(|_| Answer::default()).collect();
        TextAnswer {
            head,
            reader: Reader::new(shape),
            answers,
        }
    }

    /// Adds one event.
    pub fn event(&mut self, tagged: Tagged) {
        for piece in self.reader.pieces(tagged) {
            if let Some(answer) = self.answers.get_mut(piece.index) {
                answer.text.push_str(&piece.text);
                append(&mut answer.logprobs, &mut answer.offset, &piece);
                answer.finish_reason = piece.finish_reason.or(answer.finish_reason);
            }
        }
    }

    /// The reply as JSON text; `None` when a choice never ended, which is the service's fault.
    pub fn finish(self) -> Option<Vec<u8>> {
        let with_logprobs = self.reader.shape.logprobs;
        let usage = self.reader.counts.usage();
        let choices = self
            .answers
            .into_iter()
            .enumerate()
            .map(|(index, answer)| {
                Some(TextChoice {
                    text: answer.text,
                    index: u32::try_from(index).ok()?,
                    logprobs: with_logprobs.then_some(answer.logprobs),
                    finish_reason: Some(answer.finish_reason?),
                })
            })
            .collect::<Option<Vec<_>>>()?;
        serde_json::to_vec(&envelope(&self.head, choices, Some(Some(usage)))).ok()
    }
}
