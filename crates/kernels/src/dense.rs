//! Products of small `f32` matrices, as the layers of the science networks need them: forward, and both products of the way
//! back, which read one operand transposed by its strides.
//!
//! The columns of the right operand and of the result are padded to a multiple of [`PADDING`], so that no instruction set has
//! a rest of columns. The result stays in registers while the inner dimension passes, in blocks that keep the right operand in
//! the second cache. Agreement with the scalar twin: 1e-6 times the sum of the products' magnitudes.
#![expect(
    unsafe_code,
    reason = "SIMD instructions are unsafe to call where the processor may lack them"
)]

use crate::dispatch::Level;
use crate::waves::dispatch;
use crate::waves::lanes::{COUNT_MAX, Lanes};

/// Columns come in multiples of this: the widest lanes.
pub const PADDING: usize = COUNT_MAX;

/// Steps of the inner dimension per pass: 64 columns of the right operand take 64 KB.
const INNER_BLOCK: usize = 256;
/// Rows of the result held in registers at once: with four vectors of columns 24 of AVX-512's 32 registers. AVX2 has 16; there
/// only two vectors are used.
const ROWS: usize = 6;

/// Two matrices to multiply: `left` of `rows` times `inner`, `right` of `inner` times `columns`.
#[derive(Debug, Clone, Copy)]
pub struct Product<'a> {
    /// Rows of the left operand and of the result.
    pub rows: usize,
    /// Columns of the left operand, rows of the right one.
    pub inner: usize,
    /// Columns of the right operand and of the result: a multiple of [`PADDING`].
    pub columns: usize,
    /// Element `(r, k)` stands at `r * left_row + k * left_inner`.
    pub left: &'a [f32],
    /// From one row of the left operand to the next.
    pub left_row: usize,
    /// From one column of the left operand to the next.
    pub left_inner: usize,
    /// Element `(k, j)` stands at `k * right_row + j`.
    pub right: &'a [f32],
    /// From one row of the right operand to the next.
    pub right_row: usize,
}

/// What the result holds before products are added.
#[derive(Debug, Clone, Copy)]
pub enum Start<'a> {
    /// Nothing.
    Zero,
    /// This row in every row; `columns` values.
    Row(&'a [f32]),
    /// What it held.
    Kept,
}

impl Product<'_> {
    /// Panics unless every element that the product reads or writes lies inside its slice.
    fn check(&self, start: Start<'_>, result: &[f32], result_row: usize) {
        assert!(self.columns.is_multiple_of(PADDING), "columns are padded");
        assert!(self.rows > 0 && self.inner > 0 && self.columns > 0);
        let last = |rows: usize, row: usize, columns: usize, column: usize| {
            let rows = (rows - 1).checked_mul(row);
            let columns = (columns - 1).checked_mul(column);
            rows.and_then(|rows| rows.checked_add(columns?))
                .unwrap_or(usize::MAX)
        };
        let left = last(self.rows, self.left_row, self.inner, self.left_inner);
        assert!(left < self.left.len(), "the left operand is too short");
        let right = last(self.inner, self.right_row, self.columns, 1);
        assert!(right < self.right.len(), "the right operand is too short");
        assert!(last(self.rows, result_row, self.columns, 1) < result.len());
        assert!(self.rows == 1 || result_row >= self.columns);
        if let Start::Row(row) = start {
            assert_eq!(row.len(), self.columns);
        }
    }
}

/// Writes `start + left * right` to `result`, whose element `(r, j)` stands at `r * result_row + j`.
///
/// # Panics
/// When an operand is too short for its shape, a dimension is 0, or the columns are not padded.
pub fn multiply(
    level: Level,
    product: Product<'_>,
    start: Start<'_>,
    result: &mut [f32],
    result_row: usize,
) {
    product.check(start, result, result_row);
    for row in result.chunks_mut(result_row).take(product.rows) {
        match start {
            Start::Zero => row[..product.columns].fill(0.0),
            Start::Row(from) => row[..product.columns].copy_from_slice(from),
            Start::Kept => {}
        }
    }
    dispatch!(
        level,
        scalar(product, result, result_row),
        add_product::<L>(product: Product<'_>, result: &mut [f32], result_row: usize)
    )
}

/// The twin.
fn scalar(product: Product<'_>, result: &mut [f32], result_row: usize) {
    for row in 0..product.rows {
        for inner in 0..product.inner {
            let factor = product.left[row * product.left_row + inner * product.left_inner];
            let right = &product.right[inner * product.right_row..][..product.columns];
            let into = &mut result[row * result_row..][..product.columns];
            for (sum, value) in into.iter_mut().zip(right) {
                *sum += factor * value;
            }
        }
    }
}

/// Where one block of the result and its operands begin, and how to step through them.
#[derive(Clone, Copy)]
struct Block {
    left: *const f32,
    left_row: usize,
    left_inner: usize,
    right: *const f32,
    right_row: usize,
    result: *mut f32,
    result_row: usize,
    inner: usize,
}

#[inline(always)]
unsafe fn add_product<L: Lanes>(product: Product<'_>, result: &mut [f32], result_row: usize) {
    let mut inner = 0;
    while inner < product.inner {
        let count = (product.inner - inner).min(INNER_BLOCK);
        let mut column = 0;
        while column < product.columns {
            let vectors = (product.columns - column) / L::COUNT;
            // SAFETY: `check` held the last element of each operand inside its slice.
            let block = unsafe {
                Block {
                    left: product.left.as_ptr().add(inner * product.left_inner),
                    left_row: product.left_row,
                    left_inner: product.left_inner,
                    right: product
                        .right
                        .as_ptr()
                        .add(inner * product.right_row + column),
                    right_row: product.right_row,
                    result: result.as_mut_ptr().add(column),
                    result_row,
                    inner: count,
                }
            };
            // SAFETY: the blocks lie inside the checked shape.
            unsafe {
                if L::COUNT == COUNT_MAX && vectors >= 4 {
                    add_rows::<L, 4>(block, product.rows);
                    column += 4 * L::COUNT;
                } else if vectors >= 2 {
                    add_rows::<L, 2>(block, product.rows);
                    column += 2 * L::COUNT;
                } else {
                    add_rows::<L, 1>(block, product.rows);
                    column += L::COUNT;
                }
            }
        }
        inner += count;
    }
}

/// # Safety
/// `rows` rows and `VECTORS` vectors of columns lie inside the operands and the result.
#[inline(always)]
unsafe fn add_rows<L: Lanes, const VECTORS: usize>(block: Block, rows: usize) {
    let mut row = 0;
    while row < rows {
        // SAFETY: the block's rows from `row` on lie inside; the number of rows taken is not above what is left.
        unsafe {
            let here = Block {
                left: block.left.add(row * block.left_row),
                result: block.result.add(row * block.result_row),
                ..block
            };
            match rows - row {
                ROWS.. => {
                    add_block::<L, ROWS, VECTORS>(here);
                    row += ROWS;
                }
                4.. => {
                    add_block::<L, 4, VECTORS>(here);
                    row += 4;
                }
                2.. => {
                    add_block::<L, 2, VECTORS>(here);
                    row += 2;
                }
                _ => {
                    add_block::<L, 1, VECTORS>(here);
                    row += 1;
                }
            }
        }
    }
}

/// # Safety
/// `HEIGHT` rows and `VECTORS` vectors of columns lie inside the operands and the result.
#[inline(always)]
unsafe fn add_block<L: Lanes, const HEIGHT: usize, const VECTORS: usize>(block: Block) {
    // SAFETY: as this function demands.
    unsafe {
        let mut sums = [[L::splat(0.0); VECTORS]; HEIGHT];
        for (row, sums) in sums.iter_mut().enumerate() {
            for (vector, sum) in sums.iter_mut().enumerate() {
                *sum = L::load(block.result.add(row * block.result_row + vector * L::COUNT));
            }
        }
        for inner in 0..block.inner {
            let right = block.right.add(inner * block.right_row);
            let mut values = [L::splat(0.0); VECTORS];
            for (vector, value) in values.iter_mut().enumerate() {
                *value = L::load(right.add(vector * L::COUNT));
            }
            let left = block.left.add(inner * block.left_inner);
            for (row, sums) in sums.iter_mut().enumerate() {
                let factor = L::splat(*left.add(row * block.left_row));
                for (sum, value) in sums.iter_mut().zip(&values) {
                    *sum = factor.mul_add(*value, *sum);
                }
            }
        }
        for (row, sums) in sums.iter().enumerate() {
            for (vector, sum) in sums.iter().enumerate() {
                sum.store(block.result.add(row * block.result_row + vector * L::COUNT));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize) -> Vec<f32> {
        (0..count)
            .map(|i| ((i * 37 + 11) % 101) as f32 / 50.0 - 1.0)
            .collect()
    }

    #[test]
    fn products_match_a_naive_double_precision_loop() {
        for (rows, inner, columns) in [(1, 1, 16), (7, 10, 64), (13, 300, 80), (64, 65, 112)] {
            for transposed in [false, true] {
                let (left, right) = (numbers(rows * inner), numbers(inner * columns));
                let (left_row, left_inner) = if transposed { (1, rows) } else { (inner, 1) };
                let product = Product {
                    rows,
                    inner,
                    columns,
                    left: &left,
                    left_row,
                    left_inner,
                    right: &right,
                    right_row: columns,
                };
                let row = numbers(columns);
                for level in [Level::Scalar, Level::Avx2, Level::Avx512, Level::Neon] {
                    let mut result = vec![7.0; rows * columns];
                    multiply(level, product, Start::Row(&row), &mut result, columns);
                    multiply(level, product, Start::Kept, &mut result, columns);
                    for r in 0..rows {
                        for j in 0..columns {
                            let terms = (0..inner).map(|k| {
                                let a = left[r * left_row + k * left_inner];
                                f64::from(a) * f64::from(right[k * columns + j])
                            });
                            let expected = f64::from(row[j]) + 2.0 * terms.clone().sum::<f64>();
                            let size: f64 = 2.0 + terms.map(f64::abs).sum::<f64>();
                            let found = f64::from(result[r * columns + j]);
                            assert!(
                                (found - expected).abs() < 2e-6 * size,
                                "{level:?} {rows} {inner} {columns}: {found} is not {expected}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "the left operand is too short")]
    fn a_short_operand_is_refused() {
        let product = Product {
            rows: 2,
            inner: 2,
            columns: 16,
            left: &[0.0; 3],
            left_row: 2,
            left_inner: 1,
            right: &[0.0; 32],
            right_row: 16,
        };
        multiply(Level::Scalar, product, Start::Zero, &mut [0.0; 32], 16);
    }
}
