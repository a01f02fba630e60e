//! Atomic, durable replacement of a whole file.
#![expect(
    clippy::disallowed_methods,
    reason = "this is the seam that the ban points to"
)]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{parent_of, sync_directory};
use crate::entropy::random_u64;

/// A file being written beside its final name. Nothing is visible under that name before [`AtomicFile::commit`].
///
/// Unbuffered: wrap it in `std::io::BufWriter` for many small writes, and unwrap it to commit.
#[derive(Debug)]
pub struct AtomicFile {
    /// `None` once committed.
    file: Option<File>,
    temporary: PathBuf,
    target: PathBuf,
}

impl AtomicFile {
    /// Starts writing the file that will be `target`, with Unix permission bits `mode` (for example
    /// [`super::MODE_PRIVATE`]; ignored on other systems).
    ///
    /// # Errors
    /// As the operating system says: the directory must exist and be writable.
    pub fn create(target: &Path, mode: u32) -> io::Result<Self> {
        let name = target.file_name().ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{} does not name a file", target.display()),
            )
        })?;
        // In the same directory, so that the rename stays on one file system; dotted, so that listings skip it.
        let temporary = parent_of(target).join(format!(
            ".{}.{:016x}.partial",
            name.to_string_lossy(),
            random_u64()?
        ));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(mode);
        }
        #[cfg(not(unix))]
        let _ = mode;
        let file = options.open(&temporary)?;
        // The process's umask may have taken bits away; the mode asked for is the mode given.
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            file.set_permissions(fs::Permissions::from_mode(mode))?;
        }
        Ok(AtomicFile {
            file: Some(file),
            temporary,
            target: target.to_owned(),
        })
    }

    /// Syncs the bytes, renames the file to its name (replacing what was there) and syncs the directory.
    ///
    /// # Errors
    /// As the operating system says. Before the rename the old file stands; when only the directory's sync failed, the
    /// new file stands but may not survive a power cut, and the caller must treat the write as failed.
    pub fn commit(mut self) -> io::Result<()> {
        let file = self.file.take().ok_or_else(already_committed)?;
        let outcome = file
            .sync_all()
            .and_then(|()| fs::rename(&self.temporary, &self.target));
        if let Err(error) = outcome {
            let _ = fs::remove_file(&self.temporary);
            return Err(error);
        }
        sync_directory(parent_of(&self.target))
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file
            .as_mut()
            .ok_or_else(already_committed)?
            .write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().ok_or_else(already_committed)?.flush()
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // Best effort: a leftover is hidden, has a unique name and is never read.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

fn already_committed() -> io::Error {
    io::Error::other("file was committed already")
}

/// Replaces the file at `path` by `bytes`, atomically and durably, with permission bits `mode`.
///
/// # Errors
/// As [`AtomicFile::create`] and [`AtomicFile::commit`].
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = AtomicFile::create(path, mode)?;
    file.write_all(bytes)?;
    file.commit()
}

/// Gives the finished file `from` the name `to` on the same file system (replacing what was there): its bytes are
/// synced first, and the rename after.
///
/// # Errors
/// As the operating system says; before the rename nothing has changed.
pub fn rename_durable(from: &Path, to: &Path) -> io::Result<()> {
    File::open(from)?.sync_all()?;
    fs::rename(from, to)?;
    sync_directory(parent_of(to))
}

/// Gives `from` the name `to`, replacing what was there, without syncing anything: for callers that sync the file
/// before and the directory after, once for several renames.
///
/// # Errors
/// As the operating system says.
pub fn rename_unsynced(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)
}
