//! Coarse codes against exact ranks, alone and under a graph.

use crate::index::{BuildControl, IndexParameters, Scratch, SearchParameters, VectorIndex};
use crate::quantize::rotation::Random;
use crate::quantize::{
    BinaryCodes, Originals, PreparedQuery, ProductCodes, SliceOriginals, Values,
};
use crate::rows::Allowed;
use crate::schema::{HnswParameters, IndexKind, Metric, Quantization};

const DIMENSIONS: usize = 90;

/// Rows around 30 centres with a common shift, as embeddings have.
fn rows(count: usize, seed: u64) -> Vec<f32> {
    let mut normal = {
        let mut random = Random::new(seed);
        move || {
            (0..12)
                .map(|_| (random.next() >> 40) as f32 / (1u64 << 24) as f32)
                .sum::<f32>()
                - 6.0
        }
    };
    let centre = |row: usize, dimension: usize| {
        let mut random = Random::new((row % 30 * DIMENSIONS + dimension) as u64);
        (random.next() >> 40) as f32 / (1u64 << 22) as f32
    };
    let place = |index| (index / DIMENSIONS, index % DIMENSIONS);
    let value = |index| {
        let (row, dimension) = place(index);
        centre(row, dimension) + normal()
    };
    (0..count * DIMENSIONS).map(value).collect()
}

/// Correlation of estimated with exact distances over all rows.
fn correlation(estimates: &[f32], exact: &[f32]) -> f64 {
    let mean =
        |values: &[f32]| values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64;
    let (a, b) = (mean(estimates), mean(exact));
    let (mut both, mut first, mut second) = (0.0, 0.0, 0.0);
    for (&x, &y) in estimates.iter().zip(exact) {
        let (x, y) = (f64::from(x) - a, f64::from(y) - b);
        (both, first, second) = (both + x * y, first + x * x, second + y * y);
    }
    both / (first * second).sqrt()
}

#[test]
fn estimates_follow_exact_distances() {
    let values = rows(1200, 3);
    let originals = SliceOriginals::new(DIMENSIONS, Values::Float32(&values));
    let query = &rows(5, 4)[2 * DIMENSIONS..3 * DIMENSIONS];
    let all: Vec<u32> = (0..1200).collect();
    let (mut exact, mut out) = (vec![0.0; 1200], vec![0.0; 1200]);
    let mut prepared = PreparedQuery::default();
    for metric in [
        Metric::Cosine,
        Metric::Dot,
        Metric::Euclid,
        Metric::Manhattan,
    ] {
        originals
            .rank_rows(metric, query, &all, &mut exact)
            .expect("ranks");
        exact.iter_mut().for_each(|rank| *rank = -*rank);
        let control = BuildControl::default();
        let product = ProductCodes::train_and_encode(&originals, metric, 4, 2, 1, &control);
        let product = product.expect("trains");
        product.prepare(query, &mut prepared);
        product.distances(&prepared, &all, &mut out);
        let follows = correlation(&out, &exact);
        assert!(follows > 0.9, "product {metric:?}: {follows}");
        let mean_off = out
            .iter()
            .zip(&exact)
            .map(|(a, b)| (a - b).abs())
            .sum::<f32>()
            / 1200.0;
        let size = exact.iter().map(|value| value.abs()).sum::<f32>() / 1200.0;
        assert!(
            mean_off < size * 0.5,
            "product {metric:?}: off by {mean_off} of {size}"
        );
        match BinaryCodes::encode(&originals, metric, 1) {
            Err(_) => assert_eq!(metric, Metric::Manhattan),
            Ok(binary) => {
                binary.prepare(query, &mut prepared);
                binary.distances(&prepared, &all, &mut out);
                let follows = correlation(&out, &exact);
                assert!(follows > 0.85, "binary {metric:?}: {follows}");
                let off = out.iter().zip(&exact).map(|(a, b)| a - b).sum::<f32>() / 1200.0;
                assert!(
                    off.abs() < size * 0.02,
                    "binary {metric:?} leans by {off} of {size}"
                );
            }
        }
    }
}

#[test]
fn graphs_over_coarse_codes_keep_recall_and_open_again() {
    let values = rows(3000, 3);
    let queries = rows(40, 4);
    let originals = SliceOriginals::new(DIMENSIONS, Values::Float32(&values));
    for quantization in [
        Quantization::Binary,
        Quantization::Product {
            dimensions_per_code: 4,
        },
    ] {
        let parameters = IndexParameters {
            metric: Metric::Euclid,
            kind: IndexKind::Hnsw,
            hnsw: HnswParameters::default(),
            quantization,
            threads: 2,
            seed: 1,
        };
        let control = BuildControl::default();
        let index = VectorIndex::build(&originals, &parameters, None, &control).expect("builds");
        let sections: Vec<_> = index.sections();
        let opened = VectorIndex::open(Metric::Euclid, DIMENSIONS, 3000, &|id| {
            let (_, bytes) = sections.iter().find(|(other, _)| *other == id)?;
            let buffer = platform::buffer::AlignedBuffer::copy_of(bytes).ok()?;
            Some(std::sync::Arc::new(Aligned(buffer)))
        })
        .expect("opens");
        let mut scratch = Scratch::default();
        let mut found = 0;
        for query in queries.chunks(DIMENSIONS) {
            let mut ask = |index: &VectorIndex, exact| {
                let search = SearchParameters {
                    exact,
                    ..SearchParameters::of(10)
                };
                let allowed = Allowed::default();
                index
                    .search(query, &search, allowed, &originals, &mut scratch)
                    .expect("searches")
            };
            let answer = ask(&index, false);
            assert_eq!(answer, ask(&opened, false));
            let truth = ask(&index, true);
            found += truth.iter().filter(|one| answer.contains(one)).count();
        }
        let recall = found as f64 / (queries.len() / DIMENSIONS * 10) as f64;
        assert!(recall >= 0.9, "{quantization:?}: {recall}");
    }
}

struct Aligned(platform::buffer::AlignedBuffer);

impl AsRef<[u8]> for Aligned {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}
