//! Embeddings and ranking scores: many inputs in one call of the library, each a sequence of its own.

use std::sync::Arc;

use llama_cpp_sys_2 as sys;

use super::log::Capture;
use super::options::{LlamaOptions, Pooling};
use super::plan::Plan;
use super::raw::{Context, ContextOptions, Model};
use super::{flash_attention, new_context};
use crate::engine::{BatchEntry, EngineError, Interrupt, SequenceId, Token};

/// A context that pools.
pub(super) struct Embedder {
    context: Context,
    vocabulary: u32,
    context_tokens: u32,
    sequences_max: u32,
}

impl Embedder {
    /// Makes the context. The whole batch is computed at once: attention without a causal mask and every pooling
    /// need all tokens of an input together.
    pub fn new(
        model: &Arc<Model>,
        interrupt: &Interrupt,
        plan: &Plan,
        options: &LlamaOptions,
    ) -> Result<Self, EngineError> {
        let pooling = match plan.pooling {
            Pooling::Model | Pooling::Mean => sys::LLAMA_POOLING_TYPE_MEAN,
            Pooling::Cls => sys::LLAMA_POOLING_TYPE_CLS,
            Pooling::Last => sys::LLAMA_POOLING_TYPE_LAST,
            Pooling::Rank => sys::LLAMA_POOLING_TYPE_RANK,
        };
        let context = new_context(
            model,
            interrupt,
            ContextOptions {
                cache_tokens: plan.batch_tokens_max,
                batch_tokens_max: plan.batch_tokens_max,
                compute_tokens_max: plan.batch_tokens_max,
                sequences_max: plan.sequences_max,
                threads: plan.threads,
                token_threads: plan.threads,
                pooling: Some(pooling),
                flash_attention: flash_attention(options),
                // The cache lives for one call only: nothing is gained by making it less exact.
                cache_type: sys::GGML_TYPE_F16,
            },
        )?;
        Ok(Self {
            vocabulary: model.vocabulary_tokens(),
            context_tokens: plan.context_tokens.min(context.batch_tokens_max()),
            sequences_max: plan.sequences_max,
            context,
        })
    }

    pub fn batch_tokens_max(&self) -> u32 {
        self.context.batch_tokens_max()
    }

    /// The pooled output of every input, `width` numbers each.
    pub fn run(&mut self, inputs: &[Vec<Token>], width: u32) -> Result<Vec<Vec<f32>>, EngineError> {
        self.check(inputs)?;
        let mut rows = Vec::with_capacity(inputs.len());
        let mut rest = inputs;
        while !rest.is_empty() {
            let count = self.group(rest);
            let (group, after) = rest.split_at(count);
            self.run_group(group, width, &mut rows)?;
            rest = after;
        }
        Ok(rows)
    }

    fn check(&self, inputs: &[Vec<Token>]) -> Result<(), EngineError> {
        for (index, input) in inputs.iter().enumerate() {
            let what = if input.is_empty() {
                format!("input {index} has no tokens")
            } else if input.len() > self.context_tokens as usize {
                format!(
                    "input {index} has {} tokens, more than the {} that the model takes",
                    input.len(),
                    self.context_tokens
                )
            } else if let Some(token) = input.iter().find(|&&token| token >= self.vocabulary) {
                format!("input {index} has token {token}, which is not in the vocabulary")
            } else {
                continue;
            };
            return Err(EngineError::Invalid { what });
        }
        Ok(())
    }

    /// How many of the next inputs fit in one batch; at least one, because each was checked to fit alone.
    fn group(&self, inputs: &[Vec<Token>]) -> usize {
        let mut room = self.context.batch_tokens_max() as usize;
        let fitting = inputs
            .iter()
            .take(self.sequences_max as usize)
            .take_while(|input| {
                let fits = input.len() <= room;
                room = room.saturating_sub(input.len());
                fits
            })
            .count();
        fitting.max(1)
    }

    fn run_group(
        &mut self,
        group: &[Vec<Token>],
        width: u32,
        rows: &mut Vec<Vec<f32>>,
    ) -> Result<(), EngineError> {
        let mut batch = Vec::new();
        for (sequence, input) in (0..).zip(group) {
            batch.extend((0..).zip(input).map(|(position, &token)| BatchEntry {
                token,
                position,
                sequence,
                wants_logits: true,
            }));
        }
        Capture::begin();
        self.context.clear();
        let code = self.context.decode(&batch);
        if code != 0 {
            let reason = Capture::end().reason(&format!("the library failed with code {code}"));
            return Err(match code {
                1 => EngineError::CacheFull,
                2 => EngineError::Interrupted,
                -1 => EngineError::Invalid { what: reason },
                _ => EngineError::Poisoned { reason },
            });
        }
        for sequence in 0..group.len() as SequenceId {
            let row =
                self.context
                    .pooled(sequence, width)
                    .ok_or_else(|| EngineError::Poisoned {
                        reason: format!("no output for input {sequence} of a batch"),
                    })?;
            rows.push(row.to_vec());
        }
        Ok(())
    }
}
