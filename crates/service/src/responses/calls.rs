//! The use cases of responses.

use std::sync::Arc;

use futures::StreamExt;
use security::{Action, Identity, TenantId};

use crate::error::{Error, ErrorKind, Result};
use crate::failures;
use crate::identifiers;
use crate::records::{StoredResponse, TOUCH_INTERVAL};
use crate::service::Service;
use crate::types::{ChatRequest, Message, Role};

use super::conversation;
use super::driving::{Beginning, Driver};
use super::following::EventLog;
use super::types::{
    Item, ItemBody, ItemPage, ItemState, Items, Response, ResponseEvent, ResponseEvents,
    ResponseFailure, ResponseRequest, ResponseState, SpeakerRole,
};

/// Longest chain of responses that continue each other.
const CHAIN_MAX: usize = 1000;
/// Most items of a conversation, all turns together.
const ITEMS_MAX: usize = 10_000;
/// Most notes of a caller, and the longest of their names and texts in characters: OpenAI's bounds.
const METADATA_MAX: usize = 16;
const METADATA_NAME_MAX: usize = 64;
const METADATA_TEXT_MAX: usize = 512;
/// Old rows are looked for once in this many new ones.
const PRUNE_EVERY: u8 = 64;

/// A response that has begun.
pub struct StartedResponse {
    /// As it begins.
    pub response: Response,
    /// Its events from the first on. Dropping them ends a response in the foreground and changes nothing for one in the
    /// background.
    pub events: ResponseEvents,
}

impl StartedResponse {
    /// Waits for the end.
    ///
    /// # Errors
    /// What made it fail.
    pub async fn whole(mut self) -> Result<Response> {
        while let Some(event) = self.events.next().await {
            if let ResponseEvent::Ended(response) = event?.event {
                return match &response.failure {
                    Some(failure) => Err(as_error(failure)),
                    None => Ok(*response),
                };
            }
        }
        Err(failures::internal("a response ended without an end"))
    }
}

/// The error that a failure was made of.
fn as_error(failure: &ResponseFailure) -> Error {
    let named = ErrorKind::ALL
        .into_iter()
        .find(|kind| kind.name() == failure.code);
    match named {
        Some(kind) => Error::new(kind, failure.message.clone()),
        None if failure.code == "context_length_exceeded" => {
            Error::new(ErrorKind::ContextExceeded, failure.message.clone())
        }
        None => Error::new(ErrorKind::ModelFailed, failure.message.clone()),
    }
}

/// What is known before anything runs.
struct Prepared {
    response: Response,
    input: Vec<Item>,
    beginning: Beginning,
}

impl Service {
    /// Begins a response. In the foreground the model's runner has taken it when this returns, so that everything wrong with
    /// the request is an error here; in the background it is on disk, and what goes wrong later is in its state.
    ///
    /// # Errors
    /// As [`Service::chat`]; `InvalidRequest` at `previous_response_id` when there is no such response, or at an item of the
    /// input; `Overloaded` when too many are written in the background.
    pub async fn response_create(
        self: &Arc<Self>,
        identity: &Identity,
        request: ResponseRequest,
    ) -> Result<StartedResponse> {
        self.authorize(Some(identity), Action::Generate)?;
        let prepared = self.prepare_response(identity, request).await?;
        if prepared.response.background {
            return self.begin_in_background(identity, prepared).await;
        }
        let Prepared {
            response,
            input,
            beginning,
        } = prepared;
        let begun = beginning.begin(self, identity).await?;
        let driver = Driver::running(Arc::clone(self), identity.clone(), response, input, begun)?;
        Ok(StartedResponse {
            response: driver.response().clone(),
            events: Box::pin(futures::stream::unfold(driver, |mut driver| async move {
                let event = driver.next().await?;
                Some((event, driver))
            })),
        })
    }

    async fn prepare_response(
        &self,
        identity: &Identity,
        request: ResponseRequest,
    ) -> Result<Prepared> {
        check_request(&request)?;
        let mut items = self
            .history(&identity.tenant, request.previous.as_deref())
            .await?;
        let own = items.len();
        let mut input = request.input;
        for item in &mut input {
            if item.id.is_empty() {
                item.id = identifiers::item(prefix(&item.body))?;
            }
        }
        items.extend(input.iter().cloned());
        if items.len() > ITEMS_MAX {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!("A conversation has at most {ITEMS_MAX} items."),
            )
            .at("input"));
        }
        let mut messages = conversation::messages(&items, own)?;
        let search = match request.search {
            Some(retrieval) => Some((retrieval, question(&messages)?)),
            None => None,
        };
        if let Some(instructions) = &request.instructions {
            messages.insert(0, instruction(instructions.clone()));
        }
        let response = Response {
            id: identifiers::item("resp_")?,
            created_unix: self.clock.unix().as_secs(),
            ended_unix: None,
            model: request.model.clone(),
            state: if request.background {
                ResponseState::Queued
            } else {
                ResponseState::InProgress
            },
            background: request.background,
            stored: request.store,
            previous: request.previous,
            instructions: request.instructions,
            metadata: request.metadata,
            settings: request.settings,
            output: Vec::new(),
            usage: None,
            failure: None,
        };
        let chat = ChatRequest {
            model: request.model,
            messages,
            tools: request.tools,
            tool_choice: request.tool_choice,
            parallel_tool_calls: request.parallel_tool_calls,
            output: request.output,
            template_variables: request.template_variables,
            options: request.options,
        };
        // What can be refused without the model is refused before anything is kept.
        self.limits.check_chat(&chat)?;
        Ok(Prepared {
            response,
            input,
            beginning: Beginning {
                chat,
                search,
                truncation: request.truncation,
            },
        })
    }

    /// Everything said before, oldest first.
    async fn history(&self, tenant: &TenantId, previous: Option<&str>) -> Result<Vec<Item>> {
        let mut chain: Vec<StoredResponse> = Vec::new();
        let mut next = previous.map(str::to_owned);
        while let Some(id) = next {
            if chain.len() >= CHAIN_MAX {
                return Err(Error::invalid(
                    "previous_response_id",
                    format!("At most {CHAIN_MAX} responses can continue each other."),
                ));
            }
            let Some(stored) = self.settled(tenant, &id).await? else {
                return Err(Error::invalid(
                    "previous_response_id",
                    format!("Previous response with id '{id}' not found."),
                )
                .with_code("previous_response_not_found"));
            };
            if !stored.response.state.is_final() {
                return Err(Error::invalid(
                    "previous_response_id",
                    format!(
                        "The previous response '{id}' is still being written; wait for its end."
                    ),
                )
                .with_code("previous_response_not_ended"));
            }
            next = stored.response.previous.clone();
            chain.push(stored);
        }
        let turns = chain.into_iter().rev();
        Ok(turns
            .flat_map(|stored| stored.input.into_iter().chain(stored.response.output))
            .collect())
    }

    async fn begin_in_background(
        self: &Arc<Self>,
        identity: &Identity,
        prepared: Prepared,
    ) -> Result<StartedResponse> {
        let Prepared {
            response,
            input,
            beginning,
        } = prepared;
        // A model that does not exist, or a server that is ending, is told now.
        drop(self.enter()?);
        self.catalog.find(&response.model).await?;
        let tenant = identity.tenant.clone();
        let stored = StoredResponse {
            response: response.clone(),
            input,
            owner: self.responses.owner()?.to_owned(),
            touched_unix: self.now_unix(),
        };
        let log = self.responses.following.begin(&tenant, response.clone())?;
        if let Err(error) = self.keep_response(&tenant, &stored).await {
            self.responses.following.forget(&tenant, &response.id);
            return Err(error);
        }
        let driver = Driver::waiting(
            Arc::clone(self),
            identity.clone(),
            response.clone(),
            beginning,
            Arc::clone(&log),
        );
        let events = Arc::clone(&log).follow(None);
        tokio::spawn(write_in_background(Arc::clone(self), tenant, driver, log));
        Ok(StartedResponse { response, events })
    }

    /// A response as it stands.
    ///
    /// # Errors
    /// `NotFound`, also for another tenant's.
    pub async fn response(&self, identity: &Identity, id: &str) -> Result<Response> {
        self.authorize(Some(identity), Action::Generate)?;
        if let Some(log) = self.responses.following.running(&identity.tenant, id) {
            return Ok(log.latest());
        }
        let stored = self.settled(&identity.tenant, id).await?;
        stored
            .map(|stored| stored.response)
            .ok_or_else(|| not_found(id))
    }

    /// The events of a background response whose number is above `after`, as they come.
    ///
    /// # Errors
    /// `NotFound`; `InvalidRequest` when its events are not kept: it was written in the foreground, or ended a while ago.
    pub async fn response_events(
        &self,
        identity: &Identity,
        id: &str,
        after: Option<u64>,
    ) -> Result<ResponseEvents> {
        self.authorize(Some(identity), Action::Generate)?;
        if let Some(log) = self.responses.following.log(&identity.tenant, id) {
            return Ok(log.follow(after));
        }
        match self.settled(&identity.tenant, id).await? {
            None => Err(not_found(id)),
            Some(_) => Err(Error::invalid(
                "stream",
                "The events of this response are not kept: only those of background responses are, while they are written \
                 and for a while after. Get it without `stream`.",
            )),
        }
    }

    /// Forgets a response; one that is being written in the background is stopped first. Responses that continue it can
    /// no longer be continued themselves.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn response_delete(&self, identity: &Identity, id: &str) -> Result<()> {
        self.authorize(Some(identity), Action::Generate)?;
        let tenant = &identity.tenant;
        if let Some(log) = self.responses.following.running(tenant, id) {
            log.cancel();
            log.until_ended().await;
        }
        self.responses.following.forget(tenant, id);
        if self.records.response_delete(tenant, id).await? {
            Ok(())
        } else {
            Err(not_found(id))
        }
    }

    /// Stops a response that is written in the background, and gives it as it then is. One that has ended stays as it is.
    ///
    /// # Errors
    /// `NotFound`; `InvalidRequest` for one in the foreground, which ends with its reader.
    pub async fn response_cancel(&self, identity: &Identity, id: &str) -> Result<Response> {
        self.authorize(Some(identity), Action::Generate)?;
        if let Some(log) = self.responses.following.running(&identity.tenant, id) {
            log.cancel();
            log.until_ended().await;
            return Ok(log.latest());
        }
        let stored = self.settled(&identity.tenant, id).await?;
        let response = stored.ok_or_else(|| not_found(id))?.response;
        if !response.background {
            return Err(Error::invalid(
                "response_id",
                "Only responses created with `background: true` can be cancelled.",
            ));
        }
        Ok(response)
    }

    /// What was new in a response's turn.
    ///
    /// # Errors
    /// `NotFound`; `InvalidRequest` when `after` names no item of it.
    pub async fn response_input(
        &self,
        identity: &Identity,
        id: &str,
        page: &ItemPage,
    ) -> Result<Items> {
        self.authorize(Some(identity), Action::Generate)?;
        let stored = self.settled(&identity.tenant, id).await?;
        let mut items = stored.ok_or_else(|| not_found(id))?.input;
        if !page.ascending {
            items.reverse();
        }
        if let Some(after) = &page.after {
            let Some(index) = items.iter().position(|item| &item.id == after) else {
                return Err(Error::invalid(
                    "after",
                    format!("This response has no input item '{after}'."),
                ));
            };
            items.drain(..=index);
        }
        let has_more = items.len() > page.limit;
        items.truncate(page.limit);
        Ok(Items { items, has_more })
    }

    /// The row of a response, failed first when the server that wrote it is gone.
    async fn settled(&self, tenant: &TenantId, id: &str) -> Result<Option<StoredResponse>> {
        let Some(mut stored) = self.records.response(tenant, id).await? else {
            return Ok(None);
        };
        if stored.response.state.is_final() {
            return Ok(Some(stored));
        }
        let myself = self.responses.owner()?;
        let abandoned =
            stored.owner == myself && self.responses.following.running(tenant, id).is_none();
        let orphaned = self
            .records
            .response_is_orphaned(&stored, myself, self.now_unix());
        if abandoned || orphaned {
            stored.response.state = ResponseState::Failed;
            stored.response.ended_unix = Some(self.clock.unix().as_secs());
            stored.response.failure = Some(ResponseFailure {
                code: "server_ended".to_owned(),
                message: "The server ended while it wrote this response. Ask again.".to_owned(),
            });
            // Whoever was quicker, or ended it after all, has the last word.
            self.records
                .response_finish(tenant, &stored.response)
                .await?;
            return self.records.response(tenant, id).await;
        }
        Ok(Some(stored))
    }

    /// Adds a row, and now and then takes old ones away.
    pub(super) async fn keep_response(
        &self,
        tenant: &TenantId,
        stored: &StoredResponse,
    ) -> Result<()> {
        let now = self.clock.unix();
        let now_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        self.records.response_insert(tenant, stored, now_ms).await?;
        // The id is random, so one in so many ends this way.
        let last = stored.response.id.bytes().last().unwrap_or(0);
        let before = stored.response.id.bytes().rev().nth(1).unwrap_or(0);
        if (hex_value(before) * 16 + hex_value(last)).is_multiple_of(PRUNE_EVERY) {
            let options = self.responses.options;
            let keep_ms = i64::try_from(options.keep_for.as_millis()).unwrap_or(i64::MAX);
            self.records
                .responses_prune(
                    tenant,
                    now_ms.saturating_sub(keep_ms),
                    i64::from(options.tenant_count_max),
                )
                .await?;
        }
        Ok(())
    }

    fn now_unix(&self) -> i64 {
        i64::try_from(self.clock.unix().as_secs()).unwrap_or(i64::MAX)
    }
}

/// The value of a hexadecimal digit.
fn hex_value(digit: u8) -> u8 {
    char::from(digit)
        .to_digit(16)
        .map_or(0, |value| value as u8)
}

/// Moves a background response to its end.
async fn write_in_background(
    service: Arc<Service>,
    tenant: TenantId,
    mut driver: Driver,
    log: Arc<EventLog>,
) {
    let _ended = EndOfLog {
        service: &service,
        tenant: &tenant,
        id: driver.response().id.clone(),
        log: &log,
    };
    let mut touch = tokio::time::interval(TOUCH_INTERVAL);
    touch.tick().await;
    loop {
        let event = {
            let next = driver.next();
            tokio::pin!(next);
            loop {
                tokio::select! {
                    event = &mut next => break event,
                    _ = touch.tick() => {
                        if let Err(error) = touch_rows(&service).await {
                            tracing::warn!(%error, "a background response could not say that it is being written");
                        }
                    }
                }
            }
        };
        match event {
            Some(Ok(event)) => log.push(event, driver.response()),
            Some(Err(error)) => {
                tracing::error!(%error, "the end of a background response could not be kept");
                log.fail(error);
                return;
            }
            None => return,
        }
    }
}

/// Says that this server still writes what it has not finished.
async fn touch_rows(service: &Service) -> Result<()> {
    let (owner, now) = (service.responses.owner()?, service.now_unix());
    service.records.responses_touch(owner, now).await
}

/// Ends the log however its writer ends, so that nobody waits for ever.
struct EndOfLog<'a> {
    service: &'a Service,
    tenant: &'a TenantId,
    id: String,
    log: &'a EventLog,
}

impl Drop for EndOfLog<'_> {
    fn drop(&mut self) {
        self.log
            .fail(failures::internal("the writer of a response was lost"));
        self.service.responses.following.end(self.tenant, &self.id);
    }
}

fn check_request(request: &ResponseRequest) -> Result<()> {
    if request.input.is_empty() && request.previous.is_none() {
        return Err(Error::invalid("input", "At least one item is needed."));
    }
    if request.background && !request.store {
        return Err(Error::invalid(
            "background",
            "A background response must be stored: set `store` to true, or leave it out.",
        ));
    }
    if request.options.choices > 1 {
        return Err(Error::invalid("n", "A response has one answer."));
    }
    if request.metadata.len() > METADATA_MAX {
        return Err(Error::invalid(
            "metadata",
            format!("At most {METADATA_MAX} notes are allowed."),
        ));
    }
    for (name, text) in &request.metadata {
        if name.chars().count() > METADATA_NAME_MAX || text.chars().count() > METADATA_TEXT_MAX {
            return Err(Error::invalid(
                "metadata",
                format!(
                    "A note's name has at most {METADATA_NAME_MAX} characters and its text at most {METADATA_TEXT_MAX}."
                ),
            ));
        }
    }
    Ok(())
}

/// What the person asked last: documents are searched for it.
fn question(messages: &[Message]) -> Result<String> {
    let mut users = messages.iter().rev();
    users
        .find(|message| message.role == Role::User && !message.content.trim().is_empty())
        .map(|message| message.content.clone())
        .ok_or_else(|| {
            Error::invalid(
                "input",
                "A search of documents needs a message of the user to search for.",
            )
        })
}

fn instruction(content: String) -> Message {
    Message {
        role: Role::System,
        content,
        name: None,
        reasoning: None,
        tool_calls: Vec::new(),
        tool_call_id: None,
    }
}

fn prefix(body: &ItemBody) -> &'static str {
    match body {
        ItemBody::Message { .. } => "msg_",
        ItemBody::Reasoning { .. } => "rs_",
        ItemBody::FunctionCall { .. } => "fc_",
        ItemBody::FunctionCallOutput { .. } => "fco_",
        ItemBody::Search { .. } => "fs_",
    }
}

fn not_found(id: &str) -> Error {
    Error::new(
        ErrorKind::NotFound,
        format!("Response with id '{id}' not found."),
    )
    .at("response_id")
    .with_code("response_not_found")
}

impl Item {
    /// A message of one text, whole, without an id yet.
    pub fn said(role: SpeakerRole, text: impl Into<String>) -> Self {
        Item {
            id: String::new(),
            state: ItemState::Completed,
            body: ItemBody::Message {
                role,
                parts: vec![super::types::TextPart::plain(text)],
            },
        }
    }
}
