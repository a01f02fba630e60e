//! Where chunks go: the collection, made when it is missing, and the model that made its vectors.

use std::collections::BTreeMap;

use documents::ChunkingOptions;
use inference::files::gguf::Kind;
use security::Identity;
use vectors::schema::{
    CollectionSchema, Datatype, HnswParameters, IndexKind, Metric, Quantization, VectorSchema,
};

use super::types::IngestOptions;
use crate::error::{Error, ErrorKind, Result};
use crate::service::Service;

/// Name of the sparse vector of words, and of the model that makes it.
pub(super) const WORDS: &str = "bm25";
/// Tokens of a chunk when nothing is said: a few paragraphs, and what small embedding models were trained on.
const SIZE: usize = 256;
/// Part of a chunk that repeats the one before, when nothing is said.
const OVERLAP_PART: usize = 8;
/// Tokens that models add around an input.
const SPECIAL_TOKENS: usize = 2;

/// What is known before the first chunk.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// The embedding model's full name.
    pub(super) model: String,
    /// Digest of its weights.
    pub(super) digest: String,
    pub(super) dimensions: u32,
    /// Whether the collection exists.
    pub(super) exists: bool,
    /// Whether it has the unnamed dense vector.
    pub(super) dense: bool,
    /// Whether it has the sparse vector of words.
    pub(super) words: bool,
    /// How text is cut; the strategy may still depend on the file.
    pub(super) chunking: ChunkingOptions,
}

impl Service {
    /// Finds the model and looks at the collection; changes nothing.
    pub(super) async fn ingest_target(
        &self,
        identity: &Identity,
        collection: &str,
        options: &IngestOptions,
    ) -> Result<Target> {
        let schema = match self.collection_schema(identity, collection).await {
            Ok(schema) => Some(schema),
            Err(error) if error.kind == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let exists = schema.is_some();
        let (dense, words) = match &schema {
            None => (true, true),
            Some(schema) => (
                matches!(
                    schema.vectors.get(""),
                    Some(VectorSchema::Dense { multi: false, .. })
                ),
                matches!(schema.vectors.get(WORDS), Some(VectorSchema::Sparse { .. })),
            ),
        };
        if !dense && !words {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "The collection '{collection}' has neither an unnamed dense vector nor a sparse vector '{WORDS}', so texts cannot be put into it."
                ),
            ));
        }
        let name = match &options.model {
            Some(name) => name.clone(),
            None => self.ingest_model(identity, collection, exists).await?,
        };
        let found = self.catalog.find(&name).await?;
        let facts = &found.manifest.facts;
        let width = facts
            .embedding_length
            .and_then(|width| u32::try_from(width).ok());
        let Some(dimensions) = width.filter(|width| *width > 0 && facts.kind == Kind::Embed) else {
            return Err(Error::invalid(
                "model",
                format!("The model '{name}' makes no embeddings."),
            ));
        };
        let context = facts
            .context_length
            .and_then(|tokens| usize::try_from(tokens).ok())
            .unwrap_or(usize::MAX);
        Ok(Target {
            model: found.manifest.name.clone(),
            digest: found.manifest.digest.clone(),
            dimensions,
            exists,
            dense,
            words,
            chunking: chunking(options, context.saturating_sub(SPECIAL_TOKENS))?,
        })
    }

    /// The model of a request that names none.
    async fn ingest_model(
        &self,
        identity: &Identity,
        collection: &str,
        exists: bool,
    ) -> Result<String> {
        if exists {
            let known = self.collection_models(identity, collection).await?;
            if let Some(model) = known.get("") {
                return Ok(model.model.clone());
            }
        }
        let models = self.catalog.blocking(|store| store.list()).await?;
        let mut embedding = models
            .iter()
            .filter(|manifest| manifest.facts.kind == Kind::Embed)
            .map(|manifest| manifest.name.clone());
        match (embedding.next(), embedding.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => Err(Error::invalid(
                "model",
                "There is no embedding model in the store; fetch one with `fornax pull`.",
            )),
            (Some(_), Some(_)) => Err(Error::invalid(
                "model",
                "There are several embedding models in the store; say which one makes the vectors.",
            )),
        }
    }

    /// Makes the collection, unless somebody was faster.
    pub(super) async fn ingest_collection(
        &self,
        identity: &Identity,
        collection: &str,
        target: &Target,
    ) -> Result<()> {
        if target.exists {
            return Ok(());
        }
        match self
            .collection_create(identity, collection, schema(target.dimensions))
            .await
        {
            Err(error) if error.kind == ErrorKind::Conflict => Ok(()),
            made => made,
        }
    }
}

/// Vectors of meaning without a name, and vectors of words.
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

fn chunking(options: &IngestOptions, room: usize) -> Result<ChunkingOptions> {
    let choice = &options.chunking;
    let size = choice.size.unwrap_or(SIZE.min(room));
    if size > room {
        return Err(Error::invalid(
            "chunk_size",
            format!("The model reads {room} tokens of a text at most."),
        ));
    }
    let chunking = ChunkingOptions {
        strategy: choice.strategy.unwrap_or(documents::Strategy::Markdown),
        size,
        overlap: choice.overlap.unwrap_or(size / OVERLAP_PART),
        keep_together: KEEP_TOGETHER,
    };
    match documents::Chunker::new(chunking) {
        Ok(_) => Ok(chunking),
        Err(documents::ChunkingError::Options { field, reason }) => {
            Err(Error::invalid(field, format!("`{field}` {reason}.")))
        }
        Err(error) => Err(crate::failures::internal(error)),
    }
}

/// Share of the borders between sentences that are no turn of meaning.
const KEEP_TOGETHER: f64 = 0.9;
