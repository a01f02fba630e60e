//! Inverted lists of RaBitQ codes: an index that is cheap to build and small, for bulk loads and large or cold segments.
//!
//! k-means divides the rows into lists, each around a centroid. A row is stored in its list as two codes of its residual
//! (row minus centroid, after a random rotation): one bit for each dimension in blocks of 32 rows, which a query scans with
//! byte shuffles, and four bits more for each dimension, read only for rows whose upper bound after one bit still beats what
//! was found. The best of those are ranked on the originals until the bounds of the rest are below the last result
//! (Gao & Long, SIGMOD 2024; Gao et al., SIGMOD 2025; lists after Jégou et al. 2011).
//!
//! Invariants:
//!  1. Every row is in exactly one slot of one list; slots that pad a block hold [`NO_ROW`].
//!  2. A search answers fewer than `k` rows only when fewer are allowed: it goes on to further lists until then.
//!  3. The same originals, parameters and seed give the same bytes, whatever the number of threads.
//!
//! Sections, little-endian, each on a multiple of 64 bytes. `D` is `dimensions` rounded up to a multiple of 16.
//!
//! ```text
//! HEADER     u32 magic "FXIV" | u32 version | u32 metric | u32 rows | u32 dimensions | u32 lists | u32 blocks
//!            u64 seed | u32 entries of the recall table | { u32 probed lists | f32 recall } ...
//! CENTROIDS  f32 [lists][D]            rotated
//! COARSE     i8  [lists][D]            the same in bytes: to choose lists
//! LISTS      { u32 first block | u32 rows | f32 step of the bytes in COARSE | f32 |centroid|^2 } [lists]
//! ROWS       u32 [blocks][32]          row of each slot
//! SIGNS      u8  [blocks][D / 4][16]   first bits, as kernels::pack_table_codes orders them; bit i of a code is dimension i
//! DETAILS    u8  [blocks][32][D / 2]   the four further bits, as kernels::pack_int4 orders them
//! TERMS      f32 [blocks][6][32]       add, factor, error of the first bits; add, factor, error of all five
//! ```

mod build;
mod calibrate;
pub(crate) mod cluster;
mod search;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use crate::error::VectorsError;
use crate::index::{SECTION_HEADER, SectionId};
use crate::quantize::rotation::Rotation;
use crate::quantize::store::{SectionBytes, Store};
use crate::schema::Metric;

pub use search::IvfScratch;

/// Version of the layout above.
const VERSION: u32 = 1;
/// The row of a slot that only fills its block.
pub(crate) const NO_ROW: u32 = u32::MAX;
/// Columns of a block's terms.
const TERM_COLUMNS: usize = 6;
/// Bits of the second code, beyond the sign.
const DETAIL_BITS: u8 = 4;
/// Rows in a block.
const BLOCK: usize = kernels::BLOCK_ROWS;

/// First word of the header: "FXIV".
pub(crate) const MAGIC: u32 = u32::from_le_bytes(*b"FXIV");

const SECTION_CENTROIDS: SectionId = SectionId(0x20);
const SECTION_COARSE: SectionId = SectionId(0x21);
const SECTION_LISTS: SectionId = SectionId(0x22);
const SECTION_ROWS: SectionId = SectionId(0x23);
const SECTION_SIGNS: SectionId = SectionId(0x24);
const SECTION_DETAILS: SectionId = SectionId(0x25);
const SECTION_TERMS: SectionId = SectionId(0x26);

/// Where the rows of a list are and how its centroid reads.
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct List {
    first_block: u32,
    rows: u32,
    /// Value of one unit of the centroid's bytes.
    step: f32,
    norm_squared: f32,
}

impl List {
    fn blocks(&self) -> std::ops::Range<usize> {
        let first = self.first_block as usize;
        first..first + (self.rows as usize).div_ceil(BLOCK)
    }
}

/// Recall measured with so many lists probed.
#[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct RecallStep {
    /// Lists probed.
    pub probes: u32,
    /// Share of the true ten nearest that were found, 0 to 1.
    pub recall: f32,
}

/// Inverted lists with RaBitQ codes.
#[derive(Debug)]
pub struct Ivf {
    metric: Metric,
    rows: u32,
    dimensions: usize,
    rotation: Rotation,
    recall: Vec<RecallStep>,
    centroids: Store,
    coarse: Store,
    lists: Store,
    slots: Store,
    signs: Store,
    details: Store,
    terms: Store,
}

/// The fixed part of the header.
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Header {
    magic: u32,
    version: u32,
    metric: u32,
    rows: u32,
    dimensions: u32,
    lists: u32,
    blocks: u32,
    seed_low: u32,
    seed_high: u32,
    recall_steps: u32,
}

/// Most entries of a recall table.
const RECALL_STEPS_MAX: usize = 64;

/// `dimensions` rounded up to what tables of four and blocks of bytes need.
fn padded(dimensions: usize) -> usize {
    dimensions.next_multiple_of(16)
}

impl Ivf {
    /// Whether rows can be compared this way: Manhattan distance has no inner product to estimate.
    pub fn supports(metric: Metric) -> bool {
        metric != Metric::Manhattan
    }

    /// Rows it covers.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Number of lists.
    pub fn lists(&self) -> usize {
        self.list_table().len()
    }

    /// Recall at 10 by lists probed, as measured on rows of the segment when it was built; recall rises.
    ///
    /// Queries from elsewhere than the data are harder than its own rows; expect a little less for them.
    pub fn recall_steps(&self) -> &[RecallStep] {
        &self.recall
    }

    /// Bytes held in memory of its own; mapped sections not included.
    pub fn bytes_in_memory(&self) -> u64 {
        let stores = [
            &self.centroids,
            &self.coarse,
            &self.lists,
            &self.slots,
            &self.signs,
            &self.details,
            &self.terms,
        ];
        stores.iter().map(|store| store.bytes_in_memory()).sum()
    }

    /// The index as bytes, for [`Ivf::open`].
    pub fn sections(&self) -> Vec<(SectionId, Cow<'_, [u8]>)> {
        vec![
            (SECTION_HEADER, Cow::Owned(self.header_bytes())),
            (SECTION_CENTROIDS, Cow::Borrowed(&*self.centroids)),
            (SECTION_COARSE, Cow::Borrowed(&*self.coarse)),
            (SECTION_LISTS, Cow::Borrowed(&*self.lists)),
            (SECTION_ROWS, Cow::Borrowed(&*self.slots)),
            (SECTION_SIGNS, Cow::Borrowed(&*self.signs)),
            (SECTION_DETAILS, Cow::Borrowed(&*self.details)),
            (SECTION_TERMS, Cow::Borrowed(&*self.terms)),
        ]
    }

    fn header_bytes(&self) -> Vec<u8> {
        let seed = self.rotation.seed();
        let header = Header {
            magic: MAGIC,
            version: VERSION,
            metric: metric_code(self.metric),
            rows: self.rows,
            dimensions: self.dimensions as u32,
            lists: self.lists() as u32,
            blocks: self.block_count() as u32,
            seed_low: seed as u32,
            seed_high: (seed >> 32) as u32,
            recall_steps: self.recall.len() as u32,
        };
        let mut bytes = bytemuck::bytes_of(&header).to_vec();
        bytes.extend_from_slice(bytemuck::cast_slice(&self.recall));
        bytes
    }

    /// Opens an index from its sections.
    ///
    /// # Errors
    /// [`VectorsError::Invalid`] when a section is missing, does not fit the others, or belongs to another metric, size or
    /// number of rows.
    pub fn open(
        metric: Metric,
        dimensions: usize,
        rows: u32,
        sections: &dyn Fn(SectionId) -> Option<SectionBytes>,
    ) -> Result<Ivf, VectorsError> {
        let section = |id: SectionId| {
            sections(id)
                .map(Store::Section)
                .ok_or_else(|| damaged("a section is missing"))
        };
        let bytes = section(SECTION_HEADER)?;
        let fixed = size_of::<Header>();
        let parts = bytes.get(..fixed).zip(bytes.get(fixed..));
        let (head, steps) = parts.ok_or_else(|| damaged("the header is too short"))?;
        let head: Header = bytemuck::pod_read_unaligned(head);
        let expected = (MAGIC, VERSION, metric_code(metric), rows, dimensions as u32);
        if (
            head.magic,
            head.version,
            head.metric,
            head.rows,
            head.dimensions,
        ) != expected
        {
            return Err(damaged(
                "the header is of another version, metric, size or number of rows",
            ));
        }
        let steps_bytes = head.recall_steps as usize * size_of::<RecallStep>();
        if head.recall_steps as usize > RECALL_STEPS_MAX || steps.len() != steps_bytes {
            return Err(damaged("the recall table has another length"));
        }
        let step = |bytes: &[u8]| bytemuck::pod_read_unaligned::<RecallStep>(bytes);
        let recall = steps
            .chunks_exact(size_of::<RecallStep>())
            .map(step)
            .collect();
        let seed = u64::from(head.seed_low) | u64::from(head.seed_high) << 32;
        let index = Ivf {
            metric,
            rows,
            dimensions,
            rotation: Rotation::new(padded(dimensions), seed),
            recall,
            centroids: section(SECTION_CENTROIDS)?,
            coarse: section(SECTION_COARSE)?,
            lists: section(SECTION_LISTS)?,
            slots: section(SECTION_ROWS)?,
            signs: section(SECTION_SIGNS)?,
            details: section(SECTION_DETAILS)?,
            terms: section(SECTION_TERMS)?,
        };
        index.check(head.lists as usize, head.blocks as usize)?;
        Ok(index)
    }

    /// Checks that the sections fit together: their lengths, alignment, and that lists lie within the blocks.
    fn check(&self, lists: usize, blocks: usize) -> Result<(), VectorsError> {
        let wide = padded(self.dimensions);
        let lengths = [
            (&self.centroids, lists * wide * 4),
            (&self.coarse, lists * wide),
            (&self.lists, lists * size_of::<List>()),
            (&self.slots, blocks * BLOCK * 4),
            (&self.signs, blocks * wide * 4),
            (&self.details, blocks * BLOCK * (wide / 2)),
            (&self.terms, blocks * TERM_COLUMNS * BLOCK * 4),
        ];
        for (store, length) in lengths {
            if store.len() != length || !store.as_ptr().cast::<u32>().is_aligned() {
                return Err(damaged("a section has the wrong length or alignment"));
            }
        }
        let fits = |list: &List| {
            list.rows <= self.rows
                && list.blocks().end <= blocks
                && list.norm_squared.is_finite()
                && list.step.is_finite()
        };
        if !self.list_table().iter().all(fits) {
            return Err(damaged("a list lies outside of the blocks"));
        }
        Ok(())
    }

    fn list_table(&self) -> &[List] {
        bytemuck::cast_slice(&self.lists)
    }

    fn block_count(&self) -> usize {
        self.slots.len() / (BLOCK * 4)
    }

    /// The centroid of a list, rotated.
    fn centroid(&self, list: usize) -> &[f32] {
        let wide = padded(self.dimensions);
        &self.centroids.floats()[list * wide..][..wide]
    }
}

fn metric_code(metric: Metric) -> u32 {
    match metric {
        Metric::Cosine => 0,
        Metric::Dot => 1,
        Metric::Euclid => 2,
        Metric::Manhattan => 3,
    }
}

fn damaged(message: &str) -> VectorsError {
    VectorsError::invalid("inverted lists", message)
}
