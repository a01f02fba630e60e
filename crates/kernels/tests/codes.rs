//! Bits, tables, rotation, selection and RaBitQ codes at every level of this machine against their definitions.

use kernels::rabitq::{QueryTerms, RowTerms};
use kernels::{BLOCK_ROWS, Kernels, Level, pack_table_codes};

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    /// About normal with deviation 1: the sum of twelve uniform values.
    fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.unit()).sum::<f32>() * 0.5
    }
}

fn levels() -> impl Iterator<Item = Kernels> {
    Level::available().into_iter().filter_map(Kernels::at)
}

#[test]
fn values_of_selected_bits_are_summed_exactly() {
    let mut random = Random(3);
    for words in (0..40).chain([64, 100, 1023]) {
        let b: Vec<u64> = (0..words).map(|_| random.next() | random.next()).collect();
        let query: Vec<i8> = (0..words * 64).map(|_| random.next() as i8).collect();
        let mut selected = 0;
        for bit in 0..words * 64 {
            selected += i32::from(query[bit]) * (b[bit / 64] >> (bit % 64) & 1) as i32;
        }
        for kernels in levels() {
            assert_eq!(kernels.dot_bits_i8(&query, &b), selected);
        }
    }
}

#[test]
fn table_sums_are_exact_for_any_number_of_tables() {
    let mut random = Random(5);
    for tables_count in [4, 8, 96, 196, 252, 256, 260, 512, 1000] {
        for full in [false, true] {
            let rows = 3 * BLOCK_ROWS - 5;
            let tables: Vec<u8> = (0..tables_count * 16)
                .map(|_| if full { 255 } else { random.next() as u8 })
                .collect();
            let codes: Vec<u8> = (0..rows * tables_count)
                .map(|_| random.next() as u8 % 16)
                .collect();
            let mut blocks = vec![0; 3 * tables_count * 16];
            let per_block = tables_count * 16;
            for (codes, block) in codes
                .chunks(BLOCK_ROWS * tables_count)
                .zip(blocks.chunks_mut(per_block))
            {
                pack_table_codes(codes, tables_count, block);
            }
            for kernels in levels() {
                let mut sums = vec![77; 3 * BLOCK_ROWS];
                kernels.sum_tables(&tables, &blocks, &mut sums);
                for (row, codes) in codes.chunks(tables_count).enumerate() {
                    let entries = codes.iter().enumerate();
                    let exact: u32 = entries
                        .map(|(table, &code)| u32::from(tables[table * 16 + usize::from(code)]))
                        .sum();
                    assert_eq!(
                        sums[row],
                        exact,
                        "row {row} of {tables_count} at {:?}",
                        kernels.level()
                    );
                }
            }
        }
    }
}

#[test]
fn quantised_subset_sums_are_within_half_a_unit_per_table() {
    let mut random = Random(9);
    for count in [4, 64, 784] {
        let values: Vec<f32> = (0..count).map(|_| random.normal()).collect();
        let selected: Vec<bool> = (0..count)
            .map(|_| random.next().is_multiple_of(2))
            .collect();
        let exact: f32 = values
            .iter()
            .zip(&selected)
            .filter(|(_, on)| **on)
            .map(|(value, _)| value)
            .sum();
        let mut twin = None;
        for kernels in levels() {
            let (mut entries, mut tables) = (vec![0.0; count * 4], vec![0; count * 4]);
            let scale = kernels.subset_sum_tables(&values, &mut entries, &mut tables);
            let sum: u32 = tables
                .chunks(16)
                .zip(selected.chunks(4))
                .map(|(table, bits)| {
                    let entry = bits
                        .iter()
                        .enumerate()
                        .map(|(bit, &on)| usize::from(on) << bit)
                        .sum::<usize>();
                    u32::from(table[entry])
                })
                .sum();
            let estimate = scale.scale * sum as f32 + scale.offset;
            let limit = scale.scale * 0.51 * (count / 4) as f32 + 1e-3;
            assert!((estimate - exact).abs() <= limit, "{estimate} {exact}");
            let twin = twin.get_or_insert((tables.clone(), scale));
            assert_eq!(
                (&tables, scale),
                (&twin.0, twin.1),
                "the same bits at {:?}",
                kernels.level()
            );
        }
    }
}

#[test]
fn hadamard_is_its_definition_and_its_own_inverse() {
    let mut random = Random(21);
    for power in 0..12 {
        let count = 1usize << power;
        let values: Vec<f32> = (0..count).map(|_| random.normal()).collect();
        let mut twin: Option<Vec<f32>> = None;
        for kernels in levels() {
            let mut rotated = values.clone();
            kernels.hadamard(&mut rotated);
            if count <= 256 {
                for (row, &actual) in rotated.iter().enumerate() {
                    let signed = values.iter().enumerate().map(|(column, &value)| {
                        let sign = if (row & column).count_ones() % 2 == 0 {
                            1.0
                        } else {
                            -1.0
                        };
                        sign * f64::from(value)
                    });
                    let exact = signed.sum::<f64>() / (count as f64).sqrt();
                    assert!((f64::from(actual) - exact).abs() < 1e-5, "{row} of {count}");
                }
            }
            let twin = twin.get_or_insert_with(|| rotated.clone());
            assert_eq!(*twin, rotated, "the same bits at {:?}", kernels.level());
            kernels.hadamard(&mut rotated);
            for (back, value) in rotated.iter().zip(&values) {
                assert!((back - value).abs() < 1e-5);
            }
        }
    }
}

#[test]
fn positions_are_those_at_or_above_the_floor() {
    let mut random = Random(2);
    for count in (0..70).chain([1000]) {
        let mut values: Vec<f32> = (0..count).map(|_| (random.next() % 9) as f32).collect();
        for (place, value) in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY]
            .into_iter()
            .enumerate()
        {
            if let Some(slot) = values.get_mut(place * 5) {
                *slot = value;
            }
        }
        for floor in [f32::NEG_INFINITY, 4.0, 8.0, f32::INFINITY, f32::NAN] {
            let exact: Vec<u32> = (0..count as u32)
                .filter(|&at| values[at as usize] >= floor)
                .collect();
            for kernels in levels() {
                let mut positions = Vec::new();
                kernels.positions_at_least(&values, floor, &mut positions);
                assert_eq!(positions, exact);
            }
        }
    }
}

#[test]
fn codes_of_more_bits_estimate_better_and_within_their_bound() {
    let mut random = Random(31);
    for dimensions in [64, 384, 784] {
        let mut previous = f64::INFINITY;
        for bits in 1..=8u8 {
            let (mut outside, mut total, mut squares) = (0, 0, 0f64);
            for _ in 0..40 {
                let residual: Vec<f32> = (0..dimensions).map(|_| random.normal()).collect();
                let mut codes = levels().map(|kernels| {
                    let mut code = vec![0; dimensions];
                    let fit = kernels.rabitq_encode(&residual, bits, &mut code);
                    (code, fit)
                });
                let (code, fit) = codes.next().expect("the scalar level");
                assert!(
                    codes.all(|other| other == (code.clone(), fit)),
                    "the same bits"
                );
                assert!(code.iter().all(|&value| u32::from(value) < 1 << bits));
                let centre = ((1 << bits) - 1) as f32 / 2.0;
                for _ in 0..25 {
                    let query: Vec<f32> = (0..dimensions).map(|_| random.normal()).collect();
                    let length = query.iter().map(|value| value * value).sum::<f32>().sqrt();
                    let exact: f32 = residual.iter().zip(&query).map(|(a, b)| a * b).sum();
                    let of_code: f32 = code
                        .iter()
                        .zip(&query)
                        .map(|(&a, b)| (f32::from(a) - centre) * b)
                        .sum();
                    let off = (exact - fit.factor * of_code).abs();
                    total += 1;
                    outside += usize::from(off > fit.error * length);
                    squares += f64::from(off / (fit.norm_squared.sqrt() * length)).powi(2);
                }
            }
            // 1.9 deviations leave out 5.7 % of a normal distribution.
            assert!(
                outside * 100 < total * 9,
                "{outside} of {total} outside at {bits} bits"
            );
            let deviation = (squares / f64::from(total as u32)).sqrt();
            assert!(
                deviation < previous * 0.75,
                "{bits} bits: {deviation} after {previous}"
            );
            previous = deviation;
        }
    }
}

#[test]
fn residuals_without_direction_estimate_zero() {
    for kernels in levels() {
        for residual in [vec![], vec![0.0; 20], vec![1e-42; 3]] {
            let mut code = vec![9; residual.len()];
            let fit = kernels.rabitq_encode(&residual, 3, &mut code);
            assert!(fit.factor.is_finite() && fit.error.is_finite());
            assert!(code.iter().all(|&value| value < 8));
        }
    }
}

#[test]
fn bounds_are_their_formula() {
    let mut random = Random(77);
    let count = 75;
    let mut column = || (0..count).map(|_| random.unit()).collect::<Vec<f32>>();
    let (add, factor, error) = (column(), column(), column());
    let sums: Vec<u32> = (0..count as u32).map(|row| row * 13).collect();
    let query = QueryTerms {
        scale: 0.25,
        offset: -3.0,
        add: 2.0,
        length: 1.5,
    };
    for kernels in levels() {
        let (mut estimates, mut bounds) = (vec![0.0; count], vec![0.0; count]);
        let rows = RowTerms {
            add: &add,
            factor: &factor,
            error: &error,
        };
        kernels.rabitq_bounds(&sums, rows, query, &mut estimates, &mut bounds);
        for row in 0..count {
            let exact = add[row] + 2.0 + factor[row] * (0.25 * sums[row] as f32 - 3.0);
            assert!((estimates[row] - exact).abs() < 1e-4);
            assert!((bounds[row] - exact - error[row] * 1.5).abs() < 1e-4);
        }
    }
}
