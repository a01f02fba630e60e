//! One question answered from documents: the use case behind the command line, the native route, and tools.

use std::pin::Pin;

use futures::{Stream, StreamExt};
use inference::files::gguf::Kind;
use security::{Action, Identity};

use crate::error::{Error, Result};
use crate::responses::Citation;
use crate::service::Service;
use crate::types::{
    ChatRequest, FinishReason, GenerateOptions, GenerationEvent, Message, OutputFormat, Role,
    ToolChoice,
};

use super::citations::MarkReader;
use super::types::{Passage, Retrieval};

/// A question.
#[derive(Debug, Clone)]
pub struct AnswerRequest {
    /// What is asked.
    pub question: String,
    /// Where to look.
    pub retrieval: Retrieval,
    /// Who answers; `None`: the configured model, or the only one there is.
    pub model: Option<String>,
    /// Said to the model beside the rules of citing.
    pub instructions: Option<String>,
    /// How to generate; one choice.
    pub options: GenerateOptions,
}

/// An answer that is being written. Dropping it ends the work.
pub struct Answer {
    /// Unique id, without a protocol's prefix.
    pub id: String,
    /// The model that answers, by its full name.
    pub model: String,
    /// What the model was shown; its marks `[n]` name these, from 1.
    pub passages: Vec<Passage>,
    /// The steps.
    pub events: AnswerEvents,
}

/// Events as they come; ends after [`AnswerEvent::Finished`], or with one error.
pub type AnswerEvents = Pin<Box<dyn Stream<Item = Result<AnswerEvent>> + Send>>;

/// One step of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum AnswerEvent {
    /// More of the text.
    Text(String),
    /// More of the reasoning.
    Reasoning(String),
    /// The text so far names a passage.
    Cited(Citation),
    /// Last.
    Finished {
        /// Why.
        reason: FinishReason,
        /// Tokens read, passages included.
        prompt_tokens: u32,
        /// Tokens written.
        output_tokens: u32,
    },
}

impl Service {
    /// Answers a question from documents. When this returns, passages were found and the model has begun.
    ///
    /// # Errors
    /// As [`Service::retrieve`] and [`Service::chat`].
    pub async fn answer(&self, identity: &Identity, request: AnswerRequest) -> Result<Answer> {
        self.authorize(Some(identity), Action::Generate)?;
        let model = match request.model {
            Some(model) => model,
            None => self.default_answerer().await?,
        };
        let mut passages = self
            .retrieve(identity, &request.retrieval, &request.question)
            .await?;
        let message = |role, content| Message {
            role,
            content,
            name: None,
            reasoning: None,
            tool_calls: Vec::new(),
            tool_call_id: None,
        };
        let instructions = request.instructions.into_iter();
        let messages = instructions
            .map(|text| message(Role::System, text))
            .chain([message(Role::User, request.question)])
            .collect();
        let chat = ChatRequest {
            model,
            messages,
            tools: Vec::new(),
            tool_choice: ToolChoice::None,
            parallel_tool_calls: false,
            output: OutputFormat::Text,
            template_variables: serde_json::Map::new(),
            options: GenerateOptions {
                choices: 1,
                ..request.options
            },
        };
        let generation = self
            .grounded_chat(identity, &chat, &mut passages, true)
            .await?;
        let reader = Reader {
            marks: MarkReader::default(),
            passages: passages.clone(),
            prompt_tokens: 0,
        };
        let events = generation
            .events
            .scan(reader, |reader, event| {
                let read = match event {
                    Ok(event) => reader.read(event).into_iter().map(Ok).collect(),
                    Err(error) => vec![Err(error)],
                };
                std::future::ready(Some(futures::stream::iter(read)))
            })
            .flatten();
        Ok(Answer {
            id: generation.id,
            model: generation.model,
            passages,
            events: Box::pin(events),
        })
    }

    /// The model that answers when nobody names one.
    async fn default_answerer(&self) -> Result<String> {
        if let Some(name) = &self.answering.options.model {
            return Ok(name.clone());
        }
        let manifests = self.catalog.blocking(|store| store.list()).await?;
        let mut writing = manifests
            .into_iter()
            .filter(|manifest| manifest.facts.kind == Kind::Generate);
        match (writing.next(), writing.next()) {
            (Some(only), None) => Ok(only.name),
            (None, _) => Err(Error::invalid(
                "model",
                "No model was named and this server has none that writes; pull one.",
            )),
            (Some(_), Some(_)) => Err(Error::invalid(
                "model",
                "No model was named and this server has several that write; name one, or set answers.model.",
            )),
        }
    }
}

/// From a generation's events to an answer's.
struct Reader {
    marks: MarkReader,
    passages: Vec<Passage>,
    prompt_tokens: u32,
}

impl Reader {
    fn read(&mut self, event: GenerationEvent) -> Vec<AnswerEvent> {
        match event {
            GenerationEvent::Started { prompt_tokens, .. } => {
                self.prompt_tokens = prompt_tokens;
                Vec::new()
            }
            GenerationEvent::Text { text, .. } => {
                let cited: Vec<AnswerEvent> = self
                    .marks
                    .push(&text)
                    .into_iter()
                    .filter_map(|mark| Citation::of(mark, &self.passages))
                    .map(AnswerEvent::Cited)
                    .collect();
                std::iter::once(AnswerEvent::Text(text))
                    .chain(cited)
                    .collect()
            }
            GenerationEvent::Reasoning { text, .. } => vec![AnswerEvent::Reasoning(text)],
            GenerationEvent::ToolCallStarted { .. } | GenerationEvent::ToolCallArguments { .. } => {
                Vec::new()
            }
            GenerationEvent::Finished {
                reason,
                output_tokens,
                ..
            } => vec![AnswerEvent::Finished {
                reason,
                prompt_tokens: self.prompt_tokens,
                output_tokens,
            }],
        }
    }
}
