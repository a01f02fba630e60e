//! The index against an exhaustive comparison in double precision, on clustered vectors.

use std::collections::HashMap;
use std::sync::Arc;

use super::*;
use crate::quantize::rotation::Random;
use crate::quantize::{SliceOriginals, Values};
use crate::rows::{AtomicRowSet, RowSet};
use crate::schema::{HnswParameters, Quantization};

const METRICS: [Metric; 4] = [
    Metric::Cosine,
    Metric::Dot,
    Metric::Euclid,
    Metric::Manhattan,
];

/// Nearly normal numbers: the sum of four uniform ones.
fn normal(random: &mut Random) -> f32 {
    let uniform = |random: &mut Random| random.below(1 << 20) as f32 / (1 << 20) as f32 - 0.5;
    (0..4).map(|_| uniform(random)).sum::<f32>() * 1.7
}

/// Vectors around 40 centres.
fn clustered(rows: usize, dimensions: usize, seed: u64, metric: Metric) -> Vec<f32> {
    let mut centres = Random::new(99);
    let centres: Vec<f32> = (0..40 * dimensions).map(|_| normal(&mut centres)).collect();
    let mut random = Random::new(seed);
    let mut values = Vec::with_capacity(rows * dimensions);
    for _ in 0..rows {
        let centre = random.below(40) * dimensions;
        for place in 0..dimensions {
            values.push(centres[centre + place] * 0.6 + normal(&mut random));
        }
    }
    if metric == Metric::Cosine {
        for row in values.chunks_exact_mut(dimensions) {
            let norm = row.iter().map(|v| v * v).sum::<f32>().sqrt();
            row.iter_mut().for_each(|v| *v /= norm);
        }
    }
    values
}

fn exact(
    values: &[f32],
    query: &[f32],
    metric: Metric,
    k: usize,
    allowed: impl Fn(u32) -> bool,
) -> Vec<u32> {
    let ranks = values.chunks_exact(query.len()).enumerate();
    let mut ranks: Vec<(f64, u32)> = ranks
        .map(|(row, vector)| {
            let pairs = query.iter().zip(vector);
            let pairs = pairs.map(|(&q, &v)| (f64::from(q), f64::from(v)));
            let rank: f64 = match metric {
                Metric::Cosine | Metric::Dot => pairs.map(|(q, v)| q * v).sum(),
                Metric::Euclid => -pairs.map(|(q, v)| (q - v) * (q - v)).sum::<f64>(),
                Metric::Manhattan => -pairs.map(|(q, v)| (q - v).abs()).sum::<f64>(),
            };
            (rank, row as u32)
        })
        .filter(|&(_, row)| allowed(row))
        .collect();
    ranks.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    ranks.into_iter().take(k).map(|(_, row)| row).collect()
}

struct Case {
    values: Vec<f32>,
    queries: Vec<f32>,
    dimensions: usize,
    metric: Metric,
    index: VectorIndex,
}

impl Case {
    fn new(rows: usize, dimensions: usize, metric: Metric, quantization: Quantization) -> Self {
        let values = clustered(rows, dimensions, 1, metric);
        let queries = clustered(50, dimensions, 2, metric);
        let originals = SliceOriginals::new(dimensions, Values::Float32(&values));
        let parameters = parameters(metric, quantization);
        let control = BuildControl::default();
        let index = VectorIndex::build(&originals, &parameters, None, &control).expect("index");
        assert_eq!(control.done() as usize, rows);
        Case {
            values,
            queries,
            dimensions,
            metric,
            index,
        }
    }

    fn originals(&self) -> SliceOriginals<'_> {
        SliceOriginals::new(self.dimensions, Values::Float32(&self.values))
    }

    fn search(
        &self,
        query: &[f32],
        parameters: &SearchParameters,
        allowed: Allowed<'_>,
    ) -> Vec<Scored> {
        let mut scratch = Scratch::default();
        self.index
            .search(query, parameters, allowed, &self.originals(), &mut scratch)
            .expect("search")
    }

    /// Mean recall at 10; every answer must be allowed, ordered, without duplicates and as long as it can be.
    fn recall(&self, ef: usize, allowed: Allowed<'_>) -> f64 {
        let parameters = SearchParameters {
            ef: Some(ef),
            ..SearchParameters::of(10)
        };
        let (mut hits, mut total) = (0, 0);
        for query in self.queries.chunks_exact(self.dimensions) {
            let found = self.search(query, &parameters, allowed);
            let expected = exact(&self.values, query, self.metric, 10, |row| {
                allowed.contains(row)
            });
            assert_eq!(found.len(), expected.len());
            assert!(found.windows(2).all(|pair| pair[0] < pair[1]));
            assert!(found.iter().all(|one| allowed.contains(one.row)));
            hits += found
                .iter()
                .filter(|one| expected.contains(&one.row))
                .count();
            total += expected.len();
        }
        hits as f64 / f64::from(total.max(1) as u32)
    }
}

fn parameters(metric: Metric, quantization: Quantization) -> IndexParameters {
    IndexParameters {
        metric,
        kind: IndexKind::Hnsw,
        hnsw: HnswParameters {
            m: 16,
            ef_construct: 100,
        },
        quantization,
        threads: 1,
        seed: 3,
    }
}

#[test]
fn every_metric_with_every_code_finds_nearly_all_neighbours() {
    for metric in METRICS {
        for quantization in [Quantization::None, Quantization::Int8, Quantization::Int4] {
            let case = Case::new(3000, 40, metric, quantization);
            let recall = case.recall(100, Allowed::default());
            assert!(recall > 0.97, "{metric:?} {quantization:?}: {recall}");
        }
    }
}

#[test]
fn whole_numbers_are_coded_without_error_and_ranks_are_exact() {
    let bytes: Vec<u8> = clustered(3000, 70, 5, Metric::Euclid)
        .iter()
        .map(|value| (value * 30.0 + 100.0).clamp(0.0, 255.0) as u8)
        .collect();
    let originals = SliceOriginals::new(70, Values::Uint8(&bytes));
    let floats: Vec<f32> = bytes.iter().map(|&byte| f32::from(byte)).collect();
    for metric in [Metric::Euclid, Metric::Manhattan] {
        let parameters = parameters(metric, Quantization::Int8);
        let index = VectorIndex::build(&originals, &parameters, None, &BuildControl::default())
            .expect("index");
        let search = SearchParameters {
            rescore: Some(false),
            ..SearchParameters::of(1)
        };
        for row in (0..3000).step_by(100) {
            let query = &floats[row * 70..][..70];
            let mut scratch = Scratch::default();
            let found = index
                .search(query, &search, Allowed::default(), &originals, &mut scratch)
                .expect("search");
            assert_eq!(found[0].rank, 0.0, "{metric:?}");
        }
    }
}

#[test]
fn deleted_rows_are_never_returned_and_recall_stays() {
    let case = Case::new(4000, 32, Metric::Euclid, Quantization::Int8);
    for share in [0.05, 0.3, 0.8, 0.999] {
        let live = AtomicRowSet::from_set(&RowSet::all(4000));
        let mut random = Random::new(8);
        for row in 0..4000 {
            if (random.below(1000) as f64) < share * 1000.0 {
                live.remove(row);
            }
        }
        let allowed = Allowed {
            live: Some(&live),
            filter: None,
        };
        let recall = case.recall(100, allowed);
        assert!(recall > 0.95, "{share}: {recall}");
    }
}

#[test]
fn filters_keep_recall_at_every_share_random_and_correlated() {
    let case = Case::new(20_000, 32, Metric::Cosine, Quantization::Int8);
    for share in [0.001, 0.01, 0.1, 0.3, 0.5, 0.9] {
        let mut random = Random::new(4);
        let mut drawn = RowSet::none(20_000);
        for row in 0..20_000 {
            if (random.below(10_000) as f64) < share * 10_000.0 {
                drawn.insert(row);
            }
        }
        // Rows on one side of a plane: for some queries all near rows are allowed, for others none.
        let mut heights: Vec<(f32, u32)> = (0..20_000)
            .map(|row| (case.values[row as usize * 32], row))
            .collect();
        heights.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut side = RowSet::none(20_000);
        for &(_, row) in heights.iter().take((20_000.0 * share) as usize) {
            side.insert(row);
        }
        for (name, filter) in [("random", &drawn), ("correlated", &side)] {
            let allowed = Allowed {
                live: None,
                filter: Some(filter),
            };
            let recall = case.recall(64, allowed);
            assert!(recall > 0.95, "{name} {share}: {recall}");
        }
    }
}

#[test]
fn small_and_odd_inputs_give_all_there_is() {
    for rows in [0, 1, 2, 17, 130] {
        let case = Case::new(rows, 5, Metric::Euclid, Quantization::Int4);
        let query = [0.5; 5];
        for k in [0, 1, 200] {
            let found = case.search(&query, &SearchParameters::of(k), Allowed::default());
            assert_eq!(found.len(), k.min(rows), "{rows} rows, k {k}");
            let nothing = RowSet::none(rows as u32);
            let allowed = Allowed {
                live: None,
                filter: Some(&nothing),
            };
            assert!(
                case.search(&query, &SearchParameters::of(k), allowed)
                    .is_empty()
            );
        }
    }
    let case = Case::new(50, 5, Metric::Euclid, Quantization::Int4);
    let mut scratch = Scratch::default();
    let parameters = SearchParameters::of(1);
    case.index
        .search(
            &[0.0; 4],
            &parameters,
            Allowed::default(),
            &case.originals(),
            &mut scratch,
        )
        .expect_err("a query of another size");
}

#[test]
fn k_above_ef_and_exact_searches_return_k_rows() {
    let case = Case::new(3000, 24, Metric::Dot, Quantization::Int8);
    let query = &case.queries[..24];
    let few = SearchParameters {
        ef: Some(4),
        ..SearchParameters::of(200)
    };
    assert_eq!(case.search(query, &few, Allowed::default()).len(), 200);
    let all = SearchParameters {
        exact: true,
        ..SearchParameters::of(25)
    };
    let found: Vec<u32> = case
        .search(query, &all, Allowed::default())
        .iter()
        .map(|one| one.row)
        .collect();
    assert_eq!(found, exact(&case.values, query, Metric::Dot, 25, |_| true));
}

/// How many of the rows find themselves, or a row equal to them, at default parameters.
fn finding_themselves(case: &Case, allowed: Allowed<'_>) -> f64 {
    let rows = (case.values.len() / case.dimensions) as u32;
    let (mut found, mut total) = (0, 0);
    for row in (0..rows).filter(|&row| allowed.contains(row)) {
        let query = &case.values[row as usize * case.dimensions..][..case.dimensions];
        let best = case.search(query, &SearchParameters::of(1), allowed)[0].row as usize;
        found += i32::from(&case.values[best * case.dimensions..][..case.dimensions] == query);
        total += 1;
    }
    f64::from(found) / f64::from(total)
}

#[test]
fn equal_vectors_hide_no_others_and_are_all_found() {
    let dimensions = 16;
    let distinct = clustered(3000, dimensions, 1, Metric::Euclid);
    let row_of = |row: usize| &distinct[row * dimensions..][..dimensions];
    // Which distinct vector each row has: a third of all rows one vector; each one twice; each one ten times; all the same.
    type Pattern = (&'static str, fn(usize) -> usize);
    let patterns: [Pattern; 4] = [
        ("a third", |row| if row.is_multiple_of(3) { 0 } else { row }),
        ("pairs", |row| row / 2),
        ("tens", |row| row % 300),
        ("all", |_| 5),
    ];
    for (name, pattern) in patterns {
        let values: Vec<f32> = (0..3000)
            .flat_map(|row| row_of(pattern(row)).to_vec())
            .collect();
        let originals = SliceOriginals::new(dimensions, Values::Float32(&values));
        for quantization in [Quantization::None, Quantization::Int8] {
            let parameters = parameters(Metric::Euclid, quantization);
            let control = BuildControl::default();
            let index = VectorIndex::build(&originals, &parameters, None, &control).expect("index");
            assert_eq!(control.done(), 3000);
            let mut case = Case::new(10, dimensions, Metric::Euclid, quantization);
            (case.values, case.index) = (values.clone(), index);
            case.index = open(&case, &stored(&case.index)).expect("open");
            let found = finding_themselves(&case, Allowed::default());
            assert!(found >= 0.99, "{name} {quantization:?}: {found}");
            // Of equal rows some are deleted, the first of them too, and some are filtered away.
            let live = AtomicRowSet::from_set(&RowSet::all(3000));
            for row in (0..3000).filter(|row| row % 7 < 2) {
                live.remove(row);
            }
            let mut filter = RowSet::none(3000);
            (0..3000)
                .filter(|row| row % 3 != 1)
                .for_each(|row| filter.insert(row));
            for filter in [None, Some(&filter)] {
                let live = Some(&live);
                let allowed = Allowed { live, filter };
                let found = finding_themselves(&case, allowed);
                assert!(found >= 0.99, "{name} {quantization:?}: {found}");
                let recall_length = case.search(row_of(5), &SearchParameters::of(400), allowed);
                assert_eq!(recall_length.len(), 400);
                assert!(recall_length.iter().all(|one| allowed.contains(one.row)));
            }
            let first = row_of(pattern(0));
            let equal = (0..3000)
                .filter(|&row| pattern(row) == pattern(0))
                .count()
                .min(100);
            let found = case.search(first, &SearchParameters::of(equal), Allowed::default());
            assert_eq!(found.len(), equal);
            assert!(found.iter().all(|one| one.rank == 0.0), "{name}");
        }
    }
}

#[test]
fn one_thread_builds_the_same_bytes_and_more_threads_the_same_quality() {
    let one = Case::new(3000, 32, Metric::Euclid, Quantization::Int4);
    let again = Case::new(3000, 32, Metric::Euclid, Quantization::Int4);
    assert_eq!(one.index.sections(), again.index.sections());
    let mut three = again;
    let several = IndexParameters {
        threads: 3,
        ..parameters(Metric::Euclid, Quantization::Int4)
    };
    let control = BuildControl::default();
    three.index = VectorIndex::build(&three.originals(), &several, None, &control).expect("index");
    let recall = three.recall(100, Allowed::default());
    assert!(recall > 0.97, "{recall}");
}

#[test]
fn a_merge_keeps_the_largest_graph_heals_it_and_finds_as_much_as_a_new_one() {
    let dimensions = 32;
    let old = Case::new(4000, dimensions, Metric::Euclid, Quantization::Int8);
    // A quarter of the old rows died; the others moved up, and a thousand new rows follow.
    let mut random = Random::new(12);
    let (mut values, mut new_rows) = (Vec::new(), Vec::new());
    for row in old.values.chunks_exact(dimensions) {
        if random.below(4) == 0 {
            new_rows.push(u32::MAX);
        } else {
            new_rows.push((values.len() / dimensions) as u32);
            values.extend_from_slice(row);
        }
    }
    values.extend(clustered(1000, dimensions, 77, Metric::Euclid));
    let mut merged = Case::new(10, dimensions, Metric::Euclid, Quantization::Int8);
    merged.values = values;
    let mut recalls = Vec::new();
    let previous = Previous {
        index: &old.index,
        new_rows: &new_rows,
    };
    for previous in [None, Some(previous)] {
        let parameters = parameters(Metric::Euclid, Quantization::Int8);
        let control = BuildControl::default();
        let built = VectorIndex::build(&merged.originals(), &parameters, previous, &control);
        merged.index = built.expect("index");
        assert_eq!(control.done(), merged.index.rows());
        recalls.push(merged.recall(32, Allowed::default()));
    }
    assert!(recalls[1] > recalls[0] - 0.02, "{recalls:?}");
    let nonsense = vec![7; 4000];
    let previous = Previous {
        index: &old.index,
        new_rows: &nonsense,
    };
    let parameters = parameters(Metric::Euclid, Quantization::Int8);
    let control = BuildControl::default();
    VectorIndex::build(&merged.originals(), &parameters, Some(previous), &control)
        .expect("a new graph");
}

/// Merges small segments one after the other into a large one, with deletes in between; returns how far the recall of the
/// last merge is below that of a graph built anew.
fn loss_of_merges(quantization: Quantization, equal_one_in: usize) -> f64 {
    let dimensions = 32;
    let mut merged = Case::new(2200, dimensions, Metric::Euclid, quantization);
    let parameters = parameters(Metric::Euclid, quantization);
    let control = BuildControl::default();
    let mut random = Random::new(12);
    for round in 0..10 {
        let (mut values, mut new_rows) = (Vec::new(), Vec::new());
        for row in merged.values.chunks_exact(dimensions) {
            if random.below(20) == 0 {
                new_rows.push(u32::MAX);
            } else {
                new_rows.push((values.len() / dimensions) as u32);
                values.extend_from_slice(row);
            }
        }
        let from = values.len();
        values.extend(clustered(150, dimensions, 100 + round, Metric::Euclid));
        for row in (0..150).step_by(equal_one_in) {
            values[from + row * dimensions..][..dimensions].fill(0.25);
        }
        merged.values = values;
        let previous = Previous {
            index: &merged.index,
            new_rows: &new_rows,
        };
        let built = VectorIndex::build(&merged.originals(), &parameters, Some(previous), &control);
        merged.index = built.expect("index");
    }
    let ef = 40;
    let kept = merged.recall(ef, Allowed::default());
    let found = finding_themselves(&merged, Allowed::default());
    assert!(found >= 0.99, "{quantization:?}: {found}");
    let built = VectorIndex::build(&merged.originals(), &parameters, None, &control);
    merged.index = built.expect("index");
    merged.recall(ef, Allowed::default()) - kept
}

#[test]
fn ten_merges_with_deletes_between_find_as_much_as_one_build() {
    let product = Quantization::Product {
        dimensions_per_code: 2,
    };
    for (quantization, equal_one_in) in [
        (Quantization::Int8, 3),
        (Quantization::Int8, 1000),
        (Quantization::Binary, 1000),
        (product, 1000),
    ] {
        let loss = loss_of_merges(quantization, equal_one_in);
        assert!(loss < 0.01, "{quantization:?} {equal_one_in}: {loss}");
    }
}

#[test]
fn recall_aimed_at_is_reached_on_codes_that_need_ranking_again() {
    for quantization in [
        Quantization::Int4,
        Quantization::Binary,
        Quantization::Product {
            dimensions_per_code: 4,
        },
    ] {
        let case = Case::new(6000, 32, Metric::Cosine, quantization);
        for target in [0.8, 0.95] {
            let parameters = SearchParameters {
                target_recall: Some(target),
                ..SearchParameters::of(10)
            };
            let mut hits = 0;
            for query in case.queries.chunks_exact(32) {
                let found = case.search(query, &parameters, Allowed::default());
                let expected = exact(&case.values, query, case.metric, 10, |_| true);
                hits += found
                    .iter()
                    .filter(|one| expected.contains(&one.row))
                    .count();
            }
            // 50 queries and a curve of 100: two standard deviations are about 5 %.
            let recall = hits as f32 / (case.queries.len() / 32 * 10) as f32;
            assert!(
                recall > target - 0.05,
                "{quantization:?} {target}: {recall}"
            );
        }
    }
}

#[test]
fn a_cancelled_build_ends() {
    let values = clustered(3000, 8, 1, Metric::Euclid);
    let originals = SliceOriginals::new(8, Values::Float32(&values));
    for threads in [1, 2] {
        let control = BuildControl::default();
        control.cancel();
        let parameters = IndexParameters {
            threads,
            ..parameters(Metric::Euclid, Quantization::Int8)
        };
        let ended = VectorIndex::build(&originals, &parameters, None, &control);
        assert!(matches!(ended, Err(VectorsError::Cancelled)));
    }
}

/// The sections of an index in memory of their own, as a container would hold them.
fn stored(index: &VectorIndex) -> HashMap<SectionId, Vec<u8>> {
    let sections = index.sections().into_iter();
    sections
        .map(|(id, bytes)| (id, bytes.into_owned()))
        .collect()
}

struct Aligned(platform::buffer::AlignedBuffer);

impl AsRef<[u8]> for Aligned {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

fn open(case: &Case, sections: &HashMap<SectionId, Vec<u8>>) -> Result<VectorIndex, VectorsError> {
    let rows = (case.values.len() / case.dimensions) as u32;
    VectorIndex::open(case.metric, case.dimensions, rows, &|id| {
        let bytes = sections.get(&id)?;
        let copy = platform::buffer::AlignedBuffer::copy_of(bytes).expect("memory");
        Some(Arc::new(Aligned(copy)))
    })
}

#[test]
fn an_index_opens_from_its_bytes_and_answers_the_same() {
    for metric in METRICS {
        for quantization in [Quantization::None, Quantization::Int8, Quantization::Int4] {
            let case = Case::new(2500, 20, metric, quantization);
            let opened = open(&case, &stored(&case.index)).expect("open");
            assert_eq!(opened.sections(), case.index.sections());
            let query = &case.queries[..20];
            let parameters = SearchParameters {
                target_recall: Some(0.9),
                ..SearchParameters::of(10)
            };
            let before = case.search(query, &parameters, Allowed::default());
            let mut scratch = Scratch::default();
            let after = opened
                .search(
                    query,
                    &parameters,
                    Allowed::default(),
                    &case.originals(),
                    &mut scratch,
                )
                .expect("search");
            assert_eq!(before, after);
            assert!(after.len() == 10 && opened.bytes_in_memory() < case.index.bytes_in_memory());
        }
    }
}

#[test]
fn damaged_bytes_are_refused_or_searched_without_panic() {
    let case = Case::new(2500, 20, Metric::Euclid, Quantization::Int4);
    let sections = stored(&case.index);
    let mut random = Random::new(6);
    for id in sections.keys() {
        for round in 0..60 {
            let mut damaged = sections.clone();
            let bytes = damaged.get_mut(id).expect("section");
            match round % 6 {
                0 => bytes.truncate(random.below(bytes.len())),
                _ => {
                    for _ in 0..50 {
                        let place = random.below(bytes.len());
                        bytes[place] = random.next() as u8;
                    }
                }
            }
            let Ok(index) = open(&case, &damaged) else {
                continue;
            };
            let mut scratch = Scratch::default();
            let parameters = SearchParameters::of(10);
            let found = index
                .search(
                    &case.queries[..20],
                    &parameters,
                    Allowed::default(),
                    &case.originals(),
                    &mut scratch,
                )
                .expect("search");
            assert!(found.len() == 10 && found.iter().all(|one| one.row < 2500));
        }
    }
    let mut missing = sections;
    missing.remove(&SectionId(4));
    open(&case, &missing).expect_err("links are missing");
}
