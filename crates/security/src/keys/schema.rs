//! The tables of keys in `fornax.db`, by version.
//!
//! ```text
//! schema_versions   component TEXT PRIMARY KEY, version INTEGER        one row per part of the product
//! api_keys          id TEXT PRIMARY KEY            public part of the key
//!                   secret_sha256 BLOB (32)
//!                   name, tenant, scopes TEXT      scopes: comma-separated names
//!                   created_unix INTEGER           expires_unix, revoked_unix, last_used_unix INTEGER or NULL
//! ```
//! A migration is never edited once released; a new one is appended.

use sqlx::{Row, SqlitePool};

use super::error::KeyStoreError;

const COMPONENT: &str = "keys";

/// Statements that lead from version `index` to `index + 1`.
const MIGRATIONS: &[&[&str]] = &[&[
    "CREATE TABLE api_keys (
        id TEXT PRIMARY KEY NOT NULL,
        secret_sha256 BLOB NOT NULL CHECK (length(secret_sha256) = 32),
        name TEXT NOT NULL,
        tenant TEXT NOT NULL,
        scopes TEXT NOT NULL,
        created_unix INTEGER NOT NULL,
        expires_unix INTEGER,
        revoked_unix INTEGER,
        last_used_unix INTEGER
    ) STRICT, WITHOUT ROWID",
    "CREATE UNIQUE INDEX api_keys_live_name ON api_keys (tenant, name) WHERE revoked_unix IS NULL",
]];

/// Brings the database to the newest version, all or nothing.
pub(super) async fn migrate(pool: &SqlitePool) -> Result<(), KeyStoreError> {
    // IMMEDIATE: a second process that opens the file at the same moment waits instead of migrating too.
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query(
        "CREATE TABLE IF NOT EXISTS schema_versions (component TEXT PRIMARY KEY NOT NULL, version INTEGER NOT NULL) STRICT",
    )
    .execute(&mut *transaction)
    .await?;
    let row = sqlx::query("SELECT version FROM schema_versions WHERE component = ?")
        .bind(COMPONENT)
        .fetch_optional(&mut *transaction)
        .await?;
    let found: i64 = row.map(|row| row.try_get(0)).transpose()?.unwrap_or(0);
    let known = MIGRATIONS.len() as i64;
    if found > known || found < 0 {
        return Err(KeyStoreError::Newer { found, known });
    }
    for statement in MIGRATIONS
        .iter()
        .skip(found as usize)
        .copied()
        .flatten()
        .copied()
    {
        sqlx::query(statement).execute(&mut *transaction).await?;
    }
    sqlx::query(
        "INSERT INTO schema_versions (component, version) VALUES (?, ?)
         ON CONFLICT (component) DO UPDATE SET version = excluded.version",
    )
    .bind(COMPONENT)
    .bind(known)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(())
}
