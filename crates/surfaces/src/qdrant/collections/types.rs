//! Bodies about collections, as clients write them. Fields that only other layouts of data have are read and, where they
//! would change what is stored or found, refused.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

/// `PUT /collections/{collection}`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CreateBody {
    /// One dense vector without a name, or several by name.
    pub vectors: Option<Value>,
    /// Sparse vectors by name.
    pub sparse_vectors: Option<BTreeMap<String, SparseParams>>,
    pub hnsw_config: Option<HnswDiff>,
    pub quantization_config: Option<Value>,
    pub optimizers_config: Option<OptimizersDiff>,
    pub on_disk_payload: Option<bool>,
    pub payload: Option<Value>,
    pub id_tracker: Option<Value>,
    pub wal_config: Option<Value>,
    pub shard_number: Option<u32>,
    pub sharding_method: Option<String>,
    pub replication_factor: Option<u32>,
    pub write_consistency_factor: Option<u32>,
    pub strict_mode_config: Option<StrictMode>,
    pub metadata: Option<Map<String, Value>>,
}

/// One dense vector.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VectorParams {
    pub size: u32,
    pub distance: Distance,
    #[serde(default)]
    pub hnsw_config: Option<HnswDiff>,
    #[serde(default)]
    pub quantization_config: Option<Value>,
    #[serde(default)]
    pub on_disk: Option<bool>,
    #[serde(default)]
    pub memory: Option<Memory>,
    #[serde(default)]
    pub datatype: Option<String>,
    #[serde(default)]
    pub multivector_config: Option<Multivector>,
}

/// Where data is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Memory {
    Cold,
    Cached,
    Pinned,
}

/// How vectors are compared.
#[derive(Debug, Clone, Copy, Deserialize)]
pub enum Distance {
    Cosine,
    Euclid,
    Dot,
    Manhattan,
}

/// How several vectors of one point are compared.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Multivector {
    pub comparator: Comparator,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparator {
    MaxSim,
}

/// One sparse vector.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SparseParams {
    pub index: Option<Value>,
    pub modifier: Option<Modifier>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Modifier {
    None,
    Idf,
}

/// Settings of graphs.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HnswDiff {
    pub m: Option<u32>,
    pub ef_construct: Option<u32>,
    pub full_scan_threshold: Option<u64>,
    // What follows says how another engine lays its graph out; nothing that is found depends on it.
    pub max_indexing_threads: Option<u32>,
    pub on_disk: Option<bool>,
    pub memory: Option<Memory>,
    pub payload_m: Option<u32>,
    pub inline_storage: Option<bool>,
}

/// Settings of background work.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimizersDiff {
    /// Kilobytes of vectors from which a segment is indexed; 0 never.
    pub indexing_threshold: Option<u64>,
    // What follows says how another engine works in the background; nothing that is found depends on it.
    pub deleted_threshold: Option<f64>,
    pub vacuum_min_vector_number: Option<u64>,
    pub default_segment_number: Option<u64>,
    pub max_segment_size: Option<u64>,
    pub memmap_threshold: Option<u64>,
    pub flush_interval_sec: Option<u64>,
    pub max_optimization_threads: Option<Value>,
    pub prevent_unoptimized: Option<bool>,
}

/// Limits per collection, which are not enforced here.
#[derive(Debug, Default, Deserialize)]
pub struct StrictMode {
    #[serde(default)]
    pub enabled: Option<bool>,
}

/// `PATCH /collections/{collection}`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UpdateBody {
    pub vectors: Option<BTreeMap<String, VectorDiff>>,
    pub sparse_vectors: Option<BTreeMap<String, SparseParams>>,
    pub hnsw_config: Option<HnswDiff>,
    pub quantization_config: Option<Value>,
    pub optimizers_config: Option<OptimizersDiff>,
    pub params: Option<ParamsDiff>,
    pub strict_mode_config: Option<StrictMode>,
    pub metadata: Option<Map<String, Value>>,
}

/// Changes of one dense vector's settings.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VectorDiff {
    pub hnsw_config: Option<HnswDiff>,
    pub quantization_config: Option<Value>,
    pub on_disk: Option<bool>,
    pub memory: Option<Memory>,
}

/// Changes of what replicas and shards do.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ParamsDiff {
    pub replication_factor: Option<u32>,
    pub write_consistency_factor: Option<u32>,
    pub read_fan_out_factor: Option<u32>,
    pub read_fan_out_delay_ms: Option<u64>,
    pub on_disk_payload: Option<bool>,
    pub payload: Option<Value>,
    pub id_tracker: Option<Value>,
}

/// `POST /collections/aliases`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AliasesBody {
    pub actions: Vec<AliasAction>,
}

/// One change of aliases.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum AliasAction {
    #[serde(rename = "create_alias")]
    Create {
        collection_name: String,
        alias_name: String,
    },
    #[serde(rename = "delete_alias")]
    Delete { alias_name: String },
    #[serde(rename = "rename_alias")]
    Rename {
        old_alias_name: String,
        new_alias_name: String,
    },
}

/// `PUT /collections/{collection}/index`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexBody {
    pub field_name: String,
    #[serde(default)]
    pub field_schema: Option<Value>,
}
