//! Every row kernel at every level of this machine against sums in wider arithmetic.

use half::f16;
use kernels::{Kernels, Level, pack_int4, unpack_int4};

/// Splitmix64: a seed gives the same numbers everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// Uniform in -1..1.
    fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    /// Mostly ordinary values; some zeros, denormals, huge and tiny ones.
    fn rough(&mut self) -> f32 {
        match self.next() % 16 {
            0 => 0.0,
            1 => -0.0,
            2 => f32::from_bits((self.next() % 0x7f_ffff) as u32),
            3 => self.unit() * 1e15,
            4 => self.unit() * 1e-30,
            _ => self.unit(),
        }
    }

    fn floats(&mut self, count: usize, rough: bool) -> Vec<f32> {
        (0..count)
            .map(|_| if rough { self.rough() } else { self.unit() })
            .collect()
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count)
            .map(|_| match self.next() % 8 {
                0 => 0,
                1 => 255,
                2 => 128,
                _ => self.next() as u8,
            })
            .collect()
    }

    fn signed(&mut self, count: usize) -> Vec<i8> {
        self.bytes(count)
            .into_iter()
            .map(|byte| byte as i8)
            .collect()
    }
}

/// Every length to 200, then odd ones beyond.
fn lengths() -> impl Iterator<Item = usize> {
    (0..200).chain([
        255, 256, 257, 383, 384, 511, 512, 513, 768, 784, 1023, 1024, 1025, 1100,
    ])
}

fn levels() -> Vec<Kernels> {
    let levels: Vec<_> = Level::available()
        .into_iter()
        .filter_map(Kernels::at)
        .collect();
    assert_eq!(levels[0].level(), Level::Scalar);
    assert_eq!(levels.last().map(Kernels::level), Some(Level::best()));
    levels
}

/// `actual` is within 1e-5 of the exact sum, relative to the sum of the absolute terms.
#[track_caller]
fn check_sum(actual: f32, terms: impl Iterator<Item = f64> + Clone, what: &str) {
    let exact: f64 = terms.clone().sum();
    let size: f64 = terms.map(f64::abs).sum();
    let off = (f64::from(actual) - exact).abs();
    // Below the least normal f32 each product may lose everything.
    assert!(
        off <= size * 1e-5 + 1e-34,
        "{what}: {actual} instead of {exact}, off by {off:e}"
    );
}

/// One query against one row.
type Form<E> = fn(&Kernels, &[f32], &[E]) -> f32;

fn check_floats<E: Copy>(
    what: &str,
    widen: impl Fn(E) -> f32 + Copy,
    row: impl Fn(&mut Random, usize) -> Vec<E>,
    forms: [Form<E>; 3],
) {
    let mut random = Random(7);
    for count in lengths() {
        for rough in [false, true] {
            let query = random.floats(count, rough);
            let row = row(&mut random, count);
            let pairs = query.iter().zip(&row);
            let pairs = pairs.map(move |(&a, &b)| (f64::from(a), f64::from(widen(b))));
            for kernels in levels() {
                let what = format!("{what} of {count} at {:?}", kernels.level());
                check_sum(
                    forms[0](&kernels, &query, &row),
                    pairs.clone().map(|(a, b)| a * b),
                    &what,
                );
                let squares = pairs.clone().map(|(a, b)| (a - b) * (a - b));
                check_sum(forms[1](&kernels, &query, &row), squares, &what);
                let differences = pairs.clone().map(|(a, b)| (a - b).abs());
                check_sum(forms[2](&kernels, &query, &row), differences, &what);
            }
        }
    }
}

#[test]
fn f32_rows_match_sums_in_f64() {
    check_floats(
        "f32",
        |value: f32| value,
        |random, count| random.floats(count, true),
        [Kernels::dot_f32, Kernels::l2_f32, Kernels::l1_f32],
    );
}

#[test]
fn f16_rows_match_sums_in_f64() {
    check_floats(
        "f16",
        f16::to_f32,
        |random, count| {
            let mut row: Vec<_> = (0..count)
                .map(|_| f16::from_f32(random.unit() * 100.0))
                .collect();
            for (place, value) in [f16::MAX, f16::MIN, f16::MIN_POSITIVE_SUBNORMAL]
                .iter()
                .enumerate()
            {
                if let Some(slot) = row.get_mut(place * 3) {
                    *slot = *value;
                }
            }
            row
        },
        [Kernels::dot_f16, Kernels::l2_f16, Kernels::l1_f16],
    );
}

#[test]
fn u8_rows_match_sums_in_f64() {
    check_floats(
        "u8",
        f32::from,
        |random, count| random.bytes(count),
        [Kernels::dot_u8, Kernels::l2_u8, Kernels::l1_u8],
    );
}

#[test]
fn byte_products_are_exact() {
    let mut random = Random(11);
    for count in lengths().chain([65_535]) {
        let query = random.signed(count);
        let signed = random.signed(count);
        let extremes = (vec![-128i8; count], vec![-128i8; count]);
        let wide =
            |a: &[i8], b: &[i64]| -> i64 { a.iter().zip(b).map(|(&a, &b)| i64::from(a) * b).sum() };
        for (query, signed) in [(&query, &signed), (&extremes.0, &extremes.1)] {
            let as_wide: Vec<i64> = signed.iter().map(|&value| value.into()).collect();
            let signed_sum = wide(query, &as_wide);
            for kernels in levels() {
                assert_eq!(i64::from(kernels.dot_i8(query, signed)), signed_sum);
            }
        }
    }
}

#[test]
fn nibble_products_are_exact_and_packing_is_undone() {
    let mut random = Random(13);
    for count in lengths().map(|count| count * 2) {
        for extreme in [false, true] {
            let values: Vec<u8> = (0..count)
                .map(|_| {
                    if extreme {
                        15
                    } else {
                        random.next() as u8 % 16
                    }
                })
                .collect();
            let query = if extreme {
                vec![-128; count]
            } else {
                random.signed(count)
            };
            let mut row = vec![0; count / 2];
            pack_int4(&values, &mut row);
            let mut unpacked = vec![0; count];
            unpack_int4(&row, &mut unpacked);
            assert_eq!(unpacked, values);
            let exact: i32 = query
                .iter()
                .zip(&values)
                .map(|(&a, &b)| i32::from(a) * i32::from(b))
                .sum();
            for kernels in levels() {
                assert_eq!(
                    kernels.dot_i4(&query, &row),
                    exact,
                    "{count} at {:?}",
                    kernels.level()
                );
            }
        }
    }
}

#[test]
fn many_rows_and_runs_of_rows_equal_single_rows() {
    let mut random = Random(17);
    for (count, stride) in [(0, 3), (1, 1), (16, 16), (67, 80), (384, 384)] {
        let rows_there = 40;
        let base = random.floats(rows_there * stride, false);
        let bytes = random.bytes(rows_there * stride);
        let query = random.floats(count, false);
        let signed = &random.signed(rows_there * stride)[..];
        let query_bytes = random.signed(count);
        let query_nibbles = random.signed(2 * count);
        for wanted in [0, 1, 5, 6, 7, 33] {
            let rows: Vec<u32> = (0..wanted)
                .map(|_| random.next() as u32 % rows_there as u32)
                .collect();
            for kernels in levels() {
                let mut floats = vec![0f32; wanted];
                kernels.l2_many_f32(&query, &base, stride, &rows, &mut floats);
                let mut wholes = vec![0; wanted];
                kernels.dot_many_i8(&query_bytes, signed, stride, &rows, &mut wholes);
                let mut nibbles = vec![0; wanted];
                kernels.dot_many_i4(&query_nibbles, &bytes, stride, &rows, &mut nibbles);
                for (place, &row) in rows.iter().enumerate() {
                    let at = row as usize * stride;
                    assert_eq!(floats[place], kernels.l2_f32(&query, &base[at..at + count]));
                    assert_eq!(
                        wholes[place],
                        kernels.dot_i8(&query_bytes, &signed[at..at + count])
                    );
                    assert_eq!(
                        nibbles[place],
                        kernels.dot_i4(&query_nibbles, &bytes[at..at + count])
                    );
                }
                let first = rows_there - wanted;
                kernels.scan_dot_f32(&query, &base, stride, first, &mut floats);
                for (place, &sum) in floats.iter().enumerate() {
                    let at = (first + place) * stride;
                    assert_eq!(sum, kernels.dot_f32(&query, &base[at..at + count]));
                }
            }
        }
    }
}

#[test]
fn rows_out_of_bounds_are_refused() {
    for kernels in levels() {
        let base = vec![0f32; 64];
        let query = vec![0f32; 8];
        let mut out = [0f32; 1];
        let refused = |work: &mut dyn FnMut()| {
            assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err());
        };
        refused(&mut || kernels.dot_many_f32(&query, &base, 8, &[8], &mut out));
        refused(&mut || kernels.dot_many_f32(&query, &base, 4, &[0], &mut out));
        refused(&mut || kernels.dot_many_f32(&query, &base, usize::MAX, &[1], &mut out));
        refused(&mut || kernels.scan_dot_f32(&query, &base, 8, 8, &mut out));
        refused(&mut || kernels.dot_many_f32(&query, &base, 8, &[0, 1], &mut out));
        refused(&mut || {
            let _ = kernels.dot_f32(&query, &base);
        });
        refused(&mut || {
            let _ = kernels.dot_i4(&[0; 3], &[0; 2]);
        });
    }
}

#[test]
fn normalizing_works_at_any_size_and_keeps_zeros() {
    for kernels in levels() {
        for scale in [1e-44, 1e-30, 1e-3, 1.0, 1e20, 8e37] {
            let mut values = [3.0 * scale, 0.0, -2.0 * scale, 1.0 * scale];
            let exact = values
                .iter()
                .map(|&value| f64::from(value).powi(2))
                .sum::<f64>()
                .sqrt();
            let norm = kernels.normalize_f32(&mut values);
            assert!(
                (f64::from(norm) - exact).abs() <= exact * 1e-5 + 3e-45,
                "{norm} {exact}"
            );
            assert!((kernels.norm_squared_f32(&values) - 1.0).abs() < 1e-5);
        }
        let mut zeros = [0f32; 5];
        assert_eq!(kernels.normalize_f32(&mut zeros), 0.0);
        assert_eq!(zeros, [0.0; 5]);
        assert_eq!(kernels.cosine_f32(&zeros, &zeros), 0.0);
        assert!((kernels.cosine_f32(&[1.0, 1.0], &[2.0, 0.0]) - 0.5f32.sqrt()).abs() < 1e-6);
    }
}
