//! The table of uploaded files. Their bytes are elsewhere (see [`crate::files`]); a file exists while its row does.

use security::TenantId;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::{Component, Listing, Page, PageRequest, Records, damaged, failed};
use crate::error::Result;
use crate::files::{FilePurpose, StoredFile};

pub(super) const COMPONENT: Component = Component {
    name: "files",
    migrations: &[&[
        "CREATE TABLE files (
            tenant TEXT NOT NULL,
            id TEXT NOT NULL,
            filename TEXT NOT NULL,
            purpose TEXT NOT NULL,
            bytes BIGINT NOT NULL,
            sha256 TEXT NOT NULL,
            created_ms BIGINT NOT NULL,
            expires_unix BIGINT,
            PRIMARY KEY (tenant, id)
        )",
        "CREATE INDEX files_by_age ON files (tenant, created_ms, id)",
        "CREATE INDEX files_by_expiry ON files (expires_unix)",
    ]],
};

const COLUMNS: &str = "id, filename, purpose, bytes, sha256, created_ms, expires_unix";

/// What a tenant's files take together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FilesUsed {
    pub count: u64,
    pub bytes: u64,
}

impl Records {
    /// Adds the row of a file, unless `allow` refuses what the tenant's files take already.
    pub(crate) async fn file_insert(
        &self,
        tenant: &TenantId,
        file: &StoredFile,
        allow: impl FnOnce(FilesUsed) -> Result<()>,
    ) -> Result<()> {
        let mut transaction = self.begin().await?;
        let row = sqlx::query(
            "SELECT count(*), CAST(coalesce(sum(bytes), 0) AS BIGINT) FROM files WHERE tenant = $1",
        )
        .bind(tenant.as_str())
        .fetch_one(&mut *transaction)
        .await
        .map_err(failed)?;
        allow(FilesUsed {
            count: unsigned(row.try_get(0).map_err(failed)?),
            bytes: unsigned(row.try_get(1).map_err(failed)?),
        })?;
        sqlx::query(
            "INSERT INTO files (tenant, id, filename, purpose, bytes, sha256, created_ms, expires_unix)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(tenant.as_str())
        .bind(file.id.as_str())
        .bind(file.filename.as_str())
        .bind(file.purpose.name())
        .bind(i64::try_from(file.bytes).unwrap_or(i64::MAX))
        .bind(file.sha256.as_str())
        .bind(file.created_ms)
        .bind(file.expires_unix)
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        transaction.commit().await.map_err(failed)
    }

    /// A file that has not expired at `now_unix`.
    pub(crate) async fn file(
        &self,
        tenant: &TenantId,
        id: &str,
        now_unix: i64,
    ) -> Result<Option<StoredFile>> {
        sqlx::query(
            "SELECT id, filename, purpose, bytes, sha256, created_ms, expires_unix FROM files
             WHERE tenant = $1 AND id = $2 AND (expires_unix IS NULL OR expires_unix > $3)",
        )
        .bind(tenant.as_str())
        .bind(id)
        .bind(now_unix)
        .fetch_optional(self.pool())
        .await
        .map_err(failed)?
        .map(|row| read(&row))
        .transpose()
    }

    /// A page of a tenant's files that have not expired at `now_unix`.
    pub(crate) async fn files(
        &self,
        tenant: &TenantId,
        purpose: Option<&str>,
        page: &PageRequest,
        now_unix: i64,
    ) -> Result<Page<StoredFile>> {
        let filters: Vec<_> = purpose.into_iter().map(|name| ("purpose", name)).collect();
        Listing {
            table: "files",
            columns: COLUMNS,
            id: "id",
            owner: &[("tenant", tenant.as_str())],
            filters: &filters,
            condition: Some(format!(
                "(expires_unix IS NULL OR expires_unix > {now_unix})"
            )),
        }
        .page(self, page, read)
        .await
    }

    /// Whether there is a row at all, expired or not.
    pub(crate) async fn file_is_known(&self, tenant: &str, id: &str) -> Result<bool> {
        let row = sqlx::query("SELECT id FROM files WHERE tenant = $1 AND id = $2")
            .bind(tenant)
            .bind(id)
            .fetch_optional(self.pool())
            .await
            .map_err(failed)?;
        Ok(row.is_some())
    }

    /// Takes the row of a file away; false when there was none.
    pub(crate) async fn file_delete(&self, tenant: &TenantId, id: &str) -> Result<bool> {
        let done = sqlx::query("DELETE FROM files WHERE tenant = $1 AND id = $2")
            .bind(tenant.as_str())
            .bind(id)
            .execute(self.pool())
            .await
            .map_err(failed)?;
        Ok(done.rows_affected() > 0)
    }

    /// Some files of any tenant that have expired at `now_unix`, the longest first.
    pub(crate) async fn files_expired(
        &self,
        now_unix: i64,
        limit: u32,
    ) -> Result<Vec<(TenantId, String)>> {
        let rows = sqlx::query(
            "SELECT tenant, id FROM files WHERE expires_unix <= $1 ORDER BY expires_unix LIMIT $2",
        )
        .bind(now_unix)
        .bind(i64::from(limit))
        .fetch_all(self.pool())
        .await
        .map_err(failed)?;
        rows.iter()
            .map(|row| {
                let tenant: String = row.try_get(0).map_err(failed)?;
                let id: String = row.try_get(1).map_err(failed)?;
                let tenant = TenantId::new(&tenant).map_err(|_| damaged("files", &id, "tenant"))?;
                Ok((tenant, id))
            })
            .collect()
    }
}

fn read(row: &AnyRow) -> Result<StoredFile> {
    let id: String = row.try_get("id").map_err(failed)?;
    let purpose: String = row.try_get("purpose").map_err(failed)?;
    Ok(StoredFile {
        purpose: FilePurpose::parse(&purpose).ok_or_else(|| damaged("files", &id, "purpose"))?,
        filename: row.try_get("filename").map_err(failed)?,
        bytes: unsigned(row.try_get("bytes").map_err(failed)?),
        sha256: row.try_get("sha256").map_err(failed)?,
        created_ms: row.try_get("created_ms").map_err(failed)?,
        expires_unix: row.try_get("expires_unix").map_err(failed)?,
        id,
    })
}

/// A count or size, which no row holds below zero.
pub(super) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
