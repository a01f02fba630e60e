//! The growing segment: rows in memory, in the order of their writes, each also in the write-ahead log.
//!
//! Writers append under the write lock for as long as a memory copy takes; readers scan under the read lock. A growing
//! segment is bounded in rows and bytes; a full one is *frozen*: it gets no more rows, and is searched as before until
//! maintenance has written it out as a sealed segment.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::error::VectorsError;
use crate::memory::{Component, Reservation};
use crate::payload::{PayloadIndexSchema, PayloadIndexes};
use crate::point::{Payload, Point, PointId, Vector};
use crate::rows::{Allowed, AtomicRowSet, RowSet, Scored};
use crate::schema::CollectionSchema;
use crate::segment::columns::{Column, vector_bytes};
use crate::segment::expiry::Expiry;
use crate::segment::{SegmentScratch, SegmentView, VectorQuery, scan};

/// Bytes of a row's tables: id, version, expiry, map entry, payload head.
const ROW_TABLE_BYTES: usize = 112;

/// Bytes of an entry in a payload index: the key's share of a tree and its rows.
const INDEX_ENTRY_BYTES: usize = 96;

/// A segment that takes new rows.
#[derive(Debug)]
pub struct GrowingSegment {
    /// Number of the segment, unique in its collection, rising with time.
    number: u64,
    rows: RwLock<GrowingRows>,
}

/// The rows of a growing segment, as a reader or the writer sees them while it holds the lock.
#[derive(Debug)]
pub struct GrowingRows {
    ids: Vec<PointId>,
    versions: Vec<u64>,
    expires: Vec<Option<u64>>,
    payloads: Vec<Payload>,
    columns: BTreeMap<String, Column>,
    live: AtomicRowSet,
    /// Newest row of each id, live or not, in the order of ids: walks begin anywhere.
    row_of: BTreeMap<PointId, u32>,
    expiry: Expiry,
    indexes: PayloadIndexes,
    bytes: usize,
    /// Memory taken from the budget for these rows.
    reservation: Reservation,
}

impl GrowingSegment {
    /// An empty segment for points of `schema`, counted in `reservation`.
    pub(crate) fn new(
        number: u64,
        schema: &CollectionSchema,
        indexes: PayloadIndexes,
        reservation: Reservation,
    ) -> Self {
        let columns = schema
            .vectors
            .iter()
            .map(|(name, vector)| (name.clone(), Column::new(vector)))
            .collect();
        GrowingSegment {
            number,
            rows: RwLock::new(GrowingRows {
                ids: Vec::new(),
                versions: Vec::new(),
                expires: Vec::new(),
                payloads: Vec::new(),
                columns,
                live: AtomicRowSet::from_set(&RowSet::none(0)),
                row_of: BTreeMap::new(),
                expiry: Expiry::default(),
                indexes,
                bytes: 0,
                reservation,
            }),
        }
    }

    /// Number of the segment.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The rows, for reading. Hold it for one search or lookup, not longer: the writer waits for it.
    pub fn read(&self) -> RwLockReadGuard<'_, GrowingRows> {
        self.rows.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, GrowingRows> {
        self.rows.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GrowingRows {
    /// Memory that appending `point` takes, as the budget counts it.
    pub(crate) fn bytes_of(point: &Point) -> usize {
        ROW_TABLE_BYTES
            + point.vectors.values().map(vector_bytes).sum::<usize>()
            + payload_bytes(&point.payload)
    }

    /// Memory that the payload indexes may take for `point`, about: text is the dearest, with a list entry and a position
    /// for each word of some five bytes.
    fn index_bytes_of(&self, point: &Point) -> usize {
        let indexes = self.indexes.iter().count();
        match indexes {
            0 => 0,
            _ => indexes * INDEX_ENTRY_BYTES + 2 * payload_bytes(&point.payload),
        }
    }

    /// Memory that appending `point` to this segment takes, its index entries included, about.
    pub(crate) fn bytes_with_indexes(&self, point: &Point) -> usize {
        GrowingRows::bytes_of(point) + self.index_bytes_of(point)
    }

    fn held_bytes(&self) -> u64 {
        self.bytes as u64 + self.indexes.bytes_in_memory()
    }

    /// Counts what is really held: index entries take more or less than was reserved for them.
    pub(crate) fn settle(&mut self) {
        let held = self.held_bytes();
        if held < self.reservation.bytes() {
            // Giving back cannot be refused.
            let _ = self.reservation.resize(held);
        } else {
            self.reservation.grow_unconditionally(held);
        }
    }

    /// Takes memory for `bytes` more than the segment holds.
    pub(crate) fn reserve(&mut self, bytes: usize) -> Result<(), VectorsError> {
        let wanted = self.held_bytes() + bytes as u64;
        if wanted > self.reservation.bytes() {
            self.reservation.resize(wanted)?;
        }
        Ok(())
    }

    /// Takes memory for `bytes` more, whether the budget has room or not.
    pub(crate) fn reserve_unconditionally(&mut self, bytes: usize) {
        let wanted = self.held_bytes() + bytes as u64;
        self.reservation.grow_unconditionally(wanted);
    }

    /// Appends a row; the id's older row in this segment dies. Memory was reserved before.
    pub(crate) fn append(&mut self, point: Point, version: u64) -> u32 {
        let row = self.ids.len() as u32;
        self.bytes += GrowingRows::bytes_of(&point);
        let Point {
            id,
            vectors,
            payload,
            expires_unix_ms,
        } = point;
        for (name, column) in &mut self.columns {
            column.push(vectors.get(name));
        }
        self.ids.push(id);
        self.versions.push(version);
        self.expires.push(expires_unix_ms);
        self.indexes.insert(row, &payload);
        self.payloads.push(payload);
        self.live.push();
        if let Some(end) = expires_unix_ms {
            self.expiry.insert(row, end);
        }
        if let Some(older) = self.row_of.insert(id, row) {
            self.live.remove(older);
        }
        row
    }

    /// Takes the id's row out; true when it was live.
    pub(crate) fn remove(&self, id: PointId) -> bool {
        self.row_of
            .get(&id)
            .is_some_and(|&row| self.live.remove(row))
    }

    /// Payload indexes for the rows so far, with the memory that they take beyond those there are.
    ///
    /// # Errors
    /// [`VectorsError::OverBudget`] when that is not free.
    pub(crate) fn indexes_for(
        &self,
        schema: &[PayloadIndexSchema],
    ) -> Result<(PayloadIndexes, Reservation), VectorsError> {
        let indexes = crate::collection::indexes_of_growing(self, schema)?;
        let more = indexes
            .bytes_in_memory()
            .saturating_sub(self.indexes.bytes_in_memory());
        let room = self.reservation.another(Component::PayloadIndexes, more)?;
        Ok((indexes, room))
    }

    /// Takes other payload indexes, made of all rows, and counts them among the segment's bytes from now on.
    pub(crate) fn change_indexes(&mut self, (indexes, room): (PayloadIndexes, Reservation)) {
        drop(room);
        self.indexes = indexes;
        self.reserve_unconditionally(0);
    }

    /// Bytes held by the rows, as the budget counts them.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl SegmentView for GrowingRows {
    fn rows(&self) -> u32 {
        self.ids.len() as u32
    }

    fn live(&self) -> &AtomicRowSet {
        &self.live
    }

    fn sweep_expired(&self, now_unix_ms: u64) {
        self.expiry.sweep(now_unix_ms, &self.live);
    }

    fn id(&self, row: u32) -> PointId {
        self.ids[row as usize]
    }

    fn version(&self, row: u32) -> u64 {
        self.versions[row as usize]
    }

    fn row_of(&self, id: PointId) -> Option<u32> {
        self.row_of.get(&id).copied()
    }

    fn rows_from(
        &self,
        first: Option<PointId>,
        visit: &mut dyn FnMut(u32) -> Result<bool, VectorsError>,
    ) -> Result<(), VectorsError> {
        let start = first.map_or(Bound::Unbounded, Bound::Included);
        for &row in self
            .row_of
            .range((start, Bound::Unbounded))
            .map(|(_, row)| row)
        {
            if !visit(row)? {
                break;
            }
        }
        Ok(())
    }

    fn expires_unix_ms(&self, row: u32) -> Option<u64> {
        self.expires[row as usize]
    }

    fn payload_indexes(&self) -> &PayloadIndexes {
        &self.indexes
    }

    fn payload(&self, row: u32) -> Result<Cow<'_, Payload>, VectorsError> {
        Ok(Cow::Borrowed(&self.payloads[row as usize]))
    }

    fn has_vector(&self, name: &str, row: u32) -> bool {
        self.columns.get(name).is_some_and(|column| column.has(row))
    }

    fn vector(&self, name: &str, row: u32) -> Result<Option<Vector>, VectorsError> {
        Ok(self.columns.get(name).and_then(|column| column.get(row)))
    }

    fn search(
        &self,
        query: &VectorQuery<'_>,
        allowed: Allowed<'_>,
        scratch: &mut SegmentScratch,
        found: &mut Vec<Scored>,
    ) -> Result<(), VectorsError> {
        if let Some(column) = self.columns.get(query.name) {
            found.extend_from_slice(scan::column(
                column,
                query.vector,
                query.parameters.k,
                query.rank_min,
                allowed,
                &mut scratch.scan,
            )?);
        }
        Ok(())
    }
}

/// Memory of a payload: its text and what the tree around it costs, about three words a value.
pub(crate) fn payload_bytes(payload: &Payload) -> usize {
    payload
        .iter()
        .map(|(key, value)| key.len() + 48 + value_bytes(value))
        .sum()
}

fn value_bytes(value: &serde_json::Value) -> usize {
    use serde_json::Value;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 32,
        Value::String(text) => 32 + text.len(),
        Value::Array(values) => 32 + values.iter().map(value_bytes).sum::<usize>(),
        Value::Object(map) => 32 + payload_bytes(map),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Ledger;
    use crate::schema::{Datatype, HnswParameters, IndexKind, Metric, Quantization, VectorSchema};

    fn schema() -> CollectionSchema {
        let dense = |multi| VectorSchema::Dense {
            dimensions: 2,
            metric: Metric::Dot,
            datatype: Datatype::Float32,
            multi,
            index: IndexKind::Auto,
            hnsw: HnswParameters::default(),
            quantization: Quantization::Auto,
            on_disk: false,
        };
        CollectionSchema {
            vectors: [
                (String::new(), dense(false)),
                ("tokens".into(), dense(true)),
                ("words".into(), VectorSchema::Sparse { idf: false }),
            ]
            .into(),
            ..CollectionSchema::default()
        }
    }

    #[test]
    fn rows_come_back_as_written_and_older_ones_die() {
        let ledger = Ledger::new(None);
        let reservation = ledger.reserve(Component::Growing, 0).expect("no budget");
        let segment = GrowingSegment::new(1, &schema(), PayloadIndexes::default(), reservation);
        let words = crate::point::SparseVector {
            indices: vec![3, 70],
            values: vec![0.5, 2.0],
        };
        let full = Point {
            id: PointId::Number(7),
            vectors: [
                (String::new(), Vector::Dense(vec![1.0, 2.0])),
                (
                    "tokens".into(),
                    Vector::Multi(vec![vec![1.0, 0.0], vec![0.0, 1.0]]),
                ),
                ("words".into(), Vector::Sparse(words)),
            ]
            .into(),
            payload: Payload::new(),
            expires_unix_ms: None,
        };
        let bare = Point {
            id: PointId::Uuid(9),
            vectors: BTreeMap::new(),
            payload: Payload::new(),
            expires_unix_ms: Some(50),
        };
        let mut rows = segment.write();
        rows.reserve(GrowingRows::bytes_of(&full)).expect("room");
        assert_eq!(rows.append(full.clone(), 1), 0);
        assert_eq!(rows.append(bare, 2), 1);
        assert_eq!(rows.append(full.clone(), 3), 2);
        drop(rows);
        let rows = segment.read();
        assert_eq!(rows.live().snapshot().iter().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(rows.row_of(full.id), Some(2));
        for (name, vector) in &full.vectors {
            assert_eq!(rows.vector(name, 2).expect("row").as_ref(), Some(vector));
            assert_eq!(rows.vector(name, 1).expect("row"), None);
            assert!(rows.has_vector(name, 0) && !rows.has_vector(name, 1));
        }
        rows.sweep_expired(50);
        assert_eq!(rows.live().snapshot().iter().collect::<Vec<_>>(), [2]);
        assert!(rows.remove(full.id) && !rows.remove(full.id));
    }
}
