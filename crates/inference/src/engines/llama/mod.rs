//! llama.cpp for GGUF models, behind [`Engine`].
//!
//! Layers: `raw` is the thin safe layer over the C functions, `backend` starts the library and chooses the module
//! for this processor, `log` passes on what it says, `plan` decides sizes. [`LlamaEngine`] ties them together and
//! is written without `unsafe`.
//!
//! What llama.cpp decides for us, and what we made of it:
//!  - It ends the process on a broken internal assertion. All known ways there (too large a batch, a row that was
//!    not asked for, a bad sequence id) are checked before the call; the unknown ones are why a model lives in a
//!    process of its own.
//!  - One unified cache: every sequence may use all cells, and a shared prefix is only marked, not copied.
//!  - A failed batch may leave a part of itself in the cache; it is taken back here, so that callers see all or
//!    nothing.

mod backend;
mod embed;
mod log;
mod options;
mod plan;
mod raw;
mod rows;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use llama_cpp_sys_2 as sys;

pub use backend::system_info;
pub use options::{
    BATCH_TOKENS_DEFAULT, CACHE_TOKENS_DEFAULT, CacheType, FlashAttention, LlamaOptions, Pooling,
    SEQUENCES_DEFAULT, SEQUENCES_LIMIT, THREADS_LIMIT, TOKENS_LIMIT,
};

use crate::engine::{
    BatchEntry, Engine, EngineError, EngineLimits, EngineMemory, Interrupt, SequenceId,
    SpecialTokens, Token,
};
use crate::files::gguf::GgufHeader;
use embed::Embedder;
use log::Capture;
use plan::{Plan, Role};
use raw::{Context, ContextOptions, Model};

/// One load at a time: the library fills process-wide tables while it loads, and does not say which.
static LOADING: Mutex<()> = Mutex::new(());

/// Tokens that are computed at once while generating. More fills the processor's caches without being faster.
const COMPUTE_TOKENS_MAX: u32 = 512;
/// Cells for the tokens that fill up a block, in the steps that the library rounds a cache to.
const BLOCK_CELLS: u32 = 256;

/// A GGUF model, loaded.
pub struct LlamaEngine {
    limits: EngineLimits,
    special: SpecialTokens,
    memory: EngineMemory,
    plan: Plan,
    options: LlamaOptions,
    interrupt: Interrupt,
    /// The context that generates; absent for models that only embed or rank.
    generator: Option<Context>,
    /// The context that embeds; made when first asked of a model that generates.
    embedder: Option<Embedder>,
    /// The batch with the tokens that fill up its last block, when the weights come in blocks.
    filled: Option<Vec<BatchEntry>>,
    model: Arc<Model>,
}

impl std::fmt::Debug for LlamaEngine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("LlamaEngine")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl LlamaEngine {
    /// Loads a model. The header is read by our own parser first, so that a broken file never reaches the library.
    /// `progress` gets numbers from 0 to 1 and stops the load by answering false.
    ///
    /// # Errors
    /// [`EngineError::Load`] with the reason when the file or the library fails; [`EngineError::Invalid`] naming
    /// the option that the model cannot follow; [`EngineError::Interrupted`] when `progress` said so.
    pub fn load(
        path: &Path,
        options: LlamaOptions,
        progress: &mut dyn FnMut(f32) -> bool,
    ) -> Result<Self, EngineError> {
        options.validate()?;
        let header = GgufHeader::read(path).map_err(|error| EngineError::Load {
            reason: error.to_string(),
        })?;
        let cores = u32::try_from(platform::cpu::physical_cores().get()).unwrap_or(1);
        let plan = Plan::new(&header, &options, cores)?;
        let _one_at_a_time = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
        backend::start()?;
        Capture::begin();
        let mut stopped = false;
        let model = Model::load(path, options.gpu_layers, &mut |fraction| {
            stopped = !progress(fraction);
            !stopped
        });
        let Some(model) = model else {
            let capture = Capture::end();
            return Err(if stopped {
                EngineError::Interrupted
            } else {
                EngineError::Load {
                    reason: capture.reason("the library gave no reason"),
                }
            });
        };
        Self::build(Arc::new(model), &header, plan, options)
    }

    /// Makes the context that the plan asks for, and gathers the facts.
    fn build(
        model: Arc<Model>,
        header: &GgufHeader,
        mut plan: Plan,
        options: LlamaOptions,
    ) -> Result<Self, EngineError> {
        for (unsupported, what) in [
            (model.is_encoder_decoder(), "encoder-decoder models"),
            (model.is_diffusion(), "diffusion models"),
            (
                model.vocabulary_tokens() == 0,
                "models without a vocabulary",
            ),
        ] {
            if unsupported {
                return Err(EngineError::Load {
                    reason: format!("{what} are not supported"),
                });
            }
        }
        let interrupt = Interrupt::default();
        let mut generator = None;
        let offloads = options.gpu_layers != 0 && Model::can_offload();
        let blocks = rows::come_in_blocks(header, offloads) && plan.sequences_max < SEQUENCES_LIMIT;
        if plan.role == Role::Generate {
            let mut wanted = generate_options(&plan, &options);
            if blocks {
                wanted.sequences_max += 1;
                wanted.cache_tokens += BLOCK_CELLS;
            }
            let context = new_context(&model, &interrupt, wanted)?;
            if context.has_cache() {
                plan.cache_tokens = context.cache_tokens() - if blocks { BLOCK_CELLS } else { 0 };
                plan.batch_tokens_max = context.batch_tokens_max();
                generator = Some(context);
            } else {
                // An encoder that its file does not declare as one.
                plan = plan.into_embedder(header, &options);
            }
        }
        let mut embedder = None;
        if generator.is_none() {
            let embedding = Embedder::new(&model, &interrupt, &plan, &options)?;
            plan.batch_tokens_max = embedding.batch_tokens_max();
            plan.context_tokens = plan.context_tokens.min(plan.batch_tokens_max);
            embedder = Some(embedding);
        }
        let capture = Capture::end();
        let (begin, end) = model.begin_and_end();
        Ok(Self {
            limits: limits(&model, &plan, blocks, offloads),
            special: SpecialTokens {
                begin,
                end,
                end_of_generation: model.end_of_generation(),
            },
            memory: EngineMemory {
                weights: capture.weights_bytes.max(model.weights_bytes()),
                cache: capture.cache_bytes,
                compute: capture.compute_bytes,
            },
            plan,
            options,
            interrupt,
            filled: (blocks && generator.is_some()).then(Vec::new),
            generator,
            embedder,
            model,
        })
    }

    /// Threads that compute.
    #[must_use]
    pub fn threads(&self) -> u32 {
        self.plan.threads
    }

    /// Whether layers are computed elsewhere than on the processor.
    #[must_use]
    pub fn offloads(&self) -> bool {
        self.options.gpu_layers != 0 && Model::can_offload()
    }

    fn embedder(&mut self) -> Result<&mut Embedder, EngineError> {
        if self.embedder.is_none() {
            let _one_at_a_time = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
            Capture::begin();
            let embedder = Embedder::new(&self.model, &self.interrupt, &self.plan, &self.options)?;
            let capture = Capture::end();
            self.memory.cache += capture.cache_bytes;
            self.memory.compute += capture.compute_bytes;
            self.embedder = Some(embedder);
        }
        self.embedder.as_mut().ok_or_else(|| EngineError::Poisoned {
            reason: "no context to embed with".into(),
        })
    }

    /// Names the first entry of a batch that breaks a limit of the model.
    fn check_batch(&self, batch: &[BatchEntry]) -> Result<(), EngineError> {
        let limits = &self.limits;
        let invalid = |what: String| Err(EngineError::Invalid { what });
        if batch.is_empty() || batch.len() > limits.batch_tokens_max as usize {
            return invalid(format!(
                "a batch has 1 to {} tokens, not {}",
                limits.batch_tokens_max,
                batch.len()
            ));
        }
        for entry in batch {
            if entry.token >= limits.vocabulary {
                return invalid(format!("token {} is not in the vocabulary", entry.token));
            }
            if entry.sequence >= limits.sequences_max {
                return invalid(format!("sequence {} does not exist", entry.sequence));
            }
            if entry.position >= limits.context_tokens {
                return invalid(format!(
                    "position {} is beyond the context of {} tokens",
                    entry.position, limits.context_tokens
                ));
            }
        }
        Ok(())
    }
}

fn limits(model: &Model, plan: &Plan, blocks: bool, offloads: bool) -> EngineLimits {
    EngineLimits {
        context_tokens: plan.context_tokens,
        cache_tokens: plan.cache_tokens,
        batch_tokens_max: plan.batch_tokens_max,
        sequences_max: plan.sequences_max,
        vocabulary: model.vocabulary_tokens(),
        embedding_dimensions: match plan.role {
            Role::Rank => 0,
            Role::Generate | Role::Embed => model.embedding_dimensions(),
        },
        block_tokens: if blocks { rows::BLOCK as u32 } else { 1 },
        // The processor's attention takes 64 rows at a time against every cell that one of them may see: rows of many
        // sequences among those of a prompt make it compute all cells for all of them.
        mixes: offloads,
        partial_removal: !model.is_recurrent(),
        generates: plan.role == Role::Generate,
        embeds: plan.role == Role::Embed,
        ranks: plan.role == Role::Rank,
    }
}

fn generate_options(plan: &Plan, options: &LlamaOptions) -> ContextOptions {
    ContextOptions {
        cache_tokens: plan.cache_tokens,
        batch_tokens_max: plan.batch_tokens_max,
        compute_tokens_max: plan.batch_tokens_max.min(COMPUTE_TOKENS_MAX),
        sequences_max: plan.sequences_max,
        threads: plan.threads,
        token_threads: plan.token_threads,
        pooling: None,
        flash_attention: flash_attention(options),
        cache_type: cache_type(options),
    }
}

fn flash_attention(options: &LlamaOptions) -> sys::llama_flash_attn_type {
    match options.flash_attention {
        FlashAttention::Auto => sys::LLAMA_FLASH_ATTN_TYPE_AUTO,
        FlashAttention::On => sys::LLAMA_FLASH_ATTN_TYPE_ENABLED,
        FlashAttention::Off => sys::LLAMA_FLASH_ATTN_TYPE_DISABLED,
    }
}

fn cache_type(options: &LlamaOptions) -> sys::ggml_type {
    match options.cache_type {
        CacheType::F16 => sys::GGML_TYPE_F16,
        CacheType::Q8_0 => sys::GGML_TYPE_Q8_0,
    }
}

/// A context, or why the library refused one.
fn new_context(
    model: &Arc<Model>,
    interrupt: &Interrupt,
    options: ContextOptions,
) -> Result<Context, EngineError> {
    Context::new(model, interrupt, options).ok_or_else(|| EngineError::Load {
        reason: Capture::end().reason("the library could not make a context"),
    })
}

impl Engine for LlamaEngine {
    fn limits(&self) -> &EngineLimits {
        &self.limits
    }

    fn special_tokens(&self) -> &SpecialTokens {
        &self.special
    }

    fn tokenize(
        &self,
        text: &str,
        add_special: bool,
        parse_special: bool,
    ) -> Result<Vec<Token>, EngineError> {
        self.model
            .tokenize(text, add_special, parse_special)
            .ok_or_else(|| EngineError::Invalid {
                what: "the text is too long to be tokenized".into(),
            })
    }

    fn token_bytes(&self, token: Token, special: bool, out: &mut Vec<u8>) {
        self.model.token_bytes(token, special, out);
    }

    fn detokenize(&self, tokens: &[Token], special: bool) -> Vec<u8> {
        self.model
            .detokenize(tokens, special)
            .unwrap_or_else(|| concatenated(self, tokens, special))
    }

    fn decode(&mut self, batch: &[BatchEntry]) -> Result<(), EngineError> {
        self.check_batch(batch)?;
        let Some(context) = &mut self.generator else {
            return Err(EngineError::Invalid {
                what: "this model does not generate text".into(),
            });
        };
        Capture::begin();
        let added = rows::padding(batch.len());
        let code = match &mut self.filled {
            Some(filled)
                if added > 0 && batch.len() + added <= self.limits.batch_tokens_max as usize =>
            {
                filled.clear();
                filled.extend_from_slice(batch);
                // Any token will do, and the last id is one that the plan gives to nobody.
                let token = batch[0].token;
                let sequence = self.limits.sequences_max;
                filled.extend((0..added as u32).map(|position| BatchEntry {
                    token,
                    position,
                    sequence,
                    wants_logits: false,
                }));
                let code = context.decode(filled);
                context.truncate(sequence, 0);
                code
            }
            _ => context.decode(batch),
        };
        if code == 0 {
            return Ok(());
        }
        let capture = Capture::end();
        match code {
            1 => return Err(EngineError::CacheFull),
            -1 => {
                return Err(EngineError::Invalid {
                    what: capture.reason("the library does not accept the batch"),
                });
            }
            _ => {}
        }
        // Parts of the batch may be in the cache: every sequence goes back to where it was.
        let mut restored = true;
        for entry in batch {
            // Entries of a sequence ascend, so its first one is where the batch began; the others find nothing.
            restored &= context.truncate(entry.sequence, entry.position);
        }
        match code {
            2 if restored => Err(EngineError::Interrupted),
            2 => Err(EngineError::Poisoned {
                reason: "the computation was stopped where this model cannot go back".into(),
            }),
            _ => Err(EngineError::Poisoned {
                reason: capture.reason(&format!("the library failed with code {code}")),
            }),
        }
    }

    fn logits(&self, index: usize) -> &[f32] {
        match &self.generator {
            Some(context) => context.logits(index),
            None => panic!("logits of a model that does not generate"),
        }
    }

    fn sequence_share(&mut self, from: SequenceId, to: SequenceId, end: u32) {
        if let Some(context) = &mut self.generator {
            context.share(from, to, end);
        }
    }

    fn sequence_truncate(&mut self, sequence: SequenceId, start: u32) -> bool {
        match &mut self.generator {
            Some(context) => context.truncate(sequence, start),
            None => true,
        }
    }

    fn sequence_save(&mut self, sequence: SequenceId) -> Option<Vec<u8>> {
        self.generator.as_mut()?.save(sequence)
    }

    fn sequence_restore(&mut self, sequence: SequenceId, state: &[u8]) -> bool {
        self.generator
            .as_mut()
            .is_some_and(|context| context.restore(sequence, state))
    }

    fn embed(&mut self, inputs: &[Vec<Token>]) -> Result<Vec<Vec<f32>>, EngineError> {
        if self.plan.role == Role::Rank {
            return Err(EngineError::Invalid {
                what: "this model ranks documents and does not embed".into(),
            });
        }
        let dimensions = self.limits.embedding_dimensions;
        self.embedder()?.run(inputs, dimensions)
    }

    fn rank(&mut self, inputs: &[Vec<Token>]) -> Result<Vec<f32>, EngineError> {
        if self.plan.role != Role::Rank {
            return Err(EngineError::Invalid {
                what: "this model has no ranking head".into(),
            });
        }
        let outputs = self.model.rank_outputs().max(1);
        let rows = self.embedder()?.run(inputs, outputs)?;
        // The first output is the relevance: a cross-encoder's only one, or "yes" of a pair trained as yes and no.
        Ok(rows
            .iter()
            .map(|row| row.first().copied().unwrap_or(f32::NEG_INFINITY))
            .collect())
    }

    fn memory_bytes(&self) -> EngineMemory {
        self.memory
    }

    fn interrupt(&self) -> Interrupt {
        Arc::clone(&self.interrupt)
    }
}

/// Bytes of tokens one after the other.
fn concatenated(engine: &LlamaEngine, tokens: &[Token], special: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    for &token in tokens {
        engine.token_bytes(token, special, &mut bytes);
    }
    bytes
}
