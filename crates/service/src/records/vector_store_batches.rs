//! The table of batches: files that were put into a vector store together. How far a batch is follows from its files.

use security::TenantId;
use sqlx::{Any, Row, Transaction};

use super::{Component, Records, failed};
use crate::error::Result;

pub(super) const COMPONENT: Component = Component {
    name: "vector_store_batches",
    migrations: &[&["CREATE TABLE vector_store_batches (
            tenant TEXT NOT NULL,
            store_id TEXT NOT NULL,
            id TEXT NOT NULL,
            created_ms BIGINT NOT NULL,
            cancelled BIGINT NOT NULL,
            PRIMARY KEY (tenant, store_id, id)
        )"]],
};

/// A batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BatchRow {
    pub id: String,
    pub created_ms: i64,
    pub cancelled: bool,
}

/// Adds a batch inside the caller's transaction.
pub(super) async fn insert(
    transaction: &mut Transaction<'static, Any>,
    tenant: &TenantId,
    store_id: &str,
    batch: &BatchRow,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO vector_store_batches (tenant, store_id, id, created_ms, cancelled) VALUES ($1, $2, $3, $4, 0)",
    )
    .bind(tenant.as_str())
    .bind(store_id)
    .bind(batch.id.as_str())
    .bind(batch.created_ms)
    .execute(&mut **transaction)
    .await
    .map_err(failed)?;
    Ok(())
}

impl Records {
    /// One batch of a vector store.
    pub(crate) async fn batch(
        &self,
        tenant: &TenantId,
        store_id: &str,
        id: &str,
    ) -> Result<Option<BatchRow>> {
        let row = sqlx::query(
            "SELECT id, created_ms, cancelled FROM vector_store_batches
             WHERE tenant = $1 AND store_id = $2 AND id = $3",
        )
        .bind(tenant.as_str())
        .bind(store_id)
        .bind(id)
        .fetch_optional(self.pool())
        .await
        .map_err(failed)?;
        row.map(|row| {
            let cancelled: i64 = row.try_get("cancelled").map_err(failed)?;
            Ok(BatchRow {
                id: row.try_get("id").map_err(failed)?,
                created_ms: row.try_get("created_ms").map_err(failed)?,
                cancelled: cancelled != 0,
            })
        })
        .transpose()
    }

    /// Cancels what of a batch is not done.
    pub(crate) async fn batch_cancel(
        &self,
        tenant: &TenantId,
        store_id: &str,
        id: &str,
    ) -> Result<()> {
        let mut transaction = self.begin().await?;
        for statement in [
            "UPDATE vector_store_batches SET cancelled = 1 WHERE tenant = $1 AND store_id = $2 AND id = $3",
            "UPDATE vector_store_files SET state = 'cancelled', usage_bytes = 0, chunks = 0, cleaning = 1
             WHERE tenant = $1 AND store_id = $2 AND batch_id = $3 AND state = 'in_progress'",
        ] {
            sqlx::query(statement)
                .bind(tenant.as_str())
                .bind(store_id)
                .bind(id)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)
    }
}
