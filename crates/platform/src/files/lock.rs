//! One writer per directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Name of the file that carries the lock.
const LOCK_FILE: &str = "lock";

/// The right to write in a directory, held until dropped or until the process ends (the kernel releases it).
#[derive(Debug)]
pub struct DirectoryLock {
    /// Holds the advisory lock; closing it releases it.
    _file: File,
    path: PathBuf,
}

/// Why a directory could not be locked.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another process writes there.
    #[error("{} is in use by another process{}", .directory.display(), .pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    Held {
        /// The directory asked for.
        directory: PathBuf,
        /// The holder, when it wrote its number.
        pid: Option<u32>,
    },
    /// The lock file could not be opened or written.
    #[error("lock file {}: {source}", .path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl DirectoryLock {
    /// Takes the lock of an existing directory, without waiting.
    ///
    /// # Errors
    /// [`LockError::Held`] while another holder lives, [`LockError::Io`] when the lock file cannot be used.
    pub fn acquire(directory: &Path) -> Result<Self, LockError> {
        let path = directory.join(LOCK_FILE);
        let io_error = |source| LockError::Io {
            path: path.clone(),
            source,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(io_error)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // The holder's number is a courtesy to the reader of the message.
                let _ = file.read_to_string(&mut text);
                return Err(LockError::Held {
                    directory: directory.to_owned(),
                    pid: text.trim().parse().ok(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(io_error(source)),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(io_error)?;
        Ok(DirectoryLock { _file: file, path })
    }

    /// The lock file. It is never removed: removing a locked file would let two processes lock two files of one name.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
