//! Between the protocol's messages and the serving loop's types.

use std::time::Duration;

use platform::entropy;
use tokio::sync::mpsc;
use tonic::Status;

use crate::engine::Token;
use crate::runner::error::RunnerError;
use crate::runner::protocol as wire;
use crate::serving::grammar::{Constraint, Grammar};
use crate::serving::prefix::Salt;
use crate::serving::request::{
    Accepted, Event, Failure, FailureKind, Finish, FinishReason, GenerateJob, Input, Piece, Stats,
    TokenLogprob,
};
use crate::serving::sampler::SamplerOptions;

/// Most alternatives per token that are worth a message: OpenAI's limit is 20.
const LOGPROBS_MAX: u32 = 1000;

/// The request as the loop takes it.
pub(super) fn generate_job(
    request: wire::GenerateRequest,
    grammar: Option<Grammar>,
    events: mpsc::Sender<Event>,
) -> Result<GenerateJob, Failure> {
    let prompt = match request.prompt {
        Some(wire::generate_request::Prompt::Text(text)) => Input::Text(text),
        Some(wire::generate_request::Prompt::Tokens(tokens)) => Input::Tokens(tokens.ids),
        None => return Err(Failure::invalid("prompt", "there is no prompt")),
    };
    let class = match request.class.as_str() {
        "" | "interactive" => scheduling::Class::Interactive,
        "batch" => scheduling::Class::Batch,
        other => {
            let message = format!("the class is interactive or batch, not {other:?}");
            return Err(Failure::invalid("class", message));
        }
    };
    if request.logprobs.is_some_and(|top| top > LOGPROBS_MAX) {
        let message = format!("at most {LOGPROBS_MAX} alternatives");
        return Err(Failure::invalid("logprobs", message));
    }
    let tokens_min = if request.ignore_end {
        u32::MAX
    } else {
        request.tokens_min
    };
    Ok(GenerateJob {
        prompt,
        add_special: request.add_special,
        parse_special: request.parse_special,
        salt: Salt {
            tenant: request.tenant.into(),
            salt: request.cache_salt.into(),
        },
        weight: request.weight,
        class,
        tokens_max: request.tokens_max,
        stop: request.stop,
        stop_tokens: request.stop_tokens,
        sampling: sampling(request.sampling.unwrap_or_default(), tokens_min)?,
        grammar,
        logprobs: request.logprobs,
        echo_logprobs: request.echo_logprobs,
        deadline: (request.deadline_ms > 0).then(|| Duration::from_millis(request.deadline_ms)),
        choices: request.choices,
        emit_special: request.emit_special,
        events,
    })
}

fn sampling(request: wire::Sampling, tokens_min: u32) -> Result<SamplerOptions, Failure> {
    let defaults = SamplerOptions::default();
    let seed = match request.seed {
        Some(seed) => seed,
        None => entropy::random_u64()
            .map_err(|error| Failure::new(FailureKind::Engine, error.to_string()))?,
    };
    let mut logit_bias: Vec<(Token, f32)> = request.logit_bias.into_iter().collect();
    // The map has no order of its own; the same request must be computed in the same way each time.
    logit_bias.sort_by_key(|(token, _)| *token);
    Ok(SamplerOptions {
        temperature: request.temperature.unwrap_or(defaults.temperature),
        top_p: request.top_p.unwrap_or(defaults.top_p),
        top_k: request.top_k.unwrap_or(defaults.top_k),
        min_p: request.min_p.unwrap_or(defaults.min_p),
        typical_p: request.typical_p.unwrap_or(defaults.typical_p),
        repeat_penalty: request.repeat_penalty.unwrap_or(defaults.repeat_penalty),
        repeat_last_tokens: request.repeat_last_n.unwrap_or(defaults.repeat_last_tokens),
        presence_penalty: request
            .presence_penalty
            .unwrap_or(defaults.presence_penalty),
        frequency_penalty: request
            .frequency_penalty
            .unwrap_or(defaults.frequency_penalty),
        seed,
        logit_bias,
        tokens_min,
    })
}

/// The constraint of a request, if it has one.
pub(super) fn constraint(request: &mut wire::GenerateRequest) -> Option<Constraint> {
    use wire::constraint::Grammar as Wire;
    match request.constraint.take()?.grammar? {
        Wire::JsonSchema(text) => Some(Constraint::JsonSchema(text)),
        Wire::Lark(text) => Some(Constraint::Lark(text)),
        Wire::Regex(text) => Some(Constraint::Regex(text)),
        Wire::JsonObject(true) => Some(Constraint::JsonObject),
        Wire::JsonObject(false) => None,
    }
}

/// One event of the loop as one or two messages: the end of a choice comes after its last text.
pub(super) fn messages(event: Event) -> impl Iterator<Item = wire::GenerateEvent> {
    let (first, second) = match event {
        Event::Accepted(accepted) => (Some(accepted_message(accepted)), None),
        Event::Text(piece) => (Some(text_message(piece)), None),
        Event::Finished(piece, finish) => {
            let choice = piece.choice;
            let told = !piece.text.is_empty() || !piece.logprobs.is_empty();
            (
                told.then(|| text_message(piece)),
                Some(finished_message(choice, finish)),
            )
        }
        Event::Failed(failure) => (Some(failed_message(failure)), None),
    };
    first.into_iter().chain(second)
}

fn message(choice: u32, event: wire::generate_event::Event) -> wire::GenerateEvent {
    wire::GenerateEvent {
        choice,
        event: Some(event),
        logprobs: Vec::new(),
    }
}

fn accepted_message(accepted: Accepted) -> wire::GenerateEvent {
    let accepted = wire::Accepted {
        prompt_tokens: accepted.prompt_tokens,
        cached_tokens: accepted.cached_tokens,
        queue_us: micros(accepted.queued),
        prompt: accepted.prompt.into_iter().map(logprob).collect(),
    };
    message(0, wire::generate_event::Event::Accepted(accepted))
}

fn text_message(piece: Piece) -> wire::GenerateEvent {
    wire::GenerateEvent {
        choice: piece.choice,
        event: Some(wire::generate_event::Event::Text(piece.text)),
        logprobs: piece.logprobs.into_iter().map(logprob).collect(),
    }
}

fn finished_message(choice: u32, finish: Finish) -> wire::GenerateEvent {
    let reason = match finish.reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
    };
    let finished = wire::Finished {
        reason: reason.to_owned(),
        stop_sequence: finish.stop_sequence.unwrap_or_default(),
        output_tokens: finish.output_tokens,
        prefill_us: micros(finish.prefill),
        decode_us: micros(finish.decode),
    };
    message(choice, wire::generate_event::Event::Finished(finished))
}

/// The end of a stream that failed.
pub(super) fn failed_message(failure: Failure) -> wire::GenerateEvent {
    let failed = wire::generate_event::Event::Failed(failure_message(failure));
    message(0, failed)
}

fn logprob(entry: TokenLogprob) -> wire::TokenLogprob {
    let top = entry
        .top
        .into_iter()
        .map(|(token, bytes, logprob)| wire::TokenLogprob {
            token,
            bytes,
            logprob,
            top: Vec::new(),
        })
        .collect();
    wire::TokenLogprob {
        token: entry.token,
        bytes: entry.bytes,
        logprob: entry.logprob,
        top,
    }
}

/// A failure in the protocol's words.
pub(super) fn failure_message(failure: Failure) -> wire::Failure {
    let kind = match failure.kind {
        FailureKind::Invalid => "invalid",
        FailureKind::ContextExceeded => "context_exceeded",
        FailureKind::CacheFull => "cache_full",
        FailureKind::Overloaded => "overloaded",
        FailureKind::Deadline => "deadline",
        FailureKind::Cancelled => "cancelled",
        FailureKind::Unsupported => "unsupported",
        FailureKind::Engine => "engine",
    };
    wire::Failure {
        kind: kind.to_owned(),
        message: failure.message,
        field: failure.field,
        actual: failure.actual,
        limit: failure.limit,
        retry_after_ms: u64::try_from(failure.retry_after.as_millis()).unwrap_or(u64::MAX),
    }
}

/// A failure as the status of a call with one reply; its details carry the whole failure.
pub(super) fn status(failure: Failure) -> Status {
    RunnerError::from(failure_message(failure)).to_status()
}

/// Inputs of an embedding request.
pub(super) fn inputs(inputs: Vec<wire::EmbedInput>) -> Result<Vec<Input>, Failure> {
    inputs
        .into_iter()
        .enumerate()
        .map(|(index, input)| match input.input {
            Some(wire::embed_input::Input::Text(text)) => Ok(Input::Text(text)),
            Some(wire::embed_input::Input::Tokens(tokens)) => Ok(Input::Tokens(tokens.ids)),
            None => Err(Failure::invalid(
                &format!("input[{index}]"),
                "the input is missing",
            )),
        })
        .collect()
}

/// Counters as the protocol tells them.
pub(super) fn stats(stats: &Stats, memory_rss_bytes: u64) -> wire::StatsReply {
    wire::StatsReply {
        running: stats.running,
        waiting: stats.waiting,
        sequences_max: stats.running_max,
        cache_cells_used: stats.cells_used,
        cache_cells: stats.cells,
        prefix_queries_tokens: stats.prefix_queries_tokens,
        prefix_hits_tokens: stats.prefix_hits_tokens,
        preemptions: stats.preemptions,
        prompt_tokens: stats.prompt_tokens,
        output_tokens: stats.output_tokens,
        steps: stats.steps,
        evictions: stats.evictions,
        memory_rss_bytes,
        busy_us: micros(stats.busy),
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
