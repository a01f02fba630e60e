//! The use cases of files.

use std::sync::Arc;
use std::time::Duration;

use security::{Action, Identity, TenantId};
use tokio::sync::Semaphore;

use super::types::{EXPIRY_SECONDS_MAX, EXPIRY_SECONDS_MIN, FILES_PAGE_MAX, checked_name};
use super::upload::{Begin, too_large};
use super::{Disk, FileContent, FileOptions, FilesPage, NewFile, StoredFile, Upload};
use crate::error::{Error, ErrorKind, Result};
use crate::failures;
use crate::identifiers;
use crate::records::Page;
use crate::service::Service;

/// Most files without a row that a crash leaves: uploads and deletions under way, with room to spare.
const ORPHANS_MAX: usize = 64;
/// Files that one round of tidying takes away.
const EXPIRED_PER_ROUND: u32 = 256;

/// The files' part of a service.
pub(crate) struct Files {
    pub(crate) disk: Disk,
    options: FileOptions,
    uploads: Arc<Semaphore>,
}

impl Files {
    pub(crate) fn new(options: FileOptions) -> Self {
        let places = options.uploads_max.clamp(1, Semaphore::MAX_PERMITS);
        Files {
            disk: Disk::new(options.directory.clone()),
            uploads: Arc::new(Semaphore::new(places)),
            options,
        }
    }
}

/// Takes bytes away again unless their row was written.
struct Unclaimed<'a> {
    disk: &'a Disk,
    tenant: &'a TenantId,
    id: &'a str,
    claimed: bool,
}

impl Drop for Unclaimed<'_> {
    fn drop(&mut self) {
        if !self.claimed {
            self.disk.remove(self.tenant, self.id);
        }
    }
}

impl Service {
    /// Largest file, in bytes.
    pub fn file_bytes_max(&self) -> u64 {
        self.files.options.bytes_max
    }

    /// Begins an upload. `declared` is its size in bytes when the caller knows it.
    ///
    /// # Errors
    /// `Forbidden`; `TooLarge` when the declared size is; `Overloaded` when too many uploads are under way; as the disk
    /// says.
    pub async fn file_begin(&self, identity: &Identity, declared: Option<u64>) -> Result<Upload> {
        self.authorize(Some(identity), Action::WriteFiles)?;
        let guard = self.enter()?;
        let bytes_max = self.files.options.bytes_max;
        if declared.is_some_and(|bytes| bytes > bytes_max) {
            return Err(too_large(bytes_max));
        }
        let place =
            Semaphore::try_acquire_owned(Arc::clone(&self.files.uploads)).map_err(|_| {
                Error::new(
                    ErrorKind::Overloaded,
                    "Too many files are being uploaded at once.",
                )
                .retry_after(Duration::from_secs(1))
            })?;
        let id = identifiers::prefixed("file-")?;
        let (disk, tenant) = (self.files.disk.clone(), identity.tenant.clone());
        let (begun, named) = (tenant.clone(), id.clone());
        let file = tokio::task::spawn_blocking(move || disk.begin(&begun, &named))
            .await
            .map_err(failures::internal)??;
        Ok(Upload::new(Begin {
            path: self.files.disk.path(&tenant, &id),
            tenant,
            id,
            file,
            bytes_max,
            place,
            guard,
        }))
    }

    /// Ends an upload: the file is on disk, and found from then on.
    ///
    /// # Errors
    /// `InvalidRequest` for a name, life or purpose that a file cannot have, or an empty file; `Conflict` when the tenant's
    /// room is used up; as the disk and the database say. Nothing is kept then.
    pub async fn file_finish(
        &self,
        identity: &Identity,
        mut upload: Upload,
        new: NewFile,
    ) -> Result<StoredFile> {
        self.authorize(Some(identity), Action::WriteFiles)?;
        if upload.tenant != identity.tenant {
            return Err(failures::internal("an upload was ended by another tenant"));
        }
        if !new.purpose.is_uploaded() {
            let message = format!("Files for '{}' are made by the server.", new.purpose.name());
            return Err(Error::invalid("purpose", message));
        }
        let filename = checked_name(&new.filename)?;
        if let Some(life) = new.expires_after
            && !(EXPIRY_SECONDS_MIN..=EXPIRY_SECONDS_MAX).contains(&life.as_secs())
        {
            let message = format!(
                "A file lives from {EXPIRY_SECONDS_MIN} seconds (an hour) to {EXPIRY_SECONDS_MAX} (30 days)."
            );
            return Err(Error::invalid("expires_after.seconds", message));
        }
        if upload.bytes() == 0 {
            return Err(Error::invalid("file", "The file is empty."));
        }
        let finished = upload.commit().await?;
        let (tenant, id) = (upload.tenant.clone(), upload.id.clone());
        let mut unclaimed = Unclaimed {
            disk: &self.files.disk,
            tenant: &tenant,
            id: &id,
            claimed: false,
        };
        let now = self.clock.unix();
        let life = new.expires_after.or(new.purpose.usual_life());
        let file = StoredFile {
            id: id.clone(),
            filename,
            purpose: new.purpose,
            bytes: finished.bytes,
            sha256: finished.sha256,
            created_ms: i64::try_from(now.as_millis()).unwrap_or(i64::MAX),
            expires_unix: life
                .map(|life| i64::try_from((now + life).as_secs()).unwrap_or(i64::MAX)),
        };
        let options = &self.files.options;
        self.records
            .file_insert(&tenant, &file, |used| {
                let full = if used.count >= options.tenant_files_max {
                    format!("there are {} already", used.count)
                } else if used.bytes.saturating_add(file.bytes) > options.tenant_bytes_max {
                    format!(
                        "all files together may have {} bytes",
                        options.tenant_bytes_max
                    )
                } else {
                    return Ok(());
                };
                let message = format!("There is no room for this file: {full}. Delete some first.");
                Err(Error::new(ErrorKind::Conflict, message).with_code("storage_limit_exceeded"))
            })
            .await?;
        unclaimed.claimed = true;
        Ok(file)
    }

    /// A page of the tenant's files.
    ///
    /// # Errors
    /// `Forbidden`; `InvalidRequest` when the page begins at a file that is not there, or is larger than pages may be.
    pub async fn file_list(
        &self,
        identity: &Identity,
        wanted: FilesPage,
    ) -> Result<Page<StoredFile>> {
        self.authorize(Some(identity), Action::ReadFiles)?;
        if !(1..=FILES_PAGE_MAX).contains(&wanted.page.limit) {
            let message = format!("`limit` must lie between 1 and {FILES_PAGE_MAX}.");
            return Err(Error::invalid("limit", message));
        }
        let purpose = wanted.purpose.map(super::FilePurpose::name);
        let now = self.unix_seconds();
        self.records
            .files(&identity.tenant, purpose, &wanted.page, now)
            .await
    }

    /// One file.
    ///
    /// # Errors
    /// `Forbidden`; `NotFound`, also for the files of others.
    pub async fn file(&self, identity: &Identity, id: &str) -> Result<StoredFile> {
        self.authorize(Some(identity), Action::ReadFiles)?;
        self.file_of(&identity.tenant, id).await
    }

    pub(crate) async fn file_of(&self, tenant: &TenantId, id: &str) -> Result<StoredFile> {
        let found = self.records.file(tenant, id, self.unix_seconds()).await?;
        found.ok_or_else(|| no_such_file(id))
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// As [`Service::file`]; `DataLoss` when the bytes are gone.
    pub async fn file_content(&self, identity: &Identity, id: &str) -> Result<FileContent> {
        let file = self.file(identity, id).await?;
        let (disk, tenant, name) = (
            self.files.disk.clone(),
            identity.tenant.clone(),
            file.id.clone(),
        );
        let source = tokio::task::spawn_blocking(move || disk.open(&tenant, &name))
            .await
            .map_err(failures::internal)??;
        Ok(FileContent {
            left: file.bytes,
            file,
            source,
        })
    }

    /// Deletes a file, also from the vector stores that hold it.
    ///
    /// # Errors
    /// As [`Service::file`].
    pub async fn file_delete(&self, identity: &Identity, id: &str) -> Result<()> {
        self.authorize(Some(identity), Action::WriteFiles)?;
        self.file_of(&identity.tenant, id).await?;
        self.remove_file(&identity.tenant, id).await
    }

    async fn remove_file(&self, tenant: &TenantId, id: &str) -> Result<()> {
        // It leaves vector stores first: when that fails, it can be deleted again.
        if self.records.attachment_remove(tenant, None, id).await? > 0 {
            self.wake_workers();
        }
        // The row first: bytes without a row are removed by the next start, a row without bytes is a broken promise.
        self.records.file_delete(tenant, id).await?;
        let (disk, tenant, id) = (self.files.disk.clone(), tenant.clone(), id.to_owned());
        tokio::task::spawn_blocking(move || disk.remove(&tenant, &id))
            .await
            .map_err(failures::internal)
    }

    /// Removes what uploads and deletions left behind when the process was killed. Called once, before anything is served.
    ///
    /// # Errors
    /// The directory or the database cannot be read.
    pub async fn recover_files(&self) -> Result<()> {
        let disk = self.files.disk.clone();
        let found = tokio::task::spawn_blocking(move || disk.scan())
            .await
            .map_err(failures::internal)?
            .map_err(failures::internal)?;
        let (mut known, mut orphans) = (0usize, Vec::new());
        for one in found {
            if self.records.file_is_known(&one.tenant, &one.id).await? {
                known += 1;
            } else {
                orphans.push(one);
            }
        }
        // A crash leaves few. Many, or nothing but them, is what another database looks like: somebody changed where the
        // metadata is, and would lose every file.
        if orphans.len() > ORPHANS_MAX || (known == 0 && !orphans.is_empty()) {
            tracing::warn!(
                files = orphans.len(),
                "files are on disk that the metadata database does not know; they are left alone. Is `metadata.url` right?"
            );
            return Ok(());
        }
        orphans.iter().for_each(Disk::remove_orphan);
        Ok(())
    }

    /// Removes files whose time is over; gives how many. They could not be seen any more already.
    ///
    /// # Errors
    /// The database failed.
    pub(crate) async fn expire_files(&self) -> Result<usize> {
        let mut count = 0;
        loop {
            let now = self.unix_seconds();
            let expired = self.records.files_expired(now, EXPIRED_PER_ROUND).await?;
            if expired.is_empty() {
                return Ok(count);
            }
            for (tenant, id) in expired {
                self.remove_file(&tenant, &id).await?;
                count += 1;
            }
        }
    }

    pub(crate) fn unix_seconds(&self) -> i64 {
        i64::try_from(self.clock.unix().as_secs()).unwrap_or(i64::MAX)
    }
}

/// OpenAI's words.
pub(crate) fn no_such_file(id: &str) -> Error {
    let shown: String = id.chars().take(64).collect();
    Error::new(ErrorKind::NotFound, format!("No such File object: {shown}")).at("id")
}
