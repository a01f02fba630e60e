//! Batches: files that are put into a vector store together.

use security::{Action, Identity};

use super::attach::check_room;
use super::manage::check_limit;
use super::types::{Attachment, AttachmentState, FileBatch, NewStoreFile};
use crate::error::{Error, ErrorKind, Result};
use crate::identifiers;
use crate::records::{BatchRow, Page, PageRequest};
use crate::service::Service;

impl Service {
    /// Puts files into a vector store, all or none.
    ///
    /// # Errors
    /// As [`Service::vector_store_attach`].
    pub async fn vector_store_batch_create(
        &self,
        identity: &Identity,
        store_id: &str,
        files: Vec<NewStoreFile>,
    ) -> Result<FileBatch> {
        self.authorize(Some(identity), Action::WriteCollections)?;
        if files.is_empty() {
            return Err(Error::invalid("file_ids", "A batch has at least one file."));
        }
        let store = self.live_store(&identity.tenant, store_id).await?;
        let embedder = self.embedder(&store.model).await?;
        let files = self
            .checked_files(&identity.tenant, &embedder, &files)
            .await?;
        let batch = BatchRow {
            id: identifiers::prefixed("vsfb_")?,
            created_ms: self.unix_milliseconds(),
            cancelled: false,
        };
        self.records
            .attach(
                &identity.tenant,
                store_id,
                &files,
                Some(&batch),
                batch.created_ms,
                |count| check_room(count, files.len()),
            )
            .await?;
        self.touch(&identity.tenant, &store).await?;
        self.wake_workers();
        self.vector_store_batch(identity, store_id, &batch.id).await
    }

    /// One batch of a vector store.
    ///
    /// # Errors
    /// `Forbidden`; `NotFound` for the store or the batch.
    pub async fn vector_store_batch(
        &self,
        identity: &Identity,
        store_id: &str,
        batch_id: &str,
    ) -> Result<FileBatch> {
        self.authorize(Some(identity), Action::ReadCollections)?;
        self.store_row(&identity.tenant, store_id).await?;
        let row = self
            .records
            .batch(&identity.tenant, store_id, batch_id)
            .await?
            .ok_or_else(|| {
                let shown: String = batch_id.chars().take(64).collect();
                let message =
                    format!("No file batch found with id '{shown}' in vector store '{store_id}'.");
                Error::new(ErrorKind::NotFound, message).at("batch_id")
            })?;
        let counts = self
            .records
            .counts_of_batch(&identity.tenant, store_id, batch_id)
            .await?;
        Ok(FileBatch {
            id: row.id,
            created_ms: row.created_ms,
            cancelled: row.cancelled,
            counts,
        })
    }

    /// Cancels what of a batch is not done. Files that are done stay in the store.
    ///
    /// # Errors
    /// As [`Service::vector_store_batch`].
    pub async fn vector_store_batch_cancel(
        &self,
        identity: &Identity,
        store_id: &str,
        batch_id: &str,
    ) -> Result<FileBatch> {
        self.authorize(Some(identity), Action::WriteCollections)?;
        let batch = self
            .vector_store_batch(identity, store_id, batch_id)
            .await?;
        if batch.counts.in_progress > 0 {
            self.records
                .batch_cancel(&identity.tenant, store_id, batch_id)
                .await?;
            self.wake_workers();
        }
        self.vector_store_batch(identity, store_id, batch_id).await
    }

    /// A page of the files of a batch.
    ///
    /// # Errors
    /// As [`Service::vector_store_files`]; `NotFound` for the batch.
    pub async fn vector_store_batch_files(
        &self,
        identity: &Identity,
        store_id: &str,
        batch_id: &str,
        state: Option<AttachmentState>,
        page: PageRequest,
    ) -> Result<Page<Attachment>> {
        check_limit(&page)?;
        self.vector_store_batch(identity, store_id, batch_id)
            .await?;
        self.records
            .attachments(&identity.tenant, store_id, Some(batch_id), state, &page)
            .await
    }
}
