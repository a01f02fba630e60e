//! The engine contract: what a model library must be able to do to be served.
//!
//! One engine holds one loaded model and is owned by one thread (the serving loop in [`crate::serving`]); it is
//! called with plain slices and returns plain numbers, and knows nothing of requests, tenants, text streams or
//! gRPC. `engines::llama` implements it for GGUF; a new engine is one more module beside it.
//!
//! Invariants every implementation keeps:
//!  1. A batch never holds more than [`EngineLimits::batch_tokens_max`] tokens; the caller asserts it before the call.
//!  2. A failed `decode` leaves every sequence as it was before the call, or says so by [`EngineError::Poisoned`].
//!  3. `logits(row)` is valid until the next `decode` or `embed`, only for rows asked for in the last batch.

use thiserror::Error;

/// A vocabulary index.
pub type Token = u32;
/// Index of one key/value sequence inside the engine, below [`EngineLimits::sequences_max`].
pub type SequenceId = u32;

/// What a loaded model is and what it can do; fixed for the life of the engine.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineLimits {
    /// Positions one sequence may reach (tokens of prompt and output together).
    pub context_tokens: u32,
    /// Cells of the key/value cache shared by all sequences, in tokens.
    pub cache_tokens: u32,
    /// Most tokens in one `decode` or `embed` call.
    pub batch_tokens_max: u32,
    /// Batches of a multiple of this many tokens are computed best; 1 when it makes no difference.
    pub block_tokens: u32,
    /// Prompts and the newest tokens of other sequences cost no more in one batch than apart.
    pub mixes: bool,
    /// Number of sequence ids (live sequences plus cached prefixes).
    pub sequences_max: u32,
    /// Vocabulary size; the length of one row of logits.
    pub vocabulary: u32,
    /// Dimensions of one embedding; 0 when the model does not embed.
    pub embedding_dimensions: u32,
    /// False for recurrent and hybrid models, whose sequences cannot be cut at an arbitrary position:
    /// the prefix index then only reuses whole sequences.
    pub partial_removal: bool,
    /// The model can generate text.
    pub generates: bool,
    /// The model was made to embed (it has a pooling head, or an encoder architecture).
    pub embeds: bool,
    /// The model scores a query with a document (a ranking head).
    pub ranks: bool,
}

/// Tokens that mean something to the serving loop.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpecialTokens {
    /// Begin of sequence, when the model wants one.
    pub begin: Option<Token>,
    /// End of sequence.
    pub end: Option<Token>,
    /// Every token that ends generation.
    pub end_of_generation: Vec<Token>,
}

/// One token to compute: appended to `sequence` at `position`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchEntry {
    /// Token to feed.
    pub token: Token,
    /// Zero-based position in the sequence; must follow the last one there.
    pub position: u32,
    /// Sequence that it extends.
    pub sequence: SequenceId,
    /// Whether a row of logits is wanted after this token. Rows are numbered by entry index.
    pub wants_logits: bool,
}

/// Why an engine could not do what was asked.
#[derive(Debug, Error)]
pub enum EngineError {
    /// No room for the batch in the key/value cache: remove a sequence and try again.
    #[error("key/value cache is full")]
    CacheFull,
    /// The model file could not be loaded.
    #[error("model could not be loaded: {reason}")]
    Load {
        /// What the library or our own checks said.
        reason: String,
    },
    /// The caller broke a limit of the model.
    #[error("{what}")]
    Invalid {
        /// Which limit, in words a user can act on.
        what: String,
    },
    /// The computation was stopped through [`Interrupt`].
    #[error("computation was interrupted")]
    Interrupted,
    /// State is unknown: the runner must end.
    #[error("engine failed: {reason}")]
    Poisoned {
        /// What the library said.
        reason: String,
    },
}

/// A flag another thread sets to stop a running `decode` or `embed` early (checked by the engine between graph
/// nodes). It stays set until its owner clears it: while it is set, every computation is stopped.
pub type Interrupt = std::sync::Arc<std::sync::atomic::AtomicBool>;

/// A loaded model.
pub trait Engine: Send {
    /// Fixed facts about the model.
    fn limits(&self) -> &EngineLimits;
    /// Tokens with a meaning of their own.
    fn special_tokens(&self) -> &SpecialTokens;
    /// Tokens of `text`. `add_special` adds begin/end tokens as the model's tokenizer says; `parse_special`
    /// reads written special tokens (`<|im_start|>`) as tokens: true for rendered templates, false for user text.
    fn tokenize(
        &self,
        text: &str,
        add_special: bool,
        parse_special: bool,
    ) -> Result<Vec<Token>, EngineError>;
    /// Appends the bytes of `token` to `out` (not always whole UTF-8). Control tokens have no bytes unless `special`.
    fn token_bytes(&self, token: Token, special: bool, out: &mut Vec<u8>);
    /// The text of tokens together, as the tokenizer puts it: where it adds a space before the first word, that is
    /// taken off again. Streams append [`Engine::token_bytes`] instead.
    fn detokenize(&self, tokens: &[Token], special: bool) -> Vec<u8> {
        let mut bytes = Vec::new();
        for &token in tokens {
            self.token_bytes(token, special, &mut bytes);
        }
        bytes
    }
    /// Computes a batch; `Ok` means every entry is in the cache and the asked rows have logits.
    fn decode(&mut self, batch: &[BatchEntry]) -> Result<(), EngineError>;
    /// Logits of batch entry `index` of the last `decode`, length `vocabulary`.
    fn logits(&self, index: usize) -> &[f32];
    /// Makes positions `[0, end)` of `from` also part of `to` (which must be empty). Shares cells, copies nothing.
    fn sequence_share(&mut self, from: SequenceId, to: SequenceId, end: u32);
    /// Removes positions `[start, ∞)` of a sequence; false when the model cannot cut there (nothing was changed).
    fn sequence_truncate(&mut self, sequence: SequenceId, start: u32) -> bool;
    /// The computed state of a whole sequence, to be restored later; `None` when the engine cannot tell it.
    fn sequence_save(&mut self, _sequence: SequenceId) -> Option<Vec<u8>> {
        None
    }
    /// Fills an empty sequence with a saved state; false (and the sequence is empty) when there is no room for it.
    fn sequence_restore(&mut self, _sequence: SequenceId, _state: &[u8]) -> bool {
        false
    }
    /// Pooled, unnormalised embeddings, one row of `embedding_dimensions` per input, in input order.
    /// Each input has 1 to `batch_tokens_max` tokens; the engine groups them as it likes.
    fn embed(&mut self, inputs: &[Vec<Token>]) -> Result<Vec<Vec<f32>>, EngineError>;
    /// Relevance of each query-document pair (already one token sequence each); higher is better.
    fn rank(&mut self, inputs: &[Vec<Token>]) -> Result<Vec<f32>, EngineError>;
    /// Bytes held by weights, key/value cache and compute buffers.
    fn memory_bytes(&self) -> EngineMemory;
    /// The flag that stops a running `decode`.
    fn interrupt(&self) -> Interrupt;
}

/// Memory of a loaded model by component, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EngineMemory {
    /// Weights (mapped or repacked).
    pub weights: u64,
    /// Key/value cache.
    pub cache: u64,
    /// Compute buffers.
    pub compute: u64,
}
