//! Versions of tables: `schema_versions` holds one row per component, and migrations lead from one version to the next.

use sqlx::Row;

use super::{Backend, Records, RecordsError};

/// A part of the product that has tables.
pub(crate) struct Component {
    /// Its name in `schema_versions`; never changes.
    pub name: &'static str,
    /// Statements that lead from version `index` to `index + 1`. One that was released is never edited; new ones are
    /// appended.
    pub migrations: &'static [&'static [&'static str]],
}

/// PostgreSQL's lock that one migrating server holds until its transaction ends: the bytes of "fornax".
const MIGRATION_LOCK: i64 = 0x666f_726e_6178;

/// Brings every component to its newest version, all or nothing.
pub(super) async fn migrate(
    records: &Records,
    components: &[&Component],
) -> Result<(), RecordsError> {
    let mut transaction = records
        .begin_writing()
        .await
        .map_err(RecordsError::Connect)?;
    if records.backend == Backend::Postgres {
        sqlx::query("SELECT pg_advisory_xact_lock($1)")
            .bind(MIGRATION_LOCK)
            .execute(&mut *transaction)
            .await
            .map_err(RecordsError::Connect)?;
    }
    sqlx::query(
        "CREATE TABLE IF NOT EXISTS schema_versions (component TEXT PRIMARY KEY NOT NULL, version INTEGER NOT NULL)",
    )
    .execute(&mut *transaction)
    .await
    .map_err(RecordsError::Connect)?;
    for component in components {
        let known = component.migrations.len() as i64;
        let row = sqlx::query(
            "SELECT CAST(version AS BIGINT) AS version FROM schema_versions WHERE component = $1",
        )
        .bind(component.name)
        .fetch_optional(&mut *transaction)
        .await
        .map_err(RecordsError::Connect)?;
        let found: i64 = match row {
            Some(row) => row.try_get(0).map_err(RecordsError::Connect)?,
            None => 0,
        };
        if found > known || found < 0 {
            return Err(RecordsError::Newer {
                component: component.name,
                found,
                known,
            });
        }
        let todo = usize::try_from(found).unwrap_or(0);
        for statement in component.migrations[todo..].iter().copied().flatten() {
            sqlx::query(*statement)
                .execute(&mut *transaction)
                .await
                .map_err(RecordsError::Connect)?;
        }
        sqlx::query(
            "INSERT INTO schema_versions (component, version) VALUES ($1, CAST($2 AS INTEGER))
             ON CONFLICT (component) DO UPDATE SET version = excluded.version",
        )
        .bind(component.name)
        .bind(known)
        .execute(&mut *transaction)
        .await
        .map_err(RecordsError::Connect)?;
    }
    transaction.commit().await.map_err(RecordsError::Connect)
}
