//! Bodies about points, as clients write them.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::super::ids::WireId;
use super::super::vectors::{Lump, WireVectors};

/// `PUT /collections/{collection}/points`: points one by one, or column by column.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpsertBody {
    #[serde(default)]
    pub points: Option<Vec<WirePoint>>,
    #[serde(default)]
    pub batch: Option<Columns>,
    #[serde(default)]
    pub shard_key: Value,
    #[serde(default)]
    pub update_filter: Value,
    #[serde(default)]
    pub update_mode: Option<UpdateMode>,
}

/// Which points a write touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpdateMode {
    Upsert,
    InsertOnly,
    UpdateOnly,
}

/// One point. Its payload stays text until it is known how much it holds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WirePoint {
    pub id: WireId,
    pub vector: WireVectors,
    #[serde(default)]
    pub payload: Option<Box<RawValue>>,
}

/// Points column by column.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Columns {
    pub ids: Vec<WireId>,
    pub vectors: Lump,
    #[serde(default)]
    pub payloads: Option<Vec<Option<Box<RawValue>>>>,
}

/// `POST …/points/delete`, `POST …/points/payload/clear`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelectorBody {
    #[serde(default)]
    pub points: Option<Vec<WireId>>,
    #[serde(default)]
    pub filter: Value,
    #[serde(default)]
    pub shard_key: Value,
}

/// `POST …/points/payload`, `PUT …/points/payload`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PayloadBody {
    pub payload: Box<RawValue>,
    #[serde(default)]
    pub points: Option<Vec<WireId>>,
    #[serde(default)]
    pub filter: Value,
    #[serde(default)]
    pub shard_key: Value,
    #[serde(default)]
    pub key: Option<String>,
}

/// `POST …/points/payload/delete`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PayloadKeysBody {
    pub keys: Vec<String>,
    #[serde(default)]
    pub points: Option<Vec<WireId>>,
    #[serde(default)]
    pub filter: Value,
    #[serde(default)]
    pub shard_key: Value,
}

/// `PUT …/points/vectors`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VectorsBody {
    pub points: Vec<PointVectors>,
    #[serde(default)]
    pub shard_key: Value,
    #[serde(default)]
    pub update_filter: Value,
}

/// Vectors of one point.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointVectors {
    pub id: WireId,
    pub vector: WireVectors,
}

/// `POST …/points/vectors/delete`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VectorNamesBody {
    pub vector: Vec<String>,
    #[serde(default)]
    pub points: Option<Vec<WireId>>,
    #[serde(default)]
    pub filter: Value,
    #[serde(default)]
    pub shard_key: Value,
}

/// `POST …/points/batch`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchBody {
    pub operations: Vec<BatchOperation>,
}

/// One operation of a batch.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchOperation {
    Upsert(UpsertBody),
    Delete(SelectorBody),
    SetPayload(PayloadBody),
    OverwritePayload(PayloadBody),
    DeletePayload(PayloadKeysBody),
    ClearPayload(SelectorBody),
    UpdateVectors(VectorsBody),
    DeleteVectors(VectorNamesBody),
}

/// `POST …/points`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetrieveBody {
    pub ids: Vec<WireId>,
    #[serde(default)]
    pub with_payload: Value,
    #[serde(default, alias = "with_vectors")]
    pub with_vector: Value,
    #[serde(default)]
    pub shard_key: Value,
}

/// `POST …/points/scroll`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScrollBody {
    #[serde(default)]
    pub offset: Option<WireId>,
    #[serde(default)]
    pub limit: Option<usize>,
    #[serde(default)]
    pub filter: Value,
    #[serde(default)]
    pub with_payload: Value,
    #[serde(default, alias = "with_vectors")]
    pub with_vector: Value,
    #[serde(default)]
    pub order_by: Value,
    #[serde(default)]
    pub shard_key: Value,
}

/// `POST …/points/count`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CountBody {
    #[serde(default)]
    pub filter: Value,
    /// Every count is exact.
    #[serde(default)]
    #[expect(dead_code, reason = "read so that it may be given")]
    pub exact: Option<bool>,
    #[serde(default)]
    pub shard_key: Value,
}

/// `POST …/facet`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FacetBody {
    pub key: String,
    #[serde(default)]
    pub limit: Option<usize>,
    #[serde(default)]
    pub filter: Value,
    /// Every count is exact.
    #[serde(default)]
    #[expect(dead_code, reason = "read so that it may be given")]
    pub exact: Option<bool>,
    #[serde(default)]
    pub shard_key: Value,
}
