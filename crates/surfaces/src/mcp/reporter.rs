//! What a running call tells its caller before its answer: progress, when it was asked for, and log messages of the level
//! that was asked for. Messages to a caller who has gone are dropped.

#![expect(
    deprecated,
    reason = "logging is deprecated by the 2026-07-28 revision, and the older ones still have it"
)]

use std::sync::{Arc, Mutex, PoisonError};

use rmcp::RoleServer;
use rmcp::model::{
    LoggingLevel, LoggingMessageNotificationParam, ProgressNotificationParam, ProgressToken,
};
use rmcp::service::{Peer, RequestContext};
use rmcp::task_manager::TaskContext;
use serde_json::Value;

use super::convert::is_modern;

/// A way back to the caller of one request.
#[derive(Clone)]
pub struct Reporter {
    peer: Peer<RoleServer>,
    token: Option<ProgressToken>,
    /// Least level that the caller wants; `None`: nothing.
    level: Option<LoggingLevel>,
    /// Set when the call became a task: progress then shows in its status.
    task: Arc<Mutex<Option<TaskContext>>>,
}

impl Reporter {
    /// The way back of `context`. `session_level` is what an older client asked for its whole session.
    pub fn of(context: &RequestContext<RoleServer>, session_level: LoggingLevel) -> Self {
        let level = if is_modern(context) {
            context.meta.log_level()
        } else {
            Some(session_level)
        };
        Reporter {
            peer: context.peer.clone(),
            token: context.meta.get_progress_token(),
            level,
            task: Arc::default(),
        }
    }

    /// From now on the call is the task of `context`.
    pub fn becomes(&self, context: TaskContext) {
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(context);
    }

    /// Whether anybody would see progress.
    pub fn wants_progress(&self) -> bool {
        self.token.is_some() || self.task().is_some()
    }

    fn task(&self) -> Option<TaskContext> {
        self.task
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Says how far the call is: `done` must grow from message to message; `total` when it is known.
    pub async fn progress(&self, done: f64, total: Option<f64>, message: Option<&str>) {
        if let Some(task) = self.task() {
            if let Some(message) = message {
                task.set_status_message(message);
            }
            return;
        }
        let Some(token) = &self.token else {
            return;
        };
        let mut notification = ProgressNotificationParam::new(token.clone(), done);
        notification.total = total;
        notification.message = message.map(str::to_owned);
        if let Err(error) = self.peer.notify_progress(notification).await {
            tracing::debug!(%error, "progress could not be sent");
        }
    }

    /// A log message to the caller.
    pub async fn log(&self, level: LoggingLevel, data: Value) {
        let wanted = self
            .level
            .is_some_and(|least| level as u8 >= least as u8 && self.task().is_none());
        if !wanted {
            return;
        }
        let message = LoggingMessageNotificationParam::new(level, data).with_logger("fornax");
        if let Err(error) = self.peer.notify_logging_message(message).await {
            tracing::debug!(%error, "a log message could not be sent");
        }
    }
}
