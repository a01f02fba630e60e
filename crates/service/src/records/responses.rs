//! The table of responses: what was asked in each turn and what was answered, as JSON of the types of [`crate::responses`].
//!
//! A row whose state is not final belongs to the server that writes it (`owner`). When that server is gone the row is
//! failed by whoever reads it: with SQLite another owner is always gone, since the data directory has one server at a
//! time; with PostgreSQL an owner says every [`TOUCH_INTERVAL`] that it is there, and is gone after [`OWNER_GONE_SECONDS`].

use std::time::Duration;

use security::TenantId;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::{Backend, Component, Records, damaged, failed};
use crate::error::Result;
use crate::responses::{Item, Response, ResponseState};

pub(super) const COMPONENT: Component = Component {
    name: "responses",
    migrations: &[&[
        "CREATE TABLE responses (
            tenant TEXT NOT NULL,
            id TEXT NOT NULL,
            state TEXT NOT NULL,
            owner TEXT NOT NULL,
            created_ms BIGINT NOT NULL,
            touched_unix BIGINT NOT NULL,
            response TEXT NOT NULL,
            input TEXT NOT NULL,
            PRIMARY KEY (tenant, id)
        )",
        "CREATE INDEX responses_by_age ON responses (tenant, created_ms)",
        "CREATE INDEX responses_unfinished ON responses (owner, state)",
    ]],
};

/// How often an owner says that it is there.
pub(crate) const TOUCH_INTERVAL: Duration = Duration::from_secs(30);
/// After three missed times it is gone.
const OWNER_GONE_SECONDS: i64 = 90;

/// A response with what it answers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StoredResponse {
    pub response: Response,
    /// What was new in its turn.
    pub input: Vec<Item>,
    /// The server that writes it, or wrote it.
    pub owner: String,
    /// When the owner last said that it is there, in seconds since 1970.
    pub touched_unix: i64,
}

impl Records {
    /// Adds a response.
    pub(crate) async fn response_insert(
        &self,
        tenant: &TenantId,
        stored: &StoredResponse,
        created_ms: i64,
    ) -> Result<()> {
        sqlx::query(
            "INSERT INTO responses (tenant, id, state, owner, created_ms, touched_unix, response, input)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(tenant.as_str())
        .bind(stored.response.id.as_str())
        .bind(name(stored.response.state))
        .bind(stored.owner.as_str())
        .bind(created_ms)
        .bind(stored.touched_unix)
        .bind(json(&stored.response)?)
        .bind(json(&stored.input)?)
        .execute(self.pool())
        .await
        .map_err(failed)?;
        Ok(())
    }

    /// A response.
    pub(crate) async fn response(
        &self,
        tenant: &TenantId,
        id: &str,
    ) -> Result<Option<StoredResponse>> {
        sqlx::query(
            "SELECT id, owner, touched_unix, response, input FROM responses WHERE tenant = $1 AND id = $2",
        )
        .bind(tenant.as_str())
        .bind(id)
        .fetch_optional(self.pool())
        .await
        .map_err(failed)?
        .map(|row| read(&row))
        .transpose()
    }

    /// Writes how a response ended. A final one stays as it is; false when there was none to change.
    pub(crate) async fn response_finish(
        &self,
        tenant: &TenantId,
        response: &Response,
    ) -> Result<bool> {
        let done = sqlx::query(
            "UPDATE responses SET state = $1, response = $2
             WHERE tenant = $3 AND id = $4 AND (state = 'queued' OR state = 'in_progress')",
        )
        .bind(name(response.state))
        .bind(json(response)?)
        .bind(tenant.as_str())
        .bind(response.id.as_str())
        .execute(self.pool())
        .await
        .map_err(failed)?;
        Ok(done.rows_affected() > 0)
    }

    /// Takes a response away; false when there was none.
    pub(crate) async fn response_delete(&self, tenant: &TenantId, id: &str) -> Result<bool> {
        let done = sqlx::query("DELETE FROM responses WHERE tenant = $1 AND id = $2")
            .bind(tenant.as_str())
            .bind(id)
            .execute(self.pool())
            .await
            .map_err(failed)?;
        Ok(done.rows_affected() > 0)
    }

    /// The owner is there and still writes what it has not finished.
    pub(crate) async fn responses_touch(&self, owner: &str, now_unix: i64) -> Result<()> {
        sqlx::query(
            "UPDATE responses SET touched_unix = $1
             WHERE owner = $2 AND (state = 'queued' OR state = 'in_progress')",
        )
        .bind(now_unix)
        .bind(owner)
        .execute(self.pool())
        .await
        .map_err(failed)?;
        Ok(())
    }

    /// Whether the server that writes this response is gone, as seen by the server `myself`.
    pub(crate) fn response_is_orphaned(
        &self,
        stored: &StoredResponse,
        myself: &str,
        now_unix: i64,
    ) -> bool {
        stored.owner != myself
            && match self.backend {
                Backend::Sqlite => true,
                Backend::Postgres => {
                    now_unix.saturating_sub(stored.touched_unix) > OWNER_GONE_SECONDS
                }
            }
    }

    /// Takes away a tenant's final responses from before `oldest_ms`, and the oldest beyond `count_max`.
    pub(crate) async fn responses_prune(
        &self,
        tenant: &TenantId,
        oldest_ms: i64,
        count_max: i64,
    ) -> Result<()> {
        sqlx::query(
            "DELETE FROM responses WHERE tenant = $1 AND state <> 'queued' AND state <> 'in_progress'
             AND (created_ms < $2 OR created_ms <= (
                 SELECT coalesce(min(edge.created_ms), -1) FROM (
                     SELECT created_ms FROM responses WHERE tenant = $3
                     ORDER BY created_ms DESC LIMIT 1 OFFSET $4
                 ) AS edge
             ))",
        )
        .bind(tenant.as_str())
        .bind(oldest_ms)
        .bind(tenant.as_str())
        .bind(count_max)
        .execute(self.pool())
        .await
        .map_err(failed)?;
        Ok(())
    }
}

fn name(state: ResponseState) -> &'static str {
    match state {
        ResponseState::Queued => "queued",
        ResponseState::InProgress => "in_progress",
        ResponseState::Completed => "completed",
        ResponseState::Incomplete => "incomplete",
        ResponseState::Failed => "failed",
        ResponseState::Cancelled => "cancelled",
    }
}

fn json<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(crate::failures::internal)
}

fn read(row: &AnyRow) -> Result<StoredResponse> {
    let id: String = row.try_get("id").map_err(failed)?;
    let response: String = row.try_get("response").map_err(failed)?;
    let input: String = row.try_get("input").map_err(failed)?;
    Ok(StoredResponse {
        response: serde_json::from_str(&response)
            .map_err(|_| damaged("responses", &id, "response"))?,
        input: serde_json::from_str(&input).map_err(|_| damaged("responses", &id, "input"))?,
        owner: row.try_get("owner").map_err(failed)?,
        touched_unix: row.try_get("touched_unix").map_err(failed)?,
    })
}
