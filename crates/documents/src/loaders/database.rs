//! What the loaders of databases share.

use tokio::runtime::{Builder, Runtime};

use crate::error::{Error, ErrorKind};

/// The library of databases is asynchronous; a loader has a thread of its own, so it waits there.
pub(super) fn runtime() -> Result<Runtime, Error> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::unreadable)
}

/// A name as SQL writes one, whatever is in it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// What the library said, without addresses or passwords, which it does not repeat.
pub(super) fn unreadable(error: sqlx::Error) -> Error {
    match &error {
        sqlx::Error::Database(inner) => {
            Error::malformed(format!("the database says: {}", inner.message()))
        }
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::Configuration(_) => Error::new(ErrorKind::Unreadable, error.to_string()),
        _ => Error::malformed(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_cannot_end_their_quotes() {
        assert_eq!(
            super::quoted("a\"; DROP TABLE x; --"),
            "\"a\"\"; DROP TABLE x; --\""
        );
    }
}
