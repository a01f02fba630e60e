//! The table of files in vector stores: what was asked for, how far it is, and what became of it. It is also the queue of
//! the work on them: rows that are `in_progress` or `removing`, or `cleaning`, are to be done, by whatever process finds
//! them after a crash.
//!
//! ```text
//!              ┌─────────► completed ──┐
//! in_progress ─┼─────────► failed ─────┼──► removing ──► gone
//!              └─────────► cancelled ──┘
//! ```
//! One that was cancelled is `cleaning` until the points it had got by then are gone.
//!
//! Attaching a file again begins anew with a higher `revision`; what was under way for the old one finds that it no longer
//! matters.

use std::collections::HashMap;

use security::TenantId;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use super::files::unsigned;
use super::vector_stores::tenant_of;
use super::{BatchRow, Component, Listing, Page, PageRequest, Records, damaged, failed};
use crate::error::Result;

pub(super) const COMPONENT: Component = Component {
    name: "vector_store_files",
    migrations: &[&[
        "CREATE TABLE vector_store_files (
            tenant TEXT NOT NULL,
            store_id TEXT NOT NULL,
            file_id TEXT NOT NULL,
            batch_id TEXT,
            attributes TEXT NOT NULL,
            chunk_tokens BIGINT NOT NULL,
            overlap_tokens BIGINT NOT NULL,
            state TEXT NOT NULL,
            error_code TEXT,
            error_message TEXT,
            usage_bytes BIGINT NOT NULL,
            chunks BIGINT NOT NULL,
            cleaning BIGINT NOT NULL,
            attempts BIGINT NOT NULL,
            revision BIGINT NOT NULL,
            created_ms BIGINT NOT NULL,
            PRIMARY KEY (tenant, store_id, file_id)
        )",
        "CREATE INDEX vector_store_files_by_age ON vector_store_files (tenant, store_id, created_ms, file_id)",
        "CREATE INDEX vector_store_files_by_file ON vector_store_files (tenant, file_id)",
        "CREATE INDEX vector_store_files_to_do ON vector_store_files (tenant, created_ms)
            WHERE state IN ('in_progress', 'removing') OR cleaning = 1",
    ]],
};

const COLUMNS: &str = "file_id, attributes, chunk_tokens, overlap_tokens, state, error_code, error_message, usage_bytes, \
     chunks, revision, created_ms";

/// How far a file in a vector store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttachmentState {
    /// Waiting, or being worked on.
    InProgress,
    /// Found by searches.
    Completed,
    /// It could not be made searchable; `error` says why.
    Failed,
    /// Its batch was cancelled before it was done.
    Cancelled,
}

impl AttachmentState {
    /// Every state.
    pub const ALL: [AttachmentState; 4] = [
        AttachmentState::InProgress,
        AttachmentState::Completed,
        AttachmentState::Failed,
        AttachmentState::Cancelled,
    ];

    /// Stable name, OpenAI's.
    pub fn name(self) -> &'static str {
        match self {
            AttachmentState::InProgress => "in_progress",
            AttachmentState::Completed => "completed",
            AttachmentState::Failed => "failed",
            AttachmentState::Cancelled => "cancelled",
        }
    }

    /// The state of this name.
    pub fn parse(name: &str) -> Option<Self> {
        AttachmentState::ALL
            .into_iter()
            .find(|state| state.name() == name)
    }
}

/// A file in a vector store.
#[derive(Debug, Clone, PartialEq)]
pub struct Attachment {
    /// Which file.
    pub file_id: String,
    /// What its owner says about it: texts, numbers and truths by key.
    pub attributes: serde_json::Map<String, serde_json::Value>,
    /// Most tokens of a chunk.
    pub chunk_tokens: u32,
    /// Tokens that a chunk shares with the one before it.
    pub overlap_tokens: u32,
    /// How far it is.
    pub state: AttachmentState,
    /// Why it failed: a code of OpenAI's (`server_error`, `unsupported_file`, `invalid_file`) and a sentence.
    pub error: Option<(String, String)>,
    /// What its chunks take, in bytes of text and vectors.
    pub usage_bytes: u64,
    /// How many chunks it became, or has so far.
    pub chunks: u64,
    /// Counts how often it was attached.
    pub(crate) revision: i64,
    /// When it was attached, in milliseconds since 1970.
    pub created_ms: i64,
}

/// Files of a vector store or batch by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FileCounts {
    /// Waiting or being worked on.
    pub in_progress: u64,
    /// Done.
    pub completed: u64,
    /// Failed.
    pub failed: u64,
    /// Cancelled.
    pub cancelled: u64,
    /// What all of them take, in bytes.
    pub usage_bytes: u64,
}

impl FileCounts {
    /// All files.
    pub fn total(&self) -> u64 {
        self.in_progress + self.completed + self.failed + self.cancelled
    }

    fn add(&mut self, row: &AnyRow) -> Result<()> {
        let state: String = row.try_get("state").map_err(failed)?;
        let count = unsigned(row.try_get("number").map_err(failed)?);
        match AttachmentState::parse(&state) {
            Some(AttachmentState::InProgress) => self.in_progress += count,
            Some(AttachmentState::Completed) => self.completed += count,
            Some(AttachmentState::Failed) => self.failed += count,
            Some(AttachmentState::Cancelled) => self.cancelled += count,
            None => return Ok(()),
        }
        self.usage_bytes += unsigned(row.try_get("bytes").map_err(failed)?);
        Ok(())
    }
}

/// A file to be put into a vector store.
#[derive(Debug, Clone)]
pub(crate) struct NewAttachment {
    pub file_id: String,
    pub attributes: serde_json::Map<String, serde_json::Value>,
    pub chunk_tokens: u32,
    pub overlap_tokens: u32,
}

/// What is to be done about a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    /// Make its points.
    Add,
    /// Take its points away, then the row.
    Remove,
    /// Take its points away; the row stays as it is.
    Clean,
}

/// A row that something is to be done about.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    pub tenant: TenantId,
    pub store_id: String,
    pub task: Task,
    pub attempts: u32,
    pub attachment: Attachment,
}

/// What became of a file.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    Completed { chunks: u64, usage_bytes: u64 },
    Failed { code: &'static str, message: String },
}

impl Records {
    /// Puts files into a vector store, all or none, as one batch when there is one; those that are in it begin anew.
    /// `allow` may refuse as many files as the store has.
    pub(crate) async fn attach(
        &self,
        tenant: &TenantId,
        store_id: &str,
        files: &[NewAttachment],
        batch: Option<&BatchRow>,
        created_ms: i64,
        allow: impl FnOnce(u64) -> Result<()>,
    ) -> Result<()> {
        let mut transaction = self.begin().await?;
        let row = sqlx::query(
            "SELECT count(*) FROM vector_store_files WHERE tenant = $1 AND store_id = $2",
        )
        .bind(tenant.as_str())
        .bind(store_id)
        .fetch_one(&mut *transaction)
        .await
        .map_err(failed)?;
        allow(unsigned(row.try_get(0).map_err(failed)?))?;
        if let Some(batch) = batch {
            super::vector_store_batches::insert(&mut transaction, tenant, store_id, batch).await?;
        }
        for file in files {
            sqlx::query(
                "INSERT INTO vector_store_files (tenant, store_id, file_id, batch_id, attributes, chunk_tokens,
                    overlap_tokens, state, usage_bytes, chunks, cleaning, attempts, revision, created_ms)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, 'in_progress', 0, 0, 0, 0, 1, $8)
                 ON CONFLICT (tenant, store_id, file_id) DO UPDATE SET batch_id = excluded.batch_id,
                    attributes = excluded.attributes, chunk_tokens = excluded.chunk_tokens,
                    overlap_tokens = excluded.overlap_tokens, state = 'in_progress', error_code = NULL,
                    error_message = NULL, usage_bytes = 0, chunks = 0, cleaning = 0, attempts = 0,
                    revision = vector_store_files.revision + 1, created_ms = excluded.created_ms",
            )
            .bind(tenant.as_str())
            .bind(store_id)
            .bind(file.file_id.as_str())
            .bind(batch.map(|batch| batch.id.clone()))
            .bind(serde_json::Value::Object(file.attributes.clone()).to_string())
            .bind(i64::from(file.chunk_tokens))
            .bind(i64::from(file.overlap_tokens))
            .bind(created_ms)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)
    }

    /// A file in a vector store, unless it is being taken out.
    pub(crate) async fn attachment(
        &self,
        tenant: &TenantId,
        store_id: &str,
        file_id: &str,
    ) -> Result<Option<Attachment>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM vector_store_files
             WHERE tenant = $1 AND store_id = $2 AND file_id = $3 AND state <> 'removing'"
        );
        sqlx::query(AssertSqlSafe(sql))
            .bind(tenant.as_str())
            .bind(store_id)
            .bind(file_id)
            .fetch_optional(self.pool())
            .await
            .map_err(failed)?
            .map(|row| read(&row))
            .transpose()
    }

    /// A page of the files in a vector store, or of one batch of them.
    pub(crate) async fn attachments(
        &self,
        tenant: &TenantId,
        store_id: &str,
        batch_id: Option<&str>,
        state: Option<AttachmentState>,
        page: &PageRequest,
    ) -> Result<Page<Attachment>> {
        let filters: Vec<_> = batch_id
            .map(|id| ("batch_id", id))
            .into_iter()
            .chain(state.map(|state| ("state", state.name())))
            .collect();
        Listing {
            table: "vector_store_files",
            columns: COLUMNS,
            id: "file_id",
            owner: &[("tenant", tenant.as_str()), ("store_id", store_id)],
            filters: &filters,
            condition: Some("state <> 'removing'".to_owned()),
        }
        .page(self, page, read)
        .await
    }

    /// Replaces what a file's owner says about it; false when it is not in the store.
    pub(crate) async fn attachment_describe(
        &self,
        tenant: &TenantId,
        store_id: &str,
        file_id: &str,
        attributes: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<bool> {
        let done = sqlx::query(
            "UPDATE vector_store_files SET attributes = $4
             WHERE tenant = $1 AND store_id = $2 AND file_id = $3 AND state <> 'removing'",
        )
        .bind(tenant.as_str())
        .bind(store_id)
        .bind(file_id)
        .bind(serde_json::Value::Object(attributes.clone()).to_string())
        .execute(self.pool())
        .await
        .map_err(failed)?;
        Ok(done.rows_affected() > 0)
    }

    /// Begins to take a file out of one vector store, or with `None` out of all of the tenant's; gives how many it was in.
    pub(crate) async fn attachment_remove(
        &self,
        tenant: &TenantId,
        store_id: Option<&str>,
        file_id: &str,
    ) -> Result<u64> {
        let done = sqlx::query(
            "UPDATE vector_store_files SET state = 'removing', attempts = 0, revision = revision + 1
             WHERE tenant = $1 AND file_id = $2 AND ($3 = 0 OR store_id = $4) AND state <> 'removing'",
        )
        .bind(tenant.as_str())
        .bind(file_id)
        .bind(i64::from(store_id.is_some()))
        .bind(store_id.unwrap_or_default())
        .execute(self.pool())
        .await
        .map_err(failed)?;
        Ok(done.rows_affected())
    }

    /// Forgets a file whose points are gone, unless it was attached again meanwhile.
    pub(crate) async fn attachment_forget(&self, work: &Work) -> Result<bool> {
        let done = sqlx::query(
            "DELETE FROM vector_store_files
             WHERE tenant = $1 AND store_id = $2 AND file_id = $3 AND state = 'removing' AND revision = $4",
        )
        .bind(work.tenant.as_str())
        .bind(work.store_id.as_str())
        .bind(work.attachment.file_id.as_str())
        .bind(work.attachment.revision)
        .execute(self.pool())
        .await
        .map_err(failed)?;
        Ok(done.rows_affected() > 0)
    }

    /// Notes that the points of a cancelled file are gone.
    pub(crate) async fn attachment_cleaned(&self, work: &Work) -> Result<()> {
        sqlx::query(
            "UPDATE vector_store_files SET cleaning = 0
             WHERE tenant = $1 AND store_id = $2 AND file_id = $3 AND revision = $4",
        )
        .bind(work.tenant.as_str())
        .bind(work.store_id.as_str())
        .bind(work.attachment.file_id.as_str())
        .bind(work.attachment.revision)
        .execute(self.pool())
        .await
        .map_err(failed)?;
        Ok(())
    }

    /// Counts one more attempt at a row; false when it is no longer to be done.
    pub(crate) async fn work_begin(&self, work: &Work) -> Result<bool> {
        let done = sqlx::query(
            "UPDATE vector_store_files SET attempts = attempts + 1
             WHERE tenant = $1 AND store_id = $2 AND file_id = $3 AND revision = $4
                AND (state IN ('in_progress', 'removing') OR cleaning = 1)",
        )
        .bind(work.tenant.as_str())
        .bind(work.store_id.as_str())
        .bind(work.attachment.file_id.as_str())
        .bind(work.attachment.revision)
        .execute(self.pool())
        .await
        .map_err(failed)?;
        Ok(done.rows_affected() > 0)
    }

    /// Shows how far a file is; false when it is no longer wanted.
    pub(crate) async fn work_progress(
        &self,
        work: &Work,
        chunks: u64,
        usage_bytes: u64,
    ) -> Result<bool> {
        let done = sqlx::query(
            "UPDATE vector_store_files SET chunks = $5, usage_bytes = $6
             WHERE tenant = $1 AND store_id = $2 AND file_id = $3 AND revision = $4 AND state = 'in_progress'",
        )
        .bind(work.tenant.as_str())
        .bind(work.store_id.as_str())
        .bind(work.attachment.file_id.as_str())
        .bind(work.attachment.revision)
        .bind(i64::try_from(chunks).unwrap_or(i64::MAX))
        .bind(i64::try_from(usage_bytes).unwrap_or(i64::MAX))
        .execute(self.pool())
        .await
        .map_err(failed)?;
        Ok(done.rows_affected() > 0)
    }

    /// Writes what became of a file; false when that no longer matters.
    pub(crate) async fn work_finish(&self, work: &Work, outcome: &Outcome) -> Result<bool> {
        let (state, chunks, bytes, error) = match outcome {
            Outcome::Completed {
                chunks,
                usage_bytes,
            } => (AttachmentState::Completed, *chunks, *usage_bytes, None),
            Outcome::Failed { code, message } => {
                (AttachmentState::Failed, 0, 0, Some((*code, message)))
            }
        };
        let done = sqlx::query(
            "UPDATE vector_store_files SET state = $5, chunks = $6, usage_bytes = $7, error_code = $8, error_message = $9
             WHERE tenant = $1 AND store_id = $2 AND file_id = $3 AND revision = $4 AND state = 'in_progress'",
        )
        .bind(work.tenant.as_str())
        .bind(work.store_id.as_str())
        .bind(work.attachment.file_id.as_str())
        .bind(work.attachment.revision)
        .bind(state.name())
        .bind(i64::try_from(chunks).unwrap_or(i64::MAX))
        .bind(i64::try_from(bytes).unwrap_or(i64::MAX))
        .bind(error.map(|(code, _)| code.to_owned()))
        .bind(error.map(|(_, message)| message.clone()))
        .execute(self.pool())
        .await
        .map_err(failed)?;
        Ok(done.rows_affected() > 0)
    }

    /// Tenants with work to do, the one with the oldest first.
    pub(crate) async fn work_tenants(&self) -> Result<Vec<String>> {
        let rows = sqlx::query(
            "SELECT tenant, min(created_ms) AS oldest FROM vector_store_files
             WHERE state IN ('in_progress', 'removing') OR cleaning = 1 GROUP BY tenant ORDER BY oldest, tenant",
        )
        .fetch_all(self.pool())
        .await
        .map_err(failed)?;
        rows.iter()
            .map(|row| row.try_get(0).map_err(failed))
            .collect()
    }

    /// The oldest work of a tenant.
    pub(crate) async fn work_of(&self, tenant: &str, limit: u32) -> Result<Vec<Work>> {
        let sql = format!(
            "SELECT tenant, store_id, attempts, {COLUMNS} FROM vector_store_files
             WHERE (state IN ('in_progress', 'removing') OR cleaning = 1) AND tenant = $1 ORDER BY created_ms, file_id LIMIT {limit}"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(tenant)
            .fetch_all(self.pool())
            .await
            .map_err(failed)?;
        rows.iter().map(read_work).collect()
    }

    /// Files by state of each of these vector stores; those without files are not in it.
    pub(crate) async fn counts_of_stores(
        &self,
        tenant: &TenantId,
        ids: &[&str],
    ) -> Result<HashMap<String, FileCounts>> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let places: Vec<String> = (0..ids.len())
            .map(|index| format!("${}", index + 2))
            .collect();
        let sql = format!(
            "SELECT store_id, state, count(*) AS number, CAST(coalesce(sum(usage_bytes), 0) AS BIGINT) AS bytes
             FROM vector_store_files WHERE tenant = $1 AND store_id IN ({}) GROUP BY store_id, state",
            places.join(", ")
        );
        let mut query = sqlx::query(AssertSqlSafe(sql)).bind(tenant.as_str());
        for id in ids {
            query = query.bind(*id);
        }
        let mut counts: HashMap<String, FileCounts> = HashMap::new();
        for row in query.fetch_all(self.pool()).await.map_err(failed)? {
            let id: String = row.try_get("store_id").map_err(failed)?;
            counts.entry(id).or_default().add(&row)?;
        }
        Ok(counts)
    }

    /// Files of a batch by state.
    pub(crate) async fn counts_of_batch(
        &self,
        tenant: &TenantId,
        store_id: &str,
        batch_id: &str,
    ) -> Result<FileCounts> {
        let rows = sqlx::query(
            "SELECT state, count(*) AS number, CAST(coalesce(sum(usage_bytes), 0) AS BIGINT) AS bytes
             FROM vector_store_files WHERE tenant = $1 AND store_id = $2 AND batch_id = $3 GROUP BY state",
        )
        .bind(tenant.as_str())
        .bind(store_id)
        .bind(batch_id)
        .fetch_all(self.pool())
        .await
        .map_err(failed)?;
        let mut counts = FileCounts::default();
        for row in &rows {
            counts.add(row)?;
        }
        Ok(counts)
    }
}

fn read_work(row: &AnyRow) -> Result<Work> {
    let store_id: String = row.try_get("store_id").map_err(failed)?;
    let state: String = row.try_get("state").map_err(failed)?;
    let attempts: i64 = row.try_get("attempts").map_err(failed)?;
    Ok(Work {
        tenant: tenant_of(row, "vector_store_files", &store_id)?,
        task: match state.as_str() {
            "in_progress" => Task::Add,
            "removing" => Task::Remove,
            _ => Task::Clean,
        },
        attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
        attachment: read(row)?,
        store_id,
    })
}

fn read(row: &AnyRow) -> Result<Attachment> {
    let file_id: String = row.try_get("file_id").map_err(failed)?;
    let wrong = |column| damaged("vector_store_files", &file_id, column);
    let attributes: String = row.try_get("attributes").map_err(failed)?;
    let state: String = row.try_get("state").map_err(failed)?;
    let tokens = |column: &'static str| -> Result<u32> {
        let count: i64 = row.try_get(column).map_err(failed)?;
        u32::try_from(count).map_err(|_| wrong(column))
    };
    let code: Option<String> = row.try_get("error_code").map_err(failed)?;
    let message: Option<String> = row.try_get("error_message").map_err(failed)?;
    Ok(Attachment {
        attributes: serde_json::from_str(&attributes).map_err(|_| wrong("attributes"))?,
        chunk_tokens: tokens("chunk_tokens")?,
        overlap_tokens: tokens("overlap_tokens")?,
        // One that is being taken out is read as work only, where its state does not matter.
        state: AttachmentState::parse(&state).unwrap_or(AttachmentState::InProgress),
        error: code.zip(message),
        usage_bytes: unsigned(row.try_get("usage_bytes").map_err(failed)?),
        chunks: unsigned(row.try_get("chunks").map_err(failed)?),
        revision: row.try_get("revision").map_err(failed)?,
        created_ms: row.try_get("created_ms").map_err(failed)?,
        file_id,
    })
}
