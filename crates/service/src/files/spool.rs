//! An upload that is read once by the server and never becomes a file of its owner.

use std::path::{Path, PathBuf};

use security::TenantId;
use tokio::sync::OwnedSemaphorePermit;

use super::disk::Disk;
use super::upload::Upload;
use crate::error::Result;
use crate::service::Service;

/// Bytes on disk that no row speaks of; they go when this is dropped, or at the next start.
pub(crate) struct Spooled {
    disk: Disk,
    tenant: TenantId,
    id: String,
    path: PathBuf,
    sha256: String,
    /// The place among the uploads is given back with the bytes.
    _place: OwnedSemaphorePermit,
}

impl Spooled {
    /// Where the bytes are.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Their SHA-256 in hexadecimal.
    pub(crate) fn sha256(&self) -> &str {
        &self.sha256
    }
}

impl Drop for Spooled {
    fn drop(&mut self) {
        self.disk.remove(&self.tenant, &self.id);
    }
}

impl Service {
    /// Ends an upload whose bytes are needed only as long as the result lives.
    pub(crate) async fn file_spool(&self, mut upload: Upload) -> Result<Spooled> {
        let finished = upload.commit().await?;
        let disk = self.files.disk.clone();
        let (tenant, id, place) = upload.into_parts();
        Ok(Spooled {
            path: disk.path(&tenant, &id),
            sha256: finished.sha256,
            disk,
            tenant,
            id,
            _place: place,
        })
    }
}
