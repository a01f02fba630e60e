//! Uploaded files: bytes in the data directory, rows in [`crate::records`].
//!
//! ```text
//! files/<tenant>/<id>                     a whole file, synced before its row is written
//! files/<tenant>/.<id>.<random>.partial   an upload under way; what a crash leaves is removed by the next start
//! ```
//! A file exists while its row does. Uploads write the bytes first and the row last, deletions take the row first, so what a
//! crash leaves is bytes without a row, which [`Service::recover_files`] removes before anything is served.

mod content;
mod disk;
mod manage;
mod spool;
mod types;
mod upload;

pub use content::FileContent;
pub(crate) use spool::Spooled;
pub use types::{
    EXPIRY_SECONDS_MAX, EXPIRY_SECONDS_MIN, FILES_PAGE_MAX, FileOptions, FilePurpose, FilesPage,
    NewFile, StoredFile,
};
pub use upload::Upload;

pub(crate) use disk::Disk;
pub(crate) use manage::Files;
