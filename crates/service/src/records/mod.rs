//! What the product remembers about things that are not points or models: files, vector stores, and whatever else has rows
//! of a tenant. One database, SQLite in the data directory or PostgreSQL by configuration, and one query layer over both.
//!
//! One module per table; each brings its own migrations and is listed in [`COMPONENTS`]. To add one: a module with
//! `COMPONENT` and methods on [`Records`], and a row there.
//!
//! Invariants:
//! 1. Every table's key begins with `tenant`, and every query names it; only what the server does by itself
//!    (the work on vector stores, expiry) looks across tenants, and each row it gets says whose it is.
//! 2. A change is on disk when its method returns: SQLite commits with `synchronous = FULL`, PostgreSQL as it is configured.
//! 3. SQL is what both databases understand: `$1` for arguments, `TEXT` and `BIGINT` columns, truth as 0 and 1. Times are
//!    seconds since 1970, but for `created_ms`, in milliseconds, by which lists are ordered.

mod error;
mod files;
mod page;
mod responses;
mod schema;
#[cfg(test)]
mod tests;
mod vector_store_batches;
mod vector_store_files;
mod vector_stores;

use std::path::PathBuf;
use std::time::Duration;

use platform::Secret;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Any, AnyPool, ConnectOptions, Executor, Transaction};

pub use error::RecordsError;
pub(crate) use error::{damaged, failed};
pub(crate) use page::Listing;
pub use page::{Page, PageRequest};
pub(crate) use responses::{StoredResponse, TOUCH_INTERVAL};
pub(crate) use schema::Component;
pub(crate) use vector_store_batches::BatchRow;
pub use vector_store_files::{Attachment, AttachmentState, FileCounts};
pub(crate) use vector_store_files::{NewAttachment, Outcome, Task, Work};
pub(crate) use vector_stores::{StoreChange, StoreRow};

/// Every part that has tables, in the order in which they are made.
const COMPONENTS: &[&Component] = &[
    &files::COMPONENT,
    &responses::COMPONENT,
    &vector_stores::COMPONENT,
    &vector_store_files::COMPONENT,
    &vector_store_batches::COMPONENT,
];

/// Connections to PostgreSQL: a query takes about a millisecond, so these serve some thousands of requests per second.
const POSTGRES_CONNECTIONS_MAX: u32 = 8;
/// Each connection to SQLite is a thread; one writer and a few readers are all it can use.
const SQLITE_CONNECTIONS_MAX: u32 = 4;
/// How long a connection, or another's transaction, is waited for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the rows are.
#[derive(Debug, Clone)]
pub enum RecordsLocation {
    /// A file of SQLite, the same that holds the keys.
    Sqlite(PathBuf),
    /// A PostgreSQL server: `postgres://user:password@host:5432/database`.
    Postgres(Secret),
}

/// Which of the two it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    Sqlite,
    Postgres,
}

/// The rows. Cheap to clone: clones share their connections.
#[derive(Debug, Clone)]
pub struct Records {
    pool: AnyPool,
    backend: Backend,
}

impl Records {
    /// Connects and brings the tables up to date.
    ///
    /// # Errors
    /// The database cannot be reached or is none, or its tables were made by a newer Fornax.
    pub async fn open(location: &RecordsLocation) -> Result<Self, RecordsError> {
        sqlx::any::install_default_drivers();
        let (backend, url, connections_max) = match location {
            RecordsLocation::Sqlite(path) => {
                let options = SqliteConnectOptions::new()
                    .filename(path)
                    .create_if_missing(true);
                (
                    Backend::Sqlite,
                    options.to_url_lossy().to_string(),
                    SQLITE_CONNECTIONS_MAX,
                )
            }
            RecordsLocation::Postgres(url) => {
                let text = url.expose();
                if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
                    return Err(RecordsError::Scheme);
                }
                (Backend::Postgres, text.to_owned(), POSTGRES_CONNECTIONS_MAX)
            }
        };
        // The text may hold a password, so that what a parser says about it is not repeated.
        let options: AnyConnectOptions = url.parse().map_err(|_| RecordsError::Address)?;
        let pool = AnyPoolOptions::new()
            .max_connections(connections_max)
            .acquire_timeout(BUSY_TIMEOUT)
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    if backend == Backend::Sqlite {
                        // As the keys' connections to the same file are set.
                        connection
                            .execute(
                                "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; \
                                 PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON",
                            )
                            .await?;
                    }
                    Ok(())
                })
            })
            .connect_with(options.disable_statement_logging())
            .await
            .map_err(RecordsError::Connect)?;
        let records = Records { pool, backend };
        schema::migrate(&records, COMPONENTS).await?;
        Ok(records)
    }

    /// The connections, for single statements.
    pub(crate) fn pool(&self) -> &AnyPool {
        &self.pool
    }

    /// A transaction that is going to write.
    pub(crate) async fn begin(&self) -> crate::Result<Transaction<'static, Any>> {
        self.begin_writing().await.map_err(failed)
    }

    async fn begin_writing(&self) -> Result<Transaction<'static, Any>, sqlx::Error> {
        self.pool
            .begin_with(match self.backend {
                // Takes the one writer's place now: a reader that turns into a writer may find it gone.
                Backend::Sqlite => "BEGIN IMMEDIATE",
                // What a statement sees is what stands when it begins, and a lost race is a unique violation or a count.
                Backend::Postgres => "BEGIN",
            })
            .await
    }

    /// Whether the database answers, at the cost of one row.
    ///
    /// # Errors
    /// It does not.
    pub async fn check(&self) -> Result<(), RecordsError> {
        sqlx::query("SELECT component FROM schema_versions LIMIT 1")
            .fetch_optional(&self.pool)
            .await
            .map_err(RecordsError::Connect)?;
        Ok(())
    }

    /// Closes the connections after what they are doing.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}
