//! What the replies of chat and raw completions share: identity of the answer, usage, words for the end, log-probabilities.

use std::collections::BTreeMap;

use service::{FinishReason, Generation, TokenLogprob};

use super::replies::{
    ChatLogprobs, ChatToken, ChatTokenLogprob, CompletionTokensDetails, PromptTokensDetails, Usage,
};

/// What every chunk of one answer repeats.
#[derive(Debug, Clone)]
pub struct Head {
    /// With the protocol's prefix.
    pub id: String,
    /// Seconds since 1970.
    pub created: u64,
    /// Full name of the model.
    pub model: String,
    /// Which weights and which build.
    pub fingerprint: String,
}

impl Head {
    /// The head of the answer that `generation` gives, begun at `created`.
    pub fn of(prefix: &str, generation: &Generation, created: u64) -> Self {
        Head {
            id: format!("{prefix}{}", generation.id),
            created,
            model: generation.model.clone(),
            fingerprint: format!("fp_{}", generation.fingerprint),
        }
    }
}

/// Counts of all choices of all prompts of one request.
#[derive(Debug, Default)]
pub struct Counts {
    prompt_tokens: u64,
    cached_tokens: u64,
    output_tokens: u64,
    reasoned: bool,
}

impl Counts {
    /// One prompt was read.
    pub fn prompt(&mut self, tokens: u32, cached: u32) {
        self.prompt_tokens += u64::from(tokens);
        self.cached_tokens += u64::from(cached);
    }

    /// One choice is complete.
    pub fn output(&mut self, tokens: u32) {
        self.output_tokens += u64::from(tokens);
    }

    /// Some of the output was reasoning. How many tokens is not known, so the details are then left out.
    pub fn reasoned(&mut self) {
        self.reasoned = true;
    }

    /// As the API writes it.
    pub fn usage(&self) -> Usage {
        Usage {
            prompt_tokens: self.prompt_tokens,
            completion_tokens: self.output_tokens,
            total_tokens: self.prompt_tokens + self.output_tokens,
            prompt_tokens_details: PromptTokensDetails {
                cached_tokens: self.cached_tokens,
                audio_tokens: 0,
            },
            completion_tokens_details: (!self.reasoned).then_some(CompletionTokensDetails {
                reasoning_tokens: 0,
                audio_tokens: 0,
                accepted_prediction_tokens: 0,
                rejected_prediction_tokens: 0,
            }),
        }
    }
}

/// OpenAI's word for why an answer ended.
pub fn finish_word(reason: &FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop { .. } => "stop",
        FinishReason::Length => "length",
        FinishReason::ToolCalls => "tool_calls",
    }
}

/// What OpenAI writes for "impossible": JSON has no infinity.
const LOGPROB_MIN: f32 = -9999.0;

/// A log-probability that JSON can hold.
pub fn finite(logprob: f32) -> f32 {
    if logprob.is_finite() {
        logprob.max(LOGPROB_MIN)
    } else {
        LOGPROB_MIN
    }
}

/// A token's text; bytes that are not UTF-8 alone show as U+FFFD.
pub fn token_text(token: &TokenLogprob) -> String {
    String::from_utf8_lossy(&token.bytes).into_owned()
}

/// The chat API's form.
pub fn chat_logprobs(tokens: Vec<TokenLogprob>) -> ChatLogprobs {
    let plain = |token: &TokenLogprob| ChatToken {
        token: token_text(token),
        logprob: finite(token.logprob.unwrap_or(LOGPROB_MIN)),
        bytes: token.bytes.clone(),
    };
    let content = tokens
        .iter()
        .map(|token| ChatTokenLogprob {
            token: plain(token),
            top_logprobs: token.top.iter().map(plain).collect(),
        })
        .collect();
    ChatLogprobs {
        content,
        refusal: None,
    }
}

/// The raw completions API's form of one token's alternatives: text to log-probability, the chosen one always among
/// them. Two tokens with the same lossy text share an entry; the likelier wins.
pub fn text_alternatives(token: &TokenLogprob) -> Option<BTreeMap<String, f32>> {
    let chosen = token.logprob?;
    let mut map = BTreeMap::new();
    for (text, logprob) in token
        .top
        .iter()
        .filter_map(|other| Some((token_text(other), other.logprob?)))
        .chain([(token_text(token), chosen)])
    {
        let entry = map.entry(text).or_insert(LOGPROB_MIN);
        *entry = finite(logprob).max(*entry);
    }
    Some(map)
}
