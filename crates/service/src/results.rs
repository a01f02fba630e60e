//! Results of deterministic calls, kept and shared: embeddings, greedy or seeded generations, science.
//!
//! A key holds everything that decides the result: tenant, digest of the model, and the canonical request as the runner
//! gets it. Equal calls that arrive together compute once; the others wait. A result that was found is marked as such in
//! the metrics, never in its content.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use cache::{Cache, Key, Lead, Turn, Value};
use futures::{Stream, StreamExt};
use inference::runner::protocol::GenerateRequest;
use metrics::counter;
use prost::Message as _;
use security::TenantId;

use crate::error::Result;
use crate::types::{GenerationEvent, Prompt, Timing};

/// For how long results are kept, by what made them. Zero keeps none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResultLifetimes {
    /// Embeddings of texts.
    pub embeddings: Duration,
    /// Generations that are greedy or seeded.
    pub generations: Duration,
    /// Inferences of science models and string computations.
    pub science: Duration,
}

/// The results kept, or none.
pub(crate) struct Results {
    cache: Option<Arc<Cache>>,
    pub(crate) lifetimes: ResultLifetimes,
}

/// What is to be done for a call.
pub(crate) enum Begin {
    /// Nothing: this is the result.
    Found(Value),
    /// Compute, and [`Results::keep`] with this.
    Compute(Lead),
}

/// A generation's events as they come to the caller.
pub(crate) type Events = Pin<Box<dyn Stream<Item = Result<GenerationEvent>> + Send>>;

impl Results {
    pub(crate) fn new(cache: Option<Arc<Cache>>, lifetimes: ResultLifetimes) -> Self {
        Results { cache, lifetimes }
    }

    /// The cache, when there is one.
    pub(crate) fn cache(&self) -> Option<Arc<Cache>> {
        self.cache.clone()
    }

    /// The cache, unless the call wants a fresh result or results of its kind are not kept.
    pub(crate) fn for_call(&self, fresh: bool, lifetime: Duration) -> Option<Arc<Cache>> {
        self.cache.clone().filter(|_| !fresh && !lifetime.is_zero())
    }
}

/// A kept result; looks in memory first, in the slower tiers on a blocking thread.
pub(crate) async fn look(cache: &Arc<Cache>, key: &Key) -> Option<Value> {
    if let Some(found) = cache.get_fast(key) {
        count(key, "memory");
        return Some(found);
    }
    let found = if cache.has_slow_tiers() {
        let (cache, key) = (Arc::clone(cache), key.clone());
        tokio::task::spawn_blocking(move || cache.get_slow(&key))
            .await
            .ok()
            .flatten()
    } else {
        cache.get_slow(key)
    };
    count(
        key,
        if found.is_some() {
            "below_memory"
        } else {
            "miss"
        },
    );
    found
}

/// The result, or the right to compute it: waits while an equal call computes.
pub(crate) async fn begin(cache: &Arc<Cache>, key: &Key) -> Begin {
    if let Some(found) = look(cache, key).await {
        return Begin::Found(found);
    }
    loop {
        match cache.join(key) {
            // An equal call may have ended between the look and the turn.
            Turn::Lead(lead) => {
                return match cache.get_fast(key) {
                    Some(found) => {
                        lead.finish(Arc::clone(&found));
                        Begin::Found(found)
                    }
                    None => Begin::Compute(lead),
                };
            }
            Turn::Wait(waiting) => {
                if let Some(found) = waiting.await {
                    count(key, "joined");
                    return Begin::Found(found);
                }
            }
        }
    }
}

/// Stores a result and hands it to the calls that wait for it.
pub(crate) fn keep(cache: &Arc<Cache>, key: Key, value: Value, lifetime: Duration, lead: Lead) {
    let (cache, slow) = (Arc::clone(cache), cache.has_slow_tiers());
    let store = move || {
        cache.put(&key, Arc::clone(&value), lifetime);
        lead.finish(value);
    };
    if slow {
        tokio::task::spawn_blocking(store);
    } else {
        store();
    }
}

fn count(key: &Key, outcome: &'static str) {
    counter!("fornax_cache_lookups_total", "kind" => key.kind().to_owned(), "outcome" => outcome)
        .increment(1);
}

/// The key of one text's vector: the text or its tokens, and how the vector is finished.
pub(crate) fn embedding_key(
    tenant: &TenantId,
    digest: &str,
    input: &Prompt,
    dimensions: Option<u32>,
    truncate: bool,
) -> Key {
    let mut canonical = Vec::new();
    canonical.extend_from_slice(&dimensions.unwrap_or(0).to_le_bytes());
    canonical.push(u8::from(truncate));
    match input {
        Prompt::Text(text) => {
            canonical.push(b't');
            canonical.extend_from_slice(text.as_bytes());
        }
        Prompt::Tokens(ids) => {
            canonical.push(b'i');
            canonical.extend(ids.iter().flat_map(|id| id.to_le_bytes()));
        }
    }
    Key::of_request(tenant.as_str(), "embed", digest, &canonical)
}

/// A vector and the tokens that were read for it, as bytes.
pub(crate) fn encode_embedding(tokens: u32, vector: &[f32]) -> Value {
    let mut bytes = tokens.to_le_bytes().to_vec();
    bytes.extend(vector.iter().flat_map(|value| value.to_le_bytes()));
    bytes.into()
}

/// The other way; `None` when the bytes are not that.
pub(crate) fn decode_embedding(bytes: &[u8]) -> Option<(u32, Vec<f32>)> {
    let (tokens, rest) = bytes.split_first_chunk::<4>()?;
    let (values, tail) = rest.as_chunks::<4>();
    tail.is_empty().then(|| {
        let vector = values.iter().map(|value| f32::from_le_bytes(*value));
        (u32::from_le_bytes(*tokens), vector.collect())
    })
}

/// The key of a generation, when equal requests have equal answers: greedy, or with a seed that the caller chose.
pub(crate) fn generation_key(
    tenant: &TenantId,
    digest: &str,
    wire: &GenerateRequest,
    seeded: bool,
    reading: &str,
) -> Option<Key> {
    let sampling = wire.sampling.as_ref()?;
    if sampling.temperature != Some(0.0) && !seeded {
        return None;
    }
    let mut canonical = wire.clone();
    // Who asks and how long it may take do not change the answer; the tenant is part of the key.
    canonical.request_id.clear();
    canonical.tenant.clear();
    canonical.class.clear();
    canonical.deadline_ms = 0;
    let mut biases = Vec::new();
    if let Some(sampling) = canonical.sampling.as_mut() {
        if !seeded {
            sampling.seed = None;
        }
        // The message holds them in a map without order.
        biases = std::mem::take(&mut sampling.logit_bias)
            .into_iter()
            .collect();
        biases.sort_by_key(|(id, _)| *id);
    }
    let mut bytes = canonical.encode_to_vec();
    for (id, bias) in biases {
        bytes.extend_from_slice(&id.to_le_bytes());
        bytes.extend_from_slice(&bias.to_le_bytes());
    }
    bytes.extend_from_slice(reading.as_bytes());
    Some(Key::of_request(tenant.as_str(), "generate", digest, &bytes))
}

/// Passes events through and keeps them all when the generation ends well; one that fails or is dropped is not kept.
pub(crate) fn record(
    events: Events,
    cache: Arc<Cache>,
    key: Key,
    lifetime: Duration,
    lead: Lead,
    choices: u32,
) -> Events {
    struct Recorder {
        seen: Vec<GenerationEvent>,
        running: u32,
        end: Option<(Arc<Cache>, Key, Duration, Lead)>,
    }
    let recorder = Recorder {
        seen: Vec::new(),
        running: choices.max(1),
        end: Some((cache, key, lifetime, lead)),
    };
    Box::pin(futures::stream::unfold(
        (events, recorder),
        |(mut events, mut recorder)| async move {
            let event = events.next().await?;
            match &event {
                Ok(event) => {
                    recorder.seen.push(event.clone());
                    recorder.running -=
                        u32::from(matches!(event, GenerationEvent::Finished { .. }));
                }
                Err(_) => recorder.end = None,
            }
            if recorder.running == 0
                && let Some((cache, key, lifetime, lead)) = recorder.end.take()
                && let Ok(bytes) = serde_json::to_vec(&recorder.seen)
            {
                keep(&cache, key, bytes.into(), lifetime, lead);
            }
            Some((event, (events, recorder)))
        },
    ))
}

/// The events of a kept generation; every token of its prompt counts as taken from a cache, and no time was spent. `None` when it cannot be read.
pub(crate) fn replay(bytes: &[u8]) -> Option<Events> {
    let mut events: Vec<GenerationEvent> = serde_json::from_slice(bytes).ok()?;
    for event in &mut events {
        match event {
            GenerationEvent::Started {
                prompt_tokens,
                cached_tokens,
                ..
            } => *cached_tokens = *prompt_tokens,
            GenerationEvent::Finished { timing, .. } => *timing = Timing::default(),
            _ => {}
        }
    }
    Some(Box::pin(futures::stream::iter(events.into_iter().map(Ok))))
}
