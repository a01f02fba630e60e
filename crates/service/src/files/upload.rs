//! A file on its way in: bytes go to disk as they come, so that an upload of any size holds one buffer of memory.

use std::io::{self, Write};
use std::path::PathBuf;

use platform::files::{AtomicFile, Sha256Hasher};
use security::TenantId;
use tokio::sync::OwnedSemaphorePermit;

use super::disk::cannot_write;
use crate::error::{Error, ErrorKind, Result};
use crate::failures;
use crate::generation::InFlight;

/// Bytes that are gathered before they are written: large enough that handing them to a thread does not matter, small
/// enough that all uploads together hold a few megabytes.
pub(super) const UPLOAD_BUFFER_BYTES: usize = 256 << 10;

/// A file that is being sent. Dropping it leaves nothing behind.
pub struct Upload {
    pub(super) tenant: TenantId,
    pub(super) id: String,
    /// `None` after a failure: what reached the disk is unknown then.
    writing: Option<Writing>,
    buffer: Vec<u8>,
    bytes: u64,
    bytes_max: u64,
    path: PathBuf,
    place: OwnedSemaphorePermit,
    _guard: InFlight,
}

struct Writing {
    file: AtomicFile,
    hasher: Sha256Hasher,
}

/// What an upload became.
pub(super) struct Finished {
    pub bytes: u64,
    pub sha256: String,
}

/// What an upload needs from the service.
pub(super) struct Begin {
    pub tenant: TenantId,
    pub id: String,
    pub path: PathBuf,
    pub file: AtomicFile,
    pub bytes_max: u64,
    pub place: OwnedSemaphorePermit,
    pub guard: InFlight,
}

impl Upload {
    pub(super) fn new(begin: Begin) -> Self {
        Upload {
            tenant: begin.tenant,
            id: begin.id,
            writing: Some(Writing {
                file: begin.file,
                hasher: Sha256Hasher::new(),
            }),
            buffer: Vec::new(),
            bytes: 0,
            bytes_max: begin.bytes_max,
            path: begin.path,
            place: begin.place,
            _guard: begin.guard,
        }
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// `TooLarge` when the file is larger than files may be; `Unavailable` when the disk is full; `Internal` when it fails.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes += bytes.len() as u64;
        if self.bytes > self.bytes_max {
            self.writing = None;
            return Err(too_large(self.bytes_max));
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = UPLOAD_BUFFER_BYTES.saturating_sub(self.buffer.len());
            let (now, later) = rest.split_at(room.min(rest.len()));
            self.buffer.extend_from_slice(now);
            rest = later;
            if self.buffer.len() >= UPLOAD_BUFFER_BYTES {
                self.flush().await?;
            }
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        let buffer = std::mem::take(&mut self.buffer);
        let mut writing = self.writing.take().ok_or_else(failed_before)?;
        // Taken by the thread: when the caller goes away meanwhile, the thread drops it, and with it the file.
        let (writing, mut buffer) = self
            .blocking(move || {
                writing.file.write_all(&buffer)?;
                writing.hasher.update(&buffer);
                Ok((writing, buffer))
            })
            .await?;
        buffer.clear();
        self.buffer = buffer;
        self.writing = Some(writing);
        Ok(())
    }

    /// Syncs the bytes and gives the file its name.
    pub(super) async fn commit(&mut self) -> Result<Finished> {
        self.flush().await?;
        let writing = self.writing.take().ok_or_else(failed_before)?;
        self.blocking(move || {
            let (bytes, sha256) = (writing.hasher.length_bytes(), writing.hasher.finish());
            writing.file.commit()?;
            Ok(Finished { bytes, sha256 })
        })
        .await
    }

    /// Whose it is, its id, and its place among the uploads; for what was committed.
    pub(super) fn into_parts(self) -> (TenantId, String, OwnedSemaphorePermit) {
        (self.tenant, self.id, self.place)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        tokio::task::spawn_blocking(work)
            .await
            .map_err(failures::internal)?
            .map_err(|error| cannot_write(&self.path, &error))
    }
}

fn failed_before() -> Error {
    Error::new(ErrorKind::Internal, "This upload failed before.")
}

/// A file that is larger than files may be.
pub(super) fn too_large(bytes_max: u64) -> Error {
    Error::new(
        ErrorKind::TooLarge,
        format!(
            "The file is larger than {bytes_max} bytes, which is the most that one file may have."
        ),
    )
    .at("file")
}
