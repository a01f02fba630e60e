//! llama.cpp for GGUF models.

mod options;

pub use options::{
    BATCH_TOKENS_DEFAULT, CACHE_TOKENS_DEFAULT, CacheType, FlashAttention, LlamaOptions, Pooling,
    SEQUENCES_DEFAULT, SEQUENCES_LIMIT, THREADS_LIMIT, TOKENS_LIMIT,
};
