//! One step size for all dimensions: 8 bits, or 4 bits after a random rotation.
//!
//! A vector `x` is coded as `y = R(x - centre)`, each coordinate rounded to a multiple of one step: `y = step * (code - zero)`
//! with `zero` 128 for 8 bits and 7.5 for 4 bits. Queries are coded with 8 signed bits and a step of their own, so that
//! comparing is one integer product for each row:
//!
//! ```text
//! dot:  q . x      ~ step_q * step * (sum t * code - zero * sum t)          t = signed code of the query
//! L2:   |q - x|^2  ~ |q - centre|^2 + |y|^2 - 2 * (the same)                |y|^2 stored for each row
//! L1:   |q - x|_1  ~ step * sum |code_q - code|                             both unsigned, no rotation
//! ```
//!
//! `R` is there for 4 bits always and for 8 bits when it halves the error; `centre` is the mean for L2 and 0 otherwise. Vectors
//! of whole numbers from 0 to 255 under L1 or L2 are coded without any error. A row can itself be the prepared query; building
//! a graph compares rows with rows this way.

use kernels::{Kernels, graph};

use crate::error::VectorsError;
use crate::quantize::rotation::Rotation;
use crate::quantize::store::Store;
use crate::quantize::{Originals, PreparedQuery};
use crate::schema::Metric;

/// Rows looked at to choose centre, rotation and step. More change the third digit of the step.
const SAMPLE_ROWS: usize = 2048;
/// Rows compared per kernel call: one list of neighbours and more.
const BATCH: usize = 64;

/// Bits per dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// One byte.
    Eight,
    /// Half a byte.
    Four,
}

impl Width {
    fn zero(self) -> f32 {
        match self {
            Width::Eight => 128.0,
            Width::Four => 7.5,
        }
    }

    fn largest(self) -> f32 {
        match self {
            Width::Eight => 255.0,
            Width::Four => 15.0,
        }
    }

    /// Dimensions with their padding, and bytes of a row.
    fn shape(self, dimensions: usize) -> (usize, usize) {
        match self {
            Width::Eight => {
                let padded = dimensions.next_multiple_of(graph::LANES);
                (padded, padded)
            }
            Width::Four => {
                let padded = dimensions.next_multiple_of(2 * graph::LANES);
                (padded, padded / 2)
            }
        }
    }
}

/// How vectors are turned into codes: what training chose.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Coding {
    pub(crate) width: Width,
    pub(crate) metric: Metric,
    pub(crate) dimensions: usize,
    pub(crate) rotation: Option<Rotation>,
    /// Subtracted from vectors before they are rotated; empty for nothing.
    pub(crate) centre: Vec<f32>,
    pub(crate) step: f32,
    /// Whether codes are the vectors without any error.
    pub(crate) lossless: bool,
}

/// Codes of all rows of one vector column.
#[derive(Debug)]
pub struct ScalarCodes {
    coding: Coding,
    kernels: Kernels,
    padded: usize,
    stride: usize,
    codes: Store,
    /// Squared length of each coded row; only for L2.
    norms: Store,
}

/// Adding and subtracting 1.5 * 2^23 rounds a number below 2^22 to the nearest whole one, ties to even. The method of that
/// name is a call per number on the oldest processors that the build must run on.
const ROUNDING: f32 = 12_582_912.0;

impl ScalarCodes {
    /// Chooses the coding by a sample and codes every row.
    ///
    /// # Errors
    /// [`VectorsError::Corrupt`] from the originals, [`VectorsError::OverBudget`] when memory is refused.
    pub fn train_and_encode(
        originals: &dyn Originals,
        metric: Metric,
        width: Width,
        threads: usize,
        seed: u64,
    ) -> Result<Self, VectorsError> {
        let coding = Coding::train(originals, metric, width, seed)?;
        Self::encode(coding, originals, threads)
    }

    /// Codes of 8 bits that are the vectors themselves: whole numbers from 0 to 255 under L1 or L2. `None` for others.
    ///
    /// # Errors
    /// As [`ScalarCodes::train_and_encode`].
    pub fn encode_exactly(
        originals: &dyn Originals,
        metric: Metric,
        threads: usize,
    ) -> Result<Option<Self>, VectorsError> {
        match Coding::lossless(originals, metric)? {
            Some(coding) => Self::encode(coding, originals, threads).map(Some),
            None => Ok(None),
        }
    }

    fn encode(
        coding: Coding,
        originals: &dyn Originals,
        threads: usize,
    ) -> Result<Self, VectorsError> {
        let (_, stride) = coding.width.shape(coding.dimensions);
        let rows = originals.rows() as usize;
        let mut codes = Store::zeroed("vector codes", rows * stride)?;
        let has_norms = coding.metric == Metric::Euclid;
        let mut norms = Store::zeroed("vector codes", if has_norms { rows * 4 } else { 0 })?;
        if let (Store::Owned(codes), Store::Owned(norms)) = (&mut codes, &mut norms) {
            let norms: &mut [f32] = bytemuck::cast_slice_mut(norms);
            encode_all(&coding, originals, codes, norms, stride, threads)?;
        }
        Ok(Self::assemble(coding, codes, norms))
    }

    /// Codes that were written before.
    ///
    /// # Errors
    /// [`VectorsError::Invalid`] when the bytes do not fit the coding.
    pub(crate) fn from_stores(
        coding: Coding,
        rows: u32,
        codes: Store,
        norms: Store,
    ) -> Result<Self, VectorsError> {
        let (_, stride) = coding.width.shape(coding.dimensions);
        let norm_bytes = if coding.metric == Metric::Euclid {
            4
        } else {
            0
        };
        if codes.len() != rows as usize * stride || norms.len() != rows as usize * norm_bytes {
            return Err(VectorsError::invalid(
                "index codes",
                format!("{} bytes do not hold {rows} rows of {stride}", codes.len()),
            ));
        }
        Ok(Self::assemble(coding, codes, norms))
    }

    fn assemble(coding: Coding, codes: Store, norms: Store) -> Self {
        let (padded, stride) = coding.width.shape(coding.dimensions);
        ScalarCodes {
            coding,
            kernels: Kernels::best(),
            padded,
            stride,
            codes,
            norms,
        }
    }

    pub(crate) fn coding(&self) -> &Coding {
        &self.coding
    }

    /// The code table and the norms, as they are written.
    pub(crate) fn stores(&self) -> (&Store, &Store) {
        (&self.codes, &self.norms)
    }

    /// Bytes held in memory.
    pub fn bytes_in_memory(&self) -> u64 {
        self.codes.bytes_in_memory() + self.norms.bytes_in_memory()
    }

    /// Prepares a query of the column's dimensions.
    pub fn prepare(&self, query: &[f32], prepared: &mut PreparedQuery) {
        let coding = &self.coding;
        coding.transform(query, &mut prepared.values);
        let values = &prepared.values;
        if coding.metric == Metric::Manhattan {
            prepared.unsigned.clear();
            let codes = values.iter().map(|&value| coding.code(value));
            prepared.unsigned.extend(codes);
            prepared.unsigned.resize(self.padded, 0);
            (prepared.factor, prepared.offset) = (coding.step, 0.0);
            return;
        }
        let largest = values.iter().fold(0.0f32, |most, v| most.max(v.abs()));
        let whole = coding.lossless
            && values
                .iter()
                .all(|&v| (-128.0..=127.0).contains(&v) && v as i32 as f32 == v);
        let step = if whole || largest == 0.0 {
            1.0
        } else {
            largest / 127.0
        };
        let inverse = 1.0 / step;
        prepared.signed.clear();
        let codes = values
            .iter()
            .map(|&v| (v * inverse + ROUNDING - ROUNDING) as i8);
        prepared.signed.extend(codes);
        prepared.signed.resize(self.padded, 0);
        let length = values.iter().map(|v| v * v).sum();
        let sum = prepared.signed.iter().map(|&code| i32::from(code)).sum();
        self.finish(prepared, step, sum, length);
    }

    /// The code of a row, padding included.
    ///
    /// # Panics
    /// For a row behind the end.
    pub(crate) fn row_codes(&self, row: u32) -> &[u8] {
        &self.codes[row as usize * self.stride..][..self.stride]
    }

    /// Prepares a coded row as the query: building compares rows with rows.
    ///
    /// # Panics
    /// For a row behind the end.
    pub fn prepare_row(&self, row: u32, prepared: &mut PreparedQuery) {
        let codes = self.row_codes(row);
        if self.coding.metric == Metric::Manhattan {
            prepared.unsigned.clear();
            prepared.unsigned.extend_from_slice(codes);
            (prepared.factor, prepared.offset) = (self.coding.step, 0.0);
            return;
        }
        prepared.signed.resize(self.padded, 0);
        let query = &mut prepared.signed[..];
        let (step, sum) = match self.coding.width {
            Width::Eight => {
                let sum = self.kernels.query_of_codes_8(codes, query);
                (self.coding.step, sum)
            }
            Width::Four => {
                let dimensions = self.coding.dimensions;
                let sum = self.kernels.query_of_codes_4(codes, dimensions, query);
                (self.coding.step / 2.0, sum)
            }
        };
        let length = self.norms.floats().get(row as usize).copied();
        self.finish(prepared, step, sum, length.unwrap_or(0.0));
    }

    /// Sets what turns integer products into distances.
    fn finish(&self, prepared: &mut PreparedQuery, step: f32, sum: i32, length: f32) {
        let scale = step * self.coding.step;
        let zero = self.coding.width.zero() * sum as f32;
        (prepared.factor, prepared.offset) = match self.coding.metric {
            Metric::Euclid => (-2.0 * scale, 2.0 * scale * zero + length),
            _ => (-scale, scale * zero),
        };
    }

    /// Writes the distance of each row to `out`: minus the rank up to the error of the codes (and, for dot products, exactly
    /// minus the product, not a metric).
    #[inline]
    pub(crate) fn distances(&self, prepared: &PreparedQuery, rows: &[u32], out: &mut [f32]) {
        for (rows, out) in rows.chunks(BATCH).zip(out.chunks_mut(BATCH)) {
            let mut products = [0i32; BATCH];
            let products = &mut products[..rows.len()];
            let (base, stride) = (&*self.codes, self.stride);
            let norms = self.norms.floats();
            if self.coding.metric == Metric::Euclid {
                for &row in rows {
                    graph::prefetch(norms, row as usize);
                }
            }
            match (self.coding.metric, self.coding.width) {
                (Metric::Manhattan, _) => {
                    let query = &prepared.unsigned;
                    self.kernels.l1_codes_8(query, base, stride, rows, products);
                }
                (_, Width::Eight) => {
                    let query = &prepared.signed;
                    self.kernels
                        .dot_codes_8(query, base, stride, rows, products);
                }
                (_, Width::Four) => {
                    let query = &prepared.signed;
                    self.kernels
                        .dot_codes_4(query, base, stride, rows, products);
                }
            }
            for (out, &product) in out.iter_mut().zip(&*products) {
                *out = prepared.factor * product as f32 + prepared.offset;
            }
            if self.coding.metric == Metric::Euclid {
                for (out, &row) in out.iter_mut().zip(rows) {
                    *out += norms[row as usize];
                }
            }
        }
    }
}

impl Coding {
    /// The coding without error, where there is one.
    fn lossless(originals: &dyn Originals, metric: Metric) -> Result<Option<Self>, VectorsError> {
        let whole = |value: &f32| value.fract() == 0.0 && (0.0..=255.0).contains(value);
        let centre = match metric {
            Metric::Euclid => 128.0,
            Metric::Manhattan => 0.0,
            Metric::Cosine | Metric::Dot => return Ok(None),
        };
        let dimensions = originals.dimensions();
        Ok(every_value(originals, whole)?.then(|| Coding {
            width: Width::Eight,
            metric,
            dimensions,
            rotation: None,
            centre: vec![centre; dimensions],
            step: 1.0,
            lossless: true,
        }))
    }

    fn train(
        originals: &dyn Originals,
        metric: Metric,
        width: Width,
        seed: u64,
    ) -> Result<Self, VectorsError> {
        let dimensions = originals.dimensions();
        let sample = sample(originals)?;
        // L1 has no rotation and with it no 4 bits.
        let width = if metric == Metric::Manhattan {
            Width::Eight
        } else {
            width
        };
        let mut coding = Coding {
            width,
            metric,
            dimensions,
            rotation: None,
            centre: Vec::new(),
            step: 1.0,
            lossless: false,
        };
        match metric {
            Metric::Euclid => {
                let mut mean = vec![0.0f64; dimensions];
                for row in sample.chunks_exact(dimensions.max(1)) {
                    for (mean, &value) in mean.iter_mut().zip(row) {
                        *mean += f64::from(value);
                    }
                }
                let count = (sample.len() / dimensions.max(1)).max(1) as f64;
                coding.centre = mean.iter().map(|sum| (sum / count) as f32).collect();
            }
            Metric::Manhattan => {
                let (mut low, mut high) = (f32::INFINITY, f32::NEG_INFINITY);
                for &value in &sample {
                    (low, high) = (low.min(value), high.max(value));
                }
                if high > low {
                    coding.step = (high - low) / 255.0;
                    coding.centre = vec![low; dimensions];
                }
                return Ok(coding);
            }
            Metric::Cosine | Metric::Dot => {}
        }
        let plain_error = coding.choose_step(&sample);
        let mut rotated = coding.clone();
        rotated.rotation = Some(Rotation::new(dimensions, seed));
        let rotated_error = rotated.choose_step(&sample);
        let rotate = width == Width::Four || rotated_error * 2.0 < plain_error;
        Ok(if rotate { rotated } else { coding })
    }

    /// Chooses the step with the smallest squared error on the sample; returns that error per value.
    fn choose_step(&mut self, sample: &[f32]) -> f64 {
        let mut transformed = Vec::with_capacity(sample.len());
        let mut buffer = Vec::new();
        for row in sample.chunks_exact(self.dimensions.max(1)) {
            self.transform(row, &mut buffer);
            transformed.extend_from_slice(&buffer);
        }
        let largest = transformed.iter().fold(0.0f32, |most, v| most.max(v.abs()));
        if largest == 0.0 {
            self.step = 1.0;
            return 0.0;
        }
        let half_range = self.width.largest() / 2.0;
        let mut best = (f64::INFINITY, largest / half_range);
        // From the full range down to a seventh of it in steps of 5 %: a normal distribution of a million values spans 10
        // standard deviations, and 4 bits do best with 5 of them.
        for index in 0..40 {
            let step = largest / half_range * 0.95f32.powi(index);
            self.step = step;
            let error: f64 = transformed
                .iter()
                .map(|&v| {
                    let restored = (f32::from(self.code(v)) - self.width.zero()) * step;
                    f64::from((v - restored) * (v - restored))
                })
                .sum();
            if error < best.0 {
                best = (error, step);
            }
        }
        self.step = best.1;
        best.0 / transformed.len() as f64
    }

    /// Moves and rotates a vector into the space of the codes.
    fn transform(&self, vector: &[f32], into: &mut Vec<f32>) {
        into.clear();
        into.extend_from_slice(vector);
        for (value, centre) in into.iter_mut().zip(&self.centre) {
            *value -= centre;
        }
        if let Some(rotation) = &self.rotation {
            rotation.apply(into);
        }
    }

    #[inline]
    fn code(&self, value: f32) -> u8 {
        let zero = if self.metric == Metric::Manhattan {
            0.0
        } else {
            self.width.zero()
        };
        (value / self.step + zero)
            .round_ties_even()
            .clamp(0.0, self.width.largest()) as u8
    }

    /// Codes a vector into `row`, a zeroed row; returns the squared length of the coded vector.
    fn encode(&self, vector: &[f32], buffer: &mut Vec<f32>, row: &mut [u8]) -> f32 {
        self.transform(vector, buffer);
        let mut length = 0.0;
        for (dimension, &value) in buffer.iter().enumerate() {
            let code = self.code(value);
            let restored = (f32::from(code) - self.width.zero()) * self.step;
            length += restored * restored;
            match self.width {
                Width::Eight => row[dimension] = code,
                Width::Four => {
                    let (block, place) = (dimension / 128, dimension % 128);
                    row[block * 64 + place % 64] |= if place < 64 { code } else { code << 4 };
                }
            }
        }
        if self.width == Width::Eight && self.metric != Metric::Manhattan {
            // The code of 0, so that padding adds nothing to any product.
            row[self.dimensions..].fill(128);
        }
        length
    }
}

/// Rows spread evenly over the column, one after the other.
fn sample(originals: &dyn Originals) -> Result<Vec<f32>, VectorsError> {
    let rows = originals.rows() as usize;
    let count = rows.min(SAMPLE_ROWS);
    let mut values = Vec::with_capacity(count * originals.dimensions());
    let mut buffer = Vec::new();
    for index in 0..count {
        let row = (index as u64 * rows as u64 / count as u64) as u32;
        values.extend_from_slice(originals.row(row, &mut buffer)?);
    }
    Ok(values)
}

/// Whether `holds` of every value of every row; stops at the first one where not.
fn every_value(
    originals: &dyn Originals,
    holds: impl Fn(&f32) -> bool,
) -> Result<bool, VectorsError> {
    let mut buffer = Vec::new();
    for row in 0..originals.rows() {
        if !originals.row(row, &mut buffer)?.iter().all(&holds) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Codes all rows on several threads; the result does not depend on how many.
fn encode_all(
    coding: &Coding,
    originals: &dyn Originals,
    codes: &mut [u8],
    norms: &mut [f32],
    stride: usize,
    threads: usize,
) -> Result<(), VectorsError> {
    let rows = originals.rows() as usize;
    let share = rows.div_ceil(threads.max(1)).max(1);
    let mut norm_shares = norms.chunks_mut(share);
    std::thread::scope(|scope| {
        let mut workers = Vec::new();
        for (index, codes) in codes.chunks_mut(share * stride).enumerate() {
            let norms = norm_shares.next().unwrap_or_default();
            workers.push(scope.spawn(move || -> Result<(), VectorsError> {
                let (mut original, mut buffer) = (Vec::new(), Vec::new());
                for (offset, row) in codes.chunks_exact_mut(stride).enumerate() {
                    let vector = originals.row((index * share + offset) as u32, &mut original)?;
                    let length = coding.encode(vector, &mut buffer, row);
                    if let Some(norm) = norms.get_mut(offset) {
                        *norm = length;
                    }
                }
                Ok(())
            }));
        }
        for worker in workers {
            match worker.join() {
                Ok(result) => result?,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(())
    })
}
