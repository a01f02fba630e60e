//! What can go wrong with rows.

use crate::error::{Error, ErrorKind};

/// The database of records could not be opened or asked.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// It is no address of PostgreSQL.
    #[error("use the metadata database: its address begins with postgres:// or postgresql://")]
    Scheme,
    /// It cannot be read as an address.
    #[error("read the address of the metadata database: it is not a valid URL")]
    Address,
    /// It cannot be reached, or refused.
    #[error("use the metadata database: {0}")]
    Connect(#[source] sqlx::Error),
    /// Its tables were made by a newer Fornax.
    #[error(
        "read the metadata database: its part \"{component}\" is of version {found}, and this Fornax knows versions up to {known}"
    )]
    Newer {
        /// Which part.
        component: &'static str,
        /// Version in the database.
        found: i64,
        /// Newest version this build knows.
        known: i64,
    },
}

/// A failed query, for a caller: what the database said is for the log.
pub(crate) fn failed(error: sqlx::Error) -> Error {
    tracing::error!(%error, "the metadata database failed");
    let passing = matches!(
        error,
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_)
    );
    let kind = if passing {
        ErrorKind::Unavailable
    } else {
        ErrorKind::Internal
    };
    Error::new(
        kind,
        "The metadata database could not be used; the server's log says why.",
    )
}

/// A row that this build never writes.
pub(crate) fn damaged(table: &'static str, id: &str, column: &'static str) -> Error {
    tracing::error!(table, id, column, "a row is damaged");
    Error::new(
        ErrorKind::DataLoss,
        format!("The record '{id}' is damaged; the server's log says where."),
    )
}
