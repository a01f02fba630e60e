//! From the request to the service's, and from an answer to JSON.

use serde_json::{Value, json};
use service::collections::Filter;
use service::{
    AnswerEvent, AnswerRequest, Citation, Error, FinishReason, GenerateOptions, Passage, Ranker,
    Retrieval, SamplingOptions,
};

use super::types::AnswerBody;
use crate::attribute_filter;

/// Passages when the request names no number.
const PASSAGES_DEFAULT: usize = 8;

/// The service's request.
pub fn request(body: AnswerBody) -> Result<AnswerRequest, Error> {
    let collections = match (body.collection, body.collections) {
        (Some(one), None) => vec![one],
        (None, Some(several)) => several,
        _ => {
            return Err(Error::invalid(
                "collection",
                "give either `collection` or `collections`",
            ));
        }
    };
    let ranker = match body.rerank {
        None | Some(Value::Null | Value::Bool(true)) => Ranker::Configured,
        Some(Value::Bool(false)) => Ranker::None,
        Some(Value::String(model)) if !model.is_empty() => Ranker::Model(model),
        Some(_) => {
            return Err(Error::invalid(
                "rerank",
                "`rerank` is true, false or a model's name",
            ));
        }
    };
    if body
        .temperature
        .is_some_and(|degree| !(0.0..=2.0).contains(&degree))
    {
        return Err(Error::invalid(
            "temperature",
            "`temperature` must be between 0 and 2",
        ));
    }
    Ok(AnswerRequest {
        question: body.question,
        retrieval: Retrieval {
            collections,
            limit: body.limit.unwrap_or(PASSAGES_DEFAULT),
            filter: match &body.filter {
                None | Some(Value::Null) => Filter::default(),
                Some(filter) => attribute_filter::read("filter", filter)?,
            },
            score_min: body.score_min,
            ranker,
        },
        model: body.model,
        instructions: body.instructions,
        options: GenerateOptions {
            tokens_max: body.max_tokens,
            sampling: SamplingOptions {
                temperature: body.temperature,
                seed: body.seed,
                ..SamplingOptions::default()
            },
            ..GenerateOptions::default()
        },
    })
}

/// The passages that the model was shown, numbered as its marks count them.
pub fn sources(passages: &[Passage]) -> Value {
    (1..)
        .zip(passages)
        .map(|(number, passage)| {
            json!({
                "number": number,
                "collection": passage.collection,
                "point": passage.point,
                "source": passage.source,
                "file_id": passage.file_id,
                "score": passage.score,
                "place": passage.place,
                "attributes": passage.attributes,
                "text": passage.text,
            })
        })
        .collect::<Vec<Value>>()
        .into()
}

/// A citation: which source, and where its mark stands in the text, in characters.
pub fn citation(citation: &Citation) -> Value {
    json!({
        "number": citation.passage + 1,
        "source": citation.source,
        "start": citation.start,
        "end": citation.end,
    })
}

fn finish(reason: &FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop { .. } | FinishReason::ToolCalls => "stop",
        FinishReason::Length => "length",
    }
}

/// An answer while it is put together.
#[derive(Default)]
pub struct Whole {
    text: String,
    reasoning: String,
    citations: Vec<Value>,
    end: Option<Value>,
}

impl Whole {
    /// Adds one event.
    pub fn event(&mut self, event: &AnswerEvent) {
        match event {
            AnswerEvent::Text(text) => self.text.push_str(text),
            AnswerEvent::Reasoning(text) => self.reasoning.push_str(text),
            AnswerEvent::Cited(cited) => self.citations.push(citation(cited)),
            AnswerEvent::Finished { .. } => self.end = Some(self::event(event).1),
        }
    }

    /// The reply; `None` when the answer never ended.
    pub fn reply(self, id: &str, model: &str, passages: &[Passage]) -> Option<Value> {
        let end = self.end?;
        Some(json!({
            "id": id,
            "model": model,
            "answer": self.text,
            "reasoning": (!self.reasoning.is_empty()).then_some(self.reasoning),
            "citations": self.citations,
            "sources": sources(passages),
            "finish_reason": end["finish_reason"],
            "usage": end["usage"],
        }))
    }
}

/// An event's name and data.
pub fn event(event: &AnswerEvent) -> (&'static str, Value) {
    match event {
        AnswerEvent::Text(text) => ("text", json!({"text": text})),
        AnswerEvent::Reasoning(text) => ("reasoning", json!({"text": text})),
        AnswerEvent::Cited(cited) => ("citation", citation(cited)),
        AnswerEvent::Finished {
            reason,
            prompt_tokens,
            output_tokens,
        } => (
            "done",
            json!({
                "finish_reason": finish(reason),
                "usage": {"prompt_tokens": prompt_tokens, "output_tokens": output_tokens},
            }),
        ),
    }
}
