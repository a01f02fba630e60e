//! The index against the formula applied to every row.

use proptest::prelude::*;

use super::super::{AnalyzerOptions, Language, Purpose};
use super::*;

fn index_of(rows: &[Option<Vec<&str>>], options: &AnalyzerOptions) -> TextIndex {
    let mut index = TextIndex::new(options).unwrap();
    for (row, texts) in (0..).zip(rows) {
        if let Some(texts) = texts {
            index.insert(row, texts.iter().copied()).unwrap();
        }
    }
    index
}

/// Written as sections and opened again.
fn reopened(index: &TextIndex) -> TextIndex {
    let sections: Vec<_> = index
        .sections()
        .unwrap()
        .into_iter()
        .map(|(id, bytes)| (id, Bytes::from_vec(bytes.into_owned())))
        .collect();
    TextIndex::open(&|wanted| {
        let (_, bytes) = sections.iter().find(|(id, _)| *id == wanted)?;
        Some(bytes.clone())
    })
    .unwrap()
}

fn search(
    index: &TextIndex,
    query: &TextQuery,
    statistics: &TextStatistics,
    k: usize,
    allowed: Allowed<'_>,
) -> Vec<Scored> {
    index
        .search(&TextIndexSearch {
            query,
            statistics,
            k1: 1.2,
            b: 0.75,
            k,
            allowed,
        })
        .unwrap()
}

/// Terms with positions of each row.
fn documents(index: &TextIndex, rows: &[Option<Vec<&str>>]) -> Vec<Vec<(String, u32)>> {
    rows.iter()
        .map(|texts| {
            let mut terms = Vec::new();
            let texts = texts.iter().flatten().copied();
            index
                .analyzer()
                .analyze_values(texts, &mut |term, position| {
                    terms.push((term.to_owned(), position));
                });
            terms
        })
        .collect()
}

/// Whether the terms of `phrase` follow one another somewhere.
fn has_phrase(document: &[(String, u32)], phrase: &[(String, u32)]) -> bool {
    let has = |term: &str, at: u32| {
        document
            .iter()
            .any(|(other, position)| other == term && *position == at)
    };
    (0..2000).any(|start| {
        phrase
            .iter()
            .all(|(term, distance)| has(term, start + distance))
    })
}

/// BM25 by the formula, in f64, over live rows; `matches` limits which rows are returned, not the statistics.
fn by_formula(
    documents: &[Vec<(String, u32)>],
    terms: &[String],
    live: &dyn Fn(u32) -> bool,
) -> Vec<(u32, f64)> {
    let frequency = |document: &[(String, u32)], term: &String| {
        document.iter().filter(|(other, _)| other == term).count() as f64
    };
    let alive: Vec<_> = (0u32..)
        .zip(documents)
        .filter(|(row, document)| !document.is_empty() && live(*row))
        .collect();
    let count = alive.len() as f64;
    let average = alive
        .iter()
        .map(|(_, document)| document.len())
        .sum::<usize>() as f64
        / count;
    let weights: Vec<f64> = terms
        .iter()
        .map(|term| {
            let with = alive
                .iter()
                .filter(|(_, document)| frequency(document, term) > 0.0)
                .count() as f64;
            ((count - with + 0.5) / (with + 0.5) + 1.0).ln()
        })
        .collect();
    alive
        .iter()
        .filter_map(|(row, document)| {
            let mut score = 0.0;
            for (term, weight) in terms.iter().zip(&weights) {
                let tf = frequency(document, term);
                let norm = 1.2 * (1.0 - 0.75 + 0.75 * document.len() as f64 / average);
                score += weight * tf * 2.2 / (tf + norm);
            }
            (score > 0.0).then_some((*row, score))
        })
        .collect()
}

const TEXTS: [&str; 8] = [
    "the quick brown fox jumps over the lazy dog",
    "quick quick foxes",
    "a lazy dog sleeps",
    "brown bread and brown butter",
    "dog",
    "the fox and the dog and the fox",
    "over the lazy river the brown dog jumps high over every single fence it can find",
    "nothing in common",
];

#[test]
fn scores_as_computed_by_hand() {
    let rows: Vec<_> = ["a b b", "a c", "d"].map(|text| Some(vec![text])).to_vec();
    let index = index_of(&rows, &AnalyzerOptions::default());
    let query = TextQuery::words(index.analyzer(), "b A b", false);
    let statistics = index.statistics(&query, None).unwrap();
    assert_eq!(
        statistics,
        TextStatistics {
            documents: 3,
            tokens: 6,
            frequencies: vec![1, 2]
        }
    );
    // Average length 2. b: ln(2.5 / 1.5 + 1) = 0.980829; a: ln(1.5 / 2.5 + 1) = 0.470004.
    // Row 0: norm 1.2 (0.25 + 0.75 · 1.5) = 1.65; 0.980829 · 4.4 / 3.65 + 0.470004 · 2.2 / 2.65.
    // Row 1: norm 1.2; 0.470004 · 2.2 / 2.2.
    let found = search(&index, &query, &statistics, 10, Allowed::default());
    assert_eq!(
        found.iter().map(|scored| scored.row).collect::<Vec<_>>(),
        [0, 1]
    );
    assert!((found[0].rank - 1.572_561_5).abs() < 1e-5, "{found:?}");
    assert!((found[1].rank - 0.470_003_6).abs() < 1e-6, "{found:?}");
}

#[test]
fn phrases_and_all_terms_are_required() {
    let rows: Vec<_> = TEXTS.map(|text| Some(vec![text])).to_vec();
    let index = index_of(&rows, &AnalyzerOptions::for_language(Language::English));
    for index in [&index, &reopened(&index)] {
        let found = |query: &TextQuery| -> Vec<u32> {
            let statistics = index.statistics(query, None).unwrap();
            let mut rows: Vec<u32> = search(index, query, &statistics, 10, Allowed::default())
                .iter()
                .map(|scored| scored.row)
                .collect();
            rows.sort_unstable();
            let matching = index.matching_rows(query, rows.len() as u32 + 100).unwrap();
            assert_eq!(matching.iter().collect::<Vec<_>>(), rows);
            rows
        };
        let analyzer = index.analyzer();
        assert_eq!(found(&TextQuery::phrase(analyzer, "Lazy dogs")), [0, 2]);
        assert_eq!(found(&TextQuery::phrase(analyzer, "fox and the dog")), [5]);
        assert_eq!(found(&TextQuery::phrase(analyzer, "dog lazy")), [0u32; 0]);
        assert_eq!(found(&TextQuery::words(analyzer, "dog fox", true)), [0, 5]);
        assert_eq!(
            found(&TextQuery::words(analyzer, "dog fox", false)),
            [0, 1, 2, 4, 5, 6]
        );
        assert_eq!(
            found(&TextQuery::words(analyzer, "dog unicorn", true)),
            [0u32; 0]
        );
        let quoted = TextQuery::with_quoted_phrases(analyzer, "fox \"lazy dog\"", false);
        assert_eq!(found(&quoted), [0, 2]);
    }
}

#[test]
fn statistics_of_segments_add_up_to_those_of_one() {
    let rows: Vec<_> = TEXTS.map(|text| Some(vec![text])).to_vec();
    let options = AnalyzerOptions::default();
    let whole = index_of(&rows, &options);
    let parts = [
        index_of(&rows[..3], &options),
        index_of(&rows[3..], &options),
    ];
    let query = TextQuery::words(whole.analyzer(), "brown dog over", false);
    let mut sum = TextStatistics::default();
    for part in &parts {
        sum.add(&part.statistics(&query, None).unwrap());
    }
    assert_eq!(sum, whole.statistics(&query, None).unwrap());
    let mut merged = search(&parts[0], &query, &sum, 10, Allowed::default());
    merged.extend(
        search(&parts[1], &query, &sum, 10, Allowed::default())
            .iter()
            .map(|scored| Scored {
                row: scored.row + 3,
                ..*scored
            }),
    );
    merged.sort();
    assert_eq!(merged, search(&whole, &query, &sum, 10, Allowed::default()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn results_equal_the_formula_in_memory_and_reopened(
        pattern in proptest::collection::vec(proptest::option::weighted(0.9, proptest::collection::vec(
            proptest::sample::select(TEXTS.to_vec()), 1..3)), 1..25),
        repeats in prop_oneof![Just(1usize), Just(12), Just(150)],
        query in proptest::sample::select(vec!["dog", "brown fox", "the dog over fox lazy common", "\"lazy dog\" fox", "zebra"]),
        all in any::<bool>(),
        k in 0usize..30,
        deleted_one_in in 2u32..9,
        filtered_one_in in prop_oneof![Just(0u32), 1u32..300],
    ) {
        let rows: Vec<_> = pattern.iter().cycle().take(pattern.len() * repeats).cloned().collect();
        let count = rows.len() as u32;
        let index = index_of(&rows, &AnalyzerOptions::default());
        let documents = documents(&index, &rows);
        let live = AtomicRowSet::from_set(&RowSet::all(count));
        (0..count).filter(|row| row % deleted_one_in == 1).for_each(|row| { live.remove(row); });
        let mut filter = RowSet::none(count);
        (0..count).filter(|row| filtered_one_in > 0 && row % filtered_one_in == 0).for_each(|row| filter.insert(row));
        let parsed = TextQuery::with_quoted_phrases(index.analyzer(), query, all);
        let phrase = query.split('"').nth(1).map(|phrase| index.analyzer().terms(phrase, Purpose::Query));
        for allowed in [
            Allowed::default(),
            Allowed { live: Some(&live), filter: None },
            Allowed { live: Some(&live), filter: Some(&filter) },
        ] {
            let alive = |row| allowed.live.is_none_or(|live| live.contains(row));
            let mut expected = by_formula(&documents, parsed.terms(), &alive);
            expected.retain(|(row, _)| {
                let document = &documents[*row as usize];
                allowed.contains(*row)
                    && phrase.as_ref().is_none_or(|phrase| has_phrase(document, phrase))
                    && (!all || parsed.terms().iter().all(|term| document.iter().any(|(other, _)| other == term)))
            });
            expected.sort_by(|(one, score), (other, than)| than.total_cmp(score).then(one.cmp(other)));
            let scores: std::collections::BTreeMap<u32, f64> = expected.iter().copied().collect();
            expected.truncate(k);
            let memory = index.statistics(&parsed, allowed.live).unwrap();
            for index in [&index, &reopened(&index)] {
                prop_assert_eq!(&index.statistics(&parsed, allowed.live).unwrap(), &memory);
                let found = search(index, &parsed, &memory, k, allowed);
                prop_assert_eq!(found.len(), expected.len());
                let distinct: std::collections::BTreeSet<u32> = found.iter().map(|scored| scored.row).collect();
                prop_assert_eq!(distinct.len(), found.len());
                // Sums are rounded in another order there, so rows whose scores are closer than that may change places.
                for (scored, (row, score)) in found.iter().zip(&expected) {
                    prop_assert!((f64::from(scored.rank) - score).abs() < 1e-4);
                    let own = scores.get(&scored.row);
                    prop_assert!(own.is_some_and(|own| (own - score).abs() < 1e-5), "row {} for {row}", scored.row);
                }
            }
        }
    }
}

#[test]
fn senseless_sections_are_errors_not_panics() {
    let rows: Vec<_> = TEXTS.map(|text| Some(vec![text])).to_vec();
    let index = index_of(&rows, &AnalyzerOptions::default());
    let sections = index.sections().unwrap();
    for (damaged, _) in &sections {
        for flipped in 0..5 {
            let opened = TextIndex::open(&|wanted| {
                let (_, bytes) = sections.iter().find(|(id, _)| *id == wanted)?;
                let mut bytes = bytes.to_vec();
                if wanted == *damaged {
                    if flipped == 0 {
                        bytes.pop();
                    } else {
                        bytes
                            .iter_mut()
                            .skip(flipped)
                            .step_by(3)
                            .for_each(|byte| *byte ^= 0x11 << flipped);
                    }
                }
                Some(Bytes::from_vec(bytes))
            });
            let Ok(opened) = opened else {
                continue;
            };
            let query = TextQuery::phrase(opened.analyzer(), "lazy dog");
            // Whatever comes of it, nothing panics.
            drop(opened.statistics(&query, None));
            drop(opened.matching_rows(&query, 8));
        }
    }
}
