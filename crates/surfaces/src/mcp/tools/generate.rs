//! Text from a model.

use std::time::Duration;

use futures::StreamExt;
use service::{Action, Error, ErrorKind, FinishReason, Generation, GenerationEvent};
use tokio::time::Instant;

use crate::mcp::convert;
use crate::mcp::declaration::{Call, Facts, Tool};
use crate::mcp::reporter::Reporter;
use crate::mcp::types::{GenerateAnswer, GenerateArguments};

/// Progress is told at most this often: a message per token would cost more than the token.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);

/// `generate`
pub fn tool() -> Tool {
    let facts = Facts {
        name: "generate",
        title: "Generate text",
        description: "Answers a prompt or goes on with a conversation. Takes a model of the kind `generate`. With \
                      `json_schema` the answer is JSON that is valid under it.",
        action: Action::Generate,
        read_only: true,
        long: true,
    };
    Tool::new(
        facts,
        |call: Call, arguments: GenerateArguments| async move {
            let tokens_max = arguments.max_tokens;
            let mut request = convert::chat_request(arguments)?;
            request.options.fresh = call.fresh;
            let generation = call.app.service.chat(&call.identity, request).await?;
            gather(generation, &call.reporter, tokens_max).await
        },
    )
}

/// The whole answer, telling the caller now and then how long it is. Pieces of text are close enough to tokens for a
/// progress bar, and never more than them.
async fn gather(
    generation: Generation,
    reporter: &Reporter,
    tokens_max: Option<u32>,
) -> Result<GenerateAnswer, Error> {
    let mut answer = GenerateAnswer {
        model: generation.model,
        text: String::new(),
        reasoning: None,
        finish_reason: String::new(),
        input_tokens: 0,
        cached_tokens: 0,
        output_tokens: 0,
    };
    let mut events = generation.events;
    let (mut pieces, mut told) = (0_u32, Instant::now());
    while let Some(event) = events.next().await {
        match event? {
            GenerationEvent::Started {
                prompt_tokens,
                cached_tokens,
                ..
            } => {
                answer.input_tokens = prompt_tokens;
                answer.cached_tokens = cached_tokens;
            }
            GenerationEvent::Text { text, .. } => {
                answer.text.push_str(&text);
                pieces += 1;
            }
            GenerationEvent::Reasoning { text, .. } => {
                answer.reasoning.get_or_insert_default().push_str(&text);
                pieces += 1;
            }
            // No tools are given to the model.
            GenerationEvent::ToolCallStarted { .. } | GenerationEvent::ToolCallArguments { .. } => {
            }
            GenerationEvent::Finished {
                reason,
                output_tokens,
                ..
            } => {
                answer.output_tokens = output_tokens;
                answer.finish_reason = match reason {
                    FinishReason::Length => "length",
                    FinishReason::Stop { .. } | FinishReason::ToolCalls => "stop",
                }
                .to_owned();
            }
        }
        if reporter.wants_progress() && told.elapsed() >= PROGRESS_INTERVAL {
            told = Instant::now();
            let message = format!("{} characters", answer.text.chars().count());
            let total = tokens_max.map(f64::from);
            reporter
                .progress(f64::from(pieces), total, Some(&message))
                .await;
        }
    }
    if answer.finish_reason.is_empty() {
        return Err(Error::new(
            ErrorKind::Internal,
            "the generation ended without a result",
        ));
    }
    Ok(answer)
}
