//! The table of vector stores. The points of one are in the collection of the same name; the files it holds are rows of
//! [`super::vector_store_files`].

use std::collections::BTreeMap;

use security::TenantId;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::{Component, Listing, Page, PageRequest, Records, damaged, failed};
use crate::error::Result;

pub(super) const COMPONENT: Component = Component {
    name: "vector_stores",
    migrations: &[&[
        "CREATE TABLE vector_stores (
            tenant TEXT NOT NULL,
            id TEXT NOT NULL,
            name TEXT NOT NULL,
            description TEXT,
            metadata TEXT NOT NULL,
            model TEXT NOT NULL,
            created_ms BIGINT NOT NULL,
            last_active_unix BIGINT NOT NULL,
            expires_days BIGINT,
            expired_unix BIGINT,
            PRIMARY KEY (tenant, id)
        )",
        "CREATE INDEX vector_stores_by_age ON vector_stores (tenant, created_ms, id)",
        "CREATE INDEX vector_stores_by_expiry ON vector_stores (last_active_unix) WHERE expires_days IS NOT NULL",
    ]],
};

const COLUMNS: &str = "id, name, description, metadata, model, created_ms, last_active_unix, expires_days, expired_unix";
/// Seconds of a day, by which lives of vector stores are counted.
const DAY_SECONDS: i64 = 86_400;
/// A use is written at most this often, so that searches cost no writes: lives are counted in days.
const ACTIVE_WRITE_SECONDS: i64 = 60;

/// A vector store as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoreRow {
    pub id: String,
    pub name: String,
    pub description: Option<String>,
    pub metadata: BTreeMap<String, String>,
    /// What makes the vectors of its texts.
    pub model: String,
    pub created_ms: i64,
    pub last_active_unix: i64,
    pub expires_days: Option<u32>,
    /// When its points were taken away.
    pub expired_unix: Option<i64>,
}

impl StoreRow {
    /// When its life ends, unless it is used before.
    pub(crate) fn expires_unix(&self) -> Option<i64> {
        let life = DAY_SECONDS.saturating_mul(i64::from(self.expires_days?));
        Some(self.last_active_unix.saturating_add(life))
    }

    /// Whether its life is over.
    pub(crate) fn is_expired(&self, now_unix: i64) -> bool {
        self.expired_unix.is_some() || self.expires_unix().is_some_and(|end| end <= now_unix)
    }
}

/// What changes about a vector store; `None` leaves it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct StoreChange {
    pub name: Option<String>,
    pub metadata: Option<BTreeMap<String, String>>,
    /// `Some(None)`: it lives on.
    pub expires_days: Option<Option<u32>>,
}

impl Records {
    /// Adds a vector store, unless `allow` refuses as many as the tenant has.
    pub(crate) async fn store_insert(
        &self,
        tenant: &TenantId,
        store: &StoreRow,
        allow: impl FnOnce(u64) -> Result<()>,
    ) -> Result<()> {
        let mut transaction = self.begin().await?;
        let row = sqlx::query("SELECT count(*) FROM vector_stores WHERE tenant = $1")
            .bind(tenant.as_str())
            .fetch_one(&mut *transaction)
            .await
            .map_err(failed)?;
        allow(super::files::unsigned(row.try_get(0).map_err(failed)?))?;
        sqlx::query(
            "INSERT INTO vector_stores (tenant, id, name, description, metadata, model, created_ms, last_active_unix,
                expires_days) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(tenant.as_str())
        .bind(store.id.as_str())
        .bind(store.name.as_str())
        .bind(store.description.clone())
        .bind(written(&store.metadata))
        .bind(store.model.as_str())
        .bind(store.created_ms)
        .bind(store.last_active_unix)
        .bind(store.expires_days.map(i64::from))
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        transaction.commit().await.map_err(failed)
    }

    /// One vector store.
    pub(crate) async fn store(&self, tenant: &TenantId, id: &str) -> Result<Option<StoreRow>> {
        sqlx::query(
            "SELECT id, name, description, metadata, model, created_ms, last_active_unix, expires_days, expired_unix
             FROM vector_stores WHERE tenant = $1 AND id = $2",
        )
        .bind(tenant.as_str())
        .bind(id)
        .fetch_optional(self.pool())
        .await
        .map_err(failed)?
        .map(|row| read(&row))
        .transpose()
    }

    /// A page of a tenant's vector stores.
    pub(crate) async fn stores(
        &self,
        tenant: &TenantId,
        page: &PageRequest,
    ) -> Result<Page<StoreRow>> {
        Listing {
            table: "vector_stores",
            columns: COLUMNS,
            id: "id",
            owner: &[("tenant", tenant.as_str())],
            filters: &[],
            condition: None,
        }
        .page(self, page, read)
        .await
    }

    /// Changes a vector store; false when there is none.
    pub(crate) async fn store_update(
        &self,
        tenant: &TenantId,
        id: &str,
        change: &StoreChange,
    ) -> Result<bool> {
        let metadata = change.metadata.as_ref().map(written);
        let done = sqlx::query(
            "UPDATE vector_stores SET name = coalesce($3, name), metadata = coalesce($4, metadata),
                expires_days = CASE WHEN $5 = 1 THEN $6 ELSE expires_days END
             WHERE tenant = $1 AND id = $2",
        )
        .bind(tenant.as_str())
        .bind(id)
        .bind(change.name.clone())
        .bind(metadata)
        .bind(i64::from(change.expires_days.is_some()))
        .bind(change.expires_days.flatten().map(i64::from))
        .execute(self.pool())
        .await
        .map_err(failed)?;
        Ok(done.rows_affected() > 0)
    }

    /// Notes that a vector store was used, now and then.
    pub(crate) async fn store_touch(
        &self,
        tenant: &TenantId,
        store: &StoreRow,
        now_unix: i64,
    ) -> Result<()> {
        if now_unix.saturating_sub(store.last_active_unix) < ACTIVE_WRITE_SECONDS {
            return Ok(());
        }
        sqlx::query(
            "UPDATE vector_stores SET last_active_unix = $3
             WHERE tenant = $1 AND id = $2 AND expired_unix IS NULL AND last_active_unix < $3",
        )
        .bind(tenant.as_str())
        .bind(store.id.as_str())
        .bind(now_unix)
        .execute(self.pool())
        .await
        .map_err(failed)?;
        Ok(())
    }

    /// Takes a vector store away with what is written about its files; false when there is none.
    pub(crate) async fn store_delete(&self, tenant: &TenantId, id: &str) -> Result<bool> {
        let mut transaction = self.begin().await?;
        for statement in [
            "DELETE FROM vector_store_files WHERE tenant = $1 AND store_id = $2",
            "DELETE FROM vector_store_batches WHERE tenant = $1 AND store_id = $2",
        ] {
            sqlx::query(statement)
                .bind(tenant.as_str())
                .bind(id)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
        }
        let done = sqlx::query("DELETE FROM vector_stores WHERE tenant = $1 AND id = $2")
            .bind(tenant.as_str())
            .bind(id)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(done.rows_affected() > 0)
    }

    /// Some vector stores of any tenant whose life is over and whose points are still there.
    pub(crate) async fn stores_expired(
        &self,
        now_unix: i64,
        limit: u32,
    ) -> Result<Vec<(TenantId, String)>> {
        let rows = sqlx::query(
            "SELECT tenant, id FROM vector_stores
             WHERE expires_days IS NOT NULL AND expired_unix IS NULL AND last_active_unix + expires_days * 86400 <= $1
             ORDER BY last_active_unix LIMIT $2",
        )
        .bind(now_unix)
        .bind(i64::from(limit))
        .fetch_all(self.pool())
        .await
        .map_err(failed)?;
        rows.iter()
            .map(|row| {
                let id: String = row.try_get(1).map_err(failed)?;
                Ok((tenant_of(row, "vector_stores", &id)?, id))
            })
            .collect()
    }

    /// Notes that the points of a vector store were taken away, and forgets its files.
    pub(crate) async fn store_expired(
        &self,
        tenant: &TenantId,
        id: &str,
        now_unix: i64,
    ) -> Result<()> {
        let mut transaction = self.begin().await?;
        for statement in [
            "DELETE FROM vector_store_files WHERE tenant = $1 AND store_id = $2",
            "DELETE FROM vector_store_batches WHERE tenant = $1 AND store_id = $2",
        ] {
            sqlx::query(statement)
                .bind(tenant.as_str())
                .bind(id)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
        }
        sqlx::query("UPDATE vector_stores SET expired_unix = $3 WHERE tenant = $1 AND id = $2")
            .bind(tenant.as_str())
            .bind(id)
            .bind(now_unix)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        transaction.commit().await.map_err(failed)
    }
}

/// Whose a row is, by its column `tenant`.
pub(super) fn tenant_of(row: &AnyRow, table: &'static str, id: &str) -> Result<TenantId> {
    let tenant: String = row.try_get("tenant").map_err(failed)?;
    TenantId::new(&tenant).map_err(|_| damaged(table, id, "tenant"))
}

fn written(metadata: &BTreeMap<String, String>) -> String {
    serde_json::json!(metadata).to_string()
}

fn read(row: &AnyRow) -> Result<StoreRow> {
    let id: String = row.try_get("id").map_err(failed)?;
    let metadata: String = row.try_get("metadata").map_err(failed)?;
    let days: Option<i64> = row.try_get("expires_days").map_err(failed)?;
    let days = days.map(u32::try_from).transpose();
    Ok(StoreRow {
        metadata: serde_json::from_str(&metadata)
            .map_err(|_| damaged("vector_stores", &id, "metadata"))?,
        name: row.try_get("name").map_err(failed)?,
        description: row.try_get("description").map_err(failed)?,
        model: row.try_get("model").map_err(failed)?,
        created_ms: row.try_get("created_ms").map_err(failed)?,
        last_active_unix: row.try_get("last_active_unix").map_err(failed)?,
        expires_days: days.map_err(|_| damaged("vector_stores", &id, "expires_days"))?,
        expired_unix: row.try_get("expired_unix").map_err(failed)?,
        id,
    })
}
