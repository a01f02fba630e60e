//! Responses that are written whether or not somebody waits: their events, kept so that anybody may follow from any
//! number, and the way to stop them.
//!
//! Invariants: events are numbered without gaps from 0; the last is [`ResponseEvent::Ended`] or the log holds an error; a
//! log keeps at most as many events as the model writes tokens, so a context bounds it; at most [`BACKGROUND_MAX`] run and
//! [`ENDED_MAX`] ended ones are kept.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use security::TenantId;
use tokio::sync::watch;

use crate::error::{Error, ErrorKind, Result};

use super::types::{NumberedEvent, Response, ResponseEvent, ResponseEvents};

/// Background responses at once, of all tenants: each waits in a model's queue and keeps its conversation in memory.
const BACKGROUND_MAX: usize = 256;
/// Of one tenant, so that nobody takes all.
const TENANT_BACKGROUND_MAX: usize = 64;
/// Ended responses whose events can still be followed.
const ENDED_MAX: usize = 64;

/// The events of one response, and whoever waits for more.
pub(super) struct EventLog {
    inner: Mutex<LogInner>,
    /// Number of events, so that followers wake; closed when the writer is gone.
    count: watch::Sender<usize>,
    cancelled: watch::Sender<bool>,
}

struct LogInner {
    events: Vec<NumberedEvent>,
    latest: Response,
    /// Why no last event came.
    error: Option<Error>,
    ended: bool,
}

impl EventLog {
    fn new(response: Response) -> Self {
        EventLog {
            inner: Mutex::new(LogInner {
                events: Vec::new(),
                latest: response,
                error: None,
                ended: false,
            }),
            count: watch::Sender::new(0),
            cancelled: watch::Sender::new(false),
        }
    }

    fn inner(&self) -> MutexGuard<'_, LogInner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event; `latest` is the response as it now stands.
    pub(super) fn push(&self, event: NumberedEvent, latest: &Response) {
        let mut inner = self.inner();
        inner.ended |= matches!(event.event, ResponseEvent::Ended(_));
        if matches!(
            event.event,
            ResponseEvent::InProgress(_)
                | ResponseEvent::ItemEnded { .. }
                | ResponseEvent::Ended(_)
        ) {
            inner.latest.clone_from(latest);
        }
        inner.events.push(event);
        let count = inner.events.len();
        drop(inner);
        self.count.send_replace(count);
    }

    /// Nothing more comes, because of this; nothing changes when it ended already.
    pub(super) fn fail(&self, error: Error) {
        let mut inner = self.inner();
        if inner.ended {
            return;
        }
        inner.error = Some(error);
        inner.ended = true;
        let count = inner.events.len();
        drop(inner);
        self.count.send_replace(count);
    }

    /// As it now stands, without the item that is being written.
    pub(super) fn latest(&self) -> Response {
        self.inner().latest.clone()
    }

    /// Asks the writer to stop; it may have ended already.
    pub(super) fn cancel(&self) {
        self.cancelled.send_replace(true);
    }

    /// Ready once somebody asked to stop.
    pub(super) async fn until_cancelled(&self) {
        // The sender lives as long as this log, so waiting never fails.
        let _ = self.cancelled.subscribe().wait_for(|asked| *asked).await;
    }

    /// Waits for the end.
    pub(super) async fn until_ended(&self) {
        let mut count = self.count.subscribe();
        let _ = count.wait_for(|_| self.inner().ended).await;
    }

    /// The events whose number is above `after`, as they come. Whoever stops listening disturbs nobody.
    pub(super) fn follow(self: Arc<Self>, after: Option<u64>) -> ResponseEvents {
        let next = after.map_or(0, |after| {
            usize::try_from(after).map_or(usize::MAX, |after| after.saturating_add(1))
        });
        let count = self.count.subscribe();
        Box::pin(futures::stream::unfold(
            Some((self, count, next)),
            |state| async move {
                let (log, mut count, next) = state?;
                loop {
                    {
                        let inner = log.inner();
                        if let Some(event) = inner.events.get(next) {
                            let event = event.clone();
                            drop(inner);
                            return Some((Ok(event), Some((log, count, next + 1))));
                        }
                        if inner.ended {
                            let error = inner.error.clone()?;
                            return Some((Err(error), None));
                        }
                    }
                    count.changed().await.ok()?;
                }
            },
        ))
    }
}

type LogKey = (TenantId, String);

/// Every response that is written in the background, and the last that were.
#[derive(Default)]
pub(super) struct Following {
    inner: Mutex<FollowingInner>,
}

#[derive(Default)]
struct FollowingInner {
    running: HashMap<LogKey, Arc<EventLog>>,
    ended: VecDeque<(LogKey, Arc<EventLog>)>,
}

impl Following {
    fn inner(&self) -> MutexGuard<'_, FollowingInner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Room for one more, or `Overloaded`.
    pub(super) fn begin(&self, tenant: &TenantId, response: Response) -> Result<Arc<EventLog>> {
        let mut inner = self.inner();
        let own = inner.running.keys().filter(|(other, _)| other == tenant);
        if inner.running.len() >= BACKGROUND_MAX || own.count() >= TENANT_BACKGROUND_MAX {
            return Err(Error::new(
                ErrorKind::Overloaded,
                "Too many background responses are being written; wait for some of them.",
            ));
        }
        let key = (tenant.clone(), response.id.clone());
        let log = Arc::new(EventLog::new(response));
        inner.running.insert(key, Arc::clone(&log));
        Ok(log)
    }

    /// It ended; its events stay for a while.
    pub(super) fn end(&self, tenant: &TenantId, id: &str) {
        let mut inner = self.inner();
        let key = (tenant.clone(), id.to_owned());
        if let Some(log) = inner.running.remove(&key) {
            inner.ended.push_back((key, log));
            if inner.ended.len() > ENDED_MAX {
                inner.ended.pop_front();
            }
        }
    }

    /// The log of a response that runs.
    pub(super) fn running(&self, tenant: &TenantId, id: &str) -> Option<Arc<EventLog>> {
        let inner = self.inner();
        let key = (tenant.clone(), id.to_owned());
        inner.running.get(&key).map(Arc::clone)
    }

    /// The log of a response that runs, or ended lately.
    pub(super) fn log(&self, tenant: &TenantId, id: &str) -> Option<Arc<EventLog>> {
        self.running(tenant, id).or_else(|| {
            let inner = self.inner();
            let mut ended = inner.ended.iter();
            ended
                .find(|((other, name), _)| other == tenant && name == id)
                .map(|(_, log)| Arc::clone(log))
        })
    }

    /// Forgets the events of a response.
    pub(super) fn forget(&self, tenant: &TenantId, id: &str) {
        let mut inner = self.inner();
        inner.running.remove(&(tenant.clone(), id.to_owned()));
        inner
            .ended
            .retain(|((other, name), _)| !(other == tenant && name == id));
    }
}
