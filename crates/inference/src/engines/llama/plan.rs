//! What a model is loaded as, and with which sizes: options and file header in, numbers out. No side effects.

use super::options::{
    BATCH_TOKENS_DEFAULT, CACHE_TOKENS_DEFAULT, LlamaOptions, Pooling, SEQUENCES_DEFAULT,
};
use crate::engine::EngineError;
use crate::files::gguf::{self, GgufHeader};

/// Bytes of key/value cache that a model gets unasked, before the floor below. The library writes zeros over the
/// whole cache when it starts, so a larger default would cost start-up time and memory that stays unused.
const CACHE_BYTES_DEFAULT: u64 = 256 << 20;
/// Cells that a model gets unasked even when they take more than [`CACHE_BYTES_DEFAULT`]: conversations need them.
const CACHE_TOKENS_FLOOR: u32 = 8192;
/// Longest input of an embedding model unasked, in tokens: attention over the whole input needs buffers that grow
/// with its square.
const EMBED_TOKENS_DEFAULT: u32 = 2048;
/// Decoders that embed also fill a row of logits per token (the library offers no way around); this bounds the rows.
const EMBED_LOGITS_BYTES: u64 = 256 << 20;
/// Context length of a file that names none.
const CONTEXT_TOKENS_UNKNOWN: u32 = 2048;
/// Weights from which a further thread pays for a stream that is alone. A model of 4 MiB was as fast with one thread as with
/// two on a quiet machine, and more than ten times as fast on a busy one: threads wait for each other after every operation,
/// also for one that the system has set aside.
const TOKEN_THREAD_WEIGHT_BYTES: u64 = 16 << 20;
/// The library rounds its cache up to a multiple of this.
const CACHE_TOKENS_STEP: u32 = 256;

/// What a loaded model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Generate,
    Embed,
    Rank,
}

/// Everything that was left open in the options, decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub role: Role,
    /// Never [`Pooling::Model`].
    pub pooling: Pooling,
    pub context_tokens: u32,
    pub cache_tokens: u32,
    pub sequences_max: u32,
    pub batch_tokens_max: u32,
    /// Threads that compute batches.
    pub threads: u32,
    /// Threads that compute a single token.
    pub token_threads: u32,
}

impl Plan {
    /// Decides for one model on a machine with `cores` physical cores.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] naming the option that the model cannot follow.
    pub fn new(
        header: &GgufHeader,
        options: &LlamaOptions,
        cores: u32,
    ) -> Result<Self, EngineError> {
        options.validate()?;
        let role = match (header.kind, options.pooling) {
            (gguf::Kind::Rank, Pooling::Model | Pooling::Rank) => Role::Rank,
            (gguf::Kind::Generate, Pooling::Model) => Role::Generate,
            (_, Pooling::Rank) => Role::Rank,
            _ => Role::Embed,
        };
        let has_head = ["cls.weight", "cls.output.weight"]
            .iter()
            .any(|name| header.tensor(name).is_some());
        if role == Role::Rank && !has_head {
            return Err(EngineError::Invalid {
                what: "pooling rank needs a model with a ranking head".into(),
            });
        }
        let threads = or_default(options.threads, cores.max(1));
        let plan = Self {
            role,
            pooling: pooling(header, options, role),
            context_tokens: 0,
            cache_tokens: 0,
            sequences_max: or_default(options.sequences_max, SEQUENCES_DEFAULT),
            batch_tokens_max: 0,
            threads,
            token_threads: token_threads(header, options, threads),
        };
        Ok(match role {
            Role::Generate => plan.sized_to_generate(header, options),
            Role::Embed | Role::Rank => plan.sized_to_embed(header, options),
        })
    }

    /// The same model as an embedder only, for an architecture that turns out to have no cache.
    pub fn into_embedder(mut self, header: &GgufHeader, options: &LlamaOptions) -> Self {
        self.role = Role::Embed;
        self.sized_to_embed(header, options)
    }

    fn sized_to_generate(mut self, header: &GgufHeader, options: &LlamaOptions) -> Self {
        let trained = trained_tokens(header);
        let wanted = or_default(options.context_tokens, trained).min(trained);
        let cache = if options.cache_tokens > 0 {
            options.cache_tokens
        } else {
            let cell_bytes = header.kv_bytes_per_token().max(1);
            let affordable = u32::try_from(CACHE_BYTES_DEFAULT / cell_bytes).unwrap_or(u32::MAX);
            let floor = CACHE_TOKENS_FLOOR.min(trained);
            let ceiling = trained
                .saturating_mul(self.sequences_max)
                .clamp(floor, CACHE_TOKENS_DEFAULT);
            let unasked = affordable.clamp(floor, ceiling);
            unasked.max(options.context_tokens.min(trained))
        };
        self.cache_tokens = cache.next_multiple_of(CACHE_TOKENS_STEP);
        self.context_tokens = wanted.min(self.cache_tokens);
        // The library wants room for one row of logits per sequence in every batch, and no batch beyond its cache.
        self.sequences_max = self.sequences_max.min(self.cache_tokens);
        self.batch_tokens_max = or_default(options.batch_tokens_max, BATCH_TOKENS_DEFAULT)
            .clamp(self.sequences_max, self.cache_tokens);
        self
    }

    fn sized_to_embed(mut self, header: &GgufHeader, options: &LlamaOptions) -> Self {
        let trained = trained_tokens(header);
        let is_decoder = header.kv_bytes_per_token() > 0;
        let row_bytes = header.vocabulary_size.unwrap_or(0).max(1) * 4;
        let affordable = u32::try_from(EMBED_LOGITS_BYTES / row_bytes).unwrap_or(u32::MAX);
        let unasked = if is_decoder {
            affordable.clamp(BATCH_TOKENS_DEFAULT, EMBED_TOKENS_DEFAULT)
        } else {
            EMBED_TOKENS_DEFAULT
        };
        self.context_tokens = or_default(options.context_tokens, unasked).min(trained);
        // A whole input is computed at once, because attention or pooling needs all of it.
        self.batch_tokens_max = options
            .batch_tokens_max
            .max(self.context_tokens)
            .max(BATCH_TOKENS_DEFAULT)
            .max(self.sequences_max);
        self.cache_tokens = self.batch_tokens_max.next_multiple_of(CACHE_TOKENS_STEP);
        self
    }
}

fn pooling(header: &GgufHeader, options: &LlamaOptions, role: Role) -> Pooling {
    if role == Role::Rank {
        return Pooling::Rank;
    }
    match (options.pooling, header.pooling_type) {
        (Pooling::Mean | Pooling::Cls | Pooling::Last, _) => options.pooling,
        (_, Some(gguf::Pooling::Cls)) => Pooling::Cls,
        (_, Some(gguf::Pooling::Last)) => Pooling::Last,
        _ => Pooling::Mean,
    }
}

/// As asked, or as many as the model's weights give work to.
fn token_threads(header: &GgufHeader, options: &LlamaOptions, threads: u32) -> u32 {
    if options.threads > 0 {
        return threads;
    }
    let weights: u64 = header.tensors.iter().map(|tensor| tensor.bytes).sum();
    let useful = weights.div_ceil(TOKEN_THREAD_WEIGHT_BYTES).max(1);
    u32::try_from(useful).unwrap_or(u32::MAX).min(threads)
}

fn trained_tokens(header: &GgufHeader) -> u32 {
    header
        .context_length
        .and_then(|length| u32::try_from(length).ok())
        .unwrap_or(CONTEXT_TOKENS_UNKNOWN)
        .max(1)
}

fn or_default(value: u32, default: u32) -> u32 {
    if value == 0 { default } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_model_computes_single_tokens_on_one_thread_unless_told_otherwise() {
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../models/fornax-nano/fornax-nano.gguf"
        );
        let header = GgufHeader::read(file.as_ref()).expect("the model that ships");
        let plan = Plan::new(&header, &LlamaOptions::default(), 8).expect("plan");
        assert_eq!((plan.threads, plan.token_threads), (8, 1));
        let asked = LlamaOptions {
            threads: 4,
            ..LlamaOptions::default()
        };
        let plan = Plan::new(&header, &asked, 8).expect("plan");
        assert_eq!((plan.threads, plan.token_threads), (4, 4));
    }
}
