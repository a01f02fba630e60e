//! The index of a sparse vector in one segment.

use std::borrow::Cow;
use std::collections::HashMap;

use super::weights::Weights;
use crate::error::VectorsError;
use crate::point::SparseVector;
use crate::postings::{
    BlockBuffer, LiveCounts, MemoryList, PostingBlocks, SealedList, SealedLists, SealedListsWriter,
    Search, top_rows, u32_at,
};
use crate::rows::{Allowed, AtomicRowSet, Scored};
use crate::storage::{Bytes, SectionId, Sections};

const SECTION_META: SectionId = SectionId::new(b"SPMT", 0);
const SECTION_DIMENSIONS: SectionId = SectionId::new(b"SPDM", 0);
const SECTION_LISTS: SectionId = SectionId::new(b"SPLS", 0);
const SECTION_BLOCKS: SectionId = SectionId::new(b"SPBL", 0);
const SECTION_DATA: SectionId = SectionId::new(b"SPDT", 0);
const SECTION_PRESENT: SectionId = SectionId::new(b"SPHS", 0);

const MAGIC: &[u8; 4] = b"spi1";

/// Inverted lists of one sparse vector of one segment.
#[derive(Debug)]
pub struct SparseIndex {
    weights: Weights,
    rows: u32,
    rows_with_vector: u32,
    lists: Lists,
    /// Live rows by dimension.
    frequencies: LiveCounts,
}

#[derive(Debug)]
enum Lists {
    Memory {
        lists: HashMap<u32, MemoryList>,
        /// One bit for each row.
        present: Vec<u8>,
    },
    Sealed {
        dimensions: Bytes,
        present: Bytes,
        lists: SealedLists,
    },
}

/// What inverse document frequencies are computed from. Those of segments add up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SparseStatistics {
    /// Live rows with the vector.
    pub rows: u64,
    /// Live rows with a value in each dimension asked for.
    pub frequencies: Vec<u64>,
}

impl SparseStatistics {
    /// Adds those of another segment, for the same dimensions.
    pub fn add(&mut self, other: &SparseStatistics) {
        self.rows += other.rows;
        self.frequencies.resize(other.frequencies.len(), 0);
        for (sum, count) in self.frequencies.iter_mut().zip(&other.frequencies) {
            *sum += count;
        }
    }

    /// For each dimension ln((N − df + 0.5) / (df + 0.5) + 1), the weight of BM25 (Robertson & Zaragoza 2009), never
    /// below 0.
    pub fn inverse_document_frequencies(&self) -> Vec<f32> {
        self.frequencies
            .iter()
            .map(|&count| inverse_document_frequency(self.rows, count) as f32)
            .collect()
    }
}

/// ln((N − df + 0.5) / (df + 0.5) + 1) for `count` of `documents`.
pub(crate) fn inverse_document_frequency(documents: u64, count: u64) -> f64 {
    let without = documents.saturating_sub(count) as f64;
    ((without + 0.5) / (count as f64 + 0.5)).ln_1p()
}

impl SparseIndex {
    /// An empty index in memory.
    pub fn new(weights: Weights) -> Self {
        SparseIndex {
            weights,
            rows: 0,
            rows_with_vector: 0,
            lists: Lists::Memory {
                lists: HashMap::new(),
                present: Vec::new(),
            },
            frequencies: LiveCounts::default(),
        }
    }

    /// Adds the vector of a row; rows come in rising order, those without the vector are left out.
    ///
    /// # Errors
    /// [`VectorsError::Invalid`] when indices don't rise, values are not finite or the row is not behind the last one;
    /// nothing is added then. An index that was opened takes no rows.
    pub fn insert(&mut self, row: u32, vector: &SparseVector) -> Result<(), VectorsError> {
        let fail = |message| Err(VectorsError::invalid("sparse vector", message));
        let SparseVector { indices, values } = vector;
        if indices.len() != values.len() || !indices.is_sorted_by(|one, two| one < two) {
            return fail("indices must rise, with one value for each");
        }
        if !values.iter().all(|value| value.is_finite()) {
            return fail("must be finite numbers");
        }
        let Lists::Memory { lists, present } = &mut self.lists else {
            return fail("cannot be added to a sealed index");
        };
        if row < self.rows || row == u32::MAX {
            return fail("must be of a row behind the last one");
        }
        for (&index, &value) in indices.iter().zip(values) {
            let widen = |bounds: Option<(u32, u32)>| {
                let (high, low) = bounds.map_or((value, value), |(high, low)| {
                    (f32::from_bits(high), f32::from_bits(low))
                });
                (high.max(value).to_bits(), low.min(value).to_bits())
            };
            lists
                .entry(index)
                .or_default()
                .push(row, value.to_bits(), widen);
        }
        present.resize(row as usize / 8 + 1, 0);
        present[row as usize / 8] |= 1 << (row % 8);
        self.frequencies.clear();
        self.rows = row + 1;
        self.rows_with_vector += 1;
        Ok(())
    }

    /// The allowed rows with the largest inner products with `query`, best first; rows that share no dimension with it
    /// are not found. `query` is weighted already where the schema asks for document frequencies.
    ///
    /// # Errors
    /// [`VectorsError::Corrupt`] when lists are damaged.
    pub fn search(
        &self,
        query: &SparseVector,
        k: usize,
        allowed: Allowed<'_>,
    ) -> Result<Vec<Scored>, VectorsError> {
        let mut lists = Vec::with_capacity(query.indices.len());
        for (&index, &factor) in query.indices.iter().zip(&query.values) {
            if let Some(list) = self.list(index)? {
                lists.push(WeightedList {
                    list,
                    weights: self.weights,
                    factor,
                });
            }
        }
        let views: Vec<&dyn PostingBlocks> = lists
            .iter()
            .map(|list| list as &dyn PostingBlocks)
            .collect();
        let search = Search {
            k,
            allowed,
            all: false,
        };
        top_rows(&views, &search, &mut |_| Ok(true))
    }

    /// How many rows there are among the live ones, and how many of them have each of `dimensions`.
    ///
    /// # Errors
    /// [`VectorsError::Corrupt`] when lists are damaged.
    pub fn statistics(
        &self,
        dimensions: &[u32],
        live: Option<&AtomicRowSet>,
    ) -> Result<SparseStatistics, VectorsError> {
        // Only with deletes do rows have to be looked at.
        let live = live.filter(|live| live.removed() > 0);
        let mut frequencies = Vec::with_capacity(dimensions.len());
        for &dimension in dimensions {
            let count = match (self.list(dimension)?, live) {
                (None, _) => 0,
                (Some(list), None) => list.rows() as u64,
                // Deaths are counted before the rows: what dies meanwhile is counted again by the next query.
                (Some(list), Some(live)) => {
                    self.frequencies
                        .get(live.removed(), dimension, || list.count(live))?
                }
            };
            frequencies.push(count);
        }
        let rows = match live {
            None => u64::from(self.rows_with_vector),
            Some(live) => self.live_rows(live)?,
        };
        Ok(SparseStatistics { rows, frequencies })
    }

    fn live_rows(&self, live: &AtomicRowSet) -> Result<u64, VectorsError> {
        let present = match &self.lists {
            Lists::Memory { present, .. } => present,
            Lists::Sealed { present, .. } => present.verify()?,
        };
        let live = live.snapshot();
        let count = live
            .words()
            .iter()
            .zip(present.chunks(8))
            .map(|(word, bytes)| {
                let mut padded = [0; 8];
                padded[..bytes.len()].copy_from_slice(bytes);
                u64::from((word & u64::from_le_bytes(padded)).count_ones())
            })
            .sum();
        Ok(count)
    }

    /// How many bytes of memory of its own it takes; mapped sections are not among them.
    pub fn bytes_in_memory(&self) -> u64 {
        match &self.lists {
            // A key, a list and the map's own byte, at most half of the slots empty.
            Lists::Memory { lists, present } => {
                let lists: usize = lists.values().map(|list| list.bytes() + 2 * 88).sum();
                (lists + present.capacity()) as u64
            }
            Lists::Sealed {
                dimensions,
                present,
                lists,
            } => lists
                .sections()
                .into_iter()
                .chain([dimensions, present])
                .filter(|bytes| !bytes.is_mapped())
                .map(|bytes| bytes.len() as u64)
                .sum(),
        }
    }

    /// The index as bytes, to be written to a container and given back to [`SparseIndex::open`].
    ///
    /// # Errors
    /// [`VectorsError::Limit`] when there are more lists or blocks than 2^32.
    pub fn sections(&self) -> Result<Sections<'_>, VectorsError> {
        let (dimensions, present, lists): (_, _, [Cow<'_, [u8]>; 3]) = match &self.lists {
            Lists::Sealed {
                dimensions,
                present,
                lists,
            } => (
                Cow::Borrowed(dimensions.verify()?),
                Cow::Borrowed(present.verify()?),
                {
                    let [lists, blocks, data] = lists.sections();
                    [
                        lists.verify()?.into(),
                        blocks.verify()?.into(),
                        data.verify()?.into(),
                    ]
                },
            ),
            Lists::Memory { lists, present } => {
                let mut keys: Vec<u32> = lists.keys().copied().collect();
                keys.sort_unstable();
                let mut writer = SealedListsWriter::default();
                for key in &keys {
                    if let Some(list) = lists.get(key) {
                        self.write_list(list, &mut writer)?;
                    }
                }
                let writer = writer.finish()?;
                let dimensions: Vec<u8> = keys.iter().flat_map(|key| key.to_le_bytes()).collect();
                (
                    dimensions.into(),
                    present.as_slice().into(),
                    [
                        writer.lists.into(),
                        writer.blocks.into(),
                        writer.data.into(),
                    ],
                )
            }
        };
        let mut meta = MAGIC.to_vec();
        for number in [
            self.rows,
            self.rows_with_vector,
            (dimensions.len() / 4) as u32,
            self.weights.code(),
        ] {
            meta.extend(number.to_le_bytes());
        }
        let [lists, blocks, data] = lists;
        Ok(vec![
            (SECTION_META, meta.into()),
            (SECTION_DIMENSIONS, dimensions),
            (SECTION_LISTS, lists),
            (SECTION_BLOCKS, blocks),
            (SECTION_DATA, data),
            (SECTION_PRESENT, present),
        ])
    }

    fn write_list(
        &self,
        list: &MemoryList,
        writer: &mut SealedListsWriter,
    ) -> Result<(), VectorsError> {
        let encode = |block: usize, values: &[u32], stored: &mut Vec<u32>| {
            let (high, low) = list.bounds()[block];
            let (high, low) = (f32::from_bits(high), f32::from_bits(low));
            stored.extend(
                values
                    .iter()
                    .map(|&value| self.weights.encode(f32::from_bits(value), high, low)),
            );
            // Bounds of what is stored: a rounded weight may exceed the largest one.
            let decoded = |stored: &u32| self.weights.decode(*stored, high, low);
            let bounds = match self.weights {
                Weights::Uint8 => (high, low),
                _ => (
                    stored.iter().map(decoded).fold(f32::NEG_INFINITY, f32::max),
                    stored.iter().map(decoded).fold(f32::INFINITY, f32::min),
                ),
            };
            (
                Some(self.weights.bits()),
                (bounds.0.to_bits(), bounds.1.to_bits()),
            )
        };
        writer.push(list, encode, |_| 0)
    }

    /// Opens an index from the sections it was written as.
    ///
    /// # Errors
    /// [`VectorsError::Invalid`] when a section is missing, [`VectorsError::Corrupt`] when they don't fit together.
    pub fn open(sections: &dyn Fn(SectionId) -> Option<Bytes>) -> Result<Self, VectorsError> {
        let section = |id: SectionId| {
            sections(id)
                .ok_or_else(|| VectorsError::invalid("sparse index", format!("lacks section {id}")))
        };
        let meta = section(SECTION_META)?;
        let bytes = meta.verify()?;
        let (rows, rows_with_vector) = (u32_at(bytes, 4), u32_at(bytes, 8));
        let keys = u32_at(bytes, 12) as usize;
        let weights = Weights::of_code(u32_at(bytes, 16));
        let (Some(weights), true) = (weights, bytes.len() == 20 && bytes.starts_with(MAGIC)) else {
            return Err(meta.damaged("is not the head of a sparse index"));
        };
        let dimensions = section(SECTION_DIMENSIONS)?;
        let present = section(SECTION_PRESENT)?;
        if dimensions.len() != keys * 4 || present.len() != (rows as usize).div_ceil(8) {
            return Err(meta.damaged("other sections have other lengths"));
        }
        Ok(SparseIndex {
            weights,
            rows,
            rows_with_vector,
            lists: Lists::Sealed {
                dimensions,
                present,
                lists: SealedLists::open(
                    section(SECTION_LISTS)?,
                    section(SECTION_BLOCKS)?,
                    section(SECTION_DATA)?,
                    keys,
                )?,
            },
            frequencies: LiveCounts::default(),
        })
    }

    fn list(&self, dimension: u32) -> Result<Option<AnyList<'_>>, VectorsError> {
        match &self.lists {
            Lists::Memory { lists, .. } => Ok(lists.get(&dimension).map(AnyList::Memory)),
            Lists::Sealed {
                dimensions, lists, ..
            } => {
                let dimensions = dimensions.verify()?;
                let (keys, _) = dimensions.as_chunks::<4>();
                let key = keys.binary_search_by_key(&dimension, |key| u32::from_le_bytes(*key));
                key.map_or(Ok(None), |key| Ok(Some(AnyList::Sealed(lists.list(key)?))))
            }
        }
    }
}

enum AnyList<'a> {
    Memory(&'a MemoryList),
    Sealed(SealedList<'a>),
}

impl AnyList<'_> {
    fn rows(&self) -> usize {
        match self {
            AnyList::Memory(list) => list.rows().len(),
            AnyList::Sealed(list) => list.rows(),
        }
    }

    fn count(&self, live: &AtomicRowSet) -> Result<u64, VectorsError> {
        let among = |rows: &[u32]| rows.iter().filter(|&&row| live.contains(row)).count() as u64;
        match self {
            AnyList::Memory(list) => Ok(among(list.rows())),
            AnyList::Sealed(list) => {
                let mut buffer = BlockBuffer::default();
                let mut values = [0; crate::postings::BLOCK_ROWS];
                let mut count = 0;
                for block in 0..list.blocks() {
                    let rows = list.read(block, &mut buffer.rows, &mut values)?;
                    count += among(&buffer.rows[..rows]);
                }
                Ok(count)
            }
        }
    }
}

/// A list times the query's value of its dimension.
struct WeightedList<'a> {
    list: AnyList<'a>,
    weights: Weights,
    factor: f32,
}

impl PostingBlocks for WeightedList<'_> {
    fn blocks(&self) -> usize {
        match &self.list {
            AnyList::Memory(list) => list.bounds().len(),
            AnyList::Sealed(list) => list.blocks(),
        }
    }

    fn rows(&self) -> usize {
        self.list.rows()
    }

    fn last_row(&self, block: usize) -> u32 {
        match &self.list {
            AnyList::Memory(list) => list.block_rows(block).last().copied().unwrap_or(0),
            AnyList::Sealed(list) => list.last_row(block),
        }
    }

    fn bound(&self, block: usize) -> f32 {
        let (high, low) = match &self.list {
            AnyList::Memory(list) => list.bounds()[block],
            AnyList::Sealed(list) => {
                let record = list.record(block);
                (record.bound_high, record.bound_low)
            }
        };
        // A product is largest at one of the ends.
        (self.factor * f32::from_bits(high)).max(self.factor * f32::from_bits(low))
    }

    fn read(&self, block: usize, buffer: &mut BlockBuffer) -> Result<(), VectorsError> {
        match &self.list {
            AnyList::Memory(list) => {
                let rows = list.block_rows(block);
                buffer.count = rows.len();
                buffer.rows[..rows.len()].copy_from_slice(rows);
                for (score, &value) in buffer.scores.iter_mut().zip(list.block_values(block)) {
                    *score = self.factor * f32::from_bits(value);
                }
            }
            AnyList::Sealed(list) => {
                let mut values = [0; crate::postings::BLOCK_ROWS];
                buffer.count = list.read(block, &mut buffer.rows, &mut values)?;
                let record = list.record(block);
                let (high, low) = (
                    f32::from_bits(record.bound_high),
                    f32::from_bits(record.bound_low),
                );
                for (score, &value) in buffer.scores.iter_mut().zip(&values[..buffer.count]) {
                    *score = self.factor * self.weights.decode(value, high, low);
                }
            }
        }
        Ok(())
    }
}
