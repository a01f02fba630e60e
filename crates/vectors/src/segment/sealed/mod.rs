//! Sealed segments: immutable rows mapped from disk, their live bits in memory, and indexes that are derived from them.
//!
//! A segment is a directory. Only `rows.fxv` and the tombstones that the manifest names are its state; indexes are
//! derived, so a missing or damaged one is built again, and meanwhile the rows are scanned.
//!
//! ```text
//! segments/<number>/
//!   rows.fxv                 ids, versions, ends, payloads, vectors: see `layout`
//!   live-<generation>.fxv    which rows were live when the manifest that names it was written
//!   payload-<fingerprint>.fxv    payload indexes of a list of fields and kinds of this fingerprint
//!   sparse-<place>.fxv           inverted lists of the sparse vector at `place`
//!   index-<place>-<parameters>.fxv   the index of the vector at `place`, built with parameters of this fingerprint; of a
//!                                multi-vector it has one row for each single vector, see `multi`
//! ```

mod dense;
mod derived;
mod indexes;
mod layout;
mod multi;
mod rows;
mod slots;
mod vectors;
pub(crate) mod write;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use dense::DenseValues;
pub(crate) use derived::index_of_rows;
pub(crate) use indexes::{SegmentIndex, write_index};
pub(crate) use rows::StoredRows;
pub(crate) use vectors::StoredVectors;

use super::expiry::Expiry;
use super::scan;
use super::{SegmentScratch, SegmentView, VectorQuery};
use crate::error::VectorsError;
use crate::index::{VectorIndex, flat};
use crate::memory::{Component, Ledger, Mapped, Reservation};
use crate::payload::{FilterCache, PayloadIndexes};
use crate::point::{Payload, PointId, Vector};
use crate::quantize::Originals;
use crate::rows::{Allowed, AtomicRowSet, RowSet, Scored};
use crate::schema::{CollectionSchema, IndexKind, VectorSchema};
use crate::sparse::{SparseIndex, SparseStatistics};
use crate::storage::{Container, ContainerKind, ContainerWriter, Disk, SectionId};

/// Name of the file with the rows.
pub(crate) const ROWS_FILE: &str = "rows.fxv";
const LIVE_WORDS: SectionId = SectionId::new(b"live", 0);

/// A sealed segment. Clones share everything; a clone with another index is another view of the same rows.
#[derive(Debug, Clone)]
pub struct SealedSegment {
    number: u64,
    directory: Arc<PathBuf>,
    rows: Arc<StoredRows>,
    live: Arc<AtomicRowSet>,
    expiry: Arc<Expiry>,
    indexes: BTreeMap<String, Arc<SegmentIndex>>,
    sparse: BTreeMap<String, Arc<SparseIndex>>,
    payload_indexes: Arc<PayloadIndexes>,
    filters: Arc<FilterCache>,
    account: Arc<Account>,
    /// What indexes hold, as the ledger counts it, by file.
    held: BTreeMap<String, Arc<Held>>,
}

/// Memory and mapped bytes of an index.
#[derive(Debug)]
struct Held {
    _memory: Reservation,
    _mapped: Mapped,
}

/// What the segment holds, as the ledger counts it.
#[derive(Debug)]
struct Account {
    ledger: Arc<Ledger>,
    _tables: Reservation,
    _rows: Mapped,
}

impl SealedSegment {
    /// Opens the segment in `directory` with the live rows of `tombstones`, or all rows live without.
    ///
    /// # Errors
    /// [`VectorsError::Corrupt`] naming file and section, or as the disk says.
    pub(crate) fn open(
        disk: &dyn Disk,
        directory: &Path,
        number: u64,
        tombstones: Option<u64>,
        ledger: &Arc<Ledger>,
    ) -> Result<Self, VectorsError> {
        let rows = StoredRows::open(disk, &directory.join(ROWS_FILE))?;
        let live = match tombstones {
            None => RowSet::all(rows.count()),
            Some(generation) => {
                read_live(disk, &directory.join(live_file(generation)), rows.count())?
            }
        };
        let expiry = Expiry::default();
        for (row, end) in rows.ends() {
            if live.contains(row) {
                expiry.insert(row, end);
            }
        }
        let table_bytes = live.words().len() as u64 * 8 + expiry.bytes();
        let account = Account {
            ledger: Arc::clone(ledger),
            _tables: ledger.reserve_unconditionally(Component::Rows, table_bytes),
            _rows: ledger.count_mapped(rows.file().file_bytes()),
        };
        Ok(SealedSegment {
            number,
            directory: Arc::new(directory.to_owned()),
            rows: Arc::new(rows),
            live: Arc::new(AtomicRowSet::from_set(&live)),
            expiry: Arc::new(expiry),
            indexes: BTreeMap::new(),
            sparse: BTreeMap::new(),
            payload_indexes: Arc::default(),
            filters: Arc::default(),
            account: Arc::new(account),
            held: BTreeMap::new(),
        })
    }

    /// Number of the segment, and the name of its directory.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Counts what the index in `file` holds for as long as this view of the segment or a clone of it lives.
    fn hold(&mut self, file: &str, component: Component, bytes: u64, mapped_bytes: u64) {
        let ledger = &self.account.ledger;
        let held = Held {
            _memory: ledger.reserve_unconditionally(component, bytes),
            _mapped: ledger.count_mapped(mapped_bytes),
        };
        self.held.insert(file.to_owned(), Arc::new(held));
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Compares every byte of the segment's files with its checksum.
    ///
    /// # Errors
    /// As the disk says when it is asked for names.
    pub(crate) fn damages(&self, disk: &dyn Disk) -> Result<Vec<VectorsError>, VectorsError> {
        let mut damages = self.rows.file().damages();
        for entry in disk.list(&self.directory)?.unwrap_or_default() {
            if entry.name.ends_with(".fxv") && entry.name != ROWS_FILE {
                let path = self.directory.join(entry.name);
                match Container::open_any(disk, &path) {
                    Ok(file) => damages.extend(file.damages()),
                    // Replaced or merged away meanwhile.
                    Err(_) if disk.length(&path)?.is_none() => {}
                    Err(error) => damages.push(error),
                }
            }
        }
        Ok(damages)
    }

    /// The index of a vector, when there is one.
    pub(crate) fn index(&self, name: &str) -> Option<&VectorIndex> {
        self.indexes.get(name).map(|index| &index.index)
    }

    /// What the index of a vector was built with.
    pub(crate) fn index_parameters(&self, name: &str) -> Option<&str> {
        let index = self.indexes.get(name)?;
        Some(index.parameters.as_str())
    }

    /// Names of the vectors that have an index.
    pub fn indexed_names(&self) -> Vec<String> {
        self.indexes.keys().cloned().collect()
    }

    /// The dense vectors of a name that an index of it knows: single ones, or those of all multi-vectors.
    pub(crate) fn dense(&self, name: &str) -> Option<&DenseValues> {
        self.rows.vectors().get(name)?.values()
    }

    /// Has the vectors that the schema wants on disk read by position from now on, which takes one open file for each of them,
    /// and gives back the pages of them that are in memory. Without a file to open they are read in place as before.
    pub(crate) fn leave_on_disk(&self, disk: &dyn Disk, schema: &CollectionSchema) {
        for (name, vector) in &schema.vectors {
            if let VectorSchema::Dense { on_disk: true, .. } = vector
                && let Some(values) = self.dense(name)
            {
                if !values.is_positioned() {
                    match disk.open_reader(&self.directory.join(ROWS_FILE)) {
                        Ok(file) => values.read_by_position(file),
                        Err(error) => {
                            tracing::warn!(%error, "vectors that should stay on disk are mapped");
                        }
                    }
                }
                values.release();
            }
        }
    }

    /// The places of a row's vectors among those that an index of the vectors `name` knows.
    ///
    /// # Errors
    /// [`VectorsError::Corrupt`] when the stored starts are damaged.
    pub(crate) fn places_of(&self, name: &str, row: u32) -> Result<Range<u32>, VectorsError> {
        match self.rows.vectors().get(name) {
            Some(column) => column.places_of(row),
            None => Ok(0..0),
        }
    }

    /// The place of a vector among the segment's, which is the order of their names.
    fn place_of(&self, name: &str) -> Option<usize> {
        self.rows.vectors().keys().position(|other| other == name)
    }

    fn name_at(&self, place: usize) -> Option<&str> {
        self.rows.vectors().keys().nth(place).map(String::as_str)
    }

    /// Least and largest version of the rows; zeros when there are none.
    pub(crate) fn versions(&self) -> (u64, u64) {
        self.rows.version_bounds()
    }

    /// How many rows are live.
    pub fn live_count(&self) -> u32 {
        self.rows.count() - self.live.removed()
    }

    fn search_dense(
        &self,
        query: &VectorQuery<'_>,
        values: &[f32],
        dense: &DenseValues,
        allowed: Allowed<'_>,
        scratch: &mut SegmentScratch,
    ) -> Result<Vec<Scored>, VectorsError> {
        match self.indexes.get(query.name) {
            Some(index) => {
                let mapped = dense.mapped();
                // A traversal that compares originals reads them at each step: in place, wherever they are wanted.
                let originals: &dyn Originals = if index.index.traverses_originals() {
                    &mapped
                } else {
                    dense
                };
                let (parameters, scratch) = (&query.parameters, &mut scratch.index);
                index
                    .index
                    .search(values, parameters, allowed, originals, scratch)
            }
            None => flat::search(
                dense,
                dense.metric(),
                values,
                query.parameters.k,
                allowed,
                &mut scratch.flat,
            ),
        }
    }

    fn search_multi<'s>(
        &self,
        query: &VectorQuery<'_>,
        vectors: &[Vec<f32>],
        column: &StoredVectors,
        allowed: Allowed<'_>,
        scratch: &'s mut SegmentScratch,
    ) -> Result<&'s [Scored], VectorsError> {
        let Some(tokens) = column.tokens() else {
            return Ok(&[]);
        };
        if let Some(index) = self.indexes.get(query.name)
            && !query.parameters.exact
        {
            let search = multi::TokenSearch {
                index: &index.index,
                column,
                tokens,
                rows: self.rows.count(),
            };
            let wanted = (&query.parameters, query.rank_min);
            let (of_index, of_scan) = (&mut scratch.index, &mut scratch.scan);
            if search.run(vectors, wanted, allowed, of_index, of_scan)? {
                return Ok(scratch.scan.found());
            }
        }
        scan::multi_rows(
            tokens,
            vectors,
            (query.parameters.k, query.rank_min),
            (0..self.rows.count()).filter(|&row| allowed.contains(row)),
            |row| column.tokens_of(row),
            &mut scratch.scan,
        )
    }
}

impl SegmentView for SealedSegment {
    fn rows(&self) -> u32 {
        self.rows.count()
    }

    fn live(&self) -> &AtomicRowSet {
        &self.live
    }

    fn sweep_expired(&self, now_unix_ms: u64) {
        self.expiry.sweep(now_unix_ms, &self.live);
    }

    fn id(&self, row: u32) -> PointId {
        self.rows.id(row)
    }

    fn version(&self, row: u32) -> u64 {
        self.rows.version(row)
    }

    fn row_of(&self, id: PointId) -> Option<u32> {
        self.rows.row_of(id)
    }

    fn rows_from(
        &self,
        first: Option<PointId>,
        visit: &mut dyn FnMut(u32) -> Result<bool, VectorsError>,
    ) -> Result<(), VectorsError> {
        let start = first.map_or(0, |id| self.rows.first_from(id));
        for row in start..self.rows.count() {
            if !visit(row)? {
                break;
            }
        }
        Ok(())
    }

    fn expires_unix_ms(&self, row: u32) -> Option<u64> {
        self.rows.end(row)
    }

    fn payload_indexes(&self) -> &PayloadIndexes {
        &self.payload_indexes
    }

    fn sparse_statistics(
        &self,
        name: &str,
        dimensions: &[u32],
    ) -> Result<SparseStatistics, VectorsError> {
        match self.sparse.get(name) {
            Some(index) => index.statistics(dimensions, Some(&self.live)),
            None => super::sparse_statistics_by_scan(self, name, dimensions),
        }
    }

    fn filter_cache(&self) -> Option<&FilterCache> {
        Some(&self.filters)
    }

    fn scans_on_codes(&self, name: &str) -> bool {
        self.index(name)
            .is_some_and(|index| index.kind() == IndexKind::Hnsw)
    }

    fn payload(&self, row: u32) -> Result<Cow<'_, Payload>, VectorsError> {
        self.rows.payload(row)
    }

    fn has_vector(&self, name: &str, row: u32) -> bool {
        self.rows
            .vectors()
            .get(name)
            .is_some_and(|column| column.has(row))
    }

    fn vector(&self, name: &str, row: u32) -> Result<Option<Vector>, VectorsError> {
        match self.rows.vectors().get(name) {
            Some(column) => column.get(row),
            None => Ok(None),
        }
    }

    fn search(
        &self,
        query: &VectorQuery<'_>,
        allowed: Allowed<'_>,
        scratch: &mut SegmentScratch,
        found: &mut Vec<Scored>,
    ) -> Result<(), VectorsError> {
        let Some(column) = self.rows.vectors().get(query.name) else {
            return Ok(());
        };
        if let (Some(dense), Some(slots), Vector::Dense(values)) =
            (column.dense(), column.slots(), query.vector)
        {
            let filter = slots.allowed(allowed);
            let allowed = Allowed {
                live: None,
                filter: filter.as_ref(),
            };
            let mut best = self.search_dense(query, values, dense, allowed, scratch)?;
            slots.give_rows(&mut best);
            found.extend(best.into_iter().filter(|one| one.rank >= query.rank_min));
            return Ok(());
        }
        let with_vector;
        let mut allowed = allowed;
        if let Some(present) = column.present() {
            with_vector = intersection(present, allowed.filter);
            allowed.filter = Some(&with_vector);
        }
        match query.vector {
            Vector::Dense(values) => match column.dense() {
                Some(dense) => {
                    let best = self.search_dense(query, values, dense, allowed, scratch)?;
                    found.extend(best.into_iter().filter(|one| one.rank >= query.rank_min));
                }
                None => {
                    let vectors = std::slice::from_ref(values);
                    found.extend_from_slice(
                        self.search_multi(query, vectors, column, allowed, scratch)?,
                    );
                }
            },
            Vector::Multi(vectors) => found
                .extend_from_slice(self.search_multi(query, vectors, column, allowed, scratch)?),
            Vector::Sparse(vector) => {
                if let Some(index) = self.sparse.get(query.name) {
                    let best = index.search(vector, query.parameters.k, allowed)?;
                    found.extend(best.into_iter().filter(|one| one.rank >= query.rank_min));
                    return Ok(());
                }
                let rows = (0..self.rows.count()).filter(|&row| allowed.contains(row));
                let limits = (query.parameters.k, query.rank_min);
                found.extend_from_slice(scan::sparse_rows(
                    vector,
                    limits,
                    rows,
                    |row| column.sparse(row),
                    &mut scratch.scan,
                )?);
            }
        }
        Ok(())
    }
}

fn intersection(present: &RowSet, filter: Option<&RowSet>) -> RowSet {
    let mut both = present.clone();
    if let Some(filter) = filter {
        for (word, other) in both.words_mut().iter_mut().zip(filter.words()) {
            *word &= other;
        }
    }
    both
}

/// Name of the file that holds the live rows as of the manifest of `generation`.
pub(crate) fn live_file(generation: u64) -> String {
    format!("live-{generation:020}.fxv")
}

/// The generation in the name of a file of live rows.
pub(crate) fn generation_of_live_file(name: &str) -> Option<u64> {
    name.strip_prefix("live-")?
        .strip_suffix(".fxv")?
        .parse()
        .ok()
}

/// Writes the live rows of a segment in `directory`.
pub(crate) fn write_live(
    disk: &dyn Disk,
    directory: &Path,
    generation: u64,
    live: &RowSet,
) -> Result<(), VectorsError> {
    let path = directory.join(live_file(generation));
    // A file of this name without a manifest that names it is what a failed switch left behind.
    disk.remove(&path)?;
    let mut writer = ContainerWriter::create(disk, &path, ContainerKind::TOMBSTONES)?;
    writer.section(LIVE_WORDS, bytemuck::cast_slice(live.words()))?;
    writer.finish()?;
    Ok(())
}

fn read_live(disk: &dyn Disk, path: &Path, rows: u32) -> Result<RowSet, VectorsError> {
    let file = Container::open(disk, path, ContainerKind::TOMBSTONES)?;
    let bytes = file.section(LIVE_WORDS)?;
    let words: &[u64] = bytes.checked_typed(0..bytes.len() / 8)?;
    let mut live = RowSet::none(rows);
    if words.len() != live.words().len() {
        return Err(bytes.damaged(format!("holds {} words for {rows} rows", words.len())));
    }
    live.words_mut().copy_from_slice(words);
    Ok(live)
}
