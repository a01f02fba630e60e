//! The work behind vector stores: rows that say what is to be done, a few workers that do it, and the clock that ends files
//! and vector stores whose time is over.
//!
//! One task looks at the rows whenever it is woken, or now and then, and starts workers while there are places. A worker
//! that fails for a reason that may pass leaves its row as it is and rests; one that was killed with the process counts as
//! an attempt, so that a file that ends the process cannot do so for ever.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use security::{Identity, Scope, Scopes, TenantId};
use tokio::sync::{Notify, mpsc};

use super::chunks::{Origin, point};
use super::loading::{self, Batch, LoadFailure, Reading};
use crate::collections::{Operation, WriteOptions};
use crate::error::{Error, ErrorKind, Result};
use crate::prepare;
use crate::records::{Outcome, Task, Work};
use crate::service::Service;

/// Attempts at one file before it counts as failed.
const ATTEMPTS_MAX: u32 = 5;
/// Rest after the first failure that may pass; doubled with each attempt.
const REST: Duration = Duration::from_secs(1);
/// How often rows are looked at when nobody wakes the task: rests end, and lives do.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// Rows of one tenant that are looked at for one that can be worked on.
const ROWS_LOOKED_AT: u32 = 64;
/// Batches of chunks between reading and embedding.
const BATCHES_BETWEEN: usize = 2;
/// Vector stores that one look ends.
const EXPIRED_PER_LOOK: u32 = 64;
/// Bytes of a value of a vector.
const VALUE_BYTES: u64 = 4;

/// Tenant, store and file.
type Key = (TenantId, String, String);

/// What the workers are at.
#[derive(Default)]
pub(crate) struct Board {
    state: Mutex<State>,
    wake: Arc<Notify>,
}

#[derive(Default)]
struct State {
    running: HashMap<Key, ()>,
    /// Until when.
    resting: HashMap<Key, Instant>,
}

impl Board {
    fn state(&self) -> MutexGuard<'_, State> {
        // Only maps are changed under the lock, which no panic leaves half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(work: &Work) -> Key {
    (
        work.tenant.clone(),
        work.store_id.clone(),
        work.attachment.file_id.clone(),
    )
}

impl Service {
    /// Begins what the server does by itself: working on the files of vector stores, and ending what has expired. It ends
    /// when the service is dropped or drains.
    pub fn begin_background(self: &Arc<Self>) {
        tokio::spawn(keep_working(
            Arc::downgrade(self),
            Arc::clone(&self.vector_stores.board.wake),
        ));
    }

    /// Looks at the rows soon.
    pub(crate) fn wake_workers(&self) {
        self.vector_stores.board.wake.notify_one();
    }

    /// Ends files and vector stores whose time is over.
    async fn expire(&self) -> Result<()> {
        self.expire_files().await?;
        let now = self.unix_seconds();
        for (tenant, id) in self.records.stores_expired(now, EXPIRED_PER_LOOK).await? {
            let identity = worker(&tenant);
            self.collection_delete(&identity, &id).await?;
            self.records.store_expired(&tenant, &id, now).await?;
            tracing::info!(%tenant, vector_store = id, "a vector store has expired");
        }
        Ok(())
    }

    /// Starts workers while there are places and work.
    async fn start_workers(self: &Arc<Self>) -> Result<()> {
        loop {
            if self.is_draining() {
                return Ok(());
            }
            let Some(work) = self.next_work().await? else {
                return Ok(());
            };
            let key = key(&work);
            self.vector_stores
                .board
                .state()
                .running
                .insert(key.clone(), ());
            let service = Arc::clone(self);
            tokio::spawn(async move {
                let rest = service.work(&work).await;
                let board = &service.vector_stores.board;
                {
                    let mut state = board.state();
                    state.running.remove(&key);
                    if let Some(rest) = rest {
                        state.resting.insert(key, Instant::now() + rest);
                    }
                }
                board.wake.notify_one();
            });
        }
    }

    /// The next row to work on: of the tenant with the fewest workers, the oldest. `None` when there is no place or no work.
    async fn next_work(&self) -> Result<Option<Work>> {
        let board = &self.vector_stores.board;
        let running_of: HashMap<String, usize> = {
            let mut state = board.state();
            let now = Instant::now();
            state.resting.retain(|_, until| *until > now);
            if state.running.len() >= self.vector_stores.options.workers.max(1) {
                return Ok(None);
            }
            let mut counts = HashMap::new();
            for (tenant, _, _) in state.running.keys() {
                *counts.entry(tenant.to_string()).or_default() += 1;
            }
            counts
        };
        let mut tenants = self.records.work_tenants().await?;
        tenants.sort_by_key(|tenant| running_of.get(tenant).copied().unwrap_or(0));
        for tenant in tenants {
            let rows = self.records.work_of(&tenant, ROWS_LOOKED_AT).await?;
            let state = board.state();
            let free = |work: &Work| {
                let key = key(work);
                !state.running.contains_key(&key) && !state.resting.contains_key(&key)
            };
            if let Some(work) = rows.into_iter().find(free) {
                return Ok(Some(work));
            }
        }
        Ok(None)
    }

    /// Does what a row says; gives how long to leave it alone when that failed.
    async fn work(&self, work: &Work) -> Option<Duration> {
        let outcome = match self.records.work_begin(work).await {
            Ok(true) => match work.task {
                Task::Add => self.add(work).await,
                Task::Remove => self.take_out(work).await,
                Task::Clean => self.clean(work).await,
            },
            // Somebody changed the row meanwhile; it is looked at anew.
            Ok(false) => Ok(()),
            Err(error) => Err(error),
        };
        let error = outcome.err()?;
        if self.is_draining() {
            return None;
        }
        tracing::warn!(tenant = %work.tenant, vector_store = work.store_id, file = work.attachment.file_id, %error,
            "a file of a vector store could not be worked on");
        Some(REST.saturating_mul(1 << work.attempts.min(6)))
    }

    async fn take_out(&self, work: &Work) -> Result<()> {
        let identity = worker(&work.tenant);
        self.delete_points_of(&identity, &work.store_id, &work.attachment.file_id)
            .await?;
        self.records.attachment_forget(work).await.map(drop)
    }

    async fn clean(&self, work: &Work) -> Result<()> {
        let identity = worker(&work.tenant);
        self.delete_points_of(&identity, &work.store_id, &work.attachment.file_id)
            .await?;
        self.records.attachment_cleaned(work).await
    }

    /// Makes a file's points. What is wrong with the file is written down; an error may pass.
    async fn add(&self, work: &Work) -> Result<()> {
        let identity = worker(&work.tenant);
        let file_id = &work.attachment.file_id;
        let failure = match self.add_points(&identity, work).await {
            Ok(done) => {
                return self.finish(&identity, work, done).await;
            }
            Err(LoadFailure::Unwanted) => {
                // The row's new state says what becomes of the file, and somebody else sees to it.
                return Ok(());
            }
            Err(LoadFailure::Server(error)) if self.is_draining() => return Err(error),
            Err(LoadFailure::Server(error))
                if may_pass(&error) && work.attempts + 1 < ATTEMPTS_MAX =>
            {
                return Err(error);
            }
            Err(LoadFailure::Server(error)) => ("server_error", error.message),
            Err(LoadFailure::File { code, message }) => (code, message),
        };
        self.delete_points_of(&identity, &work.store_id, file_id)
            .await?;
        let (code, message) = failure;
        let outcome = Outcome::Failed { code, message };
        self.records.work_finish(work, &outcome).await.map(drop)
    }

    /// Writes that a file is done; what was said about it meanwhile is said of its points too.
    async fn finish(&self, identity: &Identity, work: &Work, done: Done) -> Result<()> {
        let (store_id, file_id) = (&work.store_id, &work.attachment.file_id);
        let outcome = Outcome::Completed {
            chunks: done.chunks,
            usage_bytes: done.usage_bytes,
        };
        self.records.work_finish(work, &outcome).await?;
        let now = self
            .records
            .attachment(&work.tenant, store_id, file_id)
            .await?;
        if let Some(now) = now
            && now.revision == work.attachment.revision
            && now.attributes != work.attachment.attributes
        {
            self.describe_points(identity, store_id, file_id, now.attributes)
                .await?;
        }
        Ok(())
    }

    async fn add_points(&self, identity: &Identity, work: &Work) -> Result<Done, LoadFailure> {
        let server = LoadFailure::Server;
        if work.attempts >= ATTEMPTS_MAX {
            let message = "The server ended several times while it worked on this file.";
            return Err(server(Error::new(ErrorKind::Internal, message)));
        }
        let (store_id, file_id) = (&work.store_id, &work.attachment.file_id);
        let file = match self.file_of(&work.tenant, file_id).await {
            Ok(file) => file,
            Err(error) if error.kind == ErrorKind::NotFound => {
                return Err(LoadFailure::File {
                    code: "invalid_file",
                    message: "The file was deleted before it was read.".to_owned(),
                });
            }
            Err(error) => return Err(server(error)),
        };
        let store = self
            .store_row(&work.tenant, store_id)
            .await
            .map_err(server)?;
        let embedder = self.embedder(&store.model).await.map_err(server)?;
        self.delete_points_of(identity, store_id, file_id)
            .await
            .map_err(server)?;
        let reading = Reading {
            path: self.files.disk.path(&work.tenant, file_id),
            filename: file.filename.clone(),
            chunk_tokens: work.attachment.chunk_tokens,
            overlap_tokens: work.attachment.overlap_tokens,
            lease: self.lease(&embedder.name).await.map_err(server)?,
        };
        let (sender, batches) = mpsc::channel(BATCHES_BETWEEN);
        let runtime = tokio::runtime::Handle::current();
        let reader =
            tokio::task::spawn_blocking(move || loading::read(&reading, &runtime, &sender));
        let origin = Origin {
            file_id,
            filename: &file.filename,
            attributes: &work.attachment.attributes,
            model: &embedder.name,
        };
        let vector_bytes = u64::from(embedder.dimensions) * VALUE_BYTES;
        let stored = self
            .store_batches(identity, work, &origin, batches, vector_bytes)
            .await;
        // Its end is known when nobody listens any more.
        let read = reader
            .await
            .map_err(|error| server(crate::failures::internal(error)))?;
        let done = match (stored, read) {
            (Err(failure), _) | (Ok(_), Err(failure)) => return Err(failure),
            (Ok(done), Ok(())) => done,
        };
        if done.chunks == 0 {
            return Err(LoadFailure::File {
                code: "invalid_file",
                message: "The file holds no text.".to_owned(),
            });
        }
        Ok(done)
    }

    /// The loaded model, whose tokenizer says how long a text is.
    async fn lease(&self, model: &str) -> Result<Arc<dyn crate::runtime::ModelLease>> {
        let _guard = self.enter()?;
        let model = self.catalog.find(model).await?;
        let load = prepare::load_options(&self.load, &model.manifest);
        prepare::acquire(&self.runtime, &model, &load, None, None).await
    }

    /// Embeds and stores chunks as they come. They are on disk when this returns.
    async fn store_batches(
        &self,
        identity: &Identity,
        work: &Work,
        origin: &Origin<'_>,
        mut batches: mpsc::Receiver<Batch>,
        vector_bytes: u64,
    ) -> Result<Done, LoadFailure> {
        let server = LoadFailure::Server;
        let mut done = Done::default();
        while let Some(batch) = batches.recv().await {
            let mut points = Vec::with_capacity(batch.len());
            for (chunk, place) in batch {
                done.usage_bytes += chunk.text.len() as u64 + vector_bytes;
                points.push(point(origin, done.chunks, chunk, &place));
                done.chunks += 1;
            }
            let upsert = vec![Operation::Upsert(points)];
            let embedded = self
                .embed_operations(identity, &work.store_id, upsert)
                .await
                .map_err(server)?;
            self.points_batch(
                identity,
                &work.store_id,
                embedded.value,
                WriteOptions::durable(),
            )
            .await
            .map_err(server)?;
            let wanted = self
                .records
                .work_progress(work, done.chunks, done.usage_bytes)
                .await
                .map_err(server)?;
            if !wanted {
                return Err(LoadFailure::Unwanted);
            }
        }
        Ok(done)
    }
}

/// What a file became.
#[derive(Debug, Clone, Copy, Default)]
struct Done {
    chunks: u64,
    usage_bytes: u64,
}

/// Whether the same may work in a while.
fn may_pass(error: &Error) -> bool {
    matches!(
        error.kind,
        ErrorKind::Unavailable
            | ErrorKind::Overloaded
            | ErrorKind::DeadlineExceeded
            | ErrorKind::ModelFailed
            | ErrorKind::Cancelled
    )
}

/// Who works for a tenant: it may do everything there, and nothing elsewhere.
fn worker(tenant: &TenantId) -> Identity {
    Identity {
        key_id: "vector-stores".to_owned(),
        key_name: "vector stores".to_owned(),
        tenant: tenant.clone(),
        scopes: Scopes::from(Scope::Admin),
    }
}

/// Looks at the rows until nobody needs it any more.
async fn keep_working(service: Weak<Service>, wake: Arc<Notify>) {
    loop {
        {
            let Some(service) = service.upgrade() else {
                return;
            };
            if service.is_draining() {
                return;
            }
            let looked = match service.expire().await {
                Ok(()) => service.start_workers().await,
                Err(error) => Err(error),
            };
            if let Err(error) = looked {
                tracing::warn!(%error, "the work of vector stores could not be looked at");
            }
        }
        // Either is a reason to look again.
        drop(tokio::time::timeout(LOOK_INTERVAL, wake.notified()).await);
    }
}
