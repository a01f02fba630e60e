//! k-means with blocked matrix products (Lloyd 1982), on a sample that grows from round to round.
//!
//! The nearest centroid of a row is the one with the largest `<row, centroid> - |centroid|^2 / 2`, so a batch of rows against
//! all centroids is one matrix product. Assignments are computed by several threads, sums by one in the order of the rows:
//! the result does not depend on the number of threads.

use kernels::dense::{self, PADDING, Product, Start};
use kernels::{Kernels, Level};

use crate::error::VectorsError;
use crate::index::BuildControl;
use crate::index::threads::in_threads;
use crate::quantize::Originals;
use crate::quantize::rotation::Random;

/// Rows per matrix product: their products with a thousand centroids take half a megabyte.
pub(crate) const BATCH: usize = 128;
/// Rows of the sample per centroid. Twice as many cost twice the time and moved recall by less than 0.3 %.
const SAMPLE_PER_CENTROID: usize = 20;
/// Share of the sample used in each round, in quarters. Early rounds only have to spread the centroids.
const ROUNDS: [usize; 6] = [1, 1, 2, 2, 4, 4];

/// Centroids in the space of the originals.
pub(crate) struct Centroids {
    /// `[lists][dimensions]`.
    pub(crate) values: Vec<f32>,
    pub(crate) dimensions: usize,
    /// The same, transposed and padded: `[dimensions][columns]`.
    transposed: Vec<f32>,
    /// `-|centroid|^2 / 2`, minus infinity in the padding.
    bias: Vec<f32>,
}

impl Centroids {
    fn new(values: Vec<f32>, dimensions: usize) -> Self {
        let mut centroids = Centroids {
            values,
            dimensions,
            transposed: Vec::new(),
            bias: Vec::new(),
        };
        centroids.prepare();
        centroids
    }

    pub(crate) fn count(&self) -> usize {
        self.values.len() / self.dimensions
    }

    fn prepare(&mut self) {
        let columns = self.count().next_multiple_of(PADDING);
        self.transposed.clear();
        self.transposed.resize(self.dimensions * columns, 0.0);
        self.bias.clear();
        self.bias.resize(columns, f32::NEG_INFINITY);
        let kernels = Kernels::best();
        for (list, centroid) in self.values.chunks_exact(self.dimensions).enumerate() {
            self.bias[list] = -0.5 * kernels.norm_squared_f32(centroid);
            for (dimension, &value) in centroid.iter().enumerate() {
                self.transposed[dimension * columns + list] = value;
            }
        }
    }

    /// Writes the list of each row of `batch` to `lists`.
    pub(crate) fn assign(&self, batch: &[f32], products: &mut Vec<f32>, lists: &mut [u32]) {
        let columns = self.bias.len();
        products.resize(lists.len() * columns, 0.0);
        let product = Product {
            rows: lists.len(),
            inner: self.dimensions,
            columns,
            left: batch,
            left_row: self.dimensions,
            left_inner: 1,
            right: &self.transposed,
            right_row: columns,
        };
        dense::multiply(
            Level::best(),
            product,
            Start::Row(&self.bias),
            products,
            columns,
        );
        for (list, products) in lists.iter_mut().zip(products.chunks_exact(columns)) {
            *list = largest(products) as u32;
        }
    }
}

/// Position of the largest value; the first of equal ones.
fn largest(values: &[f32]) -> usize {
    let most = values.iter().fold(
        f32::NEG_INFINITY,
        |most, &value| if value > most { value } else { most },
    );
    values.iter().position(|&value| value == most).unwrap_or(0)
}

/// The list of each row of `rows`, read from `originals` in batches.
pub(crate) fn assign_rows(
    originals: &dyn Originals,
    centroids: &Centroids,
    rows: &[u32],
    threads: usize,
    control: &BuildControl,
) -> Result<Vec<u32>, VectorsError> {
    let mut lists = vec![0; rows.len()];
    // Parts of many batches, so that the buffers of a part are made rarely.
    let part = (BATCH * 16).min(
        rows.len()
            .div_ceil(threads.max(1))
            .next_multiple_of(BATCH)
            .max(1),
    );
    let parts = rows.chunks(part).zip(lists.chunks_mut(part)).collect();
    in_threads(threads, parts, |(rows, lists): (&[u32], &mut [u32])| {
        let (mut batch, mut products, mut buffer) = (Vec::new(), Vec::new(), Vec::new());
        for (rows, lists) in rows.chunks(BATCH).zip(lists.chunks_mut(BATCH)) {
            batch.clear();
            for &row in rows {
                batch.extend_from_slice(originals.row(row, &mut buffer)?);
            }
            centroids.assign(&batch, &mut products, lists);
            control.advance(0)?;
        }
        Ok(())
    })?;
    Ok(lists)
}

/// `count` centroids of `originals`.
pub(crate) fn train(
    originals: &dyn Originals,
    count: usize,
    threads: usize,
    seed: u64,
    control: &BuildControl,
) -> Result<Centroids, VectorsError> {
    let dimensions = originals.dimensions();
    let sample = sample(
        originals.rows(),
        count.saturating_mul(SAMPLE_PER_CENTROID),
        seed,
    );
    let mut buffer = Vec::new();
    let mut values = Vec::with_capacity(count * dimensions);
    for &row in &sample[..count.min(sample.len())] {
        values.extend_from_slice(originals.row(row, &mut buffer)?);
    }
    let mut centroids = Centroids::new(values, dimensions);
    for quarters in ROUNDS {
        let part = (sample.len() * quarters / 4).max(count).min(sample.len());
        let part = &sample[..part];
        let lists = assign_rows(originals, &centroids, part, threads, control)?;
        update(originals, &mut centroids, part, &lists)?;
    }
    Ok(centroids)
}

/// Distinct rows in random order: at most `wanted`.
fn sample(rows: u32, wanted: usize, seed: u64) -> Vec<u32> {
    let mut random = Random::new(seed ^ 0x1f);
    let mut all: Vec<u32> = (0..rows).collect();
    let wanted = wanted.min(all.len());
    for place in 0..wanted {
        let other = place + random.below(all.len() - place);
        all.swap(place, other);
    }
    all.truncate(wanted);
    all
}

/// Moves each centroid to the mean of its rows. An empty one goes beside that of the largest list, which it will split.
fn update(
    originals: &dyn Originals,
    centroids: &mut Centroids,
    rows: &[u32],
    lists: &[u32],
) -> Result<(), VectorsError> {
    let dimensions = centroids.dimensions;
    let mut counts = vec![0u32; centroids.count()];
    let mut sums = vec![0f32; centroids.values.len()];
    let mut buffer = Vec::new();
    for (&row, &list) in rows.iter().zip(lists) {
        counts[list as usize] += 1;
        let sum = &mut sums[list as usize * dimensions..][..dimensions];
        for (sum, value) in sum.iter_mut().zip(originals.row(row, &mut buffer)?) {
            *sum += value;
        }
    }
    for (list, &count) in counts.iter().enumerate() {
        if count > 0 {
            let inverse = 1.0 / count as f32;
            for sum in &mut sums[list * dimensions..][..dimensions] {
                *sum *= inverse;
            }
        }
    }
    let mut weights = counts;
    for list in 0..weights.len() {
        if weights[list] > 0 {
            continue;
        }
        let Some(largest) = (0..weights.len()).max_by_key(|&other| weights[other]) else {
            break;
        };
        let half = weights[largest] / 2;
        (weights[list], weights[largest]) = (half, weights[largest] - half);
        for dimension in 0..dimensions {
            // A relative step that f32 resolves and that is far below any distance between centroids.
            let step = if dimension % 2 == 0 {
                1.0 / 1024.0
            } else {
                -1.0 / 1024.0
            };
            let value = sums[largest * dimensions + dimension];
            sums[list * dimensions + dimension] = value * (1.0 + step);
            sums[largest * dimensions + dimension] = value * (1.0 - step);
        }
    }
    centroids.values = sums;
    centroids.prepare();
    Ok(())
}
