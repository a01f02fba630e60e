//! Product quantisation (Jégou, Douze & Schmid 2011): groups of dimensions, each coded as the nearest of 256 centroids.
//!
//! A query has one table of 256 partial ranks for each group; a row's rank is the sum of the entries that its codes choose.
//!
//! ```text
//! codebooks  f32 [groups][256][dimensions per group]   the last group is padded with zeros
//! codes      u8  [rows][stride]                        stride is groups rounded up to 4; padding is 0
//! ```

use kernels::Kernels;

use crate::error::VectorsError;
use crate::index::BuildControl;
use crate::index::ivf::cluster::{self, Centroids};
use crate::index::threads::in_threads;
use crate::quantize::rotation::Random;
use crate::quantize::store::Store;
use crate::quantize::{Originals, PreparedQuery, SliceOriginals, Values};
use crate::schema::Metric;

/// Centroids of a group: what a byte can name.
const CENTROIDS: usize = 256;
/// Rows that codebooks are trained on.
const SAMPLE_ROWS: usize = 6144;
/// Rows coded at a time.
const CHUNK_ROWS: usize = 1024;

/// Codes of all rows of one vector column.
#[derive(Debug)]
pub struct ProductCodes {
    metric: Metric,
    dimensions: usize,
    per_group: usize,
    codebooks: Store,
    codes: Store,
}

fn group_count(dimensions: usize, per_group: usize) -> usize {
    dimensions.div_ceil(per_group.max(1))
}

impl ProductCodes {
    /// Trains the codebooks on a sample and codes every row.
    ///
    /// # Errors
    /// [`VectorsError::Invalid`] without dimensions per code, [`VectorsError::Cancelled`] when `control` says so,
    /// [`VectorsError::Corrupt`] from the originals, [`VectorsError::OverBudget`] when memory is refused.
    pub fn train_and_encode(
        originals: &dyn Originals,
        metric: Metric,
        dimensions_per_code: u16,
        threads: usize,
        seed: u64,
        control: &BuildControl,
    ) -> Result<Self, VectorsError> {
        let dimensions = originals.dimensions();
        if dimensions_per_code == 0 {
            return Err(VectorsError::invalid(
                "quantization",
                "dimensions_per_code must be at least 1",
            ));
        }
        let per_group = usize::from(dimensions_per_code).min(dimensions.max(1));
        let groups = group_count(dimensions, per_group);
        let sample = sample(originals, seed)?;
        let mut trained = Vec::with_capacity(groups);
        let mut part = Vec::new();
        for group in 0..groups {
            cut_group(&sample, dimensions, per_group, group, &mut part);
            let rows = SliceOriginals::new(per_group, Values::Float32(&part));
            let count = CENTROIDS.min(rows.rows() as usize);
            trained.push(cluster::train(&rows, count, threads, seed, control)?);
        }
        let mut codebooks = Store::zeroed("vector codes", groups * CENTROIDS * per_group * 4)?;
        let values: &mut [f32] = bytemuck::cast_slice_mut(codebooks.owned_mut());
        for (book, centroids) in values.chunks_exact_mut(CENTROIDS * per_group).zip(&trained) {
            book[..centroids.values.len()].copy_from_slice(&centroids.values);
        }
        let stride = groups.next_multiple_of(4);
        let mut codes = Store::zeroed("vector codes", originals.rows() as usize * stride)?;
        let chunks = codes
            .owned_mut()
            .chunks_mut((CHUNK_ROWS * stride).max(1))
            .enumerate()
            .collect();
        in_threads(threads, chunks, |(chunk, codes): (usize, &mut [u8])| {
            control.advance(0)?;
            encode_chunk(
                originals,
                &trained,
                per_group,
                chunk * CHUNK_ROWS,
                stride,
                codes,
            )
        })?;
        Ok(ProductCodes {
            metric,
            dimensions,
            per_group,
            codebooks,
            codes,
        })
    }

    /// Codes that were written before.
    ///
    /// # Errors
    /// [`VectorsError::Invalid`] when the lengths do not fit.
    pub(crate) fn from_stores(
        metric: Metric,
        dimensions: usize,
        per_group: usize,
        rows: u32,
        codebooks: Store,
        codes: Store,
    ) -> Result<Self, VectorsError> {
        let groups = group_count(dimensions, per_group);
        let book_bytes = groups
            .saturating_mul(CENTROIDS * 4)
            .saturating_mul(per_group);
        if per_group == 0
            || codebooks.len() != book_bytes
            || codes.len() != rows as usize * groups.next_multiple_of(4)
        {
            return Err(VectorsError::invalid(
                "index codes",
                "they do not hold the rows",
            ));
        }
        Ok(ProductCodes {
            metric,
            dimensions,
            per_group,
            codebooks,
            codes,
        })
    }

    /// What is written: codes, codebooks and dimensions per group.
    pub(crate) fn parts(&self) -> (&Store, &Store, usize) {
        (&self.codes, &self.codebooks, self.per_group)
    }

    /// Bytes held in memory.
    pub fn bytes_in_memory(&self) -> u64 {
        self.codes.bytes_in_memory() + self.codebooks.bytes_in_memory()
    }

    /// Prepares a query of the column's dimensions: its tables.
    pub fn prepare(&self, query: &[f32], prepared: &mut PreparedQuery) {
        let kernels = Kernels::best();
        let groups = group_count(self.dimensions, self.per_group);
        prepared.original.clear();
        prepared.original.extend_from_slice(query);
        prepared.original.resize(groups * self.per_group, 0.0);
        prepared.values.resize(groups * CENTROIDS, 0.0);
        let books = self
            .codebooks
            .floats()
            .chunks_exact(CENTROIDS * self.per_group);
        let tables = prepared.values.chunks_exact_mut(CENTROIDS);
        for ((query, book), table) in prepared
            .original
            .chunks_exact(self.per_group)
            .zip(books)
            .zip(tables)
        {
            match self.metric {
                Metric::Cosine | Metric::Dot => {
                    kernels.scan_dot_f32(query, book, self.per_group, 0, table);
                    table.iter_mut().for_each(|entry| *entry = -*entry);
                }
                Metric::Euclid => kernels.scan_l2_f32(query, book, self.per_group, 0, table),
                Metric::Manhattan => kernels.scan_l1_f32(query, book, self.per_group, 0, table),
            }
        }
    }

    /// Writes the distance of each row to `out`: minus the estimated rank.
    #[inline]
    pub(crate) fn distances(&self, prepared: &PreparedQuery, rows: &[u32], out: &mut [f32]) {
        let groups = group_count(self.dimensions, self.per_group);
        let stride = groups.next_multiple_of(4);
        let kernels = Kernels::best();
        for &row in rows.iter().take(kernels::PREFETCH_ROWS) {
            kernels.prefetch(&self.codes, row as usize * stride, stride);
        }
        for (place, (&row, out)) in rows.iter().zip(out).enumerate() {
            if let Some(&ahead) = rows.get(place + kernels::PREFETCH_ROWS) {
                kernels.prefetch(&self.codes, ahead as usize * stride, stride);
            }
            let codes = &self.codes[row as usize * stride..][..groups];
            // Four sums, so that an addition does not wait for the one before.
            let mut sums = [0f32; 4];
            let tables = prepared.values.chunks_exact(CENTROIDS);
            for (group, (&code, table)) in codes.iter().zip(tables).enumerate() {
                sums[group % 4] += table[usize::from(code)];
            }
            let distance: f32 = sums.iter().sum();
            *out = if distance.is_nan() {
                f32::INFINITY
            } else {
                distance
            };
        }
    }
}

/// Up to [`SAMPLE_ROWS`] rows, one after another.
fn sample(originals: &dyn Originals, seed: u64) -> Result<Vec<f32>, VectorsError> {
    let rows = originals.rows() as usize;
    let count = rows.min(SAMPLE_ROWS);
    let mut random = Random::new(seed ^ 0x77);
    let mut buffer = Vec::new();
    let mut values = Vec::with_capacity(count * originals.dimensions());
    for place in 0..count {
        let row = if rows == count {
            place
        } else {
            random.below(rows)
        };
        values.extend_from_slice(originals.row(row as u32, &mut buffer)?);
    }
    Ok(values)
}

/// The values of one group of each row, padded with zeros to `per_group`.
fn cut_group(rows: &[f32], dimensions: usize, per_group: usize, group: usize, part: &mut Vec<f32>) {
    part.clear();
    let from = group * per_group;
    let to = (from + per_group).min(dimensions);
    for row in rows.chunks_exact(dimensions.max(1)) {
        part.extend_from_slice(&row[from..to]);
        part.extend(std::iter::repeat_n(0.0, per_group - (to - from)));
    }
}

fn encode_chunk(
    originals: &dyn Originals,
    trained: &[Centroids],
    per_group: usize,
    first: usize,
    stride: usize,
    codes: &mut [u8],
) -> Result<(), VectorsError> {
    let dimensions = originals.dimensions();
    let rows = codes.len() / stride;
    let (mut buffer, mut values, mut part) = (Vec::new(), Vec::new(), Vec::new());
    for row in first..first + rows {
        values.extend_from_slice(originals.row(row as u32, &mut buffer)?);
    }
    let (mut products, mut nearest) = (Vec::new(), vec![0; rows]);
    for (group, centroids) in trained.iter().enumerate() {
        cut_group(&values, dimensions, per_group, group, &mut part);
        let batches = part
            .chunks(cluster::BATCH * per_group)
            .zip(nearest.chunks_mut(cluster::BATCH));
        for (batch, nearest) in batches {
            centroids.assign(batch, &mut products, nearest);
        }
        for (row, &nearest) in nearest.iter().enumerate() {
            codes[row * stride + group] = nearest as u8;
        }
    }
    Ok(())
}
