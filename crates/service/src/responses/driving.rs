//! One response from its beginning to its end: search, generation, and the row in the database. Whoever polls moves it on;
//! dropping it ends the generation.

use std::sync::Arc;

use futures::StreamExt;
use security::Identity;

use crate::answering::{Passage, Retrieval};
use crate::error::{Error, Result};
use crate::failures;
use crate::records::StoredResponse;
use crate::results::Events;
use crate::service::Service;
use crate::types::{ChatRequest, Generation};

use super::conversation;
use super::following::EventLog;
use super::types::{Item, NumberedEvent, Response, ResponseEvent, Truncation};
use super::writer::Writer;

/// How the generation is begun.
pub(super) struct Beginning {
    pub(super) chat: ChatRequest,
    /// What to search, and for what.
    pub(super) search: Option<(Retrieval, String)>,
    pub(super) truncation: Truncation,
}

/// A generation that the model's runner has taken.
pub(super) struct Begun {
    generation: Generation,
    /// What was searched for, and what of it the model was shown.
    search: Option<(String, Vec<Passage>)>,
}

impl Beginning {
    /// Searches, fits and starts. An error here is the request's: nothing was written.
    pub(super) async fn begin(self, service: &Service, identity: &Identity) -> Result<Begun> {
        let Beginning {
            mut chat,
            search,
            truncation,
        } = self;
        let (query, mut passages) = match search {
            Some((retrieval, query)) => {
                let passages = service.retrieve(identity, &retrieval, &query).await?;
                (Some(query), passages)
            }
            None => (None, Vec::new()),
        };
        let generation = loop {
            let grounded = service
                .grounded_chat(identity, &chat, &mut passages, query.is_some())
                .await;
            match grounded {
                Err(error)
                    if error.kind == crate::ErrorKind::ContextExceeded
                        && truncation == Truncation::DropOldest
                        && conversation::drop_oldest(&mut chat.messages) => {}
                other => break other?,
            }
        };
        Ok(Begun {
            generation,
            search: query.map(|query| (query, passages)),
        })
    }
}

enum Stage {
    /// Not begun: it waits in the background.
    Waiting(Box<Beginning>),
    /// The model writes.
    Writing(Events),
    /// Its state is final, but not yet told.
    Ending,
    Ended,
}

/// A response that moves when it is polled.
pub(super) struct Driver {
    service: Arc<Service>,
    identity: Identity,
    writer: Writer,
    stage: Stage,
    /// What the response answers, to be kept with it.
    input: Vec<Item>,
    sequence: u64,
    /// Where somebody may ask to stop; a response in the foreground is dropped instead.
    log: Option<Arc<EventLog>>,
}

impl Driver {
    /// A response whose generation runs already.
    pub(super) fn running(
        service: Arc<Service>,
        identity: Identity,
        response: Response,
        input: Vec<Item>,
        begun: Begun,
    ) -> Result<Self> {
        let mut driver = Driver {
            service,
            identity,
            writer: Writer::new(response),
            stage: Stage::Ending,
            input,
            sequence: 0,
            log: None,
        };
        driver.begun(begun)?;
        Ok(driver)
    }

    /// A response that begins when it is first polled; its row is in the database.
    pub(super) fn waiting(
        service: Arc<Service>,
        identity: Identity,
        response: Response,
        beginning: Beginning,
        log: Arc<EventLog>,
    ) -> Self {
        Driver {
            service,
            identity,
            writer: Writer::new(response),
            stage: Stage::Waiting(Box::new(beginning)),
            input: Vec::new(),
            sequence: 0,
            log: Some(log),
        }
    }

    /// As it stands, without the item that is being written.
    pub(super) fn response(&self) -> &Response {
        self.writer.response()
    }

    fn begun(&mut self, begun: Begun) -> Result<()> {
        self.writer.progress(&begun.generation.model);
        if let Some((query, passages)) = begun.search {
            self.writer.searched(vec![query], passages)?;
        }
        self.stage = Stage::Writing(begun.generation.events);
        Ok(())
    }

    /// The next event; `None` after the last. Not to be dropped while it waits, but together with the driver. An error means that the end could not be kept, and nothing follows it.
    pub(super) async fn next(&mut self) -> Option<Result<NumberedEvent>> {
        loop {
            if let Some(event) = self.writer.take() {
                return Some(Ok(self.numbered(event)));
            }
            match std::mem::replace(&mut self.stage, Stage::Ended) {
                Stage::Waiting(beginning) => {
                    let begun = tokio::select! {
                        begun = beginning.begin(&self.service, &self.identity) => begun,
                        () = stopped(self.log.as_deref()) => {
                            self.cancel();
                            continue;
                        }
                    };
                    if let Err(error) = begun.and_then(|begun| self.begun(begun)) {
                        self.fail(&error);
                    }
                }
                Stage::Writing(mut events) => {
                    let event = tokio::select! {
                        event = events.next() => event,
                        () = stopped(self.log.as_deref()) => {
                            self.cancel();
                            continue;
                        }
                    };
                    let event = event.unwrap_or_else(|| {
                        Err(failures::internal("a generation ended without a finish"))
                    });
                    match event.and_then(|event| self.writer.write(event)) {
                        Ok(false) => self.stage = Stage::Writing(events),
                        Ok(true) => self.stage = Stage::Ending,
                        Err(error) => self.fail(&error),
                    }
                }
                Stage::Ending => {
                    if let Err(error) = self.end().await {
                        while self.writer.take().is_some() {}
                        return Some(Err(error));
                    }
                }
                Stage::Ended => return None,
            }
        }
    }

    fn fail(&mut self, error: &Error) {
        self.writer.fail(error);
        self.stage = Stage::Ending;
    }

    /// Stops the generation; what was written so far stays.
    fn cancel(&mut self) {
        self.writer.cancel();
        self.stage = Stage::Ending;
    }

    /// Counts, keeps, and tells the end, in this order: nobody hears of an end that is not on disk.
    async fn end(&mut self) -> Result<()> {
        let reasoning = self.writer.reasoning();
        let tokens = if reasoning.is_empty() {
            0
        } else {
            let model = &self.writer.response().model;
            let counted = self.service.count_tokens(model, reasoning).await;
            counted.unwrap_or_else(|error| {
                tracing::warn!(%error, "the tokens of a reasoning could not be counted");
                0
            })
        };
        self.writer.end(self.service.clock.unix().as_secs(), tokens);
        let response = self.writer.response();
        if !response.stored {
            return Ok(());
        }
        let (records, tenant) = (&self.service.records, &self.identity.tenant);
        if response.background {
            // Whoever deleted it meanwhile wants it gone.
            records.response_finish(tenant, response).await.map(drop)
        } else {
            let stored = StoredResponse {
                response: response.clone(),
                input: std::mem::take(&mut self.input),
                owner: self.service.responses.owner()?.to_owned(),
                touched_unix: 0,
            };
            self.service.keep_response(tenant, &stored).await
        }
    }

    fn numbered(&mut self, event: ResponseEvent) -> NumberedEvent {
        let sequence = self.sequence;
        self.sequence += 1;
        NumberedEvent { sequence, event }
    }
}

/// Ready once somebody asked to stop; never for a response that nobody can stop.
async fn stopped(log: Option<&EventLog>) {
    match log {
        Some(log) => log.until_cancelled().await,
        None => std::future::pending().await,
    }
}
