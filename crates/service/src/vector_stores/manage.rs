//! Making, seeing, changing and deleting vector stores.

use std::collections::BTreeMap;

use inference::files::gguf::Kind;
use security::{Action, Identity, TenantId};
use vectors::filter::FieldPath;
use vectors::payload::PayloadIndexKind;
use vectors::schema::{
    CollectionSchema, Datatype, HnswParameters, IndexKind, Metric, Quantization, VectorSchema,
};

use super::types::{
    NewVectorStore, STORES_PAGE_MAX, VECTOR_STORES_MAX, VectorStore, VectorStoreChange, check_days,
    check_metadata, check_name,
};
use crate::error::{Error, ErrorKind, Result};
use crate::identifiers;
use crate::records::{FileCounts, Page, PageRequest, StoreChange, StoreRow};
use crate::service::Service;

/// Name of the sparse vector of words.
pub(super) const WORDS: &str = "bm25";

/// What is known of an embedding model before it is loaded.
#[derive(Debug, Clone)]
pub(super) struct Embedder {
    pub name: String,
    pub dimensions: u32,
    /// Tokens it reads at once.
    pub context_tokens: u32,
}

impl Service {
    /// Makes a vector store, and puts files into it.
    ///
    /// # Errors
    /// `Forbidden`; `NotFound` (code `model_not_found`) when the embedding model is not in the store; `InvalidRequest`
    /// naming the field, also for a file that there is not; `Conflict` when there are too many.
    pub async fn vector_store_create(
        &self,
        identity: &Identity,
        new: NewVectorStore,
    ) -> Result<VectorStore> {
        self.authorize(Some(identity), Action::ManageCollections)?;
        check_name("name", &new.name)?;
        if let Some(description) = &new.description {
            check_name("description", description)?;
        }
        check_metadata(&new.metadata)?;
        check_days(new.expires_after_days)?;
        let model = self.vector_stores.options.embedding_model.clone();
        let embedder = self.embedder(&model).await?;
        let files = self
            .checked_files(&identity.tenant, &embedder, &new.files)
            .await?;
        let now = self.clock.unix();
        let row = StoreRow {
            id: identifiers::prefixed("vs_")?,
            name: new.name,
            description: new.description,
            metadata: new.metadata,
            model,
            created_ms: i64::try_from(now.as_millis()).unwrap_or(i64::MAX),
            last_active_unix: self.unix_seconds(),
            expires_days: new.expires_after_days,
            expired_unix: None,
        };
        // The collection first: a vector store that is seen has one.
        self.collection_create(identity, &row.id, schema(embedder.dimensions))
            .await?;
        let filled = self.fill_new_store(identity, &row, files).await;
        if let Err(error) = filled {
            let undone = async {
                self.records.store_delete(&identity.tenant, &row.id).await?;
                self.collection_delete(identity, &row.id).await
            };
            if let Err(error) = undone.await {
                tracing::warn!(collection = row.id, %error, "a vector store that could not be made left its collection behind");
            }
            return Err(error);
        }
        self.wake_workers();
        self.vector_store(identity, &row.id).await
    }

    async fn fill_new_store(
        &self,
        identity: &Identity,
        row: &StoreRow,
        files: Vec<crate::records::NewAttachment>,
    ) -> Result<()> {
        // Points of a file are found by it whenever it leaves the store or begins anew.
        self.payload_index_create(
            identity,
            &row.id,
            FieldPath::key("file_id"),
            PayloadIndexKind::Keyword,
        )
        .await?;
        self.records
            .store_insert(&identity.tenant, row, |count| {
                if count < VECTOR_STORES_MAX {
                    return Ok(());
                }
                let message = format!("There are {count} vector stores already; delete one first.");
                Err(Error::new(ErrorKind::Conflict, message))
            })
            .await?;
        if files.is_empty() {
            return Ok(());
        }
        self.records
            .attach(
                &identity.tenant,
                &row.id,
                &files,
                None,
                row.created_ms,
                |_| Ok(()),
            )
            .await
    }

    /// A page of the tenant's vector stores.
    ///
    /// # Errors
    /// `Forbidden`; `InvalidRequest` when the page begins at one that there is not, or is too long.
    pub async fn vector_store_list(
        &self,
        identity: &Identity,
        page: PageRequest,
    ) -> Result<Page<VectorStore>> {
        self.authorize(Some(identity), Action::ReadCollections)?;
        check_limit(&page)?;
        let found = self.records.stores(&identity.tenant, &page).await?;
        let ids: Vec<&str> = found.items.iter().map(|row| row.id.as_str()).collect();
        let counts = self
            .records
            .counts_of_stores(&identity.tenant, &ids)
            .await?;
        let now = self.unix_seconds();
        let items = found.items.into_iter().map(|row| {
            let of_store = counts.get(&row.id).copied().unwrap_or_default();
            vector_store(row, of_store, now)
        });
        Ok(Page {
            items: items.collect(),
            has_more: found.has_more,
        })
    }

    /// One vector store.
    ///
    /// # Errors
    /// `Forbidden`; `NotFound`, also for those of others.
    pub async fn vector_store(&self, identity: &Identity, id: &str) -> Result<VectorStore> {
        self.authorize(Some(identity), Action::ReadCollections)?;
        let row = self.store_row(&identity.tenant, id).await?;
        let counts = self
            .records
            .counts_of_stores(&identity.tenant, &[&row.id])
            .await?;
        let counts = counts.get(&row.id).copied().unwrap_or_default();
        Ok(vector_store(row, counts, self.unix_seconds()))
    }

    /// Changes a vector store's name, facts or life.
    ///
    /// # Errors
    /// As [`Service::vector_store`]; `InvalidRequest` naming the field.
    pub async fn vector_store_update(
        &self,
        identity: &Identity,
        id: &str,
        change: VectorStoreChange,
    ) -> Result<VectorStore> {
        self.authorize(Some(identity), Action::ManageCollections)?;
        if let Some(name) = &change.name {
            check_name("name", name)?;
        }
        if let Some(metadata) = &change.metadata {
            check_metadata(metadata)?;
        }
        check_days(change.expires_after_days.flatten())?;
        let change = StoreChange {
            name: change.name,
            metadata: change.metadata,
            expires_days: change.expires_after_days,
        };
        if !self
            .records
            .store_update(&identity.tenant, id, &change)
            .await?
        {
            return Err(no_such_store(id));
        }
        self.vector_store(identity, id).await
    }

    /// Deletes a vector store with its points. The files stay.
    ///
    /// # Errors
    /// As [`Service::vector_store`].
    pub async fn vector_store_delete(&self, identity: &Identity, id: &str) -> Result<()> {
        self.authorize(Some(identity), Action::ManageCollections)?;
        self.store_row(&identity.tenant, id).await?;
        // The points first: a vector store that is seen without them can be deleted again.
        self.collection_delete(identity, id).await?;
        self.records.store_delete(&identity.tenant, id).await?;
        Ok(())
    }

    pub(super) async fn store_row(&self, tenant: &TenantId, id: &str) -> Result<StoreRow> {
        let found = self.records.store(tenant, id).await?;
        found.ok_or_else(|| no_such_store(id))
    }

    /// One that can be searched and filled.
    pub(super) async fn live_store(&self, tenant: &TenantId, id: &str) -> Result<StoreRow> {
        let row = self.store_row(tenant, id).await?;
        if row.is_expired(self.unix_seconds()) {
            let message = format!(
                "The vector store '{id}' has expired: nobody used it for long enough. Make a new one."
            );
            return Err(
                Error::invalid("vector_store_id", message).with_code("vector_store_expired")
            );
        }
        Ok(row)
    }

    /// What is known of an embedding model.
    ///
    /// # Errors
    /// `NotFound` (code `model_not_found`) when it is not in the store; `InvalidRequest` when it makes no embeddings.
    pub(super) async fn embedder(&self, model: &str) -> Result<Embedder> {
        let found = self.catalog.find(model).await.map_err(|error| match error.kind {
            ErrorKind::NotFound => Error::new(
                ErrorKind::NotFound,
                format!(
                    "The embedding model '{model}' is not on this server. Its operator can fetch it with `fornax pull`, or name another one as `collections.embedding_model`."
                ),
            )
            .with_code("model_not_found"),
            _ => error,
        })?;
        let facts = &found.manifest.facts;
        let dimensions = facts
            .embedding_length
            .and_then(|width| u32::try_from(width).ok());
        match (facts.kind, dimensions) {
            (Kind::Embed, Some(dimensions)) if dimensions > 0 => Ok(Embedder {
                name: found.manifest.name.clone(),
                dimensions,
                context_tokens: facts
                    .context_length
                    .and_then(|tokens| u32::try_from(tokens).ok())
                    .unwrap_or(u32::MAX),
            }),
            _ => Err(Error::invalid(
                "model",
                format!(
                    "The model '{model}', which is configured as `collections.embedding_model`, makes no embeddings."
                ),
            )),
        }
    }
}

/// What every collection of texts has: vectors of meaning without a name, and vectors of words.
fn schema(dimensions: u32) -> CollectionSchema {
    let meaning = VectorSchema::Dense {
        dimensions,
        metric: Metric::Cosine,
        datatype: Datatype::Float32,
        multi: false,
        index: IndexKind::Auto,
        hnsw: HnswParameters::default(),
        quantization: Quantization::Auto,
        on_disk: false,
    };
    let words = VectorSchema::Sparse { idf: true };
    CollectionSchema {
        vectors: BTreeMap::from([(String::new(), meaning), (WORDS.to_owned(), words)]),
        ..CollectionSchema::default()
    }
}

pub(super) fn check_limit(page: &PageRequest) -> Result<()> {
    if (1..=STORES_PAGE_MAX).contains(&page.limit) {
        return Ok(());
    }
    let message = format!("`limit` must lie between 1 and {STORES_PAGE_MAX}.");
    Err(Error::invalid("limit", message))
}

fn vector_store(row: StoreRow, counts: FileCounts, now_unix: i64) -> VectorStore {
    VectorStore {
        expires_unix: row.expires_unix(),
        expired: row.is_expired(now_unix),
        id: row.id,
        name: row.name,
        description: row.description,
        metadata: row.metadata,
        model: row.model,
        created_ms: row.created_ms,
        last_active_unix: row.last_active_unix,
        expires_after_days: row.expires_days,
        counts,
    }
}

/// The same words for one that is another's.
pub(super) fn no_such_store(id: &str) -> Error {
    let shown: String = id.chars().take(64).collect();
    let message = format!("Vector store with id '{shown}' not found.");
    Error::new(ErrorKind::NotFound, message).at("vector_store_id")
}
