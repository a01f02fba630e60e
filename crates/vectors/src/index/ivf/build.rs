//! Building: cluster, sort rows into lists, encode each row twice.

use kernels::{Kernels, pack_int4, pack_table_codes};

use super::cluster::{self, Centroids};
use super::{BLOCK, DETAIL_BITS, Ivf, List, NO_ROW, TERM_COLUMNS, calibrate, padded};
use crate::error::VectorsError;
use crate::index::threads::in_threads;
use crate::index::{BuildControl, IndexParameters};
use crate::quantize::Originals;
use crate::quantize::rotation::Rotation;
use crate::quantize::store::Store;
use crate::schema::Metric;

/// Lists for `rows` rows: four times the root, so that lists and centroids cost a query about the same; a multiple of 16,
/// and never so many that lists are shorter than two blocks.
fn list_count(rows: u32) -> usize {
    let lists = (4.0 * f64::from(rows).sqrt()) as usize;
    lists
        .next_multiple_of(16)
        .min(rows as usize / (2 * BLOCK))
        .max(1)
}

/// What one thread encodes: the lists of a run of blocks and where their bytes go.
struct Part<'a> {
    lists: std::ops::Range<usize>,
    first_block: usize,
    slots: &'a mut [u32],
    signs: &'a mut [u8],
    details: &'a mut [u8],
    terms: &'a mut [f32],
}

impl Ivf {
    /// Builds the index of `originals`.
    ///
    /// # Errors
    /// [`VectorsError::Invalid`] for Manhattan distance, [`VectorsError::Cancelled`] when `control` says so,
    /// [`VectorsError::Corrupt`] when originals are damaged, [`VectorsError::OverBudget`] when memory is refused.
    pub fn build(
        originals: &dyn Originals,
        parameters: &IndexParameters,
        control: &BuildControl,
    ) -> Result<Ivf, VectorsError> {
        if !Ivf::supports(parameters.metric) {
            return Err(VectorsError::invalid(
                "index",
                "inverted lists do not support the Manhattan distance; use hnsw or flat",
            ));
        }
        let rows = originals.rows();
        let dimensions = originals.dimensions();
        if rows == 0 || dimensions == 0 {
            return Err(VectorsError::invalid(
                "index",
                "inverted lists need at least one row",
            ));
        }
        let threads = parameters.threads;
        let centroids = cluster::train(
            originals,
            list_count(rows),
            threads,
            parameters.seed,
            control,
        )?;
        let all: Vec<u32> = (0..rows).collect();
        let assigned = cluster::assign_rows(originals, &centroids, &all, threads, control)?;
        let mut index = empty(originals, parameters, &centroids, &assigned)?;
        index.encode(originals, &centroids, &assigned, threads, control)?;
        index.recall = calibrate::measure(&index, originals, parameters.seed, control)?;
        Ok(index)
    }

    fn encode(
        &mut self,
        originals: &dyn Originals,
        centroids: &Centroids,
        assigned: &[u32],
        threads: usize,
        control: &BuildControl,
    ) -> Result<(), VectorsError> {
        let wide = padded(self.dimensions);
        let rotated = self.centroids.floats();
        let lists: &[List] = bytemuck::cast_slice(&self.lists);
        let encoder = Encoder {
            metric: self.metric,
            rotation: &self.rotation,
            originals,
            centroids,
            rotated,
            lists,
            members: members(assigned, lists.len()),
        };
        let mut slots: &mut [u32] = bytemuck::cast_slice_mut(self.slots.owned_mut());
        let mut signs: &mut [u8] = self.signs.owned_mut();
        let mut details: &mut [u8] = self.details.owned_mut();
        let mut terms: &mut [f32] = bytemuck::cast_slice_mut(self.terms.owned_mut());
        let mut parts = Vec::new();
        // Sixteen lists to a part: enough parts for any number of threads, few enough to be cheap.
        for first in (0..lists.len()).step_by(16) {
            let part_lists = first..(first + 16).min(lists.len());
            let blocks: usize = lists[part_lists.clone()]
                .iter()
                .map(|list| list.blocks().len())
                .sum();
            parts.push(Part {
                first_block: lists[first].first_block as usize,
                lists: part_lists,
                slots: cut(&mut slots, blocks * BLOCK),
                signs: cut(&mut signs, blocks * wide * 4),
                details: cut(&mut details, blocks * BLOCK * (wide / 2)),
                terms: cut(&mut terms, blocks * TERM_COLUMNS * BLOCK),
            });
        }
        in_threads(threads, parts, |part| encoder.encode_part(part, control))
    }
}

/// Takes the first `count` elements off.
fn cut<'a, T>(rest: &mut &'a mut [T], count: usize) -> &'a mut [T] {
    let (first, behind) = std::mem::take(rest).split_at_mut(count);
    *rest = behind;
    first
}

/// Rows by list, ascending in each.
struct Members {
    starts: Vec<usize>,
    rows: Vec<u32>,
}

impl Members {
    fn of(&self, list: usize) -> &[u32] {
        &self.rows[self.starts[list]..self.starts[list + 1]]
    }
}

fn members(assigned: &[u32], lists: usize) -> Members {
    let mut starts = vec![0; lists + 1];
    for &list in assigned {
        starts[list as usize + 1] += 1;
    }
    for list in 0..lists {
        starts[list + 1] += starts[list];
    }
    let mut next = starts.clone();
    let mut rows = vec![0; assigned.len()];
    for (row, &list) in assigned.iter().enumerate() {
        rows[next[list as usize]] = row as u32;
        next[list as usize] += 1;
    }
    Members { starts, rows }
}

/// An index with its lists laid out and its centroids written, but no codes.
fn empty(
    originals: &dyn Originals,
    parameters: &IndexParameters,
    centroids: &Centroids,
    assigned: &[u32],
) -> Result<Ivf, VectorsError> {
    let dimensions = originals.dimensions();
    let wide = padded(dimensions);
    let rotation = Rotation::new(wide, parameters.seed);
    let count = centroids.count();
    let mut sizes = vec![0u32; count];
    for &list in assigned {
        sizes[list as usize] += 1;
    }
    let blocks: usize = sizes
        .iter()
        .map(|&rows| (rows as usize).div_ceil(BLOCK))
        .sum();
    let store = |bytes| Store::zeroed("inverted lists", bytes);
    let mut index = Ivf {
        metric: parameters.metric,
        rows: originals.rows(),
        dimensions,
        recall: Vec::new(),
        centroids: store(count * wide * 4)?,
        coarse: store(count * wide)?,
        lists: store(count * size_of::<List>())?,
        slots: store(blocks * BLOCK * 4)?,
        signs: store(blocks * wide * 4)?,
        details: store(blocks * BLOCK * (wide / 2))?,
        terms: store(blocks * TERM_COLUMNS * BLOCK * 4)?,
        rotation,
    };
    let kernels = Kernels::best();
    let rotated: &mut [f32] = bytemuck::cast_slice_mut(index.centroids.owned_mut());
    let coarse: &mut [i8] = bytemuck::cast_slice_mut(index.coarse.owned_mut());
    let lists: &mut [List] = bytemuck::cast_slice_mut(index.lists.owned_mut());
    let mut first_block = 0;
    for (number, list) in lists.iter_mut().enumerate() {
        let centroid = &mut rotated[number * wide..][..wide];
        centroid[..dimensions]
            .copy_from_slice(&centroids.values[number * dimensions..][..dimensions]);
        index.rotation.apply(centroid);
        let step = super::search::to_bytes(centroid, &mut coarse[number * wide..][..wide]);
        *list = List {
            first_block,
            rows: sizes[number],
            step,
            norm_squared: kernels.norm_squared_f32(centroid),
        };
        first_block += sizes[number].div_ceil(BLOCK as u32);
    }
    Ok(index)
}

/// Everything that encoding a list reads.
struct Encoder<'a> {
    metric: Metric,
    rotation: &'a Rotation,
    originals: &'a dyn Originals,
    centroids: &'a Centroids,
    rotated: &'a [f32],
    lists: &'a [List],
    members: Members,
}

/// Buffers of one thread that encodes.
struct Buffers {
    original: Vec<f32>,
    residual: Vec<f32>,
    code: Vec<u8>,
    nibbles: Vec<u8>,
}

impl Encoder<'_> {
    fn encode_part(&self, part: Part<'_>, control: &BuildControl) -> Result<(), VectorsError> {
        let wide = padded(self.originals.dimensions());
        let mut buffers = Buffers {
            original: Vec::new(),
            residual: vec![0.0; wide],
            code: vec![0; wide],
            nibbles: vec![0; wide / 4 * BLOCK],
        };
        for list in part.lists {
            let first = self.lists[list].blocks().start - part.first_block;
            for (number, rows) in self.members.of(list).chunks(BLOCK).enumerate() {
                let block = first + number;
                let slots = &mut part.slots[block * BLOCK..][..BLOCK];
                slots.fill(NO_ROW);
                slots[..rows.len()].copy_from_slice(rows);
                let details = &mut part.details[block * BLOCK * (wide / 2)..][..BLOCK * (wide / 2)];
                let terms = &mut part.terms[block * TERM_COLUMNS * BLOCK..][..TERM_COLUMNS * BLOCK];
                let signs = &mut part.signs[block * wide * 4..][..wide * 4];
                buffers.nibbles.clear();
                for (slot, &row) in rows.iter().enumerate() {
                    let detail = &mut details[slot * (wide / 2)..][..wide / 2];
                    let columns = self.encode_row(list, row, detail, &mut buffers)?;
                    for (column, value) in columns.into_iter().enumerate() {
                        terms[column * BLOCK + slot] = value;
                    }
                }
                pack_table_codes(&buffers.nibbles, wide / 4, signs);
                control.advance(rows.len() as u32)?;
            }
        }
        Ok(())
    }

    /// Encodes one row: appends its sign nibbles, writes its details, returns its six terms.
    fn encode_row(
        &self,
        list: usize,
        row: u32,
        detail: &mut [u8],
        buffers: &mut Buffers,
    ) -> Result<[f32; TERM_COLUMNS], VectorsError> {
        let kernels = Kernels::best();
        let dimensions = self.originals.dimensions();
        let wide = buffers.residual.len();
        let vector = self.originals.row(row, &mut buffers.original)?;
        let centroid = &self.centroids.values[list * dimensions..][..dimensions];
        buffers.residual.fill(0.0);
        for ((residual, value), centroid) in buffers.residual.iter_mut().zip(vector).zip(centroid) {
            *residual = value - centroid;
        }
        self.rotation.apply(&mut buffers.residual);
        let rotated = &self.rotated[list * wide..][..wide];
        let centroid_sum: f32 = rotated.iter().sum();
        let along_centroid = kernels.dot_f32(&buffers.residual, rotated);
        let mut terms = [0.0; TERM_COLUMNS];
        for (stage, bits) in [1, 1 + DETAIL_BITS].into_iter().enumerate() {
            let fit = kernels.rabitq_encode(&buffers.residual, bits, &mut buffers.code);
            let centre = ((1u32 << bits) - 1) as f32 * 0.5;
            let code_on_centroid = kernels.dot_u8(rotated, &buffers.code) - centre * centroid_sum;
            let stage = &mut terms[stage * 3..][..3];
            stage.copy_from_slice(&match self.metric {
                // -|x - q|^2 = -|r|^2 - |q - c|^2 + 2 <r, q - c>
                Metric::Euclid => [
                    -fit.norm_squared - 2.0 * fit.factor * code_on_centroid,
                    2.0 * fit.factor,
                    2.0 * fit.error,
                ],
                // <x, q> = <c, q> + <r, c> + <r, q - c>
                _ => [
                    along_centroid - fit.factor * code_on_centroid,
                    fit.factor,
                    fit.error,
                ],
            });
        }
        // The code of five bits begins with the sign; the rest are the details.
        for bits in buffers.code.chunks_exact(4) {
            let sign = |place: usize| (bits[place] >> DETAIL_BITS) << place;
            buffers.nibbles.push(sign(0) | sign(1) | sign(2) | sign(3));
        }
        for code in &mut buffers.code {
            *code &= (1 << DETAIL_BITS) - 1;
        }
        pack_int4(&buffers.code, detail);
        Ok(terms)
    }
}
