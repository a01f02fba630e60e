//! Files in vector stores: put in, seen, described, taken out.

use security::{Action, Identity, TenantId};
use serde_json::{Map, Value};
use vectors::collection::{
    PayloadSelection, ScrollRequest, Selection, VectorSelection, With, WriteOptions,
};
use vectors::filter::FieldPath;

use super::chunks::{file_filter, payload_text, point_of};
use super::manage::{Embedder, check_limit};
use super::types::{
    AUTO_CHUNK_TOKENS, Attachment, AttachmentState, CHUNK_TOKENS_MAX, CHUNK_TOKENS_MIN, Chunking,
    NewStoreFile, STORE_FILES_MAX, check_attributes,
};
use crate::error::{Error, ErrorKind, Result};
use crate::records::{NewAttachment, Page, PageRequest};
use crate::service::Service;

/// Chunks in one page of a file's content.
const CONTENT_CHUNKS_MAX: usize = 1_000;
/// Tokens that models put around a text, of which chunks leave room.
const SPECIAL_TOKENS: u32 = 8;

/// A part of the text of a file in a vector store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreFileContent {
    /// Texts of chunks, in order. Neighbours share their overlap.
    pub texts: Vec<String>,
    /// The number of the first chunk behind these.
    pub next: Option<u64>,
}

impl Service {
    /// Puts a file into a vector store. It is worked on in the background; one that is in it already begins anew.
    ///
    /// # Errors
    /// `Forbidden`; `NotFound` for the store; `InvalidRequest` naming the field, also for a file that there is not;
    /// `Conflict` when the store is full.
    pub async fn vector_store_attach(
        &self,
        identity: &Identity,
        store_id: &str,
        file: NewStoreFile,
    ) -> Result<Attachment> {
        self.authorize(Some(identity), Action::WriteCollections)?;
        let store = self.live_store(&identity.tenant, store_id).await?;
        let embedder = self.embedder(&store.model).await?;
        let file_id = file.file_id.clone();
        let files = self
            .checked_files(&identity.tenant, &embedder, &[file])
            .await?;
        let now = self.unix_milliseconds();
        self.records
            .attach(&identity.tenant, store_id, &files, None, now, |count| {
                check_room(count, 1)
            })
            .await?;
        self.touch(&identity.tenant, &store).await?;
        self.wake_workers();
        self.vector_store_file(identity, store_id, &file_id).await
    }

    /// A page of the files in a vector store.
    ///
    /// # Errors
    /// `Forbidden`; `NotFound` for the store; `InvalidRequest` when the page begins at a file that is not in it, or is too
    /// long.
    pub async fn vector_store_files(
        &self,
        identity: &Identity,
        store_id: &str,
        state: Option<AttachmentState>,
        page: PageRequest,
    ) -> Result<Page<Attachment>> {
        self.authorize(Some(identity), Action::ReadCollections)?;
        check_limit(&page)?;
        self.store_row(&identity.tenant, store_id).await?;
        self.records
            .attachments(&identity.tenant, store_id, None, state, &page)
            .await
    }

    /// One file in a vector store.
    ///
    /// # Errors
    /// `Forbidden`; `NotFound` for the store or the file.
    pub async fn vector_store_file(
        &self,
        identity: &Identity,
        store_id: &str,
        file_id: &str,
    ) -> Result<Attachment> {
        self.authorize(Some(identity), Action::ReadCollections)?;
        self.store_row(&identity.tenant, store_id).await?;
        let found = self
            .records
            .attachment(&identity.tenant, store_id, file_id)
            .await?;
        found.ok_or_else(|| not_in_store(store_id, file_id))
    }

    /// Replaces what is said about a file in a vector store.
    ///
    /// # Errors
    /// As [`Service::vector_store_file`]; `InvalidRequest` for attributes that cannot be.
    pub async fn vector_store_file_describe(
        &self,
        identity: &Identity,
        store_id: &str,
        file_id: &str,
        attributes: Map<String, Value>,
    ) -> Result<Attachment> {
        self.authorize(Some(identity), Action::WriteCollections)?;
        check_attributes(&attributes)?;
        self.live_store(&identity.tenant, store_id).await?;
        let described = self
            .records
            .attachment_describe(&identity.tenant, store_id, file_id, &attributes)
            .await?;
        if !described {
            return Err(not_in_store(store_id, file_id));
        }
        self.describe_points(identity, store_id, file_id, attributes)
            .await?;
        self.vector_store_file(identity, store_id, file_id).await
    }

    pub(super) async fn describe_points(
        &self,
        identity: &Identity,
        store_id: &str,
        file_id: &str,
        attributes: Map<String, Value>,
    ) -> Result<()> {
        let mut payload = Map::new();
        payload.insert("attributes".to_owned(), Value::Object(attributes));
        let selection = Selection::Filter(file_filter(file_id));
        self.payload_set(
            identity,
            store_id,
            selection,
            payload,
            None,
            WriteOptions::durable(),
        )
        .await
        .map(drop)
    }

    /// Takes a file out of a vector store. The file itself stays.
    ///
    /// # Errors
    /// As [`Service::vector_store_file`].
    pub async fn vector_store_file_remove(
        &self,
        identity: &Identity,
        store_id: &str,
        file_id: &str,
    ) -> Result<()> {
        self.authorize(Some(identity), Action::WriteCollections)?;
        self.store_row(&identity.tenant, store_id).await?;
        let removed = self
            .records
            .attachment_remove(&identity.tenant, Some(store_id), file_id)
            .await?;
        if removed == 0 {
            return Err(not_in_store(store_id, file_id));
        }
        // Gone from searches when this returns. The row stays until a worker has looked again: one that is adding points of
        // this file right now sees it there.
        let gone = self.delete_points_of(identity, store_id, file_id).await;
        self.wake_workers();
        gone
    }

    /// Takes the points of a file away; a collection that is gone has none.
    pub(super) async fn delete_points_of(
        &self,
        identity: &Identity,
        store_id: &str,
        file_id: &str,
    ) -> Result<()> {
        let selection = Selection::Filter(file_filter(file_id));
        let deleted = self
            .points_delete(identity, store_id, selection, WriteOptions::durable())
            .await;
        match deleted {
            Err(error) if error.kind != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The text of a file in a vector store, chunk by chunk from `first` on.
    ///
    /// # Errors
    /// As [`Service::vector_store_file`].
    pub async fn vector_store_file_content(
        &self,
        identity: &Identity,
        store_id: &str,
        file_id: &str,
        first: u64,
    ) -> Result<StoreFileContent> {
        self.vector_store_file(identity, store_id, file_id).await?;
        let request = ScrollRequest {
            offset: Some(point_of(file_id, first)),
            limit: CONTENT_CHUNKS_MAX,
            filter: Some(file_filter(file_id)),
            order_by: None,
            with: With {
                payload: PayloadSelection::Include(vec![FieldPath::key("text")]),
                vectors: VectorSelection::None,
            },
        };
        let page = self.points_scroll(identity, store_id, request).await?;
        let texts: Vec<String> = page
            .points
            .iter()
            .map(|point| payload_text(point.payload.as_ref(), "text"))
            .collect();
        let next = page.next.map(|_| first + texts.len() as u64);
        Ok(StoreFileContent { texts, next })
    }

    /// Checks files that are to be put into a store: each is there, and its chunks fit the model.
    pub(super) async fn checked_files(
        &self,
        tenant: &TenantId,
        embedder: &Embedder,
        files: &[NewStoreFile],
    ) -> Result<Vec<NewAttachment>> {
        if files.len() > super::BATCH_FILES_MAX {
            let message = format!("At most {} files come at once.", super::BATCH_FILES_MAX);
            return Err(Error::invalid("file_ids", message));
        }
        let mut checked: Vec<NewAttachment> = Vec::with_capacity(files.len());
        for file in files {
            check_attributes(&file.attributes)?;
            let (chunk_tokens, overlap_tokens) = fitted(file.chunking, embedder.context_tokens)?;
            // A file that is named twice is there once.
            if checked.iter().any(|known| known.file_id == file.file_id) {
                continue;
            }
            self.file_of(tenant, &file.file_id)
                .await
                .map_err(|error| match error.kind {
                    ErrorKind::NotFound => error.at("file_id"),
                    _ => error,
                })?;
            checked.push(NewAttachment {
                file_id: file.file_id.clone(),
                attributes: file.attributes.clone(),
                chunk_tokens,
                overlap_tokens,
            });
        }
        Ok(checked)
    }

    pub(super) fn unix_milliseconds(&self) -> i64 {
        i64::try_from(self.clock.unix().as_millis()).unwrap_or(i64::MAX)
    }

    /// Notes that a vector store was used.
    pub(super) async fn touch(
        &self,
        tenant: &TenantId,
        store: &crate::records::StoreRow,
    ) -> Result<()> {
        let now = self.unix_seconds();
        self.records.store_touch(tenant, store, now).await
    }
}

/// Refuses more files than a store holds.
pub(super) fn check_room(count: u64, more: usize) -> Result<()> {
    if count.saturating_add(more as u64) <= STORE_FILES_MAX {
        return Ok(());
    }
    let message =
        format!("A vector store holds at most {STORE_FILES_MAX} files; this one has {count}.");
    Err(Error::new(ErrorKind::Conflict, message))
}

/// Tokens of a chunk and of its overlap, within what the model reads at once.
fn fitted(chunking: Chunking, context_tokens: u32) -> Result<(u32, u32)> {
    let (tokens, overlap) = match chunking {
        Chunking::Auto => (AUTO_CHUNK_TOKENS, AUTO_CHUNK_TOKENS / 2),
        Chunking::Static { tokens, overlap } => (tokens, overlap),
    };
    if !(CHUNK_TOKENS_MIN..=CHUNK_TOKENS_MAX).contains(&tokens) {
        let field = "chunking_strategy.static.max_chunk_size_tokens";
        let message = format!("Chunks have {CHUNK_TOKENS_MIN} to {CHUNK_TOKENS_MAX} tokens.");
        return Err(Error::invalid(field, message));
    }
    if overlap > tokens / 2 {
        let field = "chunking_strategy.static.chunk_overlap_tokens";
        let message = "The overlap is at most half of a chunk.";
        return Err(Error::invalid(field, message));
    }
    let fitting = tokens.min(
        context_tokens
            .saturating_sub(SPECIAL_TOKENS)
            .max(SPECIAL_TOKENS),
    );
    Ok((fitting, overlap.min(fitting / 2)))
}

pub(super) fn not_in_store(store_id: &str, file_id: &str) -> Error {
    let shown: String = file_id.chars().take(64).collect();
    let message = format!("No file found with id '{shown}' in vector store '{store_id}'.");
    Error::new(ErrorKind::NotFound, message).at("file_id")
}
