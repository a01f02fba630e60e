//! The use cases that run a model: chat, completion, embedding, tokens.

use std::sync::Arc;
use std::time::Duration;

use cache::{Key, Turn};
use inference::files::gguf::Kind;
use inference::runner::RunnerErrorKind;
use inference::runner::protocol::{
    GenerateRequest, TokenIds, TokenizeRequest, generate_request::Prompt as Wire,
};
use security::{Action, Identity};
use tracing::Instrument;

use crate::catalog::FoundModel;
use crate::chat;
use crate::embedding;
use crate::error::{Error, Result};
use crate::failures;
use crate::generation::{self, InFlight, Plan};
use crate::identifiers;
use crate::prepare;
use crate::results::{self, Begin, Events};
use crate::runtime::ModelLease;
use crate::service::Service;
use crate::signals::{Operation, RequestRecord};
use crate::types::{
    ChatRequest, CompletionRequest, EmbedRequest, Embeddings, GenerateOptions, Generation, Prompt,
};

/// A request that was let in, with its model loaded.
struct Admitted {
    id: String,
    model: FoundModel,
    lease: Arc<dyn ModelLease>,
    /// How long that took.
    load: Duration,
    guard: InFlight,
}

impl Service {
    /// Answers a chat turn. When this returns, the runner has taken the request; what can be refused was refused.
    /// Dropping the generation ends it.
    ///
    /// # Errors
    /// `InvalidRequest` with the field, `ContextExceeded`, `NotFound`, `Overloaded`, `Unavailable`, …
    pub async fn chat(&self, identity: &Identity, request: ChatRequest) -> Result<Generation> {
        self.authorize(Some(identity), Action::Generate)?;
        let mut record = self.record(Operation::Chat, identity);
        let span = tracing::info_span!("chat", model = tracing::field::Empty, tenant = %identity.tenant, request = tracing::field::Empty);
        let prepared = self.prepare_chat(identity, &request, &mut record);
        match prepared.instrument(span.clone()).await {
            Ok((admitted, wire, prepared)) => {
                let plan = ChatParts {
                    parser: prepared.parser,
                    short_call_ids: prepared.short_call_ids,
                    raw: false,
                    prompt_text: None,
                };
                self.generate(identity, admitted, wire, plan, &request.options, record)
                    .instrument(span)
                    .await
            }
            Err(error) => Err(record.failed(error)),
        }
    }

    async fn prepare_chat(
        &self,
        identity: &Identity,
        request: &ChatRequest,
        record: &mut RequestRecord,
    ) -> Result<(Admitted, GenerateRequest, chat::Prepared)> {
        self.limits.check_chat(request)?;
        let admitted = self
            .admit(&request.model, Kind::Generate, &request.options, record)
            .await?;
        let lease = admitted.lease.as_ref();
        prepare::check_vocabulary(&request.options, None, lease)?;
        let settings = &admitted.model.manifest.settings;
        let prepared = chat::prepare(
            request,
            settings.system.as_deref(),
            self.clock.unix().as_secs(),
            &admitted.model.profile,
            lease,
        )
        .await?;
        let mut wire = prepare::request(&admitted.id, identity, &request.options, settings)?;
        wire.prompt = Some(prepared.prompt.clone());
        wire.add_special = prepared.add_special;
        wire.parse_special = true;
        wire.stop.extend(prepared.stop.iter().cloned());
        wire.constraint = prepared.constraint.clone();
        wire.emit_special = prepared.emit_special;
        if !request.options.prefix_tokens.is_empty() {
            prefix_prompt(&mut wire, &request.options, lease).await?;
        }
        Ok((admitted, wire, prepared))
    }

    /// Continues a prompt.
    ///
    /// # Errors
    /// As [`Service::chat`].
    pub async fn complete(
        &self,
        identity: &Identity,
        request: CompletionRequest,
    ) -> Result<Generation> {
        self.authorize(Some(identity), Action::Generate)?;
        let mut record = self.record(Operation::Completion, identity);
        let span = tracing::info_span!("complete", model = tracing::field::Empty, tenant = %identity.tenant, request = tracing::field::Empty);
        let prepared = self.prepare_completion(identity, &request, &mut record);
        match prepared.instrument(span.clone()).await {
            Ok((admitted, wire, prompt_text)) => {
                let parts = ChatParts {
                    parser: None,
                    short_call_ids: false,
                    raw: true,
                    prompt_text,
                };
                self.generate(identity, admitted, wire, parts, &request.options, record)
                    .instrument(span)
                    .await
                    .map_err(|error| of_field(error, "prompt"))
            }
            Err(error) => Err(record.failed(error)),
        }
    }

    async fn prepare_completion(
        &self,
        identity: &Identity,
        request: &CompletionRequest,
        record: &mut RequestRecord,
    ) -> Result<(Admitted, GenerateRequest, Option<String>)> {
        self.limits.check_completion(request)?;
        let admitted = self
            .admit(&request.model, Kind::Generate, &request.options, record)
            .await?;
        let prompt = match &request.prompt {
            Prompt::Text(text) => Wire::Text(text.clone()),
            Prompt::Tokens(ids) => Wire::Tokens(TokenIds { ids: ids.clone() }),
        };
        let lease = admitted.lease.as_ref();
        prepare::check_vocabulary(&request.options, Some(&prompt), lease)?;
        let prompt_text = match &request.prompt {
            _ if !request.echo => None,
            Prompt::Text(text) => Some(text.clone()),
            Prompt::Tokens(ids) => {
                let bytes = lease
                    .detokenize(ids.clone(), true)
                    .await
                    .map_err(failures::from_runner)?;
                Some(String::from_utf8_lossy(&bytes).into_owned())
            }
        };
        let settings = &admitted.model.manifest.settings;
        let mut wire = prepare::request(&admitted.id, identity, &request.options, settings)?;
        wire.prompt = Some(prompt);
        wire.add_special = true;
        wire.echo_logprobs = request.echo && request.options.logprobs.is_some();
        wire.constraint = prepare::constraint(&request.output);
        Ok((admitted, wire, prompt_text))
    }

    async fn generate(
        &self,
        identity: &Identity,
        admitted: Admitted,
        wire: GenerateRequest,
        parts: ChatParts,
        options: &GenerateOptions,
        mut record: RequestRecord,
    ) -> Result<Generation> {
        tracing::Span::current().record("request", &admitted.id);
        let manifest = &admitted.model.manifest;
        let (model, fingerprint) = (
            manifest.name.clone(),
            identifiers::fingerprint(&manifest.digest),
        );
        let (lifetime, choices) = (self.results.lifetimes.generations, wire.choices);
        let kept = self
            .results
            .for_call(options.fresh, lifetime)
            .zip(results::generation_key(
                &identity.tenant,
                &manifest.digest,
                &wire,
                options.sampling.seed.is_some(),
                &parts.reading(),
            ));
        let mut turn = None;
        if let Some((cache, key)) = kept {
            match results::begin(&cache, &key).await {
                Begin::Found(bytes) => {
                    if let Some(events) = results::replay(&bytes) {
                        record.succeeded();
                        return Ok(Generation {
                            id: admitted.id,
                            model,
                            fingerprint,
                            load: admitted.load,
                            events,
                        });
                    }
                }
                Begin::Compute(lead) => turn = Some((cache, key, lead)),
            }
        }
        let plan = Plan {
            runtime: self.runtime.clone(),
            load: prepare::load_options(&self.load, manifest),
            source: admitted.model.source,
            keep_alive: options.keep_alive,
            lease: admitted.lease,
            request: wire,
            parser: parts.parser,
            short_call_ids: parts.short_call_ids,
            end_logprobs: parts.raw,
            prompt_text: parts.prompt_text,
            _guard: admitted.guard,
            record,
        };
        let mut events: Events = Box::pin(generation::start(plan).await?);
        if let Some((cache, key, lead)) = turn {
            events = results::record(events, cache, key, lifetime, lead, choices);
        }
        Ok(Generation {
            id: admitted.id,
            model,
            fingerprint,
            load: admitted.load,
            events,
        })
    }

    /// Turns texts into vectors.
    ///
    /// # Errors
    /// As [`Service::chat`]; `ContextExceeded` when an input does not fit and may not be cut.
    pub async fn embed(&self, identity: &Identity, request: EmbedRequest) -> Result<Embeddings> {
        self.authorize(Some(identity), Action::Embed)?;
        let mut record = self.record(Operation::Embedding, identity);
        let span = tracing::info_span!("embed", model = tracing::field::Empty, tenant = %identity.tenant, inputs = request.inputs.len());
        let result = self
            .embed_admitted(identity, request, &mut record)
            .instrument(span)
            .await;
        match result {
            Ok(embeddings) => {
                record.succeeded();
                Ok(embeddings)
            }
            Err(error) => Err(record.failed(error)),
        }
    }

    /// Takes from the kept results what is known, waits for what equal calls compute, and computes the rest.
    async fn embed_admitted(
        &self,
        identity: &Identity,
        mut request: EmbedRequest,
        record: &mut RequestRecord,
    ) -> Result<Embeddings> {
        self.limits.check_embed(&request)?;
        let lifetime = self.results.lifetimes.embeddings;
        let Some(cache) = self.results.for_call(request.fresh, lifetime) else {
            let computed = self.compute_embeddings(&request, record).await?;
            return Ok(computed.into_embeddings());
        };
        let guard = self.enter()?;
        let model = self.catalog.find(&request.model).await?;
        record.found_model(&model.manifest.name);
        let key = |input: &Prompt| {
            let digest = &model.manifest.digest;
            results::embedding_key(
                &identity.tenant,
                digest,
                input,
                request.dimensions,
                request.truncate,
            )
        };
        let keys: Vec<Key> = request.inputs.iter().map(key).collect();
        let mut rows: Vec<Option<(u32, Vec<f32>)>> = Vec::with_capacity(keys.len());
        let mut load = Duration::ZERO;
        for key in &keys {
            let found = results::look(&cache, key).await;
            rows.push(found.and_then(|bytes| results::decode_embedding(&bytes)));
        }
        let (mut mine, mut others) = (Vec::new(), Vec::new());
        for (index, key) in keys
            .iter()
            .enumerate()
            .filter(|(index, _)| rows[*index].is_none())
        {
            match cache.join(key) {
                Turn::Lead(lead) => mine.push((index, lead)),
                Turn::Wait(waiting) => others.push((index, waiting)),
            }
        }
        drop(guard);
        let inputs = std::mem::take(&mut request.inputs);
        let part = |indices: &[usize]| EmbedRequest {
            inputs: indices.iter().map(|index| inputs[*index].clone()).collect(),
            ..request.clone()
        };
        if !mine.is_empty() {
            let indices: Vec<usize> = mine.iter().map(|(index, _)| *index).collect();
            let computed = self
                .compute_embeddings(&part(&indices), record)
                .await
                .map_err(|error| renumbered(error, &indices))?;
            load += computed.load;
            for ((index, lead), row) in mine.into_iter().zip(computed.rows()) {
                let value = results::encode_embedding(row.0, row.1);
                results::keep(&cache, keys[index].clone(), value, lifetime, lead);
                rows[index] = Some((row.0, row.1.to_vec()));
            }
        }
        // The calls that compute these never wait for this one before they have computed, so nobody waits in a circle.
        for (index, waiting) in others {
            let found = waiting
                .await
                .and_then(|bytes| results::decode_embedding(&bytes));
            rows[index] = match found {
                Some(row) => Some(row),
                None => {
                    let computed = self
                        .compute_embeddings(&part(&[index]), record)
                        .await
                        .map_err(|error| renumbered(error, &[index]))?;
                    load += computed.load;
                    computed.rows().next().map(|row| (row.0, row.1.to_vec()))
                }
            };
        }
        let rows: Vec<(u32, Vec<f32>)> = rows.into_iter().flatten().collect();
        Ok(Embeddings {
            model: model.manifest.name.clone(),
            dimensions: rows.first().map_or(0, |(_, vector)| vector.len() as u32),
            prompt_tokens: rows
                .iter()
                .fold(0, |sum: u32, (tokens, _)| sum.saturating_add(*tokens)),
            vectors: rows.into_iter().flat_map(|(_, vector)| vector).collect(),
            load,
        })
    }

    async fn compute_embeddings(
        &self,
        request: &EmbedRequest,
        record: &mut RequestRecord,
    ) -> Result<Computed> {
        let options = GenerateOptions {
            keep_alive: request.keep_alive,
            ..GenerateOptions::default()
        };
        let Admitted {
            id,
            model,
            mut lease,
            load,
            guard: _guard,
        } = self
            .admit(&request.model, Kind::Embed, &options, record)
            .await?;
        let finish = embedding::Finish {
            dimensions: request.dimensions,
            normalize: model.manifest.normalize,
        };
        let mut retried = false;
        let mut computed = Computed {
            model: model.manifest.name.clone(),
            dimensions: 0,
            vectors: Vec::new(),
            tokens: Vec::new(),
            load,
        };
        for call in embedding::calls(&id, request) {
            let inputs = call.inputs.len();
            let reply = match lease.embed(call.clone()).await {
                // Nothing was shown yet, so a fresh runner may try the same again, once.
                Err(error) if error.kind == RunnerErrorKind::Crashed && !retried => {
                    retried = true;
                    let load = prepare::load_options(&self.load, &model.manifest);
                    lease =
                        prepare::acquire(&self.runtime, &model, &load, request.keep_alive, None)
                            .await?;
                    lease.embed(call).await
                }
                reply => reply,
            }
            .map_err(|error| of_field(failures::from_runner(error), "input"))?;
            computed.dimensions = finish.append(&reply, inputs, &mut computed.vectors)?;
            record.prompt(reply.tokens.iter().map(|count| u64::from(*count)).sum());
            computed.tokens.extend(reply.tokens);
        }
        Ok(computed)
    }

    /// Token ids of a text, as the model reads it, with its begin token when it wants one.
    ///
    /// # Errors
    /// As [`Service::embed`].
    pub async fn tokenize(&self, identity: &Identity, model: &str, text: &str) -> Result<Vec<u32>> {
        self.authorize(Some(identity), Action::Tokenize)?;
        let mut record = self.record(Operation::Tokenize, identity);
        let result = async {
            let guard = self.enter()?;
            let model = self.catalog.find(model).await?;
            record.found_model(&model.manifest.name);
            let load = prepare::load_options(&self.load, &model.manifest);
            let lease = prepare::acquire(&self.runtime, &model, &load, None, None).await?;
            let request = TokenizeRequest {
                text: text.to_owned(),
                add_special: true,
                parse_special: false,
            };
            let ids = lease.tokenize(request).await.map_err(failures::from_runner);
            drop(guard);
            ids
        }
        .await;
        match result {
            Ok(ids) => {
                record.succeeded();
                Ok(ids)
            }
            Err(error) => Err(record.failed(error)),
        }
    }

    /// Token ids of the prompt that [`Service::chat`] would give the model for this request, template, tools and all; with
    /// `answer` the tokens of that text follow.
    ///
    /// # Errors
    /// As [`Service::chat`], but that a prompt may be longer than the model's context.
    pub async fn chat_tokens(
        &self,
        identity: &Identity,
        request: &ChatRequest,
        answer: Option<&str>,
    ) -> Result<Vec<u32>> {
        self.authorize(Some(identity), Action::Tokenize)?;
        let mut record = self.record(Operation::Tokenize, identity);
        let result = async {
            let (admitted, wire, _) = self.prepare_chat(identity, request, &mut record).await?;
            let lease = admitted.lease.as_ref();
            let mut tokens = prompt_tokens(&wire, wire.add_special, lease).await?;
            if let Some(text) = answer {
                let request = TokenizeRequest {
                    text: text.to_owned(),
                    add_special: false,
                    parse_special: false,
                };
                let ids = lease.tokenize(request).await;
                tokens.extend(ids.map_err(failures::from_runner)?);
            }
            Ok(tokens)
        }
        .await;
        match result {
            Ok(ids) => {
                record.succeeded();
                Ok(ids)
            }
            Err(error) => Err(record.failed(error)),
        }
    }

    fn record(&self, operation: Operation, identity: &Identity) -> RequestRecord {
        RequestRecord::begin(operation, identity.tenant.as_str(), self.clock.clone())
    }

    /// Finds the model, checks that it can do this, and loads it.
    async fn admit(
        &self,
        name: &str,
        wanted: Kind,
        options: &GenerateOptions,
        record: &mut RequestRecord,
    ) -> Result<Admitted> {
        let guard = self.enter()?;
        let model = self.catalog.find(name).await?;
        let manifest = &model.manifest;
        record.found_model(&manifest.name);
        // Only now: what the caller wrote may be of any length, and is nobody's model.
        tracing::Span::current().record("model", manifest.name.as_str());
        if wanted == Kind::Generate && manifest.facts.kind != Kind::Generate {
            return Err(Error::invalid(
                "model",
                format!(
                    "The model '{}' makes embeddings and does not generate text.",
                    manifest.name
                ),
            ));
        }
        if wanted == Kind::Embed && manifest.facts.kind == Kind::Rank {
            return Err(cannot_embed(&manifest.name));
        }
        let load = prepare::load_options(&self.load, manifest);
        let began = self.clock.now();
        let lease = prepare::acquire(
            &self.runtime,
            &model,
            &load,
            options.keep_alive,
            options.deadline,
        )
        .await?;
        let load = self.clock.now().saturating_duration_since(began);
        // The loaded model knows for certain: some generating models embed too.
        match wanted {
            Kind::Embed if !lease.facts().embeds => Err(cannot_embed(&manifest.name)),
            Kind::Generate if !lease.facts().generates => Err(Error::invalid(
                "model",
                format!("The model '{}' does not generate text.", manifest.name),
            )),
            _ => Ok(Admitted {
                id: identifiers::request()?,
                model,
                lease,
                load,
                guard,
            }),
        }
    }
}

/// Puts the tokens of an earlier exchange before the prompt. They begin the sequence, so the prompt does not.
async fn prefix_prompt(
    wire: &mut GenerateRequest,
    options: &GenerateOptions,
    lease: &dyn ModelLease,
) -> Result<()> {
    let prefix = Wire::Tokens(TokenIds {
        ids: options.prefix_tokens.clone(),
    });
    prepare::check_vocabulary(options, Some(&prefix), lease)
        .map_err(|error| error.at("context"))?;
    let mut ids = options.prefix_tokens.clone();
    ids.extend(prompt_tokens(wire, false, lease).await?);
    wire.prompt = Some(Wire::Tokens(TokenIds { ids }));
    wire.add_special = false;
    Ok(())
}

/// Token ids of a prompt as the runner will read it.
async fn prompt_tokens(
    wire: &GenerateRequest,
    add_special: bool,
    lease: &dyn ModelLease,
) -> Result<Vec<u32>> {
    match &wire.prompt {
        Some(Wire::Tokens(tokens)) => Ok(tokens.ids.clone()),
        Some(Wire::Text(text)) => {
            let request = TokenizeRequest {
                text: text.clone(),
                add_special,
                parse_special: wire.parse_special,
            };
            lease.tokenize(request).await.map_err(failures::from_runner)
        }
        None => Err(failures::internal("a conversation became no prompt")),
    }
}

/// Vectors as they were computed, in the order of the inputs.
struct Computed {
    model: String,
    dimensions: u32,
    vectors: Vec<f32>,
    /// Tokens read for each input.
    tokens: Vec<u32>,
    /// How long the model took to be in memory.
    load: Duration,
}

impl Computed {
    /// Tokens and vector of each input.
    fn rows(&self) -> impl Iterator<Item = (u32, &[f32])> {
        let vectors = self.vectors.chunks_exact(self.dimensions.max(1) as usize);
        self.tokens.iter().copied().zip(vectors)
    }

    fn into_embeddings(self) -> Embeddings {
        Embeddings {
            model: self.model,
            dimensions: self.dimensions,
            prompt_tokens: self
                .tokens
                .iter()
                .fold(0, |sum: u32, count| sum.saturating_add(*count)),
            vectors: self.vectors,
            load: self.load,
        }
    }
}

/// How a generation's text is read.
struct ChatParts {
    parser: Option<::inference::templates::ParserOptions>,
    short_call_ids: bool,
    raw: bool,
    prompt_text: Option<String>,
}

impl ChatParts {
    /// Everything here that changes what a caller sees of the same tokens, as a text for the key of kept results.
    fn reading(&self) -> String {
        format!(
            "{:?}/{}/{}/{:?}",
            self.parser, self.short_call_ids, self.raw, self.prompt_text
        )
    }
}

/// The same error at the field that holds the text in this operation, where it speaks of a chat's.
fn of_field(error: Error, field: &str) -> Error {
    if error.field.as_deref() == Some("messages") {
        error.at(field)
    } else {
        error
    }
}

/// The same error at the place that the caller knows, when only some of its inputs were sent on.
fn renumbered(mut error: Error, indices: &[usize]) -> Error {
    let sent =
        (0..indices.len()).find(|sent| error.field.as_deref() == Some(&format!("input[{sent}]")));
    if let Some(sent) = sent {
        let (theirs, ours) = (
            format!("input[{}]", indices[sent]),
            format!("input[{sent}]"),
        );
        error.message = error.message.replace(&ours, &theirs);
        error.field = Some(theirs);
    }
    error
}

fn cannot_embed(name: &str) -> Error {
    Error::invalid(
        "model",
        format!("The model '{name}' does not make embeddings; use an embedding model."),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_input_that_the_caller_sent() {
        let error = Error::invalid("input[1]", "`input[1]` is too long");
        let renumbered = renumbered(error, &[0, 4]);
        assert_eq!(renumbered.field.as_deref(), Some("input[4]"));
        assert_eq!(renumbered.message, "`input[4]` is too long");
    }
}
