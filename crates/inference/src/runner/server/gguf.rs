//! GGUF models: llama.cpp's engine under the serving loop.

use std::path::Path;
use std::time::Duration;

use platform::Clock;
use tokio::sync::{mpsc, oneshot};

use super::load::{Loaded, failure};
use crate::engine::{Engine, EngineError};
use crate::engines::llama::{LlamaEngine, LlamaOptions, SEQUENCES_LIMIT, system_info};
use crate::runner::protocol as wire;
use crate::serving::grammar::{GrammarCompiler, Vocabulary};
use crate::serving::handle::serving;
use crate::serving::request::ServingOptions;

/// Most choices at a time when the request names no number: on a processor more gain nothing, and each costs the
/// others time.
const RUNNING_DEFAULT: u32 = 16;
/// Waiting requests when the request names no number.
const QUEUE_DEFAULT: u32 = 256;
/// Sequence ids for cached prefixes beside those of running choices. An id costs nothing but a row of the graph; with
/// fewer, conversations that pause are forgotten while their cells would still be there.
const CACHED_SEQUENCES: u32 = 48;

/// Cells that cached prefixes may hold when a processor computes. The attention looks at the mask of every used cell,
/// hidden or not, once per layer, head and token (0.6 ns by a profile): with 16 streams of a 135M model that makes 512 cells 3 % of
/// a step and 4,096 a quarter. What is more goes to ordinary memory and comes back when a prompt needs it.
const RETAINED_CELLS_ON_PROCESSOR: u32 = 512;
/// Ordinary memory for prefixes that left the cache: some 20,000 tokens of a 135M or 1B model, 4,000 of an 8B one.
const SHELF_BYTES_MAX: u64 = 512 << 20;

/// What an engine tells beside its limits.
struct EngineFacts {
    system_info: String,
    threads: u32,
    offloads: bool,
}

/// Loads a GGUF file and serves it until the loop ends.
///
/// # Errors
/// [`EngineError::Poisoned`]: the engine's state is unknown and the process should end.
pub(super) fn serve(
    path: &Path,
    request: &wire::LoadRequest,
    progress: mpsc::Sender<f32>,
    ready: oneshot::Sender<Result<Loaded, wire::Failure>>,
) -> Result<(), EngineError> {
    let loaded = llama_options(request).and_then(|options| {
        LlamaEngine::load(path, options, &mut |fraction| {
            // A reader that is behind misses progress; one that is gone does not want the model any more.
            !matches!(
                progress.try_send(fraction),
                Err(mpsc::error::TrySendError::Closed(_))
            )
        })
    });
    // Its end tells the reader that the outcome comes next.
    drop(progress);
    let engine = match loaded {
        Ok(engine) => engine,
        Err(error) => {
            let kind = match error {
                EngineError::Invalid { .. } => "invalid",
                EngineError::Interrupted => "cancelled",
                _ => "load",
            };
            // Who asked may be gone; the runner then waits for the next.
            let _ = ready.send(Err(failure(kind, error.to_string())));
            return Ok(());
        }
    };
    let facts = EngineFacts {
        system_info: system_info().unwrap_or_default(),
        threads: engine.threads(),
        offloads: engine.offloads(),
    };
    serve_engine(engine, facts, request, ready)
}

fn llama_options(request: &wire::LoadRequest) -> Result<LlamaOptions, EngineError> {
    let running = or(request.sequences_max, RUNNING_DEFAULT);
    if running > SEQUENCES_LIMIT {
        return Err(EngineError::Invalid {
            what: format!("sequences_max must not exceed {SEQUENCES_LIMIT}"),
        });
    }
    Ok(LlamaOptions {
        context_tokens: request.context_tokens,
        cache_tokens: request.cache_tokens,
        sequences_max: running
            .saturating_add(CACHED_SEQUENCES.max(running))
            .min(SEQUENCES_LIMIT),
        batch_tokens_max: request.batch_tokens_max,
        threads: request.threads,
        gpu_layers: request.gpu_layers,
        pooling: request.pooling.parse()?,
        flash_attention: request.flash_attention.parse()?,
        cache_type: request.cache_type.parse()?,
    })
}

fn or(value: u32, default: u32) -> u32 {
    if value == 0 { default } else { value }
}

/// Serves a loaded engine until its loop ends.
fn serve_engine<E: Engine>(
    engine: E,
    facts: EngineFacts,
    request: &wire::LoadRequest,
    ready: oneshot::Sender<Result<Loaded, wire::Failure>>,
) -> Result<(), EngineError> {
    let options = serving_options(request, facts.offloads);
    let grammars = GrammarCompiler::new(Vocabulary::of(&engine));
    let limits = engine.limits().clone();
    let memory = engine.memory_bytes();
    let (handle, serving) = serving(engine, options, Clock::system());
    let facts = wire::ModelFacts {
        context_tokens: limits.context_tokens,
        cache_tokens: limits.cache_tokens,
        sequences_max: serving.running_max(),
        vocabulary: limits.vocabulary,
        embedding_dimensions: limits.embedding_dimensions,
        generates: limits.generates,
        embeds: limits.embeds,
        ranks: limits.ranks,
        weights_bytes: memory.weights,
        cache_bytes: memory.cache,
        compute_bytes: memory.compute,
        system_info: facts.system_info,
        threads: facts.threads,
    };
    let loaded = Loaded {
        handle,
        facts,
        grammars,
    };
    if ready.send(Ok(loaded)).is_err() {
        return Ok(());
    }
    serving.run()
}

fn serving_options(request: &wire::LoadRequest, gpu: bool) -> ServingOptions {
    let defaults = ServingOptions::default();
    ServingOptions {
        running_max: or(request.sequences_max, RUNNING_DEFAULT),
        queue_max: or(request.queue_max, QUEUE_DEFAULT),
        step_budget: match request.step_budget_ms {
            0 => defaults.step_budget,
            milliseconds => Duration::from_millis(u64::from(milliseconds)),
        },
        shelf_bytes_max: SHELF_BYTES_MAX,
        retained_cells_max: if gpu {
            u32::MAX
        } else {
            RETAINED_CELLS_ON_PROCESSOR
        },
    }
}
