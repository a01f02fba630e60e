//! The index against adding everything up.

use proptest::prelude::*;

use super::*;
use crate::error::VectorsError;
use crate::point::SparseVector;
use crate::rows::{Allowed, AtomicRowSet, RowSet, Scored};
use crate::storage::Bytes;

fn vector(entries: &[(u32, f32)]) -> SparseVector {
    let mut entries = entries.to_vec();
    entries.sort_by_key(|(index, _)| *index);
    entries.dedup_by_key(|(index, _)| *index);
    SparseVector {
        indices: entries.iter().map(|(index, _)| *index).collect(),
        values: entries.iter().map(|(_, value)| *value).collect(),
    }
}

/// Written as sections and opened again.
fn reopened(index: &SparseIndex) -> SparseIndex {
    let sections: Vec<_> = index
        .sections()
        .unwrap()
        .into_iter()
        .map(|(id, bytes)| (id, Bytes::from_vec(bytes.into_owned())))
        .collect();
    SparseIndex::open(&|wanted| {
        sections
            .iter()
            .find(|(id, _)| *id == wanted)
            .map(|(_, bytes)| bytes.clone())
    })
    .unwrap()
}

fn product(query: &SparseVector, row: &SparseVector) -> Option<f32> {
    let mut sum = None;
    for (index, value) in query.indices.iter().zip(&query.values) {
        if let Ok(place) = row.indices.binary_search(index) {
            *sum.get_or_insert(0.0f64) += f64::from(value * row.values[place]);
        }
    }
    sum.map(|sum| sum as f32)
}

fn brute_force(
    rows: &[Option<SparseVector>],
    query: &SparseVector,
    k: usize,
    allowed: Allowed<'_>,
) -> Vec<Scored> {
    let mut scored: Vec<Scored> = (0u32..)
        .zip(rows)
        .filter(|(row, _)| allowed.contains(*row))
        .filter_map(|(row, vector)| {
            let rank = product(query, vector.as_ref()?)?;
            Some(Scored { row, rank })
        })
        .collect();
    scored.sort();
    scored.truncate(k);
    scored
}

/// Entries with few dimensions and few values, so that lists are long and ties are many.
fn entries() -> impl Strategy<Value = SparseVector> {
    let value = (-8i8..=8).prop_map(|value| f32::from(value) / 4.0);
    proptest::collection::vec((0u32..12, value), 0..6).prop_map(|entries| vector(&entries))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn results_equal_brute_force_in_memory_and_reopened(
        // Repeated to fill blocks and windows.
        pattern in proptest::collection::vec(proptest::option::weighted(0.9, entries()), 1..40),
        repeats in prop_oneof![Just(1usize), Just(20), Just(150)],
        query in entries(),
        k in 0usize..30,
        deleted_one_in in 2u32..9,
        filtered_one_in in prop_oneof![Just(0u32), 1u32..400],
    ) {
        let rows: Vec<Option<SparseVector>> =
            pattern.iter().cycle().take(pattern.len() * repeats).cloned().collect();
        let mut index = SparseIndex::new(Weights::Float32);
        for (row, vector) in (0..).zip(&rows) {
            if let Some(vector) = vector {
                index.insert(row, vector).unwrap();
            }
        }
        let count = rows.len() as u32;
        let live = AtomicRowSet::from_set(&RowSet::all(count));
        (0..count).filter(|row| row % deleted_one_in == 1).for_each(|row| { live.remove(row); });
        let mut filter = RowSet::none(count);
        (0..count).filter(|row| filtered_one_in > 0 && row % filtered_one_in == 0).for_each(|row| filter.insert(row));
        for allowed in [
            Allowed::default(),
            Allowed { live: Some(&live), filter: None },
            Allowed { live: Some(&live), filter: Some(&filter) },
        ] {
            let expected = brute_force(&rows, &query, k, allowed);
            for index in [&index, &reopened(&index)] {
                prop_assert_eq!(&index.search(&query, k, allowed).unwrap(), &expected);
                let dimensions: Vec<u32> = (0..13).collect();
                let seen = index.statistics(&dimensions, allowed.live).unwrap();
                let with = |test: &dyn Fn(&SparseVector) -> bool| {
                    (0u32..).zip(&rows).filter(|(row, vector)| {
                        allowed.live.is_none_or(|live| live.contains(*row))
                            && vector.as_ref().is_some_and(test)
                    }).count() as u64
                };
                prop_assert_eq!(seen.rows, with(&|_| true));
                for (dimension, &frequency) in dimensions.iter().zip(&seen.frequencies) {
                    prop_assert_eq!(frequency, with(&|vector| vector.indices.contains(dimension)));
                }
            }
        }
    }
}

#[test]
fn large_sums_of_many_lists_equal_brute_force() {
    // Values with all their bits, skewed as learned sparse weights are, over rows enough for several windows.
    let mut state = 7u64;
    let mut random = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 40) as f32 / (1u64 << 24) as f32
    };
    let rows: Vec<Option<SparseVector>> = (0..9000)
        .map(|_| {
            let entries: Vec<(u32, f32)> = (0..20)
                .map(|_| ((random().powi(3) * 300.0) as u32, random().powi(4) * 3.0))
                .collect();
            Some(vector(&entries))
        })
        .collect();
    let mut index = SparseIndex::new(Weights::Float32);
    for (row, vector) in (0..).zip(&rows) {
        index.insert(row, vector.as_ref().unwrap()).unwrap();
    }
    let index = reopened(&index);
    for _ in 0..30 {
        let entries: Vec<(u32, f32)> = (0..15)
            .map(|_| ((random().powi(2) * 300.0) as u32, random()))
            .collect();
        let query = vector(&entries);
        for k in [1, 10, 100] {
            let expected = brute_force(&rows, &query, k, Allowed::default());
            assert_eq!(
                index.search(&query, k, Allowed::default()).unwrap(),
                expected
            );
        }
    }
}

#[test]
fn small_weights_keep_nearly_the_scores() {
    for (weights, tolerance) in [(Weights::Float16, 1e-3), (Weights::Uint8, 5e-3)] {
        let mut index = SparseIndex::new(weights);
        for row in 0..500u32 {
            let value = (row as f32 * 0.37).sin() * 2.0;
            index
                .insert(row, &vector(&[(1, value), (row % 7 + 2, 0.5)]))
                .unwrap();
        }
        let index = reopened(&index);
        let found = index
            .search(&vector(&[(1, 1.0), (3, 0.25)]), 500, Allowed::default())
            .unwrap();
        assert_eq!(found.len(), 500);
        for scored in found {
            let exact = (scored.row as f32 * 0.37).sin() * 2.0
                + if scored.row % 7 == 1 { 0.125 } else { 0.0 };
            assert!(
                (scored.rank - exact).abs() <= tolerance * 4.0,
                "{weights:?} {scored:?} {exact}"
            );
        }
    }
}

#[test]
fn frequencies_weigh_as_computed_by_hand() {
    let mut statistics = SparseStatistics::default();
    for (rows, frequencies) in [(6, vec![1, 0]), (4, vec![2, 0])] {
        statistics.add(&SparseStatistics { rows, frequencies });
    }
    // ln(7.5 / 3.5 + 1), ln(10.5 / 0.5 + 1)
    let weights = statistics.inverse_document_frequencies();
    assert!((weights[0] - 1.145_132_3).abs() < 1e-6 && (weights[1] - 3.091_042_5).abs() < 1e-6);
}

#[test]
fn senseless_vectors_and_sections_are_refused() {
    let mut index = SparseIndex::new(Weights::Float32);
    index.insert(3, &vector(&[(1, 1.0)])).unwrap();
    for (row, indices, values) in [
        (3, vec![1], vec![1.0]),
        (4, vec![2, 1], vec![1.0, 1.0]),
        (4, vec![1], vec![f32::NAN]),
        (4, vec![1], vec![]),
    ] {
        assert!(
            index
                .insert(row, &SparseVector { indices, values })
                .is_err()
        );
    }
    let sections = index.sections().unwrap();
    for (damaged, _) in &sections {
        for flipped in 0..4 {
            let opened = SparseIndex::open(&|wanted| {
                let (_, bytes) = sections.iter().find(|(id, _)| *id == wanted)?;
                let mut bytes = bytes.to_vec();
                if wanted == *damaged {
                    if flipped == 0 {
                        bytes.pop();
                    } else {
                        bytes.iter_mut().for_each(|byte| *byte ^= 0x11 << flipped);
                    }
                }
                Some(Bytes::from_vec(bytes))
            });
            // Whatever comes of it, nothing panics.
            let found: Result<Vec<Scored>, VectorsError> =
                opened.and_then(|index| index.search(&vector(&[(1, 1.0)]), 3, Allowed::default()));
            drop(found);
        }
    }
}
