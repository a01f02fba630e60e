//! Fitting passages to a model's context by its own tokenizer, and starting the generation.

use security::Identity;

use crate::error::{ErrorKind, Result};
use crate::failures;
use crate::prepare;
use crate::reranking;
use crate::runtime::ModelLease;
use crate::service::Service;
use crate::types::{ChatRequest, Generation};

use inference::runner::protocol::TokenizeRequest;

use super::prompt;
use super::types::Passage;

/// Tokens kept free for the answer when the request bounds it not, or higher; at most a quarter of the context.
const ANSWER_TOKENS: usize = 512;
/// What a template writes around a message, rounded up: role, marks, line breaks.
const MESSAGE_FRAME_TOKENS: usize = 8;
/// A passage cut to fewer tokens than this says nothing.
const PASSAGE_TOKENS_MIN: usize = 32;

impl Service {
    /// Starts a chat that is shown `passages` in their order, as many as fit; what did not fit is taken out of `passages`
    /// once the generation runs. Without `grounded` it is an ordinary chat.
    pub(crate) async fn grounded_chat(
        &self,
        identity: &Identity,
        chat: &ChatRequest,
        passages: &mut Vec<Passage>,
        grounded: bool,
    ) -> Result<Generation> {
        if !grounded {
            return self.chat(identity, chat.clone()).await;
        }
        let mut fitting = self.fit_passages(chat, passages).await?;
        let secret = self.answering.secret()?;
        loop {
            let mut shown = chat.clone();
            shown.messages = prompt::with_passages(&chat.messages, &fitting, secret);
            match self.chat(identity, shown).await {
                // The template wrote more than was reckoned with.
                Err(error) if error.kind == ErrorKind::ContextExceeded && !fitting.is_empty() => {
                    fitting.pop();
                }
                Err(error) => return Err(error),
                Ok(generation) => {
                    *passages = fitting;
                    return Ok(generation);
                }
            }
        }
    }

    /// The first passages that fit beside the conversation and an answer. The first of all is cut when it alone is too long.
    async fn fit_passages(&self, chat: &ChatRequest, passages: &[Passage]) -> Result<Vec<Passage>> {
        let _guard = self.enter()?;
        let model = self.catalog.find(&chat.model).await?;
        let load = prepare::load_options(&self.load, &model.manifest);
        let keep_alive = chat.options.keep_alive;
        let lease = prepare::acquire(
            &self.runtime,
            &model,
            &load,
            keep_alive,
            chat.options.deadline,
        )
        .await?;
        let lease = lease.as_ref();
        let context = lease.facts().context_tokens as usize;
        let answer = chat
            .options
            .tokens_max
            .map_or(ANSWER_TOKENS, |most| most as usize)
            .min(context / 4);
        let mut used = answer;
        // The rules are part of this, because they stand in the first message.
        for message in prompt::without_passages(&chat.messages) {
            used += MESSAGE_FRAME_TOKENS + count(lease, &message.content).await?;
        }
        for tool in &chat.tools {
            let description = tool.description.as_deref().unwrap_or_default();
            used += count(
                lease,
                &format!("{}{description}{}", tool.name, tool.parameters),
            )
            .await?;
        }
        let mut room = context.saturating_sub(used);
        let mark = prompt::mark(b"", &[]);
        let mut fitting = Vec::new();
        for (number, passage) in (1..).zip(passages) {
            let whole = count(lease, &prompt::quotation(number, passage, &mark)).await?;
            if whole <= room {
                room -= whole;
                fitting.push(passage.clone());
                continue;
            }
            let text = count(lease, &passage.text).await?;
            let most = room.saturating_sub(whole.saturating_sub(text));
            if number == 1 && most >= PASSAGE_TOKENS_MIN {
                let mut passage = passage.clone();
                passage.text = reranking::cut(lease, &passage.text, most).await?;
                fitting.push(passage);
            }
            break;
        }
        Ok(fitting)
    }

    /// How many tokens a model reads in a text, nothing added.
    pub(crate) async fn count_tokens(&self, model: &str, text: &str) -> Result<u64> {
        let model = self.catalog.find(model).await?;
        let load = prepare::load_options(&self.load, &model.manifest);
        let lease = prepare::acquire(&self.runtime, &model, &load, None, None).await?;
        Ok(count(lease.as_ref(), text).await? as u64)
    }
}

async fn count(lease: &dyn ModelLease, text: &str) -> Result<usize> {
    let request = TokenizeRequest {
        text: text.to_owned(),
        add_special: false,
        parse_special: false,
    };
    let tokens = lease.tokenize(request).await;
    Ok(tokens.map_err(failures::from_runner)?.len())
}
