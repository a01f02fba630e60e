//! Requests and answers of collections that the engine itself does not know.

use std::collections::BTreeMap;

use vectors::collection::CollectionInfo;
use vectors::payload::PayloadIndexSchema;
use vectors::point::Payload;
use vectors::schema::{IndexKind, Quantization};

/// One change of aliases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AliasChange {
    /// A further name of a collection; one that there is already is switched to it.
    Create {
        /// The further name.
        alias: String,
        /// The collection.
        collection: String,
    },
    /// The name ends.
    Delete {
        /// Which.
        alias: String,
    },
    /// The name changes, what it stands for stays.
    Rename {
        /// What it was.
        from: String,
        /// What it becomes.
        to: String,
    },
}

/// An alias and its collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// The further name.
    pub alias: String,
    /// What it stands for.
    pub collection: String,
}

/// A collection as its owner sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct CollectionDetails {
    /// Its own name, whatever alias was asked for.
    pub name: String,
    /// What it holds, how far its indexes are, what memory it takes.
    pub info: CollectionInfo,
    /// Its payload indexes.
    pub payload_indexes: Vec<IndexedField>,
}

/// A payload index and how many points it serves.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexedField {
    /// Field and kind.
    pub index: PayloadIndexSchema,
    /// Points that have a value in the field.
    pub points: u64,
}

/// Changes of a collection's settings. What is `None` stays as it is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CollectionUpdate {
    /// For every dense vector.
    pub all: VectorUpdate,
    /// For single dense vectors by name, over what `all` says.
    pub vectors: BTreeMap<String, VectorUpdate>,
    /// For single sparse vectors by name: whether queries are weighed by inverse document frequencies.
    pub sparse_idf: BTreeMap<String, bool>,
    /// Rows from which a segment gets its index.
    pub index_from_rows: Option<u32>,
    /// Free-form facts that are set; a null takes one out.
    pub metadata: Option<Payload>,
}

/// Changes of one dense vector's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VectorUpdate {
    /// Links per node of the graph.
    pub hnsw_m: Option<u16>,
    /// Candidates while the graph is built.
    pub hnsw_ef_construct: Option<u32>,
    /// Which index.
    pub index: Option<IndexKind>,
    /// Codes for traversal.
    pub quantization: Option<Quantization>,
    /// Whether originals stay on disk.
    pub on_disk: Option<bool>,
}

/// A snapshot of a collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotDetails {
    /// Its name, unique in its collection.
    pub name: String,
    /// When it was taken, in milliseconds since 1970.
    pub created_unix_ms: u64,
    /// Bytes of its files.
    pub bytes: u64,
}

/// Key of a schema's annotations under which the free-form facts of [`CollectionUpdate::metadata`] are.
pub const METADATA: &str = "metadata";
