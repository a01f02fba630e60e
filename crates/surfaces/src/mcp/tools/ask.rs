//! Answers from collections, with citations.

use futures::StreamExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use service::collections::Filter;
use service::{
    Action, AnswerEvent, AnswerRequest, Error, ErrorKind, FinishReason, GenerateOptions, Ranker,
    Retrieval, SamplingOptions,
};

use crate::mcp::declaration::{Call, Facts, Tool};

/// Passages that the model is shown when the caller does not say how many.
const PASSAGES_USUAL: usize = 8;

/// Arguments of `ask`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AskArguments {
    /// What is asked.
    question: String,
    /// Where to look: names, as `list_collections` gives them.
    #[schemars(length(min = 1, max = 16))]
    collections: Vec<String>,
    /// The model that answers, of the kind `generate`; the server's choice when absent.
    model: Option<String>,
    /// Most passages that the model is shown; 8 when absent.
    #[schemars(range(min = 1))]
    limit: Option<usize>,
    /// Most tokens of the answer.
    #[schemars(range(min = 1))]
    max_tokens: Option<u32>,
    /// The same seed, question and documents give the same answer.
    seed: Option<u64>,
}

/// A passage that the model was shown.
#[derive(Debug, Serialize, JsonSchema)]
struct Source {
    /// Its number, as marks like `[2]` in the answer name it.
    number: usize,
    /// Name of the file.
    source: String,
    /// The passage.
    text: String,
    /// Where in the file: page, row, first and last position, as far as known.
    place: serde_json::Map<String, serde_json::Value>,
    /// Whether the answer names it.
    cited: bool,
}

/// Answer of `ask`.
#[derive(Debug, Serialize, JsonSchema)]
struct AskAnswer {
    /// The answer, with marks like `[2]` that name sources.
    answer: String,
    /// Name of the model that wrote it.
    model: String,
    /// What it was shown.
    sources: Vec<Source>,
    /// Why the answer ended: `stop` or `length`.
    finish_reason: String,
}

/// `ask`
pub fn tool() -> Tool {
    let facts = Facts {
        name: "ask",
        title: "Ask the documents",
        description: "Answers a question from the documents of collections: finds passages, has a model answer from them, and \
                      says which it cites.",
        // The service also asks whether the key may generate.
        action: Action::ReadCollections,
        read_only: true,
        long: true,
    };
    Tool::new(facts, |call: Call, arguments: AskArguments| async move {
        let request = AnswerRequest {
            question: arguments.question,
            retrieval: Retrieval {
                collections: arguments.collections,
                limit: arguments.limit.unwrap_or(PASSAGES_USUAL),
                filter: Filter::default(),
                score_min: None,
                ranker: Ranker::Configured,
            },
            model: arguments.model,
            instructions: None,
            options: GenerateOptions {
                tokens_max: arguments.max_tokens,
                sampling: SamplingOptions {
                    seed: arguments.seed,
                    ..SamplingOptions::default()
                },
                fresh: call.fresh,
                ..GenerateOptions::default()
            },
        };
        let mut answer = call.app.service.answer(&call.identity, request).await?;
        let (mut text, mut cited, mut ended) = (String::new(), Vec::new(), None);
        while let Some(event) = answer.events.next().await {
            match event? {
                AnswerEvent::Text(more) => text.push_str(&more),
                AnswerEvent::Reasoning(_) => {}
                AnswerEvent::Cited(citation) => cited.push(citation.passage),
                AnswerEvent::Finished { reason, .. } => ended = Some(reason),
            }
        }
        let finish_reason = match ended {
            Some(FinishReason::Length) => "length",
            Some(_) => "stop",
            None => {
                return Err(Error::new(
                    ErrorKind::Internal,
                    "the answer ended without an end",
                ));
            }
        };
        let sources = answer
            .passages
            .into_iter()
            .enumerate()
            .map(|(index, passage)| Source {
                number: index + 1,
                source: passage.source,
                text: passage.text,
                place: passage.place,
                cited: cited.contains(&index),
            });
        Ok(AskAnswer {
            answer: text,
            model: answer.model,
            sources: sources.collect(),
            finish_reason: finish_reason.to_owned(),
        })
    })
}
