//! Names of the sections of a segment's rows, and the facts that come first.
//!
//! Rows stand in the order of their ids: numbers by value, then UUIDs by value. Row `r` is in every section the `r`-th.
//!
//! ```text
//! kind `rows`
//! fact.0   JSON object: {"rows":…,"numbers":…,"vectors":[{"name":…,"kind":…,…}]}
//! numb.0   u64 x numbers            ids that are numbers, rising
//! uuid.0   u128 x (rows - numbers)  ids that are UUIDs, rising
//! vers.0   u64 x rows               versions
//! ends.0   u64 x rows               ends in milliseconds since 1970, 2^64-1 for none; missing when no row has one
//! post.0   u64 x (rows + 1)         where each payload begins in payl.0, and the end of the last
//! payl.0   bytes                    payloads, JSON objects; an empty one takes no bytes
//!          for the vector that stands at place `v` of the facts:
//! pres.v   u64 x ceil(rows / 64)    bit r % 64 of word r / 64: whether row r has the vector; missing when all have
//! vect.v   values x vectors         dense: `dimensions` values of the datatype for each row that has the vector; as many as
//!                                   there are rows when zeros stand for those without, as the first version wrote them
//!                                   multi: the vectors of all rows, one after another
//! star.v   u64 x (rows + 1)         multi and sparse: where each row's vectors (entries) begin, and the end of the last
//! indi.v   u32 x entries            sparse: dimensions, rising within a row
//! valu.v   f32 x entries            sparse: their values
//! ```

use serde::{Deserialize, Serialize};

use crate::schema::{Datatype, Metric};
use crate::storage::SectionId;

pub(super) const FACTS: SectionId = SectionId::new(b"fact", 0);
pub(super) const NUMBERS: SectionId = SectionId::new(b"numb", 0);
pub(super) const UUIDS: SectionId = SectionId::new(b"uuid", 0);
pub(super) const VERSIONS: SectionId = SectionId::new(b"vers", 0);
pub(super) const ENDS: SectionId = SectionId::new(b"ends", 0);
pub(super) const PAYLOAD_STARTS: SectionId = SectionId::new(b"post", 0);
pub(super) const PAYLOADS: SectionId = SectionId::new(b"payl", 0);

pub(super) fn present(place: usize) -> SectionId {
    SectionId::new(b"pres", place as u32)
}

pub(super) fn values(place: usize) -> SectionId {
    SectionId::new(b"vect", place as u32)
}

pub(super) fn starts(place: usize) -> SectionId {
    SectionId::new(b"star", place as u32)
}

pub(super) fn sparse_indices(place: usize) -> SectionId {
    SectionId::new(b"indi", place as u32)
}

pub(super) fn sparse_values(place: usize) -> SectionId {
    SectionId::new(b"valu", place as u32)
}

/// Marks a row without an end.
pub(super) const NO_END: u64 = u64::MAX;

/// What the other sections hold.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Facts {
    pub rows: u32,
    pub numbers: u32,
    pub vectors: Vec<VectorFacts>,
}

/// One vector of the segment's points. Enough to read it without the collection's schema, which may have changed since.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct VectorFacts {
    pub name: String,
    #[serde(flatten)]
    pub kind: VectorKind,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum VectorKind {
    Dense {
        dimensions: u32,
        metric: Metric,
        datatype: Datatype,
        multi: bool,
    },
    Sparse,
}

/// Bytes of a value.
pub(super) fn value_bytes(datatype: Datatype) -> usize {
    match datatype {
        Datatype::Float32 => 4,
        Datatype::Float16 => 2,
        Datatype::Uint8 => 1,
    }
}
