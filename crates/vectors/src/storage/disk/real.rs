//! The file system of the machine.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use platform::files::{self, DirectoryLock, LockError};
use platform::mapping::MappedFile;
use platform::positioned::PositionedFile;

use super::{DirectoryEntry, Disk, DiskFile, DiskReader};
use crate::error::VectorsError;
use crate::storage::bytes::Bytes;

/// The machine's own file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

/// A file of the machine, opened for appending.
#[derive(Debug)]
struct RealFile {
    file: File,
    path: PathBuf,
    /// Set by the first failure; never cleared.
    failed: AtomicBool,
}

impl RealFile {
    fn guarded(
        &self,
        action: &'static str,
        work: impl FnOnce() -> std::io::Result<()>,
    ) -> Result<(), VectorsError> {
        if self.failed.load(Ordering::Acquire) {
            return Err(VectorsError::ReadOnly {
                message: format!("{} failed before", self.path.display()),
            });
        }
        work().map_err(|source| {
            self.failed.store(true, Ordering::Release);
            VectorsError::io(action, &self.path, source)
        })
    }
}

impl DiskFile for RealFile {
    fn append(&self, bytes: &[u8]) -> Result<(), VectorsError> {
        self.guarded("write", || (&self.file).write_all(bytes))
    }

    fn sync(&self) -> Result<(), VectorsError> {
        // Data and the length are what a reader needs; the times of the file are not.
        self.guarded("sync", || self.file.sync_data())
    }
}

/// A file of the machine, opened to be read at places.
#[derive(Debug)]
struct RealReader {
    file: PositionedFile,
    path: PathBuf,
}

impl DiskReader for RealReader {
    fn read_pieces(
        &self,
        offsets: &[u64],
        length: usize,
        buffer: &mut [u8],
    ) -> Result<(), VectorsError> {
        self.file
            .read_pieces(offsets, length, buffer)
            .map_err(|source| VectorsError::io("read", &self.path, source))
    }
}

/// Turns "not found" into `None`.
fn found<T>(
    outcome: std::io::Result<T>,
    action: &'static str,
    path: &Path,
) -> Result<Option<T>, VectorsError> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(VectorsError::io(action, path, error)),
    }
}

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> Result<Box<dyn DiskFile>, VectorsError> {
        let mut options = OpenOptions::new();
        options.append(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(files::MODE_PRIVATE);
        }
        open(&options, "create", path)
    }

    fn open_append(&self, path: &Path) -> Result<Box<dyn DiskFile>, VectorsError> {
        open(OpenOptions::new().append(true), "open", path)
    }

    fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>, VectorsError> {
        let failed = |source| VectorsError::io("read", path, source);
        let file = File::open(path).map_err(failed)?;
        let mut bytes = Vec::new();
        // One byte more than allowed tells a file that grew past the limit from one that meets it.
        file.take(limit.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        if bytes.len() as u64 > limit {
            return Err(VectorsError::Limit {
                what: "bytes of a file read as a whole",
                limit,
                actual: bytes.len() as u64,
            });
        }
        Ok(bytes)
    }

    fn map(&self, path: &Path) -> Result<Bytes, VectorsError> {
        let map = MappedFile::open(path).map_err(|source| VectorsError::io("map", path, source))?;
        Ok(Bytes::from_map(map, path))
    }

    fn open_reader(&self, path: &Path) -> Result<Box<dyn DiskReader>, VectorsError> {
        let file =
            PositionedFile::open(path).map_err(|source| VectorsError::io("open", path, source))?;
        Ok(Box::new(RealReader {
            file,
            path: path.to_owned(),
        }))
    }

    fn truncate(&self, path: &Path, length: u64) -> Result<(), VectorsError> {
        OpenOptions::new()
            .write(true)
            .open(path)
            .and_then(|file| {
                file.set_len(length)?;
                file.sync_all()
            })
            .map_err(|source| VectorsError::io("truncate", path, source))
    }

    fn length(&self, path: &Path) -> Result<Option<u64>, VectorsError> {
        Ok(found(fs::metadata(path), "look at", path)?.map(|facts| facts.len()))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), VectorsError> {
        files::rename_unsynced(from, to).map_err(|source| VectorsError::io("rename", from, source))
    }

    fn hard_link(&self, existing: &Path, new: &Path) -> Result<(), VectorsError> {
        fs::hard_link(existing, new).map_err(|source| VectorsError::io("link", existing, source))
    }

    fn remove(&self, path: &Path) -> Result<(), VectorsError> {
        found(fs::remove_file(path), "remove", path).map(drop)
    }

    fn remove_directory(&self, path: &Path) -> Result<(), VectorsError> {
        found(fs::remove_dir_all(path), "remove", path).map(drop)
    }

    fn create_directory(&self, path: &Path) -> Result<(), VectorsError> {
        files::create_private_directory(path)
            .map_err(|source| VectorsError::io("create", path, source))
    }

    fn sync_directory(&self, path: &Path) -> Result<(), VectorsError> {
        files::sync_directory(path).map_err(|source| VectorsError::io("sync", path, source))
    }

    fn list(&self, path: &Path) -> Result<Option<Vec<DirectoryEntry>>, VectorsError> {
        let Some(entries) = found(fs::read_dir(path), "list", path)? else {
            return Ok(None);
        };
        let mut list = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|source| VectorsError::io("list", path, source))?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            // An entry that vanished between the listing and this call is not there.
            let Some(facts) = found(entry.metadata(), "look at", &entry.path())? else {
                continue;
            };
            list.push(DirectoryEntry {
                name,
                is_directory: facts.is_dir(),
                bytes: if facts.is_dir() { 0 } else { facts.len() },
            });
        }
        list.sort_unstable();
        Ok(Some(list))
    }

    fn free_bytes(&self, path: &Path) -> Option<u64> {
        files::free_bytes(path)
    }

    fn lock(&self, directory: &Path) -> Result<Box<dyn Debug + Send + Sync>, VectorsError> {
        match DirectoryLock::acquire(directory) {
            Ok(lock) => Ok(Box::new(lock)),
            Err(LockError::Held { directory, .. }) => Err(VectorsError::Locked { path: directory }),
            Err(LockError::Io { path, source }) => Err(VectorsError::io("lock", path, source)),
        }
    }
}

fn open(
    options: &OpenOptions,
    action: &'static str,
    path: &Path,
) -> Result<Box<dyn DiskFile>, VectorsError> {
    let file = options
        .open(path)
        .map_err(|source| VectorsError::io(action, path, source))?;
    Ok(Box::new(RealFile {
        file,
        path: path.to_owned(),
        failed: AtomicBool::new(false),
    }))
}
