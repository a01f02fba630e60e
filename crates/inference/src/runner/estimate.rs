//! How much memory a model will take, before it is loaded.
//!
//! Weights are counted as large as their file: mapped pages are used in every step, so counting on the kernel to drop them
//! would make "fits" mean "thrashes". The engine's own figures replace the estimate once it is loaded.

use super::options::{LoadOptions, ModelSource};
use crate::files::gguf::GgufHeader;

/// Cache tokens assumed when neither the options nor the model name a context.
const CACHE_TOKENS_ASSUMED: u64 = 4096;
/// Most cache tokens assumed for a model whose own context is longer: serving picks the cache within its memory, and a
/// model made for a million tokens is not refused for a cache nobody asked for.
const CACHE_TOKENS_ASSUMED_MAX: u64 = 16 * 1024;
/// Process, library and compute buffers of a small model.
const OVERHEAD_BYTES: u64 = 48 << 20;

/// Bytes that loading `model` so will take, about. A file that our parser refuses is counted by size alone: the runner will
/// refuse it with the reason.
pub(super) async fn memory_bytes(model: &ModelSource, load: &LoadOptions) -> u64 {
    let path = model.path.clone();
    let header = tokio::task::spawn_blocking(move || GgufHeader::read(&path)).await;
    let (cache_token_bytes, context_length) = match header {
        Ok(Ok(header)) => (header.kv_bytes_per_token(), header.context_length),
        _ => (0, None),
    };
    let cache_bytes = cache_tokens(load, context_length).saturating_mul(cache_token_bytes);
    let cache_bytes = match load.cache_type.as_str() {
        // 34 bytes hold 32 values, instead of 64 bytes.
        "q8_0" => cache_bytes / 64 * 34,
        _ => cache_bytes,
    };
    model
        .size_bytes
        .saturating_add(cache_bytes)
        .saturating_add(OVERHEAD_BYTES)
}

fn cache_tokens(load: &LoadOptions, context_length: Option<u64>) -> u64 {
    match (load.cache_tokens, load.context_tokens) {
        (0, 0) => context_length
            .unwrap_or(CACHE_TOKENS_ASSUMED)
            .min(CACHE_TOKENS_ASSUMED_MAX),
        (0, context) => u64::from(context),
        (cache, _) => u64::from(cache),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_what_was_asked_for_or_a_bounded_guess() {
        let with = |cache_tokens, context_tokens| LoadOptions {
            cache_tokens,
            context_tokens,
            ..LoadOptions::default()
        };
        assert_eq!(cache_tokens(&with(9_000, 100), Some(1)), 9_000);
        assert_eq!(cache_tokens(&with(0, 100), Some(1)), 100);
        assert_eq!(cache_tokens(&with(0, 0), Some(2_048)), 2_048);
        assert_eq!(cache_tokens(&with(0, 0), Some(1 << 20)), 16 * 1024);
        assert_eq!(cache_tokens(&with(0, 0), None), 4_096);
    }

    #[tokio::test]
    async fn an_unreadable_file_counts_by_its_size() {
        let model = ModelSource {
            name: "m".into(),
            digest: String::new(),
            path: "/nonexistent/model.gguf".into(),
            size_bytes: 1_000,
        };
        assert_eq!(
            memory_bytes(&model, &LoadOptions::default()).await,
            1_000 + OVERHEAD_BYTES
        );
    }
}
