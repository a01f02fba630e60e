//! Wire shapes of files.

use serde::Serialize;

/// A file.
#[derive(Debug, Serialize)]
pub struct FileReply {
    pub id: String,
    pub object: &'static str,
    pub bytes: u64,
    /// Seconds since 1970.
    pub created_at: i64,
    /// Seconds since 1970.
    pub expires_at: Option<i64>,
    pub filename: String,
    pub purpose: &'static str,
    /// Always `processed`: a file is whole when it is seen.
    pub status: &'static str,
    pub status_details: Option<String>,
}

/// A file that is gone.
#[derive(Debug, Serialize)]
pub struct FileDeletedReply {
    pub id: String,
    pub object: &'static str,
    pub deleted: bool,
}
