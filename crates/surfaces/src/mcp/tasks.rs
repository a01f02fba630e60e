//! Calls that take long, as tasks (the extension `io.modelcontextprotocol/tasks`). A client that knows the extension waits
//! a moment for the answer; when it has not come by then, it gets a task instead and asks for its state.
//!
//! A task belongs to the key that began it. Tasks live in this process and end with it.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::Future;
use rmcp::ErrorData;
use rmcp::model::{CallToolResult, CreateTaskResult, DetailedTask};
use rmcp::task_manager::{TaskContext, TaskExit, TaskFuture, TaskManager, TaskOptions};
use service::Identity;

use super::reporter::Reporter;

/// How long an answer is waited for before the call becomes a task: most calls end within it, and polling costs a round
/// trip per second.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// How long a task may run, and then how long its result is kept.
const LIFE: Duration = Duration::from_secs(3600);
/// How often a client should ask.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Tasks remembered at once; a call that finds no place is waited for instead.
const TASKS_MAX: usize = 1024;

/// A call that is under way.
pub type Running = Pin<Box<dyn Future<Output = CallToolResult> + Send>>;

/// The tasks of this process, and whose they are.
#[derive(Default)]
pub struct Tasks {
    manager: TaskManager,
    owners: Mutex<HashMap<String, String>>,
}

impl Tasks {
    fn owners(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is a place for one more. Forgets those that are over.
    fn has_room(&self) -> bool {
        let mut owners = self.owners();
        if owners.len() >= TASKS_MAX {
            owners.retain(|id, _| self.manager.get_task(id).is_ok());
        }
        owners.len() < TASKS_MAX
    }

    /// Makes a task of `running`; gives it back when there are too many.
    pub fn begin(
        &self,
        identity: &Identity,
        reporter: &Reporter,
        running: Running,
    ) -> Result<CreateTaskResult, Running> {
        if !self.has_room() {
            return Err(running);
        }
        let task = self.spawn(identity, |context| {
            reporter.becomes(context.clone());
            Box::pin(async move {
                tokio::select! {
                    result = running => Ok(result),
                    () = context.cancelled() => Err(TaskExit::Cancelled),
                }
            })
        });
        Ok(task)
    }

    /// Begins a task; the caller has seen to it that there is room.
    pub fn spawn(
        &self,
        identity: &Identity,
        work: impl FnOnce(TaskContext) -> TaskFuture,
    ) -> CreateTaskResult {
        let options = TaskOptions::new()
            .with_ttl_ms(milliseconds(LIFE))
            .with_poll_interval_ms(milliseconds(POLL_INTERVAL));
        let task = self.manager.spawn(options, work);
        self.owners()
            .insert(task.task_id.clone(), identity.key_id.clone());
        CreateTaskResult::new(task)
    }

    fn check(&self, identity: &Identity, id: &str) -> Result<(), ErrorData> {
        match self.owners().get(id) {
            Some(key) if *key == identity.key_id => Ok(()),
            _ => Err(ErrorData::invalid_params("there is no such task", None)),
        }
    }

    /// Where a task stands.
    pub fn get(&self, identity: &Identity, id: &str) -> Result<DetailedTask, ErrorData> {
        self.check(identity, id)?;
        self.manager.get_task(id)
    }

    /// Answers to what a task asked its client; no tool asks yet, and what nobody asked for is ignored.
    pub fn update(
        &self,
        identity: &Identity,
        id: &str,
        responses: rmcp::model::InputResponses,
    ) -> Result<(), ErrorData> {
        self.check(identity, id)?;
        self.manager.update_task(id, responses)
    }

    /// Asks a task to end.
    pub fn cancel(&self, identity: &Identity, id: &str) -> Result<(), ErrorData> {
        self.check(identity, id)?;
        self.manager.cancel_task(id)
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
