//! The write-ahead log: what changed since the manifest, in the order it changed, one file for each growing segment.
//!
//! Invariants:
//!  1. A record holds the resulting point or the deleted id, never a command: replaying it twice changes nothing more.
//!  2. Sequences rise from record to record within a file, and no record has a sequence below the file's first.
//!  3. [`Log::sync_to`] returns only when every record up to that sequence would survive a power cut.
//!  4. Replay hands out valid records only. Bytes that never were acknowledged are cut; damage to bytes that were is named.
//!
//! ```text
//! file    ┌──────────────┬───────────┬─────────┬──────────────────┬──────────┬───────┐
//!         │ "fxveclog" 8 │ version 4 │ zeros 4 │ first sequence 8 │ zeros 4  │ crc 4 │  32 bytes, then records
//!         └──────────────┴───────────┴─────────┴──────────────────┴──────────┴───────┘
//! record  ┌──────────┬───────┬────────────┬────────┬──────┐
//!         │ length 4 │ crc 4 │ sequence 8 │ kind 1 │ body │
//!         └──────────┴───────┴────────────┴────────┴──────┘
//! ```
//! `length` counts sequence, kind and body; `crc` is the CRC32C of the length and of those. Kinds: 1 put, 2 delete,
//! 3 mark. Bodies are drawn in [`record`].
//!
//! How a torn tail is told from damage: a *mark* is written, unsynced, after each sync and says how many bytes of the
//! file were durable then. An invalid record at a byte that a later mark calls durable is damage. An invalid record at
//! any other byte was part of a write that the power cut, even when records behind it are whole: disks write in any
//! order. Only the last sync before a power cut has no mark; damage to its records cannot be told from a tear.

pub mod record;
mod replay;
mod sync;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::disk::{Disk, DiskFile, parent_of};
use crate::error::VectorsError;

pub use record::{Change, Entry, LogEntry, RECORD_BYTES_MAX};
pub use replay::{Replay, Tail, parse};
use sync::GroupSync;

/// Version of the layout. Readers refuse others.
pub const VERSION: u32 = 1;
/// Bytes of the header of a file.
pub const HEADER_BYTES: u64 = 32;

/// A log file open for writing. Shared by the writer, who appends under the collection's lock, and by everybody who waits
/// for durability outside it.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: Box<dyn DiskFile>,
    written: Mutex<Written>,
    sync: GroupSync,
}

/// What was appended so far.
#[derive(Debug, Clone, Copy)]
struct Written {
    bytes: u64,
    /// The last appended; one below the file's first sequence when nothing was.
    sequence: u64,
}

impl Log {
    /// Starts a log file for sequences from `first_sequence` on. Its name and header are durable when this returns.
    ///
    /// # Errors
    /// As the disk says; also when the file exists.
    ///
    /// # Panics
    /// When `first_sequence` is 0, which means "nothing written yet".
    pub fn create(disk: &dyn Disk, path: &Path, first_sequence: u64) -> Result<Log, VectorsError> {
        assert!(first_sequence > 0, "sequences begin at 1");
        let file = disk.create(path)?;
        file.append(&replay::header(first_sequence))?;
        file.sync()?;
        disk.sync_directory(parent_of(path))?;
        Ok(Log::at(
            path,
            file,
            Written {
                bytes: HEADER_BYTES,
                sequence: first_sequence - 1,
            },
        ))
    }

    /// Replays the log file of `first_sequence`, cuts its torn tail, and opens it for writing. A file whose header was
    /// not written yet when the power went is started anew.
    ///
    /// # Errors
    /// [`VectorsError::Corrupt`] when bytes that were durable are damaged: replay what is left of the file with
    /// [`Log::replay`], and write to another one. Also as the disk and `visit` say.
    pub fn open(
        disk: &dyn Disk,
        path: &Path,
        first_sequence: u64,
        visit: &mut dyn FnMut(Entry) -> Result<(), VectorsError>,
    ) -> Result<(Log, Replay), VectorsError> {
        let replay = Log::replay(disk, path, first_sequence, visit)?;
        let whole_bytes = match &replay.tail {
            Tail::Clean => replay.whole_bytes,
            Tail::Torn { .. } if replay.whole_bytes < HEADER_BYTES => {
                disk.remove(path)?;
                return Ok((Log::create(disk, path, first_sequence)?, replay));
            }
            Tail::Torn { .. } => {
                disk.truncate(path, replay.whole_bytes)?;
                replay.whole_bytes
            }
            Tail::Damaged { message, .. } => {
                return Err(VectorsError::Corrupt {
                    path: path.to_owned(),
                    message: message.clone(),
                });
            }
        };
        let file = disk.open_append(path)?;
        // What was read may still be only in memory of the system, if it was the process that died.
        file.sync()?;
        let written = Written {
            bytes: whole_bytes,
            sequence: replay.last_sequence,
        };
        let log = Log::at(path, file, written);
        if replay.records > 0 {
            log.mark(written);
        }
        Ok((log, replay))
    }

    /// Hands every valid record of a file to `visit`, also those behind damage, and says how the file ends. Changes nothing.
    ///
    /// # Errors
    /// As the disk and `visit` say.
    pub fn replay(
        disk: &dyn Disk,
        path: &Path,
        first_sequence: u64,
        visit: &mut dyn FnMut(Entry) -> Result<(), VectorsError>,
    ) -> Result<Replay, VectorsError> {
        let bytes = disk.map(path)?;
        bytes.advise(platform::mapping::Advice::Sequential);
        parse(bytes.as_slice(), first_sequence, visit)
    }

    /// Appends `entries`, whose sequences rise. They are durable after [`Log::sync_to`] of the last one.
    ///
    /// # Errors
    /// [`VectorsError::Limit`] for a record above [`RECORD_BYTES_MAX`] and [`VectorsError::Invalid`] for a payload that
    /// could not be read back; nothing is written then. [`VectorsError::Io`] when the disk fails, and
    /// [`VectorsError::ReadOnly`] from then on.
    ///
    /// # Panics
    /// When sequences do not rise.
    pub fn append(&self, entries: &[LogEntry<'_>]) -> Result<(), VectorsError> {
        let mut buffer = Vec::new();
        let mut written = self.written();
        let mut sequence = written.sequence;
        for entry in entries {
            assert!(entry.sequence > sequence, "sequences rise");
            sequence = entry.sequence;
            record::encode(entry, &mut buffer)?;
        }
        self.file.append(&buffer)?;
        written.bytes += buffer.len() as u64;
        written.sequence = sequence;
        Ok(())
    }

    /// Returns when every record up to `sequence` (or up to the last, if that is less) is durable. Of several threads that
    /// wait, the first syncs for all that were appended by then; the others wait for it.
    ///
    /// # Errors
    /// [`VectorsError::Io`] for who synced, [`VectorsError::ReadOnly`] for who waited and for everybody after.
    pub fn sync_to(&self, sequence: u64) -> Result<(), VectorsError> {
        self.sync.wait(sequence, || {
            let written = *self.written();
            self.file.sync()?;
            self.mark(written);
            Ok(written.sequence)
        })
    }

    /// As [`Log::sync_to`] for everything appended so far.
    ///
    /// # Errors
    /// As [`Log::sync_to`].
    pub fn sync(&self) -> Result<(), VectorsError> {
        let sequence = self.written().sequence;
        self.sync_to(sequence)
    }

    /// The last sequence appended; one below the file's first when there is none.
    pub fn last_sequence(&self) -> u64 {
        self.written().sequence
    }

    /// The last sequence known to be durable.
    pub fn durable_sequence(&self) -> u64 {
        self.sync.durable()
    }

    /// Bytes of the file.
    pub fn bytes(&self) -> u64 {
        self.written().bytes
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn at(path: &Path, file: Box<dyn DiskFile>, written: Written) -> Log {
        Log {
            path: path.to_owned(),
            file,
            sync: GroupSync::new(written.sequence),
            written: Mutex::new(written),
        }
    }

    /// Notes in the file how much of it was durable. A failure shows at the next append, which is the one that matters.
    fn mark(&self, durable: Written) {
        let mut buffer = Vec::with_capacity(record::MARK_BYTES);
        let mut written = self.written();
        record::encode_mark(written.sequence, durable.bytes, &mut buffer);
        if self.file.append(&buffer).is_ok() {
            written.bytes += buffer.len() as u64;
        }
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        // A panic while the lock was held left numbers that are valid one by one; the file's own state decides.
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of the log file that begins with `first_sequence`: names sort as their sequences do.
pub fn file_name(first_sequence: u64) -> String {
    format!("{first_sequence:020}.log")
}

/// The first sequence of a log file's name; `None` for other names.
pub fn sequence_of_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// The log files of a directory by rising first sequence; none when there is no such directory.
///
/// # Errors
/// As the disk says.
pub fn list(disk: &dyn Disk, directory: &Path) -> Result<Vec<(u64, PathBuf)>, VectorsError> {
    Ok(disk
        .list(directory)?
        .unwrap_or_default()
        .into_iter()
        .filter_map(|entry| Some((sequence_of_name(&entry.name)?, directory.join(entry.name))))
        .collect())
}

#[cfg(test)]
mod tests;
