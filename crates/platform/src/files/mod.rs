//! Durable files: what a reader finds after a crash is either the old file or the new one, whole.
//!
//! Invariants:
//!  1. A file written by [`AtomicFile`] appears under its name only after its bytes were synced, and the rename itself
//!     is synced before `commit` returns.
//!  2. A file dropped without `commit` leaves nothing under its name, and its temporary file is removed.
//!  3. While a [`DirectoryLock`] lives, no other process gets one for the same directory, and the lock ends with the
//!     process however it ends.

mod atomic;
mod digest;
mod lock;
mod space;

pub use atomic::{AtomicFile, rename_durable, rename_unsynced, write_atomic};
pub use digest::{HASH_BUFFER_BYTES, Sha256Hasher, sha256_bytes, sha256_file};
pub use lock::{DirectoryLock, LockError};
pub use space::free_bytes;

use std::fs;
use std::io;
use std::path::Path;

/// Mode of files that only their owner may read (keys, databases).
pub const MODE_PRIVATE: u32 = 0o600;
/// Mode of files that anyone may read.
pub const MODE_SHARED: u32 = 0o644;

/// Creates `path` and its missing parents; the last directory gets mode 0700 (owner only), also when it existed.
///
/// # Errors
/// As the operating system says, for example when `path` is a file.
pub fn create_private_directory(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Makes the names inside a directory durable (creation, rename and removal of its entries).
///
/// # Errors
/// As the operating system says. Does nothing where directories cannot be synced.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    fs::File::open(path)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// The directory a file lies in; `.` for a bare name.
fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests;
