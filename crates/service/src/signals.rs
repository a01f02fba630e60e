//! Metrics of the use cases, recorded where the event happens, once.
//!
//! A model's name becomes a label only after it was found in the store, and a tenant's only after its key was
//! checked, so that no caller can make labels up.

use std::time::Instant;

use platform::Clock;

use crate::error::{Error, ErrorKind};

/// What a caller asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Chat,
    Completion,
    Embedding,
    Rerank,
    Tokenize,
    /// A call of the science models, by its name.
    Science(&'static str),
}

impl Operation {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Operation::Chat => "chat",
            Operation::Completion => "completion",
            Operation::Embedding => "embedding",
            Operation::Rerank => "rerank",
            Operation::Tokenize => "tokenize",
            Operation::Science(name) => name,
        }
    }
}

/// The label of requests whose model was not found.
const NO_MODEL: &str = "";

/// One request from its beginning to its end; counted when dropped.
pub(crate) struct RequestRecord {
    operation: Operation,
    model: String,
    tenant: String,
    clock: Clock,
    started: Instant,
    last_output: Option<Instant>,
    outcome: Option<&'static str>,
}

impl RequestRecord {
    pub(crate) fn begin(operation: Operation, tenant: &str, clock: Clock) -> Self {
        RequestRecord {
            operation,
            model: NO_MODEL.to_owned(),
            tenant: tenant.to_owned(),
            started: clock.now(),
            clock,
            last_output: None,
            outcome: None,
        }
    }

    /// The model was found.
    pub(crate) fn found_model(&mut self, name: &str) {
        name.clone_into(&mut self.model);
    }

    /// The runner took the request.
    pub(crate) fn accepted(&self, prompt_tokens: u32, cached_tokens: u32, queue_seconds: f64) {
        let model = self.model.clone();
        metrics::histogram!("fornax_queue_seconds", "model" => model.clone()).record(queue_seconds);
        self.prompt(u64::from(prompt_tokens));
        metrics::counter!("fornax_cached_tokens_total", "model" => model, "tenant" => self.tenant.clone())
            .increment(u64::from(cached_tokens));
    }

    /// Tokens that were read.
    pub(crate) fn prompt(&self, tokens: u64) {
        metrics::counter!("fornax_prompt_tokens_total", "model" => self.model.clone(), "tenant" => self.tenant.clone())
            .increment(tokens);
    }

    /// A piece of output arrived.
    pub(crate) fn output(&mut self) {
        let now = self.clock.now();
        let (name, since) = match self.last_output {
            None => ("fornax_time_to_first_token_seconds", self.started),
            Some(last) => ("fornax_inter_token_seconds", last),
        };
        metrics::histogram!(name, "model" => self.model.clone())
            .record(now.saturating_duration_since(since).as_secs_f64());
        self.last_output = Some(now);
    }

    /// Tokens that were written.
    pub(crate) fn written(&self, tokens: u32) {
        metrics::counter!("fornax_output_tokens_total", "model" => self.model.clone(), "tenant" => self.tenant.clone())
            .increment(u64::from(tokens));
    }

    /// The request ended well.
    pub(crate) fn succeeded(&mut self) {
        self.outcome = Some("ok");
    }

    /// The request ended with this error, which is given back.
    pub(crate) fn failed(&mut self, error: Error) -> Error {
        self.outcome = Some(error.kind.name());
        error
    }
}

impl Drop for RequestRecord {
    fn drop(&mut self) {
        // Whoever drops a request without an outcome went away.
        let outcome = self.outcome.unwrap_or(ErrorKind::Cancelled.name());
        let operation = self.operation.name();
        metrics::counter!(
            "fornax_requests_total",
            "operation" => operation, "model" => self.model.clone(), "outcome" => outcome
        )
        .increment(1);
        let seconds = self.clock.now().saturating_duration_since(self.started);
        metrics::histogram!(
            "fornax_request_seconds",
            "operation" => operation, "model" => self.model.clone()
        )
        .record(seconds.as_secs_f64());
    }
}
