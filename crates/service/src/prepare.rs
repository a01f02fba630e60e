//! From a caller's options to the runner's request: what chat and completion share.

use std::sync::Arc;
use std::time::Duration;

use inference::runner::LoadOptions;
use inference::runner::protocol::{
    Constraint, GenerateRequest, Sampling, constraint::Grammar, generate_request::Prompt as Wire,
};
use inference::store::{Manifest, ModelSettings};
use security::Identity;

use crate::catalog::FoundModel;
use crate::error::{Error, ErrorKind, Result};
use crate::failures;
use crate::identifiers;
use crate::runtime::{ModelLease, ModelRuntime};
use crate::types::{GenerateOptions, OutputFormat, WorkClass};

/// Loads `model` when it is not loaded, within the request's deadline.
pub(crate) async fn acquire(
    runtime: &Arc<dyn ModelRuntime>,
    model: &FoundModel,
    load: &LoadOptions,
    keep_alive: Option<Duration>,
    deadline: Option<Duration>,
) -> Result<Arc<dyn ModelLease>> {
    let lease = runtime.acquire(model.source.clone(), load.clone(), keep_alive);
    let lease = match deadline {
        Some(deadline) => tokio::time::timeout(deadline, lease).await.map_err(|_| {
            Error::new(
                ErrorKind::DeadlineExceeded,
                "The model was not loaded within the request's deadline.",
            )
        })?,
        None => lease.await,
    };
    lease.map_err(failures::from_runner)
}

/// The server's way of loading models, with what this model's administrator chose.
pub(crate) fn load_options(defaults: &LoadOptions, manifest: &Manifest) -> LoadOptions {
    let mut load = defaults.clone();
    if let Some(tokens) = manifest.settings.context_tokens {
        load.context_tokens = tokens;
    }
    load
}

/// The runner's request, with no prompt-specific parts.
pub(crate) fn request(
    id: &str,
    identity: &Identity,
    options: &GenerateOptions,
    settings: &ModelSettings,
) -> Result<GenerateRequest> {
    let chosen = &options.sampling;
    let own = &settings.sampling;
    let seed = match chosen.seed {
        Some(seed) => seed,
        None => identifiers::seed()?,
    };
    Ok(GenerateRequest {
        request_id: id.to_owned(),
        cache_salt: identifiers::cache_salt(identity, options.cache_salt.as_deref()),
        tenant: identity.tenant.to_string(),
        weight: 1,
        class: match options.class {
            WorkClass::Interactive => "interactive",
            WorkClass::Batch => "batch",
        }
        .to_owned(),
        tokens_max: options.tokens_max,
        tokens_min: options.tokens_min,
        stop: options.stop.iter().chain(&settings.stop).cloned().collect(),
        stop_tokens: options.stop_tokens.clone(),
        ignore_end: options.ignore_end,
        sampling: Some(Sampling {
            temperature: chosen.temperature.or(own.temperature),
            top_p: chosen.top_p.or(own.top_p),
            top_k: chosen.top_k.or(own.top_k),
            min_p: chosen.min_p.or(own.min_p),
            typical_p: chosen.typical_p,
            repeat_penalty: chosen.repeat_penalty.or(own.repeat_penalty),
            repeat_last_n: chosen.repeat_last,
            presence_penalty: chosen.presence_penalty,
            frequency_penalty: chosen.frequency_penalty,
            seed: Some(seed),
            logit_bias: chosen
                .logit_bias
                .iter()
                .map(|(id, bias)| (*id, *bias))
                .collect(),
        }),
        logprobs: options.logprobs,
        deadline_ms: options.deadline.map_or(0, |deadline| {
            u64::try_from(deadline.as_millis())
                .unwrap_or(u64::MAX)
                .max(1)
        }),
        choices: options.choices.max(1),
        ..GenerateRequest::default()
    })
}

/// Refuses token ids that the loaded model does not have.
pub(crate) fn check_vocabulary(
    options: &GenerateOptions,
    prompt: Option<&Wire>,
    lease: &dyn ModelLease,
) -> Result<()> {
    let size = lease.facts().vocabulary;
    let outside = |id: &u32| *id >= size;
    let check = |field: &str, found: Option<&u32>| match found {
        Some(id) => Err(Error::invalid(
            field,
            format!("The token {id} is outside this model's vocabulary of {size} tokens."),
        )),
        None => Ok(()),
    };
    check(
        "logit_bias",
        options.sampling.logit_bias.keys().find(|id| outside(id)),
    )?;
    check(
        "stop_token_ids",
        options.stop_tokens.iter().find(|id| outside(id)),
    )?;
    if let Some(Wire::Tokens(tokens)) = prompt {
        check("prompt", tokens.ids.iter().find(|id| outside(id)))?;
    }
    Ok(())
}

/// The constraint of an output without tools or reasoning.
pub(crate) fn constraint(output: &OutputFormat) -> Option<Constraint> {
    let grammar = match output {
        OutputFormat::Text => return None,
        OutputFormat::JsonObject => Grammar::JsonObject(true),
        OutputFormat::JsonSchema(schema) => Grammar::JsonSchema(schema.to_string()),
        OutputFormat::Regex(text) => Grammar::Regex(text.clone()),
        OutputFormat::Lark(text) => Grammar::Lark(text.clone()),
    };
    Some(Constraint {
        grammar: Some(grammar),
    })
}
