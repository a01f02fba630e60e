//! The seam to the file system. Everything the engine stores goes through [`Disk`], so that a test can lose, tear and
//! reorder whatever was not synced.
//!
//! Files are only ever appended to, or written once; nothing is overwritten in place. Names become durable by
//! [`Disk::sync_directory`], bytes by [`DiskFile::sync`], and each needs its own: a synced file whose name was not
//! synced may be gone after a power cut.

mod real;

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::bytes::Bytes;
use crate::error::VectorsError;

pub use real::RealDisk;

/// A disk shared by everything that opens files.
pub type SharedDisk = Arc<dyn Disk>;

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirectoryEntry {
    /// Its name, without the directory. Entries whose names are not Unicode are not listed: the engine made none.
    pub name: String,
    /// Whether it is a directory.
    pub is_directory: bool,
    /// Bytes of a file; 0 for a directory.
    pub bytes: u64,
}

/// A file being written at its end.
pub trait DiskFile: Send + Sync + Debug {
    /// Appends all of `bytes`. Appends of several threads do not mix, but their order is the callers' business.
    ///
    /// # Errors
    /// [`VectorsError::Io`]; after one, and after a failed sync, every further call is [`VectorsError::ReadOnly`].
    fn append(&self, bytes: &[u8]) -> Result<(), VectorsError>;

    /// Returns when every byte appended before the call survives a power cut.
    ///
    /// # Errors
    /// As [`DiskFile::append`].
    fn sync(&self) -> Result<(), VectorsError>;
}

/// A file open for reading at places. What it reads does not stay in the process.
pub trait DiskReader: Send + Sync + Debug {
    /// Fills `buffer` with one piece of `length` bytes for each of `offsets`, in their order; what the system has to fetch is
    /// fetched at the same time where it can.
    ///
    /// # Errors
    /// [`VectorsError::Io`], also when the file ends before.
    ///
    /// # Panics
    /// When `buffer` is not `offsets.len() * length` bytes long.
    fn read_pieces(
        &self,
        offsets: &[u64],
        length: usize,
        buffer: &mut [u8],
    ) -> Result<(), VectorsError>;
}

/// Reads from a map: for disks that have nothing better.
#[derive(Debug)]
pub struct MappedReader(pub Bytes);

impl DiskReader for MappedReader {
    fn read_pieces(
        &self,
        offsets: &[u64],
        length: usize,
        buffer: &mut [u8],
    ) -> Result<(), VectorsError> {
        assert_eq!(buffer.len(), offsets.len() * length, "a place for each");
        for (piece, &offset) in buffer.chunks_mut(length.max(1)).zip(offsets) {
            let start = usize::try_from(offset).unwrap_or(usize::MAX);
            piece.copy_from_slice(self.0.checked(start..start.saturating_add(length))?);
        }
        Ok(())
    }
}

/// A file system as the engine needs it. Errors are [`VectorsError::Io`] with action and path.
pub trait Disk: Send + Sync + Debug {
    /// Creates an empty file for writing.
    ///
    /// # Errors
    /// Also when a file of that name exists.
    fn create(&self, path: &Path) -> Result<Box<dyn DiskFile>, VectorsError>;

    /// Opens an existing file for writing at its end.
    ///
    /// # Errors
    /// Also when there is no such file.
    fn open_append(&self, path: &Path) -> Result<Box<dyn DiskFile>, VectorsError>;

    /// Reads a whole file of at most `limit` bytes.
    ///
    /// # Errors
    /// [`VectorsError::Limit`] for a longer file.
    fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>, VectorsError>;

    /// The bytes of a file as they are now, mapped where the system can. The file must not be truncated while they live;
    /// it may be unlinked.
    ///
    /// # Errors
    /// As the operating system says.
    fn map(&self, path: &Path) -> Result<Bytes, VectorsError>;

    /// Opens a file to be read at places. It may be unlinked meanwhile.
    ///
    /// # Errors
    /// As the operating system says.
    fn open_reader(&self, path: &Path) -> Result<Box<dyn DiskReader>, VectorsError> {
        Ok(Box::new(MappedReader(self.map(path)?)))
    }

    /// Cuts a file to `length` bytes, durably.
    ///
    /// # Errors
    /// As the operating system says.
    fn truncate(&self, path: &Path, length: u64) -> Result<(), VectorsError>;

    /// Bytes of a file; `None` when there is no such file.
    ///
    /// # Errors
    /// As the operating system says, other than "not found".
    fn length(&self, path: &Path) -> Result<Option<u64>, VectorsError>;

    /// Renames a file or directory within its file system, replacing a file of that name. Durable after
    /// [`Disk::sync_directory`] of the directories concerned.
    ///
    /// # Errors
    /// As the operating system says.
    fn rename(&self, from: &Path, to: &Path) -> Result<(), VectorsError>;

    /// Gives a file a second name.
    ///
    /// # Errors
    /// Also when the new name is taken, or the file system has no links.
    fn hard_link(&self, existing: &Path, new: &Path) -> Result<(), VectorsError>;

    /// Removes a file; no error when it is gone already.
    ///
    /// # Errors
    /// As the operating system says, other than "not found".
    fn remove(&self, path: &Path) -> Result<(), VectorsError>;

    /// Removes a directory with everything in it; no error when it is gone already.
    ///
    /// # Errors
    /// As the operating system says, other than "not found".
    fn remove_directory(&self, path: &Path) -> Result<(), VectorsError>;

    /// Creates a directory and its missing parents, readable by the owner only. Their names are durable after
    /// [`Disk::sync_directory`] of each parent.
    ///
    /// # Errors
    /// As the operating system says.
    fn create_directory(&self, path: &Path) -> Result<(), VectorsError>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// As the operating system says.
    fn sync_directory(&self, path: &Path) -> Result<(), VectorsError>;

    /// What a directory holds, sorted by name; `None` when there is no such directory.
    ///
    /// # Errors
    /// As the operating system says, other than "not found".
    fn list(&self, path: &Path) -> Result<Option<Vec<DirectoryEntry>>, VectorsError>;

    /// Bytes that may still be written where `path` is; `None` when unknown.
    fn free_bytes(&self, path: &Path) -> Option<u64>;

    /// Takes the right to write in an existing directory, until the value is dropped or the process ends.
    ///
    /// # Errors
    /// [`VectorsError::Locked`] while another holder lives.
    fn lock(&self, directory: &Path) -> Result<Box<dyn Debug + Send + Sync>, VectorsError>;
}

/// Copies a file's first `length` bytes into a new file and syncs it (not its name).
///
/// # Errors
/// As the disk says; [`VectorsError::Corrupt`] when the file is shorter.
pub fn copy_file(disk: &dyn Disk, from: &Path, to: &Path, length: u64) -> Result<(), VectorsError> {
    let source = disk.map(from)?;
    let bytes = usize::try_from(length)
        .ok()
        .and_then(|length| source.as_slice().get(..length))
        .ok_or_else(|| VectorsError::Corrupt {
            path: from.to_owned(),
            message: format!("{} bytes long instead of at least {length}", source.len()),
        })?;
    let target = disk.create(to)?;
    for piece in bytes.chunks(COPY_BYTES) {
        target.append(piece)?;
    }
    target.sync()
}

/// Replaces a small file as a whole: what a reader finds after a crash is the old bytes or the new ones.
///
/// # Errors
/// As the disk says. Before the rename the old file stands.
pub fn replace_file(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), VectorsError> {
    let temporary = temporary_name(path);
    // Left behind by a crash between creation and rename; nobody reads that name.
    disk.remove(&temporary)?;
    let file = disk.create(&temporary)?;
    file.append(bytes)?;
    file.sync()?;
    drop(file);
    disk.rename(&temporary, path)?;
    disk.sync_directory(parent_of(path))
}

/// The directory of `path`; `.` for a bare name.
pub fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Bytes copied at a time: large enough that calls do not matter, small enough that a copy does not hold a core's cache.
const COPY_BYTES: usize = 1 << 20;

/// The name under which a file is written before it is renamed to `path`.
fn temporary_name(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

#[cfg(test)]
mod tests;
